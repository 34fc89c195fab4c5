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
    one, other = (
        run(f"f01b_accept_{order}.jsonl", "deepseekv3.jinja", DEEPSEEK) for order in ("AB", "BA")
    )
    assert one.rows[0] in other.rows
    assert sorted(map(str, one.rows)) == sorted(map(str, other.rows))
    assert one.lost == other.lost
    messages = records_of("f01b_accept_AB.jsonl")[0]["messages"]
    assert one.rows[0].ids == transformers_ids(messages, "deepseekv3", DEEPSEEK)
    assert one.rows[0].trained == ["yes<｜end▁of▁sentence｜>"]
