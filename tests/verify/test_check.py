"""verify: a sound dataset passes, and everything that can be wrong is named with its place."""

import hashlib
import json
import os
import random
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from toys import tree
from verify.datasets import (
    CHANGEABLE,
    FIRST,
    LOSSY_OPTIONS,
    LOSSY_RECORDS,
    NO_HASH,
    SECOND,
    TYPES,
    MakeDataset,
    ManifestValue,
    change_rows,
    edit_manifest,
    manifest_of,
    problems,
    put,
    replace_first_shard,
    rows_of,
    run,
    setting,
    sha256,
    write_rows,
)

from sftprep.dataset.files import MANIFEST
from sftprep.dataset.manifest import files_of, load_manifest
from sftprep.errors import DataError, NoInputError, StorageError, UsageError
from sftprep.progress import Silent
from sftprep.targets.names import TARGET_FORMATS
from sftprep.verify.check import against_inputs, verify

# --- a sound dataset ----------------------------------------------------------------------------


FORMATS_AND_TARGETS = [
    *((name, "hf") for name in TARGET_FORMATS["hf"]),
    ("mds", "streaming"), ("mds-turns", "llm-foundry"), ("olmo", "olmo-core"),
]  # fmt: skip
each_format = pytest.mark.parametrize(("format_name", "target"), FORMATS_AND_TARGETS)


@each_format
def test_a_dataset_as_written_has_no_problems(
    dataset: MakeDataset, format_name: str, target: str
) -> None:
    """A dataset passes in each format, and checking it changes nothing."""
    folder = dataset(format=format_name, target=target)
    before = tree(folder)
    report = verify(str(folder), workers=2)
    assert report.problems == []
    assert report.summary() == (
        f"out: verified: 4 rows in 2 shards, 20 tokens, {len(before)} files; no problems found"
    )
    assert tree(folder) == before


def test_the_command_prints_one_line(dataset: MakeDataset) -> None:
    """The command prints one line and exits with 0; --json prints one object, --quiet nothing."""
    dataset()
    said = run("out")
    assert (said.exit_code, said.stdout, said.stderr) == (
        0,
        "out: verified: 4 rows in 2 shards, 20 tokens, 8 files; no problems found\n",
        "",
    )
    said = run("out", "--json", "--against", "data.jsonl", "--workers", "1")
    assert (said.exit_code, said.stderr) == (0, "")
    assert json.loads(said.stdout) == {
        "dataset": "out",
        "ok": True,
        "problems": [],
        "rows": 4,
        "tokens": 20,
        "shards": 2,
        "files": 8,
        "compared_inputs": 1,
        "left_by_readers": {},
    }
    assert run("out", "--quiet").output == ""


def test_problems_go_to_stderr(dataset: MakeDataset) -> None:
    """Problems are printed on stderr and end with exit code 65; --json also prints them."""
    folder = dataset()
    change_rows(folder, put("labels", 1, 2, 7))
    (folder / "notes.txt").write_text("mine")
    text = (
        "error: out: 2 problems. Build the dataset again.\n"
        "notes.txt: is a file that the manifest does not name\n"
        f"{FIRST}.parquet: row 1: token 2 has the label 7; expected 103, its id, or -100\n"
    )
    said = run("out")
    assert (said.exit_code, said.stdout, said.stderr) == (65, "", text)
    said = run("out", "--json")
    assert (said.exit_code, said.stderr) == (65, text)
    assert json.loads(said.stdout) == {
        "dataset": "out",
        "ok": False,
        "problems": [
            {
                "file": "notes.txt",
                "row": None,
                "problem": "is a file that the manifest does not name",
            },
            {
                "file": f"{FIRST}.parquet",
                "row": 1,
                "problem": "token 2 has the label 7; expected 103, its id, or -100",
            },
        ],
        "rows": 4,
        "tokens": 20,
        "shards": 2,
        "files": 8,
        "compared_inputs": None,
        "left_by_readers": {},
    }


def test_inputs_are_not_compared_if_the_dataset_has_problems(dataset: MakeDataset) -> None:
    """With other problems, --against does nothing and says so."""
    folder = dataset()
    (folder / "notes.txt").write_text("mine")
    said = run("out", "--against", "data.jsonl", "--quiet")
    assert (said.exit_code, said.stdout, said.stderr) == (
        65,
        "",
        "error: out: 1 problem. Build the dataset again.\n"
        "notes.txt: is a file that the manifest does not name\n"
        "The inputs were not compared: that needs a dataset without other problems.\n",
    )


class Recorder(Silent):
    """Records what a check says about its progress."""

    def __init__(self) -> None:
        self.total: int | None = None
        self.done: list[tuple[int, int]] = []

    def start(self, total: int | None) -> None:
        """Record the total."""
        self.total = total

    def advance(self, stored: int, size: int, records: int) -> None:
        """Record the bytes so far, and the rows or records."""
        self.done.append((stored, records))


def test_progress_ends_at_the_announced_total(dataset: MakeDataset) -> None:
    """The bytes of the shards are announced and reached, with --against those of the inputs too."""
    folder = dataset()
    shards = sum(path.stat().st_size for path in folder.glob("data/*.parquet"))
    checked, compared = Recorder(), Recorder()
    verify(str(folder), workers=1, progress=checked)
    verify(str(folder), against=["data.jsonl"], workers=1, progress=compared)
    total = shards + Path("data.jsonl").stat().st_size
    assert (checked.total, checked.done[-1][0]) == (shards, shards)
    assert (compared.total, compared.done[-1][0]) == (total, total)
    assert sum(rows for _, rows in compared.done) == 8


# --- a shard that was changed -------------------------------------------------------------------


def test_a_changed_row_is_named_beside_the_wrong_hash(dataset: MakeDataset) -> None:
    """A changed shard has a wrong hash, and the report also names the row that is wrong."""
    folder = dataset(format="jsonl")
    expected = manifest_of(folder)["shards"][0]["sha256"]
    change_rows(folder, put("labels", 1, 3, 105), forge=False)
    path = folder / f"{FIRST}.jsonl"
    data = path.read_bytes().replace(b" ", b"")  # the size is then as before
    path.write_bytes(data)
    assert problems(folder) == [
        f"{FIRST}.jsonl: SHA-256 is {hashlib.sha256(data).hexdigest()}; the manifest says "
        f"{expected}",
        f"{FIRST}.jsonl: row 1: token 3 has the label 105; expected 104, its id, or -100",
    ]


@pytest.mark.parametrize("format_name", CHANGEABLE)
def test_a_removed_row_shows_in_all_counts(dataset: MakeDataset, format_name: str) -> None:
    """A shard that lost a row has other rows, tokens and trained tokens than the manifest says."""
    folder = dataset(format=format_name)
    change_rows(folder, lambda table: [column.pop() for column in table.values()], forge=False)
    name = f"{FIRST}.{format_name}"
    size = (folder / name).stat().st_size
    expected = manifest_of(folder)["shards"][0]["bytes"]
    assert problems(folder) == [
        f"{name}: has {size:,} bytes; the manifest says {expected:,}",
        f"{FIRST.replace('data', 'index')}.parquet: lists 2 documents; the shard holds 1",
        f"{name}: holds 1 row; the manifest says 2",
        f"{name}: holds 5 tokens; the manifest says 10",
        f"{name}: holds 3 trained tokens; the manifest says 6",
    ]


# --- files that are not shards ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("format_name", "expected"),
    [
        (
            "parquet",
            "cannot be read: Parquet magic bytes not found in footer. Either the file is "
            "corrupted or this is not a parquet file",
        ),
        ("arrow", "cannot be read: Not an Arrow file"),
        (
            "jsonl",
            "row 0: is not valid JSON at column 1: unexpected character, expected a JSON value",
        ),
    ],
)
def test_a_file_of_another_kind_is_not_a_shard(
    dataset: MakeDataset, format_name: str, expected: str
) -> None:
    """A file that only has the name of a shard is reported, even if the manifest has its hash."""
    folder = dataset(format=format_name)
    found = replace_first_shard(folder, f"{FIRST}.{format_name}", b"This is no shard, is it?\n" * 9)
    assert found == [f"{FIRST}.{format_name}: {expected}"]


def test_an_empty_file_is_not_a_shard(dataset: MakeDataset) -> None:
    """An empty file is reported by its size and as unreadable."""
    folder = dataset()
    (folder / f"{FIRST}.parquet").write_bytes(b"")
    size = manifest_of(folder)["shards"][0]["bytes"]
    assert problems(folder) == [
        f"{FIRST}.parquet: has 0 bytes; the manifest says {size:,}",
        f"{FIRST}.parquet: cannot be read: Parquet file size is 0 bytes",
    ]


COLUMNS = (
    "expected input_ids (list of int32), attention_mask (list of int8), labels (list of int32)"
)


@pytest.mark.parametrize("format_name", ["parquet", "arrow"])
def test_columns_must_have_the_right_names_and_types(
    dataset: MakeDataset, format_name: str
) -> None:
    """A column of another type, and a missing column, are reported with the columns found."""
    folder = dataset(format=format_name)
    name = f"{FIRST}.{format_name}"
    path = folder / name
    table = rows_of(folder, FIRST)
    write_rows(path, table, {**TYPES, "labels": pa.int64()})
    element = "element" if format_name == "parquet" else "item"
    assert replace_first_shard(folder, name, path.read_bytes()) == [
        f"{name}: has the columns input_ids (list<{element}: int32>), "
        f"attention_mask (list<{element}: int8>), labels (list<{element}: int64>); {COLUMNS}"
    ]
    del table["attention_mask"]
    write_rows(path, table)
    assert replace_first_shard(folder, name, path.read_bytes()) == [
        f"{name}: has the columns input_ids (list<{element}: int32>), "
        f"labels (list<{element}: int32>); {COLUMNS}"
    ]


@pytest.mark.parametrize("format_name", ["parquet", "arrow"])
def test_nulls_are_reported(dataset: MakeDataset, format_name: str) -> None:
    """A null in place of a number, or of a whole row, is reported with its row."""
    folder = dataset(format=format_name)
    name = f"{FIRST}.{format_name}"
    path = folder / name
    table = rows_of(folder, FIRST)
    table["labels"][1][2] = None
    write_rows(path, table)
    assert replace_first_shard(folder, name, path.read_bytes()) == [
        f"{name}: row 1: labels holds a null"
    ]
    table["labels"][1] = None
    write_rows(path, table)
    assert replace_first_shard(folder, name, path.read_bytes()) == [
        f"{name}: row 1: labels is null"
    ]


GOOD_LINE = b'{"input_ids":[1,2],"attention_mask":[1,1],"labels":[-100,2]}\n'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"[1]\n", "has a list of 1 item; expected input_ids, attention_mask, labels"),
        (b"{}\n", "has no keys; expected input_ids, attention_mask, labels"),
        (
            b'{"input_ids":[1],"labels":[1]}\n',
            "has 'input_ids', 'labels'; expected input_ids, attention_mask, labels",
        ),
        (
            b'{"input_ids":[1,true],"attention_mask":[1,1],"labels":[1,1]}\n',
            "input_ids is a list of 2 items; expected a list of integers",
        ),
        (
            b'{"input_ids":[1,2],"attention_mask":[1,1],"labels":[1,2.0]}\n',
            "labels is a list of 2 items; expected a list of integers",
        ),
        (
            b'{"input_ids":7,"attention_mask":[1,1],"labels":[1,2]}\n',
            "input_ids is 7; expected a list of integers",
        ),
        (
            b'{"input_ids":[1,2147483648],"attention_mask":[1,1],"labels":[1,2]}\n',
            "input_ids holds an integer that does not fit in 32 bits",
        ),
        (b'{"input_ids":[1,2],"at', "is not valid JSON at column 23: unexpected end of data"),
        (b"[" * 5000, "is not valid JSON at column 1026: depth limit exceeded"),
    ],
)
def test_a_line_that_is_not_a_row_is_reported(
    dataset: MakeDataset, line: bytes, expected: str
) -> None:
    """A line of a JSONL shard that is not a row is reported with its row number."""
    folder = dataset(format="jsonl")
    found = replace_first_shard(folder, f"{FIRST}.jsonl", GOOD_LINE + line)
    assert found == [f"{FIRST}.jsonl: row 1: {expected}"]


# --- files and folders --------------------------------------------------------------------------


def test_missing_and_extra_files_are_reported(dataset: MakeDataset) -> None:
    """Missing and extra files are reported; an extra folder is one entry, whatever it holds."""
    folder = dataset()
    (folder / f"{SECOND}.parquet").unlink()
    (folder / "tokenizer/tokenizer_config.json").unlink()
    (folder / "tokenizer/model.py").write_text("import os")
    (folder / "more").mkdir()
    (folder / "more/file").touch()
    (folder / "bell\x07").touch()
    assert problems(folder) == [
        f"{SECOND}.parquet: is missing",
        "tokenizer/tokenizer_config.json: is missing",
        "bell\\x07: is a file that the manifest does not name",
        "more: is a folder that the manifest does not name",
        "tokenizer/model.py: is a file that the manifest does not name",
    ]


def test_links_and_pipes_are_reported_and_not_opened(dataset: MakeDataset, tmp_path: Path) -> None:
    """A link or a pipe in place of a file is reported, wherever the link leads."""
    folder = dataset()
    for name in (f"{FIRST}.parquet", "tokenizer"):
        (folder / name).rename(tmp_path / Path(name).name)
        (folder / name).symlink_to(tmp_path / Path(name).name)
    (folder / f"{SECOND}.parquet").unlink()
    os.mkfifo(folder / f"{SECOND}.parquet")
    (folder / "away").symlink_to("/")
    assert problems(folder) == [
        f"{FIRST}.parquet: is a symbolic link; expected a file",
        f"{SECOND}.parquet: is a special file (a pipe, socket or device); expected a file",
        "tokenizer/tokenizer.json: is missing",
        "tokenizer/tokenizer_config.json: is missing",
        "away: is a symbolic link that the manifest does not name",
        "tokenizer: is a symbolic link that the manifest does not name",
    ]


def test_a_changed_tokenizer_is_reported(dataset: MakeDataset) -> None:
    """The stored tokenizer must have the hash that the manifest says."""
    folder = dataset()
    path = folder / "tokenizer/tokenizer.json"
    expected = sha256(path)
    path.write_text(path.read_text() + "\n")
    assert problems(folder) == [
        f"tokenizer/tokenizer.json: SHA-256 is {sha256(path)}; the manifest says {expected}"
    ]


def test_a_file_without_permission_is_a_storage_error(
    dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that the system does not let us read is an error, not a problem of the dataset."""
    dataset()
    real = os.open

    def fail(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path).startswith(Path(FIRST).name):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", fail)
    said = run("out")
    assert said.exit_code == StorageError.exit_code
    assert said.stderr == (
        f"error: out/{FIRST}.parquet: cannot be read: Permission denied. Check its permissions "
        "and the disk.\n"
    )


# --- loading the manifest -----------------------------------------------------------------------


def test_a_folder_without_a_manifest_is_not_a_dataset(tmp_path: Path) -> None:
    """Without a manifest there is nothing to check: exit code 66."""
    text = (
        f"{tmp_path}: holds no dataset: there is no manifest.json. Check the path, or run prepare."
    )
    with pytest.raises(NoInputError) as error:
        verify(str(tmp_path))
    assert str(error.value) == text
    said = run(str(tmp_path))
    assert (said.exit_code, said.stderr) == (66, f"error: {text}\n")


NEST = "[" * 900 + "]" * 900


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda text: text[:100], "is damaged: unexpected end of data: "),
        (lambda text: text.replace('"rows": 2', '"rows": 3'), "has been changed since"),
        (lambda text: "[]", "has format version null"),
        (lambda text: "[" * 100_000, "is damaged: depth limit exceeded"),
        (lambda text: f'{{"format_version": {NEST}}}', "has format version a list of 1 item"),
        (lambda text: text.replace('"field": []', f'"field": {NEST}'), "has been changed since"),
        (lambda text: text.replace('"shards"', '"parts"'), "does not have exactly the keys"),
        (lambda text: text.replace("data.jsonl", "\ud800"), "is damaged: "),
    ],
)
def test_a_damaged_manifest_is_the_only_problem(
    dataset: MakeDataset, change: Callable[[str], str], expected: str
) -> None:
    """A manifest that cannot be read, or was edited, is reported, and nothing else is checked."""
    folder = dataset()
    path = folder / MANIFEST
    path.write_bytes(change(path.read_text()).encode(errors="surrogatepass"))
    (found,) = problems(folder)
    assert found.startswith(f"{MANIFEST}: {expected}")
    said = run("out", "--json")
    assert said.exit_code == DataError.exit_code
    assert json.loads(said.stdout)["problems"][0]["file"] == MANIFEST


def test_a_manifest_that_is_not_a_regular_file_is_not_read(
    dataset: MakeDataset, tmp_path: Path
) -> None:
    """A link in place of the manifest is not followed, and a pipe does not block."""
    folder = dataset()
    (folder / MANIFEST).rename(tmp_path / "elsewhere")
    (folder / MANIFEST).symlink_to(tmp_path / "elsewhere")
    assert problems(folder) == [f"{MANIFEST}: is not a regular file"]
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)
    assert problems(folder) == [f"{MANIFEST}: is not a regular file"]


# --- --template and the command line ------------------------------------------------------------


def test_a_template_file_is_compared_with_the_dataset(dataset: MakeDataset, tmp_path: Path) -> None:
    """``template`` reports a file that is not the template the dataset was built with."""
    folder = dataset()
    template = tmp_path / "mine.yaml"
    template.write_text(manifest_of(folder)["template"]["source"])
    expected = sha256(template)
    assert problems(folder, template="mine.yaml") == []
    template.write_text("{}")
    assert problems(folder, template="mine.yaml") == [
        f"mine.yaml: SHA-256 is {sha256(template)}; the manifest says {expected} for template "
        "'plain'"
    ]
    with pytest.raises(UsageError) as error:
        verify("out", template="none.yaml")
    assert str(error.value) == (
        "none.yaml: cannot be read: No such file or directory. Check --template."
    )


def test_inputs_are_collected_from_option_and_arguments() -> None:
    """``--against A B C`` arrives as an option with A and arguments B and C."""
    assert against_inputs(None, None) is None
    assert against_inputs(["a"], None) == ["a"]
    assert against_inputs(["a"], ["b", "c"]) == ["a", "b", "c"]


def test_inputs_must_follow_one_against(dataset: MakeDataset) -> None:
    """Inputs without --against, and a second --against, are refused; so is a missing input."""
    dataset()
    said = run("out", "data.jsonl")
    assert (said.exit_code, said.stderr) == (
        2,
        "error: 'data.jsonl': verify checks one dataset at a time. Put inputs after --against.\n",
    )
    said = run("out", "--against", "a", "b", "--against", "c")
    assert (said.exit_code, said.stderr) == (
        2,
        "error: --against is given more than once. Put all inputs after one --against.\n",
    )
    said = run("out", "--against", "none.jsonl")
    assert (said.exit_code, said.stderr) == (
        66,
        "error: none.jsonl: no such file or folder. Check the path; - reads standard input.\n",
    )


# --- random damage ------------------------------------------------------------------------------

JUNK: tuple[Any, ...] = (
    *(None, True, 0, -1, 7, (1 << 64) - 1, 1.5, "", "x", "../x", "/etc/passwd", "\x00", NO_HASH),
    *([], {}, [[]], [None], {"x": {}}, {"..": 1}, ["x"] * 3),
)


def places(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Return the path of keys to each value inside a JSON value."""
    found = [place] if place else []
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    return found + [path for key, part in inner for path in places(part, (*place, key))]


def has_problems(folder: Path) -> bool:
    """Verify a dataset; fail if it raises anything, or if its report cannot be printed."""
    report = verify(str(folder), workers=1)
    if not report.ok:
        with pytest.raises(DataError):
            report.check()
    json.loads(report.as_json())
    return not report.ok


def test_any_changed_byte_of_the_manifest_is_reported(dataset: MakeDataset) -> None:
    """A manifest with one other byte has a problem, unless it is the same JSON."""
    folder = dataset()
    path = folder / MANIFEST
    data, choose = path.read_bytes(), random.Random(1)
    value = orjson.loads(data)
    for at in sorted(choose.sample(range(len(data)), 200)):
        changed = bytearray(data)
        changed[at] = choose.choice([b for b in b'\x00 "0{}[]\xff' if b != data[at]])
        path.write_bytes(changed)
        try:
            same = orjson.loads(bytes(changed)) == value
        except orjson.JSONDecodeError:
            same = False
        assert has_problems(folder) != same, (at, bytes(changed[at - 20 : at + 20]))


def test_junk_in_a_forged_manifest_never_crashes(dataset: MakeDataset) -> None:
    """A manifest with junk and a correct digest gives problems, or the junk does not matter."""
    folder = dataset(LOSSY_RECORDS, **LOSSY_OPTIONS)
    data, choose = (folder / MANIFEST).read_bytes(), random.Random(2)
    value = orjson.loads(data)
    del value["digest"]
    reported = 0
    for place in places(value):
        for junk in choose.sample(JUNK, 1):
            (folder / MANIFEST).write_bytes(data)
            edit_manifest(folder, setting(*place, to=junk))
            reported += has_problems(folder)
    assert reported > 80


def describe_first_shard(value: ManifestValue, facts: ManifestValue) -> None:
    """Make a manifest say this about the first shard."""
    value["shards"][0] |= facts


@pytest.mark.parametrize(
    ("format_name", "target", "part"),
    [
        *((*both, 0) for both in FORMATS_AND_TARGETS),
        ("olmo", "olmo-core", 1), ("olmo", "olmo-core", 2),
    ],
)  # fmt: skip
@pytest.mark.parametrize("tries", [10, pytest.param(60, marks=pytest.mark.conformance)])
def test_any_damage_to_a_shard_is_reported(
    dataset: MakeDataset, format_name: str, target: str, part: int, tries: int
) -> None:
    """Random damage to a shard is reported; with a forged hash it never causes a crash."""
    folder = dataset(format=format_name, target=target)
    path = folder / files_of(load_manifest(folder).shards[0])[part]["name"]
    data, choose = path.read_bytes(), random.Random(3)
    manifest = (folder / MANIFEST).read_bytes()
    for at in sorted(choose.sample(range(len(data)), min(len(data), tries))):
        changed = bytearray(data)
        changed[at : at + choose.choice((1, 4))] = choose.randbytes(choose.choice((1, 4)))
        if changed == data:
            continue
        (folder / MANIFEST).write_bytes(manifest)
        path.write_bytes(changed)
        assert has_problems(folder)
        facts: dict[str, Any] = {"bytes": len(changed), "sha256": sha256(path)}
        if part:
            entries = load_manifest(folder).shards[0]["parts"]
            entries[part - 1] |= facts
            facts = {"parts": entries}
        edit_manifest(folder, partial(describe_first_shard, facts=facts))
        has_problems(folder)
