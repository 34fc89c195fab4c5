"""Find what a template leaves out of a record.

In     a chat, and its rendering, which tells where each of its characters comes from.
Out    the kinds of what is left out: ``tools``, ``tool_calls``, ``reasoning``,
       ``earlier_reasoning``, ``system``, ``content``, ``name``.
Never  looks for a text in the rendering: a text is written if the template copied it, or computed
       what it wrote from it.

White space and think tags do not count: templates trim texts and write the tags themselves. Many
templates leave the reasoning of earlier answers out on purpose; that is ``earlier_reasoning``.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.data.policy import THINK_TAGS
from sftprep.templates.jinja.neutral import THINK
from sftprep.templates.jinja.traced_text import DERIVED, Path
from sftprep.templates.jinja.tracing import Rendering

OPENING_TAGS = frozenset(opening for opening, _ in THINK_TAGS)
REASONING = ("reasoning_content", "thinking", "reasoning")


def omissions(chat: Chat, rendering: Rendering) -> frozenset[str]:
    """Return the kinds of what the template leaves out of a chat."""
    return frozenset(_omissions(chat, _Written(rendering)))


class _Written:
    """Which characters of a record are written."""

    def __init__(self, rendering: Rendering) -> None:
        self._whole: set[Path] = set()
        self._parts: dict[Path, list[tuple[int, int]]] = {}
        self._prefixes: set[Path] = set()  # of the paths of all that is written
        for content in rendering.contents:
            path, length = content.origin.path, content.end - content.start
            if content.offset == DERIVED or content.origin.options is not None:
                self._whole.add(path)
            else:
                self._parts.setdefault(path, []).append((content.offset, content.offset + length))
            if length or not content.origin.length or content.offset == DERIVED:
                self._prefixes |= {path[:length] for length in range(1, len(path) + 1)}

    def has(self, path: Path) -> bool:
        """Tell whether anything of the value at a path is written."""
        return path in self._prefixes or self._is_within(path)

    def _is_within(self, path: Path) -> bool:
        """Tell whether all of a value that holds the one at a path is written."""
        return any(path[:length] in self._whole for length in range(1, len(path) + 1))

    def has_all(self, path: Path, value: Any) -> bool:
        """Tell whether all of a text, or anything of another value, is written."""
        if not isinstance(value, str):
            return self.has(path)
        return all(_is_blank(rest) for _, rest in self.rest(path, value))

    def rest(self, path: Path, text: str) -> Iterator[tuple[int, str]]:
        """Yield the parts of the text at a path that are not written, with their starts."""
        if self._is_within(path):
            return
        position = 0
        for start, end in sorted(self._parts.get(path, [])):
            if start > position:
                yield position, text[position:start]
            position = max(position, end)
        if position < len(text):
            yield position, text[position:]


def _omissions(chat: Chat, written: _Written) -> Iterator[str]:
    last_user = max((i for i, role in enumerate(chat.roles) if role == "user"), default=-1)
    for index, tool in enumerate(chat.tools or []):
        if not written.has(("tools", index)) and tool:
            yield "tools"
    for index, message in enumerate(chat.messages):
        place: Path = ("messages", index)
        reasoning = "reasoning" if index > last_user else "earlier_reasoning"
        for number, call in enumerate(message.get("tool_calls") or ()):
            if any(not written.has((*place, "tool_calls", number, *p)) for p in _parts_of(call)):
                yield "tool_calls"
        names = [name for name in REASONING if message.get(name)]
        if names and not any(written.has_all((*place, name), message[name]) for name in names):
            yield reasoning
        if message.get("name") and not written.has((*place, "name")):
            yield "name"
        is_system = message["role"] in ("system", "developer")
        for path, text in _texts(message.get("content"), (*place, "content")):
            inside = _think_ranges(text)
            for start, rest in written.rest(path, text):
                for is_thinking, part in _divided(start, rest, inside):
                    if not _is_blank(part):
                        yield reasoning if is_thinking else "system" if is_system else "content"


def _parts_of(call: dict[str, Any]) -> Iterator[Path]:
    """Yield the paths of the parts of a call that matter: its name and its arguments."""
    prefix: Path = ("function",) if "function" in call else ()
    function = call.get("function", call)
    yield (*prefix, "name")
    if function.get("arguments"):
        yield (*prefix, "arguments")


def _texts(content: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """Yield the texts of a message's content, which may be a list of parts."""
    if isinstance(content, str):
        yield path, content
    elif isinstance(content, list):
        for index, part in enumerate(content):
            if isinstance(part, dict) and isinstance(part.get("text"), str):
                yield (*path, index, "text"), part["text"]


def _is_blank(text: str) -> bool:
    """Tell whether a text holds nothing but white space and think tags."""
    return not THINK.sub("", text).strip()


def _divided(
    start: int, text: str, ranges: Sequence[tuple[int, int]]
) -> Iterator[tuple[bool, str]]:
    """Yield the parts of a text in and outside of ranges, and whether they are inside.

    Args:
        start: where the text starts.
        text: the text.
        ranges: the ranges, in order.
    """
    position = start
    for first, last in ranges:
        for end, is_inside in ((first, False), (last, True)):
            if end > position:
                yield is_inside, text[position - start : end - start]
                position = end
    yield False, text[position - start :]


def _think_ranges(text: str) -> list[tuple[int, int]]:
    """Return where the reasoning in a text starts and ends, its tags included."""
    ranges = []
    start = 0
    for match in THINK.finditer(text):
        if match[0] in OPENING_TAGS:
            start = match.start()
        else:
            ranges.append((start, match.end()))
            start = match.end()
    return ranges
