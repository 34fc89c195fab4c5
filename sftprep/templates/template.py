"""Templates as data: the built-in ones, one YAML file each in this folder, and a user's own.

In     a name from ``builtin_names()``, or the path of a ``.yaml`` file in the same form.
Out    a ``Template``: strings with placeholders, nothing compiled yet.
Raises TemplateError: no such template, an unknown key or placeholder, a missing part.

Placeholders: ``{content}``, ``{input}``, ``{system}`` are the record's; ``{bos}``, ``{eos}`` and
``{separator}`` are the run's. A literal brace is doubled.
"""

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import date
from pathlib import Path
from typing import Any

from sftprep.errors import TemplateError
from sftprep.text import did_you_mean, shown

FOLDER = Path(__file__).parent / "builtin"
CONTENTS = ("content", "input", "system")
RUN_TEXTS = ("bos", "eos", "separator")
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, kw_only=True)
class Template:
    """How a conversation is written down. The keys of a template file are these fields."""

    name: str  # of the file, without its ending
    sha256: str  # of the file
    text: str = ""  # of the file
    description: str = ""
    source: str = ""  # where the format was published
    bos: str = "auto"  # auto: where the tokenizer itself adds one; always; never
    tokens: tuple[str, ...] = ()  # each must be one token of the tokenizer
    trim: tuple[str, ...] = ()  # roles whose content loses its outer white space
    system: str | None = None  # the system turn; None: no place for one of its own
    default_system: str | None = None  # where a record has none
    default_system_with_input: str | None = None  # the same, where its first user turn has an input
    user: str = ""
    user_with_input: str | None = None  # None: the input follows the content on a new line
    user_with_system: str | None = None  # the system prompt goes into a user turn
    system_in: str = "first-user"  # or last-user: which user turn takes it
    header: str = ""  # before an answer: what inference feeds last; not trained
    body: str = ""  # the answer and its terminator: trained
    after: str = ""  # behind the terminator; not trained
    end: str = ""  # once, behind the last turn; not trained


@dataclass(frozen=True)
class ChatTemplate:
    """A model's chat template, and what it is rendered with."""

    name: str
    source: str
    sha256: str
    arguments: Mapping[str, Any]
    today: date | None


ASSISTANT_KEYS = ("header", "body", "after")
NO_KEYS = ("name", "sha256", "text", *ASSISTANT_KEYS)
KEYS = (*(f.name for f in fields(Template) if f.name not in NO_KEYS), "assistant")
CHOICES = {"bos": ("auto", "always", "never"), "system_in": ("first-user", "last-user")}
SLOTS = {
    "system": {"content"},
    "user": {"content"},
    "user_with_input": {"content", "input"},
    "user_with_system": {"content", "system"},
    "body": {"content"},
}
"""The record's texts that each part must have a place for; parts not named here have none."""


def builtin_names() -> list[str]:
    """The built-in templates, sorted."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def load_template(name: str) -> Template:
    """Load a built-in template by its name, or a user's own by its path."""
    path = FOLDER / f"{name}.yaml"
    if name not in builtin_names():
        path = Path(name)
        if not path.is_file():
            hint = did_you_mean(name, builtin_names(), "sftprep templates lists them.")
            raise TemplateError(f"no template {shown(name)}, and no such file. {hint}")
    data = path.read_bytes()
    try:
        import yaml  # workers get templates that are read already

        value = yaml.safe_load(data.decode())
    except Exception as error:  # safe_load raises whatever its parts raise
        first = " ".join(str(error).split())
        raise TemplateError(f"{path}: not valid YAML: {first}. Correct the file.") from error
    return parse_template(value, name=path.stem, where=str(path), data=data)


def parse_template(value: object, *, name: str, where: str, data: bytes = b"") -> Template:
    """Check a template file's content, key by key, and build the template."""
    if not isinstance(value, dict):
        raise TemplateError(f"{where}: a template is a mapping of keys; found {shown(value)}.")
    _check_keys(value, KEYS, where)
    assistant = value.pop("assistant", None)
    if not isinstance(assistant, dict):
        raise TemplateError(f"{where}: assistant is {shown(assistant)}; expected header and body.")
    _check_keys(assistant, ASSISTANT_KEYS, f"{where}: assistant")
    entries = {**value, **assistant}
    for key in ("user", "body"):
        if not entries.get(key):
            raise TemplateError(f"{where}: {key} is missing. Say how such a turn is written.")
    checked = {key: _checked(key, entry, where) for key, entry in entries.items()}
    sha256 = hashlib.sha256(data).hexdigest()
    template = Template(name=name, sha256=sha256, text=data.decode(), **checked)
    if template.system is not None and template.user_with_system is not None:
        raise TemplateError(
            f"{where}: system and user_with_system are both given. Keep one: a system prompt has "
            "a turn of its own, or a place in a user turn."
        )
    if template.user_with_input is not None and template.user_with_system is not None:
        raise TemplateError(
            f"{where}: user_with_input and user_with_system are both given, and a turn can need "
            "both. Leave user_with_input out: the input is then joined to the content."
        )
    return template


def _check_keys(value: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in value:
        if key not in known:
            hint = did_you_mean(str(key), known, f"Known: {', '.join(known)}.")
            raise TemplateError(f"{where}: unknown key {shown(key)}. {hint}")


def _checked(key: str, entry: object, where: str) -> Any:
    if key in ("tokens", "trim"):
        if not isinstance(entry, list) or not all(isinstance(x, str) for x in entry):
            raise TemplateError(f"{where}: {key} is {shown(entry)}; expected a list of strings.")
        return tuple(entry)
    if not isinstance(entry, str):
        raise TemplateError(f"{where}: {key} is {shown(entry)}; expected a string.")
    if key in CHOICES and entry not in CHOICES[key]:
        raise TemplateError(
            f"{where}: {key} is {shown(entry)}; expected {' or '.join(CHOICES[key])}."
        )
    if key not in ("description", "source", "default_system", "default_system_with_input"):
        _check_placeholders(key, entry, where)
    return entry


def _check_placeholders(key: str, entry: str, where: str) -> None:
    wanted = SLOTS.get(key, set())
    found = {text for is_slot, text in split_placeholders(entry, f"{where}: {key}") if is_slot}
    for name in sorted(found - wanted - set(RUN_TEXTS)):
        raise TemplateError(
            f"{where}: {key} has the placeholder {{{name}}}; it can have "
            f"{', '.join('{' + n + '}' for n in sorted(wanted | set(RUN_TEXTS)))}. "
            "Double a brace that is meant as it stands."
        )
    for name in sorted(wanted - found):
        raise TemplateError(f"{where}: {key} has no {{{name}}}. Say where it goes.")


def split_placeholders(text: str, where: str = "template") -> Iterator[tuple[bool, str]]:
    """Split into (False, literal text) and (True, placeholder name), in order.

    >>> list(split_placeholders("<a>{content}{{x}}"))
    [(False, '<a>'), (True, 'content'), (False, '{x}')]
    """
    literal, position = "", 0
    for match in PLACEHOLDER.finditer(text):
        literal += text[position : match.start()]
        position = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[1] is None:
            raise TemplateError(f"{where} has a single {match[0]!r}. Double it to mean itself.")
        else:
            if literal:
                yield False, literal
            literal = ""
            yield True, match[1]
    if literal + text[position:]:
        yield False, literal + text[position:]


def run_texts(template: Template) -> set[str]:
    """Which of ``RUN_TEXTS`` a template writes."""
    parts = (
        template.system, template.user, template.user_with_input, template.user_with_system,
        template.header, template.body, template.after, template.end,
    )  # fmt: skip
    found = {
        value for part in parts if part for is_slot, value in split_placeholders(part) if is_slot
    }
    return (found | {"bos"} if template.bos == "always" else found) & set(RUN_TEXTS)
