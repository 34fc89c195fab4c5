"""The tokens that a chat template needs and the tokenizer lacks are found by rendering."""

from collections.abc import Mapping

import pytest
from toys import byte_tokenizer

from sftprep.data.control_tokens import ControlTokens
from sftprep.system.cpu_limit import CpuLimit
from sftprep.templates.jinja.missing_tokens import Missing, missing_tokens
from sftprep.templates.jinja.sandbox import Sandbox

TURN = "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
CHATML = "{% for m in messages %}" + TURN + "{% endfor %}"
IN_PARTS = (
    "{% for m in messages %}{{ '<|' + m.role + '|>' + m.content }}{{ eos_token }}{% endfor %}"
)
PROMPT = "{% if add_generation_prompt %}<|assistant|>{% endif %}"
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('no') }}{% endif %}"
NEEDS_BOS = "{{ bos_token + '<|x|>' }}" + CHATML


def missing(source: str, *tokens: str, **variables: str) -> Missing:
    """What a tokenizer with these control tokens lacks for a template."""

    def make(more: Mapping[str, str]) -> Sandbox:
        return Sandbox(
            source,
            name="own.jinja",
            today=None,
            variables={**more, **variables},
            limit=CpuLimit(1.0),
        )

    return missing_tokens(make, ControlTokens(list(byte_tokenizer(tokens).controls.values())))


@pytest.mark.parametrize(
    ("source", "tokens", "texts"),
    [
        (CHATML, (), ["<|im_start|>", "<|im_end|>"]),
        (CHATML, ("<|im_end|>",), ["<|im_start|>"]),
        (CHATML, ("<|im_start|>", "<|im_end|>"), []),
        (IN_PARTS, (), ["<|system|>", "<|user|>", "<|assistant|>"]),
        (IN_PARTS + PROMPT, ("<|user|>",), ["<|system|>", "<|assistant|>"]),
        (NO_SYSTEM + IN_PARTS, (), ["<|user|>", "<|assistant|>"]),
        (
            CHATML + "{% if tools %}<|tools|>{% endif %}{# <|comment|> #}",
            ("<|im_start|>", "<|im_end|>"),
            [],
        ),
        ("{% set unused = '<|unused|>' %}" + PROMPT, (), ["<|assistant|>"]),
        ("{% for m in messages %}{{ m.content }}{% endfor %}", (), []),
    ],
)
def test_texts(source: str, tokens: tuple[str, ...], texts: list[str]) -> None:
    """What the template writes in a conversation counts, and only that."""
    assert missing(source, *tokens) == Missing(texts, [])


@pytest.mark.parametrize(
    ("source", "variables", "expected"),
    [
        (NEEDS_BOS, {}, Missing(["<|x|>", "<|im_start|>", "<|im_end|>"], ["bos_token"])),
        (
            NEEDS_BOS,
            {"bos_token": "<s>"},
            Missing(["<s>", "<|x|>", "<|im_start|>", "<|im_end|>"], []),
        ),
        ("{{ bos_token }}{{ eos_token }}<|x|>", {}, Missing(["<|x|>"], [])),  # nothing is written
        ("{{ bos_token + eos_token }}", {}, Missing([], ["bos_token", "eos_token"])),
        ("{{ other + 'x' }}", {}, Missing([], [])),
        ("{{ raise_exception('never') }}<|x|>", {}, Missing([], [])),
        ("{{ strftime_now('%d') }}<|x|>", {}, Missing([], [])),
    ],
)
def test_special_tokens(source: str, variables: dict[str, str], expected: Missing) -> None:
    """A special token is needed if no conversation can be rendered without it."""
    assert missing(source, **variables) == expected


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(
            "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}<|x|>",
            marks=pytest.mark.faults,  # takes 2 seconds
        ),
        "{% set ns = namespace(x='ab' * 500000) %}"
        "{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}<|x|>",
    ],
)
def test_a_template_that_takes_too_much(source: str) -> None:
    """It is given up after a short time; the run will say what is wrong with it."""
    assert missing(source) == Missing([], [])
