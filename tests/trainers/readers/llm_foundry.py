"""Batch samples with the collator of LLM Foundry's finetuning loader.

In     lines: the printed lines of its configuration; tokenizer: its folder.
Out    documents: ids, and labels as they are everywhere here: unshifted, -100 without loss.

LLM Foundry needs older libraries to be imported whole. So the module with its collator is imported
alone, and ``StreamingDataset`` reads the samples, as LLM Foundry's dataset lets it.
"""

import json
import sys
from typing import Any

import yaml
from readers.replaced import import_alone, replace

replace("torchvision")  # it is used for images only
replace("torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")
import_alone("llmfoundry", "llmfoundry.data", "llmfoundry.data.finetuning", "llmfoundry.utils")

from llmfoundry.data.finetuning.collator import Seq2SeqFinetuningCollator
from streaming import StreamingDataset
from transformers import AutoTokenizer

ROWS = 3


def main(lines: str, tokenizer: str) -> list[tuple[list[int], list[int]]]:
    """Return the documents of all batches, without padding."""
    settings: dict[str, Any] = yaml.safe_load(lines)["train_loader"]["dataset"]
    (stream,) = settings.pop("streams").values()
    rows = StreamingDataset(**stream, batch_size=1)
    collator = Seq2SeqFinetuningCollator(AutoTokenizer.from_pretrained(tokenizer), **settings)
    found = []
    for start in range(0, rows.num_samples, ROWS):
        batch = collator([rows[n] for n in range(start, min(start + ROWS, rows.num_samples))])
        names = ("input_ids", "labels", "attention_mask")
        for ids, labels, mask in zip(*(batch[name].tolist() for name in names), strict=True):
            size = sum(mask)
            assert not any(mask[size:])
            found.append((ids[:size], labels[:size]))
    return found


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
