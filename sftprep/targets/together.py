"""Together's fine-tuning service. It takes one Parquet file with these columns and no other."""

from sftprep.targets.contents import ATTENTION, IDS, LABELS
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    commands = [
        f"together files upload {facts.path}/{name} --purpose fine-tune"
        for split in ("train", "validation")
        for name in facts.shards.get(split, ())
    ]
    return (Lines("bash", "\n".join(commands)),)


TARGET = Target(
    name="together",
    trainer="Together's fine-tuning service",
    tested="together 3.1.1: the check before an upload; no job was run",
    evidence=Evidence.READ,
    shift=Shift.MODEL,
    folder="each shard, with together files upload",
    unpacked=Form({"input_ids": IDS, "attention_mask": ATTENTION, "labels": LABELS}),
    packed="Together does not say whether it keeps the documents of a packed row apart",
    configuration=_configuration,
    notes=(
        "A job takes one file for training and one for validation: pass a --shard-size that is "
        "larger than the input, so that each split is one shard.",
        "A file may have at most 50.1 GB.",
    ),
)
