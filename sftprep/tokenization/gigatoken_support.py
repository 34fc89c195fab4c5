r"""For which tokenizers gigatoken gives the ids that HF tokenizers gives: a list of what was shown.

In     a ``tokenizer.json``, without its control tokens.
Out    "" where the two agree on every text without the code points of ``codepoints``; else why they
       may not.
Never  trusts what was not tried: a configuration that is not known to agree is left to HF. What
       gigatoken refuses to load is found when it is tried.

Each line here comes from comparing the two (gigatoken 0.10, tokenizers 0.22 and 0.23) on some fifty
configurations with 200,000 random texts each. gigatoken refuses many others by itself; these it
loads and reads otherwise than HF: tokens that are ``single_word``; an ``rstrip`` token beside
another; pre-tokenizers behind a known ``Split``, which it leaves out; ``{1,3}+``, which HF repeats
without bound; ``\s*[\r\n]|`` at the end of a text; ``dropout``, suffixes and repeated merges.
"""

import re
from collections.abc import Iterator
from typing import Any

from sftprep.text import shown

State = dict[str, Any]
SEEN_BYTES = [*range(33, 127), *range(161, 173), *range(174, 256)]
BYTE_NAMES = {*map(chr, SEEN_BYTES), *(chr(256 + n) for n in range(256 - len(SEEN_BYTES)))}
"""How byte-level vocabularies write bytes: GPT-2's ``bytes_to_unicode``."""


def why_not_exact(state: State) -> str:
    """Why gigatoken may give other ids for this tokenizer; "" where it does not."""
    return next(_reasons(state), "")


def _reasons(state: State) -> Iterator[str]:
    model = state["model"]
    if model["type"] != "BPE":
        yield f"its model is {model['type']}, not BPE"
        return
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix"):
        if model.get(key):
            yield f"its model has a {key}"
    merges = _merges(state)
    if len(set(merges)) < len(merges):
        yield "its model has a merge twice"
    if not all(left and right for left, right in merges):
        yield "its model merges something with nothing"
    if len(set(model["vocab"].values())) < len(model["vocab"]):
        yield "two of its tokens have one id"
    yield from _of_tokens(state)
    nodes = parts(state.get("pre_tokenizer"), "pretokenizers")
    is_byte_level = any(node["type"] == "ByteLevel" for node in nodes)
    yield from (_of_byte_level if is_byte_level else _of_sentencepiece)(state, nodes)


def _of_tokens(state: State) -> Iterator[str]:
    """What the added tokens that stay may be."""
    tokens = state["added_tokens"]
    for token in tokens:
        for flag in ("single_word", "lstrip", "rstrip"):
            if token[flag]:
                yield f"its token {shown(token['content'])} is {flag}"
    if len({token["normalized"] for token in tokens}) > 1:
        yield "some of its added tokens are normalized, some not"
    normalizes = parts(state.get("normalizer"), "normalizers")
    if normalizes and not all(token["content"].isascii() for token in tokens):
        yield "it normalizes, and has an added token that is not ASCII"


def _of_byte_level(state: State, nodes: list[State]) -> Iterator[str]:
    for node in parts(state.get("normalizer"), "normalizers"):
        if node["type"] != "NFC":
            yield f"it normalizes by {node['type']}"
    if not state["model"]["vocab"].keys() >= BYTE_NAMES:
        yield "its vocabulary lacks a byte"
    *splits, last = nodes
    if last["type"] != "ByteLevel":
        yield f"its pre-tokenizer ends with {last['type']}"
    regex = last.get("use_regex", True)
    if not splits and not regex:
        yield "its pre-tokenizer splits nothing"
    if splits and (regex or last.get("add_prefix_space", True)):
        yield "its pre-tokenizer splits, and splits or adds a space again"
    for node in splits:
        pattern = node.get("pattern", {}).get("Regex")
        if node["type"] != "Split" or pattern is None:
            yield f"its pre-tokenizer has a {node['type']} besides"
        elif node["behavior"] != "Isolated" or node.get("invert"):
            yield "its pre-tokenizer splits in another way than Isolated"
        elif "{1,3}+" in pattern or r"\s*[\r\n]|" in pattern:
            yield "its pre-tokenizer's pattern is one that the two read differently"


def _of_sentencepiece(state: State, nodes: list[State]) -> Iterator[str]:
    model = state["model"]
    if not model.get("byte_fallback") or model.get("ignore_merges"):
        yield "it is neither byte-level nor SentencePiece with byte fallback"
    if not all(f"<0x{byte:02X}>" in model["vocab"] for byte in range(256)):
        yield "its vocabulary lacks a byte"
    steps = parts(state.get("normalizer"), "normalizers")
    for node in nodes:
        if node["type"] != "Metaspace":
            yield f"its pre-tokenizer is {node['type']}"
        elif node.get("prepend_scheme") == "first" and not all(map(_is_space_step, steps)):
            yield "it puts a space first and normalizes besides"


def _is_space_step(step: State) -> bool:
    """Whether a normalizer only puts a space in front, or writes spaces otherwise."""
    is_replace = step["type"] == "Replace" and step["pattern"] == {"String": " "}
    return is_replace or bool(step["type"] == "Prepend")


LETTERS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LINE_END = r"|\s*[\r\n]+|"
REST = rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*{LINE_END}\s+(?!\S)|\s+"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
LOCAL_PATTERNS = (
    # Llama 3 (and cl100k), Qwen 2, o200k, DeepSeek V3
    LETTERS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}" + REST,
    LETTERS + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}" + REST,
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+{LETTERS}?|"
    rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*{LETTERS}?|\p{{N}}{{1,3}}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
    r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
)
"""Patterns that never look back, of which what follows is true (in a sequence, of the last): what
``cuts`` needs to say where text is always cut. A run of letters ends before a space, and one of
Chinese characters before a full-width comma or stop. A piece that holds something else than white
space takes no space or tab behind it, and behind a line end nothing but line ends and slashes."""
SPACE = "\u2581"
BYTE = re.compile(r"<0x[0-9A-F]{2}>")


def locality(state: State) -> str:
    """How it is known where text is always cut, whatever lies around it.

    Args:
        state: a ``tokenizer.json`` that ``why_not_exact`` has nothing against.

    Returns:
        ``words``: by the pre-tokenizer's pattern, which is GPT-2's. ``lines``: by one that also
        cuts white space behind its last line end. ``pairs``: by the merges, which join characters.
        "": it is not known.
    """
    if state["added_tokens"]:
        return ""
    nodes = parts(state.get("pre_tokenizer"), "pretokenizers")
    if all(node["type"] == "Metaspace" for node in nodes):
        return "pairs" if _merges_characters(state) else ""
    if nodes[-1]["type"] != "ByteLevel" or nodes[-1].get("add_prefix_space", True):
        return ""
    patterns = [
        node["pattern"]["Regex"].replace("\r", r"\r").replace("\n", r"\n") for node in nodes[:-1]
    ]
    if not all(pattern in LOCAL_PATTERNS for pattern in patterns):
        return ""
    if any(LINE_END in pattern for pattern in patterns):
        return "lines"
    return "words" if not patterns and nodes[-1].get("use_regex", True) else ""


def _merges_characters(state: State) -> bool:
    """Whether merges join characters alone, no bytes, and a space is a ``SPACE`` in them."""
    steps = parts(state.get("normalizer"), "normalizers")
    nodes = parts(state.get("pre_tokenizer"), "pretokenizers")
    written = [step["content"] for step in steps if step["type"] == "Replace"]
    written += [node["replacement"] for node in nodes]
    before = [step["prepend"] for step in steps if step["type"] == "Prepend"]
    if not all(map(_is_space_step, steps)) or set(written) != {SPACE} or set(before) - {SPACE}:
        return False
    return not any(map(BYTE.search, map("".join, _merges(state))))


def crossings(state: State) -> str:
    """The last and the first character of the two sides of each merge, once, one after another.

    Args:
        state: a ``tokenizer.json`` whose ``locality`` is ``pairs``.
    """
    return "".join(sorted({left[-1] + right[0] for left, right in _merges(state)}))


def _merges(state: State) -> list[tuple[str, str]]:
    merges = state["model"]["merges"]
    return [m.partition(" ")[::2] if isinstance(m, str) else (m[0], m[1]) for m in merges]


def parts(node: State | None, key: str) -> list[State]:
    """A normalizer or pre-tokenizer as the flat list of what it does."""
    if not node:
        return []
    if key in node:
        return [part for child in node[key] for part in parts(child, key)]
    return [node]
