"""State where the rows of a block come from.

In     a block, its examples, and what the stages found out about them.
Out    ``RowFacts`` of the rows before they are cut, without the reasons.
Never  creates a Python object per token.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from sftprep.data.block import Block
from sftprep.data.provenance import RowFacts, Segments
from sftprep.data.ragged import Offsets
from sftprep.rows.keys import TextKeys, keys_of
from sftprep.steps.examples import Examples


def facts_of(
    block: Block,
    lines: Sequence[bytes],
    examples: Examples,
    keys: TextKeys,
    segments: Segments,
    gone: Mapping[int, int],
) -> RowFacts:
    """Return the facts of the rows of a block.

    Args:
        block: the block.
        lines: the lines of the block.
        examples: the examples; each has a row.
        keys: the keys of their texts.
        segments: the segments of the rows.
        gone: row -> how many of its exchanges ``oldest-turns`` left out.
    """
    count = len(examples.places)
    places = np.array(examples.places, np.int64)
    line, offset = _places(block, lines, places)
    # The first example of a record is number 0; ``places`` ascends.
    answer = np.arange(count) - np.searchsorted(places, places)
    exchanges = np.zeros(count, np.int32)
    exchanges[list(gone)] = list(gone.values())
    return RowFacts(
        source=np.full(count, block.source, np.int32),
        line=line,
        offset=offset,
        answer=answer.astype(np.int32),
        cut_tokens=np.zeros(count, np.int32),
        cut_trained=np.zeros(count, np.int32),
        cut_at=np.zeros(count, np.uint8),
        exchanges_dropped=exchanges,
        prompt_key=keys.prompt,
        record_key=keys.record,
        normalized_key=keys.normalized,
        normalized_prompt_key=keys.normalized_prompt,
        group_key=None if examples.groups is None else keys_of(examples.groups),
        segments=segments,
    )


def _places(block: Block, lines: Sequence[bytes], places: Offsets) -> tuple[Offsets, Offsets]:
    """Return the line and the byte offset at which each record starts, as ``Block.place`` does.

    Args:
        block: the block.
        lines: the lines of the block.
        places: int64[records]: the indices of their lines.
    """
    if block.rows is not None:
        return block.line + places, np.full(len(places), -1, np.int64)
    if block.elements is not None:
        of_elements = np.array([(e.line, e.start) for e in block.elements], np.int64)
        return of_elements[places, 0], block.offset + of_elements[places, 1]
    starts = np.zeros(len(lines), np.int64)
    np.cumsum(np.fromiter(map(len, lines), np.int64, len(lines))[:-1] + 1, out=starts[1:])
    return block.line + places, block.offset + starts[places]
