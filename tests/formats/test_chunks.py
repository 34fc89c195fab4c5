"""The error about a file that is not a shard."""

from sftprep.formats.chunks import ShardError


def test_the_text_of_an_error_names_the_row() -> None:
    """The row is in the text if it is known; ``problem`` is without it."""
    of_row, of_file = ShardError("labels is null", 7), ShardError("cannot be read")
    assert (str(of_row), of_row.problem, of_row.row) == (
        "row 7: labels is null",
        "labels is null",
        7,
    )
    assert (str(of_file), of_file.problem, of_file.row) == (
        "cannot be read",
        "cannot be read",
        None,
    )
