"""Render one chat, whole or only its beginning, to see where the record's texts end up.

In     a ``Chat`` and the sandbox of its template.
Out    renderings with tracing marks: of the whole chat, of the chat up to a message, and of the
       chat up to a message with another message after it. Also prompts, without marks.
Raises RecordError: the template refuses this part of the chat, or fails on it or on the marks.
"""

from collections.abc import Callable
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.tracing import GENERATION, Path, Rendering, Tracer


class TracedChat:
    """One chat and one way of marking it.

    Args:
        sandbox: the chat template.
        chat: the chat.
        key: the key of the tracing marks.
        wanted: which texts to mark, by their paths.
    """

    def __init__(
        self, sandbox: Sandbox, chat: Chat, key: str, wanted: Callable[[Path], bool]
    ) -> None:
        self._sandbox = sandbox
        self._chat = chat
        self._key = key
        self._wanted = wanted

    def whole(self) -> tuple[Rendering, Tracer]:
        """Render the whole chat; return with it the tracer that marked it."""
        tracer = Tracer(self._key, self._wanted)
        return self._render(self._chat.messages, tracer), tracer

    def until(self, message: int) -> Rendering:
        """Render the chat up to and including a message."""
        return self._render(self._chat.messages[: message + 1], Tracer(self._key, self._wanted))

    def prompt(self, message: int, *, generation_prompt: bool) -> str:
        """Render the messages before a message, without marks."""
        if not message:
            return ""
        return self._sandbox.render(
            self._chat.messages[:message],
            self._chat.tools,
            size=self._chat.size,
            add_generation_prompt=generation_prompt,
        )

    def tail_when_followed(self, message: int) -> str | None:
        """Return the text after a message's last text when another message follows.

        The message that follows is invented: a user message or, if the template refuses that, a
        tool's result. Return None if the template accepts neither.
        """
        for role in ("user", "tool"):
            messages = [*self._chat.messages[: message + 1], {"role": role, "content": "-"}]
            try:
                rendering = self._render(messages, Tracer(self._key, self._wanted))
            except RecordError:
                continue
            if rendering.positions(message) and rendering.is_followed(message):
                return rendering.tail(message)
        return None

    def _render(self, messages: list[dict[str, Any]], tracer: Tracer) -> Rendering:
        marked = [
            {k: tracer.marked(v, ("messages", i, k)) for k, v in message.items()}
            for i, message in enumerate(messages)
        ]
        tools = self._chat.tools
        marked_tools = None if tools is None else tracer.marked(tools, ("tools",))
        with self._sandbox.tracing(tracer.marks(GENERATION), tracer.dump):
            rendered = self._sandbox.render(marked, marked_tools, size=2 * self._chat.size)
        return tracer.unmarked(rendered)
