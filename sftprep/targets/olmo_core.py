"""OLMo-core: flat arrays of ids and of masks, and a file that says where each document lies.

It packs documents by itself, and shifts the labels after it has applied the mask. It looks for EOS
to find where documents end, unless it is told to read the file with the borders.
"""

from sftprep.targets.contents import IDS, LOSS_MASK
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target

SMALL = 1 << 16
"""Ids below this number are written as uint16."""


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    kind = "uint16" if facts.vocabulary_size <= SMALL else "uint32"
    eos = facts.special_ids.get("eos", "EOS_ID")
    pad = facts.special_ids.get("pad", "PAD_ID")
    files = f"{facts.path}/train"
    length = 1 << (facts.longest - 1).bit_length()  # its packing takes powers of 2 only
    return (
        Lines(
            "python",
            "NumpyPackedFSLDatasetConfig(\n"
            f'    paths=["{files}/token_ids_part_*.npy"],\n'
            f'    label_mask_paths=["{files}/labels_mask_part_*.npy"],\n'
            "    expand_glob=True,\n"
            "    use_array_if_local=False,\n"
            "    generate_doc_lengths=True,\n"
            f"    sequence_length={length},\n"
            f"    dtype=NumpyDatasetDType.{kind},\n"
            "    tokenizer=TokenizerConfig(\n"
            f"        vocab_size={facts.vocabulary_size}, eos_token_id={eos}, pad_token_id={pad}\n"
            "    ),\n"
            ")",
        ),
    )


TARGET = Target(
    name="olmo-core",
    trainer="OLMo-core, NumpyPackedFSLDataset",
    tested="OLMo-core 3.0.0: its packed dataset and its labels",
    evidence=Evidence.READ,
    shift=Shift.TRAINER,
    folder="the files of a split, as paths and label_mask_paths",
    unpacked=Form(
        {"input_ids": IDS, "loss_mask": LOSS_MASK},
        no_padding="OLMo-core packs and pads by itself, and takes padding that it finds for text",
    ),
    packed="OLMo-core packs documents itself, and has no way to be told where those of a packed "
    "row begin",
    configuration=_configuration,
    notes=(
        "Never leave out use_array_if_local=False: by default a document ends at each EOS, so that "
        "conversations are cut at their inner EOS, and documents without one run together.",
        "sequence_length must be a power of 2, and not less than the longest row.",
        "Name the dtype: it is guessed from vocab_size otherwise, and wrong ids result from a "
        "wrong one.",
        "Use a pad token that is not EOS, or padding counts as hundreds of documents.",
    ),
)
