"""Pieces -> layout: the order of control tokens and runs of text in a row.

In     the pieces of a shape, and the tokenizer's control tokens.
Out    a ``Layout``: one element per control token or run of text, in columns, and how each run is
       put together from the template's text and a record's contents.
Keeps  what HF does around an added token: ``lstrip`` and ``rstrip`` swallow white space,
       ``single_word`` makes it plain text beside a word character. A run is what HF encodes as one:
       all text between two control tokens, template and content together.
Never  looks for control tokens in content.

A run is cut where the loss turns on or off, and the later part marked as *joined*: it continues the
text before it. With ``--boundary split`` the parts are encoded apart, and the white space that a
token swallows stops where the loss turns on; with ``joint`` they are one text.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.pieces import IMPLICIT_BOS, Piece, Section
from sftprep.data.ragged import Ids, Mask, Offsets

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + ("\u2028\u2029\u202f\u205f\u3000")
)
"""Unicode's White_Space, which is what the flags swallow (``str.strip`` would take more)."""

WORD = re.compile(r"\w")


class Run(NamedTuple):
    """How the text of one run is made."""

    parts: tuple[str | int, ...]  # literal text, or the slot of a content
    strip_left: bool
    strip_right: bool
    joined: bool  # continues the run before it, across a change of loss


class Watch(NamedTuple):
    """A ``single_word`` token between two texts: it depends on them whether it is a token."""

    item: int  # its number among the items of the shape
    left: tuple[str | int, ...]  # literal texts and slots, the nearest first
    right: tuple[str | int, ...]


@dataclass(frozen=True)
class Layout:
    """The elements of a shape, in columns of equal length; runs are numbered in their order."""

    control: Ids  # int32: the id of a control token, -1 for a run
    trained: Mask  # bool
    section: npt.NDArray[np.uint8]  # Section: what truncation may do to it
    kept_left: Offsets  # int64: tokens at a run's start that are template text and kept
    kept_right: Offsets  # int64: the same at its end
    runs: tuple[Run, ...]
    continued: tuple[bool, ...]  # of each run
    run_trained: tuple[bool, ...]  # of each run
    joins: tuple[tuple[int, int], ...]  # first and last run of each chain of joined runs
    watches: tuple[Watch, ...]
    joint: bool  # the runs of a chain are one text

    def texts(self, contents: Sequence[tuple[str, ...]]) -> list[str]:
        """The texts of all runs, record after record, for records with these contents."""
        columns = tuple(zip(*contents, strict=True))
        made = [_column(run.parts, columns, len(contents)) for run in self.runs]
        rows: Iterable[Sequence[str]] = zip(*made, strict=True)
        if any(run.strip_left or run.strip_right for run in self.runs):
            rows = map(self._stripped, rows)
        return list(chain.from_iterable(rows))

    def _stripped(self, texts: Sequence[str]) -> list[str]:
        """The texts of one record's runs without the white space that tokens swallow."""
        stripped: list[str] = []
        swallow = False  # the run before was stripped to nothing, and this one continues it
        for run, text in zip(self.runs, texts, strict=True):
            left = text
            if run.strip_left or (swallow and run.joined and self.joint):
                left = text.lstrip(WHITE_SPACE)
                swallow = not left
            else:
                swallow = False
            stripped.append(left.rstrip(WHITE_SPACE) if run.strip_right else left)
        if self.joint:
            self._strip_back(stripped)
        return stripped

    def _strip_back(self, texts: list[str]) -> None:
        """White space that a token swallows to its left reaches back over a cut."""
        reaching = False
        for index in range(len(texts) - 1, -1, -1):
            if reaching:
                texts[index] = texts[index].rstrip(WHITE_SPACE)
            run = self.runs[index]
            reaching = (run.strip_right or reaching) and run.joined and not texts[index]

    def demoted(self, contents: Sequence[str]) -> frozenset[int]:
        """The ``single_word`` tokens that touch a word character in this record."""
        if not self.watches:
            return frozenset()
        return frozenset(
            watch.item
            for watch in self.watches
            if WORD.match(_nearest(watch.left, contents)[-1:])
            or WORD.match(_nearest(watch.right, contents))
        )


def _column(
    parts: Sequence[str | int], columns: Sequence[Sequence[str]], count: int
) -> Iterable[str]:
    """The text of one run for each of ``count`` records."""
    if len(parts) == 1:
        part = parts[0]
        return columns[part] if isinstance(part, int) else repeat(part, count)
    texts = (columns[p] if isinstance(p, int) else repeat(p, count) for p in parts)
    return map("".join, zip(*texts, strict=True))


def _nearest(parts: Sequence[str | int], contents: Sequence[str]) -> str:
    """The first of these texts that is not empty."""
    texts = (contents[part] if isinstance(part, int) else part for part in parts)
    return next(filter(None, texts), "")


@dataclass
class _Item:
    """A control token, or an open run, while a layout is made."""

    trained: bool
    section: Section
    token: AddedToken | None = None
    parts: list[tuple[str | int, Section]] | None = None
    strip_left: bool = False
    strip_right: bool = False
    continued: bool = False
    joined: bool = False

    def strip_literal(self) -> None:
        """Strip a run of template text at once: it is the same for every record."""
        if self.parts is not None and all(isinstance(p, str) for p, _ in self.parts):
            text = "".join(str(p) for p, _ in self.parts)
            text = text.lstrip(WHITE_SPACE) if self.strip_left else text
            text = text.rstrip(WHITE_SPACE) if self.strip_right else text
            self.parts = [(text, self.parts[0][1])] if text else []


class Compiler:
    """Makes layouts.

    Args:
        controls: the tokenizer's control tokens, by text.
        joint: whether the two sides of a boundary are one text.
        prefixes_after: whether the tokenizer puts a space in front of a text behind this token.
        count: how many tokens a literal text has.
    """

    def __init__(
        self,
        controls: dict[str, AddedToken],
        *,
        joint: bool,
        prefixes_after: Callable[[AddedToken], bool],
        count: Callable[[str], int],
    ) -> None:
        self._controls = ControlTokens(list(controls.values()))
        self._by_text = controls
        self._joint = joint
        self._prefixes_after = prefixes_after
        self._count = count

    def layout(self, pieces: Sequence[Piece], demoted: frozenset[int] = frozenset()) -> Layout:
        """The layout of a shape; ``demoted`` names control tokens that are plain text here."""
        atoms = self._atoms(pieces)
        items = self._items(atoms, demoted)
        self._strip(items)
        items = [item for item in items if item.token or item.parts]
        self._continue(items, implicit_bos=any(p.slot == IMPLICIT_BOS for p in pieces))
        return self._columns(items, _watches(atoms, demoted))

    def _atoms(self, pieces: Sequence[Piece]) -> list[tuple[str | int | AddedToken, Piece]]:
        """Every piece taken apart into text, slots and control tokens; one BOS at the most."""
        atoms: list[tuple[str | int | AddedToken, Piece]] = []
        for piece in pieces:
            if piece.slot >= 0:
                atoms.append((piece.slot, piece))
            elif piece.slot == IMPLICIT_BOS:
                atoms.append((self._by_text[piece.text], piece))
            else:
                for found in self._controls.split(piece.text):
                    second_bos = (
                        len(atoms) == 1
                        and atoms[0][1].slot == IMPLICIT_BOS
                        and found == atoms[0][0]
                    )
                    if not second_bos:
                        atoms.append((found, piece))
        return atoms

    def _items(
        self, atoms: Sequence[tuple[str | int | AddedToken, Piece]], demoted: frozenset[int]
    ) -> list[_Item]:
        items: list[_Item] = []
        for index, (atom, piece) in enumerate(atoms):
            if isinstance(atom, AddedToken) and index not in demoted:
                items.append(_Item(piece.trained, piece.section, token=atom))
                continue
            part = atom.content if isinstance(atom, AddedToken) else atom
            last = items[-1] if items else None
            if last is None or last.parts is None or last.trained != piece.trained:
                joined = last is not None and last.parts is not None
                items.append(_Item(piece.trained, piece.section, parts=[], joined=joined))
            run = items[-1]
            assert run.parts is not None
            run.parts.append((part, piece.section))
            run.section = max(run.section, piece.section)  # what may be cut wins
        return items

    def _strip(self, items: list[_Item]) -> None:
        """White space that a token swallows, on its own side of a boundary."""
        for left, right in pairwise(items):
            if not self._joint and right.trained and not left.trained:
                continue  # the two sides of a boundary
            if left.token and left.token.rstrip and right.parts is not None:
                right.strip_left = True
            if right.token and right.token.lstrip and left.parts is not None:
                left.strip_right = True
        for item, following in zip(items, [*items[1:], None], strict=False):
            item.strip_literal()
            emptied = item.parts == []
            if emptied and item.strip_left and following and self._joint:
                following.strip_left = following.strip_left or following.joined
            if emptied and following and following.joined:
                following.joined = item.joined

    def _continue(self, items: list[_Item], *, implicit_bos: bool) -> None:
        before: _Item | None = None
        for index, item in enumerate(items):
            if item.parts is not None and before is not None:
                if before.token is None:
                    item.continued = True
                elif not (implicit_bos and index == 1):
                    item.continued = not self._prefixes_after(before.token)
            before = item

    def _columns(self, items: list[_Item], watches: tuple[Watch, ...]) -> Layout:
        runs = [item for item in items if item.parts is not None]
        return Layout(
            control=np.array([i.token.id if i.token else -1 for i in items], np.int32),
            trained=np.array([i.trained for i in items], np.bool_),
            section=np.array([i.section for i in items], np.uint8),
            kept_left=np.array([self._kept(i, from_left=True) for i in items], np.int64),
            kept_right=np.array([self._kept(i, from_left=False) for i in items], np.int64),
            runs=tuple(
                Run(_merged(r.parts or []), r.strip_left, r.strip_right, r.joined) for r in runs
            ),
            # Not continued: encoded with the space that the tokenizer may put in front of a text.
            continued=tuple(r.continued for r in runs),
            run_trained=tuple(r.trained for r in runs),
            joins=_chains([r.joined for r in runs]),
            watches=watches,
            joint=self._joint,
        )

    def _kept(self, item: _Item, *, from_left: bool) -> int:
        """Tokens of the kept template text at one end of a run that may be cut elsewhere."""
        if item.parts is None or item.section != Section.PROMPT:
            return 0
        text = ""
        for part, mark in item.parts if from_left else reversed(item.parts):
            if mark != Section.KEPT or isinstance(part, int):
                break
            text = text + part if from_left else part + text
        return self._count(text) if text else 0


def _merged(parts: Sequence[tuple[str | int, Section]]) -> tuple[str | int, ...]:
    merged: list[str | int] = []
    for part, _ in parts:
        if isinstance(part, str) and merged and isinstance(merged[-1], str):
            merged[-1] += part
        else:
            merged.append(part)
    return tuple(merged)


def _chains(joined: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """First and last run of each chain.

    >>> _chains([False, True, True, False, False, True])
    ((0, 2), (4, 5))
    """
    starts = [i for i in range(len(joined) - 1) if joined[i + 1] and not joined[i]]
    after = [*joined[1:], False]
    ends = [i for i in range(len(joined)) if joined[i] and not after[i]]
    return tuple(zip(starts, ends, strict=True))


def _watches(
    atoms: Sequence[tuple[str | int | AddedToken, Piece]], demoted: frozenset[int]
) -> tuple[Watch, ...]:
    texts = [atom.content if isinstance(atom, AddedToken) else atom for atom, _ in atoms]
    return tuple(
        Watch(index, tuple(reversed(texts[:index])), tuple(texts[index + 1 :]))
        for index, (atom, _) in enumerate(atoms)
        if isinstance(atom, AddedToken) and atom.single_word and index not in demoted
    )
