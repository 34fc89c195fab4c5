"""Records with a text and nothing else."""

from dialogues import conversation, normalize, refused


def test_the_text_is_one_answer() -> None:
    """The whole text is an assistant turn, unchanged."""
    assert normalize("text", {"text": " a\n", "url": "u"}) == conversation(("assistant", " a\n"))


def test_texts_that_are_refused() -> None:
    """An empty text gives nothing to train on; a chat template needs turns."""
    assert refused("text", {"text": ""}).problem == "text is empty: there is nothing to train on"
    error = refused("text", {"text": "a"}, as_chat=True)
    assert (error.reason, error.problem) == (
        "unsupported_text",
        "the record has only text, a text without turns; a chat template writes turns",
    )
