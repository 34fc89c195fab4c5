"""Rendered records -> rows: lay out, encode, assemble, for a whole block at once.

In     rendered records: their shapes and contents.
Out    a ``Batch`` with a row for each, in order, before any cut; which of them have a boundary that
       is not clean; and which hold a control token that came from text: none, or they are rejected.
Keeps  one layout a shape, made when the shape is first met.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.control_tokens import AddedToken
from sftprep.data.pieces import Piece, Rendered
from sftprep.data.ragged import Mask, Offsets, Ragged, ends_to_offsets
from sftprep.data.runs import Chain, Chains
from sftprep.rows.assembly import Layouts, assemble
from sftprep.rows.layout import Compiler, Layout
from sftprep.tokenization.boundary.chains import join, unclean_chains
from sftprep.tokenization.encoder import Encoder

Demoted = frozenset[int]
NONE: Demoted = frozenset()


class Built(NamedTuple):
    """The rows of a block."""

    batch: Batch
    unclean: Mask  # bool[rows]: whether a boundary of its text is not clean
    leaks: frozenset[int]  # rows in which text became a control token


class _Runs(NamedTuple):
    """The runs of all records of a block, in columns."""

    texts: list[str]
    continued: Mask  # bool[runs]
    ends: Offsets  # int64[records + 1]: where each record's runs begin
    chains: Chains
    owners: Offsets  # int64[chains]: the record of each


class RowBuilder:
    """Builds rows, and remembers the layouts it made on the way.

    Args:
        encoder: encodes the runs.
        pieces: gives the pieces of a shape.
        controls: the tokenizer's control tokens, by text.
        joint: whether the two sides of a boundary are encoded as one text.
        with_sections: whether truncation will need ``Batch.section``.
    """

    def __init__(
        self,
        encoder: Encoder,
        pieces: Callable[[int], Sequence[Piece]],
        controls: dict[str, AddedToken],
        *,
        joint: bool,
        with_sections: bool,
    ) -> None:
        self._encoder = encoder
        self._pieces = pieces
        self._joint = joint
        self._with_parts = with_sections
        self._compiler = Compiler(
            controls,
            joint=joint,
            prefixes_after=encoder.prefixes_after,
            count=encoder.count,
        )
        self._numbers: dict[tuple[int, Demoted], int] = {}
        self._layouts: list[Layout] = []
        self._made: Layouts | None = None  # of all layouts; None when one was added

    def build(self, rendered: Sequence[Rendered]) -> Built:
        """The rows of these records."""
        which = self._which(rendered)
        runs = self._runs(which, rendered)
        encoded = self._encoder.encode(runs.texts, runs.continued)
        args = (self._encoder, runs.texts, runs.continued, encoded)
        flags = unclean_chains(*args, runs.chains)
        if self._joint and flags.any():
            encoded = join(*args, self._unclean(which, runs, np.flatnonzero(flags)))
        unclean = np.zeros(len(which), np.bool_)
        unclean[runs.owners[flags]] = True
        batch = assemble(self._table, which, encoded, with_sections=self._with_parts)
        return Built(batch, unclean, self._leaks(encoded, runs.ends))

    def forget(self) -> None:
        """Forget all layouts; their shapes may mean something else from now on."""
        self._numbers.clear()
        self._layouts.clear()
        self._made = None

    @property
    def _table(self) -> Layouts:
        """The columns of all layouts."""
        self._made = self._made or Layouts(self._layouts)
        return self._made

    def _which(self, rendered: Sequence[Rendered]) -> Offsets:
        """int64[records]: the layout of each record; it is made where its shape is new."""
        shapes = [record.shape for record in rendered]
        numbers = {shape: self._number(shape, NONE) for shape in set(shapes)}
        which: Offsets = np.array([numbers[shape] for shape in shapes], np.int64)
        watching = [n for n in np.unique(which).tolist() if self._layouts[n].watches]
        for index in np.flatnonzero(np.isin(which, watching)).tolist():
            which[index] = self._demoting(rendered[index], int(which[index]))
        return which

    def _number(self, shape: int, demoted: Demoted) -> int:
        """The number of a layout."""
        key = (shape, demoted)
        if key not in self._numbers:
            self._layouts.append(self._compiler.layout(self._pieces(shape), demoted))
            self._numbers[key] = len(self._layouts) - 1
            self._made = None
        return self._numbers[key]

    def _demoting(self, record: Rendered, number: int) -> int:
        """The record's layout, in which some tokens may be plain text, because of its contents."""
        demoted = NONE
        while more := self._layouts[number].demoted(record.contents):
            demoted |= more
            number = self._number(record.shape, demoted)
        return number

    def _runs(self, which: Offsets, rendered: Sequence[Rendered]) -> _Runs:
        table = self._table
        ends = ends_to_offsets(table.runs.sizes[which])
        joins = table.join_ends[table.joins.of(which)]
        owners = np.repeat(np.arange(len(which)), table.joins.sizes[which])
        first, last = (joins + ends[owners][:, None]).T
        return _Runs(
            self._texts(which, ends, [record.contents for record in rendered]),
            table.continued[table.runs.of(which)],
            ends,
            Chains(first, last),
            owners,
        )

    def _texts(
        self, which: Offsets, ends: Offsets, contents: Sequence[tuple[str, ...]]
    ) -> list[str]:
        """The texts of all runs, in order; made for all records of a layout at once."""
        numbers: list[int] = np.unique(which).tolist()
        if len(numbers) == 1:
            return self._layouts[numbers[0]].texts(contents)
        made: list[str] = []
        order = []
        for number in numbers:
            rows = np.flatnonzero(which == number)
            layout = self._layouts[number]
            made += layout.texts([contents[row] for row in rows.tolist()])
            order.append((ends[rows][:, None] + np.arange(len(layout.runs))).ravel())
        places: list[int] = np.argsort(np.concatenate(order)).tolist()
        return [made[place] for place in places]

    def _unclean(self, which: Offsets, runs: _Runs, numbers: Offsets) -> list[Chain]:
        """The chains with these numbers, each with what of it is trained."""
        chains = []
        for number in numbers.tolist():
            owner = int(runs.owners[number])
            first, last = int(runs.chains.first[number]), int(runs.chains.last[number])
            begin = int(runs.ends[owner])
            trained = self._layouts[which[owner]].run_trained[first - begin : last + 1 - begin]
            chains.append(Chain(first, last, trained))
        return chains

    def _leaks(self, encoded: Ragged, ends: Offsets) -> frozenset[int]:
        """The rows in which text became a control token: proven for each, not assumed."""
        places = self._encoder.forbidden_in(encoded.values)
        if not len(places):
            return frozenset()
        runs = np.searchsorted(encoded.offsets, places, side="right") - 1
        return frozenset((np.searchsorted(ends, runs, side="right") - 1).tolist())
