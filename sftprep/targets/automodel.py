"""NeMo Automodel. Neither its collaters nor its loss shift labels, so they are stored shifted.

Packed rows have both forms that its collaters know: numbers of documents in ``attention_mask`` for
neat packing, and the lengths of documents for THD packing. A collater reads the columns that it
needs.
"""

from sftprep.targets.contents import (
    ATTENTION,
    DOCUMENTS,
    IDS,
    NEXT_LABELS,
    POSITIONS,
    SEQ_LENGTHS,
    SEQ_LENGTHS_AND_PADDING,
)
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    utils = "nemo_automodel.components.datasets.utils"
    collater = "neat_packed_collater" if facts.packed else "default_collater"
    lines = [_dataset("dataset", facts.path, "train")]
    if facts.has("validation"):
        lines.append(_dataset("validation_dataset", facts.path, "validation"))
    if facts.packed:
        lines.append(
            f"packed_sequence:\n  packed_sequence_size: {facts.longest}\n  prepacked: true"
        )
    lines.append(f"dataloader:\n  collate_fn: {utils}.{collater}")
    return (Lines("yaml", "\n".join(lines)),)


def _dataset(key: str, path: str, split: str) -> str:
    return f"{key}:\n  _target_: datasets.load_dataset\n  path: {path}\n  split: {split}"


TARGET = Target(
    name="automodel",
    trainer="NeMo Automodel",
    tested="NeMo Automodel 0.7.0: its collaters and its loss; its recipes need a GPU",
    evidence=Evidence.READ,
    shift=Shift.DATA,
    folder="the dataset's folder, with datasets.load_dataset",
    unpacked=Form({"input_ids": IDS, "labels": NEXT_LABELS, "attention_mask": ATTENTION}),
    packed=Form(
        {
            "input_ids": IDS,
            "labels": NEXT_LABELS,
            "attention_mask": DOCUMENTS,
            "position_ids": POSITIONS,
            "seq_lens": SEQ_LENGTHS,
            "seq_lens_padded": SEQ_LENGTHS_AND_PADDING,
        },
        one_length="Automodel's collaters for packed rows put them into a batch as they are",
    ),
    configuration=_configuration,
    notes=(
        "Labels are stored shifted: the label at a place is the next token. Rows for other "
        "trainers are wrong here, and nothing says so.",
        "The loss is a sum over tokens unless the recipe divides it.",
        "For THD packing, use the collater packed_sequence_thd_collater.",
        "If datasets.load_dataset is refused as a target, set NEMO_ENABLE_USER_MODULES=1.",
    ),
    no_left_padding="Automodel's padding masks and lengths describe padding behind the text",
)
