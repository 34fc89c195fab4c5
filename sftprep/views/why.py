"""Say who wrote each run of tokens, and why it is trained or not.

In     the segments of a row, and the options that decide what is trained.
Out    lines: the tokens of a segment, who wrote them, and the reason.
Keeps  one line for each segment, in the order of the row.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sftprep.data.provenance import Part, Writer

ANSWERS = ("completion", "last")
"""The values of ``--train-on`` that train answers only."""
FIRST = "the first token of a row: no token before it predicts it"


class Run(NamedTuple):
    """Tokens of a row that one text has given, all trained or all not."""

    start: int  # the number of the first token in the row
    stop: int
    writer: Writer
    trained: bool


class Reason(NamedTuple):
    """Why the tokens of a run are trained, or not."""

    start: int
    stop: int
    writer: str  # who wrote them, in words
    trained: bool
    why: str


def runs_of(segments: Sequence[tuple[int, Writer, bool]], start: int = 0) -> tuple[Run, ...]:
    """Return segments with their places in the row.

    Args:
        segments: how many tokens each has, its writer, and whether it is trained.
        start: the number of the first token.
    """
    found = []
    for tokens, writer, trained in segments:
        found.append(Run(start, start + tokens, writer, trained))
        start += tokens
    return tuple(found)


def reasons(runs: Sequence[Run], recipe: Mapping[str, Any]) -> list[Reason]:
    """Say of each run who wrote it, and why it is trained or not.

    Args:
        runs: the runs of a row.
        recipe: the options of the dataset, by name.
    """
    answers = (run.writer.message for run in runs if run.writer.role == "assistant")
    last = max(answers, default=-1)
    return [
        Reason(run.start, run.stop, in_words(run.writer), run.trained, _why(run, recipe, last))
        for run in runs
    ]


def in_words(writer: Writer) -> str:
    """Say which text is meant.

    >>> in_words(Writer(2, "assistant", Part.CONTENT)), in_words(Writer(-1, "", Part.BOS))
    ('content of messages[2] (assistant)', 'bos')
    """
    part = writer.part.value.replace("_", " ")
    return part if writer.message < 0 else f"{part} of messages[{writer.message}] ({writer.role})"


def _why(run: Run, recipe: Mapping[str, Any], last_answer: int) -> str:
    return _why_trained(run, recipe) if run.trained else _why_not(run, recipe, last_answer)


def _why_trained(run: Run, recipe: Mapping[str, Any]) -> str:
    part, train_on = run.writer.part, recipe.get("train_on", "completion")
    if part is Part.STOP:
        return "ends a trained text, and stops the model"
    if train_on == "all":
        return "--train-on all"
    if train_on not in ANSWERS and run.writer.role in train_on.split(","):
        return f"--train-on {train_on}"
    if part is Part.TEMPLATE:
        return "the template writes it within a trained text"
    return f"--train-on {train_on}" if run.writer.role == "assistant" else "a flag of the record"


def _why_not(run: Run, recipe: Mapping[str, Any], last_answer: int) -> str:
    writer, train_on = run.writer, recipe.get("train_on", "completion")
    is_earlier = writer.message != last_answer
    rules = (
        (writer.part is Part.PADDING, "padding"),
        (writer.part is Part.BOS or (run.start, run.stop) == (0, 1), FIRST),
        (writer.part is Part.TEMPLATE, "the template writes it, not the model"),
        (writer.role != "assistant", f"not an answer, and --train-on is {train_on}"),
        (
            writer.part is Part.REASONING and recipe.get("train_reasoning", "all") != "all",
            f"--train-reasoning {recipe.get('train_reasoning')}",
        ),
        (
            writer.part is Part.TOOL_CALL and recipe.get("train_tool_calls", "yes") == "no",
            "--train-tool-calls no",
        ),
        (is_earlier and train_on == "last", "an earlier answer, and --train-on is last"),
        (
            is_earlier and bool(recipe.get("per_turn")),
            "an earlier answer: with --per-turn it has an example of its own",
        ),
        (train_on not in (*ANSWERS, "all"), f"--train-on is {train_on}"),
        (True, "a flag of the record, or a marker of the template, leaves it out"),
    )
    return next(text for holds, text in rules if holds)
