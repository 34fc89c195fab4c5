"""Rows of a shard: gathered, packed and padded as planned, compared with a slow reference."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from staged_rows import documents, stage

from sftprep.arrange.conservation import digest
from sftprep.arrange.plan import SplitPlan
from sftprep.data.arranged import ArrangedRows
from sftprep.data.batch import Batch
from sftprep.data.ragged import Ragged, lengths_to_offsets
from sftprep.dataset import gather
from sftprep.dataset.gather import Gathered, Gatherer, Layout, RowSlice, cuts, groups_of, lay_out
from sftprep.dataset.gather import rows_of as slice_of
from sftprep.formats.staged import encoded

PAD = 999


class Collected(list[Any]):
    """Collects groups, as a writer."""

    def write(self, group: Any) -> None:
        """Keep a group."""
        self.append(group)


def split_of(rows: list[int], packs: list[int], lengths: list[int]) -> SplitPlan:
    """Return the plan of a split."""
    return SplitPlan(
        "train", np.array(rows, np.int64), np.array(packs, np.int64), np.array(lengths, np.int32)
    )


def expected_rows(
    whole: Batch, packs: list[list[int]], lengths: list[int], layout: Layout
) -> list[dict[str, list[Any]]]:
    """Return the rows of packs, put together token by token."""
    found = []
    for pack, length in zip(packs, lengths, strict=True):
        row: dict[str, list[Any]] = {"ids": [], "mask": [], "real": [], "sizes": []}
        for document in pack:
            one = whole.rows(document, document + 1)
            mask = one.loss_mask.tolist()
            mask[0] = mask[0] and not (layout.packed or layout.padded)
            row["ids"] += one.input_ids.tolist()
            row["mask"] += mask
            row["sizes"].append(len(mask))
        size = len(row["ids"])
        row["real"] = [True] * size
        for name, filler in (("ids", layout.pad_id), ("mask", False), ("real", False)):
            padding = [filler] * (length - size)
            row[name] = padding + row[name] if layout.pad_left else row[name] + padding
        found.append(row)
    return found


def listed(rows: ArrangedRows) -> list[dict[str, list[Any]]]:
    """Return rows in the form of the reference."""
    real = np.ones(len(rows.input_ids), np.bool_) if rows.real is None else rows.real
    return [
        {
            "ids": rows.input_ids[start:end].tolist(),
            "mask": rows.loss_mask[start:end].tolist(),
            "real": real[start:end].tolist(),
            "sizes": [] if rows.seq_lengths is None else rows.seq_lengths.row(index).tolist(),
        }
        for index, (start, end) in enumerate(
            zip(rows.offsets.tolist(), rows.offsets[1:].tolist(), strict=False)
        )
    ]


@given(st.data())
def test_rows_are_as_a_slow_reference_makes_them(data: st.DataObject) -> None:
    """Packs, padding on either side, first tokens without loss: as put together by hand."""
    whole = documents(12, data.draw(st.integers(0, 3)))
    packed = data.draw(st.booleans())
    order = data.draw(st.permutations(range(12)))
    sizes = data.draw(st.lists(st.integers(1, 4), min_size=4, max_size=4)) if packed else [1] * 6
    borders = [0, *np.cumsum(sizes).tolist()]
    packs = [order[a:b] for a, b in itertools.pairwise(borders) if order[a:b]]
    content = [int(whole.lengths[pack].sum()) for pack in packs]
    padded = data.draw(st.booleans())
    lengths = [n + data.draw(st.integers(0, 3)) * padded for n in content]
    layout = Layout(packed, padded, PAD, pad_left=data.draw(st.booleans()))
    used = [document for pack in packs for document in pack]
    tokens = Ragged(encoded(whole.input_ids, whole.loss_mask), whole.offsets).take(np.array(used))
    group = RowSlice(
        np.array(used),
        lengths_to_offsets(np.array(list(map(len, packs)))),
        np.array(lengths, np.int32),
    )
    found = lay_out(tokens, group, layout)
    expected = expected_rows(whole, packs, lengths, layout)
    if not packed:
        expected = [row | {"sizes": []} for row in expected]
    assert listed(found.rows) == expected
    assert found.trained.tolist() == whole.trained()[used].tolist()
    firsts = []
    for pack, row in zip(packs, expected, strict=True):
        at = row["real"].index(True)
        for document in pack:
            firsts.append(at)
            at += int(whole.lengths[document])
    assert found.position.tolist() == firsts


@given(st.lists(st.integers(1, 12), max_size=30), st.integers(1, 20), st.integers(1, 5))
def test_cuts(lengths: list[int], most: int, most_rows: int) -> None:
    """Runs hold all rows, and as many as fit; only a single row may be longer."""
    borders = cuts(np.array(lengths, np.int32), most, most_rows)
    assert (borders[0], borders[-1]) == (0, len(lengths))
    for start, stop in itertools.pairwise(borders):
        assert 0 < stop - start <= most_rows
        assert sum(lengths[start:stop]) <= most or stop - start == 1
        if stop < len(lengths) and stop - start < most_rows:
            assert sum(lengths[start : stop + 1]) > most


def gathered(rows: Any, split: SplitPlan, layout: Layout) -> tuple[Gathered, Collected, Collected]:
    """Gather all rows of a split."""
    shard, index = Collected(), Collected()
    gatherer = Gatherer(rows, layout, lambda arranged: arranged)  # type: ignore[arg-type, return-value]
    done = gatherer.write(slice_of(split, 0, len(split.lengths)), shard, index, lambda: None)
    return done, shard, index


@pytest.mark.parametrize("documents_at_once", [1, 5, 1000])
def test_what_is_written_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, documents_at_once: int
) -> None:
    """Counts, digest and index are those of the rows, in however many groups and blocks."""
    monkeypatch.setattr(gather, "INDEX_DOCUMENTS", documents_at_once)
    monkeypatch.setattr(gather, "GROUP_ROWS", 2)
    batches = [documents(20), documents(9, source=1)]
    rows, whole = stage(tmp_path, *batches), Batch.concatenate(batches)
    order = [28, 3, 3, 20, 0, 11, 7]
    sizes = whole.lengths[order].tolist()
    lengths = [sum(sizes[:2]) + 1, sizes[2] + 1, sum(sizes[3:6]), sizes[6]]
    split = split_of(order, [0, 2, 3, 6, 7], lengths)
    done, shard, index = gathered(rows, split, Layout(True, True, PAD))
    assert whole.facts is not None
    assert (done.rows, done.documents) == (4, 7)
    assert (done.tokens, done.padding) == (sum(sizes), 2)
    assert done.trained_tokens == int(whole.trained()[order].sum())
    key = whole.facts.record_key[order]
    assert done.digest == digest(key, whole.lengths[order], whole.trained()[order])
    even = sum(row % 2 == 0 for row in (8, 3, 3, 0, 0, 11, 7))
    assert done.counts["unclean_boundary"] == even
    assert [len(group) for group in shard] == [2, 2]
    table: list[dict[str, Any]] = [row for part in index for row in part.to_pylist()]
    assert [row["row"] for row in table] == [0, 0, 1, 2, 2, 2, 3]
    assert [row["position"] for row in table] == [
        0, sizes[0], 0, 0, sizes[3], sizes[3] + sizes[4], 0,
    ]  # fmt: skip
    assert [row["line"] for row in table] == [9, 4, 4, 1, 1, 12, 8]
    assert [row["record_key"] for row in table] == key.tolist()


def test_a_part_of_a_split(tmp_path: Path) -> None:
    """A shard gets only its rows of the split, numbered from 0."""
    batch = documents(10)
    rows = stage(tmp_path, batch)
    split = split_of([5, 6, 7, 8], [0, 1, 2, 3, 4], batch.lengths[5:9].tolist())
    shard, index = Collected(), Collected()
    Gatherer(rows, Layout(False, False), lambda arranged: arranged).write(  # type: ignore[arg-type, return-value]
        slice_of(split, 1, 3), shard, index, lambda: None
    )
    assert [row["row"] for row in index[0].to_pylist()] == [0, 1]
    assert [row["line"] for row in index[0].to_pylist()] == [7, 8]
    ids = np.concatenate([batch.rows(6, 7).input_ids, batch.rows(7, 8).input_ids])
    assert shard[0].input_ids.tolist() == ids.tolist()


def test_a_run_that_has_ended_gathers_no_more(tmp_path: Path) -> None:
    """Before each group the caller may stop the work."""
    rows = stage(tmp_path, documents(4))
    split = split_of([0], [0, 1], [5])

    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        Gatherer(rows, Layout(False, False), lambda arranged: arranged).write(  # type: ignore[arg-type, return-value]
            slice_of(split, 0, 1), Collected(), Collected(), stop
        )


def test_groups_of_no_rows() -> None:
    """Without rows there is no group."""
    empty = RowSlice(np.zeros(0, np.int64), np.zeros(1, np.int64), np.zeros(0, np.int32))
    assert list(groups_of(empty)) == []
