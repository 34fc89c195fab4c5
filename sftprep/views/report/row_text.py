"""Rows of a dataset as the page shows them: runs of text, with what is trained.

In     rows; the vocabulary; the options of the dataset.
Out    ``ShownRow``: documents, each with its tokens and with who wrote which of them.
Keeps  every token, up to ``MOST_TOKENS`` for a row; of a longer document the middle is left out,
       and the page says how much.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from sftprep.text import number
from sftprep.views.stats import percent
from sftprep.views.token_text import Part, Row, Unit, units
from sftprep.views.vocabulary import Vocabulary
from sftprep.views.why import reasons

MOST_TOKENS = 900
"""How many tokens of a document are shown: the first two thirds of them, and the last third."""
MOST_REASONS = 60
"""How many runs of tokens are explained for one document."""


class ShownToken(NamedTuple):
    """A token, or several that share a character."""

    lines: list[str]  # a newline stands between two of them
    kind: str  # the class of its element


class ShownReason(NamedTuple):
    """Why a run of tokens is trained or not."""

    place: str  # the first token and the last, counted from 0
    trained: bool
    writer: str
    why: str


class ShownPart(NamedTuple):
    """A document of a row, or only a heading, for padding."""

    heading: str
    before: str  # what truncation has cut off in front of it; "" if nothing
    tokens: list[ShownToken]
    left_out: str  # how many tokens are not shown; "" if all are
    more: list[ShownToken]  # those behind them
    after: str  # what truncation has cut off behind it
    reasons: list[ShownReason]
    more_reasons: int


class ShownRow(NamedTuple):
    """A row."""

    title: str
    facts: str
    remarks: Sequence[str]
    parts: list[ShownPart]


def shown_row(row: Row, vocabulary: Vocabulary, recipe: Mapping[str, Any]) -> ShownRow:
    """Return what the page shows of a row.

    Args:
        row: the row.
        vocabulary: the vocabulary of the tokenizer.
        recipe: the options of the dataset, by name.
    """
    length, trained = len(row.ids), sum(map(bool, row.trained))
    share = f" ({percent(trained / length)})" if length else ""
    return ShownRow(
        title=f"row {row.number:,}, {row.place}" if row.place else f"row {row.number:,}",
        facts=f"{number(length, 'token')}, {trained:,} trained{share}",
        remarks=row.remarks,
        parts=[
            _part(row, part, vocabulary, recipe)
            for part in row.parts or (Part("", 0, len(row.ids)),)
        ],
    )


def _part(row: Row, part: Part, vocabulary: Vocabulary, recipe: Mapping[str, Any]) -> ShownPart:
    if not part.is_shown:
        return ShownPart(part.heading, "", [], "", [], "", [], 0)
    first, rest = part.stop, part.stop
    left_out = ""
    if part.stop - part.start > MOST_TOKENS:
        first = _between(row, part.start + MOST_TOKENS * 2 // 3, vocabulary)
        rest = _between(row, part.stop - MOST_TOKENS // 3, vocabulary)
        left_out = f"{number(rest - first, 'token')} not shown"
    before = [cut.words for cut in row.cuts if cut.at == part.start]
    after = [cut.words for cut in row.cuts if cut.at == part.stop and cut.at != part.start]
    runs = [run for run in row.runs if part.start <= run.start < part.stop]
    return ShownPart(
        heading=part.heading,
        before=", ".join(before),
        tokens=_tokens(row, part.start, first, vocabulary),
        left_out=left_out,
        more=_tokens(row, rest, part.stop, vocabulary),
        after=", ".join(after),
        reasons=[
            ShownReason(
                _place(each.start - part.start, each.stop - part.start - 1),
                each.trained,
                each.writer,
                each.why,
            )
            for each in reasons(runs, recipe)[:MOST_REASONS]
        ],
        more_reasons=max(len(runs) - MOST_REASONS, 0),
    )


def _between(row: Row, at: int, vocabulary: Vocabulary) -> int:
    """Return the place at or before a token where no character is torn apart.

    A UTF-8 character has at most four bytes, so at most three tokens can go on with it.
    """
    for back in range(4):
        data = vocabulary.token(row.ids[at - back]).data
        if not (data and 0x80 <= data[0] < 0xC0):
            return at - back
    return at


def _place(first: int, last: int) -> str:
    return f"{first:,}" if first >= last else f"{first:,} to {last:,}"


def _tokens(row: Row, start: int, stop: int, vocabulary: Vocabulary) -> list[ShownToken]:
    found = units(vocabulary, row.ids[start:stop], row.trained[start:stop])
    return list(_marked(found))


def _marked(found: Sequence[Unit]) -> Iterator[ShownToken]:
    for unit in found:
        kind = ("t" if unit.trained else "m") + (" c" if unit.control else "")
        yield ShownToken(unit.text.split("\n"), kind)
