"""The options that arrange a dataset: what they ask for, and which cannot be used together."""

import sys
from fractions import Fraction
from typing import Any

import pytest

from sftprep import Recipe, UsageError
from sftprep.arrange.options import Arrangement, Dedup, PackOrder, Pad, PadTo, Repeat, Share
from sftprep.arrangement import Material, arrangement_of, resolved_arrangement

SOURCES = ("chat.jsonl", "code/a.jsonl", "code/b.jsonl")


def asked(
    *, has_pad: bool = True, max_length: int = 2048, has_rows: bool = False, **options: Any
) -> Arrangement:
    """Return what these options ask for."""
    material = Material(
        sources=SOURCES,
        tokenizer="toy",
        has_pad=has_pad,
        max_length=max_length,
        has_rows=has_rows,
    )
    return arrangement_of(Recipe(**options), material)


def refused(**options: Any) -> str:
    """Return the text of the error that these options raise."""
    with pytest.raises(UsageError) as caught:
        asked(**options)
    return str(caught.value)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        ({"pack": True, "pack_length": 2**31}, "--pack-length"),
        ({"pack": True, "max_length": 2**31}, "--max-length"),
        ({"pad": "max-length", "max_length": 2**31}, "--max-length"),
        ({"pad": "multiple-of:64", "max_length": 2**31}, "--max-length"),
    ],
)
def test_rows_have_a_limit(options: dict[str, Any], option: str) -> None:
    """A packed or padded row that could have more tokens than the index can count is refused."""
    assert refused(**options) == (
        f"{option} is 2147483648; a row that is packed or padded holds at most 2,147,483,647 "
        "tokens. Give a smaller number."
    )


def test_rows_as_long_as_can_be() -> None:
    """The limit itself can be used, and rows that stay as they are have none."""
    assert asked(pack=True, pack_length=2**31 - 1).pack_length == 2**31 - 1
    assert asked(shuffle=True, max_length=2**40).shuffle
    assert asked(pad="longest", max_length=2**40).pad.to is PadTo.LONGEST


# --- what the options ask for ---------------------------------------------------------------------


def test_nothing() -> None:
    """Without options, nothing is to be done."""
    assert asked().is_plain
    assert asked(pad="none").is_plain


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"dedup": "exact"}, {"dedup": Dedup.EXACT}),
        ({"validation": "100"}, {"validation": Share(rows=100)}),
        (
            {"validation": "5.5%", "test": "0.1%", "split_by": "source.id"},
            {
                "validation": Share(fraction=Fraction(11, 200)),
                "test": Share(fraction=Fraction(1, 1000)),
                "by_group": True,
            },
        ),
        (
            {"sample": "99.9%", "seed": 3},
            {"sample": Share(fraction=Fraction(999, 1000)), "seed": 3},
        ),
        (
            {"repeat": ["code/*=2.5", "chat.jsonl=0.1"]},
            {
                "repeat": (
                    Repeat(frozenset({1, 2}), Fraction(5, 2)),
                    Repeat(frozenset({0}), Fraction(1, 10)),
                )
            },
        ),
        (
            {"repeat": ["*=1.5"], "seed": 1},
            {"repeat": (Repeat(frozenset({0, 1, 2}), Fraction(3, 2)),), "seed": 1},
        ),
        ({"shuffle": True, "seed": 2**64 - 1}, {"shuffle": True, "seed": 2**64 - 1}),
        ({"pack": True}, {"pack": True}),
        (
            {"pack": True, "pack_length": 4096, "pack_order": "longest-first"},
            {"pack": True, "pack_length": 4096, "pack_order": PackOrder.LONGEST_FIRST},
        ),
        ({"pad": "longest", "pad_side": "left"}, {"pad": Pad(PadTo.LONGEST, 0, "left")}),
        ({"pad": "max-length"}, {"pad": Pad(PadTo.MAX_LENGTH, 2048)}),
        (
            {"pad": "max-length", "pack": True, "pack_length": 3000},
            {"pad": Pad(PadTo.MAX_LENGTH, 3000), "pack": True, "pack_length": 3000},
        ),
        ({"pad": "multiple-of:064"}, {"pad": Pad(PadTo.MULTIPLE, 64)}),
    ],
)  # fmt: skip
def test_what_is_asked_for(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """Each option has one meaning; a number that follows from others is filled in."""
    assert asked(**options) == Arrangement(**{"pack_length": 2048, **expected})


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {}),
        ({"repeat": ["a=2"]}, {}),
        ({"repeat": ["a=2.5"]}, {"seed": 0}),
        ({"validation": "1"}, {"seed": 0}),
        ({"shuffle": True, "seed": 5}, {"seed": 5}),
        ({"pack": True}, {"pack_length": 9, "pack_order": "plan"}),
        ({"pack": True, "pack_length": 20}, {"pack_length": 20, "pack_order": "plan"}),
        ({"pad": "longest"}, {"pad_side": "right"}),
    ],
)
def test_values_that_follow_from_others(options: dict[str, Any], expected: dict[str, Any]) -> None:
    """An option that has a use and is not given has a value; one without a use has none."""
    assert resolved_arrangement(Recipe(**options), 9) == expected


# --- what is refused ------------------------------------------------------------------------------

UNUSED_SEED = (
    "--seed needs --shuffle, --validation, --test, --sample or a --repeat with a fraction: without "
    "them, nothing is left to chance. Add what is missing, or remove --seed."
)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"seed": 0}, UNUSED_SEED),
        ({"seed": 1, "dedup": "exact", "pack": True, "repeat": ["chat*=2.0"]}, UNUSED_SEED),
        ({"seed": -1}, "--seed is -1; expected 0 or more."),
        ({"seed": 2**64}, f"--seed is {2**64}; expected 18,446,744,073,709,551,615 or less."),
        (
            {"pack_length": 4096},
            "--pack-length needs --pack: without it, rows are not packed. Add what is missing, or "
            "remove --pack-length.",
        ),
        (
            {"pack_order": "plan"},
            "--pack-order needs --pack: without it, rows are not packed. Add what is missing, or "
            "remove --pack-order.",
        ),
        ({"pack": True, "pack_length": 0}, "--pack-length is 0; expected 1 or more."),
        (
            {"pack": True, "pack_order": "longest"},
            "--pack-order is 'longest', which is not allowed. Did you mean 'longest-first'?",
        ),
        (
            {"pad_side": "left"},
            "--pad-side needs --pad: without it, rows are not padded. Add what is missing, or "
            "remove --pad-side.",
        ),
        (
            {"pad": "longest", "pad_side": "both"},
            "--pad-side is 'both', which is not allowed. Choose one of right, left.",
        ),
        (
            {"pad": "max_length"},
            "--pad is 'max_length', which is not allowed. Did you mean 'max-length'?",
        ),
        (
            {"pad": ""},
            "--pad is '', which is not allowed. Choose one of none, longest, max-length, "
            "multiple-of:N.",
        ),
        (
            {"pad": "longest:5"},
            "--pad is 'longest:5', which is not allowed. Did you mean 'longest'?",
        ),
        *[
            (
                {"pad": f"multiple-of{rest}"},
                f"--pad is 'multiple-of{rest}'; expected multiple-of:N with a number N above 0, "
                "e.g. multiple-of:64.",
            )
            for rest in ("", ":", ":0", ":-8", ":x", ":N", ":1.5")
        ],
        (
            {"dedup": "fuzzy"},
            "--dedup is 'fuzzy', which is not allowed. Choose one of exact, normalized, near.",
        ),
        *[
            (
                {"validation": text},
                f"--validation is '{text}', which asks for no row. Use more, or remove the option.",
            )
            for text in ("0", "0%", "0.0%")
        ],
        *[
            (
                {"test": text},
                f"--test is '{text}', which leaves no row for training. Use less than 100%.",
            )
            for text in ("100%", "101%", "999.9%")
        ],
        (
            {"sample": "100%"},
            "--sample is '100%', which leaves no row out. Use less than 100%.",
        ),
        (
            {"sample": "-1"},
            "--sample is '-1'; expected a number or a percentage, e.g. 100 or 0.1%.",
        ),
        (
            {"validation": "60%", "test": "40%"},
            "--validation 60% and --test 40% leave no row for training. Use less than 100% for "
            "both together.",
        ),
        (
            {"split_by": "id"},
            "--split-by needs --validation or --test: without them, there is only one split. Add "
            "what is missing, or remove --split-by.",
        ),
        *[
            (
                {"split_by": text, "test": "1%"},
                f"--split-by is '{text}'; expected the name of a field, or names with dots between "
                "them, e.g. document_id or source.id.",
            )
            for text in ("", ".", "a..b")
        ],
        *[
            (
                {"repeat": [text]},
                f"--repeat '{text}': expected GLOB=FACTOR, e.g. 'code*.jsonl=2.5'.",
            )
            for text in ("", "a", "=2")
        ],
        (
            {"repeat": ["a=0"]},
            "--repeat 'a=0': the factor is '0'; expected a number above 0, at most 1,000, e.g. "
            "2.5.",
        ),
        ({"repeat": ["a=1", "a=2"]}, "--repeat gives the factor of 'a' twice. Keep one."),
        (
            {"repeat": ["chat.json=2"]},
            "--repeat 'chat.json=2': no input has a name that matches 'chat.json'. Did you mean "
            "'chat.jsonl'?",
        ),
        (
            {"repeat": ["z*=2"]},
            "--repeat 'z*=2': no input has a name that matches 'z*'. The inputs are 'chat.jsonl', "
            "'code/a.jsonl', 'code/b.jsonl'.",
        ),
        (
            {"repeat": ["code/*=2", "*b.jsonl=3"]},
            "--repeat: 'code/*' and '*b.jsonl' both match 'code/b.jsonl'. Let only one of them "
            "match it.",
        ),
        (
            {"pad": "longest", "has_pad": False},
            "--pad longest needs a pad token, and tokenizer 'toy' has none. Pass --add-token "
            "pad=TOKEN, e.g. --add-token 'pad=<|pad|>'.",
        ),
        (
            {"pack": True, "pack_length": 1024},
            "a row can have 2,048 tokens, but a pack only 1,024, and rows are not cut for packing. "
            "Lower --max-length, or raise --pack-length.",
        ),
        (
            {"pad": "multiple-of:100"},
            "--pad multiple-of:100: a row of 2,048 tokens, the limit, would become longer. Use a "
            "limit that is a multiple, such as 2000 or 2100 (--max-length, or --pack-length with "
            "--pack), or another number.",
        ),
        (
            {"pad": "multiple-of:100", "max_length": 60},
            "--pad multiple-of:100: a row of 60 tokens, the limit, would become longer. Use a "
            "limit that is a multiple, such as 100 (--max-length, or --pack-length with --pack), "
            "or another number.",
        ),
    ],
)  # fmt: skip
def test_refused(options: dict[str, Any], message: str) -> None:
    """What cannot be done is refused, with the option that is wrong and what to do."""
    assert refused(**options) == message


def test_near_duplicates_need_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the optional package, the message says how to install it, and what needs none."""
    monkeypatch.setitem(sys.modules, "rensa", None)
    assert refused(dedup="near") == (
        "--dedup near needs the package rensa, which is not installed. Install it with: pip "
        "install 'sftprep[near]'. Or pass --dedup normalized, which needs no package."
    )


def test_rows_that_fit_can_be_packed() -> None:
    """Where the rows are known, their own lengths count, and not what the options allow."""
    assert asked(pack=True, pack_length=1024, has_rows=True).pack_length == 1024


# --- another arrangement of a dataset -------------------------------------------------------------


def of_dataset(**options: Any) -> dict[str, Any]:
    """Return the recipe in the manifest of a dataset with these options."""
    recipe = Recipe(**{"max_length": 100, **options})
    return recipe.deciding(resolved_arrangement(recipe, 100))


def changed(dataset: dict[str, Any], **given: Any) -> dict[str, Any]:
    """Return what changes in a recipe if it gets these options."""
    found = Recipe.rearranged(dataset, given).as_dict()
    return {name: found[name] for name, value in dataset.items() if found[name] != value}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pack": True, "shuffle": True, "pad": "longest", "validation": "5%", "repeat": ["a=2"]},
        {"separator": "a\\\\n", "shard_size": "1000", "add_token": ("<a>",)},
    ],
)  # fmt: skip
def test_nothing_given(options: dict[str, Any]) -> None:
    """Without options, a dataset keeps its own."""
    assert changed(of_dataset(**options)) == {}


def test_options_replace_those_of_the_dataset() -> None:
    """What is given counts; what belongs to an option that is turned off goes with it."""
    packed = of_dataset(pack=True, shuffle=True, pad="max-length", pad_side="left", pack_length=200)
    assert changed(packed, pack_length=300) == {"pack_length": 300}
    assert changed(packed, pack=False) == {"pack": False, "pack_length": None, "pack_order": None}
    assert changed(packed, shuffle=False) == {"shuffle": False, "seed": None}
    assert changed(packed, pad="none") == {"pad": "none", "pad_side": None}
    assert changed(packed, seed=4) == {"seed": 4}


def test_the_length_of_packs_by_its_other_name() -> None:
    """``--max-length`` stands for the length of a pack, as rows are not cut again."""
    plain = of_dataset()
    assert changed(plain, pack=True, max_length=200) == {"pack": True, "pack_length": 200}
    assert changed(of_dataset(pack=True), max_length=200) == {"pack_length": 200}
    with pytest.raises(UsageError) as caught:
        changed(plain, max_length=50)
    assert str(caught.value) == (
        "--max-length 50 needs --pack: prepare has cut the rows of this dataset to 100 tokens, and "
        "here it is the length of a pack. Add --pack, or run prepare again."
    )
    with pytest.raises(UsageError) as caught:
        changed(plain, pack=True, max_length=200, pack_length=300)
    assert str(caught.value) == (
        "--max-length 200 and --pack-length 300 both give the length of a pack. Keep one."
    )


def test_an_option_without_use_is_refused() -> None:
    """An option that is given and has no use is an error, as in ``prepare``."""
    with pytest.raises(UsageError, match=r"^--pack-length needs --pack: "):
        Recipe.rearranged(of_dataset(pack=True), {"pack": False, "pack_length": 200})
