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
from sftprep.rows.assembly import Elements, LayoutTable, Slices
from sftprep.rows.layout import WHITE_SPACE, Fragment, Layout, TextPart, Unit


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
    """The units of a block, in columns. They are added group by group.

    A group has the same unit of several records with one layout.
    """

    def __init__(self) -> None:
        self.groups: list[tuple[Unit, int]] = []  # the unit of each group, and of how many records
        self.inner: list[int] = []  # of each group: how many parts have another one behind them
        self.rows: list[int] = []  # the row of each unit
        self.sizes: list[int] = []  # the bytes of its text
        self.ends: list[int] = []  # where the inner parts end, in bytes

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
        for unit in layout.units:
            first, count = [run + unit.first for run in first_runs], 1 + unit.last - unit.first
            sizes = sizes_of([runs.texts[run] for run in first])
            for index in range(1, count):
                more = sizes_of([runs.texts[run + index] for run in first])
                sizes = [a + b for a, b in zip(sizes, more, strict=True)]
            if layout.strips:
                texts = [runs.texts[run : run + count] for run in first]
                parts = repeat(layout.run_parts(unit))
                self.ends += chain.from_iterable(map(_ends_in, parts, contents, texts))
            else:
                ends = _ends(layout.parts(unit), contents, sizes)
                self.ends += chain.from_iterable(zip(*ends, strict=True))
            self.groups.append((unit, len(rows)))
            self.inner.append(len(layout.parts(unit)) - 1)
            self.rows += rows
            self.sizes += sizes


def _ends(
    parts: Sequence[TextPart], contents: Sequence[Sequence[str]], sizes: Sequence[int]
) -> list[Sequence[int]]:
    """Return where each part of a unit but the last ends, one column for each of them.

    What is behind the last content has the same size in each record, so the place of its parts is
    found from the end: the last content, which may be long, is not measured by itself.

    Args:
        parts: the parts of the unit.
        contents: the contents of each record.
        sizes: the size of the unit's text in each record.
    """
    slots = [any(isinstance(f, int) for f in part.fragments) for part in parts]
    last = max(index for index, has_slot in enumerate(slots) if has_slot) if any(slots) else 0
    found: list[Sequence[int]] = []
    fixed, varying = 0, [0] * len(contents)
    for part in parts[:last]:
        for fragment in part.fragments:
            if isinstance(fragment, str):
                fixed += len(fragment.encode())
            else:
                own = sizes_of([texts[fragment] for texts in contents])
                varying = [a + b for a, b in zip(varying, own, strict=True)]
        found.append([fixed + size for size in varying])
    behind = sizes_of(["".join(map(str, part.fragments)) for part in parts[last + 1 :]])
    for index in range(len(behind)):
        rest = sum(behind[index:])
        found.append([size - rest for size in sizes])
    return found


def sizes_of(texts: Iterable[str]) -> list[int]:
    """Return the number of bytes of each text in UTF-8.

    >>> sizes_of(["a", "é"])
    [1, 2]
    """
    return [len(text) if text.isascii() else len(text.encode()) for text in texts]


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
        whole, size = "".join(of_parts), len(text.encode())
        lead = whole[: len(whole) - len(whole.lstrip(WHITE_SPACE))]
        # Where white space was swallowed at the start, the text starts with something else.
        swallowed = 0 if text[:1] in WHITE_SPACE else len(lead.encode())
        ends += [
            position + min(max(end - swallowed, 0), size) for end in accumulate(sizes_of(of_parts))
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
    numbers = np.array([number for _, number in units.groups], np.int64)
    group = np.repeat(np.arange(len(numbers)), numbers)
    rows, inner = np.array(units.rows, np.int64), np.array(units.inner, np.int64)[group]
    bounds = np.array([(unit.first, unit.last) for unit, _ in units.groups], np.int64)
    first_run, last_run = elements.run_offsets[rows] + bounds[group].T
    places = Places(
        runs,
        first_run,
        last_run,
        np.array(units.sizes, np.int64),
        encoded.ids.offsets[first_run],
        encoded.ids.offsets[last_run + 1],
        inner,
        np.array(units.ends, np.int64),
    )
    behind = encoder.ids_before(places, encoded.ids.values)
    # Each element of a unit has all of its parts. Those outside of the element's run are empty.
    own_elements = Slices([len(unit.elements) for unit, _ in units.groups])
    unit = np.repeat(np.arange(len(group)), own_elements.sizes[group])
    element = np.array([e for unit, _ in units.groups for e in unit.elements], np.int64)
    element = elements.row_offsets[rows[unit]] + element[own_elements.positions(group)]
    run = ragged_index(first_run, last_run + 1 - first_run)
    first, last = encoded.ids.offsets[run], encoded.ids.offsets[run + 1]
    offsets_of_ends = lengths_to_offsets(inner)[:-1]
    inner = inner[unit]
    ends = behind[ragged_index(offsets_of_ends[unit], inner)]
    ends = np.clip(ends, np.repeat(first, inner), np.repeat(last, inner))
    starts = lengths_to_offsets(inner + 2)
    borders = np.empty(starts[-1], np.int64)
    borders[starts[:-1]] = first
    borders[starts[1:] - 1] = last
    borders[ragged_index(starts[:-1] + 1, inner)] = ends
    own = np.ones(len(borders), np.bool_)
    own[starts[1:] - 1] = False
    sizes = np.diff(borders, append=0)[own]
    tokens[ragged_index(offsets[element], inner + 1)] = sizes
    return tokens
