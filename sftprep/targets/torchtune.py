"""torchtune. Its recipes shift the labels, so they are stored as they are.

A few lines of Python load the rows: torchtune has no component for rows that are tokenized already.
"""

from sftprep.targets.contents import IDS, LABELS, POSITIONS, SEQ_LENGTHS_THEN_PADDING
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    tensors = '.with_format("torch")' if facts.packed else ""
    component = f"""\
# sftprep_rows.py
import datasets


def rows(tokenizer, split, packed=False):
    return datasets.load_dataset("{facts.path}", split=split){tensors}"""
    recipe = f"""\
dataset:
  _component_: sftprep_rows.rows
  split: train
  packed: {"true" if facts.packed else "false"}"""
    return (Lines("python", component), Lines("yaml", recipe))


TARGET = Target(
    name="torchtune",
    trainer="torchtune, full_finetune_single_device",
    tested="torchtune 0.6.1 with torchao 0.14.1: its collators",
    evidence=Evidence.READ,
    shift=Shift.TRAINER,
    folder="the dataset's folder, with datasets.load_dataset in a component of yours",
    unpacked=Form({"tokens": IDS, "labels": LABELS}),
    packed=Form(
        {
            "tokens": IDS,
            "labels": LABELS,
            "input_pos": POSITIONS,
            "seq_lens": SEQ_LENGTHS_THEN_PADDING,
        },
        one_length="torchtune puts packed rows into a batch as they are",
    ),
    configuration=_configuration,
    notes=(
        "Install it with 'torchao<0.15': it cannot be imported with newer ones.",
        "Labels are not shifted: the recipes of 0.6.1 do that. Shifted ones would train the token "
        "after the next, and nothing would say so.",
        "With packed: true and rows that are not packed, torchtune packs them itself.",
    ),
    no_left_padding="torchtune makes no mask for padding",
)
