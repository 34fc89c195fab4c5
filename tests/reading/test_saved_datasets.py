"""Folders that ``datasets`` has saved, and hidden files in folders."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from file_forms import json_lines, read_all
from toys import recipe

from sftprep import prepare
from sftprep.errors import DataError, UsageError
from sftprep.reading.sources import find_inputs, find_sources

Write = Callable[[str, str | bytes], Path]

ROWS = [
    {"messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "b"}]}
    for n in range(30)
]


def test_a_saved_dataset(tmp_path: Path) -> None:
    """All shards of a dataset are read, and nothing that is beside them."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "saved"
    datasets.Dataset.from_list(ROWS).save_to_disk(folder, num_shards=3)
    (folder / "cache-0123456789abcdef.arrow").write_bytes(b"not data")
    found = read_all(folder)
    assert found.records == ROWS
    names = [source.name for source in found.reader.sources]
    assert names == [f"data-0000{n}-of-00003.arrow" for n in range(3)]
    assert found.places == [(n % 10 + 1, None) for n in range(30)]


def test_a_dataset_dict(tmp_path: Path) -> None:
    """The splits are named, and each can be read by its folder."""
    datasets = pytest.importorskip("datasets")
    folder = tmp_path / "saved"
    data = datasets.Dataset.from_list(ROWS)
    splits = {"train": data.select(range(20)), "test": data.select(range(20, 21))}
    datasets.DatasetDict(splits).save_to_disk(folder)
    with pytest.raises(UsageError) as caught:
        find_sources([str(folder)])
    assert str(caught.value) == (
        f"{folder}: is a DatasetDict with 2 splits: train, test. Name the folders of those to "
        f"read, as {folder}/train."
    )
    assert read_all(folder / "train").records == ROWS[:20]
    assert read_all(folder / "test", folder / "train").records == [ROWS[20], *ROWS[:20]]


def test_a_cached_arrow_file_of_datasets(tmp_path: Path) -> None:
    """A file that ``datasets`` keeps in its cache is an Arrow stream like others."""
    datasets = pytest.importorskip("datasets")
    path = tmp_path / "x.arrow"
    writer = datasets.arrow_writer.ArrowWriter(path=str(path))
    for row in ROWS:
        writer.write(row)
    writer.finalize()
    assert read_all(path).records == ROWS


def test_a_dataset_with_indices(write: Write) -> None:
    """Old versions saved a selection of rows as indices; reading all rows would be wrong."""
    state = {"_data_files": [{"filename": "a.arrow"}], "_indices_data_files": [{"filename": "i"}]}
    folder = write("d/state.json", json.dumps(state)).parent
    write("d/dataset_info.json", "{}")
    with pytest.raises(UsageError) as caught:
        find_sources([str(folder)])
    assert str(caught.value) == (
        f"{folder}: the saved dataset selects its rows by indices, which an old version of "
        "datasets wrote. Load it and save it again with a newer one."
    )


@pytest.mark.parametrize("state", ["", "[]", "{}", '{"_data_files": 3}'])
def test_a_damaged_description(write: Write, state: str) -> None:
    """A description that cannot be read is an error that names its file."""
    path = write("d/state.json", state)
    write("d/dataset_info.json", "{}")
    with pytest.raises(DataError) as caught:
        find_sources([str(path.parent)])
    assert str(caught.value) == (
        f"{path}: cannot be read as a JSON object. Save the dataset again."
    )


def test_hidden_files(write: Write) -> None:
    """Hidden data files and folders are skipped, and the note names some of them."""
    for name in ("a.jsonl", ".b.jsonl", ".notes", "d/.c.csv", ".git/e.jsonl", "d/f.csv", ".g/x/y"):
        write(f"in/{name}", "a\n1\n" if name.endswith("csv") else '{"a": "1"}\n')
    folder = write("in/dataset_infos.json", "{}").parent
    found = find_inputs([str(folder)])
    assert [source.name for source in found.sources] == ["a.jsonl", "f.csv"]
    assert found.notes == [
        f"4 hidden files or folders skipped ({folder}/.b.jsonl, {folder}/.g, {folder}/.git and 1 "
        "more)."
    ]
    assert find_inputs([str(folder / ".git")]).notes == []
    assert find_inputs([str(folder / ".b.jsonl")]).notes == []
    assert [s.name for s in find_sources([str(folder / "*.jsonl")])] == ["a.jsonl"]


def test_notes_are_shown(write: Write, tmp_path: Path) -> None:
    """A run says what it skipped, and which files are empty."""
    shown: list[str] = []

    class Progress:
        def note(self, text: str) -> None:
            shown.append(text)

        def warn(self, text: str) -> None:
            shown.append(text)

        def start(self, total: int | None) -> None: ...

        def advance(self, stored: int, size: int, records: int) -> None: ...

    write("in/.hidden.jsonl", "{}\n")
    empty = write("in/b.jsonl", "")
    folder = write("in/a.jsonl", json_lines([{"prompt": "a", "completion": "b"}])).parent
    prepare(recipe(folder, tmp_path / "out"), progress=Progress())
    assert shown[:2] == [
        f"1 hidden file or folder skipped ({folder}/.hidden.jsonl).",
        f"{empty}: empty; the download may have failed.",
    ]
