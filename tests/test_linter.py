"""linter: how the records of a block are read for the rules."""

from pathlib import Path
from typing import Any

import pytest
from planted import chat, exchange
from toys import write_jsonl

from sftprep.lint_inputs import Report, lint
from sftprep.recipe import Recipe


def linted(path: Path, records: list[Any], **options: Any) -> Report:
    """Lint some records."""
    write_jsonl(path, records)
    return lint(Recipe(inputs=(str(path),), workers=1, **options))


def found(report: Report) -> dict[str, tuple[int, int]]:
    """Return how many are at fault, and how many were looked at, by rule."""
    return {one.rule.name: (one.verdict.faulty, one.seen) for one in report.findings}


def test_a_prompt_with_tools_is_read(tmp_path: Path) -> None:
    """What only chat templates take is looked at like the rest."""
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    records = [exchange(number) for number in range(30)]
    records[3] |= {"tools": tools, "completion": "Yes. "}
    assert found(linted(tmp_path / "a.jsonl", records)) == {"answer-end": (1, 30)}


def test_calls_and_results(tmp_path: Path) -> None:
    """An answer that only calls a tool has no text; the text behind the result is an answer."""
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    turns = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "\u200b3"},
    ]
    records = [chat(number) for number in range(30)]
    messages = records[5]["messages"]
    records[5] = {"messages": [*messages[:4], *turns, messages[4]]}
    assert found(linted(tmp_path / "a.jsonl", records)) == {"zero-width": (1, 30)}


def test_texts_without_turns(tmp_path: Path) -> None:
    """A whole text is an answer without a prompt."""
    records = [{"text": f"Once there were {n} birds, and nobody saw them."} for n in range(30)]
    records[4] = {"text": "Once there was  a bird.\n"}
    assert found(linted(tmp_path / "a.jsonl", records)) == {"answer-end": (1, 30)}


def test_records_that_are_not_trained(tmp_path: Path) -> None:
    """A record whose own flag says that it is not trained is no bad record."""
    records = [exchange(number) for number in range(30)]
    records[4] |= {"train": False, "completion": "Yes. "}
    report = linted(tmp_path / "a.jsonl", records)
    assert (found(report), report.records) == ({}, 30)


@pytest.mark.parametrize("options", [{}, {"field": ("prompt=asked", "completion=said")}])
def test_names_of_fields(tmp_path: Path, options: Any) -> None:
    """Renamed fields are read as the options say; without them, the file has no schema."""
    own = [exchange(number) for number in range(30)]
    records = [{"asked": one["prompt"], "said": one["completion"]} for one in own]
    expected = {} if options else {"bad-record": (30, 30)}
    assert found(linted(tmp_path / "a.jsonl", records, **options)) == expected


def test_broken_lines(tmp_path: Path) -> None:
    """A line that is no JSON is a bad record, with its place; blank lines are none."""
    path = tmp_path / "a.jsonl"
    write_jsonl(path, [exchange(1), exchange(2)])
    path.write_text(path.read_text() + "\n{broken\n")
    report = lint(Recipe(inputs=(str(path),), workers=1))
    assert (found(report), report.records) == ({"bad-record": (1, 3)}, 3)
    assert report.findings[0].verdict.examples[0].line == 4
