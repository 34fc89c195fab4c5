"""The records that are longer than ``--max-length``, and the limit that nearly all would fit.

In     the lengths of the records that the limit lost, in tokens, in any order.
Out    the least ``--max-length`` that at most 1 % of the records are over, rounded up by less than
       a sixteenth.
Keeps  a few hundred numbers however many records there are, because the lengths are rounded before
       they are counted.
"""

from collections import Counter
from collections.abc import Mapping

MOST_OVER = 100
"""The limit to be found is one that at most one in so many records is over."""


class LongRecords:
    """Counts the records that are over the limit, by their lengths.

    Args:
        counts: rounded length -> number of records, from ``state``.
    """

    def __init__(self, counts: Mapping[str, int] | None = None) -> None:
        self._counts = Counter({int(length): n for length, n in (counts or {}).items()})

    def add(self, length: int) -> None:
        """Count a record."""
        self._counts[rounded_up(length)] += 1

    def state(self) -> dict[str, int]:
        """Return the counts as plain JSON values, for the journal."""
        return {str(length): count for length, count in sorted(self._counts.items())}

    def fitting_length(self, records: int) -> int:
        """Return the least limit that at most 1 % of the records are over.

        Args:
            records: the number of all records whose length is known.

        Returns:
            0 if at most 1 % of the records are over the present limit.
        """
        over, found = 0, 0
        for length in sorted(self._counts, reverse=True):
            over += self._counts[length]
            if over * MOST_OVER > records:
                found = length
                break
        return found


def rounded_up(length: int) -> int:
    """Round a length up to a number of five binary digits with zeros after them.

    >>> rounded_up(31), rounded_up(2049), rounded_up(4096)
    (31, 2176, 4096)
    """
    unit = 1 << max(length.bit_length() - 5, 0)
    return -(-length // unit) * unit
