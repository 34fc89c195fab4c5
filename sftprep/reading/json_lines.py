"""Parse the raw records of a block into dicts, by the rules of ``strict_json``.

In     the bytes of each record, without line ends.
Out    one entry per line: a dict, a ``RecordError`` for a bad record, or None for a blank line.

The records of a block are parsed together. If one of them may be bad, they are parsed one by one.
"""

from collections.abc import Sequence
from typing import cast

import orjson

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.strict_json import JSON_SPACE, check_sound, is_sound, load
from sftprep.text import shown

Parsed = list[Record | RecordError | None]
"""The result for each line: a record, the error of a bad one, or None for a blank line."""


def parse_lines(lines: Sequence[bytes]) -> Parsed:
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
        return cast(Parsed, values)
    rest = iter(values)
    return [next(rest) if line else None for line in lines]


def parse_line(line: bytes) -> Record:
    """Parse one record.

    Raises:
        RecordError: ``not_an_object``, or what ``strict_json`` raises.

    >>> parse_line(b'{"prompt": "a"}')
    {'prompt': 'a'}
    """
    value = load(line)
    if type(value) is not dict:
        raise RecordError("not_an_object", f"the record is {shown(value)}; expected a JSON object")
    check_sound(value, line)
    return value


def _parse_alone(line: bytes) -> Record | RecordError | None:
    if not line.strip(JSON_SPACE):
        return None
    try:
        return parse_line(line)
    except RecordError as error:
        return error
