"""Render one chat, whole or only its beginning, to see where the record's texts end up.

In     a ``Chat`` and the sandbox of its template.
Out    ``Rendering``: of the whole chat, of the chat up to a message, and of the chat up to a
       message with another message after it. Also prompts, without provenance.
Raises RecordError: the template refuses this part of the chat, or fails on it.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from datetime import date
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError
from sftprep.system.cpu_limit import CpuLimit
from sftprep.templates.jinja.prefixes import Beginning
from sftprep.templates.jinja.sandbox import Environment, Sandbox
from sftprep.templates.jinja.traced_environment import TracedEnvironment
from sftprep.templates.jinja.tracing import Rendering, Tracer

USER: dict[str, Any] = {"role": "user", "content": "-"}
TOOL_RESULT: dict[str, Any] = {"role": "tool", "content": "-"}


class TracedSandbox(Sandbox):
    """A chat template that is rendered with provenance.

    Args:
        source, name, today, variables, limit: as for ``Sandbox``.
        environment: as for ``Sandbox``; it makes a ``TracedEnvironment``.
        neutral: whether the chats are neutral chats (see ``neutral``).
    """

    def __init__(
        self,
        source: str,
        *,
        name: str,
        today: date | None,
        variables: Mapping[str, Any],
        limit: CpuLimit | None = None,
        environment: Callable[[date | None], Environment] = TracedEnvironment,
        neutral: bool = False,
    ) -> None:
        super().__init__(
            source,
            name=name,
            today=today,
            variables=variables,
            limit=limit,
            environment=environment,
        )
        assert isinstance(self._environment, TracedEnvironment)
        self._traced: TracedEnvironment = self._environment
        self._neutral = neutral
        self._writers: list[tuple[int, int | None]] = []

    @property
    def main_loop_decides(self) -> bool:
        """Whether the template has a main loop, see ``main_loops``."""
        return self._traced.main_loop_decides

    @property
    def tracer(self) -> Tracer:
        """The tracer of the last rendering."""
        return self._traced.tracer

    def trace_whole(self, chat: Chat) -> Rendering:
        """Render a chat, and prove what its prompts are as far as possible."""
        if not self.main_loop_decides:
            return self.trace(chat.messages, chat)
        try:
            return self.trace(chat.messages, chat, proves=True)
        except RecordError:
            # The cause may be what was rendered for the prompts.
            if not self.tracer.prefixes.were_alone:
                raise
        return self.trace(chat.messages, chat)

    def trace(
        self,
        messages: list[dict[str, Any]],
        chat: Chat,
        *,
        generation_prompt: bool = False,
        proves: bool = False,
    ) -> Rendering:
        """Render messages with the tools and arguments of a chat.

        Args:
            messages: the messages.
            chat: the chat.
            generation_prompt: whether to end with the text that asks the model to answer.
            proves: whether to prove what the template writes before answers, see ``prefixes``.
        """
        answers = (i for i, message in enumerate(messages) if message["role"] == "assistant")
        tracer = self._traced.tracer = Tracer(
            neutral=self._neutral,
            wanted=tuple(answers) if proves else (),
            count=len(messages),
            is_on=proves,
        )
        text = self.render(
            tracer.traced(messages, ("messages",)),
            None if chat.tools is None else tracer.traced(chat.tools, ("tools",)),
            size=chat.size,
            add_generation_prompt=generation_prompt,
            arguments=[(n, tracer.traced(v, ("arguments", n))) for n, v in chat.arguments],
        )
        return Rendering(text, self._writers)

    def _stretches(self, values: dict[str, Any], limit: int) -> Iterator[str]:
        self._writers = []
        tracer = self._traced.tracer
        prefixes = tracer.prefixes
        for text in super()._stretches(values, limit):
            if prefixes.alone is not None:
                prefixes.write_alone(text)
                continue
            self._writers.append((len(text), tracer.at))
            prefixes.position += len(text)
            yield text


class TracedChat:
    """One chat of a template.

    Args:
        sandbox: the chat template.
        chat: the chat.
        plain: renders the same template faster, without provenance. None: a neutral chat must be
            rendered with ``sandbox``, which hides its JSON.
    """

    def __init__(self, sandbox: TracedSandbox, chat: Chat, plain: Sandbox | None) -> None:
        self._sandbox = sandbox
        self._chat = chat
        self._plain = plain
        self._generation_prompt: str | None = None
        self._text = ""  # of the whole chat
        self._beginnings: dict[int, Beginning] = {}  # as ``Prefixes.beginnings``
        self._depends_on_asking = False  # whether these hold for prompts only
        self._endings: dict[tuple[bool, Hashable], str] = {}  # what follows the main loop

    def whole(self) -> Rendering:
        """Render the whole chat."""
        rendering = self._sandbox.trace_whole(self._chat)
        self._text = rendering.text
        prefixes = self._sandbox.tracer.prefixes
        self._beginnings, self._depends_on_asking = prefixes.beginnings, prefixes.depends_on_asking
        return rendering

    def until(self, message: int) -> Rendering:
        """Render the chat up to and including a message."""
        return self._sandbox.trace(self._chat.messages[: message + 1], self._chat)

    def prompt(self, message: int, *, generation_prompt: bool) -> str | None:
        """Render the messages before a message; None if the template does not accept them.

        Where the rendering of the whole chat proves the text, nothing is rendered again.
        """
        beginning = self._beginnings.get(message)
        if beginning is None or (self._depends_on_asking and not generation_prompt):
            return self._prompt(message, generation_prompt)
        known = self._text[: beginning.position] + beginning.more
        ending = self._endings.get((generation_prompt, beginning.state))
        if ending is not None:
            return known + ending
        text = self._prompt(message, generation_prompt)
        if text is not None and text.startswith(known):
            self._endings[generation_prompt, beginning.state] = text.removeprefix(known)
        return text

    def _prompt(self, message: int, generation_prompt: bool) -> str | None:
        """Render the messages before a message; None if the template does not accept them."""
        try:
            return self._rendered(self._chat.messages[:message], generation_prompt)
        except RecordError:
            return None

    def generation_prompt(self) -> str:
        """Return the generation prompt after a made-up user message; "" if there is none."""
        if self._generation_prompt is None:
            self._generation_prompt = ""
            try:
                with_prompt, without = (self._rendered([USER], prompt) for prompt in (True, False))
            except RecordError:
                return ""
            if with_prompt.startswith(without):
                self._generation_prompt = with_prompt[len(without) :]
        return self._generation_prompt

    def when_followed(self, message: int) -> Rendering | None:
        """Render the chat up to a message, with a made-up message after it.

        That is a tool's result after calls, otherwise a user message. Return None if the template
        accepts neither, or does not write it.
        """
        following = [USER, TOOL_RESULT]
        if self._chat.messages[message].get("tool_calls"):
            following.reverse()
        for made_up in following:
            messages = [*self._chat.messages[: message + 1], made_up]
            try:
                rendering = self._sandbox.trace(messages, self._chat)
            except RecordError:
                continue
            own = rendering.turn(message)
            if own is not None and rendering.next_content(own) is not None:
                return rendering
        return None

    def _rendered(self, messages: list[dict[str, Any]], generation_prompt: bool) -> str:
        if self._plain is None:
            chat = self._chat
            return self._sandbox.trace(messages, chat, generation_prompt=generation_prompt).text
        return self._plain.render(
            messages,
            self._chat.tools,
            size=self._chat.size,
            add_generation_prompt=generation_prompt,
            arguments=self._chat.arguments,
        )
