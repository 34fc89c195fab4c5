"""Write the part of the summary that says how the records were understood.

In     a ``Manifest``.
Out    lines of text: fields, roles and loss flags that have names of their own in the data, and the
       fields that were ignored.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches

from sftprep.dataset.manifest import Manifest
from sftprep.schemas.fields import FIELDS, LOSS_FLAGS, SYNONYMS
from sftprep.text import ascii_safe, number

MOST_LISTED = 10
"""How many names a line of the summary lists."""
KNOWN = {*FIELDS, *(name for names in SYNONYMS.values() for name in names)}
FLAG = re.compile("train|loss|mask|weight", re.IGNORECASE)


def read_as(manifest: Manifest) -> list[str]:
    """Say how the records were understood: fields, roles and flags with names of their own."""
    counts, lines = manifest.counts, []
    renamed = {
        f"{actual} as {name}": None
        for entry in manifest.inputs
        for name, actual in entry.get("fields", {}).items()
        if actual not in ("", name)
    }
    outputs = {f"{k} as output": n for k, n in counts["output_fields"].items() if k != "output"}
    if others := outputs | counts["fields"]:
        renamed[_listed(others, "record")] = None
    if renamed:
        lines.append(f"  fields     read: {', '.join(renamed)}")
    if any(entry["schema"] == "text" for entry in manifest.inputs):
        lines.append("  text       the records have no turns: their whole text is trained")
    if roles := counts["roles"]:
        lines.append(f"  roles      read: {_listed(roles, 'message')}")
    if flags := counts["loss_flags"]:
        lines.append(f"  flags      obeyed: {_listed(flags, 'time')}")
    if ignored := counts["ignored_fields"]:
        lines.append(f"  ignored    {_listed(ignored, 'record')}")
        lines += [f"             {hint}" for hint in _hints(ignored)]
    return lines


def _listed(counts: Mapping[str, int], noun: str) -> str:
    """List names with their counts; names with the same count share it."""
    by_count: dict[str, list[str]] = {}
    top = sorted(counts.items(), key=lambda item: -item[1])
    for name, count in top[:MOST_LISTED]:
        of = "message" if "[]." in name else noun
        by_count.setdefault(number(count, of), []).append(ascii_safe(name))
    parts = [f"{', '.join(names)} ({count})" for count, names in by_count.items()]
    more = len(counts) - MOST_LISTED
    return ", ".join(parts) + (f", and {more:,} more: see --json" if more > 0 else "")


def _hints(ignored: Mapping[str, int]) -> list[str]:
    """Name ignored fields whose names look as if they were to be read."""
    hints = []
    for field in ignored:
        name = field.rpartition(".")[2]
        close = get_close_matches(name.lower(), [n for n in KNOWN if len(n) > 4], 1, 0.85)
        if close and close[0] != name:
            hints.append(f"{ascii_safe(field)} is not read: did you mean {close[0]}?")
        elif FLAG.search(name):
            hints.append(
                f"{ascii_safe(field)} looks like a loss flag, but is not read as one; the names "
                f"are {', '.join(LOSS_FLAGS)}"
            )
    return hints
