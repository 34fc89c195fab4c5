"""The summary of a run, as a person reads it."""

from typing import Any

import pytest
from manifests import counts, manifest

from sftprep.cli.summary import summarize


def test_summary() -> None:
    """The summary has one line per subject, with separators in numbers, singular and plural."""
    found = counts(
        read=8, blank_lines=1, written=4, dropped={"too_long": 1},
        rejected={"invalid_utf8": 1, "wrong_type": 2}, truncated=5, truncated_trained=2,
        tokens=12345, trained_tokens=1, unclean_boundaries=1, records_with_control_strings=1,
        control_strings={"<s>": 1}, output_fields={"response": 2}, glued_answers=1,
        omitted={"earlier_reasoning": 3, "tools": 1, "unanswered": 4},
        tokens_as_text={"<|a|>": 1, "<|b|>": 2},
        ignored_fields={
            "loss_scale": 2, "messages[].id": 1, "id": 1500, "sytem": 2, "source": 1500,
        },
        roles={"bot as assistant": 3, "human as user": 3}, loss_flags={"weight": 1},
        fields={"context as input": 7},
    )  # fmt: skip
    text = summarize(
        manifest(
            counts=found,
            recipe={"max_length": 2048, "truncation": "balanced"},
            inputs=[
                {"schema": "messages", "fields": {"messages": "messages"}},
                {"schema": "", "fields": {}},
                {"schema": "question/response", "fields": {"prompt": "question"}},
            ],
            tokenizer={
                "name": "t", "vocabulary_size": 50257, "added_tokens": {}, "pad_is_eos": False,
                "special_tokens": {"pad": {"token": "<pad>", "id": 0}},
            },
            shards=[{}, {}],
            template={"name": "qa", "source": "{content}{separator}"},
        ),
        "out",
    )  # fmt: skip
    assert text.split("\n") == [
        "out: 4 of 8 records have no row (50.0%): 2 wrong_type, 1 too_long, 1 invalid_utf8",
        "out: 4 rows in 2 shards, 12,345 tokens, 0.0% of them trained",
        "  read       8 records (messages, question/response), template qa, at most 2,048 tokens "
        "per row",
        "  fields     read: question as prompt, context as input (7 records), response as output "
        "(2 records)",
        "  roles      read: bot as assistant, human as user (3 messages)",
        "  flags      obeyed: weight (1 time)",
        "  ignored    id, source (1,500 records), loss_scale, sytem (2 records), messages[].id "
        "(1 message)",
        "             loss_scale looks like a loss flag, but is not read as one; the names are "
        "train, trainable, training, loss, loss_mask, loss_weight, weight, mask, masked",
        "             sytem is not read: did you mean system?",
        "  dropped    1 too_long; listed in dropped.jsonl",
        "  rejected   1 invalid_utf8, 2 wrong_type; kept in rejects.jsonl",
        "  truncated  5 rows by balanced; 2 of them lost all or part of an answer",
        "  tokenizer  t, vocabulary 50,257, nothing added",
        "  padding    the pad token is <pad>; rows are not padded",
        "  tokens     template qa writes what looks like a token and is none of the tokenizer's: "
        "<|a|> in 1 row, <|b|> in 2 rows. Pass --add-token '<|a|>', or --plain-text '<|a|>' if it "
        "is meant as text",
        "  separator  1 answer directly behind the prompt, without a space or a line break: pass "
        "--separator '\\n', or end the prompts with one",
        "  cut        the turns after the last answer in 4 rows",
        "  omitted    template qa does not write: reasoning of earlier answers in 3 rows, tools in "
        "1 row",
        "  boundary   1 row in which prompt and completion do not meet at a token boundary; "
        "end prompts without a space, and start completions with one",
        "  control    1 record with a control token's text (<s> in 1), kept as text; if it is "
        "meant as the token, pass --allow-control '<s>'",
    ]


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"read": 1000, "written": 950, "dropped": {"too_long": 50}, "fitting_length": 4096}, ""),
        (
            {"read": 1000, "written": 949, "dropped": {"too_long": 51}, "fitting_length": 4096},
            "51 of 1,000 records have no row (5.1%): 51 too_long. With --max-length 4096, 99% of "
            "the records would fit",
        ),
        (
            {
                "read": 1000, "extra_examples": 500, "written": 0,
                "dropped": {"cut_to_nothing": 1, "too_long": 1499}, "fitting_length": 9216,
            },
            "1,500 of 1,500 examples have no row (100.0%): 1,499 too_long, 1 cut_to_nothing. With "
            "--max-length 9216, 99% of the records would fit",
        ),
        (
            {"read": 10, "written": 9, "rejected": {"wrong_type": 1}},
            "1 of 10 records have no row (10.0%): 1 wrong_type",
        ),
    ],
)  # fmt: skip
def test_a_great_loss_is_said_first(found: dict[str, Any], expected: str) -> None:
    """If over 5 % of the records have no row, that is the first line, with a limit that helps."""
    tokenizer = {"name": "t", "vocabulary_size": 9, "added_tokens": {}, "special_tokens": {}}
    made = manifest(counts=counts(tokens=9, **found), tokenizer=tokenizer)
    first, second, *_ = summarize(made, "o\x1b").split("\n")
    rows = f"o\\x1b: {found['written']:,} rows in 0 shards, 9 tokens, 0.0% of them trained"
    assert [first, second][: 1 + bool(expected)] == [f"o\\x1b: {expected}", rows][not expected :]


@pytest.mark.parametrize(
    ("lost", "train_on", "expected"),
    [
        (0, "completion", "5 rows by keep-end"),
        (1, "last", "5 rows by keep-end; 1 of them lost all or part of an answer"),
        (5, "all", "5 rows by keep-end; 5 of them lost trained tokens"),
        (5, "user", "5 rows by keep-end; 5 of them lost trained tokens"),
    ],
)
def test_rows_that_lost_trained_tokens(lost: int, train_on: str, expected: str) -> None:
    """Rows that lost trained tokens are counted apart; with ``all``, they need not be answers."""
    found = counts(tokens=9, trained_tokens=1, truncated=5, truncated_trained=lost)
    tokenizer = {"name": "t", "vocabulary_size": 9, "added_tokens": {}, "special_tokens": {}}
    recipe = {"max_length": 9, "truncation": "keep-end", "train_on": train_on}
    made = manifest(counts=found, recipe=recipe, tokenizer=tokenizer)
    assert f"  truncated  {expected}" in summarize(made, "out").split("\n")


@pytest.mark.parametrize(
    ("without", "others", "source", "expected"),
    [
        (0, {}, "", []),
        (
            1,
            {},
            "",
            ["1 answer ends without a trained stop token: the model will not learn where to stop. "
             "Pass --end-of-turn TOKEN"],
        ),
        (
            1037,
            {"<|im_end|>": 1000},
            "",
            ["37 answers end without a trained stop token: the model will not learn where to stop. "
             "Pass --end-of-turn TOKEN",
             "1,000 answers end with <|im_end|>, and inference stops only at <a>, <b>. Add "
             "<|im_end|> to eos_token_id in generation_config.json, and pass --end-of-turn "
             "'<|im_end|>'"],
        ),
        (
            2,
            {},
            "{% generation %}x{% endgeneration %}",
            ["2 answers end without a trained stop token: the model will not learn where to stop. "
             "Move the template's {% endgeneration %} behind the token that ends an answer"],
        ),
    ],
)  # fmt: skip
def test_answers_without_a_stop(
    without: int, others: dict[str, int], source: str, expected: list[str]
) -> None:
    """The summary says how many answers do not stop the model, and what to do."""
    found = counts(tokens=9, answers_without_stop=without, other_stops=others)
    tokenizer = {"name": "t", "vocabulary_size": 9, "added_tokens": {}, "special_tokens": {},
                 "stop_tokens": ["<a>", "<b>"]}  # fmt: skip
    made = manifest(counts=found, template={"name": "t", "source": source}, tokenizer=tokenizer)
    lines = summarize(made, "out").split("\n")
    assert [f"  stop       {text}" for text in expected] == [x for x in lines if " stop " in x[:8]]


def test_messages_of_other_roles_without_a_stop() -> None:
    """An option for answers is no cure for them."""
    found = counts(tokens=9, answers_without_stop=3, other_stops={"<c>": 1})
    tokenizer = {"name": "t", "vocabulary_size": 9, "added_tokens": {}, "special_tokens": {},
                 "stop_tokens": ["<a>"]}  # fmt: skip
    template = {"name": "t", "source": "{% endgeneration %}"}
    recipe = {"max_length": 9, "train_on": "user"}
    made = manifest(counts=found, template=template, tokenizer=tokenizer, recipe=recipe)
    assert [x for x in summarize(made, "out").split("\n") if " stop " in x[:8]] == [
        "  stop       2 trained messages end without a trained stop token: the model will not "
        "learn where to stop. Use a template that writes a token behind each message",
        "  stop       1 trained message ends with <c>, and inference stops only at <a>. Add <c> to "
        "eos_token_id in generation_config.json",
    ]


def test_a_template_without_a_separator() -> None:
    """If the template has no {separator}, the option would not help."""
    tokenizer = {"name": "t", "vocabulary_size": 9, "added_tokens": {}, "special_tokens": {}}
    template = {"name": "own", "source": "user: '{content}'"}
    made = manifest(
        counts=counts(tokens=9, glued_answers=1200), template=template, tokenizer=tokenizer
    )
    assert summarize(made, "out").endswith(
        "  separator  1,200 answers directly behind the prompt, without a space or a line break: "
        "write one into the template, or end the prompts with one"
    )


@pytest.mark.parametrize(("trained", "share"), [(0, "none"), (2, "2"), (1200, "all")])
def test_empty_think_blocks(trained: int, share: str) -> None:
    """The summary names the empty think blocks that the template writes, and how many count."""
    found = counts(
        read=1, written=1, tokens=2, empty_think_blocks=1200, trained_think_blocks=trained
    )
    made = manifest(
        counts=found,
        tokenizer={
            "name": "t", "vocabulary_size": 9, "added_tokens": {}, "pad_is_eos": False,
            "special_tokens": {},
        },
        template={"name": "qwen3", "source": ""},
    )  # fmt: skip
    assert (
        f"  thinking   1,200 empty think blocks of template qwen3, {share} of them trained: those "
        "behind a prompt that does not end with one"
    ) in summarize(made, "out").split("\n")
