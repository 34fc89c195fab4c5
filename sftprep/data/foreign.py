"""Values that tables can hold and JSON cannot: dates, decimals, binary data, NaN, ...

A field that nothing reads may hold such a value. Where a text, a number or an object is expected, a
``ForeignValue`` has the wrong type, and ``check_plain`` finds it inside a value that is used as it
is. So it is never rendered.
"""

from typing import Any

from sftprep.errors import RecordError


class ForeignValue:
    """A value of a type that JSON lacks.

    Args:
        kind: its type, with an article.
        text: the value as text.
    """

    def __init__(self, kind: str, text: str) -> None:
        self.kind = kind
        self.text = text

    def __repr__(self) -> str:
        return f"{self.kind} ({self.text})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ForeignValue) and (self.kind, self.text) == (
            other.kind,
            other.text,
        )

    def __hash__(self) -> int:
        return hash((self.kind, self.text))


def check_plain(value: Any) -> None:
    """Refuse a value that holds a ``ForeignValue`` at any depth.

    Args:
        value: a ``Conversation`` or a ``Chat``, or any value in one.

    Raises:
        RecordError: ``not_json``; the message names the place, such as ``tools[0].since``.
    """
    _check(value, "")


def _check(value: Any, place: str) -> None:
    if isinstance(value, ForeignValue):
        raise RecordError(
            "not_json",
            f"{place} is {value!r}; JSON has no such type",
            "Write it as text",
        )
    fields = getattr(value, "_fields", None)
    if fields is not None:
        for name, entry in zip(fields, value, strict=True):
            _check(entry, name)
    elif isinstance(value, dict):
        for key, entry in value.items():
            _check(entry, f"{place}.{key}" if place else key)
    elif isinstance(value, list | tuple):
        for index, entry in enumerate(value):
            _check(entry, f"{place}[{index}]")
