"""Build the rows of a block: find each record's layout, encode its runs, and assemble the row.

In     rendered records: their shapes and contents.
Out    a ``Batch`` with one row per record, in order and before truncation; the rows with an unclean
       chain; and the rows in which text became a control token, which happens only if the tokenizer
       has a fault.
Keeps  the layouts of a shape, compiled when they are first needed.
"""

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.control_tokens import AddedToken
from sftprep.data.pieces import Piece, Rendered
from sftprep.data.provenance import Segments
from sftprep.data.ragged import Mask, Offsets, Ragged, lengths_to_offsets
from sftprep.data.runs import Chains, RunEncoder, TextRuns
from sftprep.rows.assembly import Elements, LayoutTable, assemble
from sftprep.rows.layout import (
    NONE_SPECIAL,
    NOTHING_DEMOTED,
    Demoted,
    Layout,
    LayoutCompiler,
    SpecialTokens,
)
from sftprep.rows.segments import find_segments


class Built(NamedTuple):
    """The rows of a block."""

    batch: Batch
    unclean: Mask  # bool[rows]: True if the row has an unclean chain, see ``EncodedRuns``
    leaks: frozenset[int]  # the rows in which text became a control token
    answer_ends: Ragged  # for each row the ids of the control tokens that end its trained answers;
    # -1 for an answer that no control token ends
    segments: Segments | None  # None if they were not asked for


class RowBuilder:
    """Builds rows, and remembers the layouts that it compiled for them.

    Args:
        encoder: encodes the runs.
        pieces: returns the pieces of a shape.
        controls: the tokenizer's control tokens, by text.
        answers: returns, for each trained answer of a shape, the number of pieces up to its end.
        special: the control tokens that have a meaning.
        allowed: the control tokens that the text of a record may become.
        joint: True if the texts on both sides of a loss boundary may be encoded as one text.
        sections_over: the row length over which truncation needs ``Batch.section``; None if it
            never does.
    """

    def __init__(
        self,
        encoder: RunEncoder,
        pieces: Callable[[int], Sequence[Piece]],
        controls: dict[str, AddedToken],
        *,
        answers: Callable[[int], Sequence[int]] = lambda shape: (),
        special: SpecialTokens = NONE_SPECIAL,
        allowed: Collection[str] = (),
        joint: bool,
        sections_over: int | None,
    ) -> None:
        self._encoder = encoder
        self._pieces = pieces
        self._answers = answers
        self._allowed = np.array([controls[token].id for token in allowed], np.int64)
        self._joint = joint
        self._sections_over = sections_over
        self._compiler = LayoutCompiler(
            controls,
            joint=joint,
            adds_space_after=encoder.adds_space_after,
            count_tokens=encoder.count_tokens,
            special=special,
        )
        self._numbers: dict[tuple[int, Demoted], int] = {}  # shape, demoted tokens -> layout
        self._layouts: list[Layout] = []
        self._table: LayoutTable | None = None  # None if a layout was added since it was built

    def build(self, rendered: Sequence[Rendered], *, measures_only: bool = False) -> Built:
        """Build one row per record.

        Args:
            rendered: the records.
            measures_only: leave out ``Batch.section``, even where truncation needs it, and the
                segments: only the lengths of the rows are wanted.
        """
        layouts = self._layouts_of(rendered)
        table = self._current_table()
        run_offsets = lengths_to_offsets(table.runs.sizes[layouts])
        chain_owners = np.repeat(np.arange(len(layouts)), table.chains.sizes[layouts])
        runs = self._runs(rendered, layouts, run_offsets, chain_owners)
        encoded = self._encoder.encode_runs(runs, joint=self._joint)
        unclean = np.zeros(len(layouts), np.bool_)
        unclean[chain_owners[encoded.unclean]] = True
        with_sections = self._sections_over is not None and not measures_only
        elements = Elements.of(table, layouts, encoded.ids)
        batch = assemble(table, elements, encoded.ids, with_sections=with_sections)
        if with_sections:
            self._divide_mixed_runs(batch, rendered, layouts, runs, encoded.ids, run_offsets)
        segments = None
        if not measures_only:
            segments = find_segments(rendered, table, elements, runs, encoded, self._encoder)
        leaks = self._leaks(encoded.ids, run_offsets)
        ends = self._answer_ends(layouts, encoded.ids, run_offsets)
        return Built(batch, unclean, leaks, ends, segments)

    def forget(self) -> None:
        """Forget all layouts: from now on, the renderer's shape numbers mean other shapes."""
        self._numbers.clear()
        self._layouts.clear()
        self._table = None

    def _current_table(self) -> LayoutTable:
        self._table = self._table or LayoutTable(self._layouts, self._compiler.writers)
        return self._table

    def _layouts_of(self, rendered: Sequence[Rendered]) -> Offsets:
        """Return int64[records]: the number of each record's layout; compile new layouts."""
        shapes = [record.shape for record in rendered]
        numbers = {shape: self._number(shape, NOTHING_DEMOTED) for shape in set(shapes)}
        layouts: Offsets = np.array([numbers[shape] for shape in shapes], np.int64)
        by_contents = [n for n in np.unique(layouts).tolist() if self._layouts[n].single_words]
        for index in np.flatnonzero(np.isin(layouts, by_contents)).tolist():
            layouts[index] = self._number_for(rendered[index], int(layouts[index]))
        return layouts

    def _number(self, shape: int, demoted: Demoted) -> int:
        """Return the number of a shape's layout; compile the layout if it is new."""
        key = (shape, demoted)
        if key not in self._numbers:
            layout = self._compiler.layout(self._pieces(shape), demoted, self._answers(shape))
            self._layouts.append(layout)
            self._numbers[key] = len(self._layouts) - 1
            self._table = None
        return self._numbers[key]

    def _number_for(self, record: Rendered, number: int) -> int:
        """Return the number of the layout in which all tokens that the record demotes are text."""
        demoted = NOTHING_DEMOTED
        while more := self._layouts[number].demoted(record.contents, self._encoder.is_word):
            demoted |= more
            number = self._number(record.shape, demoted)
        return number

    def _runs(
        self,
        rendered: Sequence[Rendered],
        layouts: Offsets,
        run_offsets: Offsets,
        chain_owners: Offsets,
    ) -> TextRuns:
        table = self._current_table()
        runs = table.runs.positions(layouts)
        chain_ends = table.chain_ends[table.chains.positions(layouts)]
        first, last = (chain_ends + run_offsets[chain_owners][:, None]).T
        return TextRuns(
            self._texts([record.contents for record in rendered], layouts, run_offsets),
            table.run_continued[runs],
            table.run_trained[runs],
            Chains(first, last),
        )

    def _texts(
        self, contents: Sequence[tuple[str, ...]], layouts: Offsets, run_offsets: Offsets
    ) -> list[str]:
        """Return the texts of all runs, in order, built for all records of a layout at once."""
        numbers: list[int] = np.unique(layouts).tolist()
        if len(numbers) == 1:
            return self._layouts[numbers[0]].texts(contents)
        texts: list[str] = []
        places = []  # the index in the result of each text
        for number in numbers:
            rows = np.flatnonzero(layouts == number)
            layout = self._layouts[number]
            texts += layout.texts([contents[row] for row in rows.tolist()])
            places.append((run_offsets[rows][:, None] + np.arange(len(layout.runs))).ravel())
        order: list[int] = np.argsort(np.concatenate(places)).tolist()
        return [texts[index] for index in order]

    def _divide_mixed_runs(
        self,
        batch: Batch,
        rendered: Sequence[Rendered],
        layouts: Offsets,
        runs: TextRuns,
        ids: Ragged,
        run_offsets: Offsets,
    ) -> None:
        """Set the sections inside the mixed runs of the rows that truncation will cut.

        A token belongs to the section of its first character.
        """
        assert batch.section is not None
        for row in np.flatnonzero(batch.lengths > (self._sections_over or 0)).tolist():
            layout = self._layouts[layouts[row]]
            for mixed in layout.mixed:
                run = int(run_offsets[row]) + mixed.run
                tokens = int(ids.lengths[run])
                if not tokens:
                    continue
                controls = int(np.count_nonzero(layout.control[: mixed.element] >= 0))
                runs_before = int(ids.offsets[run] - ids.offsets[run_offsets[row]])
                start = int(batch.offsets[row]) + controls + runs_before
                text = runs.texts[run]
                of_characters = mixed.sections(rendered[row].contents, text)
                _, spans = self._encoder.spans(text, bool(runs.continued[run]))
                # A run that was encoded as one text with the next one may have other tokens.
                at = np.resize(spans[:, 0], tokens)
                at[len(spans) :] = len(text) - 1
                sections = of_characters[np.minimum(at, len(text) - 1)]
                batch.section[start : start + tokens] = sections

    def _answer_ends(self, layouts: Offsets, ids: Ragged, run_offsets: Offsets) -> Ragged:
        """Return for each row the ids of the control tokens that end its trained answers.

        Usually they are tokens of the template. If the text of a record may become a control token,
        an answer may end with one of its own.
        """
        answers = self._current_table().answers
        tokens, runs, after = self._current_table().answer_ends[answers.positions(layouts)].T
        offsets = lengths_to_offsets(answers.sizes[layouts])
        if len(self._allowed):
            rows = np.repeat(np.arange(len(layouts)), answers.sizes[layouts])
            for answer in np.flatnonzero((tokens < 0) & (runs >= 0)).tolist():
                run = int(run_offsets[rows[answer]] + runs[answer])
                start, end = int(ids.offsets[run]), int(ids.offsets[run + 1])
                last = ids.values[max(start, end - int(after[answer]) - 1) : end]
                found = last[np.isin(last, self._allowed)]
                tokens[answer] = found[0] if len(found) else -1
        return Ragged(tokens.astype(np.int32), offsets)

    def _leaks(self, ids: Ragged, run_offsets: Offsets) -> frozenset[int]:
        """Return the rows in which text became a control token; check every id."""
        places = self._encoder.forbidden_in(ids.values)
        if not len(places):
            return frozenset()
        runs = np.searchsorted(ids.offsets, places, side="right") - 1
        return frozenset((np.searchsorted(run_offsets, runs, side="right") - 1).tolist())
