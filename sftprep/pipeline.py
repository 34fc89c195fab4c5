"""One block through all stages, from bytes to a cut Batch: the work of one worker.

In     a ``Block``.
Out    a ``BlockResult``: rows in input order, and every record that gave none, with its reason.
Keeps  each record's place, so that whatever becomes of it can be said with file and line.

This is the one place where a ``RecordError`` is caught; what then happens to the run is decided by
``prepare``.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, cast

import numpy as np

from sftprep.data.batch import Batch, DropReason
from sftprep.data.block import Block
from sftprep.data.conversation import Dialogue, Record
from sftprep.data.pieces import Rendered
from sftprep.data.ragged import Mask
from sftprep.data.result import BlockResult, LostRecord
from sftprep.errors import RecordError
from sftprep.rows.builder import Built, RowBuilder
from sftprep.rows.oldest_turns import Shorter, fewest_dropped
from sftprep.rows.truncation import NEEDS_SECTIONS, exchanges, truncate
from sftprep.schemas.fields import Fields
from sftprep.schemas.per_turn import per_turn
from sftprep.schemas.plain import normalizer, output_field
from sftprep.strict_json import Parsed, parse_lines
from sftprep.system.memory import keep_freed
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import ChatTemplate, Template
from sftprep.tokenization.control_strings import ControlStrings
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.proof import Encoding
from sftprep.tokenization.tokenizer import Tokenizer


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


class _Read(NamedTuple):
    """What could be rendered of a block; with ``per_turn`` one record may be several."""

    places: list[int]  # which line each came from
    dialogues: list[Dialogue]
    rendered: list[Rendered]


class _Fitted(NamedTuple):
    """The rows of a block before the cut."""

    built: Built
    gone: dict[int, int]  # how many exchanges each shortened row lost
    refused: dict[int, RecordError]  # rows that must not be written
    rewritten: Mask | None  # chats: whether an answer follows other ids than at inference


class Pipeline:
    """All stages, set up once."""

    def __init__(self, settings: Settings) -> None:
        keep_freed()
        self.settings = settings
        tokenizer = settings.tokenizer
        self.encoder = Encoder(
            tokenizer,
            allowed=settings.allowed,
            backend=settings.backend,
            encoding=settings.encoding,
        )
        self._renderer = _renderer(settings)
        self._render = self._rendered if settings.rejects_controls else self._renderer.render
        self._builder = RowBuilder(
            self.encoder,
            self._renderer.pieces,
            tokenizer.controls,
            joint=settings.boundary == "joint",
            with_sections=settings.truncation in NEEDS_SECTIONS,
        )
        self._fields = Fields(settings.fields)
        self._strings = ControlStrings(set(tokenizer.controls) - set(settings.allowed))
        self._is_chat = settings.untrusted
        self._one_each = not (settings.per_turn or self._is_chat)  # rows, and quickly rendered
        self._normalizers: dict[str, Callable[[Record], Dialogue]] = {}

    def run(self, block: Block) -> BlockResult:
        """Take one block from bytes to rows."""
        if self._is_chat and self._renderer.forget():
            self._builder.forget()
        self.encoder.trim()
        result = BlockResult(block.source, block.shard, block.schema, len(block.data))
        lines = block.lines()
        read = self._read(block, lines, result)
        if read.rendered:
            self._count_controls(read.rendered, result)
            self._finish(block, lines, read.places, self._fitted(read), result)
        return result

    def _read(self, block: Block, lines: Sequence[bytes], result: BlockResult) -> _Read:
        """Parse, normalize and render all records."""
        parsed: Parsed = [block.broken] if block.broken else parse_lines(lines)
        result.read = len(parsed) - parsed.count(None)
        result.blank = len(parsed) - result.read
        normalize = self._normalizer(block.schema)
        read = _Read([], [], [])
        if self._one_each and set(map(type, parsed)) == {dict}:
            with suppress(RecordError):  # as long as all is well, all at once
                dialogues = list(map(cast(Any, normalize), parsed))
                rendered = list(map(self._render, dialogues))
                read = _Read(list(range(len(parsed))), dialogues, rendered)
        if not read.places:
            for index, record in enumerate(parsed):
                try:
                    self._read_one(read, index, record, normalize)
                except RecordError as error:
                    result.rejected.append(_lost(block, index, lines[index], error.reason, error))
        used = dict.fromkeys(read.places)
        result.counts["extra_examples"] += len(read.places) - len(used)
        if block.schema == "instruction":
            records = (parsed[index] for index in used)
            result.outputs.update(output_field(cast(Record, r), self._fields) for r in records)
        return read

    def _read_one(
        self, read: _Read, index: int, record: Record | RecordError | None,
        normalize: Callable[[Record], Dialogue],
    ) -> None:  # fmt: skip
        """One record more, or with ``per_turn`` an example for each of its answers."""
        if record is None:
            return
        if isinstance(record, RecordError):
            raise record
        examples = [normalize(record)]
        if self.settings.per_turn:
            examples = self._examples(examples[0])
        read.rendered.extend([self._render(example) for example in examples])
        read.dialogues.extend(examples)
        read.places.extend([index] * len(examples))

    def _normalizer(self, schema: str) -> Callable[[Record], Dialogue]:
        if schema not in self._normalizers:
            make: Any = normalizer
            if self._is_chat:
                from sftprep.schemas.chat import chat_normalizer as make
            self._normalizers[schema] = make(schema, self._fields, self.settings.system)
        return self._normalizers[schema]

    def _examples(self, dialogue: Dialogue) -> list[Dialogue]:
        """One example for each answer that is to be trained."""
        examples = per_turn(dialogue)
        return examples[-1:] if self.settings.train_on == "last" else examples

    def _rendered(self, conversation: Dialogue) -> Rendered:
        """Render what holds no control token's text."""
        rendered: Rendered = self._renderer.render(conversation)
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

    def _fitted(self, read: _Read) -> _Fitted:
        """Build the rows; with ``oldest-turns``, from as many of the latest exchanges as fit."""
        _, conversations, rendered = read
        built = self._builder.build(rendered)
        gone: dict[int, int] = {}
        refused: dict[int, RecordError] = {}
        if self.settings.truncation == "oldest-turns":
            limit = self.settings.max_length
            long = np.flatnonzero(built.batch.lengths > limit).tolist()
            counts = {i: n for i in long if (n := exchanges(conversations[i])) > 1}
            shorter = Shorter(conversations, self._renderer.render, refused)
            gone = fewest_dropped(shorter, counts, limit, lambda r: self._builder.build(r).batch)
            for index, count in gone.items():
                rendered[index] = shorter.render(index, count) or rendered[index]
            built = self._builder.build(rendered) if gone else built
        rewritten = None
        if self._is_chat:
            rewritten = np.array([self._renderer.rewrites(r.shape) for r in rendered], np.bool_)
        refused |= dict.fromkeys(built.leaks, LEAK)
        return _Fitted(built, gone, refused, rewritten)

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


def _count(batch: Batch, fitted: _Fitted, counts: Counter[str]) -> None:
    """Count what was written."""
    if fitted.gone:
        gone = [count for row in batch.record.tolist() if (count := fitted.gone.get(row))]
        counts["shortened"] += len(gone)
        counts["exchanges_dropped"] += sum(gone)
    counts["unclean_boundaries"] += int(fitted.built.unclean[batch.record].sum())
    if fitted.rewritten is not None:
        counts["rewritten_histories"] += int(fitted.rewritten[batch.record].sum())
    counts["tokens"] += len(batch.input_ids)
    counts["trained_tokens"] += int(np.count_nonzero(batch.loss_mask))


LEAK = RecordError(
    "control_from_text", "the tokenizer turns text of the record into a control token"
)


def _renderer(settings: Settings) -> Any:
    """The renderer for the settings' template; both kinds have ``render`` and ``pieces``."""
    tokenizer, template = settings.tokenizer, settings.template
    bos = tokenizer.special.get("bos", "")
    if isinstance(template, ChatTemplate):
        from sftprep.templates.jinja.renderer import ChatRenderer

        return ChatRenderer(
            template,
            variables=tokenizer.variables,
            controls=tokenizer.controls,
            bos=bos,
            train_on=settings.train_on,
        )
    return TemplateRenderer(
        template,
        bos=bos,
        eos=tokenizer.special.get("eos", ""),
        implicit_bos=tokenizer.adds_bos,
        separator=settings.separator,
        train_on=settings.train_on,
        allowed=settings.allowed,
    )


def _lost(
    block: Block, index: int, line: bytes, reason: str, error: RecordError | None
) -> LostRecord:
    number, offset = block.place(index)
    if error is not None:
        number, error = block.located(index, error)
    return LostRecord(block.source, number, offset, reason, error, line)


def _too_long(tokens: int, max_length: int) -> RecordError:
    return RecordError(
        DropReason.TOO_LONG.value,
        f"the record has {tokens:,} tokens, over the limit of {max_length:,}",
        "Raise --max-length, choose another --truncation",
    )
