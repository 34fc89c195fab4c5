"""run_blocks: each block gives the same result, in order, here or in any number of workers."""

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace

import pytest
from toy_blocks import (
    BROKEN_TEMPLATE,
    CONSTANT_TEMPLATE,
    NAMES,
    SETTINGS,
    TOKENIZER,
    block,
    is_one_server,
    rows,
    rows_of,
)
from toys import Started

from sftprep.data.block import Block
from sftprep.engine.local.engine import FEW_BLOCKS, run_blocks
from sftprep.engine.local.pool import WorkerPool
from sftprep.engine.local.scheduler import IN_FLIGHT_PER_WORKER
from sftprep.errors import DataError
from sftprep.pipeline import Pipeline
from sftprep.tokenization.proof import prove_content_encoding


@pytest.mark.parametrize(
    ("count", "workers"),
    [(0, 2), (1, 2), (40, 1), (300, 2), pytest.param(100, 5, marks=pytest.mark.faults)],
)
def test_results_come_in_the_order_of_their_blocks(
    started: Started, count: int, workers: int
) -> None:
    """Results come in the order of their blocks, with any number of workers."""
    assert rows(count) == rows_of(run_blocks(map(block, range(count)), SETTINGS, workers))
    assert is_one_server(started, workers if count > FEW_BLOCKS and workers > 1 else 0)


@pytest.mark.parametrize(("count", "backend", "expected"), [
    (FEW_BLOCKS - 1, "auto", 0), (FEW_BLOCKS, "auto", 5),
    (1, "hf", 0), (2, "hf", 2), (4, "hf", 4), (7, "hf", 5),
])  # fmt: skip
def test_workers_are_started_only_where_that_saves_time(
    started: Started, count: int, backend: str, expected: int
) -> None:
    """A slow encoder is worth a worker per block; a fast one needs some blocks first."""
    settings = replace(SETTINGS, encoding=prove_content_encoding(TOKENIZER, (), backend))
    assert rows(count) == rows_of(run_blocks(map(block, range(count)), settings, 5))
    assert is_one_server(started, expected)


def test_no_blocks_need_no_worker(started: Started) -> None:
    """Without blocks, no worker is started, and the template is not even read."""
    assert list(run_blocks([], BROKEN_TEMPLATE, 2)) == []
    assert started == []


def test_a_worker_gives_the_same_result_as_this_process(started: Started) -> None:
    """Rows, rejected records and counts are the same."""
    bad = b'{"prompt": 1}\n\n[]\n\xff\n{"prompt": "a", "completion": "</s>"}\n'
    given = [Block(0, n, 1, 7, bad, None, "prompt-completion") for n in range(FEW_BLOCKS)]
    ours = [Pipeline(SETTINGS).process(one) for one in given]
    theirs = list(run_blocks(given, SETTINGS, 2))
    assert is_one_server(started, 2)
    for here, there in zip(ours, theirs, strict=True):
        assert here.batch is not None
        assert there.batch is not None
        for name in ("input_ids", "loss_mask", "offsets", "record"):
            mine, its = getattr(here.batch, name), getattr(there.batch, name)
            assert (mine.dtype, mine.tolist()) == (its.dtype, its.tolist())
        assert [(x.line, x.offset, x.reason, x.raw) for x in here.rejected] == [
            (x.line, x.offset, x.reason, x.raw) for x in there.rejected
        ]
        assert len(here.rejected) == 3
        assert (here.shard, here.read, here.blank, here.counts, here.controls) == (
            there.shard,
            there.read,
            there.blank,
            there.counts,
            there.controls,
        )


def test_blocks_are_read_only_as_results_are_taken(started: Started) -> None:
    """A block is read only when a result is taken, so memory does not grow with the input."""
    read: list[int] = []

    def counted() -> Iterator[Block]:
        for number in range(200):
            read.append(number)
            yield block(number)

    results = run_blocks(counted(), SETTINGS, 2)
    for number in range(20):
        next(results)
        assert len(read) <= number + FEW_BLOCKS + 2 * IN_FLIGHT_PER_WORKER
    results.close()  # type: ignore[attr-defined]
    assert is_one_server(started, 2)


def test_blocks_and_results_larger_than_a_pipe_do_not_deadlock(started: Started) -> None:
    """Large blocks and large results travel in opposite directions at the same time."""
    text = "x" * 3_000_000
    data = json.dumps({"prompt": text, "completion": "y"}).encode()
    given = [Block(0, 0, n + 1, 0, data, None, "prompt-completion") for n in range(9)]
    results = run_blocks(given, SETTINGS, 2)
    sizes = [len(r.batch.input_ids) for r in results if r.batch is not None]
    assert sizes == [3_000_002] * 9
    assert is_one_server(started, 2)


@pytest.mark.faults
def test_a_result_of_rejected_records_alone_may_be_large_too(started: Started) -> None:
    """It has no columns; the records' bytes are pickled."""
    data = (b"[" + b"1," * 20_000 + b"1]\n") * 40
    given = [Block(0, 0, n + 1, 0, data, None, "prompt-completion") for n in range(9)]
    results = list(run_blocks(given, SETTINGS, 2))
    assert [(len(r.rejected), r.batch) for r in results] == [(40, None)] * 9
    assert is_one_server(started, 2)


def test_an_error_of_the_reader_ends_the_run_and_its_workers(started: Started) -> None:
    """The error is raised unchanged."""

    def damaged() -> Iterator[Block]:
        yield from map(block, range(50))
        raise DataError("a.gz: ends too early")

    with pytest.raises(DataError, match=r"^a\.gz: ends too early$"):
        list(run_blocks(damaged(), SETTINGS, 2))
    assert is_one_server(started, 2)


def test_workers_that_were_started_early_and_are_not_needed_end_with_the_rest(
    started: Started,
) -> None:
    """A run uses only as many workers as it has blocks, and ends the others too."""
    with closing(WorkerPool()) as pool:
        pool.start(4)
        results = run_blocks([block(n) for n in range(2)], CONSTANT_TEMPLATE, 4, NAMES, pool)
        assert len(list(results)) == 2
        assert started[0].returncode is not None
    assert len(started) == 1
