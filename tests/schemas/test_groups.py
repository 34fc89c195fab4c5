"""The field by which records are grouped."""

import pytest

from sftprep.data.foreign import ForeignValue
from sftprep.errors import RecordError
from sftprep.schemas.groups import group_of


def test_groups_of_any_type() -> None:
    """Equal values make one group; others do not belong to it."""
    values = ["1", "2", 1.5, True, ["1"], {"b": 1, "a": 2}, ForeignValue("a date", "2020-01-01")]
    groups = [group_of({"id": value}, "id") for value in values]
    assert len(set(groups)) == len(groups)
    assert group_of({"id": {"a": 2, "b": 1}}, "id") == groups[5]
    assert group_of({"id": "é"}, "id") == "é".encode()


@pytest.mark.parametrize("value", [7, 7.0, "7"])
def test_one_number_is_one_group(value: object) -> None:
    """In a CSV file a number is text, and in a table with gaps it is a float."""
    assert group_of({"id": value}, "id") == b"7"


def test_large_numbers() -> None:
    """Numbers that JSON parsers do not agree on are groups as well."""
    assert group_of({"id": 2**64 - 1}, "id") == str(2**64 - 1).encode()
    assert group_of({"id": str(2**70)}, "id") == str(2**70).encode()
    assert group_of({"id": 1e300}, "id")


def test_a_path() -> None:
    """A path leads into objects and lists; a field with the name of the path wins."""
    record = {"meta": {"ids": [7, 8]}, "a.b": 9}
    assert group_of(record, "meta.ids.1") == b"8"
    assert group_of(record, "a.b") == b"9"


@pytest.mark.parametrize(
    ("record", "found"),
    [({"x": 1}, "missing; found 'x'"), ({"id": None}, "null"), ({}, "missing; found no fields")],
)
def test_a_record_without_the_field(record: dict[str, object], found: str) -> None:
    """It cannot be placed, so it is refused."""
    with pytest.raises(RecordError) as caught:
        group_of(record, "id")
    assert caught.value.reason == "missing_field"
    assert caught.value.problem.endswith(f"by which records are grouped, is {found}")
    assert "--split-by" in caught.value.cure
