"""Choose records at random, so that each record of the inputs has the same chance.

In     blocks in input order; how many records are wanted, and a seed.
Out    the chosen records as blocks, in input order, and how many records and bytes there were.
       Blank lines count as records: whether a line is blank is not known before it is parsed.
Keeps  the choice the same for the same inputs and seed, however they were divided into blocks.
       Memory for about twice as many records as are wanted. Each input is read whole, but what is
       not chosen is not parsed.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from sftprep.arrange.hashing import WORD, mix, salt_of
from sftprep.data.block import Block, Element
from sftprep.reading.parsing import single_records

JOINED = 256
"""The most records in a block of chosen records."""
MOST_NEIGHBOURS = 3
"""How many blocks are kept whole."""
_CHECKED = 2
"""The records that were chosen so far are checked when there are so many times more than wanted."""


class Sampled(NamedTuple):
    """Chosen records, and what they were chosen from."""

    blocks: list[Block]
    chosen: int
    records: int
    bytes: int  # uncompressed
    neighbours: list[Block]  # some whole blocks: their records follow each other, as in a shard


def choose(blocks: Iterable[Block], wanted: int, seed: int) -> Sampled:
    """Choose records.

    Args:
        blocks: all records.
        wanted: how many records to choose; all, if there are no more.
        seed: another seed chooses others.
    """
    found: list[tuple[int, int, Block]] = []  # the hash of a record, its number, the record
    largest = WORD - 1  # records with a larger hash are not among the chosen ones
    salt = salt_of(seed, 0)
    neighbours: list[Block] = []
    following = 1  # the number of the next block that is kept whole
    records = size = 0
    for number, block in enumerate(blocks, 1):
        count = block.records
        if number == following and len(neighbours) < MOST_NEIGHBOURS:
            neighbours.append(block)
            following *= 4
        hashes = mix(np.arange(records, records + count, dtype=np.uint64), salt)
        size += len(block.data)
        if (hashes <= np.uint64(largest)).any():
            for index, single in enumerate(single_records(block)):
                if hashes[index] <= largest:
                    found.append((int(hashes[index]), records + index, single))
        records += count
        if len(found) > _CHECKED * wanted:
            found = sorted(found, key=lambda one: one[:2])[:wanted]
            largest = found[-1][0]
    found = sorted(sorted(found, key=lambda one: one[:2])[:wanted], key=lambda one: one[1])
    chosen = list(_joined(block for _, _, block in found))
    return Sampled(chosen, len(found), records, size, neighbours)


def _joined(singles: Iterable[Block]) -> Iterator[Block]:
    """Join neighbouring records of one file of JSON into blocks, which take less time."""
    waiting: list[Block] = []
    for single in singles:
        alone = single.rows is not None or single.too_long is not None
        if waiting and (alone or len(waiting) == JOINED or single.source != waiting[0].source):
            yield _one(waiting)
            waiting = []
        if alone:
            yield single
        else:
            waiting.append(single)
    if waiting:
        yield _one(waiting)


def _one(singles: list[Block]) -> Block:
    """Return one block with these records, each at its place."""
    elements, start = [], 0
    for single in singles:
        column = single.elements[0].column if single.elements else 1
        elements.append(Element(start, start + len(single.data), single.line, column))
        start += len(single.data) + 1
    data = b"\n".join(single.data for single in singles)
    return singles[0]._replace(data=data, elements=tuple(elements))
