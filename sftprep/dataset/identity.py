"""The identity of a dataset: everything that decides its bytes.

Two builds with equal identities give the same dataset. The manifest holds the identity of a
finished dataset; ``identity.json`` in the staging folder holds that of an unfinished one.

In     the resolved options that decide bytes, the SHA-256 of the tokenizer and of the template, the
       versions of libraries, and the SHA-256 or the name of each input.
Out    the identity as plain JSON values; its SHA-256, called the fingerprint; and all
       differences between two identities, in words.
"""

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from sftprep.text import flag, shown

FORMAT_VERSION = 7
"""The version of the dataset's format. Increase it whenever the bytes of an output file change."""

Identity = dict[str, Any]

ORDER = (
    "format_version",
    "recipe",
    "tokenizer",
    "special_tokens",
    "stop_tokens",
    "template",
    "inputs",
    "libraries",
)
"""The order in which two identities are compared."""


EXPLAINS = {
    "template": frozenset({"template"}),
    "add_token": frozenset({"tokenizer", "special_tokens", "stop_tokens"}),
    "end_of_turn": frozenset({"stop_tokens"}),
    "tokenizer": frozenset({"special_tokens", "stop_tokens"}),
}
"""Option, or part of an identity -> the other parts that differ because it does."""


def identity(
    *,
    recipe: Any,
    tokenizer: Any,
    special_tokens: Any,
    stop_tokens: Any,
    template: Any,
    libraries: Any,
    inputs: Any,
    format_version: Any = FORMAT_VERSION,
) -> Identity:
    """Collect everything that decides the bytes of a dataset.

    The values may come from the manifest of an unknown dataset, so they may have any type.

    Args:
        recipe: name -> resolved value of each option that decides bytes.
        tokenizer: SHA-256 of the resolved tokenizer.
        special_tokens: the tokenizer's BOS, EOS and other special tokens, and whether it writes the
            BOS by itself.
        stop_tokens: the tokens that stop the model at inference.
        template: SHA-256 of the template's text.
        libraries: name -> version of each library that decides bytes.
        inputs: the SHA-256 of each input, in order; or the name of each input.
        format_version: the version of the dataset's format.
    """
    return {
        "format_version": format_version,
        "recipe": recipe,
        "tokenizer": tokenizer,
        "special_tokens": special_tokens,
        "stop_tokens": stop_tokens,
        "template": template,
        "libraries": libraries,
        "inputs": inputs,
    }


def fingerprint(values: Mapping[str, Any]) -> str:
    """Compute the SHA-256 of plain JSON values, which does not depend on the order of keys."""
    return hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Describe all differences between two identities; return "" if they are equal.

    >>> difference({"recipe": {"max_length": 10}}, {"recipe": {"max_length": 20}})
    '--max-length was 10 and is 20'
    """
    return "; ".join(differences(old, new))


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Describe each difference between two identities."""
    found = list(_differences(old, new))
    if old.get("format_version") != new.get("format_version"):
        return found[:1]  # options and their values may have had other names in that format
    return found


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    explained: frozenset[str] = frozenset()
    for key in ORDER:
        before, after = old.get(key), new.get(key)
        if before == after or key in explained:
            continue
        explained |= EXPLAINS.get(key, frozenset())
        if key in ("recipe", "libraries") and isinstance(before, dict) and isinstance(after, dict):
            for name in dict.fromkeys([*after, *before]):
                values = before.get(name), after.get(name)
                if values[0] != values[1]:
                    subject = flag(name) if key == "recipe" else f"the version of {name}"
                    explained |= EXPLAINS.get(name, frozenset())
                    yield f"{subject} was {_words(values[0])} and is {_words(values[1])}"
        elif key == "inputs" and isinstance(before, list) and isinstance(after, list):
            yield _inputs_difference(before, after)
        elif key in ("format_version", "stop_tokens"):
            what = "format version" if key == "format_version" else "list of stop tokens"
            yield f"the {what} was {_words(before)} and is {_words(after)}"
        else:
            yield f"the {'choice of special tokens' if key == 'special_tokens' else key} differs"


def _inputs_difference(old: list[Any], new: list[Any]) -> str:
    if len(old) != len(new):
        return f"the number of inputs was {len(old):,} and is {len(new):,}"
    place = next(i for i, pair in enumerate(zip(old, new, strict=True)) if pair[0] != pair[1])
    return f"input {place + 1} of {len(new):,} differs"


def _words(value: Any) -> str:
    return ", ".join(map(shown, value)) or "none" if isinstance(value, list) else shown(value)
