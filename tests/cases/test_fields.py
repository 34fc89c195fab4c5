"""Cases about fields of records: each is used, or refused, or counted; none is lost in silence."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from case_runs import Done, Record, records_of, run, transformers_ids
from families import CHATML, GPT_OSS, LLAMA3, QWEN, SHARED
from toys import SAMPLE_TOKENIZER

from sftprep.errors import TokenizerError
from sftprep.tokenization.loading import load_tokenizer

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared is missing")

PIRATE = (
    "<|im_start|>system\nSpeak like a pirate.<|im_end|>\n<|im_start|>user\nHi?<|im_end|>\n"
    "<|im_start|>assistant\nArr.<|im_end|>\n"
)
EXCHANGE = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n{}<|im_end|>\n"


def refused(done: Done, word: str) -> bool:
    """Whether the only record gives no row, and the message names the cause."""
    return not done.rows and len(done.lost) == 1 and word in done.lost[0]


def omitted(done: Done, name: str) -> int:
    """Return how many rows leave something out."""
    return sum(result.omitted[name] for result in done.results)


@pytest.mark.parametrize("case", ["f05a_messages_system", "f05b_openorca"])
def test_a_system_prompt_beside_the_messages_is_the_system_turn(case: str) -> None:
    """``system`` beside messages, and ``system_prompt`` beside a question."""
    done = run(f"{case}.jsonl", "chatml", CHATML)
    assert done.row.text == PIRATE
    assert done.row.trained == ["Arr.<|im_end|>"]


def test_the_context_of_a_question_is_its_input() -> None:
    """Dolly's ``context`` is what Alpaca calls ``input``."""
    [dolly] = records_of("f05c_dolly_context.jsonl")
    same = {
        "instruction": dolly["instruction"], "input": dolly["context"], "output": dolly["response"]
    }  # fmt: skip
    done = run("f05c_dolly_context.jsonl", "alpaca", CHATML)
    assert done.row == run([same], "alpaca", CHATML).row
    assert "### Input:\nThe book Zorb was written by Ann Quill.\n" in done.row.text


ADD, F = [{"name": "add", "parameters": {}}], [{"name": "f", "parameters": {}}]
WITH_TOOLS = {
    "f05d_instruction_tools": ("Sum 1 and 2", '{"name": "add"}', ADD),
    "f05e_functions": ("q", "ok", F),
}


@pytest.mark.parametrize("case", WITH_TOOLS)
def test_tools_beside_an_instruction_and_functions_are_given_to_the_template(case: str) -> None:
    """They are passed on as the record has them; where a template takes none, they are refused."""
    question, answer, tools = WITH_TOOLS[case]
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    done = run(f"{case}.jsonl", "qwen3.jinja", QWEN)
    assert done.row.ids == transformers_ids(messages, "qwen3", QWEN, tools=tools)
    assert done.row.trained == [f"<think>\n\n</think>\n\n{answer}<|im_end|>"]

    assert refused(run(f"{case}.jsonl", "chatml", CHATML), "tools")


def test_reasoning_is_refused_or_counted() -> None:
    """A built-in template has no place for reasoning in a field."""
    record: Record = {
        "messages": [
            {"role": "user", "content": "Q"},
            {"role": "assistant", "content": "one", "reasoning_content": "because"},
        ]
    }
    assert refused(run([record], "chatml", CHATML), "reasoning")
    counted = run([record], "chatml", CHATML, on_omission="count")
    assert counted.row.text == EXCHANGE.format("Q", "one")
    assert omitted(counted, "reasoning") == 1


QUESTION, REPLY = {"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}
ENDS: dict[str, list[Record]] = {
    "a question": [QUESTION],
    "two questions": [QUESTION, QUESTION],
    "a result": [{"role": "tool", "content": "r"}],
}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("template", ["chatml", "qwen2_5.jinja"])
def test_a_conversation_that_does_not_end_with_an_answer(template: str, end: str) -> None:
    """It is a bad record; or the row is that of the record without its last turns, and counted."""
    if template == "chatml" and end == "a result":
        return  # built-in templates have no place for results
    record: Record = {"messages": [QUESTION, REPLY, *ENDS[end]]}
    assert refused(run([record], template, QWEN), "expected an assistant message")

    cut = run([record], template, QWEN, on_no_answer="cut")
    assert cut.row == run([{"messages": [QUESTION, REPLY]}], template, QWEN).row
    assert omitted(cut, "unanswered") == 1

    whole = run([{"messages": [QUESTION, REPLY]}], template, QWEN, on_no_answer="cut")
    assert whole.row == cut.row
    assert omitted(whole, "unanswered") == 0
    no_answer = run([{"messages": [QUESTION]}], template, QWEN, on_no_answer="cut")
    assert refused(no_answer, "ends with a user message")


def test_what_is_trained_is_not_cut() -> None:
    """With --train-on user, a question may come last."""
    record: Record = {"messages": [QUESTION, REPLY, QUESTION]}
    done = run([record], "chatml", QWEN, on_no_answer="cut", train_on="user")
    assert len(done.row.trained) == 2
    assert omitted(done, "unanswered") == 0


def test_an_image_is_not_text() -> None:
    """``<image>`` stands for pixels that sftprep does not read: the record is refused."""
    done = run("f05h_image.jsonl", "chatml", CHATML)
    assert refused(done, "image")


def test_an_answer_with_label_false_is_not_trained() -> None:
    """KTO's ``label`` says that the answer is bad: refused, or not trained."""
    done = run("f13d_kto.jsonl", "chatml", CHATML)
    assert done.rows == []
    assert len(done.lost) == 1


SHAPES = {
    "f20a_pretty.jsonl": [("a", "b"), ("c", "d")],
    "f20b_wrapper.json": [("a", "b")],
    "f20c_conversations_role_content.jsonl": [("Hi?", "Arr.")],
    "f20d.csv": [("a", "b")],
    "f20e_qa.jsonl": [("q", "a")],
    "f20f_conversational_pc.jsonl": [("Hi?", "Arr.")],
}


@pytest.mark.parametrize("case", SHAPES)
def test_common_shapes_of_files_give_rows(case: str) -> None:
    """Records over several lines, in a wrapper, as CSV, and with other names of fields."""
    done = run(case, "chatml", CHATML)
    assert done.lost == []
    assert [row.text for row in done.rows] == [EXCHANGE.format(*pair) for pair in SHAPES[case]]
    assert [row.trained for row in done.rows] == [[f"{pair[1]}<|im_end|>"] for pair in SHAPES[case]]


def test_a_developer_message_is_not_lost_in_silence() -> None:
    """Qwen 3's template writes no such message: the record is refused, or the omission counted."""
    done = run("f22a_developer.jsonl", "qwen3.jinja", QWEN)
    if done.rows:
        assert (
            "Be brief" in done.row.text or sum(sum(r.omitted.values()) for r in done.results) == 1
        )
    else:
        assert refused(done, "system") or refused(done, "developer") or refused(done, "Be brief")


def test_template_arguments_of_a_record_are_used() -> None:
    """``chat_template_kwargs`` of a record are the arguments of ``apply_chat_template``."""
    record: Record = records_of("f22d_kwargs.jsonl")[0]
    messages = record["messages"]
    for template, trained in (
        ("qwen3", "a<|im_end|>"),  # with thinking off, the prompt holds an empty thought
        ("thinks_anew", "a<|im_end|>"),
    ):
        done = run("f22d_kwargs.jsonl", f"{template}.jinja", QWEN)
        ids = transformers_ids(messages, template, QWEN, enable_thinking=False)
        assert done.row.ids == ids
        assert done.row.trained == [trained]


def test_the_roles_of_two_families_are_left_as_they_are() -> None:
    """A template decides what it does with a developer message: gpt-oss and Llama write it."""
    messages = records_of("f22a_developer.jsonl")[0]["messages"]
    done = run("f22a_developer.jsonl", "llama3_1.jinja", LLAMA3)
    assert done.row.ids == transformers_ids(messages, "llama3_1", LLAMA3)
    date: dict[str, Any] = {"date": "2026-02-03"}
    done = run("f22a_developer.jsonl", "channels.jinja", GPT_OSS, **date)
    assert "<|start|>developer<|message|>Be brief<|end|>" in done.row.text


@pytest.mark.parametrize("role", ["eos", "pad"])
def test_a_special_token_that_only_the_configuration_names(tmp_path: Path, role: str) -> None:
    """The token gets an id and the resize is told, or the tokenizer is refused."""
    folder = tmp_path / "tokenizer"
    shutil.copytree(SAMPLE_TOKENIZER, folder)
    path = folder / "tokenizer_config.json"
    config = json.loads(path.read_bytes()) | {f"{role}_token": "<|brand_new|>"}
    path.write_text(json.dumps(config))
    try:
        tokenizer = load_tokenizer(str(folder))
    except TokenizerError as error:
        said = str(error)
    else:
        said = " ".join(tokenizer.newly_added)
        assert tokenizer.size == tokenizer.ids["<|brand_new|>"] + 1
    assert "<|brand_new|>" in said
