"""Render a chat with a model's own Jinja template, as ``templates.renderer`` does with YAML ones.

In     a ``Chat``: messages and tools as a chat template takes them.
Out    ``Rendered``: the number of a *skeleton* and the contents that fill it. A skeleton is the
       rendered text without the record's texts; it also says which parts are trained. Each
       skeleton is one shape.
Keeps  the text that ``apply_chat_template`` gives, character by character. What the template writes
       itself is template text, in which control tokens count; what it copies or computes from the
       record, whichever field it is in, is a content and can never become a control token.
Raises RecordError: ``span_not_derivable``, ``empty_completion``, and the sandbox's errors.
       InternalError: a skeleton that is proven to suit a record does not give its text.

No skeleton depends on what other records hold. Records with the same neutral form (see ``neutral``)
of which the template decides the same (see ``watching``) share a skeleton, which is derived from
their neutral chat. If a template looks into the texts in other ways, or if the skeleton does not
give exactly the record's text, then a skeleton is derived from the record itself.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

from sftprep.data.control_tokens import AddedToken, ControlTokens, TurnEnd
from sftprep.data.conversation import Chat
from sftprep.data.pieces import (
    LITERAL,
    MOST_SHAPES,
    Piece,
    Rendered,
    Section,
    filled,
)
from sftprep.data.policy import Policy
from sftprep.data.provenance import Part, Writer
from sftprep.errors import InternalError, RecordError, TemplateError
from sftprep.system.cpu_limit import CpuLimit
from sftprep.templates.jinja.kept import NOTHING_KEPT, KeptText
from sftprep.templates.jinja.neutral import (
    PRIVATE,
    Form,
    Key,
    is_neutral,
    neutral_chat,
    neutral_form,
)
from sftprep.templates.jinja.omissions import omissions
from sftprep.templates.jinja.parts import holes, without
from sftprep.templates.jinja.sandbox import OUTPUT_SPARE, Sandbox
from sftprep.templates.jinja.skeleton import (
    Filler,
    Skeleton,
    Stretch,
    contents_of,
    stretches_of,
)
from sftprep.templates.jinja.spans import (
    Span,
    SpanFinder,
    SpanIndex,
    Spans,
    marked_spans,
    not_derivable,
)
from sftprep.templates.jinja.traced_chat import TracedChat, TracedSandbox
from sftprep.templates.jinja.traced_text import Path
from sftprep.templates.jinja.tracing import Placed, Rendering
from sftprep.templates.jinja.variants import badly_written, variants
from sftprep.templates.jinja.watching import Question, Watch, WatchedEnvironment
from sftprep.templates.jinja.writers import Writers
from sftprep.templates.template import ChatTemplate

CHECKED_OF = 61
"""One of so many records is rendered to check the proof: those whose texts have a length that this
divides. Rendering all of them would take as much time as all else that is done for them."""
MOST_FORMS = 4
"""How many neutral forms are remembered, for each skeleton that may be remembered."""


class _Remembered(NamedTuple):
    """What was derived from a neutral chat, for records with the same answers."""

    answers: tuple[tuple[Question, bool | int], ...]
    shape: int | None  # None: a skeleton must be derived from each record itself
    fillers: tuple[Filler | int, ...] = ()
    fails: bool = False  # the template refuses this form, or cannot write it
    # The contents of a record of at most so many characters are certain to fill the skeleton to the
    # record's text; other records must be rendered to see whether they do.
    most: int = -1

    def suits(self, form: Form) -> bool:
        """Tell whether all questions of the template have the same answers for this form."""
        return all(question.answer(form.texts) == answer for question, answer in self.answers)


EOS_ENDS = TurnEnd()
MOST_ANSWERS = 64
"""How many skeletons are remembered for one neutral form: each record looks through them. A
template that counts the words of a text could need one for each number of words."""
MOST_MESSAGES = 64
"""A longer chat gets a skeleton of its own. Deriving one renders each prompt, which takes less time
with the chat itself than with its neutral form, and few long chats have the same form."""
NOT_WELL = "written_as_python"
"""The reason for refusing a chat that the template writes as Python values."""
CURABLE = ("template_failed", "template_refused", NOT_WELL)
"""The reasons of refusals that another form of the chat may cure."""
NOT_REMEMBERED = _Remembered((), None)


class _Derived(NamedTuple):
    """A skeleton, and where the content of each of its slots comes from."""

    skeleton: Skeleton
    contents: list[Placed]
    rendering: Rendering

    def texts(self) -> tuple[str, ...]:
        """Return the contents of the chat from which it was derived."""
        return tuple([self.rendering.text[c.start : c.end] for c in self.contents])


class ChatRenderer:
    """Renders chats with one chat template, for one policy.

    Args:
        template: the chat template.
        variables: the tokenizer's special tokens by name, for the template.
        controls: the tokenizer's control tokens, by text.
        policy: which text is trained.
        turn_end: the tokens that end a turn at inference, by default the EOS token; and the token
            to add after a last answer that ends without one, by default the stop token with which
            the template would begin the next message, if there is one.
        with_sections: whether truncation will need the section of each piece.
        most_shapes: how many skeletons to remember before ``forget`` drops them.
        limit: the limit on the CPU time of all renderings of a record together; by default, each
            rendering has a limit of its own.
        checks_all: whether to render each record, also where its text is certain, and compare.
    """

    def __init__(  # noqa: PLR0913 - each is a choice of its own
        self,
        template: ChatTemplate,
        *,
        variables: Mapping[str, Any],
        controls: Mapping[str, AddedToken],
        policy: Policy,
        turn_end: TurnEnd = EOS_ENDS,
        with_sections: bool = True,
        most_shapes: int = MOST_SHAPES,
        limit: CpuLimit | None = None,
        checks_all: bool = False,
    ) -> None:
        self._name = template.name
        self._checks_all = checks_all
        bos = variables.get("bos_token") or ""
        variables = {**variables, **template.arguments}
        given: dict[str, Any] = {
            "name": template.name,
            "today": template.today,
            "variables": variables,
            "limit": limit,
        }
        self._plain = Sandbox(template.source, **given)
        self._traced = TracedSandbox(template.source, **given)
        self._watch = Watch()
        self._watched = TracedSandbox(
            template.source,
            environment=partial(WatchedEnvironment, watch=self._watch),
            neutral=True,
            **given,
        )
        # Otherwise, the template's own text could be taken for a placeholder.
        self._may_reuse = not PRIVATE.search(f"{template.source}{variables}")
        self._has_markers = self._plain.has_generation()
        self._controls = ControlTokens(list(controls.values()))
        eos = variables.get("eos_token")
        self._stops = turn_end.stops or frozenset([eos] if eos else [])
        self._appended = turn_end.appended
        self._kept = KeptText(self._traced, self._controls, bos, eos)
        self._with_sections = with_sections
        self._policy = policy
        self._hides_parts = policy.reasoning != "all" or not policy.calls
        self._most_shapes = most_shapes
        self._skeletons: list[Skeleton] = []  # indexed by shape
        self._shapes: dict[Skeleton, int] = {}
        self._remembered: dict[Key, list[_Remembered]] = {}  # by the key of the neutral form

    def render(self, chat: Chat) -> Rendered:
        """Render one chat."""
        refused: list[Chat] = []
        for variant in variants(chat):
            form, remembered = self._remembered_for(variant)
            try:
                if not remembered.fails:
                    return self._rendered(variant, form, remembered)
            except RecordError as error:
                if error.reason not in CURABLE:
                    raise
            refused.append(variant)
        # No form is written well. If the template accepts one, it is what inference feeds too.
        for variant in refused:
            with suppress(RecordError):
                return self._derived(variant, accepts_python=True)
        # The refusal of the first form tells the most: it is about the record as it is.
        return self._derived(refused[0])

    def _rendered(self, chat: Chat, form: Form | None, remembered: _Remembered) -> Rendered:
        """Render one form of a chat."""
        if form is not None and remembered.shape is not None:
            contents = contents_of(remembered.fillers, chat, form)
            size = sum(map(len, contents))
            is_certain = size <= remembered.most
            if is_certain and not self._is_checked(size):
                return Rendered(remembered.shape, contents)
            skeleton = self._skeletons[remembered.shape]
            if filled(skeleton.pieces, contents) == self._text(chat) + skeleton.appended:
                return Rendered(remembered.shape, contents)
            if is_certain:
                raise InternalError(
                    f"chat template {self._name} writes another text for a record than was derived "
                    "from records like it. This is a bug in sftprep; please report it with the "
                    "template. Nothing was published."
                )
        return self._derived(chat)

    def _is_checked(self, size: int) -> bool:
        """Tell whether a record is rendered although its text is certain.

        That the proof holds is checked with these records. Whether a record is one of them depends
        on the record alone.
        """
        return self._checks_all or size % CHECKED_OF == 0

    def _derived(self, chat: Chat, *, accepts_python: bool = False) -> Rendered:
        """Render a chat with a skeleton that is derived from it."""
        derived = self._derive(chat, self._traced, accepts_python=accepts_python)
        if derived.rendering.text != self._text(chat):
            raise not_derivable(
                "its text differs when the record's texts are followed through it, as after the "
                "filters `e` and `safe`"
            )
        return Rendered(self._shape(derived.skeleton), derived.texts())

    def _text(self, chat: Chat) -> str:
        """Return the text of a chat."""
        return self._plain.render(
            chat.messages, chat.tools, size=chat.size, arguments=chat.arguments
        )

    def pieces(self, shape: int) -> tuple[Piece, ...]:
        """Return the pieces of a shape."""
        return self._skeletons[shape].pieces

    def answers(self, shape: int) -> tuple[int, ...]:
        """Return, for each trained body of a shape, the number of pieces up to its end.

        If the text at its end is not trained, as behind a call, the body is left out.
        """
        return self._skeletons[shape].answers

    def rewrites(self, shape: int) -> bool:
        """Return whether inference would feed a different text before a trained turn of this shape.

        It would if the template writes earlier turns, or the generation prompt, differently once
        another message follows them.
        """
        return not self._skeletons[shape].parity

    def forget(self) -> bool:
        """Drop all skeletons if there are more than ``most_shapes`` of them."""
        few_forms = len(self._remembered) <= MOST_FORMS * self._most_shapes
        if len(self._skeletons) <= self._most_shapes and few_forms:
            return False
        self._skeletons.clear()
        self._shapes.clear()
        self._remembered.clear()
        return True

    def omitted(self, shape: int) -> frozenset[str]:
        """Return what the template leaves out of records of this shape."""
        return self._skeletons[shape].omitted

    def _shape(self, skeleton: Skeleton) -> int:
        """Return the shape of a skeleton; equal skeletons have the same shape."""
        shape = self._shapes.setdefault(skeleton, len(self._skeletons))
        if shape == len(self._skeletons):
            self._skeletons.append(skeleton)
        return shape

    def _remembered_for(self, chat: Chat) -> tuple[Form | None, _Remembered]:
        """Return the form of a chat, and what is remembered for it."""
        if not self._may_reuse or len(chat.messages) > MOST_MESSAGES:
            return None, NOT_REMEMBERED
        form = neutral_form(chat)
        remembered = self._remembered.setdefault(form.key, [])
        for one in remembered:
            if not one.answers or one.suits(form):
                return form, one
        if len(remembered) >= MOST_ANSWERS:
            return form, NOT_REMEMBERED
        remembered.append(self._derive_from_form(form))
        return form, remembered[-1]

    def _derive_from_form(self, form: Form) -> _Remembered:
        """Derive a skeleton from the neutral chat of a form."""
        derived, fails = None, False
        self._watch.begin(form.texts)
        if is_neutral(form):
            # If this fails, deriving one from the record itself tells more about the error.
            try:
                derived = self._derive(neutral_chat(form.key), self._watched)
            except RecordError as error:
                fails = error.reason in CURABLE
            except TemplateError:
                pass
        answers = tuple(self._watch.questions.items())
        if derived is None or self._watch.inspected:
            return _Remembered(answers, None, fails=fails and not self._watch.inspected)
        fillers = [Filler.of(c, t) for c, t in zip(derived.contents, derived.texts(), strict=True)]
        shape = self._shape(derived.skeleton)
        return _Remembered(answers, shape, tuple(fillers), most=self._most(derived.skeleton))

    def _most(self, skeleton: Skeleton) -> int:
        """Return ``_Remembered.most`` for a skeleton that was derived from a neutral chat.

        A text that the template wrote, and that is not known to come from the record, may be
        another one in other records. And a template may not write too much for a record.
        """
        own = "".join([piece.text for piece in skeleton.pieces if piece.slot == LITERAL])
        if not self._watch.is_certain or PRIVATE.search(own):
            return -1
        return OUTPUT_SPARE - len(own)

    def _derive(
        self, chat: Chat, sandbox: TracedSandbox, *, accepts_python: bool = False
    ) -> _Derived:
        """Derive the skeleton of a chat.

        Args:
            chat: the chat, or a neutral chat.
            sandbox: renders it with provenance.
            accepts_python: whether the template may write tool calls as Python does.
        """
        traced = TracedChat(sandbox, chat, self._plain if sandbox is self._traced else None)
        rendering = traced.whole()
        if any(content.origin.path == ("messages",) for content in rendering.contents):
            raise not_derivable("it writes the list of all messages as JSON")
        bad = badly_written(chat, sandbox.tracer, rendering) if _has_structure(chat) else ""
        if bad == "parts":
            raise RecordError(
                NOT_WELL,
                "the chat template does not write a content that is a list of parts, or writes it "
                "as Python does: it takes texts only",
                "Give each content as one text",
            )
        if bad and not accepts_python:
            raise RecordError(NOT_WELL, "the chat template writes a tool call as Python does")
        bodies = self._policy.bodies(chat.roles, chat.train)
        trained = [i for i in bodies if self._has_markers or _is_written(chat, rendering, i)]
        finder = SpanFinder(rendering, traced, chat.roles, self._controls, self._stops)
        _check_answers(chat, rendering, trained)
        found = self._spans(chat, traced, rendering, finder, trained)
        without_loss: list[Span] = []
        hidden: list[Span] = []
        untrained = [i for i in _untrained(chat) if _is_written(chat, rendering, i)]
        if self._policy.trains_all and untrained:
            without_loss = self._spans(chat, traced, rendering, finder, untrained).spans
        if self._hides_parts:
            # With ``all``, text outside of generation markers is trained too.
            by_rules = self._policy.trains_all and self._has_markers
            spans = finder.spans(trained).spans if by_rules else found.spans
            hidden = holes(chat, rendering, spans, self._policy, self._controls)
            without_loss += hidden
        writers = Writers(chat, rendering, found.spans, hidden, self._controls)
        return self._skeleton(chat, rendering, finder, found, without_loss, writers)

    def _skeleton(
        self,
        chat: Chat,
        rendering: Rendering,
        finder: SpanFinder,
        found: Spans,
        without_loss: Sequence[Span],
        writers: Writers,
    ) -> _Derived:
        """Build the skeleton of a chat from its spans.

        Args:
            chat: the chat.
            rendering: the chat, rendered.
            finder: finds the stop token that ends the last answer.
            found: the spans of what is to be trained.
            without_loss: what is not trained although it is in a span, or ``--train-on`` is all.
            writers: finds which message wrote what.
        """
        roles = chat.roles
        answers = [span for span in found.spans if roles[span.message] == "assistant"]
        stretches, contents = stretches_of(rendering, answers, [*found.spans, *without_loss])
        pieces, ends = self._pieces(
            chat, rendering, found.spans, without_loss, stretches, contents, writers
        )
        rest = without(found.spans, without_loss)
        appended = "" if self._has_markers else self._missing_stop(chat, rendering, finder, rest)
        if appended:
            writer = Writer(rest[-1].message, "assistant", Part.TEMPLATE)
            pieces.append(Piece(appended, LITERAL, True, Section.COMPLETION, writer))
            ends.append(ends[-1])
        bodies = {span.message: span.end for span in found.spans}
        trained_ends = {span.end for span in rest}
        skeleton = Skeleton(
            tuple(pieces),
            found.parity,
            omissions(chat, rendering),
            tuple([bisect_right(ends, end) for end in bodies.values() if end in trained_ends]),
            appended,
        )
        return _Derived(skeleton, contents, rendering)

    def _spans(
        self,
        chat: Chat,
        traced: TracedChat,
        rendering: Rendering,
        finder: SpanFinder,
        messages: Sequence[int],
    ) -> Spans:
        """Find the spans of these answers. If the template has markers, only they count."""
        if self._has_markers:
            roles = chat.roles
            required = [m for m in messages if chat.train[m] or roles[m] != "assistant"]
            return marked_spans(rendering, traced, messages, required)
        return finder.spans(messages)

    def _missing_stop(
        self, chat: Chat, rendering: Rendering, finder: SpanFinder, spans: Sequence[Span]
    ) -> str:
        """Return the stop token to add after the last answer; "" if it ends with one."""
        if not spans or spans[-1].end != len(rendering.text):
            return ""
        last = spans[-1]
        if chat.roles[last.message] != "assistant":
            return ""
        items = self._controls.split(rendering.text[last.start : last.end])
        if items and isinstance(items[-1], AddedToken) and items[-1].content in self._stops:
            return ""
        return self._appended or finder.stop_after(last.message)

    def _pieces(
        self,
        chat: Chat,
        rendering: Rendering,
        spans: Sequence[Span],
        without_loss: Sequence[Span],
        stretches: Sequence[Stretch],
        contents: Sequence[Placed],
        writers: Writers,
    ) -> tuple[list[Piece], list[int]]:
        """Turn each stretch into a piece: decide its section, and whether it is trained.

        Args:
            chat: the chat.
            rendering: the chat, rendered.
            spans: what is trained.
            without_loss: what is not trained although it is in a span, or ``--train-on`` is all.
            stretches: the stretches of the rendered text.
            contents: where the content of each slot comes from.
            writers: finds which message wrote what.

        Returns:
            the pieces, and where each of them ends in the rendered text.
        """
        paths = [content.origin.path for content in contents]
        completion = _last_answer(spans, len(rendering.text))
        kept = NOTHING_KEPT
        if self._with_sections:
            kept = self._kept.find(chat, rendering.text, stretches, paths)
        is_single_exchange = chat.roles.count("assistant") == 1
        trained_ranges, untrained_ranges = SpanIndex(spans), SpanIndex(without_loss)
        pieces, ends = [], []
        for stretch in writers.divided(kept.divided(stretches)):
            start, end, slot = stretch
            is_literal = slot == LITERAL
            trained = trained_ranges.holds(stretch.start, stretch.end)
            if self._policy.trains_all:
                trained |= is_literal or not _is_tool_result(chat, paths[slot])
            if not is_literal:
                trained = _with_flag(chat, paths[slot], trained)
            trained &= not untrained_ranges.holds(stretch.start, stretch.end)
            if start >= completion:
                section = Section.COMPLETION
            elif kept.holds(start, end) or (is_single_exchange and is_literal):
                section = Section.KEPT
            else:
                section = Section.PROMPT
            text = rendering.text[start:end] if is_literal else ""
            writer = (
                writers.of_text(stretch) if is_literal
                else writers.of_content(stretch, paths[slot])
            )  # fmt: skip
            pieces.append(Piece(text, slot, trained, section, writer))
            ends.append(end)
        return pieces, ends


def _last_answer(spans: Sequence[Span], end: int) -> int:
    """Return where the last trained answer begins; ``end`` if none is trained."""
    last = spans[-1].message if spans else None
    return min((span.start for span in spans if span.message == last), default=end)


def _untrained(chat: Chat) -> list[int]:
    """Return the answers whose own flag says that they are not trained."""
    return [i for i, r in enumerate(chat.roles) if r == "assistant" and chat.train[i] is False]


def _with_flag(chat: Chat, path: Path, trained: bool) -> bool:
    """Return what the flag of the message at a path says; where it has none, ``trained``."""
    flag = chat.train[int(path[1])] if path[0] == "messages" else None
    return trained if flag is None else flag


def _is_tool_result(chat: Chat, path: Path) -> bool:
    """Return whether a text is in a tool's result, which the model does not write."""
    return path[0] == "messages" and chat.messages[int(path[1])]["role"] == "tool"


def _check_answers(chat: Chat, rendering: Rendering, trained: Sequence[int]) -> None:
    """Refuse a chat with an answer of white space only that the template trims."""
    roles = chat.roles
    for message in (i for i in trained if roles[i] == "assistant"):
        turn = rendering.turn(message)
        text = chat.messages[message].get("content")
        is_blank = isinstance(text, str) and not text.strip()
        is_blank &= not chat.messages[message].get("tool_calls")
        if is_blank and (turn is None or turn.start == turn.end):
            raise RecordError(
                "empty_completion",
                f"messages[{message}] is white space only, which the chat template trims: there is "
                "nothing to train on",
            )


def _is_written(chat: Chat, rendering: Rendering, message: int) -> bool:
    """Tell whether the template writes an answer. It may leave out an answer that only calls."""
    if not chat.messages[message].get("tool_calls"):
        return True
    turn = rendering.turn(message)
    return turn is not None and turn.start < turn.end


def _has_structure(chat: Chat) -> bool:
    """Tell whether a chat has tool calls or contents that are lists."""
    return any(
        message.get("tool_calls") or isinstance(message.get("content"), list)
        for message in chat.messages
    )
