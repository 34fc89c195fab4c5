"""Datasets for each target: written, checked, shown, and brought back, byte for byte."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toys import SAMPLE_DATA, recipe, tree, write_jsonl

from sftprep import UsageError, load_manifest, prepare
from sftprep.export import export
from sftprep.targets.table import TARGETS
from sftprep.verify.check import verify
from sftprep.views.choice import Choice
from sftprep.views.inspect import inspect_dataset
from sftprep.views.token_text import Look

FORMS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all trained": {"train_on": "all"},
    "padded": {"pad": "max-length"},
    "packed": {"pack": True, "pack_length": 256},
    "packed and padded": {"pack": True, "pack_length": 256, "pad": "max-length"},
    "two splits": {"validation": "20%", "shuffle": True},
}


def some_records(folder: Path) -> Path:
    """Write some conversations."""
    lines = (SAMPLE_DATA / "messages.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    path = folder / "chats.jsonl"
    path.write_text("".join(lines[:12]), encoding="utf-8")
    return path


def build(source: Path, output: Path, **options: Any) -> Path:
    """Build a dataset; return its folder."""
    chosen: dict[str, Any] = {
        "template": "chatml",
        "max_length": 128,
        "truncation": "keep-start",
    } | options
    prepare(recipe(source, output, **chosen))
    return output


def forms_of(name: str) -> list[str]:
    """Return the forms of rows that a target takes."""
    found = ["plain", "all trained", "two splits"]
    target = TARGETS[name]
    found += [] if target.unpacked.no_padding else ["padded"]
    if not isinstance(target.packed, str):
        found += [] if target.packed.one_length else ["packed"]
        found += [] if target.packed.no_padding else ["packed and padded"]
    return found


FEW = {
    *((name, "plain") for name in ("trl", "axolotl", "automodel", "skyrl", "torchtune")),
    *((name, "packed") for name in ("trl", "megatron-bridge")),
    *((name, "packed and padded") for name in ("automodel", "torchtune")),
    ("torchtune", "padded"), ("skyrl", "all trained"), ("verl", "two splits"),
    ("llama-factory", "packed and padded"), ("llama-factory", "two splits"),
    ("olmo-core", "two splits"), ("llm-foundry", "all trained"), ("streaming", "plain"),
}  # fmt: skip
"""The cases of the default suite: each kind of column in some form. CI tries all."""
CASES = [
    pytest.param(name, form, marks=() if (name, form) in FEW else pytest.mark.trainers)
    for name in TARGETS
    for form in forms_of(name)
]


@pytest.mark.parametrize(("name", "form"), CASES)
def test_there_and_back(tmp_path: Path, name: str, form: str) -> None:
    """A dataset for a trainer passes all checks, and export gives that of ``hf`` back."""
    source = some_records(tmp_path)
    first = build(source, tmp_path / "hf", **FORMS[form])
    other = build(source, tmp_path / "other", target=name, **FORMS[form])
    assert verify(str(other), against=[str(source)]).problems == []
    export(str(other), {"target": "hf", "output": str(tmp_path / "back"), "workers": 1})
    export(str(first), {"target": name, "output": str(tmp_path / "again"), "workers": 1})
    assert tree(tmp_path / "back") == tree(first)
    assert tree(tmp_path / "again") == tree(other)
    shown = [
        inspect_dataset(str(folder), Choice(2), Look(), row=0).split("\n", 1)[1]
        for folder in (first, other)
    ]
    names = [load_manifest(folder).shards[0]["name"] for folder in (first, other)]
    assert shown[0] == shown[1].replace(names[1], names[0])


@pytest.mark.parametrize("mask", ["completion_mask", "assistant_masks"])
@pytest.mark.parametrize(
    ("name", "form"), [("trl", "plain"), ("hf", "all trained"), ("trl", "packed")]
)
def test_masks_in_place_of_labels(tmp_path: Path, name: str, form: str, mask: str) -> None:
    """A column of ones and zeros says what the labels said, and gives them back."""
    source = some_records(tmp_path)
    labels = build(source, tmp_path / "labels", target=name, **FORMS[form])
    masked = build(source, tmp_path / "masked", target=name, loss_mask=mask, **FORMS[form])
    assert verify(str(masked), against=[str(source)]).problems == []
    path = "data/train-00000-of-00001.parquet"
    found, expected = (pq.read_table(folder / path).to_pydict() for folder in (masked, labels))
    names = [mask if column == "labels" else column for column in expected]
    assert list(found) == names
    assert found.pop(mask) == [[int(i != -100) for i in row] for row in expected.pop("labels")]
    assert found == expected
    export(str(masked), {"target": name, "output": str(tmp_path / "back"), "workers": 1})
    given = {"loss_mask": mask, "output": str(tmp_path / "again"), "workers": 1}
    export(str(labels), given)
    assert tree(tmp_path / "back") == tree(labels)
    assert tree(tmp_path / "again") == tree(masked)
    shown = [
        inspect_dataset(str(folder), Choice(2), Look(), row=0).split("\n", 1)[1]
        for folder in (labels, masked)
    ]
    assert shown[0] == shown[1]


@pytest.mark.parametrize(
    ("name", "options", "cure"),
    [
        ("axolotl", {"loss_mask": "completion_mask"}, "Leave out --loss-mask."),
        ("skyrl", {"loss_mask": "assistant_masks"}, "Leave out --loss-mask."),
        ("axolotl", {"pack": True}, "Leave out --pack."),
        ("skyrl", {"pad": "longest"}, "Leave out --pad."),
        ("trl", {"pad": "longest", "pad_side": "left"}, "Leave out --pad-side left."),
        (
            "torchtune",
            {"pack": True},
            "Pass --pad max-length, with a length that is a multiple of 8.",
        ),
        ("trl", {"ignore_index": -1}, "Leave out --ignore-index."),
    ],
)
def test_rows_that_a_trainer_does_not_read(
    tmp_path: Path, name: str, options: dict[str, Any], cure: str
) -> None:
    """They are refused before anything is read, with what to do."""
    source = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}])
    with pytest.raises(UsageError) as caught:
        build(source, tmp_path / "out", target=name, template="plain", **options)
    assert str(caught.value).startswith(f"--target {name}: ")
    assert str(caught.value).endswith(cure)
    assert not (tmp_path / "out").exists()


def test_a_trainer_that_takes_no_ids(tmp_path: Path) -> None:
    """Its name is known, and leads to what can be used instead."""
    with pytest.raises(UsageError) as caught:
        build(some_records(tmp_path), tmp_path / "out", target="ms-swift")
    assert str(caught.value) == (
        "--target ms-swift: this trainer cannot be given token ids. sftprep targets ms-swift says "
        "why, and what to use instead."
    )


def test_a_format_that_a_trainer_does_not_read(tmp_path: Path) -> None:
    """It is refused with the formats that it reads."""
    with pytest.raises(UsageError, match=r"^--target verl reads parquet, not jsonl\. Leave out"):
        build(some_records(tmp_path), tmp_path / "out", target="verl", format="jsonl")


def test_the_format_follows_the_target(tmp_path: Path) -> None:
    """Without --format, a trainer gets the one that it reads, in export too."""
    source = some_records(tmp_path)
    first = build(source, tmp_path / "hf", format="jsonl")
    given = {"target": "megatron-bridge", "output": str(tmp_path / "mb"), "workers": 1}
    export(str(first), given)
    assert load_manifest(tmp_path / "mb").recipe["format"] == "megatron-parquet"
    names = {path.name for path in (tmp_path / "mb" / "data").iterdir()}
    assert names == {"train-00000-of-00001.idx.parquet"}
    assert {p.name for p in (tmp_path / "mb" / "index").iterdir()} == {
        "train-00000-of-00001.parquet"
    }
    build(source, tmp_path / "same", target="megatron-bridge")
    assert tree(tmp_path / "same") == tree(tmp_path / "mb")


def test_the_card_says_how_to_train(tmp_path: Path) -> None:
    """The lines for the configuration, the columns and what to mind are in README.md."""
    folder = build(some_records(tmp_path), tmp_path / "out", target="trl")
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "args=SFTConfig(output_dir=OUTPUT, max_length=128)," in card
    assert "- Always set max_length:" in card
    assert "--target trl" in card
    assert "--format" not in card
    assert "attention_mask" not in card


def test_the_card_says_what_a_mask_needs(tmp_path: Path) -> None:
    """TRL reads one of the masks only if it is told to; transformers reads none."""
    source = some_records(tmp_path)

    def card(**options: str) -> str:
        folder = build(source, tmp_path / "-".join(options.values()), **options)
        return (folder / "README.md").read_text(encoding="utf-8")

    assert "max_length=128, completion_only_loss=True)" in card(
        target="trl", loss_mask="completion_mask"
    )
    assert "max_length=128)" in card(target="trl", loss_mask="assistant_masks")
    found = card(target="hf", loss_mask="assistant_masks")
    assert 'zip(row["input_ids"], row["assistant_masks"])' in found
    assert "| `assistant_masks` | list of int8 | 1 for each trained token" in found
    assert "--loss-mask assistant_masks" in found


@pytest.mark.parametrize("name", ["skyrl", "automodel", "megatron-bridge"])
def test_a_changed_column_is_noticed(tmp_path: Path, name: str) -> None:
    """A value that should not be there is reported with its row, its place and its column."""
    folder = build(some_records(tmp_path), tmp_path / "out", target=name)
    (path,) = (folder / "data").iterdir()
    table = pq.read_table(path)
    column = "labels" if name == "automodel" else "loss_mask"
    values = table.column(column).to_pylist()
    values[1][0] = 7  # a first token is never trained; no mask holds this number
    place = table.schema.get_field_index(column)
    changed = table.set_column(
        place, table.schema.field(place), pa.array(values, table.schema.field(place).type)
    )
    pq.write_table(changed, path)
    found = [problem for problem in verify(str(folder)).problems if problem.row == 1]
    assert [problem.problem.split(" ")[0] for problem in found] == [f"{column}[0]"]


def test_a_damaged_index_is_noticed(tmp_path: Path) -> None:
    """Rows cannot be checked without their index, which is said."""
    folder = build(some_records(tmp_path), tmp_path / "out", target="skyrl")
    (path,) = (folder / "index").iterdir()
    path.write_bytes(b"")
    problems = [str(problem) for problem in verify(str(folder)).problems]
    assert any("has an index that cannot be used" in problem for problem in problems)
    path.unlink()
    problems = [str(problem) for problem in verify(str(folder)).problems]
    assert any("its rows cannot be checked without its index" in problem for problem in problems)


def test_a_hostile_manifest(tmp_path: Path) -> None:
    """A manifest that names packed rows for a trainer without them is reported."""
    folder = build(some_records(tmp_path), tmp_path / "out", target="axolotl")
    path = folder / "manifest.json"
    text = path.read_text(encoding="utf-8")
    path.write_text(
        text.replace('"pack":false', '"pack":true').replace('"pack": false', '"pack": true')
    )
    assert path.read_text(encoding="utf-8") != text
    assert not verify(str(folder)).ok
