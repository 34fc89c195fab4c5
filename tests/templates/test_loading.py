"""Loading templates: by name or by path, with every key and placeholder checked."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from sftprep.errors import TemplateError
from sftprep.templates.loading import load_template, parse_template
from sftprep.templates.template import Template

Write = Callable[[str, str | bytes], Path]

LEAST: dict[str, Any] = {"user": "{content}", "assistant": {"body": "{content}"}}


def parse(value: object) -> Template:
    """Build a template from the content of a file."""
    return parse_template(value, name="own", where="own.yaml", data=b"data")


def test_a_users_template_is_loaded_by_its_path(write: Write) -> None:
    """A user's template has the same keys as a built-in one, and is named after its file."""
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
    """A file in the working folder does not replace a built-in template of the same name."""
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
def test_an_unknown_name_is_refused_with_a_hint(name: str, hint: str) -> None:
    """The error names the closest built-in template, or the command that lists them."""
    with pytest.raises(TemplateError) as caught:
        load_template(name)
    assert f"no template '{name}', and no such file. {hint}" == str(caught.value)


FAULTS: list[tuple[object, str]] = [
    (None, "own.yaml: a template is a mapping of keys; found null."),
    (["user"], "own.yaml: a template is a mapping of keys; found a list of 1 item."),
    ({"user": "{content}"}, "own.yaml: assistant is null; expected header and body."),
    (
        LEAST | {"assistant": "{content}"},
        "own.yaml: assistant is '{content}'; expected header and body.",
    ),
    (
        LEAST | {"assistant": {"header": ""}},
        "own.yaml: body is missing. Add it: a template needs user and assistant.body.",
    ),
    (
        {"assistant": {"body": "{content}"}},
        "own.yaml: user is missing. Add it: a template needs user and assistant.body.",
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
    (LEAST | {"trim": [1]}, "own.yaml: trim is a list of 1 item; expected a list of strings."),
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
        "own.yaml: user has the placeholder {input}; expected only {bos}, {content}, {eos}, "
        "{separator}. Write a brace twice to get a literal brace.",
    ),
    (
        LEAST | {"end": "{}"},
        "own.yaml: end has the placeholder {}; expected only {bos}, {eos}, {separator}. Write a "
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
"""Contents that a template file may not have, and the whole error.

Of an error about an unknown key, only the text up to the list of known keys is compared.
"""


@pytest.mark.parametrize(("value", "message"), FAULTS, ids=[text for _, text in FAULTS])
def test_a_template_that_cannot_be_used_is_refused(value: object, message: str) -> None:
    """The error says which key is wrong and what to do."""
    with pytest.raises(TemplateError) as caught:
        parse(value)
    found = str(caught.value)
    if message.startswith("own.yaml: unknown key") and message.endswith("."):
        found = found[: len(message)]
    assert message == found


@pytest.mark.parametrize("data", [b"user: [", b"user: \xff", b"user: !!python/object:os.system {}"])
def test_a_file_that_is_not_plain_yaml_is_refused(write: Write, data: bytes) -> None:
    """The error says what is wrong with the YAML, and no code in it is run."""
    path = write("own.yaml", data)
    with pytest.raises(TemplateError) as caught:
        load_template(str(path))
    assert str(caught.value).startswith(f"{path}: not valid YAML: ")
    assert str(caught.value).endswith(". Correct the file.")
    assert "\n" not in str(caught.value)


def test_a_default_system_prompt_has_no_placeholders() -> None:
    """A default system prompt is literal text, and braces in it stay single."""
    assert parse(LEAST | {"default_system": "{x} {"}).default_system == "{x} {"
