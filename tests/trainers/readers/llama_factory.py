"""Load a dataset as LLaMA-Factory does, batch it with its collator, and compute a model's loss.

In     lines: the printed lines of its configuration; tokenizer: its folder; attention: which
       implementation of attention.
Out    documents: ids, and labels as they are everywhere here: unshifted, -100 without loss;
       losses: for some batches, the mean loss of the model, and ours.

Its trainer adds nothing to transformers' for such rows: the model gets what the collator makes.
"""

import dataclasses
import json
import os
import sys
from typing import Any

from readers.replaced import replace

os.environ["DISABLE_VERSION_CHECK"] = "1"  # it refuses newer libraries than it knows
replace("torchaudio")  # it is used for sound only

import torch
import yaml
from llamafactory.data import (
    SFTDataCollatorWith4DAttentionMask,
    get_dataset,
    get_template_and_fix_tokenizer,
)
from llamafactory.hparams.data_args import DataArguments
from readers.training import IGNORED, Document, loss_of, tiny_model
from transformers import AutoTokenizer

ROWS = 2


def documents_of(row: dict[str, list[int]], packed: bool) -> list[Document]:
    """Return the documents of a row of the dataset: those with one number in the mask."""
    ids, labels, mask = (torch.tensor(row[n]) for n in ("input_ids", "labels", "attention_mask"))
    found = []
    for number in range(1, int(mask.max()) + 1):
        here = mask == number
        found.append((ids[here].tolist(), labels[here].tolist()))
        if packed:
            positions = torch.tensor(row["position_ids"])[here]
            assert positions.tolist() == list(range(int(here.sum())))
    return found


def main(lines: str, tokenizer: str, attention: str) -> dict[str, Any]:
    """Return what LLaMA-Factory makes of a dataset."""
    names = {field.name for field in dataclasses.fields(DataArguments)}
    settings = yaml.safe_load(lines)
    arguments = DataArguments(**{k: v for k, v in settings.items() if k in names})
    words = AutoTokenizer.from_pretrained(tokenizer)
    template = get_template_and_fix_tokenizer(words, arguments)
    rows = get_dataset(template, None, arguments, None, "sft", words)["train_dataset"]
    packed = bool(arguments.neat_packing)
    model = tiny_model("llama", len(words), attention)
    collator = SFTDataCollatorWith4DAttentionMask(
        template=template,
        model=model,
        tokenizer=words,
        pad_to_multiple_of=8,
        label_pad_token_id=IGNORED,
        block_diag_attn=packed,
        neat_packing=packed,
        attn_implementation=attention,
    )
    documents: list[Document] = []
    losses: list[tuple[float, float]] = []
    for start in range(0, len(rows), ROWS):
        some = [rows[n] for n in range(start, min(start + ROWS, len(rows)))]
        seen = [document for row in some for document in documents_of(row, packed)]
        documents += seen
        if len(losses) < 3:
            with torch.no_grad():
                loss = model(**collator([dict(row) for row in some])).loss.item()
            losses.append((loss, loss_of(model, seen)))
    return {"documents": documents, "losses": losses}


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
