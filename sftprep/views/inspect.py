"""Show rows of a finished dataset.

In     the folder of a dataset; which rows, by their number or by a choice; how they are shown.
Out    text: a line about the dataset, and the rows, each with the record that it comes from; the
       documents of a pack each with its own. Padding is only counted. Or the same as JSON.
Never  changes anything.
Raises UsageError: there is no such row. NoInputError: there is no dataset. DataError, StorageError:
       the dataset is damaged.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson

from sftprep.dataset.files import DROPPED, REJECTS
from sftprep.dataset.manifest import load_manifest
from sftprep.errors import DataError
from sftprep.text import ascii_safe, number
from sftprep.views.choice import Choice, check_lost
from sftprep.views.dataset_rows import Dataset
from sftprep.views.layout import fit
from sftprep.views.row_json import rows_as_json
from sftprep.views.token_text import Look, legend, show_row


def inspect_dataset(folder: str, choice: Choice, look: Look, *, row: int | None = None) -> str:
    """Return rows of a dataset as text.

    Args:
        folder: the folder of the dataset.
        choice: which rows.
        look: how they are shown.
        row: the number of the first row; then ``choice`` says only how many rows are shown.
    """
    dataset = Dataset(Path(folder))
    found = list(dataset.chosen(choice, row))
    vocabulary = dataset.vocabulary()
    if look.why is not None:
        look = replace(look, why=dataset.manifest.recipe)
    bodies = [show_row(each, vocabulary, look) for each in found]
    head = fit(f"{dataset.describe()}\n{legend(colour=look.colour)}", look.width)
    return "\n\n".join([head, *bodies])


def inspect_json(folder: str, choice: Choice, *, row: int | None = None) -> bytes:
    """Return rows of a dataset as one JSON object.

    Args:
        folder: the folder of the dataset.
        choice: which rows.
        row: as for ``inspect_dataset``.
    """
    dataset = Dataset(Path(folder))
    found = list(dataset.chosen(choice, row))
    return rows_as_json(found, dataset.vocabulary(), dataset.manifest.recipe)


def list_lost(folder: str, choice: Choice) -> str:
    """List the records of a dataset that have no row, with the reasons.

    Args:
        folder: the folder of the dataset.
        choice: how many; a place and a reason if others are not wanted.
    """
    check_lost(choice)
    path = Path(folder)
    manifest = load_manifest(path)
    lost = sum(sum(manifest.counts[name].values()) for name in ("dropped", "rejected"))
    lines = []
    for entry in _entries(path):
        line = entry.get("line", entry.get("row", 0))
        if choice.wants_lost(entry["file"], line, entry["reason"]):
            lines.append(_lost(entry))
            if len(lines) == choice.rows:
                break
    head = f"{ascii_safe(folder)}: {number(lost, 'record')} without a row, {len(lines):,} shown"
    return "\n".join([head, *lines])


def _entries(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the entries of the two ledgers."""
    for name in (DROPPED, REJECTS):
        path = folder / name
        if not path.exists():
            continue
        with path.open("rb") as file:
            for line, data in enumerate(file, 1):
                try:
                    yield orjson.loads(data)
                except orjson.JSONDecodeError as error:
                    raise DataError(
                        f"{path}:{line}: is damaged: {error}. Build the dataset again."
                    ) from error


def _lost(entry: dict[str, Any]) -> str:
    """Return a line about a record without a row."""
    place = (
        f"{entry['file']}:{entry['line']}"
        if "line" in entry
        else (f"{entry['file']}: row {entry['row']}")
    )
    parts = [entry["reason"]]
    if entry.get("tokens") is not None:
        parts.append(number(entry["tokens"], "token"))
    if "message" in entry:
        parts.append(entry["message"])
    if repeats := entry.get("repeats"):
        parts.append(f"repeats {repeats['file']}:{repeats.get('line', repeats.get('row'))}")
    return ascii_safe(f"{place}: {', '.join(parts)}")
