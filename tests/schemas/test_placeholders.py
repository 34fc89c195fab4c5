"""Placeholders for pictures in the text of users."""

import pytest
from dialogues import assistant, chat, normalize, user

from sftprep.errors import RecordError
from sftprep.schemas.placeholders import refuse_placeholders

MARKS = ["<image>", "<video>"]


@pytest.mark.parametrize(
    "text", ["<image>\nWhat?", "What is this?\n<image>", " <video> ", "<image>"]
)
def test_a_text_that_begins_or_ends_with_one(text: str) -> None:
    """The record is refused in both forms, with the flag that says that text is meant."""
    parts = [{"type": "text", "text": text}]
    mark = "<video>" if "video" in text else "<image>"
    for dialogue in (
        normalize("messages", {"messages": [user(text), assistant("a")]}),
        normalize("instruction", {"instruction": "q", "input": text, "output": "a"}),
        chat("messages", {"messages": [user(text), assistant("a")]}),
        chat("messages", {"messages": [{"role": "user", "content": parts}, assistant("a")]}),
    ):
        with pytest.raises(RecordError) as caught:
            refuse_placeholders(dialogue, MARKS)
        assert caught.value.reason == "unsupported_content"
        assert caught.value.problem == (
            f"a user's text has {mark} at its start or end, where it stands for what is no text; "
            "only text can be tokenized"
        )
        assert caught.value.cure == (
            f"Remove such records, or pass --plain-text '{mark}' if it is meant as text"
        )


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        ("<image>a.png</image>", "a"),
        ("What does the tag <image> mean?", "a"),
        ("What?", "<image>"),
        ("<audio>", "a"),  # not looked for: it is meant as text
    ],
)
def test_other_texts_stay_texts(question: str, answer: str) -> None:
    """Inside a text, in an answer, or with its closing tag, it is text."""
    record = {"messages": [user(question), assistant(answer)]}
    refuse_placeholders(normalize("messages", record), MARKS)
    refuse_placeholders(chat("messages", record), MARKS)
