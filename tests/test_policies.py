"""Whole rows for each policy: a YAML template and the same chat template give the same rows."""

import random
from functools import cache
from typing import Any

import pytest
from test_pipeline import run
from toys import SAMPLE_TOKENIZER

from sftprep.templates.loading import load_template
from sftprep.templates.template import ChatTemplate
from sftprep.tokenization.loading import load_tokenizer
from sftprep.tokenization.tokenizer import Tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>{{ '\n' }}"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = ["the", "cat", "sat", "on", "mat", "<think>", "ox", "</think>", "Is", "91", "prime?"]


def conversations(count: int) -> list[dict[str, Any]]:
    """Make conversations with reasoning, flags and, sometimes, a user's message at the end."""
    chance = random.Random(7)

    def text(most: int) -> str:
        return " ".join(chance.choices(WORDS, k=chance.randint(1, most)))

    records = []
    for _ in range(count):
        messages: list[dict[str, Any]] = [{"role": "system", "content": text(6)}]
        messages = messages if chance.random() < 0.5 else []
        for _ in range(chance.randint(1, 4)):
            thought = f"<think>\n{text(8)}\n</think>\n\n" if chance.random() < 0.4 else ""
            messages.append({"role": "user", "content": text(12)})
            messages.append({"role": "assistant", "content": thought + text(12)})
        if chance.random() < 0.2:
            messages.append({"role": "user", "content": text(5)})
        for message in messages:
            if chance.random() < 0.15:
                message["train"] = chance.random() < 0.5
        records.append({"messages": messages})
    return records


RECORDS = conversations(20)


@cache
def tokenizer() -> Tokenizer:
    """Load the sample tokenizer."""
    return load_tokenizer(str(SAMPLE_TOKENIZER))


@pytest.mark.parametrize("train_on", ["completion", "user", "system,user", "user,assistant", "all"])
@pytest.mark.parametrize(
    ("reasoning", "truncation", "boundary", "per_turn"),
    [
        ("none", "drop", "split", False),
        ("last", "prompt-start", "split", False),
        *(
            pytest.param(*options, marks=pytest.mark.conformance)
            for options in (
                ("none", "keep-end", "joint", False),
                ("none", "completion-end", "split", False),
                ("all", "balanced", "joint", False),
                ("last", "oldest-turns", "split", False),
                ("none", "prompt-start", "split", True),
            )
        ),
    ],
)
def test_kinds_of_templates_agree(
    train_on: str, reasoning: str, truncation: str, boundary: str, per_turn: bool
) -> None:
    """Ids, masks, lost records and counts are the same, whatever is cut."""
    found = []
    for template in (load_template("chatml"), ChatTemplate("t.jinja", CHATML, "", {}, None)):
        result = run(
            RECORDS,
            tokenizer=tokenizer(),
            template=template,
            train_on=train_on,
            train_reasoning=reasoning,
            truncation=truncation,
            boundary=boundary,
            per_turn=per_turn,
            max_length=60,
        )
        batch = result.batch
        assert batch is not None
        assert batch.loss_mask.any()
        found.append(
            (
                [batch.input_ids.tolist(), batch.loss_mask.tolist(), batch.offsets.tolist()],
                [(lost.reason, lost.line) for lost in (*result.rejected, *result.dropped)],
                [result.counts[name] for name in ("answers_without_stop", "truncated_trained")],
            )
        )
    assert found[0] == found[1]
