"""Rows of Arrow record batches: their sizes, their bytes in a block, and the records they hold.

In     record batches of any types.
Out    ``batch_sizes``: the size of each row. ``encode``: the rows as bytes (an Arrow IPC stream),
       which a worker turns into records with ``decode``.
Keeps  every text as it is. A column becomes a field, a struct or a map an object, a list a list. A
       null is left out of the object that it is in, as if the key were not there: a table gives all
       rows the same keys, so a null may only mean that another row has the key.
Never  lets a value pass that JSON lacks: it becomes a ``ForeignValue``.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sftprep.data.conversation import Record
from sftprep.data.foreign import ForeignValue
from sftprep.errors import RecordError
from sftprep.reading.limits import MAX_COLUMNS
from sftprep.strict_json import MAX_DEPTH
from sftprep.text import shown

Sizes = NDArray[np.int64]

FIXED_BYTES = 8
"""The size of a value whose type has no size of its own."""

FOREIGN: list[tuple[Callable[[Any], bool], str]] = [
    (pa.types.is_date, "a date"),
    (pa.types.is_timestamp, "a timestamp"),
    (pa.types.is_time, "a time"),
    (pa.types.is_duration, "a duration"),
    (pa.types.is_interval, "an interval"),
    (pa.types.is_decimal, "a decimal"),
    (pa.types.is_binary, "binary data"),
    (pa.types.is_large_binary, "binary data"),
    (pa.types.is_binary_view, "binary data"),
    (pa.types.is_fixed_size_binary, "binary data"),
    (pa.types.is_union, "a union"),
]
"""Types that JSON lacks, and what to call a value of each."""


class Decoded(NamedTuple):
    """The records of a block."""

    records: list[Record | RecordError | None]  # never None: tables have no blank lines
    bad: dict[int, bytes]  # for each bad row, its index and its texts as JSON
    has_foreign: bool  # whether a record may hold a ``ForeignValue``


def schema_problem(schema: pa.Schema) -> str:
    """Return why the rows of a table cannot be read as records; "" if they can."""
    if len(schema) > MAX_COLUMNS:
        return f"has {len(schema):,} columns, and at most {MAX_COLUMNS:,} are read"
    names = schema.names
    if not names:
        return "has no columns"
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        return f"has two columns with the name {shown(twice)}"
    if any(_depth(field.type) > MAX_DEPTH - 1 for field in schema):
        return f"has columns that are nested more than {MAX_DEPTH} deep"
    return ""


def _depth(kind: Any) -> int:
    if not pa.types.is_nested(kind):
        return 0
    return 1 + max((_depth(kind.field(i).type) for i in range(kind.num_fields)), default=0)


def check_batch(batch: pa.RecordBatch) -> None:
    """Check that all offsets and indices in a batch lead to values in it.

    Texts may be invalid UTF-8: that makes single rows bad, not the batch.

    Raises:
        pa.ArrowInvalid: the batch is damaged.
    """
    try:
        batch.validate(full=True)
    except pa.ArrowInvalid:
        batch.validate()
        for column in batch.columns:
            pc.cast(column, _with_binary(column.type), safe=False).validate(full=True)


def _with_binary(kind: Any) -> Any:
    """Return a type with binary data instead of texts."""
    if pa.types.is_string(kind):
        return pa.binary()
    if pa.types.is_large_string(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([(f.name, _with_binary(f.type)) for f in kind.fields])
    if pa.types.is_list(kind):
        return pa.list_(_with_binary(kind.value_type))
    if pa.types.is_large_list(kind):
        return pa.large_list(_with_binary(kind.value_type))
    return kind


def plain_batch(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return the batch with its columns in the types that can be sliced and sent cheaply.

    A text or binary view holds all of its buffers in every slice, so it is copied once.
    """
    columns = [_without_view(column) for column in batch.columns]
    if all(new is old for new, old in zip(columns, batch.columns, strict=True)):
        return batch
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)


def _without_view(array: pa.Array) -> pa.Array:
    kind = array.type
    if pa.types.is_string_view(kind):
        return pc.cast(array, pa.large_string())
    if pa.types.is_binary_view(kind):
        return pc.cast(array, pa.large_binary())
    if isinstance(array, pa.ExtensionArray):
        return _without_view(array.storage)
    if pa.types.is_list_view(kind) or pa.types.is_large_list_view(kind):
        return pa.array(array.to_pylist(), pa.large_list(kind.value_type))  # rare
    return array


def batch_sizes(batch: pa.RecordBatch) -> Sizes:
    """Return the size of each row: the bytes of its values, and one more.

    The size depends on the values and their types only: neither on how they are divided into
    batches, nor on how a file stores them.
    """
    sizes = np.ones(len(batch), np.int64)
    for column in batch.columns:
        sizes += _sizes(column)
    return sizes


def _sizes(array: pa.Array) -> Sizes:
    kind = array.type
    if isinstance(array, pa.ExtensionArray):
        sizes = _sizes(array.storage)
    elif pa.types.is_run_end_encoded(kind):
        sizes = _sizes(pc.run_end_decode(array))
    elif pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        sizes = _sizes(_without_view(array))
    elif pa.types.is_dictionary(kind):
        indices = pc.fill_null(array.indices.cast(pa.int64()), -1).to_numpy()
        sizes = np.append(_sizes(array.dictionary), 0)[indices]
    elif _has_length(kind):
        lengths = pc.fill_null(pc.binary_length(array), 0)
        sizes = lengths.to_numpy(zero_copy_only=False).astype(np.int64)
    elif pa.types.is_struct(kind):
        sizes = sum(map(_sizes, array.flatten()), np.zeros(len(array), np.int64))
    elif _is_list(kind):
        offsets, values = _list_parts(array)
        ends = np.append(0, np.cumsum(_sizes(values)))
        sizes = ends[offsets[1:]] - ends[offsets[:-1]]
    else:
        sizes = np.full(len(array), _fixed_size(kind), np.int64)
    return sizes


def _fixed_size(kind: Any) -> int:
    """Return the size of a value of a type whose values all have the same size."""
    if pa.types.is_null(kind):
        return 0
    if pa.types.is_nested(kind) or pa.types.is_union(kind):
        return FIXED_BYTES
    return max(1, int(kind.bit_width) // 8)


def _has_length(kind: Any) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_fixed_size_binary(kind)
    )


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
        or pa.types.is_map(kind)
        or pa.types.is_fixed_size_list(kind)
    )


def _list_parts(array: pa.Array) -> tuple[NDArray[np.int64], pa.Array]:
    """Return the offsets of a list array, from 0, and only the values that they refer to."""
    if pa.types.is_fixed_size_list(array.type):
        width = array.type.list_size
        values = array.values.slice(array.offset * width, len(array) * width)
        return np.arange(len(array) + 1, dtype=np.int64) * width, values
    offsets = array.offsets.to_numpy(zero_copy_only=False).astype(np.int64)
    if pa.types.is_map(array.type):
        entries = pa.StructArray.from_arrays([array.keys, array.items], ["key", "value"])
    else:
        entries = array.values
    first, last = (int(offsets[0]), int(offsets[-1])) if len(offsets) else (0, 0)
    return offsets - first, entries.slice(first, last - first)


def encode(batch: pa.RecordBatch) -> bytes:
    """Return rows as bytes that ``decode`` reads.

    A dictionary is written with every block, so a column that has one is decoded first.
    """
    columns = [_decoded_column(column) for column in batch.columns]
    rows = pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_batch(rows)
    data: bytes = sink.getvalue().to_pybytes()
    return data


def _decoded_column(array: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(array.type):
        return array.dictionary_decode()
    if pa.types.is_run_end_encoded(array.type):
        return pc.run_end_decode(array)
    return array


def decode(data: bytes) -> Decoded:
    """Return the records that ``encode`` wrote."""
    with pa.ipc.open_stream(data) as reader:
        batch = reader.read_all().combine_chunks().to_batches()[0]
    has_foreign = any(map(_may_be_foreign, batch.schema.types))
    try:
        return Decoded(_records(batch), {}, has_foreign)
    except (UnicodeDecodeError, RecordError):
        pass  # a row is at fault, so each is read by itself
    found = Decoded([], {}, has_foreign)
    for index in range(len(batch)):
        row = batch.slice(index, 1)
        found.records.append(_record(row))
        if isinstance(found.records[-1], RecordError):
            found.bad[index] = start_of(row, len(data))
    return found


def slices(data: bytes) -> Iterator[bytes]:
    """Divide what ``encode`` wrote into rows; each result can be decoded by itself."""
    with pa.ipc.open_stream(data) as reader:
        batch = reader.read_all().combine_chunks().to_batches()[0]
    for index in range(len(batch)):
        yield encode(batch.slice(index, 1))


def start_of(batch: pa.RecordBatch, keep: int) -> bytes:
    """Return the start of a bad row: its texts, cut, as a JSON object.

    Args:
        batch: the row.
        keep: about how many bytes to keep.
    """
    texts: dict[str, str] = {}
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if keep <= 0:
            break
        column = _decoded_column(column)  # noqa: PLW2901
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            start = column.cast(pa.large_binary())
            start = pc.binary_slice(start, 0, keep)[0].as_py() or b""
            texts[name] = start.decode(errors="replace")
            keep -= len(start)
    return orjson.dumps(texts)


def _record(batch: pa.RecordBatch) -> Any:
    """Return the only record of a batch, or what is wrong with it."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        try:
            _values(column)
        except UnicodeDecodeError as error:
            problem = f"column {shown(name)} is not valid UTF-8: {error.reason}"
            return RecordError("invalid_utf8", problem, "Write the text again as UTF-8")
        except RecordError as error:
            return RecordError(error.reason, f"column {shown(name)}: {error.problem}", error.cure)
    return _records(batch)[0]


def _records(batch: pa.RecordBatch) -> list[Any]:
    return _objects(batch.schema.names, batch.columns)


def _objects(names: Sequence[str], columns: Sequence[pa.Array]) -> list[Any]:
    """Return an object for each row, without the keys whose value is null."""
    rows = zip(*map(_values, columns), strict=True)
    if not any(column.null_count for column in columns):
        return [dict(zip(names, row, strict=True)) for row in rows]
    return [{k: v for k, v in zip(names, row, strict=True) if v is not None} for row in rows]


def _values(array: pa.Array) -> list[Any]:
    """Return the values of an array as JSON has them; None for null."""
    kind = array.type
    values: list[Any]
    if kind.id in PLAIN:
        values = array.to_pylist()
    elif pa.types.is_struct(kind):
        values = _structs(array)
    elif pa.types.is_map(kind):
        values = _maps(array)
    elif _is_list(kind):
        values = _lists(array)
    elif pa.types.is_floating(kind):
        values = _floats(array)
    elif isinstance(array, pa.ExtensionArray):
        values = _values(array.storage)
    elif pa.types.is_dictionary(kind):
        choices = _values(array.dictionary)
        values = [None if i is None else choices[i] for i in array.indices.to_pylist()]
    elif pa.types.is_run_end_encoded(kind):
        values = _values(pc.run_end_decode(array))
    else:
        name = next((name for is_kind, name in FOREIGN if is_kind(kind)), f"a value of type {kind}")
        values = _foreign(array, name)
    return values


PLAIN = {
    pa.null().id, pa.bool_().id, pa.string().id, pa.large_string().id, pa.string_view().id,
    *(t.id for t in (pa.int8(), pa.int16(), pa.int32(), pa.int64())),
    *(t.id for t in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())),
}  # fmt: skip
"""The types whose values are as in JSON."""


def _foreign(array: pa.Array, kind: str) -> list[Any]:
    def text(value: Any) -> str:
        if isinstance(value, bytes):
            return f"{len(value):,} bytes"
        return str(value)

    return [None if v is None else ForeignValue(kind, text(v)) for v in array.to_pylist()]


def _floats(array: pa.Array) -> list[Any]:
    values: list[Any] = array.to_pylist()
    numbers = np.array([0.0 if v is None else v for v in values])
    for index in np.flatnonzero(~np.isfinite(numbers)).tolist():
        values[index] = ForeignValue("a number", str(values[index]))
    return values


def _structs(array: pa.Array) -> list[Any]:
    names = [field.name for field in array.type]
    values = _objects(names, array.flatten()) if names else [{} for _ in range(len(array))]
    return _with_nulls(array, values)


def _with_nulls(array: pa.Array, values: list[Any]) -> list[Any]:
    """Return the values of an array, with None where the array has a null."""
    if not array.null_count:
        return values
    valid = array.is_valid().to_pylist()
    return [v if ok else None for v, ok in zip(values, valid, strict=True)]


def _lists(array: pa.Array) -> list[Any]:
    offsets, entries = _list_parts(array)
    values, ends = _values(entries), offsets.tolist()
    return _with_nulls(array, [values[a:b] for a, b in pairwise(ends)])


def _maps(array: pa.Array) -> list[Any]:
    offsets, entries = _list_parts(array)
    keys, values = _values(entries.field(0)), _values(entries.field(1))
    ends = offsets.tolist()
    valid = array.is_valid().to_pylist()
    return [
        _map(keys[a:b], values[a:b]) if ok else None
        for (a, b), ok in zip(pairwise(ends), valid, strict=True)
    ]


def _map(keys: list[Any], values: list[Any]) -> dict[str, Any]:
    """Return a map as an object, which has texts as keys, and each of them once."""
    if wrong := [key for key in keys if not isinstance(key, str)]:
        problem = f"a map has the key {shown(wrong[0])}; expected a string"
        raise RecordError("not_json", problem, "Write the keys as text")
    if len(set(keys)) < len(keys):
        twice = next(key for key in keys if keys.count(key) > 1)
        problem = f"the key {shown(twice)} occurs twice in one map"
        raise RecordError("duplicate_key", problem, "Keep one of the two")
    return {k: v for k, v in zip(keys, values, strict=True) if v is not None}


def _may_be_foreign(kind: Any) -> bool:
    """Return True if values of a type may be ones that JSON lacks."""
    if pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        return _may_be_foreign(kind.value_type)
    if isinstance(kind, pa.BaseExtensionType):
        return _may_be_foreign(kind.storage_type)
    if pa.types.is_struct(kind) or _is_list(kind):
        return any(_may_be_foreign(kind.field(i).type) for i in range(kind.num_fields))
    return kind.id not in PLAIN
