"""Programs that use a dataset, each in an environment of its own.

``.ci/environments`` makes the environments from the files in ``requirements/``. Some are virtual
environments; others are packages on top of the environment of the tests. A program is a
script in ``readers/``: it gets a JSON value as its first argument, and prints another one as the
last line of its output. It runs in the other environment, so it imports nothing of sftprep; only
its neighbours in ``readers``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FOLDER = Path(os.environ.get("SFTPREP_ENVIRONMENTS") or HERE.parents[1] / ".venv" / "trainers")
SECONDS = 1800
RUN = """
import runpy, sys
sys.path += sys.argv.pop(1).split(":")
runpy.run_module(sys.argv.pop(1), run_name="__main__")
"""
HERE_TOO = ""
"""Stands for the environment of the tests."""


def ask(environment: str, reader: str, question: Any) -> Any:
    """Run a reader in an environment, and return its answer; skip the test without it.

    Args:
        environment: the name of a file in ``requirements/``, without its ending; or ``HERE_TOO``.
        reader: the name of a script in ``readers/``, without its ending.
        question: what the script is given; paths as text.
    """
    folder, added = FOLDER / environment, [str(HERE)]
    python = folder / "bin" / "python"
    if not environment:
        python = Path(sys.executable)
    elif not (folder / "installed.txt").exists():
        pytest.skip(f"no environment {environment}: run .ci/environments {environment}")
    elif not python.exists():
        python = Path(sys.executable)
        added.append(str(folder))
    # -I: nothing of this environment or of the user's gets into the other one.
    command = [
        str(python),
        "-I",
        "-c",
        RUN,
        ":".join(added),
        f"readers.{reader}",
        json.dumps(question),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    assert done.returncode == 0, f"{environment}, {reader}:\n{done.stderr[-4000:]}"
    return json.loads(done.stdout.splitlines()[-1])
