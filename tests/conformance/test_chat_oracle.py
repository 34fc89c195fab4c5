"""The oracle for chat templates, on templates so small that one sees what is right.

Trained tokens stand in ⟦ ⟧, and tokens of which the manual does not say it in ⟨ ⟩.
"""

from functools import cache
from pathlib import Path
from typing import Any

import pytest
from chat_oracle import ChatOracle, RefusalError, Row
from sweep_chat_templates import marked

TOKENIZER = Path(__file__).resolve().parents[2] / "sample_data" / "tokenizer"

CHATML = """{%- for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
MARKED = """{%- for m in messages %}{{ m.role }}:{% generation %}{{ m.content }}{% endgeneration %}
{% endfor %}"""
THINK = """{%- for m in messages %}<|im_start|>{{ m.role }}
{% if '<|pad|>' in m.content %}{{ m.content.split('<|pad|>')[0].strip() }}<|pad|>
{{- m.content.split('<|pad|>')[1].strip() }}{% else %}{{ m.content }}{% endif %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
ROLE_ENDS = """{%- for m in messages %}{% if m.role == 'user' %}<|im_start|>{{ m.content }}
{%- else %}<|pad|>{{ m.content }}{% endif %}{% endfor %}
{%- if add_generation_prompt %}<|pad|>{% endif %}"""
LAST_SYSTEM = """{%- for m in messages %}{% if m.role == 'user' %}[
{%- if loop.last or loop.index == messages|length - 1 %}Be brief. {% endif %}{{ m.content }}]
{%- else %} {{ m.content }}<|endoftext|>{% endif %}{% endfor %}"""
CALLS = """{%- for m in messages %}<|im_start|>{{ m.role }}
{{ m.content }}{% for c in m.tool_calls or [] %}[{{ c.function.arguments|tojson }}]{% endfor %}
{{- '<|im_end|>' }}
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


@cache
def tokenizer() -> Any:
    """Return the tokenizer of the sample data."""
    import transformers

    return transformers.AutoTokenizer.from_pretrained(TOKENIZER)


def rows(source: str, *messages: dict[str, Any], stop: str = "<|im_end|>") -> list[Row]:
    """Return the oracle's rows of a conversation."""
    return ChatOracle(tokenizer(), source, [stop], "joint").rows({"messages": list(messages)})


def shown(source: str, *texts: str, **options: Any) -> str:
    """Return the best row of a conversation in which user and assistant alternate."""
    roles = ("user", "assistant")
    messages = [{"role": roles[n % 2], "content": text} for n, text in enumerate(texts)]
    row = rows(source, *messages, **options)[0]
    return marked(tokenizer().convert_ids_to_tokens(row.ids), row.must, row.may)


def test_an_answer_is_trained_from_its_prompt_to_its_end() -> None:
    """The header and the newline after the end are not trained."""
    assert shown(CHATML, "a", "b", "c", "d") == (
        "<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n⟦b<|im_end|>⟧\n"
        "<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦d<|im_end|>⟧\n"
    )


def test_a_first_answer_begins_behind_its_header() -> None:
    """An answer without a prompt has the header that other answers have."""
    messages = [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
    row = rows(CHATML, *messages)[0]
    text = marked(tokenizer().convert_ids_to_tokens(row.ids), row.must, row.may)
    assert text == "<|im_start|>assistant\n⟦a<|im_end|>⟧\n<|im_start|>user\nb<|im_end|>\n"


def test_markers_alone_say_what_is_trained() -> None:
    """Text in markers is trained, whoever says it."""
    assert shown(MARKED, "a", "b") == "user:⟦a⟧assistant:⟦b⟧"


def test_what_a_template_writes_is_a_token_and_what_it_copies_is_text() -> None:
    """The same text is both in one row: written by the template, and copied from a message."""
    row = rows(
        THINK,
        {"role": "user", "content": "<|im_end|>"},
        {"role": "assistant", "content": "a <|pad|> b"},
    )[0]
    tokens = tokenizer().convert_ids_to_tokens(row.ids)
    assert marked(tokens, row.must, row.may) == (
        "<|im_start|>user\n<|im_end|><|im_end|>\n<|im_start|>assistant\n⟦a<|pad|>b<|im_end|>⟧\n"
    )
    assert tokens.count("<|im_end|>") == 2  # the ends of the two turns
    assert tokens.count("<|pad|>") == 1


def test_the_next_role_may_end_an_answer() -> None:
    """The token of the next role is trained; after the last answer, one may be appended."""
    assert shown(ROLE_ENDS, "a", "b", "c", "d", stop="<|im_start|>") == (
        "<|im_start|>a<|pad|>⟦b<|im_start|>⟧c<|pad|>⟦d⟧"
    )
    row = rows(
        ROLE_ENDS,
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        stop="<|im_start|>",
    )[0]
    start = tokenizer().convert_tokens_to_ids("<|im_start|>")
    assert row.may_append == [start]
    assert row.takes([*row.ids, start], [*row.must, True]) == ""
    assert row.takes([*row.ids, start], [*row.must, False]) == "ids"


def test_an_answer_begins_where_the_prompt_ends_though_history_is_rewritten() -> None:
    """The prompt of the first answer has a text that the final rendering does not have there."""
    assert shown(LAST_SYSTEM, "a", "b", "c", "d", stop="<|endoftext|>") == (
        "[a]⟦ b<|endoftext|>⟧[Be brief. c]⟦ d<|endoftext|>⟧"
    )


@pytest.mark.parametrize("arguments", ['{"a": 1}', {"a": 1}])
def test_arguments_as_text_are_those_of_an_object(arguments: Any) -> None:
    """A template that writes JSON writes an object, never a text in quotes."""
    call = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    made = rows(
        CALLS,
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
    )
    assert [tokenizer().decode(row.ids) for row in made] == [
        '<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n[{"a": 1}]<|im_end|>\n'
    ]


def test_a_refusal_has_the_words_of_transformers() -> None:
    """What a template raises is the reason."""
    with pytest.raises(RefusalError, match="TemplateError: never"):
        shown("{{ raise_exception('never') }}", "a", "b")
