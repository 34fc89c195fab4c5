"""``--resume``: what it continues, what it refuses, and what it repairs."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.counts import count
from faults.harness import TOKENIZER, Case, assert_equal, tree, write_records

pytestmark = pytest.mark.faults


def interrupt(case: Case, shards: int = 3) -> int:
    """Kill a run after it has finished some shards; return how many it has finished."""
    journal = case.staging / "journal.jsonl"
    for _ in range(30):
        case.clear()
        pid = case.world.forks.start(case.argv(), case.folder)
        until = time.monotonic() + 30
        while time.monotonic() < until and Path(f"/proc/{pid}/fd").exists():
            lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
            if lines >= shards or case.out.exists():
                break
        os.kill(pid, signal.SIGKILL)
        case.world.forks.ended(pid, case.folder)
        if journal.exists() and not case.out.exists():
            count("kills")
            return journal.read_bytes().count(b"\n")
    raise AssertionError("the run always ends before it can be killed")


def test_continues_after_the_last_shard(case: Case) -> None:
    """Finished shards are kept."""
    done = interrupt(case)
    kept = {p.name: p.stat().st_ino for p in (case.staging / "dataset" / "data").glob("shard-*")}
    assert len(kept) >= done
    ran = case.fork("--resume", "--json")
    assert ran.code == 0, ran
    assert ran.facts()["status"] == "resumed"
    case.assert_complete()
    inodes = {p.stat().st_ino for p in case.out.glob("data/train-*")}
    assert len(inodes & set(kept.values())) >= done


def test_without_resume_a_run_starts_from_nothing(case: Case) -> None:
    """A run without ``--resume`` discards what an interrupted run has left."""
    interrupt(case)
    ran = case.fork("--json")
    assert ran.code == 0, ran
    assert ran.facts()["status"] == "written"
    case.assert_complete()


def test_nothing_to_resume(case: Case) -> None:
    """Without an interrupted run, ``--resume`` changes nothing."""
    ran = case.fork("--resume", "--json")
    assert ran.code == 0, ran
    assert ran.facts()["status"] == "written"
    case.assert_complete()


@pytest.mark.parametrize("flags", [(), ("--resume",)])
def test_already_complete(case: Case, flags: tuple[str, ...]) -> None:
    """A complete dataset is not touched."""
    assert case.fork().code == 0
    before = {path: path.stat().st_mtime_ns for path in case.out.rglob("*")}
    ran = case.fork("--json", *flags)
    assert ran.code == 0, ran
    assert ran.facts()["status"] == "unchanged"
    again = case.fork(*flags)
    assert "already complete" in again.out + again.err
    assert before == {path: path.stat().st_mtime_ns for path in case.out.rglob("*")}
    case.assert_complete()


# --- other settings -------------------------------------------------------------------------------

OTHER = {
    "--max-length": ("--max-length", "100"),
    "--format": ("--format", "jsonl"),
    "--template": ("--template", "chatml"),
    "--shard-size": ("--shard-size", "50KB"),
    "--separator": ("--separator", "|"),
    "--on-error": ("--on-error", "quarantine"),
}


def assert_refused(case: Case, text: str, *options: str, wholly: bool = True) -> None:
    """Assert exit code 73 with this text, and that the staging folder has not changed.

    Args:
        case: the case of an interrupted run.
        text: what the message must contain.
        options: the options that differ from the interrupted run's.
        wholly: whether shards that the journal does not list must still be there.
    """
    before = tree(case.folder)
    ran = case.fork("--resume", *options)
    count("faults")
    assert ran.code == 73, ran
    assert text in ran.err, ran.err
    left = tree(case.folder)
    for name in ("stdout", "stderr", ".out.sftprep-staging/holder"):
        before.pop(name, None)
        left.pop(name, None)
    if not wholly:
        done = before[".out.sftprep-staging/journal.jsonl"].count(b"\n")
        before = {
            name: data
            for name, data in before.items()
            if "/shard-" not in name or int(name.rpartition("-")[2]) < done
        }
    assert_equal(left, before)


@pytest.mark.parametrize("field", OTHER)
def test_another_option(case: Case, field: str) -> None:
    """The message names the option, and the run can still be resumed with the old value."""
    interrupt(case)
    assert_refused(case, field, *OTHER[field])
    assert case.fork("--resume").code == 0
    case.assert_complete()


def test_another_tokenizer(case: Case) -> None:
    """The tokenizer's content counts, not its path."""
    interrupt(case)
    other = case.folder / "other" / "tokenizer"
    shutil.copytree(TOKENIZER, other)
    text = json.loads((other / "tokenizer.json").read_text())
    text["model"]["merges"].pop()
    (other / "tokenizer.json").write_text(json.dumps(text))
    assert_refused(case, "tokenizer", "--tokenizer", str(other))
    assert case.fork("--resume").code == 0
    case.assert_complete()


CHANGES: dict[str, Callable[[bytes], bytes]] = {
    "first line": lambda data: b'{"prompt": "x\\n", "completion": "y"}\n' + data,
    "last line": lambda data: data + b'{"prompt": "x\\n", "completion": "y"}\n',
    "same size": lambda data: data.replace(b"What", b"Wham", 1),
    "shorter": lambda data: data[: data.index(b"\n") + 1],
    "empty": lambda data: b"",
}


@pytest.mark.parametrize("change", ["first line", "same size", "shorter", "empty"])
def test_another_input(case: Case, change: str) -> None:
    """A run is not resumed if the part of the input that was read has changed."""
    case.source = case.folder / "in.jsonl"
    original = case.world.source.read_bytes()
    case.source.write_bytes(original)
    interrupt(case)
    case.source.write_bytes(CHANGES[change](original))
    assert_refused(case, "input", wholly=False)
    case.source.write_bytes(original)
    assert case.fork("--resume").code == 0
    case.assert_complete()


def test_input_that_has_grown(case: Case) -> None:
    """The run is refused, or its dataset is that of the whole new input."""
    case.source = case.folder / "in.jsonl"
    shutil.copy(case.world.source, case.source)
    interrupt(case)
    case.source.write_bytes(CHANGES["last line"](case.source.read_bytes()))
    ran = case.fork("--resume")
    assert ran.code in {0, 73}, ran
    if ran.code == 0:
        found = tree(case.out)
        case.clear()
        assert case.fork().code == 0
        assert tree(case.out) == found


def test_bad_data_leaves_nothing(case: Case) -> None:
    """After bad data there is nothing to resume: the data must be corrected first."""
    case.source = case.folder / "in.jsonl"
    case.source.write_bytes(case.world.source.read_bytes() + b"no json\n")
    ran = case.fork()
    assert ran.code == 65, ran
    assert not case.out.exists()
    assert not case.staging.exists()


# --- damaged staging ------------------------------------------------------------------------------


def cut(path: Path, share: float) -> None:
    """Keep only this share of a file."""
    os.truncate(path, int(path.stat().st_size * share))


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


STAGING_DAMAGE: dict[str, Callable[[Path], object]] = {
    "journal cut": lambda s: cut(s / "journal.jsonl", 0.6),
    "journal empty": lambda s: cut(s / "journal.jsonl", 0),
    "journal gone": lambda s: (s / "journal.jsonl").unlink(),
    "shard flipped": lambda s: flip(s / "dataset" / "data" / "shard-00001"),
    "shard cut": lambda s: cut(s / "dataset" / "data" / "shard-00000", 0.5),
    "shard gone": lambda s: (s / "dataset" / "data" / "shard-00001").unlink(),
    "index flipped": lambda s: flip(s / "dataset" / "index" / "shard-00001"),
    "index cut": lambda s: cut(s / "dataset" / "index" / "shard-00000", 0.5),
    "index gone": lambda s: (s / "dataset" / "index" / "shard-00001").unlink(),
    "dataset gone": lambda s: shutil.rmtree(s / "dataset"),
    "holder gone": lambda s: (s / "holder").unlink(),
    "extra file": lambda s: (s / "dataset" / "extra").touch(),
    "identity cut": lambda s: cut(s / "identity.json", 0.5),
    "identity empty": lambda s: cut(s / "identity.json", 0),
    "identity gone": lambda s: (s / "identity.json").unlink(),
}


@pytest.mark.parametrize("damage", STAGING_DAMAGE)
def test_damaged_staging(case: Case, damage: str) -> None:
    """Damaged shards are built again, and never reach the dataset."""
    interrupt(case)
    STAGING_DAMAGE[damage](case.staging)
    ran = case.fork("--resume")
    count("faults")
    if ran.code:
        assert damage.startswith("identity"), ran
        assert ran.code == 73, ran
        ran = case.fork()
    assert ran.code == 0, ran
    case.assert_complete()


def test_interrupted_run_of_another_input_size(case: Case) -> None:
    """Shards of an interrupted run on other data never get into this run's dataset."""
    case.source = write_records(case.folder / "other.jsonl", 200_000, seed=9)
    interrupt(case)
    case.source = None
    ran = case.fork("--resume")
    assert ran.code == 73, ran
    assert case.fork().code == 0
    case.assert_complete()


# --- damaged datasets -----------------------------------------------------------------------------

DAMAGE: dict[str, Callable[[Path], object]] = {
    "shard added": lambda out: shutil.copy(
        out / "data" / "train-00003-of-00008.parquet", out / "data" / "train-00003-of-00009.parquet"
    ),
    "shard flipped": lambda out: flip(out / "data" / "train-00003-of-00008.parquet"),
    "shard cut": lambda out: cut(out / "data" / "train-00003-of-00008.parquet", 0.5),
    "shard gone": lambda out: (out / "data" / "train-00003-of-00008.parquet").unlink(),
    "index flipped": lambda out: flip(out / "index" / "train-00003-of-00008.parquet"),
    "index gone": lambda out: (out / "index" / "train-00003-of-00008.parquet").unlink(),
    "card edited": lambda out: (out / "README.md").write_text("mine"),
    "manifest cut": lambda out: cut(out / "manifest.json", 0.5),
    "manifest edited": lambda out: edit(out / "manifest.json"),
    "tokenizer flipped": lambda out: flip(out / "tokenizer" / "tokenizer.json"),
}


def edit(path: Path) -> None:
    """Change a count in a manifest."""
    manifest = json.loads(path.read_text())
    manifest["counts"]["read"] += 1
    path.write_text(json.dumps(manifest, indent=2))


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("flag", ["--resume", "--overwrite"])
def test_damaged_dataset(case: Case, damage: str, flag: str) -> None:
    """``verify`` names the file, a plain run refuses, and either flag repairs the dataset."""
    assert case.fork().code == 0
    DAMAGE[damage](case.out)
    before = tree(case.out)
    count("faults")
    verified = case.command("verify", str(case.out))
    assert verified.code == 65, verified
    named = {
        "manifest": "manifest.json",
        "shard": "data/train-00003",
        "index": "index/train-00003",
        "card": "README.md",
        "tokenizer": "tokenizer.json",
    }
    assert named[damage.split(maxsplit=1)[0]] in verified.out + verified.err
    plain = case.fork()
    assert plain.code == 73, plain
    assert tree(case.out) == before
    ran = case.fork(flag)
    assert ran.code == 0, ran
    case.assert_complete()
    assert case.command("verify", str(case.out)).code == 0


def test_complete_with_other_settings(case: Case) -> None:
    """The message names the option, and the dataset stays as it is."""
    assert case.fork().code == 0
    for field, options in OTHER.items():
        for flags in ((), ("--resume",)):
            ran = case.fork(*options, *flags)
            assert ran.code == 73, ran
            assert field in ran.err, ran.err
    case.assert_complete()
