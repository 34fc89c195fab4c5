"""Load a file with SkyRL's loader of pretokenized data.

In     file; longest: the most tokens of a row.
Out    documents: ids, and labels as they are everywhere here: unshifted, -100 without loss.
"""

import json
import sys

from skyrl.train.dataset.pretokenized import load_from_pretokenized

IGNORED = -100

if __name__ == "__main__":
    question = json.loads(sys.argv[1])
    found = []
    for row in load_from_pretokenized(question["file"], question["longest"]):
        ids, count = row["input_ids"], row["num_actions"]
        # What is trained is the end of the row, as far as the mask says so.
        assert len(row["loss_mask"]) == count
        mask = [0] * (len(ids) - count) + row["loss_mask"]
        found.append([ids, [i if m else IGNORED for i, m in zip(ids, mask, strict=True)]])
    print(json.dumps(found))
