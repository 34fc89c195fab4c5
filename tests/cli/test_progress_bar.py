"""progress_bar: what a run's progress writes to stderr."""

import pytest

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
