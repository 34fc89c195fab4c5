"""Numbers and booleans that remember which value of the record they are.

In     the numbers and booleans of a record.
Out    values with the same behaviour for a template, which know their path in the record.
Keeps  how a value is written and compared, and what is calculated with it. Only its exact type
       differs: Python has one True and one False, so a boolean is a number here that is written as
       a boolean. Where a template asks for the type, ``untraced`` gives the value of the record.
"""

from typing import Any

Place = tuple[str | int, ...]
"""The keys and indexes that lead from the record to a number."""


class TracedInt(int):
    """A whole number of the record."""

    _path: Place


class TracedFloat(float):
    """A number of the record with a fraction or an exponent."""

    _path: Place


class TracedBool(int):
    """True or False in the record."""

    _path: Place

    def __repr__(self) -> str:
        return repr(bool(self))

    __str__ = __repr__


TracedNumber = TracedInt | TracedFloat | TracedBool


def traced_number(value: float, path: Place) -> Any:
    """Return a number or boolean of the record as one that knows its path."""
    made: Any
    if isinstance(value, bool):
        made = TracedBool(value)
    else:
        made = TracedInt(value) if isinstance(value, int) else TracedFloat(value)
    made._path = path
    return made


def is_traced_number(value: Any) -> bool:
    """Tell whether a value is a number or boolean that knows its path."""
    return isinstance(value, TracedNumber)


def path_of(number: Any) -> Place:
    """Return the path of a traced number in the record."""
    path: Place = number._path
    return path


def untraced(value: Any) -> Any:
    """Return a value, and all values in an object or list, without the paths of numbers."""
    if isinstance(value, TracedBool):
        return bool(value)
    if isinstance(value, TracedInt):
        return int(value)
    if isinstance(value, TracedFloat):
        return float(value)
    if isinstance(value, dict):
        return {key: untraced(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [untraced(entry) for entry in value]
    return value
