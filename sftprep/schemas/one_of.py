"""A value that a record may have under several names.

Raises RecordError: ``conflicting_fields``, if two of them have different values.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from sftprep.data.conversation import Record
from sftprep.errors import RecordError


class Named(NamedTuple):
    """A value, and the name of the field that holds it."""

    name: str
    value: Any


def is_empty(value: object) -> bool:
    """Return whether a field with this value says nothing."""
    return value is None or value in ("", [], {})


def one_of(record: Record, names: Iterable[str]) -> Named | None:
    """Return the field that has a value; None if none of these fields has one."""
    found: Named | None = None
    for name in names:
        value = record.get(name)
        if is_empty(value):
            continue
        if found is not None and found.value != value:
            raise RecordError(
                "conflicting_fields",
                f"the record has {found.name} and {name}, which mean the same and have different "
                "values",
                "Remove one of them, or name the other with --field",
            )
        found = found or Named(name, value)
    return found
