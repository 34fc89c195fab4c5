r"""JSON Lines: blocks of lines, and their records, parsed by the rules of ``strict_json``.

In     a ``PlainStream``. For workers: the bytes of each record, without line ends.
Out    blocks of whole lines. Only ``\n`` ends a line: U+2028, for example, is text.
       For each line, a dict, a ``RecordError`` for a bad record, or None for a blank line.

The records of a block are parsed together. If one of them may be bad, they are parsed one by one.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np
import orjson

from sftprep.data.block import Block
from sftprep.data.conversation import WHOLE, Record
from sftprep.errors import RecordError
from sftprep.reading.shards import Cutting
from sftprep.reading.streams import PlainStream
from sftprep.strict_json import JSON_SPACE, check_sound, is_sound, load
from sftprep.text import shown

Outcomes = list[Record | RecordError | None]
"""The result for each line: a record, the error of a bad one, or None for a blank line."""


NEWLINE = 10


def blocks(stream: PlainStream, cut: Cutting) -> Iterator[Block]:
    """Yield the blocks of a file of JSON Lines."""
    line, shards = 1, cut.shards
    while True:
        offset = stream.offset
        data = stream.lines(shards.target(), cut.limits.line)
        if data:
            yield Block(cut.source, shards.count(len(data)), line, offset, data)
            line += int(np.count_nonzero(np.frombuffer(data, np.uint8) == NEWLINE))
        elif stream.peek(1):
            data, length = stream.long_line(cut.kept)
            shard = shards.count(stream.offset - offset)
            yield Block(cut.source, shard, line, offset, data, too_long=cut.too_long(length))
            line += 1
        else:
            return


def parse_lines(lines: Sequence[bytes]) -> Outcomes:
    """Parse records.

    Args:
        lines: the bytes of each record; blank lines are allowed.

    Returns:
        One entry per line.

    >>> parse_lines([b'{"prompt": "a"}', b"", b" "])
    [{'prompt': 'a'}, None, None]
    """
    full = list(filter(None, lines))
    try:
        values = list(map(orjson.loads, full))
    except orjson.JSONDecodeError:
        return list(map(_parse_alone, lines))
    if set(map(type, values)) - {dict} or not is_sound(values, b"\n".join(full)):
        return list(map(_parse_alone, lines))
    if len(full) == len(lines):
        return cast(Outcomes, values)
    rest = iter(values)
    return [next(rest) if line else None for line in lines]


def parse_line(line: bytes) -> Record:
    """Parse one record: an object, or a list of messages or texts.

    Raises:
        RecordError: ``not_an_object``, or what ``strict_json`` raises.

    >>> parse_line(b'{"prompt": "a"}')
    {'prompt': 'a'}
    """
    value = load(line)
    if type(value) is not dict:
        if (
            type(value) is not list
            or len(kinds := set(map(type, value))) != 1
            or kinds - {dict, str}
        ):
            problem = f"the record is {shown(value)}; expected a JSON object"
            raise RecordError("not_an_object", problem)
        check_sound(value, line)
        return {WHOLE: value}
    check_sound(value, line)
    return cast(Record, value)


def _parse_alone(line: bytes) -> Record | RecordError | None:
    if not line.strip(JSON_SPACE):
        return None
    try:
        return parse_line(line)
    except RecordError as error:
        return error
