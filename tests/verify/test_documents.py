"""Packed and padded rows: every rule about documents, borders and padding is checked."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sftprep.arrange.options import Pad, PadTo
from sftprep.data.ragged import Ragged
from sftprep.formats.chunks import Chunk
from sftprep.verify.layout import RowLayout
from sftprep.verify.rows import RowChecker, RowLimits

N, P = -100, 0  # the label of a token without loss, and the pad token
Table = dict[str, list[list[int]]]

# Two documents and one; the second token of each is trained, the first never is.
PACKED: Table = {
    "input_ids": [[1, 2, 3, 4, 5], [6, 7]],
    "labels": [[N, 2, 3, N, 5], [N, 7]],
    "position_ids": [[0, 1, 2, 0, 1], [0, 1]],
    "seq_lengths": [[3, 2], [2]],
}
PACKED_AND_PADDED: Table = {
    "input_ids": [[1, 2, 3, 4, 5, P], [6, 7, P, P, P, P]],
    "labels": [[N, 2, 3, N, 5, N], [N, 7, N, N, N, N]],
    "position_ids": [[0, 1, 2, 0, 1, 0], [0, 1, 0, 1, 2, 3]],
    "seq_lengths": [[3, 2], [2]],
}
PADDED_LEFT: Table = {
    "input_ids": [[P, 1, 2, 3], [P, P, 4, 5], [6, 7, 8, 9]],
    "attention_mask": [[0, 1, 1, 1], [0, 0, 1, 1], [1, 1, 1, 1]],
    "labels": [[N, N, 2, 3], [N, N, N, 5], [N, N, 8, 9]],
}
LAYOUTS = {
    "packed": (PACKED, RowLayout(True, 6)),
    "packed and padded": (
        PACKED_AND_PADDED,
        RowLayout(True, 6, Pad(PadTo.MAX_LENGTH, 6), P),
    ),
    "padded left": (PADDED_LEFT, RowLayout(False, 6, Pad(PadTo.MULTIPLE, 4, "left"), P)),
}
Change = Callable[[Table], object]


def check(table: Table, layout: RowLayout) -> RowChecker:
    """Check rows of at most four tokens a document, and of ids below 10."""
    checker = RowChecker(RowLimits(4, 10, N, layout))
    checker.add(Chunk({name: Ragged.of(rows) for name, rows in table.items()}))
    return checker


def problems(layout: str, change: Change | None = None) -> list[str]:
    """The problems of the rows after a change."""
    table, limits = LAYOUTS[layout]
    table = copy.deepcopy(table)
    if change is not None:
        change(table)
    return [str(problem).removeprefix("f: ") for problem in check(table, limits).problems("f")]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_sound_rows_have_no_problem(layout: str) -> None:
    """Padding counts neither as a token nor as a document."""
    assert problems(layout) == []
    checker = check(*LAYOUTS[layout])
    tokens = {"packed": 7, "packed and padded": 7, "padded left": 9}
    trained = {"packed": 4, "packed and padded": 4, "padded left": 5}
    assert checker.documents == 3
    assert (checker.tokens, checker.trained_tokens) == (tokens[layout], trained[layout])


def put(column: str, row: int, token: int | slice, value: Any) -> Change:
    """A change of one value."""
    return lambda table: table[column][row].__setitem__(token, value)


def every(*changes: Change) -> Change:
    """Several changes."""
    return lambda table: [change(table) for change in changes]


def longer(row: int, layout: str) -> Change:
    """One more token of padding."""
    extra = {"input_ids": P, "labels": N, "position_ids": 9, "attention_mask": 0}
    names = [name for name in LAYOUTS[layout][0] if name != "seq_lengths"]
    at = 0 if "left" in layout else 99

    def change(table: Table) -> None:
        for name in names:
            table[name][row].insert(at, extra[name])

    return change


FAULTS: list[tuple[str, Change, list[str]]] = [
    (
        "packed",
        put("position_ids", 0, 3, 3),
        ["row 0: token 3 has the position 3; expected 0"],
    ),
    (
        "packed",
        put("seq_lengths", 0, 0, 2),
        ["row 0: has seq_lengths that add up to 4; it holds 5 tokens"],
    ),
    (
        "packed",
        put("seq_lengths", 1, 0, 3),
        ["row 1: has seq_lengths that add up to 3; it holds 2 tokens"],
    ),
    (
        "packed",
        put("seq_lengths", 0, slice(None), [5, 0]),
        ["row 0: has the seq_lengths [5, 0]; expected one number above 0 for each document"],
    ),
    (
        "packed",
        put("seq_lengths", 1, slice(None), []),
        ["row 1: has the seq_lengths []; expected one number above 0 for each document"],
    ),
    (
        "packed",
        put("seq_lengths", 0, slice(None), [7, -2]),
        ["row 0: has the seq_lengths [7, -2]; expected one number above 0 for each document"],
    ),
    (
        "packed",  # borders that are moved together
        every(
            put("seq_lengths", 0, slice(None), [1, 4]),
            put("position_ids", 0, slice(None), [0, 0, 1, 2, 3]),
        ),
        [
            "row 0: token 1 has the label 2; expected -100, as a document begins there",
            "row 0: document 0 holds no trained token",
        ],
    ),
    (
        "packed",
        put("labels", 0, 3, 4),
        ["row 0: token 3 has the label 4; expected -100, as a document begins there"],
    ),
    (
        "packed",
        put("labels", 0, 4, N),
        ["row 0: document 1 holds no trained token"],
    ),
    (
        "packed",
        every(
            put("seq_lengths", 0, slice(None), [5]),
            put("position_ids", 0, slice(None), [0, 1, 2, 3, 4]),
        ),
        ["row 0: document 0 holds 5 tokens; max_length is 4"],
    ),
    (
        "packed and padded",
        put("input_ids", 1, 5, 9),
        ["row 1: token 5 is padding and has the id 9; expected 0, the pad token's"],
    ),
    (
        "packed and padded",
        put("labels", 1, 2, P),
        ["row 1: token 2 has the label 0; expected -100, as it is padding"],
    ),
    (
        "packed and padded",
        put("position_ids", 1, 2, 2),
        ["row 1: token 2 has the position 2; expected 0"],
    ),
    (
        "packed and padded",
        longer(1, "packed and padded"),
        [
            "row 1: token 6 has the position 9; expected 4",
            "row 1: holds 7 tokens, padding included; expected 6",
        ],
    ),
    (
        "padded left",
        put("attention_mask", 1, slice(None), [1, 1, 0, 0]),
        ["row 1: token 0 has the attention_mask 1; expected 0"],
    ),
    (
        "padded left",
        put("attention_mask", 2, 3, 2),
        ["row 2: token 3 has the attention_mask 2; expected 1"],
    ),
    (
        "padded left",
        put("labels", 2, 0, 6),
        ["row 2: token 0 has the label 6; expected -100, as a document begins there"],
    ),
    (
        "padded left",
        longer(2, "padded left"),
        ["row 2: holds 5 tokens, padding included; expected 4"],
    ),
]


@pytest.mark.parametrize(("layout", "change", "expected"), FAULTS)
def test_a_broken_rule_is_reported(layout: str, change: Change, expected: list[str]) -> None:
    """The first row that breaks it, and what was expected there."""
    assert problems(layout, change) == expected


def test_a_pack_may_not_be_too_long() -> None:
    """Without padding; each of its documents is short enough."""
    table, _ = LAYOUTS["packed"]
    found = check(table, RowLayout(True, 4)).problems("f")
    assert list(map(str, found)) == ["f: row 0: holds 5 tokens; pack_length is 4"]


def test_rows_that_are_padded_to_the_longest_all_have_one_length() -> None:
    """Which it is can be told once all shards of the split are read."""
    layout = RowLayout(False, 6, Pad(PadTo.LONGEST, 6, "left"), P)
    checker = check(PADDED_LEFT, layout)
    assert checker.problems("f") == []
    assert (checker.padded_to, checker.longest) == (4, 4)
    table = copy.deepcopy(PADDED_LEFT)
    for column in table.values():
        del column[1][0]
    found = check(table, layout).problems("f")
    assert list(map(str, found)) == ["f: row 1: holds 3 tokens, padding included; expected 4"]


def test_a_row_without_documents_does_not_disturb_the_others() -> None:
    """Their documents are still checked, at their places."""
    checker = check(
        {
            "input_ids": [[1, 2], [3, 4], [5, 6]],
            "labels": [[N, 2], [N, 4], [N, N]],
            "position_ids": [[0, 1], [0, 1], [0, 1]],
            "seq_lengths": [[9], [2], [2]],
        },
        RowLayout(True, 6),
    )
    assert list(map(str, checker.problems("f"))) == [
        "f: row 0: has seq_lengths that add up to 9; it holds 2 tokens",
        "f: row 2: document 0 holds no trained token",
    ]
    assert checker.rows == 3


def test_any_numbers_in_any_column_give_problems_and_no_crash() -> None:
    """Shards are not trusted."""
    random = np.random.default_rng(5)
    for layout in (pair[1] for pair in LAYOUTS.values()):
        for _ in range(300):
            lengths = random.integers(0, 5, 4)
            names = ["labels", "position_ids"] if layout.packed else ["labels", "attention_mask"]
            table = {
                name: [random.integers(-2, 12, length).tolist() for length in lengths]
                for name in ["input_ids", *names]
            }
            if layout.packed:
                table["seq_lengths"] = [random.integers(-2, 5, n).tolist() for n in [1, 0, 2, 3]]
            if random.random() < 0.3:
                table["labels"][1].append(3)
            check(table, layout)
