"""why: each run of tokens has a writer and a reason."""

from typing import Any

import pytest

from sftprep.data.provenance import Part, Writer
from sftprep.views.why import FIRST, in_words, reasons, runs_of

USER = Writer(0, "user", Part.CONTENT)
EARLY = Writer(1, "assistant", Part.CONTENT)
THOUGHT = Writer(3, "assistant", Part.REASONING)
CALL = Writer(3, "assistant", Part.TOOL_CALL)
ANSWER = Writer(3, "assistant", Part.CONTENT)
STOP = Writer(3, "assistant", Part.STOP)
HEADER = Writer(3, "assistant", Part.TEMPLATE)
NOTHING = Writer(-1, "", Part.BOS)


def why(writer: Writer, trained: bool, **recipe: Any) -> str:
    """The reason for one run, in a row whose last answer is ``messages[3]``."""
    runs = runs_of(
        [(5, Writer(-1, "", Part.TEMPLATE), False), (2, writer, trained), (1, STOP, True)]
    )
    return reasons(runs, recipe)[1].why


@pytest.mark.parametrize(
    ("writer", "trained", "recipe", "reason"),
    [
        (ANSWER, True, {}, "--train-on completion"),
        (ANSWER, True, {"train_on": "last"}, "--train-on last"),
        (USER, True, {"train_on": "all"}, "--train-on all"),
        (USER, True, {"train_on": "user"}, "--train-on user"),
        (USER, True, {}, "a flag of the record"),
        (STOP, True, {}, "ends a trained text, and stops the model"),
        (HEADER, True, {}, "the template writes it within a trained text"),
        (USER, False, {}, "not an answer, and --train-on is completion"),
        (HEADER, False, {}, "the template writes it, not the model"),
        (NOTHING, False, {}, FIRST),
        (THOUGHT, False, {"train_reasoning": "none"}, "--train-reasoning none"),
        (CALL, False, {"train_tool_calls": "no"}, "--train-tool-calls no"),
        (EARLY, False, {"train_on": "last"}, "an earlier answer, and --train-on is last"),
        (
            EARLY,
            False,
            {"per_turn": True},
            "an earlier answer: with --per-turn it has an example of its own",
        ),
        (ANSWER, False, {"train_on": "user"}, "--train-on is user"),
        (ANSWER, False, {}, "a flag of the record, or a marker of the template, leaves it out"),
        (Writer(-1, "", Part.PADDING), False, {}, "padding"),
    ],
)
def test_reasons(writer: Writer, trained: bool, recipe: dict[str, Any], reason: str) -> None:
    """The reason follows from the writer, and from what the options train."""
    assert why(writer, trained, **recipe) == reason


def test_places_and_writers() -> None:
    """Each run has its place in the row, and its writer in words."""
    found = reasons(runs_of([(3, NOTHING, False), (2, CALL, True)], start=10), {})
    assert [(each.start, each.stop, each.writer, each.trained) for each in found] == [
        (10, 13, "bos", False),
        (13, 15, "tool call of messages[3] (assistant)", True),
    ]
    assert in_words(Writer(0, "system", Part.TOOLS)) == "tools of messages[0] (system)"
