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

from collections.abc import Collection, Hashable
from itertools import chain
from operator import attrgetter
from typing import NamedTuple, cast

from sftprep.errors import RecordError
from sftprep.records import IMPLICIT_BOS, LITERAL, Conversation, Message, Part, Piece
from sftprep.templates import Template, split_placeholders

TRAIN_ON = ("completion", "all", "last")
TEXTS = attrgetter("content", "input")
MARKS = attrgetter("role", "train")


class Turn(NamedTuple):
    """A message without its content: a part of a shape."""

    role: str
    has_input: bool
    trained: bool


Shape = tuple[Turn, ...]


class Rendered(NamedTuple):
    """A record, rendered: fill the pieces of its shape with its contents."""

    shape: Hashable  # tells the record's pieces: a Shape, or the number of a skeleton
    contents: tuple[str, ...]  # content and input of each message, in turn: two a message


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
        self._known: dict[tuple[Hashable, ...], Shape] = {}
        self._shapes: dict[Shape, tuple[Piece, ...]] = {}
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
        messages = self._with_system(conversation.messages)
        if self._own_end or self._own_bos:
            messages = self._without_own_tokens(messages)
        if self.template.user_with_input is None:
            messages = tuple([_joined_input(m) if m.input else m for m in messages])
        if self.template.trim:
            messages = self._trimmed(messages)
        contents = tuple(chain.from_iterable(map(TEXTS, messages)))
        key = (tuple(map(MARKS, messages)), tuple(map(bool, contents[1::2])))
        shape = self._known.get(key)
        if shape is None:
            shape = self._known[key] = self._shape(messages)
        return Rendered(shape, contents)

    def _shape(self, messages: tuple[Message, ...]) -> Shape:
        last = len(messages) - 1
        every = self._train_on != "last"
        return tuple(
            Turn(m.role, m.input != "", m.role == "assistant" and _trained(m, every or i == last))
            for i, m in enumerate(messages)
        )

    def pieces(self, shape: Hashable) -> tuple[Piece, ...]:
        """The pieces of a shape; slot 2k is the content of message k, slot 2k + 1 its input."""
        known = cast(Shape, shape)
        if known not in self._shapes:
            self._shapes[known] = tuple(self._compose(known))
        return self._shapes[known]

    def _with_system(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """Add the template's own system prompt where there is none; check that one has a place."""
        template = self.template
        if messages[0].role == "system":
            if template.system is None and template.user_with_system is None:
                raise RecordError(
                    "no_place_for_system",
                    f"the record has a system prompt, and template {template.name!r} has no place "
                    "for one",
                    "Choose another template",
                )
            return messages
        default = template.default_system
        if messages[0].input and template.default_system_with_input is not None:
            default = template.default_system_with_input
        return messages if default is None else (Message("system", default), *messages)

    def _trimmed(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        trimmed = tuple(
            m._replace(content=m.content.strip()) if m.role in self.template.trim else m
            for m in messages
        )
        for m in trimmed:
            if m.role == "assistant" and not m.content:
                raise RecordError(
                    "empty_completion",
                    f"an answer is white space only, which template {self.template.name!r} trims",
                )
        return trimmed

    def _writes_bos(self) -> bool:
        return self.template.bos == "always" or (self.template.bos == "auto" and self._implicit_bos)

    def _without_own_tokens(self, messages: tuple[Message, ...]) -> tuple[Message, ...]:
        """Answers without the terminator that the template writes; the first turn without BOS."""
        changed = [
            m._replace(content=m.content.removesuffix(self._own_end))
            if m.role == "assistant"
            else m
            for m in messages
        ]
        changed[0] = changed[0]._replace(content=changed[0].content.removeprefix(self._own_bos))
        for m in changed:
            if m.role == "assistant" and not m.content:
                raise RecordError("empty_completion", f"an answer is nothing but {self._own_end}")
        return tuple(changed)

    def _compose(self, shape: Shape) -> list[Piece]:
        """Write a shape down, turn by turn."""
        writer = _Writer(self._texts, trains_all=self._train_on == "all")
        template = self.template
        answers = [i for i, turn in enumerate(shape) if turn.role == "assistant"]
        target = max((i for i in answers if shape[i].trained), default=answers[-1])
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
                writer.write(template.body, {"content": 2 * index}, trained=turn.trained)
                writer.write(template.after, {})
        writer.write(template.end, {})
        return writer.pieces

    def _write_bos(self, writer: "_Writer") -> None:
        bos = self._texts["bos"]
        if self.template.bos == "always":
            writer.write("{bos}", {}, kept=True)
        elif self._writes_bos():
            writer.pieces.append(Piece(bos, IMPLICIT_BOS, writer.trains_all, Part.KEPT))

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

    def _part(self, keeps: bool) -> Part:
        if self.completion:
            return Part.COMPLETION
        return Part.KEPT if keeps else Part.PROMPT


def _trained(message: Message, by_policy: bool) -> bool:
    return by_policy if message.train is None else message.train and by_policy


def _joined_input(message: Message) -> Message:
    return Message(message.role, f"{message.content}\n{message.input}", "", message.train)


def rendered_text(pieces: tuple[Piece, ...], contents: tuple[str, ...]) -> str:
    """The text of a record as a model's chat template would write it (no implicit BOS)."""
    return "".join(
        contents[p.slot] if p.slot >= 0 else p.text for p in pieces if p.slot != IMPLICIT_BOS
    )
