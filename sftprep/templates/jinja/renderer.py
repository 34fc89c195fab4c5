"""Render a chat with a model's own Jinja template, as ``templates.renderer`` does with YAML ones.

In     a ``Chat``: messages and tools as a chat template takes them.
Out    ``Rendered``: the number of a *skeleton* and the contents that fill it. A skeleton is the
       rendered text without the record's texts; it also says which parts are trained. Each
       skeleton is one shape.
Keeps  the text that ``apply_chat_template`` gives, byte for byte: that text is encoded. Every text
       of the record, whichever field it is in, is a content and can never become a control token.
Raises RecordError: ``span_not_derivable``, ``control_in_unmarked_text``, and the sandbox's errors.

A skeleton is derived once for records with the same structure. For every further record the
template is rendered once. A known skeleton is used only if filling it with the record's contents
gives exactly that text; otherwise a new one is derived from this record.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL, MOST_SHAPES, Piece, Rendered, Section, filled
from sftprep.errors import RecordError
from sftprep.templates.jinja.arguments import (
    arguments,
    arguments_as_object,
    arguments_as_text,
    map_arguments,
)
from sftprep.templates.jinja.forgery import ForgeryCheck
from sftprep.templates.jinja.kept import NOTHING_KEPT, KeptText
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.skeleton import Extractor, Skeleton, Stretch, stretches_of
from sftprep.templates.jinja.spans import Spans, derived_spans, marked_spans, not_derivable
from sftprep.templates.jinja.traced_chat import TracedChat
from sftprep.templates.jinja.tracing import GENERATION, THINK, Mark, Path, Rendering, Tracer
from sftprep.templates.template import ChatTemplate

MOST_CANDIDATES = 16
"""How many of the latest skeletons of a structure are tried before a new one is derived."""

Structure = tuple[Any, ...]

MARKINGS: tuple[Callable[[Path], bool], ...] = (
    lambda path: True,
    lambda path: path[-1] not in ("id", "tool_call_id", "name"),
    lambda path: path[0] == "messages" and path[-1] in ("content", "reasoning_content", "thinking"),
)
"""Which texts to mark, tried in order: all texts; all except those that templates compare or check;
the contents of messages only."""


class ChatRenderer:
    """Renders chats with one chat template, for one ``--train-on`` policy.

    Args:
        template: the chat template.
        variables: the tokenizer's special tokens by name, for the template.
        controls: the tokenizer's control tokens, by text.
        bos: the BOS token; "" if there is none.
        train_on: ``completion`` (all answers), ``last`` (the last answer), ``all`` (all text).
        with_sections: whether truncation will need the section of each piece.
        most_shapes: how many skeletons to remember before ``forget`` drops them.
    """

    def __init__(
        self,
        template: ChatTemplate,
        *,
        variables: Mapping[str, Any],
        controls: Mapping[str, AddedToken],
        bos: str,
        train_on: str,
        with_sections: bool = True,
        most_shapes: int = MOST_SHAPES,
    ) -> None:
        self._sandbox = Sandbox(
            template.source,
            name=template.name,
            today=template.today,
            variables={**variables, **template.arguments},
        )
        self._controls = ControlTokens(list(controls.values()))
        self._forgery = ForgeryCheck(controls)
        self._eos = variables.get("eos_token")
        self._kept = KeptText(self._sandbox, self._controls, bos, self._eos)
        self._with_sections = with_sections
        self._train_on = train_on
        self._most_shapes = most_shapes
        self._skeletons: list[Skeleton] = []  # indexed by shape
        self._by_structure: dict[Structure, list[int]] = {}

    def render(self, chat: Chat) -> Rendered:
        """Render one chat."""
        chat, text = self._rendered(chat)
        record = {"messages": chat.messages, "tools": chat.tools}
        candidates = self._by_structure.setdefault(_structure(chat), [])
        for shape in reversed(candidates[-MOST_CANDIDATES:]):
            skeleton = self._skeletons[shape]
            try:
                contents = skeleton.contents(record)
            except (LookupError, TypeError):
                continue  # the record has another structure
            if filled(skeleton.pieces, contents) == text:
                return Rendered(shape, contents)
        skeleton = self._derive(chat, record, text)
        contents = skeleton.contents(record)
        if filled(skeleton.pieces, contents) != text:
            raise not_derivable("its text cannot be rebuilt from the record's texts")
        shape = len(self._skeletons)
        self._skeletons.append(skeleton)
        candidates.append(shape)
        return Rendered(shape, contents)

    def pieces(self, shape: int) -> tuple[Piece, ...]:
        """Return the pieces of a shape."""
        return self._skeletons[shape].pieces

    def rewrites(self, shape: int) -> bool:
        """Return whether inference would feed a different text before a trained turn of this shape.

        It would if the template writes earlier turns, or the generation prompt, differently once
        another message follows them.
        """
        return not self._skeletons[shape].parity

    def forget(self) -> bool:
        """Drop all skeletons if there are more than ``most_shapes`` of them."""
        if len(self._skeletons) <= self._most_shapes:
            return False
        self._skeletons.clear()
        self._by_structure.clear()
        return True

    def _rendered(self, chat: Chat) -> tuple[Chat, str]:
        """Render a chat; return it with its tool calls' arguments in the form the template needs.

        Some templates write arguments with ``tojson``, others write them as text. So arguments that
        are JSON text are parsed if the template does not write this text unchanged, and arguments
        that are objects are converted to text if the template fails on them.
        """
        given = arguments(chat)
        given_as_text = [value for value in given if isinstance(value, str)]
        try:
            text = self._text(chat)
        except RecordError as error:
            if error.reason != "template_failed" or len(given_as_text) == len(given):
                raise
            chat = map_arguments(chat, arguments_as_text)
            return chat, self._text(chat)
        if all(value in text for value in given_as_text):
            return chat, text
        chat = map_arguments(chat, arguments_as_object)
        return chat, self._text(chat)

    def _text(self, chat: Chat) -> str:
        return self._sandbox.render(chat.messages, chat.tools, size=chat.size)

    def _derive(self, chat: Chat, record: dict[str, Any], text: str) -> Skeleton:
        """Derive the skeleton of a chat from renderings with tracing marks.

        Args:
            chat: the chat.
            record: its messages and tools by name: the object in which paths start.
            text: the chat, rendered without marks.
        """
        traced, rendering, tracer = self._traced(chat, text)
        self._forgery.check_texts(chat, tracer)
        found = self._spans(chat, traced, rendering)
        stretches, extractors = stretches_of(record, rendering, tracer, found.spans)
        pieces = self._pieces(chat, rendering, found, stretches, extractors)
        self._forgery.check_keys(chat, pieces)
        return Skeleton(pieces, extractors, found.parity)

    def _traced(self, chat: Chat, text: str) -> tuple[TracedChat, Rendering, Tracer]:
        """Render a chat with as many marks as possible without changing its text."""
        for wanted in MARKINGS:
            traced = TracedChat(self._sandbox, chat, wanted)
            try:
                rendering, tracer = traced.whole()
            except RecordError:
                continue  # the template does not accept these marks
            if rendering.text == text and _is_paired(rendering.marks):
                return traced, rendering, tracer
        raise not_derivable("it changes the texts of the record")

    def _spans(self, chat: Chat, traced: TracedChat, rendering: Rendering) -> Spans:
        """Find what is trained. If the template has markers of its own, only those count."""
        trained = self._trained(chat)
        if any(mark.origin == GENERATION for mark in rendering.marks):
            return marked_spans(rendering, traced, trained)
        return derived_spans(rendering, traced, trained, self._controls, self._eos)

    def _trained(self, chat: Chat) -> list[int]:
        """Return the assistant messages that are to be trained."""
        answers = [i for i, role in enumerate(chat.roles) if role == "assistant"]
        if self._train_on == "last":
            answers = answers[-1:]
        return [i for i in answers if chat.train[i] is not False]

    def _pieces(
        self,
        chat: Chat,
        rendering: Rendering,
        found: Spans,
        stretches: Sequence[Stretch],
        extractors: Sequence[Extractor],
    ) -> tuple[Piece, ...]:
        """Turn each stretch into a piece: decide its section, and whether it is trained."""
        completion = _last_answer(found, len(rendering.text))
        kept = NOTHING_KEPT
        if self._with_sections:
            paths = [extractor.origin.path for extractor in extractors]
            kept = self._kept.find(chat, rendering.text, stretches, paths)
        is_single_exchange = chat.roles.count("assistant") == 1
        pieces = []
        for start, end, slot in kept.divided(stretches):
            is_literal = slot == LITERAL
            trained = any(span.start <= start and end <= span.end for span in found.spans)
            if self._train_on == "all":
                trained |= is_literal or not _is_tool_result(chat, extractors[slot].origin.path)
            if start >= completion:
                section = Section.COMPLETION
            elif kept.holds(start, end) or (is_single_exchange and is_literal):
                section = Section.KEPT
            else:
                section = Section.PROMPT
            text = rendering.text[start:end] if is_literal else ""
            pieces.append(Piece(text, slot, trained, section))
        return tuple(pieces)


def _last_answer(found: Spans, end: int) -> int:
    """Return where the last trained answer begins; ``end`` if none is trained."""
    last = found.spans[-1].message if found.spans else None
    return min((span.start for span in found.spans if span.message == last), default=end)


def _is_tool_result(chat: Chat, path: Path) -> bool:
    """Return whether a text is in a tool's result, which the model does not write."""
    return path[0] == "messages" and chat.roles[int(path[1])] == "tool"


def _structure(chat: Chat) -> Structure:
    """Return a key: two chats with the same key are likely to have the same skeleton."""
    return (
        tuple(
            (
                m["role"],
                _text_form(m.get("content")),
                _text_form(m.get("reasoning_content")),
                len(m.get("tool_calls") or ()),
            )
            for m in chat.messages
        ),
        chat.train,
        len(chat.tools or ()),
    )


def _text_form(content: object) -> Structure:
    """Return what can change the skeleton: a text's outer white space, emptiness, think tags."""
    if not isinstance(content, str):
        return (content is None,)
    tags = tuple(THINK.findall(content)) if "think>" in content else ()
    return (content[:1].isspace(), content[-1:].isspace(), not content.strip(), tags)


def _is_paired(marks: Sequence[Mark]) -> bool:
    """Return whether every opening mark of a text is followed by its own closing mark."""
    open_origin: int | None = None
    for mark in marks:
        if mark.origin == GENERATION:
            continue
        if mark.opens:
            if open_origin is not None:
                return False
            open_origin = mark.origin
        else:
            if open_origin != mark.origin:
                return False
            open_origin = None
    return open_origin is None
