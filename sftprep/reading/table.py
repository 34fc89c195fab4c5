"""The table of file formats: how each one is read, and how its blocks are parsed.

To add a format, write a module with a function like ``Blocks``, add it to ``FORMATS``, and let
``content.format_of`` tell its files. If the data of its blocks is not JSON, add to ``FORMS`` in
``reading.parsing`` how a worker parses it.
"""

from collections.abc import Callable, Iterator

from sftprep.data.block import Block
from sftprep.reading import json_arrays, json_lines, json_objects, json_sequences, json_wrapped
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream

Blocks = Callable[[PlainStream, Cutting], Iterator[Block]]
"""Yields the blocks of one source.

Args:
    stream: its bytes; a byte order mark was taken.
    cut: how to cut the blocks.

Raises:
    DataError: the source is damaged or incomplete.
"""


def _csv(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    from sftprep.reading import delimited

    return delimited.blocks(stream, cut)


def _parquet(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    from sftprep.reading import parquet

    return parquet.blocks(stream, cut)


def _arrow(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    from sftprep.reading import arrow_ipc

    return arrow_ipc.blocks(stream, cut)


FORMATS: dict[str, Blocks] = {
    "json-lines": json_lines.blocks,
    "json-array": json_arrays.blocks,
    "json-objects": json_objects.blocks,
    "json-sequence": json_sequences.blocks,
    "json-wrapped": json_wrapped.blocks,
    "csv": _csv,
    "parquet": _parquet,
    "arrow": _arrow,
}
"""How each format is cut into blocks. What a run does not read is not loaded."""
