"""A run can be resumed from its journal: with the shards that are still whole, and no others."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from toys import tree

from sftprep.data.block import Block, Source
from sftprep.dataset.journal import Journal, ShardFolders
from sftprep.dataset.ledger import Ledger
from sftprep.dataset.manifest import ShardInfo
from sftprep.dataset.shard_writer import ShardPaths
from sftprep.errors import OutputError

SOURCES = [Source("in/a.jsonl", "a.jsonl"), Source("in/b\x1b.jsonl", "b\x1b.jsonl")]
IDENTITY = {
    "format_version": 2,
    "recipe": {"max_length": 10, "template": "plain"},
    "tokenizer": "t",
    "template": "u",
    "libraries": {"orjson": "3"},
    "inputs": ["a.jsonl", "b\x1b.jsonl"],
}
PARTS = (
    (0, 0, "a1\na2\n"), (0, 0, "a3\n"),
    (0, 1, "a4\n"), (1, 1, "b1\n"),
    (1, 2, "-\n"),
    (1, 3, "b3\n"), (1, 3, "b4\n"),
)  # fmt: skip
"""Source, shard and data of each block. A shard of "-" has no rows. Each b is also rejected."""


def blocks(parts: Iterable[tuple[int, int, str]] = PARTS) -> list[Block]:
    """Make blocks, with the line numbers that follow from their data."""
    lines, texts = {0: 1, 1: 1}, {0: "", 1: ""}
    made = []
    for source, shard, data in parts:
        texts[source] += data
        until = hashlib.sha256(texts[source].encode()).hexdigest()
        made.append(Block(source, shard, lines[source], 0, data.encode(), text_sha256=until))
        lines[source] += data.count("\n")
    return made


def sha256(*data: bytes) -> str:
    """Hash bytes."""
    return hashlib.sha256(b"".join(data)).hexdigest()


def index_of(data: bytes) -> bytes:
    """Make what passes for the index of a shard."""
    return b"index of " + data


def info(data: bytes, number: int) -> ShardInfo:
    """Describe a shard, which is the one with this number that has rows."""
    index = index_of(data)
    rows = data.count(b"\n")
    return {
        "rows": rows,
        "documents": rows,
        "tokens": rows,
        "trained_tokens": 0,
        "bytes": len(data),
        "sha256": sha256(data),
        "digest": f"{number:032x}",
        "index": {
            "name": f"shard-{number:05d}",
            "bytes": len(index),
            "sha256": sha256(index),
        },
    }


def of_dataset(staging: Path) -> ShardFolders:
    """Return the folders of shards that are published as they are."""
    return ShardFolders.of_dataset(staging, "jsonl")


def writer(data: bytes) -> Callable[[ShardPaths], "Future[ShardInfo] | None"]:
    """Make a function that writes a shard whose bytes are its input."""

    def write(paths: ShardPaths) -> "Future[ShardInfo] | None":
        if data == b"-\n":
            return None
        for path, content in zip(
            (paths.shard, paths.index_file), (data, index_of(data)), strict=True
        ):
            with path.open("xb") as file:
                file.write(content)
        future: Future[ShardInfo] = Future()
        future.set_result(info(data, int(paths.shard.name.split("-")[1])))
        return future

    return write


class Run:
    """A run on a staging folder, which may end early as if it were killed."""

    def __init__(self, staging: Path, *, resume: bool = False) -> None:
        self.journal = Journal(staging, SOURCES, of_dataset(staging))
        self.taken: list[bytes] = []
        self._ledger = Ledger(staging / "dataset" / "rejects.jsonl")
        if resume:
            self.journal.resume(IDENTITY)
        else:
            (staging / "dataset").mkdir(parents=True)
            self.journal.begin(IDENTITY)

    def go(self, given: Sequence[Block], stop: int = 99) -> list[dict[str, Any]]:
        """Work on the blocks, up to the end of shard ``stop``."""
        if self.journal.finished:
            self._ledger.resume()
        try:
            self._work(given, stop)
        finally:
            self._ledger.close()
        return [] if stop < 99 else self.journal.finish()

    def _work(self, given: Sequence[Block], stop: int) -> None:
        for shard, group in groupby(self.journal.unfinished(given), attrgetter("shard")):
            data = [block.data for block in group]
            self.taken += data
            for block in data:
                if block.startswith(b"b"):
                    self._ledger.add({"lost": block.decode()})
            known = self._ledger.info()
            ledgers = {"rejects.jsonl": known} if known else {}
            written = writer(b"".join(data))(self.journal.next_paths())
            self.journal.add({"shards": shard + 1}, ledgers, written)
            if shard == stop:
                self._ledger.add({"lost": "of a shard that was not finished"})
                break


def whole(folder: Path) -> tuple[list[dict[str, Any]], dict[str, bytes]]:
    """Run without an interruption; return the shards and all files."""
    shards = Run(folder).go(blocks())
    return shards, tree(folder)


def refusal(run: Callable[[], object]) -> str:
    """Return the message of the error."""
    with pytest.raises(OutputError) as caught:
        run()
    assert caught.value.exit_code == 73
    return str(caught.value)


# --- writing ------------------------------------------------------------------------------------


def test_begin(tmp_path: Path) -> None:
    """A run first writes its identity and an empty journal; then it can be resumed."""
    journal = Journal(tmp_path, SOURCES, of_dataset(tmp_path))
    assert not journal.can_resume()
    journal.begin(IDENTITY)
    assert journal.can_resume()
    assert set(tree(tmp_path)) == {"identity.json", "journal.jsonl"}
    assert json.loads((tmp_path / "identity.json").read_bytes()) == IDENTITY
    assert (tmp_path / "journal.jsonl").read_bytes() == b""


def test_entries(tmp_path: Path) -> None:
    """The journal has a line per shard: its info, its input's hash, the counts and the ledgers."""
    shards, _ = whole(tmp_path)
    lines = [json.loads(x) for x in (tmp_path / "journal.jsonl").read_bytes().splitlines()]
    first, second = b'{"lost":"b1\\n"}\n', b'{"lost":"b3\\n"}\n{"lost":"b4\\n"}\n'
    one = {"entries": 1, "bytes": len(first), "sha256": sha256(first)}
    three = {"entries": 3, "bytes": len(first + second), "sha256": sha256(first, second)}
    assert lines == [
        {
            "shard": info(b"a1\na2\na3\n", 0),
            "input": {"0": sha256(b"a1\na2\na3\n")},
            "counts": {"shards": 1},
            "ledgers": {},
        },
        {
            "shard": info(b"a4\nb1\n", 1),
            "input": {"0": sha256(b"a1\na2\na3\na4\n"), "1": sha256(b"b1\n")},
            "counts": {"shards": 2},
            "ledgers": {"rejects.jsonl": one},
        },
        {
            "shard": None,
            "input": {"1": sha256(b"b1\n-\n")},
            "counts": {"shards": 3},
            "ledgers": {"rejects.jsonl": one},
        },
        {
            "shard": info(b"b3\nb4\n", 2),
            "input": {"1": sha256(b"b1\n-\nb3\nb4\n")},
            "counts": {"shards": 4},
            "ledgers": {"rejects.jsonl": three},
        },
    ]
    assert shards == [
        described(b"a1\na2\na3\n", 0),
        described(b"a4\nb1\n", 1),
        described(b"b3\nb4\n", 2),
    ]
    files = {name for x in shards for name in (x["name"], x["index"]["name"])}
    assert set(tree(tmp_path / "dataset")) == {"rejects.jsonl", *files}


def described(data: bytes, number: int) -> dict[str, Any]:
    """Return the description of a finished shard, of three, in the manifest."""
    found: dict[str, Any] = {**info(data, number)}
    index = found.pop("index") | {"name": f"index/train-{number:05d}-of-00003.parquet"}
    name = f"data/train-{number:05d}-of-00003.jsonl"
    return {"name": name, "split": "train", **found, "index": index}


def test_only_staged(tmp_path: Path) -> None:
    """Shards that are still to be arranged stay where they are, apart from those of the dataset."""
    (tmp_path / "dataset" / "data").mkdir(parents=True)
    (tmp_path / "dataset" / "data" / "train-00000-of-00001.jsonl").write_bytes(b"arranged")
    folders = ShardFolders(tmp_path / "tokens", tmp_path / "index")
    journal = Journal(tmp_path, SOURCES, folders)
    journal.begin(IDENTITY)
    given = [Block(0, shard, shard + 1, 0, b"x\n" * (shard + 1)) for shard in range(3)]
    for block in list(journal.unfinished(given)):
        shard = writer(block.data)(paths := journal.next_paths())
        assert paths.shard.parent == tmp_path / "tokens"
        journal.add({}, {}, shard)
    journal.wait()
    assert journal.staged_paths() == [
        ShardPaths(tmp_path / "tokens" / name, tmp_path / "index" / name)
        for name in ("shard-00000", "shard-00001", "shard-00002")
    ]
    before = tree(tmp_path)
    (tmp_path / "tokens" / "shard-00003").write_bytes(b"half")
    again = Journal(tmp_path, SOURCES, folders)
    again.resume(IDENTITY)
    assert (len(again.finished), tree(tmp_path)) == (3, before)


def test_entries_are_in_order(tmp_path: Path) -> None:
    """A shard that is durable before an earlier one gets its line only after that one."""
    (tmp_path / "dataset").mkdir()
    journal = Journal(tmp_path, SOURCES, of_dataset(tmp_path))
    journal.begin(IDENTITY)
    list(journal.unfinished([Block(0, shard, shard + 1, 0, b"x\n") for shard in range(3)]))
    first: Future[ShardInfo] = Future()
    second: Future[ShardInfo] = Future()
    second.set_result(info(b"2\n2\n", 1))
    asked: list[str] = []

    def begin(paths: ShardPaths, shard: "Future[ShardInfo] | None") -> "Future[ShardInfo] | None":
        if shard is not None:
            asked.append(paths.shard.name)
            paths.shard.touch()
            paths.index_file.touch()
        return shard

    def lines() -> list[bytes]:
        return (tmp_path / "journal.jsonl").read_bytes().splitlines()

    for number, shard in enumerate([first, second, None], 1):
        journal.add({"shards": number}, {}, begin(journal.next_paths(), shard))
    assert (asked, lines()) == (["shard-00000", "shard-00001"], [])
    first.set_result(info(b"1\n", 0))
    assert [x["rows"] for x in journal.finish()] == [1, 2]
    found = [json.loads(line) for line in lines()]
    assert [(e["counts"]["shards"], e["shard"]) for e in found] == [
        (1, info(b"1\n", 0)),
        (2, info(b"2\n2\n", 1)),
        (3, None),
    ]


def test_a_shard_that_fails(tmp_path: Path) -> None:
    """A shard that could not be written has no line, and its error is raised."""
    (tmp_path / "dataset").mkdir()
    journal = Journal(tmp_path, SOURCES, of_dataset(tmp_path))
    journal.begin(IDENTITY)
    list(journal.unfinished(blocks()))
    failing: Future[ShardInfo] = Future()
    failing.set_exception(OSError(28, "No space left on device"))
    with pytest.raises(OSError, match="No space left"):
        journal.add({}, {}, failing)
    assert (tmp_path / "journal.jsonl").read_bytes() == b""


# --- resuming -----------------------------------------------------------------------------------


@pytest.mark.parametrize("stop", [0, 1, 2, 3])
def test_resume(tmp_path: Path, stop: int) -> None:
    """Only the unfinished blocks are worked on, and the result is that of an undisturbed run."""
    expected = whole(tmp_path / "whole")
    Run(tmp_path / "cut").go(blocks(), stop)
    second = Run(tmp_path / "cut", resume=True)
    finished = len(second.journal.finished)
    assert finished == stop + 1
    assert second.journal.finished[-1]["counts"] == {"shards": finished}
    shards = second.go(blocks())
    assert second.taken == [b.data for b in blocks() if b.shard >= finished]
    assert (shards, tree(tmp_path / "cut")) == expected


def test_resume_again_and_again(tmp_path: Path) -> None:
    """Each of several interrupted runs continues from the one before."""
    expected = whole(tmp_path / "whole")
    Run(tmp_path / "cut").go(blocks(), 0)
    for stop in (1, 2):
        run = Run(tmp_path / "cut", resume=True)
        run.go(blocks(), stop)
        assert run.taken == [b.data for b in blocks() if b.shard == stop]
    last = Run(tmp_path / "cut", resume=True)
    assert (last.go(blocks()), tree(tmp_path / "cut")) == expected
    assert last.taken == [b"b3\n", b"b4\n"]


def test_resume_of_nothing(tmp_path: Path) -> None:
    """A run that was killed before its first shard is resumed from the beginning."""
    expected = whole(tmp_path / "whole")
    Run(tmp_path / "cut")
    (tmp_path / "cut" / "dataset" / "data" / "shard-00000").write_bytes(b"half")
    second = Run(tmp_path / "cut", resume=True)
    assert second.journal.finished == []
    assert (second.go(blocks()), tree(tmp_path / "cut")) == expected


@pytest.mark.parametrize("count", [1, 3])
def test_resume_between_naming_and_publishing(tmp_path: Path, count: int) -> None:
    """If all shards are finished and some have final names, no block is worked on again."""
    expected = whole(tmp_path / "cut")
    dataset = tmp_path / "cut" / "dataset"
    data = dataset / "data"
    for number in range(count, 3):
        for path in (data, dataset / "index"):
            (found,) = path.glob(f"train-{number:05d}-of-00003.*")
            found.rename(path / f"shard-{number:05d}")
    (dataset / "tokenizer").mkdir()
    (dataset / "tokenizer" / "tokenizer.json").write_text("{}")
    (dataset / "manifest.json").write_text("{}")
    second = Run(tmp_path / "cut", resume=True)
    assert set(tree(dataset)) == {
        "data/shard-00000",
        "data/shard-00001",
        "data/shard-00002",
        "index/shard-00000",
        "index/shard-00001",
        "index/shard-00002",
        "rejects.jsonl",
    }
    assert second.go(blocks()) == expected[0]
    assert second.taken == []
    assert tree(tmp_path / "cut") == expected[1]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_shards_with_folders_of_their_own(tmp_path: Path, count: int) -> None:
    """Shards are published where their format has them, and taken back from there on resume."""
    folders = ShardFolders.of_dataset(tmp_path, "arrow-folder")
    dataset = tmp_path / "dataset"
    dataset.mkdir()
    journal = Journal(tmp_path, SOURCES, folders)
    journal.begin(IDENTITY)
    given = [Block(0, shard, shard + 1, 0, b"x\n" * (shard + 1)) for shard in range(3)]
    for block in list(journal.unfinished(given)):
        journal.add({}, {}, writer(block.data)(journal.next_paths()))
    journal.wait()
    staged = tree(tmp_path)
    expected = journal.finish()
    published = {f"train/data-{number:05d}-of-00003.arrow" for number in range(3)}
    indexes = {f"index/train-{number:05d}-of-00003.parquet" for number in range(3)}
    assert set(tree(dataset)) == published | indexes
    assert [shard["name"] for shard in expected] == sorted(published)
    assert {path.name for path in dataset.iterdir()} == {"train", "index"}
    for number in range(count, 3):
        (dataset / "data").mkdir(exist_ok=True)
        paths = folders.paths(number)
        (dataset / f"train/data-{number:05d}-of-00003.arrow").rename(paths.shard)
        (dataset / f"index/train-{number:05d}-of-00003.parquet").rename(paths.index_file)
    (dataset / "train" / "state.json.new").write_text("{")
    again = Journal(tmp_path, SOURCES, folders)
    again.resume(IDENTITY)
    assert tree(tmp_path) == staged
    assert list(again.unfinished(given)) == []
    assert again.finish() == expected


def test_torn_journal(tmp_path: Path) -> None:
    """A line counts only if it is complete, including its line end."""
    whole(tmp_path / "whole")
    data = (tmp_path / "whole" / "journal.jsonl").read_bytes()
    ends = [index + 1 for index, byte in enumerate(data) if byte == ord("\n")]
    for size in (0, 1, *(end - back for end in ends for back in (40, 2, 1, 0))):
        folder = tmp_path / "cut"
        Run(folder).go(blocks(), 2)
        (folder / "journal.jsonl").write_bytes(data[:size])
        second = Run(folder, resume=True)
        kept = data[: data.rfind(b"\n", 0, size) + 1]
        lines = kept.splitlines()[:3]  # the fourth shard is not there
        assert [json.loads(line) for line in lines] == second.journal.finished
        assert (folder / "journal.jsonl").read_bytes() == b"".join(x + b"\n" for x in lines)
        shutil.rmtree(folder)


@pytest.mark.parametrize("line", [b"{\n", b"\x00\n", b"\n"])
def test_nonsense_in_the_journal(tmp_path: Path, line: bytes) -> None:
    """Lines after one that is not JSON are not trusted."""
    expected = whole(tmp_path / "whole")
    Run(tmp_path / "cut").go(blocks(), 2)
    path = tmp_path / "cut" / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], line, *lines[1:]]))
    second = Run(tmp_path / "cut", resume=True)
    assert len(second.journal.finished) == 1
    assert (second.go(blocks()), tree(tmp_path / "cut")) == expected


@pytest.mark.parametrize("damage", ["gone", "changed", "shorter", "longer", "empty", "link"])
@pytest.mark.parametrize("shard", [0, 1])
@pytest.mark.parametrize("folder", ["data", "index"])
def test_changed_shard(tmp_path: Path, damage: str, shard: int, folder: str) -> None:
    """A shard of which a file differs from its line is built again, with all shards after it."""
    expected = whole(tmp_path / "whole")
    Run(tmp_path / "cut").go(blocks(), 2)
    path = tmp_path / "cut" / "dataset" / folder / f"shard-{shard:05d}"
    data = path.read_bytes()
    path.unlink()
    if damage == "link":
        (tmp_path / "same").write_bytes(data)
        path.symlink_to(tmp_path / "same")
    elif damage != "gone":
        changed = {
            "changed": b"x" + data[1:],
            "shorter": data[:-1],
            "longer": data + b"\n",
            "empty": b"",
        }
        path.write_bytes(changed[damage])
    second = Run(tmp_path / "cut", resume=True)
    assert len(second.journal.finished) == shard
    assert (second.go(blocks()), tree(tmp_path / "cut")) == expected


@pytest.mark.parametrize("damage", ["gone", "changed", "shorter"])
def test_changed_ledger(tmp_path: Path, damage: str) -> None:
    """If a ledger was changed, the shards after its last known state are built again."""
    expected = whole(tmp_path / "whole")
    Run(tmp_path / "cut").go(blocks(), 2)
    path = tmp_path / "cut" / "dataset" / "rejects.jsonl"
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes({"changed": b" " + data[1:], "shorter": data[:5]}[damage])
    second = Run(tmp_path / "cut", resume=True)
    assert len(second.journal.finished) == 1  # the first shard came before any entry
    assert (second.go(blocks()), tree(tmp_path / "cut")) == expected


def test_what_is_unfinished_is_removed(tmp_path: Path) -> None:
    """Files and ledger entries of an unfinished shard do not get into the dataset."""
    expected = whole(tmp_path / "whole")
    Run(tmp_path / "cut").go(blocks(), 1)
    dataset = tmp_path / "cut" / "dataset"
    assert b"of a shard that was not finished" in (dataset / "rejects.jsonl").read_bytes()
    (dataset / "data" / "shard-00002").write_bytes(b"half")
    (dataset / "index" / "shard-00002").write_bytes(b"half")
    (dataset / "dropped.jsonl").write_bytes(b'{"lost":"later"}\n')
    (dataset / "link").symlink_to(tmp_path)
    second = Run(tmp_path / "cut", resume=True)
    assert set(tree(dataset)) == {
        *(f"{folder}/shard-0000{n}" for folder in ("data", "index") for n in (0, 1)),
        "rejects.jsonl",
    }
    assert (dataset / "rejects.jsonl").read_bytes() == b'{"lost":"b1\\n"}\n'
    assert (second.go(blocks()), tree(tmp_path / "cut")) == expected
    assert set(tree(tmp_path)) > {"whole/identity.json"}


# --- another identity ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"format_version": 3}, "the format version was 2 and is 3"),
        (
            {"recipe": {"max_length": 20, "template": "plain"}},
            "--max-length was 10 and is 20",
        ),
        ({"recipe": {"max_length": 10, "template": "qa"}}, "--template was 'plain' and is 'qa'"),
        ({"tokenizer": "x"}, "the tokenizer differs"),
        ({"template": "x"}, "the template differs"),
        ({"inputs": ["a.jsonl"]}, "the number of inputs was 2 and is 1"),
        ({"inputs": ["b\x1b.jsonl", "a.jsonl"]}, "input 1 of 2 differs"),
        ({"libraries": {"orjson": "4"}}, "the version of orjson was '3' and is '4'"),
    ],
)
def test_another_identity(tmp_path: Path, changed: dict[str, Any], difference: str) -> None:
    """Another identity is refused with the first difference, and nothing is removed."""
    Run(tmp_path).go(blocks(), 1)
    before = tree(tmp_path)
    text = refusal(
        lambda: Journal(tmp_path, SOURCES, of_dataset(tmp_path)).resume(IDENTITY | changed)
    )
    assert text == (
        f"{tmp_path}: the interrupted run cannot be resumed: {difference}. Run with the same "
        "options and input, or without --resume to start over."
    )
    assert before == tree(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"recipe": ', b"[]", b"5", b"{}"])
def test_damaged_identity(tmp_path: Path, content: bytes) -> None:
    """If the identity cannot be read, no shard is kept: it may be of a run with other settings."""
    expected = whole(tmp_path / "whole")
    Run(tmp_path / "cut").go(blocks(), 2)
    (tmp_path / "cut" / "identity.json").write_bytes(content)
    second = Run(tmp_path / "cut", resume=True)
    assert second.journal.finished == []
    assert (second.go(blocks()), tree(tmp_path / "cut")) == expected


# --- another input ------------------------------------------------------------------------------

CHANGED = "is not what the interrupted run read. The input has changed: restore it, or run without "
RESTORE = "--resume to start over."


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({0: "A1\na2\n"}, "the input from in/a.jsonl:1 to in/a.jsonl:3"),
        ({1: "aX\n"}, "the input from in/a.jsonl:1 to in/a.jsonl:3"),
        ({1: "a3\na3\n"}, "the input from in/a.jsonl:1 to in/a.jsonl:4"),
        ({1: ""}, "the input from in/a.jsonl:1 to in/a.jsonl:2"),
        ({2: "aX\n"}, "the input from in/a.jsonl:4 to in/b\\x1b.jsonl:1"),
        ({3: "bX\n"}, "the input from in/a.jsonl:4 to in/b\\x1b.jsonl:1"),
        ({2: "a4\nb1\n", 3: ""}, "the input from in/a.jsonl:4 to in/a.jsonl:5"),
        ({2: "", 3: "a4\nb1\n"}, "the input from in/b\\x1b.jsonl:1 to in/b\\x1b.jsonl:2"),
        ({4: "+\n"}, "the input from in/b\\x1b.jsonl:2 to in/b\\x1b.jsonl:2"),
    ],
)
def test_changed_input(tmp_path: Path, change: dict[int, str], expected: str) -> None:
    """If the input of a finished shard has changed, the run is refused."""
    Run(tmp_path).go(blocks(), 2)
    before = tree(tmp_path)
    parts = [(s, n, change.get(i, data)) for i, (s, n, data) in enumerate(PARTS)]
    second = Run(tmp_path, resume=True)
    text = refusal(lambda: second.go(blocks(part for part in parts if part[2])))
    assert text == f"{expected} {CHANGED}{RESTORE}"
    assert second.taken == []
    after = tree(tmp_path)
    assert {name: before[name] for name in after if "rejects" not in name} == {
        name: data for name, data in after.items() if "rejects" not in name
    }


@pytest.mark.parametrize(
    "later",
    [
        [(1, 3, "other\n")],
        [(1, 3, "b3\n"), (1, 3, "b4\n"), (1, 4, "more\n")],
        [],
    ],
    ids=["changed", "grown", "shorter"],
)
def test_input_changed_after_the_finished_shards(
    tmp_path: Path, later: list[tuple[int, int, str]]
) -> None:
    """The input after the finished shards may change: the result is that of a run on all of it."""
    changed = blocks([*PARTS[:5], *later])
    shards = Run(tmp_path / "whole").go(changed)
    Run(tmp_path / "cut").go(blocks(), 2)
    assert Run(tmp_path / "cut", resume=True).go(changed) == shards
    assert tree(tmp_path / "cut") == tree(tmp_path / "whole")


@pytest.mark.parametrize(("count", "left"), [(0, "0 shards"), (2, "1 shard"), (4, "2 shards")])
def test_input_that_ends_early(tmp_path: Path, count: int, left: str) -> None:
    """Input that ends before the finished shards do is refused."""
    Run(tmp_path).go(blocks(), 2)
    second = Run(tmp_path, resume=True)
    assert refusal(lambda: second.go(blocks()[:count])) == (
        f"the input makes only {left}, but the interrupted run finished 3. The input has "
        "changed: restore it, or run without --resume to start over."
    )


def test_the_same_bytes_in_other_blocks(tmp_path: Path) -> None:
    """Where blocks end within a shard does not matter: the hash is of the shard's whole input."""
    Run(tmp_path).go(blocks(), 1)
    other = blocks([(0, 0, "a1\n"), (0, 0, "a2\na3\n"), *PARTS[2:]])
    second = Run(tmp_path, resume=True)
    assert len(second.go(other)) == 3
    assert second.taken == [b"-\n", b"b3\n", b"b4\n"]
