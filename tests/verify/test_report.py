"""report: how problems are printed."""

import json

import pytest

from sftprep.errors import DataError
from sftprep.verify.report import MAX_LISTED, Problem, Report


def test_a_problem_names_its_file_and_row() -> None:
    """A problem in one row has the row's number; one of a whole file has none."""
    assert str(Problem("a.parquet", None, "is missing")) == "a.parquet: is missing"
    assert str(Problem("a.parquet", 0, "holds no token")) == "a.parquet: row 0: holds no token"


def test_names_and_contents_cannot_act_on_the_terminal() -> None:
    """Control characters are printed as escapes, as text and as JSON."""
    report = Report("out\x1b", [Problem("a\x07", None, "holds \x1b[2J")])
    assert str(report.problems[0]) == r"a\x07: holds \x1b[2J"
    value = json.loads(report.as_json())
    assert value["dataset"] == r"out\x1b"
    assert value["problems"] == [{"file": r"a\x07", "row": None, "problem": r"holds \x1b[2J"}]


def test_the_summary_counts_what_was_checked() -> None:
    """The summary is one line; it says so if inputs were rebuilt and compared."""
    report = Report("out", rows=1, tokens=1234, shards=1, files=4)
    assert report.summary() == (
        "out: verified: 1 row in 1 shard, 1,234 tokens, 4 files; no problems found"
    )
    report.compared_inputs = 2
    assert report.summary() == (
        "out: verified: 1 row in 1 shard, 1,234 tokens, 4 files; 2 inputs rendered and encoded "
        "again, with the same result; no problems found"
    )


def test_a_report_without_problems_passes() -> None:
    """A report without problems is ok, and checking it raises nothing."""
    report = Report("out")
    assert report.ok
    report.check()


def test_an_error_lists_the_first_problems_only() -> None:
    """An error lists 20 problems and how many more there are; JSON has them all."""
    report = Report("out", remark="A remark.")
    for index in range(MAX_LISTED + 3):
        report.add(f"extra-{index:02}", "is missing")
    assert not report.ok
    with pytest.raises(DataError) as error:
        report.check()
    assert str(error.value).splitlines() == [
        "out: 23 problems. Build the dataset again.",
        *(f"extra-{index:02}: is missing" for index in range(20)),
        "... and 3 more",
        "A remark.",
    ]
    assert len(json.loads(report.as_json())["problems"]) == 23


def test_an_error_with_one_problem_is_in_the_singular() -> None:
    """One problem is "1 problem", and no more are mentioned."""
    with pytest.raises(DataError) as error:
        Report("out", [Problem("a", 1, "is missing")]).check()
    assert str(error.value) == ("out: 1 problem. Build the dataset again.\na: row 1: is missing")
