"""``prepare`` as it is called: workers are started before anything that takes long is loaded.

In     a ``Recipe``.
Out    what ``run.prepare`` gives.
Keeps  the result the same whether workers were started early or not.

A worker loads numpy and the encoder while this process loads numpy and Arrow, and makes its plan.
Little input needs no workers, and whether compressed input is little nobody knows yet.
"""

import os
from typing import TYPE_CHECKING

from sftprep.engine.local.fork_server import waiting
from sftprep.system.cores import usable_cores

if TYPE_CHECKING:
    from sftprep.dataset.manifest import Prepared
    from sftprep.progress import Progress
    from sftprep.recipe import Recipe

LITTLE = 16 << 20
"""Bytes of plain input that one process has done before others have started."""


def prepare(recipe: "Recipe", *, progress: "Progress | None" = None) -> "Prepared":
    """Turn instruction data into tokenized, label-masked shards.

    Args:
        recipe: what to do; ``output`` and ``tokenizer`` must be given.
        progress: told how it goes; nobody, unless given.

    Returns:
        The manifest of the dataset, which is complete in ``recipe.output`` by then, and whether it
        was written now.

    Raises:
        SftprepError: one of its kinds; then nothing was published, and a dataset that was in the
            output folder before is still there.
    """
    with waiting(_early_workers(recipe)) as staff:
        from sftprep.run import prepare as run

        return run(recipe, progress=progress, early=staff)


def _early_workers(recipe: "Recipe") -> int:
    """How many workers will be needed for sure: none where that cannot be told from the files."""
    workers = recipe.workers or usable_cores()
    if workers == 1 or not (recipe.output and recipe.tokenizer):
        return 0
    try:
        size = sum(os.path.getsize(path) for path in recipe.inputs if os.path.isfile(path))  # noqa: PTH113, PTH202
    except (OSError, ValueError):  # it will be told of by whoever reads
        return 0
    return workers if size >= LITTLE else 0
