"""Make figures from columns: spreads, histograms, groups, packings, duplicates.

In     numpy columns, one entry a row.
Out    the classes of ``figures``.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sftprep.arrange import dedup
from sftprep.arrange.columns import Numbers, Rows
from sftprep.arrange.equal_rows import equal_rows
from sftprep.arrange.pack import packs_needed
from sftprep.data.limits import STRATEGIES, LimitCounts
from sftprep.statistics.figures import (
    PERCENTILES,
    Bin,
    Duplicates,
    Epoch,
    Fate,
    Group,
    Limit,
    Packing,
    Spread,
)
from sftprep.statistics.rows import RowNumbers

MOST_DENSE = 2**22
"""Numbers below this are counted each by itself, which is faster than to sort them."""
DIGITS = 6  # of shares and means


def spread(values: Numbers) -> Spread | None:
    """Return how numbers are spread; None if there are none."""
    if not len(values):
        return None
    numbers, counts = counted(values)
    total = int(values.sum(dtype=np.int64))
    return Spread(
        total=total,
        mean=round(total / len(values), 2),
        least=int(numbers[0]),
        most=int(numbers[-1]),
        percentiles={str(p): int(numbers[_place(counts, p, len(values))]) for p in PERCENTILES},
        histogram=histogram(numbers, counts),
    )


def counted(values: Numbers) -> tuple[Rows, Rows]:
    """Return the numbers that occur, ascending, and how often each does."""
    if len(values) and values.max() < MOST_DENSE and values.min() >= 0:
        counts = np.bincount(values)
        numbers = np.flatnonzero(counts)
        return numbers, counts[numbers]
    numbers, counts = np.unique(values, return_counts=True)
    return numbers.astype(np.int64), counts


def _place(counts: Rows, percent: int, count: int) -> int:
    """Return the place of the least number that so many percent of all are not above."""
    wanted = -(-count * percent // 100)  # in whole numbers: floats would round at the borders
    return int(np.searchsorted(np.cumsum(counts), wanted))


def at_most(numbers: Rows, counts: Rows, percent: int) -> int:
    """Return the least number that so many percent of all are not above; 0 if there are none."""
    if not len(numbers):
        return 0
    return int(numbers[_place(counts, percent, int(counts.sum()))])


def edges(most: int) -> list[int]:
    """Return where the bars of a histogram begin: powers of two, and half-way between them.

    >>> edges(30)
    [0, 1, 2, 3, 4, 6, 8, 12, 16, 24]
    """
    found = [0, 1, 2, 3]
    step = 4
    while step <= most:
        found += [step, step + step // 2]
        step *= 2
    return [edge for edge in found if edge <= most]


def histogram(numbers: Rows, counts: Rows) -> list[Bin]:
    """Return the bars from the least number to the greatest, those in between also if empty."""
    starts = np.array(edges(int(numbers[-1])), np.int64)
    ends = np.append(starts[1:] - 1, int(numbers[-1]))
    bars = np.searchsorted(starts, numbers, side="right") - 1
    sums = np.bincount(bars, counts, len(starts)).astype(np.int64)
    first = int(bars[0])
    return [
        Bin(low, high, count)
        for low, high, count in zip(
            starts[first:].tolist(), ends[first:].tolist(), sums[first:].tolist(), strict=True
        )
    ]


def group(name: str, tokens: Numbers, trained: Numbers, all_tokens: int) -> Group:
    """Return the figures of some rows."""
    total = int(tokens.sum(dtype=np.int64))
    return Group(name, len(tokens), share(total, all_tokens), spread(tokens), spread(trained))


def groups(
    names: Sequence[str], number: npt.NDArray[np.integer], rows: RowNumbers, all_tokens: int
) -> list[Group]:
    """Return the figures of the rows of each group that has rows.

    Args:
        names: of the groups.
        number: the group of each row.
        rows: all rows.
        all_tokens: how many tokens they have.
    """
    counts = np.bincount(number, minlength=len(names))
    if int(np.count_nonzero(counts)) <= 1:
        return [
            group(names[at], rows.tokens, rows.trained, all_tokens)
            for at in np.flatnonzero(counts).tolist()
        ]
    order = np.argsort(number, kind="stable")
    ends = np.cumsum(counts)
    found = []
    for at in np.flatnonzero(counts).tolist():
        own = order[ends[at] - counts[at] : ends[at]]
        found.append(group(names[at], rows.tokens[own], rows.trained[own], all_tokens))
    return found


def limits_of(limits: Sequence[int], counts: LimitCounts, rows: int, tokens: int) -> list[Limit]:
    """Return what each limit and strategy would do.

    Args:
        limits: the maximum lengths.
        counts: the rows that are longer.
        rows: how many rows there are.
        tokens: how many tokens they have, before anything is cut.
    """
    found = []
    for at, limit in enumerate(limits):
        strategies = {}
        for number, strategy in enumerate(STRATEGIES):
            cut, dropped = int(counts.cut[number, at]), int(counts.dropped[number, at])
            gone: int | None = int(counts.tokens_cut[number, at])
            if strategy == "oldest-turns" and counts.uncounted[at]:
                gone = None
            lost = int(counts.tokens_dropped[number, at])
            kept = rows - cut - dropped
            left = None if gone is None else tokens - gone - lost
            strategies[strategy] = Fate(
                kept=kept,
                cut=cut,
                dropped=dropped,
                kept_share=share(kept, rows),
                cut_share=share(cut, rows),
                dropped_share=share(dropped, rows),
                tokens_kept=left,
                tokens_cut=gone,
                tokens_dropped=lost,
                tokens_kept_share=None if left is None else share(left, tokens),
            )
        found.append(Limit(limit, strategies))
    return found


def packings(lengths: Sequence[Numbers], capacities: Sequence[int]) -> list[Packing]:
    """Return what packing gives at each length of a pack.

    Args:
        lengths: the rows of each split, in tokens; rows of two splits never share a pack.
        capacities: the lengths of a pack.
    """
    found = []
    all_counted = [counted(part) for part in lengths if len(part)]
    for capacity in capacities:
        packs = tokens = over = 0
        for numbers, counts in all_counted:
            cut = np.minimum(numbers, capacity)
            packs += packs_needed(cut, counts, capacity)
            tokens += int((cut * counts).sum())
            over += int(counts[numbers > capacity].sum())
        found.append(Packing(capacity, packs, share(tokens, packs * capacity), over))
    return found


def duplicates(rows: RowNumbers, repeated: int) -> Duplicates:
    """Find equal rows, and prompts that have several answers.

    Args:
        rows: all rows.
        repeated: how many of them are copies on purpose.
    """
    equal = max(len(dedup.exact(rows.columns()).rows) - repeated, 0)
    same_prompt = equal_rows(rows.prompt_key)
    members, first = same_prompt.members, same_prompt.first
    prompt = np.cumsum(first) - 1
    keys = rows.record_key[members]
    begins = np.flatnonzero(first)
    several = np.zeros(len(begins), np.bool_)
    if len(begins):
        np.logical_or.at(several, prompt, keys != keys[begins][prompt])
    sizes = np.diff(np.append(begins, len(members)))
    return Duplicates(
        rows=equal,
        share=share(equal, len(rows) - repeated),
        prompts_with_several_answers=int(np.count_nonzero(several)),
        rows_of_such_prompts=int(sizes[several].sum()),
    )


def epoch(batch_size: int, rows: int, tokens: int, trained: int) -> Epoch:
    """Return how many steps one pass over the training split takes."""
    steps = -(-rows // batch_size)
    per_step = round(tokens / steps, 2) if steps else 0.0
    return Epoch(batch_size, rows, steps, tokens, trained, per_step)


def share(part: int, whole: int) -> float:
    """Return a part as a share of the whole; 0 of nothing."""
    return round(part / whole, DIGITS) if whole else 0.0
