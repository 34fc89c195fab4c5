"""What a user needs to train on a dataset: its facts, for the lines of a trainer's configuration.

In     a manifest, and the name of the dataset's folder.
Out    the target, and the lines.
"""

from sftprep.dataset.manifest import Manifest
from sftprep.targets.table import TARGETS
from sftprep.targets.target import Facts, Lines, Target


def target_of(manifest: Manifest) -> Target:
    """Return the target of a dataset."""
    return TARGETS[manifest.recipe["target"]]


def training_lines(manifest: Manifest, path: str) -> tuple[Lines, ...]:
    """Return the lines for the configuration of the dataset's trainer.

    Args:
        manifest: the manifest of the dataset.
        path: what the lines call its folder.
    """
    recipe, tokenizer = manifest.recipe, manifest.tokenizer
    splits = dict.fromkeys(shard["split"] for shard in manifest.shards)
    facts = Facts(
        path=path,
        shards={
            split: tuple(s["name"] for s in manifest.shards if s["split"] == split)
            for split in splits
        },
        longest=recipe["pack_length"] if recipe["pack"] else recipe["max_length"],
        packed=recipe["pack"],
        padded=recipe["pad"] != "none",
        vocabulary_size=tokenizer["vocabulary_size"],
        special_ids={
            role: entry["id"]
            for role, entry in tokenizer["special_tokens"].items()
            if role in ("bos", "eos", "pad") and entry["id"] is not None
        },
        loss_mask=recipe["loss_mask"],
    )
    return target_of(manifest).configuration(facts)
