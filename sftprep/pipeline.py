"""Take one block through all stages, from bytes to rows. This is the work of one worker.

In     a ``Block``.
Out    a ``BlockResult``: the rows in input order, and each record without a row, with the reason.
Keeps  each record's place, so that every loss can be reported with file and line.

This is the one place where a ``RecordError`` is caught. The caller decides what a rejected record
means for the run.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field, replace
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, cast

import numpy as np

from sftprep.data.batch import Batch, DropReason
from sftprep.data.block import Block
from sftprep.data.control_tokens import TurnEnd
from sftprep.data.conversation import Chat, Dialogue, Record
from sftprep.data.foreign import check_plain
from sftprep.data.omitted import REFUSED, in_words
from sftprep.data.pieces import Rendered, Renderer
from sftprep.data.policy import Policy
from sftprep.data.ragged import Mask
from sftprep.data.result import BlockResult, LostRecord
from sftprep.errors import RecordError, TemplateError
from sftprep.reading.json_lines import Outcomes
from sftprep.reading.parsing import Parsed, good_records, parse_block
from sftprep.remarks import Remarks, Written
from sftprep.rows.builder import Built, RowBuilder
from sftprep.rows.oldest_turns import shorten
from sftprep.rows.truncation import NEEDS_SECTIONS, truncate
from sftprep.schemas.fields import Fields
from sftprep.schemas.ignored import reader_of
from sftprep.schemas.normalizer import (
    Normalizer,
    chat_normalizer,
    conversation_normalizer,
    detect_schema,
)
from sftprep.schemas.per_turn import per_turn
from sftprep.schemas.placeholders import placeholders_in, refuse_placeholders
from sftprep.system.cpu_limit import CpuLimitReached
from sftprep.system.memory import keep_freed
from sftprep.templates.content_parts import ContentParts
from sftprep.templates.limits import PATIENCE, TOO_SLOW, TemplateLimits
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import ChatTemplate, RunTexts, Template
from sftprep.text import number, shown
from sftprep.tokenization.control_strings import ControlStrings
from sftprep.tokenization.encoder import Encoder
from sftprep.tokenization.proof import ContentEncoding
from sftprep.tokenization.tokenizer import Tokenizer


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a pipeline is built from: plain data that can be sent to another process."""

    tokenizer: Tokenizer
    template: Template | ChatTemplate
    fields: dict[str, str]  # canonical field name -> the name that the data uses
    roles: dict[str, str] = field(default_factory=dict)  # the data's name of a role -> the role
    merge_turns: bool = False  # join consecutive messages of one role
    system: str | None
    separator: str
    plain_text: tuple[str, ...] = ()  # looks like control tokens, and is meant as text
    allowed: tuple[str, ...]  # the control tokens that a record's text may become
    rejects_controls: bool = False  # reject a record that holds a control token's text
    rejects_omissions: bool = True  # reject a record that the template leaves a part out of
    max_length: int
    truncation: str
    train_on: str
    train_reasoning: str = "all"
    train_calls: bool = True
    per_turn: bool = False
    end_of_turn: str = ""  # the token that ends an answer; "": the template alone decides
    patience: int = PATIENCE  # how many records of a block may take a chat template too long
    boundary: str
    backend: str
    encoding: ContentEncoding | None = None  # proven for this tokenizer, allowed and backend

    @property
    def is_slow(self) -> bool:
        """Whether a block takes much longer than a worker process takes to start."""
        return self.untrusted or self.encoding is None or not self.encoding.is_fast

    @property
    def untrusted(self) -> bool:
        """Whether the template is a program, which must run in a process that can be killed."""
        return isinstance(self.template, ChatTemplate)

    @property
    def stops(self) -> tuple[str, ...]:
        """The tokens that stop the model at inference, ``--end-of-turn`` first."""
        given = (self.end_of_turn,) if self.end_of_turn else ()
        return tuple(dict.fromkeys((*given, *self.tokenizer.stops)))

    @property
    def policy(self) -> Policy:
        """Which text is trained."""
        return Policy(self.train_on, self.train_reasoning, self.train_calls)

    def light(self) -> "Settings":
        """Return the settings without the parts that only the parent process needs."""
        return replace(self, tokenizer=self.tokenizer.light())


Read = Callable[[Record], Dialogue]
"""Turns a record into a dialogue."""


class Pipeline:
    """All stages, set up once for many blocks."""

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
        self.limits = TemplateLimits(settings.template.name) if settings.untrusted else None
        self._renderer = renderer_for(settings, self.limits)
        self._render = self._render_checked if settings.rejects_controls else self._renderer.render
        self._builder = RowBuilder(
            self.encoder,
            self._renderer.pieces,
            tokenizer.controls,
            answers=self._renderer.answers,
            stops=settings.stops,
            allowed=settings.allowed,
            joint=settings.boundary == "joint",
            sections_over=settings.max_length if settings.truncation in NEEDS_SECTIONS else None,
        )
        self._remarks = Remarks(
            self._renderer,
            tokenizer.controls,
            stops=stop_ids(settings),
            plain_text=settings.plain_text,
            finds_glue=not settings.untrusted,
        )
        self._fields = Fields(
            settings.fields,
            roles=settings.roles,
            merge_turns=settings.merge_turns,
            last_roles=settings.policy.roles | {"assistant"},
        )
        self._control_strings = ControlStrings(set(tokenizer.controls) - set(settings.allowed))
        self._normalizers: dict[str, Normalizer[Any]] = {}
        self._content_parts = _content_parts(settings)

    def process(self, block: Block) -> BlockResult:
        """Take one block from bytes to rows."""
        if self._renderer.forget():
            self._builder.forget()
            self._remarks.forget()
        self.encoder.limit_memory()
        result = BlockResult(block.source, block.shard, block.schema, len(block.data))
        parsed = parse_block(block)
        examples = self._render_block(block, parsed, result)
        if examples.rendered:
            self._count_control_strings(examples.rendered, result)
            self._cut(block, parsed.raw, examples, self._build(examples), result)
        return result

    def _render_block(self, block: Block, parsed: Parsed, result: BlockResult) -> "_Examples":
        """Normalize and render all records of a block."""
        found = parsed.records
        result.read = len(found) - found.count(None)
        result.blank = len(found) - result.read
        normalizer = self._normalizer(block.schema)
        checked = self._checks(block, parsed)
        examples = self._render_all(found, normalizer, checked)
        if examples is None:
            normalize = checked(normalizer.read)
            limited = nullcontext() if self.limits is None else self.limits.block(len(block.data))
            with limited:
                examples = self._render_each(block, parsed, normalize, result)
        used = dict.fromkeys(examples.places)
        result.counts["extra_examples"] += len(examples.places) - len(used)
        records = cast(list[Record], found)
        if len(used) < len(found):
            records = [records[index] for index in used]
        understood = normalizer.understood(records)
        result.ignored, result.roles, result.flags, result.fields = understood
        result.outputs.update(normalizer.outputs(records))
        return examples

    def _checks(self, block: Block, parsed: Parsed) -> "Callable[[Read], Read]":
        """Return what adds the checks to a normalizer that a few blocks need."""
        marks = placeholders_in(block.data, self.settings.plain_text)
        if not (marks or parsed.has_foreign):
            return lambda read: read

        def checked(read: Read) -> Read:
            def read_and_check(record: Record) -> Dialogue:
                dialogue = read(record)
                if parsed.has_foreign:
                    check_plain(dialogue)
                refuse_placeholders(dialogue, marks)
                return dialogue

            return read_and_check

        return checked

    def _render_all(
        self, parsed: Outcomes, normalizer: Normalizer[Any], checked: Callable[[Read], Read]
    ) -> "_Examples | None":
        """Render a block in which every line is a good record that makes one example.

        Args:
            parsed: the outcome of each line.
            normalizer: turns records into dialogues.
            checked: adds the checks that the block needs to what reads a record.

        Returns:
            None if the block has other lines; the caller then renders its records one by one. With
            a chat template the result is always None, because trying the whole block first would
            do slow work twice.
        """
        if self.settings.per_turn or self.settings.untrusted or set(map(type, parsed)) != {dict}:
            return None
        with suppress(RecordError):
            records = cast(list[Record], parsed)
            dialogues = list(map(checked(normalizer.reader_for(records)), records))
            rendered = list(map(self._render, dialogues))
            omitted = self._omitted(dialogues, rendered)
            self._refuse_omissions(omitted)
            return _Examples(list(range(len(parsed))), dialogues, rendered, omitted)
        return None

    def _render_each(
        self,
        block: Block,
        parsed: Parsed,
        normalize: Callable[[Record], Dialogue],
        result: BlockResult,
    ) -> "_Examples":
        """Render the records of a block one by one, and list those that are bad."""
        examples = _Examples([], [], [])
        too_slow: list[LostRecord] = []
        for index, record in enumerate(parsed.records):
            try:
                if self.limits is not None:
                    self.limits.begin_record(len(parsed.raw[index]))
                self._render_record(examples, index, record, normalize)
            except (RecordError, CpuLimitReached, MemoryError) as caught:
                error = self._refusal(caught)
                if error.reason == DropReason.NOTHING_TO_TRAIN.value:
                    lost = _lost(block, index, parsed.raw[index], error.reason, None)
                    result.dropped.append(lost)
                    continue
                lost = _lost(block, index, parsed.raw[index], error.reason, error)
                result.rejected.append(lost)
                too_slow += [lost] if error.reason == TOO_SLOW else []
                if too_slow and len(too_slow) == self.settings.patience:
                    raise _template_too_slow(too_slow) from error
        return examples

    def _render_record(
        self,
        examples: "_Examples",
        index: int,
        record: Record | RecordError | None,
        normalize: Callable[[Record], Dialogue],
    ) -> None:
        """Add the example of one record; with ``per_turn``, an example for each of its answers."""
        if record is None:  # a blank line
            return
        if isinstance(record, RecordError):
            raise record
        dialogue = normalize(record)
        if self._content_parts is not None:
            dialogue = self._content_parts.fitted(cast(Chat, dialogue))
        dialogues = self._per_turn(dialogue) if self.settings.per_turn else [dialogue]
        rendered = [self._render(example) for example in dialogues]
        # Add all examples of the record or none: if one is rejected, the record is.
        self._refuse_omissions(self._omitted(dialogues, rendered))
        examples.rendered.extend(rendered)
        examples.dialogues.extend(dialogues)
        examples.places.extend([index] * len(dialogues))

    def _normalizer(self, schema: str) -> Normalizer[Any]:
        if schema not in self._normalizers:
            system, template = self.settings.system, self.settings.template
            self._normalizers[schema] = (
                chat_normalizer(schema, self._fields, system, reader_of(template.source))
                if isinstance(template, ChatTemplate)
                else conversation_normalizer(schema, self._fields, system)
            )
        return self._normalizers[schema]

    def _per_turn(self, dialogue: Dialogue) -> list[Dialogue]:
        """Return one example for each answer, or other body, that is trained."""
        examples = per_turn(dialogue, self.settings.policy.has_body)
        if self.settings.train_on != "last":
            return examples
        *earlier, last = examples
        return [*(example for example in earlier if example.train[-1]), last]

    def _render_checked(self, dialogue: Dialogue) -> Rendered:
        """Render one record, and refuse it if it holds a control token's text."""
        rendered = self._renderer.render(dialogue)
        if found := self._control_strings.find([rendered.contents])[1]:
            raise RecordError(
                "control_string",
                f"the record holds the text of a control token: {', '.join(found)}",
            )
        return rendered

    def _render_shortened(self, dialogue: Dialogue) -> Rendered:
        """Render a record without its oldest exchanges."""
        if self.limits is None or not isinstance(dialogue, Chat):
            return self._renderer.render(dialogue)
        with self.limits.block(dialogue.size):
            self.limits.begin_record(dialogue.size)
            try:
                return self._renderer.render(dialogue)
            except (RecordError, CpuLimitReached, MemoryError) as caught:
                error = self._refusal(caught)
        raise error  # out here, it does not hold the template's frames

    def _refusal(self, caught: RecordError | CpuLimitReached | MemoryError) -> RecordError:
        """Return the error with which a record is rejected."""
        if isinstance(caught, RecordError):
            return caught
        if self.limits is None:
            raise caught
        return self.limits.refusal(caught)

    def _omitted(
        self, dialogues: Sequence[Dialogue], rendered: Sequence[Rendered]
    ) -> dict[int, frozenset[str]]:
        """Return what is left out of each example, by its index; without those that are whole."""
        by_shape = {
            shape: names
            for shape in {record.shape for record in rendered}
            if (names := self._renderer.omitted(shape))
        }
        if not by_shape and not any(map(attrgetter("omitted"), dialogues)):
            return {}
        by_example = (
            by_shape.get(record.shape, frozenset()).union(dialogue.omitted)
            for dialogue, record in zip(dialogues, rendered, strict=True)
        )
        return {index: names for index, names in enumerate(by_example) if names}

    def _refuse_omissions(self, omitted: Mapping[int, frozenset[str]]) -> None:
        """Refuse examples that would not hold all that the model is to learn or to see."""
        if not self.settings.rejects_omissions:
            return
        for names in omitted.values():
            if refused := names & REFUSED:
                raise RecordError(
                    "omitted_by_template",
                    f"template {shown(self.settings.template.name)} does not write the record's "
                    f"{in_words(refused)}",
                    "Choose another --template, pass --on-omission count to train without it",
                )

    def _count_control_strings(self, rendered: Sequence[Rendered], result: BlockResult) -> None:
        holders, found = self._control_strings.find([r.contents for r in rendered])
        result.counts["control_records"] += holders
        result.controls.update(found)

    def _build(self, examples: "_Examples") -> "_Rows":
        """Build the rows; with ``oldest-turns``, leave out the oldest exchanges of long rows."""
        dialogues, rendered = examples.dialogues, examples.rendered
        built = self._builder.build(rendered)
        gone: dict[int, int] = {}
        refused: dict[int, RecordError] = {}
        if self.settings.truncation == "oldest-turns":
            limit = self.settings.max_length
            long = np.flatnonzero(built.batch.lengths > limit).tolist()
            shorter, gone, refused = shorten(
                {index: dialogues[index] for index in long},
                self._render_shortened,
                lambda records: self._builder.build(records, with_sections=False).batch.lengths,
                limit,
            )
            for index, record in shorter.items():
                rendered[index] = record
            built = self._builder.build(rendered) if gone else built
        shapes = {record.shape for record in rendered}
        rewriting = {shape for shape in shapes if self._renderer.rewrites(shape)}
        rewritten = np.zeros(len(rendered), np.bool_)
        if rewriting:
            rewritten[:] = [r.shape in rewriting for r in rendered]
        refused |= dict.fromkeys(built.leaks, LEAK)
        omitted = examples.omitted
        if omitted is None or gone:
            omitted = self._omitted(dialogues, rendered)
        return _Rows(built, gone, refused, rewritten, omitted, shapes)

    def _cut(
        self,
        block: Block,
        lines: Sequence[bytes],
        examples: "_Examples",
        rows: "_Rows",
        result: BlockResult,
    ) -> None:
        """Cut the rows to ``max_length``, and list each record that has no row."""
        settings, built = self.settings, rows.built
        places, rendered = examples.places, examples.rendered
        batch = built.batch
        if rows.refused:
            batch = batch.keep_rows(~np.isin(batch.record, list(rows.refused)))
        cut = truncate(batch, settings.max_length, settings.truncation)
        lengths = built.batch.lengths
        lost: dict[int, RecordError | str] = dict(rows.refused)
        for row, reason in cut.dropped.items():
            lost[row] = reason.value
            if reason is DropReason.TOO_LONG and settings.truncation == "error":
                lost[row] = _too_long(int(lengths[row]), settings.max_length)
            elif reason is DropReason.NOTHING_TO_TRAIN and row in rows.gone:
                # The trained tokens were in the oldest exchanges, which were removed.
                lost[row] = DropReason.CUT_TO_NOTHING.value
        for row, why in sorted(lost.items()):
            line, tokens = lines[places[row]], int(lengths[row])
            if isinstance(why, str):
                gone = _lost(block, places[row], line, why, None)
                result.dropped.append(gone._replace(tokens=tokens))
            else:
                gone = _lost(block, places[row], line, why.reason, why)
                result.rejected.append(gone._replace(tokens=tokens))
        for listed in (result.rejected, result.dropped):
            listed.sort(key=lambda one: one.line if one.offset is None else one.offset)
        batch = cut.batch
        result.counts["truncated"] += cut.truncated
        result.counts["truncated_trained"] += cut.truncated_trained
        _count(batch, rows, result.counts)
        written = Written(rendered, rows.shapes, batch.record)
        self._remarks.count(written, rows.omitted, result)
        self._remarks.count_ends(built.answer_ends.take(batch.record[~cut.lost_trained]), result)
        if len(batch):
            result.batch = replace(batch, record=np.array(places, np.int64)[batch.record])


class _Examples(NamedTuple):
    """The examples rendered from a block; with ``per_turn`` one record may make several."""

    places: list[int]  # for each example, the index of its line in the block
    dialogues: list[Dialogue]
    rendered: list[Rendered]
    omitted: dict[int, frozenset[str]] | None = None  # as ``_omitted`` returns it; None: not known


class _Rows(NamedTuple):
    """The rows of a block before they are cut."""

    built: Built
    gone: dict[int, int]  # row -> how many of its exchanges ``oldest-turns`` removed
    refused: dict[int, RecordError]  # rows that must not be written
    rewritten: Mask  # bool[rows]: at inference, the model would see another text before an answer
    omitted: dict[int, frozenset[str]]  # row -> what it leaves out of its record
    shapes: set[int]  # of all records


LEAK = RecordError(
    "control_from_text", "the tokenizer turns text of the record into a control token"
)


def with_schemas(
    blocks: Iterable[Block], schema: str, field_names: dict[str, str]
) -> Iterator[Block]:
    """Set the schema of each block.

    Args:
        blocks: the blocks, in input order.
        schema: the schema of all sources, or ``auto``. Each source gets the shape of its first
            record that has one, among those that this schema reads.
        field_names: canonical field name -> the name that the data uses.
    """
    fields = Fields(field_names)
    wanted = "" if schema == "auto" else schema
    source, found = -1, ""
    for block in blocks:
        if block.source != source or not found:
            found = detect_schema(good_records(block), fields, wanted)
        source = block.source
        yield block._replace(schema=found or wanted)


def stop_ids(settings: Settings) -> frozenset[int] | None:
    """Return the ids of the tokens that stop the model.

    Returns:
        None if neither the options nor the tokenizer's files name them: any control token may be
        one then.
    """
    if not (settings.end_of_turn or settings.tokenizer.generation_stops):
        return None
    ids = settings.tokenizer.ids
    return frozenset(ids[token] for token in settings.stops if token in ids)


def _content_parts(settings: Settings) -> ContentParts | None:
    """Return what fits the contents of chats to a chat template; None for other templates."""
    template = settings.template
    if not isinstance(template, ChatTemplate):
        return None

    @cache
    def sandbox() -> Any:
        from sftprep.templates.jinja.sandbox import Sandbox

        return Sandbox(
            template.source,
            name=template.name,
            today=template.today,
            variables={**settings.tokenizer.variables, **template.arguments},
        )

    return ContentParts(lambda messages: sandbox().render(messages, None, size=100))


def renderer_for(settings: Settings, limits: TemplateLimits | None) -> Renderer:
    """Return the renderer for the kind of template that the settings have.

    Args:
        settings: the settings.
        limits: what a chat template may use; None for other templates.
    """
    tokenizer, template = settings.tokenizer, settings.template
    if isinstance(template, ChatTemplate):
        # This loads Jinja, which only chat templates need.
        from sftprep.templates.jinja.renderer import ChatRenderer

        return ChatRenderer(
            template,
            variables=tokenizer.variables,
            controls=tokenizer.controls,
            policy=settings.policy,
            turn_end=TurnEnd(frozenset(settings.stops), settings.end_of_turn),
            with_sections=settings.truncation in NEEDS_SECTIONS,
            limit=None if limits is None else limits.cpu,
        )
    return TemplateRenderer(
        template,
        texts=RunTexts(
            bos=tokenizer.special.get("bos", ""),
            eos=tokenizer.special.get("eos", ""),
            separator=settings.separator,
            end_of_turn=settings.end_of_turn,
        ),
        implicit_bos=tokenizer.adds_bos,
        policy=settings.policy,
        controls=list(tokenizer.controls.values()),
        allowed=settings.allowed,
    )


def _count(batch: Batch, rows: _Rows, counts: Counter[str]) -> None:
    """Count the tokens of the rows that are written, and the special cases among these rows."""
    if rows.gone:
        gone = [count for row in batch.record.tolist() if (count := rows.gone.get(row))]
        counts["shortened"] += len(gone)
        counts["exchanges_dropped"] += sum(gone)
    counts["unclean_boundaries"] += int(rows.built.unclean[batch.record].sum())
    counts["rewritten_histories"] += int(rows.rewritten[batch.record].sum())
    counts["tokens"] += len(batch.input_ids)
    counts["trained_tokens"] += int(np.count_nonzero(batch.loss_mask))


def _lost(
    block: Block, index: int, line: bytes, reason: str, error: RecordError | None
) -> LostRecord:
    line_number, offset = block.place(index)
    if error is not None:
        # Its frames may hold much memory, which the next record could miss.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        line_number, error = block.located(index, error)
    return LostRecord(block.source, line_number, offset, reason, error, line)


def _template_too_slow(lost: Sequence[LostRecord]) -> TemplateError:
    """Return the error for a chat template that took too long for too many records of a block."""
    assert lost[-1].error is not None
    unit = "rows" if lost[0].offset is None else "lines"
    places = ", ".join(f"{one.line:,}" for one in lost[:3])
    more = f" and {len(lost) - 3:,} more" if len(lost) > 3 else ""
    return TemplateError(
        f"{lost[-1].error.problem}, and for {number(len(lost), 'record')} in all ({unit} {places}"
        f"{more}); it may never finish. Correct the template."
    )


def _too_long(tokens: int, max_length: int) -> RecordError:
    return RecordError(
        DropReason.TOO_LONG.value,
        f"the record has {tokens:,} tokens, over the limit of {max_length:,}",
        "Raise --max-length, choose another --truncation",
    )
