"""parse: one line of bytes becomes one JSON object, or says what is wrong with it."""

import pickle

import pytest

from sftprep.errors import RecordError
from sftprep.parse import parse_line


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{}", {}),
        (b' {"a": 1}\r', {"a": 1}),
        (b'{"a": "\xe2\x80\xa8"}', {"a": "\u2028"}),
        ('{"a": "价\u2028"}'.encode(), {"a": "价\u2028"}),
        (b'{"a": "\\u4ef7\\ud83d\\ude00\\u0000"}', {"a": "价😀\0"}),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a":\n {"b": [true, null]}}', {"a": {"b": [True, None]}}),
    ],
)
def test_object(line: bytes, expected: dict[str, object]) -> None:
    """An object is taken as JSON has it, with every character of its strings."""
    assert expected == parse_line(line)


@pytest.mark.parametrize(
    ("line", "reason", "text"),
    [
        (b"", "invalid_json", "not valid JSON at column 1: "),
        (b'{"a": }', "invalid_json", "not valid JSON at column 7: "),
        (b'{"a": "b', "invalid_json", "not valid JSON at column "),
        (b'{"a": 1} x', "invalid_json", "not valid JSON at column 10: "),
        (b'{"a": NaN}', "invalid_json", "not valid JSON at column 7: "),
        (b"{'a': 1}", "invalid_json", "not valid JSON at column 2: "),
        (b'{"a": "x\ty"}', "invalid_json", "not valid JSON at column 9: "),
        (b'{"a": "\\ud83d"}', "invalid_json", "not valid JSON at column "),
        (b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}", "invalid_json", "not valid JSON at column "),
    ],
    ids=[
        "empty", "no-value", "cut-off", "trailing-text", "nan", "single-quotes", "raw-tab",
        "lone-surrogate", "too-deep",
    ],
)  # fmt: skip
def test_not_json(line: bytes, reason: str, text: str) -> None:
    """What is no JSON is refused with the column of the fault."""
    with pytest.raises(RecordError) as caught:
        parse_line(line)
    assert reason == caught.value.reason
    assert caught.value.problem.startswith(text)


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (b'{"a": "\xff"}', "not valid UTF-8 at byte 8: invalid start byte"),
        (b'{"a": "\xc3"}', "not valid UTF-8 at byte 8: invalid continuation byte"),
        (b"\x80", "not valid UTF-8 at byte 1: invalid start byte"),
    ],
)
def test_not_utf8(line: bytes, text: str) -> None:
    """Bytes that are no UTF-8 are a fault of the encoding, at a byte that can be looked up."""
    with pytest.raises(RecordError) as caught:
        parse_line(line)
    expected = ("invalid_utf8", text, "Convert the file to UTF-8")
    assert expected == (caught.value.reason, caught.value.problem, caught.value.cure)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (b"[1, 2]", "a list of 2"),
        (b'"text"', "'text'"),
        (b"12", "12"),
        (b"null", "null"),
        (b"true", "true"),
    ],
)
def test_not_an_object(line: bytes, found: str) -> None:
    """JSON that is no object is refused, and shown."""
    with pytest.raises(RecordError) as caught:
        parse_line(line)
    assert caught.value.reason == "not_an_object"
    assert f"the record is {found}; expected a JSON object" == caught.value.problem


def test_record_error_crosses_processes() -> None:
    """A record's error is the same after it was sent from a worker to its parent."""
    error = RecordError("reason", "what is wrong", "Do this")
    back = pickle.loads(pickle.dumps(error))
    facts = ("reason", "what is wrong", "Do this")
    assert facts == (back.reason, back.problem, back.cure)
    assert (
        back.text("a.jsonl:3")
        == "a.jsonl:3: what is wrong. Do this, or pass --on-error quarantine."
    )
