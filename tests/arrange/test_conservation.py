"""A digest tells multisets of documents apart, and adds up."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sftprep.arrange.conservation import (
    MODULUS,
    check_conserved,
    check_written,
    digest,
    text,
    total,
)
from sftprep.errors import InternalError

Document = tuple[int, int, int]
documents = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(0, 3)), max_size=12
)


def of(rows: list[Document]) -> int:
    """The digest of documents."""
    key, tokens, trained = (np.array([row[i] for row in rows]) for i in range(3))
    return digest(key.astype(np.uint64), tokens.astype(np.int32), trained.astype(np.int32))


@given(documents, documents)
def test_equal_multisets_have_equal_digests_and_others_do_not(
    one: list[Document], other: list[Document]
) -> None:
    """The order does not matter, and how often a document occurs does."""
    assert of(one) == of(one[::-1])
    assert (of(one) == of(other)) == (sorted(one) == sorted(other))


@given(documents, documents)
def test_digests_add_up(one: list[Document], other: list[Document]) -> None:
    """So shards can be counted one by one."""
    assert of(one + other) == total(of(one), of(other))
    assert of(one) == total(of(one + other), -of(other))
    assert 0 <= of(one) < MODULUS


def test_many_documents_are_counted_in_parts() -> None:
    """With the same result."""
    key = np.arange(3_000_000, dtype=np.uint64)
    sizes = np.ones(len(key), np.int32)
    parts = (slice(0, 1_500_001), slice(1_500_001, None))
    assert digest(key, sizes, sizes) == total(
        *(digest(key[part], sizes[part], sizes[part]) for part in parts)
    )


def test_what_goes_in_must_come_out() -> None:
    """A document that is missing, doubled, cut or exchanged is noticed."""
    rows = [(1, 5, 3), (2, 6, 3), (3, 5, 3), (4, 9, 1)]
    train, validation, copies, dropped = rows[:2] + rows[:1], rows[2:3], rows[:1], rows[3:]
    check_conserved(
        of(rows), {"train": of(train), "validation": of(validation)}, of(copies), of(dropped)
    )
    for wrong in (train[1:], train + rows[:1], [(1, 4, 3), *train[1:]], [(1, 5, 2), *train[1:]]):
        with pytest.raises(InternalError, match=r"splits \(train, validation\)"):
            check_conserved(
                of(rows),
                {"train": of(wrong), "validation": of(validation)},
                of(copies),
                of(dropped),
            )


def test_what_was_planned_must_be_written() -> None:
    """The message names the split, and shows both digests as the manifest does."""
    check_written("train", 5, 5)
    with pytest.raises(InternalError, match=f"train split.*{text(6)}.*{text(5)}"):
        check_written("train", 5, 6)
    assert text(255) == "0" * 30 + "ff"
