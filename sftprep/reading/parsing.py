"""Parse a block into records, whatever its form.

In     a ``Block``.
Out    ``Parsed``: for each record of the block, a dict or what is wrong with it; the bytes of a
       record as it is listed if it has no row; whether values occur that JSON lacks.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

import orjson

from sftprep.data.block import Block, Element
from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.reading.json_lines import Outcomes, parse_line, parse_lines


class Parsed(NamedTuple):
    """The records of a block."""

    records: Outcomes
    raw: Sequence[bytes]  # of each record: its bytes; in a table, the row as JSON
    has_foreign: bool = False  # whether a record may hold a ``ForeignValue``


def parse_block(block: Block) -> Parsed:
    """Parse all records of a block."""
    if block.rows is None:
        lines = block.lines()
        return Parsed([block.too_long] if block.too_long else parse_lines(lines), lines)
    if block.too_long:
        return Parsed([block.too_long], [block.data])
    return FORMS[block.rows.form](block)


def good_records(block: Block) -> Iterator[Record]:
    """Yield the records of a block that are not bad, one after the other."""
    if block.rows is not None:
        yield from (r for r in parse_block(block).records if isinstance(r, dict))
        return
    for line in block.lines():
        try:
            yield parse_line(line)
        except RecordError:  # the record is reported when the block is processed
            continue


def single_records(block: Block) -> Iterator[Block]:
    """Divide a block into blocks of one record, so that the place of each row's record is known."""
    if block.rows is None:
        yield from _single_lines(block)
    elif block.too_long:
        yield block
    else:
        rows = block.rows._replace(records=1)
        for index, data in enumerate(SLICES[block.rows.form](block)):
            yield block._replace(line=block.line + index, data=data, rows=rows)


def _single_lines(block: Block) -> Iterator[Block]:
    for index, data in enumerate(block.lines()):
        line, offset = block.place(index)
        assert offset is not None
        elements = None
        if block.elements is not None:
            elements = (Element(0, len(data), line, block.elements[index].column),)
        yield block._replace(line=line, offset=offset, data=data, elements=elements)


def _arrow(block: Block) -> Parsed:
    from sftprep.reading.arrow_rows import decode

    found = decode(block.data)
    return Parsed(found.records, _AsJson(found.records, found.bad), found.has_foreign)


def _arrow_slices(block: Block) -> Iterator[bytes]:
    from sftprep.reading.arrow_rows import slices

    return slices(block.data)


def _csv(block: Block) -> Parsed:
    from sftprep.reading import delimited

    assert block.rows is not None
    found = delimited.decode(block.data, block.rows)
    return Parsed(found.records, _AsJson(found.records, found.bad))


def _csv_slices(block: Block) -> Iterator[bytes]:
    from sftprep.reading import delimited

    assert block.rows is not None
    return delimited.slices(block.data, block.rows)


FORMS: dict[str, Callable[[Block], Parsed]] = {"arrow": _arrow, "csv": _csv}
"""How the rows of a table are parsed, by ``Rows.form``."""
SLICES: dict[str, Callable[[Block], Iterator[bytes]]] = {"arrow": _arrow_slices, "csv": _csv_slices}
"""How a block is divided into blocks of one row, by ``Rows.form``."""


class _AsJson(Sequence[bytes]):
    """The rows of a table as JSON; a row is written when it is asked for, which is rare.

    Args:
        records: the records.
        bad: for each bad row its bytes, by its index.
    """

    def __init__(self, records: Outcomes, bad: Mapping[int, bytes]) -> None:
        self._records = records
        self._bad = bad

    def __len__(self) -> int:
        return len(self._records)

    @overload
    def __getitem__(self, index: int) -> bytes: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...
    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        record = self._records[index]
        if isinstance(record, dict):
            return orjson.dumps(record, default=repr)
        return self._bad.get(index, b"")
