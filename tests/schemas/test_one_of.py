"""A value that a record may have under several names."""

import pytest

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.schemas.one_of import Named, is_empty, one_of


def test_the_first_name_with_a_value_counts() -> None:
    """Empty values say nothing, and equal values do not contradict each other."""
    record: Record = {"a": None, "b": "", "c": [], "d": {}, "e": "x", "f": "x"}
    assert one_of(record, "abcdefg") == Named("e", "x")
    assert one_of(record, "abcdg") is None
    assert [is_empty(value) for value in (0, False, " ")] == [False] * 3


def test_two_values_are_refused() -> None:
    """Different values under names with one meaning are refused."""
    with pytest.raises(RecordError) as caught:
        one_of({"input": "x", "context": "y"}, ("input", "context"))
    assert (caught.value.reason, caught.value.problem) == (
        "conflicting_fields",
        "the record has input and context, which mean the same and have different values",
    )
