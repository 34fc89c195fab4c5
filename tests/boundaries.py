"""Texts and tokenizers for the tests of loss boundaries."""

import json
from dataclasses import replace
from random import Random

import pytest
from tokenizers import pre_tokenizers, trainers
from toys import SAMPLE_TOKENIZER, piece_hf, piece_tokenizer

from sftprep.tokenization.boundary.known_breaks import KNOWN_PATTERNS
from sftprep.tokenization.loading import load_tokenizer
from sftprep.tokenization.tokenizer import Tokenizer

PIECES = (
    "a", "b", " a", " the", "the", "The", " ", "  ", "\n", "\n\n", "\r\n", "\t", ".", ". ", "?",
    "!\n", ":\n", "'s", "'", "'S", "1", "12", "123", " 1", "价", "格", " 价", "，", "。", "“",
    "\u3000", "é", "e\u0301", "\u0301", "_", "/", '"', "(", ")", "\u2028", "\xa0", "ſ", "😀", "٣",
    "ー", "\u200b", "-", "I", "ll", "a'", " '", "words and more", ", and", "。\n", "价\n", "x\n",
    "é\n", "😀\n", " \n", "x\n\n", ")\n\n\n", "    return", "\tx", "\t\t}", "  \n", "/x", " /",
    "\0 ", "a\0", "            #", " " * 40 + "x", "\n" * 5,
)  # fmt: skip
"""Bits of text: where two of them meet, patterns and merges behave in different ways."""

SPLITS = [[], *([pattern] for pattern in KNOWN_PATTERNS[:3]), list(KNOWN_PATTERNS[3:])]
KINDS = pytest.mark.parametrize(
    "splits", SPLITS, ids=["gpt2", "llama3", "qwen2", "o200k", "deepseek"]
)


def splitting(splits: list[str]) -> Tokenizer:
    """The sample tokenizer with these patterns instead of GPT-2's, unless there are none."""
    sample = load_tokenizer(str(SAMPLE_TOKENIZER))
    state = json.loads(sample.json)
    state["pre_tokenizer"] = {
        "type": "Sequence",
        "pretokenizers": [
            *(
                {"type": "Split", "pattern": {"Regex": s}, "behavior": "Isolated", "invert": False}
                for s in splits
            ),
            {
                "type": "ByteLevel",
                "add_prefix_space": False,
                "trim_offsets": True,
                "use_regex": not splits,
            },
        ],
    }
    return replace(sample, json=json.dumps(state))


def learned(scheme: str, *, split: bool = False) -> Tokenizer:
    """A SentencePiece-style tokenizer with merges learned from ``PIECES`` and the sample data."""
    random = Random(3)
    lines = (SAMPLE_TOKENIZER.parent / "prompt_completion.jsonl").read_text().splitlines()
    lines += ["".join(random.choices(PIECES, k=20)) for _ in range(3000)]
    hf = piece_hf(scheme)
    if scheme != "normalizer":
        hf.pre_tokenizer = pre_tokenizers.Metaspace("▁", prepend_scheme=scheme, split=split)
    known = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=2500,
        special_tokens=["<unk>", "<s>", "</s>", *known],
        limit_alphabet=150,
        show_progress=False,
    )
    hf.train_from_iterator(lines, trainer)
    state = json.loads(hf.to_str())
    state["added_tokens"] = state["added_tokens"][:3]  # without the tokens of bytes
    return replace(
        piece_tokenizer(scheme), json=json.dumps(state), size=len(state["model"]["vocab"])
    )
