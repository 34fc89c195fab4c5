"""Counts of what was tried, added up over all processes of a test run.

Each process appends lines to a file of its own in the folder that ``COUNTS`` names.
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
    """Add to a count."""
    assert what in TEXTS
    if folder := os.environ.get(COUNTS):
        with Path(folder, str(os.getpid())).open("a") as file:
            file.write(f"{what} {number}\n")


def summary() -> list[str]:
    """The counts so far, as text."""
    total: Counter[str] = Counter()
    for path in Path(os.environ[COUNTS]).iterdir():
        for line in path.read_text().splitlines():
            what, number = line.split()
            total[what] += int(number)
    return [f"{total[what]:,} {text}" for what, text in TEXTS.items() if total[what]]
