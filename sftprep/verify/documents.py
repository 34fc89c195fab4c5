"""Find the documents in the rows of a shard, and check how they stand there.

In     a ``Chunk`` in which all columns with one entry a token have the same lengths; the layout.
Out    ``Documents``: where each begins and ends, and which tokens are padding; and what is wrong:
       documents that do not fill their row, positions that do not start again, a padding on the
       wrong side. A row in which documents cannot be found has none.
Keeps  the work in numpy: no Python object is made for a token, or for a row that breaks no rule.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from sftprep.data.ragged import Mask, Offsets, Ragged, lengths_to_offsets
from sftprep.formats.chunks import Chunk
from sftprep.text import number
from sftprep.verify.layout import RowLayout


class Documents(NamedTuple):
    """The documents of some rows, and the padding around them."""

    row: Offsets  # int64[documents]: the row that holds each, ascending
    start: Offsets  # int64[documents]: its first token, counted through all rows
    lengths: Offsets  # int64[documents]
    padding: Mask  # bool[tokens]

    @property
    def number(self) -> Offsets:
        """int64[documents]: the number of each in its row, from 0."""
        first = np.searchsorted(self.row, self.row, side="left")
        return np.arange(len(self.row)) - first


class WrongRows(NamedTuple):
    """A rule, and the rows that break it."""

    rule: str
    rows: Mask  # bool[rows]
    describe: Callable[[int], str]  # says what is wrong with a row, given its number


class WrongTokens(NamedTuple):
    """A rule, and the tokens that break it."""

    rule: str
    tokens: Mask  # bool[tokens]
    describe: Callable[[int, int], str]  # given a token's number in its row, and in all rows


def find_documents(chunk: Chunk, layout: RowLayout) -> tuple[Documents, list[WrongRows]]:
    """Return the documents of the rows, and what is wrong with those in which there are none."""
    if layout.packed:
        return _packed(chunk, layout)
    return _unpacked(chunk, layout), []


def check_documents(chunk: Chunk, documents: Documents, layout: RowLayout) -> Iterator[WrongTokens]:
    """Yield what is wrong with the columns that tell trainers where documents are."""
    ids = chunk.input_ids
    if not layout.packed:
        mask = chunk.columns["attention_mask"].values
        expected = 1 - documents.padding.view(np.int8)
        yield WrongTokens(
            "mask",
            mask != expected,
            lambda token, at: (
                f"token {token} has the attention_mask {mask[at]}; expected {expected[at]}"
            ),
        )
    else:
        positions = chunk.columns["position_ids"].values
        wanted = _positions(ids, documents)
        known = np.zeros(len(ids.lengths), np.bool_)
        known[documents.row] = True
        wrong = (positions != wanted) & np.repeat(known, ids.lengths)
        yield WrongTokens(
            "position",
            wrong,
            lambda token, at: (
                f"token {token} has the position {positions[at]}; expected {wanted[at]}"
            ),
        )
    if layout.padded:
        yield WrongTokens(
            "pad",
            documents.padding & (ids.values != layout.pad_id),
            lambda token, at: (
                f"token {token} is padding and has the id {ids.values[at]}; expected "
                f"{layout.pad_id}, the pad token's"
            ),
        )


def _unpacked(chunk: Chunk, layout: RowLayout) -> Documents:
    """Return the documents of rows that each hold one."""
    ids = chunk.input_ids
    rows = np.arange(len(ids.lengths))
    if not layout.padded:
        return Documents(rows, ids.offsets[:-1], ids.lengths, np.zeros(len(ids.values), np.bool_))
    real = chunk.columns["attention_mask"].values != 0
    filled = np.diff(lengths_to_offsets(real.astype(np.int64))[ids.offsets])
    return _aligned(ids, filled, Ragged(filled.astype(np.int32), np.arange(len(rows) + 1)), layout)


def _packed(chunk: Chunk, layout: RowLayout) -> tuple[Documents, list[WrongRows]]:
    """Return the documents that ``seq_lengths`` lists."""
    ids, sizes = chunk.input_ids, chunk.columns["seq_lengths"]
    ends = lengths_to_offsets(sizes.values.astype(np.int64))
    filled = ends[sizes.offsets[1:]] - ends[sizes.offsets[:-1]]
    empty = np.zeros(len(sizes.lengths), np.bool_)
    empty[np.repeat(np.arange(len(empty)), sizes.lengths)[sizes.values < 1]] = True
    empty |= sizes.lengths == 0
    wrong = (filled > ids.lengths) | ((filled < ids.lengths) & (not layout.padded))
    found = [
        WrongRows(
            "no document",
            empty,
            lambda row: (
                f"has the seq_lengths {_shortened(sizes.row(row).tolist())}; expected "
                "one number above 0 for each document"
            ),
        ),
        WrongRows(
            "seq_lengths",
            wrong & ~empty,
            lambda row: (
                f"has seq_lengths that add up to {filled[row]:,}; it holds "
                f"{number(int(ids.lengths[row]), 'token')}"
            ),
        ),
    ]
    lost = empty | wrong
    if lost.any():
        counts = np.where(lost, 0, sizes.lengths)
        left = Ragged(sizes.values[~np.repeat(lost, sizes.lengths)], lengths_to_offsets(counts))
        return _aligned(ids, np.where(lost, 0, filled), left, layout, lost), found
    return _aligned(ids, filled, sizes, layout), found


def _aligned(
    ids: Ragged, filled: Offsets, sizes: Ragged, layout: RowLayout, lost: Mask | None = None
) -> Documents:
    """Return documents that stand on one side of their rows, one after the other.

    Args:
        ids: the tokens of the rows.
        filled: int64[rows], how many of a row's tokens are not padding.
        sizes: the lengths of the documents of each row.
        layout: how rows are laid out.
        lost: bool[rows], True for rows without documents and without padding.
    """
    before = ids.lengths - filled if layout.padded and layout.pad.side == "left" else 0 * filled
    begins = ids.offsets[:-1] + before
    lengths = sizes.values.astype(np.int64)
    ends = lengths_to_offsets(lengths)
    row = np.repeat(np.arange(len(filled)), sizes.lengths)
    starts = ends[:-1] - ends[sizes.offsets[:-1]][row] + begins[row]
    kept = filled if lost is None else np.where(lost, ids.lengths, filled)
    place = np.arange(len(ids.values)) - np.repeat(begins, ids.lengths)
    padding = (place < 0) | (place >= np.repeat(kept, ids.lengths))
    return Documents(row, starts, lengths, padding)


def _positions(ids: Ragged, documents: Documents) -> Offsets:
    """Return the position that each token should have: in its document, or in the padding."""
    begins = np.zeros(len(ids.values), np.bool_)
    begins[ids.offsets[:-1][ids.lengths > 0]] = True
    begins[documents.start] = True
    begins[1:] |= documents.padding[1:] & ~documents.padding[:-1]
    starts = np.flatnonzero(begins)
    lengths = np.diff(np.append(starts, len(begins)))
    return np.arange(len(begins)) - np.repeat(starts, lengths)


def _shortened(values: list[int]) -> str:
    return str(values if len(values) <= 8 else [*values[:8], "…"]).replace("'", "")
