"""The whole plan: its steps in their order, what it counts and what it refuses."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from row_columns import columns

from sftprep.arrange.arrange import arrange
from sftprep.arrange.columns import Rows
from sftprep.arrange.conservation import digest, text
from sftprep.arrange.near import Tokens
from sftprep.arrange.options import Arrangement, Dedup, Pad, PadTo, Repeat, Share
from sftprep.arrange.plan import REASONS, Plan, SplitPlan
from sftprep.errors import DataError, InternalError, UsageError

FIFTH = Share(fraction=Fraction(1, 5))


def split(plan: Plan, name: str = "train") -> SplitPlan:
    """One split of a plan."""
    return {split.name: split for split in plan.splits}[name]


def rows(plan: Plan, name: str = "train") -> list[int]:
    """The rows of a split, in the order of the output."""
    found: list[int] = split(plan, name).rows.tolist()
    return found


def same(one: Plan, other: Plan) -> bool:
    """Whether two plans are equal in everything."""
    return str(listed(one)) == str(listed(other))


def listed(plan: Plan) -> list[Any]:
    """A plan as plain lists."""
    return [
        *([s.name, s.rows.tolist(), s.packs.tolist(), s.lengths.tolist()] for s in plan.splits),
        plan.dropped_rows.tolist(),
        plan.repeats.tolist(),
        plan.reason.tolist(),
        plan.facts,
    ]


def test_nothing_asked_for() -> None:
    """All rows are in the training split, in their order."""
    assert Arrangement().is_plain
    assert Arrangement(seed=5, pack_length=9).is_plain
    plan = arrange(columns([5, 5, 6], tokens=[4, 4, 8]), Arrangement())
    assert rows(plan) == [0, 1, 2]
    assert split(plan).packs.tolist() == [0, 1, 2, 3]
    assert split(plan).lengths.tolist() == [4, 4, 8]
    assert not len(plan.dropped_rows)
    assert plan.facts["splits"] == {
        "train": {"packs": 3, "documents": 3, "tokens": 16, "trained_tokens": 8, "padding": 0}
    }


@pytest.mark.parametrize(
    "options",
    [
        Arrangement(dedup=Dedup.EXACT),
        Arrangement(validation=FIFTH),
        Arrangement(sample=FIFTH),
        Arrangement(shuffle=True),
        Arrangement(pack=True),
        Arrangement(pad=Pad(PadTo.LONGEST)),
        Arrangement(repeat=(Repeat(frozenset({0}), Fraction(2)),)),
    ],
)
def test_whatever_is_asked_for_is_not_plain(options: Arrangement) -> None:
    """Then rows do not go straight to their shards."""
    assert not options.is_plain


def test_duplicates_go_first() -> None:
    """A row that was dropped is in no split, and its keeper is named."""
    plan = arrange(columns([5, 6, 5, 7, 6]), Arrangement(dedup=Dedup.EXACT))
    assert rows(plan) == [0, 1, 3]
    assert plan.dropped_rows.tolist() == [2, 4]
    assert plan.repeats.tolist() == [0, 1]
    assert [REASONS[number] for number in plan.reason] == ["duplicate"] * 2
    assert plan.facts["dropped"] == {"duplicate": 2}
    normalized = columns([5, 6, 7], normalized=[1, 2, 1])
    assert rows(arrange(normalized, Arrangement(dedup=Dedup.NORMALIZED))) == [0, 1]


def test_near_duplicates_name_the_row_that_stays() -> None:
    """Rows 2 and 3 are equal, and both nearly repeat row 0."""
    first = np.arange(100)
    nearly = np.concatenate([first, [7]])
    texts = [first, np.arange(500, 600), nearly, nearly]

    def tokens_of(wanted: Rows) -> Tokens:
        found = [texts[row] for row in wanted.tolist()]
        ids = np.concatenate([*found, []]).astype(np.int32)
        return Tokens(ids, ids % 100 >= 50, np.cumsum([0, *map(len, found)]))

    options = Arrangement(dedup=Dedup.NEAR)
    with pytest.raises(InternalError, match="needs the tokens"):
        arrange(columns([5, 6, 7, 7]), options)
    plan = arrange(columns([5, 6, 7, 7], tokens=[100, 100, 101, 101]), options, tokens_of)
    assert rows(plan) == [0, 1]
    assert plan.dropped_rows.tolist() == [2, 3]
    assert plan.repeats.tolist() == [0, 0]
    assert plan.facts["dropped"] == {"duplicate": 1, "near_duplicate": 1}
    assert plan.facts["near"]["threshold"] == 0.8


def test_prompts_stay_together_and_leaks_are_counted() -> None:
    """Each prompt has two answers. Prompts that differ in their spelling only are a leak."""
    texts = list(range(200))
    prompts = [text // 2 for text in texts]
    normalized = [text // 4 for text in texts]
    known = columns(texts, prompts=prompts, normalized=normalized)
    plan = arrange(known, Arrangement(validation=FIFTH, test=Share(rows=20)))
    assert [s.name for s in plan.splits] == ["train", "validation", "test"]
    assert len(rows(plan, "test")) == 20
    sides = {name: {row // 2 for row in rows(plan, name)} for name in ("train", "validation")}
    assert not sides["train"] & sides["validation"]
    leaks = plan.facts["prompts_in_two_splits"]
    where = [
        {s.name for s in plan.splits for row in s.rows.tolist() if row // 4 == four}
        for four in range(50)
    ]
    assert leaks == {"exact": 0, "normalized": sum(len(names) > 1 for names in where)}
    assert leaks["normalized"] > 0


def test_groups_stay_together_though_prompts_then_leak() -> None:
    """With --split-by, the field decides; planted prompts on both sides are counted."""
    groups = [row // 10 for row in range(200)]
    prompts = list(range(200))
    options = Arrangement(validation=FIFTH, by_group=True)
    plan = arrange(columns(range(200), prompts=prompts, groups=groups), options)
    validation = {groups[row] for row in rows(plan, "validation")}
    assert not validation & {groups[row] for row in rows(plan)}
    assert plan.facts["prompts_in_two_splits"] == {"exact": 0, "normalized": None}

    for leak in range(3):  # three prompts of the validation split are asked in training too
        prompts[rows(plan)[leak]] = prompts[rows(plan, "validation")[leak]]
    again = arrange(columns(range(200), prompts=prompts, groups=groups), options)
    assert rows(again) == rows(plan)
    assert again.facts["prompts_in_two_splits"]["exact"] == 3


def test_the_examples_of_a_conversation_stay_together() -> None:
    """Each has a prompt of its own, but the later ones hold the answers of the earlier ones."""
    records = [row // 3 for row in range(300)]
    plan = arrange(columns(range(300), records=records), Arrangement(validation=FIFTH))
    validation = {records[row] for row in rows(plan, "validation")}
    assert len(rows(plan, "validation")) == 3 * len(validation)
    # Records with one first prompt stay together too.
    prompts = [(row // 3 % 50) if row % 3 == 0 else row + 1000 for row in range(300)]
    known = columns(range(300), prompts=prompts, records=records)
    plan = arrange(known, Arrangement(validation=FIFTH))
    sides = [{records[row] % 50 for row in rows(plan, name)} for name in ("train", "validation")]
    assert not sides[0] & sides[1]


def test_only_the_training_split_is_sampled_and_repeated() -> None:
    """Repeats are whole passes; each source is counted before and after."""
    known = columns(range(100), sources=[row % 2 for row in range(100)])
    options = Arrangement(validation=FIFTH)
    plain = arrange(known, options)
    repeated = arrange(known, replace(options, repeat=(Repeat(frozenset({1}), Fraction(2)),)))
    ones = [row for row in rows(plain) if row % 2]
    assert rows(repeated) == [*rows(plain), *ones]
    assert rows(repeated, "validation") == rows(plain, "validation")
    assert repeated.facts["repeated"] == len(ones)
    zeros = len(rows(plain)) - len(ones)
    assert repeated.facts["sources"][1] == {
        "source": 1,
        "before": {
            "rows": len(ones),
            "tokens": 10 * len(ones),
            "trained_tokens": 5 * len(ones),
            "share": round(len(ones) / (len(ones) + zeros), 6),
        },
        "after": {
            "rows": 2 * len(ones),
            "tokens": 20 * len(ones),
            "trained_tokens": 10 * len(ones),
            "share": round(2 * len(ones) / (2 * len(ones) + zeros), 6),
        },
    }

    sampled = arrange(known, replace(options, sample=Share(rows=30)))
    assert len(rows(sampled)) == 30
    assert set(rows(sampled)) < set(rows(plain))
    assert sampled.facts["dropped"] == {"not_sampled": len(rows(plain)) - 30}
    assert set(sampled.repeats.tolist()) == {-1}


def test_a_factor_below_one_drops_rows_with_a_reason() -> None:
    """And a source may vanish."""
    options = Arrangement(repeat=(Repeat(frozenset({1}), Fraction(0)),))
    plan = arrange(columns(range(10), sources=[0] * 6 + [1] * 4), options)
    assert rows(plan) == list(range(6))
    assert plan.facts["dropped"] == {"not_sampled": 4}
    assert plan.facts["sources"][1]["after"]["rows"] == 0


def test_shuffling_changes_the_order_only() -> None:
    """Each split by its own order; the seed decides."""
    known = columns(range(300))
    plain, one, other = (
        arrange(known, Arrangement(validation=FIFTH, shuffle=shuffle))
        for shuffle in (False, True, True)
    )
    assert rows(one) != rows(plain)
    assert sorted(rows(one)) == rows(plain)
    assert sorted(rows(one, "validation")) == rows(plain, "validation")
    assert same(one, other)
    seeded = arrange(known, Arrangement(shuffle=True, seed=1))
    assert rows(seeded) != rows(arrange(known, Arrangement(shuffle=True, seed=2)))


def test_packs_are_counted_and_padded() -> None:
    """Efficiency is tokens to capacity; padding comes after packing."""
    known = columns(range(4), tokens=[6, 4, 3, 2])
    options = Arrangement(pack=True, pack_length=10, pad=Pad(PadTo.MULTIPLE, 4))
    plan = arrange(known, options)
    assert rows(plan) == [0, 1, 2, 3]
    assert split(plan).packs.tolist() == [0, 2, 4]
    assert split(plan).lengths.tolist() == [12, 8]
    assert plan.facts["splits"]["train"] == {
        "packs": 2,
        "documents": 4,
        "tokens": 15,
        "trained_tokens": 7,
        "padding": 5,
        "efficiency": 0.75,
        "documents_per_pack": {"mean": 2, "p5": 2, "p95": 2},
        "trained_tokens_per_pack": {"mean": 3.5, "p5": 2, "p95": 5},
    }


def test_shuffled_packs_are_in_no_order_of_their_sizes() -> None:
    """Packs of many documents hold the first ones, so packs are shuffled once more."""
    known = columns(range(1100), tokens=[90] * 100 + [9] * 1000)
    plan = arrange(known, Arrangement(shuffle=True, pack=True, pack_length=99))
    sizes = np.diff(split(plan).packs)
    half = len(sizes) // 2
    assert abs(int(sizes[:half].sum()) - int(sizes[half:].sum())) < 150


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (Arrangement(pack=True, pack_length=9), "4 of 4 rows are longer than a pack of 9"),
        (Arrangement(pad=Pad(PadTo.MAX_LENGTH, 9)), "longer than 9 tokens"),
        (Arrangement(validation=Share(rows=4)), "less than the 4 rows"),
        (Arrangement(sample=Share(rows=5)), "at most 4"),
    ],
)
def test_what_the_rows_do_not_allow_is_refused(options: Arrangement, message: str) -> None:
    """The message names the option."""
    with pytest.raises(UsageError, match=message):
        arrange(columns(range(4)), options)


def test_no_rows_at_all() -> None:
    """There is nothing to arrange."""
    with pytest.raises(DataError, match="no row"):
        arrange(columns([]), Arrangement(shuffle=True))


def test_missing_keys_are_a_bug() -> None:
    """The rows must be read with the keys that the options need."""
    with pytest.raises(InternalError, match="split-by"):
        arrange(columns(range(9)), Arrangement(validation=FIFTH, by_group=True))


shares = st.none() | st.sampled_from([FIFTH, Share(rows=7)])
arrangements = st.builds(
    Arrangement,
    dedup=st.sampled_from([Dedup.NONE, Dedup.EXACT, Dedup.NORMALIZED]),
    validation=shares,
    test=shares,
    by_group=st.booleans(),
    sample=st.none() | st.sampled_from([Share(fraction=Fraction(2, 3)), Share(rows=9)]),
    repeat=st.just(()) | st.just((Repeat(frozenset({1}), Fraction(5, 2)),)),
    shuffle=st.booleans(),
    seed=st.integers(0, 9),
    pack=st.booleans(),
    pack_length=st.just(40),
    pad=st.sampled_from([Pad(), Pad(PadTo.LONGEST), Pad(PadTo.MULTIPLE, 8)]),
)


@settings(deadline=None)
@given(arrangements, st.lists(st.integers(0, 99), max_size=30))
def test_each_row_is_in_one_split_or_dropped(options: Arrangement, more: list[int]) -> None:
    """Whatever is asked for, rows are conserved, and a plan depends on nothing else."""
    texts = [*range(100), *more]
    known = columns(
        texts,
        prompts=[number // 2 for number in texts],
        tokens=[2 + number % 30 for number in texts],
        sources=[row % 3 for row in range(len(texts))],
        groups=[number // 3 for number in texts],
        normalized=[number // 2 for number in texts],
    )
    try:
        plan = arrange(known, options)
    except UsageError:
        return
    assert same(plan, arrange(known, options))
    homes = [plan.dropped_rows.tolist(), *(set(rows(plan, s.name)) for s in plan.splits)]
    assert Counter(row for home in homes for row in home) == Counter(range(len(texts)))

    for part in plan.splits:
        assert len(part.rows)
        facts = plan.facts["splits"][part.name]
        tokens = [
            int(known.tokens[part.rows[a:b]].sum())
            for a, b in zip(part.packs, part.packs[1:], strict=False)
        ]
        assert all(0 < a <= b for a, b in zip(tokens, part.lengths.tolist(), strict=True))
        assert options.pack or len(part.lengths) == len(part.rows)
        assert not options.pack or max(tokens) <= 40
        assert facts["tokens"] == sum(tokens)
        assert facts["padding"] == int(part.lengths.sum()) - sum(tokens)
        key, sizes, trained = known.record_key, known.tokens, known.trained
        ours = digest(key[part.rows], sizes[part.rows], trained[part.rows])
        assert plan.facts["digests"]["splits"][part.name] == text(ours)
    everything = digest(known.record_key, known.tokens, known.trained)
    assert plan.facts["digests"]["in"] == text(everything)
    repeats = plan.repeats[plan.repeats >= 0]
    assert not set(repeats.tolist()) & set(plan.dropped_rows[plan.repeats >= 0].tolist())
    assert plan.facts["repeated"] == len(rows(plan)) - len(set(rows(plan)))


def test_added_records_move_no_old_one() -> None:
    """Splits by percentage, samples and repeats, all at once."""
    options = Arrangement(
        validation=FIFTH,
        sample=Share(fraction=Fraction(1, 2)),
        repeat=(Repeat(frozenset({0}), Fraction(3, 2)),),
    )
    before, after = (arrange(columns(range(number)), options) for number in (300, 500))
    for name in ("train", "validation"):
        old = Counter(row for row in rows(after, name) if row < 300)
        assert old == Counter(rows(before, name))
