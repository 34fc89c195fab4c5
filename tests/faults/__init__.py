"""The fault suite: what a run does when it is killed, when a disk is full, when a call fails.

``pytest -m faults tests/faults`` takes some minutes. With ``SFTPREP_FAULTS=full`` it breaks every
system call of a run in turn, and injects hundreds of random faults. At its end it prints how many
faults it has tried.
"""

import pytest

pytest.register_assert_rewrite(
    "faults.harness", "faults.processes"
)  # show the values of a failed assert there, too
