"""Make keys of 64 bits for the texts of records, so that equal ones are found without the texts.

In     rendered records, before truncation.
Out    ``TextKeys``: for each record, a key of its prompt and one of its whole text, and on request
       both for the text with small differences removed.
Keeps  the keys a function of the rendered text and of where the loss turns on and off in it. They
       do not depend on how the text is divided into pieces, on the tokenizer, or on other records.

A record's *stretches* are its texts that are trained and those that are not, by turns. The key of a
stretch is the XXH3 hash of its UTF-8. The prompt is the stretch before the first trained one. The
record's key is the XXH3 hash of the keys of its stretches, 8 bytes each, most significant first,
with seed 1 if the first one is trained. A record has a prompt only if a content is in it; otherwise
the key of its prompt is the record's own: it has no prompt in common with another.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby, repeat
from typing import NamedTuple

import numpy as np
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from sftprep.data.pieces import IMPLICIT_BOS, Piece, Rendered
from sftprep.data.provenance import Keys
from sftprep.rows.layout import Fragment, column_of, merged_fragments

Change = Callable[[str], str]
"""Removes small differences from a text."""


class TextKeys(NamedTuple):
    """The keys of records."""

    prompt: Keys
    record: Keys
    normalized_prompt: Keys | None = None
    normalized: Keys | None = None


def keys_of(values: Sequence[bytes]) -> Keys:
    """Return the XXH3 hash of each of some values."""
    return np.fromiter(map(xxh3_64_intdigest, values), np.uint64, len(values))


class _Shape(NamedTuple):
    """The stretches of all records of a shape."""

    stretches: tuple[tuple[Fragment, ...], ...]
    starts_trained: bool


class KeyMaker:
    """Makes the keys of records, and remembers the stretches of their shapes.

    Args:
        pieces: returns the pieces of a shape.
        normalized: whether the keys of the normalized texts are wanted too.
    """

    def __init__(
        self, pieces: Callable[[int], Sequence[Piece]], *, normalized: bool = False
    ) -> None:
        self._pieces = pieces
        self._normalized = normalized
        self._shapes: dict[int, _Shape] = {}

    def forget(self) -> None:
        """Forget all shapes: from now on, the renderer's shape numbers mean other shapes."""
        self._shapes.clear()

    def keys(self, rendered: Sequence[Rendered]) -> TextKeys:
        """Return the keys of these records."""
        columns = np.zeros((4 if self._normalized else 2, len(rendered)), np.uint64)
        shapes = [record.shape for record in rendered]
        numbers = set(shapes)
        for number in numbers:
            rows: list[int] | slice = slice(None)
            own = rendered
            if len(numbers) > 1:
                rows = [index for index, shape in enumerate(shapes) if shape == number]
                own = [rendered[index] for index in rows]
            columns[:, rows] = self._keys(self._shape(number), [r.contents for r in own])
        return TextKeys(*columns)

    def _shape(self, number: int) -> _Shape:
        if number not in self._shapes:
            pieces = [p for p in self._pieces(number) if p.slot != IMPLICIT_BOS]
            groups = [(key, list(group)) for key, group in groupby(pieces, lambda p: p.trained)]
            stretches = tuple(
                merged_fragments(p.slot if p.slot >= 0 else p.text for p in group)
                for _, group in groups
            )
            self._shapes[number] = _Shape(stretches, bool(groups) and groups[0][0])
        return self._shapes[number]

    def _keys(self, shape: _Shape, contents: Sequence[tuple[str, ...]]) -> list[Keys]:
        """Return the keys of the records of a shape, in the order of ``TextKeys``."""
        columns = tuple(zip(*contents, strict=True))
        texts = [column_of(s, columns, len(contents)) for s in shape.stretches]
        if not self._normalized:
            return _hashed(shape, texts, len(contents), str)
        kept = [list(column) for column in texts]
        return [
            *_hashed(shape, kept, len(contents), str),
            *_hashed(shape, kept, len(contents), normalized),
        ]


def _hashed(
    shape: _Shape, columns: Sequence[Iterable[str]], count: int, change: Change
) -> list[Keys]:
    """Return the keys of the prompts and of the records.

    Args:
        shape: the shape of the records.
        columns: for each stretch, its text in each record.
        count: how many records there are.
        change: what is done to each text.
    """
    keys: list[Sequence[bytes]] = []
    for fragments, column in zip(shape.stretches, columns, strict=True):
        if all(isinstance(fragment, str) for fragment in fragments):
            text = "".join(str(fragment) for fragment in fragments)
            keys.append([xxh3_64_digest(change(text).encode())] * count)
        else:
            texts = column if change is str else map(change, column)
            keys.append(list(map(xxh3_64_digest, map(str.encode, texts))))
    joined = map(b"".join, zip(*keys, strict=True)) if keys else repeat(b"", count)
    seeds = repeat(int(shape.starts_trained))
    records = np.fromiter(map(xxh3_64_intdigest, joined, seeds), np.uint64, count)
    if shape.starts_trained or not keys:
        return [records, records]
    prompts = np.frombuffer(b"".join(keys[0]), ">u8").astype(np.uint64)
    own_text = "".join(f for f in shape.stretches[0] if isinstance(f, str))
    without = np.uint64(xxh3_64_intdigest(change(own_text).encode()))
    return [np.where(prompts == without, records, prompts), records]


def normalized(text: str) -> str:
    r"""Return a text in the form NFKC, in lower case, and with single spaces as white space.

    >>> normalized(" Ａ \n b")
    'a b'
    """
    text = text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()
    return " ".join(text.split())
