"""The staged rows: what the first half of a run leaves for the arrangement to choose from.

In     the files of the staged shards: the tokens of each, and its index as an Arrow file.
Out    the columns from which the arrangement is planned; and the tokens and index of any rows.
Keeps  memory flat: both files of a shard are mapped, and ``release`` gives back what was touched.
       Rows are numbered in input order, in whatever order the files hold them.
Raises DataError: a shard's index is not one, or its tokens are more or fewer than its index says.
"""

import mmap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sftprep.arrange.columns import Columns
from sftprep.data.ragged import Offsets, Ragged, lengths_to_offsets
from sftprep.dataset.shard_writer import ShardPaths
from sftprep.errors import DataError
from sftprep.formats.buffers import array_of, flags, numbers
from sftprep.formats.staged import StagedTokens, by_file, mapped

BATCHES_AT_ONCE = 4
"""How many batches of an index are read before memory is given back."""


class StagedRows:
    """All staged rows. Several threads may gather rows at the same time.

    Args:
        shards: the two files of each staged shard.
    """

    def __init__(self, shards: Sequence[ShardPaths]) -> None:
        self._index = _StagedIndex([shard.index_file for shard in shards])
        self._order: Offsets | None = None  # int64[rows]: where each row is; None: as in the files
        try:
            self._tokens = StagedTokens([shard.shard for shard in shards], self._index.lengths())
        except ValueError as error:
            raise DataError(f"{error}. Run again without --resume.") from error

    def __len__(self) -> int:
        return len(self._index) if self._order is None else len(self._order)

    def reorder(self, order: Offsets) -> None:
        """Give rows other numbers: row i is now what was row ``order[i]`` in the files."""
        self._order = order

    def column(self, name: str) -> Any:
        """Return a column of numbers of the index, for all rows; a null is -1.

        Raises:
            KeyError: the index has no such column.
        """
        column = self._index.column(name)
        return column if self._order is None else column[self._order]

    def columns(self) -> Columns:
        """Return what the arrangement is planned from."""
        keys = {
            name: self.column(name)
            for name in ("normalized_key", "normalized_prompt_key", "group_key")
            if name in self._index.names
        }
        return Columns(
            source=self.column("source"),
            tokens=self.column("tokens"),
            trained=self.column("trained_tokens"),
            prompt_key=self.column("prompt_key"),
            record_key=self.column("record_key"),
            record=self._records(),
            **keys,
        )

    def _records(self) -> Offsets | None:
        """Return the number of each row's record; None if each record has one row."""
        if not self.column("answer").any():
            return None
        source, line, offset = map(self.column, ("source", "line", "offset"))
        begins = np.ones(len(source), np.bool_)
        begins[1:] = np.any([c[1:] != c[:-1] for c in (source, line, offset)], axis=0)
        return np.cumsum(begins) - 1

    def tokens(self, rows: Offsets) -> Ragged:
        """Return the encoded tokens of these rows, see ``formats.staged``."""
        return self._tokens.gather(self._placed(rows))

    def index(self, rows: Offsets) -> Any:
        """Return the index of these rows, as a ``pyarrow.Table``."""
        return self._index.take(self._placed(rows))

    def _placed(self, rows: Offsets) -> Offsets:
        return rows if self._order is None else self._order[rows]

    def release(self) -> None:
        """Give back the memory of all pages that were read; they are read again when needed."""
        self._tokens.release()
        self._index.release()


class _StagedIndex:
    """The indexes of all staged shards, mapped into memory."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._maps = [mapped(path) for path in paths]
        self._files = [_batches(path, file) for path, file in zip(paths, self._maps, strict=True)]
        self._batches = [batch for batches in self._files for batch in batches]
        self._first = lengths_to_offsets(np.array(list(map(len, self._batches)), np.int64))
        self.names: list[str] = self._batches[0].schema.names if self._batches else []

    def __len__(self) -> int:
        return int(self._first[-1])

    def lengths(self) -> list[Any]:
        """Return, for each file, the number of tokens in each row."""
        return [
            np.concatenate([np.zeros(0, np.int32), *(_numbers(b, "tokens") for b in batches)])
            for batches in self._files
        ]

    def column(self, name: str) -> Any:
        """Return a column of numbers, of all files."""
        return np.concatenate([_numbers(batch, name) for batch in self._batches])

    def take(self, rows: Offsets) -> Any:
        import pyarrow as pa

        order, parts = by_file(rows, self._first)
        taken = []
        for number, part in enumerate(parts, 1):
            taken.append(self._batches[part.file].take(array_of(part.rows)))
            if number % BATCHES_AT_ONCE == 0:
                self.release()
        # Each file has names of its own in its dictionaries; this makes them one.
        table = pa.Table.from_batches(taken, self._batches[0].schema).combine_chunks()
        return table if order is None else table.take(array_of(order))

    def release(self) -> None:
        for file in self._maps:
            if file is not None:
                file.madvise(mmap.MADV_DONTNEED)


def _batches(path: Path, file: mmap.mmap | None) -> list[Any]:
    """Return the record batches of an Arrow file; they share its memory."""
    import pyarrow as pa

    try:
        reader = pa.ipc.open_file(pa.py_buffer(b"" if file is None else file))
        return list(map(reader.get_batch, range(reader.num_record_batches)))
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: is not an index: {error}. Run again without --resume.") from error


def _numbers(batch: Any, name: str) -> Any:
    """Return a column of integers; a null is -1."""
    column = batch.column(name)
    found = numbers(column)
    return np.where(flags(column.is_valid()), found, -1) if column.null_count else found
