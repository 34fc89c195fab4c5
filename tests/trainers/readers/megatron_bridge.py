"""Batch packs with the dataset of Megatron-Bridge for packed Parquet files.

In     files: a path or a pattern, as printed; longest; eos: the id of the EOS.
Out    documents: ids, and labels as they are everywhere here: unshifted, -100 without loss.

Megatron-Bridge needs a GPU's libraries to be imported whole. So its modules for packed files are
imported alone; what they name of other modules, but do not use for these files, is replaced.
"""

import importlib
import itertools
import json
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

from readers.replaced import import_alone, replace

IGNORED = -100
ROWS = 3


def import_dataset() -> Any:
    """Import the class of the dataset."""
    names = ("", ".data", ".data.datasets", ".data.packing", ".training", ".utils")
    import_alone(*(f"megatron.bridge{name}" for name in names))
    storage = ModuleType("megatron.core.msc_utils")
    storage.MultiStorageClientFeature = SimpleNamespace(  # type: ignore[attr-defined]
        is_enabled=lambda: False
    )
    replace(
        "megatron.core",
        "megatron.bridge.data.datasets.utils",
        "megatron.bridge.data.sft_processing",
        "megatron.bridge.data.token_utils",
        "megatron.bridge.training.tokenizers",
        "megatron.bridge.training.tokenizers.tokenizer",
    )
    sys.modules[storage.__name__] = storage
    return importlib.import_module(
        "megatron.bridge.data.packing.parquet"
    ).GPTSFTPackedParquetDataset


def main(files: str, longest: int, eos: int) -> list[tuple[list[int], list[int]]]:
    """Return the documents as they are trained."""
    dataset = import_dataset()
    template = "{text}{answer}"  # it must be there, and is not used
    tokenizer = SimpleNamespace(eos_id=eos)
    rows = dataset(files, tokenizer, max_seq_length=longest, prompt_template=template)
    found = []
    for start in range(0, len(rows), ROWS):
        some = [rows[n] for n in range(start, min(start + ROWS, len(rows)))]
        for row in some:
            names = ("input_ids", "loss_mask")
            starts = row["seq_boundaries"][:-1]
            dataset.validate_row(0, *(row[name] for name in names), starts)
        batch = rows.collate_fn(some)
        for row, ends in enumerate(batch["cu_seqlens_q"].tolist()):
            for begin, end in itertools.pairwise(ends):
                inputs, targets, mask, positions = (
                    batch[name][row, begin:end].tolist()
                    for name in ("tokens", "labels", "loss_mask", "position_ids")
                )
                if not any(mask):  # padding
                    continue
                assert positions == list(range(end - begin))
                assert inputs[1:] == targets[:-1]
                labels = [t if m else IGNORED for t, m in zip(targets, mask, strict=True)]
                found.append(([*inputs, targets[-1]], [IGNORED, *labels]))
    return found


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
