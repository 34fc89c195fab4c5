"""templates: built-in templates are listed, and each can be shown rendered."""

import os
import pty
import subprocess
import sys
from io import BytesIO
from pathlib import Path

from views.commands import run

from sftprep.errors import TemplateError
from sftprep.views.templates import describe_template, list_templates


def test_all_templates_are_listed() -> None:
    """The list has one line per template, aligned, and says how to see one."""
    result = run("templates")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == f"{list_templates()}\n"
    lines = result.stdout.splitlines()
    listed = dict(line.split(maxsplit=1) for line in lines[:-2])
    assert listed["alpaca"] == "Stanford Alpaca's instruction prompt, with and without an input"
    assert listed["chatml"] == "ChatML, the format of Qwen and many others"
    assert len({line.index(text) for line, text in zip(lines, listed.values(), strict=False)}) == 1
    assert lines[-2:] == [
        "",
        "sftprep templates NAME shows one with an example; NAME may be a YAML file.",
    ]


def test_a_chat_template_is_shown_with_two_exchanges() -> None:
    """The example has a system prompt and two exchanges, with the trained text marked."""
    result = run("templates", "chatml")

    assert (result.exit_code, result.stderr) == (0, "")
    expected = """\
chatml: ChatML, the format of Qwen and many others
  source  Qwen2.5 and Qwen3 chat templates (without Qwen2.5's own default system prompt)
  needs   <|im_start|>, <|im_end|>
  BOS     first, if the tokenizer itself adds one (not shown below)
⟦trained⟧, all else not trained; ↵ newline

<|im_start|>system↵
Answer in one sentence.<|im_end|>↵
<|im_start|>user↵
Which planet is the largest?<|im_end|>↵
<|im_start|>assistant↵
⟦Jupiter is the largest planet.<|im_end|>⟧↵
<|im_start|>user↵
And the smallest?<|im_end|>↵
<|im_start|>assistant↵
⟦Mercury is the smallest.<|im_end|>⟧↵
"""
    assert result.stdout == expected


def test_signs_stand_for_the_tokenizers_own_tokens() -> None:
    """BOS and EOS are shown as signs; the system prompt is where the template puts it."""
    expected = """\
mistral: Mistral Instruct, v3 format with SentencePiece (Mistral-7B-Instruct-v0.3)
  source  mistralai/Mistral-7B-Instruct-v0.3, chat template; mistral-common, InstructTokenizerV3
  needs   [INST], [/INST], the tokenizer's ‹bos› and ‹eos›
  BOS     always first
⟦trained⟧, all else not trained; ↵ newline

‹bos›[INST] Which planet is the largest?[/INST]⟦ Jupiter is the largest planet.‹eos›⟧[INST] \
Answer in one sentence.↵
↵
And the smallest?[/INST]⟦ Mercury is the smallest.‹eos›⟧"""
    assert describe_template("mistral", colour=False) == expected


def test_the_place_of_the_separator_is_marked() -> None:
    """A sign stands for the separator; a format that is not for chats has one exchange."""
    expected = """\
plain: the prompt, the separator (none unless given), the completion, EOS
  source     sftprep
  needs      the tokenizer's ‹eos›
  BOS        first, if the tokenizer itself adds one (not shown below)
  separator  ‹separator›: empty, unless given
⟦trained⟧, all else not trained; ↵ newline

Which planet is the largest?‹separator›⟦Jupiter is the largest planet.‹eos›⟧"""
    assert describe_template("plain", colour=False) == expected


def test_a_template_with_an_input_is_shown_both_ways() -> None:
    """A Chinese template has a Chinese example, once without and once with an input."""
    expected = """\
alpaca_zh: an instruction prompt in Chinese, built like alpaca, with and without an input
  source  sftprep
  needs   the tokenizer's ‹eos›
  BOS     first, if the tokenizer itself adds one (not shown below)
⟦trained⟧, all else not trained; ↵ newline

以下是一条描述任务的指令。请给出恰当的回答，完成其中的要求。↵
↵
### 指令：↵
最大的行星是哪一颗？↵
↵
### 回答：↵
⟦木星是最大的行星。‹eos›⟧

if a record has an input:

以下是一条描述任务的指令，并附有提供背景信息的输入。请给出恰当的回答，完成其中的要求。↵
↵
### 指令：↵
翻译成英文。↵
↵
### 输入：↵
早上好！↵
↵
### 回答：↵
⟦Good morning!‹eos›⟧"""
    assert describe_template("alpaca_zh", colour=False) == expected


def test_tokens_are_in_reverse_video_in_colour() -> None:
    """Tokens and signs are in reverse video, and nothing is underlined: no text is encoded."""
    last = describe_template("roles", colour=True).split("\n\n")[1]

    assert last.replace("\x1b[0m", "{}").replace("\x1b[", "{") == (
        "{2;7m<|SYSTEM|>{}{2mAnswer in one sentence.{}"
        "{2;7m<|USER|>{}{2mWhich planet is the largest?{}"
        "{2;7m<|ASSISTANT|>{}{32mJupiter is the largest planet.{}{32;7m‹eos›{}"
        "{2;7m<|USER|>{}{2mAnd the smallest?{}"
        "{2;7m<|ASSISTANT|>{}{32mMercury is the smallest.{}{32;7m‹eos›{}"
    )


def test_a_users_own_template_is_shown_like_a_built_in_one(tmp_path: Path) -> None:
    """A template file is shown too, with control characters as escapes."""
    own = tmp_path / "tickets.yaml"
    own.write_text(
        'description: "tickets\\e[2J"\n'
        "bos: never\n"
        'tokens: ["<|q|>"]\n'
        'user: "<|q|>{content}\\n"\n'
        "assistant:\n"
        '  body: "{content}{eos}"\n',
        "utf-8",
    )

    result = run("templates", own)

    assert (result.exit_code, result.stderr) == (0, "")
    expected = """\
tickets: tickets\\x1b[2J
  needs  <|q|>, the tokenizer's ‹eos›
  BOS    none
⟦trained⟧, all else not trained; ↵ newline

<|q|>Which planet is the largest?↵
⟦Jupiter is the largest planet.‹eos›⟧<|q|>And the smallest?↵
⟦Mercury is the smallest.‹eos›⟧
"""
    assert result.stdout == expected


def test_an_unknown_template_is_refused() -> None:
    """A name that is neither a template nor a file is an error that suggests the closest name."""
    result = run("templates", "chatlm")

    assert (result.exit_code, result.stdout) == (TemplateError.exit_code, "")
    assert result.stderr == (
        "error: no template 'chatlm', and no such file. Did you mean 'chatml'?\n"
    )


def on_a_terminal(arguments: list[str], **environment: str) -> str:
    """Run a command with a terminal as its output; return what it writes."""
    ours, theirs = pty.openpty()
    known = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    command = [sys.executable, "-m", "sftprep", *arguments]
    with subprocess.Popen(command, stdout=theirs, env={**known, **environment}) as process:
        os.close(theirs)
        text = BytesIO()
        try:
            while data := os.read(ours, 4096):
                text.write(data)
        except OSError:  # how Linux says that the other side was closed
            pass
        os.close(ours)
    assert process.returncode == 0
    return text.getvalue().decode().replace("\r\n", "\n")


def test_colour_is_for_terminals_only() -> None:
    """A terminal gets colours, unless NO_COLOR is set; a pipe gets plain marks."""
    piped = run("templates", "qa").stdout

    assert on_a_terminal(["templates", "qa"]) == f"{describe_template('qa', colour=True)}\n"
    assert on_a_terminal(["templates", "qa"], NO_COLOR="1") == piped
    assert "\x1b" not in piped
