"""The tokens that stop a model are read from its ``generation_config.json``."""

import pytest

from sftprep.errors import TokenizerError
from sftprep.tokenization.generation_config import stop_ids


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ('{"eos_token_id": 5}', [5]),
        ('{"eos_token_id": [7, 5, 7]}', [7, 5, 7]),
        ('{"eos_token_id": []}', []),
        ('{"eos_token_id": null}', []),
        ('{"bos_token_id": 1}', []),
    ],
)
def test_ids(text: str, ids: list[int]) -> None:
    """``eos_token_id`` is an id, a list of ids, or missing."""
    assert stop_ids(text.encode(), "model") == ids


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"{", "is not valid JSON: "),
        (b"\xff", "is not valid JSON: "),
        (b"[" * 100_000, "is not valid JSON: "),
        (b"[5]", "holds a list of 1 item; expected an object. Correct the file."),
        (
            b'{"eos_token_id": "</s>"}',
            "has eos_token_id '</s>'; expected an id or a list of ids. Correct the file.",
        ),
        (
            b'{"eos_token_id": true}',
            "has eos_token_id true; expected an id or a list of ids. Correct the file.",
        ),
        (
            b'{"eos_token_id": [1, 2.5]}',
            "has eos_token_id a list of 2 items; expected an id or a list of ids.",
        ),
    ],
)
def test_what_is_not_understood_is_refused(data: bytes, problem: str) -> None:
    """A file that does not say for certain what stops the model is an error that shows it."""
    with pytest.raises(TokenizerError) as caught:
        stop_ids(data, "model")
    assert str(caught.value).startswith(f"tokenizer 'model': its generation_config.json {problem}")
