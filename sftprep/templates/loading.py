"""Load and check templates: the built-in ones and the user's own YAML files.

In     a name from ``builtin_names()``, or the path of a user's ``.yaml`` file.
Out    a ``Template``, with every key and placeholder checked.
Raises TemplateError: there is no such template, a key or placeholder is unknown, or a required one
       is missing.

To add a built-in template, add a file to the folder ``builtin``; its name becomes the template's
name.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from sftprep.errors import TemplateError
from sftprep.strict_yaml import parse_yaml
from sftprep.templates.template import RUN_TEXTS, Template, split_placeholders
from sftprep.text import did_you_mean, shown

BUILTIN_FOLDER = Path(__file__).parent / "builtin"
ASSISTANT_KEYS = ("header", "body", "after")
"""The fields that a template file has under the key ``assistant``."""
NOT_KEYS = ("name", "sha256", "text", *ASSISTANT_KEYS)
"""The fields that are not top-level keys of a template file."""
KEYS = (*(f.name for f in fields(Template) if f.name not in NOT_KEYS), "assistant")
LIST_KEYS = ("tokens", "trim")
LITERAL_KEYS = ("description", "source", "default_system", "default_system_with_input")
"""The keys whose text has no placeholders."""
CHOICES = {"bos": ("auto", "always", "never"), "system_in": ("first-user", "last-user")}
REQUIRED_PLACEHOLDERS = {
    "system": {"content"},
    "user": {"content"},
    "user_with_input": {"content", "input"},
    "user_with_system": {"content", "system"},
    "body": {"content"},
}
"""For each key, the placeholders for the record's texts that it must have; other keys have none."""


def builtin_names() -> list[str]:
    """Return the names of the built-in templates, sorted."""
    return sorted(path.stem for path in BUILTIN_FOLDER.glob("*.yaml"))


def is_builtin(template: Template) -> bool:
    """Return whether a template is a built-in one, and not a user's file of the same name."""
    if template.name not in builtin_names():
        return False
    data = (BUILTIN_FOLDER / f"{template.name}.yaml").read_bytes()
    return hashlib.sha256(data).hexdigest() == template.sha256


def load_template(name: str) -> Template:
    """Load a built-in template by its name, or a user's template by its path."""
    path = BUILTIN_FOLDER / f"{name}.yaml"
    if name not in builtin_names():
        path = Path(name)
        if not _is_file(path):
            hint = did_you_mean(name, builtin_names(), "sftprep templates lists them.")
            raise TemplateError(f"no template {shown(name)}, and no such file. {hint}")
    data = path.read_bytes()
    try:
        value = parse_yaml(data.decode())
    except ValueError as error:
        raise TemplateError(f"{path}: not valid YAML: {error}. Correct the file.") from error
    return parse_template(value, name=path.stem, where=str(path), data=data)


def _is_file(path: Path) -> bool:
    """Tell whether there is a file; no file has a name that is too long."""
    try:
        return path.is_file()
    except OSError:
        return False


def parse_template(value: object, *, name: str, where: str, data: bytes = b"") -> Template:
    """Check the content of a template file, key by key, and build the template.

    Args:
        value: the parsed YAML.
        name: the template's name.
        where: the path of the file, for error messages.
        data: the file's bytes.
    """
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
            raise TemplateError(
                f"{where}: {key} is missing. Add it: a template needs user and assistant.body."
            )
    checked = {key: _checked(key, entry, where) for key, entry in entries.items()}
    sha256 = hashlib.sha256(data).hexdigest()
    template = Template(name=name, sha256=sha256, text=data.decode(), **checked)
    _check_combination(template, where)
    return template


def _check_combination(template: Template, where: str) -> None:
    if template.system is not None and template.user_with_system is not None:
        raise TemplateError(
            f"{where}: system and user_with_system are both given. Keep one: a system prompt has "
            "a turn of its own, or a place in a user turn."
        )
    if template.user_with_input is not None and template.user_with_system is not None:
        raise TemplateError(
            f"{where}: user_with_input and user_with_system are both given, and a turn can need "
            "both. Leave user_with_input out: the input then follows the content on a new line."
        )


def _check_keys(value: Mapping[Any, Any], known: tuple[str, ...], where: str) -> None:
    for key in value:
        if key not in known:
            hint = did_you_mean(str(key), known, f"Known: {', '.join(known)}.")
            raise TemplateError(f"{where}: unknown key {shown(key)}. {hint}")


def _checked(key: str, entry: object, where: str) -> Any:
    """Return the value of a template's field, or raise if its type or content is wrong."""
    if key in LIST_KEYS:
        if not isinstance(entry, list) or not all(isinstance(x, str) for x in entry):
            raise TemplateError(f"{where}: {key} is {shown(entry)}; expected a list of strings.")
        return tuple(entry)
    if not isinstance(entry, str):
        raise TemplateError(f"{where}: {key} is {shown(entry)}; expected a string.")
    if key in CHOICES and entry not in CHOICES[key]:
        raise TemplateError(
            f"{where}: {key} is {shown(entry)}; expected {' or '.join(CHOICES[key])}."
        )
    if key not in LITERAL_KEYS:
        _check_placeholders(key, entry, where)
    return entry


def _check_placeholders(key: str, entry: str, where: str) -> None:
    required = REQUIRED_PLACEHOLDERS.get(key, set())
    known = required | set(RUN_TEXTS)
    found = {text for is_slot, text in split_placeholders(entry, f"{where}: {key}") if is_slot}
    for name in sorted(found - known):
        raise TemplateError(
            f"{where}: {key} has the placeholder {{{name}}}; expected only "
            f"{', '.join('{' + n + '}' for n in sorted(known))}. "
            "Write a brace twice to get a literal brace."
        )
    for name in sorted(required - found):
        raise TemplateError(f"{where}: {key} has no {{{name}}}. Add it where that text belongs.")
