"""Both libraries encode through one interface."""

import signal
from typing import Any

import pytest
from toys import Token, byte_hf, byte_tokenizer

from sftprep.tokenization.backends import (
    BATCH_FROM,
    GigatokenBackend,
    HfBackend,
    is_word_character,
    preload,
    signals_deferred,
)

JSON = byte_tokenizer(merges=[(" ", "b")]).stripped_json()
BOTH = pytest.mark.parametrize("backend", [HfBackend, GigatokenBackend])


@BOTH
def test_one_row_per_text(backend: Any) -> None:
    """Each text is a row of ids, an empty one an empty row."""
    ragged = backend(JSON).encode(["a b", "", "价"])
    rows = [ragged.row(index).tolist() for index in range(3)]
    assert rows == [[97, 256], [], [*"价".encode()]]


@BOTH
def test_no_texts(backend: Any) -> None:
    """No texts give no rows."""
    ragged = backend(JSON).encode([])
    assert (ragged.values.tolist(), ragged.offsets.tolist()) == ([], [0])


@BOTH
def test_many_texts(backend: Any) -> None:
    """Many texts are encoded as one batch, with the ids that each has alone."""
    preload()
    texts = [f"{n} b" * (n % 3) for n in range(BATCH_FROM)]
    found = backend(JSON).encode(texts)
    alone = backend(JSON)
    for index in range(0, BATCH_FROM, 97):
        assert found.row(index).tolist() == alone.encode([texts[index]]).values.tolist()


def test_spans() -> None:
    """HF gives the characters that each token covers; the tokens of one character all cover it."""
    ids, spans = HfBackend(JSON).spans("a b价")
    assert ids.tolist() == [97, 256, *"价".encode()]
    assert spans.tolist() == [[0, 1], [1, 3], [3, 4], [3, 4], [3, 4]]


def test_gigatoken_refuses_what_it_cannot_read() -> None:
    """A file that gigatoken cannot read is an exception, not a wrong result."""
    with pytest.raises(Exception, match=r"tokenizer|JSON|field|model"):
        GigatokenBackend("{}")


def test_signals_wait_until_the_library_has_returned() -> None:
    """A signal handler that raises runs only after the call, and is installed again by then."""
    steps: list[str] = []

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def call() -> None:
        with signals_deferred():
            signal.raise_signal(signal.SIGINT)
            steps.append("the library has returned")

    before = signal.signal(signal.SIGINT, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            call()
        assert steps == ["the library has returned"]
        assert signal.getsignal(signal.SIGINT) is interrupt
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize(
    ("characters", "expected"),
    [
        ("aZ9_é价ßⅧ", True),
        ("\u0301\u0903\u20dd", True),  # combining marks
        ("\u200c\u200d", True),  # joiners
        ("ⓐ🄰٣‿", True),
        (" .-²½\u200b\n\0😀", False),
    ],
)
def test_word_characters(characters: str, expected: bool) -> None:
    """They are those of Unicode, as HF's own tables have them; superscripts are none."""
    assert [is_word_character(c) for c in characters] == [expected] * len(characters)


def test_word_characters_are_those_of_a_tokenizer() -> None:
    """A ``single_word`` token is found next to a character if and only if that is no word's."""
    tokenizer = byte_hf([Token("<w>", single_word=True)])
    token = tokenizer.token_to_id("<w>")
    sampled = [chr(code) for code in range(0x80, 0x3000, 37)]
    found = [token in tokenizer.encode(f"{c}<w>").ids for c in sampled]
    assert found == [token in tokenizer.encode(f"<w>{c}").ids for c in sampled]
    assert found == [not is_word_character(c) for c in sampled]
    assert 100 < sum(found) < len(sampled) - 100
