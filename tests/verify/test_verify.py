"""verify: each thing that can be wrong with a dataset is found, and named with its place.

The tokenizer is a toy that knows bytes: the id of a byte is the byte, ``</s>`` is 256. The dataset
that most tests damage has four rows in two shards.
"""

import contextlib
import gzip
import hashlib
import io
import json
import os
import random
import shutil
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, byte_hf, recipe, save_folder, tree, write_jsonl
from typer.testing import CliRunner, Result

from sftprep import Recipe, prepare
from sftprep.cli.app import app
from sftprep.dataset.identity import fingerprint
from sftprep.dataset.manifest import MANIFEST, Manifest
from sftprep.errors import DataError, NoInputError, StorageError, UsageError
from sftprep.formats.table import FORMATS
from sftprep.verify.check import verify

RECORDS = [
    {"prompt": "ab", "completion": "cd"},
    {"prompt": "ef", "completion": "gh"},
    {"prompt": "ij", "completion": "kl"},
    {"prompt": "mn", "completion": "op"},
]
FIRST, SECOND = "train-00000-of-00002", "train-00001-of-00002"
ROW = [97, 98, 99, 100, 256]  # abcd</s>
LABELS = [-100, -100, 99, 100, 256]
Table = dict[str, list[Any]]
Value = dict[str, Any]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make a dataset once; it is copied before anything is done to it."""
    home = tmp_path_factory.mktemp("made")
    save_folder(byte_hf(["</s>"]), home / "toy", eos_token="</s>")
    known: dict[str, Path] = {}

    def make(records: list[Any] | None = None, **options: Any) -> Path:
        key = repr((records, sorted(options.items())))
        if key not in known:
            folder = home / str(len(known))
            folder.mkdir()
            data = write_jsonl(folder / "data.jsonl", RECORDS if records is None else records)
            chosen = {"tokenizer": home / "toy", "shard_size": "60B", **options}
            prepare(recipe(data, folder / "out", **chosen))
            known[key] = folder
        return known[key]

    return make


@pytest.fixture
def dataset(
    made: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """A dataset in ``out`` beside its input ``data.jsonl``; the current folder holds both."""
    monkeypatch.chdir(tmp_path)

    def copy(records: list[Any] | None = None, **options: Any) -> Path:
        shutil.copytree(made(records, **options), tmp_path, dirs_exist_ok=True)
        return Path("out")

    return copy


def problems(folder: Path, **options: Any) -> list[str]:
    """What is wrong, a line each."""
    return list(map(str, verify(str(folder), workers=1, **options).problems))


def run(*arguments: str, stdin: str | None = None) -> Result:
    """Run the command."""
    return CliRunner().invoke(app, ["verify", *arguments], input=stdin)


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def edit(folder: Path, change: Callable[[Value], object]) -> None:
    """Change the manifest as somebody would who knows how it is made."""
    value = orjson.loads((folder / MANIFEST).read_bytes())
    del value["digest"]
    before = value["fingerprint"]
    change(value)
    manifest = Manifest(**value)
    if value["fingerprint"] == before:
        with contextlib.suppress(TypeError, KeyError, AttributeError):  # if it still has one
            manifest = Manifest(**{**value, "fingerprint": fingerprint(manifest.identity())})
    (folder / MANIFEST).write_bytes(manifest.dump())


def rows_of(folder: Path, shard: str) -> Table:
    """A shard's columns as lists."""
    path = next(folder.glob(f"{shard}.*"))
    if path.suffix == ".parquet":
        return dict(pq.read_table(path).to_pydict())
    if path.suffix == ".arrow":
        with pa.OSFile(str(path)) as file:
            return dict(pa.ipc.open_file(file).read_all().to_pydict())
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return {name: [row[name] for row in rows] for name in rows[0]}


TYPES = {"input_ids": pa.int32(), "attention_mask": pa.int8(), "labels": pa.int32()}


def write_rows(path: Path, table: Table, types: dict[str, Any] = TYPES) -> None:
    """Write columns as a shard."""
    if path.suffix == ".jsonl":
        names = list(table)
        rows = zip(*table.values(), strict=True)
        write_jsonl(path, [dict(zip(names, row, strict=True)) for row in rows])
        return
    columns = [pa.array(table[name], pa.list_(types[name])) for name in table]
    made = pa.table(columns, names=list(table))
    if path.suffix == ".parquet":
        pq.write_table(made, path)
    else:
        with path.open("wb") as file, pa.ipc.new_file(file, made.schema) as writer:
            writer.write_table(made)


def change_rows(
    folder: Path, change: Callable[[Table], object], shard: str = FIRST, *, mend: bool = True
) -> None:
    """Change a shard's rows; ``mend`` makes the manifest agree with whatever is there now."""
    path = next(folder.glob(f"{shard}.*"))
    table = rows_of(folder, shard)
    change(table)
    write_rows(path, table)
    if mend:
        edit(folder, lambda value: agree(value, path, table))


def agree(value: Value, path: Path, table: Table) -> None:
    """Let the manifest say of a shard what is true of it, and count it so."""
    entry = next(shard for shard in value["shards"] if shard["name"] == path.name)
    entry |= {"bytes": path.stat().st_size, "sha256": sha256(path)}
    entry["rows"] = len(table["labels"])
    entry["tokens"] = sum(map(len, table["input_ids"]))
    entry["trained_tokens"] = sum(x != -100 for row in table["labels"] for x in row)
    for name in ("tokens", "trained_tokens"):
        value["counts"][name] = sum(shard[name] for shard in value["shards"])


# ------------------------------------------------------------------------------ nothing is wrong


@pytest.mark.parametrize("format", FORMATS)
def test_a_sound_dataset(dataset: Callable[..., Path], format: str) -> None:  # noqa: A002
    """A dataset as it was written has no problem, in each format."""
    folder = dataset(format=format)
    before = tree(folder)
    report = verify(str(folder), workers=2)
    assert report.problems == []
    assert report.summary() == (
        "out: verified: 4 rows in 2 shards, 20 tokens, 5 files; nothing wrong"
    )
    assert tree(folder) == before


def test_the_command(dataset: Callable[..., Path]) -> None:
    """It says one line and ends with 0; --json gives one object, --quiet nothing."""
    dataset()
    said = run("out")
    assert (said.exit_code, said.stdout, said.stderr) == (
        0, "out: verified: 4 rows in 2 shards, 20 tokens, 5 files; nothing wrong\n", ""
    )  # fmt: skip
    said = run("out", "--json", "--against", "data.jsonl", "--workers", "1")
    assert (said.exit_code, said.stderr) == (0, "")
    assert json.loads(said.stdout) == {
        "dataset": "out", "ok": True, "problems": [], "rows": 4, "tokens": 20, "shards": 2,
        "files": 5, "compared_inputs": 1,
    }  # fmt: skip
    assert run("out", "--quiet").output == ""


def test_what_is_wrong_goes_to_stderr(dataset: Callable[..., Path]) -> None:
    """Problems end with 65; JSON has them on stdout as well."""
    folder = dataset()
    change_rows(folder, lambda table: table["labels"][1].__setitem__(2, 7))
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
        "files": 5,
        "compared_inputs": None,
    }
    said = run("out", "--against", "data.jsonl", "--quiet")
    assert (said.exit_code, said.stdout) == (65, "")
    assert said.stderr == (
        text + "The inputs were not compared: what is wrong without them comes first.\n"
    )


def test_many_problems_are_cut(dataset: Callable[..., Path]) -> None:
    """An error lists 20 problems and says how many more there are; JSON lists all."""
    folder = dataset()
    for index in range(23):
        (folder / f"extra-{index:02}").touch()
    said = run("out", "--json")
    lines = said.stderr.splitlines()
    assert lines[0] == "error: out: 23 problems. Build the dataset again."
    assert lines[1] == "extra-00: is a file that the manifest does not name"
    assert lines[20:] == [
        "extra-19: is a file that the manifest does not name",
        "... and 3 more",
    ]
    assert len(json.loads(said.stdout)["problems"]) == 23


# -------------------------------------------------------------------------------- rows at fault


def put(column: str, row: int, token: int, value: int) -> Callable[[Table], object]:
    """Change one value."""
    return lambda table: table[column][row].__setitem__(token, value)


def add_token(table: Table) -> None:
    """Let row 1 have five tokens more, five times over."""
    for column in table.values():
        column[1] = column[1] * 5


def empty(table: Table) -> None:
    """Take all tokens of row 0."""
    for column in table.values():
        column[0] = []


def untrain(table: Table) -> None:
    """Leave a loss on the first token alone, which has none."""
    table["labels"] = [[row[0], *[-100] * 4] for row in table["input_ids"]]


ROW_FAULTS: dict[str, tuple[Callable[[Table], object], list[str]]] = {
    "label": (
        put("labels", 1, 3, 0),
        ["row 1: token 3 has the label 0; expected 104, its id, or -100"],
    ),
    "negative id": (
        put("input_ids", 0, 1, -1),
        ["row 0: token 1 has the id -1; expected 0 to 256"],
    ),
    "large id": (
        put("input_ids", 1, 0, 257),
        ["row 1: token 0 has the id 257; expected 0 to 256"],
    ),
    "mask": (
        put("attention_mask", 1, 4, 0),
        ["row 1: token 4 has the attention_mask 0; expected 1"],
    ),
    "long": (add_token, ["row 1: holds 25 tokens; max_length is 9"]),
    "empty": (empty, ["row 0: holds no token"]),
    "untrained": (untrain, ["row 0: holds no trained token (and 1 more row)"]),
    "uneven": (
        lambda table: table["labels"][1].pop(),
        ["row 1: holds 5 input_ids, 5 attention_mask, 4 labels; expected as many of each"],
    ),
    "several": (
        lambda table: [put("labels", 0, 2, 1)(table), put("labels", 1, 2, 1)(table),
                       put("attention_mask", 0, 0, 2)(table)],
        [
            "row 0: token 0 has the attention_mask 2; expected 1",
            "row 0: token 2 has the label 1; expected 99, its id, or -100 (and 1 more row)",
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("fault", ROW_FAULTS)
def test_a_row_at_fault(dataset: Callable[..., Path], format: str, fault: str) -> None:  # noqa: A002
    """What no row may be is found in every format, also where every hash and count is right."""
    change, expected = ROW_FAULTS[fault]
    folder = dataset(format=format, max_length=9)
    change_rows(folder, change)
    assert problems(folder) == [f"{FIRST}.{format}: {text}" for text in expected]


def test_the_row_is_named_where_the_hash_differs(dataset: Callable[..., Path]) -> None:
    """A file that was changed is told as such, and the rows that are wrong for it."""
    folder = dataset(format="jsonl")
    expected = json.loads((folder / MANIFEST).read_text())["shards"][0]["sha256"]
    change_rows(folder, put("labels", 1, 3, 105), mend=False)
    path = folder / f"{FIRST}.jsonl"
    old = b'{"input_ids":[101,102,103,104,256],"attention_mask":[1,1,1,1,1],"labels":'
    assert old not in path.read_bytes()  # json writes spaces, so its size is another
    data = path.read_bytes().replace(b" ", b"")
    path.write_bytes(data)
    assert problems(folder) == [
        f"{FIRST}.jsonl: SHA-256 is {hashlib.sha256(data).hexdigest()}; the manifest says "
        f"{expected}",
        f"{FIRST}.jsonl: row 1: token 3 has the label 105; expected 104, its id, or -100",
    ]


def test_rows_over_several_parts(dataset: Callable[..., Path]) -> None:
    """A row is counted in its file, not in the part that is looked at."""
    folder = dataset()
    copies = 9000

    def many(table: Table) -> None:
        for name, column in table.items():
            table[name] = [list(row) for row in column for _ in range(copies)]
        table["labels"][2 * copies - 1][3] = 9

    change_rows(folder, many)
    found = problems(folder)
    assert found == [
        f"{MANIFEST}: counts.written is 4; its shards have 18,002 in all",
        f"{FIRST}.parquet: row 17999: token 3 has the label 9; expected 104, its id, or -100",
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_counts_of_a_shard(dataset: Callable[..., Path], format: str) -> None:  # noqa: A002
    """A row that is gone shows in all counts of its shard."""
    folder = dataset(format=format)
    change_rows(folder, lambda table: [column.pop() for column in table.values()], mend=False)
    path = folder / f"{FIRST}.{format}"
    entry = json.loads((folder / MANIFEST).read_text())["shards"][0]
    assert problems(folder) == [
        f"{FIRST}.{format}: has {path.stat().st_size:,} bytes; the manifest says "
        f"{entry['bytes']:,}",
        f"{FIRST}.{format}: holds 1 rows; the manifest says 2",
        f"{FIRST}.{format}: holds 5 tokens; the manifest says 10",
        f"{FIRST}.{format}: holds 3 trained tokens; the manifest says 6",
    ]


# ------------------------------------------------------------------------ files that are no shards


def mended(folder: Path, name: str, data: bytes) -> list[str]:
    """Replace a shard's bytes, with a manifest that agrees; what is wrong then."""
    (folder / name).write_bytes(data)

    def change(value: Value) -> None:
        value["shards"][0] |= {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}

    edit(folder, change)
    return problems(folder)


@pytest.mark.parametrize(
    ("format", "expected"),
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
def test_another_file(dataset: Callable[..., Path], format: str, expected: str) -> None:  # noqa: A002
    """A file of another kind is told as such, whatever its name is."""
    found = mended(dataset(format=format), f"{FIRST}.{format}", b"This is no shard, is it?\n" * 9)
    assert found == [f"{FIRST}.{format}: {expected}"]


def test_no_bytes(dataset: Callable[..., Path]) -> None:
    """An empty file is no shard."""
    folder = dataset()
    (folder / f"{FIRST}.parquet").write_bytes(b"")
    size = json.loads((folder / MANIFEST).read_text())["shards"][0]["bytes"]
    assert problems(folder) == [
        f"{FIRST}.parquet: has 0 bytes; the manifest says {size:,}",
        f"{FIRST}.parquet: cannot be read: Parquet file size is 0 bytes",
    ]


COLUMNS = (
    "expected input_ids (list of int32), attention_mask (list of int8), labels (list of int32)"
)


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_other_columns(dataset: Callable[..., Path], format: str) -> None:  # noqa: A002
    """Columns that are missing, or of another type, are told."""
    folder = dataset(format=format)
    path = folder / f"{FIRST}.{format}"
    table = rows_of(folder, FIRST)
    write_rows(path, table, {**TYPES, "labels": pa.int64()})
    element = "element" if format == "parquet" else "item"
    assert mended(folder, path.name, path.read_bytes()) == [
        f"{path.name}: has the columns input_ids (list<{element}: int32>), "
        f"attention_mask (list<{element}: int8>), labels (list<{element}: int64>); {COLUMNS}"
    ]
    del table["attention_mask"]
    write_rows(path, table)
    assert mended(folder, path.name, path.read_bytes()) == [
        f"{path.name}: has the columns input_ids (list<{element}: int32>), "
        f"labels (list<{element}: int32>); {COLUMNS}"
    ]


@pytest.mark.parametrize("format", ["parquet", "arrow"])
def test_nulls(dataset: Callable[..., Path], format: str) -> None:  # noqa: A002
    """A null is no number and no row."""
    folder = dataset(format=format)
    path = folder / f"{FIRST}.{format}"
    table = rows_of(folder, FIRST)
    table["labels"][1][2] = None
    write_rows(path, table)
    assert mended(folder, path.name, path.read_bytes()) == [
        f"{path.name}: row 1: labels holds a null"
    ]
    table["labels"][1] = None
    write_rows(path, table)
    assert mended(folder, path.name, path.read_bytes()) == [f"{path.name}: row 1: labels is null"]


GOOD_LINE = b'{"input_ids":[1,2],"attention_mask":[1,1],"labels":[-100,2]}\n'


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"[1]\n", "has a list of 1; expected input_ids, attention_mask, labels"),
        (b"{}\n", "has no keys; expected input_ids, attention_mask, labels"),
        (
            b'{"input_ids":[1],"labels":[1]}\n',
            "has 'input_ids', 'labels'; expected input_ids, attention_mask, labels",
        ),
        (
            b'{"input_ids":[1,true],"attention_mask":[1,1],"labels":[1,1]}\n',
            "input_ids is a list of 2; expected a list of integers",
        ),
        (
            b'{"input_ids":[1,2],"attention_mask":[1,1],"labels":[1,2.0]}\n',
            "labels is a list of 2; expected a list of integers",
        ),
        (
            b'{"input_ids":7,"attention_mask":[1,1],"labels":[1,2]}\n',
            "input_ids is 7; expected a list of integers",
        ),
        (
            b'{"input_ids":[1,2147483648],"attention_mask":[1,1],"labels":[1,2]}\n',
            "input_ids holds a number beyond 32 bits",
        ),
        (b'{"input_ids":[1,2],"at', "is not valid JSON at column 23: unexpected end of data"),
        (b"[" * 5000, "is not valid JSON at column 1026: depth limit exceeded"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_row(dataset: Callable[..., Path], line: bytes, expected: str) -> None:
    """A line of another form is named."""
    folder = dataset(format="jsonl")
    found = mended(folder, f"{FIRST}.jsonl", GOOD_LINE + line)
    assert found == [f"{FIRST}.jsonl: row 1: {expected}"]


# ------------------------------------------------------------------------------ files and folders


def test_missing_and_extra_files(dataset: Callable[..., Path]) -> None:
    """Every file that the manifest names is there, and no other; folders are not looked into."""
    folder = dataset()
    (folder / f"{SECOND}.parquet").unlink()
    (folder / "tokenizer/tokenizer_config.json").unlink()
    (folder / "tokenizer/model.py").write_text("import os")
    (folder / "more").mkdir()
    (folder / "more/file").touch()
    (folder / "bell\x07").touch()
    found = problems(folder)
    assert found == [
        f"{SECOND}.parquet: is missing",
        "tokenizer/tokenizer_config.json: is missing",
        "bell\\x07: is a file that the manifest does not name",
        "more: is a folder that the manifest does not name",
        "tokenizer/model.py: is a file that the manifest does not name",
    ]


def test_links_are_not_followed(dataset: Callable[..., Path], tmp_path: Path) -> None:
    """A link in place of a file is told and not opened, wherever it leads; so is a pipe."""
    folder = dataset()
    for name in (f"{FIRST}.parquet", "tokenizer"):
        (folder / name).rename(tmp_path / Path(name).name)
        (folder / name).symlink_to(tmp_path / Path(name).name)
    (folder / f"{SECOND}.parquet").unlink()
    os.mkfifo(folder / f"{SECOND}.parquet")
    (folder / "away").symlink_to("/")
    assert problems(folder) == [
        f"{FIRST}.parquet: is a symbolic link; expected a file",
        f"{SECOND}.parquet: is no file; expected a file",
        "tokenizer/tokenizer.json: is missing",
        "tokenizer/tokenizer_config.json: is missing",
        "away: is a symbolic link that the manifest does not name",
        "tokenizer: is a symbolic link that the manifest does not name",
    ]


def test_a_tokenizer_that_was_changed(dataset: Callable[..., Path]) -> None:
    """The tokenizer beside the shards is the one that was used."""
    folder = dataset()
    path = folder / "tokenizer/tokenizer.json"
    expected = sha256(path)
    path.write_text(path.read_text() + "\n")
    assert problems(folder) == [
        f"tokenizer/tokenizer.json: SHA-256 is {sha256(path)}; the manifest says {expected}"
    ]


def test_no_rights(dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be read is no problem of the dataset: the system failed."""
    dataset()
    real = os.open

    def fail(path: Any, flags: int, mode: int = 0o777, *, dir_fd: int | None = None) -> int:
        if str(path).startswith(FIRST):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", fail)
    said = run("out")
    assert said.exit_code == StorageError.exit_code
    assert said.stderr == (
        f"error: out/{FIRST}.parquet: cannot be read: Permission denied. Check its rights, and "
        "that the disk is sound.\n"
    )


# ---------------------------------------------------------------------------------- the manifest


def test_no_dataset(tmp_path: Path) -> None:
    """Without a manifest there is no dataset, and nothing to check."""
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
        (lambda text: f'{{"format_version": {NEST}}}', "has format version a list of 1"),
        (lambda text: text.replace('"field": []', f'"field": {NEST}'), "has been changed since"),
        (lambda text: text.replace('"shards"', '"parts"'), "has other keys than a manifest"),
        (lambda text: text.replace("data.jsonl", "\ud800"), "is damaged: "),
    ],
)  # fmt: skip
def test_a_damaged_manifest(
    dataset: Callable[..., Path], change: Callable[[str], str], expected: str
) -> None:
    """A manifest that cannot be read, or was edited, is the one thing that is said."""
    folder = dataset()
    path = folder / MANIFEST
    path.write_bytes(change(path.read_text()).encode(errors="surrogatepass"))
    (found,) = problems(folder)
    assert found.startswith(f"{MANIFEST}: {expected}")
    said = run("out", "--json")
    assert said.exit_code == DataError.exit_code
    assert json.loads(said.stdout)["problems"][0]["file"] == MANIFEST


def test_a_manifest_that_is_a_link(dataset: Callable[..., Path], tmp_path: Path) -> None:
    """A manifest elsewhere is not read, and a pipe not waited for."""
    folder = dataset()
    (folder / MANIFEST).rename(tmp_path / "elsewhere")
    (folder / MANIFEST).symlink_to(tmp_path / "elsewhere")
    assert problems(folder) == [f"{MANIFEST}: is no plain file"]
    (folder / MANIFEST).unlink()
    os.mkfifo(folder / MANIFEST)
    assert problems(folder) == [f"{MANIFEST}: is no plain file"]


def put_in(*keys: str | int, to: Any) -> Callable[[Value], None]:
    """Set a value somewhere in the manifest."""

    def change(value: Value) -> None:
        inner: Any = value
        for key in keys[:-1]:
            inner = inner[key]
        inner[keys[-1]] = to

    return change


HASH = "0" * 64
FORM_FAULTS: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("shards",), {}, "shards is an object of 0; expected a list"),
    (("shards", 0), 7, "shards[0] is 7; expected an object"),
    (("shards", 0), {"name": "x"}, "shards[0].rows is missing"),
    (("shards", 0, "rows"), "2", "shards[0].rows is '2'; expected a whole number above 0"),
    (("shards", 0, "rows"), True, "shards[0].rows is true; expected a whole number above 0"),
    (("shards", 1, "tokens"), -3, "shards[1].tokens is -3; expected a whole number above 0"),
    (("shards", 1, "bytes"), 1e30, "shards[1].bytes is 1e+30; expected a whole number above 0"),
    (("shards", 0, "name"), None, "shards[0].name is null; expected a text"),
    (("inputs", 0, "sha256"), "A", "inputs[0].sha256 is 'A'; expected a SHA-256 in hexadecimal"),
    (("inputs", 0, "dropped"), [], "inputs[0].dropped is a list of 0; expected an object"),
    (
        ("counts", "rejected"),
        {"x": -1},
        "counts.rejected['x'] is -1; expected a whole number, 0 or more",
    ),
    (("recipe",), None, "recipe is null; expected an object"),
    (
        ("recipe", "format"),
        "pickle",
        "recipe.format is 'pickle'; expected one of parquet, arrow, jsonl",
    ),
    (
        ("recipe", "format"),
        [],
        "recipe.format is a list of 0; expected one of parquet, arrow, jsonl",
    ),
    (("recipe", "ignore_index"), 0, "recipe.ignore_index is 0; expected a whole number below 0"),
    (
        ("tokenizer", "files"),
        {"x": 1},
        "tokenizer.files['x'] is 1; expected a SHA-256 in hexadecimal",
    ),
    (("template", "source"), 1, "template.source is 1; expected a text"),
    (("ledgers",), {"x": {}}, "ledgers['x'].entries is missing"),
    (("libraries", "orjson"), 3, "libraries['orjson'] is 3; expected a text"),
    (("fingerprint",), "\x1b", "fingerprint is '\\x1b'; expected a SHA-256 in hexadecimal"),
]


@pytest.mark.parametrize(("place", "junk", "expected"), FORM_FAULTS)
def test_the_manifests_form(
    dataset: Callable[..., Path], place: tuple[str | int, ...], junk: object, expected: str
) -> None:
    """A part of another kind is named; nothing else is looked at then."""
    folder = dataset()
    edit(folder, put_in(*place, to=junk))
    assert problems(folder)[0] == f"{MANIFEST}: {expected}"


CONTENT_FAULTS: list[tuple[Callable[[Value], Any], list[str]]] = [
    (
        put_in("inputs", 0, "read", to=5),
        [
            "inputs[0] ('data.jsonl'): 5 records read, but 4 written + 0 dropped + 0 rejected",
            "counts.read is 4; its inputs have 5 in all",
        ],
    ),
    (
        put_in("counts", "dropped", to={"too_long": 1}),
        [
            "counts: 4 records read, but 4 written + 1 dropped + 0 rejected",
            "counts.dropped['too_long'] is 1; its inputs have 0 in all",
            "ledgers['dropped.jsonl'] has 0 entries; counts.dropped says 1",
        ],
    ),
    (
        put_in("counts", "tokens", to=21),
        ["counts.tokens is 21; its shards have 20 in all"],
    ),
    (
        put_in("counts", "trained_tokens", to=1 << 63),
        ["counts.trained_tokens is 9,223,372,036,854,775,808; its shards have 12 in all"],
    ),
    (put_in("fingerprint", to=HASH), [f"fingerprint is {HASH}; the rest gives "]),
    (
        put_in("recipe", "template", to="chatml"),
        ["template.name is 'plain'; recipe.template is 'chatml'"],
    ),
    (put_in("template", "source", to=""), ["template.sha256 is "]),
    (
        put_in("tokenizer", "special_tokens", "eos", "id", to=257),
        ["tokenizer.special_tokens['eos'].id is 257; expected 0 to 256"],
    ),
    (
        put_in("tokenizer", "added_tokens", to={"<a>": 300}),
        ["tokenizer.added_tokens['<a>'] is 300; expected 0 to 256"],
    ),
    (put_in("tokenizer", "vocabulary_size", to=1 << 63), []),
    (put_in("recipe", "max_length", to=(1 << 64) - 1), []),
]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), CONTENT_FAULTS)
def test_the_manifests_content(
    dataset: Callable[..., Path], change: Callable[[Value], Any], expected: list[str]
) -> None:
    """Sums add up, and what follows from the rest is as it follows."""
    folder = dataset()
    edit(folder, change)
    found = problems(folder)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(f"{MANIFEST}: {start}")
        assert line == f"{MANIFEST}: {start}" or start.endswith(" ")


def test_names_in_the_manifest(dataset: Callable[..., Path], tmp_path: Path) -> None:
    """A name that leads out of the folder is told, and nothing is opened there."""
    folder = dataset()
    shutil.copy(folder / f"{FIRST}.parquet", tmp_path / "x.parquet")

    def change(value: Value) -> None:
        value["shards"][0]["name"] = "../x.parquet"
        value["shards"][1]["name"] = str(tmp_path / "x.parquet")
        value["tokenizer"]["files"]["/etc/passwd"] = HASH
        value["ledgers"]["../data.jsonl"] = {"entries": 1, "bytes": 1, "sha256": HASH}

    edit(folder, change)
    away = str(tmp_path / "x.parquet")
    assert problems(folder) == [
        f"{MANIFEST}: shards[0].name is '../x.parquet'; expected '{FIRST}.parquet'",
        f"{MANIFEST}: shards[1].name is '{away}'; expected '{SECOND}.parquet'",
        f"{MANIFEST}: ledgers has '../data.jsonl'; expected only dropped.jsonl and rejects.jsonl",
        f"{MANIFEST}: tokenizer.files has '/etc/passwd'; expected only files in tokenizer/",
        "../x.parquet: is missing",
        f"{away}: is missing",
        "../data.jsonl: is missing",
        "/etc/passwd: is missing",
        f"{FIRST}.parquet: is a file that the manifest does not name",
        f"{SECOND}.parquet: is a file that the manifest does not name",
    ]


def test_no_shards(dataset: Callable[..., Path]) -> None:
    """A dataset has rows."""
    folder = dataset()
    edit(folder, put_in("shards", to=[]))
    assert problems(folder)[-3:] == [
        f"{MANIFEST}: shards is empty; expected one or more",
        f"{FIRST}.parquet: is a file that the manifest does not name",
        f"{SECOND}.parquet: is a file that the manifest does not name",
    ]


# ------------------------------------------------------------------------------------ the ledgers

MIXED = [
    RECORDS[0],
    {"prompt": "a long one", "completion": "that is dropped"},
    {"prompt": "ab"},
    RECORDS[1],
    {"prompt": "mn", "completion": ""},
]
MIXED_OPTIONS = {"max_length": 9, "on_error": "quarantine", "shard_size": "1MB"}


def test_ledgers(dataset: Callable[..., Path]) -> None:
    """What was dropped and rejected is listed, as often as it is counted."""
    folder = dataset(MIXED, **MIXED_OPTIONS)
    assert {"dropped.jsonl", "rejects.jsonl"} <= set(tree(folder))
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == []


def test_a_ledger_that_was_changed(dataset: Callable[..., Path]) -> None:
    """Another reason, a line that is no entry, and a ledger that is gone."""
    folder = dataset(MIXED, **MIXED_OPTIONS)
    path = folder / "dropped.jsonl"
    expected, size = sha256(path), path.stat().st_size
    path.write_bytes(path.read_bytes().replace(b"too_long", b"too_wide"))
    assert problems(folder) == [
        f"dropped.jsonl: SHA-256 is {sha256(path)}; the manifest says {expected}",
        "dropped.jsonl: lists 0 records of data.jsonl as too_long; the manifest says 1",
        "dropped.jsonl: lists 1 records of data.jsonl as too_wide; the manifest says 0",
    ]
    path.write_bytes(b'{"file":"data.jsonl"}\n')
    assert problems(folder) == [
        f"dropped.jsonl: has 22 bytes; the manifest says {size}",
        "dropped.jsonl: row 0: is no entry with file, line, offset and reason",
    ]
    path.unlink()
    assert problems(folder) == ["dropped.jsonl: is missing"]
    edit(folder, put_in("ledgers", to={}))
    assert problems(folder) == [
        f"{MANIFEST}: ledgers['dropped.jsonl'] has 0 entries; counts.dropped says 1",
        f"{MANIFEST}: ledgers['rejects.jsonl'] has 0 entries; counts.rejected says 2",
        "rejects.jsonl: is a file that the manifest does not name",
    ]


# ---------------------------------------------------------------------------------- with the inputs


@pytest.mark.parametrize("format", FORMATS)
def test_made_again(dataset: Callable[..., Path], format: str) -> None:  # noqa: A002
    """The inputs of a sound dataset give it again; nothing is written beside it."""
    folder = dataset(format=format)
    before = tree(Path())
    report = verify(str(folder), against=["data.jsonl"], workers=1)
    assert report.problems == []
    assert report.summary() == (
        "out: verified: 4 rows in 2 shards, 20 tokens, 5 files; 1 input rendered and encoded "
        "again: the same; nothing wrong"
    )
    assert tree(Path()) == before


@pytest.mark.parametrize(
    "options",
    [
        {"template": "chatml", "train_on": "last"},
        {"template": "chatml", "boundary": "joint", "truncation": "balanced", "max_length": 100},
        {"template": "tokenizer", "per_turn": True, "truncation": "oldest-turns"},
        {"template": "mine.yaml", "system": "Be brief.", "add_token": ("<|u|>", "sep=<|s|>")},
    ],
)
def test_other_recipes_made_again(tmp_path: Path, options: Value) -> None:
    """Recipe, template and tokenizer come from the dataset: their own files may be gone."""
    source = tmp_path / "messages.jsonl"
    shutil.copy(SAMPLE_DATA / "messages.jsonl", source)
    tokenizer = tmp_path / "tokenizer"
    shutil.copytree(SAMPLE_TOKENIZER, tokenizer)
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "system: '{content}{separator}'\nuser: '<|u|>{content}\n'\n"
        "assistant: {header: 'A:', body: ' {content}{eos}'}\n"
    )
    options = {k: str(mine) if v == "mine.yaml" else v for k, v in options.items()}
    prepare(recipe(source, tmp_path / "out", tokenizer, shard_size="8KB", **options))
    mine.unlink()
    shutil.rmtree(tokenizer)
    assert problems(tmp_path / "out", against=[str(source)]) == []


def test_several_inputs_however_stored(
    dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Compressed inputs and standard input are compared as they are stored."""
    folder = dataset()
    Path("b.jsonl.gz").write_bytes(gzip.compress(Path("data.jsonl").read_bytes()))
    inputs = ("data.jsonl", "b.jsonl.gz")
    prepare(Recipe(inputs=inputs, output="two", tokenizer=str(folder / "tokenizer"), workers=1))
    Path("b.jsonl.gz").rename("c")
    assert problems(Path("two"), against=["data.jsonl", "c"]) == []
    stdin = io.TextIOWrapper(io.BytesIO(Path("c").read_bytes()))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert problems(Path("two"), against=["data.jsonl", "-"]) == []
    said = run("two", "--against", "data.jsonl", "c", "--workers", "1")
    assert said.stdout == (
        "two: verified: 8 rows in 1 shard, 40 tokens, 4 files; 2 inputs rendered and encoded "
        "again: the same; nothing wrong\n"
    )


def test_only_the_inputs_tell(dataset: Callable[..., Path]) -> None:
    """A token that was changed together with every hash is found, and its record named."""
    folder = dataset()
    change_rows(folder, put("input_ids", 1, 0, 110), SECOND)
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == [
        f"{SECOND}.parquet: row 1: token 0 is id 110 with label -100; expected id 109 with label "
        "-100, as data.jsonl:4 gives"
    ]


def test_inputs_are_compared_by_several_workers(dataset: Callable[..., Path]) -> None:
    """The first difference is named, whichever worker made the row."""
    folder = dataset(RECORDS * 10)
    change_rows(folder, put("labels", 0, -1, -100), "train-00016-of-00020")
    change_rows(folder, put("labels", 1, -1, -100), "train-00013-of-00020")
    report = verify(str(folder), against=["data.jsonl"], workers=2)
    assert list(map(str, report.problems)) == [
        "train-00013-of-00020.parquet: row 1: token 4 is id 256 with label -100; expected id 256 "
        "with label 256, as data.jsonl:28 gives"
    ]


def longer(table: Table) -> None:
    """Let row 0 have a token more."""
    for name, value in (("input_ids", 256), ("attention_mask", 1), ("labels", 256)):
        table[name][0].append(value)


def shorter(table: Table) -> None:
    """Let row 0 have a token less."""
    for column in table.values():
        column[0].pop()


def less(table: Table) -> None:
    """Leave out row 0."""
    for column in table.values():
        column.pop(0)


def more(table: Table) -> None:
    """Write the last row twice."""
    for column in table.values():
        column.append(column[-1])


@pytest.mark.parametrize(
    ("change", "shard", "expected"),
    [
        (
            longer,
            FIRST,
            "row 0: token 5 is id 256 with label 256; expected the row's end, as data.jsonl:1 "
            "gives",
        ),
        (
            shorter,
            SECOND,
            "row 0: token 4 is the row's end; expected id 256 with label 256, as data.jsonl:3 "
            "gives",
        ),
        (
            less,
            FIRST,
            "row 0: token 0 is id 101 with label -100; expected id 97 with label -100, as "
            "data.jsonl:1 gives",
        ),
        (
            more,
            FIRST,
            "row 2: the shard goes on; it should end before this row, as data.jsonl:3 gives",
        ),
        (more, SECOND, "row 2: no record of the inputs gives this row"),
    ],
)
def test_rows_that_are_others(
    dataset: Callable[..., Path], change: Callable[[Table], object], shard: str, expected: str
) -> None:
    """Rows that are longer, shorter, missing or too many, where the manifest agrees with them."""
    folder = dataset()
    change_rows(folder, change, shard)
    rows = sum(len(rows_of(folder, name)["labels"]) for name in (FIRST, SECOND))

    def change_counts(value: Value) -> None:
        value["counts"]["written"] = value["inputs"][0]["written"] = rows
        value["counts"]["read"] = value["inputs"][0]["read"] = rows

    edit(folder, change_counts)
    found = problems(folder, against=["data.jsonl"])
    assert found[0] == f"{shard}.parquet: {expected}"
    assert len(found) == (1 if "as data.jsonl" in expected else 7)


def test_another_input(dataset: Callable[..., Path], tmp_path: Path) -> None:
    """An input that is another is named with both hashes, before anything is compared."""
    folder = dataset()
    other = write_jsonl(tmp_path / "other.jsonl", RECORDS[:3])
    expected = sha256(Path("data.jsonl"))
    assert problems(folder, against=["other.jsonl"]) == [
        f"other.jsonl: SHA-256 is {sha256(other)}; the manifest says {expected} for input 1, "
        "data.jsonl"
    ]
    assert problems(folder, against=["data.jsonl", "other.jsonl"]) == [
        f"{MANIFEST}: names 1 input (data.jsonl); given 2 inputs"
    ]


def test_inputs_in_another_order(dataset: Callable[..., Path], tmp_path: Path) -> None:
    """The order of the inputs is the order of the rows."""
    folder = dataset()
    write_jsonl(tmp_path / "b.jsonl", RECORDS[:3])
    inputs = ("data.jsonl", "b.jsonl")
    prepare(Recipe(inputs=inputs, output="two", tokenizer=str(folder / "tokenizer"), workers=1))
    assert problems(Path("two"), against=["b.jsonl", "data.jsonl"]) == [
        "b.jsonl: is input 2 of the manifest; expected input 1, data.jsonl",
        "data.jsonl: is input 1 of the manifest; expected input 2, b.jsonl",
    ]


@pytest.mark.parametrize("extra", [0, 1])
def test_another_stream(
    dataset: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, extra: int
) -> None:
    """A stream cannot be looked at before: that it is another is said as well."""
    folder = dataset()
    data = Path("data.jsonl").read_bytes()
    data = data + b"\n" if extra else data.replace(b"ef", b"eF")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    found = problems(folder, against=["-"])
    assert (
        f"-: SHA-256 is {hashlib.sha256(data).hexdigest()}; the manifest says "
        f"{sha256(Path('data.jsonl'))} for input 1, data.jsonl"
    ) in found
    assert found[-1 if extra else 0] == (
        f"{MANIFEST}: counts.blank_lines is 0; the inputs give 1"
        if extra
        else f"{FIRST}.parquet: row 1: token 1 is id 102 with label -100; expected id 70 with "
        "label -100, as data.jsonl:2 gives"
    )


def test_records_that_were_lost(dataset: Callable[..., Path]) -> None:
    """Which record was dropped and why is compared, where everything else agrees."""
    folder = dataset(MIXED, **MIXED_OPTIONS)
    path = folder / "dropped.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"line":2', b'"line":4'))
    facts = {"entries": 1, "bytes": path.stat().st_size, "sha256": sha256(path)}
    edit(folder, put_in("ledgers", "dropped.jsonl", to=facts))
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == [
        "dropped.jsonl: row 0: lists data.jsonl:4 (too_long); the inputs give data.jsonl:2 "
        "(too_long)"
    ]


def test_records_that_were_never_listed(dataset: Callable[..., Path]) -> None:
    """A ledger that is gone, with its counts, is missed."""
    folder = dataset(MIXED, **MIXED_OPTIONS)
    (folder / "dropped.jsonl").unlink()

    def change(value: Value) -> None:
        del value["ledgers"]["dropped.jsonl"]
        for counts in (value["counts"], value["inputs"][0]):
            counts["dropped"] = {}
            counts["read"] -= 1

    edit(folder, change)
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == [
        f'{MANIFEST}: inputs[0].dropped is {{}}; the inputs give {{"too_long":1}}',
        f"{MANIFEST}: inputs[0].read is 4; the inputs give 5",
        f'{MANIFEST}: counts.dropped is {{}}; the inputs give {{"too_long":1}}',
        f"{MANIFEST}: counts.read is 4; the inputs give 5",
        "dropped.jsonl: row 0: lists no more; the inputs give data.jsonl:2 (too_long)",
    ]


def test_a_tokenizer_that_resolves_differently(dataset: Callable[..., Path]) -> None:
    """A saved tokenizer that gives another one now is told with the versions then and now."""
    folder = dataset()
    resolved = json.loads((folder / MANIFEST).read_text())["tokenizer"]["sha256"]
    now = json.loads((folder / MANIFEST).read_text())["libraries"]

    def change(value: Value) -> None:
        value["tokenizer"]["sha256"] = HASH
        value["libraries"]["tokenizers"] = "0.1"

    edit(folder, change)
    assert problems(folder, against=["data.jsonl"]) == [
        f"tokenizer: cannot be used: it resolves to SHA-256 {resolved}; the manifest says {HASH} "
        f"(transformers {now['transformers']} then, {now['transformers']} now and tokenizers 0.1 "
        f"then, {now['tokenizers']} now)"
    ]


def test_what_trainers_are_told(dataset: Callable[..., Path]) -> None:
    """The manifest's word on the tokenizer is held against the tokenizer that was saved."""
    folder = dataset()
    edit(folder, put_in("tokenizer", "special_tokens", "eos", "id", to=0))
    edit(folder, put_in("tokenizer", "vocabulary_size", to=1000))
    edit(folder, put_in("inputs", 0, "bytes", to=7))
    size = Path("data.jsonl").stat().st_size
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == [
        f"{MANIFEST}: tokenizer.vocabulary_size is 1000; the saved tokenizer has 257",
        f'{MANIFEST}: tokenizer.special_tokens is {{"eos":{{"token":"</s>","id":0}}}}; the saved '
        'tokenizer has {"eos":{"token":"</s>","id":256}}',
        f"{MANIFEST}: inputs[0].bytes is 7; the inputs give {size}",
    ]


def test_versions_are_noted(dataset: Callable[..., Path]) -> None:
    """Other versions of what decides the bytes are said, as they may be why rows differ."""
    folder = dataset()
    now = json.loads((folder / MANIFEST).read_text())["libraries"]["orjson"]
    edit(folder, put_in("libraries", "orjson", to="3.0\x1b"))
    said = run("out", "--against", "data.jsonl", "--workers", "1")
    assert (said.exit_code, said.stderr) == (
        0, f"note: the dataset was made with orjson 3.0\\x1b (now {now}).\n"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("option", "junk", "expected"),
    [
        (
            "truncation",
            "dro",
            "--truncation is 'dro', which it does not allow. Did you mean 'drop'?",
        ),
        ("per_turn", [[]], "--per-turn is a list of 1; expected true or false"),
        (
            "template_arg",
            ["x=2001-99-99"],
            "--template-arg 'x=2001-99-99': '2001-99-99' is not a YAML value. "
            "Quote it if it is a text",
        ),
        (
            "template_arg",
            ["x=!!int ''"],
            """--template-arg "x=!!int ''": "!!int ''" is not a YAML value. """
            "Quote it if it is a text",
        ),
        ("field", 7, "--field is 7; expected a list of texts"),
    ],
)
def test_a_recipe_that_cannot_be_used(
    dataset: Callable[..., Path], option: str, junk: object, expected: str
) -> None:
    """What cannot be given as an option cannot have been one."""
    folder = dataset()
    edit(folder, put_in("recipe", option, to=junk))
    assert problems(folder) == [f"{MANIFEST}: its recipe cannot be used: {expected}"]


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("plain", "[" * 9999, "its template: a template is a mapping of keys; found null"),
        ("plain", "{user: 1, assistant: {body: a}}", "its template: user is 1; expected a string"),
        ("x.jinja", "{% if %}", "chat template x.jinja, line 1: "),
    ],
)  # fmt: skip
def test_a_template_that_cannot_be_used(
    dataset: Callable[..., Path], name: str, source: str, expected: str
) -> None:
    """A template is taken from the manifest, whatever it holds."""
    folder = dataset()

    def change(value: Value) -> None:
        value["recipe"]["template"] = value["template"]["name"] = name
        value["template"]["source"] = source
        value["template"]["sha256"] = hashlib.sha256(source.encode()).hexdigest()

    edit(folder, change)
    (found,) = problems(folder, against=["data.jsonl"])
    assert found.startswith(f"{MANIFEST}: the dataset cannot be made again: {expected}")


def test_the_template_file(dataset: Callable[..., Path], tmp_path: Path) -> None:
    """``--template`` says whether a file is the template that was used."""
    folder = dataset()
    template = tmp_path / "mine.yaml"
    template.write_text(json.loads((folder / MANIFEST).read_text())["template"]["source"])
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


def test_inputs_on_the_command_line(dataset: Callable[..., Path]) -> None:
    """Inputs go behind one ``--against``; what cannot be read ends as it does for prepare."""
    dataset()
    said = run("out", "data.jsonl")
    assert (said.exit_code, said.stderr) == (
        2, "error: 'data.jsonl': only one dataset at a time. Inputs go behind --against.\n"
    )  # fmt: skip
    said = run("out", "--against", "a", "b", "--against", "c")
    assert (said.exit_code, said.stderr) == (
        2, "error: --against is given more than once. Name all inputs behind one of them.\n"
    )  # fmt: skip
    said = run("out", "--against", "none.jsonl")
    assert (said.exit_code, said.stderr) == (
        66,
        "error: none.jsonl: no such file or folder. Check the path; - reads standard input.\n",
    )


# -------------------------------------------------------------------------------------- chance

JUNK: tuple[Any, ...] = (
    None, True, 0, -1, 7, (1 << 64) - 1, 1.5, "", "x", "../x", "/etc/passwd", "\x00", HASH, [], {},
    [[]], [None], {"x": {}}, {"..": 1}, ["x"] * 3,
)  # fmt: skip


def places(value: Any, place: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Where there is something in a JSON value."""
    found = [place] if place else []
    if isinstance(value, dict):
        return found + [p for key, part in value.items() for p in places(part, (*place, key))]
    if isinstance(value, list):
        return found + [p for key, part in enumerate(value) for p in places(part, (*place, key))]
    return found


def sound_or_told(folder: Path, **options: Any) -> bool:
    """Whether problems were found, and only as problems: anything else raised is a failure."""
    report = verify(str(folder), workers=1, **options)
    if not report.ok:
        with pytest.raises(DataError):
            report.check()
    json.loads(report.as_json())
    return not report.ok


def test_any_byte_of_the_manifest(dataset: Callable[..., Path]) -> None:
    """No byte of a manifest can be another without being told, but for white space."""
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
        assert sound_or_told(folder) != same, (at, bytes(changed[at - 20 : at + 20]))


def test_any_value_of_the_manifest(dataset: Callable[..., Path]) -> None:
    """Junk in a manifest, with a digest that agrees, is told or does not matter; nothing fails."""
    folder = dataset(MIXED, **MIXED_OPTIONS)
    data, choose = (folder / MANIFEST).read_bytes(), random.Random(2)
    value = orjson.loads(data)
    del value["digest"]
    told = 0
    for place in places(value):
        for junk in choose.sample(JUNK, 1):
            (folder / MANIFEST).write_bytes(data)
            edit(folder, put_in(*place, to=junk))
            told += sound_or_told(folder)
    assert told > 80


def put_facts(value: Value, facts: Value) -> None:
    """Let the manifest say this of the first shard."""
    value["shards"][0] |= facts


@pytest.mark.parametrize("format", FORMATS)
def test_any_byte_of_a_shard(dataset: Callable[..., Path], format: str) -> None:  # noqa: A002
    """Damage is told; where the hash was made to agree with it, it may not be, but does no harm."""
    folder = dataset(format=format)
    path = folder / f"{FIRST}.{format}"
    data, choose = path.read_bytes(), random.Random(3)
    manifest = (folder / MANIFEST).read_bytes()
    for at in sorted(choose.sample(range(len(data)), min(len(data), 40))):
        changed = bytearray(data)
        changed[at : at + choose.choice((1, 4))] = choose.randbytes(choose.choice((1, 4)))
        if changed == data:
            continue
        (folder / MANIFEST).write_bytes(manifest)
        path.write_bytes(changed)
        assert sound_or_told(folder)
        facts = {"bytes": len(changed), "sha256": sha256(path)}
        edit(folder, partial(put_facts, facts=facts))
        sound_or_told(folder)
