"""The content of a message: a text, or a list of parts as model providers write them.

In     the value of a message's content field.
Out    a ``Content``: the text or the text parts as they are, and what other parts hold.
Keeps  text parts as they are: a chat template may write them otherwise than their joined text.
Raises RecordError: ``wrong_type``; ``unsupported_content`` for images, sound and other parts that
       are not text, and for parts that are not to be trained: only messages have loss flags.
"""

from typing import Any, NamedTuple

from sftprep.errors import RecordError
from sftprep.schemas.checks import wrong_type
from sftprep.schemas.fields import LOSS_FLAGS
from sftprep.schemas.flags import INVERTED
from sftprep.strict_json import parse_json_text
from sftprep.text import shown

TEXT_PARTS = ("text", "input_text", "output_text")
REASONING_PARTS = ("thinking", "reasoning")
CALL_PARTS = ("tool_call", "tool_use", "function_call")


class Content(NamedTuple):
    """What the content of a message holds."""

    value: str | list[dict[str, Any]] | None  # a text or text parts; None if it was null
    reasoning: str = ""
    calls: tuple[dict[str, Any], ...] = ()  # in the form of ``tool_calls``

    @property
    def text(self) -> str:
        """Return the text, with text parts joined; "" if there is none."""
        if isinstance(self.value, list):
            return "".join(part["text"] for part in self.value)
        return self.value or ""


def read_content(value: object, where: str) -> Content:
    """Return what the content of a message holds.

    Args:
        value: the content.
        where: its place in the record, such as ``messages[3].content``.
    """
    if value is None or isinstance(value, str):
        return Content(value)
    if not isinstance(value, list):
        raise wrong_type(where, value, "a string or a list of text parts")
    texts: list[dict[str, Any]] = []
    reasoning: list[str] = []
    calls: list[dict[str, Any]] = []
    for index, part in enumerate(value):
        place = f"{where}[{index}]"
        if not isinstance(part, dict):
            raise wrong_type(place, part, "an object with type and text")
        if not _FLAGS.isdisjoint(part):
            _refuse_untrained(part, place)
        kind = part.get("type") or "text"
        if kind in TEXT_PARTS:
            texts.append(_text_part(part, place))
        elif kind == "refusal":
            texts.append({"type": "text", "text": _text(part, ("refusal", "text"), place)})
        elif kind in REASONING_PARTS:
            reasoning.append(_text(part, (*REASONING_PARTS, "text", "value", "content"), place))
        elif kind in CALL_PARTS:
            calls.append(_call(part, place))
        else:
            raise RecordError(
                "unsupported_content",
                f"{place} is a part of type {shown(kind)}; only text can be tokenized",
                "Remove records with such parts",
            )
    rest: str | list[dict[str, Any]] = texts if texts or not (reasoning or calls) else ""
    return Content(rest, "".join(reasoning), tuple(calls))


def _refuse_untrained(part: dict[str, Any], where: str) -> None:
    """Refuse a part whose own loss flag says that it is not trained."""
    for name in LOSS_FLAGS:
        if name in part and part[name] in ((1,) if name == INVERTED else (0,)):
            raise RecordError(
                "unsupported_content",
                f"{where}.{name} is {shown(part[name])}; a part of a content has no loss flag of "
                "its own",
                "Set the flag on the message, or split the message",
            )


_FLAGS = frozenset(LOSS_FLAGS)


def _text_part(part: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a text part as it is; one without ``type`` or ``text`` in the form that has both."""
    if part.get("type") == "text" and isinstance(part.get("text"), str):
        return part
    return {"type": "text", "text": _text(part, ("text", "value", "content"), where)}


def _text(part: dict[str, Any], names: tuple[str, ...], where: str) -> str:
    name = next((name for name in names if part.get(name) is not None), names[0])
    if not isinstance(part.get(name), str):
        raise wrong_type(f"{where}.{name}", part.get(name), "a string")
    text: str = part[name]
    return text


def _call(part: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a part that holds a tool call in the form of ``tool_calls``."""
    inner = next((part[kind] for kind in CALL_PARTS if isinstance(part.get(kind), dict)), part)
    if inner is part and part.get("value") is not None:
        inner = _call_of(part["value"], f"{where}.value")
    function = inner.get("function", inner)
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        raise RecordError("missing_field", f"{where} has no function name")
    made = {"name": function["name"]}
    for name in ("arguments", "input", "args"):
        if function.get(name) is not None:
            made["arguments"] = function[name]
            break
    call_id = next((o["id"] for o in (inner, part) if isinstance(o.get("id"), str)), None)
    return {**({"id": call_id} if call_id else {}), "type": "function", "function": made}


def _call_of(value: object, where: str) -> dict[str, Any]:
    """Return the call in the value of a part: an object, or the JSON text of one."""
    if isinstance(value, str):
        value = parse_json_text(value, where)
    if not isinstance(value, dict):
        raise wrong_type(where, value, "an object with name and arguments")
    return value
