"""Keys of records: equal for the same text with the same loss, and for nothing else."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from xxhash import xxh3_64_digest, xxh3_64_intdigest

from sftprep.data.pieces import IMPLICIT_BOS, LITERAL, Piece, Rendered, Section
from sftprep.rows.keys import KeyMaker, TextKeys, keys_of, normalized

TRAINED = True


def piece(text_or_slot: str | int, trained: bool = False) -> Piece:
    """Template text, or a place for a content."""
    is_text = isinstance(text_or_slot, str)
    text, slot = (str(text_or_slot), LITERAL) if is_text else ("", int(text_or_slot))
    return Piece(text, slot, trained, Section.PROMPT)


def keys(*records: tuple[Sequence[Piece], Sequence[str]], normalized: bool = False) -> TextKeys:
    """The keys of records; each has a shape of its own."""
    maker = KeyMaker(lambda shape: records[shape][0], normalized=normalized)
    return maker.keys([Rendered(i, tuple(texts)) for i, (_, texts) in enumerate(records)])


def stretches_key(*texts: str, seed: int = 0) -> int:
    """The key of a record, as the manual defines it."""
    return xxh3_64_intdigest(b"".join(xxh3_64_digest(text.encode()) for text in texts), seed)


CHAT = [piece("Q: "), piece(0), piece("A: "), piece(1, TRAINED), piece("</s>", TRAINED), piece("!")]


def test_the_definition() -> None:
    """The prompt is hashed as it is; the record by the keys of its stretches."""
    found = keys((CHAT, ("é", "ü")))
    assert found.prompt.tolist() == [xxh3_64_intdigest("Q: éA: ".encode())]
    assert found.record.tolist() == [stretches_key("Q: éA: ", "ü</s>", "!")]
    assert (found.normalized, found.normalized_prompt) == (None, None)
    assert found.prompt.dtype == found.record.dtype == np.uint64
    trained_first = [piece(0, TRAINED), piece(1)]
    assert keys((trained_first, ("a", "b"))).record.tolist() == [stretches_key("a", "b", seed=1)]


@given(text=st.text("ab", max_size=6), data=st.data())
def test_the_division_into_pieces_does_not_matter(text: str, data: st.DataObject) -> None:
    """What is the template's and what is the record's plays no part, only text and loss do."""
    flags = data.draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    is_slot = data.draw(st.lists(st.booleans(), min_size=len(text), max_size=len(text)))
    is_slot[:1] = [True] * bool(text)  # a prompt of the template's text alone is none
    characters = list(zip(text, flags, strict=True))
    single = [piece(i, flag) for i, flag in enumerate(flags)]
    mixed = [
        piece(i if s else c, f)
        for i, (s, (c, f)) in enumerate(zip(is_slot, characters, strict=True))
    ]
    found = keys((single, list(text)), (mixed, list(text)))
    assert found.record[0] == found.record[1]
    assert found.prompt[0] == found.prompt[1]


def test_the_loss_is_a_part_of_the_record() -> None:
    """Two rows with the same text are not the same if other text is trained."""
    shapes = [
        [piece(0), piece(1, TRAINED)],
        [piece(0, TRAINED), piece(1)],
        [piece(0, TRAINED), piece(1, TRAINED)],
        [piece(0), piece(1)],
    ]
    found = keys(*((shape, ("a", "b")) for shape in shapes), (shapes[0], ("ab", "")))
    assert len(set(found.record.tolist())) == 5
    assert found.prompt[0] != found.prompt[4]


def test_records_without_a_prompt_have_none_in_common() -> None:
    """If only text of the template precedes what is trained, the record is its own prompt."""
    text = [piece(0, TRAINED)]
    header = [piece("Q: "), piece(0), piece("A: "), piece(1, TRAINED)]
    found = keys((text, ("a",)), (text, ("b",)), (header, ("", "a")), (header, ("", "b")))
    assert found.prompt.tolist() == found.record.tolist()
    assert len(set(found.prompt.tolist())) == 4
    found = keys((header, ("x", "a")), (header, ("x", "b")))
    assert found.prompt[0] == found.prompt[1]


def test_an_implicit_bos_is_no_text() -> None:
    """Whether the tokenizer adds a BOS by itself does not change a key."""
    bos = Piece("<s>", IMPLICIT_BOS, False, Section.KEPT)
    found = keys((CHAT, ("a", "b")), ([bos, *CHAT], ("a", "b")))
    assert (found.prompt[0], found.record[0]) == (found.prompt[1], found.record[1])


def test_many_records_of_few_shapes() -> None:
    """Each record gets the keys that it has alone."""
    shapes = [CHAT, [piece(0), piece(1, TRAINED)]]
    records = [Rendered(i % 2, (f"q{i}", f"a{i}")) for i in range(7)]
    maker = KeyMaker(shapes.__getitem__)
    found = maker.keys(records)
    alone = [maker.keys([record]) for record in records]
    assert found.prompt.tolist() == [one.prompt[0] for one in alone]
    assert found.record.tolist() == [one.record[0] for one in alone]


def test_forget() -> None:
    """After ``forget``, the number of a shape may mean another shape."""
    shapes = [[piece(0), piece("x", TRAINED)]]
    maker = KeyMaker(shapes.__getitem__)
    before = maker.keys([Rendered(0, ("a",))]).record[0]
    shapes[0] = [piece(0), piece("y", TRAINED)]
    maker.forget()
    assert maker.keys([Rendered(0, ("a",))]).record[0] != before


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("Why  is\tit?", "A"), ("why is it?", "a")),
        ((" x", "y "), ("x ", " y")),
        (("Ａ①", "ﬁ"), ("a1", "fi")),
        (("STRASSE", "b"), ("Straße", "b")),
    ],
)
def test_normalized(one: tuple[str, str], other: tuple[str, str]) -> None:
    """Case, compatible forms and white space make no difference; nor does it at either end."""
    shape = [piece(0), piece(1, TRAINED)]
    found = keys((shape, one), (shape, other), (shape, ("z", "z")), normalized=True)
    assert found.normalized is not None
    assert found.normalized_prompt is not None
    assert found.normalized[0] == found.normalized[1] != found.normalized[2]
    assert found.normalized_prompt[0] == found.normalized_prompt[1] != found.normalized_prompt[2]
    assert found.record[0] != found.record[1]


def test_normalized_text() -> None:
    """Outer white space goes, and so do all differences that Unicode calls compatible."""
    assert normalized("\n Ａ\u00a0\u2003b ") == "a b"
    assert normalized("") == ""


def test_keys_of_bytes() -> None:
    """Groups of records have keys of the same kind."""
    assert keys_of([b"a", b""]).tolist() == [xxh3_64_intdigest(b"a"), xxh3_64_intdigest(b"")]
