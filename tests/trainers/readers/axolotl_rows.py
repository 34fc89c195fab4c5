"""Load a dataset as Axolotl does: its loader, its test for token ids, and its limit of length.

In     lines: the printed lines of its configuration.
Out    documents: ids and labels.

Axolotl needs many libraries to be imported whole. So the modules that load datasets are imported
alone; those that make token ids of text are replaced: they are not used for our rows.
"""

import json
import sys
from typing import Any

import yaml
from readers.replaced import import_alone, replace

import_alone("axolotl", "axolotl.common", "axolotl.utils", "axolotl.utils.data")
replace(
    "axolotl.datasets",
    "axolotl.prompt_strategies",
    "axolotl.prompt_strategies.bradley_terry",
    "axolotl.prompt_tokenizers",
    "axolotl.prompters",
    "axolotl.utils.distributed",
    "axolotl.utils.environment",
    "axolotl.utils.logging",
    "axolotl.utils.samplers",
    "axolotl.utils.samplers.utils",
)

import logging

sys.modules["axolotl.utils.logging"].get_logger = logging.getLogger  # type: ignore[attr-defined]
sys.modules["axolotl.utils.samplers.utils"].get_dataset_lengths = (  # type: ignore[attr-defined]
    lambda dataset, from_arrow=False: list(map(len, dataset["input_ids"]))
)

from axolotl.utils.data.shared import load_dataset_with_config
from axolotl.utils.data.utils import handle_long_seq_in_dataset
from axolotl.utils.data.wrappers import get_dataset_wrapper
from axolotl.utils.dict import DictDefault


def main(lines: str) -> list[tuple[list[int], list[int]]]:
    """Return the rows that are left."""
    settings = DictDefault(yaml.safe_load(lines))
    (config,) = settings.datasets
    loaded: Any = load_dataset_with_config(config, use_auth_token=False)
    rows, _ = get_dataset_wrapper(config, None, settings, None, loaded)
    assert rows is loaded  # nothing was made of text
    rows = handle_long_seq_in_dataset(rows, settings.sequence_len, settings)
    return [(row["input_ids"], row["labels"]) for row in rows]


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
