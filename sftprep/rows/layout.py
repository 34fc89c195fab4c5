"""Compile the pieces of a shape into a layout: the control tokens and runs of text of a row.

In     the pieces of a shape, and the tokenizer's control tokens.
Out    a ``Layout``: one element per control token or run of text, in columns; and how to make the
       text of each run from the template's text and a record's contents.
       Also which text of the conversation each element comes from: its ``Writer``. A run may have
       several.
Keeps  the behaviour of HF tokenizers around an added token: ``lstrip`` and ``rstrip`` swallow white
       space, and a ``single_word`` token is plain text if it touches a word character. A run is
       what HF encodes as one text: all text between two control tokens, template text and contents
       together.
Never  looks for control tokens in contents.

If the loss turns on or off inside a run, a new run starts there. It is *chained* to the run before
it: together they are one text (see ``data.runs``). With ``--boundary split``, each is encoded by
itself, and a token swallows no white space across the place at which the loss turns on. With
``joint``, they may be encoded as one text, and a token swallows white space across that place too.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, groupby, pairwise, repeat
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.pieces import IMPLICIT_BOS, Piece, Section
from sftprep.data.provenance import BOS, NO_MESSAGE, Part, Writer
from sftprep.data.ragged import Ids, Mask, Offsets

WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680"
    + "".join(map(chr, range(0x2000, 0x200B)))
    + ("\u2028\u2029\u202f\u205f\u3000")
)
"""Unicode's White_Space: ``lstrip`` and ``rstrip`` swallow it. ``str.strip`` would remove more."""

Fragment = str | int
"""One component of a run's text: template text, or the slot of a content."""
Demoted = frozenset[int]
"""The control tokens of a shape (as indices of atoms) that are plain text in some record."""
NOTHING_DEMOTED: Demoted = frozenset()


class SpecialTokens(NamedTuple):
    """The control tokens of a tokenizer that have a meaning, as texts."""

    # Those that stop the model. If several tokens follow an answer's last content, the first of
    # these is the one that ends it; if none of them is one of these, the last one ends it.
    stops: Collection[str] = ()
    bos: str = ""  # "" if there is none


NONE_SPECIAL = SpecialTokens()


class TextPart(NamedTuple):
    """The part of a run that one text of the conversation gives."""

    fragments: tuple[Fragment, ...]
    writer: Writer


class TextRun(NamedTuple):
    """A run of a shape: how to make its text, and how to encode it."""

    fragments: tuple[Fragment, ...]
    parts: tuple[TextPart, ...]  # the same, divided by writer
    strip_left: bool  # the control token before the run swallows white space
    strip_right: bool  # the control token after the run swallows white space
    chained: bool  # the run before it and this run are together one text
    continued: bool  # text precedes the run, so the tokenizer may not add a space
    trained: bool


class Unit(NamedTuple):
    """What is encoded as one text and comes from several texts of the conversation.

    That is a run; with ``joint``, it may be a whole chain.
    """

    first: int  # the index of its first run among the runs of the layout
    last: int  # the index of its last run
    elements: tuple[int, ...]  # the indices of its runs among the elements of the layout


class SingleWord(NamedTuple):
    """A ``single_word`` token of a shape. It is plain text if the texts around it require that."""

    atom: int  # its index among the atoms of the shape
    left: tuple[Fragment, ...]  # everything before it, the nearest first
    right: tuple[Fragment, ...]  # everything after it, the nearest first


class MixedRun(NamedTuple):
    """A run whose sections follow from the contents of each record."""

    element: int  # its index among the elements of the layout
    run: int  # its index among the runs of the layout
    fragments: tuple[tuple[Fragment, Section], ...]
    strip_left: bool

    def sections(self, contents: Sequence[str], text: str) -> npt.NDArray[np.uint8]:
        """Return uint8[characters]: the section of each character of the run.

        Args:
            contents: the contents of the record.
            text: the text of the run as it is encoded.
        """
        texts = [contents[f] if isinstance(f, int) else f for f, _ in self.fragments]
        own = [section for _, section in self.fragments]
        sections = np.repeat(np.array(own, np.uint8), [len(each) for each in texts])
        whole = "".join(texts)
        swallowed = len(whole) - len(whole.lstrip(WHITE_SPACE)) if self.strip_left else 0
        return sections[swallowed : swallowed + len(text)]


class AnswerEnd(NamedTuple):
    """What a trained answer of a shape ends with."""

    token: int  # the id of the control token that ends it; -1 if only text follows its last content
    run: int  # if there is no token: the index of the answer's last run; -1 if it has no run
    after: int  # the number of tokens of template text between the content and the answer's end


@dataclass(frozen=True)
class Layout:
    """The layout of a shape: its elements in columns of equal length, and its runs in order."""

    control: Ids  # int32[elements]: the id of a control token, -1 for a run
    trained: Mask  # bool[elements]
    section: npt.NDArray[np.uint8]  # uint8[elements]: ``Section``
    kept_left: Offsets  # int64[elements]: tokens at a run's start that truncation keeps
    kept_right: Offsets  # int64[elements]: tokens at a run's end that truncation keeps
    runs: tuple[TextRun, ...]
    chains: tuple[tuple[int, int], ...]  # the first and the last run of each chain
    single_words: tuple[SingleWord, ...]
    joint: bool  # True if the runs of a chain may be encoded as one text
    part_sizes: Offsets  # int64[elements]: how many parts an element has
    part_writers: Ids  # int32[parts]: the number of the writer of each part
    units: tuple[Unit, ...] = ()  # those that come from several texts
    answers: tuple["AnswerEnd", ...] = ()
    mixed: tuple[MixedRun, ...] = ()

    def parts(self, unit: Unit) -> tuple[TextPart, ...]:
        """Return the parts of all runs of a unit."""
        return tuple(chain.from_iterable(self.run_parts(unit)))

    def run_parts(self, unit: Unit) -> tuple[tuple[TextPart, ...], ...]:
        """Return the parts of each run of a unit."""
        return tuple(run.parts for run in self.runs[unit.first : unit.last + 1])

    @cached_property
    def strips(self) -> bool:
        """Whether a control token may swallow white space at an end of a run."""
        return any(run.strip_left or run.strip_right for run in self.runs)

    def texts(self, contents: Sequence[tuple[str, ...]]) -> list[str]:
        """Return the texts of all runs, record by record.

        Args:
            contents: the contents of each record.
        """
        columns = tuple(zip(*contents, strict=True))
        texts = [column_of(run.fragments, columns, len(contents)) for run in self.runs]
        records: Iterable[Sequence[str]] = zip(*texts, strict=True)
        if self.strips:
            records = map(self._stripped, records)
        return list(chain.from_iterable(records))

    def _stripped(self, texts: Sequence[str]) -> list[str]:
        """Return the texts of one record's runs, without the white space that tokens swallow."""
        stripped: list[str] = []
        nothing_left = False  # a token has swallowed the whole previous run, and may swallow more
        for run, text in zip(self.runs, texts, strict=True):
            left = text
            if run.strip_left or (nothing_left and run.chained and self.joint):
                left = text.lstrip(WHITE_SPACE)
                nothing_left = not left
            else:
                nothing_left = False
            stripped.append(left.rstrip(WHITE_SPACE) if run.strip_right else left)
        if self.joint:
            self._strip_across_boundaries(stripped)
        return stripped

    def _strip_across_boundaries(self, texts: list[str]) -> None:
        """Strip the end of a run if a later control token has swallowed all of the next run."""
        reaches = False
        for index in range(len(texts) - 1, -1, -1):
            if reaches:
                texts[index] = texts[index].rstrip(WHITE_SPACE)
            run = self.runs[index]
            reaches = (run.strip_right or reaches) and run.chained and not texts[index]

    def demoted(self, contents: Sequence[str], is_word: Callable[[str], bool]) -> Demoted:
        """Return the ``single_word`` tokens that touch a word character in this record.

        Args:
            contents: the contents of the record.
            is_word: returns True for a word character.
        """
        if not self.single_words:
            return NOTHING_DEMOTED
        return frozenset(
            token.atom
            for token in self.single_words
            if any(map(is_word, _nearest(token.left, contents)[-1:]))
            or any(map(is_word, _nearest(token.right, contents)[:1]))
        )


def column_of(
    fragments: Sequence[Fragment], columns: Sequence[Sequence[str]], count: int
) -> Iterable[str]:
    """Return the texts of one run, one for each of ``count`` records."""
    if len(fragments) == 1:
        fragment = fragments[0]
        return columns[fragment] if isinstance(fragment, int) else repeat(fragment, count)
    texts = (columns[f] if isinstance(f, int) else repeat(f, count) for f in fragments)
    return map("".join, zip(*texts, strict=True))


def _nearest(fragments: Sequence[Fragment], contents: Sequence[str]) -> str:
    """Return the first text that is not empty; "" if all texts are empty."""
    texts = (contents[f] if isinstance(f, int) else f for f in fragments)
    return next(filter(None, texts), "")


class _Part(NamedTuple):
    """A fragment of a run, and what its piece says about it."""

    fragment: Fragment
    section: Section
    writer: Writer


@dataclass
class _Element:
    """A control token or a run of a layout that is being compiled."""

    trained: bool
    section: Section
    atom: int  # the index of its first atom
    writer: Writer = NO_MESSAGE  # of a control token
    token: AddedToken | None = None
    fragments: list[_Part] | None = None  # None for a control token
    strip_left: bool = False
    strip_right: bool = False
    continued: bool = False
    chained: bool = False

    def strip_template_text(self) -> None:
        """Strip a run that has no slots now, because its text is the same for every record."""
        if self.fragments is None:
            return
        texts = [part.fragment for part in self.fragments if isinstance(part.fragment, str)]
        if len(texts) < len(self.fragments):
            return
        section = self.fragments[0].section
        if self.strip_left:
            texts = _stripped(texts)
        if self.strip_right:
            texts = [text[::-1] for text in _stripped([text[::-1] for text in texts[::-1]])][::-1]
        self.fragments = [
            _Part(text, section, part.writer)
            for text, part in zip(texts, self.fragments, strict=True)
            if text
        ]


class _Ending(NamedTuple):
    """The text of the template behind the last content of a trained answer."""

    token: AddedToken | None  # the control token that ends the answer
    text: str  # if there is none, the whole text
    stop: tuple[int, ...]  # the atoms that end it


Atom = tuple[Fragment | AddedToken, Piece]
"""Template text, a slot or a control token, and the piece that it comes from."""


class LayoutCompiler:
    """Compiles layouts.

    Args:
        controls: the tokenizer's control tokens, by text.
        joint: True if the runs of a chain may be encoded as one text.
        adds_space_after: returns True if the tokenizer adds a space before a text that follows
            this token.
        count_tokens: returns the number of tokens in a template text.
        special: the control tokens that have a meaning.

    Attributes:
        writers: the number of each writer that a layout has.
    """

    def __init__(
        self,
        controls: dict[str, AddedToken],
        *,
        joint: bool,
        adds_space_after: Callable[[AddedToken], bool],
        count_tokens: Callable[[str], int],
        special: SpecialTokens = NONE_SPECIAL,
    ) -> None:
        self._controls = ControlTokens(list(controls.values()))
        self._by_text = controls
        self._joint = joint
        self._adds_space_after = adds_space_after
        self._count_tokens = count_tokens
        self._stops, self._bos = special
        self.writers: dict[Writer, int] = {}

    def layout(
        self,
        pieces: Sequence[Piece],
        demoted: Demoted = NOTHING_DEMOTED,
        answers: Sequence[int] = (),
    ) -> Layout:
        """Compile the layout of a shape.

        Args:
            pieces: the pieces of the shape.
            demoted: the control tokens that are plain text in this layout.
            answers: for each trained answer, the number of pieces up to its end.
        """
        atoms, counts = self._atoms(pieces)
        endings = [self._ending(atoms, demoted, counts[answer]) for answer in answers]
        elements = self._elements(atoms, demoted, {i for ending in endings for i in ending.stop})
        self._mark_stripped(elements)
        elements = [element for element in elements if element.token or element.fragments]
        self._mark_continued(elements, implicit_bos=any(p.slot == IMPLICIT_BOS for p in pieces))
        ends = [
            self._answer_end(ending, elements, counts[answer])
            for answer, ending in zip(answers, endings, strict=True)
        ]
        return self._columns(elements, _single_words(atoms, demoted), tuple(ends))

    def _atoms(self, pieces: Sequence[Piece]) -> tuple[list[Atom], list[int]]:
        """Divide the pieces into texts, slots and control tokens.

        If the tokenizer adds a BOS by itself, a BOS with which the template starts is left out.

        Returns:
            the atoms, and how many of them the first n pieces give, for each n.
        """
        atoms: list[Atom] = []
        counts: list[int] = []
        for piece in pieces:
            counts.append(len(atoms))
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
        return atoms, [*counts, len(atoms)]

    def _elements(
        self, atoms: Sequence[Atom], demoted: Demoted, stops: Collection[int]
    ) -> list[_Element]:
        """Make one element per control token, and one per stretch of text with one trained flag.

        Args:
            atoms: the atoms of the shape.
            demoted: the control tokens that are plain text.
            stops: the atoms with which a trained answer ends what stops the model.
        """
        elements: list[_Element] = []
        for index, (atom, piece) in enumerate(atoms):
            writer = piece.writer._replace(part=Part.STOP) if index in stops else piece.writer
            if isinstance(atom, AddedToken) and index not in demoted:
                if self._is_bos(atom, index) and index not in stops:
                    writer = BOS
                elements.append(
                    _Element(piece.trained, piece.section, index, writer=writer, token=atom)
                )
                continue
            fragment = atom.content if isinstance(atom, AddedToken) else atom
            last = elements[-1] if elements else None
            if last is None or last.fragments is None or last.trained != piece.trained:
                chained = last is not None and last.fragments is not None
                elements.append(
                    _Element(piece.trained, piece.section, index, fragments=[], chained=chained)
                )
            run = elements[-1]
            assert run.fragments is not None
            run.fragments.append(_Part(fragment, piece.section, writer))
            run.section = max(run.section, piece.section)  # a section that may be cut has priority
        return elements

    def _is_bos(self, token: AddedToken, atom: int) -> bool:
        """Return whether a token is the BOS. If it also stops the model, only the first one is."""
        return token.content == self._bos and (atom == 0 or self._bos not in self._stops)

    def _ending(self, atoms: Sequence[Atom], demoted: Demoted, end: int) -> "_Ending":
        """Find what ends the trained answer that consists of the last of the first ``end`` atoms.

        Only the template's text behind the answer's last content can hold a control token.
        """
        tokens: dict[int, AddedToken] = {}  # by atom, the nearest to the content last
        texts: dict[int, str] = {}
        for index in range(end - 1, -1, -1):
            atom, piece = atoms[index]
            if not piece.trained or isinstance(atom, int):
                break
            if isinstance(atom, AddedToken) and index not in demoted:
                tokens[index] = atom
            else:
                texts[index] = atom.content if isinstance(atom, AddedToken) else atom
        if not tokens:
            return _Ending(None, "".join(reversed(texts.values())), tuple(texts))
        stops = [index for index, token in tokens.items() if token.content in self._stops]
        stop = min(stops) if stops else max(tokens)  # </tool_call> ends a call, not the answer
        return _Ending(tokens[stop], "", (stop,))

    def _answer_end(self, ending: "_Ending", elements: Sequence[_Element], end: int) -> AnswerEnd:
        """Return how the trained answer ends that consists of the last of the first atoms."""
        if ending.token is not None:
            return AnswerEnd(ending.token.id, -1, 0)
        runs = [e.atom < end for e in elements if e.fragments is not None]
        text = ending.text
        return AnswerEnd(-1, sum(runs) - 1, self._count_tokens(text) if text else 0)

    def _mark_stripped(self, elements: list[_Element]) -> None:
        """Mark the runs whose white space a token next to them swallows; strip fixed texts now."""
        for left, right in pairwise(elements):
            if not self._joint and right.trained and not left.trained:
                continue  # a token swallows nothing across the place at which the loss turns on
            if left.token and left.token.rstrip and right.fragments is not None:
                right.strip_left = True
            if right.token and right.token.lstrip and left.fragments is not None:
                left.strip_right = True
        for element, following in zip(elements, [*elements[1:], None], strict=False):
            element.strip_template_text()
            emptied = element.fragments == []
            if emptied and element.strip_left and following and self._joint:
                following.strip_left = following.strip_left or following.chained
            if emptied and following and following.chained:
                following.chained = element.chained

    def _mark_continued(self, elements: list[_Element], *, implicit_bos: bool) -> None:
        """Mark the runs before which the tokenizer must not add a space."""
        before: _Element | None = None
        for index, element in enumerate(elements):
            if element.fragments is not None and before is not None:
                if before.token is None:
                    element.continued = True
                elif not (implicit_bos and index == 1):
                    element.continued = not self._adds_space_after(before.token)
            before = element

    def _columns(
        self,
        elements: list[_Element],
        single_words: tuple[SingleWord, ...],
        answers: tuple[AnswerEnd, ...],
    ) -> Layout:
        runs = [
            TextRun(
                merged_fragments(part.fragment for part in element.fragments),
                _parts(element.fragments),
                element.strip_left,
                element.strip_right,
                element.chained,
                element.continued,
                element.trained,
            )
            for element in elements
            if element.fragments is not None
        ]
        chains = _chains([run.chained for run in runs])
        units = _units(elements, runs, chains if self._joint else ())
        parts = _writers_of_parts(elements, runs, units)
        return Layout(
            control=np.array([e.token.id if e.token else -1 for e in elements], np.int32),
            trained=np.array([e.trained for e in elements], np.bool_),
            section=np.array([e.section for e in elements], np.uint8),
            kept_left=np.array([self._kept(e, from_left=True) for e in elements], np.int64),
            kept_right=np.array([self._kept(e, from_left=False) for e in elements], np.int64),
            runs=tuple(runs),
            chains=chains,
            single_words=single_words,
            joint=self._joint,
            answers=answers,
            mixed=_mixed_runs(elements),
            units=units,
            part_writers=np.array([self._number(w) for own in parts for w in own], np.int32),
            part_sizes=np.array([len(own) for own in parts], np.int64),
        )

    def _number(self, writer: Writer) -> int:
        """Return the number of a writer."""
        return self.writers.setdefault(writer, len(self.writers))

    def _kept(self, element: _Element, *, from_left: bool) -> int:
        """Count the tokens of KEPT template text at one end of a run of the prompt."""
        if element.fragments is None or element.section != Section.PROMPT:
            return 0
        text = ""
        for fragment, section, _ in element.fragments if from_left else reversed(element.fragments):
            if section != Section.KEPT or isinstance(fragment, int):
                break
            text = text + fragment if from_left else fragment + text
        return self._count_tokens(text) if text else 0


def _mixed_runs(elements: Sequence[_Element]) -> tuple[MixedRun, ...]:
    """Return the runs whose sections do not follow from the template's text alone.

    These are the runs in which a content is kept and other text is cut, and those in which the
    completion starts.
    """
    mixed: list[MixedRun] = []
    run = -1
    for index, element in enumerate(elements):
        if element.fragments is None:
            continue
        run += 1
        fragments = tuple((part.fragment, part.section) for part in element.fragments)
        found = {section for _, section in fragments}
        keeps_content = any(
            section == Section.KEPT and isinstance(fragment, int) for fragment, section in fragments
        )
        if len(found) > 1 and (keeps_content or Section.COMPLETION in found):
            mixed.append(MixedRun(index, run, fragments, element.strip_left))
    return tuple(mixed)


def _parts(fragments: Sequence[_Part]) -> tuple[TextPart, ...]:
    """Return the parts of a run: the fragments, divided where the writer changes."""
    return tuple(
        TextPart(merged_fragments(part.fragment for part in group), writer)
        for writer, group in groupby(fragments, key=attrgetter("writer"))
    )


def _units(
    elements: Sequence[_Element], runs: Sequence[TextRun], chains: Sequence[tuple[int, int]]
) -> tuple[Unit, ...]:
    """Return the units of a layout.

    Args:
        elements: the elements of the layout.
        runs: its runs.
        chains: the first and the last run of each chain that may be encoded as one text.
    """
    places = [index for index, element in enumerate(elements) if element.fragments is not None]
    inside = {run for first, last in chains for run in range(first, last + 1)}
    alone = [(run, run) for run in range(len(runs)) if run not in inside]
    return tuple(
        Unit(first, last, tuple(places[first : last + 1]))
        for first, last in sorted([*chains, *alone])
        if len({part.writer for run in runs[first : last + 1] for part in run.parts}) > 1
    )


def _writers_of_parts(
    elements: Sequence[_Element], runs: Sequence[TextRun], units: Sequence[Unit]
) -> list[tuple[Writer, ...]]:
    """Return the writers of the parts of each element; one of a unit has all parts of the unit."""
    writers: list[tuple[Writer, ...]] = [
        (element.fragments[0].writer if element.fragments else element.writer,)
        for element in elements
    ]
    for unit in units:
        parts = tuple(part.writer for run in runs[unit.first : unit.last + 1] for part in run.parts)
        for element in unit.elements:
            writers[element] = parts
    return writers


def _stripped(texts: Sequence[str]) -> list[str]:
    """Return texts that follow each other, without the white space with which they start."""
    rest = len("".join(texts).lstrip(WHITE_SPACE))
    length = sum(map(len, texts))
    stripped = []
    for text in texts:
        swallowed = min(length - rest, len(text))
        length -= swallowed
        stripped.append(text[swallowed:])
    return stripped


def merged_fragments(fragments: Iterable[Fragment]) -> tuple[Fragment, ...]:
    """Return the fragments, with adjacent template texts joined."""
    merged: list[Fragment] = []
    for fragment in fragments:
        if isinstance(fragment, str) and merged and isinstance(merged[-1], str):
            merged[-1] += fragment
        else:
            merged.append(fragment)
    return tuple(merged)


def _chains(chained: Sequence[bool]) -> tuple[tuple[int, int], ...]:
    """Return the first and the last run of each chain.

    Args:
        chained: for each run, True if it is chained to the run before it.

    >>> _chains([False, True, True, False, False, True])
    ((0, 2), (4, 5))
    """
    starts = [i for i in range(len(chained) - 1) if chained[i + 1] and not chained[i]]
    following = [*chained[1:], False]
    ends = [i for i in range(len(chained)) if chained[i] and not following[i]]
    return tuple(zip(starts, ends, strict=True))


def _single_words(atoms: Sequence[Atom], demoted: Demoted) -> tuple[SingleWord, ...]:
    texts = [atom.content if isinstance(atom, AddedToken) else atom for atom, _ in atoms]
    return tuple(
        SingleWord(index, tuple(reversed(texts[:index])), tuple(texts[index + 1 :]))
        for index, (atom, _) in enumerate(atoms)
        if isinstance(atom, AddedToken) and atom.single_word and index not in demoted
    )
