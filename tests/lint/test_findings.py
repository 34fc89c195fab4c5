"""findings: tallies add up to the same, in whatever order and groups they are added."""

from copy import deepcopy

from hypothesis import given, settings
from hypothesis import strategies as st

from sftprep.lint.findings import (
    EXAMPLES,
    MOST_FORMS,
    Example,
    Form,
    Tally,
    first_examples,
    first_records,
)

EXAMPLE = st.builds(
    Example,
    source=st.integers(0, 1),
    line=st.integers(1, 12),
    offset=st.just(0),
    text=st.sampled_from("abcdefgh"),
    is_said=st.booleans(),
)
FORM = st.builds(
    lambda examples, more: Form(len(examples) + more, first_examples(examples)),
    st.lists(EXAMPLE, max_size=8),
    st.integers(0, 3),
)
TALLY = st.builds(
    Tally,
    seen=st.integers(0, 9),
    faulty=st.integers(0, 9),
    forms=st.dictionaries(st.sampled_from("xyz"), FORM, max_size=3),
)


def total(tallies: list[Tally]) -> Tally:
    """Return the sum of some tallies, which stay as they are."""
    whole = Tally()
    for tally in deepcopy(tallies):
        whole.add(tally)
    return whole


@settings(max_examples=60, deadline=None)
@given(st.lists(TALLY, max_size=6), st.randoms(use_true_random=False), st.integers(0, 6))
def test_order_and_groups_do_not_matter(tallies: list[Tally], random: object, at: int) -> None:
    """Blocks may be done in any order, and their tallies may be added in groups."""
    expected = total(tallies)
    shuffled = tallies.copy()
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert total(shuffled) == expected
    assert total([total(tallies[:at]), total(tallies[at:])]) == expected


def test_examples_are_the_first_ones() -> None:
    """There is one example of each record and of each excerpt, in the order of the input."""

    def at(line: int, text: str) -> Example:
        return Example(0, line, line * 10, text)

    given_ = [at(9, "i"), at(2, "a"), at(3, "a"), at(2, "b"), *(at(n, str(n)) for n in range(4, 9))]
    found = [(example.line, example.text) for example in first_records(given_)]
    assert found == [(2, "a"), (4, "4"), (5, "5"), (6, "6"), (7, "7")]
    assert len(found) == EXAMPLES


def test_too_many_forms_are_none() -> None:
    """Where nearly every text has a form of its own, no form is kept, and the count stays."""
    forms = {str(number): Form(1) for number in range(MOST_FORMS)}
    more = {f"{number} more": Form(1) for number in range(9)}
    whole = total([Tally(5, 5, forms), Tally(1, 1, more), Tally(1, 1, {"0": Form(1)})])
    assert (whole.seen, whole.forms, whole.has_many) == (7, {}, True)
