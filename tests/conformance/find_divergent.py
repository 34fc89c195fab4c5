"""Find the code points that gigatoken and HF tokenizers treat differently.

    python tests/conformance/find_divergent.py [TOKENIZER.json | FOLDER]...

Run it after an upgrade of gigatoken or tokenizers; it takes about ten minutes on two cores. It
tries every code point and prints the differences as the two tuples of
``sftprep/tokenization/unicode_differences.py``. It exits with 1 if those tables lack any of them.

Three things are compared:

Splitting          Each way to split text that gigatoken knows, with a *probe* vocabulary: the 256
                   bytes, and a merge for each pair of bytes that can end one character and begin
                   the next. So two characters merge unless they are split apart, and a different
                   split gives a different id. (With a real vocabulary, most differences would not
                   show: GPT-2's has hardly any token that spans such a place.)
Normalizing        NFC, the only Unicode normalizer that gigatoken has, by its output: each code
                   point among combining marks of several classes, then every pair that may compose.
Given tokenizers   Each file that is named, or is in a folder that is named: as it is, and its way
                   to split with the probe vocabulary.

A code point that both libraries treat as unassigned is not a difference, and not in the tables.
"""

import argparse
import json
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gigatoken
from tokenizers import Tokenizer, normalizers

from sftprep.tokenization.unicode_differences import CODE_POINTS, divergent_table

TABLES = "sftprep/tokenization/unicode_differences.py"
BATCH = 20_000  # texts that are compared at a time
SURROGATES = range(0xD800, 0xE000)  # these are not characters
COMPOSING = range(0x20000)  # after these come ideographs and private use, which never compose

# --- how models split text, as they publish it --------------------------------------------------

ENGLISH = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
PUNCTUATION = r" ?[^\s\p{L}\p{N}]+[\r\n]*"
SPACE = r"\s*[\r\n]+|\s+(?!\S)|\s+"
WORD = r"[^\r\n\p{L}\p{N}]?\p{L}+"
BEFORE, UPPER = r"[^\r\n\p{L}\p{N}]?", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"
LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"

SPLITS: dict[str, list[str]] = {
    "gpt2": [r"'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"],
    "cl100k": [
        r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+"
        r"| ?[^\s\p{L}\p{N}]++[\r\n]*+|\s++$|\s*[\r\n]|\s+(?!\S)|\s+"
    ],
    "gpt4": [rf"{ENGLISH}|{WORD}|\p{{N}}{{1,3}}|{PUNCTUATION}|\s*[\r\n]|\s+(?!\S)|\s+"],
    "llama3, olmo, phi4": [rf"{ENGLISH}|{WORD}|\p{{N}}{{1,3}}|{PUNCTUATION}|{SPACE}"],
    "qwen2, qwen3": [rf"{ENGLISH}|{WORD}|\p{{N}}|{PUNCTUATION}|{SPACE}"],
    "qwen3.5": [
        rf"{ENGLISH}|{BEFORE}[\p{{L}}\p{{M}}]+|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{M}}\p{{N}}]+[\r\n]*|{SPACE}"
    ],
    "o200k": [
        rf"{BEFORE}{UPPER}*{LOWER}+{ENGLISH}?|{BEFORE}{UPPER}+{LOWER}*{ENGLISH}?|\p{{N}}{{1,3}}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{SPACE}"
    ],
    "tekken, nemotron": [
        rf"{BEFORE}{UPPER}*{LOWER}+|{BEFORE}{UPPER}+{LOWER}*|\p{{N}}"
        rf"| ?[^\s\p{{L}}\p{{N}}]+[\r\n/]*|{SPACE}"
    ],
    "deepseek": [
        r"\p{N}{1,3}",
        "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
        "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+"
        "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*"
        "|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
    ],
}

# --- the texts that a code point is tried in, in place of @ -------------------------------------

AMONG_TEXT = (
    "@ @@  @\t@ a@b A@B @Be a@Be A@be 1@2 .@, @'s '@s 'l@ '@e\n@\n \n"
    "@\u00a0漢@字 あ@ん e\u0301@\u0301 /@/\n@.com!@"
)
AMONG_LITTLE = "@ a@b 1@.com\n@"  # for planes that hold private-use characters only
MARKS = "\u0334\u093c\u3099\u094d\u05b0\u0e38\u0f71\u0327\u0323\u0301\u0315\u035c\u0345"
AMONG_MARKS = " ".join(
    ["@", "@@"]
    + [f"{base}@" for base in "aA\u0928か\u1100가"]
    + [f"a@{mark} a{mark}@ @{mark}" for mark in MARKS]
)


@dataclass(frozen=True)
class Pair:
    """One tokenizer, as loaded by each of the two libraries."""

    reference: Any
    fast: Any

    def differing(self, texts: Sequence[str]) -> Iterator[int]:
        """Yield the index of each text that the libraries encode differently."""
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            expected = self.reference.encode_batch_fast(part, add_special_tokens=False)
            actual = self.fast.encode_batch_list(part, parallel=True)
            for index, (one, other) in enumerate(zip(expected, actual, strict=True), start):
                if one.ids != other:
                    yield index

    def differing_nfc(self, texts: Sequence[str]) -> Iterator[int]:
        """Yield the index of each text that the libraries normalize differently."""
        reference = normalizers.NFC()
        for start in range(0, len(texts), BATCH):
            part = texts[start : start + BATCH]
            rows = self.fast.encode_batch_list(part, parallel=True)
            for index, (text, row) in enumerate(zip(part, rows, strict=True), start):
                if reference.normalize_str(text).encode() != self.fast.decode(row):
                    yield index


def load(config: dict[str, Any]) -> Pair | None:
    """Load a tokenizer with both libraries; return None if gigatoken refuses it."""
    text = json.dumps(config | {"truncation": None, "padding": None}, ensure_ascii=False)
    reference = Tokenizer.from_str(text)
    try:
        return Pair(reference, gigatoken.Tokenizer.from_json(text))
    except Exception:  # gigatoken has no exception class of its own
        return None


# --- the tokenizers tried -----------------------------------------------------------------------


def probe(pre_tokenizer: Any, normalizer: Any = None) -> dict[str, Any]:
    """Return a tokenizer whose ids show where it splits a text.

    Merges with a byte of a multi-byte character come first. Otherwise the ASCII characters beside
    the code point under test would merge with each other, and hide whether they can merge with it.
    """
    name = _byte_names()
    pairs = [(name[x], name[y]) for x in range(0xC0) for y in (*range(0x80), *range(0xC2, 0xF5))]
    pairs.sort(key=lambda pair: pair[0].isascii() and pair[1].isascii())
    tokens = [*name, *(x + y for x, y in pairs)]
    vocabulary = {token: number for number, token in enumerate(tokens)}
    return {
        "version": "1.0",
        "added_tokens": [],
        "normalizer": normalizer,
        "pre_tokenizer": pre_tokenizer,
        "post_processor": None,
        "decoder": None,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": pairs},
    }


def _byte_names() -> list[str]:
    """Return, for each byte, the character that stands for it in a byte-level vocabulary."""
    visible = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in visible else next(others)) for byte in range(0x100)]


def byte_level(*, use_regex: bool, prefix_space: bool = False) -> dict[str, Any]:
    """Return the byte-level pre-tokenizer as JSON."""
    return {
        "type": "ByteLevel",
        "add_prefix_space": prefix_space,
        "trim_offsets": False,
        "use_regex": use_regex,
    }


def split_on(patterns: Iterable[str]) -> dict[str, Any]:
    """Return a pre-tokenizer that splits at each pattern in turn, as JSON."""
    steps = [
        {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
        for pattern in patterns
    ]
    return {"type": "Sequence", "pretokenizers": [*steps, byte_level(use_regex=False)]}


def built_in() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each way to split text that gigatoken knows: a name, and a tokenizer as JSON."""
    for name, patterns in SPLITS.items():
        yield name, probe(split_on(patterns))
    yield "byte level", probe(byte_level(use_regex=True))
    yield "byte level, prefix space", probe(byte_level(use_regex=True, prefix_space=True))
    yield "qwen2, qwen3 with NFC", probe(split_on(SPLITS["qwen2, qwen3"]), {"type": "NFC"})


def given(paths: Iterable[Path]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each tokenizer at the paths: as it is, and with the probe vocabulary."""
    for path in paths:
        for file in sorted(path.rglob("*.json")) if path.is_dir() else [path]:
            config = json.loads(file.read_bytes())
            if not isinstance(config, dict) or "pre_tokenizer" not in config:
                continue
            yield str(file), config
            if '"ByteLevel"' in json.dumps(config["pre_tokenizer"]):
                yield f"{file}, probe", probe(config["pre_tokenizer"], config["normalizer"])


# --- the search ---------------------------------------------------------------------------------


def find_split(pair: Pair) -> set[int]:
    """Return the code points that, in some text, the libraries encode differently."""
    found: set[int] = set()
    populated = [p for p in (*range(0x40000), *range(0xE0000, 0xE1000)) if p not in SURROGATES]
    others = sorted({*range(CODE_POINTS)} - {*SURROGATES} - {*populated})
    for points, places in ((populated, AMONG_TEXT), (populated, "@"), (others, AMONG_LITTLE)):
        texts = [places.replace("@", chr(point)) for point in points]
        found.update(points[index] for index in pair.differing(texts))
    return found


def find_nfc(pair: Pair) -> set[int]:
    """Return the code points that the libraries normalize differently, alone or in a pair."""
    points = [point for point in range(CODE_POINTS) if point not in SURROGATES]
    found: set[int] = set()
    for start in range(0, len(points), BATCH):  # the texts are too long to hold all at once
        part = points[start : start + BATCH]
        texts = [AMONG_MARKS.replace("@", chr(point)) for point in part]
        found.update(part[index] for index in pair.differing_nfc(texts))
    return found | find_composing(pair, found)


def find_composing(pair: Pair, known: set[int]) -> set[int]:
    """Return the first code point of each pair that only one library composes.

    A pair may compose if its second code point ends some canonical decomposition. The tables of
    this Python may be older than those of the libraries, so all pairs within a block of 256 are
    tried too. A pair needs its first code point to compose, so the table holds only that one.
    """
    seconds = _second_parts()
    found: set[int] = set()
    for start in range(0, len(COMPOSING), 0x100):
        block = {*COMPOSING[start : start + 0x100]} - {*SURROGATES} - known
        partners = [chr(point) for point in sorted((seconds | block) - known - {ord("\n")})]
        points = sorted(block)
        texts = ["\n".join(chr(point) + other for other in partners) for point in points]
        found.update(points[index] for index in pair.differing_nfc(texts))
    return found


def _second_parts() -> set[int]:
    """Return the code points that are second in some canonical decomposition."""
    found = {*range(0x1161, 0x1176), *range(0x11A7, 0x11C3)}  # Hangul is composed by rule
    for point in range(CODE_POINTS):
        match unicodedata.decomposition(chr(point)).split():
            case [first, second] if not first.startswith("<"):
                found.add(int(second, 16))
    return found


# --- the report ---------------------------------------------------------------------------------


def search(paths: Iterable[Path]) -> tuple[set[int], set[int]]:
    """Compare everything; return the code points that differ by splitting, and those by NFC."""
    with_nfc = load(probe(split_on(SPLITS["qwen2, qwen3"]), {"type": "NFC"}))
    if with_nfc is None:
        raise SystemExit("gigatoken refuses NFC now, so sftprep needs no table for it")
    nfc = find_nfc(with_nfc)
    print(f"NFC: {len(nfc):,} code points", file=sys.stderr)
    split: set[int] = set()
    for name, config in (*built_in(), *given(paths)):
        pair = load(config)
        if pair is None:
            outcome = "gigatoken refuses it"
        elif any(pair.differing([AMONG_TEXT.replace("@", "x")])):
            outcome = "differs on ASCII text: gigatoken must not be used for it"
        else:
            found = find_split(pair)
            split |= found - nfc if config["normalizer"] else found
            outcome = f"{len(found):,} code points"
        print(f"{name}: {outcome}", file=sys.stderr)
    return split, nfc - split


def literal(name: str, points: Iterable[int]) -> str:
    """Return code points as the source text of a tuple of ranges."""
    ranges: list[tuple[int, int]] = []
    for point in sorted(points):
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1] = (ranges[-1][0], point)
        else:
            ranges.append((point, point))
    lines = [f"    (0x{first:04X}, 0x{last:04X}),\n" for first, last in ranges]
    return f"{name}: tuple[tuple[int, int], ...] = (\n{''.join(lines)})\n"


def main() -> None:
    """Print the tables; exit with 1 if those of sftprep lack a code point."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("paths", nargs="*", type=Path, metavar="TOKENIZER.json|FOLDER")
    split, nfc = search(parser.parse_args().paths)
    print(literal("DIVERGENT", split))
    print(literal("DIVERGENT_NFC", nfc))
    missing = {point for point in split if not divergent_table(normalizes=False)[point]}
    missing |= {point for point in nfc if not divergent_table(normalizes=True)[point]}
    print(f"{len(missing):,} of them are not in {TABLES}")
    sys.exit(1 if missing else 0)


if __name__ == "__main__":
    main()
