"""Give a chat template each content in a form that it takes: as text parts, or as one text.

In     a ``Chat`` whose contents may be lists of text parts.
Out    the chat; the parts of a content are joined to one text if the template does not take lists
       of parts from messages of that role. (Many templates write such a list as Python does, or
       leave it out.)
Keeps  parts for templates that take them: these may write parts otherwise than their joined text.

What a template takes depends on the template alone: it is found with small conversations, once for
each role.
"""

from collections.abc import Callable
from typing import Any

from sftprep.data.conversation import Chat
from sftprep.errors import RecordError

Messages = list[dict[str, Any]]
WORD = "qzxw"
PART = {"type": "text", "text": WORD}
EXCHANGE: Messages = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
TRIALS: dict[str, Callable[[Any], Messages]] = {
    "system": lambda content: [{"role": "system", "content": content}, *EXCHANGE],
    "developer": lambda content: [{"role": "developer", "content": content}, *EXCHANGE],
    "user": lambda content: [{"role": "user", "content": content}, EXCHANGE[1]],
    "assistant": lambda content: [EXCHANGE[0], {"role": "assistant", "content": content}],
}
"""Role -> a conversation in which a message of that role has this content."""


class ContentParts:
    """Knows which contents one chat template takes as lists of parts.

    Args:
        render: renders messages with the template.
    """

    def __init__(self, render: Callable[[Messages], str]) -> None:
        self._render = render
        self._takes: dict[str, bool] = {}

    def fitted(self, chat: Chat) -> Chat:
        """Return the chat with each content in a form that the template takes."""
        for message in chat.messages:
            if type(message.get("content")) is list:
                return chat._replace(messages=[self._fitted(message) for message in chat.messages])
        return chat

    def _fitted(self, message: dict[str, Any]) -> dict[str, Any]:
        content, role = message.get("content"), message["role"]
        if not isinstance(content, list):
            return message
        if role not in self._takes:
            self._takes[role] = self._is_taken(role)
        if self._takes[role]:
            return message
        return {**message, "content": "".join(part["text"] for part in content)}

    def _is_taken(self, role: str) -> bool:
        """Return whether the template writes the text of a part, and nothing of its keys."""
        if role not in TRIALS:  # the result of a tool
            return False
        try:
            text = self._render(TRIALS[role]([PART]))
        except RecordError:
            return False
        return WORD in text and "'type'" not in text and '"type"' not in text
