"""The summary's lines on how the rows were arranged."""

from typing import Any

import pytest
from manifests import counts, manifest

from sftprep.cli.summary import summarize

RECIPE: dict[str, Any] = {
    "max_length": 2048, "dedup": None, "repeat": [], "sample": None, "shuffle": False,
    "seed": None, "pack": False, "pack_length": None, "pad": "none", "pad_side": None,
}  # fmt: skip
TOKENIZER: dict[str, Any] = {
    "name": "t", "vocabulary_size": 9, "added_tokens": {}, "pad_is_eos": False,
    "special_tokens": {"pad": {"token": "<pad>", "id": 0}},
}  # fmt: skip


def split(packs: int, **more: Any) -> dict[str, Any]:
    """Make the facts of a split whose rows are not packed."""
    return {"packs": packs, "documents": packs, "tokens": packs, "padding": 0, **more}


def facts(**more: Any) -> dict[str, Any]:
    """Make the facts of an arrangement."""
    none = {"exact": 0, "normalized": None}
    return {"splits": {"train": split(9)}, "prompts_in_two_splits": none, "sources": [], **more}


def lines(
    arrangement: dict[str, Any], *, tokenizer: dict[str, Any] = TOKENIZER, **recipe: Any
) -> list[str]:
    """Return the summary of a dataset with nine written documents."""
    made = manifest(
        counts=counts(read=9, written=9, tokens=9, trained_tokens=3),
        recipe=RECIPE | recipe,
        tokenizer=tokenizer,
        shards=[{}, {}],
        arrangement=arrangement,
        inputs=[
            {"name": "a\x1b.jsonl", "schema": "messages", "fields": {}},
            {"name": "b.jsonl", "schema": "messages", "fields": {}},
        ],
    )
    return summarize(made, "out").split("\n")


HEAD = [
    "out: 9 rows in 2 shards, 9 tokens, 33.3% of them trained",
    "  read       9 records (messages), template 价, at most 2,048 tokens per row",
]
TAIL = [
    "  tokenizer  t, vocabulary 9, nothing added",
    "  padding    the pad token is <pad>; rows are not padded",
]


def test_nothing_arranged() -> None:
    """A plain dataset has no line about it."""
    assert lines({}) == [*HEAD, *TAIL]


def test_everything() -> None:
    """Each step of an arrangement has its line, in the order of the steps."""
    packed = {
        "efficiency": 0.97312,
        "documents_per_pack": {"mean": 2.25, "p5": 1, "p95": 5},
        "trained_tokens_per_pack": {"mean": 1365.249, "p5": 12, "p95": 2500},
    }
    found = facts(
        near={"threshold": 0.8, "compared": 1234, "rensa": 1},
        splits={
            "train": split(33, documents=70, tokens=900, padding=90, **packed),
            "validation": split(1, documents=2, tokens=100, padding=10, **packed),
        },
        prompts_in_two_splits={"exact": 1, "normalized": 3},
        sources=[
            {
                "source": 0,
                "before": {"rows": 1000, "share": 0.2},
                "after": {"rows": 2500, "share": 0.384},
            },
            {
                "source": 1,
                "before": {"rows": 8, "share": 0.8},
                "after": {"rows": 1, "share": 0.6},
            },
        ],
    )
    options: dict[str, Any] = {
        "dedup": "near", "repeat": ["a*=2.5"], "shuffle": True, "seed": 7, "pack": True,
        "pack_length": 4096, "pad": "max-length", "pad_side": "left",
    }  # fmt: skip
    assert lines(found, **options) == [
        "out: 34 packs of 9 documents in 2 shards, 9 tokens, 33.3% of them trained",
        HEAD[1].replace("per row", "per document"),
        "  near       1,234 pairs of similar rows compared in full; those that share 80% of their "
        "text are duplicates",
        "  splits     train 33 packs of 70 documents, validation 1 pack of 2 documents; 1 prompt "
        "is in more than one, and 3 are if case, white space and Unicode form do not count",
        "  mix        a\\x1b.jsonl: 1,000 -> 2,500 rows, 20.0% -> 38.4% of the tokens",
        "             b.jsonl: 8 -> 1 row, 80.0% -> 60.0% of the tokens",
        "  order      shuffled with seed 7",
        "  packs      train: 97.3% of 4,096 tokens filled; a pack has 2.2 (1 to 5) documents and "
        "1,365.2 (12 to 2,500) trained tokens",
        "             validation: 97.3% of 4,096 tokens filled; a pack has 2.2 (1 to 5) documents "
        "and 1,365.2 (12 to 2,500) trained tokens",
        "  steps      2 per epoch at batch size 32",
        TAIL[0],
        "  padding    the pad token is <pad>; 9.1% of what is in the rows is padding, on the left",
    ]


@pytest.mark.parametrize(
    ("exact", "normalized", "expected"),
    [
        (0, 0, "no prompt is in more than one"),
        (0, None, "no prompt is in more than one"),
        (2, 2, "2 prompts are in more than one"),
        (0, 1, "no prompt is in more than one, but 1 is if case, white space and Unicode form do "
               "not count"),
    ],
)  # fmt: skip
def test_leaks(exact: int, normalized: int | None, expected: str) -> None:
    """The summary says how many prompts are in two splits."""
    found = facts(
        splits={"train": split(8), "test": split(1)},
        prompts_in_two_splits={"exact": exact, "normalized": normalized},
    )
    assert lines(found) == [*HEAD, f"  splits     train 8 rows, test 1 row; {expected}", *TAIL]


def test_many_inputs() -> None:
    """Of many inputs, the first are listed."""
    part = {"rows": 2, "share": 0.5}
    entry: dict[str, Any] = {"source": 1, "before": part, "after": part | {"rows": 4}}
    found = lines(facts(sources=[entry] * 1200), sample="50%")
    assert found[2] == "  mix        b.jsonl: 2 -> 4 rows, 50.0% -> 50.0% of the tokens"
    assert found[11:13] == [f"{'':13}{found[2][13:]}", f"{'':13}and 1,190 more: see --json"]


def test_padding_with_eos() -> None:
    """Where the pad token is EOS, a collator must not tell padding by its id."""
    tokenizer = TOKENIZER | {"pad_is_eos": True}
    found = facts(splits={"train": split(9, tokens=75, padding=25)})
    assert lines(found, pad="longest", pad_side="right", tokenizer=tokenizer)[-1] == (
        "  padding    the pad token is EOS (<pad>): labels are already set, so use a collator that "
        "does not mask by pad id; 25.0% of what is in the rows is padding, on the right"
    )


def test_rows_left_out_on_purpose_are_no_loss() -> None:
    """Duplicates and rows that were not sampled are listed, but not told as a loss."""
    made = manifest(
        counts=counts(
            read=9, written=3, tokens=9, dropped={"duplicate": 3, "not_sampled": 3},
        ),
        recipe=RECIPE,
        tokenizer=TOKENIZER,
        arrangement=facts(),
    )  # fmt: skip
    first, *others = summarize(made, "out").split("\n")
    assert first == "out: 3 rows in 0 shards, 9 tokens, 0.0% of them trained"
    assert "  dropped    3 duplicate, 3 not_sampled; listed in dropped.jsonl" in others
