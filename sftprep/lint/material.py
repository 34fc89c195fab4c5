"""The records of a block as rules look at them: their texts in columns, by the role they have.

In     dialogues, and what is wrong with the records that are none.
Out    ``Material``: columns of texts, each text with the line of its record.
Keeps  a column in the order of the input. A text is in one column only, but ``Pairs`` and
       ``all_texts`` give them once more in another grouping.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain, compress, repeat
from operator import contains
from typing import Any, NamedTuple

from sftprep.data.batch import Batch
from sftprep.data.block import Block
from sftprep.data.conversation import Chat, Conversation, Dialogue
from sftprep.data.result import BlockResult
from sftprep.errors import RecordError


class Column(NamedTuple):
    """Texts, each with the index of its record's line in the block."""

    lines: Sequence[int]
    texts: Sequence[str]

    def __len__(self) -> int:
        return len(self.texts)

    def holding(self, string: str) -> "Column":
        """Return those of the texts that hold a string."""
        return self.kept(list(map(contains, self.texts, repeat(string))))

    def kept(self, keep: Sequence[bool]) -> "Column":
        """Return those of the texts for which ``keep`` is true."""
        if not any(keep):
            return NOTHING
        return Column(list(compress(self.lines, keep)), list(compress(self.texts, keep)))

    def short(self, longest: int) -> "Column":
        """Return those of the texts that have at most so many characters."""
        return self.kept(list(map(longest.__ge__, map(len, self.texts))))

    def pairs(self) -> Iterator[tuple[int, str]]:
        """Yield each text with its line."""
        return zip(self.lines, self.texts, strict=True)


NOTHING = Column((), ())
NEVER = re.compile(r"(?!)")


class Pairs(NamedTuple):
    """Answers with the text of the user that each of them follows."""

    lines: Sequence[int]
    prompts: Sequence[str]
    answers: Sequence[str]


@dataclass(frozen=True)
class Writing:
    """What the options say about how these records are to be written."""

    glues: bool = False  # whether the template writes nothing between a prompt and its answer
    lookalikes: re.Pattern[str] = NEVER  # finds what looks like a control token
    allowed: frozenset[str] = frozenset()  # such texts that are meant as tokens
    controls: Mapping[int, str] = field(default_factory=dict)  # id of a control token -> its text
    bos: int | None = None  # the id of the BOS token
    max_length: int = 0


@dataclass
class Material:
    """The records of a block."""

    block: Block
    systems: Column = NOTHING
    prompts: Column = NOTHING  # what users say
    inputs: Column = NOTHING  # the separate inputs of instructions
    answers: Column = NOTHING
    reasoning: Column = NOTHING
    tools: Column = NOTHING  # the results of tools
    pairs: Pairs = field(default_factory=lambda: Pairs((), (), ()))
    roles: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)  # of chats
    is_exchange: bool = False  # whether records are a prompt and a completion, not messages
    has_fields: bool = False  # whether these are an instruction, which a template puts into words
    writing: Writing = field(default_factory=Writing)
    refused: list[tuple[int, RecordError]] = field(default_factory=list)
    unread: dict[str, list[int]] = field(default_factory=dict)  # field that is not read -> lines
    records: int = 0  # how many there are, refused ones included
    rows: BlockResult | None = None  # with a tokenizer: what the pipeline makes of them

    def place(self, line: int) -> tuple[int, int, int | None]:
        """Return the source, the line and the byte offset of a record."""
        return self.block.source, *self.block.place(line)

    @property
    def batch(self) -> Batch | None:
        """The rows; None if there are none."""
        return None if self.rows is None else self.rows.batch

    @cached_property
    def all_texts(self) -> Column:
        """All texts."""
        parts = (
            self.systems, self.prompts, self.inputs, self.answers, self.reasoning, self.tools,
        )  # fmt: skip
        return Column(
            list(chain.from_iterable(part.lines for part in parts)),
            list(chain.from_iterable(part.texts for part in parts)),
        )

    @cached_property
    def joined(self) -> str:
        """All texts as one, so that what none of them holds is looked for once."""
        return "\n".join(self.all_texts.texts)

    @cached_property
    def foreign(self) -> str:
        """The texts beyond ASCII as one."""
        return "\n".join(self.beyond_ascii.texts)

    @cached_property
    def beyond_ascii(self) -> Column:
        """The texts with characters that are not ASCII."""
        if self.joined.isascii():
            return NOTHING
        return self.all_texts.kept([not text.isascii() for text in self.all_texts.texts])


class _Lists:
    """The columns of a material while they are made."""

    def __init__(self) -> None:
        self.columns: dict[str, tuple[list[int], list[str]]] = {}
        self.pairs: tuple[list[int], list[str], list[str]] = ([], [], [])
        self.roles: list[tuple[int, tuple[str, ...]]] = []

    def add(self, role: str, line: int, text: str) -> None:
        lines, texts = self.columns.setdefault(role, ([], []))
        lines.append(line)
        texts.append(text)

    def add_pair(self, line: int, prompt: str, answer: str) -> None:
        lines, prompts, answers = self.pairs
        lines.append(line)
        prompts.append(prompt)
        answers.append(answer)

    def column(self, role: str) -> Column:
        return Column(*self.columns.get(role, ((), ())))


def material_of(
    block: Block, lines: Sequence[int], dialogues: Sequence[Dialogue], *, is_exchange: bool
) -> Material:
    """Return the texts of some records.

    Args:
        block: the block that holds them.
        lines: for each record, the index of its line in the block.
        dialogues: the records.
        is_exchange: whether they are a prompt and a completion each.
    """
    made = _exchanges(block, lines, dialogues) or _mixed(block, lines, dialogues)
    made.is_exchange = is_exchange
    return made


def _exchanges(
    block: Block, lines: Sequence[int], dialogues: Sequence[Dialogue]
) -> Material | None:
    """Return the texts of records that all are one prompt and one answer; else None."""
    if set(map(type, dialogues)) != {Conversation}:
        return None
    turns = {dialogue.turns for dialogue in dialogues}  # type: ignore[attr-defined]
    if {tuple(turn.role for turn in some) for some in turns} != {("user", "assistant")}:
        return None
    contents: Iterable[Any] = (dialogue.contents for dialogue in dialogues)  # type: ignore[attr-defined]
    prompts, inputs, answers, _ = zip(*contents, strict=True)
    has_input = list(map(bool, inputs))
    both: Sequence[str] = prompts
    if any(has_input):
        both = [f"{p}\n{i}" if i else p for p, i in zip(prompts, inputs, strict=True)]
    return Material(
        block,
        prompts=Column(lines, prompts),
        inputs=Column(lines, inputs).kept(has_input),
        answers=Column(lines, answers),
        pairs=Pairs(lines, both, answers),
    )


def _mixed(block: Block, lines: Sequence[int], dialogues: Sequence[Dialogue]) -> Material:
    lists = _Lists()
    for line, dialogue in zip(lines, dialogues, strict=True):
        if isinstance(dialogue, Conversation):
            _add_conversation(lists, line, dialogue)
        elif isinstance(dialogue, Chat):
            _add_chat(lists, line, dialogue)
    return Material(
        block,
        systems=lists.column("system"),
        prompts=lists.column("user"),
        inputs=lists.column("input"),
        answers=lists.column("assistant"),
        reasoning=lists.column("reasoning"),
        tools=lists.column("tool"),
        pairs=Pairs(*lists.pairs),
        roles=lists.roles,
    )


def _add_conversation(lists: _Lists, line: int, dialogue: Conversation) -> None:
    before = ""
    for message in dialogue.messages:
        lists.add(message.role, line, message.content)
        text = message.content
        if message.input:
            lists.add("input", line, message.input)
            text = f"{text}\n{message.input}"
        if message.role == "assistant" and before:
            lists.add_pair(line, before, text)
        before = text if message.role == "user" else ""
    lists.roles.append((line, dialogue.roles))


def _add_chat(lists: _Lists, line: int, chat: Chat) -> None:
    add, before = lists.add, ""
    for message in chat.messages:
        role, content = message["role"], message.get("content")
        text = content if isinstance(content, str) else text_of(content)
        if role == "assistant":
            if reasoning := message.get("reasoning_content"):
                add("reasoning", line, reasoning)
            if "tool_calls" in message and not text:
                before = ""
                continue  # an answer that only calls a tool has no text
            if before:
                lists.add_pair(line, before, text)
        add("system" if role == "developer" else role, line, text)
        before = text if role == "user" else ""
    lists.roles.append((line, chat.roles))


def text_of(content: Any) -> str:
    """Return the text of a message's content, with its parts joined."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if isinstance(part.get("text"), str))
    return content if isinstance(content, str) else ""


def chosen(items: Sequence[Any], test: Callable[[Any], bool]) -> list[int]:
    """Return the numbers of the items that pass a test."""
    return [number for number, item in enumerate(items) if test(item)]
