"""What a manifest says about an arrangement is checked, by itself and against the indexes."""

from typing import Any

import pytest
from verify.arranged_datasets import ARRANGEMENTS, make
from verify.datasets import MakeDataset, edit_manifest, manifest_of, problems, setting

from sftprep.dataset.files import MANIFEST


def found(dataset: MakeDataset, *keys: str | int, to: Any) -> list[str]:
    """The problems after one value of the manifest was changed."""
    folder = make(dataset, "all steps")
    edit_manifest(folder, setting(*keys, to=to))
    return [problem.removeprefix(f"{MANIFEST}: ") for problem in problems(folder)]


@pytest.mark.parametrize("arrangement", ARRANGEMENTS)
def test_a_sound_manifest_has_no_problem(dataset: MakeDataset, arrangement: str) -> None:
    """Whatever was arranged."""
    assert problems(make(dataset, arrangement)) == []


@pytest.mark.parametrize(
    ("keys", "value", "problem"),
    [
        (("repeated",), -1, "repeated is -1; expected an integer, 0 or more"),
        (("digests", "in"), "0", "digests.in is '0'; expected 32 hexadecimal digits"),
        (("splits", "train"), 5, "splits['train'] is 5; expected an object"),
        (("sources",), {"a": 1}, "sources is an object with 1 field; expected a list"),
        (("prompts_in_two_splits",), None, "prompts_in_two_splits is null; expected an object"),
        (("dropped",), {"duplicate": "3"}, "dropped['duplicate'] is '3'; expected an integer"),
    ],
)
def test_facts_of_the_wrong_type(
    dataset: MakeDataset, keys: tuple[str, ...], value: Any, problem: str
) -> None:
    """Each is named, and nothing else is derived from it."""
    [text] = found(dataset, "arrangement", *keys, to=value)
    assert text.startswith(f"arrangement.{problem}")


def test_facts_that_contradict_the_shards(dataset: MakeDataset) -> None:
    """Numbers of each split."""
    folder = make(dataset, "all steps")
    old = manifest_of(folder)["arrangement"]["splits"]["test"]["tokens"]
    assert found(dataset, "arrangement", "splits", "test", "tokens", to=old + 1) == [
        f"arrangement.splits.test.tokens is {old + 1}; its shards add up to {old}"
    ]


def test_splits_that_the_shards_do_not_have(dataset: MakeDataset) -> None:
    """And the other way round."""
    folder = make(dataset, "all steps")
    splits = manifest_of(folder)["arrangement"]["splits"]
    texts = found(dataset, "arrangement", "splits", to={"train": splits["train"]})
    assert texts[0] == "arrangement.splits are 'train'; the shards are of train, validation, test"


def test_rows_must_add_up(dataset: MakeDataset) -> None:
    """Rows are the documents, without the copies, and what was dropped."""
    assert found(dataset, "arrangement", "rows", to=77) == [
        "arrangement.rows is 77; the documents of the splits, without "
        f"{manifest_of(make(dataset, 'all steps'))['counts']['repeated']} repeated and with those "
        "dropped, are 29"
    ]
    problems_of_dropped = found(dataset, "arrangement", "dropped", "duplicate", to=2)
    assert problems_of_dropped[0] == (
        "arrangement.dropped['duplicate'] is 2; counts.dropped says 3"
    )


def test_digests_must_add_up(dataset: MakeDataset) -> None:
    """What went in is what came out, and what is in the shards."""
    zero = "0" * 32
    [problem] = found(dataset, "arrangement", "digests", "in", to=zero)
    assert problem.startswith(f"arrangement.digests.in is {zero}; what came out, without what")


def test_the_digest_of_a_split_is_that_of_its_documents(dataset: MakeDataset) -> None:
    """A document that was lost is noticed even if all sums were forged."""
    folder = make(dataset, "all steps")
    digests = manifest_of(folder)["arrangement"]["digests"]
    one, other = digests["splits"]["validation"], digests["splits"]["test"]
    edit_manifest(folder, setting("arrangement", "digests", "splits", "test", to=one))
    edit_manifest(folder, setting("arrangement", "digests", "splits", "validation", to=other))
    texts = [f"{MANIFEST}: arrangement.digests.splits.{n}" for n in ("validation", "test")]
    assert problems(folder) == [
        f"{texts[0]} is {other}; the documents of its shards have {one}",
        f"{texts[1]} is {one}; the documents of its shards have {other}",
    ]


def test_prompts_in_two_splits_are_counted_again(dataset: MakeDataset) -> None:
    """A leak that the manifest does not admit is found, or one that is not there."""
    assert found(dataset, "arrangement", "prompts_in_two_splits", "exact", to=4) == [
        "arrangement.prompts_in_two_splits.exact is 4; the indexes have 0"
    ]


def test_options_and_facts_must_agree(dataset: MakeDataset) -> None:
    """No facts for an arrangement that was asked for, and none without."""
    folder = make(dataset, "all steps")

    def without_facts(value: dict[str, Any]) -> None:
        value["arrangement"] = {}
        value["input_shards"] = [shard["rows"] for shard in value["shards"]]

    edit_manifest(folder, without_facts)
    assert problems(folder) == [
        f"{MANIFEST}: its options ask for an arrangement; its arrangement describes none"
    ]


def test_facts_of_a_plain_dataset(dataset: MakeDataset) -> None:
    """There are none."""
    plain = dataset()
    edit_manifest(plain, setting("arrangement", to={"rows": 4}))
    assert problems(plain) == [
        f"{MANIFEST}: its options ask for none; its arrangement describes one"
    ]


def test_any_value_in_the_facts_gives_a_problem_and_no_crash(dataset: MakeDataset) -> None:
    """A hostile manifest may hold anything at any place."""
    folder = make(dataset, "all steps")
    facts = manifest_of(folder)["arrangement"]
    for key, value in facts.items():
        values: list[Any] = [None, [], "x", {"a": []}, 2**63]
        for junk in values:
            edit_manifest(folder, setting("arrangement", key, to=junk))
            assert problems(folder), (key, junk)
            edit_manifest(folder, setting("arrangement", key, to=value))
