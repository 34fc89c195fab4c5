"""terminal: how a command ends, and what it says then."""

import signal
from collections.abc import Iterator

import pytest

from sftprep.cli import terminal
from sftprep.cli.terminal import advising, command, show
from sftprep.errors import DataError, LockedError, UsageError


@pytest.fixture(autouse=True)
def _no_signal_asked() -> Iterator[None]:
    """Forget the signals of a test, as a new process would."""
    yield
    terminal._asked.clear()


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UsageError("a\x1b.jsonl: no."), 2, "error: a\\x1b.jsonl: no.\n"),
        (DataError("two\nlines"), 65, "error: two\nlines\n"),
        (LockedError("busy"), 75, "error: busy\n"),
        (OSError(28, "Disk full", "x\x07"), 74, "error: x\\x07: Disk full.\n"),
        (BrokenPipeError(), 141, ""),
    ],
)  # fmt: skip
def test_an_error_becomes_a_message_and_an_exit_code(
    error: Exception, code: int, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error that is raised on purpose ends the command in one message, without a traceback."""
    with pytest.raises(SystemExit) as caught, command():
        raise error
    assert (caught.value.code, capfd.readouterr().err) == (code, message)


def test_a_bug_shows_its_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """Any other exception is a bug: exit code 70, and a traceback to report."""
    with pytest.raises(SystemExit) as caught, command():
        raise ZeroDivisionError
    err = capfd.readouterr().err
    assert caught.value.code == 70
    assert err.startswith("Traceback (most recent call last):")
    assert err.endswith(
        "ZeroDivisionError\n"
        "error: this is a bug in sftprep. Please report it with the traceback above.\n"
    )


@pytest.mark.parametrize(
    ("number", "text"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_ends_a_command(
    number: signal.Signals, text: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """A command that publishes nothing says no more than that it was ended."""
    with pytest.raises(SystemExit) as caught, command():
        signal.raise_signal(number)
    assert (caught.value.code, capfd.readouterr().err) == (128 + number, f"{text}.\n")


def test_advice_is_said_for_the_work_that_a_signal_ends(capfd: pytest.CaptureFixture[str]) -> None:
    """A signal that ends the work is reported with the advice."""
    with pytest.raises(SystemExit), command(), advising("run it again."):
        signal.raise_signal(signal.SIGTERM)
    assert capfd.readouterr().err == "terminated; run it again.\n"


def finished_work() -> None:
    """Do some work, and get a signal when it is done."""
    with advising("run it again."):
        pass
    signal.raise_signal(signal.SIGTERM)


def test_no_advice_after_the_work(capfd: pytest.CaptureFixture[str]) -> None:
    """Once the work is done, a signal ends the command without advice on it."""
    with pytest.raises(SystemExit), command():
        finished_work()
    assert capfd.readouterr().err == "terminated.\n"


def test_a_result_is_written_with_a_line_end(capfd: pytest.CaptureFixture[str]) -> None:
    """Text gets a line end; bytes are written unchanged."""
    show("a")
    show(b"b")
    assert capfd.readouterr().out == "a\nb"
