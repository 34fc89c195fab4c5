"""progress_bar: what a run's progress writes to stderr."""

import re
import signal
import sys

import pytest

from sftprep.cli import progress_bar as progress_bar_module
from sftprep.cli import terminal
from sftprep.cli.progress_bar import Bar
from sftprep.cli.terminal import progress_bar
from sftprep.progress import Silent


def test_notes_are_written_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """A note is written even where no bar is shown; control characters are escaped."""
    bar = Bar(shown=False)
    bar.note("look\x1b here")
    bar.start(100)
    bar.advance(50, 50, 3)
    bar.close()
    assert capsys.readouterr() == ("", "note: look\\x1b here\n")


def test_warnings_are_written_in_silence(capsys: pytest.CaptureFixture[str]) -> None:
    """``--quiet`` hides notes, and shows warnings."""
    for silent in (True, False):
        with progress_bar(silent=silent) as progress:
            progress.note("a")
            progress.warn("b\x1b")
    assert capsys.readouterr() == ("", "warning: b\\x1b\nnote: a\nwarning: b\\x1b\n")


def test_the_bar_shows_records_and_speed(capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal, the bar shows how much of the input was read, the records and the speed."""
    bar = Bar(shown=True)
    bar.start(1000)
    bar.advance(500, 2000, 1234)
    bar.close()
    out, err = capsys.readouterr()
    assert out == ""
    assert "50%" in err
    assert "1,234 records" in err
    assert "MB/s" in err


def test_a_log_shows_that_a_run_lives(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a terminal, a line comes from time to time, also while nothing advances."""
    monkeypatch.setattr(progress_bar_module, "HEARTBEAT", 0.01)
    monkeypatch.setattr(sys, "stderr", sys.__stderr__)
    bar = Bar(shown=False)
    bar.start(1000)
    bar.advance(500, 2_000_000, 1234)
    lines = ""
    while lines.count("\n") < 3:
        lines += capfd.readouterr().err
    bar.close()
    line = r"working for \d\.\d s: 1,234 records \(50% of the input\), \d+\.\d MB/s"
    assert re.fullmatch(line, lines.splitlines()[-1])


def test_a_signal_ends_the_bar_first(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a signal says stands on a line of its own, below the bar."""
    monkeypatch.setattr(terminal, "_advice", [])
    bar = Bar(shown=True)
    bar.start(1000)
    bar.advance(500, 2000, 1234)
    assert terminal._ended(signal.SIGINT) == 130
    assert capsys.readouterr().err.endswith("MB/s\ninterrupted.\n")
    bar.close()
    assert capsys.readouterr().err == ""


def test_a_stream_has_no_total(capsys: pytest.CaptureFixture[str]) -> None:
    """If the size of the input is not known, the bar shows what was read."""
    bar = Bar(shown=True)
    bar.start(None)
    bar.advance(500, 500, 2)
    bar.close()
    assert "500" in capsys.readouterr().err


def test_a_bar_that_was_not_started_can_be_closed() -> None:
    """A run may end before the work begins."""
    Bar(shown=True).close()


def test_quiet_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """With ``--quiet``, neither notes nor a bar are written."""
    with progress_bar(silent=True) as progress:
        assert isinstance(progress, Silent)
        progress.note("look")
        progress.start(1)
        progress.advance(1, 1, 1)
    assert capsys.readouterr() == ("", "")
