"""Rendered records -> rows: lay out, encode, assemble, for a whole block at once.

In     rendered records: their shapes and contents.
Out    a ``Batch`` with a row for each, in order, before any cut; which of them have a boundary that
       is not clean; and which hold a control token that came from text: none, or they are rejected.
Keeps  one layout a shape, made when the shape is first met.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from sftprep.assemble import Layouts, assemble
from sftprep.boundary import Chain, join, unclean_chains
from sftprep.encode import Encoder
from sftprep.layout import Compiler, Layout
from sftprep.records import Batch, Piece, Ragged
from sftprep.render import Rendered
from sftprep.tokenizer import AddedToken

Demoted = frozenset[int]


class Built(NamedTuple):
    """The rows of a block."""

    batch: Batch
    unclean: list[bool]  # of each row: whether a boundary of its text is not clean
    leaks: frozenset[int]  # rows in which text became a control token


class _Runs(NamedTuple):
    """The runs of all records of a block."""

    which: list[int]  # the layout of each record
    texts: list[str]
    continued: list[bool]
    chains: list[Chain]
    owners: list[int]  # the record of each chain
    counts: list[int]  # runs of each record


class RowBuilder:
    """Builds rows, and remembers the layouts it made on the way.

    Args:
        encoder: encodes the runs.
        pieces: gives the pieces of a shape.
        controls: the tokenizer's control tokens, by text.
        joint: whether the two sides of a boundary are encoded as one text.
        with_parts: whether truncation will need ``Batch.part``.
    """

    def __init__(
        self,
        encoder: Encoder,
        pieces: Callable[[Any], Sequence[Piece]],
        controls: dict[str, AddedToken],
        *,
        joint: bool,
        with_parts: bool,
    ) -> None:
        self._encoder = encoder
        self._pieces = pieces
        self._joint = joint
        self._with_parts = with_parts
        self._compiler = Compiler(
            controls,
            joint=joint,
            prefixes_after=encoder.prefixes_after,
            count=encoder.count,
        )
        self._numbers: dict[tuple[Hashable, Demoted], int] = {}
        self._layouts: list[Layout] = []
        self._table: Layouts | None = None  # of all layouts; None when one was added

    def build(self, rendered: Sequence[Rendered]) -> Built:
        """The rows of these records."""
        runs = self._runs(rendered)
        encoded = self._encoder.encode(runs.texts, runs.continued)
        args = (self._encoder, runs.texts, runs.continued, encoded)
        flags = unclean_chains(*args, runs.chains).tolist()
        if self._joint:
            encoded = join(*args, [c for c, flag in zip(runs.chains, flags, strict=True) if flag])
        unclean = [False] * len(rendered)
        for owner, flag in zip(runs.owners, flags, strict=True):
            unclean[owner] |= flag
        self._table = self._table or Layouts(self._layouts)
        which = np.array(runs.which, np.int64)
        batch = assemble(self._table, which, encoded, with_parts=self._with_parts)
        return Built(batch, unclean, self._leaks(encoded, runs.counts))

    def forget(self) -> None:
        """Forget all layouts; their shapes may mean something else from now on."""
        self._numbers.clear()
        self._layouts.clear()
        self._table = None

    def _runs(self, rendered: Sequence[Rendered]) -> _Runs:
        runs = _Runs([], [], [], [], [], [])
        for index, record in enumerate(rendered):
            number = self._layout_number(record)
            layout = self._layouts[number]
            start = len(runs.texts)
            for first, last in layout.joins:
                trained = layout.run_trained[first : last + 1]
                runs.chains.append(Chain(start + first, start + last, trained))
                runs.owners.append(index)
            runs.which.append(number)
            runs.texts.extend(layout.texts(record.contents))
            runs.continued.extend(layout.continued)
            runs.counts.append(len(layout.runs))
        return runs

    def _layout_number(self, record: Rendered) -> int:
        """The record's layout, by number; it is made where its shape is new."""
        demoted: Demoted = frozenset()
        while True:
            key = (record.shape, demoted)
            number = self._numbers.get(key)
            if number is None:
                number = self._numbers[key] = len(self._layouts)
                self._layouts.append(self._compiler.layout(self._pieces(record.shape), demoted))
                self._table = None
            if not (more := self._layouts[number].demoted(record.contents)):
                return number
            demoted |= more

    def _leaks(self, encoded: Ragged, counts: Sequence[int]) -> frozenset[int]:
        """The rows in which text became a control token: proven for each, not assumed."""
        forbidden = self._encoder.forbidden[encoded.values]
        if not forbidden.any():
            return frozenset()
        runs = np.searchsorted(encoded.offsets, np.flatnonzero(forbidden), side="right") - 1
        rows = np.searchsorted(np.cumsum(counts), runs, side="right")
        return frozenset(rows.tolist())
