"""Facts of rows: every operation on a batch takes them along."""

from itertools import groupby
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sftprep.data.batch import Batch
from sftprep.data.provenance import COLUMNS, Part, RowFacts, Segments, Writer

USER = Writer(0, "user", Part.CONTENT)
ANSWER = Writer(1, "assistant", Part.CONTENT)
STOP = Writer(1, "assistant", Part.STOP)
WRITERS = [USER, ANSWER, STOP, Writer(-1, "", Part.TEMPLATE)]

Tokens = list[list[tuple[Writer, bool]]]
"""Rows of tokens, each with its writer and whether it is trained."""
tokens = st.lists(st.lists(st.tuples(st.sampled_from(WRITERS), st.booleans()), max_size=6))


def segments_of(rows: Tokens) -> Segments:
    """The segments of these tokens, as few as possible."""
    return Segments.of(
        [[(len(list(run)), *key) for key, run in groupby(row)] for row in rows],
    )


def batch_of(rows: Tokens) -> Batch:
    """A batch whose ids number its tokens, with facts; line i + 1 is that of row i."""
    numbers = iter(range(10_000))
    batch = Batch.of(
        [[next(numbers) for _ in row] for row in rows], [[flag for _, flag in row] for row in rows]
    )
    facts = RowFacts.of(
        segments_of(rows),
        line=[i + 1 for i in range(len(rows))],
        normalized_key=[2**64 - 1 - i for i in range(len(rows))],
        reasons={"shortened": [i % 2 == 1 for i in range(len(rows))]},
    )
    return Batch(batch.input_ids, batch.loss_mask, batch.offsets, batch.record, facts=facts)


def facts_of(batch: Batch) -> list[Any]:
    """What the facts of a batch say, row by row, after a check that they fit its rows."""
    facts = batch.facts
    assert facts is not None
    assert facts.normalized_key is not None
    assert len(facts) == len(facts.segments) == len(batch)
    assert facts.segments.row_tokens.tolist() == batch.lengths.tolist()
    trained = np.repeat(facts.segments.trained, facts.segments.tokens)
    assert trained.tolist() == batch.loss_mask.tolist()
    columns = {name: getattr(facts, name) for name in COLUMNS}
    assert {name: column.dtype for name, column in columns.items()} == COLUMNS
    return [
        (
            facts.segments.row(i),
            int(facts.line[i]),
            int(facts.normalized_key[i]),
            [name for name, rows in facts.reasons.items() if rows[i]],
        )
        for i in range(len(batch))
    ]


def expected(rows: Tokens, lines: list[int]) -> list[Any]:
    """What the facts of these rows say if they have these line numbers."""
    return [
        (
            [(len(list(run)), *key) for key, run in groupby(row)],
            line,
            2**64 - line,
            ["shortened"] if line % 2 == 0 else [],
        )
        for row, line in zip(rows, lines, strict=True)
    ]


@given(rows=tokens, data=st.data())
def test_keep_tokens(rows: Tokens, data: st.DataObject) -> None:
    """Tokens that go take no segment with them that has others; neighbours become one."""
    count = sum(map(len, rows))
    keep = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    flags = iter(keep)
    kept = [[token for token in row if next(flags)] for row in rows]
    batch = batch_of(rows).keep_tokens(np.array(keep, np.bool_))
    assert facts_of(batch) == expected(kept, list(range(1, len(rows) + 1)))


@given(rows=tokens, data=st.data())
def test_keep_rows(rows: Tokens, data: st.DataObject) -> None:
    """Each row that stays keeps its facts."""
    keep = data.draw(st.lists(st.booleans(), min_size=len(rows), max_size=len(rows)))
    lines = [i + 1 for i, stays in enumerate(keep) if stays]
    batch = batch_of(rows).keep_rows(np.array(keep, np.bool_))
    assert facts_of(batch) == expected([rows[line - 1] for line in lines], lines)


@given(rows=tokens, data=st.data())
def test_slices_and_their_concatenation(rows: Tokens, data: st.DataObject) -> None:
    """A slice has the facts of its rows; all slices together have those of the whole."""
    batch = batch_of(rows)
    border = data.draw(st.integers(0, len(rows)))
    parts = [batch.rows(0, border), batch.rows(border, len(rows))]
    whole = expected(rows, list(range(1, len(rows) + 1)))
    assert facts_of(parts[0]) == whole[:border]
    assert facts_of(parts[1]) == whole[border:]
    assert facts_of(Batch.concatenate(parts)) == whole


@given(first=tokens, second=tokens)
def test_concatenation_of_parts_with_other_writers(first: Tokens, second: Tokens) -> None:
    """Each part has its own list of writers; the whole has one."""
    whole = Segments.concatenate([segments_of(first), segments_of(second)])
    parts = (segments_of(first), segments_of(second))
    rows = [part.row(i) for part in parts for i in range(len(part))]
    assert [whole.row(i) for i in range(len(whole))] == rows
    assert len(set(whole.writers)) == len(whole.writers)


def test_a_reason_that_only_one_part_has() -> None:
    """Rows of a part without a reason are not counted under it."""
    parts = [
        RowFacts.of(Segments.of([[], []]), reasons={"glued_answer": [True, False]}),
        RowFacts.of(Segments.of([[]]), reasons={"shortened": [True]}),
    ]
    reasons = RowFacts.concatenate(parts).reasons
    assert {name: rows.tolist() for name, rows in reasons.items()} == {
        "glued_answer": [True, False, False],
        "shortened": [False, False, True],
    }


def test_facts_are_optional() -> None:
    """A batch without facts stays without; one part without them leaves the whole without."""
    plain = Batch.of([[1, 2]], [[False, True]])
    assert plain.keep_tokens(np.array([True, False])).facts is None
    assert plain.keep_rows(np.array([True])).facts is None
    assert plain.rows(0, 1).facts is None
    assert Batch.concatenate([plain, batch_of([[(USER, True)]])]).facts is None
