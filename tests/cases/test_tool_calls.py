"""Cases about tool calls: the row is that of the same record with its arguments as an object."""

from typing import Any

import pytest
from case_runs import arguments_parsed, records_of, run, transformers_ids
from families import (
    CHATML,
    DEEPSEEK,
    GEMMA4,
    GPT_OSS,
    LLAMA3,
    LLAMA4,
    MISTRAL,
    QWEN,
    SHARED,
    Family,
)

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared is missing")

DATE = {"date": "2026-02-03"}
WITH_DATE = {"channels": DATE}
COUNT = {"on_omission": "count"}  # not all of our templates write tools

EMPTY = {
    "qwen2_5": (QWEN, ['<tool_call>\n{"name": "now", "arguments": {}}\n</tool_call><|im_end|>']),
    "llama3_1": (LLAMA3, ['{"name": "now", "parameters": {}}<|eot_id|>']),
    "python_calls": (
        LLAMA4, ['<|python_start|>{"name": "now", "parameters": {}}<|python_end|><|eot|>']
    ),
    "channels": (GPT_OSS, [" to=functions.now<|channel|>commentary json<|message|>{}<|call|>"]),
    "thinks_anew": (
        QWEN, ["\n</think>\n\n\n\n<tool_call>\n<function=now>\n</function>\n</tool_call><|im_end|>"]
    ),
}  # fmt: skip
ANSWERS = {
    "qwen2_5": "Noon.<|im_end|>",
    "llama3_1": "Noon.<|eot_id|>",
    "python_calls": "Noon.<|eot|>",
    "channels": "<|channel|>final<|message|>Noon.<|return|>",
    "thinks_anew": "\n</think>\n\nNoon.<|im_end|>",
}


def expected_ids(record: dict[str, Any], template: str, family: Family) -> list[int]:
    """Return the ids that transformers gives for the record with its arguments as objects."""
    options: dict[str, Any] = {"tools": record.get("tools")}
    return transformers_ids(arguments_parsed(record), template, family, **options)


@pytest.mark.parametrize(
    "case", ["f02a_noarg_call", "f02d_empty_args", "f02e_noarg_gptoss_training"]
)
@pytest.mark.parametrize("template", EMPTY)
def test_arguments_as_text_are_written_as_an_object(template: str, case: str) -> None:
    """``"{}"`` is the object without fields, and so is an empty text unless it is refused."""
    family, called = EMPTY[template]
    options = COUNT | WITH_DATE.get(template, {})
    done = run(f"{case}.jsonl", f"{template}.jinja", family, boundary="split", **options)
    if case == "f02d_empty_args" and not done.rows:
        assert "arguments" in done.lost[0]
        return
    assert done.row.trained == [*called, ANSWERS[template]]
    [record] = records_of(f"{case}.jsonl")
    if template != "channels":  # transformers writes today's date
        joint = run([record], f"{template}.jinja", family, **options)
        assert joint.row.ids == expected_ids(record, template, family)


def test_arguments_are_not_looked_for_in_the_rest_of_the_record() -> None:
    """The user's words hold the same text as the arguments; the call is still an object."""
    [record] = records_of("f02a_noarg_call.jsonl")
    record["messages"][0]["content"] = 'Call add with {"a": 1}.'
    record["messages"][1]["tool_calls"][0]["function"]["arguments"] = '{"a": 1}'
    for template in ("qwen2_5", "llama3_1"):
        family = EMPTY[template][0]
        done = run([record], f"{template}.jinja", family)
        assert done.row.ids == expected_ids(record, template, family)
        assert ': {"a": 1}}' in done.row.trained[0]


@pytest.mark.parametrize("case", ["f02c_gemma4_args", "f19d_gemma4_number_args"])
def test_a_template_that_writes_arguments_one_by_one(case: str) -> None:
    """Numbers alone and JSON text give the same row: ``call:add{a:1}``."""
    [record] = records_of(f"{case}.jsonl")
    done = run(f"{case}.jsonl", "braced_calls.jinja", GEMMA4, **COUNT)
    assert done.row.ids == expected_ids(record, "braced_calls", GEMMA4)
    assert done.row.trained == [
        "<|tool_call>call:add{a:1}<tool_call|><turn|>", "It is 3.<turn|>"
    ]  # fmt: skip


def test_a_built_in_template_refuses_a_call() -> None:
    """Built-in templates take no calls: the record is refused, and the call named."""
    done = run("f04a_call_beside_content.jsonl", "chatml", CHATML)
    assert done.rows == []
    assert "tool_calls" in done.lost[0] or "tool calls" in done.lost[0]


def test_a_function_call_is_a_tool_call() -> None:
    """The old form ``function_call`` gives the row of the same call in ``tool_calls``."""
    [record] = records_of("f04c_function_call.jsonl")
    call = record["messages"][1].pop("function_call")
    record["messages"][1]["tool_calls"] = [{"type": "function", "function": call}]
    done = run("f04c_function_call.jsonl", "qwen3.jinja", QWEN)
    assert done.row.ids == expected_ids(record, "qwen3", QWEN)
    assert done.row.trained == [
        '<think>\n\n</think>\n\ncalling\n<tool_call>\n{"name": "f", "arguments": {}}\n</tool_call>'
        "<|im_end|>"
    ]


EMPTY_CALLS = {
    "qwen2_5": QWEN, "llama3_1": LLAMA3, "deepseekv3": DEEPSEEK, "channels": GPT_OSS,
    "python_calls": LLAMA4, "cut_json": MISTRAL,
}  # fmt: skip


@pytest.mark.parametrize("template", EMPTY_CALLS)
def test_an_empty_list_of_calls_is_no_call(template: str) -> None:
    """The row is that of the record without the key."""
    messages = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "one"}]
    with_key = [messages[0], {**messages[1], "tool_calls": []}]
    family, options = EMPTY_CALLS[template], WITH_DATE.get(template, {})
    done = run([{"messages": with_key}], f"{template}.jinja", family, **options)
    without = run([{"messages": messages}], f"{template}.jinja", family, **options)
    assert done.row == without.row
    if template != "channels":
        assert done.row.ids == transformers_ids(messages, template, family)


def test_a_template_that_cuts_the_json_of_a_call() -> None:
    """It puts the call's id before the last brace; the row is that of transformers."""
    [record] = records_of("f11a_mistral_call.jsonl")
    done = run("f11a_mistral_call.jsonl", "cut_json.jinja", MISTRAL)
    assert done.row.ids == expected_ids(record, "cut_json", MISTRAL)
    assert done.row.trained == [
        '[TOOL_CALLS][{"name": "add", "arguments": {"a": 1}, "id": "123456789"}]</s>',
        "It is 3.</s>",
    ]


def test_an_empty_result_of_a_tool() -> None:
    """The result is nothing, and the rest of the row is as transformers renders it."""
    [record] = records_of("f19b_empty_tool_result.jsonl")
    done = run("f19b_empty_tool_result.jsonl", "empty_thought.jinja", QWEN, **COUNT)
    assert done.row.ids == expected_ids(record, "empty_thought", QWEN)
    assert done.row.trained == [
        "<tool_call>\n<function=add>\n<parameter=a>\n1\n</parameter>\n</function>\n</tool_call>\n"
        "<|im_end|>",
        "It is 3.<|im_end|>",
    ]


def test_a_call_without_tools_is_trained_to_its_stop_token() -> None:
    """A call ends with ``<|call|>`` and the last answer with ``<|return|>``, as with tools."""
    done = run("f19e_gptoss_call_no_tools.jsonl", "channels.jinja", GPT_OSS, **DATE)
    assert done.row.trained == [
        ' to=functions.add<|channel|>commentary json<|message|>{"a": 1}<|call|>',
        "<|channel|>final<|message|>It is 3.<|return|>",
    ]


def test_content_beside_a_call_is_never_left_out_in_silence() -> None:
    """Llama 3.1's template writes only the call: the record is refused, or the omission counted."""
    done = run("f22c_content_beside_call_llama31.jsonl", "llama3_1.jinja", LLAMA3)
    counted = run(
        "f22c_content_beside_call_llama31.jsonl", "llama3_1.jinja", LLAMA3, on_omission="count"
    )
    assert "Let me see." not in counted.row.text
    assert sum(result.omitted["content"] for result in counted.results) == 1
    if done.rows:
        assert sum(result.omitted["content"] for result in done.results) == 1
    else:
        assert "content" in done.lost[0]


CALL = {"type": "function", "function": {"name": "now", "arguments": {"q": {"n": [1, "z"]}}}}


def called(content: str | None) -> dict[str, Any]:
    """Return a record with a call beside this content."""
    return {
        "messages": [
            {"role": "user", "content": "Time?"},
            {"role": "assistant", "content": content, "tool_calls": [CALL]},
            {"role": "tool", "content": "12"},
            {"role": "assistant", "content": "Noon."},
        ]
    }


def test_a_missing_content_is_never_written_as_none() -> None:
    """A template that trims it would write Python's ``None``: the row is that of ``""``."""
    done = run([called(None)], "python_calls.jinja", LLAMA4)
    assert done.row == run([called("")], "python_calls.jinja", LLAMA4).row
    assert "None" not in done.row.text


def test_an_object_is_not_written_as_text_between_braces() -> None:
    """It writes a list as Python does, but the text form would give ``call:now{{"q": ...}}``."""
    done = run([called("")], "braced_calls.jinja", GEMMA4)
    assert not any("{{" in row.text for row in done.rows)
    if done.rows:
        assert done.row.ids == expected_ids(called(""), "braced_calls", GEMMA4)
