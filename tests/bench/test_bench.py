"""The benchmark itself: it runs, its floor writes what sftprep writes, its verdicts are right."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import floor
import inputs
import numpy as np
import pyarrow.parquet as pq
import pytest
from measure import Case, Measured, Ran
from targets import verdicts

from sftprep.data.batch import Batch
from sftprep.formats import parquet
from sftprep.formats.row_groups import Grouper
from sftprep.targets.hf import columns_of_batch

HERE = Path(__file__).parent
SAMPLES = HERE.parents[1] / "sample_data"


def measured(name: str, *seconds: float, size: int = 0, startup: float | None = None) -> Measured:
    """Return a case with runs of these lengths in seconds."""
    work = [None if startup is None else s - startup for s in seconds]
    runs = [Ran(s, startup, w, 0, 0, 0) for s, w in zip(seconds, work, strict=True)]
    return Measured(Case(name=name, title="", commands=[], size=size), runs)


def test_a_target_is_judged_by_the_medians() -> None:
    """A single disturbed run does not decide."""
    cases = [measured("two", 3, 5, 20), measured("floor", 4, 4, 4)]
    found = verdicts({case.case.name: case for case in cases})
    [verdict] = [v for v in found if v.ratio is not None]
    assert verdict == ("3 Parquet : floor, time", "<= 1.3", 1.25, 0.75, True, "")


def test_a_second_ratio_leaves_out_a_slow_start() -> None:
    """A second line leaves out the start-up of the peer, if it is long."""
    cases = [measured("two", 5, size=300), measured("trl", 25, size=20, startup=5)]
    found = verdicts({case.case.name: case for case in cases})
    assert [(v.name, v.ratio, v.met) for v in found if v.ratio is not None] == [
        ("1 Parquet : TRL, rate", 75, True),
        ("1 Parquet : TRL, rate, TRL's start-up left out", 60, True),
    ]


def test_a_quick_start_is_not_left_out() -> None:
    """A start-up of up to a tenth of the time does not matter."""
    cases = [measured("two", 5, size=300), measured("trl", 25, size=20, startup=2)]
    found = verdicts({case.case.name: case for case in cases})
    assert [v.name for v in found if v.ratio is not None] == ["1 Parquet : TRL, rate"]


def test_what_was_not_measured_is_neither_met_nor_missed() -> None:
    """The verdict gives the reason."""
    found = {verdict.name: verdict for verdict in verdicts({"two": measured("two", 1, size=1)})}
    verdict = found["1 Parquet : TRL, rate"]
    assert (verdict.ratio, verdict.met, verdict.why_not) == (None, None, "trl not measured")


def test_repeated_records_differ_by_their_numbers(tmp_path: Path) -> None:
    """Files of both schemas hold the same texts."""
    pairs = [inputs.Pair("Où?\n", '"Là."'), inputs.Pair("b", "c")]
    inputs.write(tmp_path / "pairs", pairs, records=3)
    inputs.write(tmp_path / "chats", pairs, records=1, schema="messages")
    assert [json.loads(line) for line in (tmp_path / "pairs").read_text().splitlines()] == [
        {"prompt": "1. Où?\n", "completion": '"Là."'},
        {"prompt": "2. b", "completion": "c"},
        {"prompt": "3. Où?\n", "completion": '"Là."'},
    ]
    assert json.loads((tmp_path / "chats").read_text()) == {
        "messages": [
            {"role": "user", "content": "1. Où?\n"},
            {"role": "assistant", "content": '"Là."'},
        ]
    }


def test_the_shares_of_the_floor_are_all_lines_once(tmp_path: Path) -> None:
    """Each line is in exactly one share, wherever shares begin and end."""
    data = b"".join(b"%d\n" % 10**n for n in range(12))
    (tmp_path / "data").write_bytes(data)
    for shares in range(1, 40):
        found = [b"".join(floor.blocks(tmp_path / "data", i, shares)) for i in range(shares)]
        assert b"".join(found) == data


def test_the_floor_writes_the_two_columns_as_sftprep_does(tmp_path: Path) -> None:
    """The sizes are equal too, so a changed option of the writer is noticed here."""
    lengths = np.arange(20_000) % 50 + 1
    ids = np.random.default_rng(0).integers(0, 129_000, lengths.sum(), np.int32)
    trained = ids % 3 == 0
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    batch = Batch(ids, trained, offsets, np.arange(20_000), None)
    floor.write(tmp_path / "floor", [(ids, np.where(trained, ids, np.int32(-100)), lengths)])
    with (tmp_path / "ours").open("wb") as file:
        writer = parquet.Writer(file)
        for group in groups(batch):
            writer.write(columns_of_batch(group, -100))
        writer.close()
    assert columns(tmp_path / "floor") == columns(tmp_path / "ours")


def groups(batch: Batch) -> Iterator[Batch]:
    """Yield the rows in the row groups of sftprep."""
    grouper = Grouper()
    yield from grouper.add(batch)
    yield from grouper.rest()


def columns(path: Path) -> list[object]:
    """Return how a Parquet file stores its ids and labels."""
    metadata = pq.ParquetFile(path).metadata
    found: list[object] = []
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        for column in map(group.column, range(group.num_columns)):
            if not column.path_in_schema.startswith("attention_mask"):
                facts = column.to_dict()
                sizes = ("total_compressed_size", "total_uncompressed_size", "num_values")
                kinds = ("path_in_schema", "compression", "encodings", "statistics")
                found.append([facts[name] for name in (*kinds, *sizes)])
    assert found
    return found


@pytest.mark.bench
def test_one_command_measures_everything(tmp_path: Path) -> None:
    """On a few KB, every case runs, and every target has a line."""
    command = [sys.executable, str(HERE / "speed.py"), "--linear", "--json", str(tmp_path / "json")]
    command += ["--mb", "0.05", "--side-mb", "0.02", "--rounds", "1"]
    command += ["--zh", str(SAMPLES / "instruction_zh.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    [(name, found)] = json.loads((tmp_path / "json").read_text())["tokenizers"].items()
    assert name == "tokenizer"
    runs = {case: facts["runs"][0] for case, facts in found["cases"].items()}
    ours = {
        "one",
        "two",
        "arrow",
        "table",
        "small",
        "cold",
        "linear",
        "pairs",
        "chat",
        "hundred",
        "zh",
        "code",
    }
    assert {*ours, "floor", "hf", "typer", "help", "imports"} <= set(runs)
    assert runs["floor"]["records"] == runs["one"]["records"] == runs["two"]["records"]
    # The template ``plain`` ends a row with EOS, and the floor has no template.
    assert runs["floor"]["tokens"] + runs["floor"]["records"] == runs["two"]["tokens"]
    assert runs["table"]["records"] == runs["two"]["records"]
    assert runs["table"]["tokens"] == runs["two"]["tokens"]
    assert runs["hundred"]["records"] == 100
    assert runs["pairs"]["records"] == runs["chat"]["records"]
    assert len(found["targets"]) >= 13
    for target in found["targets"]:
        assert target["name"] in done.stdout
        assert target["ratio"] is not None or "trl" in target["why_not"], target


def test_planning_is_measured() -> None:
    """The figures are those of a plan with all steps."""
    command = [sys.executable, str(HERE / "planning.py"), "--rows", "20000", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    assert found["rows"] == 20_000
    assert set(found["dropped"]) == {"duplicate", "not_sampled"}
    assert found["train"]["efficiency"] > 0.99
    assert 0 < found["columns_mib"] <= found["peak_mib"]
