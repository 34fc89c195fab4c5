"""Bars of the charts: each has a label, a length and the amount in words.

A chart is a table: its bars are drawn by the page's style, and the amounts are text. So a chart is
as wide as the page, takes the page's colours, and can be read aloud, copied and printed.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from sftprep.statistics.figures import Bin, Limit
from sftprep.views.stats import fewer_bars, numbers_in, percent

LEAST = 0.004
"""The length of a bar that stands for more than nothing."""


class Bar(NamedTuple):
    """A bar, and what it stands for."""

    label: str
    shares: Sequence[float]  # of the width; more than one if the bar has parts
    amount: str

    @property
    def widths(self) -> list[str]:
        """The parts of the bar, in percent of the width."""
        return [f"{100 * max(share, LEAST if share else 0):.2f}" for share in self.shares]


def histogram(bins: Sequence[Bin]) -> list[Bar]:
    """Return the bars of a histogram; the longest fills the width.

    >>> histogram([Bin(1, 1, 2), Bin(2, 2, 4)])[0]
    Bar(label='1', shares=[0.5], amount='2')
    """
    shown = fewer_bars(bins)
    most = max((each.count for each in shown), default=0) or 1
    return [
        Bar(numbers_in(each.low, each.high), [each.count / most], f"{each.count:,}")
        for each in shown
    ]


def counts(by_reason: Mapping[str, int]) -> list[Bar]:
    """Return a bar for each reason, the most frequent first.

    >>> [bar.label for bar in counts({"too_long": 1, "empty": 3, "other": 3})]
    ['empty', 'other', 'too_long']
    """
    most = max(by_reason.values(), default=0) or 1
    ordered = sorted(by_reason.items(), key=lambda entry: (-entry[1], entry[0]))
    return [Bar(reason, [count / most], f"{count:,}") for reason, count in ordered]


def fates(limits: Sequence[Limit], strategy: str) -> list[Bar]:
    """Return for each limit the shares of rows that are whole, cut and dropped."""
    bars = []
    for limit in limits:
        fate = limit.strategies[strategy]
        shares = [fate.kept_share, fate.cut_share, fate.dropped_share]
        bars.append(Bar(f"{limit.max_length:,}", shares, percent(fate.kept_share)))
    return bars
