"""Records with the fields of public data sets: the shape that they have, and what they become."""

from importlib.resources import files
from typing import Any

import pytest
from public_sets import PUBLIC_SETS, PublicSet

from sftprep.errors import RecordError
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import (
    chat_normalizer,
    conversation_normalizer,
    detect_schema,
    schema_of,
)

REFUSED = ("unknown_schema", "preference_data", "unsupported_content")


def normalizer(entry: PublicSet, read: str) -> Any:
    """Return what reads the records of a set."""
    make = chat_normalizer if entry.needs_chat else conversation_normalizer
    return make(read, Fields())


@pytest.mark.parametrize("entry", PUBLIC_SETS, ids=[entry.name for entry in PUBLIC_SETS])
def test_each_set_becomes_what_the_table_says(entry: PublicSet) -> None:
    """A record gives its turns, or is refused with what to do; nothing of it is lost in silence."""
    found = detect_schema([entry.record], Fields())
    read = normalizer(entry, found)
    if entry.read in REFUSED:
        with pytest.raises(RecordError) as caught:
            read(entry.record)
        assert (caught.value.reason, caught.value.cure) == (entry.read, entry.turns)
        return
    assert found == schema_of(entry.record, Fields()) == entry.read
    dialogue = read(entry.record)
    if entry.needs_chat:
        turns = [f"{m['role']}:{m['content'] or ''}" for m in dialogue.messages]
    else:
        turns = [
            f"{m.role}:{m.content}{'+' if m.input else ''}{m.input}" for m in dialogue.messages
        ]
    assert " ".join(turns) == entry.turns
    assert " ".join(sorted(read.understood([entry.record]).ignored)) == entry.ignored


def test_nine_of_ten_sets_are_read_without_an_option() -> None:
    """Of a hundred sets, at least ninety need no option; their names are all different."""
    assert len({entry.name for entry in PUBLIC_SETS}) == len(PUBLIC_SETS) >= 100
    assert sum(entry.read not in REFUSED for entry in PUBLIC_SETS) >= 0.9 * len(PUBLIC_SETS)


def row(entry: PublicSet) -> str:
    """Return the row of the manual's table for a set."""
    fields = ", ".join(f"`{name}`" for name in entry.record)
    if entry.read in REFUSED:
        what = f"refused, `{entry.read}`: {entry.turns[0].lower()}{entry.turns[1:]}"
    else:
        what = f"`{entry.read}`" + (", with a chat template" if entry.needs_chat else "")
    return f"| {entry.name} | {fields} | {what} |"


def test_the_manual_lists_each_set() -> None:
    """The page on data has a row for each entry, in the same order."""
    page = files("sftprep").joinpath("docs/data.md").read_text(encoding="utf-8")
    page = page[page.index("## Public data sets") :]
    rows = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert rows == [row(entry) for entry in PUBLIC_SETS]
