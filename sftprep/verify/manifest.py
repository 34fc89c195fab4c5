"""What a manifest must be by itself, before any other file is looked at.

In     a ``Manifest`` as loaded: its top-level keys are there, and nothing else is known of it.
Out    problems: parts of another form than ``prepare`` writes; sums that do not add up; names and
       hashes that do not follow from the rest.
Never  fails on a manifest, however hostile: ``content_problems`` may be asked once
       ``form_problems`` found none.
"""

import hashlib
import re
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple

from sftprep.dataset.accounting import DROPPED, REJECTS, imbalance
from sftprep.dataset.identity import fingerprint
from sftprep.dataset.manifest import MANIFEST, Manifest
from sftprep.errors import UsageError
from sftprep.formats.table import FORMATS, shard_name
from sftprep.recipe import Recipe
from sftprep.text import shown
from sftprep.verify.report import Problem

LEDGERS = {DROPPED: "dropped", REJECTS: "rejected"}
"""Each ledger and the counts that it lists."""


class Kind(NamedTuple):
    """A plain value: what it is called, and how it is told."""

    words: str
    holds: Callable[[Any], bool]


class Each(NamedTuple):
    """An object with any keys, and what each value is."""

    form: Any


def _whole(least: int, most: int = 1 << 64) -> Callable[[Any], bool]:
    return lambda value: type(value) is int and least <= value < most


COUNT = Kind("a whole number, 0 or more", _whole(0))
POSITIVE = Kind("a whole number above 0", _whole(1))
BELOW_0 = Kind("a whole number below 0", _whole(-(1 << 31), 0))
COUNT_OR_NULL = Kind(f"{COUNT.words}, or null", lambda v: v is None or COUNT.holds(v))
TRUE_OR_FALSE = Kind("true or false", lambda value: isinstance(value, bool))
TEXT = Kind("a text", lambda value: isinstance(value, str))
SHA256 = Kind(
    "a SHA-256 in hexadecimal",
    lambda value: isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None,
)
FORMAT = Kind(
    f"one of {', '.join(FORMATS)}", lambda value: isinstance(value, str) and value in FORMATS
)
LEDGER = {"entries": POSITIVE, "bytes": POSITIVE, "sha256": SHA256}
OUTCOMES = {
    "read": COUNT,
    "extra_examples": COUNT,
    "blank_lines": COUNT,
    "written": COUNT,
    "dropped": Each(COUNT),
    "rejected": Each(COUNT),
}
FORM = {
    "recipe": {
        "template": TEXT,
        "max_length": POSITIVE,
        "ignore_index": BELOW_0,
        "format": FORMAT,
        "shard_size": POSITIVE,
        "max_line_bytes": POSITIVE,
    },
    "inputs": [{"name": TEXT, "bytes": COUNT, "sha256": SHA256, "schema": TEXT, **OUTCOMES}],
    "tokenizer": {
        "name": TEXT,
        "sha256": SHA256,
        "vocabulary_size": POSITIVE,
        "added_tokens": Each(COUNT),
        "special_tokens": Each({"token": TEXT, "id": COUNT_OR_NULL}),
        "model_max_length": COUNT_OR_NULL,
        "pad_is_eos": TRUE_OR_FALSE,
        "files": Each(SHA256),
    },
    "template": {"name": TEXT, "sha256": SHA256, "source": TEXT},
    "counts": {
        **OUTCOMES,
        **dict.fromkeys(("truncated", "shortened", "exchanges_dropped"), COUNT),
        **dict.fromkeys(("tokens", "trained_tokens", "rewritten_histories"), COUNT),
        **dict.fromkeys(("unclean_boundaries", "records_with_control_strings"), COUNT),
        **dict.fromkeys(("control_strings", "output_fields"), Each(COUNT)),
    },
    "shards": [
        {
            "name": TEXT,
            "rows": POSITIVE,
            "tokens": POSITIVE,
            "trained_tokens": POSITIVE,
            "bytes": POSITIVE,
            "sha256": SHA256,
        }
    ],
    "ledgers": Each(LEDGER),
    "libraries": Each(TEXT),
    "fingerprint": SHA256,
}
"""What the checks rely on; the rest of a recipe is looked at as any recipe is."""


def form_problems(manifest: Manifest) -> list[Problem]:
    """Parts that are missing, or of another kind than they must be."""
    return [Problem(MANIFEST, None, text) for text in _misfits("", asdict(manifest), FORM)]


def content_problems(manifest: Manifest) -> list[Problem]:
    """Sums, names and hashes that do not follow from the rest of the manifest."""
    found = [*_sums(manifest), *_names(manifest), *_ids(manifest), *_hashes(manifest)]
    try:
        stored_recipe(manifest)
    except UsageError as error:
        found.append(f"its recipe cannot be used: {str(error).rstrip('.')}")
    return [Problem(MANIFEST, None, text) for text in found]


def stored_recipe(manifest: Manifest) -> Recipe:
    """The options that a dataset was made with; encoded by HF tokenizers, whatever it was then.

    Raises:
        UsageError: they are none that can be given.
    """
    known = {field.name for field in fields(Recipe)}
    options = {name: value for name, value in manifest.recipe.items() if name in known}
    for name in ("shard_size", "max_line_bytes"):
        options[name] = str(options[name])
    try:
        return Recipe(**options, max_expansion=sys.maxsize, backend="hf")  # it was no bomb then
    except UsageError:
        raise
    except Exception as error:  # values are read as YAML, which raises what its parts raise
        raise UsageError(f"{type(error).__name__}: {error}") from error


def _misfits(place: str, value: Any, form: Any) -> Iterator[str]:
    if isinstance(form, Kind):
        if not form.holds(value):
            yield f"{place} is {shown(value)}; expected {form.words}"
    elif isinstance(form, list):
        if not isinstance(value, list):
            yield f"{place} is {shown(value)}; expected a list"
            return
        for index, entry in enumerate(value):
            yield from _misfits(f"{place}[{index}]", entry, form[0])
    elif not isinstance(value, dict):
        yield f"{place} is {shown(value)}; expected an object"
    elif isinstance(form, Each):
        for key, entry in value.items():
            yield from _misfits(f"{place}[{shown(key)}]", entry, form.form)
    else:
        for key, part in form.items():
            inner = f"{place}.{key}" if place else key
            if key in value:
                yield from _misfits(inner, value[key], part)
            else:
                yield f"{inner} is missing"


def _sums(manifest: Manifest) -> Iterator[str]:
    counts, inputs, shards = manifest.counts, manifest.inputs, manifest.shards
    for index, entry in enumerate(inputs):
        yield from _balance(f"inputs[{index}] ({shown(entry['name'])})", entry)
    yield from _balance("counts", counts)
    for name in ("read", "extra_examples", "blank_lines", "written"):
        yield from _differ(f"counts.{name}", counts[name], sum(e[name] for e in inputs), "inputs")
    for name in ("dropped", "rejected"):
        total: Counter[str] = Counter()
        for entry in inputs:
            total.update(entry[name])
        for reason in sorted(total.keys() | counts[name].keys()):
            place = f"counts.{name}[{shown(reason)}]"
            yield from _differ(place, counts[name].get(reason, 0), total[reason], "inputs")
    for name, of_shard in (
        ("written", "rows"),
        ("tokens", "tokens"),
        ("trained_tokens", "trained_tokens"),
    ):
        total_found = sum(shard[of_shard] for shard in shards)
        yield from _differ(f"counts.{name}", counts[name], total_found, "shards")
    for name, kind in LEDGERS.items():
        entries = manifest.ledgers.get(name, {}).get("entries", 0)
        lost = sum(counts[kind].values())
        if entries != lost:
            yield f"ledgers[{shown(name)}] has {entries:,} entries; counts.{kind} says {lost:,}"


def _balance(place: str, counts: Mapping[str, Any]) -> Iterator[str]:
    """Every record is accounted for."""
    if problem := imbalance(counts):
        yield f"{place}: {problem}"


def _differ(place: str, found: int, total: int, parts: str) -> Iterator[str]:
    if found != total:
        yield f"{place} is {found:,}; its {parts} have {total:,} in all"


def _names(manifest: Manifest) -> Iterator[str]:
    if not manifest.shards:
        yield "shards is empty; expected one or more"
    for index, shard in enumerate(manifest.shards):
        name = shard_name(index, len(manifest.shards), manifest.recipe["format"])
        if shard["name"] != name:
            yield f"shards[{index}].name is {shown(shard['name'])}; expected {name!r}"
    for name in manifest.ledgers:
        if name not in LEDGERS:
            yield f"ledgers has {shown(name)}; expected only {' and '.join(LEDGERS)}"
    for name in manifest.tokenizer["files"]:
        if not name.startswith("tokenizer/"):
            yield f"tokenizer.files has {shown(name)}; expected only files in tokenizer/"
    if "tokenizer/tokenizer.json" not in manifest.tokenizer["files"]:
        yield "tokenizer.files has no 'tokenizer/tokenizer.json'"


def _ids(manifest: Manifest) -> Iterator[str]:
    size, tokenizer = manifest.tokenizer["vocabulary_size"], manifest.tokenizer
    ids = {f"added_tokens[{shown(k)}]": number for k, number in tokenizer["added_tokens"].items()}
    for role, token in tokenizer["special_tokens"].items():
        ids[f"special_tokens[{shown(role)}].id"] = token["id"]
    for place, number in ids.items():
        if number is not None and number >= size:
            yield f"tokenizer.{place} is {number}; expected 0 to {size - 1}"


def _hashes(manifest: Manifest) -> Iterator[str]:
    template = manifest.template
    source = hashlib.sha256(template["source"].encode()).hexdigest()
    if template["sha256"] != source:
        yield f"template.sha256 is {template['sha256']}; its source has {source}"
    if template["name"] != manifest.recipe["template"]:
        yield (
            f"template.name is {shown(template['name'])}; "
            f"recipe.template is {shown(manifest.recipe['template'])}"
        )
    expected = fingerprint(manifest.identity())
    if manifest.fingerprint != expected:
        yield f"fingerprint is {manifest.fingerprint}; the rest gives {expected}"
