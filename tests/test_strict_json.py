"""JSON is parsed strictly, and errors say what is wrong and where."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftprep.errors import RecordError
from sftprep.strict_json import count_quotes, parse_json, parse_json_text


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"{}", {}),
        (b' {"a": 1}\r', {"a": 1}),
        (b'{"a": "\xe2\x80\xa8"}', {"a": "\u2028"}),
        ('{"a": "价\u2028\u2029\x85\ufeff"}'.encode(), {"a": "价\u2028\u2029\x85\ufeff"}),
        (b'{"a": "\\u4ef7\\ud83d\\ude00\\u0000"}', {"a": "价😀\0"}),
        (b'{"a":\n {"b": [true, null]}}', {"a": {"b": [True, None]}}),
        (b'{"a" : "x", "b"\t\r\n:"y"}', {"a": "x", "b": "y"}),
        (b'{"a": "\\":", "b": ":)", "c\\\\": "\\\\\\":", ":": "\\":\\":"}',
         {"a": '":', "b": ":)", "c\\": '\\":', ":": '":":'}),
        (b'{"a": {"a": [{"a": 1}, {"a": 2}]}, "b": {"a": 1}}',
         {"a": {"a": [{"a": 1}, {"a": 2}]}, "b": {"a": 1}}),
        (b'{"a": 18446744073709551615, "b": -9223372036854775808}',
         {"a": 2**64 - 1, "b": -(2**63)}),
        (b'{"a": 0.5, "b": "18446744073709551616"}', {"a": 0.5, "b": "18446744073709551616"}),
        (b'{"a": 12345678901234567890.0}', {"a": 12345678901234567890.0}),
    ],
)  # fmt: skip
def test_object(line: bytes, expected: dict[str, object]) -> None:
    """An object is read as JSON defines it, with every character of its strings."""
    assert parse_json(line) == expected


FAULTS: list[tuple[str, bytes, str, int, str, str]] = [
    ("no-value", b'{"a": }', "invalid_json", 7, "not valid JSON: unexpected character", ""),
    ("cut-off", b'{"a": "b', "invalid_json", 9, "not valid JSON: unexpected end of data", ""),
    ("single-quotes", b"{'a': 1}", "invalid_json", 2, "not valid JSON: unexpected character", ""),
    ("trailing-text", b'{"a": 1} x', "invalid_json", 10,
     "not valid JSON: text follows the object", "Write one object per line"),
    ("two-objects", b'{"a": 1}{"a": 2}', "invalid_json", 9,
     "not valid JSON: text follows the object", "Write one object per line"),
    ("column-counts-characters", '{"价格": x}'.encode(), "invalid_json", 8,
     "not valid JSON: unexpected character", ""),
    ("nan", b'{"a": NaN}', "invalid_json", 7, "not valid JSON: NaN is not a JSON number",
     "Write null, or leave the field out"),
    ("infinity", b'{"a": [Infinity]}', "invalid_json", 8,
     "not valid JSON: Infinity is not a JSON number", "Write null, or leave the field out"),
    ("raw-tab", b'{"a": "x\ty"}', "invalid_json", 9,
     "not valid JSON: a raw control character (U+0009)", "Write it as \\u0009"),
    ("raw-nul", b'{"a": "value\0"}', "invalid_json", 13,
     "not valid JSON: a raw control character (U+0000)", "Write it as \\u0000"),
    ("lone-cr", b'{"a": 1}\r{"b": 2}', "invalid_json", 10,
     "not valid JSON: text follows the object", "Write one object per line"),
    ("high-surrogate", b'{"a": "\\ud83d"}', "lone_surrogate", 8,
     "half of a surrogate pair (\\ud800 to \\udfff) is not a character", ""),
    ("low-surrogate", b'{"a": "xy\\udc00z"}', "lone_surrogate", 10,
     "half of a surrogate pair (\\ud800 to \\udfff) is not a character", ""),
    ("surrogate-key", b'{"\\ud83d": 1}', "lone_surrogate", 3,
     "half of a surrogate pair (\\ud800 to \\udfff) is not a character", ""),
    ("mark-at-the-start", b'\xef\xbb\xbf{"a": 1}', "byte_order_mark", 1,
     "a byte order mark (U+FEFF) that is not at the start of the file",
     "Remove it; it may come from files that were joined"),
    ("mark-between", b'{"a": 1}\xef\xbb\xbf{"a": 1}', "byte_order_mark", 9,
     "a byte order mark (U+FEFF) that is not at the start of the file",
     "Remove it; it may come from files that were joined"),
    ("utf-16", '{"a": 1}'.encode("utf-16-le"), "invalid_utf8", 2, "the line looks like UTF-16",
     "Convert the file to UTF-8"),
    ("utf-32", '{"a": 1}'.encode("utf-32-le"), "invalid_utf8", 2, "the line looks like UTF-32",
     "Convert the file to UTF-8"),
    ("same-key", b'{"a": "x", "a": "x"}', "duplicate_key", 12,
     "the key 'a' occurs twice in one object", "Keep one of the two"),
    ("same-key-spaced", b'{"a"  : "x", "a"\t: "y"}', "duplicate_key", 14,
     "the key 'a' occurs twice in one object", "Keep one of the two"),
    ("same-key-escaped", b'{"\\u4ef7": 1, "\xe4\xbb\xb7": 2}', "duplicate_key", 15,
     "the key '价' occurs twice in one object", "Keep one of the two"),
    ("same-key-inside", '{"价": [{"b": 1, "b": []}]}'.encode(), "duplicate_key", 17,
     "the key 'b' occurs twice in one object", "Keep one of the two"),
    ("same-key-and-quotes", b'{"a": "\\":", "b\\\\": 1, "a": "\\""}', "duplicate_key", 24,
     "the key 'a' occurs twice in one object", "Keep one of the two"),
    ("same-key-backslash", b'{"a\\\\":1,"a":2,"a":":)"}', "duplicate_key", 16,
     "the key 'a' occurs twice in one object", "Keep one of the two"),
    ("same-key-object-gone", b'{"a": {"b": {"c": 1}}, "a": "x"}', "duplicate_key", 24,
     "the key 'a' occurs twice in one object", "Keep one of the two"),
    ("over-64-bits", b'{"a": 18446744073709551616}', "number_out_of_range", 7,
     "the integer 18446744073709551616 does not fit 64 bits", "Write it as a string"),
    ("under-64-bits", b'{"a": ["", -9223372036854775809]}', "number_out_of_range", 12,
     "the integer -9223372036854775809 does not fit 64 bits", "Write it as a string"),
    ("very-large", b'{"a": {"b": ' + b"9" * 300 + b"}}", "number_out_of_range", 13,
     f"the integer {'9' * 40} does not fit 64 bits", "Write it as a string"),
    ("1e999", b'{"a": 1e999}', "number_out_of_range", 7,
     "the number does not fit a 64-bit float", "Write it as a string"),
    ("depth-65", b'{"a": ' + b"[" * 64 + b"]" * 64 + b"}", "too_deep", 70,
     "objects and lists are nested more than 64 deep", ""),
    ("depth-65-objects", b'{"a":' * 65 + b"1" + b"}" * 65, "too_deep", 321,
     "objects and lists are nested more than 64 deep", ""),
    ("depth-1025", b'{"a": ' + b"[" * 1024 + b"]" * 1024 + b"}", "too_deep", 70,
     "objects and lists are nested more than 64 deep", ""),
    ("depth-100000", b'{"a": ' + b"[" * 99_999 + b"]" * 99_999 + b"}", "too_deep", 70,
     "objects and lists are nested more than 64 deep", ""),
    ("depth-5000000", b'{"a": "[[", "b": ' + b"[" * 5_000_000, "too_deep", 81,
     "objects and lists are nested more than 64 deep", ""),
    ("windows-1252", 'x{"a": "café, naïve"}'.encode("cp1252"), "invalid_utf8", 12,
     "not valid UTF-8 at byte 12: invalid continuation byte",
     "Convert the file to UTF-8 (it looks like Windows-1252)"),
    ("gb18030", '{"a": "价格是多少"}'.encode("gb18030"), "invalid_utf8", 8,
     "not valid UTF-8 at byte 8: invalid start byte",
     "Convert the file to UTF-8 (it looks like GB18030)"),
    ("damaged", '{"a": "价'.encode() + b'\xff"}', "invalid_utf8", 9,
     "not valid UTF-8 at byte 11: invalid start byte", "Convert the file to UTF-8"),
    ("overlong", b'{"a": "\xc0\xaf"}', "invalid_utf8", 8,
     "not valid UTF-8 at byte 8: invalid start byte", "Convert the file to UTF-8"),
    ("encoded-surrogate", b'{"a": "\xed\xa0\x80"}', "invalid_utf8", 8,
     "not valid UTF-8 at byte 8: invalid continuation byte", "Convert the file to UTF-8"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "reason", "column", "problem", "cure"),
    [pytest.param(*fault[1:], id=fault[0]) for fault in FAULTS],
)
def test_fault(line: bytes, reason: str, column: int, problem: str, cure: str) -> None:
    """Text that is not JSON, or on which parsers disagree, is refused with its column."""
    with pytest.raises(RecordError) as caught:
        parse_json(line)
    error = caught.value
    expected = (reason, column, 0, cure or "Fix the record")
    assert expected == (error.reason, error.column, error.row, error.cure)
    # What follows "unexpected ..." is orjson's.
    assert error.problem.split(",")[0] == problem


@pytest.mark.parametrize(
    ("line", "row", "column"),
    [
        (b'{"a": 1,\n  "b": x}', 1, 8),
        (b'{\n  "a": 1,\n\n  "a": 2\n}', 3, 3),
        ('{\n  "价": "价'.encode() + b'\xff"}', 1, 10),
    ],
)
def test_rows(line: bytes, row: int, column: int) -> None:
    """In a record of several lines, the column of an error is that in its line."""
    with pytest.raises(RecordError) as caught:
        parse_json(line)
    assert (row, column) == (caught.value.row, caught.value.column)


@pytest.mark.parametrize("depth", [1, 2, 63])
def test_depth(depth: int) -> None:
    """Objects and lists may be nested 64 deep; brackets in strings do not count."""
    line = b'{"a": ' + b"[" * depth + b'"[[[[{{{{"' + b"]" * depth + b"}"
    assert parse_json(line) == json.loads(line)


def test_many_brackets_are_not_deep() -> None:
    """A record may hold any number of brackets side by side."""
    line = b'{"a": [' + b"[]," * 50_000 + b'"' + b"[" * 50_000 + b'\\"[["]}'
    assert len(parse_json(line)["a"]) == 50_001


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False) | st.text('a":\\ 价\n', max_size=6),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.text('a":\\ ', max_size=3), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@given(st.dictionaries(st.text('a":\\ ', max_size=3), JSON, max_size=4), st.integers(0, 3))
def test_any_object(value: dict[str, Any], style: int) -> None:
    """Whatever ``json`` writes is read back unchanged, in any style of writing."""
    separators = [(",", ":"), (", ", ": "), (" ,", " :"), (",\t", "\r\n:")][style]
    line = json.dumps(value, separators=separators, ensure_ascii=style == 1).encode()
    assert parse_json(line) == value


@given(JSON, JSON, JSON, st.integers(0, 3))
def test_any_duplicate(first: Any, second: Any, between: Any, style: int) -> None:
    """Two equal keys are found, whatever their values and whatever is between them."""
    colon = [":", ": ", " :", "\t :\r "][style]
    parts = [f'"k"{colon}{json.dumps(first)}', f'"b\\\\"{colon}{json.dumps(between)}',
             f'"\\u006b"{colon}{json.dumps(second)}']  # fmt: skip
    inner = "{" + ",".join(parts) + "}"
    for line in (inner, f'{{"x": [{inner}], "k": "\\":"}}'):
        with pytest.raises(RecordError) as caught:
            parse_json(line.encode())
        assert caught.value.reason == "duplicate_key"
        assert caught.value.column == line.index('"\\u006b"') + 1


@pytest.mark.parametrize("text", ['{"a": [1]}', "[]", '"x"', "12", "null"])
def test_value(text: str) -> None:
    """Any JSON value is accepted, not only objects."""
    assert json.loads(text) == parse_json(text.encode())


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{'a': 1}", "invalid_json"),
        ('{"a": 1, "a": 2}', "duplicate_key"),
        ('[{"a": 1, "a": 2}]', "duplicate_key"),
        ("18446744073709551616", "number_out_of_range"),
        ("[" * 65 + "]" * 65, "too_deep"),
        ("[" * 2_000_000, "too_deep"),
        ('"\\ud800"', "lone_surrogate"),
    ],
)
def test_bad_value(text: str, reason: str) -> None:
    """Values other than objects are checked by the same rules."""
    with pytest.raises(RecordError) as caught:
        parse_json(text.encode())
    assert reason == caught.value.reason


def test_json_inside_text_is_parsed_by_the_same_rules() -> None:
    """Any JSON value may be written as text."""
    assert parse_json_text('{"city": "Rome", "days": [1, 2.5, null]}', "tools") == {
        "city": "Rome",
        "days": [1, 2.5, None],
    }


def test_text_that_is_not_json_names_its_field() -> None:
    """Text that is not JSON has the wrong type, and the error says which field holds it."""
    with pytest.raises(RecordError) as caught:
        parse_json_text("[{", "tools")
    assert (caught.value.reason, caught.value.problem, caught.value.column) == (
        "wrong_type",
        "tools is '[{'; expected JSON text",
        None,
    )


def test_unsafe_json_inside_text_keeps_its_reason_and_names_its_field() -> None:
    """A problem inside valid JSON keeps its own reason and cure."""
    with pytest.raises(RecordError) as caught:
        parse_json_text('{"a": 1, "a": 2}', "messages[1].content")
    assert (caught.value.reason, caught.value.problem, caught.value.column) == (
        "duplicate_key",
        "messages[1].content holds JSON text: the key 'a' occurs twice in one object",
        None,
    )
    assert caught.value.cure == "Keep one of the two"


ESCAPES = st.text('a"\\\\', max_size=9)


@given(st.lists(ESCAPES, max_size=6), st.integers(1, 9))
def test_quotes_are_counted_across_windows(strings: list[str], window: int) -> None:
    """Each string has two quotes, wherever the search window ends among quotes and backslashes."""
    assert count_quotes(json.dumps(strings).encode(), window) == 2 * len(strings)
