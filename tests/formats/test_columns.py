"""The columns of Parquet and Arrow files: what is written, and what is refused when it is read."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from batches import THREE_ROWS, three_rows

from sftprep.formats.chunks import ShardError
from sftprep.formats.columns import CHUNK_ROWS, check_columns, chunks_of, table_of
from sftprep.targets.hf import UNPACKED, columns_of_batch

SCHEMA = pa.schema(
    [
        ("input_ids", pa.list_(pa.int32())),
        ("attention_mask", pa.list_(pa.int8())),
        ("labels", pa.list_(pa.int32())),
    ]
)


def record_batch(**changed: Any) -> Any:
    """The three rows as a record batch, with other columns in place of some."""
    return pa.record_batch(
        [pa.array((THREE_ROWS | changed)[field.name], field.type) for field in SCHEMA],
        schema=SCHEMA,
    )


def test_the_table_of_a_batch() -> None:
    """A batch becomes three list columns without nulls."""
    table = table_of(columns_of_batch(three_rows(), -100))
    table.validate(full=True)
    assert table.schema == SCHEMA
    assert table.to_pydict() == THREE_ROWS


def test_rows_that_are_a_view() -> None:
    """A table of some rows of a batch holds only these rows."""
    table = table_of(columns_of_batch(three_rows().rows(1, 3), -7))
    table.validate(full=True)
    assert table.to_pydict()["labels"] == [[70000], [-7, -7]]


def test_chunks_of_record_batches() -> None:
    """The rows of all record batches come in order, in chunks of bounded size."""
    large = pa.concat_batches([record_batch()] * CHUNK_ROWS)
    chunks = list(chunks_of([large, record_batch()]))
    assert [len(chunk.labels.lengths) for chunk in chunks] == [CHUNK_ROWS] * 3 + [3]
    labels = np.concatenate([chunk.labels.values for chunk in chunks])
    assert labels.tolist() == [-100, 2, 3, 70000, -100, -100] * (CHUNK_ROWS + 1)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"labels": [[1], None, [2]]}, "row 4: labels is null"),
        ({"input_ids": [[1], [2], [3, None]]}, "row 5: input_ids holds a null"),
        ({"attention_mask": [[None], [], []]}, "row 3: attention_mask holds a null"),
    ],
)
def test_nulls_are_refused(changed: dict[str, Any], message: str) -> None:
    """A null is named with its row in the file, which counts over record batches."""
    with pytest.raises(ShardError) as caught:
        list(chunks_of([record_batch(), record_batch(**changed)]))
    assert str(caught.value) == message


EXPECTED = "input_ids (list of int32), attention_mask (list of int8), labels (list of int32)"


@pytest.mark.parametrize(
    ("schema", "found"),
    [
        (pa.schema([]), "none"),
        (SCHEMA.remove(1), "input_ids (list<item: int32>), labels (list<item: int32>)"),
        (
            SCHEMA.set(2, pa.field("labels", pa.list_(pa.int64()))),
            "input_ids (list<item: int32>), attention_mask (list<item: int8>), labels "
            "(list<item: int64>)",
        ),
        (
            pa.schema([("input_ids\x1b", pa.int32())]),
            "input_ids\\x1b (int32)",
        ),
    ],
)
def test_other_columns_are_refused(schema: Any, found: str) -> None:
    """A file with other columns is refused with what it has and what it should have."""
    check_columns(SCHEMA, UNPACKED)
    with pytest.raises(ShardError) as caught:
        check_columns(schema, UNPACKED)
    assert str(caught.value) == f"has the columns {found}; expected {EXPECTED}"
