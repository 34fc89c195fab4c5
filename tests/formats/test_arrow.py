"""Arrow IPC files."""

from pathlib import Path

import pyarrow as pa
from batches import THREE_ROWS, grouped, many_rows, save, three_rows

from sftprep.formats import arrow
from sftprep.formats.row_groups import Grouper
from sftprep.targets.hf import columns_of_batch


def test_arrow_reads_it(tmp_path: Path) -> None:
    """Arrow itself reads the three columns, as lists of small integers."""
    save(tmp_path / "shard", "arrow", three_rows())
    with pa.OSFile(str(tmp_path / "shard")) as file:
        table = pa.ipc.open_file(file).read_all()
    assert [field.type.value_type for field in table.schema] == [pa.int32(), pa.int8(), pa.int32()]
    assert table.to_pydict() == THREE_ROWS


def test_a_group_is_a_record_batch(tmp_path: Path) -> None:
    """Each group that is written is one record batch."""
    with (tmp_path / "shard").open("xb") as file:
        writer = arrow.Writer(file)
        for group in grouped([many_rows(10)], Grouper(max_rows=4)):
            writer.write(columns_of_batch(group, -100))
        writer.close()
        assert not file.closed
    with pa.OSFile(str(tmp_path / "shard")) as source:
        shard = pa.ipc.open_file(source)
        sizes = [shard.get_batch(n).num_rows for n in range(shard.num_record_batches)]
    assert sizes == [4, 4, 2]
