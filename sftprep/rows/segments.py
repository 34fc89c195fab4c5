"""Find out which text of the conversation gave each token of the rows of a block.

In     the layouts of the rows, and the texts and ids of their runs.
Out    ``Segments``: for each row, its runs of tokens with one writer and one trained flag. The
       writers are listed in order, and only those that the rows have.
Keeps  the number of tokens of each element of a row. A control token, and a run that comes from one
       text, has one writer; that follows from the layout. Where a text that was encoded comes from
       several texts, the encoder tells which of its tokens start in which.
Never  creates a Python object per token.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate, chain, repeat

import numpy as np

from sftprep.data.pieces import Rendered
from sftprep.data.provenance import Segments
from sftprep.data.ragged import Offsets, lengths_to_offsets, ragged_index
from sftprep.data.runs import EncodedRuns, Places, RunEncoder, TextRuns
from sftprep.rows.assembly import Elements, LayoutTable
from sftprep.rows.layout import WHITE_SPACE, Fragment, Layout, TextPart


def find_segments(
    rendered: Sequence[Rendered],
    table: LayoutTable,
    elements: Elements,
    runs: TextRuns,
    encoded: EncodedRuns,
    encoder: RunEncoder,
) -> Segments:
    """Return the segments of the rows of a block.

    Args:
        rendered: the records.
        table: the layouts.
        elements: the elements of the rows.
        runs: the runs of the rows.
        encoded: their ids.
        encoder: has encoded the runs.
    """
    parts = table.parts.sizes[elements.positions]
    writers = table.part_writers[table.parts.positions(elements.positions)]
    trained = table.trained[elements.positions]
    tokens = elements.lengths
    if len(writers) > len(elements.positions):
        units = _Units()
        for number in np.unique(elements.layouts).tolist():
            if table.layouts[number].units:
                rows = np.flatnonzero(elements.layouts == number).tolist()
                units.add(table.layouts[number], rows, rendered, elements, runs)
        tokens = _divided(elements, parts, units, runs, encoded, encoder)
        trained = np.repeat(trained, parts)
    offsets = lengths_to_offsets(parts)[elements.row_offsets]
    return _compact(
        Segments(offsets, tokens.astype(np.int32), writers, trained, table.writers).merged()
    )


def _compact(segments: Segments) -> Segments:
    """Return the segments with a list of only those writers that they have, in order."""
    counts = np.bincount(segments.writer, minlength=len(segments.writers))
    used = sorted(np.flatnonzero(counts).tolist(), key=segments.writers.__getitem__)
    numbers = np.zeros(len(counts), np.int32)
    numbers[used] = np.arange(len(used))
    writers = tuple(segments.writers[index] for index in used)
    return replace(segments, writer=numbers[segments.writer], writers=writers)


class _Units:
    """The units of a block, in columns. Each element of a unit has an entry in the last three."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.first: list[int] = []  # the first run of each unit
        self.last: list[int] = []  # the last run of each unit
        self.counts: list[int] = []  # how many of its parts have another one behind them
        self.ends: list[int] = []  # where these parts end, in bytes
        self.elements: list[int] = []  # the number of the element in the block
        self.unit: list[int] = []  # its unit
        self.run: list[int] = []  # its run

    def add(
        self,
        layout: Layout,
        rows: Sequence[int],
        rendered: Sequence[Rendered],
        elements: Elements,
        runs: TextRuns,
    ) -> None:
        """Add the units of the rows that have this layout."""
        contents = [rendered[row].contents for row in rows]
        first_runs = elements.run_offsets[rows].tolist()
        first_elements = elements.row_offsets[rows].tolist()
        sizes = _Sizes(contents)
        for unit in layout.units:
            first = [run + unit.first for run in first_runs]
            texts = [runs.texts[run : run + 1 + unit.last - unit.first] for run in first]
            if layout.strips:
                ends: Iterable[Sequence[int]] = map(
                    _ends_in, repeat(layout.run_parts(unit)), contents, texts
                )
            else:
                ends = zip(*sizes.ends(layout.parts(unit)), strict=True)
            numbers = range(len(self.texts), len(self.texts) + len(rows))
            self.texts += map("".join, texts)
            self.first += first
            self.last += [run + unit.last - unit.first for run in first]
            self.counts += repeat(len(layout.parts(unit)) - 1, len(rows))
            self.ends += chain.from_iterable(ends)
            for index, element in enumerate(unit.elements):
                self.elements += [number + element for number in first_elements]
                self.unit += numbers
                self.run += [run + index for run in first]


class _Sizes:
    """The sizes of the contents of some records, in bytes of UTF-8.

    Args:
        contents: the contents of each record.
    """

    def __init__(self, contents: Sequence[tuple[str, ...]]) -> None:
        self._contents = contents
        self._columns: dict[int, list[int]] = {}

    def ends(self, parts: Sequence[TextPart]) -> list[Iterable[int]]:
        """Return where each part but the last ends, one column for each of them."""
        found: list[Iterable[int]] = []
        fixed, varying = 0, [0] * len(self._contents)
        for part in parts[:-1]:
            for fragment in part.fragments:
                if isinstance(fragment, str):
                    fixed += size_of(fragment)
                else:
                    varying = [a + b for a, b in zip(varying, self._of(fragment), strict=True)]
            found.append([fixed + size for size in varying])
        return found

    def _of(self, slot: int) -> list[int]:
        if slot not in self._columns:
            self._columns[slot] = [size_of(contents[slot]) for contents in self._contents]
        return self._columns[slot]


def size_of(text: str) -> int:
    """Return the number of bytes of a text in UTF-8.

    >>> size_of("é")
    2
    """
    return len(text) if text.isascii() else len(text.encode())


def _ends_in(
    runs: Sequence[Sequence[TextPart]], contents: Sequence[str], texts: Sequence[str]
) -> list[int]:
    """Return where each part of a unit but the last ends, if tokens may have swallowed white space.

    Args:
        runs: the parts of each run of the unit.
        contents: the contents of the record.
        texts: the texts of the runs as they are encoded.
    """
    ends: list[int] = []
    position = 0
    for parts, text in zip(runs, texts, strict=True):
        of_parts = ["".join([_text(f, contents) for f in part.fragments]) for part in parts]
        whole, size = "".join(of_parts), size_of(text)
        lead = whole[: len(whole) - len(whole.lstrip(WHITE_SPACE))]
        # Where white space was swallowed at the start, the text starts with something else.
        swallowed = 0 if text[:1] in WHITE_SPACE else size_of(lead)
        ends += [
            position + min(max(end - swallowed, 0), size)
            for end in accumulate(map(size_of, of_parts))
        ]
        position += size
    return ends[:-1]


def _text(fragment: Fragment, contents: Sequence[str]) -> str:
    return fragment if isinstance(fragment, str) else contents[fragment]


def _divided(
    elements: Elements,
    parts: Offsets,
    units: _Units,
    runs: TextRuns,
    encoded: EncodedRuns,
    encoder: RunEncoder,
) -> Offsets:
    """Return int64[parts]: how many tokens of each element come from each of its parts."""
    offsets = lengths_to_offsets(parts)
    tokens = np.zeros(offsets[-1], np.int64)
    is_whole = parts == 1
    tokens[offsets[:-1][is_whole]] = elements.lengths[is_whole]
    first_runs, counts = np.array(units.first, np.int64), np.array(units.counts, np.int64)
    places = Places(
        units.texts,
        runs.continued[first_runs],
        encoded.ids.offsets[first_runs],
        encoded.ids.offsets[np.array(units.last, np.int64) + 1],
        counts,
        np.array(units.ends, np.int64),
    )
    behind = encoder.ids_before(places, encoded.ids.values)
    # Each element of a unit has all of its parts. Those outside of the element's run are empty.
    unit, run = np.array(units.unit, np.int64), np.array(units.run, np.int64)
    first, last = encoded.ids.offsets[run], encoded.ids.offsets[run + 1]
    inner = counts[unit]
    ends = behind[ragged_index(lengths_to_offsets(counts)[:-1][unit], inner)]
    ends = np.clip(ends, np.repeat(first, inner), np.repeat(last, inner))
    starts = lengths_to_offsets(inner + 2)
    borders = np.empty(starts[-1], np.int64)
    borders[starts[:-1]] = first
    borders[starts[1:] - 1] = last
    borders[ragged_index(starts[:-1] + 1, inner)] = ends
    own = np.ones(len(borders), np.bool_)
    own[starts[1:] - 1] = False
    sizes = np.diff(borders, append=0)[own]
    tokens[ragged_index(offsets[np.array(units.elements, np.int64)], inner + 1)] = sizes
    return tokens
