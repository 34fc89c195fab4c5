"""Models' own chat templates over real data, compared with transformers.

The ids and the mask of every record are compared token by token: the ids with those of
``apply_chat_template``, the mask with ``return_assistant_tokens_mask``. The latter needs
``{% generation %}`` markers, so it gets a version of the template into which they were put by
hand, from the end of the generation prompt to the end of the terminator.
"""

import copy
import json
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pytest
from real_tokenizers import mistral

from sftprep.data.conversation import Chat
from sftprep.pipeline import Pipeline, with_schemas
from sftprep.plan import plan
from sftprep.reading.blocks import BlockReader
from sftprep.reading.json_lines import parse_line
from sftprep.recipe import Recipe
from sftprep.tokenization.loading import add_token

SHARED = Path(__file__).resolve().parents[3] / "shared"

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared is missing"),
]

OPEN, CLOSE = "{%- generation %}", "{%- endgeneration %}"


class Case(NamedTuple):
    """A chat template: the tokens it needs, and how to put markers into it."""

    tokens: tuple[str, ...]
    marks: tuple[tuple[str, str], ...]  # (what to replace, replacement)
    calls: str | None = "dict"  # None: the template writes no tool calls


CASES = {
    "qwen2_5": Case(
        ("<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"),
        (
            # an answer without calls gets a branch of its own
            (
                """{%- if (message.role == "user") or""",
                """{%- if message.role == "assistant" and not message.tool_calls %}"""
                """{{- '<|im_start|>assistant\\n' }}{% generation %}"""
                """{{- message.content + '<|im_end|>' }}{% endgeneration %}{{- '\\n' }}"""
                """{%- elif (message.role == "user") or""",
            ),
            (
                """{{- '<|im_start|>' + message.role }}
        {%- if message.content %}
            {{- '\\n' + message.content }}
        {%- endif %}""",
                """{{- '<|im_start|>' + message.role + '\\n' }}{% generation %}
        {%- if message.content %}{{- message.content + '\\n' }}{%- endif %}""",
            ),
            (
                """{{- '\\n<tool_call>\\n{"name": "' }}""",
                """{{- '' if loop.first else '\\n' }}{{- '<tool_call>\\n{"name": "' }}""",
            ),
            (
                """{%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}""",
                """{%- endfor %}
        {{- '<|im_end|>' }}{% endgeneration %}{{- '\\n' }}
    {%- elif message.role == "tool" %}""",
            ),
        ),
    ),
    "qwen3": Case(
        ("<|im_start|>", "<|im_end|>", "<think>", "</think>", "<tool_call>", "</tool_call>"),
        (
            (
                "{{- '<|im_start|>' + message.role + '\\n<think>\\n'",
                "{{- '<|im_start|>assistant\\n' }}{% generation %}{{- '<think>\\n'",
            ),
            (
                "content.lstrip('\\n') }}",
                "content.lstrip('\\n') }}{%- if not message.tool_calls %}{{- '<|im_end|>' }}"
                "{%- endif %}{% endgeneration %}{%- if not message.tool_calls %}{{- '\\n' }}"
                "{%- continue %}{%- endif %}",
            ),
            (
                "{%- else %}\n            {{- '<|im_start|>' + message.role + '\\n' + content }}\n",
                "{%- else %}\n            {{- '<|im_start|>' + message.role + '\\n' }}"
                "{% generation %}{{- content }}{%- if not message.tool_calls %}{{- '<|im_end|>' }}"
                "{%- endif %}{% endgeneration %}{%- if not message.tool_calls %}{{- '\\n' }}"
                "{%- continue %}{%- endif %}\n",
            ),
        ),
        None,
    ),
    "llama3": Case(
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "bos=<|begin_of_text|>"),
        (
            (
                "{{ content }}",
                "{% if message['role'] == 'assistant' %}"
                "{{ content.split('<|end_header_id|>\n\n')[0] + '<|end_header_id|>\n\n' }}"
                "{% generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}"
                "{% else %}{{ content }}{% endif %}",
            ),
        ),
        None,
    ),
    "gemma3": Case(
        ("<start_of_turn>", "<end_of_turn>", "bos=<bos>"),
        (
            (
                "    {%- if message['content'] is string -%}\n        "
                "{{ message['content'] | trim }}",
                "    {%- if role == 'model' -%}{% generation %}{{- message['content'] | trim }}"
                "{{- '<end_of_turn>' }}{% endgeneration %}{{- '\\n' }}{%- continue -%}"
                "{%- elif message['content'] is string -%}\n        "
                "{{ message['content'] | trim }}",
            ),
        ),
        None,
    ),
    "phi3": Case(
        ("<|user|>", "<|assistant|>", "<|end|>", "<|system|>"),
        (
            (
                "{{'<|assistant|>\n' + message['content'] + '<|end|>\n'}}",
                "{{'<|assistant|>\n'}}{% generation %}{{ message['content'] + '<|end|>'}}"
                "{% endgeneration %}{{'\n'}}",
            ),
        ),
        None,
    ),
    "deepseekv3": Case(
        ("<｜User｜>", "<｜Assistant｜>", "bos=<｜begin▁of▁sentence｜>",
         "eos=<｜end▁of▁sentence｜>",
         "<｜tool▁calls▁begin｜>", "<｜tool▁call▁begin｜>", "<｜tool▁sep｜>", "<｜tool▁call▁end｜>",
         "<｜tool▁calls▁end｜>", "<｜tool▁outputs▁begin｜>", "<｜tool▁output▁begin｜>",
         "<｜tool▁output▁end｜>", "<｜tool▁outputs▁end｜>"),
        (
            (
                "{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}",
                "{{'<｜Assistant｜>'}}{% generation %}{{content + '<｜end▁of▁sentence｜>'}}"
                "{% endgeneration %}",
            ),
            (
                "{{'<｜tool▁outputs▁end｜>' + message['content'] + '<｜end▁of▁sentence｜>'}}",
                "{{'<｜tool▁outputs▁end｜>'}}{% generation %}"
                "{{message['content'] + '<｜end▁of▁sentence｜>'}}{% endgeneration %}",
            ),
        ),
        None,
    ),
    "llama3_1": Case(
        ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
         "bos=<|begin_of_text|>", "<|python_tag|>"),
        (
            (
                "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'"
                "+ message['content'] | trim + '<|eot_id|>' }}",
                "{{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n' }}"
                "{%- if message['role'] == 'assistant' %}{% generation %}"
                "{{- message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}"
                "{%- else %}{{- message['content'] | trim + '<|eot_id|>' }}{%- endif %}",
            ),
        ),
        None,
    ),
}  # fmt: skip

DATA = {
    "glaive_en": "lf_glaive_toolcall_en_demo.json",
    "glaive_zh": "lf_glaive_toolcall_zh_demo.json",
    "alpaca_en": "lf_alpaca_en_demo.json",
    "alpaca_zh": "lf_alpaca_zh_demo.json",
    "v1": "lf_v1_sft_demo.jsonl",
}


def with_arguments(chat: Chat, *, as_text: bool) -> Chat:
    """Return the chat with the arguments of its tool calls as JSON text or as objects."""
    messages = copy.deepcopy(chat.messages)
    for call in (call for message in messages for call in message.get("tool_calls") or ()):
        function = call.get("function", call)
        value = function.get("arguments")
        if as_text and isinstance(value, dict):
            function["arguments"] = json.dumps(value, ensure_ascii=False)
        elif not as_text and isinstance(value, str):
            function["arguments"] = json.loads(value)
    return chat._replace(messages=messages)


def with_joined_parts(chat: Chat) -> Chat:
    """Return a chat in which each content is a text: some of the templates take no parts.

    In the data that is read here, no content has more than one text part, which is then the text.
    """
    messages = []
    for message in chat.messages:
        content = message.get("content")
        if isinstance(content, list):
            assert len(content) == 1
            joined = {**message, "content": content[0]["text"]}
            messages.append(joined)
            continue
        messages.append(message)
    return chat._replace(messages=messages)


def marked_by_hand(name: str) -> str | None:
    """Return the template with markers around answers; None if a replacement does not apply."""
    source = (SHARED / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    for before, after in CASES[name].marks:
        if before not in source:
            return None
        source = source.replace(before, after)
    return source


@pytest.mark.parametrize("data", DATA)
@pytest.mark.parametrize("name", CASES)
def test_ids_and_mask_are_those_of_transformers(name: str, data: str) -> None:
    """Every record has the same ids, and the same tokens are trained."""
    import transformers

    case = CASES[name]
    recipe = Recipe(
        inputs=(str(SHARED / "data" / DATA[data]),),
        tokenizer=str(SHARED / "tokenizers/gpt2"),
        max_length=1_000_000,
        template=str(SHARED / "chat_templates" / f"{name}.jinja"),
        add_token=case.tokens,
        on_omission="count",
        boundary="joint",
    )
    job = plan(recipe)
    pipeline = Pipeline(job.settings)
    hf = transformers.AutoTokenizer.from_pretrained(recipe.tokenizer)
    for token in case.tokens:
        add_token(hf, token)
    source, marked = job.settings.template.source, marked_by_hand(name)
    compared = masks = 0
    for block in with_schemas(BlockReader(job.sources, 1 << 30), recipe.schema, recipe.field_names):
        result = pipeline.process(block)
        normalize = pipeline.examples.normalizer(block.schema)
        assert result.batch is not None
        lines = block.lines()
        for row, index in enumerate(result.batch.record.tolist()):
            chat = normalize(parse_line(lines[index]))
            assert isinstance(chat, Chat)
            chat = with_arguments(with_joined_parts(chat), as_text=name == "deepseekv3")
            options: dict[str, Any] = {"tools": chat.tools, "tokenize": True, "return_dict": True}
            ours = slice(*result.batch.offsets[row : row + 2])
            ids = hf.apply_chat_template(chat.messages, chat_template=source, **options)
            assert result.batch.input_ids[ours].tolist() == ids["input_ids"], (name, index)
            compared += 1
            if marked is None or (
                case.calls is None and any("tool_calls" in m for m in chat.messages)
            ):
                continue
            text = {k: v for k, v in options.items() if k == "tools"} | {"tokenize": False}
            if hf.apply_chat_template(
                chat.messages, chat_template=marked, **text
            ) != hf.apply_chat_template(chat.messages, chat_template=source, **text):
                raise AssertionError(f"{name}: the marked template writes other text")
            masked = hf.apply_chat_template(
                chat.messages, chat_template=marked, return_assistant_tokens_mask=True, **options
            )
            mask = result.batch.loss_mask[ours].astype(int).tolist()
            assert mask == masked["assistant_masks"], (name, index)
            masks += 1
    print(f"{name} {data}: ids {compared}, masks {masks}, rejected {len(result.rejected)}")
    assert compared > 130


GOLDEN = SHARED / "corpora/mistral_common_samples/tests/data/samples"
MISTRAL_TEMPLATE = """{{ bos_token }}
{%- set users = messages | selectattr('role', 'equalto', 'user') | list %}
{%- for m in messages %}
{%- if m.role == 'user' %}{{ '[INST] ' + m.content + '[/INST]' }}
{%- else %}{{ ' ' + m.content + eos_token }}{% endif %}{% endfor %}"""


@pytest.mark.skipif(not GOLDEN.is_dir(), reason="the golden conversations are missing")
def test_mistrals_golden_ids(tmp_path: Path) -> None:
    """A golden conversation of mistral-common has the same ids, up to its last answer."""
    sample = orjson.loads((GOLDEN / "no_tools/sample.json").read_bytes())
    ids = orjson.loads((GOLDEN / "no_tools/tokens_v3.json").read_bytes())
    ids = ids["tokens"] if isinstance(ids, dict) else ids
    messages = [m for m in sample["messages"] if m["role"] in ("user", "assistant")]
    while messages[-1]["role"] != "assistant":
        messages.pop()
    template = tmp_path / "mistral.jinja"
    template.write_text(MISTRAL_TEMPLATE)
    data = tmp_path / "in.jsonl"
    data.write_bytes(orjson.dumps({"messages": messages}))
    recipe = Recipe(
        inputs=(str(data),),
        tokenizer=str(mistral(tmp_path / "mistral")),
        template=str(template),
        boundary="joint",
    )
    job = plan(recipe)
    (block,) = with_schemas(BlockReader(job.sources, 1 << 30), recipe.schema, recipe.field_names)
    batch = Pipeline(job.settings).process(block).batch
    assert batch is not None
    assert batch.input_ids.tolist() == ids[: len(batch.input_ids)]
    assert batch.input_ids[-1] == job.settings.tokenizer.special_id("eos")
