"""Put documents into packs: best-fit decreasing over a whole split.

In     int32[documents], the length of each document in the order of the plan.
Out    ``Packed``: the order of the documents and where each pack begins.
Keeps  No document is divided. The packs are those of the plain algorithm: take the documents from
       the longest to the shortest, equal ones in their order, and put each into the pack with the
       least space that is enough; of packs with equal space, into the one that has had that space
       for longest; if no pack has enough, into a new one.
Raises UsageError: a document is longer than a pack.

Documents of one length, and packs of one space, are handled together, so the work is one sort and
a few numpy calls for each length that occurs.
"""

from bisect import bisect_left, insort
from typing import NamedTuple

import numpy as np

from sftprep.arrange.columns import Numbers, Rows
from sftprep.arrange.options import PackOrder
from sftprep.arrange.shuffle import shuffled
from sftprep.data.ragged import lengths_to_offsets
from sftprep.errors import InternalError, UsageError

SMALL = 2**16  # numpy sorts 16-bit integers ten times as fast as others


class Packed(NamedTuple):
    """The documents, pack by pack."""

    order: Rows  # int64[documents]: the number of each document in the input
    offsets: Rows  # int64[packs + 1]: pack i holds order[offsets[i]] to order[offsets[i + 1] - 1]


def pack(lengths: Numbers, capacity: int, order: PackOrder, salt: int | None = None) -> Packed:
    """Put the documents into packs.

    Args:
        lengths: int32, the tokens of each document.
        capacity: the most tokens in a pack.
        order: the order of the documents in a pack.
        salt: shuffles the packs; None puts them in the order of their first documents.
    """
    _check(lengths, capacity)
    longest_first = _longest_first(lengths, capacity)
    packs = best_fit(lengths[longest_first], capacity)
    count = int(packs.max(initial=-1)) + 1

    if order is PackOrder.PLAN:
        by_plan = np.empty_like(packs)
        by_plan[longest_first] = packs
        packs, documents = by_plan, None
    else:
        documents = longest_first
    del longest_first

    if salt is None:
        # The places of the packs, in the order in which their first documents come.
        first = np.full(count, len(lengths), np.int64)
        numbers = np.arange(len(lengths)) if documents is None else documents
        np.minimum.at(first, packs, numbers)
        sequence: Rows = np.argsort(first)
    else:
        sequence = shuffled(count, salt)
    place = np.empty(count, np.int32)
    place[sequence] = np.arange(count, dtype=np.int32)
    offsets = lengths_to_offsets(np.bincount(packs, minlength=count)[sequence])
    packs = place[packs]
    sorted_order: Rows = np.argsort(packs, kind="stable")
    return Packed(sorted_order if documents is None else documents[sorted_order], offsets)


def best_fit(lengths: Numbers, capacity: int) -> Numbers:
    """Return int32[documents]: the number of the pack of each document.

    Args:
        lengths: from the longest to the shortest.
        capacity: the most tokens in a pack.
    """
    packs = np.empty(len(lengths), np.int32)
    waiting: dict[int, list[Numbers]] = {}  # space left -> packs that have it, in order of arrival
    spaces: list[int] = []  # the keys of ``waiting``, ascending
    count = 0

    def wait(space: int, numbers: Numbers) -> None:
        if space in waiting:
            waiting[space].append(numbers)
        else:
            waiting[space] = [numbers]
            insort(spaces, space)

    for start, stop in _runs(lengths):
        length, at = int(lengths[start]), start
        # No space smaller than the smallest that fits is long enough, so a pack that is chosen is
        # chosen again until less than a document's length is left: it takes ``each`` documents.
        while at < stop and (index := bisect_left(spaces, length)) < len(spaces):
            space = spaces.pop(index)
            numbers = np.concatenate(waiting.pop(space))
            each = space // length
            full = min(len(numbers), (stop - at) // each)
            packs[at : at + full * each] = np.repeat(numbers[:full], each)
            at += full * each
            if full:
                wait(space % length, numbers[:full])
            if full < len(numbers):  # fewer documents are left than fit into the next pack
                if at < stop:
                    packs[at:stop] = numbers[full]
                    wait(space - (stop - at) * length, numbers[full : full + 1])
                    full += 1
                    at = stop
                if full < len(numbers):
                    wait(space, numbers[full:])
        if at < stop:
            each = capacity // length
            full, rest = divmod(stop - at, each)
            numbers = np.arange(count, count + full + (rest > 0), dtype=np.int32)
            count += len(numbers)
            packs[at:stop] = np.repeat(numbers, each)[: stop - at]
            if full:
                wait(capacity % length, numbers[:full])
            if rest:
                wait(capacity - rest * length, numbers[full:])
    return packs


def packs_needed(lengths: Rows, counts: Rows, capacity: int) -> int:
    """Return how many packs ``best_fit`` makes; only the lengths that occur take time.

    Args:
        lengths: the lengths that occur, from 1 to ``capacity``, in any order.
        counts: how many documents have each.
        capacity: the most tokens in a pack.
    """
    waiting: dict[int, int] = {}  # space left -> how many packs have it
    spaces: list[int] = []  # the keys of ``waiting``, ascending
    packs = 0

    def wait(space: int, number: int) -> None:
        if number and space not in waiting:
            insort(spaces, space)
        if number:
            waiting[space] = waiting.get(space, 0) + number

    order = np.argsort(lengths)[::-1]
    for length, count in zip(lengths[order].tolist(), counts[order].tolist(), strict=True):
        left = count
        while left and (index := bisect_left(spaces, length)) < len(spaces):
            space = spaces.pop(index)
            number, each = waiting.pop(space), space // length
            full = min(number, left // each)
            left -= full * each
            wait(space % length, full)
            if full < number and left:  # fewer documents are left than fit into the next pack
                wait(space - left * length, 1)
                full, left = full + 1, 0
            wait(space, number - full)
        full, rest = divmod(left, capacity // length)
        packs += full + (rest > 0)
        wait(capacity % length, full)
        wait(capacity - rest * length, int(rest > 0))
    return packs


def _runs(lengths: Numbers) -> list[tuple[int, int]]:
    """Return the first document of each length, and the first one after them."""
    changes = np.flatnonzero(lengths[1:] != lengths[:-1]) + 1
    ends = [*changes.tolist(), len(lengths)] if len(lengths) else []
    return list(zip([0, *ends], ends, strict=False))


def _longest_first(lengths: Numbers, capacity: int) -> Rows:
    """Return the documents from the longest to the shortest, equal ones in their order."""
    keys = capacity - lengths
    if capacity < SMALL:
        keys = keys.astype(np.uint16)
    order: Rows = np.argsort(keys, kind="stable")
    return order


def _check(lengths: Numbers, capacity: int) -> None:
    """Raise if a document does not fit into a pack, or is empty."""
    if len(lengths) and lengths.min() < 1:
        raise InternalError("A row without tokens cannot be packed.")
    longer = np.count_nonzero(lengths > capacity)
    if longer:
        raise UsageError(
            f"{longer:,} of {len(lengths):,} rows are longer than a pack of {capacity:,} tokens; "
            f"the longest has {lengths.max():,}. Packing never divides a row: pass --pack-length "
            f"{lengths.max()} or more, or prepare the data again with --truncation."
        )
