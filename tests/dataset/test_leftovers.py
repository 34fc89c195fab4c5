"""What readers leave in the folder of a dataset: known, told apart, and no reason to stop."""

import json
import shutil
from pathlib import Path
from typing import Any

import datasets
import pytest
from toys import SAMPLE_DATA, recipe, tree

from sftprep import DataError, OutputError, prepare
from sftprep.dataset.leftovers import is_left_folder, left_by
from sftprep.progress import Silent
from sftprep.verify.check import verify

LITDATA = b'{"chunks": [{"chunk_bytes": 7, "chunk_size": 30}], "config": {}}'
KNOWN = {
    "index.json": (LITDATA, "litdata"),
    "data/index.json": (LITDATA, "litdata"),
    "train/cache-0123456789abcdef.arrow": (b"", "datasets"),
    "train/cache-0123456789abcdef_00000_of_00004.arrow": (b"", "datasets"),
    ".gitattributes": (b"*.parquet filter=lfs diff=lfs merge=lfs -text\n", "a model hub"),
    ".cache/huggingface/download/data/x.parquet.metadata": (b"", "a model hub"),
    ".DS_Store": (b"", "macOS"),
    "data/.DS_Store": (b"", "macOS"),
}
FOREIGN = {
    "data/index.json": b'{"my": "index"}',
    "index/index.json": LITDATA,
    "data/cache-mine.arrow": b"",
    ".gitattributes": b"*.py text\n",
    ".cache/thesis.txt": b"",
    ".cache/huggingface/thesis.txt": b"",
    "data/notes/.DS_Store2": b"",
}


@pytest.mark.parametrize("path", KNOWN)
def test_known_files(path: str) -> None:
    """The program is named."""
    content, program = KNOWN[path]
    assert left_by(path, lambda: content) == program


@pytest.mark.parametrize(("path", "content"), FOREIGN.items())
def test_other_files(path: str, content: bytes) -> None:
    """A file that only resembles such a one is anybody's."""
    assert left_by(path, lambda: content) == ""


def test_folders() -> None:
    """Only the folders of model hubs are made by readers."""
    for path in (".cache", ".cache/huggingface", ".cache/huggingface/download/data"):
        assert is_left_folder(path)
    for path in ("cache", ".cache/mine", ".cache/huggingface/mine", "data", ".git"):
        assert not is_left_folder(path)


class Notes(Silent):
    """Keeps what a run says."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def note(self, text: str) -> None:
        """Keep a note."""
        self.texts.append(text)


def build(folder: Path, notes: Notes | None = None, **options: Any) -> str:
    """Build a dataset; return what became of it."""
    chosen = {"template": "chatml", "format": "arrow-folder", **options}
    source = SAMPLE_DATA / "messages.jsonl"
    return prepare(recipe(source, folder, **chosen), progress=notes).status


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a dataset in which readers have left files."""
    found = tmp_path / "out"
    build(found)
    for path in (".cache/huggingface/download", "index"):
        (found / path).mkdir(parents=True, exist_ok=True)
    (found / "index.json").write_bytes(LITDATA)
    (found / ".cache/huggingface/download/README.md.metadata").touch()
    rows = datasets.load_from_disk(found)["train"]
    rows.map(lambda row: {"length": len(row["input_ids"])})
    del rows
    return found


def test_readers_do_no_damage(folder: Path) -> None:
    """Verify tells such files apart, and a run that would build the same dataset keeps them."""
    report = verify(str(folder))
    assert report.problems == []
    (cache,) = (path for path in report.leftovers if path.endswith(".arrow"))
    assert report.leftovers == {
        ".cache/huggingface/download/README.md.metadata": "a model hub",
        "index.json": "litdata",
        cache: "datasets",
    }
    assert "; not of the dataset: .cache/huggingface" in report.summary()
    assert json.loads(report.as_json())["left_by_readers"] == report.leftovers
    before = tree(folder)
    assert build(folder) == "unchanged"
    assert tree(folder) == before


def test_they_go_with_their_dataset(folder: Path) -> None:
    """They do not stop a run that replaces the dataset, and it says that they go."""
    notes = Notes()
    assert build(folder, notes, overwrite=True, max_length=100, truncation="drop") == "written"
    (text,) = (text for text in notes.texts if "readers have left" in text)
    assert "index.json (litdata)" in text
    assert verify(str(folder)).leftovers == {}
    assert not (folder / ".cache").exists()


@pytest.mark.parametrize(("path", "content"), FOREIGN.items())
def test_foreign_files_stay(tmp_path: Path, path: str, content: bytes) -> None:
    """A run neither removes a file that it does not know, nor takes it for the dataset's."""
    folder = tmp_path / "out"
    build(folder, format="parquet")
    (folder / path).parent.mkdir(parents=True, exist_ok=True)
    (folder / path).write_bytes(content)
    assert not verify(str(folder)).ok
    with pytest.raises(OutputError, match="holds files that sftprep did not write"):
        build(folder, overwrite=True)
    assert (folder / path).read_bytes() == content


def test_a_link_is_nothing_that_readers_leave(tmp_path: Path) -> None:
    """A symbolic link with such a name is reported, and keeps a run from replacing the dataset."""
    folder = tmp_path / "out"
    build(folder, format="parquet")
    (tmp_path / "index.json").write_bytes(LITDATA)
    (folder / "data" / "index.json").symlink_to(tmp_path / "index.json")
    with pytest.raises(DataError, match="a symbolic link"):
        verify(str(folder)).check()
    with pytest.raises(OutputError, match="did not write"):
        build(folder, overwrite=True)
    shutil.rmtree(folder)
