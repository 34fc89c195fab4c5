"""What a user should know about the rows that are written is counted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from toys import byte_tokenizer

from sftprep.data.pieces import LITERAL, Piece, Rendered, Section
from sftprep.data.provenance import Reasons
from sftprep.data.ragged import Ragged
from sftprep.data.result import BlockResult
from sftprep.remarks import Remarks, Written, _is_visible

CONTROLS = byte_tokenizer(["<|a|>", "</s>"], special={}).controls
A, EOS = CONTROLS["<|a|>"].id, CONTROLS["</s>"].id


def text(literal: str, trained: bool = False) -> Piece:
    """Template text."""
    return Piece(literal, LITERAL, trained, Section.PROMPT)


def slot(number: int, trained: bool = False) -> Piece:
    """A place for a content."""
    return Piece("", number, trained, Section.PROMPT)


class Shapes:
    """Stands for a renderer: it only knows the pieces of shapes."""

    def __init__(self, *shapes: Sequence[Piece]) -> None:
        self.shapes = shapes

    def pieces(self, shape: int) -> Sequence[Piece]:
        """Return the pieces of a shape."""
        return self.shapes[shape]


def counted(
    shapes: Sequence[Sequence[Piece]],
    records: Sequence[Rendered],
    rows: Sequence[int] | None = None,
    omitted: dict[int, Sequence[str]] | None = None,
    **options: Any,
) -> BlockResult:
    """The result of a block of these records; by default all of them have a row.

    The counts of rows are those of the rows that have the reason.
    """
    defaults: dict[str, Any] = {"stops": None, "plain_text": (), "finds_glue": True}
    remarks = Remarks(Shapes(*shapes), CONTROLS, **defaults | options)  # type: ignore[arg-type]
    result = BlockResult(0, 0, "", 0)
    numbers = np.array(range(len(records)) if rows is None else rows, np.int64)
    written = Written(records, {record.shape for record in records}, numbers)
    reasons = Reasons()
    remarks.count(written, omitted or {}, reasons, result)
    found = {name: int(marked.sum()) for name, marked in reasons.rows.items()}
    expected = {f"token_as_text:{text}": n for text, n in result.lookalikes.items()}
    expected |= {f"omitted:{name}": n for name, n in result.omitted.items()}
    others = {"empty_think_block", "trained_think_block", "glued_answer"}
    assert {name: n for name, n in found.items() if name not in others} == expected
    assert found.keys() & others == {name for name in others if result.counts[f"{name}s"]}
    assert all(len(marked) == len(numbers) for marked in reasons.rows.values())
    return result


def test_lookalikes_of_the_template() -> None:
    """The rows whose template text looks like a token count, by text; contents do not."""
    shapes = [
        [text("<|a|><|b|>"), slot(0), text("</s><|c|>")],
        [text("<|"), slot(0), text("|><|b|>")],
        [text("<|b"), text("|>")],
    ]
    records = [Rendered(s, ("<|x|>",)) for s in (0, 1, 2, 0)]
    assert counted(shapes, records).lookalikes == {"<|b|>": 4, "<|c|>": 2}
    assert counted(shapes, records, rows=[1, 3]).lookalikes == {"<|b|>": 2, "<|c|>": 1}
    assert counted(shapes, records, plain_text=("<|b|>", "<|d|>")).lookalikes == {"<|c|>": 2}
    assert counted(shapes, records, rows=[]).lookalikes == {}


@pytest.mark.parametrize(
    ("prompt", "answer", "glued"),
    [
        ("a", "b", 1), ("a:", "b", 1), ("问题？", "答", 1), ("😀", "😀", 1),
        ("a ", "b", 0), ("a", " b", 0), ("a\n", "b", 0), ("a", "\tb", 0), ("a\u3000", "b", 0),
        ("a", "\xa0b", 0), ("", "b", 0), ("a", "", 0), ("a\u200b", "b", 1),
    ],
)  # fmt: skip
def test_answers_that_follow_directly(prompt: str, answer: str, glued: int) -> None:
    """An answer is glued to its prompt if both are visible there, and nothing is between them."""
    shapes = [
        [slot(0), slot(1, trained=True), text("</s>", trained=True)],
        [slot(0), text(" "), slot(1, trained=True)],
        [slot(0), slot(1)],  # not trained
    ]
    for shape, expected in enumerate((glued, 0, 0)):
        record = Rendered(shape, (prompt, answer))
        found = counted(shapes, [record, record], rows=[1])
        assert found.counts["glued_answers"] == expected
        assert not counted(shapes, [record], finds_glue=False).counts["glued_answers"]


def test_white_space_is_that_of_python() -> None:
    """A character is visible if ``str.isspace`` does not accept it."""
    characters = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x11000)]))
    assert _is_visible(characters).tolist() == [not c.isspace() for c in characters]


def test_omissions() -> None:
    """What rows leave out counts by name, of the rows that are written."""
    records = [Rendered(0, ())] * 3
    found = counted([[]], records, rows=[0, 2], omitted={0: ["tools", "name"], 1: ["tools"]})
    assert found.omitted == {"tools": 1, "name": 1}


@pytest.mark.parametrize(
    ("stops", "without", "others"),
    [
        (None, 2, {}),
        (frozenset({A, EOS}), 2, {}),
        (frozenset({EOS}), 4, {"<|a|>": 2}),
        (frozenset(), 5, {"<|a|>": 2, "</s>": 1}),
    ],
)
def test_ends(stops: frozenset[int] | None, without: int, others: dict[str, int]) -> None:
    """Answers without a token count, and those whose token is none of the stops."""
    remarks = Remarks(
        Shapes(),  # type: ignore[arg-type]
        CONTROLS,
        stops=stops,
        plain_text=(),
        finds_glue=True,
    )
    result, reasons = BlockResult(0, 0, "", 0), Reasons()
    ends, rows = Ragged.of([[A, -1], [], [A, EOS, -1]]), np.array([True, False, True, True])
    remarks.count_ends(ends, rows, reasons, result)
    assert (result.counts["answers_without_stop"], result.other_stops) == (without, others)
    found = {name: marked.tolist() for name, marked in reasons.rows.items()}
    assert found.pop("answer_without_stop") == [True, False, False, True]
    by_token = {"<|a|>": [True, False, False, True], "</s>": [False, False, False, True]}
    assert found == {f"other_stop:{token}": by_token[token] for token in others}


def test_forget() -> None:
    """After ``forget``, the number of a shape may mean another shape."""
    shapes = Shapes([text("<|b|>")])
    remarks = Remarks(
        shapes,  # type: ignore[arg-type]
        CONTROLS,
        stops=None,
        plain_text=(),
        finds_glue=True,
    )
    one = np.zeros(1, np.int64)
    for expected in ("<|b|>", "<|c|>"):
        result = BlockResult(0, 0, "", 0)
        remarks.count(Written([Rendered(0, ())], {0}, one), {}, Reasons(), result)
        assert result.lookalikes == {expected: 1}
        shapes.shapes = ([text("<|c|>")],)
        remarks.forget()


def test_empty_think_blocks_of_the_template() -> None:
    """Blocks in the template's text count for each row; those of records do not."""
    shapes = [
        [text("<think>"), text("\n\n</think>", trained=True), slot(0), text("[THINK] [/THINK]")],
        [text("<think>"), slot(0), text("</think>")],
        [text("<seed:think></seed:think><|START_THINKING|><|END_THINKING|>"), slot(0)],
    ]
    records = [Rendered(s, ("<think></think>",)) for s in (0, 1, 2, 0)]
    found = counted(shapes, records).counts
    assert (found["empty_think_blocks"], found["trained_think_blocks"]) == (6, 2)
    assert counted(shapes, records, rows=[1]).counts["empty_think_blocks"] == 0


def test_an_answer_is_not_glued_to_its_own_reasoning() -> None:
    """Reasoning that is not trained is the input of its turn, in front of the content."""
    shapes = [[slot(0), text(":"), slot(3), slot(2, trained=True)]]
    records = [Rendered(0, ("q", "", "a", "<think>r</think>"))]
    assert counted(shapes, records).counts["glued_answers"] == 0
