"""Objects over several lines, JSON text sequences, and how they are told from JSON Lines."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from file_forms import read_all
from read_records import read

from sftprep.errors import DataError, RecordError

Write = Callable[[str, str | bytes], Path]

VALUES = [{"a": "]}{"}, {"b": [{}, {"c": "\\"}], "d": '"'}, {}, {"e": "价\u2028"}]


@pytest.mark.parametrize("indent", [0, 1, 4])
@pytest.mark.parametrize("between", ["", "\n", "\r\n", "\n\n  "])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_objects(write: Write, indent: int, between: str, block_bytes: int) -> None:
    """Each object is a record, with its own line and byte offset."""
    text = between.join(json.dumps(v, indent=indent, ensure_ascii=False) for v in VALUES)
    content = text.encode()
    records = read(write("a.json", "\n" + text), block_bytes=block_bytes)
    assert [json.loads(r.data) for r in records] == VALUES
    for record in records:
        assert record.offset is not None
        assert content[record.offset - 1 :].startswith(record.data)
        assert record.line == 2 + content.count(b"\n", 0, record.offset - 1)


@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
@pytest.mark.parametrize("read_bytes", [1, 3, 1 << 20])
def test_sequence(write: Write, block_bytes: int, read_bytes: int) -> None:
    """Each text of a sequence is a record; two RS in a row are allowed."""
    texts = [json.dumps(v, indent=2, ensure_ascii=False) for v in VALUES]
    content = ("\x1e\x1e" + "\n\x1e".join(texts) + "\n").encode()
    records = read(write("a.x", content), block_bytes=block_bytes, read_bytes=read_bytes)
    assert [json.loads(r.data) for r in records] == VALUES
    for record in records:
        assert record.offset is not None
        assert content[record.offset :].startswith(record.data)
        assert record.line == 1 + content.count(b"\n", 0, record.offset)


@pytest.mark.parametrize(
    ("text", "reasons"),
    [
        ('{"a": "x\n{"a": 2}\n', ["invalid_json", ""]),
        ('{"a": {"b": 1}\n{"a": 2}\n', ["invalid_json", ""]),
        ('{"a": 1,\n{"a": 2}\n', ["invalid_json", ""]),
        ('{"a": [1, 2\n{"a": 2}\n', ["invalid_json", ""]),
        ('{"a": 1\n\n{"a": 2}\n', ["invalid_json", None, ""]),
        ('{"a": 1\n', ["invalid_json"]),
        ('{"a"\n{"a": 2}\n', ["invalid_json", ""]),
        ('{"a": 1}\n{\n"a": 2}\n', ["", "invalid_json", "invalid_json"]),
    ],
)
def test_a_damaged_line_stays_a_line(write: Write, text: str, reasons: list[str | None]) -> None:
    """JSON Lines whose first line is damaged are not taken for objects over several lines."""
    found = read_all(write("a.jsonl", text)).records
    assert reasons == [
        r.reason if isinstance(r, RecordError) else None if r is None else "" for r in found
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{\n "a": 1\n},\n{\n "a": 2\n}\n', [(1, ""), (3, "invalid_json")]),
        ('{\n "a": 1,\n}\n{\n "a": 2}\nrest', [(1, "invalid_json"), (4, ""), (6, "invalid_json")]),
        ('{\n "a": 1\n}}\n{"a": 2}', [(1, ""), (3, "invalid_json"), (4, "")]),
    ],
)
def test_a_bad_object(write: Write, text: str, expected: list[tuple[int, str]]) -> None:
    """An object that is not JSON is one bad record; so is text between objects."""
    found = read_all(write("a.json", text))
    reasons = [r.reason if isinstance(r, RecordError) else "" for r in found.records]
    assert expected == [(p[0], r) for p, r in zip(found.places, reasons, strict=True)]


def test_an_object_that_is_not_closed(write: Write) -> None:
    """The file may be incomplete, so this is an error with the line of the object."""
    path = write("a.json", '{\n "a": 1\n}\n{\n "a": 2\n')
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert str(caught.value) == (
        f"{path}:4: the JSON object that begins here is not closed. Check that the file is "
        "complete, and correct the object."
    )


@pytest.mark.parametrize("kind", ["objects", "sequence"])
@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_a_record_that_is_too_long(write: Write, kind: str, at: int, chunk: int) -> None:
    """One long record is one bad record, wherever it is and however many bytes are read at once."""
    short = [b'{\n"n": %d}' % n for n in range(3)]
    long = b'{\n"text": "[\\"]},{' + b"x" * 500 + b'"}'
    records = [*short[:at], long, *short[at:]]
    text = b"\n".join(records) if kind == "objects" else b"\x1e" + b"\n\x1e".join(records)
    found = read(write("a.json", text), longest=100, block_bytes=30, read_bytes=chunk)
    assert [r.data for r in found] == [*short[:at], long[:100], *short[at:]]
    assert [bool(r.problem) for r in found] == [r is long for r in records]
    assert [r.offset for r in found] == [text.index(record) for record in records]


MESSAGES = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "n": 1}]
PLAIN = [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "records"),
    [
        (json.dumps(MESSAGES), [MESSAGES]),
        (json.dumps(MESSAGES, indent=2), [MESSAGES]),
        (json.dumps(MESSAGES) + "\n" + json.dumps(MESSAGES) + "\n", [MESSAGES, MESSAGES]),
        (json.dumps([MESSAGES, MESSAGES]), [MESSAGES, MESSAGES]),
        (json.dumps([MESSAGES, MESSAGES], indent=2), [MESSAGES, MESSAGES]),
        ('["q", "a"]\n["r", "b"]\n', [["q", "a"], ["r", "b"]]),
        (json.dumps({"data": MESSAGES}), [{"data": MESSAGES}]),
        (json.dumps({"data": [MESSAGES]}), [{"data": [MESSAGES]}]),
        (json.dumps({"data": [{"messages": MESSAGES}]}), [{"messages": MESSAGES}]),
        (json.dumps([{"role": "x"}, *PLAIN]), [{"role": "x"}, *PLAIN]),
    ],
)
def test_lists_of_messages_are_records(write: Write, text: str, records: list[object]) -> None:
    """A list of messages is a conversation, so it is one record and not a list of records."""
    assert [json.loads(r.data) for r in read(write("a.json", text))] == records
