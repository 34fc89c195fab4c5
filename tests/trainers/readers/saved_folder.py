"""Open a folder with ``datasets``, in both of its ways.

In     folder: a dataset's.
Out    rows by split, as ``load_from_disk`` gives them, and as ``load_dataset`` does.
"""

import json
import sys

import datasets

if __name__ == "__main__":
    folder = json.loads(sys.argv[1])
    datasets.disable_progress_bars()
    print(
        json.dumps(
            [
                {name: rows.to_dict() for name, rows in open_folder(folder).items()}
                for open_folder in (datasets.load_from_disk, datasets.load_dataset)
            ]
        )
    )
