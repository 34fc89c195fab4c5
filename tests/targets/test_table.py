"""Every target: its columns are what its trainer reads, and what is written can be brought back."""

import ast
from pathlib import Path
from typing import Any

import contracts
import numpy as np
import pytest
import yaml
from contracts import IGNORED, PAD, Document, Row
from hypothesis import given
from hypothesis import strategies as st

import sftprep.targets
from sftprep.data.arranged import ArrangedRows
from sftprep.data.columns import Columns
from sftprep.data.ragged import Ragged
from sftprep.formats.table import FORMATS
from sftprep.targets.names import TARGET_FORMATS, TARGET_NAMES, UNABLE_NAMES
from sftprep.targets.table import DECLARED, TARGETS, UNABLE, why_not
from sftprep.targets.target import Facts, Form, Target

NOT_TARGETS = {"__init__", "contents", "names", "table", "target"}


def arranged(rows: list[Row], *, packed: bool) -> ArrangedRows:
    """Return rows as the stage before hands them over."""
    ids = Ragged.of([row.ids for row in rows])
    trained = [
        flag
        for row in rows
        for flag in row.spread(lambda d: [int(t) for t in d.trained], [0] * row.padding)
    ]
    real = np.array([token != PAD for row in rows for token in row.ids], np.bool_)
    return ArrangedRows(
        ids.values,
        np.array(trained, np.bool_),
        ids.offsets,
        None if real.all() else real,
        Ragged.of([row.lengths for row in rows]) if packed else None,
    )


def lists(columns: Columns) -> dict[str, list[list[int]]]:
    """Return the rows of each column as lists."""
    return {
        name: [part.tolist() for part in np.split(column.values, column.offsets[1:-1])]
        for name, column in columns.items()
    }


@st.composite
def documents(draw: st.DrawFn, *, isolated: bool) -> Document:
    """A document; ``isolated`` if something may precede it, so that its first token has no loss."""
    ids = draw(st.lists(st.integers(1, 99), min_size=1, max_size=6))
    trained = draw(st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)))
    return Document(ids, [trained[0] and not isolated, *trained[1:]])


@st.composite
def some_rows(draw: st.DrawFn, *, packed: bool, padded: bool, left: bool) -> list[Row]:
    """Rows of one form."""
    found = []
    for _ in range(draw(st.integers(1, 4))):
        isolated = packed or padded
        count = draw(st.integers(1, 3)) if packed else 1
        parts = [draw(documents(isolated=isolated)) for _ in range(count)]
        found.append(Row(parts, draw(st.integers(0, 3)) if padded else 0, left))
    return found


FORMS = {
    f"{'packed' if packed else 'plain'}, {padding}": {
        "packed": packed,
        "padded": bool(padding != "not padded"),
        "left": padding == "padded left",
    }
    for packed in (False, True)
    for padding in ("not padded", "padded right", "padded left")
}


def takers(form: dict[str, Any]) -> list[Target]:
    """Return the targets that take rows of a form."""
    length = 8 if form["padded"] else 0
    return [
        target for target in DECLARED.values() if not why_not(target, one_length=length, **form)
    ]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(data=st.data())
def test_columns(form: dict[str, bool], data: st.DataObject) -> None:
    """The columns of any rows are those that each trainer's contract states for each row."""
    rows, packed = data.draw(some_rows(**form)), form["packed"]
    ready = arranged(rows, packed=packed)
    for target in takers(form):
        contract = (contracts.PACKED if packed else contracts.UNPACKED)[target.name]
        expected = [contract(row) for row in rows]
        columns = target.form(packed=packed).columns_of(ready, IGNORED)
        wanted = {name: [row[name] for row in expected] for name in expected[0]}
        assert lists(columns) == wanted, target.name
        kinds = {name: column.values.dtype for name, column in columns.items()}
        assert list(kinds.items()) == list(target.form(packed=packed).kinds.items())
        assert list(kinds) == list(wanted)


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@given(data=st.data())
def test_columns_are_brought_back(form: dict[str, bool], data: st.DataObject) -> None:
    """Ids and loss mask are read from the columns; only a row's first token may lose its loss."""
    rows = arranged(data.draw(some_rows(**form)), packed=form["packed"])
    starts = rows.offsets[:-1]
    for target in takers(form):
        made = target.form(packed=form["packed"])
        columns = {
            name: Ragged(column.values.astype(np.int32), column.offsets)
            for name, column in made.columns_of(rows, IGNORED).items()
        }
        assert made.ids_of(columns).values.tolist() == rows.input_ids.tolist(), target.name
        expected = rows.loss_mask.copy()
        if not made.keeps_first:
            expected[starts] = False
        assert made.loss_mask_of(columns, IGNORED).tolist() == expected.tolist(), target.name


@pytest.mark.parametrize("target", DECLARED.values(), ids=DECLARED)
def test_no_rows(target: Target) -> None:
    """A group without rows has columns without rows."""
    rows = ArrangedRows(np.zeros(0, np.int32), np.zeros(0, np.bool_), np.zeros(1, np.int64))
    columns = target.unpacked.columns_of(rows, IGNORED)
    assert {len(column.offsets) - 1 for column in columns.values()} == {0}


# --- the table ----------------------------------------------------------------------------------


def test_every_module_is_in_the_table() -> None:
    """A module of the folder is a target of the table, under its own name."""
    modules = {path.stem for path in Path(sftprep.targets.__path__[0]).glob("*.py")}
    assert {name.replace("-", "_") for name in DECLARED} == modules - NOT_TARGETS
    assert tuple(TARGETS) == TARGET_NAMES
    assert not DECLARED.keys() & UNABLE.keys()
    assert tuple(UNABLE) == UNABLE_NAMES
    assert all(name == target.name for name, target in DECLARED.items())


@pytest.mark.parametrize("name", TARGETS)
def test_formats_can_be_written(name: str) -> None:
    """A target that is offered names formats that exist."""
    assert set(TARGET_FORMATS[name]) <= set(FORMATS)


def test_the_table_of_contracts_is_complete() -> None:
    """Each form that a target takes is stated independently."""
    assert set(contracts.UNPACKED) == set(DECLARED)
    assert set(contracts.PACKED) == {n for n, t in DECLARED.items() if isinstance(t.packed, Form)}


def refusal(name: str, **changed: Any) -> str:
    """Say why a target does not take rows of this form; by default, rows as they are."""
    form = {"packed": False, "padded": False, "left": False, "one_length": 0, **changed}
    return why_not(DECLARED[name], **form)


@pytest.mark.parametrize("name", DECLARED)
def test_rows_as_they_are_are_taken(name: str) -> None:
    """Every target takes rows that are neither packed nor padded."""
    assert refusal(name) == ""


@pytest.mark.parametrize(
    "name",
    ["axolotl", "unsloth", "olmo-core", "skyrl", "llm-foundry", "streaming", "together", "verl"],
)
def test_packed_rows_are_refused(name: str) -> None:
    """A trainer that packs by itself, or knows nothing of packs, gets no packed rows."""
    assert refusal(name, packed=True).endswith(". Leave out --pack.")


@pytest.mark.parametrize("name", ["llama-factory", "torchtune", "automodel"])
def test_packed_rows_of_one_length(name: str) -> None:
    """Where packed rows go into a batch as they are, they need one length."""
    cure = "Pass --pad max-length, with a length that is a multiple of 8"
    assert refusal(name, packed=True).endswith(f"{cure}.")
    assert refusal(name, packed=True, padded=True).endswith(f"{cure}.")
    assert refusal(name, packed=True, padded=True, one_length=100).endswith(
        f"{cure} (100 is none)."
    )
    assert refusal(name, packed=True, padded=True, one_length=2048) == ""


@pytest.mark.parametrize("name", ["trl", "torchtune", "automodel"])
def test_padding_on_the_left_is_refused(name: str) -> None:
    """Where the trainer makes its own mask, text would see the padding before it."""
    assert refusal(name, padded=True, left=True).endswith(". Leave out --pad-side left.")
    assert refusal(name, padded=True) == ""


def test_padding_of_packs_for_trl() -> None:
    """TRL finds documents by their lengths alone."""
    assert refusal("trl", packed=True) == ""
    assert refusal("trl", packed=True, padded=True).endswith(". Leave out --pad.")


@pytest.mark.parametrize("name", DECLARED)
def test_another_ignore_index(name: str) -> None:
    """A trainer that knows only -100 gets no other; where no labels are written, none matters."""
    knows_only_one = {
        "trl", "axolotl", "unsloth", "llama-factory", "automodel", "torchtune", "together"
    }  # fmt: skip
    found = refusal(name, ignore_index=-1)
    assert bool(found) == (name in knows_only_one)
    if found:
        assert found.endswith(" ignores the label -100 and no other. Leave out --ignore-index.")


# --- the lines for a configuration --------------------------------------------------------------


@pytest.mark.parametrize("validation", [False, True])
@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_lines(form: dict[str, bool], validation: bool) -> None:
    """The lines name the folder, the length and the other split, and are of their language."""
    shards: dict[str, tuple[str, ...]] = {
        "train": ("data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet")
    }
    if validation:
        shards["validation"] = ("data/validation-00000-of-00001.parquet",)
    facts = Facts(
        path="my/set",
        shards=shards,
        longest=4096,
        packed=form["packed"],
        padded=form["padded"],
        vocabulary_size=32000,
        special_ids={"eos": 2},
    )
    one_split = {"olmo-core", "streaming", "torchtune", "llama-factory"}
    for target in takers(form):
        found = target.configuration(facts)
        text = "\n".join(lines.text for lines in found)
        assert "my/set" in text
        assert ("validation" in text) == (validation and target.name not in one_split)
        assert max(map(len, text.splitlines())) <= 100
        for lines in found:
            assert lines.language in ("python", "yaml", "bash")
            if lines.language == "python":
                ast.parse(lines.text)
            if lines.language == "yaml":
                assert yaml.safe_load(lines.text)


def test_the_files_of_a_split() -> None:
    """One shard is named as it is; the numbers of several become a star."""
    shards = {
        "train": ("train/data-00000-of-00002.arrow", "train/data-00001-of-00002.arrow"),
        "validation": ("data/validation-00000-of-00001.parquet",),
    }
    facts = Facts("out", shards, 8, packed=False, padded=False, vocabulary_size=9, special_ids={})
    assert facts.files("train") == "out/train/data-*.arrow"
    assert facts.files("validation") == "out/data/validation-00000-of-00001.parquet"
