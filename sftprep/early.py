"""``prepare`` with workers that are started before anything heavy is loaded."""

from typing import TYPE_CHECKING

from sftprep.engine.local.early import started_early

if TYPE_CHECKING:
    from sftprep.dataset.manifest import Prepared
    from sftprep.progress import Progress
    from sftprep.recipe import Recipe


def prepare(recipe: "Recipe", *, progress: "Progress | None" = None) -> "Prepared":
    """Turn instruction data into tokenized, label-masked shards; see ``run.prepare``."""
    with started_early(recipe.inputs, recipe.workers) as early:
        from sftprep.run import prepare as run

        return run(recipe, progress=progress, early=early)
