"""Render a conversation into pieces: where each text comes from, and whether it is trained.

In     a ``Conversation`` and a ``Template``.
Out    ``Rendered``: the number of the conversation's shape, and its contents. ``content_slot(i)``
       and ``input_slot(i)`` are the slots of turn i in the shape's ``Piece``s. Two conversations
       have the same shape if their turns have the same roles and train flags, and the same turns
       have an input.
Keeps  contents unchanged, except for the white space around those that the template trims.
Never  writes a system prompt that the template has no place for: ``omitted`` names it.
Raises RecordError: the template trims an answer to nothing.

The ``body`` of an assistant turn is trained; it ends with the turn's terminator. All other text
(system, prompt, headers, text after the terminator) is not, except with ``--train-on all``. If
``--train-on`` names the role of another turn, the body of that turn is its contents, the template's
text between them, and the text after them up to the first control token. A flag of a turn wins over
``--train-on``: it decides about the body of the turn if it is an answer or if ``--train-on`` names
its role, and about the contents of any other turn.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import NamedTuple

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.conversation import (
    Conversation,
    Turn,
    content_slot,
    input_slot,
    turn_of_slot,
)
from sftprep.data.pieces import IMPLICIT_BOS, LITERAL, MOST_SHAPES, Piece, Rendered, Section
from sftprep.data.policy import COMPLETION, Policy, reasoning_length
from sftprep.data.provenance import BOS, NO_MESSAGE, Part, Writer
from sftprep.errors import RecordError
from sftprep.templates.template import (
    NO_TEXTS,
    RunTexts,
    Template,
    split_placeholders,
    text_after_answer,
)

Turns = tuple[Turn, ...]
Edit = Callable[[list[str]], None]
"""Changes a conversation's contents in place."""


class _Key(NamedTuple):
    """What decides the shape of a conversation."""

    turns: Turns  # after all edits; an assistant turn has an input if its reasoning is not trained
    default_system: bool  # whether the first turn is the template's own system prompt
    omitted: frozenset[str]

    @property
    def first_message(self) -> int:
        """The number of the first turn in the conversation; -1 if the template adds this turn."""
        return int("system" in self.omitted) - self.default_system


class _Outline(NamedTuple):
    """What all conversations with the same turns have in common."""

    shape: int
    edits: tuple[Edit, ...]  # applied in this order to each conversation's contents
    key: _Key
    hidden: tuple[int, ...]  # the trained answers whose reasoning is not trained


class TemplateRenderer:
    """Renders conversations with one template, for one policy.

    Args:
        template: the template.
        texts: the texts of the run.
        implicit_bos: whether the tokenizer itself adds a BOS at the start of a text.
        policy: which text is trained.
        controls: the tokenizer's control tokens; they end the bodies of turns that are no answers.
        allowed: control tokens that the text of a record may become.
        most_shapes: how many different turn sequences to remember before ``forget`` drops them.
    """

    def __init__(
        self,
        template: Template,
        *,
        texts: RunTexts = NO_TEXTS,
        implicit_bos: bool = False,
        policy: Policy = COMPLETION,
        controls: Sequence[AddedToken] = (),
        allowed: Collection[str] = (),
        most_shapes: int = MOST_SHAPES,
    ) -> None:
        self.template = template
        if texts.end_of_turn in text_after_answer(template, texts):
            texts = texts._replace(end_of_turn="")  # the template writes it
        self._run_texts = texts._asdict()
        self._policy = policy
        self._controls = ControlTokens(controls)
        self._most_shapes = most_shapes
        self._outlines: dict[Turns, _Outline] = {}
        self._shapes: dict[_Key, int] = {}
        self._omitted: list[frozenset[str]] = []  # indexed by shape
        self._pieces: list[tuple[Piece, ...]] = []  # indexed by shape
        self._answers: list[tuple[int, ...]] = []  # indexed by shape, as ``answers`` returns them
        self._writes_bos = template.bos == "always"
        self._implicit_bos = template.bos == "auto" and implicit_bos
        # The template writes these two. If data may hold them too, a row must not get them twice.
        terminator = _text_around_content(template.body, self._run_texts) + texts.end_of_turn
        self._repeatable_end = terminator if terminator in allowed else ""
        has_bos = self._writes_bos or self._implicit_bos
        self._repeatable_bos = texts.bos if texts.bos in allowed and has_bos else ""

    def render(self, conversation: Conversation) -> Rendered:
        """Render one conversation."""
        outline = self._outlines.get(conversation.turns)
        if outline is None:
            outline = self._outlines[conversation.turns] = self._outline(conversation.turns)
        if not outline.edits and not outline.hidden:
            return Rendered(outline.shape, conversation.contents)
        contents = list(conversation.contents)
        for edit in outline.edits:
            edit(contents)
        shape = self._hide_reasoning(outline, contents) if outline.hidden else outline.shape
        return Rendered(shape, tuple(contents))

    def _hide_reasoning(self, outline: _Outline, contents: list[str]) -> int:
        """Take the reasoning that is not trained out of the contents of answers.

        It becomes the input of its turn, which answers have no other use for.

        Args:
            outline: what is known about the conversation.
            contents: its contents, which are changed in place.

        Returns:
            the shape of the conversation.
        """
        turns = list(outline.key.turns)
        for turn in outline.hidden:
            content = contents[content_slot(turn)]
            if length := reasoning_length(content):
                contents[input_slot(turn)] = content[:length]
                contents[content_slot(turn)] = content[length:]
                turns[turn] = turns[turn]._replace(has_input=True)
        return self._shape(outline.key._replace(turns=tuple(turns)))

    def pieces(self, shape: int) -> tuple[Piece, ...]:
        """Return the pieces of a shape."""
        return self._pieces[shape]

    def answers(self, shape: int) -> tuple[int, ...]:
        """Return, for each trained answer of a shape, the number of pieces up to its end."""
        return self._answers[shape]

    def rewrites(self, shape: int) -> bool:
        """Return False: the text before an answer does not depend on the turns after it.

        One exception is not counted: with ``system_in: last-user``, the system prompt of a
        conversation with several exchanges is in its last user turn.
        """
        return False

    def omitted(self, shape: int) -> frozenset[str]:
        """Return ``system`` if the records of a shape have a system prompt without a place."""
        return self._omitted[shape]

    def forget(self) -> bool:
        """Drop all shapes if there are more than ``most_shapes`` different turn sequences.

        Most datasets have a few; long conversations with a train flag on each turn can have many.
        """
        if len(self._outlines) <= self._most_shapes:
            return False
        self._outlines.clear()
        self._shapes.clear()
        self._pieces.clear()
        self._answers.clear()
        self._omitted.clear()
        return True

    def _outline(self, turns: Turns) -> _Outline:
        """Find the shape of conversations with these turns, and how to edit their contents."""
        template = self.template
        self._check_text(turns)
        edits: list[Edit] = []
        omitted: frozenset[str] = frozenset()
        has_place = template.system is not None or template.user_with_system is not None
        if turns[0].role == "system" and not has_place:
            turns, omitted = turns[1:], frozenset({"system"})
            edits.append(_remove_first)
        system = self._default_system(turns)
        if system is not None:
            turns = (Turn("system"), *turns)
            edits.append(partial(_insert_first, (system, "")))
        answers = _content_slots(turns, {"assistant"})
        if self._repeatable_end or self._repeatable_bos:
            edits.append(partial(self._remove_repeatable, answers))
        if template.user_with_input is None and any(turn.has_input for turn in turns):
            edits.append(partial(_append_inputs, [i for i, t in enumerate(turns) if t.has_input]))
            turns = tuple(turn._replace(has_input=False) for turn in turns)
        if template.trim:
            trimmed = _content_slots(turns, template.trim)
            answers = answers if "assistant" in template.trim else []
            edits.append(partial(self._trim, trimmed, answers))
        key = _Key(self._with_train(turns, system is not None), system is not None, omitted)
        roles = [turn.role for turn in turns]
        hidden = [i for i in self._policy.without_reasoning(roles) if key.turns[i].train]
        return _Outline(self._shape(key), tuple(edits), key, tuple(hidden))

    def _with_train(self, turns: Turns, default_system: bool) -> Turns:
        """Decide for each turn whether it is trained: its own flag, or else the policy.

        Args:
            turns: the turns.
            default_system: whether the first is the template's own, which no role stands for.
        """
        roles, flags = [turn.role for turn in turns], [turn.train for turn in turns]
        if default_system and not self._policy.trains_all:
            flags[0] = False
        bodies = self._policy.bodies(roles, flags)
        return tuple(
            turn._replace(train=self._policy.trains_all or i in bodies if flag is None else flag)
            for i, (turn, flag) in enumerate(zip(turns, flags, strict=True))
        )

    def _shape(self, key: _Key) -> int:
        """Return the number of a shape; compose its pieces if it is new."""
        if key not in self._shapes:
            pieces, answers = self._compose(key)
            self._pieces.append(tuple(pieces))
            self._answers.append(tuple(answers))
            self._omitted.append(key.omitted)
            self._shapes[key] = len(self._pieces) - 1
        return self._shapes[key]

    def _check_text(self, turns: Turns) -> None:
        """Refuse a text without turns if the template would write a turn's header around it."""
        template = self.template
        is_text = len(turns) == 1 and turns[0].role == "assistant"
        if is_text and (template.header or template.after or template.default_system):
            raise RecordError(
                "unsupported_text",
                f"the record has only a text without turns, and template {template.name!r} writes "
                "turns",
                "Pass --template plain to train on the whole text, or name prompt and completion "
                "with --field",
            )

    def _default_system(self, turns: Turns) -> str | None:
        """Return the system prompt to add to a record that has none; None to add nothing."""
        template = self.template
        if turns[0].role == "system":
            return None
        if turns[0].has_input and template.default_system_with_input is not None:
            return template.default_system_with_input
        return template.default_system

    def _trim(self, slots: Iterable[int], answers: Sequence[int], contents: list[str]) -> None:
        """Remove the outer white space of these contents."""
        for slot in slots:
            contents[slot] = contents[slot].strip()
        if not all(contents[slot] for slot in answers):
            raise RecordError(
                "empty_completion",
                f"an answer is white space only, which template {self.template.name!r} trims",
            )

    def _remove_repeatable(self, answers: Sequence[int], contents: list[str]) -> None:
        """Remove the terminator from answers, and the BOS from the first content.

        The template writes them in these places itself.
        """
        for slot in answers:
            contents[slot] = contents[slot].removesuffix(self._repeatable_end)
        contents[0] = contents[0].removeprefix(self._repeatable_bos)
        if not all(contents[slot] for slot in answers):
            raise RecordError(
                "empty_completion",
                f"an answer consists only of the terminator {self._repeatable_end}",
            )

    def _compose(self, key: _Key) -> tuple[list[Piece], Sequence[int]]:
        """Compose the pieces of a shape, turn by turn; return them and what ``answers`` returns."""
        template, turns = self.template, key.turns
        writer = _PieceWriter(
            self._run_texts,
            turns,
            first_message=key.first_message,
            trains_all=self._policy.trains_all,
        )
        ends: dict[int, int] = {}  # turn -> the number of pieces up to the end of its trained body
        answers = [i for i, turn in enumerate(turns) if turn.role == "assistant"]
        others = [
            i
            for i, turn in enumerate(turns)
            if turn.train and turn.role != "assistant" and self._policy.has_body(turn.role)
        ]
        trained = [i for i in answers if turns[i].train] + others
        completion = max(trained, default=len(turns) - 1)
        self._compose_bos(writer)
        has_system = turns[0].role == "system"
        if has_system and template.system is not None:
            # A bare default system prompt in a plain text is cut like the template's other text.
            is_turn = bool(template.tokens) or template.system.strip() != "{content}"
            kept = is_turn or not key.default_system
            writer.write(template.system, {"content": content_slot(0)}, turn=0, kept=kept)
        # In a single exchange, truncation shortens the contents and keeps the role tokens.
        writer.keeps_template_text = len(answers) == 1 and bool(template.tokens)
        takes_system = self._user_with_system(turns) if has_system else None
        for index, turn in enumerate(turns):
            if turn.role == "user":
                self._compose_user(writer, turn, index, takes_system=index == takes_system)
            elif turn.role == "assistant":
                writer.write(template.header, {}, turn=index)
                writer.in_completion |= index == completion
                body, slots = template.body + "{end_of_turn}", {"content": content_slot(index)}
                writer.write(body, slots, turn=index, trained=bool(turn.train))
                if turn.train:
                    ends[index] = len(writer.pieces)
                writer.write(template.after, {}, turn=index)
        writer.write(template.end, {})
        pieces = writer.pieces
        for index in others:
            self._train_body(pieces, index, ends, begins_completion=index == completion)
        count = len(pieces)
        pieces = self._with_kept_bos(pieces)
        return pieces, [end + len(pieces) - count for _, end in sorted(ends.items())]

    def _train_body(
        self, pieces: list[Piece], turn: int, ends: dict[int, int], *, begins_completion: bool
    ) -> None:
        """Train the template's text in the body of a turn that is no answer.

        Args:
            pieces: the pieces of the shape, which are changed in place.
            turn: the index of the turn.
            ends: turn -> the number of pieces up to the end of its trained body; this turn is
                added.
            begins_completion: whether this body is the last one that is trained.
        """
        own = [i for i, p in enumerate(pieces) if p.slot in (content_slot(turn), input_slot(turn))]
        if not own:
            return
        end = own[-1] + 1
        for index in range(end, len(pieces)):
            if pieces[index].slot != LITERAL:
                break
            items = self._controls.split(pieces[index].text)
            tokens = [i for i, item in enumerate(items) if isinstance(item, AddedToken)]
            if tokens:
                inside, after = _joined(items[: tokens[0] + 1]), _joined(items[tokens[0] + 1 :])
                divided = [pieces[index]._replace(text=text) for text in (inside, after) if text]
                pieces[index : index + 1] = divided
                end = index + 1
                ends |= {t: n + len(divided) - 1 for t, n in ends.items() if n > index}
                break
        for index in range(own[0], end):
            if pieces[index].slot == LITERAL:
                pieces[index] = pieces[index]._replace(trained=True)
        ends[turn] = end
        if begins_completion:
            pieces[own[0] :] = [p._replace(section=Section.COMPLETION) for p in pieces[own[0] :]]

    def _with_kept_bos(self, pieces: list[Piece]) -> list[Piece]:
        """Return the pieces; if the first is template text that starts with the BOS, that is kept.

        A template may write the BOS itself, in front of other text.
        """
        bos, first = self._run_texts["bos"], pieces[0]
        if not bos or first.section != Section.PROMPT or not first.text.startswith(bos):
            return pieces
        rest = first.text.removeprefix(bos)
        others = [first._replace(text=rest), *pieces[1:]] if rest else pieces[1:]
        return [first._replace(text=bos, section=Section.KEPT, writer=BOS), *others]

    def _compose_bos(self, writer: "_PieceWriter") -> None:
        if self._writes_bos:
            writer.write("{bos}", {}, kept=True)
        elif self._implicit_bos:
            bos = self._run_texts["bos"]
            writer.pieces.append(Piece(bos, IMPLICIT_BOS, writer.trains_all, Section.KEPT, BOS))

    def _user_with_system(self, turns: Turns) -> int | None:
        """Return the user turn that includes the system prompt, if the template has such a turn."""
        if self.template.user_with_system is None:
            return None
        users = [i for i, turn in enumerate(turns) if turn.role == "user"]
        return users[0 if self.template.system_in == "first-user" else -1]

    def _compose_user(
        self, writer: "_PieceWriter", turn: Turn, index: int, *, takes_system: bool
    ) -> None:
        template = self.template
        slots = {"content": content_slot(index), "input": input_slot(index)}
        if takes_system and template.user_with_system is not None:
            text, slots = template.user_with_system, slots | {"system": content_slot(0)}
            writer.write(text, slots, turn=index, kept=_text_of_system(text))
        elif turn.has_input and template.user_with_input is not None:
            writer.write(template.user_with_input, slots, turn=index)
        else:
            writer.write(template.user, slots, turn=index)


class _PieceWriter:
    """Turns a template's texts into pieces, and collects them."""

    def __init__(
        self, run_texts: dict[str, str], turns: Turns, *, first_message: int, trains_all: bool
    ) -> None:
        self.run_texts = run_texts
        self.turns = turns
        self.first_message = first_message
        self.trains_all = trains_all
        self.keeps_template_text = False  # whether truncation must keep the prompt's template text
        self.in_completion = False  # whether the section COMPLETION has begun
        self.pieces: list[Piece] = []

    def write(
        self,
        text: str,
        slots: dict[str, int],
        *,
        turn: int | None = None,
        trained: bool | None = None,
        kept: bool | Collection[int] = False,
    ) -> None:
        """Add the pieces of a template's text.

        Args:
            text: the text, with placeholders.
            slots: the slot of each placeholder that stands for a text of the record. Such a text is
                trained if its turn is.
            turn: the turn that the template's own text belongs to; None if it belongs to none.
            trained: whether the template's own text is trained; None: only with ``trains_all``.
            kept: whether truncation must keep all of it; or the indexes of the parts to keep, where
                each placeholder and each text between two placeholders is a part.
        """
        trained = self.trains_all if trained is None else trained
        for index, (is_slot, value) in enumerate(split_placeholders(text)):
            keeps = kept if isinstance(kept, bool) else index in kept
            if is_slot and value in slots:
                self._write_content(slots[value], self._section(keeps))
            elif literal := self.run_texts[value] if is_slot else value:
                section = self._section(keeps or self.keeps_template_text)
                writer = NO_MESSAGE if turn is None else self._writer(turn, Part.TEMPLATE)
                writer = BOS if is_slot and value == "bos" else writer
                self.pieces.append(Piece(literal, LITERAL, trained, section, writer))

    def _write_content(self, slot: int, section: Section) -> None:
        """Add the piece of a content; that of an answer follows its reasoning, if it has any."""
        index = turn_of_slot(slot)
        turn = self.turns[index]
        if turn.role == "assistant" and turn.has_input:
            reasoning = self._writer(index, Part.REASONING)
            self.pieces.append(Piece("", input_slot(index), False, section, reasoning))
        content = self._writer(index, Part.CONTENT)
        self.pieces.append(Piece("", slot, bool(turn.train), section, content))

    def _writer(self, turn: int, part: Part) -> Writer:
        """Return the writer of a text of a turn; the template is that of a turn which it adds."""
        message = turn + self.first_message
        return NO_MESSAGE if message < 0 else Writer(message, self.turns[turn].role, part)

    def _section(self, keeps: bool) -> Section:
        if self.in_completion:
            return Section.COMPLETION
        return Section.KEPT if keeps else Section.PROMPT


def _text_of_system(text: str) -> list[int]:
    """Return which parts of a user turn's text belong to the system prompt that it takes in.

    These are the system prompt with the text next to it and, if it comes before the user's text,
    everything before that.

    >>> _text_of_system("[INST] {system}, {content}"), _text_of_system("{content}{bos}, {system}")
    ([0, 1, 2], [2, 3])
    """
    parts = list(split_placeholders(text))
    system, content = (parts.index((True, name)) for name in ("system", "content"))
    if system < content:
        return list(range(content))
    neighbours = range(system - 1, min(system + 2, len(parts)))
    return [i for i in neighbours if i == system or not parts[i][0]]


def _text_around_content(body: str, run_texts: dict[str, str]) -> str:
    """Return the body of an assistant turn without its content: normally only the terminator."""
    return "".join(
        run_texts[value] if is_slot else value
        for is_slot, value in split_placeholders(body)
        if not (is_slot and value == "content")
    )


def _joined(items: Iterable[str | AddedToken]) -> str:
    return "".join([item.content if isinstance(item, AddedToken) else item for item in items])


def _content_slots(turns: Turns, roles: Collection[str]) -> list[int]:
    """Return the content slots of the turns with these roles."""
    return [content_slot(index) for index, turn in enumerate(turns) if turn.role in roles]


def _insert_first(texts: tuple[str, ...], contents: list[str]) -> None:
    """Insert texts before all other contents."""
    contents[:0] = texts


def _remove_first(contents: list[str]) -> None:
    """Remove the texts of the first turn."""
    del contents[: content_slot(1)]


def _append_inputs(turns: Sequence[int], contents: list[str]) -> None:
    """Append the inputs of these turns to their contents, each on a new line."""
    for turn in turns:
        content, extra = content_slot(turn), input_slot(turn)
        contents[content] = f"{contents[content]}\n{contents[extra]}"
        contents[extra] = ""
