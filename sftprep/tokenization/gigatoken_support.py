r"""The tokenizers for which gigatoken gives the same ids as HF, found by comparing the two.

In     a ``tokenizer.json`` without its control tokens.
Out    "" if the two libraries agree on every text that has no character of ``unicode_differences``;
       else the reason why they may not.
Never  trusts a configuration that was not compared: HF encodes with it. A tokenizer that gigatoken
       refuses to load is noticed later, when it is loaded.

Each rule here comes from comparing the two (gigatoken 0.10, tokenizers 0.22 and 0.23) on about
fifty configurations with 200,000 random texts each. gigatoken itself refuses many other
configurations. It loads the following ones, but reads them differently from HF: ``single_word``
tokens; an ``rstrip`` token next to another token; a pre-tokenizer after a known ``Split``, which it
leaves out; ``{1,3}+``, which HF repeats without bound; ``\s*[\r\n]|`` at the end of a text;
``dropout``, suffixes and repeated merges.
"""

from collections.abc import Iterator

from sftprep.text import shown
from sftprep.tokenization.byte_level import BYTE_OF
from sftprep.tokenization.tokenizer_json import (
    State,
    merges,
    normalizer_steps,
    only_rewrites_spaces,
    pre_tokenizer_steps,
)


def why_not_exact(state: State) -> str:
    """Return why gigatoken may give other ids for this tokenizer; "" if it gives the same."""
    return next(_reasons(state), "")


def _reasons(state: State) -> Iterator[str]:
    model = state["model"]
    if model["type"] != "BPE":
        yield f"the tokenizer's model is {model['type']}, not BPE"
        return
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            yield f"the tokenizer's model sets {key}"
    pairs = merges(state)
    if len(set(pairs)) < len(pairs):
        yield "the tokenizer's model lists a merge twice"
    if not all(left and right for left, right in pairs):
        yield "the tokenizer's model has a merge with an empty side"
    if len(set(model["vocab"].values())) < len(model["vocab"]):
        yield "two tokens of the tokenizer have the same id"
    yield from _of_added_tokens(state)
    steps = pre_tokenizer_steps(state)
    is_byte_level = any(step["type"] == "ByteLevel" for step in steps)
    yield from (_of_byte_level if is_byte_level else _of_sentencepiece)(state, steps)


def _of_added_tokens(state: State) -> Iterator[str]:
    """Check the added tokens that were not removed: white space and allowed control tokens."""
    tokens = state["added_tokens"]
    for token in tokens:
        for flag in ("single_word", "lstrip", "rstrip"):
            if token[flag]:
                yield f"the tokenizer's token {shown(token['content'])} is {flag}"
    if len({token["normalized"] for token in tokens}) > 1:
        yield "some of the tokenizer's added tokens are normalized and some are not"
    if normalizer_steps(state) and not all(token["content"].isascii() for token in tokens):
        yield "the tokenizer normalizes text and has an added token that is not ASCII"


def _of_byte_level(state: State, steps: list[State]) -> Iterator[str]:
    for normalizer in normalizer_steps(state):
        if normalizer["type"] != "NFC":
            yield f"the tokenizer normalizes text by {normalizer['type']}"
    if not state["model"]["vocab"].keys() >= BYTE_OF.keys():
        yield "the tokenizer's vocabulary lacks a byte"
    *splits, last = steps
    if last["type"] != "ByteLevel":
        yield f"the tokenizer's pre-tokenizer ends with {last['type']}"
    regex = last.get("use_regex", True)
    if not splits and not regex:
        yield "the tokenizer's pre-tokenizer splits nothing"
    if splits and (regex or last.get("add_prefix_space", True)):
        yield "the tokenizer's pre-tokenizer splits twice, or splits and adds a space"
    for step in splits:
        pattern = step.get("pattern", {}).get("Regex")
        if step["type"] != "Split" or pattern is None:
            yield f"the tokenizer's pre-tokenizer also has a {step['type']} step"
        elif step["behavior"] != "Isolated" or step.get("invert"):
            yield "the tokenizer's pre-tokenizer splits in another way than Isolated"
        elif "{1,3}+" in pattern or r"\s*[\r\n]|" in pattern:
            yield "gigatoken reads the pattern of the tokenizer's pre-tokenizer differently"


def _of_sentencepiece(state: State, steps: list[State]) -> Iterator[str]:
    model = state["model"]
    if not model.get("byte_fallback") or model.get("ignore_merges"):
        yield "the tokenizer is neither byte-level nor SentencePiece with byte fallback"
    if not all(f"<0x{byte:02X}>" in model["vocab"] for byte in range(256)):
        yield "the tokenizer's vocabulary lacks a byte"
    normalizers = normalizer_steps(state)
    for step in steps:
        if step["type"] != "Metaspace":
            yield f"the tokenizer's pre-tokenizer is {step['type']}"
        elif step.get("prepend_scheme") == "first" and not all(
            map(only_rewrites_spaces, normalizers)
        ):
            yield "the tokenizer adds a space in front of a text and also normalizes it"
