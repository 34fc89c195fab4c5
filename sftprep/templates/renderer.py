"""Conversation + template -> pieces: which text comes from where, and which of it is trained.

In     a ``Conversation`` and a ``Template``.
Out    the conversation's *shape* (roles, inputs, what is trained), the shape's ``Piece``s (the
       template's text with numbered places for contents) and the contents that go there. Records of
       one shape share their pieces: these are made once a shape, not once a record.
Keeps  contents as they are, but for the roles that a template trims.
Raises RecordError where the template has no place for something, or trims an answer to nothing.

What is trained: the ``body`` of an assistant turn, which ends with the turn's terminator. All
else (system, prompt, headers, what follows the terminator) is not, except with ``train_on="all"``.
"""

from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import NamedTuple

from sftprep.data.conversation import Conversation, Turn
from sftprep.data.pieces import IMPLICIT_BOS, LITERAL, Piece, Rendered, Section
from sftprep.errors import RecordError
from sftprep.templates.template import Template, split_placeholders

Shape = tuple[Turn, ...]
"""The turns of a row, with ``train`` decided."""


class _Form(NamedTuple):
    """What conversations of the same turns become; found out once for all of them."""

    shape: int
    changes: tuple[Callable[[list[str]], None], ...]  # of the contents, in this order


class Renderer:
    """Renders conversations with one template and one policy.

    Args:
        template: the template.
        bos, eos: the tokenizer's own, "" where it has none.
        implicit_bos: whether the tokenizer itself puts a BOS in front of a text.
        separator: the text for ``{separator}``.
        allowed: control tokens that contents may hold as such.
        train_on: ``completion`` (all answers), ``last`` (the last one), ``all`` (all text).
    """

    def __init__(
        self,
        template: Template,
        *,
        bos: str = "",
        eos: str = "",
        implicit_bos: bool = False,
        separator: str = "",
        train_on: str = "completion",
        allowed: Collection[str] = (),
    ) -> None:
        self.template = template
        self._texts = {"bos": bos, "eos": eos, "separator": separator}
        self._implicit_bos = implicit_bos
        self._train_on = train_on
        self._forms: dict[tuple[Turn, ...], _Form] = {}
        self._numbers: dict[Shape, int] = {}
        self._pieces: list[tuple[Piece, ...]] = []  # of each shape, by number
        terminator = "".join(
            self._texts[value] if is_slot else value
            for is_slot, value in list(split_placeholders(template.body))
            if not (is_slot and value == "content")
        )
        # A token that the data may write is not written a second time beside it.
        self._own_end = terminator if terminator in allowed else ""
        self._own_bos = bos if bos in allowed and self._writes_bos() else ""

    def render(self, conversation: Conversation) -> Rendered:
        """Render one conversation."""
        form = self._forms.get(conversation.turns)
        if form is None:
            form = self._forms[conversation.turns] = self._form(conversation.turns)
        if not form.changes:
            return Rendered(form.shape, conversation.contents)
        contents = list(conversation.contents)
        for change in form.changes:
            change(contents)
        return Rendered(form.shape, tuple(contents))

    def pieces(self, number: int) -> tuple[Piece, ...]:
        """The pieces of a shape; slot 2k is the content of message k, slot 2k + 1 its input."""
        return self._pieces[number]

    def rewrites(self, shape: int) -> bool:
        """Return False: these templates write earlier turns as inference would feed them."""
        return False

    def forget(self) -> bool:
        """Return False: shapes follow from turns alone, so they stay few."""
        return False

    def _form(self, turns: tuple[Turn, ...]) -> _Form:
        """What to do with conversations of these turns."""
        template = self.template
        changes: list[Callable[[list[str]], None]] = []
        system = self._default_system(turns)
        if system is not None:
            turns = (Turn("system"), *turns)
            changes.append(partial(_insert, (system, "")))
        answers = _places(turns, {"assistant"})
        if self._own_end or self._own_bos:
            changes.append(partial(self._drop_own_tokens, answers))
        if template.user_with_input is None and any(turn.has_input for turn in turns):
            changes.append(partial(_join, [2 * i for i, t in enumerate(turns) if t.has_input]))
            turns = tuple(turn._replace(has_input=False) for turn in turns)
        if template.trim:
            trimmed = _places(turns, template.trim)
            answers = answers if "assistant" in template.trim else []
            changes.append(partial(self._trim, trimmed, answers))
        return _Form(self._number(self._shape(turns)), tuple(changes))

    def _shape(self, turns: tuple[Turn, ...]) -> Shape:
        last = len(turns) - 1
        every = self._train_on != "last"
        return tuple(
            turn._replace(train=turn.role == "assistant" and _trained(turn, every or i == last))
            for i, turn in enumerate(turns)
        )

    def _number(self, shape: Shape) -> int:
        """The shape's number; its pieces are made where it is new."""
        if shape not in self._numbers:
            self._pieces.append(tuple(self._compose(shape)))
            self._numbers[shape] = len(self._pieces) - 1
        return self._numbers[shape]

    def _default_system(self, turns: tuple[Turn, ...]) -> str | None:
        """The template's own system prompt where there is none; checks that one has a place."""
        template = self.template
        if turns[0].role == "system":
            if template.system is None and template.user_with_system is None:
                raise RecordError(
                    "no_place_for_system",
                    f"the record has a system prompt, and template {template.name!r} has no place "
                    "for one",
                    "Choose another template",
                )
            return None
        if turns[0].has_input and template.default_system_with_input is not None:
            return template.default_system_with_input
        return template.default_system

    def _trim(self, places: Sequence[int], answers: Sequence[int], contents: list[str]) -> None:
        for place in places:
            contents[place] = contents[place].strip()
        if not all(contents[place] for place in answers):
            raise RecordError(
                "empty_completion",
                f"an answer is white space only, which template {self.template.name!r} trims",
            )

    def _writes_bos(self) -> bool:
        return self.template.bos == "always" or (self.template.bos == "auto" and self._implicit_bos)

    def _drop_own_tokens(self, answers: Sequence[int], contents: list[str]) -> None:
        """Answers lose the terminator that the template writes, the first turn the BOS."""
        for place in answers:
            contents[place] = contents[place].removesuffix(self._own_end)
        contents[0] = contents[0].removeprefix(self._own_bos)
        if not all(contents[place] for place in answers):
            raise RecordError("empty_completion", f"an answer is nothing but {self._own_end}")

    def _compose(self, shape: Shape) -> list[Piece]:
        """Write a shape down, turn by turn."""
        writer = _Writer(self._texts, trains_all=self._train_on == "all")
        template = self.template
        answers = [i for i, turn in enumerate(shape) if turn.role == "assistant"]
        target = max((i for i in answers if shape[i].train), default=answers[-1])
        self._write_bos(writer)
        system_slot, takes_system = self._system_place(shape)
        if template.system is not None and system_slot is not None:
            writer.write(template.system, {"content": system_slot}, kept=True)
        # A cut takes content, never the scaffolding of a single chat exchange.
        writer.scaffold = len(answers) == 1 and bool(template.tokens)
        for index, turn in enumerate(shape):
            if turn.role == "user":
                self._write_user(
                    writer, turn, index, system_slot if index == takes_system else None
                )
            elif turn.role == "assistant":
                writer.write(template.header, {})
                writer.completion |= index == target
                writer.write(template.body, {"content": 2 * index}, trained=bool(turn.train))
                writer.write(template.after, {})
        writer.write(template.end, {})
        return writer.pieces

    def _write_bos(self, writer: "_Writer") -> None:
        bos = self._texts["bos"]
        if self.template.bos == "always":
            writer.write("{bos}", {}, kept=True)
        elif self._writes_bos():
            writer.pieces.append(Piece(bos, IMPLICIT_BOS, writer.trains_all, Section.KEPT))

    def _system_place(self, shape: Shape) -> tuple[int | None, int | None]:
        """The slot of the system prompt, and the user turn that takes it in (if one does)."""
        if shape[0].role != "system":
            return None, None
        if self.template.user_with_system is None:
            return 0, None
        users = [i for i, turn in enumerate(shape) if turn.role == "user"]
        return 0, users[0 if self.template.system_in == "first-user" else -1]

    def _write_user(
        self, writer: "_Writer", turn: Turn, index: int, system_slot: int | None
    ) -> None:
        template = self.template
        slots = {"content": 2 * index, "input": 2 * index + 1}
        if system_slot is not None and template.user_with_system is not None:
            slots["system"] = system_slot
            writer.write(template.user_with_system, slots)
        elif turn.has_input and template.user_with_input is not None:
            writer.write(template.user_with_input, slots)
        else:
            writer.write(template.user, slots)


class _Writer:
    """Collects pieces."""

    def __init__(self, texts: dict[str, str], *, trains_all: bool) -> None:
        self.texts = texts
        self.trains_all = trains_all
        self.scaffold = False  # template text of the prompt is kept
        self.completion = False  # the part that truncation calls the completion has begun
        self.pieces: list[Piece] = []

    def write(
        self, text: str, slots: dict[str, int], *, trained: bool = False, kept: bool = False
    ) -> None:
        trained = trained or self.trains_all
        for is_slot, value in split_placeholders(text):
            if is_slot and value in slots:
                keeps = kept or (value == "system" and self.scaffold)
                self.pieces.append(Piece("", slots[value], trained, self._part(keeps)))
            elif literal := self.texts[value] if is_slot else value:
                part = self._part(kept or self.scaffold)
                self.pieces.append(Piece(literal, LITERAL, trained, part))

    def _part(self, keeps: bool) -> Section:
        if self.completion:
            return Section.COMPLETION
        return Section.KEPT if keeps else Section.PROMPT


def _trained(turn: Turn, by_policy: bool) -> bool:
    return by_policy if turn.train is None else turn.train and by_policy


def _places(turns: Sequence[Turn], roles: Collection[str]) -> list[int]:
    """Where the contents of turns with these roles are."""
    return [2 * index for index, turn in enumerate(turns) if turn.role in roles]


def _insert(texts: tuple[str, ...], contents: list[str]) -> None:
    """Put texts in front."""
    contents[:0] = texts


def _join(places: Sequence[int], contents: list[str]) -> None:
    """Put inputs behind their contents, where a template has no place of its own for them."""
    for place in places:
        contents[place] = f"{contents[place]}\n{contents[place + 1]}"
        contents[place + 1] = ""


def rendered_text(pieces: tuple[Piece, ...], contents: tuple[str, ...]) -> str:
    """The text of a record as a model's chat template would write it (no implicit BOS)."""
    return "".join(
        contents[p.slot] if p.slot >= 0 else p.text for p in pieces if p.slot != IMPLICIT_BOS
    )
