"""SkyRL's SFT trainer: ids and a mask over the whole row; labels are ignored.

What is trained begins at the first 1 of the mask. SkyRL pads and packs by itself.
"""

from sftprep.targets.contents import IDS, LOSS_MASK
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    lines = [f"pretokenized_dataset_paths={_paths(facts, 'train')}", f"max_length={facts.longest}"]
    if facts.has("validation"):
        lines.insert(1, f"eval_pretokenized_dataset_paths={_paths(facts, 'validation')}")
    return (Lines("bash", " \\\n    ".join(["python -m skyrl.train.main_sft", *lines])),)


def _paths(facts: Facts, split: str) -> str:
    """Name the only file of a split, or let the shell list all of them."""
    names = facts.shards[split]
    if len(names) == 1:
        return f'"[{facts.path}/{names[0]}]"'
    return f'"[$(ls {facts.files(split)} | paste -sd,)]"'


TARGET = Target(
    name="skyrl",
    trainer="SkyRL's SFT trainer",
    tested="SkyRL 0.4.0: its loader of pretokenized data",
    evidence=Evidence.READ,
    shift=Shift.TRAINER,
    folder="the files of a split, as pretokenized_dataset_paths",
    unpacked=Form(
        {"input_ids": IDS, "loss_mask": LOSS_MASK},
        no_padding="SkyRL pads by itself, and refuses or trains on padding that it finds",
    ),
    packed="SkyRL packs rows itself, and takes a packed row for one document",
    configuration=_configuration,
    notes=(
        "Never point it to the dataset's folder: it reads all files below a folder, and refuses a "
        "mix of formats. Pointed to data/ it reads all splits as one.",
        "With max_length less than the longest row, rows lose their end, and those without a "
        "trained token left are dropped.",
    ),
)
