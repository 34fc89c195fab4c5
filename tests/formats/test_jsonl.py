"""JSON Lines: what is written, and what is refused when it is read."""

import io
import json
from pathlib import Path

import pytest
from batches import THREE_ROWS, save, three_rows

from sftprep.formats.chunks import ShardError
from sftprep.formats.jsonl import chunks
from sftprep.targets.hf import UNPACKED

GOOD = b'{"input_ids":[1],"attention_mask":[1],"labels":[-100]}\n'


def test_a_row_is_a_line(tmp_path: Path) -> None:
    """Each row is an object with the three columns, on a line of its own."""
    save(tmp_path / "shard", "jsonl", three_rows())
    rows = [json.loads(line) for line in (tmp_path / "shard").read_text().splitlines()]
    assert rows == [{name: rows[i] for name, rows in THREE_ROWS.items()} for i in range(3)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b'{"input_ids":[1', "is not valid JSON at column 16: "),
        (b"\n", "is not valid JSON at column 1: "),
        (b"[1]\n", "has a list of 1 item; expected input_ids, attention_mask, labels"),
        (b"{}\n", "has no keys; expected input_ids, attention_mask, labels"),
        (
            GOOD.replace(b"labels", b"label\\u001b"),
            "has 'input_ids', 'attention_mask', 'label\\x1b'; expected input_ids, attention_mask, "
            "labels",
        ),
        (GOOD.replace(b"-100", b"1.5"), "labels is a list of 1 item; expected a list of integers"),
        (GOOD.replace(b"-100", b"true"), "labels is a list of 1 item; expected a list of integers"),
        (GOOD.replace(b"[-100]", b"null"), "labels is null; expected a list of integers"),
        (
            GOOD.replace(b"-100", b"2147483648"),
            "labels holds an integer that does not fit in 32 bits",
        ),
    ],
)
def test_a_bad_line_is_refused(line: bytes, message: str) -> None:
    """A line that is no row of a shard is named with its number and what is wrong."""
    assert len(list(chunks(io.BytesIO(GOOD * 2), UNPACKED))) == 1
    with pytest.raises(ShardError) as caught:
        list(chunks(io.BytesIO(GOOD * 2 + line), UNPACKED))
    assert caught.value.row == 2
    assert caught.value.problem.startswith(message)
