"""Take one block through all stages, from bytes to rows. This is the work of one worker.

In     a ``Block``.
Out    a ``BlockResult``: the rows in input order, and each record without a row, with the reason.
Keeps  each record's place, so that every loss can be reported with file and line.

The caller decides what a rejected record means for the run. ``steps`` holds what happens between
the stages.
"""

import time
from collections.abc import Iterable, Iterator
from typing import Protocol

from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.reading.parsing import Parsed, good_records, parse_block
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import detect_schema
from sftprep.settings import Settings
from sftprep.steps.examples import ExampleMaker
from sftprep.steps.making import RowMaker
from sftprep.steps.rendering import Rendering
from sftprep.system.memory import keep_freed
from sftprep.templates.limits import TemplateLimits
from sftprep.tokenization.encoder import Encoder


class Work(Protocol):
    """What a worker does with blocks. ``Pipeline`` is the work of a run that makes rows."""

    @property
    def limits(self) -> TemplateLimits | None:
        """What a chat template may use; None if no program of others is run."""
        ...

    def warm_up(self) -> None:
        """Load what the first block would have to wait for."""
        ...

    def process(self, block: Block) -> BlockResult:
        """Return the result of a block."""
        ...


class Pipeline:
    """All stages, set up once for many blocks."""

    def __init__(self, settings: Settings) -> None:
        keep_freed()
        self.settings = settings
        self.encoder = Encoder(
            settings.tokenizer,
            allowed=settings.allowed,
            backend=settings.backend,
            encoding=settings.encoding,
        )
        self.rendering = Rendering(settings)
        self.examples = ExampleMaker(settings, self.rendering)
        self._rows = RowMaker(settings, self.rendering, self.encoder)

    @property
    def limits(self) -> TemplateLimits | None:
        """What a chat template may use; None for other templates."""
        return self.rendering.limits

    def warm_up(self) -> None:
        """Load what the first block would have to wait for."""
        self.encoder.warm_up()

    def process(self, block: Block) -> BlockResult:
        """Take one block from bytes to rows."""
        began = time.process_time()
        result = self.process_parsed(block, parse_block(block))
        result.seconds = time.process_time() - began
        return result

    def process_parsed(self, block: Block, parsed: Parsed) -> BlockResult:
        """Take one block to rows whose records are parsed already."""
        self._limit_memory()
        result = BlockResult(block.source, block.shard, block.schema, len(block.data))
        examples = self.examples.make(block, parsed, result)
        if examples.rendered:
            self._rows.make(block, parsed.raw, examples, result)
        return result

    def _limit_memory(self) -> None:
        """Forget what was remembered from earlier blocks where it has become too much."""
        if self.rendering.renderer.forget():
            self._rows.forget()
        self.encoder.limit_memory()


def with_schemas(
    blocks: Iterable[Block], schema: str, field_names: dict[str, str]
) -> Iterator[Block]:
    """Set the schema of each block.

    Args:
        blocks: the blocks, in input order.
        schema: the schema of all sources, or ``auto``. Each source gets the shape of its first
            record that has one, among those that this schema reads.
        field_names: canonical field name -> the name that the data uses.
    """
    fields = Fields(field_names)
    wanted = "" if schema == "auto" else schema
    source, found = -1, ""
    for block in blocks:
        if block.source != source or not found:
            found = detect_schema(good_records(block), fields, wanted)
        source = block.source
        yield block._replace(schema=found or wanted)
