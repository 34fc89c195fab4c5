"""recipe: one options object for flags, files and Python, strict about every key and type."""

import datetime
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from sftprep import Recipe, UsageError
from sftprep.data.batch import Batch
from sftprep.formats.table import FORMATS
from sftprep.recipe import options, parse_size
from sftprep.rows.truncation import NEEDS_SECTIONS, truncate
from sftprep.schemas.fields import FIELDS, Fields
from sftprep.schemas.table import SCHEMAS
from sftprep.text import flag

Write = Callable[[str, str | bytes], Path]

VALUES = {option.name: option.values for option in options() if option.values}
"""The options that allow only some values, and these values."""

EVERYTHING: dict[str, Any] = {
    "inputs": ["a.jsonl", "b/*.json"],
    "output": "out",
    "tokenizer": "org/name",
    "revision": "v1",
    "schema": "messages",
    "field": ["content=text", "role=by=whom"],
    "role": ["Al=Bob=user"],
    "merge_turns": True,
    "delimiter": "tab",
    "json_path": "result.rows",
    "template": "own.yaml",
    "template_arg": ["enable_thinking=false"],
    "date": "2024-02-29",
    "system": "Sei kurz: 价\n",
    "separator": "",
    "add_token": ["<x>", "pad=<p>"],
    "plain_text": ["<|x|>"],
    "allow_control": ["<x>"],
    "end_of_turn": "<y>",
    "max_length": 100,
    "truncation": "balanced",
    "train_on": "last",
    "train_reasoning": "none",
    "train_tool_calls": "no",
    "per_turn": True,
    "ignore_index": -1,
    "boundary": "joint",
    "dedup": "normalized",
    "validation": "5.5%",
    "test": "100",
    "split_by": "source.id",
    "sample": "50%",
    "repeat": ["a=b*.jsonl=2.5", "c=0.5"],
    "shuffle": True,
    "seed": 7,
    "pack": True,
    "pack_length": 200,
    "pack_order": "longest-first",
    "pad": "multiple-of:8",
    "pad_side": "left",
    "backend": "hf",
    "target": "trl",
    "format": "arrow",
    "loss_mask": "completion_mask",
    "shard_size": "1KiB",
    "private_ledgers": True,
    "max_line_bytes": "1MB",
    "max_expansion": 7,
    "on_injection": "reject",
    "on_omission": "count",
    "on_no_answer": "cut",
    "on_error": "quarantine",
    "max_rejects": "1.5%",
    "max_dropped": "2%",
    "workers": 3,
    "overwrite": True,
    "resume": True,
    "lint_ignore": ["html=these are pages about HTML = markup"],
}
"""Every option, with a value that is not its default."""


def refused(**options: Any) -> str:
    """The text of the error that these options raise."""
    with pytest.raises(UsageError) as caught:
        Recipe(**options)
    return str(caught.value)


# --- merging ------------------------------------------------------------------------------------


def test_every_option_is_tried() -> None:
    """The tests below cover every option, each with a value that is not its default."""
    assert [f.name for f in fields(Recipe)] == list(EVERYTHING)
    defaults = Recipe().as_dict()
    assert [name for name, value in EVERYTHING.items() if defaults[name] == value] == []


def test_from_a_file(write: Write) -> None:
    """Every option can be a key of a YAML file."""
    path = write("r.yaml", yaml.safe_dump(EVERYTHING, allow_unicode=True))
    assert Recipe.from_sources(str(path), {}).as_dict() == EVERYTHING


def test_from_flags() -> None:
    """Every option can be a flag."""
    assert Recipe.from_sources(None, EVERYTHING).as_dict() == EVERYTHING


@pytest.mark.parametrize("name", EVERYTHING)
def test_a_flag_wins(write: Write, name: str) -> None:
    """A flag that was given overrides the file, and the file overrides the default."""
    path = str(write("r.yaml", yaml.safe_dump(EVERYTHING)))
    others: dict[str, Any] = {
        "field": ["prompt=q"], "inputs": ["x"], "add_token": ["y"], "allow_control": ["z"],
        "role": ["p=user"], "merge_turns": True,
        "plain_text": ["y"],
        "max_length": 7, "workers": 1, "ignore_index": -7, "overwrite": True, "max_rejects": "3",
        "dedup": "exact", "validation": "3", "test": "4%", "sample": "9", "repeat": ["b=2"],
        "shuffle": False, "seed": 0, "pack": True, "pack_length": 300, "pack_order": "plan",
        "pad": "longest", "pad_side": "right", "split_by": "id",
        "max_dropped": "4", "private_ledgers": True,
        "shard_size": "9B", "schema": "sharegpt", "truncation": "drop", "train_on": "all",
        "boundary": "split", "backend": "auto", "format": "jsonl", "target": "torchtune",
        "loss_mask": "assistant_masks", "on_error": "quarantine",
        "template_arg": ["a=b"], "date": "2025-01-01", "on_injection": "encode",
        "per_turn": True, "resume": True, "max_line_bytes": "5MB", "max_expansion": 9,
        "on_omission": "error", "on_no_answer": "error", "delimiter": ";",
        "train_reasoning": "last",
        "train_tool_calls": "yes", "lint_ignore": ["nul=a reason"],
    }  # fmt: skip
    value = others.get(name, "other")
    assert EVERYTHING | {name: value} == Recipe.from_sources(path, {name: value}).as_dict()


@pytest.mark.parametrize(
    "absent",
    [{"template": None, "inputs": None, "overwrite": None}, {"inputs": [], "overwrite": False}],
)
def test_a_flag_that_was_not_given(write: Write, absent: dict[str, Any]) -> None:
    """A flag that was not given leaves the file's value."""
    path = str(write("r.yaml", "inputs: [a]\noverwrite: true\ntemplate: qa\n"))
    found = Recipe.from_sources(path, absent)
    assert (found.inputs, found.overwrite, found.template) == (("a",), True, "qa")


@pytest.mark.parametrize(
    ("name", "value"), [("workers", 0), ("max_length", 0), ("ignore_index", 0)]
)
def test_a_flag_of_zero_is_given(name: str, value: int) -> None:
    """Zero is a value and is refused; it does not mean that the flag was not given."""
    with pytest.raises(UsageError, match=f"^{flag(name)} is 0"):
        Recipe.from_sources(None, {name: value})


def test_an_empty_text_is_given(write: Write) -> None:
    """An empty text is a value: it overrides the file's."""
    path = str(write("r.yaml", "separator: x\n"))
    assert Recipe.from_sources(path, {"separator": ""}).separator == ""


@pytest.mark.parametrize("text", ["", "# nothing\n", "{}"])
def test_an_empty_file(write: Write, text: str) -> None:
    """A file without options is a recipe of defaults."""
    assert Recipe() == Recipe.from_sources(str(write("r.yaml", text)), {})


def test_keys_as_flags(write: Write) -> None:
    """A key in the file may be spelled like the flag, with hyphens."""
    path = str(write("r.yaml", "max-length: 5\ntrain-on: all\n"))
    assert Recipe(max_length=5, train_on="all") == Recipe.from_sources(path, {})


@pytest.mark.parametrize("options", [EVERYTHING, {}])
def test_to_yaml(write: Write, options: dict[str, Any]) -> None:
    """A recipe written as YAML and read again is the same recipe, and the same YAML."""
    recipe = Recipe(**options)
    path = write("r.yaml", recipe.to_yaml())
    again = Recipe.from_sources(str(path), {})
    assert (recipe, recipe.to_yaml()) == (again, again.to_yaml())


def test_frozen() -> None:
    """A recipe is immutable."""
    with pytest.raises(FrozenInstanceError):
        Recipe().workers = 5  # type: ignore[misc]


# --- what is refused ----------------------------------------------------------------------------

KNOWN = ", ".join(EVERYTHING)
FILES = [
    ("templates: qa", "unknown option 'templates'. Did you mean 'template'?"),
    ("zzzz: 1", f"unknown option 'zzzz'. Known: {KNOWN}."),
    ("1: 2", f"unknown option 1. Known: {KNOWN}."),
    (
        "[a, b]",
        "found a list of 2 items; expected a mapping of options to values. Correct the file.",
    ),
    ("text", "found 'text'; expected a mapping of options to values. Correct the file."),
]


@pytest.mark.parametrize(("text", "message"), FILES)
def test_bad_file(write: Write, text: str, message: str) -> None:
    """An unknown key is refused; the error names the file and the closest known key."""
    path = write("r.yaml", text)
    with pytest.raises(UsageError) as caught:
        Recipe.from_sources(str(path), {})
    assert f"{path}: {message}" == str(caught.value)


@pytest.mark.parametrize("data", [b"a: [", b"\xff\xfe\xfd", b"a: !!python/object:os.system {}"])
def test_not_yaml(write: Write, data: bytes) -> None:
    """A file that is not plain YAML is refused in one line, and no code in it runs."""
    path = write("r.yaml", data)
    with pytest.raises(UsageError) as caught:
        Recipe.from_sources(str(path), {})
    assert str(caught.value).startswith(f"{path}: not valid YAML: ")
    assert "\n" not in str(caught.value)


def test_no_file(tmp_path: Path) -> None:
    """A recipe file that does not exist is an error that names its path."""
    path = tmp_path / "gone.yaml"
    with pytest.raises(UsageError) as caught:
        Recipe.from_sources(str(path), {})
    expected = f"{path}: cannot be read: No such file or directory. Check the path."
    assert expected == str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": "5"}, "--max-length is '5'; expected a whole number."),
        ({"max_length": 5.0}, "--max-length is 5.0; expected a whole number."),
        ({"max_length": True}, "--max-length is true; expected a whole number."),
        ({"overwrite": "yes"}, "--overwrite is 'yes'; expected true or false."),
        ({"overwrite": 1}, "--overwrite is 1; expected true or false."),
        ({"template": 5}, "--template is 5; expected a string."),
        ({"template": None}, "--template is null; expected a string."),
        ({"field": "a=b"}, "--field is 'a=b'; expected a list of strings."),
        ({"field": [1]}, "--field is a list of 1 item; expected a list of strings."),
        ({"system": ["a"]}, "--system is a list of 1 item; expected a string."),
        (
            {"field": ["prompt={title}\\n{body"]},
            "--field 'prompt={title}\\\\n{body': the brace at character 10 has no partner; {{ "
            "stands for one.",
        ),
        (
            {"role": ["patient"]},
            "--role 'patient': expected NAME=ROLE, with ROLE one of system, developer, user, "
            "assistant, tool.",
        ),
        (
            {"role": ["a=bot"]},
            "--role 'a=bot': expected NAME=ROLE, with ROLE one of system, developer, user, "
            "assistant, tool.",
        ),
        (
            {"role": ["a=user", "a=tool"]},
            "--role gives the meaning of 'a' twice. Keep one.",
        ),
        ({"max_length": 0}, "--max-length is 0; expected 1 or more."),
        ({"workers": -1}, "--workers is -1; expected 1 or more."),
        (
            {"ignore_index": 0},
            "--ignore-index is 0, which can be a token's id. Use a number below 0.",
        ),
        ({"schema": "chat"}, "--schema is 'chat', which is not allowed."),
        (
            {"truncation": "balance"},
            "--truncation is 'balance', which is not allowed. Did you mean 'balanced'?",
        ),
        (
            {"train_on": "x"},
            "--train-on is 'x', which is not allowed. Choose one of completion, all, last, system, "
            "user, assistant, tool.",
        ),
        ({"train_on": "usr"}, "--train-on is 'usr', which is not allowed. Did you mean 'user'?"),
        (
            {"train_on": "user,asistant"},
            "--train-on is 'user,asistant', in which 'asistant' is not allowed. Did you mean "
            "'assistant'?",
        ),
        (
            {"train_on": "user,last"},
            "--train-on is 'user,last', in which 'last' is not allowed. Choose one of system, "
            "user, assistant, tool.",
        ),
        ({"train_on": "user,"}, "--train-on is 'user,', in which '' is not allowed."),
        (
            {"train_on": "user,tool,user"},
            "--train-on is 'user,tool,user', which names user twice. Keep one.",
        ),
        (
            {"train_reasoning": "no"},
            "--train-reasoning is 'no', which is not allowed. Did you mean 'none'?",
        ),
        (
            {"train_tool_calls": "maybe"},
            "--train-tool-calls is 'maybe', which is not allowed. Choose one of yes, no.",
        ),
        (
            {"boundary": "x"},
            "--boundary is 'x', which is not allowed. Choose one of split, joint.",
        ),
        (
            {"backend": "x"},
            "--backend is 'x', which is not allowed. Choose one of auto, gigatoken, hf.",
        ),
        (
            {"on_error": "ignore"},
            "--on-error is 'ignore', which is not allowed. Choose one of fail, quarantine.",
        ),
        (
            {"separator": "a\\d"},
            "--separator is 'a\\\\d'; behind a backslash, expected n (a newline), t (a tab) or "
            "another backslash. Write two backslashes for one.",
        ),
        (
            {"separator": "a\\"},
            "--separator is 'a\\\\'; behind a backslash, expected n (a newline), t (a tab) or "
            "another backslash. Write two backslashes for one.",
        ),
        (
            {"on_injection": "x"},
            "--on-injection is 'x', which is not allowed. Choose one of encode, reject.",
        ),
        ({"template_arg": ["a"]}, "--template-arg 'a': expected KEY=VALUE."),
        ({"date": "1.2.2024"}, "--date is '1.2.2024'; expected a date as YYYY-MM-DD."),
        (
            {"max_rejects": "5"},
            "--max-rejects needs --on-error quarantine: without it no bad record is allowed.",
        ),
    ],
)
def test_refused(options: dict[str, Any], message: str) -> None:
    """Wrong types, values that are not allowed and options that conflict are refused."""
    assert message == refused(**options)[: len(message)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_length": 2**64}, f"--max-length is {2**64}; expected {2**64 - 1:,} or less."),
        ({"workers": 10**26}, f"--workers is {10**26}; expected 4,096 or less."),
        ({"max_expansion": 2**63}, f"--max-expansion is {2**63}; expected {2**63 - 1:,} or less."),
        (
            {"ignore_index": -(2**31) - 1},
            "--ignore-index is -2147483649; expected -2,147,483,648 or more.",
        ),
        ({"max_length": 16**5000}, "--max-length is a very large number; expected 18,446,"),
        (
            {"shard_size": "9" * 5000},
            f"--shard-size is '{'9' * 78}…; expected less than 2^63 bytes. Use a smaller number.",
        ),
        (
            {"shard_size": "9999999999GiB"},
            "--shard-size is '9999999999GiB'; expected less than 2^63 bytes. Use a smaller number.",
        ),
        (
            {"max_line_bytes": 2**63},
            f"--max-line-bytes is {2**63}; expected a string or a whole number below 2^63.",
        ),
        (
            {"max_rejects": 1.5},
            "--max-rejects is 1.5; expected a string or a whole number below 2^63.",
        ),
        ({"max_rejects": True}, "--max-rejects is true; expected a string or a whole number "),
        (
            {"max_rejects": "9" * 5000, "on_error": "quarantine"},
            f"--max-rejects is '{'9' * 78}…; expected a number or a percentage, e.g. 100 or 0.1%.",
        ),
        ({"system": "a\udcff"}, r"--system is 'a\udcff', which is not valid UTF-8. Correct it."),
        (
            {"add_token": ("<a>", "\ud800")},
            r"--add-token is '\ud800', which is not valid UTF-8. Correct it.",
        ),
        ({"inputs": ("\ud800",)}, r"--inputs is '\ud800', which is not valid UTF-8. Correct it."),
        (
            {"output": "a\0b"},
            r"--output is 'a\x00b'; a name cannot have the character NUL.",
        ),
        (
            {"system": datetime.date(2024, 2, 29)},
            "--system is the date 2024-02-29; expected a string.",
        ),
        ({"field": ("prompt=a", "prompt=b")}, "--field gives the name of prompt twice. Keep one."),
        ({"template_arg": ("a=1", "a=2")}, "--template-arg gives a twice. Keep one."),
        (
            {"template_arg": ("a=1e999",)},
            "--template-arg 'a=1e999': '1e999' does not fit a 64-bit float. Correct the value.",
        ),
        (
            {"template_arg": ("a=18446744073709551616",)},
            "--template-arg 'a=18446744073709551616': '18446744073709551616' does not fit 64 bits. "
            "Correct the value.",
        ),
        (
            {"template_arg": ('a={"b": 1, "b": 2}',)},
            '--template-arg \'a={"b": 1, "b": 2}\': a key occurs twice in one object. Correct the '
            "value.",
        ),
    ],
)
def test_values_that_cannot_be_used(options: dict[str, Any], message: str) -> None:
    """Numbers that nothing can hold, and texts that are not UTF-8, are refused by name."""
    assert message == refused(**options)[: len(message)]


@pytest.mark.parametrize("name", ["inputs", "output"])
def test_a_path_that_is_not_utf8(name: str) -> None:
    """A path may have bytes that are not UTF-8: they reach Python as surrogates."""
    value: Any = ("a\udcff",) if name == "inputs" else "a\udcff"
    assert getattr(Recipe(**{name: value}), name) == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_rejects: 100\non_error: quarantine", {"max_rejects": "100"}),
        ("max_dropped: 0", {"max_dropped": "0"}),
        ("validation: 100\ntest: 5%", {"validation": "100", "test": "5%"}),
        ("sample: 7\nseed: 1", {"sample": "7", "seed": 1}),
        ("repeat: ['a*=2']", {"repeat": ["a*=2"]}),
        ("shard_size: 1000", {"shard_size": "1000"}),
        ("max_line_bytes: 5000", {"max_line_bytes": "5000"}),
        ("date: 2024-02-29", {"date": "2024-02-29"}),
        ("date: '2024-02-29'", {"date": "2024-02-29"}),
    ],
)
def test_values_as_yaml_users_write_them(write: Write, text: str, expected: dict[str, Any]) -> None:
    """Whole numbers and dates need no quotes in a recipe."""
    found = Recipe.from_sources(str(write("r.yaml", text)), {}).as_dict()
    assert expected.items() <= found.items()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "max_length: 5\n\nmax_length: 6\n",
            "not valid YAML: the key 'max_length' is given twice, in lines 1 and 3. Correct the "
            "file.",
        ),
        (
            "max_length: 5\nmax-length: 6\n",
            "max_length is given twice, with a hyphen and with an underscore. Keep one.",
        ),
    ],
)
def test_a_key_given_twice(write: Write, text: str, message: str) -> None:
    """Of two equal keys none is chosen: the error names the key and its lines."""
    path = write("r.yaml", text)
    with pytest.raises(UsageError) as caught:
        Recipe.from_sources(str(path), {})
    assert f"{path}: {message}" == str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("true", True), ("false", False), ("null", None), ("12", 12), ("-1.5", -1.5),
        ('"12"', "12"),
        ('["a", 1]', ["a", 1]), ('{"a": null}', {"a": None}), ('""', ""), ("", ""), ("no", "no"),
        ("yes", "yes"), ("012", "012"), ("12:30", "12:30"), ("a: b", "a: b"), ("True", "True"),
        ("0x10", "0x10"), ("1_000", "1_000"), ("~", "~"), ("2024-01-01", "2024-01-01"),
        ("NaN", "NaN"), ("-Infinity", "-Infinity"), (".inf", ".inf"), ("[a]", "[a]"),
        ("a=b", "a=b"),
        ("'a'", "'a'"), ("*a", "*a"), ("# a", "# a"), ("+1", "+1"), ("1.", "1."), ("é", "é"),
    ],
)  # fmt: skip
def test_template_arguments(text: str, expected: object) -> None:
    """A template argument is a JSON value, or else the text as it was given."""
    recipe = Recipe(template_arg=(f"a={text}",))
    assert recipe.template_arguments == {"a": expected}
    assert type(recipe.template_arguments["a"]) is type(expected)
    assert recipe.as_dict()["template_arg"] == [f"a={text}"]


@pytest.mark.parametrize("entry", ["a", "=b", "prompt=", "question=prompt", ""])
def test_bad_field(entry: str) -> None:
    """``--field`` needs a canonical name that sftprep knows, and the data's name for it."""
    assert (
        f"--field '{entry}': expected CANONICAL=ACTUAL, with CANONICAL one of {', '.join(FIELDS)}."
    ) == refused(field=[entry])


@pytest.mark.parametrize("name", ["max_rejects", "max_dropped"])
@pytest.mark.parametrize("text", ["x", "-1", "5%%", "%", "1.5", "", "1e3"])
def test_bad_limits(name: str, text: str) -> None:
    """``--max-rejects`` and ``--max-dropped`` take a whole number or a percentage."""
    assert (
        f"{flag(name)} is '{text}'; expected a number or a percentage, e.g. 100 or 0.1%."
    ) == refused(**{name: text}, on_error="quarantine")


# --- values -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("limit", "read", "expected"),
    [
        (None, 100, None),
        ("0", 100, 0),
        ("12", 100, 12),
        ("0%", 100, 0),
        ("1%", 99, 0),
        ("1%", 100, 1),
        ("0.57%", 10_000, 57),
        ("100%", 7, 7),
        ("0.1%", 999, 0),
    ],
)
def test_reject_limit(limit: str | None, read: int, expected: int | None) -> None:
    """A percentage is taken of the records read and rounded down exactly."""
    on_error = "fail" if limit is None else "quarantine"
    assert expected == Recipe(max_rejects=limit, on_error=on_error).reject_limit(read)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1", 1), ("7B", 7), ("500KB", 500_000), ("500 kB", 500_000), (" 2mb ", 2_000_000),
        ("1GB", 10**9), ("1KiB", 1024), ("64MiB", 64 << 20), ("3gib", 3 << 30),
    ],
)  # fmt: skip
def test_parse_size(text: str, expected: int) -> None:
    """A size has a unit that is a power of 1000 or of 1024."""
    assert expected == parse_size(text) == Recipe(shard_size=text).shard_bytes


@pytest.mark.parametrize("text", ["", "0", "0MB", "-1", "1.5MB", "MB", "1 TB", "1 M B"])
def test_bad_size(text: str) -> None:
    """A size of zero, or with an unknown unit, is refused."""
    assert (
        f"--shard-size is '{text}'; expected a number above 0 with B, KB, MB, GB, KiB, MiB or GiB, "
        "e.g. 64MiB."
    ) == refused(shard_size=text)


def test_field_names() -> None:
    """The data's name for a field may hold an equals sign."""
    expected = {"prompt": "a", "role": "by=whom"}
    assert expected == Recipe(field=("prompt=a", "role=by=whom")).field_names


# --- rules that lint is to ignore -----------------------------------------------------------------


def test_ignored_rules_may_be_a_mapping(write: Write) -> None:
    """In a file, a rule is a key, and the reason its value."""
    path = write("r.yaml", "lint_ignore: {html: these are pages, refusal: 'a = b'}")
    recipe = Recipe.from_sources(str(path), {})
    assert recipe.ignored_rules == {"html": "these are pages", "refusal": "a = b"}
    again = write("again.yaml", recipe.to_yaml())
    assert Recipe.from_sources(str(again), {}) == recipe


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("htlm=x", "lint_ignore: there is no rule 'htlm'. Did you mean 'html'?"),
        ("html", "lint_ignore: html has no reason. Write one, as html: checked by hand."),
        ("html= ", "lint_ignore: html has no reason. Write one, as html: checked by hand."),
    ],
)
def test_a_rule_is_ignored_with_a_reason(entry: str, problem: str) -> None:
    """The rule exists, and there is a reason."""
    assert refused(lint_ignore=(entry,)) == problem


def test_a_rule_is_ignored_once() -> None:
    """Two reasons for one rule are refused."""
    assert refused(lint_ignore=("html=a", "html=b")) == "lint_ignore names html twice. Keep one."


# --- what the options say ---------------------------------------------------------------------


def test_what_decides_bytes() -> None:
    """Where data lies and how the work is done decide no byte; all other options do."""
    assert [option.name for option in options() if not option.decides_bytes] == [
        "inputs", "output", "tokenizer", "revision", "backend", "private_ledgers",
        "max_expansion", "workers", "overwrite", "resume", "lint_ignore",
    ]  # fmt: skip


def test_deciding_options() -> None:
    """The options that decide bytes come as plain values; resolved values replace the given."""
    found = Recipe(add_token=("<a>",), workers=3).deciding({"max_length": 9})
    assert (found["add_token"], found["max_length"], found["template"]) == (["<a>"], 9, "plain")
    assert "workers" not in found


def test_allowed_values_are_what_the_stages_know() -> None:
    """An option allows the names that its stage knows, and no others."""
    assert VALUES["schema"][0] == "auto"
    assert set(VALUES["schema"][1:]) == set(SCHEMAS)
    assert tuple(FORMATS) == VALUES["format"]
    assert set(FIELDS) == set(Fields())
    assert set(VALUES["truncation"]) > NEEDS_SECTIONS
    batch = Batch.of([[1, 2]], [[False, True]])
    for strategy in set(VALUES["truncation"]) - NEEDS_SECTIONS:
        assert len(truncate(batch, 2, strategy).batch) == 1


def test_a_recipe_is_read_before_anything_that_takes_long_is_loaded() -> None:
    """Reading a recipe loads neither numpy nor an encoder, because workers are started first."""
    code = (
        "import sys; from sftprep import Recipe; Recipe(inputs=('a',)).as_dict();"
        "import sftprep.engine.local.early;"
        "print(sorted({'numpy', 'pyarrow', 'orjson', 'gigatoken', 'transformers', 'tokenizers'}"
        "& set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
