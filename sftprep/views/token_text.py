r"""Show token ids as text for a terminal, with the trained tokens marked.

In     rows: token ids, and which of them are trained; a ``Vocabulary``.
Out    text with ANSI colours or with plain marks. ``legend`` explains them in one line.
Keeps  every token and every boundary between tokens. A character that several tokens share is
       shown whole, and bytes that are not part of any character are shown as ``\xNN``.
Never  lets data act on the terminal: control characters are shown as escapes.

In colour, trained tokens are green and all others dim; control tokens are in reverse video; every
second token is underlined. Without colour, trained tokens are in brackets and a dot is between
tokens: ``<|user|>Hi· there⟦Hi·.<|end|>⟧``. A mark that the text itself holds is written as its
escape, such as ``\u00b7``, so that it is not mistaken for a border.
"""

import codecs
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

from sftprep.text import ascii_safe, number
from sftprep.views.layout import fit
from sftprep.views.vocabulary import Vocabulary
from sftprep.views.why import Run, reasons

NEWLINE = "↵"
BETWEEN = "·"
OPEN, CLOSE = "⟦", "⟧"
RESET = "\x1b[0m"
BOLD, DIM, UNDERLINED, REVERSE, RED, GREEN = "1", "2", "4", "7", "31", "32"
ESCAPED = {ord(mark): f"\\u{ord(mark):04x}" for mark in (NEWLINE, BETWEEN, OPEN, CLOSE)}
"""What is shown for a mark that the text itself holds."""


class Unit(NamedTuple):
    """A text that is shown as a whole: a token, or several tokens that share a character.

    The character 中 may be two tokens, one of two bytes and one of one byte. Neither can be shown
    alone, so both are one unit: ``Unit("中", trained=False)``. A control token is a unit of its
    own: ``Unit("<|im_end|>", trained=True, control=True)``.
    """

    text: str
    trained: bool
    control: bool = False


@dataclass(frozen=True)
class Look:
    """How rows are shown."""

    colour: bool = False  # True to mark text with ANSI colours; False to mark it with characters
    width: int | None = None  # columns of the terminal; None if the text goes to none
    ids: bool = False  # also show the ids
    why: Mapping[str, Any] | None = None  # say why tokens are trained: the options of the dataset


class Part(NamedTuple):
    """A part of a row that has a heading of its own: a document of a pack, or padding."""

    heading: str
    start: int  # its first token
    stop: int
    is_shown: bool = True  # False: only the heading is shown


class Cut(NamedTuple):
    """Tokens that truncation has removed."""

    at: int  # the number of the token before which they stood
    words: str  # how many they were


def cut_in_words(tokens: str, trained: int, places: int) -> str:
    """Return what is shown where truncation has cut a row.

    >>> cut_in_words("9 tokens", 2, 1), cut_in_words("9 tokens", 2, 2)
    ('cut: 9 tokens, 2 trained', 'cut here and elsewhere: 9 tokens in all, 2 trained')
    """
    if places == 1:
        return f"cut: {tokens}, {trained:,} trained"
    return f"cut here and elsewhere: {tokens} in all, {trained:,} trained"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of a dataset, to be shown.

    ``Row(number=0, ids=[2, 340, 3], trained=[False, True, True], place="chats.jsonl:7")`` is shown
    under the heading ``row 0: 3 tokens, 2 trained (66.7%), chats.jsonl:7``.
    """

    number: int  # from 0
    ids: Sequence[int]
    trained: Sequence[bool]  # one for each id
    place: str = ""  # where the row came from, for its heading
    remarks: tuple[str, ...] = ()  # lines to be shown under the heading
    parts: tuple[Part, ...] = ()  # all of the row, in order; empty if it is shown in one piece
    runs: tuple[Run, ...] = ()  # who wrote which tokens; empty if it is not known
    cuts: tuple[Cut, ...] = ()  # what truncation has removed


def show_row(row: Row, vocabulary: Vocabulary, look: Look) -> str:
    """Return a row as text: a heading, a count of control tokens, the remarks, and the tokens."""
    colour = look.colour
    heading = _styled(_heading(row), BOLD, colour=colour)
    details = [*_control_tokens(row, vocabulary), *row.remarks]
    lines = [f"  {ascii_safe(line)}" for line in details]
    for part in row.parts or (Part("", 0, len(row.ids)),):
        lines += [_styled(ascii_safe(part.heading), BOLD, colour=colour)] if part.heading else []
        if part.is_shown:
            lines += _part(row, part, vocabulary, look)
    return fit("\n".join([heading, *lines]), look.width)


def _part(row: Row, part: Part, vocabulary: Vocabulary, look: Look) -> Iterator[str]:
    """Yield the tokens of a part of a row, and what is to be said of them."""
    own = slice(part.start, part.stop)
    ids, trained = row.ids[own], row.trained[own]
    before, after = (
        [_styled(f"[{cut.words}]", RED, colour=look.colour) for cut in row.cuts
         if cut.at in (part.start, part.stop) and (cut.at == part.start) is is_before]
        for is_before in (True, False)
    )  # fmt: skip
    yield from before
    yield paint(units(vocabulary, ids, trained), colour=look.colour)
    yield from after
    if look.ids:
        yield f"ids: {_ids(ids, trained, colour=look.colour)}"
    if look.why is not None:
        runs = [run for run in row.runs if part.start <= run.start < part.stop]
        yield from _why(runs, part.start, look)


def _ids(ids: Sequence[int], trained: Sequence[bool], *, colour: bool) -> str:
    """Return ids with the same marks as the text."""
    runs = (
        (is_trained, " ".join(str(token) for token, _ in run))
        for is_trained, run in groupby(
            zip(ids, trained, strict=True), key=lambda pair: bool(pair[1])
        )
    )
    if colour:
        return " ".join(_styled(text, GREEN if is_trained else DIM) for is_trained, text in runs)
    return " ".join(f"{OPEN}{text}{CLOSE}" if is_trained else text for is_trained, text in runs)


def _why(runs: Sequence[Run], start: int, look: Look) -> Iterator[str]:
    """Yield a line for each run of tokens: who wrote it, and why it is trained or not."""
    assert look.why is not None
    found = reasons(runs, look.why)
    ends = [(each.start - start, each.stop - start - 1) for each in found]
    places = [f"{first:,}-{last:,}" if first < last else f"{first:,}" for first, last in ends]
    wide = max(map(len, places), default=0), max((len(each.writer) for each in found), default=0)
    for each, place in zip(found, places, strict=True):
        trained = "trained" if each.trained else "masked "
        mark = _styled(trained, GREEN if each.trained else DIM, colour=look.colour)
        yield f"  {place:<{wide[0]}}  {mark}  {each.writer:<{wide[1]}}  {each.why}"


def legend(*, colour: bool, boundaries: bool = True) -> str:
    """Return one line that explains the colours or marks that ``paint`` uses.

    Args:
        colour: as for ``paint``.
        boundaries: as for ``paint``.

    >>> legend(colour=False)
    '⟦trained⟧, all else not trained; · between tokens, but not inside a character; ↵ newline'
    """
    if colour:
        trained, masked = _styled("trained", GREEN), _styled("not trained", DIM)
        controls = _styled("control token", DIM, REVERSE), _styled("trained one", GREEN, REVERSE)
        words = ("every", " other", " token", " underlined")
        marked = [_styled(w, UNDERLINED) if w in words[1::2] else w for w in words]
        between = f"{''.join(marked)}, " if boundaries else ""
        return f"{trained}, {masked}, {', '.join(controls)}, {between}{NEWLINE} newline"
    between = f"{BETWEEN} between tokens, but not inside a character; " if boundaries else ""
    return f"{OPEN}trained{CLOSE}, all else not trained; {between}{NEWLINE} newline"


def units(vocabulary: Vocabulary, ids: Iterable[int], trained: Iterable[bool]) -> list[Unit]:
    """Turn tokens into text; tokens that hold the bytes of one character become one unit.

    Args:
        vocabulary: the vocabulary of the tokenizer.
        ids: the ids of the tokens.
        trained: for each token, whether it is trained.
    """
    found: list[Unit] = []
    held, held_trained = b"", False  # bytes of tokens that end inside a character

    def release() -> None:
        nonlocal held
        found.append(Unit(_decoded(held), held_trained))
        held = b""

    for token_id, is_trained in zip(ids, trained, strict=True):
        data, control = vocabulary.token(token_id)
        if held and (control or is_trained != held_trained or not _continues(data)):
            release()
        if control:
            found.append(Unit(_decoded(data), bool(is_trained), control=True))
            continue
        held, held_trained = held + data, bool(is_trained)
        if not _ends_inside_character(held):
            release()
    if held:
        release()
    return found


def paint(shown: Sequence[Unit], *, colour: bool, boundaries: bool = True) -> str:
    """Return units as text for a terminal.

    Args:
        shown: the units, in order.
        colour: True to mark text with ANSI colours; False to mark it with plain characters.
        boundaries: True to mark where one unit ends and the next begins; False if the units are not
            tokens.

    >>> paint([Unit("Hi", False), Unit(" there", False), Unit("Oh", True)], colour=False)
    'Hi· there⟦Oh⟧'
    """
    return _coloured(shown, boundaries) if colour else _marked(shown, boundaries)


def _coloured(shown: Sequence[Unit], boundaries: bool) -> str:
    text, underlined = "", False
    for before, unit in zip([None, *shown], shown, strict=False):
        alike = before is not None and before.control == unit.control
        underlined = boundaries and alike and not underlined
        codes = [GREEN if unit.trained else DIM]
        codes += [REVERSE] if unit.control else []
        codes += [UNDERLINED] if underlined else []
        lines = _visible(unit.text).split("\n")
        text += "\n".join(_styled(line, *codes) if line else "" for line in lines)
    return text.removesuffix("\n")


def _marked(shown: Sequence[Unit], boundaries: bool) -> str:
    # If a unit ends with a newline, the mark after the unit is written at the end of the same line.
    # Only then does a new line begin.
    text, line_break = "", ""
    for before, unit in zip([None, *shown], shown, strict=False):
        if before is not None and before.trained and not unit.trained:
            text += CLOSE
        elif (
            boundaries
            and before is not None
            and before.trained == unit.trained
            and not (before.control or unit.control)
        ):
            text += BETWEEN
        text += line_break
        if unit.trained and not (before is not None and before.trained):
            text += OPEN
        visible = _visible(unit.text)
        line_break = "\n" if visible.endswith("\n") else ""
        text += visible.removesuffix("\n")
    return text + (CLOSE if shown and shown[-1].trained else "")


def _visible(text: str) -> str:
    """Put a visible sign before each newline, and write all other control characters as escapes."""
    return f"{NEWLINE}\n".join(map(ascii_safe, text.translate(ESCAPED).split("\n")))


def _styled(text: str, *codes: str, colour: bool = True) -> str:
    return f"\x1b[{';'.join(codes)}m{text}{RESET}" if colour else text


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _continues(data: bytes) -> bool:
    """Return whether the first byte can only continue a UTF-8 character, not begin one."""
    return bool(data) and 0x80 <= data[0] < 0xC0


def _ends_inside_character(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    decoder.decode(data)
    return bool(decoder.getstate()[0])


def _heading(row: Row) -> str:
    length, trained = len(row.ids), sum(map(bool, row.trained))
    share = f" ({trained / length:.1%})" if length else ""
    place = f", {ascii_safe(row.place)}" if row.place else ""
    return f"row {row.number:,}: {number(length, 'token')}, {trained:,} trained{share}{place}"


def _control_tokens(row: Row, vocabulary: Vocabulary) -> list[str]:
    """Return a line that counts the control tokens of a row, as a list; empty if there are none."""
    counts: Counter[int] = Counter()
    trained: Counter[int] = Counter()
    for token_id, is_trained in zip(row.ids, row.trained, strict=True):
        if vocabulary.token(token_id).control:
            counts[token_id] += 1
            trained[token_id] += bool(is_trained)
    named = [
        f"{count:,} {_decoded(vocabulary.token(token_id).data)} (id {token_id}"
        + (f", {trained[token_id]:,} trained)" if trained[token_id] else ")")
        for token_id, count in counts.items()
    ]
    return [f"control tokens: {', '.join(named)}"] if named else []
