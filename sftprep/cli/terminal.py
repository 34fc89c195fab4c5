"""How a command speaks, and how it ends: standard streams, signals and exit codes.

In     results as text or bytes; whatever a command raises.
Out    results on stdout, whole, or an error; messages on stderr; the exit code of ``errors``.
Keeps  the exit code where nobody can be told: a stderr that is full or closed changes nothing.
Never  ends with 0 when a result could not be written; never lets a file take the place of a
       standard stream that is closed.
"""

import contextlib
import gc
import io
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from sftprep.errors import SftprepError, StorageError
from sftprep.text import ascii_safe

if TYPE_CHECKING:
    from sftprep.progress import Progress


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ANSWER_SECONDS = 0.1  # until a signal that was not answered is sent again
_asked: list[int] = []  # the signals that asked this process to end


def set_up() -> None:
    """Make the standard streams such that writing to them is safe, and answer signals."""
    # numpy's threads for linear algebra, which is not done here, would take turns in waiting.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    gc.set_threshold(100_000, 20, 100)  # a program's objects live as long as it does
    for descriptor, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # Else the first file that is opened takes its number. stdout cannot be written then:
            # who closed it and asks for a result is told.
            os.open(os.devnull, mode)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8
    _handle_signals()
    _watch_signals()


def show(result: str | bytes) -> None:
    """Write a result to stdout, a text with a line end.

    Raises:
        StorageError: it cannot be written.
        BrokenPipeError: nobody reads it any more.
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
            f"standard output: cannot be written: {error.strerror}. What was asked for is done, "
            "but its result is not shown; write it elsewhere."
        ) from error


def say(text: str) -> None:
    """Write a message to stderr, if that is possible."""
    with contextlib.suppress(OSError, ValueError):
        print(text, file=sys.stderr, flush=True)


def is_coloured() -> bool:
    """Whether results may be coloured."""
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return sys.stdout.isatty() and not plain


@contextmanager
def command() -> Iterator[None]:
    """Every way a command can end early, and its exit code."""
    _handle_signals()
    try:
        yield
    except SftprepError as error:
        say(f"error: {_lines_safe(str(error))}")
        raise SystemExit(error.exit_code) from error
    except KeyboardInterrupt as error:
        raise SystemExit(_ended(signal.SIGINT)) from error
    except BrokenPipeError as error:
        # Whoever read our results has gone: end as a program killed by SIGPIPE would.
        _forget_stdout()
        raise SystemExit(141) from error
    except OSError as error:
        say(f"error: {ascii_safe(str(error.filename or 'the system'))}: {error.strerror or error}.")
        raise SystemExit(StorageError.exit_code) from error
    except BaseException as error:
        if isinstance(error, SystemExit) or type(error).__module__.startswith("typer"):
            raise  # its own way to end
        if _asked:  # a signal may come out of a library as an error of its own
            raise SystemExit(_ended(_asked[0])) from error
        say(traceback.format_exc().rstrip())
        say("error: a bug in sftprep; nothing was published. Please report it.")
        raise SystemExit(70) from error


def _handle_signals() -> None:
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:  # as nohup wants it
            signal.signal(number, _terminate)


def _watch_signals() -> None:
    """See to it that a signal is answered while the program waits for input.

    Python runs a handler between two steps of its own. A signal that comes just before a call that
    waits does not end that call, and would be answered when the input goes on. So a thread learns
    of it too, and sends it again until it was answered: that does end the call.
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
    ignore_signals()  # asked once is enough: the end is not disturbed
    raise SystemExit(_ended(number))


def _ended(number: int) -> int:
    """Say that a signal ended the command; its exit code."""
    how = "interrupted" if number == signal.SIGINT else "terminated"
    say(f"{how}; nothing was published. Pass --resume to go on.")
    return 128 + number


def ignore_signals() -> None:
    """From here on there is nothing left to end."""
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)


def _forget_stdout() -> None:
    """What is still buffered shall not be tried again at the end."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _lines_safe(text: str) -> str:
    return "\n".join(map(ascii_safe, text.split("\n")))


@contextmanager
def progress_bar(*, silent: bool) -> "Iterator[Progress]":
    """A bar on stderr where that is a terminal; notes are always told, unless silent."""
    from sftprep.cli.progress_bar import Bar
    from sftprep.progress import Silent

    if silent:
        yield Silent()
        return
    bar = Bar(shown=sys.stderr.isatty())
    try:
        yield bar
    finally:
        bar.close()
