"""No option, recipe or file name of a user ends with exit code 70, which stands for our bugs."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from profiles import some
from toys import byte_hf, save_folder, tree, write_jsonl
from typer.testing import CliRunner

from sftprep import load_manifest
from sftprep.cli.app import app
from sftprep.recipe import options

EXPECTED_CODES = {0, 2, 65, 66, 73}
NOT_RUN = ("inputs", "output", "tokenizer", "workers", "revision", "lint_ignore")
"""Options that the run below sets itself; the others are tried with any value."""


class Ran(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def run(*args: object) -> Ran:
    """Run the command in this process."""
    result = CliRunner().invoke(app, [str(arg) for arg in args])
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two records and a small tokenizer."""
    folder = tmp_path_factory.mktemp("user")
    records = [{"prompt": "a\n", "completion": "b"}, {"prompt": "c\n", "completion": "d"}]
    write_jsonl(folder / "a.jsonl", records)
    save_folder(byte_hf(["</s>"]), folder / "toy", eos_token="</s>")
    return folder


def prepare(folder: Path, *more: object, source: object = "") -> Ran:
    """Run ``prepare`` with one worker; remove what it wrote."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    fixed = ("--output", out, "--tokenizer", folder / "toy", "--workers", 1, "--quiet")
    return run("prepare", source or folder / "a.jsonl", *fixed, *more)


def assert_user_error(ran: Ran) -> None:
    """Assert that a command worked, or ended with an exit code and words for the user."""
    assert ran.code in EXPECTED_CODES, ran
    assert "Traceback" not in ran.err
    assert "bug" not in ran.err
    if ran.code == 2 and ran.err.startswith("error:"):
        assert ran.err.count("\n") == 1


TEXTS = st.text(st.characters(exclude_categories=()), max_size=6) | st.sampled_from(
    [
        "\udcff",
        "\ud800",
        "\0",
        "",
        "9" * 5000,
        "1e400",
        "-1",
        "=",
        "a=b",
        "prompt=",
        "\x1b[2J",
        "%s",
    ]
)
NUMBERS = st.integers() | st.sampled_from(
    [2**31, 2**63, 2**64, -(2**31) - 1, -(2**63) - 1, 16**500]
)
PLAIN = (
    st.none() | st.booleans() | NUMBERS | st.floats() | TEXTS | st.dates() | st.datetimes()
    | st.binary(max_size=4)
)  # fmt: skip
VALUES = PLAIN | st.lists(PLAIN, max_size=3) | st.dictionaries(TEXTS, PLAIN, max_size=2)
NAMES = [option.name for option in options() if option.name not in NOT_RUN]
ANY_TEST = settings(
    max_examples=some(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@ANY_TEST
@given(name=st.sampled_from(NAMES), value=TEXTS | NUMBERS.filter(lambda n: abs(n) < 2**99))
@example(name="system", value="\udcff")
@example(name="separator", value="\udcff")
@example(name="max_length", value=2**64)
@example(name="ignore_index", value=-(2**32))
def test_any_value_of_a_flag(folder: Path, name: str, value: object) -> None:
    """A flag with any value works, or is refused in one line."""
    flag = "--" + name.replace("_", "-")
    boolean = next(option.type is bool for option in options() if option.name == name)
    assert_user_error(prepare(folder, *([flag] if boolean else [f"{flag}={value}"])))


def as_yaml(values: dict[str, Any]) -> str:
    """Write values as YAML; a huge number in hexadecimal, which Python writes without a limit."""

    class Dumper(yaml.SafeDumper):
        """Writes large integers in hexadecimal."""

    def integer(dumper: Any, number: int) -> Any:
        return dumper.represent_scalar("tag:yaml.org,2002:int", hex(number))

    Dumper.add_representer(int, integer)
    text: str = yaml.dump(values, Dumper=Dumper)
    return text


@ANY_TEST
@given(
    values=st.dictionaries(st.sampled_from([*NAMES, "lint_ignore"]), VALUES, min_size=1, max_size=2)
)
@example(values={"max_rejects": 100, "on_error": "quarantine"})
def test_any_value_in_a_recipe(folder: Path, values: dict[str, Any]) -> None:
    """A recipe with any values works, or is refused in one line."""
    path = folder / "r.yaml"
    path.write_text(as_yaml(values), encoding="utf-8", errors="surrogatepass")
    assert_user_error(prepare(folder, "--recipe", path))


@ANY_TEST
@given(text=st.text(st.characters(exclude_categories=()), max_size=40) | st.binary(max_size=40))
@example(text="max_length: 1\nmax_length: 2")
@example(text="[" * 1000)
@example(text="shard_size: 0x" + "f" * 5000)
def test_any_recipe_file(folder: Path, text: str | bytes) -> None:
    """A recipe file with any bytes is read, or refused in one line."""
    path = folder / "r.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(errors="surrogatepass"))
    assert_user_error(prepare(folder, "--recipe", path))


@pytest.mark.parametrize(
    ("workers", "message"),
    [
        (-1, "--workers is -1; expected 1 or more."),
        (0, "--workers is 0; expected 1 or more."),
        (10**26, f"--workers is {10**26}; expected 4,096 or less."),
    ],
)
def test_workers_of_verify(folder: Path, workers: int, message: str) -> None:
    """``verify`` refuses a number of workers that cannot be."""
    assert prepare(folder).code == 0
    ran = run("verify", folder / "out", "--workers", workers)
    assert ran == Ran(2, "", f"error: {message}\n")


@pytest.mark.parametrize("place", ["a\udcff.jsonl", "b\udcff/a.jsonl"])
def test_an_input_whose_name_is_not_utf8(folder: Path, place: str) -> None:
    """A file whose name is not UTF-8 is read; the manifest names it with escapes."""
    source = folder / place
    source.parent.mkdir(exist_ok=True)
    try:
        source.write_bytes((folder / "a.jsonl").read_bytes())
    except OSError:
        pytest.skip("the file system wants names in UTF-8")
    ran = prepare(folder, "--on-error", "quarantine", source=source)
    assert (ran.code, ran.err) == (0, "")
    assert load_manifest(folder / "out").inputs[0]["name"] == place.rpartition("/")[2].replace(
        "\udcff", "\\xff"
    )
    assert run("verify", folder / "out", "--workers", 1, "--against", source).code == 0


def test_bytes_that_are_not_utf8_on_a_real_command_line(folder: Path) -> None:
    """A process that gets such bytes as arguments treats them as the functions above do."""
    command = [sys.executable, "-m", "sftprep", "prepare", "a.jsonl", "--tokenizer", "toy"]
    args = [*map(os.fsencode, command), b"--output", b"o\xff", b"--workers", b"1", b"--quiet"]
    done = subprocess.run(args, cwd=folder, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "manifest.json" in tree(folder / os.fsdecode(b"o\xff"))
    done = subprocess.run(
        [*args, b"--system", b"\xff"], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr == b"error: --system is '\\udcff', which is not valid UTF-8. Correct it.\n"
