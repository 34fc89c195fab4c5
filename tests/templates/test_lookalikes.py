"""Texts that look like control tokens are found in a template's text."""

import pytest
from toys import byte_tokenizer

from sftprep.data.control_tokens import ControlTokens
from sftprep.templates.lookalikes import lookalikes

NOTHING = ControlTokens([])
TOKENS = [
    "<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|eot_id|>", "<|end|>", "<|a b|>",
    "<|x|>", "<|START_OF_TURN_TOKEN|>", "<｜User｜>", "<｜end▁of▁sentence｜>", "<|turn>", "<turn|>",
    "<s>", "</s>", "<bos>", "<eos>", "<sop>", "[gMASK]", "<start_of_turn>", "<end_of_turn>",
    "<end_of_utterance>", "<beginning_of_sentence>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]",
    "[/SYSTEM_PROMPT]", "[TOOL_CALLS]", "[ARGS]", "<extra_id_1>", "<SPECIAL_10>", "<reserved_106>",
    "<seed:bos>", "[|user|]", "[|endofturn|]", "]~!b[", "]~b]", "[e~[", "<BOS_TOKEN>",
]  # fmt: skip


@pytest.mark.parametrize("token", TOKENS)
def test_tokens_of_known_families(token: str) -> None:
    """The token is found between letters, and next to another token."""
    assert lookalikes([f"a{token}b{token}\n"], NOTHING) == [token]
    assert lookalikes([f"{token}<|other|>"], NOTHING) == [token, "<|other|>"]


@pytest.mark.parametrize(
    "text",
    [
        "", "### Instruction:\n", "USER: a ASSISTANT:", "<think>", "</think>", "<tool_call>", "<b>",
        "[1]", "[x]", "a <| b |> c", "<|", "|>", "<||>", "x<y|z>1", "[INSTRUCTION]", "a|b|c",
        "<|a\nb|>", "[INST] <<SYS>>\n", "<< [/INST]<<SYS>>",
    ],
)  # fmt: skip
def test_other_texts(text: str) -> None:
    """Plain markers, tags for reasoning and tools, and the markers of Llama 2 are no lookalikes."""
    assert lookalikes([text], NOTHING) == []


def test_control_tokens_are_not_found() -> None:
    """What the tokenizer has is none, also where a longer text begins with it."""
    controls = ControlTokens(list(byte_tokenizer(["<|a|>", "<|b", "</s>"]).controls.values()))
    texts = ["<|a|><|c|>", "x</s>", "<|b|>", "<|c|>", "<|d|>"]
    assert lookalikes(texts, controls) == ["<|c|>", "<|d|>"]
