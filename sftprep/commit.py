"""The last steps of every run: the card, the manifest, and the name of the dataset.

In     a staged dataset whose other files are durable, and its manifest without the card.
Out    the dataset in the output folder.
Raises OutputError, OSError: see ``dataset.staging``.
"""

from sftprep.dataset.card import write_card
from sftprep.dataset.durable import write_durably
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.manifest import Manifest
from sftprep.dataset.staging import OutputFolder
from sftprep.recipe import command_line


def commit(output: OutputFolder, manifest: Manifest) -> Manifest:
    """Write the card and the manifest, and publish the dataset; return its whole manifest."""
    recipe, names = manifest.recipe, [entry["name"] for entry in manifest.inputs]
    command = command_line(recipe, names, manifest.tokenizer["name"])
    manifest = write_card(output.dataset, manifest, command)
    write_durably(output.dataset / MANIFEST, manifest.dump())
    output.publish()
    return manifest
