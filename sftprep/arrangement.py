"""The options that arrange a dataset: which of them fit together, and what they ask for.

In     the recipe's options of the group Arrangement; the names of the sources, the tokenizer's pad
       token, and how long a row can be.
Out    an ``Arrangement``, for the stage ``arrange``; and the values that options have by default.
Raises UsageError: before any record is read, with the option that is wrong and what to do.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sftprep.amounts import parse_amount, parse_factor
from sftprep.arrange.options import Arrangement, Dedup, PackOrder, Pad, PadTo, Repeat, Share
from sftprep.errors import UsageError
from sftprep.text import did_you_mean, flag, shown

if TYPE_CHECKING:
    from sftprep.recipe import Recipe

PADDINGS = (PadTo.NONE.value, PadTo.LONGEST.value, PadTo.MAX_LENGTH.value)
MULTIPLE = re.compile(r"0*([1-9][0-9]{0,8})")
MOST_IN_A_ROW = 2**31 - 1
"""The most tokens in a row that is packed or padded: the index has 32 bits for a place in a row."""

NAMED = 5
"""How many sources a message names."""


# --- the options by themselves --------------------------------------------------------------------


def _packs(given: Mapping[str, Any]) -> bool:
    return bool(given["pack"])


def _pads(given: Mapping[str, Any]) -> bool:
    return bool(given["pad"] != PadTo.NONE)


def _splits(given: Mapping[str, Any]) -> bool:
    return given["validation"] is not None or given["test"] is not None


def _chooses(given: Mapping[str, Any]) -> bool:
    factors = [parse_factor(entry.rpartition("=")[2], entry) for entry in given["repeat"]]
    repeats_a_part = any(factor.denominator > 1 for factor in factors)
    return given["shuffle"] or _splits(given) or given["sample"] is not None or repeats_a_part


NEEDED: Mapping[str, tuple[Callable[[Mapping[str, Any]], bool], str, str]] = {
    "pack_length": (_packs, "--pack", "without it, rows are not packed"),
    "pack_order": (_packs, "--pack", "without it, rows are not packed"),
    "pad_side": (_pads, "--pad", "without it, rows are not padded"),
    "split_by": (_splits, "--validation or --test", "without them, there is only one split"),
    "seed": (
        _chooses,
        "--shuffle, --validation, --test, --sample or a --repeat with a fraction",
        "without them, nothing is left to chance",
    ),
}
"""Option -> whether the other options have a use for it; what it needs; and why."""


def check_arrangement(given: Mapping[str, Any]) -> None:
    """Refuse options that contradict each other, and those that would have no effect.

    Args:
        given: the value of every option, by name.
    """
    _check_repeat(given["repeat"])
    _check_pad(given["pad"])
    for name, (has_use, needed, why) in NEEDED.items():
        if given[name] is not None and not has_use(given):
            raise UsageError(
                f"{flag(name)} needs {needed}: {why}. Add what is missing, or remove {flag(name)}."
            )
    shares = [_share(given, name) for name in ("validation", "test", "sample")]
    if sum(share.fraction or 0 for share in shares[:2] if share) >= 1:
        raise UsageError(
            f"--validation {given['validation']} and --test {given['test']} leave no row for "
            "training. Use less than 100% for both together."
        )
    field = given["split_by"]
    if field is not None and not all(field.split(".")):
        raise UsageError(
            f"--split-by is {shown(field)}; expected the name of a field, or names with dots "
            "between them, e.g. document_id or source.id."
        )


def rearranged(dataset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a dataset with others in place of some.

    Args:
        dataset: the recipe in the manifest of the dataset.
        given: the options that are given, by name. ``max_length`` stands for ``pack_length``.

    Raises:
        UsageError: ``max_length`` is given, and the rows are not packed.
    """
    values = {**dataset, **given, "max_length": dataset["max_length"]}
    if (length := given.get("max_length")) is not None:
        if not _packs(values):
            raise UsageError(
                f"--max-length {length} needs --pack: prepare has cut the rows of this dataset to "
                f"{dataset['max_length']:,} tokens, and here it is the length of a pack. Add "
                "--pack, or run prepare again."
            )
        if given.get("pack_length", length) != length:
            raise UsageError(
                f"--max-length {length} and --pack-length {given['pack_length']} both give the "
                "length of a pack. Keep one."
            )
        values["pack_length"] = length
    off = [name for name in without_use(values) if given.get(name) is None]
    return values | dict.fromkeys(off)


def without_use(values: Mapping[str, Any]) -> list[str]:
    """Return the options that belong to another option which is off."""
    return [name for name, (has_use, *_) in NEEDED.items() if not has_use(values)]


def _share(given: Mapping[str, Any], name: str) -> Share | None:
    """Return the part of the rows that an option asks for; None if it is not given."""
    text = given[name]
    if text is None:
        return None
    found = parse_amount(text, name)
    if not found:
        raise UsageError(
            f"{flag(name)} is {shown(text)}, which asks for no row. Use more, or remove the option."
        )
    if not isinstance(found, Fraction):
        return Share(rows=found)
    if found >= 1:
        leaves = "leaves no row out" if name == "sample" else "leaves no row for training"
        raise UsageError(f"{flag(name)} is {shown(text)}, which {leaves}. Use less than 100%.")
    return Share(fraction=found)


def _check_repeat(entries: Sequence[str]) -> None:
    globs = [entry.rpartition("=")[0] for entry in entries]
    for entry, glob in zip(entries, globs, strict=True):
        if not glob:
            raise UsageError(
                f"--repeat {shown(entry)}: expected GLOB=FACTOR, e.g. 'code*.jsonl=2.5'."
            )
        parse_factor(entry.rpartition("=")[2], entry)
        if globs.count(glob) > 1:
            raise UsageError(f"--repeat gives the factor of {shown(glob)} twice. Keep one.")


def _check_pad(text: str) -> None:
    kind, colon, number = text.partition(":")
    if kind == PadTo.MULTIPLE:
        if not MULTIPLE.fullmatch(number):
            raise UsageError(
                f"--pad is {shown(text)}; expected multiple-of:N with a number N above 0, e.g. "
                "multiple-of:64."
            )
    elif colon or kind not in PADDINGS:
        known = (*PADDINGS, "multiple-of:N")
        hint = did_you_mean(kind, known, f"Choose one of {', '.join(known)}.")
        raise UsageError(f"--pad is {shown(text)}, which is not allowed. {hint}")


# --- the options with what they apply to ----------------------------------------------------------


def resolved_arrangement(recipe: "Recipe", max_length: int) -> dict[str, Any]:
    """Return the values of options that follow from others, for those that have a use.

    Args:
        recipe: the options.
        max_length: the maximum length of a row.
    """
    defaults = {
        "pack_length": max_length,
        "pack_order": PackOrder.PLAN.value,
        "pad_side": "right",
        "seed": 0,
    }
    values = recipe.as_dict()
    return {
        name: values[name] if values[name] is not None else default
        for name, default in defaults.items()
        if NEEDED[name][0](values)
    }


@dataclass(frozen=True, kw_only=True)
class Material:
    """What is known of the rows before they are arranged."""

    sources: Sequence[str]  # their names, as in the manifest
    tokenizer: str  # its name, for messages
    has_pad: bool  # whether the tokenizer has a pad token
    max_length: int  # the maximum length of a row
    has_rows: bool = False  # whether the rows are made: then their own lengths count, in the plan


def arrangement_of(recipe: "Recipe", material: Material) -> Arrangement:
    """Return what the options ask for.

    Args:
        recipe: the options.
        material: what they apply to.

    Raises:
        UsageError: an option cannot be used with these sources, this tokenizer or this length.
    """
    values = recipe.as_dict() | resolved_arrangement(recipe, material.max_length)
    length = values["pack_length"] if recipe.pack else material.max_length
    _check_fit(length, material)
    _check_length(length, recipe)
    if recipe.dedup == Dedup.NEAR:
        from sftprep.arrange.near import rensa

        rensa()
    if recipe.pad != PadTo.NONE and not material.has_pad:
        raise UsageError(
            f"--pad {recipe.pad} needs a pad token, and tokenizer {shown(material.tokenizer)} has "
            "none. Pass --add-token pad=TOKEN, e.g. --add-token 'pad=<|pad|>'."
        )
    arrangement = Arrangement(
        dedup=Dedup(recipe.dedup or ""),
        validation=_share(values, "validation"),
        test=_share(values, "test"),
        by_group=recipe.split_by is not None,
        sample=_share(values, "sample"),
        repeat=_repeats(recipe.repeat, material.sources),
        shuffle=recipe.shuffle,
        seed=values["seed"] or 0,
        pack=recipe.pack,
        pack_length=length,
        pack_order=PackOrder(values["pack_order"] or PackOrder.PLAN),
        pad=_pad(recipe.pad, length, values["pad_side"] or "right"),
    )
    _check_target(recipe, arrangement)
    return arrangement


def _check_target(recipe: "Recipe", arrangement: Arrangement) -> None:
    """Refuse rows that the trainer does not read."""
    from sftprep.targets.table import TARGETS, why_not  # with numpy, which a recipe does not need

    pad = arrangement.pad
    problem = why_not(
        TARGETS[recipe.target],
        packed=arrangement.pack,
        padded=pad.to is not PadTo.NONE,
        left=pad.side == "left",
        one_length=pad.number if pad.to is PadTo.MAX_LENGTH else 0,
        ignore_index=recipe.ignore_index,
        loss_mask=recipe.loss_mask,
    )
    if problem:
        raise UsageError(f"--target {recipe.target}: {problem}")


def _check_fit(length: int, material: Material) -> None:
    """Refuse packs that a row can be too long for."""
    if material.max_length > length and not material.has_rows:
        raise UsageError(
            f"a row can have {material.max_length:,} tokens, but a pack only {length:,}, and rows "
            "are not cut for packing. Lower --max-length, or raise --pack-length."
        )


def _check_length(length: int, recipe: "Recipe") -> None:
    """Refuse rows that may become too long for the columns that count their tokens."""
    if length > MOST_IN_A_ROW and (recipe.pack or recipe.pad not in (PadTo.NONE, PadTo.LONGEST)):
        option = "--pack-length" if recipe.pack and recipe.pack_length else "--max-length"
        raise UsageError(
            f"{option} is {length}; a row that is packed or padded holds at most "
            f"{MOST_IN_A_ROW:,} tokens. Give a smaller number."
        )


def _pad(text: str, length: int, side: str) -> Pad:
    """Return how to pad rows of up to ``length`` tokens."""
    kind, _, number = text.partition(":")
    if kind == PadTo.NONE:
        return Pad()
    if kind == PadTo.MULTIPLE and (rest := length % int(number)):
        fitting = [n for n in (length - rest, length - rest + int(number)) if n]
        raise UsageError(
            f"--pad {text}: a row of {length:,} tokens, the limit, would become longer. Use a "
            f"limit that is a multiple, such as {' or '.join(map(str, fitting))} (--max-length, or "
            "--pack-length with --pack), or another number."
        )
    sizes = {PadTo.MAX_LENGTH: length, PadTo.MULTIPLE: int(number or 0)}
    return Pad(PadTo(kind), sizes.get(PadTo(kind), 0), side)


def _repeats(entries: Sequence[str], sources: Sequence[str]) -> tuple[Repeat, ...]:
    """Return which sources are repeated, and how often."""
    by_source: dict[int, str] = {}
    found = []
    for entry in entries:
        glob, _, factor = entry.rpartition("=")
        matching = [i for i, source in enumerate(sources) if fnmatchcase(source, glob)]
        if not matching:
            some = ", ".join(map(shown, sources[:NAMED]))
            more = f" and {len(sources) - NAMED:,} more" if len(sources) > NAMED else ""
            otherwise = f"The inputs are {some}{more}."
            raise UsageError(
                f"--repeat {shown(entry)}: no input has a name that matches {shown(glob)}. "
                f"{did_you_mean(glob, sources, otherwise)}"
            )
        for index in matching:
            if index in by_source:
                raise UsageError(
                    f"--repeat: {shown(by_source[index])} and {shown(glob)} both match "
                    f"{shown(sources[index])}. Let only one of them match it."
                )
            by_source[index] = glob
        found.append(Repeat(frozenset(matching), parse_factor(factor, entry)))
    return tuple(found)
