"""Read a split with ``StreamingDataset``.

In     lines: the printed lines of Python.
Out    documents: ids and labels.
"""

import json
import sys
from typing import Any

import torch
from readers.replaced import replace

replace("torchvision")  # it is used for images only
replace("torchvision.datasets", "torchvision.transforms", "torchvision.transforms.functional")

from streaming import StreamingDataset


def main(lines: str) -> list[tuple[list[int], list[int]]]:
    """Return the samples in the order of the shards."""
    names: dict[str, Any] = {"StreamingDataset": StreamingDataset, "torch": torch, "BATCH": 1}
    exec(lines, names)
    rows = names["rows"]
    assert names["labels"].dtype == torch.int64
    return [
        (rows[n]["input_ids"].tolist(), rows[n]["labels"].tolist()) for n in range(rows.num_samples)
    ]


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
