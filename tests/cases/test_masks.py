"""Cases about what is trained: headers, stop tokens, markers and flags."""

from pathlib import Path
from typing import Any

import pytest
from case_runs import Record, records_of, run, transformers_ids, transformers_trained
from families import CHATML, GLM, LLAMA3, PHI3, QWEN, SHARED

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared is missing")

FIRST = {
    "qwen2_5": (QWEN, ["Hello, I am Zed.<|im_end|>", "two<|im_end|>"]),
    "qwen3": (QWEN, ["Hello, I am Zed.<|im_end|>", "<think>\n\n</think>\n\ntwo<|im_end|>"]),
    "llama3_1": (LLAMA3, ["Hello, I am Zed.<|eot_id|>", "two<|eot_id|>"]),
}


@pytest.mark.parametrize("template", FIRST)
def test_an_answer_before_any_question_is_trained_without_its_header(template: str) -> None:
    """No system turn and no header is trained; the ids are those of transformers."""
    family, trained = FIRST[template]
    [record] = records_of("f03_assistant_first.jsonl")
    done = run("f03_assistant_first.jsonl", f"{template}.jinja", family)
    assert done.row.ids == transformers_ids(record["messages"], template, family)
    assert done.row.trained == trained


def test_the_next_role_token_ends_an_answer() -> None:
    """It is what stops the model; after the last answer, the token that was given does."""
    done = run("f08_glm.jsonl", "next_role_ends.jinja", GLM, end_of_turn="<|user|>")
    assert done.row.trained == ["one<|user|>", "two<|user|>"]
    assert done.count("answers_without_stop") == 0


def test_an_answer_that_nothing_ends_is_counted() -> None:
    """Without a stop token after the last answer, the run says so."""
    done = run("f08_glm.jsonl", "next_role_ends.jinja", GLM)
    [record] = records_of("f08_glm.jsonl")
    assert done.row.ids == transformers_ids(record["messages"], "next_role_ends", GLM)
    assert done.row.trained == ["one<|user|>", "two"]
    assert done.count("answers_without_stop") == 1


def test_a_terminator_outside_the_markers_is_counted() -> None:
    """The markers win, so no stop token is trained; the run says in how many answers."""
    exchange = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    done = run([{"messages": exchange * 2}], "terminator-outside-marker.jinja", CHATML)
    assert done.row.trained == ["A", "A"]
    assert done.count("answers_without_stop") == 2


def test_a_marker_may_hold_eos_alone() -> None:
    """Markers win, also around text that is no message's."""
    [record] = records_of("f09_generation_eos.jsonl")
    done = run("f09_generation_eos.jsonl", "eos_in_marker.jinja", PHI3)
    assert done.row.ids == transformers_ids(record["messages"], "eos_in_marker", PHI3)
    assert done.row.trained == transformers_trained(record["messages"], "eos_in_marker", PHI3)
    assert done.row.trained == ["one<|end|>\n<|endoftext|>"]


def answer(text: str) -> Record:
    """Return a record with this answer."""
    return {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": text}]}


@pytest.mark.parametrize("sorry_first", [False, True])
def test_markers_win_where_a_record_reaches_none(sorry_first: bool) -> None:
    """A record without a marked text trains nothing, whatever comes before it."""
    name = "generation-marker-depends-on-content"
    [sorry] = records_of("no-marker-reached.jsonl")
    good = answer("Yes.")
    assert transformers_trained(sorry["messages"], name, CHATML) == []
    done = run([sorry, good] if sorry_first else [good, sorry], f"{name}.jinja", CHATML)
    assert done.row_and_loss == (["Yes.<|im_end|>"], ["nothing_to_train"])


def test_the_count_of_rewritten_histories_depends_on_each_record_alone() -> None:
    """Half of the records ask for no thinking, so half have another prompt at inference."""
    name = "prompt-depends-on-content.jinja"
    records: list[Record] = []
    for number in range(20):
        first = f"Q{number}" + (" /no_think" if number % 2 else "")
        records.append(
            {"messages": [{"role": "user", "content": first}, *answer("A")["messages"][1:]]}
        )
    for order in (records, records[::-1], records[::2] + records[1::2]):
        assert run(order, name, QWEN).count("rewritten_histories") == 10


FLAGS = ("f13a_loss_false", "f13b_loss_weight", "f13c_train_all")


@pytest.mark.parametrize("case", FLAGS)
@pytest.mark.parametrize("template", ["chatml", "qwen2_5.jinja"])
@pytest.mark.parametrize("train_on", ["completion", "all", "last"])
def test_an_answer_that_is_not_to_be_trained_is_not(
    train_on: str, template: str, case: str
) -> None:
    """``loss``, ``loss_weight`` and ``weight`` win over every policy."""
    family = CHATML if template == "chatml" else QWEN
    done = run(f"{case}.jsonl", template, family, train_on=train_on)
    assert "bad" in done.row.text
    assert not any("bad" in text for text in done.row.trained)
    assert any("two<|im_end|>" in text for text in done.row.trained)
    if train_on != "all":
        assert done.row.trained == ["two<|im_end|>"]


@pytest.mark.parametrize("template", ["chatml", "qwen2_5.jinja"])
def test_flags_win_over_policies(template: str) -> None:
    """With ``train: false`` an earlier answer stays out of ``all``, the last out of ``last``."""
    family = CHATML if template == "chatml" else QWEN

    def trained(case: str, **options: Any) -> list[list[str]]:
        return [row.trained for row in run(case, template, family, **options).rows]

    earlier, last = "earlier-answer-not-trained.jsonl", "last-answer-not-trained.jsonl"
    [[*texts]] = trained(earlier, train_on="all")
    assert not any("SECRET" in text for text in texts)
    assert trained(earlier) == [["A2<|im_end|>"]]
    assert trained(earlier, per_turn=True) == [["A2<|im_end|>"]]
    assert trained(last) == [["A1<|im_end|>"]]
    [[*texts]] = trained(last, train_on="all")
    assert not any("A2" in text for text in texts)
    assert trained(last, per_turn=True) == [["A1<|im_end|>"]]
    # The last answer is not trained, and ``last`` means no other; per turn, the last trained one.
    assert trained(last, train_on="last") == []
    assert trained(last, train_on="last", per_turn=True) == [["A1<|im_end|>"]]


def test_an_answer_of_white_space() -> None:
    """A row as transformers renders it, or a refusal that says what the answer is."""
    [record] = records_of("f19a_white_space_answer.jsonl")
    done = run("f19a_white_space_answer.jsonl", "qwen2_5.jinja", QWEN)
    if done.rows:
        assert done.row.ids == transformers_ids(record["messages"], "qwen2_5", QWEN)
        apart = run("f19a_white_space_answer.jsonl", "qwen2_5.jinja", QWEN, boundary="split")
        assert apart.row.trained == ["\n<|im_end|>"]
    else:
        assert "white space" in done.lost[0]


@pytest.mark.parametrize("failure", ["{{ raise_exception('Not this.') }}", "{{ 1 / 0 }}"])
def test_what_a_template_refuses_gives_no_row(tmp_path: Path, failure: str) -> None:
    """A template that also takes lists of parts is not asked again in that form."""
    path = tmp_path / "picky.jinja"
    path.write_text(
        "{% for m in messages %}{% if m.content == 'bad' %}" + failure + "{% endif %}"
        "{{ '<|im_start|>' + m.role + '\\n' }}"
        "{% if m.content is string %}{{ m.content }}"
        "{% else %}{% for part in m.content %}{{ part.text }}{% endfor %}{% endif %}"
        "{{ '<|im_end|>\\n' }}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
    )
    assert run([answer("good")], "own", CHATML, template=str(path)).row.trained == [
        "good<|im_end|>"
    ]
    done = run([answer("bad")], "own", CHATML, template=str(path))
    assert done.rows == []
    assert "Not this" in done.lost[0] or "ZeroDivisionError" in done.lost[0]
