"""Look at one block with all rules. This is the work of one worker.

In     a ``Block``.
Out    a ``Linted``: the ``Findings`` of the block.
Keeps  to what the data holds: records are read as any template would read them. With a tokenizer,
       the stages of ``prepare`` also make their rows.
Never  cuts a row: lengths are those before truncation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

import numpy as np
from xxhash import xxh3_64_intdigest

from sftprep.data.block import Block
from sftprep.data.conversation import Chat, Conversation, Dialogue, Record
from sftprep.data.result import BlockResult
from sftprep.errors import RecordError
from sftprep.lint.findings import Columns, Findings
from sftprep.lint.material import NOTHING, Material, Writing, material_of, text_of
from sftprep.lint.rule import Notes
from sftprep.lint.table import RULES
from sftprep.pipeline import Pipeline
from sftprep.reading.parsing import Parsed, parse_block
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import Normalizer, chat_normalizer, conversation_normalizer
from sftprep.schemas.table import EXCHANGES
from sftprep.settings import Settings
from sftprep.system.memory import keep_freed
from sftprep.templates.limits import TemplateLimits
from sftprep.templates.lookalikes import LOOKALIKE

WITHOUT_LIMIT = 2**40
"""A maximum length that no row reaches."""
NOT_TRAINED = "nothing_to_train"
BETWEEN = "\x1f"
"""Stands between the texts of a record where they are hashed together."""


@dataclass(frozen=True, kw_only=True)
class LintSettings:
    """What a linter is built from."""

    rules: tuple[str, ...]  # the names of the rules to run
    fields: dict[str, str]  # canonical field name -> the name that the data uses
    roles: dict[str, str] = field(default_factory=dict)
    merge_turns: bool = False
    cuts_end: bool = False
    glues: bool = False  # whether the template writes nothing between a prompt and its answer
    allowed: frozenset[str] = frozenset()  # texts of control tokens that are meant as tokens
    max_length: int = 0
    pipeline: Settings | None = None  # with a tokenizer

    @property
    def is_slow(self) -> bool:
        """Whether a block takes much longer than a worker process takes to start."""
        return self.pipeline is not None and self.pipeline.is_slow

    @property
    def untrusted(self) -> bool:
        """Whether the template is a program, which must run in a process that can be killed."""
        return self.pipeline is not None and self.pipeline.untrusted

    @property
    def template_name(self) -> str:
        """The name of the template, for messages."""
        return "" if self.pipeline is None else self.pipeline.template_name

    def light(self) -> Self:
        """Return the settings without the parts that only the parent process needs."""
        return self if self.pipeline is None else replace(self, pipeline=self.pipeline.light())


@dataclass
class Linted(BlockResult):
    """The result of a block: no rows, but findings."""

    findings: Findings = field(default_factory=Findings)


class Linter:
    """All rules, set up once for many blocks."""

    def __init__(self, settings: LintSettings) -> None:
        keep_freed()
        self._settings = settings
        self._rules = [RULES[name] for name in settings.rules]
        self._fields = Fields(
            settings.fields,
            roles=settings.roles,
            merge_turns=settings.merge_turns,
            cuts_end=settings.cuts_end,
        )
        self._readers: dict[str, Reader] = {}
        self._pipeline: Pipeline | None = None
        controls: dict[int, str] = {}
        bos = None
        if settings.pipeline is not None:
            whole = replace(
                settings.pipeline,
                max_length=WITHOUT_LIMIT,
                truncation="drop",
                rejects_omissions=False,
            )
            self._pipeline = Pipeline(whole)
            tokenizer = settings.pipeline.tokenizer
            controls = {token.id: token.content for token in tokenizer.controls.values()}
            bos = tokenizer.special_id("bos")
        self._writing = Writing(
            settings.glues, LOOKALIKE, settings.allowed, controls, bos, settings.max_length
        )

    @property
    def limits(self) -> TemplateLimits | None:
        """What a chat template may use; None if no program of others is run."""
        return None if self._pipeline is None else self._pipeline.limits

    def warm_up(self) -> None:
        """Load what the first block would have to wait for."""
        if self._pipeline is not None:
            self._pipeline.warm_up()

    def process(self, block: Block) -> Linted:
        """Look at the records of a block."""
        parsed = parse_block(block)
        reader = self._readers.setdefault(block.schema, Reader(block.schema, self._fields))
        material = reader.material(block, parsed)
        material.writing = self._writing
        if self._pipeline is not None:
            material.rows = self._pipeline.process_parsed(block, parsed)
        findings = Findings(records=material.records)
        for rule in self._rules:
            if rule.look is not None:
                notes = Notes(material)
                rule.look(material, notes)
                findings.tallies[rule.name] = notes.finished()
        if any(rule.look_over is not None for rule in self._rules):
            findings.columns.append(_columns(block, reader.used, material))
        read = material.records
        return Linted(
            block.source,
            block.shard,
            block.schema,
            len(block.data),
            read=read,
            blank=len(parsed.records) - read,
            findings=findings,
        )


class Reader:
    """Reads the records of files of one schema.

    Records with a prompt and a completion are read as built-in templates read them, which is fast,
    and what they refuse as chat templates read it: they refuse less.
    """

    def __init__(self, schema: str, fields: Fields) -> None:
        plain = conversation_normalizer(schema, fields)
        kind = plain.shape.schema if plain.shape is not None else ""
        self.is_exchange = kind in EXCHANGES
        self._only_plain = kind == "text"
        self._has_fields = kind == "instruction"
        readers: list[Normalizer[Any]] = [plain] if self.is_exchange or self._only_plain else []
        if not self._only_plain:
            readers.append(chat_normalizer(schema, fields))
        self._readers = readers
        self.used: list[tuple[int, Dialogue]] = []

    def material(self, block: Block, parsed: Parsed) -> Material:
        """Return the texts of a block."""
        records = parsed.records
        refused: list[tuple[int, RecordError]] = []
        untrained = 0
        lines: list[int] = []
        dialogues: list[Dialogue] = []
        good: list[Record] = []
        done = self._all(records)
        if done is not None:
            lines, dialogues, good = list(range(len(records))), done, cast(list[Record], records)
        else:
            for line, record in enumerate(records):
                if record is None:
                    continue
                try:
                    dialogues.append(self._read(record))
                except RecordError as error:
                    error.__traceback__ = error.__cause__ = error.__context__ = None
                    if error.reason == NOT_TRAINED:
                        untrained += 1
                    else:
                        refused.append((line, error))
                    continue
                lines.append(line)
                good.append(cast(Record, record))
        self.used = list(zip(lines, dialogues, strict=True))
        made = Material(block)
        if dialogues:
            made = material_of(block, lines, dialogues, is_exchange=self.is_exchange)
            made.unread = self._unread(good, lines)
        made.refused = refused
        made.has_fields = self._has_fields
        made.records = len(lines) + len(refused) + untrained
        if self._only_plain:
            made.pairs = made.pairs._replace(lines=(), prompts=(), answers=())
            made.prompts = NOTHING
            made.roles = []
        return made

    def _all(self, records: Sequence[Any]) -> list[Dialogue] | None:
        """Return all records as dialogues; None if one of them has to be looked at by itself."""
        if set(map(type, records)) != {dict}:
            return None
        first = self._readers[0]
        try:
            return list(map(first.reader_for(records), records))
        except RecordError:
            return None

    def _read(self, record: Record | RecordError) -> Dialogue:
        if isinstance(record, RecordError):
            raise record
        last: RecordError | None = None
        for reader in self._readers:
            try:
                return cast(Dialogue, reader.read(record))
            except RecordError as error:
                if error.reason == NOT_TRAINED:
                    raise
                last = error
        assert last is not None
        raise last

    def takes(self, record: Record) -> bool:
        """Return whether the rules look at the texts of a record: it is not refused."""
        try:
            self._read(record)
        except RecordError:
            return False
        return True

    def _unread(self, records: Sequence[Record], lines: Sequence[int]) -> dict[str, list[int]]:
        """Return the fields that nothing reads, with the lines of the records that have them."""
        understood = self._readers[-1].understood(records)
        prefix = "ignored_field:"
        return {
            reason.removeprefix(prefix): [lines[number] for number in sorted(numbers)]
            for reason, numbers in understood.holders.items()
            if reason.startswith(prefix)
        }


def _columns(block: Block, used: Sequence[tuple[int, Dialogue]], material: Material) -> Columns:
    """Return what rules that compare records need of each of them."""
    count = len(used)
    prompts, records = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
    lengths = np.zeros(count, np.int64)
    if material.is_exchange and len(material.pairs.lines) == count and not material.roles:
        _, before, answers = material.pairs
        prompts[:] = _hashes(before)
        records[:] = _hashes(answers) ^ (prompts * np.uint64(0x9E3779B97F4A7C15))
        lengths[:] = list(map(len, answers))
    else:
        for number, (_, dialogue) in enumerate(used):
            before_last, last = _texts(dialogue)
            prompt = xxh3_64_intdigest(before_last.encode())
            prompts[number] = prompt
            records[number] = xxh3_64_intdigest(last.encode(), seed=prompt)
            lengths[number] = len(last)
            if not before_last:  # without a prompt, a record is alone with its answer
                prompts[number] = records[number]
    lines = np.zeros(count, np.int64)
    offsets = np.full(count, -1, np.int64)
    places = [block.place(line) for line, _ in used]
    if places:
        lines[:] = [line for line, _ in places]
        offsets[:] = [-1 if offset is None else offset for _, offset in places]
    return Columns(
        np.full(count, block.source, np.int64), lines, offsets, prompts, records, lengths
    )


def _hashes(texts: Sequence[str]) -> "np.typing.NDArray[np.uint64]":
    digests = map(xxh3_64_intdigest, map(str.encode, texts))
    return np.fromiter(digests, np.uint64, len(texts))


def _texts(dialogue: Dialogue) -> tuple[str, str]:
    """Return all that comes before the last answer as one text, and the last answer."""
    if isinstance(dialogue, Conversation):
        roles, contents = dialogue.roles, dialogue.contents
        said = [
            f"{role}{BETWEEN}{contents[2 * n]}{BETWEEN}{contents[2 * n + 1]}"
            for n, role in enumerate(roles)
        ]
        return BETWEEN.join(said[:-1]), contents[-2]
    assert isinstance(dialogue, Chat)
    messages = dialogue.messages
    beside = f"{dialogue.tools or ''}{dialogue.arguments or ''}"
    said = [
        beside,
        *(
            f"{m['role']}{BETWEEN}{text_of(m.get('content'))}{m.get('tool_calls') or ''}"
            for m in messages
        ),
    ]
    last = messages[-1]
    return BETWEEN.join(said[:-1]), f"{text_of(last.get('content'))}{last.get('tool_calls') or ''}"
