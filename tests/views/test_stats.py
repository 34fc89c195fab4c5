"""stats: figures as text, at any width, and as one JSON object."""

import json
import re
import unicodedata
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, write_jsonl
from views.commands import run

from sftprep.statistics.figures import Group, Sample, Statistics
from sftprep.statistics.of_dataset import of_dataset
from sftprep.views.stats import duration, fitting, percent, show_statistics, size

CHINESE = "训练数据-第一部分-文件名很长的对话记录-part-00012.jsonl"


@pytest.fixture(scope="module")
def figures(datasets: Path) -> Statistics:
    """Figures of a dataset, as if it had three inputs and other limits had cut its rows."""
    found = of_dataset(datasets / "parquet", batch_size=8)
    [source] = found.sources
    names = ("a.jsonl", CHINESE, "\x1b[31mred.jsonl")
    sources = [replace(source, name=name, share_of_tokens=1 / 3) for name in names]
    return replace(found, name="out", sources=sources)


def columns(text: str) -> int:
    """Return how many columns of a terminal a line takes; CSI sequences take none."""
    taken, parts = 0, text.split("\x1b[")
    for number, part in enumerate(parts):
        shown = part.partition("m")[2] if number else part
        taken += sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in shown)
    return taken


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("colour", [False, True])
def test_no_line_is_wider_than_the_terminal(figures: Statistics, width: int, colour: bool) -> None:
    """Each line fits, and the width that is there is used."""
    text = show_statistics(figures, width=width, colour=colour)
    widths = [columns(line) for line in text.split("\n")]
    assert max(widths) <= width
    assert max(widths) > min(width, 120) * 0.7
    assert "…" not in text.replace(f"…{fitting(CHINESE, 20).removeprefix('…')}", "") or width < 100


@pytest.mark.parametrize("width", [60, 80, 200])
def test_columns_are_straight_beside_chinese_names(figures: Statistics, width: int) -> None:
    """The figures of each input end in the same column; the end of a long name is shown."""
    lines = show_statistics(figures, width=width, colour=False).split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith("input "))
    own = lines[start : start + 4]
    assert len({columns(line) for line in own}) == 1
    assert "00012.jsonl" in own[2]
    assert own[3].partition(" ")[0].endswith("1mred.jsonl")


def test_without_colour_there_is_no_escape(figures: Statistics) -> None:
    """The plain form has no ANSI codes; the coloured one says the same words."""
    plain = show_statistics(figures, width=80, colour=False)
    coloured = show_statistics(figures, width=80, colour=True)
    assert "\x1b" not in plain
    assert "\x1b[" in coloured


def test_many_inputs_are_counted(figures: Statistics) -> None:
    """The inputs with the most tokens are shown."""
    [one, *_] = figures.sources
    many = [replace(one, name=f"f{n}", share_of_tokens=n / 1000) for n in range(30)]
    text = show_statistics(replace(figures, sources=many), width=80, colour=False)
    assert "f29 " in text
    assert "f9 " not in text
    assert "and 10 inputs with fewer tokens: see --json" in text


def test_a_sample_is_said_to_be_one(figures: Statistics) -> None:
    """It says how many records were looked at, and with which seed."""
    text = show_statistics(
        replace(figures, kind="inputs", sample=Sample(100, 2500, 7), seconds=200.0, workers=2),
        width=80,
        colour=False,
    )
    assert "a sample: 100 of 2,500 records, chosen with seed 7" in text
    assert "prepare takes about 3 min 20 s with 2 workers" in text


def test_no_rows(figures: Statistics) -> None:
    """A group without rows has no spread and no line."""
    none = Group("empty", 0, 0.0, None, None)
    text = show_statistics(replace(figures, splits=[*figures.splits, none]), width=80, colour=False)
    assert "empty" not in text


@pytest.mark.parametrize(
    ("share", "text"),
    [(1, "100%"), (0.99999, ">99.9%"), (0.5, "50.0%"), (0.00001, "<0.1%"), (0.0, "0%")],
)
def test_percent(share: float, text: str) -> None:
    """Only all is 100%, and only nothing is 0%."""
    assert percent(share) == text


def test_sizes_and_times() -> None:
    """Units that people read."""
    assert [size(n) for n in (999, 2_097_068, 12_345_678_901)] == ["999 B", "2.1 MB", "12.3 GB"]
    times = [duration(s) for s in (0.2, 41, 200, 9000)]
    assert times == ["1 s", "41 s", "3 min 20 s", "2 h 30 min"]


# --- the command ----------------------------------------------------------------------------------

SPREAD = {"total", "mean", "least", "most", "percentiles", "histogram"}
GROUP = {"name", "rows", "share_of_tokens", "tokens", "trained"}
FATE = {
    "kept", "cut", "dropped", "kept_share", "cut_share", "dropped_share", "tokens_kept",
    "tokens_cut", "tokens_dropped", "tokens_kept_share",
}  # fmt: skip
KEYS = {
    "kind", "name", "template", "tokenizer", "max_length", "truncation", "packed", "sample",
    "losses", "rows", "splits", "sources", "lengths", "packs", "packing", "duplicates", "epoch",
    "shards", "seconds", "workers",
}  # fmt: skip
PARTS = {
    "losses": {
        "read", "examples", "written", "repeated", "truncated", "truncated_trained", "shortened",
        "exchanges_dropped", "dropped", "rejected",
    },
    "rows": GROUP,
    "lengths": {"rows", "longest", "fits_99", "unknown", "limits", "limits_of"},
    "duplicates": {"rows", "share", "prompts_with_several_answers", "rows_of_such_prompts"},
    "epoch": {"batch_size", "rows", "steps", "tokens", "trained_tokens", "tokens_per_step"},
    "shards": {"count", "bytes", "index_bytes", "smallest", "largest", "estimated"},
}  # fmt: skip


def check_json(found: dict[str, Any]) -> None:
    """Check that the JSON object has each figure of the manual's page, and no other."""
    assert set(found) == KEYS
    for name, keys in PARTS.items():
        assert set(found[name]) == keys
    for group in (found["rows"], *found["splits"], *found["sources"]):
        assert set(group) == GROUP
        for spread in (group["tokens"], group["trained"]):
            assert set(spread) == SPREAD
            assert list(spread["percentiles"]) == [
                "1", "5", "10", "25", "50", "75", "90", "95", "99",
            ]  # fmt: skip
            assert all(set(bar) == {"low", "high", "count"} for bar in spread["histogram"])
    for limit in found["lengths"]["limits"]:
        assert set(limit) == {"max_length", "strategies"}
        assert all(set(fate) == FATE for fate in limit["strategies"].values())
    for packing in found["packing"]:
        assert set(packing) == {"pack_length", "packs", "efficiency", "rows_over"}


def test_json_of_a_dataset(datasets: Path) -> None:
    """One JSON object with all figures."""
    found = json.loads(run("stats", datasets / "arrow", "--json").stdout)
    check_json(found)
    assert (found["kind"], found["rows"]["rows"], found["seconds"]) == ("dataset", 30, None)


def test_json_of_inputs() -> None:
    """The same object, with the time that prepare takes."""
    options = ("--template", "chatml", "--tokenizer", SAMPLE_TOKENIZER)
    found = json.loads(
        run(
            "stats", SAMPLE_DATA / "messages.jsonl", *options, "--sample-records", "12", "--json"
        ).stdout
    )
    check_json(found)
    assert found["kind"] == "inputs"
    assert found["sample"] == {"records": 12, "of": 30, "seed": 0}
    assert found["seconds"] >= 0


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["{out}", "--template", "chatml"], "--template cannot be used: .* is a finished dataset"),
        (["{out}", "--sample-records", "5"], "--sample-records is for inputs"),
        (["{out}", "{in}"], "must be the only input"),
        (["{in}"], "no tokenizer"),
        (["{out}", "--batch-size", "0"], "--batch-size is 0"),
        (["{in}", "--sample-records", "0"], "--sample-records is 0"),
    ],
)
def test_options_that_do_not_fit(
    arguments: list[str], error: str, datasets: Path, tmp_path: Path
) -> None:
    """What cannot be meant is refused with exit code 2."""
    path = write_jsonl(tmp_path / "in.jsonl", [{"prompt": "a", "completion": "b"}])
    places = {"{out}": str(datasets / "jsonl"), "{in}": str(path)}
    result = run("stats", *(places.get(argument, argument) for argument in arguments))
    assert result.exit_code == 2
    assert re.search(error, result.stderr)
