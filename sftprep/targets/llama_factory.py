"""LLaMA-Factory. It takes a folder that ``datasets.load_from_disk`` opens, as it is.

Documents of a packed row are told apart by their number in ``attention_mask``, if ``neat_packing``
is on. The collator puts rows of one length together without padding them, and some attention
kernels need a length that is a multiple of 8.
"""

from sftprep.targets.contents import ATTENTION, DOCUMENTS, IDS, LABELS, POSITIONS
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    lines = [
        "stage: sft",
        "dataset: sftprep  # any name: it is not looked up, but it must be there",
        f"tokenized_path: {facts.path}",
    ]
    if facts.packed:
        lines.append("neat_packing: true")
    return (Lines("yaml", "\n".join(lines)),)


TARGET = Target(
    name="llama-factory",
    trainer="LLaMA-Factory, with tokenized_path",
    tested="LLaMA-Factory 0.9.5: its loader and its collator, with the loss of a tiny model",
    evidence=Evidence.READ,
    shift=Shift.MODEL,
    folder="the dataset's folder, as tokenized_path",
    unpacked=Form({"input_ids": IDS, "attention_mask": ATTENTION, "labels": LABELS}),
    packed=Form(
        {
            "input_ids": IDS,
            "labels": LABELS,
            "attention_mask": DOCUMENTS,
            "position_ids": POSITIONS,
        },
        one_length="LLaMA-Factory puts packed rows into a batch as they are, and some of its "
        "attention kernels need a multiple of 8",
    ),
    configuration=_configuration,
    notes=(
        "The key dataset must be there, with any value: without it the configuration is refused.",
        "Packed rows: without neat_packing: true the documents of a row see each other, and "
        "nothing says so.",
        "Packed rows with FlashAttention 2: per_device_train_batch_size: 1.",
        "It loads the tokenizer of model_name_or_path, not that of the dataset. If tokens were "
        "added, save the resized model with the dataset's tokenizer first.",
        "Padding on the left moves the positions of the text: with a model that has absolute "
        "ones, as GPT-2, the loss changes.",
        "cutoff_len, packing and template have no effect on these rows.",
    ),
)
