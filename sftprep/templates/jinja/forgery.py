"""Refuse records with a text that is rendered without marks and could become a control token.

A text with tracing marks becomes a content, and a content never becomes a control token. Some texts
cannot be marked: the keys of objects, and values that a template compares with its own words. If
the template writes such a text, it becomes part of the template's own text, in which control tokens
are recognized. So a record is refused if such a text contains a control token, or could become one
together with the template text around it.

Raises RecordError: ``control_in_unmarked_text``.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.data.pieces import Piece
from sftprep.errors import RecordError
from sftprep.templates.jinja.tracing import Tracer, keys_of, texts_of


class ForgeryCheck:
    """Checks the texts of records against the tokenizer's control tokens.

    Args:
        controls: the texts of the control tokens.
    """

    def __init__(self, controls: Collection[str]) -> None:
        self._controls = tuple(controls)
        self._first_characters = {control[:1] for control in controls}
        # A template may itself write "<|" and "|>" around a text such as "user".
        self._words = {control.strip("<>|[]｜/ ") for control in controls}

    def check_texts(self, chat: Chat, tracer: Tracer) -> None:
        """Check the texts that were rendered without marks.

        Args:
            chat: the chat.
            tracer: the tracer of its rendering, after it was rendered.
        """
        # If the template writes tool calls as JSON, their keys are inside marks; ``check_keys``
        # finds the keys that are not.
        unmarked = list(tracer.texts_without_marks)
        if not tracer.json_options:
            unmarked += [text for call in _calls(chat) for text in texts_of(call)]
        for text in unmarked:
            if text.strip() in self._words or self._has_control(text):
                raise _forgery()

    def check_keys(self, chat: Chat, pieces: Sequence[Piece]) -> None:
        """Check that the template's own text has no key that contains a control token."""
        literal = "".join(piece.text for piece in pieces)
        for key in keys_of([_calls(chat), chat.tools or []]):
            if self._has_control(key) and key in literal:
                raise _forgery()

    def may_forge(self, chat: Chat) -> bool:
        """Tell whether a text that may stand without marks could become a control token.

        A skeleton that was derived from another record is not used for such a chat.
        """
        calls = _calls(chat)
        if not calls and not chat.tools:
            return False
        unmarked = {*texts_of(calls), *keys_of(chat.tools or [])}
        if any(text.strip() in self._words for text in unmarked):
            return True
        joined = "\0".join(unmarked)
        has_first = any(character in joined for character in self._first_characters)
        return has_first and any(map(self._has_control, unmarked))

    def _has_control(self, text: str) -> bool:
        return any(control in text for control in self._controls)


def _calls(chat: Chat) -> list[Any]:
    return [call for message in chat.messages for call in message.get("tool_calls") or ()]


def _forgery() -> RecordError:
    return RecordError(
        "control_in_unmarked_text",
        "the record has the text of a control token in a field that the chat template writes "
        "unprotected, so the text could become that token",
    )
