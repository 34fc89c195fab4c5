"""One line of bytes -> one JSON object.

In     the bytes of a record, without the line end.
Out    a dict.
Raises RecordError ``invalid_json`` (with the column), ``invalid_utf8`` or ``not_an_object``.
"""

from typing import Any

import orjson

from sftprep.errors import RecordError, shown


def parse_line(line: bytes) -> dict[str, Any]:
    """Parse one record.

    >>> parse_line(b'{"prompt": "a"}')
    {'prompt': 'a'}
    """
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _not_json(line, error) from error
    if not isinstance(value, dict):
        raise RecordError("not_an_object", f"the record is {_kind(value)}; expected a JSON object")
    return value


def _kind(value: object) -> str:
    return f"a list of {len(value)}" if isinstance(value, list) else shown(value)


def _not_json(line: bytes, error: orjson.JSONDecodeError) -> RecordError:
    try:
        line.decode()
    except UnicodeDecodeError as broken:
        return RecordError(
            "invalid_utf8",
            f"not valid UTF-8 at byte {broken.start + 1}: {broken.reason}",
            "Convert the file to UTF-8",
        )
    return RecordError("invalid_json", f"not valid JSON at column {error.colno}: {error.msg}")
