"""A process that has everything imported and forks a child for each run of ``sftprep``.

In     JSON lines on the socket whose descriptor is the first argument: ``{"start": ...}`` with
       argv, folder, output files and environment, or ``{"wait": pid, "seconds": s}``.
Out    JSON lines: the process id of the child; its exit code (minus a signal if one killed it), or
       null if it still runs.
Keeps  A run the same as from a shell, except for its start: the child calls the command's ``main``
       and exits like an interpreter. So a run takes 0.3 seconds instead of 2.
Never  Encodes anything itself: the encoder's threads do not survive a fork.
"""

import importlib
import json
import os
import resource
import socket
import sys
import time
from typing import Any

PLAIN: dict[str, Any] = {"env": {}, "limits": {}}


def preload(argv: list[str]) -> None:
    """Import all modules that a run imports; a first child runs and reports which those are."""
    reader, writer = os.pipe()
    if (pid := os.fork()) == 0:
        os.close(reader)
        become({"argv": argv, "cwd": ".", "out": os.devnull, "err": os.devnull} | PLAIN)
        from sftprep.cli.app import main

        try:
            main()
        except SystemExit:
            names = [name for name in sys.modules if not name.startswith("_")]
            with os.fdopen(writer, "w") as pipe:
                pipe.write("\n".join(names))
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        names = pipe.read().split()
    os.waitpid(pid, 0)
    for name in names:
        try:
            importlib.import_module(name)
        except Exception:
            continue


def become(request: dict[str, Any]) -> None:
    """In a child: set the folder, streams, limits and environment of the requested run."""
    os.setsid()
    os.chdir(request["cwd"])
    os.environ.update(request["env"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    for number, key in ((1, "out"), (2, "err")):
        handle = os.open(request[key], flags, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    for name, limit in request["limits"].items():
        resource.setrlimit(getattr(resource, name), (limit, limit))
    sys.argv = ["sftprep", *request["argv"]]


def await_tracer() -> None:
    """Wait until a tracer is attached."""
    while True:
        with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - no pathlib
            if "TracerPid:\t0\n" not in status.read():
                return
        time.sleep(0.001)


def wait(pid: int, seconds: float) -> int | None:
    """Return the exit code of a child, or None if it still runs after this many seconds."""
    until = time.monotonic() + seconds
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.002)


def serve(number: int) -> None:
    """Answer requests until the socket is closed; in a child, return, so that it runs ``main``."""
    with socket.socket(fileno=number) as link, link.makefile("rw") as lines:
        preload(json.loads(lines.readline()))
        lines.write("ready\n")
        lines.flush()
        for line in lines:
            request = json.loads(line)
            if "wait" in request:
                answer = wait(request["wait"], request["seconds"])
            elif (answer := os.fork()) == 0:
                become(request["start"])
                if request["start"]["traced"]:
                    await_tracer()
                break
            lines.write(json.dumps(answer) + "\n")
            lines.flush()
        else:
            sys.exit()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
    from sftprep.cli.app import main

    main()
