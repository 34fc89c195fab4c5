"""One block through all stages, from bytes to a cut Batch: the work of one worker.

In     a ``Block``.
Out    a ``BlockResult``: rows in input order, and every record that gave none, with its reason.
Keeps  each record's place, so that whatever becomes of it can be said with file and line.

This is the one place where a ``RecordError`` is caught; what then happens to the run is decided by
``prepare``.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from sftprep.build import Built, RowBuilder
from sftprep.controls import ControlStrings
from sftprep.encode import Encoder
from sftprep.encoding import Encoding
from sftprep.errors import RecordError
from sftprep.normalize import Fields, Record, normalizer, output_field
from sftprep.parse import parse_line
from sftprep.per_turn import per_turn
from sftprep.read import Block
from sftprep.records import Batch, Dialogue, DropReason
from sftprep.render import Rendered, Renderer
from sftprep.templates import ChatTemplate, Template
from sftprep.tokenizer import Tokenizer
from sftprep.truncate import NEEDS_PARTS, drop_oldest, exchanges, truncate

JSON_SPACE = b" \t\r\n"  # Python knows more white space


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a worker needs to know: plain data, to be sent to another process."""

    tokenizer: Tokenizer
    template: Template | ChatTemplate
    fields: dict[str, str]
    system: str | None
    separator: str
    allowed: tuple[str, ...]  # control tokens that content may be
    rejects_controls: bool = False  # whether a record with a control token's text is refused
    max_length: int
    truncation: str
    train_on: str
    per_turn: bool = False
    boundary: str
    backend: str
    encoding: Encoding | None = None  # what ``prove`` found for tokenizer, allowed and backend

    @property
    def is_slow(self) -> bool:
        """Whether a block takes much longer than a process takes to start."""
        return self.untrusted or self.encoding is None or not self.encoding.first.is_fast

    def light(self) -> "Settings":
        """Without what only the parent of workers needs."""
        return replace(self, tokenizer=self.tokenizer.light())

    @property
    def untrusted(self) -> bool:
        """Whether the template is a program: it then runs in a process that can be ended."""
        return isinstance(self.template, ChatTemplate)


class Lost(NamedTuple):
    """A record that gave no row."""

    source: int
    line: int
    offset: int
    reason: str
    error: RecordError | None  # None where a good record was dropped by policy
    raw: bytes
    tokens: int | None = None  # the record's length before any cut, where it came so far


@dataclass
class BlockResult:
    """What became of a block's records."""

    source: int
    shard: int
    schema: str
    size: int  # bytes of the block
    batch: Batch | None = None  # None where no row is left; ``record`` counts the block's lines
    read: int = 0
    blank: int = 0
    rejected: list[Lost] = field(default_factory=list)
    dropped: list[Lost] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    controls: Counter[str] = field(default_factory=Counter)
    outputs: Counter[str] = field(default_factory=Counter)  # what instruction records call theirs


class _Fitted(NamedTuple):
    """The rows of a block before the cut."""

    built: Built
    gone: dict[int, int]  # how many exchanges each shortened row lost
    refused: dict[int, RecordError]  # rows that must not be written
    rewritten: list[bool]  # chats: whether an answer follows other ids than at inference


class Pipeline:
    """All stages, set up once."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        tokenizer = settings.tokenizer
        self.encoder = Encoder(
            tokenizer,
            allowed=settings.allowed,
            backend=settings.backend,
            encoding=settings.encoding,
        )
        self._renderer = _renderer(settings)
        self._builder = RowBuilder(
            self.encoder,
            self._renderer.pieces,
            tokenizer.controls,
            joint=settings.boundary == "joint",
            with_parts=settings.truncation in NEEDS_PARTS,
        )
        self._fields = Fields(settings.fields)
        self._strings = ControlStrings(set(tokenizer.controls) - set(settings.allowed))
        self._is_chat = settings.untrusted
        self._normalizers: dict[str, Callable[[Record], Dialogue]] = {}

    def run(self, block: Block) -> BlockResult:
        """Take one block from bytes to rows."""
        if self._is_chat and self._renderer.forget():
            self._builder.forget()
        self.encoder.trim()
        result = BlockResult(block.source, block.shard, block.schema, len(block.data))
        lines = block.lines()
        places: list[int] = []  # which line each conversation came from
        conversations: list[Dialogue] = []
        rendered: list[Rendered] = []
        normalize = self._normalizer(block.schema)
        for index, line in enumerate(lines):
            if not line or (line.isspace() and not line.strip(JSON_SPACE)):
                result.blank += 1
                continue
            result.read += 1
            try:
                if block.broken:
                    raise block.broken
                record = parse_line(line)
                examples = self._examples(normalize(record))
                rendered += [self._rendered(example) for example in examples]
            except RecordError as error:
                result.rejected.append(_lost(block, index, line, error.reason, error))
                continue
            conversations += examples
            places += [index] * len(examples)
            result.counts["extra_examples"] += len(examples) - 1
            if block.schema == "instruction":
                result.outputs[output_field(record, self._fields)] += 1
        if rendered:
            self._count_controls(rendered, result)
            fitted = self._fitted(conversations, rendered)
            self._finish(block, lines, places, fitted, result)
        return result

    def _normalizer(self, schema: str) -> Callable[[Record], Dialogue]:
        if schema not in self._normalizers:
            make: Any = normalizer
            if self._is_chat:
                from sftprep.chat_normalize import chat_normalizer as make
            self._normalizers[schema] = make(schema, self._fields, self.settings.system)
        return self._normalizers[schema]

    def _examples(self, dialogue: Dialogue) -> list[Dialogue]:
        """The record, or with ``per_turn`` one example for each answer that is to be trained."""
        if not self.settings.per_turn:
            return [dialogue]
        examples = per_turn(dialogue)
        return examples[-1:] if self.settings.train_on == "last" else examples

    def _rendered(self, conversation: Dialogue) -> Rendered:
        rendered: Rendered = self._renderer.render(conversation)
        if self.settings.rejects_controls:
            found = self._strings.find([rendered.contents])[1]
            if found:
                raise RecordError(
                    "control_string",
                    f"the record holds the text of a control token: {', '.join(found)}",
                )
        return rendered

    def _count_controls(self, rendered: Sequence[Rendered], result: BlockResult) -> None:
        holders, found = self._strings.find([r.contents for r in rendered])
        result.counts["control_records"] += holders
        result.controls.update(found)

    def _fitted(self, conversations: list[Dialogue], rendered: list[Rendered]) -> _Fitted:
        """Build the rows; with ``oldest-turns``, from as many of the latest exchanges as fit."""
        built = self._builder.build(rendered)
        gone: dict[int, int] = {}
        refused: dict[int, RecordError] = {}
        if self.settings.truncation == "oldest-turns":
            long = np.flatnonzero(built.batch.lengths > self.settings.max_length).tolist()
            counts = {i: n for i in long if (n := exchanges(conversations[i])) > 1}
            shorter = _Shorter(conversations, self._renderer.render, refused)
            gone = self._fewest_dropped(shorter, counts)
            for index, count in gone.items():
                rendered[index] = shorter.render(index, count) or rendered[index]
            built = self._builder.build(rendered) if gone else built
        rewritten = [self._renderer.rewrites(r.shape) for r in rendered] if self._is_chat else []
        refused |= dict.fromkeys(built.leaks, LEAK)
        return _Fitted(built, gone, refused, rewritten)

    def _fewest_dropped(self, shorter: "_Shorter", counts: dict[int, int]) -> dict[int, int]:
        """For each long conversation, the fewest exchanges to drop (all but one if none do)."""
        low = dict.fromkeys(counts, 1)
        high = {i: n - 1 for i, n in counts.items()}
        while tried := {
            i: rendered
            for i in counts
            if low[i] < high[i] and (rendered := shorter.render(i, (low[i] + high[i]) // 2))
        }:
            lengths = self._builder.build(list(tried.values())).batch.lengths.tolist()
            for i, length in zip(tried, lengths, strict=True):
                middle = (low[i] + high[i]) // 2
                if length <= self.settings.max_length:
                    high[i] = middle
                else:
                    low[i] = middle + 1
        return high

    def _finish(
        self, block: Block, lines: Sequence[bytes], places: Sequence[int], fitted: _Fitted,
        result: BlockResult,
    ) -> None:  # fmt: skip
        """Cut the rows, and say of each record that gives none why."""
        settings, built = self.settings, fitted.built
        cut = truncate(built.batch, settings.max_length, settings.truncation)
        lengths = built.batch.lengths
        lost: dict[int, RecordError | str] = dict(fitted.refused)
        for row, reason in cut.dropped.items():
            if row in lost:
                continue
            lost[row] = reason.value
            if reason is DropReason.TOO_LONG and settings.truncation == "error":
                lost[row] = _too_long(int(lengths[row]), settings.max_length)
            elif reason is DropReason.NOTHING_TO_TRAIN and row in fitted.gone:
                lost[row] = DropReason.CUT_TO_NOTHING.value  # it went with the oldest
        for row, why in sorted(lost.items()):
            line, tokens = lines[places[row]], int(lengths[row])
            if isinstance(why, str):
                gone = _lost(block, places[row], line, why, None)
                result.dropped.append(gone._replace(tokens=tokens))
            else:
                gone = _lost(block, places[row], line, why.reason, why)
                result.rejected.append(gone._replace(tokens=tokens))
        result.rejected.sort(key=lambda lost: lost.offset)
        batch = cut.batch
        if fitted.refused:
            batch = batch.keep_rows(~np.isin(batch.record, list(fitted.refused)))
        result.counts["truncated"] += cut.truncated
        _count(batch, fitted, result.counts)
        if len(batch):
            result.batch = replace(batch, record=np.array(places, np.int64)[batch.record])


class _Shorter:
    """Conversations without their oldest exchanges; one that cannot be rendered so is refused."""

    def __init__(
        self,
        conversations: Sequence[Dialogue],
        render: Callable[[Dialogue], Rendered],
        refused: dict[int, RecordError],
    ) -> None:
        self._conversations = conversations
        self._render = render
        self._refused = refused

    def render(self, index: int, count: int) -> Rendered | None:
        """Conversation ``index`` without its oldest exchanges; None where it is refused."""
        if index in self._refused:
            return None
        try:
            return self._render(drop_oldest(self._conversations[index], count))
        except RecordError as error:
            self._refused[index] = error
            return None


def _count(batch: Batch, fitted: _Fitted, counts: Counter[str]) -> None:
    """Count what was written."""
    written = batch.record.tolist()
    counts["shortened"] += len(fitted.gone.keys() & set(written))
    counts["exchanges_dropped"] += sum(fitted.gone.get(row, 0) for row in written)
    counts["unclean_boundaries"] += sum(map(fitted.built.unclean.__getitem__, written))
    if fitted.rewritten:
        counts["rewritten_histories"] += sum(map(fitted.rewritten.__getitem__, written))
    counts["tokens"] += len(batch.input_ids)
    counts["trained_tokens"] += int(batch.loss_mask.sum())


LEAK = RecordError(
    "control_from_text", "the tokenizer turns text of the record into a control token"
)


def _renderer(settings: Settings) -> Any:
    """The renderer for the settings' template; both kinds have ``render`` and ``pieces``."""
    tokenizer, template = settings.tokenizer, settings.template
    bos = tokenizer.special.get("bos", "")
    if isinstance(template, ChatTemplate):
        from sftprep.chat import ChatRenderer  # Jinja is not loaded where it is not needed

        return ChatRenderer(
            template,
            variables=tokenizer.variables,
            controls=tokenizer.controls,
            bos=bos,
            train_on=settings.train_on,
        )
    return Renderer(
        template,
        bos=bos,
        eos=tokenizer.special.get("eos", ""),
        implicit_bos=tokenizer.adds_bos,
        separator=settings.separator,
        train_on=settings.train_on,
        allowed=settings.allowed,
    )


def _lost(block: Block, index: int, line: bytes, reason: str, error: RecordError | None) -> Lost:
    number, offset = block.place(index)
    if error is not None:
        number, error = block.located(index, error)
    return Lost(block.source, number, offset, reason, error, line)


def _too_long(tokens: int, max_length: int) -> RecordError:
    return RecordError(
        DropReason.TOO_LONG.value,
        f"the record has {tokens:,} tokens, over the limit of {max_length:,}",
        "Raise --max-length, choose another --truncation",
    )
