"""Refuse texts in which a placeholder stands for a picture, sound or a video.

In     a ``Conversation`` or a ``Chat``; the placeholders that its block of input holds somewhere.
Raises RecordError: ``unsupported_content``, for a user's text that begins or ends with one of them,
       as data for models that see pictures has them.

Anywhere else, such a text may be part of a program or a page, and stays text.
"""

import re
from collections.abc import Iterator, Sequence

from sftprep.data.conversation import Chat, Conversation, Dialogue
from sftprep.errors import RecordError

PLACEHOLDERS = ("<image>", "<video>", "<audio>")
# One search for all of them, which skips from one "<" to the next, is quicker than one for each.
ANY = re.compile(rb"<(?:image|video|audio)>")


def placeholders_in(data: bytes, plain_text: Sequence[str]) -> list[str]:
    """Return the placeholders that occur in raw input, without those that are meant as text.

    Args:
        data: a block of input.
        plain_text: what ``--plain-text`` says is text.
    """
    if ANY.search(data) is None:
        return []
    wanted = (text for text in PLACEHOLDERS if text not in plain_text)
    return [text for text in wanted if text.encode() in data]


def refuse_placeholders(dialogue: Dialogue, placeholders: Sequence[str]) -> None:
    """Refuse a dialogue in which one of these placeholders stands for something that is no text."""
    for content in _user_texts(dialogue):
        text = content.strip()
        for mark in placeholders:
            begins_or_ends = text.startswith(mark) or text.endswith(mark)
            if begins_or_ends and mark.replace("<", "</") not in text:
                raise RecordError(
                    "unsupported_content",
                    f"a user's text has {mark} at its start or end, where it stands for what is no "
                    "text; only text can be tokenized",
                    f"Remove such records, or pass --plain-text '{mark}' if it is meant as text",
                )


def _user_texts(dialogue: Dialogue) -> Iterator[str]:
    if isinstance(dialogue, Conversation):
        for message in dialogue.messages:
            if message.role == "user":
                yield message.content
                yield message.input
    elif isinstance(dialogue, Chat):
        for chat_message in dialogue.messages:
            content = chat_message.get("content")
            if chat_message["role"] == "user":
                parts = content if isinstance(content, list) else [{"text": content}]
                yield from (part["text"] for part in parts if isinstance(part["text"], str))
