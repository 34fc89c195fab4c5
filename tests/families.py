"""Tokenizers of model families, and small templates in the form of theirs.

A family's tokenizer is GPT-2's byte-level BPE, with the family's control tokens added. It has only
the first of GPT-2's merges, so that it loads in milliseconds.
"""

import atexit
import json
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, NamedTuple

SHARED = Path(__file__).resolve().parents[2] / "shared"
CASES = SHARED / "cases"
OWN = Path(__file__).parent / "cases/templates"
MERGES = 2000
FOLDER = Path(mkdtemp(prefix="families-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)


class Family(NamedTuple):
    """The control tokens of a family, and the roles of some of them."""

    tokens: tuple[str, ...]
    eos: str
    bos: str = ""


CHATML = Family(("<|im_start|>", "<|im_end|>", "<|endoftext|>"), "<|im_end|>")
QWEN = Family(
    (*CHATML.tokens, "<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>",
     "</tool_response>"),
    "<|im_end|>",
)  # fmt: skip
LLAMA3 = Family(
    ("<|begin_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eom_id|>",
     "<|python_tag|>"),
    "<|eot_id|>",
    "<|begin_of_text|>",
)  # fmt: skip
LLAMA4 = Family(
    ("<|begin_of_text|>", "<|header_start|>", "<|header_end|>", "<|eot|>", "<|python_start|>",
     "<|python_end|>"),
    "<|eot|>",
    "<|begin_of_text|>",
)  # fmt: skip
GPT_OSS = Family(
    ("<|start|>", "<|end|>", "<|message|>", "<|channel|>", "<|return|>", "<|call|>"), "<|return|>"
)
GEMMA4 = Family(
    ("<bos>", "<eos>", "<|turn>", "<turn|>", "<|tool_call>", "<tool_call|>", '<|"|>'),
    "<turn|>",
    "<bos>",
)
GLM = Family(
    ("[gMASK]", "<sop>", "<|system|>", "<|user|>", "<|assistant|>", "<|observation|>",
     "<|endoftext|>"),
    "<|endoftext|>",
)  # fmt: skip
DEEPSEEK = Family(
    ("<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>",
     "</think>", "<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>", "<｜tool▁call▁begin｜>",
     "<｜tool▁call▁end｜>", "<｜tool▁sep｜>", "<｜tool▁outputs▁begin｜>", "<｜tool▁outputs▁end｜>",
     "<｜tool▁output▁begin｜>", "<｜tool▁output▁end｜>"),
    "<｜end▁of▁sentence｜>",
    "<｜begin▁of▁sentence｜>",
)  # fmt: skip
MISTRAL = Family(
    ("<s>", "</s>", "[INST]", "[/INST]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_CALLS]",
     "[TOOL_RESULTS]", "[/TOOL_RESULTS]"),
    "</s>",
    "<s>",
)  # fmt: skip
PHI3 = Family(
    ("<|system|>", "<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"), "<|endoftext|>"
)


@cache
def _gpt2() -> tuple[dict[str, int], list[Any], dict[str, Any]]:
    """Return the vocabulary and the merges of a small GPT-2, and its whole ``tokenizer.json``."""
    state = json.loads((SHARED / "tokenizers/gpt2/tokenizer.json").read_bytes())
    merges = state["model"]["merges"][:MERGES]
    pairs = [merge.split(" ") if isinstance(merge, str) else merge for merge in merges]
    whole = sorted(state["model"]["vocab"], key=state["model"]["vocab"].__getitem__)
    joined = {left + right for left, right in pairs}
    kept = [token for token in whole if len(token) == 1 or token in joined]
    return {token: number for number, token in enumerate(kept)}, merges, state


@cache
def tokenizer_of(family: Family, single_words: tuple[str, ...] = ()) -> Path:
    """Build the tokenizer of a family; return its folder.

    Args:
        family: the family.
        single_words: the tokens that are recognized only as words of their own.
    """
    vocabulary, merges, state = _gpt2()
    added = [
        {"id": len(vocabulary) + number, "content": token, "single_word": token in single_words,
         "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        for number, token in enumerate(family.tokens)
    ]  # fmt: skip
    model = {**state["model"], "vocab": vocabulary, "merges": merges, "unk_token": None}
    folder = Path(mkdtemp(dir=FOLDER))
    text = json.dumps({**state, "model": model, "added_tokens": added})
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    named = {"eos_token": family.eos} | ({"bos_token": family.bos} if family.bos else {})
    options = {"tokenizer_class": "PreTrainedTokenizerFast", **named}
    (folder / "tokenizer_config.json").write_text(json.dumps(options), encoding="utf-8")
    return folder


def template(name: str) -> Path:
    """Return the path of a template: one of ours, a case's, or a public model's."""
    places = [OWN, CASES, SHARED / "chat_templates"]
    [found] = [path for place in places if (path := place / f"{name}.jinja").is_file()]
    return found
