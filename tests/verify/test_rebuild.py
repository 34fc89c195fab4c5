"""rebuild: the inputs of a dataset give its rows again, and any difference is named."""

import builtins
import gzip
import hashlib
import io
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, recipe, tree, write_jsonl
from verify.datasets import (
    FIRST,
    NO_HASH,
    RECORDS,
    SECOND,
    MakeDataset,
    ManifestValue,
    change_rows,
    edit_manifest,
    manifest_of,
    problems,
    put,
    run,
    setting,
    sha256,
)

from sftprep import Recipe, prepare
from sftprep.dataset.files import MANIFEST
from sftprep.errors import StorageError
from sftprep.targets.names import TARGET_FORMATS
from sftprep.verify.check import verify

# --- the same rows ------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", TARGET_FORMATS["hf"])
def test_the_inputs_give_the_rows_again(dataset: MakeDataset, format_name: str) -> None:
    """The inputs of a sound dataset give the same rows, and nothing is written beside it."""
    folder = dataset(format=format_name)
    before = tree(Path())
    report = verify(str(folder), against=["data.jsonl"], workers=1)
    assert report.problems == []
    files = len([path for path in folder.rglob("*") if path.is_file()]) - 1  # the manifest
    assert report.summary() == (
        f"out: verified: 4 rows in 2 shards, 20 tokens, {files} files; 1 input rendered and encoded "
        "again, with the same result; no problems found"
    )
    assert tree(Path()) == before


@pytest.mark.parametrize(
    "options",
    [
        {"template": "chatml", "train_on": "last"},
        {"template": "chatml", "boundary": "joint", "truncation": "balanced", "max_length": 100},
        {"template": "tokenizer", "per_turn": True, "truncation": "oldest-turns"},
        {"template": "mine.yaml", "system": "Be brief.", "add_token": ("<|u|>", "sep=<|s|>")},
        {"template": "zephyr", "end_of_turn": "<|endoftext|>"},
        {"template": "zephyr.yaml", "plain_text": ("<|u|>",), "separator": r"\n\\n"},
        {"template": "zephyr.yaml", "add_token": ("<|u|>",), "end_of_turn": "<|u|>"},
        {"template": "plain", "on_omission": "count"},
    ],
)
def test_a_dataset_holds_all_that_is_needed_to_rebuild_it(
    tmp_path: Path, options: ManifestValue
) -> None:
    """Recipe, template and tokenizer come from the dataset: the user's files may be gone."""
    source = tmp_path / "messages.jsonl"
    shutil.copy(SAMPLE_DATA / "messages.jsonl", source)
    tokenizer = tmp_path / "tokenizer"
    shutil.copytree(SAMPLE_TOKENIZER, tokenizer)
    mine = tmp_path / "mine.yaml"
    mine.write_text(
        "system: '{content}{separator}'\nuser: '<|u|>{content}\n'\n"
        "assistant: {header: 'A:', body: ' {content}{eos}'}\n"
    )
    named_as_builtin = tmp_path / "zephyr.yaml"
    named_as_builtin.write_text(
        "system: '{content};'\nuser: '<|u|>{content}{separator}'\nassistant: {body: '{content}'}\n"
    )
    (tokenizer / "generation_config.json").write_text('{"eos_token_id": [2, 3]}')
    files = {path.name: str(path) for path in (mine, named_as_builtin)}
    options = options | {"template": files.get(options["template"], options["template"])}
    made = prepare(recipe(source, tmp_path / "out", tokenizer, shard_size="8KB", **options))
    stops = ["<|im_start|>", "<|im_end|>"]
    assert made.manifest.tokenizer["stop_tokens"] == [
        *filter(None, [options.get("end_of_turn")]),
        *stops,
    ]
    for path in (mine, named_as_builtin):
        path.unlink()
    shutil.rmtree(tokenizer)
    assert problems(tmp_path / "out", against=[str(source)]) == []


def test_compressed_inputs_and_standard_input_can_be_compared(
    dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs are recognized by their bytes as stored, whatever their names are now."""
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
        "two: verified: 8 rows in 1 shard, 40 tokens, 6 files; 2 inputs rendered and encoded "
        "again, with the same result; no problems found\n"
    )


# --- other rows ---------------------------------------------------------------------------------


def test_a_forged_token_is_found_with_the_inputs(dataset: MakeDataset) -> None:
    """A token that was changed together with every hash is found, and its record named."""
    folder = dataset()
    change_rows(folder, put("input_ids", 1, 0, 110), SECOND)
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == [
        f"{SECOND}.parquet: row 1: token 0 is id 110 with label -100; expected id 109 with label "
        "-100 (record data.jsonl:4)"
    ]


def test_several_workers_find_the_first_difference(dataset: MakeDataset) -> None:
    """The first difference in input order is named, whichever worker finishes first."""
    folder = dataset(RECORDS * 10)
    change_rows(folder, put("labels", 0, -1, -100), "data/train-00016-of-00020")
    change_rows(folder, put("labels", 1, -1, -100), "data/train-00013-of-00020")
    report = verify(str(folder), against=["data.jsonl"], workers=2)
    assert list(map(str, report.problems)) == [
        "data/train-00013-of-00020.parquet: row 1: token 4 is id 256 with label -100; expected "
        "id 256 with label 256 (record data.jsonl:28)"
    ]


# --- other inputs -------------------------------------------------------------------------------


def test_another_input_is_reported_by_its_hash(dataset: MakeDataset, tmp_path: Path) -> None:
    """An input with another hash, or another number of inputs, is reported; no row is compared."""
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


def test_inputs_in_another_order_are_reported(dataset: MakeDataset, tmp_path: Path) -> None:
    """Inputs that the manifest names in another order are reported as such."""
    folder = dataset()
    write_jsonl(tmp_path / "b.jsonl", RECORDS[:3])
    inputs = ("data.jsonl", "b.jsonl")
    prepare(Recipe(inputs=inputs, output="two", tokenizer=str(folder / "tokenizer"), workers=1))
    assert problems(Path("two"), against=["b.jsonl", "data.jsonl"]) == [
        "b.jsonl: is input 2 of the manifest; expected input 1, data.jsonl",
        "data.jsonl: is input 1 of the manifest; expected input 2, b.jsonl",
    ]


def test_another_stream_is_reported_beside_the_row_that_differs(
    dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash of standard input is known only at its end; a wrong one is still reported."""
    folder = dataset()
    data = Path("data.jsonl").read_bytes().replace(b"ef", b"eF")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    assert problems(folder, against=["-"]) == [
        f"{FIRST}.parquet: row 1: token 1 is id 102 with label -100; expected id 70 with label "
        "-100 (record data.jsonl:2)",
        f"-: SHA-256 is {hashlib.sha256(data).hexdigest()}; the manifest says "
        f"{sha256(Path('data.jsonl'))} for input 1, data.jsonl",
    ]


def test_another_stream_is_reported_where_all_rows_are_equal(
    dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Standard input with one more blank line gives the same rows, and is another input."""
    folder = dataset()
    data = Path("data.jsonl").read_bytes() + b"\n"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    size = Path("data.jsonl").stat().st_size
    assert problems(folder, against=["-"]) == [
        f"-: SHA-256 is {hashlib.sha256(data).hexdigest()}; the manifest says "
        f"{sha256(Path('data.jsonl'))} for input 1, data.jsonl",
        f"{MANIFEST}: inputs[0].blank_lines is 0; the inputs give 1",
        f"{MANIFEST}: inputs[0].bytes is {size}; the inputs give {size + 1}",
        f"{MANIFEST}: counts.blank_lines is 0; the inputs give 1",
    ]


def test_an_input_without_permission_is_a_storage_error(
    dataset: MakeDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An input that cannot be read is an error, not a problem of the dataset."""
    folder = dataset()
    real = builtins.open

    def fail(path: Any, *args: Any, **options: Any) -> object:
        if path == "data.jsonl":
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **options)

    monkeypatch.setattr(builtins, "open", fail)
    with pytest.raises(StorageError) as error:
        problems(folder, against=["data.jsonl"])
    assert str(error.value) == (
        "data.jsonl: cannot be read: Permission denied. Check the file and its permissions."
    )


# --- what the dataset was built with ------------------------------------------------------------


def test_a_tokenizer_that_loads_differently_now_is_reported(dataset: MakeDataset) -> None:
    """A stored tokenizer that gives another one when loaded is reported with both versions."""
    folder = dataset()
    resolved = manifest_of(folder)["tokenizer"]["sha256"]
    now = manifest_of(folder)["libraries"]

    def change(value: ManifestValue) -> None:
        value["tokenizer"]["sha256"] = NO_HASH
        value["libraries"]["tokenizers"] = "0.1"

    edit_manifest(folder, change)
    assert problems(folder, against=["data.jsonl"]) == [
        f"tokenizer: cannot be used: loading it gives SHA-256 {resolved}; the manifest says "
        f"{NO_HASH} (transformers {now['transformers']} then, {now['transformers']} now; "
        f"tokenizers 0.1 then, {now['tokenizers']} now)"
    ]


def test_what_the_manifest_tells_trainers_is_checked(dataset: MakeDataset) -> None:
    """The manifest's facts on the tokenizer and the inputs are compared with the files."""
    folder = dataset()
    edit_manifest(folder, setting("tokenizer", "special_tokens", "eos", "id", to=0))
    edit_manifest(folder, setting("tokenizer", "vocabulary_size", to=1000))
    edit_manifest(folder, setting("tokenizer", "stop_tokens", to=["<x>"]))
    edit_manifest(folder, setting("tokenizer", "adds_bos", to=True))
    edit_manifest(folder, setting("inputs", 0, "bytes", to=7))
    size = Path("data.jsonl").stat().st_size
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == [
        f"{MANIFEST}: tokenizer.vocabulary_size is 1000; the saved tokenizer has 257",
        f'{MANIFEST}: tokenizer.special_tokens is {{"eos":{{"token":"</s>","id":0}}}}; the saved '
        'tokenizer has {"eos":{"token":"</s>","id":256}}',
        f"{MANIFEST}: tokenizer.adds_bos is true; the saved tokenizer has false",
        f'{MANIFEST}: tokenizer.stop_tokens is ["<x>"]; the saved tokenizer has ["</s>"]',
        f"{MANIFEST}: inputs[0].bytes is 7; the inputs give {size}",
    ]


def test_other_versions_of_libraries_are_noted(dataset: MakeDataset) -> None:
    """A library with another version now is noted, since it may be why rows differ."""
    folder = dataset()
    now = manifest_of(folder)["libraries"]["orjson"]
    edit_manifest(folder, setting("libraries", "orjson", to="3.0\x1b"))
    said = run("out", "--against", "data.jsonl", "--workers", "1")
    assert (said.exit_code, said.stderr) == (
        0,
        f"note: the dataset was built with orjson 3.0\\x1b (now {now}).\n",
    )


@pytest.mark.parametrize(
    ("name", "source", "expected"),
    [
        ("plain", "[" * 9999, "template.source: a template is a mapping of keys; found null"),
        ("plain", "{user: 1, assistant: {body: a}}", "template.source: user is 1; expected a "),
        ("x.jinja", "{% if %}", "chat template x.jinja, line 1: "),
    ],
)
def test_a_stored_template_that_cannot_be_used_is_reported(
    dataset: MakeDataset, name: str, source: str, expected: str
) -> None:
    """The template in a manifest may hold anything; a bad one is a problem of the manifest."""
    folder = dataset()

    def change(value: ManifestValue) -> None:
        value["recipe"]["template"] = value["template"]["name"] = name
        value["template"]["source"] = source
        value["template"]["sha256"] = hashlib.sha256(source.encode()).hexdigest()

    edit_manifest(folder, change)
    (found,) = problems(folder, against=["data.jsonl"])
    assert found.startswith(f"{MANIFEST}: the dataset cannot be rebuilt: {expected}")
