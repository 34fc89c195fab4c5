"""Find out which message and which part of it wrote each stretch of a rendered chat.

In     a rendered conversation, which tells where each of its characters comes from and at which
       message the template's loop was; the spans that are trained; the parts of them that are not.
Out    the text's stretches, divided where template text of one message follows that of another; and
       for each stretch its ``Writer``.
Never  divides a control token. Never looks for a text: template text that stands in a span belongs
       to its answer; other template text belongs to the message that the loop was at, or that it
       stands in; else it belongs to no message.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import pairwise

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL
from sftprep.data.provenance import NO_MESSAGE, Part, Writer
from sftprep.templates.jinja.parts import CALL, THOUGHT, kind_at
from sftprep.templates.jinja.skeleton import Stretch
from sftprep.templates.jinja.spans import Span, SpanIndex
from sftprep.templates.jinja.traced_text import Path
from sftprep.templates.jinja.tracing import Rendering

PARTS = {THOUGHT: Part.REASONING, CALL: Part.TOOL_CALL}


class Writers:
    """Finds the writers of one rendered conversation.

    Args:
        chat: the conversation.
        rendering: the same, rendered.
        spans: what is trained.
        holes: the reasoning and the calls in the spans that are not trained.
        controls: finds control tokens.
    """

    def __init__(
        self,
        chat: Chat,
        rendering: Rendering,
        spans: Sequence[Span],
        holes: Sequence[Span],
        controls: ControlTokens,
    ) -> None:
        self._chat = chat
        self._rendering = rendering
        self._roles = chat.roles
        self._spans = SpanIndex(spans)
        self._holes = SpanIndex(holes)
        self._controls = controls

    def divided(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """Return the stretches, with template text divided where another message begins."""
        borders = self._rendering.loop_borders()
        found: list[Stretch] = []
        for stretch in stretches:
            start, end, slot = stretch
            inside = borders[bisect_right(borders, start) : bisect_left(borders, end)]
            if slot != LITERAL or not inside:
                found.append(stretch)
                continue
            points = [start, *self._outside_tokens(start, end, inside), end]
            found += [Stretch(a, b, LITERAL) for a, b in pairwise(points)]
        return found

    def of_text(self, stretch: Stretch) -> Writer:
        """Return the writer of template text."""
        span = self._spans.find(stretch.start, stretch.end)
        if span is not None:
            return self._writer(span.message, Part.TEMPLATE)
        message_at = self._rendering.message_at(stretch.start)
        return NO_MESSAGE if message_at is None else self._writer(message_at, Part.TEMPLATE)

    def of_content(self, stretch: Stretch, path: Path) -> Writer:
        """Return the writer of a text of the record, by its path in the record."""
        if path[0] == "tools":
            return Writer(-1, "", Part.TOOLS)
        if path[0] != "messages" or len(path) < 2:
            return Writer(-1, "", Part.CONTENT)
        part = PARTS.get(kind_at(self._chat, path), Part.CONTENT)
        is_hole = self._holes.holds(stretch.start, stretch.end)
        if part is Part.CONTENT and is_hole:
            part = Part.REASONING  # a hole in a content is the reasoning at its start
        return self._writer(int(path[1]), part)

    def _writer(self, message: int, part: Part) -> Writer:
        return Writer(message, self._roles[message], part)

    def _outside_tokens(self, start: int, end: int, borders: Sequence[int]) -> list[int]:
        """Return the borders inside a text; one inside a control token is moved behind it."""
        moved: list[int] = []
        reached = start
        for item in self._controls.split(self._rendering.text[start:end]):
            text = item.content if isinstance(item, AddedToken) else item
            first, reached = reached, reached + len(text)
            inside = [border for border in borders if first < border <= reached]
            moved += [reached] * bool(inside) if isinstance(item, AddedToken) else inside
        return sorted({border for border in moved if border < end})
