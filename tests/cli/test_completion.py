"""completion: what a shell gets when the user presses Tab."""

import os
import subprocess
import sys

import pytest

from sftprep.targets.names import TARGET_NAMES

PROGRAM = "import sys; sys.argv = ['sftprep']; from sftprep.cli.app import main; main(); "


def completed(line: str) -> list[str]:
    """The completions of the last word of a command line, as bash asks for them."""
    words = line.split(" ")
    asked = {
        "_SFTPREP_COMPLETE": "complete_bash",
        "COMP_WORDS": line,
        "COMP_CWORD": str(len(words) - 1),
    }
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=os.environ | asked,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("sftprep prepare --target ", list(TARGET_NAMES)),
        ("sftprep prepare --schema m", ["messages"]),
        ("sftprep prepare x --template ch", ["chatml"]),
        ("sftprep prepare x --template tok", ["tokenizer"]),
        ("sftprep templates alp", ["alpaca", "alpaca_zh"]),
        ("sftprep targets tor", ["torchtune"]),
        ("sftprep help mas", ["masks"]),
        ("sftprep exp", ["export"]),
        ("sftprep export x --pad-", ["--pad-side"]),
    ],
)
def test_values_are_completed(line: str, expected: list[str]) -> None:
    """Commands, options, and the values of options and arguments are completed."""
    assert completed(line) == expected
