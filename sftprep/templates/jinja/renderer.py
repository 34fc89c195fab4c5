"""Chat records + a model's own Jinja template -> pieces, as ``render`` makes them of templates.

In     a ``Chat``: messages and tools as a chat template reads them.
Out    ``Rendered``: a skeleton's number and the contents that go into it. The skeleton is the
       rendered text with each of the record's texts taken out, and what is trained of it.
Keeps  the text that ``apply_chat_template`` gives, byte for byte: it is what is encoded. Every text
       of the record is a content, so that none can become a control token, in whatever field.
Raises RecordError ``span_not_derivable``, ``control_in_unmarked_text``, what the template refuses.

A skeleton is derived once for records of one structure. For the next one, the template is rendered
once, and the skeleton filled with its contents must give the same text; if not, it is derived anew.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL, Piece, Rendered, Section
from sftprep.errors import RecordError
from sftprep.templates.jinja.arguments import arguments, json_text, map_arguments, parsed_arguments
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.skeleton import Cut, Extract, Skeleton, contents_of, filled
from sftprep.templates.jinja.spans import (
    Found,
    Rendering,
    Span,
    Turns,
    derived_spans,
    marked_spans,
    not_derivable,
)
from sftprep.templates.jinja.tracing import GENERATION, THINK, Event, Marks, Path, keys_of, texts_of
from sftprep.templates.template import ChatTemplate

REMEMBERED = 16  # skeletons tried for records of one structure
MOST_SKELETONS = 2000


class ChatRenderer:
    """Renders chats with one template and one policy.

    Args:
        template: the chat template.
        variables: the tokenizer's special tokens by name, for the template.
        controls: the tokenizer's control tokens, by text.
        bos: the BOS token, "" where there is none.
        train_on: ``completion`` (all answers), ``last`` (the last one), ``all`` (all text).
    """

    def __init__(
        self,
        template: ChatTemplate,
        *,
        variables: Mapping[str, Any],
        controls: Mapping[str, AddedToken],
        bos: str,
        train_on: str,
    ) -> None:
        self._sandbox = Sandbox(
            template.source,
            name=template.name,
            today=template.today,
            variables={**variables, **template.arguments},
        )
        self._controls = ControlTokens(list(controls.values()))
        self._control_words = {t.strip("<>|[]｜/ ") for t in controls}
        self._control_texts = tuple(controls)
        self._bos = bos
        self._eos = variables.get("eos_token")
        self._train_on = train_on
        self._skeletons: list[Skeleton] = []
        self._by_structure: dict[tuple[Any, ...], list[int]] = {}

    def render(self, chat: Chat) -> Rendered:
        """Render one chat."""
        chat, text = self._with_arguments(chat)
        root = {"messages": chat.messages, "tools": chat.tools}
        known = self._by_structure.setdefault(self._structure(chat), [])
        for number in reversed(known[-REMEMBERED:]):
            skeleton = self._skeletons[number]
            try:
                contents = tuple(extract.of(root) for extract in skeleton.extracts)
            except (LookupError, TypeError):
                continue
            if filled(skeleton.pieces, contents) == text:
                return Rendered(number, contents)
        skeleton = self._derive(chat, root, text)
        contents = tuple(extract.of(root) for extract in skeleton.extracts)
        if filled(skeleton.pieces, contents) != text:
            raise not_derivable("its text cannot be put together again from the record's")
        known.append(len(self._skeletons))
        self._skeletons.append(skeleton)
        return Rendered(known[-1], contents)

    def _with_arguments(self, chat: Chat) -> tuple[Chat, str]:
        """The chat with its calls' arguments in the form that the template takes, and its text.

        Some templates dump arguments as JSON, some write them as they are: so text that was dumped
        once more is read first, and an object that cannot be written is dumped.
        """
        has_text = [a for a in arguments(chat) if isinstance(a, str)]
        try:
            text = self._rendered(chat, chat.messages)
        except RecordError as error:
            if error.reason != "template_failed" or len(has_text) == len(arguments(chat)):
                raise
            chat = map_arguments(chat, lambda a: a if isinstance(a, str) else json_text(a))
            return chat, self._rendered(chat, chat.messages)
        if all(argument in text for argument in has_text):
            return chat, text
        chat = map_arguments(chat, parsed_arguments)
        return chat, self._rendered(chat, chat.messages)

    def pieces(self, number: int) -> tuple[Piece, ...]:
        """The pieces of a skeleton."""
        return self._skeletons[number].pieces

    def forget(self, most: int = MOST_SKELETONS) -> bool:
        """Forget all skeletons if there are many: odd records must not fill the memory."""
        if len(self._skeletons) <= most:
            return False
        self._skeletons.clear()
        self._by_structure.clear()
        return True

    def rewrites(self, number: int) -> bool:
        """Whether a trained turn follows other ids than inference would feed."""
        return not self._skeletons[number].parity

    def _rendered(self, chat: Chat, messages: list[dict[str, Any]], prompt: bool = False) -> str:
        return self._sandbox.render(
            messages, chat.tools, size=chat.size, add_generation_prompt=prompt
        )

    def _structure(self, chat: Chat) -> tuple[Any, ...]:
        """What makes it likely that two records have the same skeleton."""
        return (
            tuple(
                (
                    m["role"],
                    _form(m.get("content")),
                    _form(m.get("reasoning_content")),
                    len(m.get("tool_calls") or ()),
                )
                for m in chat.messages
            ),
            chat.train,
            len(chat.tools or ()),
        )

    def _derive(self, chat: Chat, root: dict[str, Any], text: str) -> Skeleton:
        for wanted in MARKINGS:
            marks = Marks(wanted)
            try:
                rendering = self._marked(chat, len(chat.messages), marks)
            except RecordError:
                continue  # the template stumbles over these marks
            if rendering.text == text and _paired(rendering.events):
                break
        else:
            raise not_derivable("it changes the texts of the record")
        self._refuse_forgery(chat, marks)
        found = self._spans(chat, rendering, wanted)
        cuts, extracts = contents_of(root, rendering, marks, found.spans)
        pieces = tuple(self._pieces(chat, rendering, found.spans, cuts, extracts))
        self._refuse_written_keys(chat, pieces)
        return Skeleton(pieces, extracts, found.parity)

    def _marked(self, chat: Chat, count: int, marks: Marks) -> Rendering:
        """The first ``count`` messages, rendered with marks."""
        messages = [
            {k: marks.marked(v, ("messages", i, k)) for k, v in message.items()}
            for i, message in enumerate(chat.messages[:count])
        ]
        tools = None if chat.tools is None else marks.marked(chat.tools, ("tools",))
        with self._sandbox.marking(marks.brackets(GENERATION), marks.dump):
            rendered = self._sandbox.render(messages, tools, size=2 * chat.size)
        text, events = marks.unmark(rendered)
        return Rendering(text, events, marks.slots)

    def _spans(self, chat: Chat, rendering: Rendering, wanted: Callable[[Path], bool]) -> Found:
        trained = self._trained(chat)
        if any(event.slot == GENERATION for event in rendering.events):
            spans = marked_spans(rendering, trained)
            prompts = {s.message: self._prompt(chat, s.message, added=True) for s in spans}
            parity = all(rendering.text.startswith(p) for p in prompts.values())
            return Found(spans, parity)
        turns = Turns(
            prompt=lambda i, added: self._prompt(chat, i, added=added),
            until=lambda i: self._marked(chat, i + 1, Marks(wanted)),
            followed=lambda i: self._followed(chat, i, wanted),
        )
        return derived_spans(rendering, turns, trained, self._controls, self._eos)

    def _followed(
        self, chat: Chat, last: int, wanted: Callable[[Path], bool]
    ) -> list[str | AddedToken] | None:
        """What stands behind a turn's last text when a message follows; None if none can."""
        for role in ("user", "tool"):
            more = {"role": role, "content": "-"}
            longer = chat._replace(messages=[*chat.messages[: last + 1], more])
            try:
                rendering = self._marked(longer, last + 2, Marks(wanted))
            except RecordError:
                continue
            if rendering.positions(last) and rendering.goes_on(last):
                return self._controls.split(rendering.tail(last))
        return None

    def _prompt(self, chat: Chat, count: int, *, added: bool) -> str:
        """The first ``count`` messages, with or without what is added to ask for an answer."""
        return self._rendered(chat, chat.messages[:count], added) if count else ""

    def _trained(self, chat: Chat) -> list[int]:
        """The assistant turns to be trained."""
        answers = [i for i, m in enumerate(chat.messages) if m["role"] == "assistant"]
        if self._train_on == "last":
            answers = answers[-1:]
        return [i for i in answers if chat.train[i] is not False]

    def _refuse_forgery(self, chat: Chat, marks: Marks) -> None:
        """Texts that could not be marked must not be able to make up a control token."""
        # Keys are no contents: they are safe inside what is dumped whole.
        keys = [] if marks.dumps else [text for call in _calls(chat) for text in texts_of(call)]
        for text in [*marks.unmarked, *keys]:
            if text.strip() in self._control_words or self._holds_control(text):
                raise _forgery()

    def _refuse_written_keys(self, chat: Chat, pieces: Sequence[Piece]) -> None:
        """A key with a control token's text must stand in what is dumped whole, and there alone."""
        literal = "".join(piece.text for piece in pieces)
        for key in keys_of([_calls(chat), chat.tools or []]):
            if self._holds_control(key) and key in literal:
                raise _forgery()

    def _holds_control(self, text: str) -> bool:
        return any(control in text for control in self._control_texts)

    def _pieces(
        self,
        chat: Chat,
        rendering: Rendering,
        spans: list[Span],
        cuts: list[Cut],
        extracts: Sequence[Extract],
    ) -> list[Piece]:
        target = spans[-1].start if spans else len(rendering.text)
        kept_until = self._kept_until(chat, rendering)
        answers = sum(m["role"] == "assistant" for m in chat.messages)
        pieces: list[Piece] = []
        results = {i for i, m in enumerate(chat.messages) if m["role"] == "tool"}
        for cut in cuts:
            path = extracts[cut.slot].slot.path if cut.slot != LITERAL else ("template",)
            is_result = path[0] == "messages" and path[1] in results  # never trained
            trained = (self._train_on == "all" and not is_result) or any(
                s.start <= cut.start and cut.end <= s.end for s in spans
            )
            if cut.start >= target:
                part = Section.COMPLETION
            elif cut.end <= kept_until or (answers == 1 and cut.slot == LITERAL):
                part = Section.KEPT
            else:
                part = Section.PROMPT
            literal = rendering.text[cut.start : cut.end] if cut.slot == LITERAL else ""
            pieces.append(Piece(literal, cut.slot, trained, part))
        return pieces

    def _kept_until(self, chat: Chat, rendering: Rendering) -> int:
        """The end of the system turn and of the tools; else of the BOS."""
        system = {i for i, m in enumerate(chat.messages) if m["role"] in ("system", "developer")}
        ends = [
            e.position
            for e in rendering.events
            if e.slot != GENERATION
            and (
                rendering.slots[e.slot].path[0] == "tools"
                or rendering.slots[e.slot].path[1] in system
            )
        ]
        if ends:
            return max(ends)
        return len(self._bos) if self._bos and rendering.text.startswith(self._bos) else 0


MARKINGS: tuple[Callable[[Path], bool], ...] = (
    lambda path: True,
    lambda path: path[-1] not in ("id", "tool_call_id", "name"),
    lambda path: path[0] == "messages" and path[-1] in ("content", "reasoning_content", "thinking"),
)
"""Which texts are marked: all; all but those that templates check; the contents alone."""


def _calls(chat: Chat) -> list[Any]:
    return [call for message in chat.messages for call in message.get("tool_calls") or ()]


def _forgery() -> RecordError:
    return RecordError(
        "control_in_unmarked_text",
        "the record holds a control token's text where the chat template cannot be kept from "
        "making it one",
    )


def _form(content: object) -> tuple[Any, ...]:
    """What a skeleton depends on: whether there is text, its think tags, its outer white space."""
    if not isinstance(content, str):
        return (content is None,)
    tags = tuple(THINK.findall(content)) if "think>" in content else ()
    return (content[:1].isspace(), content[-1:].isspace(), not content.strip(), tags)


def _paired(events: Sequence[Event]) -> bool:
    """Whether every mark that opens is closed by its own, before another text's begins."""
    open_slot: int | None = None
    for event in events:
        if event.slot == GENERATION:
            continue
        if event.opens:
            if open_slot is not None:
                return False
            open_slot = event.slot
        else:
            if open_slot != event.slot:
                return False
            open_slot = None
    return open_slot is None
