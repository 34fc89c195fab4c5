"""The floor: the least work that any preparation must do, in one of several parallel processes.

    python floor.py DATA SHARE SHARES TOKENIZER_JSON OUTPUT

It reads its share of the lines, parses them (orjson), encodes prompt and completion (gigatoken)
with a tokenizer without control tokens, and writes ``input_ids`` and ``labels`` as Parquet files
like those of sftprep. It has no template, control tokens, checks or hashes, and keeps no order
between the shares.
"""

import gc
import sys
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import gigatoken
import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.parquet as pq

BLOCK_BYTES = 2 << 20
SHARD_BYTES = 64 << 20
PARQUET = {
    "row_group_size": 8192,
    "compression": "zstd",
    "compression_level": 3,
    "use_dictionary": False,
    "write_statistics": False,
    "write_batch_size": 1 << 21,
}
"""The options with which sftprep writes shards; ``test_bench`` compares the files."""

Array = npt.NDArray[Any]
Rows = tuple[Array, Array, Array]  # ids, labels, and the length of each row


def blocks(path: Path, share: int, shares: int) -> Iterator[bytes]:
    """Yield the lines of one share of a file, some MiB at a time."""
    size = path.stat().st_size
    start, end = size * share // shares, size * (share + 1) // shares
    with path.open("rb") as file:
        if start:
            file.seek(start - 1)
            file.readline()
        while (at := file.tell()) < end:
            block = file.read(min(BLOCK_BYTES, end - at))
            yield block if block.endswith(b"\n") else block + file.readline()


def rows(tokenizer: Any, block: bytes) -> Rows:
    """Parse and encode the records of a block."""
    records = map(orjson.loads, block.splitlines())
    texts = list(chain.from_iterable((r["prompt"], r["completion"]) for r in records))
    layout = tokenizer.encode_batch(texts, parallel=False).layout
    offsets = np.asarray(layout.offsets.data, np.int64)
    ids = np.asarray(layout.content.data).view(np.int32)[offsets[0] : offsets[-1]]
    lengths = np.diff(offsets)
    trained = np.repeat(np.arange(len(lengths)) % 2 == 1, lengths)
    return ids, np.where(trained, ids, np.int32(-100)), lengths.reshape(-1, 2).sum(axis=1)


def write(path: Path, shard: list[Rows]) -> None:
    """Write one Parquet file."""
    ids, labels, lengths = map(np.concatenate, zip(*shard, strict=True))
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    lists = []
    for column in (ids, labels):
        # Not pa.array: it would import pandas, if that is installed.
        values = pa.Array.from_buffers(pa.int32(), len(column), [None, pa.py_buffer(column)])
        kind, buffers = pa.list_(pa.int32()), [None, pa.py_buffer(offsets)]
        lists.append(pa.Array.from_buffers(kind, len(lengths), buffers, children=[values]))
    pq.write_table(pa.table(lists, names=["input_ids", "labels"]), path, **PARQUET)


def main() -> None:
    """Work on one share, and print a report."""
    data, share, shares, tokenizer_json, output = sys.argv[1:]
    tokenizer = gigatoken.Tokenizer.from_json(Path(tokenizer_json).read_text())
    gc.disable()
    ready = time.monotonic()
    shard: list[Rows] = []
    size = number = records = tokens = 0

    def flush() -> None:
        write(Path(output) / f"{share}-{number}.parquet", shard)
        shard.clear()

    for block in blocks(Path(data), int(share), int(shares)):
        shard.append(rows(tokenizer, block))
        size += len(block)
        records += len(shard[-1][2])
        tokens += len(shard[-1][0])
        if size >= SHARD_BYTES * (number + 1):
            flush()
            number += 1
    if shard:
        flush()
    report = {"records": records, "tokens": tokens, "ready": ready, "done": time.monotonic()}
    print(orjson.dumps(report).decode())


if __name__ == "__main__":
    main()
