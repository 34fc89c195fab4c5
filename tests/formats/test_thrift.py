"""Thrift's compact protocol: the bytes that its specification gives."""

import pytest

from sftprep.formats.thrift import byte, flag, i32, i64, listed, struct, text, varint


@pytest.mark.parametrize(
    ("value", "data"),
    [(0, "00"), (127, "7f"), (128, "80 01"), (50399, "df 89 03"), (2**63 - 1, "ff" * 8 + "7f")],
)
def test_numbers_take_seven_bits_a_byte(value: int, data: str) -> None:
    """The lowest bits come first, and each byte but the last has its highest bit set."""
    assert varint(value) == bytes.fromhex(data)


@pytest.mark.parametrize(
    ("value", "data"), [(0, "00"), (-1, "01"), (1, "02"), (-2, "03"), (2**31 - 1, "feffffff0f")]
)
def test_signs_alternate(value: int, data: str) -> None:
    """Numbers near 0 are short, whatever their sign."""
    assert i32(value).data == i64(value).data == bytes.fromhex(data)


def test_a_flag_is_in_its_type() -> None:
    """A flag adds no byte to the head of its field."""
    assert struct({1: byte(8), 2: flag(True), 3: flag(False)}).data == bytes.fromhex(
        "1308 11 12 00"
    )


def test_fields_far_apart_have_their_number() -> None:
    """A step of up to 15 is in the head of a field; after a larger one its number follows."""
    assert struct({15: i32(0), 31: i32(0)}).data == bytes.fromhex("f500 05 3e 00 00")


@pytest.mark.parametrize(("count", "head"), [(1, "18"), (14, "e8"), (15, "f80f"), (200, "f8c801")])
def test_lists(count: int, head: str) -> None:
    """A short list has its length in the head, a long one behind it."""
    assert listed([text("é")] * count).data == bytes.fromhex(head) + b"\x02\xc3\xa9" * count
