"""Checks that several schemas share."""

import pytest

from sftprep.errors import RecordError
from sftprep.schemas.checks import (
    found_fields,
    require_completion,
    require_text,
)


def test_values_of_the_right_type_are_returned_as_they_are() -> None:
    """A field of the right type is returned unchanged."""
    record = {"text": " a "}
    assert require_text(record, "text") == " a "


def test_a_missing_field_in_a_part_of_a_record() -> None:
    """The place of a part comes first in the message."""
    with pytest.raises(RecordError) as caught:
        require_text({"a": 1}, "text", "turns[2]")
    assert caught.value.problem == "turns[2] has no field 'text'; found 'a'"
    with pytest.raises(RecordError) as caught:
        require_text({"text": 1}, "text", "turns[2]")
    assert caught.value.problem == "turns[2].text is 1; expected a string"


def test_an_empty_completion() -> None:
    """White space counts as a completion, an empty string does not."""
    require_completion(" ", "completion")
    with pytest.raises(RecordError, match="completion is empty: there is nothing to train on"):
        require_completion("", "completion")


def test_found_fields_are_at_most_eight() -> None:
    """A message lists the first eight fields."""
    assert found_fields({str(n): n for n in range(9)}) == ", ".join(f"'{n}'" for n in range(8))
    assert found_fields({}) == ""
