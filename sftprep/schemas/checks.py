"""Checks that several schemas share, such as that a field is present and has the right type.

Raises RecordError: ``missing_field``, ``wrong_type``, ``unknown_role``, ``empty_completion``. Each
       message names the place in the record, such as ``messages[3].role``, and the value found.
"""

from collections.abc import Collection
from typing import Any

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.text import alternatives, shown


def require_text(record: Record, name: str, where: str = "") -> str:
    """Return a field that must be a string.

    Args:
        record: the record, or an object inside it.
        name: the field's name in the data.
        where: the object's place in the record, such as ``messages[3]``; "" for the record itself.
    """
    value = record.get(name)
    if type(value) is str:
        return value
    value = _require(record, name, where)
    raise wrong_type(f"{where}.{name}" if where else name, value, "a string")


def optional_text(record: Record, name: str) -> str:
    """Return a field that must be a string if it is there; "" if it is missing or null."""
    value = record.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise wrong_type(name, value, "a string")
    return value


def require_list(record: Record, name: str) -> list[Any]:
    """Return a field that must be a list."""
    value = _require(record, name, "")
    if not isinstance(value, list):
        raise wrong_type(name, value, "a list")
    return value


def require_completion(text: str, where: str) -> None:
    """Refuse an empty completion."""
    if not text:
        raise RecordError("empty_completion", f"{where} is empty: there is nothing to train on")


def require_role(turn: object, where: str, field: str, roles: Collection[str]) -> str:
    """Return the role of a turn, which must be an object with one of the given roles.

    Args:
        turn: an entry of the list of turns.
        where: the turn's place in the record.
        field: the name of the role's field in the data.
        roles: the roles that are accepted, as the data writes them.
    """
    if not isinstance(turn, dict):
        raise wrong_type(where, turn, "an object")
    role = require_text(turn, field, where)
    if role not in roles:
        raise RecordError(
            "unknown_role", f"{where}.{field} is {shown(role)}; expected {alternatives(roles)}"
        )
    return role


def train_flag(turn: Record, where: str) -> bool | None:
    """Return what the turn's ``train`` or ``weight`` says about training on it.

    Returns:
        True or False as the record says; None if it says nothing, so that ``--train-on`` decides.
    """
    train = turn.get("train")
    if train is not None and not isinstance(train, bool):
        raise wrong_type(f"{where}.train", train, "true or false")
    weight = turn.get("weight")
    if weight is None:
        return train
    if not isinstance(weight, int | float) or isinstance(weight, bool) or weight not in {0, 1}:
        raise wrong_type(f"{where}.weight", weight, "0 or 1")
    if train is not None and train != bool(weight):
        raise RecordError(
            "wrong_type",
            f"{where} has train {shown(train)} and weight {shown(weight)}, which contradict each "
            "other",
        )
    return bool(weight)


def wrong_type(where: str, value: object, expected: str) -> RecordError:
    """Return the error for a value of another type than expected."""
    return RecordError("wrong_type", f"{where} is {shown(value)}; expected {expected}")


def missing_answer(name: str, last_role: str) -> RecordError:
    """Return the error for a list of turns whose last turn is not the assistant's.

    Args:
        name: the name of the field that holds the list in the data.
        last_role: the role of the last turn.
    """
    return RecordError(
        "bad_turn_order",
        f"{name} ends with a {last_role} message; expected an assistant message to train on",
    )


def found_fields(record: Record) -> str:
    """Return the names of a record's first eight fields, for a message; "" if it has none."""
    return ", ".join(map(shown, list(record)[:8]))


def _require(record: Record, name: str, where: str) -> object:
    if name not in record:
        place = where or "the record"
        found = found_fields(record) or "nothing"
        raise RecordError("missing_field", f"{place} has no field {shown(name)}; found {found}")
    return record[name]
