"""verl's SFT trainer: ids and a mask, through a dataset class of yours.

Its loss moves the mask of a whole batch by one place, so the first token of a row must have the
mask 0, or it would fall on the last token of the row before.
"""

from sftprep.targets.contents import IDS, LOSS_MASK
from sftprep.targets.target import Evidence, Facts, Form, Lines, Shift, Target

_CLASS = """\
# sftprep_rows.py
import datasets
import torch


class Rows(torch.utils.data.Dataset):
    def __init__(self, parquet_files, **unused):
        files = [parquet_files] if isinstance(parquet_files, str) else list(parquet_files)
        self.rows = datasets.load_dataset("parquet", data_files=files, split="train")

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = {name: torch.tensor(values) for name, values in self.rows[index].items()}
        return {
            "input_ids": row["input_ids"],
            "position_ids": torch.arange(len(row["input_ids"])),
            "loss_mask": row["loss_mask"],
        }"""


def _configuration(facts: Facts) -> tuple[Lines, ...]:
    lines = [f"data:\n  train_files: {facts.files('train')}"]
    if facts.has("validation"):
        lines.append(f"  val_files: {facts.files('validation')}")
    lines += [
        f"  max_length: {facts.longest}",
        "  pad_mode: no_padding",
        "  custom_cls:\n    path: sftprep_rows.py\n    name: Rows",
    ]
    return (Lines("python", _CLASS), Lines("yaml", "\n".join(lines)))


TARGET = Target(
    name="verl",
    trainer="verl's SFT trainer, with a class of your own",
    tested="verl 0.9.1",
    evidence=Evidence.SOURCE,
    shift=Shift.TRAINER,
    folder="the files of a split, as data.train_files",
    unpacked=Form(
        {"input_ids": IDS, "loss_mask": LOSS_MASK},
        no_padding="verl joins rows without padding (pad_mode: no_padding), and takes padding that "
        "it finds for text",
    ),
    packed="verl joins rows itself, and takes a packed row for one document",
    configuration=_configuration,
    notes=(
        "Keep pad_mode: no_padding: the class returns rows of their own length.",
        "max_length is not applied to these rows.",
    ),
)
