"""Unsloth's ``SFTTrainer``. If it finds labels, it tokenizes nothing, and pads ids and labels.

It neither cuts rows that are tokenized already, nor drops any. When it packs, it keeps only the
ids, the mask and the labels, so nothing is left of how rows were packed before.
"""

from sftprep.targets.contents import ATTENTION, IDS, LABELS
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    evaluation = '\n    eval_dataset=rows["validation"],' if facts.has("validation") else ""
    return (
        Lines(
            "python",
            f'rows = datasets.load_dataset("{facts.path}")\n'
            "trainer = SFTTrainer(\n"
            "    model,\n"
            f"    args=SFTConfig(output_dir=OUTPUT, max_length={facts.longest}),\n"
            f'    train_dataset=rows["train"],{evaluation}\n'
            f'    processing_class=AutoTokenizer.from_pretrained("{facts.path}/tokenizer"),\n'
            ")",
        ),
    )


TARGET = Target(
    name="unsloth",
    trainer="Unsloth's SFTTrainer",
    tested="unsloth-zoo at commit 005a250; it needs a GPU",
    evidence=Evidence.SOURCE,
    shift=Shift.MODEL,
    folder="the dataset's folder, with datasets.load_dataset",
    unpacked=Form({"input_ids": IDS, "attention_mask": ATTENTION, "labels": LABELS}),
    packed="Unsloth packs rows itself (packing=True), and drops what would tell the documents of a "
    "packed row apart",
    configuration=_configuration,
    notes=(
        "Load the model with a max_seq_length that is not less than the longest row.",
        "Do not call train_on_responses_only: it makes other labels, by searching for markers.",
        "The collator needs a pad token: pass --add-token 'pad=TOKEN' to prepare if the tokenizer "
        "has none.",
    ),
)
