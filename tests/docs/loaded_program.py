"""The program, loaded once for many commands: loading it takes longer than most examples do.

``loaded()`` starts a process that loads the program with its libraries and waits. It yields the
commands that run like ``sftprep`` and like ``python``: the process forks, and the fork becomes the
command, with its arguments, folder, environment, standard input and outputs, and gives it its exit
code. No command sees what another one has done.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

LONGEST_REQUEST = 1 << 20
STANDARD = (0, 1, 2)


LIBRARIES = ("awkward", "gigatoken", "pyarrow.parquet", "rich.markdown", "tokenizers")
"""What the program itself imports as late as it can."""
TOKENIZER = Path(__file__).resolve().parents[2] / "sample_data" / "tokenizer"


class Loaded(NamedTuple):
    """Commands that run in forks of one process."""

    sftprep: list[str]
    python: list[str]
    """Takes ``-c CODE`` alone."""


@contextmanager
def loaded(folder: Path) -> Iterator[Loaded]:
    """Load the program, and yield the commands that run it.

    Args:
        folder: where the process that holds the program listens.
    """
    place = str(folder / "program")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(place)
    listener.listen()
    command = [sys.executable, __file__, "hold", str(listener.fileno())]
    # Pipes, because Python takes them as they are: it asks a file for its position.
    pipe = subprocess.PIPE
    with (
        listener,
        subprocess.Popen(
            command, pass_fds=[listener.fileno()], stdin=pipe, stdout=pipe, stderr=pipe
        ) as holder,
    ):
        try:
            call = [sys.executable, "-S", __file__, "call", place]
            yield Loaded([*call, "sftprep"], [*call, "python"])
        finally:
            holder.kill()


def call(place: str, arguments: list[str]) -> int:
    """Run a program with arguments in a fork of the process that holds it."""
    request = {"folder": str(Path.cwd()), "environment": dict(os.environ), "arguments": arguments}
    with socket.socket(socket.AF_UNIX) as caller:
        caller.connect(place)
        socket.send_fds(caller, [json.dumps(request).encode() + b"\n"], STANDARD)
        return int(caller.makefile().readline())


def hold(listener: socket.socket) -> NoReturn:
    """Load the program, and fork for each call."""
    import sftprep

    for module in pkgutil.walk_packages(sftprep.__path__, "sftprep."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    for library in LIBRARIES:
        importlib.import_module(library)
    # Transformers imports most of itself when it loads a first tokenizer. Nothing is encoded here:
    # the encoder's threads would not survive a fork.
    sftprep.tokenization.loading.load_tokenizer(str(TOKENIZER))
    gc.freeze()  # a fork that collects garbage copies no page of what was loaded here
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how the forks end
    while True:
        caller, _ = listener.accept()
        with caller:
            if os.fork() == 0:
                answer(caller)


def answer(caller: socket.socket) -> NoReturn:
    """Run the program in a process of its own, and tell the caller its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    data, files, _, _ = socket.recv_fds(caller, LONGEST_REQUEST, len(STANDARD))
    while not data.endswith(b"\n"):
        data += caller.recv(LONGEST_REQUEST)
    process = os.fork()
    if process == 0:
        caller.close()
        become(json.loads(data), files)
    for file in files:
        os.close(file)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    caller.sendall(b"%d\n" % (code if code >= 0 else 128 - code))
    os._exit(0)


def become(request: dict[str, Any], files: list[int]) -> NoReturn:
    """Become the command of a request."""
    from sftprep.cli.app import main

    for file, standard in zip(files, STANDARD, strict=True):
        os.dup2(file, standard)
        os.close(file)
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["environment"])
    program, *arguments = request["arguments"]
    code: Any = 1
    try:
        if program == "sftprep":
            sys.argv[:] = request["arguments"]
            main()
        else:
            option, script = arguments
            assert option == "-c"
            sys.argv[:] = ["-c"]
            exec(script, {"__name__": "__main__"})
        code = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    if sys.argv[1] == "hold":
        hold(socket.socket(fileno=int(sys.argv[2])))
    sys.exit(call(sys.argv[2], sys.argv[3:]))
