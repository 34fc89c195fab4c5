"""A list of records inside one JSON object, found by its key or by a path."""

import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from file_forms import read_all

from sftprep.data.block import Source
from sftprep.errors import DataError, RecordError, UsageError
from sftprep.reading.blocks import BlockReader
from sftprep.reading.limits import Hints, Limits
from sftprep.reading.streams import PlainStream

Write = Callable[[str, str | bytes], Path]

ROWS = [{"a": 1}, {"a": [{"b": "]}"}], "data": [{}]}, {"a": "价"}]


@pytest.mark.parametrize("key", ["data", "train", "rows", "records", "examples", "instances"])
@pytest.mark.parametrize("indent", [None, 1])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_known_keys(write: Write, key: str, indent: int | None, block_bytes: int) -> None:
    """The list is found by its key, whatever is before and after it."""
    before = {"version": "1.0, [{", "meta": {"data": [{"a": 0}], "n": [[1], {}]}}
    value = {**before, key: ROWS, "end": None, "more": [1, 2]}
    path = write("a.json", json.dumps(value, indent=indent, ensure_ascii=False))
    found = read_all(path, block_bytes=block_bytes)
    assert found.records == ROWS
    data = path.read_bytes()
    for (line, offset), raw in zip(found.places, found.raw, strict=True):
        assert offset is not None
        assert data[offset:].startswith(raw)
        assert line == 1 + data.count(b"\n", 0, offset)


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"result": {"other": [{"a": 0}], "rows": ROWS}, "data": [{"a": 0}]}, "result.rows"),
        ({"items": ROWS, "data": [{"a": 0}]}, "items"),
        ({"价": {"é": {"x": ROWS}}}, "价.é.x"),
        ({"x": []}, "x"),
    ],
)
def test_a_path(write: Write, value: dict[str, object], path: str) -> None:
    """With a path, only the list at that path is read."""
    expected = [] if path == "x" else ROWS
    for text in (json.dumps(value), json.dumps(value, indent=3, ensure_ascii=False)):
        found = read_all(write("a.json", text), hints=Hints(json_path=path))
        assert found.records == expected


@pytest.mark.parametrize(
    "text",
    [
        '{"data": [{"a": 1}]}\n{"data": []}\n',
        '{"data": [1, 2]}',
        '{"data": "x", "train": {"a": []}}',
        '{"messages": [{"role": "user"}]}',
        '{"prompt": "a"}',
    ],
)
def test_records_that_look_like_wrappers(write: Write, text: str) -> None:
    """A file with more objects, or without a list of objects in a known key, holds records."""
    found = read_all(write("a.json", text))
    assert found.records == [json.loads(line) for line in text.splitlines()]


def test_a_bad_element(write: Write) -> None:
    """An element that is no object is a bad record with its line and column."""
    found = read_all(write("a.json", '{"data": [{"a": 1},\n  {"a": x},\n {"a": 3}]}'))
    assert (found.records[0], found.records[2]) == ({"a": 1}, {"a": 3})
    error = found.records[1]
    assert isinstance(error, RecordError)
    assert found.blocks[0].located(1, error)[1].column == 9


@pytest.mark.parametrize(
    ("text", "path", "problem"),
    [
        (
            '{"train": [{}],\n "test": [{}]}', "",
            "2: the object holds 2 lists of records, 'train' and 'test'. Choose one with "
            "--json-path train.",
        ),
        (
            '{"train": [], "validation": [{}]}', "",
            "1: the object holds 2 lists of records, 'train' and 'validation'. Choose one with "
            "--json-path train.",
        ),
        ('{"data": [{"a": 1},\n{"a": 2}', "", "2: the JSON list 'data' is not closed. Check that "
            "the file is complete."),
        ('{"data": [{"a": 1}], "x": "abc', "", "1: the JSON object is not closed. Check that the "
            "file is complete."),
        ('{"data": [{"a": 1}], "x": 1]', "", "1: the JSON object is closed by ']'; expected '}'. "
            "Correct the file."),
        ('{"data": [{"a": 1}], x: 1}', "", "1: expected a key and its value, found 'x: 1}'. Check "
            "that the file is complete and valid JSON."),
        ('{"a": {"b": []}}', "a.c", "1: there is no 'a.c'; found 'b'. Correct --json-path."),
        ('{"a": {}}', "a.c", "1: there is no 'a.c'; found no keys. Correct --json-path."),
        ('{"a": 3}', "a", "1: a is not a list. Correct --json-path."),
        ('{"a": [{}]}', "a.b", "1: a is not an object. Correct --json-path."),
        ('{"a": [{}], "a": [{}]}', "a", "1: the key 'a' occurs twice. Keep one of the two."),
        ('[{"a": 1}]', "a", "1: the file does not begin with an object, so it has no list at 'a'. "
            "Remove --json-path."),
        (
            '{"a": [{}]}\n{"a": []}', "a",
            "2: text follows the end of the JSON object: '{\"a\": []}'. With --json-path, or with "
            "the records in a list inside an object, a file holds one object.",
        ),
    ],
)  # fmt: skip
def test_refused(write: Write, text: str, path: str, problem: str) -> None:
    """A list that is not there, not the only one or not closed is an error with its line."""
    file = write("a.json", text)
    with pytest.raises(DataError) as caught:
        read_all(file, hints=Hints(json_path=path))
    assert str(caught.value) == f"{file}:{problem}"


def test_a_path_without_json(write: Write) -> None:
    """A path that concerned no file may have been meant for one."""
    path = write("a.csv", "a\n1\n")
    with pytest.raises(UsageError) as caught:
        read_all(path, hints=Hints(json_path="data"))
    assert str(caught.value) == "--json-path is given, but no input is JSON. Remove the option."


class Endless:
    """A stream of an object with a very long list beside the one that is read."""

    def __init__(self, head: bytes, part: bytes, times: int, tail: bytes) -> None:
        self._parts = iter([head, *[part] * times, tail])

    def read(self, _size: int = -1, /) -> bytes:
        """Return the next part."""
        return next(self._parts, b"")


@pytest.mark.faults  # takes 2 seconds
@pytest.mark.parametrize("head", [b'{"x": ["', b'{"x": "'])
def test_memory_is_bounded(head: bytes) -> None:
    """What is beside the list may have any size."""
    tail = (b'"]' if b"[" in head else b'"') + b', "data": [{"a": 1}]}'
    stream = PlainStream(Endless(head, b"x" * (1 << 20), 60, tail), "a.json")
    reader = BlockReader(
        [Source("a", "a")], 1 << 30, limits=Limits(1 << 20), hints=Hints(json_path="data")
    )
    tracemalloc.start()
    try:
        blocks = list(reader.blocks_of(0, stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [block.lines() for block in blocks] == [[b'{"a": 1}']]
    assert peak < 12 << 20
