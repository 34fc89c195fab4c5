"""Render a chat with a model's own Jinja template, as ``templates.renderer`` does with YAML ones.

In     a ``Chat``: messages and tools as a chat template takes them.
Out    ``Rendered``: the number of a *skeleton* and the contents that fill it. A skeleton is the
       rendered text without the record's texts; it also says which parts are trained. Each
       skeleton is one shape.
Keeps  the text that ``apply_chat_template`` gives, byte for byte: that text is encoded. Every text
       of the record, whichever field it is in, is a content and can never become a control token.
Raises RecordError: ``span_not_derivable``, ``control_in_unmarked_text``, and the sandbox's errors.

No skeleton depends on what other records hold. Records with the same neutral form (see ``neutral``)
of which the template decides the same (see ``watching``) share a skeleton, which is derived from
their neutral chat. If a template looks into the texts in other ways, or if the skeleton does not
give exactly the record's text, then a skeleton is derived from the record itself.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL, MOST_SHAPES, Piece, Rendered, Section, filled
from sftprep.errors import RecordError, TemplateError
from sftprep.templates.jinja.arguments import (
    arguments,
    arguments_as_object,
    arguments_as_text,
    map_arguments,
)
from sftprep.templates.jinja.forgery import ForgeryCheck
from sftprep.templates.jinja.kept import NOTHING_KEPT, KeptText
from sftprep.templates.jinja.neutral import (
    PRIVATE,
    TRACING_KEY,
    Form,
    Key,
    is_neutral,
    neutral_chat,
    neutral_form,
)
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.skeleton import Extractor, Skeleton, Stretch, stretches_of
from sftprep.templates.jinja.spans import Span, Spans, derived_spans, marked_spans, not_derivable
from sftprep.templates.jinja.traced_chat import TracedChat
from sftprep.templates.jinja.tracing import (
    GENERATION,
    Mark,
    Path,
    Rendering,
    Tracer,
    tracing_key,
)
from sftprep.templates.jinja.watching import Question, Watch, WatchedEnvironment
from sftprep.templates.template import ChatTemplate

MOST_FORMS = 4
"""How many neutral forms are remembered, for each skeleton that may be remembered."""

MARKINGS: tuple[Callable[[Path], bool], ...] = (
    lambda path: True,
    lambda path: path[-1] not in ("id", "tool_call_id", "name"),
    lambda path: path[0] == "messages" and path[-1] in ("content", "reasoning_content", "thinking"),
)
"""Which texts to mark, tried in order: all texts; all except those that templates compare or check;
the contents of messages only."""


class _Remembered(NamedTuple):
    """What was derived from a neutral chat, for records with the same answers."""

    answers: tuple[tuple[Question, bool | int], ...]
    shape: int | None  # None: a skeleton must be derived from each record itself

    def suits(self, form: Form) -> bool:
        """Tell whether all questions of the template have the same answers for this form."""
        return all(question.answer(form.texts) == answer for question, answer in self.answers)


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
        variables = {**variables, **template.arguments}
        make_sandbox = partial(
            Sandbox,
            template.source,
            name=template.name,
            today=template.today,
            variables=variables,
        )
        self._sandbox = make_sandbox()
        self._watch = Watch()
        self._watched = make_sandbox(environment=partial(WatchedEnvironment, watch=self._watch))
        # Otherwise, the template's own text could be taken for a placeholder.
        self._may_reuse = not PRIVATE.search(f"{template.source}{variables}")
        self._controls = ControlTokens(list(controls.values()))
        self._forgery = ForgeryCheck(controls)
        self._eos = variables.get("eos_token")
        self._kept = KeptText(self._sandbox, self._controls, bos, self._eos)
        self._with_sections = with_sections
        self._train_on = train_on
        self._most_shapes = most_shapes
        self._skeletons: list[Skeleton] = []  # indexed by shape
        self._shapes: dict[Key, int] = {}  # what a skeleton consists of -> its shape
        self._remembered: dict[Key, list[_Remembered]] = {}  # by the key of the neutral form

    def render(self, chat: Chat) -> Rendered:
        """Render one chat."""
        chat, text = self._rendered(chat)
        record = {"messages": chat.messages, "tools": chat.tools}
        shape = self._shape_of_form(chat)
        if shape is not None:
            contents = self._skeletons[shape].contents(record)
            if filled(self._skeletons[shape].pieces, contents) == text:
                return Rendered(shape, contents)
        key = tracing_key(chat.messages, chat.tools)
        skeleton = self._derive(self._sandbox, key, chat, text)
        contents = skeleton.contents(record)
        if filled(skeleton.pieces, contents) != text:
            raise not_derivable("its text cannot be rebuilt from the record's texts")
        return Rendered(self._shape(skeleton), contents)

    def pieces(self, shape: int) -> tuple[Piece, ...]:
        """Return the pieces of a shape."""
        return self._skeletons[shape].pieces

    def rewrites(self, shape: int) -> bool:
        """Return whether inference would feed a different text before a trained turn of this shape.

        It would if the template writes earlier turns, or the generation prompt, differently once
        another message follows them.
        """
        return not self._skeletons[shape].parity

    def omitted(self, shape: int) -> frozenset[str]:
        """Return what the template leaves out of the chats of this shape."""
        return frozenset()

    def forget(self) -> bool:
        """Drop all skeletons if there are more than ``most_shapes`` of them."""
        few_forms = len(self._remembered) <= MOST_FORMS * self._most_shapes
        if len(self._skeletons) <= self._most_shapes and few_forms:
            return False
        self._skeletons.clear()
        self._shapes.clear()
        self._remembered.clear()
        return True

    def _shape(self, skeleton: Skeleton) -> int:
        """Return the shape of a skeleton; equal skeletons have the same shape."""
        extractors = [(*e[:-1], repr(e.json_options)) for e in skeleton.extractors]
        key = (skeleton.pieces, *extractors, skeleton.parity)
        shape = self._shapes.setdefault(key, len(self._skeletons))
        if shape == len(self._skeletons):
            self._skeletons.append(skeleton)
        return shape

    def _shape_of_form(self, chat: Chat) -> int | None:
        """Return the shape that all chats of this chat's form have; None if they have none."""
        if not self._may_reuse or self._forgery.may_forge(chat):
            return None
        form = neutral_form(chat)
        remembered = self._remembered.setdefault(form.key, [])
        for one in remembered:
            if not one.answers or one.suits(form):
                return one.shape
        remembered.append(self._derive_from_form(form))
        return remembered[-1].shape

    def _derive_from_form(self, form: Form) -> _Remembered:
        """Derive a skeleton from the neutral chat of a form."""
        skeleton = None
        self._watch.begin(form.texts)
        if is_neutral(form):
            chat = neutral_chat(form.key)
            try:
                text = self._watched.render(chat.messages, chat.tools, size=chat.size)
                skeleton = self._derive(self._watched, TRACING_KEY, chat, text)
            except (RecordError, TemplateError):
                pass  # deriving one from the record itself tells more about the error
        shape = None if skeleton is None or self._watch.inspected else self._shape(skeleton)
        return _Remembered(tuple(self._watch.questions.items()), shape)

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

    def _derive(self, sandbox: Sandbox, key: str, chat: Chat, text: str) -> Skeleton:
        """Derive the skeleton of a chat from renderings with tracing marks.

        Args:
            sandbox: renders the chat.
            key: the key of the marks.
            chat: the chat.
            text: the chat, rendered without marks.
        """
        traced, rendering, tracer = self._traced(sandbox, key, chat, text)
        self._forgery.check_texts(chat, tracer)
        trained = self._trained(chat)
        found = self._spans(traced, rendering, trained)
        without_loss: list[Span] = []
        if self._train_on == "all" and (untrained := _untrained(chat)):
            without_loss = self._spans(traced, rendering, untrained).spans
        record = {"messages": chat.messages, "tools": chat.tools}
        spans = [*found.spans, *without_loss]
        stretches, extractors = stretches_of(record, rendering, tracer, spans)
        pieces = self._pieces(chat, rendering, found.spans, without_loss, stretches, extractors)
        self._forgery.check_keys(chat, pieces)
        return Skeleton(pieces, extractors, found.parity)

    def _traced(
        self, sandbox: Sandbox, key: str, chat: Chat, text: str
    ) -> tuple[TracedChat, Rendering, Tracer]:
        """Render a chat with as many marks as possible without changing its text."""
        for wanted in MARKINGS:
            traced = TracedChat(sandbox, chat, key, wanted)
            try:
                rendering, tracer = traced.whole()
            except RecordError:
                continue  # the template does not accept these marks
            if rendering.text == text and _is_paired(rendering.marks):
                return traced, rendering, tracer
        raise not_derivable("it changes the texts of the record")

    def _spans(self, chat: TracedChat, rendering: Rendering, messages: Sequence[int]) -> Spans:
        """Find the spans of these answers. If the template has markers, only they count."""
        if any(mark.origin == GENERATION for mark in rendering.marks):
            return marked_spans(rendering, chat, messages)
        return derived_spans(rendering, chat, messages, self._controls, self._eos)

    def _trained(self, chat: Chat) -> list[int]:
        """Return the assistant messages that are to be trained: a message's own flag wins."""
        answers = [i for i, role in enumerate(chat.roles) if role == "assistant"]
        by_policy = answers[-1:] if self._train_on == "last" else answers
        return [i for i in answers if chat.train[i] or (chat.train[i] is None and i in by_policy)]

    def _pieces(
        self,
        chat: Chat,
        rendering: Rendering,
        spans: Sequence[Span],
        without_loss: Sequence[Span],
        stretches: Sequence[Stretch],
        extractors: Sequence[Extractor],
    ) -> tuple[Piece, ...]:
        """Turn each stretch into a piece: decide its section, and whether it is trained.

        Args:
            chat: the chat.
            rendering: the chat, rendered.
            spans: what is trained.
            without_loss: the answers that are not trained although ``--train-on`` says ``all``.
            stretches: the stretches of the rendered text.
            extractors: the extractors of its contents.
        """
        completion = _last_answer(spans, len(rendering.text))
        kept = NOTHING_KEPT
        if self._with_sections:
            paths = [extractor.origin.path for extractor in extractors]
            kept = self._kept.find(chat, rendering.text, stretches, paths)
        is_single_exchange = chat.roles.count("assistant") == 1
        pieces = []
        for stretch in kept.divided(stretches):
            start, end, slot = stretch
            is_literal = slot == LITERAL
            trained = _is_inside(stretch, spans)
            if self._train_on == "all" and not _is_inside(stretch, without_loss):
                trained |= is_literal or not _is_tool_result(chat, extractors[slot].origin.path)
            if not is_literal:
                trained = _with_flag(chat, extractors[slot].origin.path, trained)
            if start >= completion:
                section = Section.COMPLETION
            elif kept.holds(start, end) or (is_single_exchange and is_literal):
                section = Section.KEPT
            else:
                section = Section.PROMPT
            text = rendering.text[start:end] if is_literal else ""
            pieces.append(Piece(text, slot, trained, section))
        return tuple(pieces)


def _last_answer(spans: Sequence[Span], end: int) -> int:
    """Return where the last trained answer begins; ``end`` if none is trained."""
    last = spans[-1].message if spans else None
    return min((span.start for span in spans if span.message == last), default=end)


def _untrained(chat: Chat) -> list[int]:
    """Return the answers whose own flag says that they are not trained."""
    return [i for i, r in enumerate(chat.roles) if r == "assistant" and chat.train[i] is False]


def _is_inside(stretch: Stretch, spans: Sequence[Span]) -> bool:
    """Tell whether a stretch lies inside one of these spans."""
    return any(span.start <= stretch.start and stretch.end <= span.end for span in spans)


def _with_flag(chat: Chat, path: Path, trained: bool) -> bool:
    """Return what the flag of the message at a path says; where it has none, ``trained``."""
    flag = chat.train[int(path[1])] if path[0] == "messages" else None
    return trained if flag is None else flag


def _is_tool_result(chat: Chat, path: Path) -> bool:
    """Return whether a text is in a tool's result, which the model does not write."""
    return path[0] == "messages" and chat.roles[int(path[1])] == "tool"


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
