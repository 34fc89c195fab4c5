"""stored_rows: the first token that differs from the rebuilt rows is named."""

from collections.abc import Callable

import pytest
from verify.datasets import (
    FIRST,
    RECORDS,
    SECOND,
    MakeDataset,
    ManifestValue,
    Table,
    change_rows,
    edit_manifest,
    problems,
    rows_of,
)

from sftprep.data.batch import Batch
from sftprep.dataset.manifest import load_manifest
from sftprep.errors import DataError
from sftprep.verify.folder import DatasetFolder
from sftprep.verify.stored_rows import RowDifference, StoredRows

ROWS = [[*f"{record['prompt']}{record['completion']}".encode(), 256] for record in RECORDS]
TRAINED = [False, False, True, True, True]


def batch(*rows: list[int]) -> Batch:
    """Return a batch of rows that train all but their first two tokens."""
    return Batch.of(rows, [TRAINED[: len(row)] for row in rows])


@pytest.fixture
def stored(dataset: MakeDataset) -> StoredRows:
    """The rows of a dataset: ``ROWS``, two in each of two shards."""
    folder = dataset()
    return StoredRows(DatasetFolder(folder), load_manifest(folder))


def test_equal_rows_give_no_difference(stored: StoredRows) -> None:
    """The same rows in the same shards are equal, in batches of any size."""
    assert stored.compare(0, batch(ROWS[0])) is None
    assert stored.compare(0, batch(ROWS[1])) is None
    assert stored.compare(1, batch(ROWS[2], ROWS[3])) is None
    assert stored.rest() is None


def test_another_id_is_named_with_its_row(stored: StoredRows) -> None:
    """A difference has the number of the row in its shard and in its batch."""
    assert stored.compare(0, batch(ROWS[0])) is None
    assert stored.compare(0, batch([*ROWS[1][:4], 7])) == RowDifference(
        f"{FIRST}.parquet", 1, 0, "token 4 is id 256 with label 256; expected id 7 with label 7"
    )


def test_another_label_is_a_difference(stored: StoredRows) -> None:
    """Rows with equal ids differ if another token is trained."""
    assert stored.compare(0, Batch.of([ROWS[0]], [[False] * 4 + [True]])) == RowDifference(
        f"{FIRST}.parquet", 0, 0, "token 2 is id 99 with label 99; expected id 99 with label -100"
    )


def test_a_missing_row_is_a_difference(stored: StoredRows) -> None:
    """A shard that ends before a rebuilt row lacks that row."""
    assert stored.compare(0, batch(*ROWS[:3])) == RowDifference(
        f"{FIRST}.parquet", 2, 2, "is missing: the shard ends before it"
    )


def test_a_row_in_the_wrong_shard_is_a_difference(stored: StoredRows) -> None:
    """A shard with a row left when the rebuilt rows start a new shard is too long."""
    assert stored.compare(0, batch(ROWS[0])) is None
    assert stored.compare(1, batch(ROWS[1])) == RowDifference(
        f"{FIRST}.parquet",
        1,
        0,
        "the shard should end before this row: a new shard should start here",
    )


def test_a_missing_shard_is_a_difference(stored: StoredRows) -> None:
    """A dataset without a shard for the next rebuilt row lacks that row."""
    for shard in (0, 1):
        assert stored.compare(shard, batch(*ROWS[2 * shard : 2 * shard + 2])) is None
    assert stored.compare(2, batch(ROWS[0])) == RowDifference(
        f"{SECOND}.parquet", 2, 0, "is missing: the dataset ends before it"
    )


@pytest.mark.parametrize(("compared", "place"), [(1, (FIRST, 1)), (2, (SECOND, 0))])
def test_a_row_that_is_left_over_is_a_difference(
    stored: StoredRows, compared: int, place: tuple[str, int]
) -> None:
    """A stored row that no record gives is named, also where a whole shard is left over."""
    assert stored.compare(0, batch(*ROWS[:compared])) is None
    shard, row = place
    assert stored.rest() == RowDifference(
        f"{shard}.parquet", row, None, "no record of the inputs gives this row"
    )


def test_a_shard_that_is_damaged_meanwhile_is_an_error(dataset: MakeDataset) -> None:
    """A shard that was sound when it was checked and is damaged now is being written to."""
    folder = dataset(format="jsonl")
    stored = StoredRows(DatasetFolder(folder), load_manifest(folder))
    (folder / f"{FIRST}.jsonl").write_text("{}\n")
    with pytest.raises(DataError) as error:
        stored.compare(0, batch(ROWS[0]))
    assert str(error.value) == (
        f"{FIRST}.jsonl: has no keys; expected input_ids, attention_mask, labels. It could be "
        "read a moment ago, so something else is writing to the dataset. Run verify again when "
        "nothing does."
    )


def lengthen(table: Table) -> None:
    """Add a token to row 0."""
    for name, value in (("input_ids", 256), ("attention_mask", 1), ("labels", 256)):
        table[name][0].append(value)


def shorten(table: Table) -> None:
    """Remove the last token of row 0."""
    for column in table.values():
        column[0].pop()


def remove(table: Table) -> None:
    """Remove row 0."""
    for column in table.values():
        column.pop(0)


def repeat(table: Table) -> None:
    """Write the last row twice."""
    for column in table.values():
        column.append(column[-1])


@pytest.mark.parametrize(
    ("change", "shard", "expected"),
    [
        (
            lengthen,
            FIRST,
            "row 0: token 5 is id 256 with label 256; expected the row to end before it (record "
            "data.jsonl:1)",
        ),
        (
            shorten,
            SECOND,
            "row 0: the row ends before token 4; expected id 256 with label 256 (record "
            "data.jsonl:3)",
        ),
        (
            remove,
            FIRST,
            "row 0: token 0 is id 101 with label -100; expected id 97 with label -100 (record "
            "data.jsonl:1)",
        ),
        (
            repeat,
            FIRST,
            "row 2: the shard should end before this row: a new shard should start here (record "
            "data.jsonl:3)",
        ),
        (repeat, SECOND, "row 2: no record of the inputs gives this row"),
    ],
)
def test_the_record_of_a_difference_is_named(
    dataset: MakeDataset, change: Callable[[Table], object], shard: str, expected: str
) -> None:
    """Rows that are longer, shorter, missing or repeated are found, with a forged manifest too."""
    folder = dataset()
    change_rows(folder, change, shard)
    rows = sum(len(rows_of(folder, name)["labels"]) for name in (FIRST, SECOND))

    def change_counts(value: ManifestValue) -> None:
        value["counts"]["written"] = value["inputs"][0]["written"] = rows
        value["counts"]["read"] = value["inputs"][0]["read"] = rows
        value["counts"]["glued_answers"] = rows

    edit_manifest(folder, change_counts)
    found = problems(folder, against=["data.jsonl"])
    assert found[0] == f"{shard}.parquet: {expected}"
    assert len(found) == (1 if "(record" in expected else 8)
