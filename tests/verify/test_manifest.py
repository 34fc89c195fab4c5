"""manifest: a manifest that contradicts itself is reported, whatever it holds."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from verify.datasets import (
    FIRST,
    NO_HASH,
    SECOND,
    MakeDataset,
    ManifestValue,
    edit_manifest,
    problems,
    setting,
)

from sftprep.dataset.files import MANIFEST
from sftprep.dataset.manifest import load_manifest
from sftprep.formats.names import FORMAT_NAMES
from sftprep.text import shown
from sftprep.verify.manifest import content_problems, stored_recipe, structure_problems

POSITIVE = "expected an integer above 0"
STRUCTURE_FAULTS: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("shards",), {}, "shards is an object with 0 fields; expected a list"),
    (("shards", 0), 7, "shards[0] is 7; expected an object"),
    (("shards", 0), {"name": "x"}, "shards[0].split is missing"),
    (("shards", 0, "rows"), "2", f"shards[0].rows is '2'; {POSITIVE}"),
    (("shards", 0, "rows"), True, f"shards[0].rows is true; {POSITIVE}"),
    (("shards", 1, "tokens"), -3, f"shards[1].tokens is -3; {POSITIVE}"),
    (("shards", 1, "bytes"), 1e30, f"shards[1].bytes is 1e+30; {POSITIVE}"),
    (("shards", 1, "bytes"), 0, f"shards[1].bytes is 0; {POSITIVE}"),
    (("shards", 0, "name"), None, "shards[0].name is null; expected a string"),
    (("inputs", 0, "sha256"), "A", "inputs[0].sha256 is 'A'; expected a SHA-256 in hexadecimal"),
    (("inputs", 0, "dropped"), [], "inputs[0].dropped is a list of 0 items; expected an object"),
    (
        ("counts", "rejected"),
        {"x": -1},
        "counts.rejected['x'] is -1; expected an integer, 0 or more",
    ),
    (("recipe",), None, "recipe is null; expected an object"),
    (
        ("recipe", "format"),
        "pickle",
        f"recipe.format is 'pickle'; expected one of {', '.join(FORMAT_NAMES)}",
    ),
    (
        ("recipe", "format"),
        [],
        f"recipe.format is a list of 0 items; expected one of {', '.join(FORMAT_NAMES)}",
    ),
    (("recipe", "ignore_index"), 0, "recipe.ignore_index is 0; expected an integer below 0"),
    (
        ("tokenizer", "files"),
        {"x": 1},
        "tokenizer.files['x'] is 1; expected a SHA-256 in hexadecimal",
    ),
    (
        ("tokenizer", "model_max_length"),
        "long",
        "tokenizer.model_max_length is 'long'; expected an integer, 0 or more, or null",
    ),
    (("tokenizer", "pad_is_eos"), 0, "tokenizer.pad_is_eos is 0; expected true or false"),
    (("template", "source"), 1, "template.source is 1; expected a string"),
    (("ledgers",), {"x": {}}, "ledgers['x'].entries is missing"),
    (("libraries", "orjson"), 3, "libraries['orjson'] is 3; expected a string"),
    (("fingerprint",), "\x1b", "fingerprint is '\\x1b'; expected a SHA-256 in hexadecimal"),
]


@pytest.mark.parametrize(("place", "junk", "expected"), STRUCTURE_FAULTS)
def test_a_value_of_another_type_is_reported(
    dataset: MakeDataset, place: tuple[str | int, ...], junk: object, expected: str
) -> None:
    """A value of another type is reported with its place; nothing else is checked then."""
    folder = dataset()
    edit_manifest(folder, setting(*place, to=junk))
    assert problems(folder)[0] == f"{MANIFEST}: {expected}"


CONTENT_FAULTS: list[tuple[Callable[[ManifestValue], Any], list[str]]] = [
    (
        setting("inputs", 0, "read", to=5),
        [
            "inputs[0] ('data.jsonl'): 5 records read, but 4 written + 0 dropped + 0 rejected",
            "counts.read is 4; its inputs add up to 5",
        ],
    ),
    (
        setting("counts", "dropped", to={"too_long": 1}),
        [
            "counts: 4 records read, but 4 written + 1 dropped + 0 rejected",
            "counts.dropped['too_long'] is 1; its inputs add up to 0",
            "ledgers['dropped.jsonl'] has 0 entries; counts.dropped says 1",
        ],
    ),
    (
        setting("counts", "tokens", to=21),
        ["counts.tokens is 21; its shards add up to 20"],
    ),
    (
        setting("counts", "trained_tokens", to=1 << 63),
        ["counts.trained_tokens is 9,223,372,036,854,775,808; its shards add up to 12"],
    ),
    (
        setting("digest_of_rows", to="0" * 32),
        [f"digest_of_rows is {'0' * 32}; its shards add up to "],
    ),
    (setting("fingerprint", to=NO_HASH), [f"fingerprint is {NO_HASH}; the rest of the manifest "]),
    (
        setting("recipe", "template", to="chatml"),
        ["template.name is 'plain'; recipe.template is 'chatml'"],
    ),
    (setting("template", "source", to=""), ["template.sha256 is "]),
    (
        setting("tokenizer", "special_tokens", "eos", "id", to=257),
        ["tokenizer.special_tokens['eos'].id is 257; expected 0 to 256"],
    ),
    (
        setting("tokenizer", "added_tokens", to={"<a>": 300}),
        ["tokenizer.added_tokens['<a>'] is 300; expected 0 to 256"],
    ),
    (setting("tokenizer", "vocabulary_size", to=1 << 63), []),
    (setting("recipe", "max_length", to=(1 << 64) - 1), []),
]


@pytest.mark.parametrize(("change", "expected"), CONTENT_FAULTS)
def test_a_value_that_contradicts_the_others_is_reported(
    dataset: MakeDataset, change: Callable[[ManifestValue], Any], expected: list[str]
) -> None:
    """Counts add up, ids are in the vocabulary, and hashes are those of what they describe."""
    folder = dataset()
    edit_manifest(folder, change)
    found = problems(folder)
    assert len(found) == len(expected)
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(f"{MANIFEST}: {start}")
        assert line == f"{MANIFEST}: {start}" or start.endswith(" ")


def test_a_name_that_leads_out_of_the_folder_is_reported(
    dataset: MakeDataset, tmp_path: Path
) -> None:
    """A file outside the folder is not opened: for the check it does not exist."""
    folder = dataset()
    shutil.copy(folder / f"{FIRST}.parquet", tmp_path / "x.parquet")

    def change(value: ManifestValue) -> None:
        value["shards"][0]["name"] = "../x.parquet"
        value["shards"][1]["name"] = str(tmp_path / "x.parquet")
        value["tokenizer"]["files"]["/etc/passwd"] = NO_HASH
        value["ledgers"]["../data.jsonl"] = {"entries": 1, "bytes": 1, "sha256": NO_HASH}

    edit_manifest(folder, change)
    away = str(tmp_path / "x.parquet")
    assert problems(folder) == [
        f"{MANIFEST}: shards[0].name is '../x.parquet'; expected '{FIRST}.parquet'",
        f"{MANIFEST}: shards[1].name is {shown(away)}; expected '{SECOND}.parquet'",
        f"{MANIFEST}: ledgers has '../data.jsonl'; expected only dropped.jsonl and rejects.jsonl",
        f"{MANIFEST}: tokenizer.files has '/etc/passwd'; expected only files in tokenizer/",
        "../x.parquet: is missing",
        f"{away}: is missing",
        "../data.jsonl: is missing",
        "/etc/passwd: is missing",
        "data: is a folder that the manifest does not name",
    ]


def test_the_card_is_named(dataset: MakeDataset) -> None:
    """The card is a file of every dataset, and the only one of its kind."""
    folder = dataset()
    edit_manifest(folder, setting("files", to={"../x": NO_HASH}))
    assert problems(folder) == [
        f"{MANIFEST}: files has '../x'; expected only README.md",
        "../x: is missing",
        "README.md: is a file that the manifest does not name",
    ]


def test_splits(dataset: MakeDataset) -> None:
    """The shards of each split are numbered by themselves, and the splits are in order."""
    folder = dataset()

    def change(value: ManifestValue) -> None:
        value["shards"][0]["split"] = "validation"
        value["shards"][0]["name"] = "data/validation-00000-of-00001.parquet"

    edit_manifest(folder, change)
    assert problems(folder)[:3] == [
        f"{MANIFEST}: shards is not in the order of the splits: train, validation, test",
        f"{MANIFEST}: shards[0].index.name is 'index/train-00000-of-00002.parquet'; expected "
        "'index/validation-00000-of-00001.parquet'",
        f"{MANIFEST}: shards[1].name is '{SECOND}.parquet'; expected "
        "'data/train-00000-of-00001.parquet'",
    ]
    edit_manifest(folder, setting("shards", 0, "split", to="dev"))
    assert problems(folder) == [
        f"{MANIFEST}: shards[0].split is 'dev'; expected one of train, validation, test"
    ]


def test_a_dataset_without_shards_is_reported(dataset: MakeDataset) -> None:
    """A dataset has at least one shard, since a dataset without rows is never written."""
    folder = dataset()
    edit_manifest(folder, setting("shards", to=[]))
    assert problems(folder)[-3:] == [
        f"{MANIFEST}: shards is empty; expected at least one",
        "data: is a folder that the manifest does not name",
        "index: is a folder that the manifest does not name",
    ]


@pytest.mark.parametrize(
    ("option", "junk", "expected"),
    [
        (
            "truncation",
            "dro",
            "--truncation is 'dro', which is not allowed. Did you mean 'drop'?",
        ),
        ("per_turn", [[]], "--per-turn is a list of 1 item; expected true or false"),
        (
            "template_arg",
            ["x=1e999"],
            "--template-arg 'x=1e999': '1e999' does not fit a 64-bit float. Correct the value",
        ),
        (
            "template_arg",
            ['x={"a": 1, "a": 2}'],
            """--template-arg 'x={"a": 1, "a": 2}': a key occurs twice in one object. """
            "Correct the value",
        ),
        ("field", 7, "--field is 7; expected a list of strings"),
    ],
)
def test_an_option_that_prepare_would_refuse_is_reported(
    dataset: MakeDataset, option: str, junk: object, expected: str
) -> None:
    """A recipe in a manifest is checked as any recipe is."""
    folder = dataset()
    edit_manifest(folder, setting("recipe", option, to=junk))
    assert problems(folder) == [f"{MANIFEST}: its recipe cannot be used: {expected}"]


def test_the_stored_recipe_has_the_options_of_the_build(dataset: MakeDataset) -> None:
    """Options come back as they were given, except that the backend is the reference one."""
    manifest = load_manifest(dataset(template="qa", format="jsonl", max_length=90))
    assert structure_problems(manifest) == content_problems(manifest) == []
    recipe = stored_recipe(manifest)
    assert (recipe.template, recipe.format, recipe.max_length) == ("qa", "jsonl", 90)
    assert (recipe.shard_bytes, recipe.backend) == (60, "hf")
