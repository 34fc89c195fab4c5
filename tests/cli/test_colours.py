"""colours: where output is coloured, and that nothing but colours is added."""

import re
from pathlib import Path

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER
from typer.testing import CliRunner

from sftprep.cli.app import app
from sftprep.cli.colours import painted_summary

CODES = re.compile(r"\x1b\[[\d;]*m")
SUMMARY = """out: 5 rows in 1 shard
  read       40 records (text), template own, at most 120 tokens per row
  dropped    35 too_long; listed in dropped.jsonl
  truncated  3 rows by keep-end
             more of it"""


def test_labels_are_coloured() -> None:
    """Losses are red, what a user should check is yellow, the rest is dim; the name is bold."""
    assert painted_summary(SUMMARY).splitlines() == [
        "\x1b[1mout\x1b[0m: 5 rows in 1 shard",
        "  \x1b[2mread\x1b[0m       40 records (text), template own, at most 120 tokens per row",
        "  \x1b[31mdropped\x1b[0m    35 too_long; listed in dropped.jsonl",
        "  \x1b[33mtruncated\x1b[0m  3 rows by keep-end",
        "             more of it",
    ]
    assert CODES.sub("", painted_summary(SUMMARY)) == SUMMARY


@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"FORCE_COLOR": ""}, False),
        ({"FORCE_COLOR": "1", "NO_COLOR": ""}, True),
        ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
    ],
)
def test_variables(tmp_path: Path, variables: dict[str, str], coloured: bool) -> None:
    """Results and messages that go to a file are coloured only if ``FORCE_COLOR`` asks for it."""
    env = {"FORCE_COLOR": None, "NO_COLOR": None, "TERM": "xterm", **variables}
    source = str(SAMPLE_DATA / "prompt_completion.jsonl")
    good = ["prepare", source, "-o", str(tmp_path / "out"), "-t", str(SAMPLE_TOKENIZER)]
    ran = CliRunner().invoke(app, good, env=env)
    assert (ran.exit_code, bool(CODES.search(ran.stdout))) == (0, coloured)
    ran = CliRunner().invoke(app, ["prepare", source, "-o", str(tmp_path / "other")], env=env)
    assert ran.exit_code == 2
    assert ran.stderr.startswith("\x1b[1;31merror:\x1b[0m " if coloured else "error: ")
