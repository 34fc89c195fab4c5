"""Find the text of a rendered chat that truncation keeps: BOS, system turn, tools.

In     a rendered conversation, and where the record's texts stand in it.
Out    ``Kept``: where the text ends that is kept at the start of the conversation, and which
       stretches after it are kept as well.
Keeps  the result a function of the rendered text and the template. Where the first turn's header
       begins is found with a made-up conversation, once per role, never with the record's texts.

The *system turn* is the leading messages of the roles ``system`` and ``developer``, with the tools.
A template may also write a system turn of its own. It ends where the header of the first other
message begins. Some templates write the system prompt or the tools into a user turn: into the
first, and then all text up to the user's own text is kept; or into a later one, and then these
texts are kept together with the template text next to them.
"""

from collections.abc import Sequence
from itertools import pairwise, takewhile
from typing import Any, NamedTuple

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.data.conversation import Chat
from sftprep.data.pieces import LITERAL
from sftprep.errors import RecordError
from sftprep.templates.jinja.skeleton import Stretch
from sftprep.templates.jinja.traced_chat import TracedSandbox
from sftprep.templates.jinja.traced_text import Path
from sftprep.templates.jinja.tracing import Rendering

SYSTEM_ROLES = ("system", "developer")


class Kept(NamedTuple):
    """What truncation keeps of a conversation's prompt."""

    until: int  # all characters before this one
    later: Sequence[tuple[int, int]]  # further ranges: start and end

    def holds(self, start: int, end: int) -> bool:
        """Tell whether the characters from ``start`` to ``end`` are kept."""
        return end <= self.until or any(a <= start and end <= b for a, b in self.later)

    def divided(self, stretches: Sequence[Stretch]) -> list[Stretch]:
        """Return the stretches, with template text divided where kept text begins or ends."""
        borders = sorted({self.until, *(border for ends in self.later for border in ends)})
        found: list[Stretch] = []
        for start, end, slot in stretches:
            inside = [border for border in borders if start < border < end and slot == LITERAL]
            points = [start, *inside, end]
            found += [Stretch(a, b, slot) for a, b in pairwise(points)]
        return found


NOTHING_KEPT = Kept(0, ())


class KeptText:
    """Finds what truncation keeps, for one chat template.

    Args:
        sandbox: the chat template.
        controls: finds control tokens.
        bos, eos: these tokens; empty or None if there are none.
    """

    def __init__(
        self, sandbox: TracedSandbox, controls: ControlTokens, bos: str, eos: str | None
    ) -> None:
        self._sandbox = sandbox
        self._controls = controls
        self._bos = bos
        self._eos = eos
        self._headers: dict[str, str] = {}  # role -> header of a message after the system turn

    def find(
        self, chat: Chat, text: str, stretches: Sequence[Stretch], paths: Sequence[Path]
    ) -> Kept:
        """Find what is kept of a conversation.

        Args:
            chat: the conversation.
            text: the whole of it, rendered.
            stretches: the stretches of the text.
            paths: for each slot, where its content stands in the record.
        """
        leading = _leading_system_turns(chat)
        contents = [s for s in stretches if s.slot != LITERAL]
        own = [s for s in contents if _is_system(paths[s.slot], leading)]
        first = min((s.start for s in contents if s not in own), default=len(text))
        start = max((s.end for s in own if s.end <= first), default=0)
        role = chat.roles[leading] if leading < len(chat.roles) else ""
        until = start + self._system_end(text[start:first], role, follows_text=start > 0)
        return Kept(until, self._later(text, stretches, [s for s in own if s.start >= first]))

    def _system_end(self, gap: str, role: str, *, follows_text: bool) -> int:
        """Find where the system turn ends in the template text before the first other message.

        Args:
            gap: the text from the end of the system turn's last content, or from the start of the
                conversation, to the first other content.
            role: the role of the first other message; "" if there is none.
            follows_text: whether the record's system prompt or tools stand before ``gap``.
        """
        header = self._header(role) if role else ""
        if header and gap.endswith(header):
            end = len(gap) - len(header)
        elif follows_text:
            end = self._terminator_length(gap)
        else:
            end = 0
        if not follows_text and self._bos and gap.startswith(self._bos):
            end = max(end, len(self._bos))
        return self._token_end(gap, end)

    def _token_end(self, text: str, position: int) -> int:
        """Return the position, or the end of the control token that it is inside of."""
        reached = 0
        for item in self._controls.split(text):
            if reached >= position:
                break
            length = len(_text(item))
            if isinstance(item, AddedToken) and position < reached + length:
                return reached + length
            reached += length
        return position

    def _terminator_length(self, gap: str) -> int:
        """Return how much of the text after the system turn's last text still belongs to it."""
        items = self._controls.split(gap)
        tokens = [i for i, item in enumerate(items) if isinstance(item, AddedToken)]
        if not tokens:
            return len(gap)
        ended = "".join(_text(item) for item in items[: tokens[0] + 1])
        rest = gap[len(ended) :]
        return len(gap) - len(rest.lstrip())

    def _header(self, role: str) -> str:
        """Return the header of a message of this role after the system turn; "" if unknown."""
        if role not in self._headers:
            self._headers[role] = self._found_header(role)
        return self._headers[role]

    def _found_header(self, role: str) -> str:
        system = {"role": "system", "content": "S"}
        message = {"role": role, "content": "U"}
        whole, alone = self._rendered([system, message]), self._rendered([system])
        if whole is None:
            return ""
        ends, starts = _ends_and_start(whole)
        if not 0 <= ends <= starts:
            return ""
        if alone is not None and alone.text and whole.text.startswith(alone.text):
            if ends <= len(alone.text) <= starts:
                return whole.text[len(alone.text) : starts]
            return ""  # the system prompt stands inside the other message
        without = self._rendered([message])
        if without is None or not without.positions(0):
            return ""
        lead, gap = without.text[: min(without.positions(0))], whole.text[ends:starts]
        return self._from_first_role_token(_common_end(lead, gap).lstrip(), role)

    def _from_first_role_token(self, shared: str, role: str) -> str:
        """Return the end of a text from the last token on with which turns begin.

        Where a template writes a system turn of its own, the text before the first message ends
        with a terminator and a header, with and without a system prompt of the record.
        """
        prompt, history = (
            self._rendered([{"role": role, "content": "U"}], prompt=prompt)
            for prompt in (True, False)
        )
        if prompt is None or history is None:
            return shared
        added = self._controls.split(prompt.text.removeprefix(history.text))
        if prompt.text.startswith(history.text) and added and isinstance(added[0], AddedToken):
            place = shared.rfind(added[0].content)
            return shared[place:] if place >= 0 else shared
        return shared

    def _rendered(
        self, messages: list[dict[str, Any]], *, prompt: bool = False
    ) -> Rendering | None:
        """Render made-up messages; None: the template does not accept them."""
        chat = Chat(messages, None, (None,) * len(messages), 1000)
        try:
            return self._sandbox.trace(messages, chat, generation_prompt=prompt)
        except RecordError:
            return None

    def _later(
        self, text: str, stretches: Sequence[Stretch], contents: Sequence[Stretch]
    ) -> list[tuple[int, int]]:
        """Return the ranges of these contents, with the template text around each of them."""
        found: list[tuple[int, int]] = []
        for content in contents:
            index = stretches.index(content)
            start, end = content.start, content.end
            if index and stretches[index - 1].slot == LITERAL:
                start = stretches[index - 1].start
                if self._eos and self._eos in text[start : content.start]:
                    # The end of the answer before may be cut.
                    start = text.rindex(self._eos, start, content.start) + len(self._eos)
            if index + 1 < len(stretches) and stretches[index + 1].slot == LITERAL:
                end = stretches[index + 1].end
            found.append((start, end))
        return found


def _leading_system_turns(chat: Chat) -> int:
    """Return how many messages the system turn has."""
    return next(
        (i for i, role in enumerate(chat.roles) if role not in SYSTEM_ROLES), len(chat.roles)
    )


def _is_system(path: Path, leading: int) -> bool:
    """Tell whether a text belongs to the system turn or to the tools."""
    return path[0] != "messages" or int(path[1]) < leading


def _ends_and_start(rendering: Rendering) -> tuple[int, int]:
    """Return where the text of the first of two messages ends, and where the other's begins."""
    return max(rendering.positions(0), default=-1), min(rendering.positions(1), default=-1)


def _common_end(one: str, other: str) -> str:
    """Return the longest text that both texts end with.

    >>> _common_end("a: bc", "xbc")
    'bc'
    """
    pairs = zip(reversed(one), reversed(other), strict=False)
    length = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
    return one[len(one) - length :]


def _text(item: str | AddedToken) -> str:
    return item.content if isinstance(item, AddedToken) else item
