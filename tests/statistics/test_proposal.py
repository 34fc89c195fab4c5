"""proposal: a recipe that follows from the data, and works."""

from pathlib import Path
from typing import Any

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, byte_hf, save_folder, write_jsonl

from sftprep import prepare
from sftprep.errors import DataError, UsageError
from sftprep.recipe import Recipe
from sftprep.statistics.of_inputs import of_inputs
from sftprep.statistics.proposal import Proposal, Question, decide, propose


@pytest.fixture
def plain_tokenizer(tmp_path: Path) -> Path:
    """A tokenizer without a chat template and without the tokens of ChatML."""
    return save_folder(byte_hf(["</s>"]), tmp_path / "tokenizer", eos_token="</s>")


def proposed(path: Path, tokenizer: Path = SAMPLE_TOKENIZER, **given: Any) -> Proposal:
    """Propose a recipe without questions."""
    return propose({"inputs": (str(path),), "tokenizer": str(tokenizer), **given}, decide)


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("messages.jsonl", "messages"),
        ("sharegpt.jsonl", "sharegpt"),
        ("instruction_zh.json", "instruction"),
        ("prompt_completion.jsonl", "prompt-completion"),
    ],
)
def test_the_recipe_works(name: str, schema: str, tmp_path: Path) -> None:
    """Prepare takes the file as it is, and at most 1 % of the rows are too long."""
    found = proposed(SAMPLE_DATA / name)
    file = tmp_path / "recipe.yaml"
    file.write_text(found.text(), encoding="utf-8")

    recipe = Recipe.from_sources(str(file), {"output": str(tmp_path / "out"), "workers": 1})

    assert (recipe.schema, recipe.template) == (schema, "tokenizer")
    assert recipe.max_length is not None
    assert recipe.max_length % 64 == 0
    counts = prepare(recipe).manifest.counts
    assert sum(counts["dropped"].values()) * 100 <= counts["read"]
    assert found.recipe().max_length == recipe.max_length


def test_the_length_is_that_of_99_percent(tmp_path: Path, plain_tokenizer: Path) -> None:
    """One row of a hundred may be longer."""
    records = [{"prompt": "a ", "completion": "b" * n} for n in (*range(100, 199), 5000)]
    path = write_jsonl(tmp_path / "in.jsonl", records)

    found = proposed(path, plain_tokenizer, template="plain")

    lengths = of_inputs(found.recipe(), batch_size=1).lengths
    assert lengths.fits_99 == 198 + 3
    assert found.values["max_length"] == 256
    assert "99% of the rows have at most 201 tokens, the longest 5,003" in found.text()


def test_a_limit_of_the_tokenizer(tmp_path: Path, plain_tokenizer: Path) -> None:
    """The model cannot read longer rows."""
    path = write_jsonl(tmp_path / "in.jsonl", [{"prompt": "a ", "completion": "b" * 9000}])
    found = proposed(path, plain_tokenizer)
    assert found.values["max_length"] == 4096
    assert "its model can read 4,096" in found.text()


@pytest.mark.parametrize(("end", "separator"), [("", "\\n\\n"), ("\n", None), (" ", None)])
def test_a_separator_is_proposed_only_where_none_is(
    end: str, separator: str | None, tmp_path: Path, plain_tokenizer: Path
) -> None:
    """Prompts that end in white space need none."""
    records = [{"prompt": f"What is {n}?{end}", "completion": "A number."} for n in range(9)]
    path = write_jsonl(tmp_path / "in.jsonl", records)
    found = proposed(path, plain_tokenizer)
    assert found.values["template"] == "plain"
    assert found.values.get("separator") == separator


def test_templates_for_tokenizers_without_one(tmp_path: Path, plain_tokenizer: Path) -> None:
    """The template suits the schema and the language, and needs no token that is missing."""
    for name, template in (
        ("instruction.jsonl", "alpaca"),
        ("instruction_zh.json", "alpaca_zh"),
        ("messages.jsonl", "vicuna"),
    ):
        assert proposed(SAMPLE_DATA / name, plain_tokenizer).values["template"] == template


@pytest.mark.parametrize(("count", "share"), [(20, None), (400, "5%")])
def test_validation(count: int, share: str | None, tmp_path: Path, plain_tokenizer: Path) -> None:
    """Few records get no validation split."""
    records = [{"prompt": f"p{n} ", "completion": "x"} for n in range(count)]
    found = proposed(write_jsonl(tmp_path / "in.jsonl", records), plain_tokenizer)
    assert found.values.get("validation") == share


def test_what_the_data_asks_for(tmp_path: Path, plain_tokenizer: Path) -> None:
    """Bad records are kept apart; duplicates are named."""
    records = [{"prompt": "a ", "completion": "b"}] * 3 + [{"prompt": "c"}]
    found = proposed(write_jsonl(tmp_path / "in.jsonl", records), plain_tokenizer)
    assert found.values["on_error"] == "quarantine"
    assert "# 2 rows of 3 repeat another\n# dedup: exact\n" in found.text()


def test_given_options_are_kept_and_not_asked_for() -> None:
    """Only what is open is asked, in order."""
    asked: list[str] = []

    def ask(question: Question) -> str:
        asked.append(question.option)
        return {"target": "trl", "validation": "20%", "max_length": "500"}[question.option]

    given = {"inputs": (str(SAMPLE_DATA / "messages.jsonl"),), "tokenizer": str(SAMPLE_TOKENIZER)}
    found = propose({**given, "template": "chatml"}, ask)

    assert asked == ["max_length", "validation", "target"]
    recipe = found.recipe()
    assert (recipe.template, recipe.max_length) == ("chatml", 500)
    assert (recipe.validation, recipe.target) == ("20%", "trl")


def test_fields_of_no_known_shape(tmp_path: Path, plain_tokenizer: Path) -> None:
    """Without an answer, the fields are listed; with one, they are named in the recipe."""
    records = [{"frage": "Wie spät?", "antwort": "Neun.", "n": 1}]
    path = write_jsonl(tmp_path / "in.jsonl", records)
    with pytest.raises(DataError, match="their fields are 'frage', 'antwort', 'n'"):
        proposed(path, plain_tokenizer)

    answers = iter(["frage", "antwort"])

    def ask(question: Question) -> str:
        return next(answers) if question.option == "field" else question.default

    given = {"inputs": (str(path),), "tokenizer": str(plain_tokenizer)}
    found = propose(given, ask)
    assert found.values["field"] == ("prompt=frage", "completion=antwort")
    assert found.values["schema"] == "prompt-completion"


def test_what_cannot_be_proposed(tmp_path: Path) -> None:
    """No input, a stream, no tokenizer, a trainer that does not exist."""
    with pytest.raises(UsageError, match="no input"):
        propose({}, decide)
    with pytest.raises(UsageError, match="reads its inputs twice"):
        propose({"inputs": ("-",), "tokenizer": str(SAMPLE_TOKENIZER)}, decide)
    path = str(write_jsonl(tmp_path / "in.jsonl", [{"prompt": "a ", "completion": "b"}]))
    with pytest.raises(UsageError, match="no tokenizer"):
        propose({"inputs": (path,)}, decide)
    with pytest.raises(UsageError, match="'x' is none of the choices for target"):
        propose(
            {"inputs": (path,), "tokenizer": str(SAMPLE_TOKENIZER)},
            lambda question: "x" if question.option == "target" else question.default,
        )
