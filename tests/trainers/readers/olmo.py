"""Pack the documents of a split with OLMo-core's numpy dataset.

In     lines: the printed lines of Python; output: a folder for what OLMo-core keeps.
Out    documents: ids, and labels as they are everywhere here: unshifted, -100 without loss.
"""

import json
import sys
from pathlib import Path
from typing import Any

from readers.replaced import replace


def local(path: str, **unused: Any) -> Path:
    """Return the path of a file on this machine, as ``cached_path`` does."""
    del unused
    if not Path(path).exists():
        raise FileNotFoundError(path)
    return Path(path)


# Its own needs the libraries of clouds.
replace("cached_path", "cached_path.schemes")
sys.modules["cached_path"].cached_path = local  # type: ignore[attr-defined]
sys.modules["cached_path.schemes"].add_scheme_client = print  # type: ignore[attr-defined]
sys.modules["cached_path.schemes"].S3Client = type(  # type: ignore[attr-defined]
    "S3Client", (), {"recoverable_errors": ()}
)

from olmo_core.data import NumpyDatasetDType, NumpyPackedFSLDatasetConfig, TokenizerConfig
from olmo_core.data.utils import get_labels

IGNORED = -100


def main(lines: str, output: str) -> list[tuple[list[int], list[int]]]:
    """Return the documents of all packs, without padding."""
    names = {
        "NumpyDatasetDType": NumpyDatasetDType,
        "NumpyPackedFSLDatasetConfig": NumpyPackedFSLDatasetConfig,
        "TokenizerConfig": TokenizerConfig,
    }
    config: Any = eval(lines, names)
    config.work_dir = output
    packs = config.build()
    packs.prepare()
    found = []
    for number in range(len(packs)):
        pack = packs[number]
        batch = {name: pack[name][None] for name in ("input_ids", "label_mask")}
        ids = pack["input_ids"].tolist()
        following = get_labels(batch)[0].tolist()
        start = 0
        for size in pack["doc_lens"].tolist():
            part = slice(start, start + size)
            labels = [IGNORED, *following[part][:-1]]
            start += size
            if set(labels) != {IGNORED}:  # padding
                assert following[part][-1] == IGNORED
                found.append((ids[part], labels))
    return found


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
