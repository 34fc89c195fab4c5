"""Several runs on one output: one writes it, the others say which one does."""

import re
import signal
import time
from collections.abc import Callable

import pytest

from faults.counts import count
from faults.harness import Case, many, tree
from faults.processes import reaped

pytestmark = pytest.mark.faults
AT_ONCE = 8


@pytest.mark.parametrize("half", [0, 1])
def test_eight_at_once(new_case: Callable[[], Case], half: int) -> None:
    """Exactly one run writes; the others find the output locked or already complete."""
    for number in range(many(4, 100) // 2):
        case = new_case()
        forks = case.world.forks
        flags = ("--json", "--resume") if (number + half) % 2 else ("--json",)
        names = [str(index) for index in range(AT_ONCE)]
        pids = [forks.start(case.argv(*flags), case.folder, name=name) for name in names]
        ended = [
            forks.ended(pid, case.folder, name=name) for pid, name in zip(pids, names, strict=True)
        ]
        done = [ran.facts()["status"] for ran in ended if ran.code == 0]
        assert done.count("written") == 1, ended
        assert done.count("unchanged") == len(done) - 1, ended
        for ran in ended:
            if ran.code:
                assert ran.code == 75, ran
                named = re.search(r"another run \(process (\d+)\) is writing it", ran.err)
                assert named, ran.err
                assert int(named[1]) in pids
        count("faults", AT_ONCE - 1)
        case.assert_complete()
        case.clear()


def test_held_by_a_stopped_run(case: Case) -> None:
    """The lock is held exactly as long as its holder lives."""
    case.workers = 2
    with reaped(case.start()) as run:
        while not (case.staging / "identity.json").exists():
            assert run.process.poll() is None
            time.sleep(0.002)
        run.process.send_signal(signal.SIGSTOP)
        before = tree(case.staging)
        for flags in ((), ("--resume",), ("--overwrite",)):
            ran = case.with_options(*flags, workers=1).fork()
            assert ran.code == 75, ran
            assert f"process {run.pid}" in ran.err
        assert tree(case.staging) == before
        run.process.kill()
        killed = run.ended()
    count("kills")
    case.settle(killed)
