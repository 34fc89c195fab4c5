"""Numbers in Arrow arrays as numpy arrays, and back: a view of the same memory, from one heap.

Arrow's own ``to_numpy`` and ``pyarrow.array`` would import pandas wherever it is installed, which
takes as long as the rest of a small run.

In     Arrow arrays of integers or flags, also slices of them.
Out    numpy arrays; a null is what its place in memory holds.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from sftprep.data.ragged import Mask, Offsets
from sftprep.system.memory import share_freed


def share_memory() -> None:
    """Let Arrow and numpy take their memory from one heap, which keeps what is freed.

    For runs that pass large arrays through threads: the system must clear each page that it gives
    out, which takes longer than most of what is done with it.
    """
    import pyarrow as pa

    share_freed()
    pa.set_memory_pool(pa.system_memory_pool())


def in_one(column: Any) -> Any:
    """Return a column of a table or a record batch as one array; an only chunk is not copied."""
    if not hasattr(column, "chunks"):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def numbers(array: Any) -> npt.NDArray[Any]:
    """Return the values of an array of integers.

    >>> import pyarrow as pa
    >>> numbers(pa.array([1, 2, 3], pa.uint64()).slice(1))
    array([2, 3], dtype=uint64)
    """
    kind = np.dtype(array.type.to_pandas_dtype())
    if not len(array):
        return np.zeros(0, kind)
    return np.frombuffer(array.buffers()[1], kind, len(array), kind.itemsize * array.offset)


def flags(array: Any) -> Mask:
    """Return the values of an array of booleans.

    >>> import pyarrow as pa
    >>> flags(pa.array([True, False, True]).slice(1)).tolist()
    [False, True]
    """
    if not len(array):
        return np.zeros(0, np.bool_)
    bits = np.frombuffer(array.buffers()[1], np.uint8)
    start = array.offset
    last = (start + len(array) + 7) // 8
    found = np.unpackbits(bits[start // 8 : last], bitorder="little")
    return found[start % 8 : start % 8 + len(array)].view(np.bool_)


def offsets(lists: Any) -> Offsets:
    """Return the offsets of an array of lists, as they are: a slice begins above 0."""
    if not len(lists):
        return np.zeros(1, np.int64)
    count = len(lists) + 1
    return np.frombuffer(lists.buffers()[1], np.int32, count, 4 * lists.offset).astype(np.int64)


def array_of(values: npt.NDArray[Any], kind: Any = None, valid: Mask | None = None) -> Any:
    """Return numbers as an Arrow array.

    Args:
        values: the numbers.
        kind: the Arrow type; by default that of the numbers.
        valid: False for those that are null.
    """
    import pyarrow as pa

    kind = pa.from_numpy_dtype(values.dtype) if kind is None else kind
    flat = np.ascontiguousarray(values, kind.to_pandas_dtype())
    bits = None
    if valid is not None and not valid.all():
        bits = pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(kind, len(flat), [bits, pa.py_buffer(flat)])
