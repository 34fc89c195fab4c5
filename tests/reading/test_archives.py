"""Files in ZIP and tar archives: by name, by pattern, or the only one; damage is found."""

import io
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from file_forms import json_lines, read_all, tarred, zipped

from sftprep.data.block import Source
from sftprep.errors import DataError, NoInputError, SftprepError, UsageError
from sftprep.reading.sources import find_sources

Write = Callable[[str, str | bytes], Path]

ROWS = [{"a": 1}, {"a": 2}]
DATA = json_lines(ROWS)


def several(kind: str, names: list[str]) -> bytes:
    """Return an archive in which each file holds one record with the file's name."""
    sink = io.BytesIO()
    contents = [(name, json_lines([{"a": name}])) for name in names]
    if kind == "zip":
        with zipfile.ZipFile(sink, "w") as archive:
            for name, content in contents:
                archive.writestr(name, content)
    else:
        with tarfile.open(fileobj=sink, mode=kind) as archive:  # type: ignore[call-overload]
            for name, content in contents:
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


NAMES = ["b.jsonl", "d/a.jsonl", ".h.jsonl", "__MACOSX/c.jsonl", "README.md", "d/.x/e.jsonl"]
ENDINGS = {"zip": "zip", "w": "tar", "w:gz": "tar.gz", "w:xz": "txz", "w:bz2": "tar.bz2"}


@pytest.mark.parametrize("kind", ENDINGS)
def test_members(write: Write, kind: str) -> None:
    """A member is named after ``::``; a pattern stands for those that are not hidden, sorted."""
    path = write(f"data.{ENDINGS[kind]}", several(kind, NAMES))
    assert read_all(f"{path}::d/a.jsonl").records == [{"a": "d/a.jsonl"}]
    assert read_all(f"{path}::.h.jsonl").records == [{"a": ".h.jsonl"}]
    assert read_all(f"{path}::*.jsonl").records == [{"a": "b.jsonl"}, {"a": "d/a.jsonl"}]
    assert find_sources([f"{path}::*.jsonl"]) == [
        Source(f"{path}::b.jsonl", "b.jsonl", "b.jsonl"),
        Source(f"{path}::d/a.jsonl", "a.jsonl", "d/a.jsonl"),
    ]


@pytest.mark.parametrize("kind", ENDINGS)
@pytest.mark.parametrize(
    ("wanted", "error", "problem"),
    [
        ("", UsageError, "holds 2 data files: b.jsonl, d/a.jsonl. Name one, as {path}::b.jsonl, or "
            "several with a pattern, as '{path}::*'."),
        ("::a.jsonl", NoInputError, "has no member a.jsonl. Did you mean 'd/a.jsonl'?"),
        ("::zzz", NoInputError, "has no member zzz. It has .h.jsonl, README.md, "
            "__MACOSX/c.jsonl, b.jsonl, d/.x/e.jsonl and 1 more."),
        ("::*.csv", NoInputError, "no member matches *.csv; it has .h.jsonl, README.md, "
            "__MACOSX/c.jsonl, b.jsonl, d/.x/e.jsonl and 1 more. Check the pattern."),
    ],
)  # fmt: skip
def test_members_that_are_not_clear(
    write: Write, kind: str, wanted: str, error: type[SftprepError], problem: str
) -> None:
    """The error names what the archive has."""
    path = write(f"data.{ENDINGS[kind]}", several(kind, NAMES))
    with pytest.raises(error) as caught:
        find_sources([f"{path}{wanted}"])
    assert str(caught.value) == f"{path}: {problem.format(path=path)}"


def test_an_archive_without_data(write: Write) -> None:
    """The error says which endings are expected."""
    path = write("data.zip", several("zip", ["README.md"]))
    with pytest.raises(NoInputError) as caught:
        find_sources([str(path)])
    assert str(caught.value) == (
        f"{path}: no data file in it; it has README.md. Expected .parquet, .arrow, .feather or "
        ".ipc, or .jsonl, .json, .ndjson, .csv or .tsv, these also with .gz, .zst, .bz2 or .xz."
    )


def test_a_member_that_is_there_twice(write: Write) -> None:
    """It is not clear which one is meant."""
    path = write("data.tar", several("w", ["a.jsonl", "a.jsonl"]))
    with pytest.raises(DataError) as caught:
        find_sources([str(path)])
    assert str(caught.value) == f"{path}: has two members a.jsonl. Make the archive again."


def test_a_member_named_twice(write: Write) -> None:
    """The same member counts once, but two members of one archive are two inputs."""
    path = write("data.zip", several("zip", ["a.jsonl", "b.jsonl"]))
    assert len(find_sources([f"{path}::a.jsonl", f"{path}::b.jsonl"])) == 2
    with pytest.raises(UsageError, match="is the same file as"):
        find_sources([f"{path}::a.jsonl", f"{path}::*"])


def test_a_file_whose_name_looks_like_a_member(write: Write) -> None:
    """A file that exists is meant, whatever its name."""
    path = write("data.zip::a.jsonl", DATA)
    assert read_all(path).records == ROWS


@pytest.mark.parametrize("kind", ["zip", "w", "w:gz"])
def test_every_truncation_is_found(write: Write, kind: str) -> None:
    """An archive that ends early is never taken for complete, wherever it ends."""
    data = zipped("a.jsonl", DATA) if kind == "zip" else tarred("a.jsonl", DATA, kind)
    whole = len(data) if kind != "w" else len(data.rstrip(b"\0")) + 512
    for size in range(0, whole - 20, 19):
        path = write(f"data.{ENDINGS[kind]}", data[:size])
        with pytest.raises((DataError, NoInputError)) as caught:
            read_all(f"{path}::*.jsonl")
        assert isinstance(caught.value, DataError) or size == 0


def test_a_damaged_member(write: Write) -> None:
    """The checksum of a member is checked."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("a.jsonl", DATA)
    path = write("data.zip", sink.getvalue().replace(b'{"a": 2}', b'{"a": 3}'))
    with pytest.raises(DataError) as caught:
        read_all(path)
    assert str(caught.value) == (
        f"{path}: the archive is damaged or incomplete (Bad CRC-32 for file 'a.jsonl'). Fetch it "
        "again."
    )


@pytest.mark.parametrize(
    "kind", ["zip", *(pytest.param(kind, marks=pytest.mark.faults) for kind in ("w:gz", "w:xz"))]
)
def test_a_bomb(write: Write, kind: str) -> None:
    """A member that expands too much ends the run."""
    spaces = b" " * (70 << 20)
    data = zipped("a.jsonl", spaces) if kind == "zip" else tarred("a.jsonl", spaces, kind)
    path = write(f"data.{ENDINGS[kind]}", data)
    with pytest.raises(DataError, match="over 200 times as many: this may be a decompression bomb"):
        read_all(path)


def test_an_archive_that_changes(write: Write) -> None:
    """An archive that changes while a member is read is an error."""
    path = write("data.zip", zipped("a.jsonl", DATA * 1000))
    sources = find_sources([str(path)])
    from sftprep.reading.blocks import BlockReader

    blocks = iter(BlockReader(sources, 1 << 30, 100))
    next(blocks)
    with path.open("ab") as file:
        file.write(b"x")
    with pytest.raises(DataError, match="changed while it was read: it had "):
        list(blocks)
