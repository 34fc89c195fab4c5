"""Cases about thinking in the content: what the template writes is a token, whatever the order."""

import pytest
from case_runs import records_of, run, transformers_ids
from families import DEEPSEEK, QWEN, SHARED

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared is missing")

TRAINED = {
    "qwen3": {
        "r0</think>zero": "<think>\nr0\n</think>\n\nzero<|im_end|>",
        "r1\n</think>\n\none": "<think>\nr1\n</think>\n\none<|im_end|>",
    },
    "thinks_anew": {  # inference opens the thinking
        "r0</think>zero": "r0\n</think>\n\nzero<|im_end|>",
        "r1\n</think>\n\none": "r1\n</think>\n\none<|im_end|>",
    },
}


@pytest.mark.parametrize("template", TRAINED)
@pytest.mark.parametrize(
    "case", ["f01_order_AB", "f01_order_BA", "f01_order_B", "f06_closing_think"]
)
def test_what_the_template_writes_is_a_token_in_every_order(case: str, template: str) -> None:
    """Each row has the ids of transformers, and trains what comes after the prompt of inference."""
    records = records_of(f"{case}.jsonl")
    done = run(f"{case}.jsonl", f"{template}.jinja", QWEN)
    assert done.lost == []
    assert [row.ids for row in done.rows] == [
        transformers_ids(record["messages"], template, QWEN) for record in records
    ]
    assert [row.trained for row in done.rows] == [
        [TRAINED[template][record["messages"][1]["content"]]] for record in records
    ]


def test_a_record_is_accepted_or_not_whatever_comes_before() -> None:
    """A thought without an answer, which the template leaves out, fares alike in both orders."""
    first = records_of("f01b_accept_AB.jsonl")[0]
    for options in ({}, {"on_omission": "count"}):
        one, other = (
            run(f"f01b_accept_{order}.jsonl", "deepseekv3.jinja", DEEPSEEK, **options)
            for order in ("AB", "BA")
        )
        assert sorted(map(str, one.rows)) == sorted(map(str, other.rows))
        assert one.lost == other.lost
    alone = run([first], "deepseekv3.jinja", DEEPSEEK, on_omission="count").row
    assert alone.ids == transformers_ids(first["messages"], "deepseekv3", DEEPSEEK)
    assert alone.trained == ["yes<｜end▁of▁sentence｜>"]
    assert alone in one.rows


def test_a_thought_that_the_template_leaves_out_is_refused() -> None:
    """DeepSeek's template writes no thought of an answer: neither record is as it was meant."""
    done = run("f01b_accept_AB.jsonl", "deepseekv3.jinja", DEEPSEEK)
    assert (len(done.rows), len(done.lost)) == (0, 2)
