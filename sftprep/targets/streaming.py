"""MosaicML's streaming: MDS shards with a column of ids and one of labels, as 32-bit arrays."""

from sftprep.targets.contents import IDS, LABELS
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    return (
        Lines(
            "python",
            f'rows = StreamingDataset(local="{facts.path}", split="train", batch_size=BATCH)\n'
            'labels = torch.from_numpy(rows[0]["labels"]).long()',
        ),
    )


TARGET = Target(
    name="streaming",
    trainer="mosaicml-streaming, StreamingDataset",
    tested="mosaicml-streaming 0.13.0",
    evidence=Evidence.READ,
    shift=Shift.MODEL,
    folder="the dataset's folder as local, and a split",
    unpacked=Form(
        {"input_ids": IDS, "labels": LABELS},
        no_padding="the samples hold no mask that would tell padding from text",
    ),
    packed="the samples hold nothing that would tell the documents of a packed row apart",
    configuration=_configuration,
    notes=("Convert the labels to 64 bits (.long()): PyTorch's loss refuses 32-bit labels.",),
    labels_of_any_value=True,
)
