"""An equal and whole dataset is reused; of any other, the difference is named."""

import io
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from toys import byte_hf, save_folder, tree, write_jsonl

import sftprep.plan
from sftprep import Recipe, prepare
from sftprep.dataset.files import MANIFEST
from sftprep.errors import OutputError

Build = Callable[..., str]
TEMPLATE = "system: '{content}|'\nuser: '{content}:'\nassistant: {body: '{content}{eos}'}\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder with two inputs, a tokenizer, a template, and ``out``, the dataset of these."""
    folder = tmp_path_factory.mktemp("made")
    good = [{"prompt": f"{n}", "completion": "x" * n} for n in range(1, 9)]
    write_jsonl(folder / "a.jsonl", [*good, {"prompt": "no completion"}])
    write_jsonl(folder / "b.jsonl", [{"prompt": "long", "completion": "y" * 99}, *good])
    save_folder(byte_hf(["</s>"]), folder / "tokenizer", eos_token="</s>")
    (folder / "own.yaml").write_text(TEMPLATE)
    prepare(options(folder))
    assert set(tree(folder / "out")) == {
        *(f"data/train-0000{n}-of-00003.jsonl" for n in range(3)),
        *(f"index/train-0000{n}-of-00003.parquet" for n in range(3)), "README.md",
        "tokenizer/tokenizer.json", "tokenizer/tokenizer_config.json",
        "rejects.jsonl", "dropped.jsonl", MANIFEST,
    }  # fmt: skip
    return folder


def options(folder: Path, **changed: Any) -> Recipe:
    """Give the recipe of the dataset, with changes."""
    values: dict[str, Any] = {
        "inputs": (str(folder / "a.jsonl"), str(folder / "b.jsonl")),
        "output": str(folder / "out"),
        "tokenizer": str(folder / "tokenizer"),
        "template": str(folder / "own.yaml"),
        "format": "jsonl",
        "max_length": 50,
        "on_error": "quarantine",
        "shard_size": "250B",
        "workers": 1,
    }
    return Recipe(**values | changed)


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """Copy the folder for one test."""
    shutil.copytree(made, tmp_path / "here", symlinks=True)
    return tmp_path / "here"


def refusal(recipe: Recipe) -> str:
    """Run, and give the message of the refusal; the run may change nothing."""
    output = Path(str(recipe.output))
    before, inode = tree(output.parent), output.stat().st_ino
    with pytest.raises(OutputError) as caught:
        prepare(recipe)
    assert caught.value.exit_code == 73
    assert (before, inode) == (tree(output.parent), output.stat().st_ino)
    return str(caught.value)


# --- unchanged ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changed",
    [{}, {"resume": True}, {"resume": True, "overwrite": True}, {"workers": 2}, {"backend": "hf"}],
)
def test_unchanged(here: Path, changed: dict[str, Any]) -> None:
    """An equal dataset is not touched, and its manifest is the result."""
    before, inode = tree(here), (here / "out").stat().st_ino
    result = prepare(options(here, **changed))
    assert result.status == "unchanged"
    assert result.manifest.dump() == before[f"out/{MANIFEST}"]
    assert (before, inode) == (tree(here), (here / "out").stat().st_ino)


def test_unchanged_from_another_folder(
    here: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs, tokenizer and template are compared by name and content, not by their folder."""
    shutil.copytree(here, tmp_path / "there")
    monkeypatch.chdir(here)
    shutil.move("out", tmp_path / "there" / "moved")
    recipe = options(Path("../there"), output="../there/moved")
    assert prepare(recipe).status == "unchanged"


def test_overwrite_builds_again(here: Path) -> None:
    """With ``overwrite`` alone even an equal dataset is built again."""
    before, inode = tree(here), (here / "out").stat().st_ino
    assert prepare(options(here, overwrite=True)).status == "written"
    assert before == tree(here)
    assert inode != (here / "out").stat().st_ino


# --- differences --------------------------------------------------------------------------------

OVERWRITE = "Choose another --output, or pass --overwrite to replace it."
SETTINGS = "built with different settings: {}. " + OVERWRITE
INPUT = "built from different input: {}. " + OVERWRITE


@pytest.mark.parametrize(
    ("changed", "difference"),
    [
        ({"max_length": 51}, "--max-length was 50 and is 51"),
        ({"shard_size": "251B"}, "--shard-size was 250 and is 251"),
        ({"format": "parquet"}, "--format was 'jsonl' and is 'parquet'"),
        ({"ignore_index": -7}, "--ignore-index was -100 and is -7"),
        ({"on_error": "fail"}, "--on-error was 'quarantine' and is 'fail'"),
        ({"max_rejects": "5"}, "--max-rejects was null and is '5'"),
        ({"system": "Be kind"}, "--system was null and is 'Be kind'"),
        ({"field": ("prompt=prompt",)}, "--field was none and is 'prompt=prompt'"),
        ({"truncation": "keep-end"}, "--truncation was 'drop' and is 'keep-end'"),
        ({"template": "qa"}, "--template was 'own' and is 'qa'"),
        (
            {"max_length": 51, "format": "arrow"},
            "--max-length was 50 and is 51; --format was 'jsonl' and is 'arrow'",
        ),
        ({"add_token": ("<x>",)}, "--add-token was none and is '<x>'"),
    ],
)
@pytest.mark.parametrize("resume", [False, True])
def test_other_options(here: Path, changed: dict[str, Any], difference: str, resume: bool) -> None:
    """Each option that differs is named with both values, also with ``resume``."""
    text = refusal(options(here, resume=resume, **changed))
    assert text == f"{here}/out: the dataset in it was {SETTINGS.format(difference)}"


def test_another_template(here: Path) -> None:
    """A template of the same name with other content is a different template."""
    (here / "own.yaml").write_text(TEMPLATE + "# other\n")
    text = refusal(options(here))
    assert text == f"{here}/out: the dataset in it was {SETTINGS.format('the template differs')}"


def test_another_tokenizer(here: Path) -> None:
    """A tokenizer of the same name with other content is a different tokenizer."""
    save_folder(byte_hf(["</s>"], [("x", "x")]), here / "tokenizer", eos_token="</s>")
    text = refusal(options(here))
    assert f"{here}/out: the dataset in it was {SETTINGS.format('the tokenizer differs')}" == text


def test_another_version(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dataset made with another version of a library is not reused: its bytes may differ."""
    versions = sftprep.plan.library_versions()
    monkeypatch.setattr(sftprep.plan, "library_versions", lambda **_: versions | {"orjson": "0"})
    expected = SETTINGS.format(f"the version of orjson was '{versions['orjson']}' and is '0'")
    assert f"{here}/out: the dataset in it was {expected}" == refusal(options(here))


@pytest.mark.parametrize(
    ("names", "difference"),
    [
        (("a.jsonl",), "the number of inputs was 2 and is 1"),
        (("a.jsonl", "b.jsonl", "c.jsonl"), "the number of inputs was 2 and is 3"),
        (("b.jsonl", "a.jsonl"), "input 1 was a.jsonl and is b.jsonl"),
        (("a.jsonl", "c.jsonl"), "input 2 was b.jsonl and is c.jsonl"),
    ],
)
def test_other_inputs(here: Path, names: tuple[str, ...], difference: str) -> None:
    """Inputs are compared by number, order and name."""
    shutil.copy(here / "b.jsonl", here / "c.jsonl")
    text = refusal(options(here, inputs=tuple(str(here / name) for name in names)))
    assert text == f"{here}/out: the dataset in it was {INPUT.format(difference)}"


@pytest.mark.parametrize("name", ["a.jsonl", "b.jsonl"])
@pytest.mark.parametrize("flags", [{}, {"resume": True}])
@pytest.mark.parametrize("damage", [False, True])
def test_changed_input(here: Path, name: str, flags: dict[str, bool], damage: bool) -> None:
    """A changed input is named; a damaged dataset of other input is not replaced."""
    with (here / name).open("a") as file:
        file.write("\n")
    if damage:
        (here / "out" / "data" / "train-00001-of-00003.jsonl").write_bytes(b"")
    text = refusal(options(here, **flags))
    what = f"the content of input {name} has changed"
    assert text == f"{here}/out: the dataset in it was {INPUT.format(what)}"


def test_overwrite_replaces_other_settings(here: Path) -> None:
    """With ``overwrite`` a dataset of other settings is replaced, also with ``resume``."""
    for number, flags in enumerate(({"overwrite": True}, {"overwrite": True, "resume": True})):
        result = prepare(options(here, max_length=60 + number, **flags))
        assert (result.status, result.manifest.recipe["max_length"]) == ("written", 60 + number)


# --- damage -------------------------------------------------------------------------------------

SHARD = "data/train-00001-of-00003.jsonl"


def damage(folder: Path, kind: str) -> str:
    """Damage a dataset; give the description of the damage."""
    changed = {
        "shard": SHARD,
        "index": "index/train-00001-of-00003.parquet",
        "tokenizer": "tokenizer/tokenizer.json",
        "ledger": "rejects.jsonl",
        "card": "README.md",
    }
    manifest = folder / MANIFEST
    if kind in changed:
        data = (folder / changed[kind]).read_bytes()
        (folder / changed[kind]).write_bytes(bytes([data[0] ^ 1]) + data[1:])
        return f"the SHA-256 of {changed[kind]} is not the one in manifest.json"
    if kind == "longer":
        with (folder / SHARD).open("ab") as file:
            file.write(b"\n")
        return f"the SHA-256 of {SHARD} is not the one in manifest.json"
    if kind == "gone":
        (folder / SHARD).unlink()
        return f"{SHARD}: No such file or directory"
    if kind.startswith("link"):
        name = SHARD if kind == "link" else "data"
        (folder / name).rename(folder.parent / "elsewhere")
        (folder / name).symlink_to(folder.parent / "elsewhere")
        too_many = f"{SHARD}: Too many levels of symbolic links"
        return too_many if kind == "link" else "data is not one of its files"
    if kind == "edited":
        value = json.loads(manifest.read_bytes())
        value["counts"]["written"] += 1
        manifest.write_text(json.dumps(value, indent=2))
        return (
            f"{manifest}: has been changed since it was written: its digest does not match. Build "
            "the dataset again"
        )
    data = manifest.read_bytes()
    manifest.write_bytes(data[:500])
    return f"{manifest}: is damaged: unexpected end of data: line"


KINDS = [
    "shard", "index", "tokenizer", "ledger", "card", "longer", "gone", "link", "linked folder",
    "edited", "torn",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_damaged(here: Path, kind: str) -> None:
    """A damaged dataset is refused with what is wrong, and not touched."""
    what = damage(here / "out", kind)
    text = refusal(options(here))
    assert text.startswith(f"{here}/out: the dataset in it is damaged: {what}")
    assert text.endswith(". Choose another --output, or pass --resume to build it again.")
    if kind != "torn":
        assert text == (
            f"{here}/out: the dataset in it is damaged: {what}. Choose another --output, or pass "
            "--resume to build it again."
        )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("flag", ["resume", "overwrite"])
def test_damaged_is_built_again(made: Path, here: Path, kind: str, flag: str) -> None:
    """With ``resume`` or ``overwrite`` a damaged dataset is built again, to the same bytes."""
    damage(here / "out", kind)
    result = prepare(options(here, **{flag: True}))
    assert result.status == "written"
    assert tree(made / "out") == tree(here / "out")


# --- streams ------------------------------------------------------------------------------------


@pytest.fixture
def stream(here: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    """Make a dataset from standard input; give a function that makes its recipe again."""

    def make(text: bytes, **changed: Any) -> Recipe:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return options(here, inputs=("-",), output=str(here / "piped"), **changed)

    prepare(make((here / "a.jsonl").read_bytes()))
    return make


def test_stream_is_compared(here: Path, stream: Callable[..., Recipe]) -> None:
    """Standard input is compared by its bytes."""
    data = (here / "a.jsonl").read_bytes()
    for flags in ({}, {"resume": True}):
        assert prepare(stream(data, **flags)).status == "unchanged"
    text = refusal(stream(data + b"\n"))
    what = "the content of input stdin has changed"
    assert text == f"{here}/piped: the dataset in it was {INPUT.format(what)}"


@pytest.mark.parametrize("flags", [{"overwrite": True}, {"overwrite": True, "resume": True}])
def test_stream_is_built_from(
    here: Path, stream: Callable[..., Recipe], flags: dict[str, bool]
) -> None:
    """With ``overwrite`` standard input is not used up by comparing: it can be read only once."""
    before = tree(here)
    result = prepare(stream((here / "a.jsonl").read_bytes(), **flags))
    assert (result.status, result.manifest.counts["read"]) == ("written", 9)
    assert before == tree(here)


def test_damaged_and_from_a_stream(here: Path, stream: Callable[..., Recipe]) -> None:
    """With ``resume`` a damaged dataset is built again from standard input, uncompared."""
    before = tree(here)
    (here / "piped" / "rejects.jsonl").unlink()
    data = (here / "a.jsonl").read_bytes()
    assert prepare(stream(data, resume=True)).status == "written"
    assert before == tree(here)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="the system has no FIFOs")
def test_options_are_compared_before_a_stream_is_read(
    here: Path, stream: Callable[..., Recipe]
) -> None:
    """If an option differs, no stream is read: perhaps nobody writes into the pipe."""
    stream((here / "a.jsonl").read_bytes())
    os.mkfifo(here / "fifo")
    recipe = options(here, inputs=(str(here / "fifo"),), output=str(here / "piped"), max_length=7)
    assert refusal(recipe) == (
        f"{here}/piped: the dataset in it was {SETTINGS.format('--max-length was 50 and is 7')}"
    )
