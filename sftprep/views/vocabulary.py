"""Map token ids to the bytes that they stand for, from a tokenizer.json alone.

In     the text of a tokenizer.json.
Out    for each id, its bytes, and whether it is a control token.
Keeps  tokens as bytes, because a token may hold only part of a character. A space that the
       tokenizer adds in front of a text is kept, because the model sees it.
Never  needs a tokenizer library, because nothing is encoded here.
Raises DataError: the text is not a tokenizer.json.

The decoder in a tokenizer.json shows how its tokens are written. Two families are understood.
Byte-level tokenizers write each byte as one printable character. SentencePiece-style tokenizers
write a space as ``▁`` and a single byte as ``<0xNN>``. The tokens of all other tokenizers, such as
WordPiece's ``##ing``, are shown as they are written.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from sftprep.errors import DataError
from sftprep.tokenization.byte_level import bytes_of_characters

LONE_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class Token(NamedTuple):
    """What an id stands for: ``Token(b"Hi", control=False)``."""

    data: bytes
    control: bool


class Vocabulary:
    """The tokens of a tokenizer, by id.

    Args:
        tokenizer_json: the text of the file.
        where: the path of the file, for error messages.
    """

    def __init__(self, tokenizer_json: str | bytes, where: str = "tokenizer.json") -> None:
        try:
            state = orjson.loads(tokenizer_json)
            self._strings = _strings(state["model"]["vocab"])
            self._added = {t["id"]: t["content"] for t in state["added_tokens"]}
            steps = list(_steps(state.get("decoder")))
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise DataError(
                f"{where}: is damaged, or not a tokenizer.json: {error}. Build the dataset again."
            ) from error
        self._spaces = dict(filter(None, map(_replacement, steps)))
        kinds = {step["type"] for step in steps}
        self._byte_level = "ByteLevel" in kinds
        self._lone_bytes = "ByteFallback" in kinds or bool(state["model"].get("byte_fallback"))

    def token(self, token_id: int) -> Token:
        """Return the token with an id.

        An id that no token has gives the text ``‹no token 99›``, which is shown as a control token.
        """
        if token_id in self._added:
            content = self._added[token_id]
            return Token(content.encode(), bool(content.strip()))
        if token_id not in self._strings:
            return Token(f"‹no token {token_id}›".encode(), True)
        return Token(self._bytes(self._strings[token_id]), False)

    def _bytes(self, string: str) -> bytes:
        if self._byte_level:
            return bytes_of_characters(string)
        if self._lone_bytes and (match := LONE_BYTE.fullmatch(string)):
            return bytes.fromhex(match[1])
        for written, meant in self._spaces.items():
            string = string.replace(written, meant)
        return string.encode()


def _strings(vocab: Mapping[str, int] | Sequence[tuple[str, float]]) -> dict[int, str]:
    """Map ids to tokens. A Unigram model lists (token, score) pairs; others map tokens to ids."""
    if isinstance(vocab, Mapping):
        return {token_id: string for string, token_id in vocab.items()}
    return {token_id: entry[0] for token_id, entry in enumerate(vocab)}


def _steps(decoder: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """Yield the steps of a decoder, which may be a sequence of decoders."""
    if not decoder:
        return
    if decoder["type"] == "Sequence":
        for step in decoder["decoders"]:
            yield from _steps(step)
    else:
        yield decoder


def _replacement(step: dict[str, Any]) -> tuple[str, str] | None:
    """Return the string that a decoder's step replaces, and the new one; None if it does not."""
    if step["type"] == "Metaspace":
        return step["replacement"], " "
    if step["type"] == "Replace" and "String" in step["pattern"]:
        return step["pattern"]["String"], step["content"]
    return None
