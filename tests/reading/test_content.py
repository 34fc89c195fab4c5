"""What is not data is told in one line, from the first bytes of the file and from its name."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pytest
from file_forms import json_lines, parquet, read_all, tarred, zipped

from sftprep.errors import DataError
from sftprep.reading.content import format_of
from sftprep.reading.endings import data_ending

Write = Callable[[str, str | bytes], Path]

HTML = (
    "is an HTML page, perhaps a login or error page that was saved instead of the data. Fetch the "
    "file again."
)
XML = (
    "is XML, perhaps an error message that was saved instead of the data. Fetch the file again, or "
    "write it as JSON Lines."
)
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 123456\n"
ROW = [{"a": "b"}]


NOT_DATA: list[tuple[str, bytes, str]] = [
        ("a.jsonl", b"<!DOCTYPE html>\n<html>", HTML),
        ("a.parquet", b"\xef\xbb\xbf\n <HTML lang='en'>", HTML),
        ("a.jsonl.gz", gzip.compress(b"<html><body>", mtime=0), HTML),
        ("a.jsonl", b"<?xml version='1.0'?><Error><Code>AccessDenied</Code></Error>", XML),
        ("a.parquet", LFS, "is a Git LFS pointer, not the data itself. Fetch the data with git lfs "
            "pull."),
        ("a.jsonl", LFS, "is a Git LFS pointer, not the data itself. Fetch the data with git lfs "
            "pull."),
        ("a.parquet", b"", "is empty. The download may have failed; fetch it again."),
        ("a.arrow", b"", "is empty. The download may have failed; fetch it again."),
        ("a.jsonl", bytes(5000), "is full of zero bytes at its start. Fetch the file again."),
        ("a.csv", "a,b\n".encode("utf-16"), "the file is UTF-16 (little endian). Convert it to "
            "UTF-8."),
        ("a.csv", "a,b\n".encode("utf-16-be"), "the file is UTF-16 (big endian). Convert it to "
            "UTF-8."),
        ("a.parquet", b'{"a": 1}\n', "is not a Parquet file, although its name says so, or its "
            "start is damaged. Fetch the file again, or correct its name."),
        ("a.feather", b"a,b\n", "is not an Arrow file, although its name says so, or its start is "
            "damaged. Fetch the file again, or correct its name."),
        ("a.feather", b"FEA1" + bytes(99), "is a Feather file of version 1. Write it again as "
            "Parquet or as Feather version 2."),
        ("a.jsonl", zipped("a.jsonl", json_lines(ROW)), "is a ZIP archive. Name a file in it, as "
            "{path}::train.jsonl."),
        ("a.jsonl", tarred("a.jsonl", json_lines(ROW)), "is a tar archive. Name a file in it, as "
            "{path}::train.jsonl."),
        ("a.jsonl", b"SQLite format 3\0", "is an SQLite database. Export the table as CSV or JSON "
            "Lines."),
        ("a.json", b"\x80\x04\x95abc", "is a Python pickle. Write it as JSON Lines or Parquet."),
        ("a.jsonl", b"ORC\x01", "is an ORC file. Write it as Parquet."),
        ("a.jsonl", b"%PDF-1.7", "is a PDF document. Extract the records as JSON Lines."),
        ("a.tsv", b'{"a": 1}\n', "holds JSON, although its name says TSV. Correct its name."),
]  # fmt: skip


@pytest.mark.parametrize(("name", "data", "problem"), NOT_DATA, ids=range(len(NOT_DATA)))
def test_not_data(write: Write, name: str, data: bytes, problem: str) -> None:
    """The error names the file, says what it is, and what to do, in one line."""
    path = write(name, data)
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert str(caught.value) == f"{path}: {problem.format(path=path)}"


def test_an_office_document(write: Write) -> None:
    """A workbook is a ZIP archive too, but naming a file in it would not help."""
    path = write("a.xlsx", b"PK\x03\x04" + bytes(26) + b"[Content_Types].xml" + bytes(99))
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert str(caught.value) == f"{path}: is an Office document. Save the table as CSV."


def test_an_archive_from_a_pipe() -> None:
    """A member of standard input cannot be named, so the error says to save it."""
    with pytest.raises(DataError) as caught:
        format_of(b"PK\x03\x04", "-")
    assert str(caught.value) == (
        "-: is a ZIP archive. Save it as a file, and name a file in it, as data.zip::train.jsonl."
    )


@pytest.mark.parametrize("name", ["a", "a.jsonl", "a.json", "a.txt", "a.csv"])
def test_parquet_is_known_by_its_first_bytes(write: Write, name: str) -> None:
    """The name of a file does not matter if its first bytes say what it is."""
    assert read_all(write(name, parquet(ROW))).records == ROW


@pytest.mark.parametrize(
    ("start", "path", "delimiter", "expected"),
    [
        (b'{"a"', "a.txt", "", "json"),
        (b"a;b", "-", "", "json"),
        (b"a;b", "-", ";", "csv"),
        (b'\xef\xbb\xbf [{"a"', "-", ";", "json"),
        (b"{a};b", "a.csv", "", "csv"),
        (b"[a],b", "a.csv", "", "csv"),
        (b"", "a.csv.gz", "", "csv"),
        (b"", "a.jsonl", "", "json"),
        (b"\x1e{", "a", "", "json-sequence"),
        (b"ARROW1\0\0", "a.csv", "", "arrow"),
        (b"\xff\xff\xff\xff\x10", "a", "", "arrow"),
    ],
)
def test_format_of(start: bytes, path: str, delimiter: str, expected: str) -> None:
    """First bytes come before the name; among texts, the name and the delimiter decide."""
    assert format_of(start, path, delimiter) == expected


@pytest.mark.parametrize(
    ("path", "ending"),
    [
        ("a.csv", "csv"), ("d.x/a", ""), ("a.TSV.zst", "tsv"), ("a.tab", "tsv"), ("-", ""),
        ("z.zip::d/a.Parquet", "parquet"), ("a.gz", ""), (".jsonl", "jsonl"),
    ],
)  # fmt: skip
def test_data_ending(path: str, ending: str) -> None:
    """The ending is the one before that of a compression, in lower case."""
    assert data_ending(path) == ending
