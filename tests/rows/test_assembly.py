"""records and assemble: columns of ids, laid out as rows and only ever cut together."""

import itertools

import numpy as np
import pytest

from sftprep.data.batch import Batch
from sftprep.data.pieces import Section
from sftprep.data.ragged import Ragged, ends_to_offsets
from sftprep.rows.assembly import Layouts, assemble
from sftprep.rows.layout import Layout


def layout(*elements: tuple[int, int, Section, int, int]) -> Layout:
    """A layout of (control id or -1, trained, part, tokens kept at the left, at the right)."""
    control, trained, part, left, right = zip(*elements, strict=True)
    return Layout(
        control=np.array(control, np.int32),
        trained=np.array(trained, np.bool_),
        section=np.array(part, np.uint8),
        kept_left=np.array(left, np.int64),
        kept_right=np.array(right, np.int64),
        runs=(),
        continued=(),
        run_trained=(),
        joins=(),
        watches=(),
        joint=False,
    )


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
    """Control tokens and runs take their places, each token with the loss of its element."""
    runs = Ragged.of([[1, 2, 3, 4], [5], [6], [7, 8], [], [9], [], []])
    batch = assemble(
        Layouts([CHAT, PLAIN, TOKEN]), np.array([0, 1, 2, 0, 1]), runs, with_sections=True
    )
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
    """The kept ends of a short run do not overlap."""
    one = layout((-1, 0, P, 1, 2))
    batch = assemble(Layouts([one]), np.array([0]), Ragged.of([[7] * length]), with_sections=True)
    assert batch.section is not None
    assert expected == "".join(Section(x).name[0] for x in batch.section)


def test_without_parts() -> None:
    """Parts are made only where truncation needs them."""
    batch = assemble(Layouts([PLAIN]), np.array([0]), Ragged.of([[1], [2]]))
    assert batch.section is None


def test_no_rows() -> None:
    """No records are an empty batch."""
    batch = assemble(Layouts([PLAIN]), np.array([], np.int64), Ragged.of([]))
    assert (len(batch), batch.offsets.tolist()) == (0, [0])


# --- records ------------------------------------------------------------------------------------


def sample() -> Batch:
    """Three rows of four, none and two tokens."""
    return Batch(
        np.array([1, 2, 3, 4, 5, 6], np.int32),
        np.array([0, 1, 0, 1, 1, 0], np.bool_),
        ends_to_offsets(np.array([4, 0, 2])),
        np.array([5, 7, 9], np.int64),
    )


@pytest.mark.parametrize("ignore", [-100, -1])
def test_labels(ignore: int) -> None:
    """A label is the token's id where it is trained and the ignore index elsewhere, unshifted."""
    labels = sample().labels(ignore)
    assert [ignore, 2, ignore, 4, 5, ignore] == labels.tolist()
    assert labels.dtype == np.int32


def test_trained() -> None:
    """The first token of a row never has a loss: nothing predicts it."""
    assert sample().trained().tolist() == [2, 0, 0]


def test_keep_tokens() -> None:
    """A cut takes ids and mask together, and the rows stay in their places."""
    cut = sample().keep_tokens(np.array([0, 1, 1, 0, 0, 1], np.bool_))
    assert rows(cut) == [([2, 3], [1, 0]), ([], []), ([6], [0])]
    assert cut.record.tolist() == [5, 7, 9]


def test_keep_rows() -> None:
    """Whole rows go with all that belongs to them."""
    cut = sample().keep_rows(np.array([1, 0, 1], np.bool_))
    assert rows(cut) == [([1, 2, 3, 4], [0, 1, 0, 1]), ([5, 6], [1, 0])]
    assert cut.record.tolist() == [5, 9]


def test_concatenate() -> None:
    """Batches are joined row by row."""
    joined = Batch.concatenate([sample(), sample().keep_rows(np.array([0, 0, 1], np.bool_))])
    expected = [([1, 2, 3, 4], [0, 1, 0, 1]), ([], []), ([5, 6], [1, 0]), ([5, 6], [1, 0])]
    assert expected == rows(joined)
    assert joined.record.tolist() == [5, 7, 9, 9]


def test_ragged_take() -> None:
    """Rows can be taken in any order, and more than once."""
    taken = Ragged.of([[1, 2], [], [3]]).take(np.array([2, 0, 1, 0]))
    assert [taken.row(i).tolist() for i in range(4)] == [[3], [1, 2], [], [1, 2]]
