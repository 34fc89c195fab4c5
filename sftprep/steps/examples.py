"""Turn the parsed records of a block into rendered examples.

In     the outcome of each line: a record, an error, or None for a blank line.
Out    ``Examples`` in input order; each record without an example, in the block's result, with the
       reason; what was understood of the records that have one.
Keeps  each record's place. All examples of a record or none: if one is refused, the record is.

This is the one place where a ``RecordError`` is caught.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np

from sftprep.data.batch import DropReason
from sftprep.data.block import Block
from sftprep.data.conversation import Chat, Dialogue, Record
from sftprep.data.foreign import check_plain
from sftprep.data.pieces import Rendered
from sftprep.data.ragged import Mask
from sftprep.data.result import BlockResult, LostRecord
from sftprep.errors import RecordError
from sftprep.reading.parsing import Parsed
from sftprep.schemas.fields import Fields
from sftprep.schemas.groups import group_of
from sftprep.schemas.ignored import Understood, reader_of
from sftprep.schemas.normalizer import Normalizer, chat_normalizer, conversation_normalizer
from sftprep.schemas.per_turn import per_turn
from sftprep.schemas.placeholders import refuse_placeholders
from sftprep.settings import Settings
from sftprep.steps.losses import dropped, rejected, template_too_slow
from sftprep.steps.rendering import LIMITS, Rendering, content_parts
from sftprep.templates.limits import TOO_SLOW
from sftprep.templates.template import ChatTemplate

MOST_REASONS = 200
"""How many things that are counted of the records of a block have a name of their own."""
OTHERS = "(others)"


class Examples(NamedTuple):
    """The examples rendered from a block; with ``per_turn`` one record may make several."""

    places: list[int]  # for each example, the index of its line in the block
    dialogues: list[Dialogue]
    rendered: list[Rendered]
    controls: Mapping[str, set[int]]  # text of a control token -> the examples that hold it
    omitted: Mapping[int, frozenset[str]] | None = None
    """As ``Rendering.omitted`` returns it; None: not known."""
    groups: list[bytes] | None = None
    """For each example, the group of its record; None if records are not grouped."""
    understood: Mapping[str, Mask] | None = None
    """What is counted of records -> bool[examples], the examples of the records that count."""


class ExampleMaker:
    """Makes the examples of one pipeline.

    Args:
        settings: the settings of the pipeline.
        rendering: renders the dialogues.
    """

    def __init__(self, settings: Settings, rendering: Rendering) -> None:
        self._settings = settings
        self._rendering = rendering
        self._fields = Fields(
            settings.fields,
            roles=settings.roles,
            merge_turns=settings.merge_turns,
            cuts_end=settings.cuts_end,
            last_roles=settings.policy.roles | {"assistant"},
            others=[settings.split_by] if settings.split_by else [],
        )
        self._normalizers: dict[str, Normalizer[Any]] = {}
        self._content_parts = content_parts(settings)

    def make(self, block: Block, parsed: Parsed, result: BlockResult) -> Examples:
        """Return the examples of a block, and note in its result what has become of the records."""
        found = parsed.records
        result.read = len(found) - found.count(None)
        result.blank = len(found) - result.read
        normalizer = self.normalizer(block.schema)
        examples = self._make_all(parsed, normalizer)
        if examples is None:
            with self._rendering.limited(len(block.data)):
                examples = self._make_each(block, parsed, normalizer, result)
        used = dict.fromkeys(examples.places)
        result.counts["extra_examples"] += len(examples.places) - len(used)
        records = cast(list[Record], found)
        if len(used) < len(found):
            records = [records[index] for index in used]
        understood = normalizer.understood(records)
        result.ignored, result.roles = understood.ignored, understood.roles
        result.flags, result.fields = understood.flags, understood.fields
        result.outputs.update(normalizer.outputs(records))
        return examples._replace(understood=self._noted(understood, list(used), examples.places))

    def _noted(
        self, understood: Understood, used: Sequence[int], places: Sequence[int]
    ) -> dict[str, Mask]:
        """Return the examples of the records that are counted, by what is counted.

        Args:
            understood: how the records were understood.
            used: the places of the records.
            places: the places of the examples.
        """
        noted: dict[str, Mask] = {}
        for reason, numbers in understood.holders.items():
            holds = np.ones(len(places), np.bool_)
            if len(numbers) < len(used):
                holds = np.isin(places, [used[number] for number in numbers])
            name = reason
            if len(noted) >= MOST_REASONS:  # data may have a new field in each record
                name = f"{reason.partition(':')[0]}:{OTHERS}"
            noted[name] = noted[name] | holds if name in noted else holds
        return noted

    def normalizer(self, schema: str) -> Normalizer[Any]:
        """Return what turns records of this schema into dialogues."""
        if schema not in self._normalizers:
            system, template = self._settings.system, self._settings.template
            self._normalizers[schema] = (
                chat_normalizer(schema, self._fields, system, reader_of(template.source))
                if isinstance(template, ChatTemplate)
                else conversation_normalizer(schema, self._fields, system)
            )
        return self._normalizers[schema]

    def _make_all(self, parsed: Parsed, normalizer: Normalizer[Any]) -> Examples | None:
        """Make the examples of a block in which every line is a good record that makes one.

        Args:
            parsed: the outcome of each line.
            normalizer: turns records into dialogues.

        Returns:
            None if the block has other lines; the caller then takes its records one by one. With
            a chat template the result is always None, because trying the whole block first would
            do slow work twice.
        """
        settings, rendering = self._settings, self._rendering
        if settings.per_turn or settings.untrusted or set(map(type, parsed.records)) != {dict}:
            return None
        with suppress(RecordError):
            records = cast(list[Record], parsed.records)
            dialogues = list(map(normalizer.reader_for(records), records))
            if parsed.has_foreign:
                check_plain(dialogues)
            rendered = list(map(rendering.render, dialogues))
            controls, has_placeholders = rendering.strings_in(rendered)
            if has_placeholders:
                for dialogue in dialogues:
                    refuse_placeholders(dialogue, rendering.placeholders)
            omitted = rendering.omitted(dialogues, rendered)
            rendering.refuse_omissions(omitted)
            places, groups = list(range(len(records))), self._groups(records)
            return Examples(places, dialogues, rendered, controls, omitted, groups)
        return None

    def _make_each(
        self, block: Block, parsed: Parsed, normalizer: Normalizer[Any], result: BlockResult
    ) -> Examples:
        """Make the examples of a block record by record, and list the bad records."""
        examples = Examples([], [], [], {}, groups=self._groups([]))
        read = partial(self._read, normalizer, has_foreign=parsed.has_foreign)
        too_slow: list[LostRecord] = []
        for index, record in enumerate(parsed.records):
            line = parsed.raw[index]
            try:
                self._rendering.begin_record(len(line))
                self._add_record(examples, index, record, read)
            except (RecordError, *LIMITS) as caught:
                error = self._rendering.refusal(caught)
                if error.reason == DropReason.NOTHING_TO_TRAIN.value:
                    result.dropped.append(dropped(block, index, line, error.reason))
                    continue
                lost = rejected(block, index, line, error)
                result.rejected.append(lost)
                too_slow += [lost] if error.reason == TOO_SLOW else []
                if too_slow and len(too_slow) == self._settings.patience:
                    raise template_too_slow(too_slow) from error
        return examples._replace(controls=self._rendering.strings_in(examples.rendered).controls)

    def _read(self, normalizer: Normalizer[Any], record: Record, *, has_foreign: bool) -> Dialogue:
        """Read one record, and refuse what is no text."""
        dialogue: Dialogue = normalizer.read(record)
        if has_foreign:
            check_plain(dialogue)
        refuse_placeholders(dialogue, self._rendering.placeholders)
        return dialogue

    def _add_record(
        self,
        examples: Examples,
        index: int,
        record: Record | RecordError | None,
        read: Callable[[Record], Dialogue],
    ) -> None:
        """Add the example of one record; with ``per_turn``, an example for each of its answers."""
        if record is None:  # a blank line
            return
        if isinstance(record, RecordError):
            raise record
        dialogue = read(record)
        groups = self._groups([record])
        if self._content_parts is not None:
            dialogue = self._content_parts.fitted(cast(Chat, dialogue))
        dialogues = self._per_turn(dialogue) if self._settings.per_turn else [dialogue]
        rendered = [self._rendering.render(example) for example in dialogues]
        for example, of_example in zip(dialogues, rendered, strict=True):
            self._rendering.refuse_omission(example, of_example)
        examples.rendered.extend(rendered)
        examples.dialogues.extend(dialogues)
        examples.places.extend([index] * len(dialogues))
        if examples.groups is not None and groups is not None:
            examples.groups.extend(groups * len(dialogues))

    def _groups(self, records: Sequence[Record]) -> list[bytes] | None:
        """Return the group of each record; None if records are not grouped."""
        path = self._settings.split_by
        return [group_of(record, path) for record in records] if path else None

    def _per_turn(self, dialogue: Dialogue) -> list[Dialogue]:
        """Return one example for each answer, or other body, that is trained."""
        examples = per_turn(dialogue, self._settings.policy.has_body)
        if self._settings.train_on != "last":
            return examples
        *earlier, last = examples
        return [*(example for example in earlier if example.train[-1]), last]
