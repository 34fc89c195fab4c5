"""The built-in templates: what each of them writes, and what it trains.

Every template in ``sftprep/templates/builtin`` is tested here, without being listed. Its renderings
of a few conversations must be those in ``tests/templates/builtin/NAME.txt``. For a new template,
the first run writes this file and fails; compare the file with the format that the model publishes,
and commit it.

Literal expectations for some conversations follow, and ``tests/conformance`` compares the templates
with the models' own chat templates.
"""

import hashlib
import json
from pathlib import Path

import pytest
from templates.conversations import TWO, WITH_SYSTEM, A, S, U, marked, talk

from sftprep.data.conversation import Conversation
from sftprep.errors import RecordError
from sftprep.templates.loading import BUILTIN_FOLDER, builtin_names, load_template

EXPECTED_FOLDER = Path(__file__).parent / "builtin"
NAMES = [
    "alpaca", "alpaca_zh", "chatml", "deepseek", "gemma", "llama3", "mistral", "phi3", "plain",
    "qa", "roles", "vicuna", "zephyr",
]  # fmt: skip
"""The templates of earlier releases."""

CONVERSATIONS = {
    "one exchange": talk((U, "Hi"), (A, "Hello")),
    "two exchanges": talk((U, "Hi"), (A, "Hello"), (U, "And you?"), (A, "Fine")),
    "a system prompt": talk((S, "Be brief."), (U, "Hi"), (A, "Hello"), (U, "Why?"), (A, "So.")),
    "an input": talk((U, "Sum up.", "A tale."), (A, "So.")),
    "a system prompt and an input": talk((S, "Be brief."), (U, "Sum up.", "A tale."), (A, "So.")),
    "outer white space": talk((S, " s "), (U, "\n u\t"), (A, " a \n"), (U, " v"), (A, "b ")),
    "braces": talk((U, "{content} {{x}} {eos}"), (A, "{ } {bos}")),
    "an answer that is not trained": talk((U, "Hi"), (A, "No", "", False), (U, "?"), (A, "Yes")),
}


def renderings(name: str) -> str:
    """All conversations as a template writes them, the trained text in ⟦ ⟧, one line per line."""
    found = []
    for title, conversation in CONVERSATIONS.items():
        try:
            text = marked(load_template(name), conversation, separator="<separator>")
            lines = [
                json.dumps(line, ensure_ascii=False) for line in text.splitlines(keepends=True)
            ]
        except RecordError as error:
            lines = [f"refused: {error.reason}"]
        found.append("\n".join([f"{title}:", *(f"  {line}" for line in lines)]))
    return "\n\n".join(found) + "\n"


@pytest.mark.parametrize("name", builtin_names())
def test_a_builtin_template_writes_what_was_reviewed(name: str) -> None:
    """A template's renderings are those in its file; a missing file is written, to be reviewed."""
    path = EXPECTED_FOLDER / f"{name}.txt"
    if not path.exists():
        path.write_text(renderings(name), encoding="utf-8")
        pytest.fail(f"wrote {path}. Compare it with the published format, then commit it.")
    assert renderings(name) == path.read_text(encoding="utf-8")


def test_every_reviewed_file_has_its_template() -> None:
    """No file of expected renderings is left over from a template that was renamed or removed."""
    assert {path.stem for path in EXPECTED_FOLDER.iterdir()} == set(builtin_names())


def test_no_builtin_template_is_removed() -> None:
    """Recipes name these templates, so they stay."""
    assert set(NAMES) <= set(builtin_names())


@pytest.mark.parametrize("name", builtin_names())
def test_a_builtin_template_describes_itself(name: str) -> None:
    """Each built-in template is named after its file, describes itself and names its source."""
    template = load_template(name)
    data = (BUILTIN_FOLDER / f"{name}.yaml").read_bytes()
    assert (template.name, template.sha256) == (name, hashlib.sha256(data).hexdigest())
    assert template.description
    assert template.source


def test_alpaca_is_the_published_wording() -> None:
    """The alpaca prompts are those of Stanford's ``train.py``, with a newline after the last."""
    template = load_template("alpaca")
    assert template.default_system is not None
    assert template.user_with_input is not None
    assert template.default_system + template.user == (
        "Below is an instruction that describes a task. "
        "Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{content}\n\n### Response:\n"
    )
    assert str(template.default_system_with_input) + template.user_with_input == (
        "Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\n{content}\n\n### Input:\n{input}\n\n### Response:\n"
    )


BUILTIN: list[tuple[str, Conversation, str]] = [
    ("plain", talk((U, "a "), (A, "b")), "a ⟦b</s>⟧"),
    ("plain", TWO, "a⟦b</s>⟧c⟦d</s>⟧"),
    ("qa", WITH_SYSTEM, "s\n\nQuestion: a\nAnswer:⟦ b</s>⟧Question: c\nAnswer:⟦ d</s>⟧"),
    (
        "alpaca",
        talk((U, "a", "x"), (A, "b")),
        "Below is an instruction that describes a task, paired with an input that provides further "
        "context. Write a response that appropriately completes the request.\n\n### Instruction:\n"
        "a\n\n### Input:\nx\n\n### Response:\n⟦b</s>⟧",
    ),
    (
        "alpaca",
        talk((U, "a"), (A, "b")),
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\na\n\n### Response:\n⟦b</s>⟧",
    ),
    (
        "alpaca",
        talk((S, "s"), (U, "a"), (A, "b"), (U, "c", "x"), (A, "d")),
        "s\n\n### Instruction:\na\n\n### Response:\n⟦b</s>⟧\n\n### Instruction:\nc\n\n### Input:\nx"
        "\n\n### Response:\n⟦d</s>⟧",
    ),
    (
        "alpaca_zh",
        talk((S, "s"), (U, "a", "x"), (A, "b")),
        "s\n\n### 指令：\na\n\n### 输入：\nx\n\n### 回答：\n⟦b</s>⟧",
    ),
    (
        "roles",
        WITH_SYSTEM,
        "<|SYSTEM|>s<|USER|>a<|ASSISTANT|>⟦b</s>⟧<|USER|>c<|ASSISTANT|>⟦d</s>⟧",
    ),
    (
        "chatml",
        WITH_SYSTEM,
        "<|im_start|>system\ns<|im_end|>\n<|im_start|>user\na<|im_end|>\n<|im_start|>assistant\n"
        "⟦b<|im_end|>⟧\n<|im_start|>user\nc<|im_end|>\n<|im_start|>assistant\n⟦d<|im_end|>⟧\n",
    ),
    (
        "llama3",
        talk((S, " s "), (U, " a "), (A, " b ")),
        "<s><|start_header_id|>system<|end_header_id|>\n\ns<|eot_id|><|start_header_id|>user"
        "<|end_header_id|>\n\na<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
        "⟦b<|eot_id|>⟧",
    ),
    (
        "mistral",
        WITH_SYSTEM,
        "<s>[INST] a[/INST]⟦ b</s>⟧[INST] s\n\nc[/INST]⟦ d</s>⟧",
    ),
    (
        "gemma",
        talk((S, " s "), *TWO.messages),
        "<s><start_of_turn>user\n s \n\na<end_of_turn>\n<start_of_turn>model\n⟦b<end_of_turn>⟧\n"
        "<start_of_turn>user\nc<end_of_turn>\n<start_of_turn>model\n⟦d<end_of_turn>⟧\n",
    ),
    (
        "phi3",
        TWO,
        "<|user|>\na<|end|>\n<|assistant|>\n⟦b<|end|>⟧\n<|user|>\nc<|end|>\n<|assistant|>\n"
        "⟦d<|end|>⟧\n</s>",
    ),
    (
        "zephyr",
        WITH_SYSTEM,
        "<|system|>\ns</s>\n<|user|>\na</s>\n<|assistant|>\n⟦b</s>⟧\n<|user|>\nc</s>\n<|assistant|>"
        "\n⟦d</s>⟧\n",
    ),
    (
        "vicuna",
        TWO,
        "A chat between a curious user and an artificial intelligence assistant. The assistant "
        "gives helpful, detailed, and polite answers to the user's questions. USER: a ASSISTANT:"
        "⟦ b</s>⟧USER: c ASSISTANT:⟦ d</s>⟧",
    ),
    (
        "deepseek",
        WITH_SYSTEM,
        "<s>s<｜User｜>a<｜Assistant｜>⟦b<｜end▁of▁sentence｜>⟧<｜User｜>c<｜Assistant｜>"
        "⟦d<｜end▁of▁sentence｜>⟧",
    ),
]


@pytest.mark.parametrize(("name", "conversation", "expected"), BUILTIN)
def test_literal_text(name: str, conversation: Conversation, expected: str) -> None:
    """A built-in template writes exactly this, and trains each answer with its terminator."""
    assert marked(load_template(name), conversation) == expected
