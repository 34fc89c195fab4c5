"""Bad input: records, files and streams that no run may take for less, or more, than they are."""

import gzip
import json
import lzma
import os
import pty
import socket
import sys
import tempfile
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
from toys import byte_hf, recipe, save_folder

import sftprep.reading.streams
from sftprep import DataError, NoInputError, StorageError, UsageError, load_manifest, prepare
from sftprep.data.block import Source
from sftprep.reading.blocks import BlockReader, Limits
from sftprep.reading.sources import find_sources
from sftprep.reading.streams import Stream

Write = Callable[[str, str | bytes], Path]


class Placed(NamedTuple):
    """A record, or what is left of one, with all that is known of its place."""

    shard: int
    line: int
    offset: int
    data: bytes
    problem: str = ""


def read(
    path: Path | str, longest: int = 64 << 20, shard_size: int = 1 << 30, block_bytes: int = 1 << 20
) -> list[Placed]:
    """All records of an input."""
    reader = BlockReader(find_sources([str(path)]), shard_size, block_bytes, limits=Limits(longest))
    return [
        Placed(block.shard, *block.place(i), data, block.broken.problem if block.broken else "")
        for block in reader
        for i, data in enumerate(block.lines())
    ]


def refused(path: Path | str, kind: type[Exception] = DataError) -> str:
    """What is said of an input that cannot be read."""
    with pytest.raises(kind) as caught:
        read(path)
    return str(caught.value)


# --- records ------------------------------------------------------------------------------------

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
    """A byte-level tokenizer."""
    return save_folder(byte_hf(["</s>"]), tmp_path / "toy", eos_token="</s>")


@pytest.mark.parametrize("workers", [1, 2])
def test_every_bad_record_is_listed(
    write: Write, tmp_path: Path, tokenizer: Path, workers: int
) -> None:
    """Each bad record is set aside with its place, and the next line is read all the same."""
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
    row = json.loads((tmp_path / "out/train-00000-of-00001.jsonl").read_bytes())
    assert row["input_ids"] == [0, 0, 256]


def test_messages_cannot_write_to_the_terminal(
    write: Write, tmp_path: Path, tokenizer: Path
) -> None:
    """What a record holds comes into a message escaped and short."""
    source = write("a.jsonl", json.dumps({"\x1b[31m\u202e\x07" + "x" * 500: 1}, ensure_ascii=True))
    with pytest.raises(DataError) as caught:
        prepare(recipe(source, tmp_path / "out", tokenizer))
    text = str(caught.value)
    assert all(c.isprintable() or c == "\n" for c in text)
    assert "\\x1b[31m\\u202e\\x07xx" in text
    assert len(text) < 600


def test_fault_in_an_array(write: Write, tmp_path: Path, tokenizer: Path) -> None:
    """A fault in an array's element is told with the line and column of the file."""
    text = '[{"价": 1, "价": 2},\n  {"prompt": "a",\n   "completion": x}, {"价": "价"}, {"a": y}]'
    source = write("a.json", text)
    with pytest.raises(DataError) as caught:
        prepare(recipe(source, tmp_path / "out", tokenizer))
    places = [line.split(" ")[0] for line in str(caught.value).split("\n")[1:]]
    assert places == [f"{source}:{place}:" for place in ("1:11", "3:18", "3", "3:40")]


# --- records that are too long ------------------------------------------------------------------

SHORT = [b'{"n": %d}' % n for n in range(3)]


def long(size: int) -> bytes:
    """An object of this many bytes, with all that could mislead a scanner."""
    head = b'{"text": "[\\"]},{\\\\'
    return head + b"x" * (size - len(head) - 2) + b'"}'


def too_long(size: int, limit: int) -> str:
    """What is said of a record that is too long."""
    return (
        f"the record has {size:,} bytes, over the limit of {limit:,}, and is listed with its first "
        f"{min(limit, 4096):,} alone"
    )


@pytest.mark.parametrize("kind", ["lines", "array"])
@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("size", [101, 5000, 20_000])
@pytest.mark.parametrize("chunk", [1, 7, 64, 1 << 20])
def test_a_record_that_is_too_long(
    write: Write, monkeypatch: pytest.MonkeyPatch, kind: str, at: int, size: int, chunk: int
) -> None:
    """One long record is one bad record, wherever it stands and however the bytes come."""
    if chunk == 1 and size > 101:
        chunk = 13
    monkeypatch.setattr(sftprep.reading.streams, "READ_BYTES", chunk)
    records = [*SHORT[:at], long(size), *SHORT[at:]]
    text = b"\n".join(records) if kind == "lines" else b"[" + b",".join(records) + b"]"
    found = read(write("a.json", text), longest=100, block_bytes=30)
    assert [r.data for r in found] == [*SHORT[:at], long(size)[:100], *SHORT[at:]]
    assert [r.problem for r in found] == [
        too_long(size, 100) if len(r) > 100 else "" for r in records
    ]
    assert [r.offset for r in found] == [text.index(record) for record in records]
    assert [r.line for r in found] == ([1, 2, 3, 4] if kind == "lines" else [1, 1, 1, 1])


@pytest.mark.parametrize("kind", ["lines", "array"])
@pytest.mark.parametrize("shard_size", [1, 50, 130, 4000])
def test_long_records_do_not_move_shards(write: Write, kind: str, shard_size: int) -> None:
    """The limit decides what becomes of a record, not where its neighbours land."""
    records = [long(40 + n * 37 % 300) for n in range(60)]
    text = b"\n".join(records) if kind == "lines" else b"[\n" + b",\n".join(records) + b"]"
    path = write("a.json", text)
    expected = [(r.shard, r.line, r.offset) for r in read(path, shard_size=shard_size)]
    for limit in (1, 100, 200, 400):
        for block_bytes in (1, 64, 1 << 20):
            found = read(path, limit, shard_size, block_bytes)
            assert expected == [(r.shard, r.line, r.offset) for r in found]
            kept = [r if len(r) <= limit else r[:limit] for r in records]
            assert kept == [r.data for r in found]


@pytest.mark.parametrize("tail", [b"", b"\n", b"\r\n"])
@pytest.mark.parametrize("size", [100, 101])
def test_the_limit_itself(write: Write, tail: bytes, size: int) -> None:
    """A line may have as many bytes as the limit says, its newline not counted."""
    found = read(write("a.jsonl", long(size) + tail), longest=100)
    carriage = tail.startswith(b"\r")
    assert [bool(r.problem) for r in found] == [size + carriage > 100]


@pytest.mark.parametrize(
    "text",
    [b"[" + b" " * 5000 + b"1" + b" " * 5000 + b",%b2]" % (b"\n" * 5000), b"[1," + b" " * 9999],
)
def test_white_space_is_not_kept(write: Write, text: bytes) -> None:
    """White space before an element does not count as the element's."""
    path = write("a.json", text)
    if text.endswith(b"]"):
        found = read(path, longest=6000, block_bytes=100)
        assert [(r.line, r.offset, r.data) for r in found] == [(1, 5001, b"1"), (5001, 15003, b"2")]
    else:
        assert refused(path).startswith(
            f"{path}:1: the JSON array that the file begins with is not"
        )


class Endless:
    """A stream of one line that has no end in sight."""

    def __init__(self, head: bytes, size: int, tail: bytes) -> None:
        self._parts = iter([head, *[b"x" * (1 << 20)] * (size >> 20), tail])

    def read(self, _size: int) -> bytes:
        """The next MiB."""
        return next(self._parts, b"")


@pytest.mark.parametrize("kind", ["lines", "array"])
def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """A line of 100 MiB takes no more memory than one of the longest that are allowed."""
    head, tail = (b'{"a": "', b'"}\n{}') if kind == "lines" else (b'[{"a": "', b'"},\n{}]')
    reader = BlockReader([Source("-", "stdin")], 1 << 30, limits=Limits(4 << 20))
    stream = Stream(Endless(head, 100 << 20, tail), "-")  # type: ignore[arg-type]
    tracemalloc.start()
    try:
        blocks = list(reader._blocks(0, stream))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [len(line) for block in blocks for line in block.lines()] == [4096, 2]
    assert peak < 20 << 20


def test_long_line_in_a_run(write: Write, tmp_path: Path, tokenizer: Path) -> None:
    """The same run with more room takes the record, with other settings than before."""
    record = json.dumps({"prompt": "a", "completion": "x" * 2000})
    source = write("a.jsonl", record + "\n" + GOOD.decode())
    with pytest.raises(DataError) as caught:
        prepare(recipe(source, tmp_path / "out", tokenizer, max_line_bytes="2000"))
    size = len(record)
    assert (
        "1 of 2 records cannot be used; nothing was published.\n"
        f"{source}:1: the record has {size:,} bytes, over the limit of 2,000, and is listed with "
        "its first 2,000 alone. Raise --max-line-bytes, or split the record, or pass --on-error "
        "quarantine."
    ) == str(caught.value)
    prepare(recipe(source, tmp_path / "out", tokenizer, max_line_bytes="3KB", max_length=9999))
    assert load_manifest(tmp_path / "out").recipe["max_line_bytes"] == 3000


# --- files that change --------------------------------------------------------------------------

LINES = b"".join(b'{"n": %d}\n' % n for n in range(1000))


def grow(path: Path) -> None:
    """Write at its end."""
    with path.open("ab") as file:
        file.write(b'{"n": 1000}\n')


def replace(path: Path) -> None:
    """Put another file in its place, of the same content."""
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes())
    other.replace(path)


def rewrite(path: Path) -> None:
    """Write the same number of bytes, at another time."""
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
    write: Write, monkeypatch: pytest.MonkeyPatch, name: str, pack: Callable[[bytes], bytes],
    when: int,
) -> None:  # fmt: skip
    """A file that changes while it is read is an error, whatever was read of it."""
    monkeypatch.setattr(sftprep.reading.streams, "READ_BYTES", 500)
    change, text = CHANGES[name]
    path = write("a.jsonl", pack(LINES))
    size = path.stat().st_size
    blocks = iter(BlockReader(find_sources([str(path)]), 1 << 30, 100))
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
    assert (f"{path}: changed while it was read: {how}. Run again once nothing changes it.") == str(
        caught.value
    )


def test_a_file_that_is_shorter_than_it_says() -> None:
    """A file whose size is not that of its content cannot be trusted to be whole."""
    path = Path("/proc/self/status")
    if not path.exists():
        pytest.skip("needs /proc")
    size = len(path.read_bytes())
    text = refused(path)
    start = f"{path}: changed while it was read: it had 0 bytes, and "
    assert text.startswith(start)
    assert abs(int(text[len(start) :].split(" ")[0].replace(",", "")) - size) < 50


# --- what is no file ----------------------------------------------------------------------------


def feed(path: Path, data: bytes) -> threading.Thread:
    """Write to a FIFO once somebody reads it."""
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
    """A pipe that the shell hands over by number is read as it stands."""
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
    """What has no end, or no data, is refused before anything is read."""
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
        expected = f"{device}: is {kind}. Name a file, a folder or a FIFO, or pass - for standard "
        assert expected + "input." == refused(device, UsageError)


def test_something_else_in_a_folder(tmp_path: Path, write: Write) -> None:
    """A folder's entry that looks like data and is none is not passed over."""
    write("d/a.jsonl", b"1\n")
    (tmp_path / "d" / "gone.jsonl").symlink_to("nowhere.jsonl")
    for name in ("d", "d/gone.jsonl", "d/*.jsonl"):
        assert (
            f"{tmp_path / 'd/gone.jsonl'}: is a symbolic link to nowhere.jsonl, which does not "
            "exist. Correct the link."
        ) == refused(tmp_path / name, NoInputError)


def test_symlink_loop(tmp_path: Path) -> None:
    """A link to itself leads nowhere."""
    path = tmp_path / "a.jsonl"
    path.symlink_to(path)
    assert (
        f"{path}: cannot be looked at: Too many levels of symbolic links. Check the path."
    ) == refused(path, NoInputError)


@pytest.mark.parametrize("path", ["", "a\0b", "x" * 300, "a.jsonl/b"])
def test_no_such_path(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    """A path that cannot exist is an input that does not."""
    monkeypatch.chdir(tmp_path)
    write("a.jsonl", b"1\n")
    assert refused(path, NoInputError).startswith(f"{path}: ")


def test_linked_folders(tmp_path: Path, write: Write) -> None:
    """Folders are followed through links, and a link back to one above does no harm."""
    write("there/b.jsonl", b"2\n")
    write("d/a.jsonl", b"1\n")
    (tmp_path / "d" / "linked").symlink_to(tmp_path / "there")
    (tmp_path / "there" / "back").symlink_to(tmp_path / "d")
    found = [source.path for source in find_sources([str(tmp_path / "d")])]
    assert [str(tmp_path / "d/a.jsonl"), str(tmp_path / "d/linked/b.jsonl")] == found


def test_folder_in_a_glob(tmp_path: Path, write: Write) -> None:
    """A folder that a pattern matches is no file, and passed over."""
    write("d/a.jsonl", b"1\n")
    (tmp_path / "d" / "b.jsonl").mkdir()
    assert [r.data for r in read(tmp_path / "d" / "*.jsonl")] == [b"1"]


@pytest.mark.parametrize("link", [os.symlink, os.link])
def test_same_file_by_a_link(
    tmp_path: Path, write: Write, link: Callable[[Path, Path], None]
) -> None:
    """A link to a file that is read already is the same file, of whatever kind the link is."""
    path, other = write("a.jsonl", b"1\n"), tmp_path / "b.jsonl"
    link(path, other)
    with pytest.raises(UsageError) as caught:
        find_sources([str(path), str(other)])
    assert (
        f"{other}: is the same file as {path}, and its records would count twice. Name it once."
    ) == str(caught.value)


@contextmanager
def as_nobody() -> Iterator[None]:
    """Without the rights of root, if we have them."""
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
    """A file or folder that may not be read is an error, not nothing."""
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
    assert f"{locked}: cannot be read: Permission denied. Check the file and its rights." == text


def test_many_files(tmp_path: Path) -> None:
    """Many files hold no descriptors, and are told apart by the shortest names."""
    for n in range(500):
        (tmp_path / f"{n:03}").mkdir()
        (tmp_path / f"{n:03}/train.jsonl").write_bytes(b"%d\n" % n)
    sources = find_sources([str(tmp_path)])
    assert [s.name for s in sources] == [f"{n:03}/train.jsonl" for n in range(500)]
    before = len(os.listdir("/dev/fd"))  # noqa: PTH208
    most = 0
    for block in BlockReader(sources, 1 << 30):
        most = max(most, len(os.listdir("/dev/fd")) - before)  # noqa: PTH208
        assert block.data == b"%d\n" % block.source
    assert most == 1


# --- standard input -----------------------------------------------------------------------------


def stdin_refused() -> str:
    """What is said of a standard input that cannot be read."""
    with pytest.raises(UsageError) as caught:
        find_sources(["-"])
    return str(caught.value)


def test_stdin_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Standard input that was closed from the start is no empty input."""
    monkeypatch.setattr(sys, "stdin", None)
    expected = "-: standard input is closed. Pipe data into it, or name a file."
    assert expected == stdin_refused()


def test_stdin_is_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody types records into a terminal."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", 0), open(theirs) as terminal:  # noqa: PTH123
        monkeypatch.setattr(sys, "stdin", terminal)
        expected = "-: standard input is a terminal. Pipe data into it, or name a file."
        assert expected == stdin_refused()


def test_stdin_is_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device that never ends is refused; /dev/null is an empty input."""
    with Path("/dev/zero").open() as device:
        monkeypatch.setattr(sys, "stdin", device)
        expected = "-: standard input is a device. Pipe data into it, or name a file."
        assert expected == stdin_refused()
    with Path("/dev/null").open() as device:
        monkeypatch.setattr(sys, "stdin", device)
        assert read("-") == []


def test_stdin_is_a_file_that_is_named_too(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is standard input and is named as well would count twice."""
    path = write("a.jsonl", b"1\n")
    with path.open() as file:
        monkeypatch.setattr(sys, "stdin", file)
        with pytest.raises(UsageError, match="is the same file as"):
            find_sources([str(path), "-"])


# --- compressed data ----------------------------------------------------------------------------


def test_bomb(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that grows beyond measure is an error, unless it is expected to."""
    monkeypatch.setattr("sftprep.reading.decompression.FREE_BYTES", 1 << 20)
    data = b'{"a": "%s"}\n' % (b"x" * (4 << 20))
    path = write("a.jsonl.gz", gzip.compress(data))
    text = refused(path)
    size = path.stat().st_size
    start = f"{path}: {size:,} compressed bytes became more than "
    assert text.startswith(start)
    assert text.endswith(
        ", over 200 times as many: perhaps a decompression bomb. "
        "If the data is meant, raise --max-expansion."
    )
    assert int(text[len(start) :].split(", over")[0].replace(",", "")) < 3 << 20
    reader = BlockReader(find_sources([str(path)]), 1 << 30, limits=Limits(expansion=2000))
    assert b"".join(block.data for block in reader) == data


def test_small_data_may_expand(write: Write) -> None:
    """Below 64 MiB the proportion does not matter."""
    data = b'{"a": "%s"}\n' % (b"x" * (4 << 20))
    path = write("a.jsonl.xz", lzma.compress(data))
    assert len(data) > 200 * path.stat().st_size
    assert [r.data + b"\n" for r in read(path)] == [data]


def test_zstd_window(write: Write) -> None:
    """A zstd frame that wants a window of 2 GiB is refused; nothing of it is allocated."""
    frame = b"\x28\xb5\x2f\xfd" + bytes([0, 21 << 3]) + b"\x01\x00\x00"  # 2 ** (10 + 21)
    text = refused(write("a.jsonl.zst", frame))
    assert "needs too much memory to decompress (" in text
    assert text.endswith("). Compress it with a window of at most 128 MiB.")


def test_xz_dictionary(write: Write) -> None:
    """An xz stream that wants a dictionary of 1 GiB is refused as well."""
    data = bytearray(lzma.compress(b"{}\n" * 9))
    end = 12 + 4 * (data[12] + 1)  # of the block's header, which its checksum ends
    data[data.index(b"\x21\x01", 12) + 2] = 36  # the dictionary's size
    data[end - 4 : end] = zlib.crc32(data[12 : end - 4]).to_bytes(4, "little")
    text = refused(write("a.jsonl.xz", bytes(data)))
    assert "needs too much memory to decompress (" in text


@pytest.mark.parametrize(
    ("name", "what"),
    [("a.jsonl.gz", "gzip"), ("a.json.ZST", "zstd"), ("a.bz2", "bz2"), ("a.ndjson.xz", "xz")],
)
@pytest.mark.parametrize("data", [b"", b"\x1f", b'{"a": 1}\n'])
def test_compressed_by_name_only(write: Write, name: str, what: str, data: bytes) -> None:
    """A file that is called compressed and is not is no plain file, least of all an empty one."""
    path = write(name, data)
    assert (
        f"{path}: the name says {what}, and the data is not compressed, or its start is damaged. "
        "Fetch the file again, or give it its right name."
    ) == refused(path)


def test_xz_padding(write: Write) -> None:
    """Zeros between xz streams are padding, however many they are."""
    stream = lzma.compress(b"1\n")
    data = stream + b"\0" * (3 << 20) + lzma.compress(b"2\n") + b"\0" * 8
    assert [r.data for r in read(write("a.xz", data))] == [b"1", b"2"]


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16-le", "UTF-16 (little endian)"),
        ("utf-16-be", "UTF-16 (big endian)"),
        ("utf-32-le", "UTF-32 (little endian)"),
        ("utf-32-be", "UTF-32 (big endian)"),
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_wide_encodings(write: Write, encoding: str, name: str, mark: str) -> None:
    """A file in UTF-16 or UTF-32 is refused as what it is, with a mark or without."""
    path = write("a.jsonl", (mark + '{"a": 1}\n').encode(encoding))
    assert f"{path}: the file is {name}. Convert it to UTF-8." == refused(path)
