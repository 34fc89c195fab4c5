"""The table of file formats: how each one is read, and how its blocks are parsed.

To add a format, write a module with the function of ``Format``, add it to ``FORMATS``, and let
``content.format_of`` tell its files. If the data of its blocks is not JSON, add to ``FORMS`` in
``reading.parsing`` how a worker parses it.
"""

from collections.abc import Iterator
from typing import Protocol

from sftprep.data.block import Block
from sftprep.reading import (
    arrow_ipc,
    delimited,
    json_arrays,
    json_lines,
    json_objects,
    json_sequences,
    json_wrapped,
    parquet,
)
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream


class Format(Protocol):
    """A file format, as its module implements it."""

    def blocks(self, stream: PlainStream, cut: Cutting) -> Iterator[Block]:
        """Yield the blocks of one source.

        Args:
            stream: its bytes; a byte order mark was taken.
            cut: how to cut the blocks.

        Raises:
            DataError: the source is damaged or incomplete.
        """
        ...


FORMATS: dict[str, Format] = {
    "json-lines": json_lines,
    "json-array": json_arrays,
    "json-objects": json_objects,
    "json-sequence": json_sequences,
    "json-wrapped": json_wrapped,
    "csv": delimited,
    "parquet": parquet,
    "arrow": arrow_ipc,
}
