"""TRL's ``SFTTrainer``. If it finds ids and labels, it tokenizes, adds and masks nothing.

It takes only the columns named here, makes its own attention mask (ones over the whole row), and
cuts rows at its own ``max_length``. Documents of a packed row are told apart by ``seq_lengths``,
but only without padding, and only if it is told that rows are packed already.
"""

from sftprep.targets.contents import IDS, LABELS, SEQ_LENGTHS
from sftprep.targets.names import LOSS_MASKS
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    how = f"max_length={facts.longest}"
    if facts.packed:
        how = "padding_free=True, max_length=None"
    if facts.loss_mask == "completion_mask":
        how += ", completion_only_loss=True"
    evaluation = '\n    eval_dataset=rows["validation"],' if facts.has("validation") else ""
    return (
        Lines(
            "python",
            f'rows = datasets.load_dataset("{facts.path}")\n'
            "trainer = SFTTrainer(\n"
            "    model,\n"
            f"    args=SFTConfig(output_dir=OUTPUT, {how}),\n"
            f'    train_dataset=rows["train"],{evaluation}\n'
            f'    processing_class=AutoTokenizer.from_pretrained("{facts.path}/tokenizer"),\n'
            ")",
        ),
    )


TARGET = Target(
    name="trl",
    trainer="SFTTrainer of TRL",
    tested="TRL 1.16.0 with transformers 5.24",
    evidence=Evidence.TRAINED,
    shift=Shift.MODEL,
    folder="the dataset's folder, with datasets.load_dataset",
    unpacked=Form({"input_ids": IDS, "labels": LABELS}),
    packed=Form(
        {"input_ids": IDS, "labels": LABELS, "seq_lengths": SEQ_LENGTHS},
        no_padding="TRL finds the documents of a packed row by their lengths, which do not list "
        "padding",
    ),
    configuration=_configuration,
    notes=(
        "Always set max_length: its default is 1024, longer rows are cut there, rows without a "
        "trained token left are dropped, and nothing says so.",
        "Packed rows: packing=True alone packs them again, and documents in a row see each other. "
        "Use padding_free=True with max_length=None, or packing=True with dataset_kwargs="
        '{"skip_prepare_dataset": True}.',
        "Leave assistant_only_loss off: it is refused for token ids. completion_only_loss has no "
        "effect, since the labels say what is trained.",
        "Padding is counted in TRL's number of tokens. The loss is right.",
        "--loss-mask completion_mask has no effect without completion_only_loss=True: TRL then "
        "trains on everything, and nothing says so. assistant_masks always has an effect. Neither "
        "works with skip_prepare_dataset.",
    ),
    loss_masks=LOSS_MASKS,
    no_left_padding="TRL takes padding for text, and on the left the text behind it would see it",
)
