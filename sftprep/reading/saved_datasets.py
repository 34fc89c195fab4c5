"""Folders that ``datasets`` has written with ``save_to_disk``.

In     the names in a folder.
Out    the data files of the dataset in it; ``None`` if it is an ordinary folder.
Never  reads files that ``datasets`` keeps beside the data, such as its caches, and never mixes the
       splits of a ``DatasetDict``.
Raises UsageError: the folder holds several splits, or a dataset that selects rows by indices.
       DataError: the description of the dataset is damaged.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from sftprep.errors import DataError, UsageError
from sftprep.text import ascii_safe, number

SPLITS, STATE, INFO = "dataset_dict.json", "state.json", "dataset_info.json"
ABOUT = {SPLITS, INFO, "dataset_infos.json"}
"""Files that describe a dataset and hold no records."""


def data_files(folder: str, folders: Sequence[str], files: Sequence[str]) -> list[str] | None:
    """Return the names of the data files of a saved dataset; None for an ordinary folder.

    Args:
        folder: the path of the folder.
        folders: the names of the folders in it.
        files: the names of the files in it.
    """
    if SPLITS in files:
        _refuse_splits(folder, folders)
    if STATE not in files or INFO not in files:
        return None
    state = _read(Path(folder) / STATE)
    if state.get("_indices_data_files"):
        raise UsageError(
            f"{folder}: the saved dataset selects its rows by indices, which an old version of "
            "datasets wrote. Load it and save it again with a newer one."
        )
    try:
        return [str(entry["filename"]) for entry in state["_data_files"]]
    except (KeyError, TypeError) as error:
        raise _damaged(Path(folder) / STATE) from error


def _refuse_splits(folder: str, folders: Sequence[str]) -> None:
    """Raise an error that names the splits of a ``DatasetDict``."""
    description = _read(Path(folder) / SPLITS).get("splits")
    splits = description if isinstance(description, list) else sorted(folders)
    named = [ascii_safe(str(split)) for split in splits]
    example = f"{folder.rstrip('/')}/{named[0]}" if named else folder
    raise UsageError(
        f"{folder}: is a DatasetDict with {number(len(splits), 'split')}: {', '.join(named)}. Name "
        f"the folders of those to read, as {example}."
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        value = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise _damaged(path) from error
    if not isinstance(value, dict):
        raise _damaged(path)
    return value


def _damaged(path: Path) -> DataError:
    return DataError(f"{path}: cannot be read as a JSON object. Save the dataset again.")
