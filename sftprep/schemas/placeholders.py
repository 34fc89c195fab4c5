"""Refuse texts in which a placeholder stands for a picture, sound or a video.

In     a ``Conversation`` or a ``Chat``; the placeholders that are not meant as text.
Raises RecordError: ``unsupported_content``, for a user's text that begins or ends with one of them,
       as data for models that see pictures has them.

Anywhere else, such a text may be part of a program or a page, and stays text.
"""

from collections.abc import Collection, Sequence

from sftprep.data.conversation import Chat, Conversation, Dialogue
from sftprep.errors import RecordError

PLACEHOLDERS = ("<image>", "<video>", "<audio>")


def placeholders(plain_text: Collection[str]) -> list[str]:
    """Return the placeholders, without those that ``--plain-text`` says are text.

    >>> placeholders(["<video>"])
    ['<image>', '<audio>']
    """
    return [text for text in PLACEHOLDERS if text not in plain_text]


def refuse_placeholders(dialogue: Dialogue, marks: Sequence[str]) -> None:
    """Refuse a dialogue in which one of these placeholders stands for something that is no text."""
    for content in _user_texts(dialogue):
        if "<" not in content:  # as most contents
            continue
        text = content.strip()
        for mark in marks:
            begins_or_ends = text.startswith(mark) or text.endswith(mark)
            if begins_or_ends and mark.replace("<", "</") not in text:
                raise RecordError(
                    "unsupported_content",
                    f"a user's text has {mark} at its start or end, where it stands for what is no "
                    "text; only text can be tokenized",
                    f"Remove such records, or pass --plain-text '{mark}' if it is meant as text",
                )


def _user_texts(dialogue: Dialogue) -> list[str]:
    texts: list[str] = []
    if isinstance(dialogue, Conversation):
        for message in dialogue.messages:
            if message.role == "user":
                texts += message.content, message.input
    elif isinstance(dialogue, Chat):
        for chat_message in dialogue.messages:
            if chat_message["role"] == "user":
                content = chat_message.get("content")
                if isinstance(content, str):
                    texts.append(content)
                elif isinstance(content, list):
                    texts += [part["text"] for part in content if isinstance(part["text"], str)]
    return texts
