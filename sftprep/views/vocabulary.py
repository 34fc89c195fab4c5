"""Token ids -> the bytes they stand for, told from a tokenizer.json alone.

In     the text of a tokenizer.json.
Out    for every id its bytes, and whether it is a control token.
Keeps  bytes: a token may hold a part of a character, so none is decoded by itself. A space that the
       tokenizer put in front of a text is shown as it stands: the model sees it.
Never  needs a tokenizer library: nothing is encoded here.
Raises DataError: the text is no tokenizer.json.

Two families say with their decoder how a token is written. Byte-level ones write each byte as one
printable character; SentencePiece-style ones write a space as ``▁`` and a lone byte as ``<0xNN>``.
The tokens of all others (WordPiece's ``##ing``) are shown as they are written.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from sftprep.errors import DataError
from sftprep.tokenization.byte_level import bytes_of_characters

LONE_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Token(NamedTuple):
    """What an id stands for."""

    data: bytes
    control: bool


class Vocabulary:
    """The tokens by id.

    Args:
        tokenizer_json: the file's text.
        where: what an error calls it.
    """

    def __init__(self, tokenizer_json: str | bytes, where: str = "tokenizer.json") -> None:
        try:
            state = orjson.loads(tokenizer_json)
            self._strings = _strings(state["model"]["vocab"])
            self._added = {t["id"]: t["content"] for t in state["added_tokens"]}
            steps = list(_steps(state.get("decoder")))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(
                f"{where}: is damaged, or no tokenizer.json: {error}. Build the dataset again."
            ) from error
        self._spaces = dict(filter(None, map(_replacement, steps)))
        kinds = {step["type"] for step in steps}
        self._byte_level = "ByteLevel" in kinds
        self._lone_bytes = "ByteFallback" in kinds or bool(state["model"].get("byte_fallback"))

    def token(self, number: int) -> Token:
        """The token with this id; one that does not exist is named, and set off."""
        if number in self._added:
            content = self._added[number]
            return Token(content.encode(), bool(content.strip()))
        if number not in self._strings:
            return Token(f"‹no token {number}›".encode(), True)
        return Token(self._bytes(self._strings[number]), False)

    def _bytes(self, string: str) -> bytes:
        if self._byte_level:
            return bytes_of_characters(string)
        if self._lone_bytes and (match := LONE_BYTE.fullmatch(string)):
            return bytes.fromhex(match[1])
        for written, meant in self._spaces.items():
            string = string.replace(written, meant)
        return string.encode()


def _strings(vocab: Mapping[str, int] | Sequence[tuple[str, float]]) -> dict[int, str]:
    """Id -> token; Unigram models hold a list of pairs, the others a mapping."""
    if isinstance(vocab, Mapping):
        return {number: string for string, number in vocab.items()}
    return {number: entry[0] for number, entry in enumerate(vocab)}


def _steps(decoder: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    if not decoder:
        return
    if decoder["type"] == "Sequence":
        for step in decoder["decoders"]:
            yield from _steps(step)
    else:
        yield decoder


def _replacement(step: dict[str, Any]) -> tuple[str, str] | None:
    """What a decoder's step writes in place of what, where it stands for a space."""
    if step["type"] == "Metaspace":
        return step["replacement"], " "
    if step["type"] == "Replace" and "String" in step["pattern"]:
        return step["pattern"]["String"], step["content"]
    return None
