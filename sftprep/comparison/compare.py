"""Compare two finished datasets: settings, inputs, rows, and how the rows are arranged.

In     the folders of two datasets, of any target, format and arrangement.
Out    a ``Comparison``: what differs, in numbers, and the tokens of the first rows that differ.
Keeps  memory to about 200 bytes a row, whatever the length of rows.
Never  takes two datasets for equal if a row, a label, a split, the order or a pack differs.
Raises NoInputError: there is no dataset. DataError, StorageError: one is damaged.
       UsageError: the number of examples is negative.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from sftprep.comparison.matching import Matched, match
from sftprep.comparison.rows import NO_OFFSET, Rows, rows_of
from sftprep.data.block import place_in
from sftprep.data.ragged import Mask, Offsets
from sftprep.dataset.documents import documents_of, index_of
from sftprep.dataset.identity import differences
from sftprep.dataset.manifest import Manifest, load_manifest
from sftprep.errors import UsageError
from sftprep.formats.staged import decoded
from sftprep.text import ascii_safe


@dataclass(frozen=True)
class Document:
    """One row of one of the datasets."""

    place: str  # of its record in the input
    ids: list[int]
    trained: list[bool]


@dataclass(frozen=True)
class Changed:
    """A row that differs."""

    old: Document
    new: Document
    first: int  # the first token that differs


@dataclass(frozen=True)
class Comparison:
    """What differs between two datasets; counts are of rows, and of documents in packs."""

    folders: tuple[str, str]
    settings: tuple[str, ...]  # each that differs, in words
    inputs: tuple[str, ...]  # each that differs, in words
    rows: tuple[int, int]  # how many rows each dataset has, copies not counted
    unchanged: int  # pairs of rows with the same ids and labels
    other_ids: int  # pairs of rows with other ids
    other_labels: int  # pairs of rows with the same ids and other labels
    moved: int  # pairs of rows whose records are at different places of the input
    only: tuple[int, int]  # rows that only one of the datasets has
    only_first: tuple[str, str]  # the place of the first of these; "" if there is none
    other_split: int  # pairs of rows that are not in the same splits, as often
    other_place: bool  # whether rows are in another order, or in other packs
    changed: tuple[Changed, ...]  # the first rows that differ

    @property
    def is_equal(self) -> bool:
        """Whether the two datasets hold the same rows in the same places."""
        changes = self.other_ids + self.other_labels + sum(self.only) + self.other_split
        return not changes and not self.other_place

    def dump(self) -> bytes:
        """Return one JSON object."""
        return orjson.dumps({"equal": self.is_equal, **asdict(self)}, option=orjson.OPT_INDENT_2)


def compare(old: str, new: str, *, examples: int) -> Comparison:
    """Compare two datasets.

    Args:
        old: the folder of one dataset.
        new: the folder of the other.
        examples: how many of the rows that differ are returned with their tokens.
    """
    if examples < 0:
        raise UsageError(f"--rows is {examples}; expected 0 or more.")
    folders = Path(old), Path(new)
    manifests = load_manifest(folders[0]), load_manifest(folders[1])
    names = list(dict.fromkeys(shard["split"] for each in manifests for shard in each.shards))
    rows = (
        rows_of(folders[0], manifests[0], names),
        rows_of(folders[1], manifests[1], names),
    )
    matched = match(rows, _sources(manifests))
    left, right = matched.pairs[:, 0], matched.pairs[:, 1]
    same_ids = rows[0].ids[left] == rows[1].ids[right]
    same = rows[0].tokens[left] == rows[1].tokens[right]
    differ = matched.pairs[~same][:examples]
    only = matched.only
    return Comparison(
        folders=(old, new),
        settings=tuple(_settings(manifests)),
        inputs=tuple(_inputs(manifests)),
        rows=(len(rows[0]), len(rows[1])),
        unchanged=int(same.sum()),
        other_ids=int((~same_ids).sum()),
        other_labels=int((same_ids & ~same).sum()),
        moved=int(_moved(rows, matched, _sources(manifests)).sum()),
        only=(len(only[0]), len(only[1])),
        only_first=(
            _place(rows[0], manifests[0], only[0][0]) if len(only[0]) else "",
            _place(rows[1], manifests[1], only[1][0]) if len(only[1]) else "",
        ),
        other_split=int(_other_split(rows, matched, len(names)).sum()),
        other_place=_other_place(rows, matched),
        changed=tuple(_changed(folders, manifests, rows, differ)),
    )


def _sources(manifests: tuple[Manifest, Manifest]) -> tuple[Offsets, Offsets]:
    """Return the number of the name of each input of the two datasets."""
    names = [[entry["name"] for entry in manifest.inputs] for manifest in manifests]
    numbers = {name: at for at, name in enumerate(dict.fromkeys(names[0] + names[1]))}
    left, right = (np.array([numbers[name] for name in side], np.int64) for side in names)
    return left, right


def _settings(manifests: tuple[Manifest, Manifest]) -> list[str]:
    old, new = ({**manifest.identity(), "inputs": []} for manifest in manifests)
    return differences(old, new)


def _inputs(manifests: tuple[Manifest, Manifest]) -> list[str]:
    """Describe each input that only one of the datasets has, or that has changed."""
    old, new = ({e["name"]: e["sha256"] for e in each.inputs} for each in manifests)
    found = [f"{ascii_safe(name)} is gone" for name in old if name not in new]
    found += [f"{ascii_safe(name)} is new" for name in new if name not in old]
    found += [
        f"the content of {ascii_safe(name)} has changed"
        for name in old
        if name in new and old[name] != new[name]
    ]
    return found


def _moved(rows: tuple[Rows, Rows], matched: Matched, sources: tuple[Offsets, Offsets]) -> Mask:
    """Return bool[pairs]: whether the record is at another place of the input."""
    left, right = matched.pairs[:, 0], matched.pairs[:, 1]
    moved: Mask = sources[0][rows[0].source[left]] != sources[1][rows[1].source[right]]
    moved |= rows[0].line[left] != rows[1].line[right]
    moved |= rows[0].answer[left] != rows[1].answer[right]
    return moved


def _other_split(rows: tuple[Rows, Rows], matched: Matched, splits: int) -> Mask:
    """Return bool[pairs]: whether the rows are not in the same splits, as often."""
    counts = []
    for side, numbers in zip(rows, matched.pairs.T, strict=True):
        counted = np.bincount(side.row * splits + side.split, minlength=len(side) * splits)
        counts.append(counted.reshape(-1, splits)[numbers])
    found: Mask = (counts[0] != counts[1]).any(axis=1)
    return found


def _other_place(rows: tuple[Rows, Rows], matched: Matched) -> bool:
    """Tell whether the rows that both datasets have are in another order, or in other packs."""
    found = []
    for side, numbers in zip(rows, matched.pairs.T, strict=True):
        partner = np.full(len(side), -1, np.int64)
        partner[numbers] = np.arange(len(numbers))
        copies = partner[side.row]
        has = copies >= 0
        order = np.stack([copies[has], side.split[has]], axis=1)
        # Where a document lies is told by the documents before it in its pack.
        begins = side.place[has, 1] == 0
        found.append((order, begins))
    (old, old_begins), (new, new_begins) = found
    same = np.array_equal(old, new) and np.array_equal(old_begins, new_begins)
    return not same


def _place(rows: Rows, manifest: Manifest, row: int) -> str:
    """Return the place of a row's record in the input."""
    name = ascii_safe(manifest.inputs[int(rows.source[row])]["name"])
    offset = int(rows.offset[row])
    place = place_in(name, int(rows.line[row]), None if offset == NO_OFFSET else offset)
    return place + (f", example {rows.answer[row] + 1}" if rows.answer[row] else "")


def _changed(
    folders: tuple[Path, Path],
    manifests: tuple[Manifest, Manifest],
    rows: tuple[Rows, Rows],
    pairs: Offsets,
) -> list[Changed]:
    """Read the tokens of pairs of rows that differ."""
    sides = []
    for folder, manifest, side, numbers in zip(folders, manifests, rows, pairs.T, strict=True):
        copies = side.first[numbers]
        tokens = _tokens(folder, manifest, side, copies)
        sides.append(
            [
                Document(_place(side, manifest, row), *tokens[copy])
                for row, copy in zip(numbers.tolist(), copies.tolist(), strict=True)
            ]
        )
    return [Changed(old, new, _first(old, new)) for old, new in zip(*sides, strict=True)]


def _tokens(
    folder: Path, manifest: Manifest, side: Rows, copies: Offsets
) -> dict[int, tuple[list[int], list[bool]]]:
    """Return the ids of some copies, and which of them are trained."""
    found: dict[int, tuple[list[int], list[bool]]] = {}
    for at in np.unique(side.shard[copies]).tolist():
        shard: Mapping[str, Any] = manifest.shards[at]
        wanted = {
            int(side.number[copy]): copy for copy in copies.tolist() if int(side.shard[copy]) == at
        }
        index = index_of(folder, shard)
        done = 0
        for documents in documents_of(folder, manifest, shard, index):
            for number in [each for each in wanted if done <= each < done + len(documents.lengths)]:
                ids, mask = decoded(documents.row(number - done))
                found[wanted[number]] = ids.tolist(), mask.tolist()
            done += len(documents.lengths)
    return found


def _first(old: Document, new: Document) -> int:
    """Return the number of the first token whose id or label differs."""
    pairs = [list(zip(each.ids, each.trained, strict=True)) for each in (old, new)]
    same = min(map(len, pairs))
    return next((at for at, (a, b) in enumerate(zip(*pairs, strict=False)) if a != b), same)
