"""Load rows with the class that is printed for verl, and apply its shift to a flat batch.

In     lines: the printed lines of Python, and those of the configuration.
Out    documents: ids, and labels as they are everywhere here: unshifted, -100 without loss.

verl itself is not run. Its loss takes the log probability of each next token of a flat batch, and
moves the mask of the whole batch by one place, round its end (verl/workers/utils/losses.py, 0.9.1).
"""

import json
import sys
from typing import Any

import torch
import yaml

IGNORED = -100


def main(lines: list[str]) -> list[tuple[list[int], list[int]]]:
    """Return the documents of one flat batch of all rows."""
    code, configuration = lines
    names: dict[str, Any] = {}
    exec(code, names)
    data = yaml.safe_load(configuration)["data"]
    rows = names[data["custom_cls"]["name"]](data["train_files"], tokenizer=None, config=data)
    some = [rows[n] for n in range(len(rows))]
    ids = torch.cat([row["input_ids"] for row in some])
    mask = torch.cat([row["loss_mask"] for row in some]).roll(-1)
    following = ids.roll(-1)
    found, start = [], 0
    for row in some:
        size = len(row["input_ids"])
        assert row["position_ids"].tolist() == list(range(size))
        part = slice(start, start + size)
        trained = [
            int(i) if flag else IGNORED for i, flag in zip(following[part], mask[part], strict=True)
        ]
        assert trained[-1] == IGNORED  # nothing is predicted over the border of a row
        found.append((ids[part].tolist(), [IGNORED, *trained[:-1]]))
        start += size
    return found


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
