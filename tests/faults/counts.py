"""Counts of the faults that were tried, summed over all processes of a test run.

Each process appends lines to its own file in the folder that the variable ``COUNTS`` names.
"""

import os
from collections import Counter
from pathlib import Path

COUNTS = "SFTPREP_FAULTS_COUNTS"
TEXTS = {
    "faults": "faults tried",
    "kills": "kills survived",
    "inputs": "inputs tried",
    "runs": "runs compared byte by byte with an undisturbed one",
}


def count(what: str, number: int = 1) -> None:
    """Add to one of the counts."""
    assert what in TEXTS
    if folder := os.environ.get(COUNTS):
        with Path(folder, str(os.getpid())).open("a") as file:
            file.write(f"{what} {number}\n")


def summary() -> list[str]:
    """Return the counts so far, one line each."""
    total: Counter[str] = Counter()
    for path in Path(os.environ[COUNTS]).iterdir():
        for line in path.read_text().splitlines():
            what, number = line.split()
            total[what] += int(number)
    return [f"{total[what]:,} {text}" for what, text in TEXTS.items() if total[what]]
