"""Check a manifest by itself, before any other file of the dataset is opened.

In     a ``Manifest`` as loaded. Its top-level keys exist; nothing else about it is certain.
Out    problems: values whose type is wrong; counts that do not add up; names and hashes that
       contradict the rest of the manifest.
Never  raises on any manifest, however hostile. ``content_problems`` may be called only if
       ``structure_problems`` found no problem.
"""

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from sftprep.arrange import conservation
from sftprep.dataset.accounting import imbalance
from sftprep.dataset.describing import describing_files
from sftprep.dataset.files import CARD, DROPPED, MANIFEST, REJECTS, SPLITS, shard_files
from sftprep.dataset.identity import fingerprint
from sftprep.dataset.manifest import Manifest, files_of
from sftprep.errors import UsageError
from sftprep.formats.table import FORMATS
from sftprep.recipe import Recipe
from sftprep.targets.table import TARGETS
from sftprep.targets.target import Form
from sftprep.text import shown
from sftprep.verify.report import Problem

LEDGERS = {DROPPED: "dropped", REJECTS: "rejected"}
"""Name of a ledger -> key of the counts that it lists."""


class Scalar(NamedTuple):
    """A JSON value that is neither a list nor an object."""

    description: str  # for messages
    accepts: Callable[[Any], bool]


class ObjectOf(NamedTuple):
    """A JSON object with any keys, whose values all have the same structure."""

    value: Any


def _integer(least: int, end: int = 1 << 64) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value < end  # True is not an integer here


COUNT = Scalar("an integer, 0 or more", _integer(0))
POSITIVE = Scalar("an integer above 0", _integer(1))
NEGATIVE = Scalar("an integer below 0", _integer(-(1 << 31), 0))
COUNT_OR_NULL = Scalar(
    f"{COUNT.description}, or null", lambda value: value is None or COUNT.accepts(value)
)
POSITIVE_OR_NULL = Scalar(
    f"{POSITIVE.description}, or null", lambda value: value is None or POSITIVE.accepts(value)
)
BOOLEAN = Scalar("true or false", lambda value: isinstance(value, bool))
STRING = Scalar("a string", lambda value: isinstance(value, str))
STRING_OR_NULL = Scalar(
    f"{STRING.description}, or null", lambda value: value is None or STRING.accepts(value)
)
SHA256 = Scalar(
    "a SHA-256 in hexadecimal",
    lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None,
)
SPLIT = Scalar(
    f"one of {', '.join(SPLITS)}", lambda value: isinstance(value, str) and value in SPLITS
)
DIGEST = Scalar(
    "32 hexadecimal digits",
    lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{32}", value) is not None,
)
FORMAT = Scalar(
    f"one of {', '.join(FORMATS)}", lambda value: isinstance(value, str) and value in FORMATS
)
TARGET = Scalar(
    f"one of {', '.join(TARGETS)}", lambda value: isinstance(value, str) and value in TARGETS
)
FILE = {"name": STRING, "bytes": POSITIVE, "sha256": SHA256}
LEDGER = {"entries": POSITIVE, "bytes": POSITIVE, "sha256": SHA256}
OUTCOMES = {
    "read": COUNT,
    "extra_examples": COUNT,
    "repeated": COUNT,
    "blank_lines": COUNT,
    "written": COUNT,
    "dropped": ObjectOf(COUNT),
    "rejected": ObjectOf(COUNT),
}
MANIFEST_STRUCTURE = {
    "recipe": {
        "template": STRING,
        "max_length": POSITIVE,
        "pack": BOOLEAN,
        "pack_length": POSITIVE_OR_NULL,
        "pad": STRING,
        "pad_side": STRING_OR_NULL,
        "ignore_index": NEGATIVE,
        "format": FORMAT,
        "target": TARGET,
        "loss_mask": STRING_OR_NULL,
        "shard_size": POSITIVE,
        "max_line_bytes": POSITIVE,
    },
    "inputs": [
        {
            "name": STRING,
            "bytes": COUNT,
            "sha256": SHA256,
            "schema": STRING,
            "fields": ObjectOf(STRING),
            **OUTCOMES,
        }
    ],
    "tokenizer": {
        "name": STRING,
        "sha256": SHA256,
        "vocabulary_size": POSITIVE,
        "added_tokens": ObjectOf(COUNT),
        "special_tokens": ObjectOf({"token": STRING, "id": COUNT_OR_NULL}),
        "model_max_length": COUNT_OR_NULL,
        "adds_bos": BOOLEAN,
        "stop_tokens": [STRING],
        "pad_is_eos": BOOLEAN,
        "files": ObjectOf(SHA256),
    },
    "template": {"name": STRING, "sha256": SHA256, "source": STRING},
    "counts": {
        **OUTCOMES,
        **dict.fromkeys(
            ("truncated", "truncated_trained", "shortened", "exchanges_dropped"), COUNT
        ),
        **dict.fromkeys(("tokens", "trained_tokens", "rewritten_histories"), COUNT),
        **dict.fromkeys(
            (
                "answers_without_stop",
                "glued_answers",
                "empty_think_blocks",
                "trained_think_blocks",
                "unclean_boundaries",
                "fitting_length",
                "records_with_control_strings",
            ),
            COUNT,
        ),
        **dict.fromkeys(
            ("control_strings", "output_fields", "omitted", "other_stops", "tokens_as_text"),
            ObjectOf(COUNT),
        ),
        **dict.fromkeys(("ignored_fields", "fields", "roles", "loss_flags"), ObjectOf(COUNT)),
    },
    "shards": [
        {
            "name": STRING,
            "split": SPLIT,
            "rows": POSITIVE,
            "documents": POSITIVE,
            "tokens": POSITIVE,
            "trained_tokens": POSITIVE,
            "bytes": POSITIVE,
            "sha256": SHA256,
            "digest": DIGEST,
            "index": FILE,
        }
    ],
    "input_shards": [POSITIVE],
    "ledgers": ObjectOf(LEDGER),
    "digest_of_rows": DIGEST,
    "files": ObjectOf(SHA256),
    "arrangement": Scalar("an object", lambda value: isinstance(value, dict)),
    "libraries": ObjectOf(STRING),
    "fingerprint": SHA256,
}
"""The structure that the checks rely on.

A dict must have at least these keys; a list may have any number of entries. ``stored_recipe``
checks the recipe's other options.
"""


def structure_problems(manifest: Manifest) -> list[Problem]:
    """Find values that are missing or have the wrong type."""
    found = list(structure_errors("", asdict(manifest), MANIFEST_STRUCTURE))
    if not found:
        for index, shard in enumerate(manifest.shards):
            found += structure_errors(f"shards[{index}].parts", shard.get("parts", []), [FILE])
    if not found and manifest.recipe["pack"]:
        name = manifest.recipe["target"]
        if not isinstance(TARGETS[name].packed, Form):
            found.append(f"recipe.pack is true; the target {name} takes no packed rows")
    return [Problem(MANIFEST, None, text) for text in found]


def content_problems(manifest: Manifest) -> list[Problem]:
    """Find counts, names, ids and hashes that contradict the rest of the manifest."""
    found = [
        *_count_errors(manifest),
        *_name_errors(manifest),
        *_file_errors(manifest),
        *_token_id_errors(manifest),
        *_hash_errors(manifest),
    ]
    try:
        stored_recipe(manifest)
    except UsageError as error:
        found.append(f"its recipe cannot be used: {str(error).rstrip('.')}")
    return [Problem(MANIFEST, None, text) for text in found]


def stored_recipe(manifest: Manifest) -> Recipe:
    """Return the options that a dataset was built with.

    Two options are not taken from the manifest. The backend is ``hf``, so that rebuilding checks
    the fast backend against the reference. Decompression has no limit: the inputs were within their
    limit when the dataset was built.

    Raises:
        UsageError: the manifest holds a value that ``prepare`` would refuse.
    """
    known = {field.name for field in fields(Recipe)}
    options = {name: value for name, value in manifest.recipe.items() if name in known}
    for name in ("shard_size", "max_line_bytes"):
        options[name] = str(options[name])
    try:
        return Recipe(**options, max_expansion=sys.maxsize, backend="hf")
    except UsageError:
        raise
    except Exception as error:  # some values are parsed as YAML, which may raise anything
        raise UsageError(f"{type(error).__name__}: {error}") from error


def structure_errors(place: str, value: Any, expected: Any) -> Iterator[str]:
    """Yield what is missing in a value, or has another type than expected.

    Args:
        place: where the value stands in the manifest.
        value: the value.
        expected: its structure, in the form of ``MANIFEST_STRUCTURE``.
    """
    if isinstance(expected, Scalar):
        if not expected.accepts(value):
            yield f"{place} is {shown(value)}; expected {expected.description}"
    elif isinstance(expected, list):
        if not isinstance(value, list):
            yield f"{place} is {shown(value)}; expected a list"
            return
        for index, entry in enumerate(value):
            yield from structure_errors(f"{place}[{index}]", entry, expected[0])
    elif not isinstance(value, dict):
        yield f"{place} is {shown(value)}; expected an object"
    elif isinstance(expected, ObjectOf):
        for key, entry in value.items():
            yield from structure_errors(f"{place}[{shown(key)}]", entry, expected.value)
    else:
        for key, inner in expected.items():
            inner_place = f"{place}.{key}" if place else key
            if key in value:
                yield from structure_errors(inner_place, value[key], inner)
            else:
                yield f"{inner_place} is missing"


def _count_errors(manifest: Manifest) -> Iterator[str]:
    counts, inputs, shards = manifest.counts, manifest.inputs, manifest.shards
    for index, entry in enumerate(inputs):
        yield from _balance_error(f"inputs[{index}] ({shown(entry['name'])})", entry)
    yield from _balance_error("counts", counts)
    for key in ("read", "extra_examples", "repeated", "blank_lines", "written"):
        total = sum(entry[key] for entry in inputs)
        yield from _total_error(f"counts.{key}", counts[key], total, "inputs")
    for key in ("dropped", "rejected"):
        by_reason: Counter[str] = Counter()
        for entry in inputs:
            by_reason.update(entry[key])
        for reason in sorted(by_reason.keys() | counts[key].keys()):
            place = f"counts.{key}[{shown(reason)}]"
            yield from _total_error(place, counts[key].get(reason, 0), by_reason[reason], "inputs")
    for key, shard_key in (
        ("written", "documents"),
        ("tokens", "tokens"),
        ("trained_tokens", "trained_tokens"),
    ):
        total = sum(shard[shard_key] for shard in shards)
        yield from _total_error(f"counts.{key}", counts[key], total, "shards")
    if manifest.arrangement == {} and manifest.input_shards != [s["rows"] for s in shards]:
        yield "input_shards are not the rows of the shards, though nothing was arranged"
    for shard in shards:
        if not manifest.recipe["pack"] and shard["documents"] != shard["rows"]:
            yield (
                f"shards[{shown(shard['name'])}].documents is {shard['documents']:,}; its rows are "
                f"{shard['rows']:,}, and they are not packed"
            )
    of_shards = (int(shard["digest"], 16) for shard in shards)
    digests = conservation.text(conservation.total(*of_shards))
    if manifest.digest_of_rows != digests:
        yield f"digest_of_rows is {manifest.digest_of_rows}; its shards add up to {digests}"
    for name, key in LEDGERS.items():
        entries = manifest.ledgers.get(name, {}).get("entries", 0)
        lost = sum(counts[key].values())
        if entries != lost:
            yield f"ledgers[{shown(name)}] has {entries:,} entries; counts.{key} says {lost:,}"


def _balance_error(place: str, counts: Mapping[str, Any]) -> Iterator[str]:
    """Compare what was read with what was written, dropped and rejected."""
    if problem := imbalance(counts):
        yield f"{place}: {problem}"


def _total_error(place: str, found: int, total: int, parts: str) -> Iterator[str]:
    if found != total:
        yield f"{place} is {found:,}; its {parts} add up to {total:,}"


def _name_errors(manifest: Manifest) -> Iterator[str]:
    if not manifest.shards:
        yield "shards is empty; expected at least one"
    splits = [shard["split"] for shard in manifest.shards]
    if splits != sorted(splits, key=SPLITS.index):
        yield f"shards is not in the order of the splits: {', '.join(SPLITS)}"
    totals, before = Counter(splits), Counter[str]()
    for index, (shard, split) in enumerate(zip(manifest.shards, splits, strict=True)):
        expected = shard_files(split, before[split], totals[split], manifest.recipe["format"])
        before[split] += 1
        names = [file["name"] for file in files_of(shard)]
        if names[0] != expected.name:
            yield f"shards[{index}].name is {shown(names[0])}; expected {expected.name!r}"
        if names[1:] != list(expected.names[1:]):
            found = ", ".join(map(shown, names[1:])) or "no file"
            wanted = ", ".join(expected.names[1:]) or "none"
            yield f"shards[{index}].parts has {found}; expected {wanted}"
        if shard["index"]["name"] != expected.index_file:
            found = shown(shard["index"]["name"])
            yield f"shards[{index}].index.name is {found}; expected {expected.index_file!r}"
    for name in manifest.ledgers:
        if name not in LEDGERS:
            yield f"ledgers has {shown(name)}; expected only {' and '.join(LEDGERS)}"
    for name in manifest.tokenizer["files"]:
        if not name.startswith("tokenizer/"):
            yield f"tokenizer.files has {shown(name)}; expected only files in tokenizer/"
    if "tokenizer/tokenizer.json" not in manifest.tokenizer["files"]:
        yield "tokenizer.files has no 'tokenizer/tokenizer.json'"


def _file_errors(manifest: Manifest) -> Iterator[str]:
    """Compare the card and the files that describe the shards with what the manifest gives."""
    describing = describing_files(manifest)
    if list(manifest.files) != [*describing, CARD]:
        names = ", ".join(map(shown, manifest.files)) or "no file"
        yield f"files has {names}; expected only {', '.join([*describing, CARD])}"
        return
    for name, data in describing.items():
        expected = hashlib.sha256(data).hexdigest()
        if manifest.files[name] != expected:
            yield f"files[{shown(name)}] is {manifest.files[name]}; the shards give {expected}"


def _token_id_errors(manifest: Manifest) -> Iterator[str]:
    tokenizer = manifest.tokenizer
    size = tokenizer["vocabulary_size"]
    ids = {f"added_tokens[{shown(key)}]": value for key, value in tokenizer["added_tokens"].items()}
    for role, token in tokenizer["special_tokens"].items():
        ids[f"special_tokens[{shown(role)}].id"] = token["id"]
    for place, token_id in ids.items():
        if token_id is not None and token_id >= size:
            yield f"tokenizer.{place} is {token_id}; expected 0 to {size - 1}"


def _hash_errors(manifest: Manifest) -> Iterator[str]:
    template = manifest.template
    source = hashlib.sha256(template["source"].encode()).hexdigest()
    if template["sha256"] != source:
        yield f"template.sha256 is {template['sha256']}; the SHA-256 of template.source is {source}"
    if template["name"] != manifest.recipe["template"]:
        yield (
            f"template.name is {shown(template['name'])}; "
            f"recipe.template is {shown(manifest.recipe['template'])}"
        )
    expected = fingerprint(manifest.identity())
    if manifest.fingerprint != expected:
        yield f"fingerprint is {manifest.fingerprint}; the rest of the manifest gives {expected}"
