"""Which files an input stands for, and files that change after they were found."""

import gzip
import lzma
import os
import pty
import socket
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from read_records import read, refused

from sftprep.data.block import Source
from sftprep.errors import DataError, NoInputError, StorageError, UsageError
from sftprep.reading.blocks import BlockReader
from sftprep.reading.sources import find_sources

Write = Callable[[str, str | bytes], Path]

# --- files, folders and globs ---------------------------------------------------------------------


def names(sources: list[Source]) -> list[str]:
    """Return the names of sources."""
    return [source.name for source in sources]


def test_folder(tmp_path: Path, write: Write) -> None:
    """A folder stands for the data files below it, sorted by path, and for no other files."""
    for name in (
        "b.jsonl", "a.json", "sub/c.ndjson.gz", "sub/A.JSONL", "z.jsonl.zst", "y.jsonl.bz2",
        "x.json.xz", "notes.txt", "a.jsonl.bak", "jsonl", "m.csv", "n.TSV.gz", "o.parquet",
        "p.arrow", "q.feather", "r.ipc", "s.parquet.gz", "t.zip",
    ):  # fmt: skip
        write(f"d/{name}", b"")
    write("d/folder.jsonl/inner.txt", b"")
    expected = [
        "a.json", "b.jsonl", "m.csv", "n.TSV.gz", "o.parquet", "p.arrow", "q.feather", "r.ipc",
        "sub/A.JSONL", "sub/c.ndjson.gz", "x.json.xz", "y.jsonl.bz2", "z.jsonl.zst",
    ]  # fmt: skip
    folder = tmp_path / "d"
    found = find_sources([str(folder)])
    assert [str(folder / name) for name in expected] == [source.path for source in found]


def test_glob(tmp_path: Path, write: Write) -> None:
    """A pattern stands for all files that it matches, sorted, whatever their names end with."""
    for name in ("d/2.txt", "d/1.txt", "d/e/3.txt"):
        write(name, b"")
    (tmp_path / "d" / "dir.txt").mkdir()
    assert names(find_sources([str(tmp_path / "d" / "*.txt")])) == ["1.txt", "2.txt"]
    every = find_sources([str(tmp_path / "d" / "**" / "*.txt")])
    assert names(every) == ["1.txt", "2.txt", "3.txt"]


def test_a_file_with_magic_in_its_name(write: Write) -> None:
    """A file that exists is not taken for a pattern."""
    path = write("a[1].jsonl", b"1\n")
    assert [r.data for r in read(path)] == [b"1"]


def test_order_is_the_users(write: Write) -> None:
    """Inputs are read in the order in which they are named."""
    first, second = write("b.jsonl", b"1\n"), write("a.jsonl", b"2\n")
    assert [r.data for r in read(first, second)] == [b"1", b"2"]


def test_names_are_short_and_different(write: Write) -> None:
    """Files of the same name are told apart by as few folders above them as needed."""
    paths = [write(f"{name}/train.jsonl", b"") for name in ("x/a", "x/b")]
    assert names(find_sources([str(p) for p in paths])) == ["a/train.jsonl", "b/train.jsonl"]


@pytest.mark.parametrize("again", ["{}", "{}/../{}", "{}/*.jsonl"])
def test_same_file_twice(tmp_path: Path, write: Write, again: str) -> None:
    """A file that is named twice, under any spelling, is refused: its records would count twice."""
    path = write("d/a.jsonl", b"")
    second = {
        "{}": str(path),
        "{}/../{}": str(tmp_path / "d" / ".." / "d" / "a.jsonl"),
        "{}/*.jsonl": str(tmp_path / "d" / "*.jsonl"),
    }[again]
    shown = str(path) if again == "{}/*.jsonl" else second
    with pytest.raises(UsageError) as caught:
        find_sources([str(path), second])
    assert (
        f"{shown}: is the same file as {path}, and its records would count twice. Name it once."
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.jsonl", "{}: no such file or folder. Check the path; - reads standard input."),
        ("*.gone", "{}: no file matches. Check the pattern and the folder."),
        (
            "empty",
            "{}: no data file in this folder. Expected .parquet, .arrow, .feather or .ipc, or "
            ".jsonl, .json, .ndjson, .csv or .tsv, these also with .gz, .zst, .bz2 or .xz.",
        ),
    ],
)
def test_no_input(tmp_path: Path, name: str, message: str) -> None:
    """An input without data files is an error that says what was expected."""
    (tmp_path / "empty").mkdir()
    text = str(tmp_path / name)
    with pytest.raises(NoInputError) as caught:
        find_sources([text])
    assert message.format(text) == str(caught.value)


def test_something_else_in_a_folder(tmp_path: Path, write: Write) -> None:
    """A broken link with a data file's name is an error, not skipped."""
    write("d/a.jsonl", b"1\n")
    (tmp_path / "d" / "gone.jsonl").symlink_to("nowhere.jsonl")
    for name in ("d", "d/gone.jsonl", "d/*.jsonl"):
        assert (
            f"{tmp_path / 'd/gone.jsonl'}: is a symbolic link to nowhere.jsonl, which does not "
            "exist. Correct the link."
        ) == refused(tmp_path / name, NoInputError)


def test_symlink_loop(tmp_path: Path) -> None:
    """A link to itself is an error."""
    path = tmp_path / "a.jsonl"
    path.symlink_to(path)
    assert (
        f"{path}: cannot be accessed: Too many levels of symbolic links. Check the path."
    ) == refused(path, NoInputError)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 300, "a.jsonl/b"])
def test_no_such_path(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A path that cannot exist is an input that does not exist."""
    monkeypatch.chdir(tmp_path)
    write("a.jsonl", b"1\n")
    assert refused(path, NoInputError).startswith(f"{path}: ")


def test_linked_folders(tmp_path: Path, write: Write) -> None:
    """Links to folders are followed, and a link back to a folder above does no harm."""
    write("there/b.jsonl", b"2\n")
    write("d/a.jsonl", b"1\n")
    (tmp_path / "d" / "linked").symlink_to(tmp_path / "there")
    (tmp_path / "there" / "back").symlink_to(tmp_path / "d")
    found = [source.path for source in find_sources([str(tmp_path / "d")])]
    assert [str(tmp_path / "d/a.jsonl"), str(tmp_path / "d/linked/b.jsonl")] == found


def test_folder_in_a_glob(tmp_path: Path, write: Write) -> None:
    """A folder that matches a pattern is skipped."""
    write("d/a.jsonl", b"1\n")
    (tmp_path / "d" / "b.jsonl").mkdir()
    assert [r.data for r in read(tmp_path / "d" / "*.jsonl")] == [b"1"]


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_same_file_by_a_link(
    tmp_path: Path, write: Write, link: Callable[[Path, Path], None]
) -> None:
    """A symbolic or hard link to a file that is read already is the same file."""
    path, other = write("a.jsonl", b"1\n"), tmp_path / "b.jsonl"
    link(path, other)
    with pytest.raises(UsageError) as caught:
        find_sources([str(path), str(other)])
    assert (
        f"{other}: is the same file as {path}, and its records would count twice. Name it once."
    ) == str(caught.value)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run without root's permissions, if the test runs as root."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_unreadable(kind: str) -> None:
    """A file or folder without read permission is an error, not skipped."""
    with tempfile.TemporaryDirectory() as name:
        base = Path(name)
        base.chmod(0o755)
        (base / "d").mkdir()
        locked = base / "d"
        if kind == "file":
            locked /= "a.jsonl"
            locked.write_bytes(b"1\n")
        locked.chmod(0)
        try:
            with as_nobody():
                text = refused(base, StorageError)
        finally:
            locked.chmod(0o700)
    assert (
        f"{locked}: cannot be read: Permission denied. Check the file and its permissions." == text
    )


# --- pipes, devices and sockets -------------------------------------------------------------------


def feed(path: Path, data: bytes) -> threading.Thread:
    """Write to a FIFO as soon as another thread reads it."""
    thread = threading.Thread(target=path.write_bytes, args=[data])
    thread.start()
    return thread


def test_fifo(tmp_path: Path) -> None:
    """A FIFO is read once, to its end."""
    path = tmp_path / "f"
    os.mkfifo(path)
    thread = feed(path, LINES)
    assert b"".join(r.data + b"\n" for r in read(path)) == LINES
    thread.join()


def test_process_substitution() -> None:
    """A pipe that the shell passes as a path is read like a file."""
    end, other = os.pipe()
    os.write(other, b"1\n2\n")
    os.close(other)
    try:
        assert [r.data for r in read(f"/dev/fd/{end}")] == [b"1", b"2"]
    finally:
        os.close(end)


@pytest.mark.parametrize(
    ("device", "kind"),
    [("/dev/zero", "a device"), ("/dev/null", "a device"), ("socket", "a socket")],
)
def test_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, device: str, kind: str) -> None:
    """Devices and sockets are refused before anything is read."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        expected = f"{device}: is {kind}. Name a file, a folder or a FIFO, or pass - for standard "
        assert expected + "input." == refused(device, UsageError)


# --- standard input -------------------------------------------------------------------------------


def stdin_refused() -> str:
    """Return the message with which standard input is refused."""
    with pytest.raises(UsageError) as caught:
        find_sources(["-"])
    return str(caught.value)


def test_stdin_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A closed standard input is an error, not an empty input."""
    monkeypatch.setattr(sys, "stdin", None)
    expected = "-: standard input is closed. Pipe data into it, or name a file."
    assert expected == stdin_refused()


def test_stdin_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal as standard input is refused: the run would wait for someone to type records."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0), open(theirs) as terminal:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", terminal)
        expected = "-: standard input is a terminal. Pipe data into it, or name a file."
        assert expected == stdin_refused()


def test_stdin_is_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """An endless device is refused; /dev/null is an empty input."""
    with Path("/dev/zero").open() as device:
        monkeypatch.setattr(sys, "stdin", device)
        expected = "-: standard input is a device. Pipe data into it, or name a file."
        assert expected == stdin_refused()
    with Path("/dev/null").open() as device:
        monkeypatch.setattr(sys, "stdin", device)
        assert read("-") == []


def test_stdin_is_a_file_that_is_named_too(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is both standard input and a named input is refused."""
    path = write("a.jsonl", b"1\n")
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(UsageError, match="is the same file as"):
            find_sources([str(path), "-"])


# --- files that change while they are read --------------------------------------------------------

LINES = b"".join(b'{"n": %d}\n' % n for n in range(1000))


def grow(path: Path) -> None:
    """Append to the file."""
    with path.open("ab") as file:
        file.write(b'{"n": 1000}\n')


def replace(path: Path) -> None:
    """Replace the file by another with the same content."""
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def rewrite(path: Path) -> None:
    """Write as many bytes as before, at a later time."""
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "grows": (grow, "it had {size:,} bytes, and then {now:,}"),
    "shrinks": (lambda path: os.truncate(path, 5), "it had {size:,} bytes, and then {now:,}"),
    "replaced": (replace, "another file took its place"),
    "deleted": (Path.unlink, "it was deleted or moved"),
    "rewritten": (rewrite, "it was written to"),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("pack", [bytes, lambda data: gzip.compress(data, 0), lzma.compress])
@pytest.mark.parametrize("when", [0, -1])
def test_a_file_that_changes(
    write: Write, name: str, pack: Callable[[bytes], bytes], when: int
) -> None:
    """A file that changes while it is read is an error, even if all of it was read."""
    change, text = CHANGES[name]
    path = write("a.jsonl", pack(LINES))
    size = path.stat().st_size
    blocks = iter(BlockReader(find_sources([str(path)]), 1 << 30, 100, read_bytes=500))
    if when:
        for block in blocks:
            if block.offset + len(block.data) == len(LINES):
                break
    else:
        next(blocks)
    change(path)
    with pytest.raises(DataError) as caught:
        list(blocks)
    how = text.format(size=size, now=path.stat().st_size if path.exists() else 0)
    assert (
        f"{path}: changed while it was read: {how}. Run again when nothing writes to it."
    ) == str(caught.value)


def test_a_file_that_goes_away(write: Write) -> None:
    """A file that was found but is gone when it is opened is an error."""
    path = write("a.jsonl", b"1\n")
    reader = BlockReader(find_sources([str(path)]), 1 << 30)
    path.unlink()
    with pytest.raises(DataError) as caught:
        list(reader)
    assert (
        f"{path}: changed while it was read: it was deleted or moved. "
        "Run again when nothing writes to it."
    ) == str(caught.value)


def test_a_file_that_is_shorter_than_it_says() -> None:
    """A file whose reported size differs from its content is an error."""
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("needs /proc")
    size = len(path.read_bytes())
    text = refused(path)
    start = f"{path}: changed while it was read: it had 0 bytes, and "
    assert text.startswith(start)
    assert abs(int(text[len(start) :].split(" ")[0].replace(",", "")) - size) < 50
