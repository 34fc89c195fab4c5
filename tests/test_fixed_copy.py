"""--write-fixed: only what was found is corrected; every other byte stays as it was."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import chat, exchange
from toys import write_jsonl

from sftprep.errors import OutputError, UsageError
from sftprep.fixed_copy import changes_of
from sftprep.lint.json_edit import strings_of, with_strings
from sftprep.lint_inputs import Report, lint
from sftprep.recipe import Recipe

Write = Callable[[str, str | bytes], Path]


def fixed(source: Path, target: Path, **options: Any) -> Report:
    """Lint a file and write a corrected copy."""
    recipe = Recipe(inputs=(str(source),), workers=1, **options)
    return lint(recipe, write_fixed=str(target))


def test_only_the_faults_change(write: Write, tmp_path: Path) -> None:
    """Spaces, escapes, blank lines, numbers and other fields stay byte for byte."""
    lines = [json.dumps(exchange(n), ensure_ascii=n % 2 == 0) for n in range(30)]
    lines[3] = '{"id":\t1.50, "prompt" : "Passage: a\\u000ab\\nAnswer:\\n","completion": " Yes. "}'
    lines[5] = '{"completion":"Caf\\u00c3\\u00a9 \\/ \\u00e9","prompt":"Passage: Ä\\nAnswer:\\n"}'
    lines[7] = '{"completion":"It is.","prompt":"Passage: Ä\u00a0B\\r\\nC\\nAnswer:\\n"}'
    lines[9] = ""
    lines[11] = '{"prompt": 7, "completion": " not read "}\r'
    source = write("a.jsonl", b"\xef\xbb\xbf" + "\n".join(lines).encode())
    report = fixed(source, tmp_path / "b.jsonl")
    expected = lines.copy()
    expected[3] = lines[3].replace(" Yes. ", "Yes.")
    expected[5] = '{"completion":"Caf\\u00e9 / \\u00e9","prompt":"Passage: Ä\\nAnswer:\\n"}'
    expected[7] = '{"completion":"It is.","prompt":"Passage: Ä B\\nC\\nAnswer:\\n"}'
    copy = (tmp_path / "b.jsonl").read_bytes()
    assert copy == b"\xef\xbb\xbf" + "\n".join(expected).encode()
    assert report.fixed is not None
    assert (report.fixed.records, report.fixed.changes) == (
        3,
        {"answer-start": 1, "answer-end": 1, "mojibake": 1, "nbsp": 1, "line-ends": 1},
    )
    assert Path(changes_of(str(tmp_path / "b.jsonl"))).read_text().splitlines() == [
        "a.jsonl:4\tcompletion\tanswer-start\t' Yes. ' -> 'Yes. '",
        "a.jsonl:4\tcompletion\tanswer-end\t'Yes. ' -> 'Yes.'",
        "a.jsonl:6\tcompletion\tmojibake\t'CafÃ© / é' -> 'Café / é'",
        "a.jsonl:8\tprompt\tnbsp\t'Passage: Ä\\xa0B\\r\\nC\\nAnswer:\\n' -> "
        "'Passage: Ä B\\r\\nC\\nAnswer:\\n'",
        "a.jsonl:8\tprompt\tline-ends\t'Passage: Ä B\\r\\nC\\nAnswer:\\n' -> "
        "'Passage: Ä B\\nC\\nAnswer:\\n'",
    ]


def test_messages(tmp_path: Path) -> None:
    """In conversations, the texts of messages are corrected, and named by their place."""
    records = [chat(number) for number in range(30)]
    records[4]["messages"][2]["content"] += "\n"
    records[6]["messages"][1]["content"] += " "
    records[8]["messages"][4]["content"] = [{"type": "text", "text": " It is 9."}]
    source = write_jsonl(tmp_path / "a.jsonl", records)
    fixed(source, tmp_path / "b.jsonl")
    listed = (tmp_path / "b.jsonl.changes").read_text().splitlines()
    assert [line.split("\t")[:3] for line in listed] == [
        ["a.jsonl:5", "messages[2].content", "answer-end"],
        ["a.jsonl:7", "messages[1].content", "message-end"],
        ["a.jsonl:9", "messages[4].content[0].text", "answer-start"],
    ]
    again = fixed(tmp_path / "b.jsonl", tmp_path / "c.jsonl")
    assert [finding.rule.name for finding in again.findings] == []
    assert (tmp_path / "c.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    assert (tmp_path / "c.jsonl.changes").read_bytes() == b""


def test_ignored_rules_correct_nothing(tmp_path: Path) -> None:
    """What is ignored is meant to be as it is."""
    records = [exchange(number) for number in range(30)]
    records[4]["completion"] += " "
    source = write_jsonl(tmp_path / "a.jsonl", records)
    fixed(source, tmp_path / "b.jsonl", lint_ignore=("answer-end=meant so",))
    assert (tmp_path / "b.jsonl").read_bytes() == source.read_bytes()


def test_no_text_becomes_empty(tmp_path: Path) -> None:
    """A text of nothing but white space stays: what belongs there is not known."""
    records = [exchange(number) for number in range(30)]
    records[4]["completion"] = " \n"
    source = write_jsonl(tmp_path / "a.jsonl", records)
    fixed(source, tmp_path / "b.jsonl")
    assert (tmp_path / "b.jsonl").read_bytes() == source.read_bytes()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize("existing", ["b.jsonl", "b.jsonl.changes"])
def test_no_file_is_overwritten(tmp_path: Path, existing: str) -> None:
    """If the copy or its list of changes exists, nothing is done."""
    source = write_jsonl(tmp_path / "a.jsonl", [exchange(1)])
    (tmp_path / existing).write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        fixed(source, tmp_path / "b.jsonl")
    assert (tmp_path / existing).read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.jsonl", existing])


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    """A copy that cannot be created is an error of the output."""
    source = write_jsonl(tmp_path / "a.jsonl", [exchange(1)])
    with pytest.raises(OutputError, match="cannot be created"):
        fixed(source, tmp_path / "none" / "b.jsonl")


@pytest.mark.parametrize("kind", ["array", "csv", "two", "computed"])
def test_other_inputs(tmp_path: Path, write: Write, kind: str) -> None:
    """Only one plain file of JSON Lines, with plain fields, has a copy."""
    one = write_jsonl(tmp_path / "a.jsonl", [exchange(n) for n in range(3)])
    array = write("a.json", json.dumps([exchange(n) for n in range(3)]))
    table = write("a.csv", "prompt,completion\na,b\n")
    inputs = {"array": [array], "csv": [table], "two": [one, array], "computed": [one]}[kind]
    field = ("prompt={prompt}!",) if kind == "computed" else ()
    recipe = Recipe(inputs=tuple(map(str, inputs)), workers=1, field=field)
    with pytest.raises(UsageError, match="--write-fixed writes a copy of one plain file of JSON"):
        lint(recipe, write_fixed=str(tmp_path / "b.jsonl"))
    assert not (tmp_path / "b.jsonl").exists()


# --- strings in JSON ------------------------------------------------------------------------------

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def paths_of(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of each string in a value, in order."""
    if isinstance(value, str):
        return [path]
    pairs: Iterable[tuple[str | int, Any]] = ()
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
    return [found for key, inner in pairs for found in paths_of(inner, (*path, key))]


@settings(max_examples=80, deadline=None)
@given(VALUES, st.booleans(), st.sampled_from([None, 1]))
def test_strings_are_found_by_their_paths(value: Any, is_ascii: bool, indent: int | None) -> None:
    """Each string that is a value is found, with its path, however the JSON is laid out."""
    text = json.dumps(value, ensure_ascii=is_ascii, indent=indent)
    assert [path for path, _, _ in strings_of(text)] == paths_of(value)
    same = {path: json.loads(text[start:end]) for path, start, end in strings_of(text)}
    assert json.loads(with_strings(text.encode(), same)) == value
    assert with_strings(text.encode(), {}) == text.encode()
