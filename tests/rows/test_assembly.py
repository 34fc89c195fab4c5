"""Encoded runs and control tokens are laid out as rows, in columns."""

import itertools
from typing import Any

import numpy as np
import pytest

from sftprep.data.batch import Batch
from sftprep.data.pieces import Section
from sftprep.data.ragged import Ragged
from sftprep.rows.assembly import Elements, LayoutTable, assemble
from sftprep.rows.layout import Layout


def layout(*elements: tuple[int, int, Section, int, int]) -> Layout:
    """A layout of (control id or -1, trained, section, tokens kept at the left, at the right)."""
    control, trained, section, left, right = zip(*elements, strict=True)
    return Layout(
        control=np.array(control, np.int32),
        trained=np.array(trained, np.bool_),
        section=np.array(section, np.uint8),
        kept_left=np.array(left, np.int64),
        kept_right=np.array(right, np.int64),
        runs=(),
        chains=(),
        single_words=(),
        joint=False,
        part_sizes=np.ones(len(control), np.int64),
        part_writers=np.zeros(len(control), np.int32),
    )


def assembled(layouts: list[Layout], numbers: list[int], runs: Ragged, **options: Any) -> Batch:
    """Rows with these layouts."""
    table = LayoutTable(layouts)
    elements = Elements.of(table, np.array(numbers, np.int64), runs)
    return assemble(table, elements, runs, **options)


K, P, C = Section.KEPT, Section.PROMPT, Section.COMPLETION
CHAT = layout(
    (90, 0, K, 0, 0), (-1, 0, P, 1, 2), (91, 0, P, 0, 0), (-1, 1, C, 0, 0), (92, 1, C, 0, 0)
)
PLAIN = layout((-1, 0, P, 0, 0), (-1, 1, C, 0, 0))
TOKEN = layout((93, 1, C, 0, 0))


def rows(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """Ids and mask of each row."""
    ends = batch.offsets.tolist()
    mask = batch.loss_mask.astype(int)
    return [
        (batch.input_ids[a:b].tolist(), mask[a:b].tolist()) for a, b in itertools.pairwise(ends)
    ]


def test_assemble() -> None:
    """Control tokens and runs follow the layout; each token has the loss of its element."""
    runs = Ragged.of([[1, 2, 3, 4], [5], [6], [7, 8], [], [9], [], []])
    batch = assembled([CHAT, PLAIN, TOKEN], [0, 1, 2, 0, 1], runs, with_sections=True)
    assert rows(batch) == [
        ([90, 1, 2, 3, 4, 91, 5, 92], [0, 0, 0, 0, 0, 0, 1, 1]),
        ([6, 7, 8], [0, 1, 1]),
        ([93], [1]),
        ([90, 91, 9, 92], [0, 0, 1, 1]),
        ([], []),
    ]
    assert batch.record.tolist() == [0, 1, 2, 3, 4]
    assert batch.section is not None
    assert (
        " ".join(
            "".join(Section(x).name[0] for x in batch.section[a:b])
            for a, b in zip(batch.offsets, batch.offsets[1:], strict=False)
        )
        == "KKPKKPCC PCC C KPCC "
    )


@pytest.mark.parametrize(
    ("length", "expected"), [(0, ""), (1, "K"), (2, "KK"), (3, "KKK"), (4, "KPKK")]
)
def test_kept_ends(length: int, expected: str) -> None:
    """The kept ends of a short run do not overlap: the left one comes first."""
    one = layout((-1, 0, P, 1, 2))
    batch = assembled([one], [0], Ragged.of([[7] * length]), with_sections=True)
    assert batch.section is not None
    assert expected == "".join(Section(x).name[0] for x in batch.section)


def test_without_sections() -> None:
    """Sections are made only if truncation needs them."""
    batch = assembled([PLAIN], [0], Ragged.of([[1], [2]]))
    assert batch.section is None


def test_no_rows() -> None:
    """A block without records gives an empty batch."""
    batch = assembled([PLAIN], [], Ragged.of([]))
    assert (len(batch), batch.offsets.tolist()) == (0, [0])
