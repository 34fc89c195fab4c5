"""Batch rows with the collators of torchtune.

In     component: the printed lines of Python, which define ``rows``; packed.
Out    documents: ids, and labels as they are everywhere here: unshifted, -100 without loss.
"""

import json
import sys
from typing import Any

import datasets
from readers.training import IGNORED, Document
from torchtune.data import padded_collate_packed, padded_collate_sft

ROWS = 3


def documents_of(batch: dict[str, Any], packed: bool) -> list[Document]:
    """Return the documents of a batch: those whose tokens see each other."""
    found = []
    for row, (ids, labels) in enumerate(
        zip(batch["tokens"].tolist(), batch["labels"].tolist(), strict=True)
    ):
        starts = [0]
        if packed:
            starts = [n for n, p in enumerate(batch["input_pos"][row].tolist()) if p == 0]
            for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
                mask = batch["mask"][row]
                assert mask[end - 1, start:end].all()
                assert not mask[start:end, :start].any()
        for start, end in zip(starts, [*starts[1:], len(ids)], strict=True):
            found.append((ids[start:end], labels[start:end]))
    return found


def main(component: str, packed: bool) -> list[Document]:
    """Return the documents of all batches; padding behind a pack is one more, without labels."""
    datasets.disable_progress_bars()
    names: dict[str, Any] = {}
    exec(component, names)
    rows = names["rows"](None, "train", packed)
    collate = padded_collate_packed if packed else padded_collate_sft
    found = []
    for start in range(0, len(rows), ROWS):
        some = [rows[n] for n in range(start, min(start + ROWS, len(rows)))]
        batch = documents_of(collate(some), packed)
        if packed:
            found += batch
            continue
        for (ids, labels), row in zip(batch, some, strict=True):
            size = len(row["tokens"])
            assert set(labels[size:]) <= {IGNORED}
            found.append((ids[:size], labels[:size]))
    return found


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
