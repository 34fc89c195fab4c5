"""Bad records in a whole run: each is listed with its place, and no other record is lost."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from toys import byte_hf, recipe, save_folder

from sftprep import DataError, load_manifest, prepare

Write = Callable[[str, str | bytes], Path]

GOOD = b'{"prompt": "a", "completion": "b"}'


RECORDS: list[tuple[bytes, str, int | None]] = [
    (GOOD, "", None),
    (GOOD + b"\r", "", None),
    (b'{"prompt": "a", "completion": "b', "invalid_json", 33),
    (GOOD + GOOD, "invalid_json", 35),
    (GOOD + b" // no", "invalid_json", 36),
    (b'{"prompt": "a", "completion": "b"\r{}', "invalid_json", 35),
    (b"", "blank", None),
    (b" \t\r", "blank", None),
    ('{"prompt": "\u2028\u2029\x85", "completion": "b"}'.encode(), "", None),
    (b"\xef\xbb\xbf" + GOOD, "byte_order_mark", 1),
    (b'{"prompt": "\xe9t\xe9", "completion": "b"}', "invalid_utf8", 13),
    (b'{"prompt": "\xc0\xaf", "completion": "b"}', "invalid_utf8", 13),
    (b'{"prompt": "\\ud800", "completion": "b"}', "lone_surrogate", 13),
    (b'{"prompt": "\\u0000", "completion": "b"}', "", None),
    (b'{"prompt": "\0", "completion": "b"}', "invalid_json", 13),
    (b'{"prompt": "a", "completion": "b", "prompt": "c"}', "duplicate_key", 36),
    (b'{"prompt": "a", "completion": "b", "n": NaN}', "invalid_json", 41),
    (b'{"prompt": "a", "completion": "b", "n": 1e999}', "number_out_of_range", 41),
    (b'{"prompt": "a", "completion": "b", "n": 18446744073709551616}', "number_out_of_range", 41),
    (b'{"prompt": "a", "completion": "b", "n": ' + b"[" * 64 + b"]" * 64 + b"}", "too_deep", 104),
    (b'{"prompt": "a", "completion": "b", "n": ' + b"[" * 63 + b"]" * 63 + b"}", "", None),
    (b"[1]", "not_an_object", None),
    (b"null", "not_an_object", None),
    (b"{}", "missing_field", None),
    (b'{"prompt": "a", "completion": null}', "wrong_type", None),
    (b'{"prompt": 1, "completion": "b"}', "wrong_type", None),
    (b'{"prompt": "a", "completion": ""}', "empty_completion", None),
    (b'{"prompt": "a", "completion": "' + b"x" * 300 + b'"}', "line_too_long", None),
    (b'{"prompt": "a", "completion": "last"}', "", None),
]


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    """Save a byte-level tokenizer."""
    return save_folder(byte_hf(["</s>"]), tmp_path / "toy", eos_token="</s>")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_bad_record_is_listed(
    write: Write, tmp_path: Path, tokenizer: Path, workers: int
) -> None:
    """Each bad record is quarantined with its place, and reading continues with the next line."""
    lines = [line for line, _, _ in RECORDS]
    source = write("a.jsonl", b"\n".join(lines))  # no newline at the end
    options = {"on_error": "quarantine", "max_line_bytes": "250B", "workers": workers}
    prepare(recipe(source, tmp_path / "out", tokenizer, **options))
    found = [json.loads(line) for line in (tmp_path / "out/rejects.jsonl").read_text().splitlines()]
    offsets = [sum(len(line) + 1 for line in lines[:n]) for n in range(len(lines))]
    expected = [
        {"line": n, "offset": offsets[n - 1], "reason": reason}
        | ({"column": column} if column else {})
        for n, (_, reason, column) in enumerate(RECORDS, 1)
        if reason not in ("", "blank")
    ]
    keys = ("line", "offset", "reason", "column")
    assert expected == [{key: entry[key] for key in keys if key in entry} for entry in found]
    counts = load_manifest(tmp_path / "out").counts
    good = sum(not reason for _, reason, _ in RECORDS)
    assert (len(lines) - 2, 2, good) == (counts["read"], counts["blank_lines"], counts["written"])
    assert sum(counts["rejected"].values()) == len(expected)
    long = next(entry for entry in found if entry["reason"] == "line_too_long")
    assert long["raw"].encode() == lines[27][:250]


def test_raw_nul_survives_as_escape(write: Write, tmp_path: Path, tokenizer: Path) -> None:
    r"""``\u0000`` is a character like any other."""
    source = write("a.jsonl", b'{"prompt": "\\u0000", "completion": "\\u0000"}')
    prepare(recipe(source, tmp_path / "out", tokenizer, format="jsonl"))
    row = json.loads((tmp_path / "out/data/train-00000-of-00001.jsonl").read_bytes())
    assert row["input_ids"] == [0, 0, 256]


def test_messages_cannot_write_to_the_terminal(
    write: Write, tmp_path: Path, tokenizer: Path
) -> None:
    """Text from a record is escaped and shortened in messages."""
    source = write("a.jsonl", json.dumps({"\x1b[31m\u202e\x07" + "x" * 500: 1}, ensure_ascii=True))
    with pytest.raises(DataError) as caught:
        prepare(recipe(source, tmp_path / "out", tokenizer))
    text = str(caught.value)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b[31m\\u202e\\x07xx" in text
    assert len(text) < 600


def test_fault_in_an_array(write: Write, tmp_path: Path, tokenizer: Path) -> None:
    """An error in an array's element has the line and column of the file."""
    text = '[{"价": 1, "价": 2},\n  {"prompt": "a",\n   "completion": x}, {"价": "价"}, {"a": y}]'
    source = write("a.json", text)
    with pytest.raises(DataError) as caught:
        prepare(recipe(source, tmp_path / "out", tokenizer))
    lines = str(caught.value).split("\n")[1:]
    places = [line.split(" ")[0] for line in lines]
    assert places == [f"{source}:{place}:" for place in ("1:11", "3:18", "3")]
    assert lines[1].endswith(f"The same in 1 more record: {source}:3:40")


def test_long_line_in_a_run(write: Write, tmp_path: Path, tokenizer: Path) -> None:
    """A record over the limit is refused, and accepted with a higher limit."""
    record = json.dumps({"prompt": "a", "completion": "x" * 2000})
    source = write("a.jsonl", record + "\n" + GOOD.decode())
    with pytest.raises(DataError) as caught:
        prepare(recipe(source, tmp_path / "out", tokenizer, max_line_bytes="2000"))
    size = len(record)
    assert (
        "1 of 2 records cannot be used; nothing was published.\n"
        f"{source}:1: the record has {size:,} bytes, over the limit of 2,000; only its "
        "first 2,000 are kept. Raise --max-line-bytes, or split the record, or pass --on-error "
        "quarantine."
    ) == str(caught.value)
    prepare(recipe(source, tmp_path / "out", tokenizer, max_line_bytes="3KB", max_length=9999))
    assert load_manifest(tmp_path / "out").recipe["max_line_bytes"] == 3000
