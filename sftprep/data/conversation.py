"""A record after its schema was applied: a ``Conversation`` or a ``Chat``.

Built-in and YAML templates render a ``Conversation``: user and assistant turns that alternate, with
at most one system turn, which comes first. A model's own chat template renders a ``Chat``: messages
in the form that transformers passes to it, with tools and tool calls. Both are immutable: their
methods return a changed copy. Both have the methods of ``Dialogue``.
"""

from typing import Any, NamedTuple, Protocol, Self

Record = dict[str, Any]
"""A parsed JSON object, before its schema is applied."""
WHOLE = ""
"""The only key of a record that is not an object but a list: its value is the list."""


class Message(NamedTuple):
    """One turn of a conversation, with its texts."""

    role: str  # system, user or assistant
    content: str
    input: str = ""  # the separate input of an instruction record
    train: bool | None = None  # the record's own flag; None: ``--train-on`` decides


class Turn(NamedTuple):
    """One turn of a conversation, without its texts."""

    role: str
    has_input: bool = False
    train: bool | None = None  # as ``Message.train``


class Dialogue(Protocol):
    """The properties and methods that ``Conversation`` and ``Chat`` have in common."""

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the role of each turn."""
        ...

    @property
    def omitted(self) -> tuple[str, ...]:
        """Return the names of what the record has and the kind of template cannot take."""
        ...

    @property
    def train(self) -> tuple[bool | None, ...]:
        """Return each turn's own train flag; None if ``--train-on`` decides."""
        ...

    def until(self, index: int) -> Self:
        """Return the turns up to and including turn ``index``."""
        ...

    def without(self, gone: slice) -> Self:
        """Return all turns except those in ``gone``, a slice with start and stop."""
        ...

    def with_train(self, flags: tuple[bool | None, ...]) -> Self:
        """Return the same turns with these train flags, one for each turn."""
        ...


def content_slot(turn: int) -> int:
    """Return the index of a turn's content in ``Conversation.contents``.

    >>> content_slot(1), input_slot(1)
    (2, 3)
    """
    return 2 * turn


def input_slot(turn: int) -> int:
    """Return the index of a turn's separate input in ``Conversation.contents``."""
    return 2 * turn + 1


def turn_of_slot(slot: int) -> int:
    """Return the turn that a content or input belongs to, by its index in the contents."""
    return slot // 2


class Conversation(NamedTuple):
    """An optional system turn, then user and assistant turns that alternate.

    Turns and texts are stored separately: many records have equal turns, so a stage can reuse
    what it has computed from the turns alone.

    >>> Conversation.of(Message("user", "Hi"), Message("assistant", "Hello")).contents
    ('Hi', '', 'Hello', '')
    """

    turns: tuple[Turn, ...]
    contents: tuple[str, ...]  # content and input of each turn, see ``content_slot``
    omitted: tuple[str, ...] = ()  # what the record has and no built-in or YAML template takes

    @classmethod
    def of(cls, *messages: Message) -> Self:
        """Build a conversation from messages."""
        turns = tuple(Turn(m.role, m.input != "", m.train) for m in messages)
        return cls(turns, tuple(text for m in messages for text in (m.content, m.input)))

    @property
    def messages(self) -> tuple[Message, ...]:
        """Return the turns with their texts."""
        return tuple(
            Message(turn.role, content, extra, turn.train)
            for turn, content, extra in zip(
                self.turns, self.contents[::2], self.contents[1::2], strict=True
            )
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the role of each turn."""
        return tuple(turn.role for turn in self.turns)

    @property
    def train(self) -> tuple[bool | None, ...]:
        """Return each turn's own train flag; None if ``--train-on`` decides."""
        return tuple(turn.train for turn in self.turns)

    def until(self, index: int) -> Self:
        """Return the turns up to and including turn ``index``."""
        return self._replace(
            turns=self.turns[: index + 1], contents=self.contents[: content_slot(index + 1)]
        )

    def without(self, gone: slice) -> Self:
        """Return all turns except those in ``gone``, a slice with start and stop."""
        texts = slice(content_slot(gone.start), content_slot(gone.stop))
        turns, contents = list(self.turns), list(self.contents)
        del turns[gone], contents[texts]
        return self._replace(turns=tuple(turns), contents=tuple(contents))

    def with_train(self, flags: tuple[bool | None, ...]) -> Self:
        """Return the same turns with these train flags, one for each turn."""
        turns = (t._replace(train=flag) for t, flag in zip(self.turns, flags, strict=True))
        return self._replace(turns=tuple(turns))


class Chat(NamedTuple):
    """Messages, tools and arguments in the form that a model's own chat template takes."""

    # Without loss flags, and without keys whose value is null, except ``content``. Content may be a
    # list of text parts. Arguments of tool calls are objects or JSON text, as the record has them.
    messages: list[dict[str, Any]]
    tools: list[Any] | None  # None if the record says nothing of tools; [] if it says: no tools
    train: tuple[bool | None, ...]  # for each message, as ``Message.train``
    size: int  # the record's approximate number of characters; it limits a template's output
    omitted: tuple[str, ...] = ()  # what the record has and no chat template takes
    arguments: tuple[tuple[str, Any], ...] = ()  # the record's own template arguments, by name

    @property
    def roles(self) -> tuple[str, ...]:
        """Return the role of each message."""
        return tuple(message["role"] for message in self.messages)

    def until(self, index: int) -> Self:
        """Return the messages up to and including message ``index``."""
        return self._replace(messages=self.messages[: index + 1], train=self.train[: index + 1])

    def without(self, gone: slice) -> Self:
        """Return all messages except those in ``gone``, a slice with start and stop."""
        messages, train = list(self.messages), list(self.train)
        del messages[gone], train[gone]
        return self._replace(messages=messages, train=tuple(train))

    def with_train(self, flags: tuple[bool | None, ...]) -> Self:
        """Return the same messages with these train flags, one for each message."""
        return self._replace(train=flags)
