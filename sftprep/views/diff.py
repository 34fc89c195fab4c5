"""Show what differs between two datasets.

In     a ``Comparison``.
Out    text: one line that says whether they are equal, a line for each kind of difference, and the
       first rows that differ, each with the tokens around its first difference.
Never  shows more of a row than ``BEFORE`` and ``AFTER`` tokens around that difference.
Raises DataError, StorageError: a tokenizer of a dataset is damaged.
"""

from collections.abc import Iterator
from pathlib import Path

from sftprep.comparison.compare import Changed, Comparison, Document
from sftprep.dataset.files import TOKENIZER
from sftprep.errors import StorageError
from sftprep.text import ascii_safe, number
from sftprep.views.token_text import legend, paint, units
from sftprep.views.vocabulary import Vocabulary

BEFORE, AFTER = 12, 24
"""How many tokens are shown before the first one that differs, and from it on."""
MOST_SETTINGS = 20


def describe(found: Comparison, *, colour: bool) -> str:
    """Return a comparison as text.

    Args:
        found: what differs.
        colour: True to mark tokens with colours; False to mark them with plain characters.
    """
    names = tuple(map(ascii_safe, found.folders))
    verdict = "hold the same rows" if found.is_equal else "differ"
    lines = [f"{names[0]} and {names[1]} {verdict}"]
    lines += _block("settings", found.settings)
    lines += _block("inputs", found.inputs)
    lines += _block("rows", list(_rows(found)))
    lines += _block("order", list(_arranged(found)))
    if not found.changed:
        return "\n".join(lines)
    vocabularies = [_vocabulary(folder) for folder in found.folders]
    shown = [_changed(each, vocabularies, colour=colour) for each in found.changed]
    return "\n\n".join(["\n".join(lines), legend(colour=colour), *shown])


def _rows(found: Comparison) -> Iterator[str]:
    old, new = found.rows
    yield f"{old:,} and {new:,}; {number(found.unchanged, 'row')} with the same ids and labels"
    if found.other_ids:
        yield f"{found.other_ids:,} with other ids"
    if found.other_labels:
        yield f"{found.other_labels:,} with the same ids and other labels"
    for count, place, name in zip(found.only, found.only_first, found.folders, strict=True):
        if count:
            yield f"{count:,} only in {ascii_safe(name)}, the first from {place}"
    if found.moved:
        yield f"{found.moved:,} whose records have moved in the input"


def _arranged(found: Comparison) -> Iterator[str]:
    if found.other_split:
        yield f"{number(found.other_split, 'row')} in other splits, or there more or less often"
    if found.other_place:
        yield "the rows of both are in another order, or in other packs"


def _block(heading: str, lines: tuple[str, ...] | list[str]) -> list[str]:
    """Return lines under one heading."""
    if len(lines) > MOST_SETTINGS:
        more = f"and {len(lines) - MOST_SETTINGS:,} more (see --json)"
        lines = [*lines[:MOST_SETTINGS], more]
    return [f"  {heading if at == 0 else '':<10} {line}" for at, line in enumerate(lines)]


def _changed(found: Changed, vocabularies: list[Vocabulary], *, colour: bool) -> str:
    old, new, first = found.old, found.new, found.first
    place = old.place if old.place == new.place else f"{old.place} and {new.place}"
    heading = f"{place}: {_what(found)}"
    sides = [
        f"{sign} {_tokens(document, first, vocabulary, colour=colour)}"
        for sign, document, vocabulary in zip("-+", (old, new), vocabularies, strict=True)
    ]
    return "\n".join([heading, *sides])


def _what(found: Changed) -> str:
    """Say what the first difference of a row is."""
    old, new, at = found.old, found.new, found.first
    lengths = f"{number(len(old.ids), 'token')} and {len(new.ids):,}"
    if at == min(len(old.ids), len(new.ids)):
        longer = "first" if len(old.ids) > at else "second"
        return f"{lengths}; the {longer} goes on behind token {at - 1:,}"
    if old.ids[at] != new.ids[at]:
        return f"{lengths}; token {at:,} is {old.ids[at]} and {new.ids[at]}"
    side = "first" if old.trained[at] else "second"
    return f"{lengths}; token {at:,} is trained only in the {side}"


def _tokens(document: Document, first: int, vocabulary: Vocabulary, *, colour: bool) -> str:
    """Return the tokens around the first difference."""
    start, stop = max(0, first - BEFORE), min(len(document.ids), first + AFTER)
    shown = units(vocabulary, document.ids[start:stop], document.trained[start:stop])
    before = "… " if start else ""
    after = " …" if stop < len(document.ids) else ""
    text = paint(shown, colour=colour).replace("\n", "\n  ")
    return f"{before}{text}{after}" if shown else f"{before}(ends)"


def _vocabulary(folder: str) -> Vocabulary:
    path = Path(folder) / TOKENIZER / "tokenizer.json"
    try:
        return Vocabulary(path.read_bytes(), str(path))
    except OSError as error:
        name = ascii_safe(str(path))
        raise StorageError(f"{name}: cannot be read: {error.strerror or error}.") from error
