"""Each cause of refused records is told once, with its count and three places."""

from sftprep.dataset.causes import LISTED, Cause, Causes
from sftprep.errors import RecordError


def add(causes: Causes, line: int, problem: str, reason: str = "wrong_type") -> None:
    """Add a refused record."""
    causes.add(RecordError(reason, problem), f"a:{line}", f"a:{line}: {problem}")


def test_records_with_one_cause_are_counted_together() -> None:
    """A cause has the message and the place of its first record, and two more places."""
    causes = Causes()
    for line in range(1, 8):
        add(causes, line, f"prompt is {line * 1.5}; expected a string" if line != 2 else "other")
    first, second = causes.listed()
    assert first == Cause("a:1: prompt is 1.5; expected a string", ["a:1", "a:3", "a:4"], 6)
    assert first.others() == "The same in 5 more records: a:3, a:4, ..."
    assert second == Cause("a:2: other", ["a:2"], 1)
    assert second.others() == ""


def test_all_places_are_named_if_there_are_three() -> None:
    """The sentence ends with dots only if some places are not named."""
    assert Cause("", ["a:1", "a:2"], 2).others() == "The same in 1 more record: a:2"
    assert Cause("", ["a:1", "a:2", "a:3"], 3).others() == "The same in 2 more records: a:2, a:3"
    assert Cause("", ["a:1", "a:2", "a:3"], 4).others().endswith("a:2, a:3, ...")


def test_other_words_or_another_reason_are_another_cause() -> None:
    """Only numbers may differ in the messages of one cause."""
    causes = Causes()
    add(causes, 1, "the role is 'a'")
    add(causes, 2, "the role is 'b'")
    add(causes, 3, "the role is 'a'", "unknown_role")
    assert [cause.places for cause in causes.listed()] == [["a:1"], ["a:2"], ["a:3"]]


def test_only_some_causes_are_kept() -> None:
    """The records of further causes are counted."""
    causes = Causes()
    for line in range(1, LISTED + 6):
        add(causes, line, "x" * line)
        add(causes, line + 100, "x" * line)
    assert len(causes.listed()) == LISTED
    assert causes.not_listed == 10


def test_a_state_restores_everything() -> None:
    """Causes that go on after an interruption are those of one run."""
    whole, first, second = Causes(), Causes(), Causes()
    problems = ["x" * (n % 25) for n in range(90)]
    for line, problem in enumerate(problems):
        add(whole, line, problem)
        add(first if line < 40 else second, line, problem)
        if line == 39:
            second.restore(first.state())
    assert whole.state() == second.state()
