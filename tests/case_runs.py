"""Run a case through the stages, and give what ``transformers`` makes of the same conversation."""

import json
from collections.abc import Sequence
from functools import cache
from itertools import groupby, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from families import CASES, Family, template, tokenizer_of

from sftprep.data.result import BlockResult
from sftprep.pipeline import Pipeline, with_schemas
from sftprep.plan import plan
from sftprep.reading.blocks import BlockReader
from sftprep.recipe import Recipe

Record = dict[str, Any]


class Row(NamedTuple):
    """A row: its ids, and the texts that are trained, one for each run of trained tokens."""

    ids: list[int]
    trained: list[str]
    text: str


class Done(NamedTuple):
    """What a case came to."""

    rows: list[Row]
    lost: list[str]  # for each lost record, its reason and what is wrong
    results: list[BlockResult]

    @property
    def row(self) -> Row:
        """The only row."""
        assert (len(self.rows), self.lost) == (1, [])
        return self.rows[0]

    @property
    def row_and_loss(self) -> tuple[list[str], list[str]]:
        """What is trained in the only row, and the reasons of the records without one."""
        assert len(self.rows) == 1
        return self.rows[0].trained, [reason.partition(":")[0] for reason in self.lost]

    def count(self, name: str) -> int:
        """Return one of the counts."""
        return sum(result.counts[name] for result in self.results)


@cache
def hf(folder: Path) -> Any:
    """Load a tokenizer with transformers."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder)


def run(case: str | Sequence[Record], using: str, family: Family, **options: Any) -> Done:
    """Take the records of a case from bytes to rows.

    Args:
        case: the name of the file, or the records themselves.
        using: the name of a template; with ``.jinja`` or ``.yaml`` if it is a file's.
        family: whose tokenizer it is.
        options: more options of the recipe. The default of ``boundary`` is ``joint`` here, which
            gives the ids of ``apply_chat_template``.
    """
    folder = tokenizer_of(family)
    source = CASES / case if isinstance(case, str) else folder / "in.jsonl"
    if not isinstance(case, str):
        source.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in case))
    path = str(template(using.removesuffix(".jinja"))) if using.endswith(".jinja") else using
    recipe = Recipe(
        inputs=(str(source),),
        **{"tokenizer": str(folder), "template": path, "boundary": "joint", "backend": "hf"}
        | options,
    )
    job = plan(recipe)
    pipeline = Pipeline(job.settings)
    reader = BlockReader(job.sources, recipe.shard_bytes, limits=recipe.limits)
    results = [
        pipeline.process(block) for block in with_schemas(reader, recipe.schema, recipe.field_names)
    ]
    rows = [row for result in results for row in _rows(result, folder)]
    lost = [
        f"{one.reason}: {one.error.problem}" if one.error else one.reason
        for result in results
        for one in [*result.rejected, *result.dropped]
    ]
    return Done(rows, lost, results)


def _rows(result: BlockResult, folder: Path) -> list[Row]:
    if result.batch is None:
        return []
    ids, mask = result.batch.input_ids.tolist(), result.batch.loss_mask.tolist()
    return [
        _row(ids[start:end], mask[start:end], folder)
        for start, end in pairwise(result.batch.offsets.tolist())
    ]


def _row(ids: list[int], mask: list[bool], folder: Path) -> Row:
    runs = groupby(zip(ids, mask, strict=True), key=lambda pair: pair[1])
    decode = hf(folder).decode
    trained = [decode([number for number, _ in pairs]) for is_trained, pairs in runs if is_trained]
    return Row(ids, trained, decode(ids))


def records_of(case: str) -> list[Record]:
    """Return the records of a case."""
    return [json.loads(line) for line in (CASES / case).read_text(encoding="utf-8").splitlines()]


def transformers_ids(
    messages: Sequence[Record], using: str, family: Family, **options: Any
) -> list[int]:
    """Return the ids that ``apply_chat_template`` gives.

    Args:
        messages: the conversation.
        using: the name of a template.
        family: whose tokenizer it is.
        options: ``tools``, and arguments of the template.
    """
    ids: list[int] = _applied(messages, using, family, options)["input_ids"]
    return ids


def transformers_trained(messages: Sequence[Record], using: str, family: Family) -> list[str]:
    """Return the texts that the template's own ``generation`` markers hold."""
    options = {"return_assistant_tokens_mask": True}
    done = _applied(messages, using, family, options)
    mask = [bool(one) for one in done["assistant_masks"]]
    return _row(done["input_ids"], mask, tokenizer_of(family)).trained


def _applied(
    messages: Sequence[Record], using: str, family: Family, options: dict[str, Any]
) -> Any:
    source = template(using.removesuffix(".jinja")).read_text(encoding="utf-8")
    return hf(tokenizer_of(family)).apply_chat_template(
        messages, chat_template=source, tokenize=True, return_dict=True, **options
    )


def arguments_parsed(record: Record) -> list[Record]:
    """Return the messages of a record, with the arguments of calls as objects."""
    messages: list[Record] = json.loads(json.dumps(record["messages"]))
    for message in messages:
        for call in message.get("tool_calls", ()):
            given = call["function"]["arguments"]
            call["function"]["arguments"] = (
                json.loads(given or "{}") if isinstance(given, str) else given
            )
    return messages
