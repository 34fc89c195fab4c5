"""Control what a command writes and how it ends: standard streams, signals, exit codes.

In     results as text or bytes; whatever a command raises.
Out    results on stdout; messages on stderr; the exit code that ``errors`` defines for an error. A
       result that cannot be written completely is an error.
Keeps  the exit code when a message cannot be written because stderr is full or closed.
Never  exits with 0 when a result could not be written. If a standard stream is closed, never lets
       a file that is opened later take its descriptor number.
"""

import contextlib
import gc
import io
import os
import shlex
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from sftprep.cli.colours import KINDS, painted
from sftprep.errors import SftprepError, StorageError
from sftprep.text import ascii_safe

if TYPE_CHECKING:
    from sftprep.progress import Progress


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals that ask this process to end."""
ANSWER_SECONDS = 0.1
"""How long to wait for a signal's handler to run before the signal is sent again."""
_advice: list[str] = []  # what to tell the user if a signal ends the work
_asked: list[int] = []  # the signals of ENDING whose handler has run
_began = [time.monotonic()]  # when the command began
_bars: list[Callable[[], None]] = []  # what ends the bar that is shown


def set_up() -> None:
    """Make the standard streams safe to write to, and install the signal handlers."""
    # Otherwise numpy starts threads for linear algebra. That takes time, and they are never used.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(100_000, 20, 100)  # most objects of a command live until it ends
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # Otherwise the next file that is opened would take this number. stdout is opened for
            # reading only, so that writing a result to a closed stdout fails and is reported.
            os.open(os.devnull, mode)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # the terminal may not be UTF-8
    _handle_signals()
    _watch_signals()


def show(result: str | bytes) -> None:
    """Write a result to stdout; a newline is added to a str.

    Raises:
        StorageError: the result cannot be written.
        BrokenPipeError: the reader of stdout has closed it.
    """
    try:
        if isinstance(result, bytes):
            sys.stdout.buffer.write(result)
        else:
            sys.stdout.write(f"{result}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        _forget_stdout()
        raise StorageError(
            f"standard output: cannot be written: {error.strerror}. The work is done, but its "
            "result could not be shown. Redirect the output to another file."
        ) from error


def columns() -> int | None:
    """Return how many columns the terminal has; None if stdout is none, so that lines stay whole.

    With ``FORCE_COLOR``, ``COLUMNS`` says it where stdout is no terminal.
    """
    if sys.stdout.isatty() or (os.environ.get("FORCE_COLOR") and os.environ.get("COLUMNS")):
        return shutil.get_terminal_size().columns
    return None


def show_paged(result: str) -> None:
    """Write a result to stdout; if it is longer than the terminal is high, through a pager.

    The pager is ``$PAGER``, or else ``less``. It ends the command as a pipe does.

    Raises:
        StorageError, BrokenPipeError: as ``show``.
    """
    pager = shlex.split(os.environ.get("PAGER") or "less")
    is_long = result.count("\n") + 2 > shutil.get_terminal_size().lines
    both = sys.stdout.isatty() and sys.stdin.isatty()
    if not (both and is_long and pager and shutil.which(pager[0])):
        show(result)
        return
    import subprocess  # only needed for the pager

    options = {"LESS": os.environ.get("LESS", "FRX")}  # colours; end at once if it fits
    subprocess.run(pager, input=f"{result}\n".encode(), env=os.environ | options, check=False)


def say(text: str, kind: str = "") -> None:
    """Write a message to stderr, if that is possible.

    Args:
        text: the message.
        kind: what kind of message it is: ``error``, ``warning``, ``note``, or "" for none.
    """
    if kind:
        label = f"{kind}:"
        text = f"{painted(label, KINDS[kind]) if is_coloured(sys.stderr) else label} {text}"
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def seconds_so_far() -> float:
    """Return how long the command has run."""
    return time.monotonic() - _began[0]


def say_below(end: Callable[[], None] | None) -> None:
    """Have a bar ended before the message that a signal causes.

    Args:
        end: ends the bar that is shown from now on; None if none is shown any more.
    """
    _bars[:] = [] if end is None else [end]


def is_coloured(stream: TextIO | None = None) -> bool:
    """Return True if what is written to a stream may be coloured.

    ``NO_COLOR`` forbids it (https://no-color.org); ``FORCE_COLOR`` asks for it also where the
    stream is no terminal (https://force-color.org). An empty value counts as none.

    Args:
        stream: stdout or stderr; stdout by default.
    """
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return (stream or sys.stdout).isatty() and os.environ.get("TERM") != "dumb"


@contextmanager
def advising(text: str) -> Iterator[None]:
    """Add ``text`` to the message if a signal ends the command while the body runs."""
    _advice.append(text)
    yield
    _advice.clear()


@contextmanager
def command() -> Iterator[None]:
    """Turn whatever the body raises into a message on stderr and an exit code."""
    _advice.clear()
    _began[0] = time.monotonic()
    _handle_signals()
    try:
        yield
    except SftprepError as error:
        say(_lines_safe(str(error)), "error")
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt as error:
        raise SystemExit(_ended(signal.SIGINT)) from error
    except BrokenPipeError as error:
        # The program that read stdout has closed it: exit like a program that SIGPIPE killed.
        _forget_stdout()
        raise SystemExit(141) from error
    except OSError as error:
        name = ascii_safe(str(error.filename or "the system"))
        say(f"{name}: {error.strerror or error}.", "error")
        raise SystemExit(StorageError.exit_code) from error
    except BaseException as error:
        if isinstance(error, SystemExit) or type(error).__module__.startswith("typer"):
            raise  # Typer handles it
        if _asked:  # a library may turn a signal into an error of its own
            raise SystemExit(_ended(_asked[0])) from error
        say(traceback.format_exc().rstrip())
        say("this is a bug in sftprep. Please report it with the traceback above.", "error")
        raise SystemExit(70) from error


def _handle_signals() -> None:
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, _terminate)


def _watch_signals() -> None:
    """Make sure that a signal is handled even while the main thread waits for input.

    Python runs signal handlers between two bytecode instructions. A signal that arrives just before
    a blocking read does not interrupt that read, so its handler would run only when more input
    arrives. A thread therefore learns of each signal too, and sends it again until the handler has
    run: the repeated signal interrupts the read.
    """
    theirs, ours = os.pipe()
    os.set_blocking(ours, False)
    signal.set_wakeup_fd(ours, warn_on_full_buffer=False)
    threading.Thread(target=_send_again, args=(theirs,), daemon=True).start()


def _send_again(pipe: int) -> None:
    main = threading.main_thread().ident
    assert main is not None
    while True:
        number = os.read(pipe, 1)[0]
        while number in ENDING and not _asked:
            time.sleep(ANSWER_SECONDS)
            if not _asked:
                signal.pthread_kill(main, number)


def _terminate(number: int, _frame: FrameType | None) -> None:
    _asked.append(number)
    ignore_signals()  # further signals must not disturb the clean-up
    raise SystemExit(_ended(number))


def _ended(number: int) -> int:
    """Report that a signal ended the command; return the exit code."""
    for end in _bars[:]:
        end()  # the message then stands on a line of its own
    how = "interrupted" if number == signal.SIGINT else "terminated"
    say(f"{how}; {_advice[-1]}" if _advice else f"{how}.")
    return 128 + number


def ignore_signals() -> None:
    """Ignore the signals that would end the process, because it is about to end anyway."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _forget_stdout() -> None:
    """Send what is still buffered for stdout to /dev/null, so that exiting does not fail on it."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _lines_safe(text: str) -> str:
    return "\n".join(map(ascii_safe, text.split("\n")))


@contextmanager
def progress_bar(*, silent: bool) -> "Iterator[Progress]":
    """Report progress: a bar if stderr is a terminal, and notes in any case.

    Args:
        silent: whether to show nothing but warnings.
    """
    from sftprep.cli.progress_bar import Bar, Quiet

    if silent:
        yield Quiet()
        return
    bar = Bar(shown=sys.stderr.isatty())
    try:
        yield bar
    finally:
        bar.close()
