"""Columns of small datasets, for the tests of arrangements."""

from collections.abc import Sequence

import numpy as np

from sftprep.arrange.columns import Columns
from sftprep.arrange.hashing import mix


def keys(values: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.uint64]]:
    """The hashes of numbers that stand for texts."""
    return mix(np.array(values, np.uint64), 99)


def columns(
    texts: Sequence[int],
    *,
    prompts: Sequence[int] | None = None,
    tokens: Sequence[int] | None = None,
    sources: Sequence[int] | None = None,
    groups: Sequence[int] | None = None,
    normalized: Sequence[int] | None = None,
    records: Sequence[int] | None = None,
) -> Columns:
    """One row for each number in ``texts``; equal numbers are equal texts.

    By default each text has its own prompt, and ten tokens; half of all tokens are trained.
    """
    prompts = texts if prompts is None else prompts
    lengths = np.array([10] * len(texts) if tokens is None else tokens, np.int32)
    return Columns(
        source=np.array([0] * len(texts) if sources is None else sources, np.int32),
        tokens=lengths,
        trained=lengths // 2,
        prompt_key=keys(prompts),
        record_key=keys(texts),
        normalized_key=None if normalized is None else keys(normalized),
        normalized_prompt_key=None if normalized is None else keys(normalized),
        group_key=None if groups is None else keys(groups),
        record=None if records is None else np.array(records, np.int64),
    )
