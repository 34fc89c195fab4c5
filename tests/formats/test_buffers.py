"""Views of Arrow arrays, and arrays from numbers."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from sftprep.formats.buffers import array_of, flags, in_one, numbers, offsets

SLICES = [slice(0, 20), slice(0, 0), slice(3, 20), slice(8, 17), slice(9, 10)]


@pytest.mark.parametrize("part", SLICES)
@pytest.mark.parametrize("kind", ["int8", "int32", "int64", "uint64"])
def test_numbers_of_a_slice(part: slice, kind: str) -> None:
    """A slice has its own values, in the type of the array."""
    values = np.arange(20).astype(kind)
    found = numbers(pa.array(values)[part])
    assert found.dtype == kind
    assert np.array_equal(found, values[part])


@pytest.mark.parametrize("part", SLICES)
def test_flags_of_a_slice(part: slice) -> None:
    """A slice may begin and end within a byte of the bits."""
    values = np.arange(20) % 3 == 0
    assert np.array_equal(flags(pa.array(values)[part]), values[part])


def test_offsets_of_a_slice() -> None:
    """A slice of lists begins where it begins in the values."""
    lists = pa.array([[1, 2], [], [3], [4, 5, 6]])
    assert offsets(lists).tolist() == [0, 2, 2, 3, 6]
    assert offsets(lists[2:]).tolist() == [2, 3, 6]
    assert offsets(lists[4:]).tolist() == [0]


def test_a_column_in_one_array() -> None:
    """Chunks are joined; an only chunk, and an array, stay where they are."""
    one: Any = pa.array([1, 2])
    assert in_one(pa.chunked_array([one])).buffers()[1].address == one.buffers()[1].address
    assert in_one(one) is one
    assert in_one(pa.chunked_array([one, one])).to_pylist() == [1, 2, 1, 2]


def test_arrays_of_numbers() -> None:
    """The type may be another one; what is not valid is null."""
    values = np.array([1, 2, 3])
    assert array_of(values).equals(pa.array(values))
    assert array_of(values, pa.int32()).type == pa.int32()
    valid = np.array([True, False, True])
    assert array_of(values, None, valid).to_pylist() == [1, None, 3]
