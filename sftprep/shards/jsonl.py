"""JSON Lines: an object a row, for eyes and for tools without Arrow."""

from pathlib import Path

import numpy as np
import orjson

from sftprep.records import Batch, Ids, Ragged

ENDING = "jsonl"


def write(path: Path, batch: Batch, ignore_index: int) -> None:
    """Write a new file."""
    labels = batch.labels(ignore_index)
    option = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE
    with path.open("xb") as file:
        for start, end in zip(batch.offsets[:-1].tolist(), batch.offsets[1:].tolist(), strict=True):
            row = {
                "input_ids": batch.input_ids[start:end],
                "attention_mask": np.ones(end - start, np.int8),
                "labels": labels[start:end],
            }
            file.write(orjson.dumps(row, option=option))


def read(path: Path) -> tuple[Ragged, Ids]:
    """All rows: ids, and labels of the same shape, flat."""
    with path.open("rb") as file:
        rows = [orjson.loads(line) for line in file]
    labels = Ragged.of([row["labels"] for row in rows])
    return Ragged.of([row["input_ids"] for row in rows]), labels.values
