"""What each trainer reads, stated row by row in plain Python, apart from the code.

A row is a list of documents with some padding on one side. Nothing here is columnar: each function
says for one row what the columns of a trainer hold, in the words of that trainer's own code.
"""

from collections.abc import Callable
from typing import NamedTuple

PAD = 0  # the id of padding; no token of a document has it
IGNORED = -100

Columns = dict[str, list[int]]


class Document(NamedTuple):
    """Ids and, for each, whether the model is trained on it."""

    ids: list[int]
    trained: list[bool]


class Row(NamedTuple):
    """Documents one after the other, and padding behind them, or before them."""

    documents: list[Document]
    padding: int = 0
    left: bool = False

    @property
    def ids(self) -> list[int]:
        """All ids, with those of the padding."""
        return self.spread(lambda document: document.ids, [PAD] * self.padding)

    @property
    def labels(self) -> list[int]:
        """Unshifted: the id of a trained token, else -100."""
        return self.spread(
            lambda d: [i if t else IGNORED for i, t in zip(*d, strict=True)],
            [IGNORED] * self.padding,
        )

    def spread(self, part: Callable[[Document], list[int]], padding: list[int]) -> list[int]:
        """Put a list for each document in a row, with one for the padding."""
        flat = [value for document in self.documents for value in part(document)]
        return padding + flat if self.left else flat + padding

    @property
    def lengths(self) -> list[int]:
        """The length of each document."""
        return [len(document.ids) for document in self.documents]

    @property
    def numbers(self) -> list[int]:
        """1 in the first document, 2 in the second; 0 for padding."""
        numbered = [n for n, length in enumerate(self.lengths, 1) for _ in range(length)]
        padding = [0] * self.padding
        return padding + numbered if self.left else numbered + padding

    @property
    def positions(self) -> list[int]:
        """Counted from 0 in each document, and in the padding."""
        return self.spread(lambda d: list(range(len(d.ids))), list(range(self.padding)))


def shifted_left(values: list[int], last: int) -> list[int]:
    """Put each value one place earlier, and ``last`` at the end."""
    return [*values[1:], last] if values else []


def with_mask(row: Row) -> Columns:
    """Hugging Face's columns: Transformers, Axolotl, Unsloth, LLaMA-Factory, Together."""
    attention = [int(number > 0) for number in row.numbers]
    return {"input_ids": row.ids, "attention_mask": attention, "labels": row.labels}


def hf_packed(row: Row) -> Columns:
    """No attention mask; positions that start again; the lengths, which TRL reads."""
    return {
        "input_ids": row.ids,
        "labels": row.labels,
        "position_ids": row.positions,
        "seq_lengths": row.lengths,
    }


def trl(row: Row) -> Columns:
    """TRL reads two columns."""
    return {"input_ids": row.ids, "labels": row.labels}


def trl_packed(row: Row) -> Columns:
    """And the lengths of the documents."""
    return trl(row) | {"seq_lengths": row.lengths}


def neat(row: Row) -> Columns:
    """LLaMA-Factory's neat packing: documents are numbered in the attention mask."""
    return {
        "input_ids": row.ids,
        "labels": row.labels,
        "attention_mask": row.numbers,
        "position_ids": row.positions,
    }


def megatron(row: Row) -> Columns:
    """A document's mask is rolled left by one, and False put at its end."""
    mask: list[int] = []
    for document in row.documents:
        mask += shifted_left([int(flag) for flag in document.trained], 0)
    starts = [sum(row.lengths[:number]) for number in range(len(row.lengths))]
    return {"input_ids": row.ids, "loss_mask": mask, "seq_start_id": starts}


def automodel(row: Row) -> Columns:
    """Labels are those of the next token in the document, which its loss does not shift again.

    Automodel's own datasets drop the last id of a document and the first label. Here the last id
    stays, and has no label: the loss is the same, and no id is lost.
    """
    labels = row.spread(
        lambda d: shifted_left([i if t else IGNORED for i, t in zip(*d, strict=True)], IGNORED),
        [IGNORED] * row.padding,
    )
    attention = [int(number > 0) for number in row.numbers]
    return {"input_ids": row.ids, "labels": labels, "attention_mask": attention}


def automodel_packed(row: Row) -> Columns:
    """Both kinds of packing: numbered documents, and lengths with and without padding."""
    padded = list(row.lengths)
    if padded:
        padded[-1] += row.padding
    return {
        **automodel(row),
        "attention_mask": row.numbers,
        "position_ids": row.positions,
        "seq_lens": row.lengths,
        "seq_lens_padded": padded,
    }


def mask(row: Row) -> Columns:
    """OLMo-core, SkyRL, LLM Foundry, verl: a mask, in which the first token is never trained."""
    flags = [int(flag) for document in row.documents for flag in document.trained]
    return {"input_ids": row.ids, "loss_mask": [0, *flags[1:]] if flags else []}


def torchtune(row: Row) -> Columns:
    """The release shifts labels in the recipe, so they are as they are."""
    return {"tokens": row.ids, "labels": row.labels}


def torchtune_packed(row: Row) -> Columns:
    """The number of padding tokens is the last of the lengths."""
    lengths = row.lengths + ([row.padding] if row.padding else [])
    return torchtune(row) | {"input_pos": row.positions, "seq_lens": lengths}


UNPACKED: dict[str, Callable[[Row], Columns]] = {
    "hf": with_mask,
    "trl": trl,
    "axolotl": with_mask,
    "unsloth": with_mask,
    "llama-factory": with_mask,
    "megatron-bridge": megatron,
    "automodel": automodel,
    "olmo-core": mask,
    "skyrl": mask,
    "llm-foundry": mask,
    "streaming": trl,
    "torchtune": torchtune,
    "together": with_mask,
    "verl": mask,
}
PACKED: dict[str, Callable[[Row], Columns]] = {
    "hf": hf_packed,
    "trl": trl_packed,
    "llama-factory": neat,
    "megatron-bridge": megatron,
    "automodel": automodel_packed,
    "torchtune": torchtune_packed,
}
