"""Batch rows with the collaters of NeMo Automodel, and compute its loss of a tiny model.

In     folder: a dataset's; packed; size: the number of ids.
Out    documents: ids, and labels as they are everywhere here: unshifted, -100 without loss;
       losses: for some batches, the mean loss of its ``MaskedCrossEntropy``, and ours.
"""

import json
import sys
from typing import Any

import datasets
import torch
from nemo_automodel.components.datasets.utils import (
    default_collater,
    neat_packed_collater,
    packed_sequence_thd_collater,
)
from nemo_automodel.components.loss.masked_ce import MaskedCrossEntropy
from readers.training import IGNORED, Document, loss_of, tiny_model

ROWS = 3


def shifted_back(ids: list[int], next_labels: list[int]) -> Document:
    """Return a document whose labels are those of its tokens, not of the next ones."""
    assert next_labels[-1] == IGNORED
    labels = [IGNORED, *next_labels[:-1]]
    assert all(label in (IGNORED, i) for i, label in zip(ids, labels, strict=True))
    return ids, labels


def documents_by_lengths(batch: dict[str, Any]) -> list[Document]:
    """Return the documents of a batch for THD packing."""
    found = []
    for row, lengths in enumerate(batch["seq_lens"].tolist()):
        sizes = [size for size in lengths if size != -1000]
        padded = [size for size in batch["seq_lens_padded"][row].tolist() if size != -1000]
        assert sum(padded) == batch["input_ids"].shape[1]
        start = 0
        for size, room in zip(sizes, padded, strict=True):
            ids, labels, positions = (
                batch[name][row, start : start + size].tolist()
                for name in ("input_ids", "labels", "position_ids")
            )
            assert positions == list(range(size))
            found.append(shifted_back(ids, labels))
            start += room
    return found


def documents_by_mask(batch: dict[str, Any], mask: Any) -> list[Document]:
    """Return the documents of a batch in which a mask numbers them."""
    found = []
    for row, numbers in enumerate(mask):
        for number in range(1, int(numbers.max()) + 1):
            here = numbers == number
            ids, labels = (batch[name][row][here].tolist() for name in ("input_ids", "labels"))
            found.append(shifted_back(ids, labels))
    return found


def main(folder: str, packed: bool, size: int) -> dict[str, Any]:
    """Return what the collaters and the loss make of a dataset."""
    datasets.disable_progress_bars()
    rows = datasets.load_dataset(folder)["train"]
    model, loss = tiny_model("llama", size), MaskedCrossEntropy()
    documents: list[Document] = []
    losses: list[tuple[float, float]] = []
    for start in range(0, len(rows), ROWS):
        some = [rows[n] for n in range(start, min(start + ROWS, len(rows)))]
        lengths = {len(row["input_ids"]) for row in some}
        collater = neat_packed_collater if packed else default_collater
        batch = collater([dict(row) for row in some])
        mask = torch.nn.utils.rnn.pad_sequence(
            [torch.tensor(row["attention_mask"]) for row in some], batch_first=True
        )
        seen = documents_by_mask(batch, mask)
        if packed:
            assert len(lengths) == 1
            by_lengths = documents_by_lengths(packed_sequence_thd_collater(some))
            assert by_lengths == seen
        documents += seen
        if len(losses) < 3:
            attention = batch["attention_mask"]
            if packed:  # where a token may see another one, nothing is added to the score
                least = torch.finfo(torch.float32).min
                attention = torch.where(attention.bool(), 0.0, least)
            places = {"position_ids": batch["position_ids"]} if packed else {}
            with torch.no_grad():
                logits = model(batch["input_ids"], attention_mask=attention, **places).logits
            count = int((batch["labels"] != IGNORED).sum())
            theirs = loss(logits, batch["labels"], num_label_tokens=count).item()
            losses.append((theirs, loss_of(model, seen)))
    return {"documents": documents, "losses": losses}


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
