"""templates: the built-in files and a user's own, checked key by key."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sftprep.errors import TemplateError
from sftprep.templates.loading import BUILTIN_FOLDER, builtin_names, load_template, parse_template
from sftprep.templates.template import Template, split_placeholders

Write = Callable[[str, str | bytes], Path]

NAMES = [
    "alpaca", "alpaca_zh", "chatml", "deepseek", "gemma", "llama3", "mistral", "phi3", "plain",
    "qa", "roles", "vicuna", "zephyr",
]  # fmt: skip
LEAST: dict[str, Any] = {"user": "{content}", "assistant": {"body": "{content}"}}


def parse(value: object) -> Template:
    """A template of this content."""
    return parse_template(value, name="own", where="own.yaml", data=b"data")


def test_builtin_names() -> None:
    """These templates are built in."""
    assert builtin_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_builtin(name: str) -> None:
    """Each built-in template loads, says what it is and where it was published."""
    template = load_template(name)
    data = (BUILTIN_FOLDER / f"{name}.yaml").read_bytes()
    assert (name, hashlib.sha256(data).hexdigest()) == (template.name, template.sha256)
    assert template.description
    assert template.source


def test_alpaca_is_the_published_wording() -> None:
    """The alpaca prompts are those of Stanford's ``train.py``, with a newline behind the last."""
    template = load_template("alpaca")
    assert template.default_system is not None
    assert template.user_with_input is not None
    assert template.default_system + template.user == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{content}\n\n### Response:\n"
    )
    assert str(template.default_system_with_input) + template.user_with_input == (
        "Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{content}\n\n### Input:\n{input}\n\n### Response:\n"
    )


def test_own_template(write: Write) -> None:
    """A user's template is a file in the same form, named after the file."""
    text = (
        "description: mine\nbos: never\ntokens: ['<x>']\ntrim: [user]\nsystem: '{content}|'\n"
        "default_system: Hi {content}\nuser: '<x>{content}{separator}'\n"
        "assistant: {header: '{{a}}', body: '{content}{eos}', after: \"\\n\"}\nend: '{bos}'\n"
    )
    path = write("my.form.yaml", text)
    expected = Template(
        name="my.form",
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        text=text,
        description="mine",
        bos="never",
        tokens=("<x>",),
        trim=("user",),
        system="{content}|",
        default_system="Hi {content}",
        user="<x>{content}{separator}",
        header="{{a}}",
        body="{content}{eos}",
        after="\n",
        end="{bos}",
    )
    assert expected == load_template(str(path))


def test_a_builtin_name_wins_over_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    """A file in the working folder does not take the place of a built-in template."""
    write("plain", yaml.safe_dump(LEAST))
    monkeypatch.chdir(tmp_path)
    assert load_template("plain").source == "sftprep"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("chatlm", "Did you mean 'chatml'?"),
        ("nothing-like-it", "sftprep templates lists them."),
    ],
)
def test_no_such_template(name: str, hint: str) -> None:
    """A name that is not known is an error with the closest one."""
    with pytest.raises(TemplateError) as caught:
        load_template(name)
    assert f"no template '{name}', and no such file. {hint}" == str(caught.value)


FAULTS: list[tuple[object, str]] = [
    (None, "own.yaml: a template is a mapping of keys; found null."),
    (["user"], "own.yaml: a template is a mapping of keys; found a list of 1."),
    ({"user": "{content}"}, "own.yaml: assistant is null; expected header and body."),
    (
        LEAST | {"assistant": "{content}"},
        "own.yaml: assistant is '{content}'; expected header and body.",
    ),
    (
        LEAST | {"assistant": {"header": ""}},
        "own.yaml: body is missing. Add the text of such a turn.",
    ),
    (
        {"assistant": {"body": "{content}"}},
        "own.yaml: user is missing. Add the text of such a turn.",
    ),
    (LEAST | {"users": "x"}, "own.yaml: unknown key 'users'. Did you mean 'user'?"),
    (
        LEAST | {"zzz": "x"},
        "own.yaml: unknown key 'zzz'. Known: description, source, bos, tokens, trim, system, "
        "default_system, default_system_with_input, user, user_with_input, user_with_system, "
        "system_in, end, assistant.",
    ),
    (LEAST | {"name": "x"}, "own.yaml: unknown key 'name'."),
    (LEAST | {1: "x"}, "own.yaml: unknown key 1."),
    (LEAST | {"body": "{content}"}, "own.yaml: unknown key 'body'."),
    (
        LEAST | {"assistant": {"body": "{content}", "bodi": ""}},
        "own.yaml: assistant: unknown key 'bodi'. Did you mean 'body'?",
    ),
    (
        LEAST | {"assistant": {"body": "{content}", "zzz": ""}},
        "own.yaml: assistant: unknown key 'zzz'. Known: header, body, after.",
    ),
    (LEAST | {"end": 5}, "own.yaml: end is 5; expected a string."),
    (LEAST | {"system": None}, "own.yaml: system is null; expected a string."),
    (LEAST | {"tokens": "<x>"}, "own.yaml: tokens is '<x>'; expected a list of strings."),
    (LEAST | {"trim": [1]}, "own.yaml: trim is a list of 1; expected a list of strings."),
    (LEAST | {"bos": "yes"}, "own.yaml: bos is 'yes'; expected auto or always or never."),
    (
        LEAST | {"system_in": "user"},
        "own.yaml: system_in is 'user'; expected first-user or last-user.",
    ),
    (LEAST | {"user": "Q:"}, "own.yaml: user has no {content}. Add it where that text belongs."),
    (
        LEAST | {"user_with_input": "{content}"},
        "own.yaml: user_with_input has no {input}. Add it where that text belongs.",
    ),
    (
        LEAST | {"user_with_system": "{content}"},
        "own.yaml: user_with_system has no {system}. Add it where that text belongs.",
    ),
    (
        LEAST | {"user": "{content}{input}"},
        "own.yaml: user has the placeholder {input}; it can have {bos}, {content}, {eos}, "
        "{separator}. Write a brace twice to get a literal brace.",
    ),
    (
        LEAST | {"end": "{}"},
        "own.yaml: end has the placeholder {}; it can have {bos}, {eos}, {separator}. Write a "
        "brace twice to get a literal brace.",
    ),
    (
        LEAST | {"user": "{content} {"},
        "own.yaml: user has a single '{'. Write it twice to get a literal brace.",
    ),
    (
        LEAST | {"assistant": {"body": "{content}}"}},
        "own.yaml: body has a single '}'. Write it twice to get a literal brace.",
    ),
    (
        LEAST | {"system": "{content}", "user_with_system": "{system}{content}"},
        "own.yaml: system and user_with_system are both given. Keep one: a system prompt has a "
        "turn of its own, or a place in a user turn.",
    ),
    (
        LEAST | {"user_with_input": "{content}{input}", "user_with_system": "{system}{content}"},
        "own.yaml: user_with_input and user_with_system are both given, and a turn can need both. "
        "Leave user_with_input out: the input then follows the content on a new line.",
    ),
]
"""What a template file may not hold, and all of what is said (up to the list of what it may)."""


@pytest.mark.parametrize(("value", "message"), FAULTS, ids=[text for _, text in FAULTS])
def test_fault(value: object, message: str) -> None:
    """A template that cannot be used is refused with the key and the cure."""
    with pytest.raises(TemplateError) as caught:
        parse(value)
    found = str(caught.value)
    if message.startswith("own.yaml: unknown key") and message.endswith("."):
        found = found[: len(message)]
    assert message == found


@pytest.mark.parametrize("data", [b"user: [", b"user: \xff", b"user: !!python/object:os.system {}"])
def test_not_yaml(write: Write, data: bytes) -> None:
    """A file that is no plain YAML is refused, and no code of it is run."""
    path = write("own.yaml", data)
    with pytest.raises(TemplateError) as caught:
        load_template(str(path))
    assert str(caught.value).startswith(f"{path}: not valid YAML: ")
    assert str(caught.value).endswith(". Correct the file.")
    assert "\n" not in str(caught.value)


def test_default_system_is_literal() -> None:
    """A default system prompt is text as it stands: it is a content."""
    assert parse(LEAST | {"default_system": "{x} {"}).default_system == "{x} {"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        ("x", [(False, "x")]),
        ("{a}{b}", [(True, "a"), (True, "b")]),
        ("{{{a}}}", [(False, "{"), (True, "a"), (False, "}")]),
        ("{{a}}", [(False, "{a}")]),
        ("x{a}y", [(False, "x"), (True, "a"), (False, "y")]),
        ("{a\n}", [(True, "a\n")]),
    ],
)
def test_split_placeholders(text: str, expected: list[tuple[bool, str]]) -> None:
    """Literal text and placeholders come in order, with doubled braces as single ones."""
    assert expected == list(split_placeholders(text))
