"""All targets agree: what their trainers see is brought back to one form, and is the same.

Here each trainer's reading is stated row by row in plain Python, for a thousand real rows; the
readers themselves are run on fewer rows in the other modules.
"""

import csv
import gzip
import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prepared import IGNORED, Document
from toys import SAMPLE_DATA, recipe, tree, write_jsonl

from sftprep import load_manifest, prepare
from sftprep.export import export
from sftprep.recipe import Recipe
from sftprep.targets.table import TARGETS, why_not

pytestmark = pytest.mark.trainers

SHARED = Path(__file__).resolve().parents[3] / "shared"
ROWS = 1000
LENGTH = 2048
Row = dict[str, Any]


def whole(ids: list[int], labels: list[int]) -> Document:
    """Return a document; its first token is never a target."""
    return ids, [IGNORED, *labels[1:]]


def cut(starts: list[int], ids: list[int], labels: list[int]) -> list[Document]:
    """Cut a row where documents begin."""
    ends = [*starts[1:], len(ids)]
    return [whole(ids[a:b], labels[a:b]) for a, b in zip(starts, ends, strict=True)]


def starts_of(lengths: list[int]) -> list[int]:
    """Return where documents of these lengths begin."""
    return [0, *itertools.accumulate(lengths)][:-1]


def unshifted(labels: list[int]) -> list[int]:
    """Return labels that were those of the next tokens."""
    return [IGNORED, *labels[:-1]]


def of_mask(row: Row) -> list[int]:
    """Return the labels that a mask stands for."""
    pairs = zip(row["input_ids"], row["loss_mask"], strict=True)
    return [i if flag else IGNORED for i, flag in pairs]


def by_numbers(row: Row, labels: list[int]) -> list[Document]:
    """Cut a row where the numbers of documents in the mask change; 0 is padding."""
    mask = row["attention_mask"]
    starts = [n for n in range(len(mask)) if n == 0 or mask[n] != mask[n - 1]]
    found = cut(starts, row["input_ids"], labels)
    return [document for document, n in zip(found, starts, strict=True) if mask[n]]


def automodel_packed(row: Row) -> list[Document]:
    """Automodel knows the lengths with and without padding."""
    labels = unshifted(row["labels"])
    starts = starts_of(row["seq_lens_padded"])
    return [
        whole(row["input_ids"][n : n + size], labels[n : n + size])
        for n, size in zip(starts, row["seq_lens"], strict=True)
    ]


def megatron(row: Row) -> list[Document]:
    """Megatron-Bridge gives the token after a place the mask of this place."""
    labels = [IGNORED] * len(row["input_ids"])
    for place, flag in enumerate(row["loss_mask"]):
        if flag:
            labels[place + 1] = row["input_ids"][place + 1]
    return cut(row["seq_start_id"], row["input_ids"], labels)


SEES: dict[str, Callable[[Row], list[Document]]] = {
    **dict.fromkeys(
        ("hf", "trl", "axolotl", "llama-factory", "together", "streaming", "unsloth"),
        lambda row: [whole(row["input_ids"], row["labels"])],
    ),
    **dict.fromkeys(
        ("skyrl", "verl", "olmo-core", "llm-foundry"),
        lambda row: [whole(row["input_ids"], of_mask(row))],
    ),
    "automodel": lambda row: [whole(row["input_ids"], unshifted(row["labels"]))],
    "torchtune": lambda row: [whole(row["tokens"], row["labels"])],
    "megatron-bridge": megatron,
}
SEES_PACKED: dict[str, Callable[[Row], list[Document]]] = {
    "hf": lambda row: cut(
        [n for n, position in enumerate(row["position_ids"]) if position == 0],
        row["input_ids"],
        row["labels"],
    ),
    "trl": lambda row: cut(starts_of(row["seq_lengths"]), row["input_ids"], row["labels"]),
    "llama-factory": lambda row: by_numbers(row, row["labels"]),
    "automodel": automodel_packed,
    "torchtune": lambda row: cut(starts_of(row["seq_lens"]), row["tokens"], row["labels"]),
    "megatron-bridge": megatron,
}


# --- reading the files without sftprep ----------------------------------------------------------


def olmo_rows(folder: Path) -> Iterator[Row]:
    """Read flat arrays, and cut them where the third file says."""
    kind = np.uint16 if load_manifest(folder).tokenizer["vocabulary_size"] <= 65536 else np.uint32
    for path in sorted(folder.glob("train/token_ids_part_*.npy")):
        ids = np.fromfile(path, kind)
        mask = np.fromfile(path.with_name(path.name.replace("token_ids", "labels_mask")), np.bool_)
        assert len(mask) == len(ids)
        with gzip.open(path.with_suffix(".csv.gz"), "rt") as file:
            for start, end, *_ in csv.reader(file):
                part = slice(int(start), int(end))
                yield {"input_ids": ids[part].tolist(), "loss_mask": mask[part].tolist()}


def arrow_rows(folder: Path) -> Iterator[Row]:
    """Read Arrow streams."""
    for path in sorted(folder.glob("train/*.arrow")):
        with pa.memory_map(str(path)) as file:
            yield from pa.ipc.open_stream(file).read_all().to_pylist()


def parquet_rows(folder: Path) -> Iterator[Row]:
    """Read Parquet."""
    for path in sorted(folder.glob("data/*.parquet")):
        yield from pq.read_table(path).to_pylist()


READ = {
    "parquet": parquet_rows,
    "megatron-parquet": parquet_rows,
    "arrow-folder": arrow_rows,
    "olmo": olmo_rows,
}
"""Formats that can be read here; MosaicML's own reader reads its shards in another module."""


def rows_of(folder: Path) -> Iterator[Row]:
    """Read the rows of a dataset."""
    return READ[load_manifest(folder).recipe["format"]](folder)


# --- the tests ----------------------------------------------------------------------------------


def real(folder: Path, output: Path, **options: Any) -> Recipe:
    """Return a recipe for a thousand real records, or for generated ones without these."""
    given: dict[str, Any]
    data, tokenizer = SHARED / "data" / "t0_20k.jsonl.zst", SHARED / "tokenizers" / "gpt2"
    if data.exists() and tokenizer.exists():
        given = {"template": "plain", "sample": str(ROWS), "max_length": LENGTH}
        return recipe(data, output, tokenizer, **given | {"add_token": ("pad=<|pad|>",)} | options)
    lines = (SAMPLE_DATA / "messages.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    made = [
        {"messages": [{**m, "content": f"{number}. {m['content']}"} for m in record["messages"]]}
        for number, record in zip(range(ROWS), itertools.cycle(records), strict=False)
    ]
    source = write_jsonl(folder / "chats.jsonl", made)
    given = {"template": "chatml", "max_length": LENGTH}
    return recipe(source, output, **given | options)


FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "padded": {"pad": "max-length"},
    "packed": {"pack": True, "pack_length": LENGTH},
    "packed and padded": {"pack": True, "pack_length": LENGTH, "pad": "max-length"},
}


def refused(name: str, form: dict[str, Any]) -> bool:
    """Return whether a target does not take rows of a form."""
    padded = "pad" in form
    length = LENGTH if padded else 0
    target = TARGETS[name]
    return bool(
        why_not(target, packed="pack" in form, padded=padded, left=False, one_length=length)
    )


@pytest.mark.parametrize("form", FORMS)
def test_all_targets_agree(tmp_path: Path, form: str) -> None:
    """Every trainer sees the same documents and trains the same tokens; and there is a way back."""
    first = tmp_path / "hf"
    prepare(real(tmp_path, first, target="hf", **FORMS[form]))
    sees = SEES_PACKED if "pack" in FORMS[form] else SEES
    expected: list[Document] = []
    for name in TARGETS:
        if refused(name, FORMS[form]):
            continue
        folder = tmp_path / name
        if name != "hf":
            export(str(first), {"target": name, "output": str(folder), "workers": 1})
            back = tmp_path / "back"
            options = {"target": "hf", "output": str(back), "workers": 1, "overwrite": True}
            export(str(folder), options)
            assert tree(back / "data") == tree(first / "data"), name
            assert tree(back / "index") == tree(first / "index"), name
        if load_manifest(folder).recipe["format"] not in READ:
            continue
        found = [document for row in rows_of(folder) for document in sees[name](row)]
        found = [document for document in found if set(document[1]) != {IGNORED}]  # padding
        if name == "hf":
            expected = found
            if form == "padded":
                sizes = [sum(row["attention_mask"]) for row in rows_of(folder)]
                expected = [
                    (ids[:size], labels[:size])
                    for (ids, labels), size in zip(found, sizes, strict=True)
                ]
        assert len(found) == len(expected) > 900, name
        for (ids, labels), (own_ids, own_labels) in zip(found, expected, strict=True):
            size = len(own_ids)
            assert (ids[:size], labels[:size]) == (own_ids, own_labels), name
            # Trainers that see no mask take padding for text, without a label.
            assert set(labels[size:]) <= {IGNORED}
            assert len(ids) == size or "pad" in FORMS[form]
