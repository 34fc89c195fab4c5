"""rows: every rule that a row can break is found, in every format."""

from collections.abc import Callable

import pytest
from verify.datasets import CHANGEABLE, FIRST, MakeDataset, Table, change_rows, problems, put

from sftprep.data.ragged import Ragged
from sftprep.dataset.files import MANIFEST
from sftprep.formats.chunks import Chunk
from sftprep.verify.rows import RowChecker, RowLimits


def lengthen(table: Table) -> None:
    """Make row 1 five times as long."""
    for column in table.values():
        column[1] = column[1] * 5


def empty(table: Table) -> None:
    """Remove all tokens of row 0."""
    for column in table.values():
        column[0] = []


def untrain(table: Table) -> None:
    """Train the first token of each row only, which a model never predicts."""
    table["labels"] = [[row[0], *[-100] * 4] for row in table["input_ids"]]


def break_two_rules(table: Table) -> None:
    """Set a wrong label in both rows, and a wrong mask in the first."""
    put("labels", 0, 2, 1)(table)
    put("labels", 1, 2, 1)(table)
    put("attention_mask", 0, 0, 2)(table)


FAULTS: dict[str, tuple[Callable[[Table], object], list[str]]] = {
    "label": (
        put("labels", 1, 3, 0),
        ["row 1: token 3 has the label 0; expected 104, its id, or -100"],
    ),
    "negative id": (
        put("input_ids", 0, 1, -1),
        ["row 0: token 1 has the id -1; expected 0 to 256"],
    ),
    "large id": (
        put("input_ids", 1, 0, 257),
        ["row 1: token 0 has the id 257; expected 0 to 256"],
    ),
    "mask": (
        put("attention_mask", 1, 4, 0),
        ["row 1: token 4 has the attention_mask 0; expected 1"],
    ),
    "long": (lengthen, ["row 1: holds 25 tokens; max_length is 9"]),
    "empty": (empty, ["row 0: holds no token"]),
    "untrained": (untrain, ["row 0: holds no trained token (and 1 more row)"]),
    "uneven": (
        lambda table: table["labels"][1].pop(),
        ["row 1: holds 5 input_ids, 5 attention_mask, 4 labels; expected the same number of each"],
    ),
    "several": (
        break_two_rules,
        [
            "row 0: token 0 has the attention_mask 2; expected 1",
            "row 0: token 2 has the label 1; expected 99, its id, or -100 (and 1 more row)",
        ],
    ),
}


@pytest.mark.parametrize("format_name", CHANGEABLE)
@pytest.mark.parametrize("fault", FAULTS)
def test_a_broken_rule_is_reported_with_its_row(
    dataset: MakeDataset, format_name: str, fault: str
) -> None:
    """Each rule is checked in each format, even where every hash and count was forged."""
    change, expected = FAULTS[fault]
    folder = dataset(format=format_name, max_length=9)
    change_rows(folder, change)
    assert problems(folder) == [f"{FIRST}.{format_name}: {text}" for text in expected]


def test_rows_are_numbered_in_their_shard(dataset: MakeDataset) -> None:
    """A row has its number in the shard, not in the chunk that is checked."""
    folder = dataset()
    copies = 9000

    def multiply(table: Table) -> None:
        for name, column in table.items():
            table[name] = [list(row) for row in column for _ in range(copies)]
        table["labels"][2 * copies - 1][3] = 9

    change_rows(folder, multiply)
    assert problems(folder) == [
        f"{MANIFEST}: counts.written is 4; its shards add up to 18,002",
        f"{FIRST}.parquet: row 17999: token 3 has the label 9; expected 104, its id, or -100",
    ]


def chunk(ids: list[list[int]], labels: list[list[int]]) -> Chunk:
    """Return a chunk whose mask is all ones."""
    mask = [[1] * len(row) for row in ids]
    return Chunk(
        {
            "input_ids": Ragged.of(ids),
            "attention_mask": Ragged.of(mask),
            "labels": Ragged.of(labels),
        }
    )


def test_rows_and_tokens_are_counted_over_all_chunks() -> None:
    """Rows, tokens and trained tokens are summed; a rule broken in two chunks is one problem."""
    checker = RowChecker(RowLimits(max_length=4, vocabulary_size=10, ignore_index=-1))
    checker.add(chunk([[1, 2], [3, 4, 5]], [[-1, 2], [-1, -1, -1]]))
    checker.add(chunk([[6, 7]], [[-1, -1]]))
    checker.add(chunk([[8, 9, 10]], [[-1, 9, 10]]))
    assert (checker.rows, checker.tokens, checker.trained_tokens) == (4, 10, 3)
    assert list(map(str, checker.problems("f"))) == [
        "f: row 1: holds no trained token (and 1 more row)",
        "f: row 3: token 2 has the id 10; expected 0 to 9",
    ]


def test_labels_beside_an_uneven_row_are_still_checked() -> None:
    """A row whose columns differ in length does not shift the check of the rows after it."""
    checker = RowChecker(RowLimits(max_length=4, vocabulary_size=10, ignore_index=-1))
    checker.add(chunk([[1, 2], [3, 4], [5, 6]], [[-1], [-1, 4], [-1, 7]]))
    assert list(map(str, checker.problems("f"))) == [
        "f: row 0: holds 2 input_ids, 2 attention_mask, 1 labels; expected the same number of each",
        "f: row 2: token 1 has the label 7; expected 6, its id, or -1",
    ]


def test_limits_may_be_larger_than_any_array_can_hold() -> None:
    """A manifest may name any number as a limit; a sound row still has no problem."""
    checker = RowChecker(RowLimits(max_length=1 << 64, vocabulary_size=1 << 64, ignore_index=-100))
    checker.add(chunk([[1, 2]], [[-100, 2]]))
    assert checker.problems("f") == []
