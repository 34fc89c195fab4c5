"""Thrift's compact protocol, as far as the headers and the footer of a Parquet file need it.

In     numbers, texts, lists and structures.
Out    their bytes. A structure's field is a ``Field``: the bytes of its value, and its type.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

BYTE, I32, I64, BINARY, LIST, STRUCT = 3, 5, 6, 8, 9, 12
"""The types of values. A flag has no bytes of its own: its type says whether it is true."""
TRUE, FALSE = 1, 2
_SHORT = 15
"""Fewer elements than this, or a smaller step from field to field, share a byte with the type."""


class Field(NamedTuple):
    """A value, as it stands in a structure or a list."""

    type: int
    data: bytes


def varint(value: int) -> bytes:
    """Return a number that is not negative, seven bits a byte, the lowest first.

    >>> varint(300).hex(" ")
    'ac 02'
    """
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    found.append(value)
    return bytes(found)


def i32(value: int) -> Field:
    """Return a number of 32 bits."""
    return Field(I32, _zigzag(value))


def i64(value: int) -> Field:
    """Return a number of 64 bits."""
    return Field(I64, _zigzag(value))


def byte(value: int) -> Field:
    """Return a number of 8 bits that is not negative."""
    return Field(BYTE, bytes([value]))


def flag(value: bool) -> Field:
    """Return a flag of a structure."""
    return Field(TRUE if value else FALSE, b"")


def text(value: str) -> Field:
    """Return a text."""
    encoded = value.encode()
    return Field(BINARY, varint(len(encoded)) + encoded)


def listed(values: Sequence[Field]) -> Field:
    """Return a list of values, which have one type and are at least one."""
    count, kind = len(values), values[0].type
    head = bytes([count << 4 | kind]) if count < _SHORT else bytes([0xF0 | kind]) + varint(count)
    return Field(LIST, head + b"".join(value.data for value in values))


def struct(fields: Mapping[int, Field]) -> Field:
    """Return a structure.

    Args:
        fields: the number of each field, ascending, and its value.

    >>> struct({1: i32(1), 20: text("a")}).data.hex(" ")
    '15 02 08 28 01 61 00'
    """
    found, before = bytearray(), 0
    for number, field in fields.items():
        step = number - before
        if step <= _SHORT:
            found.append(step << 4 | field.type)
        else:
            found.append(field.type)
            found += _zigzag(number)
        found += field.data
        before = number
    found.append(0)
    return Field(STRUCT, bytes(found))


def _zigzag(value: int) -> bytes:
    return varint(value << 1 if value >= 0 else (-value << 1) - 1)
