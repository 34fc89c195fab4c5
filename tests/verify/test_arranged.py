"""Arranged datasets are rebuilt from their inputs: packs, order, splits, indexes and counts."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from verify.arranged_datasets import ARRANGEMENTS, INPUT, OPTIONS, RECORDS, TRAIN, VALIDATION, make
from verify.datasets import MakeDataset, edit_manifest, manifest_of, problems, sha256

from sftprep.dataset.files import DROPPED, MANIFEST
from sftprep.dataset.manifest import load_manifest
from sftprep.errors import UsageError
from sftprep.export import export
from sftprep.progress import Silent
from sftprep.verify.folder import DatasetFolder
from sftprep.verify.rebuild import rebuild_and_compare


def rebuilt(folder: Path, *inputs: str) -> list[str]:
    """Rebuild a dataset, and return the problems; its files are not checked before."""
    files = DatasetFolder(folder)
    manifest = load_manifest(folder)
    files.entries({path.relative_to(folder).as_posix() for path in folder.rglob("*")})
    found = rebuild_and_compare(files, manifest, inputs or (INPUT,), 1, Silent())
    return list(map(str, found))


def change_table(folder: Path, name: str, change: Callable[[pa.Table], pa.Table]) -> None:
    """Change a Parquet file of a dataset."""
    table = pq.read_table(folder / name)
    pq.write_table(change(table).cast(table.schema), folder / name)


def set_value(folder: Path, name: str, column: str, row: int, value: Any) -> None:
    """Change one value in a Parquet file of a dataset."""

    def change(table: pa.Table) -> pa.Table:
        values = table.column(column).to_pylist()
        values[row] = value
        place = table.schema.get_field_index(column)
        field = table.schema.field(place)
        return table.set_column(place, field, pa.array(values, field.type))

    change_table(folder, name, change)


@pytest.mark.parametrize(
    ("arrangement", "options"),
    [
        *((name, {}) for name in ARRANGEMENTS),
        ("all steps", {"format": "jsonl", "shard_size": "200B"}),
        ("all steps", {"format": "arrow"}),
    ],
)
def test_a_sound_dataset_has_no_problem(
    dataset: MakeDataset, arrangement: str, options: dict[str, Any]
) -> None:
    """Whatever was done to the rows, in one shard or in several."""
    folder = make(dataset, arrangement, **options)
    assert (len(manifest_of(folder)["shards"]) > 3) == ("shard_size" in options)
    assert problems(folder, against=[INPUT]) == []


def test_an_exchanged_row_is_named_with_the_record_that_belongs_there(
    dataset: MakeDataset,
) -> None:
    """The first value that differs, in the first row."""
    folder = make(dataset, "split")
    name = f"data/{TRAIN}.parquet"
    ids = pq.read_table(folder / name).column("input_ids").to_pylist()
    assert ids[0] != ids[1]
    at = next(i for i, (a, b) in enumerate(zip(ids[0], ids[1], strict=False)) if a != b)
    change_table(folder, name, lambda table: table.take([1, 0, *range(2, len(table))]))
    assert rebuilt(folder) == [
        f"{name}: row 0: input_ids[{at}] is {ids[1][at]}; expected {ids[0][at]} "
        f"(record {INPUT}:{record_of(folder, TRAIN, 0)})"
    ]


def record_of(folder: Path, shard: str, document: int) -> int:
    """The line of the record of a document, by the index."""
    index = pq.read_table(folder / f"index/{shard}.parquet")
    line: int = index.column("line")[document].as_py()
    return line


def test_a_token_in_a_padded_pack_is_traced_to_its_document(dataset: MakeDataset) -> None:
    """The padding is on the left, and the second document of the row differs."""
    folder = make(dataset, "all steps")
    index = pq.read_table(folder / f"index/{TRAIN}.parquet").to_pydict()
    name = f"data/{TRAIN}.parquet"
    row = next(n for n in index["row"] if index["row"].count(n) > 1)
    document = index["row"].index(row) + 1
    place = index["position"][document]
    old = pq.read_table(folder / name).column("input_ids")[row].as_py()
    set_value(folder, name, "input_ids", row, [*old[:place], 7, *old[place + 1 :]])
    assert rebuilt(folder) == [
        f"{name}: row {row}: input_ids[{place}] is 7; expected {old[place]} "
        f"(record {INPUT}:{index['line'][document]})"
    ]


def test_a_pack_with_other_borders_differs(dataset: MakeDataset) -> None:
    """Also if all tokens are right."""
    folder = make(dataset, "packed")
    name = f"data/{TRAIN}.parquet"
    sizes = pq.read_table(folder / name).column("seq_lengths").to_pylist()
    row = next(n for n, found in enumerate(sizes) if len(found) > 1)
    joined = [sizes[row][0] + sizes[row][1], *sizes[row][2:]]
    set_value(folder, name, "seq_lengths", row, joined)
    [problem] = rebuilt(folder)
    assert problem.startswith(
        f"{name}: row {row}: seq_lengths[0] is {joined[0]}; expected {sizes[row][0]} (record"
    )


@pytest.mark.parametrize(
    ("column", "value", "text"),
    [
        ("line", 77, "line is 77; expected {line}"),
        ("cut_tokens", 3, "cut_tokens is 3; expected 0"),
        ("cut_at", "end", "cut_at is 'end'; expected ''"),
        ("reasons", ["shortened"], "reasons is ['shortened']; expected ['glued_answer']"),
        ("prompt_key", 5, "prompt_key is 5; expected "),
        ("segments", [], "segments is []; expected [{{'tokens': "),
    ],
)
def test_an_entry_of_an_index_that_differs_is_named(
    dataset: MakeDataset, column: str, value: Any, text: str
) -> None:
    """All columns of an index are compared."""
    folder = make(dataset, "packed")
    name = f"index/{TRAIN}.parquet"
    line = record_of(folder, TRAIN, 2)
    set_value(folder, name, column, 2, value)
    [problem] = rebuilt(folder)
    assert problem.startswith(f"{name}: row 2: {text.format(line=line)}")
    assert problem.endswith(f"(record {INPUT}:{line})")


def test_rows_too_many_and_too_few(dataset: MakeDataset) -> None:
    """The manifest agrees with the shard."""
    folder = make(dataset, "split")
    name = f"data/{VALIDATION}.parquet"
    rows = pq.read_metadata(folder / name).num_rows
    last = record_of(folder, VALIDATION, rows - 1)
    for file in (name, f"index/{VALIDATION}.parquet"):
        change_table(folder, file, lambda table: pa.concat_tables([table, table.slice(0, 1)]))
    edit_manifest(folder, lambda value: value["shards"][-1].update(rows=rows + 1))
    assert rebuilt(folder) == [f"{name}: row {rows}: no record of the inputs gives this row"]

    for file in (name, f"index/{VALIDATION}.parquet"):
        change_table(folder, file, lambda table: table.slice(0, rows - 1))
    edit_manifest(folder, lambda value: value["shards"][-1].update(rows=rows - 1))
    assert rebuilt(folder) == [
        f"{name}: the validation split lacks a row after its last one (record {INPUT}:{last})"
    ]


def test_inputs_that_give_no_row(dataset: MakeDataset) -> None:
    """With the limit of a forged manifest, no record gives one."""
    folder = make(dataset, "packed")
    edit_manifest(folder, lambda value: value["recipe"].update(max_length=1, pack_length=1))
    assert rebuilt(folder)[0] == f"{MANIFEST}: the dataset has rows; the inputs give none"


def test_another_seed_gives_another_order(dataset: MakeDataset) -> None:
    """The recipe in the manifest decides, so a forged one shows."""
    folder = make(dataset, "all steps")
    edit_manifest(folder, lambda value: value["recipe"].update(seed=4))
    [problem, *others] = rebuilt(folder)
    assert problem.startswith(f"data/{TRAIN}.parquet: row 0: ") or "dropped" in problem
    assert all(other.startswith(DROPPED) for other in others)


def test_facts_and_counts_of_the_manifest_are_compared(dataset: MakeDataset) -> None:
    """Each key that differs is named."""
    folder = make(dataset, "all steps")
    manifest = manifest_of(folder)
    edit_manifest(folder, lambda value: value["arrangement"].update(repeated=99))
    edit_manifest(folder, lambda value: value["counts"].update(truncated=5))
    edit_manifest(folder, lambda value: value["inputs"][0].update(repeated=98))
    repeated = manifest["counts"]["repeated"]
    assert rebuilt(folder) == [
        f"{MANIFEST}: inputs[0].repeated is 98; the inputs give {repeated}",
        f"{MANIFEST}: counts.truncated is 5; the inputs give 0",
        f"{MANIFEST}: arrangement.repeated is 99; the inputs give {repeated}",
    ]


def test_the_list_of_dropped_rows_is_compared(dataset: MakeDataset) -> None:
    """Rows that the arrangement has dropped are listed after the others."""
    folder = make(dataset, "all steps")
    lines = (folder / DROPPED).read_text().splitlines()
    entries = [json.loads(line) for line in lines]
    assert {entry["reason"] for entry in entries} == {"duplicate", "not_sampled"}
    (folder / DROPPED).write_text("".join(f"{line}\n" for line in lines[1:]))
    [problem] = rebuilt(folder)
    assert problem.startswith(f"{DROPPED}: row 0: lists {INPUT}:{entries[1]['line']} (")
    assert f"the inputs give {INPUT}:{entries[0]['line']} (" in problem


def test_a_missing_package_is_no_problem_of_the_dataset(
    dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, the dataset itself can still be checked."""
    folder = make(dataset, "nearly the same")
    monkeypatch.setitem(sys.modules, "rensa", None)
    assert problems(folder) == []
    with pytest.raises(UsageError, match="rensa"):
        problems(folder, against=[INPUT])


def test_other_inputs_are_noticed(dataset: MakeDataset) -> None:
    """By their hash, before anything is arranged."""
    folder = make(dataset, "packed")
    text = Path(INPUT).read_text()
    Path(INPUT).write_text(text.replace("abc", "abd", 1))
    [problem] = rebuilt(folder)
    assert problem.startswith(f"{INPUT}: SHA-256 is {sha256(Path(INPUT))}")


def test_an_arrangement_that_cannot_be_made_is_a_problem_of_the_manifest(
    dataset: MakeDataset,
) -> None:
    """Such as a validation split of more rows than there are."""
    folder = make(dataset, "split")
    edit_manifest(folder, lambda value: value["recipe"].update(validation="999"))
    [problem] = rebuilt(folder)
    assert problem.startswith(f"{MANIFEST}: the dataset cannot be rebuilt: --validation 999")


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({}, {"validation": "20%", "shuffle": True, "pack": True}),
        ({"dedup": "exact"}, {"sample": "50%", "pad": "longest"}),
        ({"dedup": "near"}, {"validation": "3", "repeat": ("*=2.5",)}),
        ({"validation": "20%", "shuffle": True}, {"pack": True, "pad": "multiple-of:4"}),
        ({"repeat": ("*=2",), "pack": True}, {"pack": False, "shuffle": True, "seed": 4}),
    ],
)
def test_an_exported_dataset_is_as_sound_as_a_prepared_one(
    dataset: MakeDataset, first: dict[str, Any], then: dict[str, Any]
) -> None:
    """Its manifest holds all that is needed to rebuild it."""
    folder = dataset(RECORDS, **OPTIONS, **first)
    export(str(folder), {"output": "second", **then})
    assert problems(Path("second"), against=[INPUT]) == []
