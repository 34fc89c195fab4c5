"""Megatron-Bridge: its packed Parquet files, one pack in a row.

The reader predicts each token of a document from those before it: it drops the last id of a
document from the input and the first from the labels, and takes the mask at the place of the input.
So the mask is stored one place to the left. Where documents begin is in ``seq_start_id``; the last
one ends with the row. A row that is not packed is a pack of one document.
"""

from sftprep.targets.contents import IDS, NEXT_LOSS_MASK, SEQ_STARTS
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    validation = ""
    if facts.has("validation"):
        validation = f'\n    packed_val_data_path="{facts.files("validation")}",'
    return (
        Lines(
            "python",
            "PackedSequenceSpecs(\n"
            f"    packed_sequence_size={facts.longest},\n"
            f'    packed_train_data_path="{facts.files("train")}",{validation}\n'
            ")",
        ),
    )


_FORM = Form(
    {"input_ids": IDS, "loss_mask": NEXT_LOSS_MASK, "seq_start_id": SEQ_STARTS},
    no_padding="Megatron-Bridge pads packs by itself, and takes padding that it finds for text",
)

TARGET = Target(
    name="megatron-bridge",
    trainer="Megatron-Bridge, packed Parquet files",
    tested="Megatron-Bridge 0.6.2: its dataset for packed files and its batches",
    evidence=Evidence.READ,
    shift=Shift.TRAINER,
    folder="the files of each split, as packed_train_data_path and packed_val_data_path",
    unpacked=_FORM,
    packed=_FORM,
    configuration=_configuration,
    notes=(
        "The mask is stored one place to the left, as the reader wants it. The release 0.3.1 reads "
        "only .npy files; releases from 0.6 on read these.",
        "Release 0.6.2 gives no loss behind an EOS in the middle of a document; its main branch "
        "does.",
        "Leave answer_only_loss on, or the mask has no effect.",
        "NeMo Automodel has a reader for such files (PackedParquetDataset) that does not shift the "
        "labels: use the target automodel there.",
    ),
)
