"""The files that describe the shards: written at the end, and made again from the manifest."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, recipe, tree

from sftprep import StorageError, commit, load_manifest, prepare
from sftprep.dataset.describing import describing_files
from sftprep.verify.check import verify


def build(output: Path, **options: Any) -> Path:
    """Build a dataset in the folder of ``load_from_disk``."""
    source = SAMPLE_DATA / "messages.jsonl"
    prepare(recipe(source, output, template="chatml", format="arrow-folder", **options))
    return output


@pytest.mark.parametrize("options", [{}, {"validation": "5", "shuffle": True, "pack": True}])
def test_they_follow_from_the_manifest(tmp_path: Path, options: dict[str, Any]) -> None:
    """The manifest gives the files, byte for byte, and has their hashes."""
    folder = build(tmp_path / "out", shard_size="8KB", **options)
    manifest = load_manifest(folder)
    found = describing_files(manifest)
    for name, data in found.items():
        assert (folder / name).read_bytes() == data
        assert manifest.files[name] == hashlib.sha256(data).hexdigest()
    splits = ["train", "validation"] if options else ["train"]
    assert json.loads(found["dataset_dict.json"]) == {"splits": splits}
    in_folders = {name for name in tree(folder) if "/" in name}
    for split in splits:
        names = [s["name"] for s in manifest.shards if s["split"] == split]
        others = {f"{split}/state.json", f"{split}/dataset_info.json"}
        assert {name for name in in_folders if name.startswith(f"{split}/")} == {*names, *others}
    assert not (folder / "data").exists()
    assert verify(str(folder)).problems == []


def test_a_changed_one_is_noticed(tmp_path: Path) -> None:
    """A file that describes the shards in another way than they are is reported."""
    folder = build(tmp_path / "out")
    path = folder / "train" / "state.json"
    path.write_bytes(path.read_bytes().replace(b"train", b"other"))
    problems = [
        (problem.file, problem.problem.split(" ")[0]) for problem in verify(str(folder)).problems
    ]
    assert problems == [("train/state.json", "SHA-256")]


@pytest.mark.parametrize(
    "arranged", [{}, {"validation": "5", "shuffle": True}], ids=["as is", "arranged"]
)
@pytest.mark.parametrize("stopped", ["write_describing_files", "write_card"])
@pytest.mark.parametrize("target", ["llama-factory", "llm-foundry", "olmo-core"])
def test_a_run_that_stops_at_the_end(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    stopped: str,
    arranged: dict[str, Any],
) -> None:
    """It is resumed with its shards, wherever their format has them, and gives the same bytes."""
    source = SAMPLE_DATA / "messages.jsonl"
    options: dict[str, Any] = {
        "template": "chatml",
        "target": target,
        "shard_size": "8KB",
    } | arranged

    def stop(*_: Any) -> Any:
        raise OSError(28, "No space left on device")

    prepare(recipe(source, tmp_path / "whole", **options))
    with monkeypatch.context() as broken:
        broken.setattr(commit, stopped, stop)
        with pytest.raises(StorageError, match="run again with --resume"):
            prepare(recipe(source, tmp_path / "out", **options))
    assert not (tmp_path / "out").exists()
    done = prepare(recipe(source, tmp_path / "out", resume=True, **options))
    assert done.status == "resumed"
    assert tree(tmp_path / "out") == tree(tmp_path / "whole")
