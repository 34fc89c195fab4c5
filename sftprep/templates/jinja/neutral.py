"""The neutral form of a chat: its structure, with a placeholder in place of each of its texts.

In     a ``Chat``.
Out    ``Form``: a key that is equal for all chats with the same structure, and the texts that the
       placeholders stand for. ``neutral_chat`` builds a chat from the key alone.
Keeps  in the key: roles, types, the keys of objects, numbers, the white space around each text,
       the think tags in it, empty texts, the train flags, and the record's own template arguments.

What is derived from a neutral chat holds for every chat with the same key, unless the template
looks into the texts. ``watching`` finds that out.

Objects and lists that templates normally write with ``tojson`` only (a call's arguments, a tool's
parameters) are *opaque*: the key does not contain what is in them.
"""

import json
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sftprep.data.conversation import Chat
from sftprep.data.policy import THINK_TAGS, may_think

THINK = re.compile(f"({'|'.join(re.escape(tag) for tags in THINK_TAGS for tag in tags)})")
HIDDEN = "\U000f0001"
"""Stands for text whose characters are not known: that of opaque objects, and all JSON."""
FIRST_PLACEHOLDER = 0xF0010
MOST_TEXTS = 60_000
PRIVATE = re.compile("[\U000f0000-\U000fffff]")
"""The private-use characters that placeholders and hidden text are made of."""
PLACEHOLDER = re.compile("[\U000f0010-\U000fffff]")

TRANSPARENT = ("content", "tool_calls", "function")
"""The keys of the objects and lists that are not opaque, besides messages and tools."""
PLAIN = ("role", "content")
"""The keys of a message that has no more than its role and its text, in their usual order."""
UNCHANGED = ("role", "type")
"""The keys of texts that have no placeholder, because templates compare them."""

Key = tuple[Any, ...]


class OpaqueDict(dict[str, Any]):
    """An object of a neutral chat that stands for any object that is not empty."""


class OpaqueList(list[Any]):
    """A list of a neutral chat that stands for any list that is not empty."""


class Form(NamedTuple):
    """The neutral form of a chat."""

    key: Key
    texts: list[str]  # what each placeholder stands for


def neutral_form(chat: Chat) -> Form:
    """Return the neutral form of a chat."""
    texts: list[str] = []
    messages = _plain_key(chat.messages, texts)
    if not messages:
        texts = []
        messages = _list_key(chat.messages, texts)
    tools = None if chat.tools is None else _list_key(chat.tools, texts)
    arguments = json.dumps(chat.arguments) if chat.arguments else ""
    return Form((messages, tools, chat.train, arguments), texts)


def neutral_chat(key: Key) -> Chat:
    """Return the chat with this key whose texts are placeholders."""
    messages, tools, train, arguments = key
    return Chat(
        _value(messages),
        None if tools is None else _value(tools),
        train,
        0,
        arguments=tuple((name, value) for name, value in json.loads(arguments or "[]")),
    )


def is_neutral(form: Form) -> bool:
    """Tell whether all private-use characters in the key of a form are placeholders."""
    return len(form.texts) < MOST_TEXTS and _private(form.key) == len(form.texts)


def filled_in(text: str, texts: Sequence[str]) -> str | None:
    """Put the texts in place of their placeholders; None if some of the text is hidden."""
    if len(text) == 1 and text >= FIRST_PLACEHOLDERS[0]:  # as most texts with placeholders
        return texts[ord(text) - FIRST_PLACEHOLDER]
    if len(PRIVATE.findall(text)) != len(PLACEHOLDER.findall(text)):
        return None
    return PLACEHOLDER.sub(lambda match: texts[ord(match[0]) - FIRST_PLACEHOLDER], text)


def _plain_key(messages: Sequence[dict[str, Any]], texts: list[str]) -> Key:
    """Return the key of messages that all have a role and a text and no more, as most have.

    It holds the roles and texts by turns; it is empty if a message has anything else.
    """
    key = ["messages"]
    for message in messages:
        if tuple(message) != PLAIN:
            return ()
        content = message["content"]
        if type(content) is not str:
            return ()
        key += message["role"], _text_key(content, texts)
    return tuple(key)


def _list_key(values: Sequence[Any], texts: list[str]) -> Key:
    """Return the key of a list whose items are not opaque."""
    return ("list", *[_item_key(value, texts) for value in values])


def _item_key(value: Any, texts: list[str]) -> Key | str:
    return _dict_key(value, texts) if isinstance(value, dict) else _key("", value, texts)


def _dict_key(value: dict[str, Any], texts: list[str]) -> Key:
    key: list[Any] = ["dict"]
    for name, entry in value.items():
        key.append(name)
        if not isinstance(entry, str):
            key.append(_key(name, entry, texts))
        elif name in UNCHANGED:
            key.append(entry)
        else:
            key.append(_text_key(entry, texts))
    return tuple(key)


def _key(name: str, value: Any, texts: list[str]) -> Key | str:
    """Return the key of a value that an object holds under this name."""
    if isinstance(value, str):
        return _text_key(value, texts)
    if isinstance(value, dict | list) and value and name not in TRANSPARENT:
        return ("opaque dict",) if isinstance(value, dict) else ("opaque list",)
    if isinstance(value, dict):
        return _dict_key(value, texts)
    if isinstance(value, list):
        return _list_key(value, texts)
    return (type(value).__name__, repr(value))  # 1, 1.0 and True are equal, but written differently


def _text_key(text: str, texts: list[str]) -> str:
    """Return a text with a placeholder for each of its segments."""
    if not may_think(text):
        count = len(texts)
        if text and count < len(FIRST_PLACEHOLDERS) and len(text.strip()) == len(text):
            texts.append(text)
            return FIRST_PLACEHOLDERS[count]
        return _segment_key(text, texts)
    segments = THINK.split(text)  # at odd indexes: the think tags
    return "".join([s if index % 2 else _segment_key(s, texts) for index, s in enumerate(segments)])


def _segment_key(text: str, texts: list[str]) -> str:
    core = text.strip()
    if not core:
        return text
    placeholder = _placeholder(len(texts))
    texts.append(core)
    if len(core) == len(text):
        return placeholder
    lead = len(text) - len(text.lstrip())
    return f"{text[:lead]}{placeholder}{text[lead + len(core) :]}"


def _placeholder(number: int) -> str:
    return chr(FIRST_PLACEHOLDER + min(number, MOST_TEXTS))


FIRST_PLACEHOLDERS = tuple(map(_placeholder, range(256)))


def _value(key: Key | str) -> Any:
    """Return the value that a key stands for."""
    if isinstance(key, str):
        return key
    kind, *entries = key
    return VALUES[kind](entries) if kind in VALUES else None


VALUES: dict[str, Callable[[list[Any]], Any]] = {
    "dict": lambda entries: {
        name: _value(entry) for name, entry in zip(entries[::2], entries[1::2], strict=True)
    },
    "list": lambda entries: [_value(entry) for entry in entries],
    "messages": lambda entries: [
        dict(zip(PLAIN, message, strict=True))
        for message in zip(entries[::2], entries[1::2], strict=True)
    ],
    "opaque dict": lambda entries: OpaqueDict({HIDDEN: 0}),
    "opaque list": lambda entries: OpaqueList([HIDDEN]),
    "bool": lambda entries: entries[0] == "True",
    "int": lambda entries: int(entries[0]),
    "float": lambda entries: float(entries[0]),
}
"""How a value is built from its key, by the first item of the key."""


def _private(key: Any) -> int:
    """Count the private-use characters in a key."""
    if isinstance(key, str):
        return len(PRIVATE.findall(key))
    return sum(map(_private, key)) if isinstance(key, tuple) else 0
