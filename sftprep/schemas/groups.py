"""Read the field by which records are grouped: the id of a conversation, of a document, ...

In     a record, and the path of the field (see ``paths``).
Out    the value as text; of an object or a list, as JSON with sorted keys. Equal values give equal
       bytes, and so do 1, 1.0 and "1": a CSV file has only text, and a table with gaps only floats.
Raises RecordError ``missing_field``: the record has no such field, or null in it.
"""

import orjson

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.schemas.checks import found_fields
from sftprep.schemas.paths import value_at
from sftprep.text import shown


def group_of(record: Record, path: str) -> bytes:
    """Return the group of a record.

    >>> group_of({"meta": {"id": 7}}, "meta.id")
    b'7'
    >>> group_of({"id": "7"}, "id")
    b'7'
    """
    is_there, value = value_at(record, path)
    if value is None:
        problem = "null" if is_there else f"missing; found {found_fields(record) or 'no fields'}"
        raise RecordError(
            "missing_field",
            f"the record's field {shown(path)}, by which records are grouped, is {problem}",
            "Give each record the field, pass another --split-by",
        )
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, float) and value.is_integer():
        return str(int(value)).encode()
    return orjson.dumps(value, default=repr, option=orjson.OPT_SORT_KEYS)
