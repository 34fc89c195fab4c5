"""Read the parts of a ``tokenizer.json`` that can be written in several ways, and unify them."""

from typing import Any

State = dict[str, Any]
"""A parsed ``tokenizer.json``, or one of the objects in it."""

SPACE = "\u2581"
"""How SentencePiece-style vocabularies write a space."""


def normalizer_steps(state: State) -> list[State]:
    """Return the steps of the normalizer, with nested sequences flattened."""
    return _flat(state.get("normalizer"), "normalizers")


def pre_tokenizer_steps(state: State) -> list[State]:
    """Return the steps of the pre-tokenizer, with nested sequences flattened."""
    return _flat(state.get("pre_tokenizer"), "pretokenizers")


def merges(state: State) -> list[tuple[str, str]]:
    """Return the two sides of each merge of a BPE model; in the file, it is a string or a pair.

    >>> merges({"model": {"merges": ["a b", ["c", "d"]]}})
    [('a', 'b'), ('c', 'd')]
    """
    written = state["model"]["merges"]
    return [m.partition(" ")[::2] if isinstance(m, str) else (m[0], m[1]) for m in written]


def only_rewrites_spaces(step: State) -> bool:
    """Return whether a normalizer step only adds a space in front or replaces spaces."""
    replaces = step["type"] == "Replace" and step["pattern"] == {"String": " "}
    return replaces or bool(step["type"] == "Prepend")


def _flat(step: State | None, key: str) -> list[State]:
    if not step:
        return []
    if key in step:
        return [inner for child in step[key] for inner in _flat(child, key)]
    return [step]
