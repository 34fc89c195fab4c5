r"""Ids and what is trained of them -> text for a terminal.

In     rows: ids, and which of them are trained; a ``Vocabulary``.
Out    text with ANSI colours, or with plain marks; ``legend`` says what means what.
Keeps  every token and its boundaries. A character that several tokens share is shown whole, and
       bytes that never become a character as ``\xNN``.
Never  lets data act on the terminal: control characters come out as escapes.

Green is trained and dim is not; control tokens are in reverse video; of neighbouring tokens every
other one is underlined. Without colour: ``<|user|>Hi· there⟦Hi·.<|end|>⟧``.
"""

import codecs
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sftprep.text import ascii_safe
from sftprep.views.vocabulary import Vocabulary

NEWLINE = "↵"
BETWEEN = "·"
OPEN, CLOSE = "⟦", "⟧"
RESET = "\x1b[0m"
BOLD, DIM, UNDERLINED, REVERSE, GREEN = "1", "2", "4", "7", "32"


class Unit(NamedTuple):
    """What is shown in one piece: a token, or a few that share a character."""

    text: str
    trained: bool
    control: bool = False


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row to be shown."""

    number: int
    ids: Sequence[int]
    trained: Sequence[bool]
    place: str = ""  # where it came from
    remarks: tuple[str, ...] = ()  # what else to know of it


def show_row(row: Row, vocabulary: Vocabulary, *, colour: bool) -> str:
    """A header, a line on the row's control tokens and remarks, and the row itself."""
    heading = _styled(_heading(row), BOLD, colour=colour)
    details = [*_controls(row, vocabulary), *row.remarks]
    lines = [f"  {ascii_safe(line)}" for line in details]
    body = paint(units(vocabulary, row.ids, row.trained), colour=colour)
    return "\n".join([heading, *lines, body])


def legend(*, colour: bool, boundaries: bool = True) -> str:
    """One line that says what the colours or marks mean."""
    if colour:
        trained, masked = _styled("trained", GREEN), _styled("not trained", DIM)
        controls = _styled("control token", DIM, REVERSE), _styled("trained one", GREEN, REVERSE)
        words = ("every", " other", " token", " underlined")
        marked = [_styled(w, UNDERLINED) if w in words[1::2] else w for w in words]
        between = f"{''.join(marked)}, " if boundaries else ""
        return f"{trained}, {masked}, {', '.join(controls)}, {between}{NEWLINE} newline"
    between = f"{BETWEEN} between tokens, none inside a character; " if boundaries else ""
    return f"{OPEN}trained{CLOSE}, the rest not; {between}{NEWLINE} newline"


def units(vocabulary: Vocabulary, ids: Iterable[int], trained: Iterable[bool]) -> list[Unit]:
    """Tokens as text; those that hold parts of one character together."""
    found: list[Unit] = []
    held, held_trained = b"", False  # tokens that end inside a character

    def release() -> None:
        nonlocal held
        found.append(Unit(_decoded(held), held_trained))
        held = b""

    for number, is_trained in zip(ids, trained, strict=True):
        data, control = vocabulary.token(number)
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
    """The units as text; ``boundaries`` is False where they are no tokens."""
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
    return _without_last_break(text)


def _marked(shown: Sequence[Unit], boundaries: bool) -> str:
    text, line_break = "", ""  # a line's last mark stands behind its newline sign, in the same line
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
        text += _without_last_break(visible)
    return text + (CLOSE if shown and shown[-1].trained else "")


def _visible(text: str) -> str:
    """Newlines as a sign and a real line break; whatever a terminal would act on as an escape."""
    return f"{NEWLINE}\n".join(map(ascii_safe, text.split("\n")))


def _without_last_break(text: str) -> str:
    return text.removesuffix("\n")


def _styled(text: str, *codes: str, colour: bool = True) -> str:
    return f"\x1b[{';'.join(codes)}m{text}{RESET}" if colour else text


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


def _continues(data: bytes) -> bool:
    """Whether the first byte can only stand inside a character."""
    return bool(data) and 0x80 <= data[0] < 0xC0


def _ends_inside_character(data: bytes) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")("backslashreplace")
    decoder.decode(data)
    return bool(decoder.getstate()[0])


def _heading(row: Row) -> str:
    length, trained = len(row.ids), sum(map(bool, row.trained))
    share = f" ({trained / length:.1%})" if length else ""
    noun = "token" if length == 1 else "tokens"
    place = f", {ascii_safe(row.place)}" if row.place else ""
    return f"row {row.number:,}: {length:,} {noun}, {trained:,} trained{share}{place}"


def _controls(row: Row, vocabulary: Vocabulary) -> list[str]:
    """The control tokens of a row, with their ids, and how many of each are trained."""
    counts: Counter[int] = Counter()
    trained: Counter[int] = Counter()
    for number, is_trained in zip(row.ids, row.trained, strict=True):
        if vocabulary.token(number).control:
            counts[number] += 1
            trained[number] += bool(is_trained)
    named = [
        f"{count:,} {_decoded(vocabulary.token(number).data)} (id {number}"
        + (f", {trained[number]:,} trained)" if trained[number] else ")")
        for number, count in counts.items()
    ]
    return [f"control tokens: {', '.join(named)}"] if named else []
