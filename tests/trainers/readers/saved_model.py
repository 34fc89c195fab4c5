"""Save a tiny model, and run a script that trains it.

In     folder: for the model; size: the number of ids; then: a script that makes a ``trainer``.
Out    the loss of its last step.
"""

import json
import sys
from typing import Any

from readers.training import tiny_model


def main(folder: str, size: int, then: str) -> float:
    """Save the model, and run the script."""
    tiny_model("llama", size).save_pretrained(folder)
    names: dict[str, Any] = {}
    exec(then, names)
    losses = [entry for entry in names["trainer"].state.log_history if "train_loss" in entry]
    return float(losses[-1]["train_loss"])


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
