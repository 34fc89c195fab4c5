"""The files that describe the shards: written at the end, and made again from the manifest."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, recipe, tree

from sftprep import load_manifest, prepare
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
