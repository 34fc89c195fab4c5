"""Send blocks and results as messages: a pickled object, with its large fields as buffers."""

from collections.abc import Iterator
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.data.batch import Batch
from sftprep.data.block import Block
from sftprep.data.provenance import NAMES, RowFacts, Segments, Writer
from sftprep.data.result import BlockResult
from sftprep.engine.local.messages import Failed, Message, Ready, receive, send

Array = npt.NDArray[Any]


class _Result(NamedTuple):
    """A result without its rows, and what the buffers that follow it are."""

    result: BlockResult  # without ``batch``
    types: tuple[str, ...]  # of the numbers in each buffer
    columns: tuple[str, ...] | None  # the names of the columns of facts; None if there are none
    reasons: tuple[str, ...] = ()  # their names
    writers: tuple[Writer, ...] = ()


def send_block(pipe: Connection, block: Block) -> None:
    """Send a block to a worker."""
    send(pipe, block._replace(data=b""), [block.data])


def block_of(message: Message) -> Block:
    """Return the block that ``send_block`` sent."""
    block: Block = message.content()
    return block._replace(data=bytes(message.buffers[0]))


def send_result(pipe: Connection, result: BlockResult) -> None:
    """Send a result to the parent; ``result.batch`` is None afterwards."""
    batch, result.batch = result.batch, None
    if batch is None:
        send(pipe, result)
        return
    arrays: list[Array] = [batch.input_ids, batch.loss_mask, batch.offsets, batch.record]
    facts = batch.facts
    if facts is None:
        send(pipe, _Result(result, _types(arrays), None), arrays)
        return
    segments = facts.segments
    columns = {name: getattr(facts, name) for name in NAMES if getattr(facts, name) is not None}
    arrays += [segments.offsets, segments.tokens, segments.writer, segments.trained]
    arrays += [*columns.values(), *facts.reasons.values()]
    content = _Result(
        result, _types(arrays), tuple(columns), tuple(facts.reasons), segments.writers
    )
    send(pipe, content, arrays)


def receive_answer(pipe: Connection) -> BlockResult | Ready | Failed:
    """Wait for a worker's next message and return its content.

    Raises:
        EOFError: the worker has ended, perhaps in the middle of a message.
    """
    message = receive(pipe, lambda size: np.empty(size, np.uint8))
    answer: BlockResult | Ready | Failed | _Result = message.content()
    if not isinstance(answer, _Result):
        return answer
    pairs = zip(message.buffers, answer.types, strict=True)
    arrays = iter([buffer.view(kind) for buffer, kind in pairs])
    ids, mask, offsets, record = (next(arrays) for _ in range(4))
    facts = None if answer.columns is None else _facts(answer, answer.columns, arrays)
    answer.result.batch = Batch(ids, mask, offsets, record, facts=facts)
    return answer.result


def _facts(answer: _Result, columns: tuple[str, ...], arrays: Iterator[Array]) -> RowFacts:
    """Return the facts of the rows of a result, from the arrays that follow those of the batch."""
    offsets, tokens, writer, trained = (next(arrays) for _ in range(4))
    segments = Segments(offsets, tokens, writer, trained, answer.writers)
    named = {name: next(arrays) for name in columns}
    reasons = {name: next(arrays) for name in answer.reasons}
    return RowFacts(**named, segments=segments, reasons=reasons)


def _types(arrays: list[Array]) -> tuple[str, ...]:
    return tuple(array.dtype.str for array in arrays)
