"""Files that hold one JSON array are split into its elements."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from read_records import read, refused

from sftprep.errors import DataError

Write = Callable[[str, str | bytes], Path]

ARRAYS = {
    "compact": '[{"a":1},{"a":2}]',
    "pretty": json.dumps([{"a": 1}, {"a": [1, 2]}], indent=2),
    "nested": '[{"a": [[1, [2]], {"b": {"c": []}}]}, {"a": {}}]',
    "brackets-in-strings": r'[{"a": "]}, {["}, {"b": "[[["}]',
    "escaped-quotes": r'[{"a": "\"]\\"}, {"b": "\\\\\""}]',
    "text": '[{"a": "价\u2028格 \\u4ef7"}]',
    "space-around": ' \n\t[\r\n {"a": 1} \n , \n {"a": 2} ] \n\n',
    "other-elements": '[1, "two", null, [3], {"a": 4}]',
    "long-string": '[{"a": "' + "x" * (2 << 20) + '"}, {"b": 1}]',
}


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in ARRAYS.items()])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["", "bom"])
@pytest.mark.parametrize("block_bytes", [1, 1 << 20])
def test_array(write: Write, text: str, mark: str, block_bytes: int) -> None:
    """A JSON array gives its elements, each with its own byte offset and line."""
    content = (mark + text).encode()
    records = read(write("a.json", content), block_bytes=block_bytes)
    assert json.loads(text) == [json.loads(r.data) for r in records]
    for record in records:
        assert record.offset is not None
        assert record.data == content[record.offset : record.offset + len(record.data)]
        assert 1 + content.count(b"\n", 0, record.offset) == record.line


@pytest.mark.parametrize("text", ["[]", " [ ] ", "[\n]\n"])
def test_empty_array(write: Write, text: str) -> None:
    """An empty array has no records."""
    assert read(write("a.json", text)) == []


@pytest.mark.parametrize(
    "text",
    ['[{"a": 1}', '[{"a": 1},', "[", '[{"a": "b', '[{"a": "b]', '[{"a": [1]', '[{"a": "b\\'],
)
def test_unclosed_array(write: Write, text: str) -> None:
    """An array that is not closed is an error, even if all its records are whole."""
    path = write("a.json", text)
    with pytest.raises(DataError) as caught:
        read(path)
    assert (
        f"{path}:1: the JSON array that the file begins with is not closed. "
        "Check that the file is complete; JSON Lines must not begin with '['."
    ) == str(caught.value)


def test_unclosed_array_says_where_it_ends(write: Write) -> None:
    """The error of an unclosed array names the last line that was read."""
    path = write("a.json", '[\n{"a": 1},\n{"a": 2},\n')
    with pytest.raises(DataError, match=rf"^{path}:[34]: the JSON array"):
        read(path)


@pytest.mark.parametrize("text", ['[{"a": 1}}', '[{"a": 1]', '[{"a": 1}},{"b": 2}]'])
def test_wrong_closing_bracket(write: Write, text: str) -> None:
    """An array closed by a brace gives an error of the file or of a record."""
    path = write("a.json", text)
    try:
        records = read(path)
    except DataError:
        return
    assert any(not _is_json(record.data) for record in records)


def _is_json(data: bytes) -> bool:
    try:
        json.loads(data)
    except json.JSONDecodeError:
        return False
    return True


@pytest.mark.parametrize("rest", ["{}", "x", "[1]", "]", "\n\nnull", " " * (2 << 20) + "x"])
def test_text_after_an_array(write: Write, rest: str) -> None:
    """A file holds one array and nothing else."""
    path = write("a.json", '[\n{"a": 1}]' + rest)
    with pytest.raises(DataError) as caught:
        read(path)
    line = 2 + rest.count("\n")
    assert (
        f"{path}:{line}: text follows the end of the JSON array: "
        f"'{rest.strip()}'. "
        "A file holds one array, or one object per line."
    ) == str(caught.value)


@pytest.mark.parametrize(
    "text",
    [b"[" + b" " * 5000 + b"1" + b" " * 5000 + b",%b2]" % (b"\n" * 5000), b"[1," + b" " * 9999],
)
def test_white_space_is_not_kept(write: Write, text: bytes) -> None:
    """White space before an element does not count towards its length."""
    path = write("a.json", text)
    if text.endswith(b"]"):
        found = read(path, longest=6000, block_bytes=100)
        assert [(r.line, r.offset, r.data) for r in found] == [(1, 5001, b"1"), (5001, 15003, b"2")]
    else:
        assert refused(path).startswith(
            f"{path}:1: the JSON array that the file begins with is not"
        )


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('["a", "b"]\n["c", "d"]\n', [1, 2]),
        ('\n[{"role": "user"}]\n\n[{"role": "user"}]\n', [1, 2, 3, 4]),
        ('["a", "b"]\n{"prompt": "a"}\n', None),  # an array, and text after it
        ('[\n["a", "b"],\n["c", "d"]]\n', [2, 3]),  # an array of lists
        ('[["a", "b"],\n["c", "d"]]\n', [1, 2]),
        ('["a", "b"]\n', [1, 1]),  # an array of two records
    ],
)
def test_a_list_on_each_line_is_no_array(write: Write, text: str, lines: list[int] | None) -> None:
    """If a list follows the first line's list, each line is a record."""
    path = write("a.jsonl", text)
    if lines is None:
        assert "text follows the end of the JSON array" in refused(path)
        return
    assert [placed.line for placed in read(path)] == lines
