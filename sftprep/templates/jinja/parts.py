"""Find the parts of trained answers that are not trained: reasoning and tool calls.

In     a rendered conversation, the spans of its answers, and the policy.
Out    *holes*: the ranges of the spans that are not trained.
Raises RecordError ``span_not_derivable``: it is not certain where a part starts or ends.

Each text of an answer is reasoning, a call or other text. Its field tells which: ``reasoning``,
``reasoning_content`` and ``thinking``; ``tool_calls``; a content part of such a type; and in
``content``, the reasoning at its start (see ``data.policy``). The template's text between two texts
belongs to one or both of them:

1.  The text that closes reasoning goes up to the first control token or closing tag behind it, with
    the white space that follows. The rest opens the next text. If there is neither a control token
    nor a closing tag, all of it closes the reasoning; in front of a call, this is not certain.
2.  The text between other text and a call opens the call.
3.  The text between a call and other text is divided as in rule 1.
4.  The text before the first text opens it, up to the start of the span. An empty think block that
    the template writes there opens nothing.
5.  The text behind the last text ends the turn. It belongs to a call that is the last text, because
    the model stops there to make the call. Behind reasoning, rule 1 holds, but what ends the span
    closes no reasoning.
6.  Reasoning in a content closes itself, unless the template leaves its closing tag out to write
    one of its own. The white space behind it goes with it.
"""

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.conversation import Chat
from sftprep.data.pieces import EMPTY_THINK_BLOCK
from sftprep.data.policy import CLOSING_TAGS, Policy, reasoning_length
from sftprep.templates.jinja.omissions import REASONING
from sftprep.templates.jinja.spans import Span, not_derivable
from sftprep.templates.jinja.traced_text import DERIVED, Path
from sftprep.templates.jinja.tracing import Rendering, value_at

THOUGHT, CALL, OTHER = "reasoning", "call", "other"
"""What a text of an answer is."""
PART_KINDS = {"thinking": THOUGHT, "reasoning": THOUGHT, "tool_call": CALL}
"""Type of a content part -> what its texts are."""
CLOSING_TAG = re.compile(r"</[^<>\s]+>|\[/[A-Z_]+\]")
SPACE = re.compile(r"\s*")


class _Text(NamedTuple):
    """Consecutive texts of one kind in an answer."""

    start: int
    end: int
    kind: str
    is_open: bool = True  # of reasoning: the template's text closes it


def holes(
    chat: Chat,
    rendering: Rendering,
    spans: Sequence[Span],
    policy: Policy,
    controls: ControlTokens,
) -> list[Span]:
    """Return the ranges of these spans that the policy takes out, in order."""
    hidden = set(policy.without_reasoning(chat.roles))
    found: list[Span] = []
    for span in spans:
        if chat.messages[span.message]["role"] != "assistant":
            continue
        kinds = {THOUGHT} if span.message in hidden else set()
        kinds |= set() if policy.calls else {CALL}
        if kinds:
            answer = _Answer(chat, rendering, span, controls)
            found += (answer.hole(i) for i, text in enumerate(answer.texts) if text.kind in kinds)
    return [hole for hole in found if hole.start < hole.end]


def without(spans: Sequence[Span], gone: Sequence[Span]) -> list[Span]:
    """Return what remains of spans without their holes, in order.

    >>> [tuple(s) for s in without([Span(0, 9, 1)], [Span(2, 4, 1), Span(7, 9, 1)])]
    [(0, 2, 1), (4, 7, 1)]
    """
    rest = []
    for span in spans:
        start = span.start
        for hole in gone:
            if start < hole.end and hole.start < span.end:
                rest.append(span._replace(start=start, end=hole.start))
                start = hole.end
        rest.append(span._replace(start=start))
    return [span for span in rest if span.start < span.end]


class _Answer:
    """The texts of one answer, in a span."""

    def __init__(
        self, chat: Chat, rendering: Rendering, span: Span, controls: ControlTokens
    ) -> None:
        self._text = rendering.text
        self._span = span
        self._controls = controls
        self.texts: list[_Text] = []
        for text in _texts(chat, rendering, span):
            last = self.texts[-1] if self.texts else None
            if text.kind == THOUGHT and text.start == text.end:
                continue  # then the template writes an empty think block by itself
            if last and last.kind == text.kind:
                self.texts[-1] = last._replace(end=text.end, is_open=text.is_open)
            else:
                self.texts.append(text)

    def hole(self, index: int) -> Span:
        """Return the range of a text, with the template's text that opens and closes it."""
        return self._span._replace(start=self._start(index), end=self._end(index))

    def _start(self, index: int) -> int:
        """Return where the template's text that opens a text starts."""
        text = self.texts[index]
        if index:
            before = self.texts[index - 1]
            return before.end if before.kind == OTHER else self._end(index - 1)
        block = EMPTY_THINK_BLOCK.match(self._text, self._span.start, text.start)
        return self._after_space(block.end(), text.start) if block else self._span.start

    def _end(self, index: int) -> int:
        """Return where the template's text that closes a text ends."""
        text = self.texts[index]
        following = self.texts[index + 1] if index + 1 < len(self.texts) else None
        if following is None and text.kind == CALL:
            return self._span.end
        limit = self._span.end if following is None else following.start
        if not text.is_open:
            return self._after_space(text.end, limit)
        closed = self._closed(text.end, limit)
        if following is None:
            return text.end if closed in (None, limit) else closed
        if closed is not None:
            return closed
        if following.kind != OTHER and self._text[text.end : limit].strip():
            raise not_derivable(
                f"where the {text.kind} in messages[{self._span.message}] ends before the "
                f"{following.kind} is not clear"
            )
        return limit

    def _closed(self, start: int, limit: int) -> int | None:
        """Return where the first control token or closing tag ends; None if there is neither."""
        between = self._text[start:limit]
        lead = ""
        first: tuple[int, int] | None = None
        for item in self._controls.split(between):
            if isinstance(item, AddedToken):
                first = (len(lead), len(lead) + len(item.content))
                break
            lead = item
        tag = CLOSING_TAG.search(between)
        if tag and (first is None or tag.start() < first[0]):
            first = tag.span()
        return None if first is None else self._after_space(start + first[1], limit)

    def _after_space(self, position: int, limit: int) -> int:
        """Return where the white space at a position ends."""
        match = SPACE.match(self._text, position, limit)
        return match.end() if match else position


def _texts(chat: Chat, rendering: Rendering, span: Span) -> Iterator[_Text]:
    """Yield the texts of an answer that stand in its span, each with its kind."""
    for content in rendering.within(span.start, span.end):
        start, end = max(content.start, span.start), content.end
        path = content.origin.path
        kind = kind_at(chat, path)
        length = 0
        if kind == OTHER and _is_first_text(chat, path):
            text = str(value_at({"messages": chat.messages}, path))
            length = reasoning_length(text)
        if not length:
            yield _Text(start, end, kind)
            continue
        if content.offset == DERIVED or content.origin.options is not None:
            raise not_derivable(
                f"it changes the content of messages[{span.message}], so where its reasoning ends "
                "is not clear"
            )
        border = min(max(content.start + length - content.offset, start), end)
        if start < border:
            written = rendering.text[start:border]
            is_closed = any(tag in text for tag in CLOSING_TAGS)
            is_open = is_closed and not written.rstrip().endswith(CLOSING_TAGS)
            yield _Text(start, border, THOUGHT, is_open)
        if border < end or start == end:
            yield _Text(border, end, OTHER)


def kind_at(chat: Chat, path: Path) -> str:
    """Return what the text at a path is: ``THOUGHT``, ``CALL`` or ``OTHER``."""
    field = path[2] if path[0] == "messages" and len(path) > 2 else ""
    if field in REASONING:
        return THOUGHT
    if field == "tool_calls":
        return CALL
    if field == "content" and len(path) > 3:
        part = value_at({"messages": chat.messages}, path[:4])
        return PART_KINDS.get(part.get("type", ""), OTHER) if isinstance(part, dict) else OTHER
    return OTHER


def _is_first_text(chat: Chat, path: Path) -> bool:
    """Tell whether a path leads to the content of a message, or to its first part of text."""
    if path[0] != "messages" or path[2:3] != ("content",):
        return False
    if len(path) == 3:
        return True
    parts = chat.messages[int(path[1])]["content"]
    first = next((i for i, part in enumerate(parts) if "text" in part), None)
    return path[3:] == (first, "text")
