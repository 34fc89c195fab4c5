"""The columns that Hugging Face's ``Trainer`` and collators read. This is the default target.

Labels are not shifted: the id of a trained token, the ignore index for other tokens. Packed rows
have no ``attention_mask``: transformers tells the documents of a row apart by their position ids
only if it is given no mask. Padding in a packed row has positions of its own, so that no document
sees it; ``seq_lengths`` does not list it.
"""

from sftprep.data.arranged import ArrangedRows
from sftprep.data.batch import Batch
from sftprep.data.columns import Columns, Kinds
from sftprep.targets.contents import ATTENTION, IDS, LABELS, POSITIONS, SEQ_LENGTHS
from sftprep.targets.names import LOSS_MASKS
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    collator = "default_data_collator" if facts.packed else "DataCollatorForSeq2Seq(tokenizer)"
    evaluation = '\n    eval_dataset=rows["validation"],' if facts.has("validation") else ""
    options = "output_dir=OUTPUT"
    if facts.packed and not facts.padded:  # no collator pads such rows
        options += ", per_device_train_batch_size=1"
        if facts.has("validation"):
            options = f"\n        {options}, per_device_eval_batch_size=1\n    "
    labels = ""
    if facts.loss_mask:
        labels = (
            "rows = rows.map(lambda row: {\n"
            '    "labels": [i if trained else -100\n'
            f'               for i, trained in zip(row["input_ids"], row["{facts.loss_mask}"])]\n'
            "})\n"
        )
    return (
        Lines(
            "python",
            f'rows = datasets.load_dataset("{facts.path}")\n{labels}'
            f'tokenizer = AutoTokenizer.from_pretrained("{facts.path}/tokenizer")\n'
            "trainer = Trainer(\n"
            "    model,\n"
            f"    args=TrainingArguments({options}),\n"
            f'    train_dataset=rows["train"],{evaluation}\n'
            f"    data_collator={collator},\n"
            ")",
        ),
    )


TARGET = Target(
    name="hf",
    trainer="Trainer of transformers",
    tested="transformers 5.24",
    evidence=Evidence.TRAINED,
    shift=Shift.MODEL,
    folder="the dataset's folder, with datasets.load_dataset",
    unpacked=Form({"input_ids": IDS, "attention_mask": ATTENTION, "labels": LABELS}),
    packed=Form(
        {"input_ids": IDS, "labels": LABELS, "position_ids": POSITIONS, "seq_lengths": SEQ_LENGTHS}
    ),
    configuration=_configuration,
    notes=(
        "Rows that are not padded need a tokenizer with a pad token, or the collator fails: pass "
        "--add-token 'pad=TOKEN' to prepare.",
        "Packed rows: give the model no attention_mask. With one, and with DataCollatorForSeq2Seq, "
        "which makes one, the documents of a row see each other, and no error says so.",
        "Packed rows in batches of more than one must be padded to one length: --pad max-length.",
        "Padding on the left moves the positions of the text: with a model that has absolute "
        "ones, as GPT-2, the loss changes.",
        "DataCollatorWithFlattening takes each row for one document: give it rows that are not "
        "packed.",
        "With --loss-mask there are no labels: Trainer and its collators know no such column, so "
        "the labels must be made from it, as above.",
    ),
    loss_masks=LOSS_MASKS,
    labels_of_any_value=True,
)


def kinds(*, packed: bool) -> Kinds:
    """Return the names and dtypes of the columns, in their order."""
    return TARGET.form(packed=packed).kinds


UNPACKED, PACKED = kinds(packed=False), kinds(packed=True)


def columns_of_batch(batch: Batch, ignore_index: int) -> Columns:
    """Return the columns of rows that are not arranged."""
    return columns_of(ArrangedRows.of(batch), ignore_index)


def columns_of(rows: ArrangedRows, ignore_index: int) -> Columns:
    """Return the columns of some rows. ``input_ids`` shares the memory of the rows' ids."""
    return TARGET.form(packed=rows.seq_lengths is not None).columns_of(rows, ignore_index)
