"""Recipe: the one options object, for flags, YAML files and Python callers alike.

In     flags that were given, and perhaps a YAML file with the same names as keys.
Out    a ``Recipe``: frozen, every value of its declared type and within its choices.
Keeps  one order: a flag wins over the file, the file over the default.
Raises UsageError: an unknown key (with the closest known one), a wrong type, an unknown choice,
       options that do not go together.
"""

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any, get_args

import yaml

from sftprep import choices
from sftprep.errors import UsageError
from sftprep.reading.limits import MAX_EXPANSION, Limits
from sftprep.schemas.fields import FIELDS, SCHEMA_NAMES
from sftprep.text import did_you_mean, shown

DEFAULT_MAX_LENGTH = 2048
CHOICES: dict[str, tuple[str, ...]] = {
    "schema": ("auto", *SCHEMA_NAMES),
    "truncation": choices.TRUNCATIONS,
    "train_on": choices.TRAIN_ON,
    "boundary": choices.BOUNDARIES,
    "backend": choices.BACKENDS,
    "format": choices.FORMATS,
    "on_injection": choices.ON_INJECTION,
    "on_error": choices.ON_ERROR,
}


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to read, how to write it down, tokenize and mask it, and where to put it."""

    inputs: tuple[str, ...] = _option((), "Files, globs, folders, or - for standard input.")
    output: str | None = _option(None, "The folder to write the dataset to.")
    tokenizer: str | None = _option(None, "A folder, a tokenizer.json, or a hub id.")
    revision: str | None = _option(None, "Branch, tag or commit of a hub id.")
    schema: str = _option(
        "auto", "What the records look like; auto tells each file's by its fields."
    )
    field: tuple[str, ...] = _option(
        (), "CANONICAL=ACTUAL: what the data calls a field, e.g. prompt=question. Repeatable."
    )
    template: str = _option(
        "plain",
        "A built-in template's name, a YAML or .jinja file of your own, or tokenizer for the "
        "tokenizer's own chat template (tokenizer:NAME for a named one).",
    )
    template_arg: tuple[str, ...] = _option(
        (), "KEY=VALUE for a chat template, e.g. enable_thinking=false. Repeatable."
    )
    date: str | None = _option(None, "YYYY-MM-DD: what a chat template takes for today.")
    system: str | None = _option(None, "The system prompt where a record has none.")
    separator: str | None = _option(
        None, "Text between prompt and completion (template plain); may be a special token."
    )
    add_token: tuple[str, ...] = _option(
        (), "TOKEN to add if it is not there; ROLE=TOKEN also makes it bos, eos, pad or sep. "
        "Repeatable."
    )  # fmt: skip
    allow_control: tuple[str, ...] = _option(
        (), "A control token that the data may write as text and mean. Repeatable."
    )
    max_length: int | None = _option(
        None, "Longest row in tokens; 2048, or what the tokenizer allows if that is less."
    )
    truncation: str = _option("drop", "What to do with longer records.")
    train_on: str = _option("completion", "Which text carries loss: all answers, the last, or all.")
    per_turn: bool = _option(
        False, "One example for each answer, with the prompt that inference would see."
    )
    ignore_index: int = _option(choices.IGNORE_INDEX, "The label of tokens without loss.")
    boundary: str = _option(
        "split", "Encode the two sides of a loss boundary apart, as inference does, or as one text."
    )
    backend: str = _option("auto", "The encoder; all give the same ids.")
    format: str = _option("parquet", "The shards' file format.")
    shard_size: str = _option("64MiB", "Input (uncompressed) in one shard, e.g. 500KB or 1GiB.")
    max_line_bytes: str = _option("64MiB", "Longest record in the input; others are bad records.")
    max_expansion: int = _option(
        MAX_EXPANSION, "Compressed input: the most bytes that one stored byte may become."
    )
    on_injection: str = _option(
        "encode", "Records that hold a control token's text: encode it as text, or reject them."
    )
    on_error: str = _option("fail", "Bad records: publish nothing, or set them aside.")
    max_rejects: str | None = _option(
        None, "With quarantine: the most bad records, as a number or a percentage."
    )
    workers: int | None = _option(None, "Worker processes; the cores it may use, unless given.")
    overwrite: bool = _option(
        False, "Replace the dataset in the output folder, once the new is whole."
    )
    resume: bool = _option(
        False, "Go on where an interrupted run ended; build a damaged dataset again."
    )

    def __post_init__(self) -> None:
        for option in fields(self):
            value = _typed(option.name, getattr(self, option.name), option.type)
            object.__setattr__(self, option.name, value)
            if option.name in CHOICES and value not in CHOICES[option.name]:
                raise UsageError(_no_such_choice(option.name, value))
        _check_together(self)

    @classmethod
    def from_sources(cls, path: str | None, flags: Mapping[str, Any]) -> "Recipe":
        """Merge a YAML file and the flags that were given (others are None or empty)."""
        values = _load_file(path) if path else {}
        given = {k: v for k, v in flags.items() if v is not None and v is not False and v != []}
        values.update(given)
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Every option by name, as plain values."""
        return {
            f.name: list(value) if isinstance(value := getattr(self, f.name), tuple) else value
            for f in fields(self)
        }

    def to_yaml(self) -> str:
        """The recipe as a file that gives the same result."""
        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True)

    @property
    def field_names(self) -> dict[str, str]:
        """Canonical field names -> the data's."""
        return dict(entry.split("=", 1) for entry in self.field)

    @property
    def template_arguments(self) -> dict[str, Any]:
        """The chat template's arguments; true, false, null and numbers are values, not text."""
        return {k: yaml.safe_load(v) for k, v in (a.split("=", 1) for a in self.template_arg)}

    @property
    def shard_bytes(self) -> int:
        """``shard_size`` in bytes."""
        return parse_size(self.shard_size)

    @property
    def limits(self) -> Limits:
        """What the input may demand."""
        return Limits(parse_size(self.max_line_bytes, "max_line_bytes"), self.max_expansion)

    def reject_limit(self, read: int) -> int | None:
        """The most rejected records allowed among ``read``; None: any number."""
        if self.max_rejects is None:
            return None
        if self.max_rejects.endswith("%"):
            return int(read * Fraction(self.max_rejects[:-1]) / 100)
        return int(self.max_rejects)


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(text: str, name: str = "shard_size") -> int:
    """Bytes from a number with a unit; ``name`` is the option's, for the message.

    >>> parse_size("64MiB"), parse_size("500 kB")
    (67108864, 500000)
    """
    match = re.fullmatch(r"(\d+)\s*([a-zA-Z]*)", text.strip())
    if not match or match[2].upper() not in UNITS or not (size := int(match[1])):
        raise UsageError(
            f"{flag(name)} is {shown(text)}; expected a number above 0 with B, KB, MB, GB, KiB, "
            "MiB or GiB, e.g. 64MiB."
        )
    return size * UNITS[match[2].upper()]


def flag(name: str) -> str:
    """An option's flag on the command line.

    >>> flag("max_length")
    '--max-length'
    """
    return "--" + name.replace("_", "-")


def _load_file(path: str) -> dict[str, Any]:
    try:
        value = yaml.safe_load(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error
    except Exception as error:  # safe_load raises whatever its parts raise: 2001-99-99 is a date
        first = " ".join(str(error).split())
        raise UsageError(f"{path}: not valid YAML: {first}. Correct the file.") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(f"{path}: a recipe is a mapping of options; found {shown(value)}.")
    known = [f.name for f in fields(Recipe)]
    values = {}
    for key, entry in value.items():
        name = str(key).replace("-", "_")
        if name not in known:
            hint = did_you_mean(name, known, f"Known: {', '.join(known)}.")
            raise UsageError(f"{path}: unknown option {shown(key)}. {hint}")
        values[name] = entry
    return values


KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "text"),
    int: ((int,), "a whole number"),
    bool: ((bool,), "true or false"),
    tuple[str, ...]: ((list, tuple), "a list of texts"),
}


def _typed(name: str, value: Any, kind: Any) -> Any:
    """``value`` if it has the declared type (lists become tuples); nothing is guessed."""
    if kind not in KINDS:  # X | None
        if value is None:
            return None
        kind = get_args(kind)[0]
    types, words = KINDS[kind]
    wrong = not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
    if wrong or (isinstance(value, list | tuple) and not all(isinstance(x, str) for x in value)):
        raise UsageError(f"{flag(name)} is {shown(value)}; expected {words}.")
    return tuple(value) if isinstance(value, list) else value


def _no_such_choice(name: str, value: str) -> str:
    choices = CHOICES[name]
    hint = did_you_mean(value, choices, f"Choose {', '.join(choices)}.")
    return f"{flag(name)} is {shown(value)}, which is no choice. {hint}"


def _check_together(recipe: Recipe) -> None:
    for name, least in (("max_length", 1), ("max_expansion", 1), ("workers", 1)):
        value = getattr(recipe, name)
        if value is not None and value < least:
            raise UsageError(f"{flag(name)} is {value}; expected {least} or more.")
    if recipe.ignore_index >= 0:
        raise UsageError(
            f"--ignore-index is {recipe.ignore_index}, which can be a token's id. Use one below 0."
        )
    for entry in recipe.field:
        canonical, equals, actual = entry.partition("=")
        if not (equals and actual) or canonical not in FIELDS:
            raise UsageError(
                f"--field {shown(entry)}: expected CANONICAL=ACTUAL, with CANONICAL one of "
                f"{', '.join(FIELDS)}."
            )
    _check_template_options(recipe)
    parse_size(recipe.shard_size)
    parse_size(recipe.max_line_bytes, "max_line_bytes")
    if recipe.max_rejects is not None:
        if not re.fullmatch(r"\d+|\d+(\.\d+)?%", recipe.max_rejects):
            raise UsageError(
                f"--max-rejects is {shown(recipe.max_rejects)}; expected a number or a percentage, "
                "e.g. 100 or 0.1%."
            )
        if recipe.on_error != "quarantine":
            raise UsageError(
                "--max-rejects needs --on-error quarantine: otherwise none is allowed."
            )


def _check_template_options(recipe: Recipe) -> None:
    for entry in recipe.template_arg:
        key, equals, value = entry.partition("=")
        if not (equals and key.isidentifier()):
            raise UsageError(f"--template-arg {shown(entry)}: expected KEY=VALUE.")
        try:
            yaml.safe_load(value)
        except Exception as error:  # as above
            raise UsageError(
                f"--template-arg {shown(entry)}: {shown(value)} is no value. Quote it to mean text."
            ) from error
    if recipe.date is not None:
        try:
            datetime.date.fromisoformat(recipe.date)
        except ValueError as error:
            raise UsageError(
                f"--date is {shown(recipe.date)}; expected a date as YYYY-MM-DD."
            ) from error
