"""Tools and tool calls of a record, in the form that chat templates take.

In     ``tools`` or ``functions`` of a record; ``tool_calls`` or ``function_call`` of a message; the
       text of a turn that is a call. Each may be JSON text.
Out    a list of tools; a list of calls, each as ``{"type": "function", "function": {...}}``.
Keeps  tools as they are, with or without a wrapper; arguments as they are, as object or JSON text.
Raises RecordError: ``missing_field``, ``wrong_type``, or what ``strict_json`` finds in JSON text.
"""

from typing import Any

from sftprep.errors import RecordError
from sftprep.schemas.checks import wrong_type
from sftprep.strict_json import parse_json_text


def read_tools(value: object, where: str) -> list[Any] | None:
    """Return the tools that a field holds; None if it says nothing of tools.

    Args:
        value: a list of objects, or such a list as JSON text. An empty list is kept.
        where: the field.
    """
    if isinstance(value, str):
        value = parse_json_text(value, where) if value.strip() else None
    if value is None or value == {}:
        return None
    if not isinstance(value, list) or not all(isinstance(tool, dict) for tool in value):
        raise wrong_type(where, value, "a list of objects, or such a list as JSON text")
    return value


def read_calls(value: object, where: str) -> list[dict[str, Any]]:
    """Check the tool calls of a message; return them without the keys whose value is null."""
    if isinstance(value, str) and value.strip():
        value = parse_json_text(value, where)
    if not isinstance(value, list):
        raise wrong_type(where, value, "a list")
    calls = []
    for index, call in enumerate(value):
        place = f"{where}[{index}]"
        if not isinstance(call, dict):
            raise wrong_type(place, call, "an object")
        kept = {key: entry for key, entry in call.items() if entry is not None}
        if "function" in kept:
            kept["function"] = _function(kept["function"], place)
        else:
            kept = _function(kept, place)
        calls.append(kept)
    return calls


def read_function_call(value: object, where: str) -> list[dict[str, Any]]:
    """Return the call in a message's ``function_call``, the predecessor of ``tool_calls``."""
    if isinstance(value, str):
        value = parse_json_text(value, where)
    return [{"type": "function", "function": _function(value, where)}]


def read_call_text(text: str, where: str) -> list[dict[str, Any]]:
    """Return the calls that the text of a turn holds: one, or a list of them, as JSON."""
    value = parse_json_text(text, where)
    functions = value if isinstance(value, list) else [value]
    calls = [
        function
        if isinstance(function, dict) and "function" in function
        else {"type": "function", "function": function}
        for function in functions
    ]
    return read_calls(calls, where)


def _function(value: object, where: str) -> dict[str, Any]:
    """Check a function's name and arguments; return it without arguments that are null."""
    if not isinstance(value, dict):
        raise wrong_type(where, value, "an object")
    if not isinstance(value.get("name"), str):
        raise RecordError("missing_field", f"{where} has no function name")
    if "arguments" in value and value["arguments"] is None:
        value = {key: entry for key, entry in value.items() if key != "arguments"}
    if not isinstance(value.get("arguments", {}), dict | str):
        raise wrong_type(f"{where}.arguments", value["arguments"], "an object or JSON text")
    return value
