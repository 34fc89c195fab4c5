"""Check what a manifest says about an arrangement, by itself and against the indexes.

In     a ``Manifest`` in which no other problem was found, and the indexes of its shards.
Out    problems: values of the wrong type; facts that contradict the options, the shards, the counts
       or each other; rows that were lost or doubled, by the digests; prompts in more than one split
       that the manifest does not count.
Never  raises on any manifest, however hostile.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sftprep.arrange.conservation import digest, text, total
from sftprep.arrange.leaks import in_several
from sftprep.arrange.options import Dedup
from sftprep.arrange.plan import REASONS
from sftprep.arrangement import Material, arrangement_of
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.index import BadIndexError, batches_of
from sftprep.dataset.manifest import Manifest
from sftprep.errors import UsageError
from sftprep.text import shown
from sftprep.verify.folder import DatasetFolder
from sftprep.verify.manifest import (
    COUNT,
    COUNT_OR_NULL,
    DIGEST,
    POSITIVE,
    ObjectOf,
    stored_recipe,
    structure_errors,
)
from sftprep.verify.report import Problem

AMOUNTS = {"rows": COUNT, "tokens": COUNT, "trained_tokens": COUNT}
ARRANGEMENT = {
    "rows": POSITIVE,
    "dropped": ObjectOf(COUNT),
    "repeated": COUNT,
    "splits": ObjectOf(
        {
            "packs": POSITIVE,
            "documents": POSITIVE,
            "tokens": POSITIVE,
            "trained_tokens": COUNT,
            "padding": COUNT,
        }
    ),
    "sources": [{"source": COUNT, "before": AMOUNTS, "after": AMOUNTS}],
    "prompts_in_two_splits": {"exact": COUNT, "normalized": COUNT_OR_NULL},
    "digests": {"in": DIGEST, "dropped": DIGEST, "repeated": DIGEST, "splits": ObjectOf(DIGEST)},
}
"""The structure of the facts of an arrangement; a dict must have at least these keys."""


def material_of(manifest: Manifest) -> Material:
    """Return what the arrangement of a dataset applies to."""
    return Material(
        sources=[entry["name"] for entry in manifest.inputs],
        tokenizer=manifest.tokenizer["name"],
        has_pad="pad" in manifest.tokenizer["special_tokens"],
        max_length=manifest.recipe["max_length"],
        has_rows=True,
    )


def arrangement_problems(manifest: Manifest) -> list[Problem]:
    """Find facts that contradict the rest of the manifest, or each other."""
    facts = manifest.arrangement
    found = list(_option_errors(manifest))
    if facts and not found:
        found = list(structure_errors("arrangement", facts, ARRANGEMENT))
        if not found:
            found = [*_count_errors(manifest, facts), *_digest_errors(facts)]
    return [Problem(MANIFEST, None, problem) for problem in found]


def _option_errors(manifest: Manifest) -> Iterator[str]:
    """Compare the options with whether there are facts at all."""
    try:
        recipe = stored_recipe(manifest)
        if recipe.dedup == Dedup.NEAR:  # which needs a package, but not to be checked
            recipe = replace(recipe, dedup=Dedup.EXACT.value)
        asked = not arrangement_of(recipe, material_of(manifest)).is_plain
    except UsageError as error:
        yield f"its recipe cannot be used: {str(error).rstrip('.')}"
        return
    if asked != bool(manifest.arrangement):
        options = "ask for an arrangement" if asked else "ask for none"
        facts = "describes one" if manifest.arrangement else "describes none"
        yield f"its options {options}; its arrangement {facts}"


def _count_errors(manifest: Manifest, facts: Mapping[str, Any]) -> Iterator[str]:
    """Compare the facts with the shards and the counts."""
    sums: dict[str, Counter[str]] = {}
    for shard in manifest.shards:
        split = sums.setdefault(shard["split"], Counter())
        split.update(packs=shard["rows"], documents=shard["documents"], tokens=shard["tokens"])
    if set(sums) != set(facts["splits"]) or "train" not in sums:
        yield (
            f"arrangement.splits are {shown(', '.join(facts['splits']))}; the shards are of "
            f"{', '.join(sums)}"
        )
        return
    for name, expected in sums.items():
        for key, value in expected.items():
            if facts["splits"][name][key] != value:
                yield (
                    f"arrangement.splits.{name}.{key} is {facts['splits'][name][key]:,}; its "
                    f"shards add up to {value:,}"
                )
    dropped = {name: manifest.counts["dropped"].get(name, 0) for name in REASONS}
    for name in sorted({*dropped, *facts["dropped"]}):
        found, expected_count = facts["dropped"].get(name, 0), dropped.get(name, 0)
        if found != expected_count:
            yield (
                f"arrangement.dropped[{shown(name)}] is {found:,}; counts.dropped says "
                f"{expected_count:,}"
            )
    if facts["repeated"] != manifest.counts["repeated"]:
        yield (
            f"arrangement.repeated is {facts['repeated']:,}; counts.repeated is "
            f"{manifest.counts['repeated']:,}"
        )
    train = facts["splits"]["train"]
    for key, name in (("rows", "documents"), ("tokens", "tokens")):
        value = sum(source["after"][key] for source in facts["sources"])
        if value != train[name]:
            yield (
                f"arrangement.sources have {value:,} {key} after mixing; arrangement.splits.train "
                f"has {train[name]:,}"
            )
    documents = sum(split["documents"] for split in facts["splits"].values())
    rows = documents - facts["repeated"] + sum(facts["dropped"].values())
    if facts["rows"] != rows:
        yield (
            f"arrangement.rows is {facts['rows']:,}; the documents of the splits, without "
            f"{facts['repeated']:,} repeated and with those dropped, are {rows:,}"
        )


def _digest_errors(facts: Mapping[str, Any]) -> Iterator[str]:
    """Check that what went in is what came out, by the digests of the manifest."""
    digests = facts["digests"]
    if set(digests["splits"]) != set(facts["splits"]):
        yield "arrangement.digests.splits has other splits than arrangement.splits"
        return
    splits = [int(value, 16) for value in digests["splits"].values()]
    after = total(*splits, int(digests["dropped"], 16), -int(digests["repeated"], 16))
    if digests["in"] != text(after):
        yield (
            f"arrangement.digests.in is {digests['in']}; what came out, without what was repeated "
            f"and with what was dropped, has {text(after)}"
        )


def index_problems(folder: DatasetFolder, manifest: Manifest) -> list[Problem]:
    """Compare the digests of the splits, and the prompts in several of them, with the indexes.

    Args:
        folder: the folder of the dataset; its indexes all match the manifest.
        manifest: its manifest.
    """
    facts = manifest.arrangement
    if not facts:
        return []
    digests: Counter[str] = Counter()
    prompts: dict[str, list[np.ndarray[Any, np.dtype[np.uint64]]]] = {}
    for shard in manifest.shards:
        with folder.open(shard["index"]["name"]) as file:
            try:
                for batch in batches_of(file):
                    columns = ("record_key", "tokens", "trained_tokens", "prompt_key")
                    record, tokens, trained, prompt = (batch.column(n).to_numpy() for n in columns)
                    digests[shard["split"]] += digest(record, tokens, trained)
                    prompts.setdefault(shard["split"], []).append(prompt)
            except BadIndexError as error:
                return [Problem(shard["index"]["name"], None, error.problem)]
    return [Problem(MANIFEST, None, text) for text in _index_errors(facts, digests, prompts)]


def _index_errors(
    facts: Mapping[str, Any],
    digests: Mapping[str, int],
    prompts: Mapping[str, Sequence[np.ndarray[Any, np.dtype[np.uint64]]]],
) -> Iterator[str]:
    for name, value in digests.items():
        found = facts["digests"]["splits"][name]
        if found != text(total(value)):
            yield (
                f"arrangement.digests.splits.{name} is {found}; the documents of its shards have "
                f"{text(total(value))}"
            )
    several = in_several([np.concatenate(parts) for parts in prompts.values()])
    exact = facts["prompts_in_two_splits"]["exact"]
    if exact != several:
        yield f"arrangement.prompts_in_two_splits.exact is {exact:,}; the indexes have {several:,}"
