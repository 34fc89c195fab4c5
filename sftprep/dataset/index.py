"""The index of a shard: where each of its documents comes from, and who wrote which token.

In     batches with their facts, and where each document stands in its shard.
Out    a file beside the shard with one row for each document, in the order of the shard: as Parquet
       in a finished dataset; as uncompressed Arrow IPC, whose rows can be read in any order through
       a memory map, where documents are still to be arranged. And such files, read back.
Keeps  a file's bytes the same for the same documents, wherever they come from and in whatever
       groups. Reading in bounded batches.
Never  makes a Python object for a document or a segment. Never trusts a file that it reads:
       ``batches_of`` validates each batch.
Raises BadIndexError: a file is not an index, or is damaged.

The columns::

    row, position         the row of the shard that holds the document, and its first token there
    source, line, offset  the record: the number of its input in the manifest, its line (in a table:
                          its row), and its first byte (in a table: null)
    answer                the number of the example of its record; 0 unless there are several
    tokens                how many tokens the document has
    trained_tokens        how many of them have a loss; a document's first token has none
    cut_tokens, cut_trained_tokens, cut_at
                          how many tokens and trained tokens truncation has removed, and where:
                          "", or "start", "middle" and "end", joined by "+"
    exchanges_dropped     how many of the oldest exchanges were left out
    reasons               the names under which the document is counted
    prompt_key, record_key, and if they were needed normalized_key, normalized_prompt_key, group_key
                          hashes of text, see ``data.provenance``
    segments              runs of tokens: tokens, message (-1: none), role, part, trained
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO, Any, BinaryIO, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.batch import Batch
from sftprep.data.provenance import CutAt, Segments
from sftprep.data.ragged import Mask, Offsets, lengths_to_offsets
from sftprep.formats.buffers import array_of, in_one, numbers, offsets
from sftprep.formats.chunks import damage
from sftprep.text import ascii_safe

OPTIONAL_KEYS = ("normalized_key", "normalized_prompt_key", "group_key")
"""The columns that are there only if they were needed."""
BATCH_ROWS = 8192
"""The maximum number of rows that ``batches_of`` gives at a time."""
GROUP_ROWS = 1 << 15
"""The rows of a row group or record batch: Arrow needs much time for each, whatever it holds."""


@cache
def types(*, stored: bool = False) -> dict[str, Any]:
    """Return the Arrow type of each column, in the order of the columns.

    Args:
        stored: True for the types in a Parquet file, in which a name is a string; elsewhere it is
            the number of a name in a dictionary.
    """
    import pyarrow as pa

    name = pa.string() if stored else pa.dictionary(pa.int32(), pa.string())
    segment = pa.struct(
        [
            pa.field("tokens", pa.int32(), nullable=False),
            pa.field("message", pa.int32(), nullable=False),
            pa.field("role", name, nullable=False),
            pa.field("part", name, nullable=False),
            pa.field("trained", pa.bool_(), nullable=False),
        ]
    )
    return {
        "row": pa.int64(),
        "position": pa.int32(),
        "source": pa.int32(),
        "line": pa.int64(),
        "offset": pa.int64(),
        "answer": pa.int32(),
        "tokens": pa.int32(),
        "trained_tokens": pa.int32(),
        "cut_tokens": pa.int32(),
        "cut_trained_tokens": pa.int32(),
        "cut_at": name,
        "exchanges_dropped": pa.int32(),
        "reasons": pa.list_(pa.field("element", name, nullable=False)),
        "prompt_key": pa.uint64(),
        "record_key": pa.uint64(),
        **dict.fromkeys(OPTIONAL_KEYS, pa.uint64()),
        "segments": pa.list_(pa.field("element", segment, nullable=False)),
    }


_TEXTS = [
    "cut_at",
    "reasons.list.element",
    *(f"segments.list.element.{n}" for n in ("role", "part")),
]
"""The columns of a Parquet file that hold names."""
_PARQUET: dict[str, Any] = {
    "compression": "zstd",
    "compression_level": 1,
    "write_statistics": False,
    # Without Arrow's description of the columns: every reader finds plain strings.
    "store_schema": False,
    "use_dictionary": _TEXTS,
    "column_encoding": {
        # Values that mostly grow.
        **dict.fromkeys(("row", "line", "offset"), "DELTA_BINARY_PACKED"),
        # Small numbers: their high bytes are all zero. A dictionary would cost more time and space.
        **dict.fromkeys(
            (
                "position", "source", "answer", "tokens", "trained_tokens", "cut_tokens",
                "cut_trained_tokens", "exchanges_dropped", "segments.list.element.tokens",
                "segments.list.element.message",
            ),
            "BYTE_STREAM_SPLIT",
        ),
    },
}  # fmt: skip

CUT_NAMES = [
    "+".join(str(cut.name).lower() for cut in CutAt if value & cut)
    for value in range(sum(CutAt) + 1)
]
"""The names of all values of ``CutAt``, by value."""


def preload() -> None:
    """Import what a writer needs, so that the first write need not wait."""
    import pyarrow.parquet  # noqa: F401


class BadIndexError(Exception):
    """A file is not the index of a shard.

    Args:
        problem: what is wrong, without the file's name and without a full stop.
    """

    def __init__(self, problem: str) -> None:
        super().__init__(problem)
        self.problem = problem


def schema(keys: Collection[str] = ()) -> Any:
    """Return the columns of an index, as a ``pyarrow.Schema``.

    Args:
        keys: which of ``OPTIONAL_KEYS`` it has.
    """
    return _schema(types(), keys)


def _schema(kinds: dict[str, Any], keys: Collection[str]) -> Any:
    import pyarrow as pa

    names = [name for name in kinds if name not in OPTIONAL_KEYS or name in keys]
    return pa.schema([pa.field(name, kinds[name], nullable=name == "offset") for name in names])


def table_of(batch: Batch, row: Offsets, position: npt.NDArray[np.int32]) -> Any:
    """Return the index of the documents of a batch, as a ``pyarrow.Table``.

    Args:
        batch: the documents, with their facts.
        row: int64[documents]: the row of the shard that holds each document.
        position: int32[documents]: each document's first token in its row.
    """
    import pyarrow as pa

    facts = batch.facts
    assert facts is not None
    keys = {name: getattr(facts, name) for name in OPTIONAL_KEYS}
    keys = {name: column for name, column in keys.items() if column is not None}
    columns = {
        "row": row,
        "position": position,
        "source": facts.source,
        "line": facts.line,
        "answer": facts.answer,
        "tokens": batch.lengths,
        "trained_tokens": facts.segments.row_trained,
        "cut_tokens": facts.cut_tokens,
        "cut_trained_tokens": facts.cut_trained,
        "exchanges_dropped": facts.exchanges_dropped,
        "prompt_key": facts.prompt_key,
        "record_key": facts.record_key,
        **keys,
    }
    kinds = types()
    arrays = {name: array_of(column, kinds[name]) for name, column in columns.items()}
    arrays["offset"] = array_of(facts.offset, kinds["offset"], facts.offset >= 0)
    arrays["cut_at"] = _named(facts.cut_at.astype(np.int32), CUT_NAMES)
    arrays["reasons"] = _reasons(facts.reasons, len(batch))
    arrays["segments"] = _segments(facts.segments)
    made = schema(keys)
    return pa.Table.from_arrays([arrays[name] for name in made.names], schema=made)


def _flags(values: Mask) -> Any:
    import pyarrow as pa

    bits = pa.py_buffer(np.packbits(values, bitorder="little"))
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, bits])


def _named(codes: npt.NDArray[np.int32], names: Sequence[str]) -> Any:
    """Return the names with these numbers."""
    import pyarrow as pa

    encoded = [name.encode() for name in names]
    offsets = lengths_to_offsets(np.array([len(name) for name in encoded], np.int64))
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(b"".join(encoded))]
    dictionary = pa.Array.from_buffers(pa.string(), len(names), buffers)
    return pa.DictionaryArray.from_arrays(array_of(codes, pa.int32()), dictionary)


def _lists(offsets: Offsets, elements: Any, kind: Any) -> Any:
    import pyarrow as pa

    buffer = pa.py_buffer(np.ascontiguousarray(offsets, np.int32))
    return pa.Array.from_buffers(kind, len(offsets) - 1, [None, buffer], children=[elements])


def _reasons(reasons: dict[str, Mask], count: int) -> Any:
    """Return the names of the masks that are True for each row, sorted."""
    names = sorted(name for name, rows in reasons.items() if rows.any())
    found = np.zeros((count, len(names)), np.bool_)
    for number, name in enumerate(names):
        found[:, number] = reasons[name]
    offsets = lengths_to_offsets(found.sum(axis=1))
    codes = found.nonzero()[1].astype(np.int32)
    return _lists(offsets, _named(codes, names), types()["reasons"])


def _segments(segments: Segments) -> Any:
    import pyarrow as pa

    writers = segments.writers
    roles = {role: i for i, role in enumerate(dict.fromkeys(w.role for w in writers))}
    parts = {part: i for i, part in enumerate(dict.fromkeys(w.part.value for w in writers))}
    message, role, part = (
        np.array(column, np.int32)[segments.writer] if writers else np.zeros(0, np.int32)
        for column in (
            [writer.message for writer in writers],
            [roles[writer.role] for writer in writers],
            [parts[writer.part.value] for writer in writers],
        )
    )
    columns = [
        array_of(segments.tokens, pa.int32()),
        array_of(message, pa.int32()),
        _named(role, list(roles)),
        _named(part, list(parts)),
        _flags(segments.trained),
    ]
    kind = types()["segments"]
    elements = pa.StructArray.from_arrays(columns, fields=list(kind.value_type))
    return _lists(segments.offsets, elements, kind)


class IndexWriter:
    """Writes the index of one shard.

    Rows are collected until there are enough for a row group (in Arrow, a record batch). Names are
    stored as numbers of a dictionary. In Parquet the dictionary of each row group holds the names
    that occur in it, sorted, so that the bytes do not depend on where the rows come from. An Arrow
    file has one dictionary, which grows.

    Args:
        file: an empty file, open for writing.
        form: the file format.
    """

    def __init__(self, file: IO[bytes], form: Literal["parquet", "arrow"] = "parquet") -> None:
        self._file = file
        self._is_parquet = form == "parquet"
        self._writer: Any = None
        self._names: dict[str, list[str]] = {}  # of an Arrow file: column -> all names so far
        self._waiting: list[Any] = []  # the rows of the next row group

    def write(self, table: Any) -> None:
        """Write the next rows, or keep them until there are enough for a row group."""
        self._waiting.append(table)
        if sum(map(len, self._waiting)) >= GROUP_ROWS:
            rows = self._collected()
            whole = len(rows) - len(rows) % GROUP_ROWS
            for start in range(0, whole, GROUP_ROWS):
                self._write(rows.slice(start, GROUP_ROWS))
            self._waiting = [rows.slice(whole)] if whole < len(rows) else []

    def _collected(self) -> Any:
        """Return the rows that wait."""
        import pyarrow as pa

        if len(self._waiting) == 1:
            return self._waiting[0]
        # Each table has names of its own in its dictionaries; this makes them one.
        return pa.concat_tables(self._waiting).combine_chunks()

    def _write(self, table: Any) -> None:
        """Write rows as one row group or record batch."""
        table = self._renamed(table)
        if self._writer is None:
            self._writer = self._open(table.schema)
        self._writer.write_table(table, max(len(table), 1))

    def close(self) -> None:
        """Write the rows that wait, and the footer; leave the file object open."""
        if self._waiting:
            rows, self._waiting = self._collected(), []
            self._write(rows)
        if self._writer is None:
            return
        try:
            self._writer.close()
        finally:
            if self._is_parquet:
                # After a failed close, Arrow's writer would try to close again when it is
                # garbage-collected.
                self._writer.is_open = False

    def _open(self, columns: Any) -> Any:
        if self._is_parquet:
            import pyarrow.parquet as pq

            return pq.ParquetWriter(self._file, columns, **_PARQUET)
        import pyarrow as pa

        # Arrow must start no threads of its own: the workers already use all cores.
        options = pa.ipc.IpcWriteOptions(emit_dictionary_deltas=True, use_threads=False)
        return pa.ipc.new_file(self._file, columns, options=options)

    def _renamed(self, table: Any) -> Any:
        """Give each dictionary its order."""
        import pyarrow as pa

        columns = {name: in_one(table.column(name)) for name in table.column_names}
        columns["cut_at"] = self._in_order("cut_at", columns["cut_at"])
        reasons = columns["reasons"]
        names = self._in_order("reasons", reasons.flatten())
        columns["reasons"] = _lists(_offsets(reasons), names, reasons.type)
        segments = columns["segments"]
        elements = segments.flatten()
        fields = {field.name: elements.field(field.name) for field in elements.type}
        for name in ("role", "part"):
            fields[name] = self._in_order(name, fields[name])
        elements = pa.StructArray.from_arrays(list(fields.values()), fields=list(elements.type))
        columns["segments"] = _lists(_offsets(segments), elements, segments.type)
        return pa.Table.from_arrays(list(columns.values()), schema=table.schema)

    def _in_order(self, column: str, array: Any) -> Any:
        names = array.dictionary.to_pylist()
        codes = numbers(array.indices)
        used = np.bincount(codes, minlength=len(names)) > 0
        found = {name for name, is_used in zip(names, used.tolist(), strict=True) if is_used}
        if self._is_parquet:
            wanted = sorted(found)
        else:
            wanted = self._names.setdefault(column, [])
            wanted.extend(sorted(found.difference(wanted)))
        if wanted == names:
            return array
        number = {name: index for index, name in enumerate(wanted)}
        new = np.array([number.get(name, -1) for name in names], np.int32)
        return _named(new[codes] if len(codes) else codes, wanted)


def _offsets(lists: Any) -> Offsets:
    """Return the offsets of an Arrow list array as if it began with its first list."""
    begins = offsets(lists)
    begins -= begins[0]
    return begins


def batches_of(file: BinaryIO) -> Iterator[Any]:
    """Read the index of a finished dataset, a few thousand rows at a time; trust nothing.

    Args:
        file: open for reading.

    Raises:
        BadIndexError: the file is damaged, or is not an index.
        OSError: the system failed to read it; the error has an ``errno``.
    """
    with _opened(file) as index:
        for group in range(index.num_row_groups):
            for batch in index.iter_batches(BATCH_ROWS, [group], use_threads=False):
                batch.validate(full=True)
                yield _with_dictionaries(batch)


@contextmanager
def _opened(file: BinaryIO) -> Iterator[Any]:
    """Open an index as a ``pyarrow.parquet.ParquetFile``; what fails in the block is damage."""
    import pyarrow.parquet as pq

    try:
        index = pq.ParquetFile(file)
        _check_columns(index.schema_arrow)
        yield index
    except BadIndexError:
        raise
    except Exception as error:
        raise BadIndexError(damage(error)) from error


def _with_dictionaries(batch: Any) -> Any:
    """Return a batch with numbers of a dictionary in place of strings."""
    import pyarrow as pa

    kinds = types()
    columns = {name: batch.column(name) for name in batch.schema.names}
    columns["cut_at"] = columns["cut_at"].dictionary_encode()
    reasons, segments = columns["reasons"], columns["segments"]
    names = reasons.flatten().dictionary_encode()
    columns["reasons"] = _lists(_offsets(reasons), names, kinds["reasons"])
    elements = segments.flatten()
    fields = {field.name: elements.field(field.name) for field in elements.type}
    for name in ("role", "part"):
        fields[name] = fields[name].dictionary_encode()
    segment = kinds["segments"].value_type
    elements = pa.StructArray.from_arrays(list(fields.values()), fields=list(segment))
    columns["segments"] = _lists(_offsets(segments), elements, kinds["segments"])
    return pa.RecordBatch.from_arrays(
        list(columns.values()), schema=_schema(kinds, batch.schema.names)
    )


def _check_columns(found: Any) -> None:
    expected = _schema(types(stored=True), found.names)
    if found.equals(expected):
        return
    for field in expected:
        if field.name not in found.names:
            raise BadIndexError(f"has no column {field.name}; an index has one")
    for field in found:
        if field.name not in expected.names:
            raise BadIndexError(f"has a column {ascii_safe(field.name)[:80]}; an index has none")
        wanted = expected.field(field.name)
        if not field.equals(wanted):
            raise BadIndexError(
                f"has the column {field.name} as {ascii_safe(str(field.type))[:200]}"
                f"{', with nulls' if field.nullable else ''}; expected {wanted.type}"
            )
    raise BadIndexError(f"has its columns in another order; expected {', '.join(expected.names)}")


def read_index(path: Path, columns: Sequence[str] | None = None) -> Any:
    """Read the whole index of a shard of a finished dataset.

    Args:
        path: the file.
        columns: which columns; all by default.

    Raises:
        BadIndexError: the file is damaged, or is not an index.
        OSError: the system failed to read it; the error has an ``errno``.
    """
    import pyarrow as pa

    with path.open("rb") as file:
        batches = [
            batch if columns is None else batch.select(list(columns)) for batch in batches_of(file)
        ]
    if not batches:
        raise BadIndexError("holds no row")
    return pa.Table.from_batches(batches)


class Numbers(NamedTuple):
    """The numbers of the documents of one row group of an index."""

    columns: dict[str, npt.NDArray[Any]]  # by name
    segments: "Runs | None"  # None if they were not needed


class Runs(NamedTuple):
    """The segments of some documents: document i has those from ``offsets[i]`` on."""

    offsets: Offsets  # int64[documents + 1]
    tokens: Offsets  # int64[segments]
    message: Offsets  # int64[segments]
    trained: Mask
    is_kept: Mask  # the BOS and the system prompt, which truncation does not cut
    is_user: Mask


def numbers_of(
    file: BinaryIO, names: Sequence[str], needs_segments: Callable[[Mapping[str, Any]], bool]
) -> Iterator[Numbers]:
    """Read some columns of numbers of an index, one row group after another; trust nothing.

    Args:
        file: open for reading.
        names: the columns, which must be columns of numbers without nulls.
        needs_segments: tells from these columns of a group whether its segments are needed.

    Raises:
        BadIndexError: the file is damaged, or is not an index.
        OSError: the system failed to read it; the error has an ``errno``.
    """
    with _opened(file) as index:
        for group in range(index.num_row_groups):
            table = index.read_row_group(group, list(names), use_threads=False)
            table.validate(full=True)
            columns = {name: in_one(table.column(name)).to_numpy() for name in names}
            runs = None
            if needs_segments(columns):
                runs = _runs(index.read_row_group(group, ["segments"], use_threads=False))
            yield Numbers(columns, runs)


def _runs(table: Any) -> Runs:
    import pyarrow as pa
    import pyarrow.compute as pc

    table.validate(full=True)
    lists = in_one(table.column("segments"))
    found = lists.flatten()
    system, user = (pc.equal(found.field("role"), pa.scalar(r)) for r in ("system", "user"))
    bos = pc.equal(found.field("part"), pa.scalar("bos"))
    return Runs(
        _offsets(lists),
        found.field("tokens").to_numpy().astype(np.int64),
        found.field("message").to_numpy().astype(np.int64),
        found.field("trained").to_numpy(zero_copy_only=False),
        pc.or_(system, bos).to_numpy(zero_copy_only=False),
        user.to_numpy(zero_copy_only=False),
    )


def comparable(array: Any) -> Any:
    """Return a column in a form in which equal values are equal, whatever their dictionaries."""
    import pyarrow as pa

    kind = array.type
    if pa.types.is_dictionary(kind):
        return array.dictionary_decode()
    if pa.types.is_list(kind):
        lengths = np.diff(array.offsets.to_numpy())
        return (lengths.tobytes(), comparable(array.flatten()))
    if pa.types.is_struct(kind):
        return tuple(map(comparable, array.flatten()))
    return array
