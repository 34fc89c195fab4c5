"""Send blocks and results as messages: a pickled object, with its large fields as buffers."""

from multiprocessing.connection import Connection

import numpy as np

from sftprep.data.batch import Batch
from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.engine.local.messages import Failed, Message, Ready, receive, send


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
    send(pipe, result, [] if batch is None else [
        batch.input_ids, batch.loss_mask, batch.offsets, batch.record
    ])  # fmt: skip


def receive_answer(pipe: Connection) -> BlockResult | Ready | Failed:
    """Wait for a worker's next message and return its content.

    Raises:
        EOFError: the worker has ended, perhaps in the middle of a message.
    """
    message = receive(pipe, lambda size: np.empty(size, np.uint8))
    answer: BlockResult | Ready | Failed = message.content()
    if isinstance(answer, BlockResult) and message.buffers:
        ids, mask, offsets, record = message.buffers
        answer.batch = Batch(
            ids.view(np.int32), mask.view(np.bool_), offsets.view(np.int64), record.view(np.int64)
        )
    return answer
