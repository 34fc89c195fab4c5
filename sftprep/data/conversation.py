"""A record once its schema is known: a ``Conversation`` or a ``Chat``.

Built-in and YAML templates render a ``Conversation``: turns that alternate, with at most one system
turn, first. A model's own chat template renders a ``Chat``: messages as transformers passes them,
with tools and tool calls. Both are immutable and answer the same questions: the ``roles``, which
turns the record itself flags for training, the beginning ``until`` a turn, and the rest
``without`` some turns.
"""

from typing import Any, NamedTuple, Protocol, Self

Record = dict[str, Any]
"""A parsed record, before its schema is applied."""


class Message(NamedTuple):
    """One turn with its texts."""

    role: str  # system, user or assistant
    content: str
    input: str = ""  # the separate input of an instruction record
    train: bool | None = None  # the record's own flag; None: ``--train-on`` decides


class Turn(NamedTuple):
    """One turn without its texts."""

    role: str
    has_input: bool = False
    train: bool | None = None  # as ``Message.train``


class Dialogue(Protocol):
    """What ``Conversation`` and ``Chat`` have in common."""

    @property
    def roles(self) -> tuple[str, ...]:
        """The role of each turn."""
        ...

    @property
    def train(self) -> tuple[bool | None, ...]:
        """Of each turn, the record's own flag; None where ``--train-on`` decides."""
        ...

    def until(self, index: int) -> Self:
        """The turns up to and including turn ``index``."""
        ...

    def without(self, gone: slice) -> Self:
        """All turns except those of ``gone``, a slice with start and stop."""
        ...

    def with_train(self, flags: tuple[bool | None, ...]) -> Self:
        """The same turns with these training flags, one for each turn."""
        ...


def content_slot(turn: int) -> int:
    """Where the content of turn number ``turn`` stands in ``Conversation.contents``.

    >>> content_slot(1), input_slot(1)
    (2, 3)
    """
    return 2 * turn


def input_slot(turn: int) -> int:
    """Where the separate input of turn number ``turn`` stands in ``Conversation.contents``."""
    return 2 * turn + 1


class Conversation(NamedTuple):
    """An optional system turn, then user and assistant in alternation.

    Turns and texts are kept apart: records of one form share their turns, so a stage looks at
    those once.

    >>> Conversation.of(Message("user", "Hi"), Message("assistant", "Hello")).contents
    ('Hi', '', 'Hello', '')
    """

    turns: tuple[Turn, ...]
    contents: tuple[str, ...]  # content and input of each turn: see ``content_slot``

    @classmethod
    def of(cls, *messages: Message) -> Self:
        """Build from messages."""
        turns = tuple(Turn(m.role, m.input != "", m.train) for m in messages)
        return cls(turns, tuple(text for m in messages for text in (m.content, m.input)))

    @property
    def messages(self) -> tuple[Message, ...]:
        """The turns with their texts."""
        return tuple(
            Message(turn.role, content, extra, turn.train)
            for turn, content, extra in zip(
                self.turns, self.contents[::2], self.contents[1::2], strict=True
            )
        )

    @property
    def roles(self) -> tuple[str, ...]:
        """The role of each turn."""
        return tuple(turn.role for turn in self.turns)

    @property
    def train(self) -> tuple[bool | None, ...]:
        """Of each turn, the record's own flag; None where ``--train-on`` decides."""
        return tuple(turn.train for turn in self.turns)

    def until(self, index: int) -> Self:
        """The turns up to and including turn ``index``."""
        return type(self)(self.turns[: index + 1], self.contents[: content_slot(index + 1)])

    def without(self, gone: slice) -> Self:
        """All turns except those of ``gone``, a slice with start and stop."""
        texts = slice(content_slot(gone.start), content_slot(gone.stop))
        turns, contents = list(self.turns), list(self.contents)
        del turns[gone], contents[texts]
        return type(self)(tuple(turns), tuple(contents))

    def with_train(self, flags: tuple[bool | None, ...]) -> Self:
        """The same turns with these training flags, one for each turn."""
        turns = (t._replace(train=flag) for t, flag in zip(self.turns, flags, strict=True))
        return self._replace(turns=tuple(turns))


class Chat(NamedTuple):
    """Messages and tools as a model's own chat template reads them."""

    messages: list[dict[str, Any]]  # keys without a value are left out
    tools: list[Any] | None
    train: tuple[bool | None, ...]  # of each message: as ``Message.train``
    size: int  # characters of the record, about: limits what a template may write

    @property
    def roles(self) -> tuple[str, ...]:
        """The role of each message."""
        return tuple(message["role"] for message in self.messages)

    def until(self, index: int) -> Self:
        """The messages up to and including message ``index``."""
        return self._replace(messages=self.messages[: index + 1], train=self.train[: index + 1])

    def without(self, gone: slice) -> Self:
        """All messages except those of ``gone``, a slice with start and stop."""
        messages, train = list(self.messages), list(self.train)
        del messages[gone], train[gone]
        return self._replace(messages=messages, train=tuple(train))

    def with_train(self, flags: tuple[bool | None, ...]) -> Self:
        """The same messages with these training flags, one for each message."""
        return self._replace(train=flags)
