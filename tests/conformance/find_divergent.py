"""Find the code points that gigatoken and HF tokenizers treat differently.

    python tests/conformance/find_divergent.py [TOKENIZER.json | FOLDER]...

Run it after an upgrade of gigatoken or tokenizers. It tries every code point, prints what it found
as the two tuples of `sftprep/codepoints.py`, and exits with 1 when the table there lacks any of it.
It takes about ten minutes on two cores.

What is compared

    splitting       Every published way to split text that gigatoken knows, each on a *probe*
                    vocabulary: 256 bytes, and a merge for each pair of bytes that can meet where
                    two characters do. Two characters merge unless the splitting parts them, so a
                    different split is a different id. (An ordinary vocabulary has hardly any token
                    across such a place; with it most differences stay out of sight until the one
                    text comes along that does show them.)
    normalizing     NFC, the one Unicode normalizer gigatoken has for byte-level tokenizers, by
                    its text: each code point beside combining marks of several classes, then every
                    pair that could compose.
    your tokenizers Each file named on the command line as it is, and its splitting on the probe.

A code point that both sides take for unassigned is no difference and stays out of the table.
"""

import argparse
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gigatoken
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

from sftprep.codepoints import divergent_table

SIZE = 0x110000
SURROGATES = range(0xD800, 0xE000)
POPULATED = (range(0x40000), range(0xE0000, 0xE1000))  # planes that hold more than private use
BATCH = 20_000

WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
UPPER, LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
CASED = rf"[^\r\n\p{{L}}\p{{N}}]?{UPPER}*{LOWER}+@|[^\r\n\p{{L}}\p{{N}}]?{UPPER}+{LOWER}*@"
SPACES = r"\s*[\r\n]+|\s+(?!\S)|\s+"
PUNCTUATION = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
RUN = r"[^\r\n\p{L}\p{N}]?\p{L}+"

SPLITS: dict[str, str] = {  # as the models publish them; assembled, because they share much
    "gpt2": r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "cl100k": r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
    r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s+",
    "gpt4": rf"{WORDS}|{RUN}|\p{{N}}{{1,3}}|{PUNCTUATION}|\s*[\r\n]|\s+(?!\S)|\s+",
    "llama3": rf"{WORDS}|{RUN}|\p{{N}}{{1,3}}|{PUNCTUATION}|{SPACES}",  # Olmo and Phi-4 too
    "qwen2": rf"{WORDS}|{RUN}|\p{{N}}|{PUNCTUATION}|{SPACES}",  # Qwen 2.5 and 3 too
    "qwen3.5": rf"{WORDS}|[^\r\n\p{{L}}\p{{N}}]?[\p{{L}}\p{{M}}]+|\p{{N}}"
    rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{SPACES}",
    "o200k": rf"{CASED.replace('@', WORDS + '?')}|\p{{N}}{{1,3}}"
    rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{SPACES}",
    "tekken": rf"{CASED.replace('@', '')}|\p{{N}}| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{SPACES}",
}
DEEPSEEK = [
    r"\p{N}{1,3}",
    "[一-龥\u3040-ゟ゠-ヿ]+",
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
    "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
    "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
]

# Where a code point can stand so that its class shows. The short one is for planes without letters.
SURROUNDINGS = (
    "{c} {c}{c}  {c}\t{c} a{c}b A{c}B 1{c}2 .{c}, {c}'s '{c}s 'l{c} '{c}e\n{c}\n \n{c}\u00a0"
    "漢{c}字 あ{c}ん e\u0301{c}\u0301 /{c}/\n{c}.com!{c}"
)
SURROUNDINGS_SHORT = "{c} a{c}b 1{c}.com\n{c}"

# One mark of each canonical class in use, and bases that compose with some of them.
MARKS = "\u0334\u093c\u3099\u094d\u05b0\u0e38\u0f71\u0327\u0323\u0301\u0315\u035c\u0345"
BASES = "aA\u0928か\u1100가"


@dataclass(frozen=True)
class Pair:
    """One tokenizer, loaded by both libraries."""

    reference: Any
    fast: Any

    @classmethod
    def load(cls, config: dict[str, Any]) -> "Pair | None":
        """Load the two, or nothing where gigatoken refuses (sftprep then uses HF tokenizers)."""
        text = json.dumps(config | {"truncation": None, "padding": None}, ensure_ascii=False)
        reference = Tokenizer.from_str(text)
        try:
            return cls(reference, gigatoken.Tokenizer.from_json(text))
        except Exception:
            return None

    def differing(self, texts: list[str]) -> Iterator[int]:
        """Yield the index of each text whose ids differ."""
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            expected = self.reference.encode_batch_fast(part, add_special_tokens=False)
            actual = self.fast.encode_batch_list(part, parallel=True)
            for index, (one, other) in enumerate(zip(expected, actual, strict=True), start):
                if one.ids != other:
                    yield index


# ---------------------------------------------------------------------------- the tokenizers tried


def byte_characters() -> list[str]:
    """Return the printable character by which byte-level vocabularies write each byte."""
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(256)]


def probe(config: dict[str, Any]) -> dict[str, Any]:
    """Return a tokenizer that splits and normalizes as `config` does, and shows where it split.

    Merges with a byte of a longer character come first, so that what happens at the code point
    under test is not hidden by what its ASCII neighbours do among themselves.
    """
    name = byte_characters()
    last, first = range(0xC0), [*range(0x80), *range(0xC2, 0xF5)]
    pairs = [(name[x], name[y]) for x in last for y in first]
    pairs.sort(key=lambda pair: pair[0].isascii() and pair[1].isascii())
    vocabulary = [*name, *(x + y for x, y in pairs)]
    model = {
        "type": "BPE",
        "vocab": {token: number for number, token in enumerate(vocabulary)},
        "merges": pairs,
    }
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": config.get("normalizer"),
        "pre_tokenizer": config.get("pre_tokenizer"),
        "post_processor": None,
        "decoder": None,
        "model": model,
    }


def split_on(*patterns: str) -> dict[str, Any]:
    """Return the `pre_tokenizer` entry that applies these patterns one after the other."""
    steps: list[dict[str, Any]] = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in patterns
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}
    return {"type": "Sequence", "pretokenizers": [*steps, byte_level | {"use_regex": False}]}


def known_probes() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each splitting gigatoken knows, on the probe vocabulary."""
    for name, pattern in SPLITS.items():
        yield f"probe, {name}", probe({"pre_tokenizer": split_on(pattern)})
    yield "probe, deepseek", probe({"pre_tokenizer": split_on(*DEEPSEEK)})
    for prefix in (False, True):
        step = {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": False}
        yield f"probe, byte-level, prefix space {prefix}", probe({"pre_tokenizer": step})


def given_tokenizers(paths: Iterable[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each tokenizer.json named or found in a folder: as it is, and on the probe."""
    for path in paths:
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            config = json.loads(file.read_bytes())
            if not isinstance(config, dict) or "model" not in config:
                continue
            yield str(file), config
            if config["pre_tokenizer"] and "ByteLevel" in json.dumps(config["pre_tokenizer"]):
                yield f"{file}, on the probe", probe(config)


# ----------------------------------------------------------------------------------- the searching


def find_split(pair: Pair) -> set[int]:
    """Return the code points whose surroundings get other ids."""
    found: set[int] = set()
    populated = [point for part in POPULATED for point in part if point not in SURROGATES]
    others = sorted(set(range(SIZE)) - set(SURROGATES) - set(populated))
    for points, form in ((populated, SURROUNDINGS), (others, SURROUNDINGS_SHORT)):
        texts = [form.replace("{c}", chr(point)) for point in points]
        found.update(points[index] for index in pair.differing(texts))
        found.update(points[index] for index in pair.differing([chr(point) for point in points]))
    return found


def find_nfc() -> set[int]:
    """Return the code points that NFC treats differently, alone, beside marks or in pairs."""
    pair = Pair.load(probe({"normalizer": {"type": "NFC"}} | {"pre_tokenizer": split_on(".|\n")}))
    if pair is None:
        pair = Pair.load(
            probe({"normalizer": {"type": "NFC"}, "pre_tokenizer": split_on(SPLITS["qwen2"])})
        )
    if pair is None:
        raise SystemExit("gigatoken no longer loads an NFC normalizer: this script needs a change")
    points = [point for point in range(SIZE) if point not in SURROGATES]
    found = {points[i] for i in nfc_differing(pair, [beside_marks(chr(p)) for p in points])}
    return found | composing_pairs(pair, found)


def nfc_differing(pair: Pair, texts: list[str]) -> Iterator[int]:
    """Yield the index of each text whose NFC form differs."""
    reference = normalizers.NFC()
    for start in range(0, len(texts), BATCH):
        part = texts[start : start + BATCH]
        rows = pair.fast.encode_batch_list(part, parallel=True)
        for index, (text, row) in enumerate(zip(part, rows, strict=True), start):
            if reference.normalize_str(text).encode() != pair.fast.decode(row):
                yield index


def beside_marks(character: str) -> str:
    """Return the character alone, doubled, on bases, and before and after a mark of each class."""
    places = [character, character * 2, *(base + character for base in BASES)]
    for mark in MARKS:
        places += [f"a{character}{mark}", f"a{mark}{character}", character + mark]
    return " ".join(places)


def composing_pairs(pair: Pair, known: set[int]) -> set[int]:
    """Return the code points of those pairs that only one side composes.

    A pair can compose when its second part ends some decomposition, or when both parts come from
    one block of 256: scripts younger than this Python's `unicodedata` compose among themselves.
    Of a pair, the part that the reference does not know (or else both) goes into the table.
    """
    seconds = {unicodedata.decomposition(chr(p)).split()[-1:][0] for p in decomposable()}
    marks = {chr(int(second, 16)) for second in seconds}
    found: set[int] = set()
    ideograph = reference_class(r"[\p{Han}\p{Hangul}\p{Co}]") - known
    for point in range(SIZE - 0x20000):
        if point in SURROGATES or point in ideograph or point >= 0x40000:
            continue
        block = range(point & ~0xFF, (point | 0xFF) + 1)
        others = marks | {chr(p) for p in block if p not in SURROGATES}
        found |= differing_pairs(pair, chr(point), sorted(others), known)
    return found


def decomposable() -> Iterator[int]:
    """Yield the code points with a canonical decomposition into two."""
    for point in range(SIZE):
        parts = unicodedata.decomposition(chr(point)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            yield point
