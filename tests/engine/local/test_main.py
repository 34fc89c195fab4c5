"""main: what a worker program does before it loads its libraries."""

import os
import subprocess
import sys
from multiprocessing.connection import Pipe

import pytest

HEAVY = ("numpy", "pyarrow", "orjson", "gigatoken", "transformers", "tokenizers")


@pytest.mark.parametrize("module", ["main", "messages", "early", "pool", "fork_server"])
def test_nothing_heavy_is_imported_before_workers_are_started_and_listen(module: str) -> None:
    """Neither the parent nor the program that it starts imports a heavy library by then."""
    code = f"import sys, sftprep.engine.local.{module}; print({{*{HEAVY}}} & {{*sys.modules}})"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "set()\n"


MAIN = """
import sys
from sftprep.engine.local.main import main
main(int(sys.argv[1]), [int(sys.argv[2])])
"""


@pytest.mark.parametrize("is_parent", [True, False])
def test_a_program_whose_parent_has_ended_exits_at_once(is_parent: bool) -> None:
    """The process that started it is no longer its parent, so it does not wait for work."""
    ours, theirs = Pipe()
    parent = os.getpid() if is_parent else os.getppid()
    command = [sys.executable, "-c", MAIN, str(parent), str(theirs.fileno())]
    with subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process:
        theirs.close()
        try:
            code = process.wait(2 if is_parent else 30)
        except subprocess.TimeoutExpired:
            code = None
        ours.close()
    assert code == (None if is_parent else 0)
    assert process.returncode == 0  # it ends when its pipe is closed
