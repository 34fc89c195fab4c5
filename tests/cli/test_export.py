"""cli: what a user sees of the options that arrange rows, in ``prepare`` and in ``export``."""

import json
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from profiles import some
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, byte_hf, save_folder, tree, write_jsonl
from typer.testing import CliRunner

from sftprep import load_manifest
from sftprep.cli.app import app
from sftprep.errors import UsageError
from sftprep.recipe import Recipe, exportable, options

SOURCES = (SAMPLE_DATA / "messages.jsonl", SAMPLE_DATA / "prompt_completion.jsonl")
DONE = re.compile(r"^done in .*\n", re.MULTILINE)
"""The line about time and sizes, which is never the same."""
EXPECTED_CODES = {0, 2, 65, 66, 73}


class Ran(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def run(*args: object) -> Ran:
    """Run the command in this process."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return Ran(result.exit_code, result.stdout, DONE.sub("", result.stderr))


def prepare(output: Path, *more: object) -> Ran:
    """Run ``sftprep prepare`` with two files of sample data."""
    fixed = ("--template", "chatml", "--tokenizer", SAMPLE_TOKENIZER, "--workers", 1)
    return run("prepare", *SOURCES, "--output", output, *fixed, *more)


def export(folder: Path, output: Path, *more: object) -> Ran:
    """Run ``sftprep export``."""
    return run("export", folder, "--output", output, "--workers", 1, *more)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose rows are not arranged."""
    folder = tmp_path_factory.mktemp("plain") / "plain"
    assert prepare(folder, "--max-length", 512, "--quiet") == Ran(0, "", "")
    return folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder that does not exist yet."""
    return tmp_path / "out"


# --- the same bytes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        ("--shuffle", "--seed", 3, "--pack", "--shard-size", "4KiB"),
        ("--validation", "20%", "--test", 5, "--dedup", "exact", "--format", "jsonl"),
        ("--repeat", "messages.jsonl=2.5", "--sample", "80%", "--pad", "multiple-of:8"),
    ],
)
def test_export_gives_the_bytes_of_prepare(plain: Path, out: Path, options: tuple[Any]) -> None:
    """A dataset that is prepared and then exported is the one that is prepared at once."""
    at_once = out.with_name("at-once")
    assert prepare(at_once, "--max-length", 512, "--quiet", *options) == Ran(0, "", "")
    assert export(plain, out, "--quiet", *options) == Ran(0, "", "")
    assert comparable(tree(at_once)) == comparable(tree(out))
    assert prepare(out, "--max-length", 512, *options).out == (
        f"{out}: already complete, from the same input and options; nothing was done\n"
    )


def comparable(files: dict[str, bytes]) -> dict[str, Any]:
    """Return files without what only the input can tell.

    That is whether prompts are nearly the same, and how the input is divided by a shard size.
    """
    manifest = json.loads(files["manifest.json"])
    manifest["arrangement"].get("prompts_in_two_splits", {}).pop("normalized", None)
    del manifest["digest"], manifest["input_shards"]
    return {**files, "manifest.json": manifest}


def test_packs_of_another_length(plain: Path, out: Path, tmp_path: Path) -> None:
    """``--max-length`` and ``--pack-length`` of ``export`` are the length of a pack."""
    assert export(plain, out, "--pack", "--quiet").code == 0
    assert load_manifest(out).recipe["pack_length"] == 512
    for name in ("--max-length", "--pack-length"):
        assert export(out, tmp_path / name, name, 1024, "--quiet") == Ran(0, "", "")
        assert load_manifest(tmp_path / name).recipe["pack_length"] == 1024
    assert tree(tmp_path / "--max-length") == tree(tmp_path / "--pack-length")


def test_what_is_turned_off(plain: Path, out: Path, tmp_path: Path) -> None:
    """``--no-pack`` and ``--no-shuffle`` turn off what the dataset has."""
    both, shuffled, packed = tmp_path / "both", tmp_path / "shuffled", tmp_path / "packed"
    assert export(plain, both, "--pack", "--shuffle", "--quiet").code == 0
    for name, option, undone in (
        (shuffled, "--shuffle", "--no-pack"), (packed, "--pack", "--no-shuffle")
    ):  # fmt: skip
        assert export(plain, name, option, "--quiet").code == 0
        assert export(both, out, undone, "--overwrite", "--quiet") == Ran(0, "", "")
        assert tree(out) == tree(name)


# --- what is shown --------------------------------------------------------------------------------


def test_summary(plain: Path, out: Path) -> None:
    """The summary says how the rows were arranged."""
    options = ("--validation", "20%", "--repeat", "mess*=2", "--shuffle", "--pack", "--pad",
               "max-length")  # fmt: skip
    ran = export(plain, out, *options)
    facts = load_manifest(out).arrangement["splits"]
    assert (ran.code, ran.err) == (0, "")
    lines = [line[:13].strip() for line in ran.out.splitlines()[1:]]
    headings = [line for line in lines if line]
    assert headings == [
        "read", "flags", "dropped", "splits", "mix", "order", "packs", "steps",
        "tokenizer", "padding",
    ]  # fmt: skip
    packs = sum(split["packs"] for split in facts.values())
    documents = sum(split["documents"] for split in facts.values())
    assert ran.out.startswith(f"{out}: {packs} packs of {documents} documents in 2 shards, ")


def test_json(plain: Path, out: Path) -> None:
    """``--json`` prints the status and the manifest; a second run finds nothing to do."""
    ran = export(plain, out, "--shuffle", "--json")
    assert (ran.code, ran.err) == (0, "")
    shown = json.loads(ran.out)
    assert shown == {"status": "written", **json.loads((out / "manifest.json").read_text())}
    again = json.loads(export(plain, out, "--shuffle", "--json").out)
    assert again == {**shown, "status": "unchanged"}


def test_print_recipe(plain: Path, out: Path) -> None:
    """The recipe that is shown is the dataset's, with the options that were given."""
    ran = export(plain, out, "--pack", "--seed", 3, "--shuffle", "--print-recipe")
    assert ran.code == 0
    lines = ran.out.splitlines()
    for line in ("pack: true", "seed: 3", "template: chatml", "max_length: 512", f"output: {out}"):
        assert line in lines
    assert not out.exists()


def test_options_from_a_file(plain: Path, out: Path, tmp_path: Path) -> None:
    """Options can come from a YAML file; those that belong to ``prepare`` are refused."""
    path = tmp_path / "r.yaml"
    path.write_text(f"output: {out}\npack: true\npack-length: 600\n")
    assert run("export", plain, "--recipe", path, "--quiet") == Ran(0, "", "")
    assert load_manifest(out).recipe["pack_length"] == 600
    path.write_text("template: qa\n")
    ran = run("export", plain, "--recipe", path)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err == (
        f"error: {path}: template cannot be used here, because the rows of a dataset are made by "
        f"prepare. Remove it; what can be used is {', '.join(sorted_as_declared(exportable()))}.\n"
    )


def sorted_as_declared(names: tuple[str, ...]) -> list[str]:
    """Return names of options in the order of the recipe."""
    return [option.name for option in options() if option.name in names]


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", 1), "--seed needs --shuffle, --validation, --test, --sample or a --repeat with "
                        "a fraction: without them, nothing is left to chance. Add what is missing, "
                        "or remove --seed."),
        (("--pack-length", 9), "--pack-length needs --pack: without it, rows are not packed. Add "
                               "what is missing, or remove --pack-length."),
        (("--pad", "max"), "--pad is 'max', which is not allowed. Did you mean 'max-length'?"),
        (
            ("--repeat", "message.jsonl=2"),
            "--repeat 'message.jsonl=2': no input has a name that matches 'message.jsonl'. Did you "
            "mean 'messages.jsonl'?",
        ),
        (("--validation", "0"), "--validation is '0', which asks for no row. Use more, or remove "
                                "the option."),
    ],
)  # fmt: skip
def test_refused_before_anything_is_read(
    plain: Path, out: Path, options: tuple[Any], message: str
) -> None:
    """Options that cannot be used end both commands in the same way, and nothing is written."""
    expected = Ran(2, "", f"error: {message}\n")
    assert prepare(out, *options) == expected
    assert export(plain, out, *options) == expected
    assert list(out.parent.iterdir()) == []


def test_packs_that_are_too_short(plain: Path, out: Path) -> None:
    """A pack must hold the longest row: the options tell in ``prepare``, the rows in ``export``."""
    assert prepare(out, "--max-length", 512, "--pack", "--pack-length", 300) == Ran(
        2, "", "error: a row can have 512 tokens, but a pack only 300, and rows are not cut for "
        "packing. Lower --max-length, or raise --pack-length.\n",
    )  # fmt: skip
    assert export(plain, out, "--pack", "--max-length", 300) == Ran(
        2, "", "error: 8 of 69 rows are longer than a pack of 300 tokens; the longest has 430. "
        "Packing never divides a row: pass --pack-length 430 or more, or prepare the data again "
        "with --truncation.\n",
    )  # fmt: skip


def test_no_dataset(tmp_path: Path, out: Path) -> None:
    """A folder that holds no dataset is an input that does not exist."""
    ran = export(tmp_path, out)
    assert (ran.code, ran.out) == (66, "")
    assert ran.err == (
        f"error: {tmp_path}: holds no dataset: there is no manifest.json. Check the path, or run "
        "prepare.\n"
    )


def test_no_output(plain: Path) -> None:
    """``export`` never changes the dataset that it reads."""
    assert run("export", plain) == Ran(2, "", "error: no output folder. Pass --output DIR.\n")
    before = tree(plain)
    ran = export(plain, plain, "--overwrite", "--shuffle")
    assert (ran.code, ran.out) == (2, "")
    assert before == tree(plain)


def test_another_dataset_in_the_output(plain: Path, out: Path) -> None:
    """Another dataset in the output folder is replaced only with ``--overwrite``."""
    assert export(plain, out, "--shuffle", "--quiet").code == 0
    ran = export(plain, out, "--shuffle", "--seed", 4)
    assert ran == Ran(
        73, "", f"error: {out}: the dataset in it was built with different settings: --seed was 0 "
        "and is 4. Choose another --output, or pass --overwrite to replace it.\n",
    )  # fmt: skip
    assert export(plain, out, "--shuffle", "--seed", 4, "--overwrite", "--quiet").code == 0


# --- any value ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset of a few rows."""
    folder = tmp_path_factory.mktemp("small")
    records = [{"prompt": f"{i}\n", "completion": "b" * (i + 1), "id": i % 3} for i in range(12)]
    source = write_jsonl(folder / "a.jsonl", records)
    tokenizer = save_folder(byte_hf(["</s>"]), folder / "toy", eos_token="</s>", pad_token="</s>")
    fixed = ("--output", folder / "data", "--tokenizer", tokenizer, "--workers", 1, "--quiet")
    assert run("prepare", source, *fixed) == Ran(0, "", "")
    return folder


VALUES = st.text(st.characters(exclude_categories=()), max_size=6) | st.integers(-5, 30).map(str)
VALUES |= st.sampled_from(
    ["5%", "0%", "99.9%", "100%", "1e9", "a*=2", "*=0.5", "*=1000", "=", "multiple-of:7", "longest",
     "max-length", "left", "near", "exact", "normalized", "9" * 30, str(2**64), "-1", "plan", "id"]
)  # fmt: skip
NAMES = [option for option in options() if option.group == "Arrangement"]


@settings(
    max_examples=some(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(flags=st.lists(st.tuples(st.sampled_from(NAMES), VALUES), min_size=1, max_size=3))
@example(flags=[(option, "x") for option in NAMES if option.negative])
def test_any_values(small: Path, flags: list[tuple[Any, str]]) -> None:
    """Any options work, or are refused in one line; ``prepare`` and ``export`` agree."""
    given = [
        option.flag if option.type is bool else f"{option.flag}={value}" for option, value in flags
    ]
    ended = []
    for name, command in {
        "prepared": ("prepare", small / "a.jsonl", "--tokenizer", small / "toy"),
        "exported": ("export", small / "data"),
    }.items():
        shutil.rmtree(small / name, ignore_errors=True)
        ran = run(*command, "--output", small / name, "--workers", 1, "--quiet", *given)
        assert ran.code in EXPECTED_CODES, ran
        assert "Traceback" not in ran.err
        assert "bug" not in ran.err
        if ran.code == 2 and ran.err.startswith("error:"):
            assert ran.err.count("\n") == 1
        ended.append(ran.code)
    if ended == [0, 0]:
        assert comparable(tree(small / "prepared")) == comparable(tree(small / "exported"))


def test_python_knows_the_same_options() -> None:
    """An option that export does not take is refused, from Python too."""
    with pytest.raises(UsageError) as error:
        Recipe.rearranged({"max_length": 9}, {"tokenizer": "gpt2"})
    known = ", ".join(exportable())
    assert str(error.value) == f"export has no option 'tokenizer'. Known: {known}."
    with pytest.raises(UsageError, match=r"no option 'shufle'\. Did you mean 'shuffle'\?$"):
        Recipe.rearranged({"max_length": 9}, {"shufle": True})
