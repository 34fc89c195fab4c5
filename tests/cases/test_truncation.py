"""Cases about truncation: what the manual says of each strategy, with every kind of template."""

import pytest
from case_runs import run
from families import CASES, SHARED, Family

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared is missing")

WITH_BOS = Family(("<s>", "<|im_start|>", "<|im_end|>"), "<|im_end|>", "<s>")


@pytest.mark.parametrize("case", ["two-answers-with-system.jsonl", "two-answers.jsonl"])
def test_bos_and_the_system_turn_survive_a_cut_of_the_prompt(case: str) -> None:
    """A Jinja template and a YAML template that write the same text are cut alike."""
    options = {"truncation": "prompt-start", "max_length": 60}
    jinja = run(case, "bos.jinja", WITH_BOS, **options)
    yaml = run(case, str(CASES / "bos.yaml"), WITH_BOS, **options)
    assert jinja.row == yaml.row
    assert jinja.row.text.startswith(
        "<s><|im_start|>system\nBe terse and kind.<|im_end|>\n" if "system" in case else "<s>"
    )
    assert jinja.row.trained[-1] == "Second answer.<|im_end|>"
    assert len(jinja.row.ids) == 60


def test_completion_end_keeps_the_prompt_whole() -> None:
    """The prompt is longer than the row, so there is no row: nothing of a question is cut."""
    options = {"truncation": "completion-end", "max_length": 40}
    for template in ("chatml", "bos.jinja", str(CASES / "bos.yaml")):
        done = run("long-second-prompt.jsonl", template, WITH_BOS, **options)
        assert (done.rows, done.lost) == ([], ["cut_to_nothing"])


def test_completion_end_cuts_the_answer() -> None:
    """With room for a part of the answer, the prompt is whole and the answer loses its end."""
    whole = run("long-second-prompt.jsonl", "bos.jinja", WITH_BOS).row
    at = len(whole.ids) - 4  # the last answer has more than 4 tokens with its terminator
    for template in ("bos.jinja", str(CASES / "bos.yaml")):
        done = run(
            "long-second-prompt.jsonl",
            template,
            WITH_BOS,
            truncation="completion-end",
            max_length=at,
        )
        assert done.row.ids == whole.ids[:at]
        assert "word59<|im_end|>\n<|im_start|>assistant\n" in done.row.text
        assert done.row.trained[-1] != whole.trained[-1]
