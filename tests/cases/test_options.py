"""Cases about options and hostile input: each does what it says, or ends with one line."""

import os
from pathlib import Path

import pytest
from case_runs import hf, run
from families import CASES, CHATML, SHARED, Family, template, tokenizer_of
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER
from typer.testing import CliRunner
from views.commands import run as command

from sftprep.cli.app import app

pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="the folder shared is missing")


@pytest.mark.parametrize("value", ["no", "12:30", "012", "a: b"])
def test_an_argument_of_the_template_is_the_text_as_given(value: str) -> None:
    """It is JSON or a text, and never what YAML would make of it."""
    done = run("f14_arg.jsonl", "f14_arg.jinja", CHATML, template_arg=(f"language={value}",))
    assert f"lang={value}<|im_end|>" in done.row.text


@pytest.mark.parametrize("what", ["file", "system"])
def test_a_name_or_option_that_is_not_utf8(tmp_path: Path, what: str) -> None:
    """It works, or one line says what is wrong, with exit code 66 or 2."""
    odd = os.fsdecode(b"caf\xe9")
    data = tmp_path / (f"{odd}.jsonl" if what == "file" else "in.jsonl")
    data.write_bytes((SAMPLE_DATA / "messages.jsonl").read_bytes())
    options = ["--system", odd] if what == "system" else []
    done = CliRunner().invoke(
        app,
        ["prepare", str(data), "--output", str(tmp_path / "out"), "--template", "chatml",
         "--tokenizer", str(SAMPLE_TOKENIZER), *options],
    )  # fmt: skip
    assert done.exit_code in (0, 2, 66), done.output
    if done.exit_code:
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1


def test_a_template_that_doubles_its_text() -> None:
    """A preview ends with a message under the limit of the workers."""
    done = command(
        "preview", CASES / "two-answers.jsonl", "--tokenizer", SAMPLE_TOKENIZER,
        "--template", template("memory-bomb"),
    )  # fmt: skip
    assert done.exit_code == 65
    assert "memory-bomb.jinja asks for too much memory" in done.stderr


WORD = Family(("<|im_start|>", "<|im_end|>", "<w>"), "<|im_end|>")


@pytest.mark.parametrize("before", ["e\u0301", "x\u200d", "x\u200c", "\u0903", "a", "_", "-", " "])
def test_an_added_token_that_must_be_a_word(before: str) -> None:
    """After a letter, a combining mark or a joiner it is no token of its own: as HF has it."""
    folder = tokenizer_of(WORD, single_words=("<w>",))
    text = f"{before}<w> {before}<w>"
    done = run(
        [{"prompt": "a\n", "completion": text}], "plain", WORD, tokenizer=str(folder),
        allow_control=("<w>",), boundary="split",
    )  # fmt: skip
    ids = hf(folder)(text, add_special_tokens=False)["input_ids"]
    assert done.row.ids[-1 - len(ids) : -1] == ids
