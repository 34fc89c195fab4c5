"""Payloads: a block and a result are the same at both ends of a pipe."""

from collections import Counter
from dataclasses import replace
from multiprocessing.connection import Pipe
from typing import Any

import numpy as np
import numpy.typing as npt
from toy_blocks import block

from sftprep.data.batch import Batch
from sftprep.data.block import Element
from sftprep.data.provenance import BOS, NAMES, Part, RowFacts, Segments, Writer
from sftprep.data.result import BlockResult
from sftprep.engine.local.messages import Failed, Ready, receive, send
from sftprep.engine.local.payloads import block_of, receive_answer, send_block, send_result
from sftprep.errors import DataError


def test_a_block_arrives_whole() -> None:
    """Its bytes travel as a buffer, the rest is pickled."""
    ours, theirs = Pipe()
    sent = block(3, lines=2)._replace(elements=(Element(0, 5, 1),), text_sha256="abc")
    send_block(ours, sent)
    message = receive(theirs)
    assert sent.data not in message.pickled
    assert block_of(message) == sent


def columns(batch: Batch) -> list[npt.NDArray[Any]]:
    """The arrays that travel."""
    return [batch.input_ids, batch.loss_mask, batch.offsets, batch.record]


def test_the_columns_of_a_result_keep_their_types() -> None:
    """They arrive as the arrays that were sent."""
    ours, theirs = Pipe()
    batch = Batch.of([[1, 2], [3]], [[False, True], [True]])
    sent = columns(batch)
    send_result(ours, BlockResult(0, 1, "messages", 7, batch, read=2, counts=Counter(a=1)))
    answer = receive_answer(theirs)
    assert isinstance(answer, BlockResult)
    assert (answer.shard, answer.size, answer.read, answer.counts) == (1, 7, 2, {"a": 1})
    assert answer.batch is not None
    for before, after in zip(sent, columns(answer.batch), strict=True):
        assert after.dtype == before.dtype
        assert np.array_equal(after, before)


def test_facts_arrive_with_the_rows() -> None:
    """All columns, the segments with their writers, and the reasons are the same."""
    ours, theirs = Pipe()
    user = Writer(0, "user", Part.CONTENT)
    segments = Segments.of([[(1, user, False), (1, user, True)], [(1, BOS, True)]])
    facts = RowFacts.of(
        segments,
        line=[7, 8],
        record_key=[2**64 - 1, 0],
        group_key=[5, 6],
        reasons={"glued_answer": [True, False]},
    )
    batch = replace(Batch.of([[1, 2], [3]], [[False, True], [True]]), facts=facts)
    send_result(ours, BlockResult(0, 1, "messages", 7, batch))
    answer = receive_answer(theirs)
    assert isinstance(answer, BlockResult)
    assert answer.batch is not None
    received = answer.batch.facts
    assert received is not None
    assert [received.segments.row(i) for i in range(2)] == [segments.row(i) for i in range(2)]
    assert received.reasons.keys() == {"glued_answer"}
    assert received.reasons["glued_answer"].tolist() == [True, False]
    for name in NAMES:
        before, after = getattr(facts, name), getattr(received, name)
        assert (before is None) == (after is None)
        if before is not None:
            assert (after.dtype, after.tolist()) == (before.dtype, before.tolist())


def test_a_result_may_have_no_rows() -> None:
    """A result without rows has no columns."""
    ours, theirs = Pipe()
    send_result(ours, BlockResult(0, 0, "messages", 7))
    answer = receive_answer(theirs)
    assert isinstance(answer, BlockResult)
    assert answer.batch is None


def test_other_answers_arrive_too() -> None:
    """A worker's answers that it is ready, or that it has failed, arrive as they were sent."""
    ours, theirs = Pipe()
    send(ours, Ready(7))
    send(ours, Failed(DataError("a.jsonl: bad")))
    assert receive_answer(theirs) == Ready(7)
    failed = receive_answer(theirs)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, DataError)
    assert str(failed.error) == "a.jsonl: bad"
