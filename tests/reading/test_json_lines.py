"""Lines of bytes become records, or errors."""

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftprep.errors import RecordError
from sftprep.reading.json_lines import parse_line, parse_lines


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"[1, 2]", "a list of 2 items"),
        (b'"text"', "'text'"),
        (b"12", "12"),
        (b"null", "null"),
        (b"true", "true"),
    ],
)
def test_not_an_object(line: bytes, found: str) -> None:
    """JSON that is not an object is refused, and the message shows what it is."""
    with pytest.raises(RecordError) as caught:
        parse_line(line)
    assert caught.value.reason == "not_an_object"
    assert caught.value.column is None
    assert f"the record is {found}; expected a JSON object" == caught.value.problem


def test_a_list_of_messages_or_of_texts() -> None:
    """A record may be such a list itself; its key then is the empty string."""
    assert parse_line(b'["a", "b"]') == {"": ["a", "b"]}
    assert parse_lines([b'[{"role": "user"}]', b'{"a": 1}', b'["a", {}]'])[:2] == [
        {"": [{"role": "user"}]},
        {"a": 1},
    ]
    for line in (b"[]", b'["a", {}]', b"[[]]"):
        with pytest.raises(RecordError, match="expected a JSON object"):
            parse_line(line)
    with pytest.raises(RecordError, match="occurs twice"):
        parse_line(b'[{"a": 1, "a": 2}]')


LINES = (
    b"", b" \t", b"\x0c", b"{", b"{}", b"[]", b'{"a": "\xff"}',
    b'{"a": "x"}', b'{"a": "x", "a": "x"}', b'{"a": 1, "a": 1}',
    b'{"a": "\\""}', b'{"a": "\\"", "a": ""}', b'{"a": "\\\\"}', b'{"a": "\\\\\\""}',
    b'{"\\\\": "\\\\\\\\"}', b'{"a": "\\\\", "a": 0}',
    b'{"a": {"b": [{"c": "d"}, "e"]}}', b'{"a": {"b": [{"c": 1, "c": 2}]}}',
    b'{"a": 0.5}', b'{"a": 18446744073709551616}', b'{"a": 12345678901234567890.0}',
    b'{"a": ' + b"[" * 63 + b"]" * 63 + b"}", b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}",
    b'{"' + b"\\\\" * 70 + b'": "' + b"\\" * 71 + b'""}',
)  # fmt: skip


@given(st.lists(st.sampled_from(LINES), max_size=12))
def test_lines_are_parsed_as_each_is_alone(lines: list[bytes]) -> None:
    """A line gives the same record or error, whatever other lines are in the block."""
    found = [str(r) if isinstance(r, RecordError) else r for r in parse_lines(lines)]
    for line, record in zip(lines, found, strict=True):
        if not line.strip(b" \t\r\n"):
            assert record is None
            continue
        try:
            assert parse_line(line) == record
        except RecordError as error:
            assert str(error) == record  # noqa: PT017 - some lines are good


def test_good_records_are_parsed_only_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Escapes, nesting and floats do not make a block be parsed line by line."""
    good = [line for line in LINES if line.startswith(b"{")]
    good = [line for line, r in zip(good, parse_lines(good), strict=True) if isinstance(r, dict)]
    good.remove(b'{"a": 12345678901234567890.0}')  # could be an integer that became a float
    assert len(good) >= 9
    loads, parsed = orjson.loads, []

    def count(line: bytes) -> Any:
        parsed.append(line)
        return loads(line)

    monkeypatch.setattr(orjson, "loads", count)
    assert parse_lines(good) == [json.loads(line) for line in good]
    assert parsed == good
