"""The recipe: all options of a run, whether they come from flags, a YAML file or Python.

In     the flags that were given, and perhaps a YAML file with the same names as keys.
Out    a ``Recipe``: frozen; each value has its declared type and is one that its option allows.
Keeps  one order of precedence: a flag overrides the file, and the file overrides the default.
Raises UsageError: an unknown key (with the closest known one), a wrong type, a value that is not
       allowed, or options that cannot be used together.

Each option is declared once, in ``Recipe``, with its default, its help, its group, the values it
allows and whether it decides what bytes are written. The command line, ``--print-recipe``, the
manifest's recipe and the comparison of two builds follow from that declaration.

This module imports nothing heavy, so that a wrong recipe is refused before numpy is loaded.
"""

import datetime
import json
import math
import os
import re
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, get_args

from sftprep.amounts import parse_amount
from sftprep.arrangement import check_arrangement, rearranged
from sftprep.data.policy import TRAINABLE
from sftprep.errors import UsageError
from sftprep.formats.names import FORMAT_NAMES
from sftprep.lint.names import RULE_NAMES
from sftprep.reading.limits import MAX_EXPANSION, Hints, Limits
from sftprep.schemas.fields import FIELDS, SCHEMA_NAMES
from sftprep.schemas.paths import paths_of
from sftprep.schemas.roles import ROLES
from sftprep.strict_yaml import parse_yaml
from sftprep.targets.names import LOSS_MASKS, TARGET_FORMATS, TARGET_NAMES, UNABLE_NAMES
from sftprep.text import alternatives, ascii_safe, did_you_mean, flag, shown

DEFAULT_MAX_LENGTH = 2048
MOST_TOKENS = 2**64 - 1  # the largest number that JSON parsers agree on
LEAST_LABEL = -(2**31)  # labels are written as 32-bit integers
MOST_BYTES = 2**63 - 1
MOST_WORKERS = 4096
MOST_NAMED = 20  # how many inputs a command names
GROUPS = (
    "Input",
    "Template",
    "Tokenizer",
    "Length and loss",
    "Arrangement",
    "Output",
    "Bad records",
    "Run",
    "Lint",
)
"""The headings under which ``--help`` lists the options, in this order."""


class Option(NamedTuple):
    """One option: its name, its type, its default, its help and what it allows."""

    name: str
    type: Any  # as declared: str, int | None, tuple[str, ...], ...
    default: Any
    help: str
    group: str  # one of ``GROUPS``
    values: tuple[str, ...]  # the values it allows; () if it allows any value of its type
    words: tuple[str, ...]  # the words that a value may consist of instead, with commas between
    least: int | None  # the smallest number it allows
    most: int | None  # the largest number it allows
    form: str  # what a text may hold; see ``_check_text``
    takes_mapping: bool  # whether a mapping of texts may stand for its list of KEY=VALUE
    takes_number: bool  # whether a whole number may stand for its text, as in ``max_rejects: 100``
    negative: bool  # whether there is also a flag that turns it off, as in ``--no-pack``
    short: str  # a second flag of one letter, as in ``-o``; "" if there is none
    metavar: str  # what ``--help`` calls its value
    decides_bytes: bool  # whether the dataset's bytes depend on it

    @property
    def flag(self) -> str:
        """The flag on the command line."""
        return flag(self.name)


def _option(  # noqa: PLR0913 - an argument for each fact about an option
    default: Any,
    group: str,
    help: str,  # noqa: A002 - the name that typer and argparse use
    *,
    values: tuple[str, ...] = (),
    words: tuple[str, ...] = (),
    least: int | None = None,
    most: int | None = None,
    form: str = "text",
    takes_mapping: bool = False,
    takes_number: bool = False,
    negative: bool = False,
    short: str = "",
    metavar: str = "TEXT",
    decides_bytes: bool = True,
) -> Any:
    """Declare an option: make a dataclass field whose metadata has the values of ``Option``."""
    text = help.replace("{values}", alternatives(values)) if values else help
    metadata = {
        "group": group, "help": text, "values": values, "words": words, "least": least,
        "most": most, "form": form, "takes_mapping": takes_mapping, "takes_number": takes_number,
        "negative": negative, "short": short, "metavar": metavar, "decides_bytes": decides_bytes,
    }  # fmt: skip
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to read, how to render, tokenize and mask it, and where to write the dataset."""

    inputs: tuple[str, ...] = _option(
        (),
        "Input",
        "Files, globs, folders, or - for standard input.",
        decides_bytes=False,
        metavar="INPUT",
        form="path",
    )
    output: str | None = _option(
        None,
        "Output",
        "The folder to write the dataset to.",
        short="-o",
        decides_bytes=False,
        metavar="DIR",
        form="path",
    )
    tokenizer: str | None = _option(
        None,
        "Tokenizer",
        "A folder, a tokenizer.json, or a Hugging Face hub id.",
        short="-t",
        decides_bytes=False,
        metavar="NAME",
        form="name",
    )
    revision: str | None = _option(
        None,
        "Tokenizer",
        "Branch, tag or commit of a hub id.",
        decides_bytes=False,
        metavar="NAME",
        form="name",
    )
    schema: str = _option(
        "auto",
        "Input",
        "The schema of the records: {values}. auto detects the schema of each file from the fields "
        "of its records.",
        values=("auto", *SCHEMA_NAMES),
        metavar="NAME",
    )
    field: tuple[str, ...] = _option(
        (),
        "Input",
        "The name that the data uses for a field, e.g. prompt=question; a path, e.g. "
        "prompt=data.question; or a text with several fields, e.g. 'prompt={title}\\n{body}'. "
        "Repeatable.",
        metavar="CANONICAL=ACTUAL",
    )
    role: tuple[str, ...] = _option(
        (),
        "Input",
        "What a name of a role in the data means: system, developer, user, assistant or tool; e.g. "
        "patient=user. Repeatable.",
        metavar="NAME=ROLE",
    )
    merge_turns: bool = _option(
        False,
        "Input",
        "Join consecutive messages of one role, with an empty line between their texts.",
    )
    delimiter: str | None = _option(
        None,
        "Input",
        "For CSV: the character between the cells of a row, or tab. [default: a comma; in .tsv "
        "files a tab]",
        metavar="CHARACTER",
    )
    json_path: str | None = _option(
        None,
        "Input",
        "For a file that holds one JSON object: where in it the list of records is, e.g. data or "
        "result.rows. [default: the list in data, train, rows, records, examples, instances or "
        "samples]",
        metavar="KEY[.KEY]",
    )
    template: str = _option(
        "plain",
        "Template",
        "A built-in template's name, a YAML or .jinja file of your own, or tokenizer for the "
        "tokenizer's own chat template (tokenizer:NAME for a named one).",
        metavar="NAME",
        form="name",
    )
    template_arg: tuple[str, ...] = _option(
        (),
        "Template",
        "An argument for a chat template, e.g. enable_thinking=false. Repeatable.",
        metavar="KEY=VALUE",
    )
    date: str | None = _option(
        None,
        "Template",
        "The date that a chat template writes as today's date.",
        metavar="YYYY-MM-DD",
    )
    system: str | None = _option(None, "Template", "The system prompt for records that have none.")
    separator: str | None = _option(
        None,
        "Template",
        "The text between prompt and completion, for --template plain; it may be a special token. "
        "\\n is a newline, \\t a tab, \\\\ a backslash.",
    )
    add_token: tuple[str, ...] = _option(
        (),
        "Tokenizer",
        "A token to add if the tokenizer lacks it; ROLE=TOKEN also makes it bos, eos, pad or sep. "
        "Repeatable.",
        metavar="TOKEN",
    )
    plain_text: tuple[str, ...] = _option(
        (),
        "Tokenizer",
        "A text that is meant as plain text: it looks like a control token in the template or the "
        "separator, or like <image> in a record. Repeatable.",
        metavar="TEXT",
    )
    allow_control: tuple[str, ...] = _option(
        (),
        "Tokenizer",
        "A control token whose text in a record is encoded as the token itself. Repeatable.",
        metavar="TOKEN",
    )
    end_of_turn: str | None = _option(
        None,
        "Tokenizer",
        "The token that ends an answer, for templates that write none, and for those that leave it "
        "to the next message.",
        metavar="TOKEN",
    )
    max_length: int | None = _option(
        None,
        "Length and loss",
        "The maximum length of a row, in tokens. [default: 2048, or the tokenizer's limit if that "
        "is less]",
        least=1,
        metavar="N",
        most=MOST_TOKENS,
    )
    truncation: str = _option(
        "drop",
        "Length and loss",
        "What to do with a record longer than --max-length: {values}.",
        values=(
            "error",
            "drop",
            "keep-start",
            "keep-end",
            "prompt-start",
            "completion-end",
            "balanced",
            "oldest-turns",
        ),
        metavar="NAME",
    )
    train_on: str = _option(
        "completion",
        "Length and loss",
        "Which text carries loss: completion (all answers), all (all text), last (the last "
        "answer), or the messages of roles, e.g. user or user,assistant.",
        values=("completion", "all", "last"),
        words=TRAINABLE,
        metavar="NAME",
    )
    train_reasoning: str = _option(
        "all",
        "Length and loss",
        "Whether the reasoning in trained answers carries loss: all, none or last (that of the "
        "last answer).",
        values=("all", "last", "none"),
        metavar="NAME",
    )
    train_tool_calls: str = _option(
        "yes",
        "Length and loss",
        "Whether the tool calls in trained answers carry loss: yes or no.",
        values=("yes", "no"),
        metavar="yes|no",
    )
    per_turn: bool = _option(
        False,
        "Length and loss",
        "Make one example for each answer, with the prompt that the model sees at inference.",
    )
    ignore_index: int = _option(
        -100,
        "Length and loss",
        "The label of tokens without loss.",
        metavar="N",
        least=LEAST_LABEL,
    )
    boundary: str = _option(
        "split",
        "Length and loss",
        "How to encode the text around a loss boundary: split (each side by itself, as inference "
        "does) or joint (as one text).",
        values=("split", "joint"),
        metavar="NAME",
    )
    dedup: str | None = _option(
        None,
        "Arrangement",
        "Drop each row that repeats an earlier one: exact (the same text), normalized (the same "
        "but for case, white space and Unicode form) or near (most of the text is the same).",
        values=("exact", "normalized", "near"),
        metavar="NAME",
    )
    validation: str | None = _option(
        None,
        "Arrangement",
        "How many rows go to a validation split, as a number or a percentage. Rows with the same "
        "prompt stay together.",
        metavar="N|P%",
        takes_number=True,
    )
    test: str | None = _option(
        None,
        "Arrangement",
        "How many rows go to a test split, as a number or a percentage.",
        metavar="N|P%",
        takes_number=True,
    )
    split_by: str | None = _option(
        None,
        "Arrangement",
        "For the splits: a field of the records, e.g. document_id. Records with the same value "
        "stay together, instead of rows with the same prompt.",
        metavar="FIELD",
    )
    sample: str | None = _option(
        None,
        "Arrangement",
        "How many rows of the training split to keep, as a number or a percentage.",
        metavar="N|P%",
        takes_number=True,
    )
    repeat: tuple[str, ...] = _option(
        (),
        "Arrangement",
        "How often the training rows of an input occur, e.g. 'code*.jsonl=2.5' (all of them twice, "
        "and half of them once more). Repeatable.",
        metavar="GLOB=FACTOR",
    )
    shuffle: bool = _option(
        False,
        "Arrangement",
        "Shuffle each split: its rows or, with --pack, its packs too.",
        negative=True,
    )
    seed: int | None = _option(
        None,
        "Arrangement",
        "The seed for --shuffle, --sample, --repeat and the splits. [default: 0]",
        least=0,
        most=MOST_TOKENS,
        metavar="N",
    )
    pack: bool = _option(
        False,
        "Arrangement",
        "Join rows to packs of up to --pack-length tokens. No row is cut for it.",
        negative=True,
    )
    pack_length: int | None = _option(
        None,
        "Arrangement",
        "The maximum length of a pack, in tokens. [default: --max-length]",
        least=1,
        most=MOST_TOKENS,
        metavar="N",
    )
    pack_order: str | None = _option(
        None,
        "Arrangement",
        "The order of the rows in a pack: plan (as in the split) or longest-first. [default: plan]",
        values=("plan", "longest-first"),
        metavar="NAME",
    )
    pad: str = _option(
        "none",
        "Arrangement",
        "Pad each row, or pack, to the length of the longest, to the maximum length, or to a "
        "multiple of N: none, longest, max-length or multiple-of:N.",
        metavar="NAME",
    )
    pad_side: str | None = _option(
        None,
        "Arrangement",
        "The side on which --pad adds tokens: right or left. [default: right]",
        values=("right", "left"),
        metavar="right|left",
    )
    backend: str = _option(
        "auto",
        "Tokenizer",
        "The encoder: {values}. All give the same ids.",
        values=("auto", "gigatoken", "hf"),
        decides_bytes=False,
        metavar="NAME",
    )
    target: str = _option(
        "hf",
        "Output",
        "The trainer that is to read the dataset: {values}. sftprep targets describes them.",
        values=TARGET_NAMES,
        metavar="NAME",
    )
    format: str | None = _option(
        None,
        "Output",
        "The file format of the shards: {values}. [default: parquet, or the one that the target "
        "reads]",
        values=FORMAT_NAMES,
        metavar="NAME",
    )
    loss_mask: str | None = _option(
        None,
        "Output",
        "Write which tokens are trained as a column of ones and zeros, in place of labels: "
        "{values}.",
        values=LOSS_MASKS,
        metavar="NAME",
    )
    shard_size: str = _option(
        "64MiB",
        "Output",
        "How much input, uncompressed, goes into one shard, e.g. 500KB or 1GiB. If rows are "
        "arranged: how many tokens, of 4 bytes each.",
        metavar="SIZE",
        takes_number=True,
    )
    private_ledgers: bool = _option(
        False,
        "Output",
        "Let only the owner read rejects.jsonl and dropped.jsonl.",
        decides_bytes=False,
    )
    max_line_bytes: str = _option(
        "64MiB",
        "Input",
        "The maximum size of a record, in bytes; a larger one is a bad record.",
        metavar="SIZE",
        takes_number=True,
    )
    max_expansion: int = _option(
        MAX_EXPANSION,
        "Input",
        "For compressed input: the most bytes that one compressed byte may expand to.",
        least=1,
        decides_bytes=False,
        metavar="N",
        most=MOST_BYTES,
    )
    on_injection: str = _option(
        "encode",
        "Bad records",
        "If a record holds a control token's text: encode it as text, or reject the record.",
        values=("encode", "reject"),
        metavar="NAME",
    )
    on_omission: str = _option(
        "error",
        "Bad records",
        "If a template does not write a record's tools, tool calls, reasoning or system prompt: "
        "error makes it a bad record, count only counts its rows. All else that is left out is "
        "counted.",
        values=("error", "count"),
        metavar="NAME",
    )
    on_no_answer: str = _option(
        "error",
        "Bad records",
        "If a conversation does not end with an answer: make it a bad record, or cut the turns "
        "after its last answer.",
        values=("error", "cut"),
        metavar="NAME",
    )
    on_error: str = _option(
        "fail",
        "Bad records",
        "If there are bad records: fail and publish nothing, or quarantine them.",
        values=("fail", "quarantine"),
        metavar="NAME",
    )
    max_rejects: str | None = _option(
        None,
        "Bad records",
        "With --on-error quarantine: how many bad records are allowed, as a number or a "
        "percentage.",
        metavar="N|P%",
        takes_number=True,
    )
    max_dropped: str | None = _option(
        None,
        "Bad records",
        "How many valid records may be dropped, because they are too long or have nothing to "
        "train, as a number or a percentage. [default: any number]",
        metavar="N|P%",
        takes_number=True,
    )
    workers: int | None = _option(
        None,
        "Run",
        "Worker processes. [default: the number of cores that sftprep may use]",
        least=1,
        decides_bytes=False,
        metavar="N",
        most=MOST_WORKERS,
    )
    overwrite: bool = _option(
        False,
        "Run",
        "Replace the dataset in the output folder once the new one is complete.",
        decides_bytes=False,
    )
    resume: bool = _option(
        False,
        "Run",
        "Continue where an interrupted run with these options stopped, or rebuild a damaged "
        "dataset.",
        decides_bytes=False,
    )
    lint_ignore: tuple[str, ...] = _option(
        (),
        "Lint",
        "A rule of sftprep lint that is not to report what it finds, and the reason. Repeatable.",
        metavar="RULE=REASON",
        takes_mapping=True,
        decides_bytes=False,
    )

    def __post_init__(self) -> None:
        for option in options():
            value = _typed(option, getattr(self, option.name))
            object.__setattr__(self, option.name, value)
            for text in value if isinstance(value, tuple) else (value,):
                _check_text(option, text)
            if option.values and value is not None and value not in option.values:
                _check_words(option, value)
            if isinstance(value, int):
                check_range(option.flag, value, option.least, option.most)
        _check_together(self)

    @classmethod
    def from_sources(cls, path: str | None, flags: Mapping[str, Any]) -> "Recipe":
        """Merge a YAML file and the flags.

        Args:
            path: the file; None if there is none.
            flags: option -> value, as for ``given_options``.
        """
        return cls(**given_options(path, flags))

    @classmethod
    def rearranged(cls, dataset: Mapping[str, Any], given: Mapping[str, Any]) -> "Recipe":
        """Return the recipe of a dataset with other options in place of some of its own.

        Args:
            dataset: the recipe in the manifest of the dataset.
            given: the options that are given, by name.

        Raises:
            UsageError: one of them is no option of ``export``.
        """
        for name in given:
            if name not in (*exportable(), "max_length"):
                hint = did_you_mean(name, exportable(), f"Known: {', '.join(exportable())}.")
                raise UsageError(f"export has no option {shown(name)}. {hint}")
        values = rearranged(dataset, given)
        if given.get("target") is not None:  # another trainer may read another format
            values |= {name: given.get(name) for name in ("format", "loss_mask")}
        return cls(**values)

    def as_dict(self) -> dict[str, Any]:
        """Return the value of every option by its name, as plain values."""
        return {option.name: _plain(getattr(self, option.name)) for option in options()}

    def deciding(self, resolved: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options that decide the dataset's bytes, by name, as plain values.

        Args:
            resolved: the values of options whose effect depends on more than the recipe, such as
                a ``max_length`` that follows from the tokenizer.
        """
        values = self.as_dict() | dict(resolved)
        return {option.name: values[option.name] for option in options() if option.decides_bytes}

    def to_yaml(self) -> str:
        """Return the recipe as the text of a YAML file, from which the same recipe is read."""
        import yaml

        return yaml.safe_dump(self.as_dict(), sort_keys=False, allow_unicode=True)

    @property
    def field_names(self) -> dict[str, str]:
        """Canonical field name -> the name that the data uses."""
        return dict(entry.split("=", 1) for entry in self.field)

    @property
    def role_names(self) -> dict[str, str]:
        """The name of a role in the data -> the role."""
        return dict(entry.rsplit("=", 1) for entry in self.role)

    @property
    def ignored_rules(self) -> dict[str, str]:
        """The rules of lint that are not to report -> the reason."""
        return dict(entry.split("=", 1) for entry in self.lint_ignore)

    @property
    def template_arguments(self) -> dict[str, Any]:
        """The chat template's arguments: each is a JSON value, or else a text."""
        return {k: _json_or_text(v) for k, v in (a.split("=", 1) for a in self.template_arg)}

    @property
    def file_format(self) -> str:
        """The file format of the shards: ``format``, or else the one that the target reads."""
        return self.format or TARGET_FORMATS[self.target][0]

    @property
    def shard_bytes(self) -> int:
        """``shard_size`` in bytes."""
        return parse_size(self.shard_size)

    @property
    def limits(self) -> Limits:
        """The limits on the input: the longest line, and how far compressed data may expand."""
        return Limits(parse_size(self.max_line_bytes, "max_line_bytes"), self.max_expansion)

    @property
    def hints(self) -> Hints:
        """What the options say about the files."""
        names = {"tab": "\t", "\\t": "\t"}
        delimiter = self.delimiter or ""
        return Hints(names.get(delimiter, delimiter), self.json_path or "")

    def reject_limit(self, read: int) -> int | None:
        """Return how many of ``read`` records may be rejected; None for any number."""
        return _limit(self.max_rejects, "max_rejects", read)

    def drop_limit(self, examples: int) -> int | None:
        """Return how many of these records, or examples, may be dropped; None for any number."""
        return _limit(self.max_dropped, "max_dropped", examples)


def given_options(
    path: str | None, flags: Mapping[str, Any], allowed: Collection[str] | None = None
) -> dict[str, Any]:
    """Return the options that a YAML file and the flags give, by name; a flag overrides the file.

    Args:
        path: the file; None if there is none.
        flags: option -> value. A flag that was not given is None or an empty list; or False, but
            not for an option that has a flag to turn it off.
        allowed: the names of the options that the file may give; None for all.
    """
    values = _load_file(path, allowed) if path else {}
    negative = {option.name for option in options() if option.negative}
    absent = {
        k for k, v in flags.items() if v is None or v == [] or (v is False and k not in negative)
    }
    return values | {k: v for k, v in flags.items() if k not in absent}


@cache
def options() -> tuple[Option, ...]:
    """Return all options, in the order in which they are declared."""
    return tuple(
        Option(name=f.name, type=f.type, default=f.default, **f.metadata) for f in fields(Recipe)
    )


def arranging() -> tuple[str, ...]:
    """Return the names of the options that arrange rows."""
    return tuple(option.name for option in options() if option.group == "Arrangement")


def not_for_rows() -> tuple[str, ...]:
    """Return the names of the options that do not concern commands that make rows."""
    return tuple(option.name for option in options() if option.group == "Lint")


def exportable() -> tuple[str, ...]:
    """Return the names of the options that ``export`` takes."""
    of_output = ("output", "target", "format", "loss_mask", "shard_size", "private_ledgers")
    return (*arranging(), *of_output, "workers", "overwrite", "resume")


def allowed_values(name: str) -> tuple[str, ...]:
    """Return the values that an option allows; () if it allows any value of its type."""
    return next(option.values for option in options() if option.name == name)


def _limit(amount: str | None, name: str, total: int) -> int | None:
    """Return how many of ``total`` an amount allows; None for any number."""
    if amount is None:
        return None
    found = parse_amount(amount, name)
    return int(found * total) if isinstance(found, Fraction) else found


UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def parse_size(text: str, name: str = "shard_size") -> int:
    """Convert a size with a unit to bytes; ``name`` is the option, for the error message.

    >>> parse_size("64MiB"), parse_size("500 kB")
    (67108864, 500000)
    """
    match = re.fullmatch(r"0*([0-9]+)\s*([a-zA-Z]*)", text.strip())
    if not match or match[2].upper() not in UNITS or match[1] == "0":
        raise UsageError(
            f"{flag(name)} is {shown(text)}; expected a number above 0 with B, KB, MB, GB, KiB, "
            "MiB or GiB, e.g. 64MiB."
        )
    # Python refuses to convert thousands of digits, and 20 digits are too many already.
    size = int(match[1][:20]) * UNITS[match[2].upper()]
    if size > MOST_BYTES or len(match[1]) > 20:
        raise UsageError(
            f"{flag(name)} is {shown(text)}; expected less than 2^63 bytes. Use a smaller number."
        )
    return size


ESCAPES = {"n": "\n", "t": "\t", "\\": "\\"}


def unescaped(text: str, name: str) -> str:
    r"""Return a text with its escapes replaced: a newline, a tab or a backslash.

    Args:
        text: the text as it was given.
        name: the option, for the error message.

    >>> unescaped(r"a\nb\\c", "separator")
    'a\nb\\c'
    """

    def replaced(match: re.Match[str]) -> str:
        if match[1] not in ESCAPES:
            raise UsageError(
                f"{flag(name)} is {shown(text)}; behind a backslash, expected n (a newline), t (a "
                "tab) or another backslash. Write two backslashes for one."
            )
        return ESCAPES[match[1]]

    return re.sub(r"\\(.?)", replaced, text, flags=re.DOTALL)


def escaped(text: str) -> str:
    """Return the text from which ``unescaped`` gives this one; only backslashes are changed."""
    return text.replace("\\", "\\\\")


def command_line(recipe: Mapping[str, Any], inputs: Sequence[str], tokenizer: str) -> str:
    r"""Return the ``prepare`` command with these options, one on each line, for people to read.

    A character that a terminal could act on, such as a line break, is written as an escape.

    Args:
        recipe: the options that decide the bytes, resolved, as the manifest holds them. Those that
            have their default value are left out.
        inputs: the names of the inputs.
        tokenizer: the name of the tokenizer.

    >>> print(command_line({"template": "qa", "per_turn": True}, ["a b.jsonl"], "gpt2"))
    sftprep prepare 'a b.jsonl' \
      --output DIR \
      --tokenizer gpt2 \
      --template qa \
      --per-turn
    """
    words = [shlex.quote(name) for name in inputs[:MOST_NAMED]]
    words += ["..."] if len(inputs) > MOST_NAMED else []
    lines = [" ".join(["sftprep prepare", *words]), "--output DIR"]
    lines.append(f"--tokenizer {shlex.quote(tokenizer)}")
    for option in options():
        value, default = recipe.get(option.name), option.default
        if option.takes_number and isinstance(value, int) and isinstance(default, str):
            default = parse_size(default, option.name)
        if option.name == "format":
            default = TARGET_FORMATS[recipe.get("target", "hf")][0]
        if value in (default, None, "", [], False):
            continue
        values = value if isinstance(value, list) else [value]
        if value is True:
            lines.append(option.flag)
        else:
            lines += [f"{option.flag} {shlex.quote(str(each))}" for each in values]
    return " \\\n  ".join(map(ascii_safe, lines))


def check_range(name: str, value: int, least: int | None, most: int | None = None) -> None:
    """Raise a ``UsageError`` if a number is not in its range.

    Args:
        name: the flag, for the message.
        value: the number.
        least: the smallest number allowed; None if there is none.
        most: the largest number allowed; None if there is none.
    """
    if least is not None and value < least:
        raise UsageError(f"{name} is {shown(value)}; expected {least:,} or more.")
    if most is not None and value > most:
        raise UsageError(f"{name} is {shown(value)}; expected {most:,} or less.")


def _load_file(path: str, allowed: Collection[str] | None) -> dict[str, Any]:
    try:
        value = parse_yaml(Path(path).read_bytes())
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}. Check the path.") from error
    except ValueError as error:
        raise UsageError(f"{path}: not valid YAML: {error}. Correct the file.") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise UsageError(
            f"{path}: found {shown(value)}; expected a mapping of options to values. Correct the "
            "file."
        )
    known = [option.name for option in options()]
    values = {}
    for key, entry in value.items():
        name = str(key).replace("-", "_")
        if name not in known:
            hint = did_you_mean(name, known, f"Known: {', '.join(known)}.")
            raise UsageError(f"{path}: unknown option {shown(key)}. {hint}")
        if allowed is not None and name not in allowed:
            raise UsageError(
                f"{path}: {name} cannot be used here, because the rows of a dataset are made by "
                f"prepare. Remove it; what can be used is {', '.join(allowed)}."
            )
        if name in values:
            raise UsageError(
                f"{path}: {name} is given twice, with a hyphen and with an underscore. Keep one."
            )
        values[name] = entry
    return values


KINDS: dict[Any, tuple[tuple[type, ...], str]] = {
    str: ((str,), "a string"),
    int: ((int,), "a whole number"),
    bool: ((bool,), "true or false"),
    tuple[str, ...]: ((list, tuple), "a list of strings"),
}
"""Declared type -> the types that a value may have, and their name in an error message."""


def _typed(option: Option, value: Any) -> Any:
    """Return ``value`` if it has the declared type; convert a list to a tuple."""
    kind = option.type
    if kind not in KINDS:  # X | None
        if value is None:
            return None
        kind = get_args(kind)[0]
    if option.takes_number and type(value) is int:
        value = str(value) if abs(value) <= MOST_BYTES else value
    if option.values == ("yes", "no") and isinstance(value, bool):  # what YAML makes of these words
        value = "yes" if value else "no"
    if isinstance(value, datetime.date):  # YAML reads an unquoted date as one
        is_day = option.name == "date" and not isinstance(value, datetime.datetime)
        if not is_day:
            raise UsageError(f"{option.flag} is the date {value}; expected {KINDS[kind][1]}.")
        value = value.isoformat()
    if option.takes_mapping and isinstance(value, dict):
        value = [f"{key}={entry}" for key, entry in value.items()]
    types, words = KINDS[kind]
    if option.takes_number:
        words = "a string or a whole number below 2^63"
    wrong = not isinstance(value, types) or (isinstance(value, bool) and bool not in types)
    if wrong or (isinstance(value, list | tuple) and not all(isinstance(x, str) for x in value)):
        raise UsageError(f"{option.flag} is {shown(value)}; expected {words}.")
    return tuple(value) if isinstance(value, list) else value


def _check_text(option: Option, value: Any) -> None:
    """Raise an error if a text cannot be used because of its characters.

    An argument or a file name that is not valid UTF-8 reaches Python with surrogates in it. A
    ``path`` may have these; a ``text`` and a ``name`` may not, as they are written to the manifest.
    A ``path`` and a ``name`` may not have the character NUL, which the system takes for their end.
    """
    if not isinstance(value, str):
        return
    try:
        data = os.fsencode(value) if option.form == "path" else value.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"{option.flag} is {shown(value)}, which is not valid UTF-8. Correct it."
        ) from error
    if option.form != "text" and b"\0" in data:
        raise UsageError(f"{option.flag} is {shown(value)}; a name cannot have the character NUL.")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _check_words(option: Option, value: str) -> None:
    """Require that a value that is not one of ``option.values`` consists of ``option.words``."""
    if option.name == "target" and value in UNABLE_NAMES:
        raise UsageError(
            f"--target {value}: this trainer cannot be given token ids. sftprep targets {value} "
            "says why, and what to use instead."
        )
    words = value.split(",")
    wrong = next((word for word in words if word not in option.words), None)
    if wrong is None:
        if twice := next((word for word in words if words.count(word) > 1), None):
            raise UsageError(
                f"{option.flag} is {shown(value)}, which names {twice} twice. Keep one."
            )
        return
    if len(words) > 1 and option.words:
        known, what = option.words, f", in which {shown(wrong)} is not allowed"
    else:
        known, what = (*option.values, *option.words), ", which is not allowed"
    hint = did_you_mean(wrong, known, f"Choose one of {', '.join(known)}.")
    raise UsageError(f"{option.flag} is {shown(value)}{what}. {hint}")


def _check_together(recipe: Recipe) -> None:
    if recipe.ignore_index >= 0:
        raise UsageError(
            f"--ignore-index is {recipe.ignore_index}, which can be a token's id. Use a number "
            "below 0."
        )
    canonical_names = [entry.partition("=")[0] for entry in recipe.field]
    for entry in recipe.field:
        canonical, equals, actual = entry.partition("=")
        if not (equals and actual) or canonical not in FIELDS:
            raise UsageError(
                f"--field {shown(entry)}: expected CANONICAL=ACTUAL, with CANONICAL one of "
                f"{', '.join(FIELDS)}."
            )
        if canonical_names.count(canonical) > 1:
            raise UsageError(f"--field gives the name of {canonical} twice. Keep one.")
        try:
            paths_of(actual)
        except ValueError as error:
            raise UsageError(f"--field {shown(entry)}: {error}.") from error
    _check_roles(recipe)
    _check_template_options(recipe)
    _check_ignored(recipe)
    _check_hints(recipe)
    parse_size(recipe.shard_size)
    parse_size(recipe.max_line_bytes, "max_line_bytes")
    for name, amount in (("max_rejects", recipe.max_rejects), ("max_dropped", recipe.max_dropped)):
        if amount is not None:
            parse_amount(amount, name)
    check_arrangement(recipe.as_dict())
    formats = TARGET_FORMATS[recipe.target]
    if recipe.file_format not in formats:
        raise UsageError(
            f"--target {recipe.target} reads {alternatives(formats)}, not {recipe.format}. Leave "
            "out --format, or choose another target."
        )
    if recipe.max_rejects is not None and recipe.on_error != "quarantine":
        raise UsageError(
            "--max-rejects needs --on-error quarantine: without it no bad record is allowed."
        )


def _check_roles(recipe: Recipe) -> None:
    names = [entry.rpartition("=")[0] for entry in recipe.role]
    for entry in recipe.role:
        name, _, role = entry.rpartition("=")
        if not name or role not in ROLES:
            raise UsageError(
                f"--role {shown(entry)}: expected NAME=ROLE, with ROLE one of {', '.join(ROLES)}."
            )
        if names.count(name) > 1:
            raise UsageError(f"--role gives the meaning of {shown(name)} twice. Keep one.")


def _check_ignored(recipe: Recipe) -> None:
    """Refuse a rule that does not exist, or that is ignored without a reason."""
    for entry in recipe.lint_ignore:
        name, _, reason = entry.partition("=")
        if name not in RULE_NAMES:
            hint = did_you_mean(name, RULE_NAMES, "sftprep help lint lists the rules.")
            raise UsageError(f"lint_ignore: there is no rule {shown(name)}. {hint}")
        if not reason.strip():
            raise UsageError(
                f"lint_ignore: {name} has no reason. Write one, as {name}: checked by hand."
            )
        if [other.partition("=")[0] for other in recipe.lint_ignore].count(name) > 1:
            raise UsageError(f"lint_ignore names {name} twice. Keep one.")


def _check_hints(recipe: Recipe) -> None:
    """Refuse a delimiter that cannot separate cells, and a path without keys."""
    delimiter = recipe.hints.delimiter
    if recipe.delimiter is not None and (
        len(delimiter) != 1 or not delimiter.isascii() or delimiter in '"\r\n' or delimiter == "\0"
    ):
        raise UsageError(
            f"--delimiter is {shown(recipe.delimiter)}; expected one ASCII character other than a "
            "quote or a line end, or the word tab."
        )
    if recipe.json_path is not None and not all(recipe.json_path.split(".")):
        raise UsageError(
            f"--json-path is {shown(recipe.json_path)}; expected keys with dots between them, e.g. "
            "data or result.rows."
        )


def _json_or_text(text: str) -> Any:
    """Return the value of a JSON text, and any other text as it is.

    Raises:
        ValueError: the text is JSON that has no exact value: a number that is too large, a key that
            occurs twice, nesting that is too deep, or half of a surrogate pair.

    >>> [_json_or_text(text) for text in ("false", "no", "12", "012", '"12"', "a: b")]
    [False, 'no', 12, '012', '12', 'a: b']
    """

    def number(digits: str) -> float:
        if math.isinf(value := float(digits)):
            raise ArithmeticError(f"{shown(digits)} does not fit a 64-bit float")
        return value

    def integer(digits: str) -> int:
        if len(digits) > 20 or not -(2**63) <= int(digits) < 2**64:
            raise ArithmeticError(f"{shown(digits)} does not fit 64 bits")
        return int(digits)

    def not_json(name: str) -> None:
        raise json.JSONDecodeError("not JSON", name, 0)  # NaN and Infinity

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(found := dict(pairs)) < len(pairs):
            raise ArithmeticError("a key occurs twice in one object")
        return found

    try:
        value = json.loads(
            text,
            parse_int=integer,
            parse_float=number,
            parse_constant=not_json,
            object_pairs_hook=unique,
        )
        json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError:
        return text
    except UnicodeEncodeError as error:
        raise ValueError("half of a surrogate pair is not a character") from error
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    except ArithmeticError as error:
        raise ValueError(str(error)) from error
    return value


def _check_template_options(recipe: Recipe) -> None:
    keys: set[str] = set()
    for entry in recipe.template_arg:
        key, equals, value = entry.partition("=")
        if not (equals and key.isidentifier()):
            raise UsageError(f"--template-arg {shown(entry)}: expected KEY=VALUE.")
        if key in keys:
            raise UsageError(f"--template-arg gives {key} twice. Keep one.")
        keys.add(key)
        try:
            _json_or_text(value)
        except ValueError as error:
            raise UsageError(
                f"--template-arg {shown(entry)}: {error}. Correct the value."
            ) from error
    if recipe.separator is not None:
        unescaped(recipe.separator, "separator")
    if recipe.date is not None:
        try:
            datetime.date.fromisoformat(recipe.date)
        except ValueError as error:
            raise UsageError(
                f"--date is {shown(recipe.date)}; expected a date as YYYY-MM-DD."
            ) from error
