"""Axolotl. It takes rows for token ids if they have these three columns.

It packs rows by itself while training, so packed rows would see each other: it needs their
``attention_mask``, which hides that a row holds several documents.
"""

from sftprep.targets.contents import ATTENTION, IDS, LABELS
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    lines = [
        f"base_model: MODEL\ntokenizer_config: {facts.path}/tokenizer",
        f"datasets:\n  - path: {facts.path}\n    split: train\n    type:",
    ]
    if facts.has("validation"):
        lines.append(f"test_datasets:\n  - path: {facts.path}\n    split: validation\n    type:")
    lines.append(f"sequence_len: {facts.longest}")
    return (Lines("yaml", "\n".join(lines)),)


TARGET = Target(
    name="axolotl",
    trainer="Axolotl, preprocess and train",
    tested="Axolotl 0.19.0: its loader and its limit of length",
    evidence=Evidence.READ,
    shift=Shift.MODEL,
    folder="the dataset's folder, as path of a dataset with an empty type",
    unpacked=Form({"input_ids": IDS, "attention_mask": ATTENTION, "labels": LABELS}),
    packed="Axolotl packs rows itself (sample_packing: true), and documents that are packed before "
    "would see each other",
    configuration=_configuration,
    notes=(
        "sequence_len must not be less than the longest row: Axolotl drops longer rows, or cuts "
        "off their end with the EOS, and says so in one line of its log.",
        "Leave type empty: any other value tokenizes text.",
        "sample_packing: true needs FlashAttention. Without it, packed documents see each other.",
        "Padding brings nothing here: Axolotl pads each batch by itself. On the left, it moves the "
        "positions of the text: with a model that has absolute ones, as GPT-2, the loss changes.",
    ),
)
