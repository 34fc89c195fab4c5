"""Write the part of the summary that says how the rows were arranged.

In     a ``Manifest``.
Out    lines of text: splits and what they have in common, what was left out or repeated, packs,
       and steps per epoch. No line for what was not asked for.
"""

from collections.abc import Mapping
from typing import Any

from sftprep.dataset.manifest import Manifest
from sftprep.text import ascii_safe, number

BATCH_SIZE = 32
"""The batch size for which the summary tells the number of steps."""
MOST_SOURCES = 10
"""How many inputs the summary lists."""
NOT_PADDED = "rows are not padded"


def arranged(manifest: Manifest) -> list[str]:
    """Say how the rows of a dataset were arranged; nothing if they were not."""
    facts = manifest.arrangement
    if not facts:
        return []
    return [
        *_near(facts),
        *_splits(facts),
        *_mix(manifest),
        *_order(manifest.recipe),
        *_packs(manifest),
    ]


def rows_in_words(manifest: Manifest) -> str:
    """Return how many rows, or packs of documents, a dataset holds."""
    if not (manifest.arrangement and manifest.recipe["pack"]):
        return number(manifest.counts["written"], "row")
    packs = sum(split["packs"] for split in manifest.arrangement["splits"].values())
    return _packed(packs, manifest.counts["written"])


def padding(manifest: Manifest) -> str:
    """Return how the rows are padded, as the end of a sentence."""
    facts = manifest.arrangement
    if not facts or manifest.recipe["pad"] == "none":
        return NOT_PADDED
    splits = facts["splits"].values()
    added = sum(split["padding"] for split in splits)
    share = added / (added + sum(split["tokens"] for split in splits))
    return f"{share:.1%} of what is in the rows is padding, on the {manifest.recipe['pad_side']}"


def _packed(packs: int, documents: int) -> str:
    return f"{number(packs, 'pack')} of {number(documents, 'document')}"


def _near(facts: Mapping[str, Any]) -> list[str]:
    """Say how near duplicates were told."""
    if (near := facts.get("near")) is None:
        return []
    return [
        f"  near       {number(near['compared'], 'pair')} of similar rows compared in full; those "
        f"that share {near['threshold']:.0%} of their text are duplicates"
    ]


def _splits(facts: Mapping[str, Any]) -> list[str]:
    """Say how large the splits are, and whether they have prompts in common."""
    splits = facts["splits"]
    if len(splits) == 1:
        return []
    sizes = ", ".join(
        f"{name} {_packed(split['packs'], split['documents'])}"
        if "efficiency" in split
        else f"{name} {number(split['packs'], 'row')}"
        for name, split in splits.items()
    )
    exact = facts["prompts_in_two_splits"]["exact"]
    normalized = facts["prompts_in_two_splits"]["normalized"]
    both = f"{number(exact, 'prompt')} {_are(exact)} in more than one" if exact else ""
    both = both or "no prompt is in more than one"
    if normalized and normalized > exact:
        word = "and" if exact else "but"
        both += f", {word} {normalized:,} {_are(normalized)} if case, white space and Unicode form"
        both += " do not count"
    return [f"  splits     {sizes}; {both}"]


def _mix(manifest: Manifest) -> list[str]:
    """Say how much of the training split each input is, before and after rows were chosen."""
    if not (manifest.recipe["repeat"] or manifest.recipe["sample"]):
        return []
    sources = manifest.arrangement["sources"]
    lines = []
    for entry in sources[:MOST_SOURCES]:
        before, after = entry["before"], entry["after"]
        name = ascii_safe(manifest.inputs[entry["source"]]["name"])
        lines.append(
            f"{name}: {before['rows']:,} -> {number(after['rows'], 'row')}, "
            f"{before['share']:.1%} -> {after['share']:.1%} of the tokens"
        )
    if (more := len(sources) - MOST_SOURCES) > 0:
        lines.append(f"and {more:,} more: see --json")
    return _under("mix", lines)


def _order(recipe: Mapping[str, Any]) -> list[str]:
    return [f"  order      shuffled with seed {recipe['seed']}"] if recipe["shuffle"] else []


def _packs(manifest: Manifest) -> list[str]:
    """Say how full the packs are, how much is in one, and how many steps an epoch has."""
    if not manifest.recipe["pack"]:
        return []
    splits = manifest.arrangement["splits"]
    lines = [
        f"{name}: {split['efficiency']:.1%} of {manifest.recipe['pack_length']:,} tokens filled; "
        f"a pack has {_spread(split['documents_per_pack'])} documents and "
        f"{_spread(split['trained_tokens_per_pack'])} trained tokens"
        for name, split in splits.items()
    ]
    steps = -(-splits["train"]["packs"] // BATCH_SIZE)
    return [
        *_under("packs", lines),
        f"  steps      {steps:,} per epoch at batch size {BATCH_SIZE}",
    ]


def _spread(values: Mapping[str, float]) -> str:
    """Return a mean, and the values between which nine of ten lie."""
    return f"{values['mean']:,.1f} ({values['p5']:,} to {values['p95']:,})"


def _under(heading: str, lines: list[str]) -> list[str]:
    """Return lines under one heading of the summary."""
    first, *others = lines
    return [f"  {heading:<10} {first}", *(f"{'':13}{line}" for line in others)]


def _are(count: int) -> str:
    return "is" if count == 1 else "are"
