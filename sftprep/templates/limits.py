"""What a chat template may use: CPU time for each record, and memory.

A chat template is a program that somebody else wrote, whether it comes from a file, from a folder
with a tokenizer or from a model hub.

In     the sizes of blocks and records, as the pipeline comes to them.
Out    ``CpuLimit`` for the sandbox; a limit on the memory of this process while it renders.
Keeps  honest templates working on any machine: time is CPU time, and grows with the record.
Never  limits other stages: after a block is rendered, the limits end.
Raises ``CpuLimitReached`` and MemoryError in the renderings; ``refusal`` turns them into the error
       of the record.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sftprep.errors import RecordError
from sftprep.system.cpu_limit import CpuLimit, CpuLimitReached
from sftprep.system.memory import limited
from sftprep.text import ascii_safe

SECONDS = 5.0
"""The CPU time for all that a record needs: the final rendering, and those that find its spans."""
SECONDS_PER_MIB = 5.0
"""The CPU time for each MiB of the record in addition."""
TOO_SLOW = "template_too_slow"
"""The reason code of a record that exceeds its CPU time."""
PATIENCE, PATIENCE_IN_QUARANTINE = 3, 60
"""The run ends when this many records of a block have exceeded their CPU time."""
SPARE_BYTES, SPARE_FACTOR = 512 << 20, 16
"""The memory for a block beyond what the process has: so much, and so many times its size."""


class TemplateLimits:
    """The limits of one pipeline with a chat template.

    Args:
        template: the name of the template, for messages.
    """

    def __init__(self, template: str) -> None:
        self._template = template
        self.cpu = CpuLimit(SECONDS)

    @contextmanager
    def block(self, size: int) -> Iterator[None]:
        """Limit memory, and the CPU time of each record, while a block is rendered.

        Args:
            size: the number of bytes in the block.
        """
        with limited(SPARE_BYTES + SPARE_FACTOR * size), self.cpu.ticking():
            yield

    def begin_record(self, size: int) -> None:
        """Begin a record: all of its renderings share the CPU time from now on.

        Args:
            size: the number of bytes in the record.
        """
        self.cpu.begin(SECONDS + SECONDS_PER_MIB * size / (1 << 20))

    def refusal(self, reached: CpuLimitReached | MemoryError) -> RecordError:
        """Return the error with which a record is rejected that has reached a limit."""
        reason, what = "template_limit", "asks for too much memory"
        if isinstance(reached, CpuLimitReached):
            reason, what = TOO_SLOW, f"needs more than {self.cpu.seconds:.3g} seconds of CPU time"
        problem = f"chat template {ascii_safe(self._template)} {what} for the record"
        return RecordError(reason, problem, "Correct the template or the record")
