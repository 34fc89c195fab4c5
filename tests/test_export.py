"""``export``: the second half of a run alone gives the bytes of the whole run."""

import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from toys import byte_hf, recipe, save_folder, tree, write_jsonl

from sftprep import Recipe, load_manifest, prepare
from sftprep.dataset.accounting import imbalance
from sftprep.dataset.arranged_shards import ArrangedShards, OutputShard
from sftprep.dataset.gather import Gatherer
from sftprep.dataset.index import read_index
from sftprep.dataset.manifest import Manifest
from sftprep.dataset.staging import OutputFolder
from sftprep.errors import DataError, LockedError, NoInputError, OutputError, UsageError
from sftprep.export import export, export_recipe
from sftprep.second_half import SecondHalf

OPTIONS: dict[str, dict[str, Any]] = {
    "shuffled": {"shuffle": True},
    "another seed": {"shuffle": True, "seed": 5},
    "packed": {"pack": True},
    "packed and shuffled": {"pack": True, "shuffle": True, "pack_length": 90},
    "longest first": {"pack": True, "pack_order": "longest-first"},
    "padded": {"pad": "longest"},
    "padded on the left": {"pad": "max-length", "pad_side": "left"},
    "packed and padded": {"pack": True, "pad": "multiple-of:8", "pad_side": "left"},
    "without duplicates": {"dedup": "exact"},
    "sampled": {"sample": "50%", "pack": True},
    "sampled by number": {"sample": "30", "format": "arrow"},
    "repeated": {"repeat": ("b*=2.5",), "shuffle": True},
    "repeated in part": {"repeat": ("a.jsonl=0.5",)},
    "another format": {"format": "jsonl"},
    "all at once": {
        "dedup": "exact", "sample": "40", "repeat": ("b.jsonl=1.5",), "shuffle": True, "seed": 2,
        "pack": True, "pad": "longest", "format": "jsonl",
    },
}  # fmt: skip
SPLIT = {"validation": "20%", "test": "5", "shuffle": True}


class Folder:
    """Two inputs, a tokenizer, and the datasets that are made of them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._made: dict[str, Path] = {}
        (path / "in").mkdir()
        records = [{"prompt": f"{n}:", "completion": "x" * (n % 23 + 1)} for n in range(60)]
        write_jsonl(path / "in" / "a.jsonl", [*records[:40], *records[:7], {"prompt": "bad"}])
        long = {"prompt": "l", "completion": "y" * 99}
        write_jsonl(path / "in" / "b.jsonl", [*records[40:], long, *records[5:8]])
        special = {"eos_token": "</s>", "pad_token": "<pad>"}
        save_folder(byte_hf(["</s>", "<pad>"]), path / "tokenizer", **special)

    def recipe(self, out: Path, **options: Any) -> Recipe:
        """Return the recipe of a run."""
        given = {"max_length": 64, "shard_size": "800B", "on_error": "quarantine", **options}
        return recipe(self.path / "in", out, self.path / "tokenizer", **given)

    def prepared(self, **options: Any) -> Path:
        """Return the dataset that ``prepare`` makes with these options."""
        out = self.path / f"prepared {sorted(options.items())}".replace("/", " ")[:200]
        if str(out) not in self._made:
            prepare(self.recipe(out, **options))
            self._made[str(out)] = out
        return out


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """Return a folder with the inputs."""
    return Folder(tmp_path_factory.mktemp("export"))


def exported(source: Path, out: Path, **given: Any) -> Path:
    """Export a dataset, and return the folder of the new one."""
    export(str(source), {"output": str(out), "workers": 2, **given})
    return out


def assert_same(found: Path, wanted: Path) -> None:
    """Assert that two datasets have the same files with the same bytes."""
    one, other = tree(found), tree(wanted)
    assert sorted(one) == sorted(other)
    assert [name for name in one if one[name] != other[name]] == []


@pytest.mark.parametrize("name", OPTIONS)
def test_two_steps_give_the_bytes_of_one(folder: Folder, tmp_path: Path, name: str) -> None:
    """``prepare`` with options equals ``prepare`` without them, and ``export`` with them."""
    options = OPTIONS[name]
    assert_same(
        exported(folder.prepared(), tmp_path / "out", **options), folder.prepared(**options)
    )


@pytest.mark.parametrize(
    ("before", "given", "after"),
    [
        ({"shuffle": True}, {"pack": True}, {"shuffle": True, "pack": True}),
        ({"pack": True}, {"pack_length": 99}, {"pack": True, "pack_length": 99}),
        ({"pack": True}, {"max_length": 99}, {"pack": True, "pack_length": 99}),
        (OPTIONS["packed and padded"], {"pack": False, "pad": "none", "shuffle": True},
         {"shuffle": True}),
        ({"dedup": "exact"}, {"sample": "50%"}, {"dedup": "exact", "sample": "50%"}),
        (OPTIONS["sampled"], {"shuffle": True}, {**OPTIONS["sampled"], "shuffle": True, "seed": 0}),
        (OPTIONS["repeated"], {"repeat": (), "pack": True}, {"shuffle": True, "pack": True}),
        (OPTIONS["all at once"], {"pack": False, "pad": "none", "format": "parquet"},
         {**OPTIONS["all at once"], "pack": False, "pad": "none", "format": "parquet"}),
        (SPLIT, {"pack": True, "shuffle": False},
         {**SPLIT, "pack": True, "shuffle": False, "seed": 0}),
        ({"format": "jsonl"}, {"format": "parquet", "shuffle": True}, {"shuffle": True}),
        ({"shuffle": True}, {"shuffle": False}, {}),
        (OPTIONS["packed and padded"], {"pack": False, "pad": "none"}, {}),
        (OPTIONS["repeated"], {"repeat": (), "shuffle": False, "format": "jsonl"},
         {"format": "jsonl"}),
        (SPLIT, {"validation": None, "test": None, "shuffle": False}, {}),
    ],
)  # fmt: skip
def test_an_arranged_dataset_is_arranged_again(
    folder: Folder,
    tmp_path: Path,
    before: dict[str, Any],
    given: dict[str, Any],
    after: dict[str, Any],
) -> None:
    """What was done before can be changed, as long as no row is lost that is needed."""
    found = exported(folder.prepared(**before), tmp_path / "out", **given)
    assert_same(found, folder.prepared(**after))


def test_a_split_of_a_dataset_without_normalized_keys(folder: Folder, tmp_path: Path) -> None:
    """Shards are those of ``prepare``; only the count of normalized prompts is not known."""
    found = exported(folder.prepared(), tmp_path / "out", **SPLIT)
    wanted = folder.prepared(**SPLIT)
    one, other = tree(found), tree(wanted)
    assert [name for name in one if one[name] != other[name]] == ["manifest.json"]
    facts = [load_manifest(path).arrangement for path in (found, wanted)]
    assert facts[0].pop("prompts_in_two_splits") == {"exact": 0, "normalized": None}
    assert facts[1].pop("prompts_in_two_splits") == {"exact": 0, "normalized": 0}
    assert facts[0] == facts[1]


@pytest.mark.parametrize("workers", [1, 7])
def test_workers_do_not_change_the_bytes(folder: Folder, tmp_path: Path, workers: int) -> None:
    """Any number of workers gives the same dataset, in both halves."""
    options = {**OPTIONS["all at once"], "validation": "10"}
    wanted = folder.prepared(**options)
    out, both = tmp_path / "out", tmp_path / "both"
    exported(folder.prepared(validation="10"), out, **OPTIONS["all at once"], workers=workers)
    assert {n: d for n, d in tree(out).items() if n != "manifest.json"} == {
        n: d for n, d in tree(wanted).items() if n != "manifest.json"
    }
    prepare(folder.recipe(both, **options, workers=workers))
    assert_same(both, wanted)


def test_every_record_is_accounted_for(folder: Folder) -> None:
    """Copies and rows that are left out are counted, listed, and in balance."""
    out = folder.prepared(**OPTIONS["all at once"])
    manifest = load_manifest(out)
    for counts in (*manifest.inputs, manifest.counts):
        assert imbalance(counts) == ""
    counts = manifest.counts
    assert (counts["read"], counts["rejected"]) == (72, {"missing_field": 1})
    assert counts["dropped"] == {"duplicate": 10, "not_sampled": 20, "too_long": 1}
    assert counts["repeated"] == manifest.arrangement["repeated"] > 0
    assert counts["written"] == sum(shard["documents"] for shard in manifest.shards)
    lines = [orjson.loads(line) for line in (out / "dropped.jsonl").read_bytes().splitlines()]
    assert lines[0]["reason"] == "too_long"
    places = [(line["file"], line["line"]) for line in lines[1:]]
    assert places == sorted(places)
    repeats = [line for line in lines if line["reason"] == "duplicate"]
    assert (repeats[0]["file"], repeats[0]["line"]) == ("a.jsonl", 41)
    assert repeats[0]["repeats"] == {"file": "a.jsonl", "line": 1, "offset": 0}
    assert {line["repeats"]["file"] for line in repeats} == {"a.jsonl"}
    assert [line for line in lines if "repeats" in line] == repeats
    index = [read_index(out / shard["index"]["name"]) for shard in manifest.shards]
    assert sum(int(np.sum(table["tokens"].to_numpy())) for table in index) == counts["tokens"]


# --- refusals -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "given", "message"),
    [
        ({"sample": "50%"}, {"sample": "10%"}, "--sample cannot be changed"),
        ({"sample": "50%"}, {"validation": "5"}, "--validation cannot be changed"),
        ({"dedup": "exact"}, {"dedup": None, "shuffle": True}, "--dedup cannot be changed"),
        ({"repeat": ("a*=0.5",)}, {"repeat": (), "shuffle": True}, "--repeat cannot be changed"),
        ({"sample": "50%"}, {"seed": 4}, "--seed cannot be changed"),
        ({}, {"validation": "5", "split_by": "id"}, "without this field of its records"),
        ({}, {"dedup": "normalized"}, "does not hold the texts of its rows"),
        ({}, {"shard_size": "900B"}, "here into slices of --shard-size 900B, and the dataset "),
        ({}, {"pack": True, "pack_length": 5}, "rows are longer than a pack of 5 tokens"),
        ({}, {"validation": "500", "shuffle": True}, "--validation"),
        ({}, {"max_length": 99}, "--max-length 99 needs --pack"),
    ],
)  # fmt: skip
def test_what_the_dataset_does_not_have_is_refused(
    folder: Folder, tmp_path: Path, before: dict[str, Any], given: dict[str, Any], message: str
) -> None:
    """Options that need rows, fields or texts that are gone are refused; nothing is written."""
    with pytest.raises(UsageError, match=message):
        exported(folder.prepared(**before), tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []


def test_shards_of_another_size(folder: Folder, tmp_path: Path) -> None:
    """After an export with another shard size, it is not known how the input is divided."""
    exported(folder.prepared(), tmp_path / "other", shuffle=True, shard_size="900B")
    with pytest.raises(UsageError, match="here into slices of --shard-size 900, and the dataset "):
        exported(tmp_path / "other", tmp_path / "out", shuffle=False)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("where", ["inside", "the same", "around"])
def test_the_output_is_another_folder(folder: Folder, tmp_path: Path, where: str) -> None:
    """A dataset is not exported into itself, nor over the folder that holds it."""
    source = shutil.copytree(folder.prepared(), tmp_path / "all" / "source")
    out = {"inside": source / "out", "the same": source, "around": tmp_path / "all"}[where]
    before = tree(tmp_path)
    with pytest.raises((UsageError, OutputError)):
        exported(source, out, shuffle=True, overwrite=True)
    assert tree(tmp_path) == before


def test_no_dataset_and_no_output(folder: Folder, tmp_path: Path) -> None:
    """The messages say what is missing."""
    with pytest.raises(NoInputError, match="holds no dataset"):
        exported(tmp_path, tmp_path / "out", shuffle=True)
    with pytest.raises(UsageError, match="Pass --output DIR"):
        export(str(folder.prepared()), {"shuffle": True})


@pytest.mark.parametrize("name", ["data", "index", "dropped.jsonl", "rejects.jsonl", "tokenizer"])
def test_a_damaged_dataset_is_refused(folder: Folder, tmp_path: Path, name: str) -> None:
    """Every file is compared with its hash while it is read; the message names it."""
    source = shutil.copytree(folder.prepared(), tmp_path / "source")
    path = source / name
    path = sorted(path.iterdir())[0] if path.is_dir() else path
    path.write_bytes(path.read_bytes()[:-2] + b" \n")
    with pytest.raises(DataError) as caught:
        exported(source, tmp_path / "out", shuffle=True)
    assert str(path) in str(caught.value)
    assert not (tmp_path / "out").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["source"]


# --- runs that end too soon, and runs that are repeated -------------------------------------------


def test_an_export_again_is_unchanged(folder: Folder, tmp_path: Path) -> None:
    """The same export does nothing; another one needs --overwrite; a damaged one is repaired."""
    source, out = folder.prepared(), tmp_path / "out"
    assert export(str(source), {"output": str(out), "shuffle": True}).status == "written"
    before = tree(out)
    assert export(str(source), {"output": str(out), "shuffle": True}).status == "unchanged"
    with pytest.raises(OutputError, match="--shuffle was true and is false"):
        exported(source, out, pack=True)
    exported(source, out, pack=True, overwrite=True)
    assert_same(out, folder.prepared(pack=True))
    exported(source, out, shuffle=True, overwrite=True)
    assert tree(out) == before
    shard = next((out / "data").iterdir())
    shard.write_bytes(b"x")
    with pytest.raises(OutputError, match="is damaged"):
        exported(source, out, shuffle=True)
    exported(source, out, shuffle=True, resume=True)
    assert tree(out) == before


class Stop(BaseException):
    """Ends a run."""


def interrupt(patch: pytest.MonkeyPatch, where: str, out: Path) -> None:
    """End the next run at some place; while it gathers, once a shard is finished."""
    journal = out.with_name(f".{out.name}.sftprep-staging") / "arranged.jsonl"

    def stop(*_: Any, **__: Any) -> Any:
        raise Stop

    if where == "plan":
        patch.setattr(SecondHalf, "plan", stop)
    elif where == "ledgers":
        patch.setattr(SecondHalf, "dropped", stop)
    elif where == "publish":
        patch.setattr(OutputFolder, "publish", stop)
    else:
        write, calls = Gatherer.write, []

        def count(*arguments: Any) -> Any:
            calls.append(1)
            if len(calls) == 3:
                while not journal.stat().st_size:
                    time.sleep(0.001)
                raise Stop
            return write(*arguments)

        patch.setattr(Gatherer, "write", count)


@pytest.mark.parametrize("where", ["plan", "gather", "ledgers", "publish"])
@pytest.mark.parametrize(("command", "workers"), [("prepare", 1), ("export", 3)])
def test_a_run_that_was_interrupted_is_resumed(
    folder: Folder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    command: str,
    workers: int,
) -> None:
    """After an end in any phase, --resume gives the bytes of an undisturbed run."""
    options = OPTIONS["all at once"]
    out, wanted, source = tmp_path / "out", folder.prepared(**options), folder.prepared()

    def run(**more: Any) -> str:
        if command == "export":
            given = {"output": str(out), "workers": workers, **options, **more}
            return export(str(source), given).status
        return prepare(folder.recipe(out, **options, workers=workers, **more)).status

    with monkeypatch.context() as patch:
        interrupt(patch, where, out)
        with pytest.raises(Stop):
            run()
    assert not out.exists()
    is_kept = command == "prepare" or where in ("gather", "ledgers", "publish")
    assert (tmp_path / ".out.sftprep-staging").exists() == is_kept
    gathered: list[str] = []
    with monkeypatch.context() as patch:
        write_shard = ArrangedShards._write_shard

        def noted(writing: ArrangedShards, shard: OutputShard) -> Any:
            gathered.append(shard.name)
            return write_shard(writing, shard)

        patch.setattr(ArrangedShards, "_write_shard", noted)
        assert run(resume=True) == ("resumed" if is_kept else "written")
    shards = len(load_manifest(out).shards)
    expected = {"plan": shards, "ledgers": 0, "publish": 0}
    assert len(gathered) == expected.get(where, len(gathered))
    assert where != "gather" or 0 < len(gathered) < shards
    assert_same(out, wanted)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out"]


def test_an_interrupted_run_with_other_options_is_not_resumed(
    folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another export has left is kept until the user gives it up."""
    source, out = folder.prepared(), tmp_path / "out"
    with monkeypatch.context() as patch:
        interrupt(patch, "publish", out)
        with pytest.raises(Stop):
            exported(source, out, shuffle=True)
    with pytest.raises(OutputError, match="cannot be resumed: --shuffle was true and is false"):
        exported(source, out, pack=True, resume=True)
    exported(source, out, pack=True)
    assert_same(out, folder.prepared(pack=True))


def test_one_writer_wins(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export to a folder that another run is writing ends, and does not disturb that run."""
    source, out = folder.prepared(), tmp_path / "out"
    plan = SecondHalf.plan

    def disturb(half: SecondHalf) -> Any:
        with pytest.raises(LockedError):
            exported(source, out, shuffle=True)
        return plan(half)

    with monkeypatch.context() as patch:
        patch.setattr(SecondHalf, "plan", disturb)
        exported(source, out, pack=True)
    assert_same(out, folder.prepared(pack=True))


def test_private_ledgers(folder: Folder, tmp_path: Path) -> None:
    """Only the owner may read the copies of ledgers if that is asked for."""
    out = exported(folder.prepared(), tmp_path / "out", dedup="exact", private_ledgers=True)
    modes = {(out / name).stat().st_mode & 0o777 for name in ("rejects.jsonl", "dropped.jsonl")}
    assert modes == {0o600}


def test_the_recipe_of_an_export(folder: Folder) -> None:
    """The recipe is that of the dataset, with the options that are given in place of its own."""
    found = export_recipe(str(folder.prepared(pack=True)), {"pack_length": 128, "output": "x"})
    assert (found.pack, found.pack_length, found.max_length, found.output) == (True, 128, 64, "x")


def test_the_manifest_says_what_was_done(folder: Folder) -> None:
    """Without an arrangement there are no facts of one; with one there are."""
    assert load_manifest(folder.prepared()).arrangement == {}
    manifest: Manifest = load_manifest(folder.prepared(**OPTIONS["packed"]))
    facts = manifest.arrangement
    assert facts["rows"] == 70
    assert facts["splits"]["train"]["packs"] == sum(shard["rows"] for shard in manifest.shards)
    assert facts["digests"]["splits"]["train"] == manifest.digest_of_rows
    assert facts["digests"]["in"] == load_manifest(folder.prepared()).digest_of_rows


NO_PANDAS = """
import sys
from sftprep.export import export
export(sys.argv[1], {"output": sys.argv[2], "shuffle": True, "pack": True})
assert "pandas" not in sys.modules
"""


def test_pandas_is_not_imported(folder: Folder, tmp_path: Path) -> None:
    """Pandas, which takes long to import, is not imported where it is installed."""
    arguments = [str(folder.prepared()), str(tmp_path / "out")]
    subprocess.run([sys.executable, "-c", NO_PANDAS, *arguments], check=True)
