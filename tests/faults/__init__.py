"""The fault suite: runs of the command line that are killed, starved, cheated or watched.

``pytest -m faults tests/faults`` takes some minutes; with ``SFTPREP_FAULTS=full`` every call is a
point to strike, and random faults come by the hundred. What was tried is counted and printed.
"""

import pytest

pytest.register_assert_rewrite("faults.harness", "faults.processes")  # their messages are read
