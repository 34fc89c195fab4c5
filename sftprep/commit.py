"""What every run does with its output: messages about what is there, and the last steps.

In     a staged dataset whose other files are durable, and its manifest without ``files``.
Out    the dataset in the output folder, with what describes its shards, the card and the manifest.
Raises OutputError, OSError: see ``dataset.staging``.
"""

from sftprep.dataset.card import write_card
from sftprep.dataset.describing import write_describing_files
from sftprep.dataset.durable import write_durably
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.leftovers import listed
from sftprep.dataset.manifest import Manifest
from sftprep.dataset.staging import OutputFolder
from sftprep.progress import Progress
from sftprep.recipe import Recipe, command_line
from sftprep.text import number


def commit(output: OutputFolder, manifest: Manifest) -> Manifest:
    """Write what describes the dataset, and publish it; return its whole manifest."""
    recipe, names = manifest.recipe, [entry["name"] for entry in manifest.inputs]
    command = command_line(recipe, names, manifest.tokenizer["name"])
    manifest = write_describing_files(output.dataset, manifest)
    manifest = write_card(output.dataset, manifest, command)
    write_durably(output.dataset / MANIFEST, manifest.dump())
    output.publish()
    return manifest


def say_what_is_kept(output: OutputFolder, existing: Manifest, progress: Progress) -> None:
    """Remove what a finished run has left; say that what an interrupted run has left stays."""
    if left := output.remove_leftovers(existing):
        progress.note(
            f"{output.staging}: an interrupted run of another dataset has finished "
            f"{number(left, 'shard')}, which are kept. With its options, --overwrite and "
            "--resume that run continues; to give it up, remove the folder."
        )


def say_what_is_discarded(output: OutputFolder, recipe: Recipe, progress: Progress) -> None:
    """Say what goes: finished shards if the run does not resume, and what readers have left."""
    if output.leftovers:
        progress.note(
            f"{output.path}: readers have left {listed(output.leftovers)}. They belong to the "
            "dataset that is there, and go with it when the new one takes its place."
        )
    if not recipe.resume and (left := output.finished_shards()):
        progress.warn(
            f"{output.path}: an interrupted run has finished {number(left, 'shard')}. They are "
            "removed, and this run starts over; --resume would have continued after them."
        )
