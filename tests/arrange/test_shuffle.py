"""A shuffled order has every item once, and depends on the salt."""

from sftprep.arrange.shuffle import shuffled


def test_each_item_once() -> None:
    """For any number of them."""
    for number in (0, 1, 2, 1000):
        assert sorted(shuffled(number, 3).tolist()) == list(range(number))


def test_the_salt_decides() -> None:
    """And the items are well mixed: few stay next to their neighbour."""
    one, other = shuffled(1000, 1), shuffled(1000, 2)
    assert one.tolist() != other.tolist()
    assert (abs(one[1:] - one[:-1]) == 1).sum() < 20
    assert abs(one[:500].mean() - 500) < 50
