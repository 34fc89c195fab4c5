r"""Add computed fields to a record, so that the schemas can read them like any other field.

In     a record, and the computed fields: see ``paths``.
Out    a copy of the record, in which each path and each text that joins fields is a key.
Never  adds a field whose path leads to nothing: the schema then reports that it is missing.
Raises RecordError: ``missing_field``, ``wrong_type``: a field that is to be joined is missing, or
       is not a string.
"""

from collections.abc import Iterable

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.schemas.checks import found_fields, wrong_type
from sftprep.schemas.paths import parts_of, value_at
from sftprep.text import shown


def with_computed(record: Record, names: Iterable[str]) -> Record:
    r"""Return the record with its computed fields.

    >>> with_computed({"a": "x", "b": {"c": "y"}}, [r"{a}: {b.c}"])[r"{a}: {b.c}"]
    'x: y'
    """
    made = dict(record)
    for name in names:
        if name in record:
            continue
        if "{" in name:
            made[name] = _joined(record, name)
        else:
            is_there, value = value_at(record, name)
            if is_there:
                made[name] = value
    return made


def _joined(record: Record, text: str) -> str:
    texts = []
    for is_path, part in parts_of(text):
        if not is_path:
            texts.append(part)
            continue
        is_there, value = value_at(record, part)
        if not is_there:
            problem = (
                f"the record has no field {shown(part)}; found {found_fields(record) or 'nothing'}"
            )
            raise RecordError("missing_field", problem)
        if not isinstance(value, str):
            raise wrong_type(part, value, "a string")
        texts.append(value)
    return "".join(texts)
