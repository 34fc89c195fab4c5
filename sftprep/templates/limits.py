"""What a chat template may use: CPU time for each record, and memory.

A chat template is a program that somebody else wrote, whether it comes from a file, from a folder
with a tokenizer or from a model hub.

In     the sizes of blocks and records, as the pipeline comes to them.
Out    ``CpuLimit`` for the sandbox; a limit on the memory of this process while it renders.
Keeps  honest templates working on any machine: time is CPU time, and grows with the record.
Never  limits other stages: after a block is rendered, the limits end.
Raises RecordError: ``template_too_slow``, or ``template_limit`` for memory; the pipeline then
       rejects the record.
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
        """Limit memory while a block is rendered.

        Args:
            size: the number of bytes in the block.
        """
        try:
            with limited(SPARE_BYTES + SPARE_FACTOR * size):
                yield
        finally:
            self.cpu.end()

    @contextmanager
    def record(self, size: int) -> Iterator[None]:
        """Limit the CPU time of all renderings in this context together.

        Args:
            size: the number of bytes in the record.
        """
        self.cpu.begin(SECONDS + SECONDS_PER_MIB * size / (1 << 20))
        try:
            yield
        except CpuLimitReached as error:
            seconds = f"{self.cpu.seconds:.3g} seconds of CPU time"
            raise self._error(TOO_SLOW, f"needs more than {seconds}") from error
        except MemoryError as error:
            raise self._error("template_limit", "asks for too much memory") from error

    def _error(self, reason: str, what: str) -> RecordError:
        problem = f"chat template {ascii_safe(self._template)} {what} for the record"
        return RecordError(reason, problem, "Correct the template or the record")
