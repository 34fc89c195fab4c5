"""Checks that several schemas share, such as that a field is present and has the right type.

Raises RecordError: ``missing_field``, ``wrong_type``, ``unknown_role``, ``empty_completion``. Each
       message names the place in the record, such as ``messages[3].role``, and the value found.
"""

import shlex
from collections.abc import Collection, Mapping, Sequence

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.schemas.roles import ROLES
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
    value = require(record, name, where)
    raise wrong_type(f"{where}.{name}" if where else name, value, "a string")


def require_completion(text: str, where: str) -> None:
    """Refuse an empty completion."""
    if not text:
        raise RecordError("empty_completion", f"{where} is empty: there is nothing to train on")


def require_role(turn: object, where: str, field: str, roles: Mapping[str, str]) -> str:
    """Return what the role of a turn means.

    Args:
        turn: an entry of the list of turns; it must be an object.
        where: the turn's place in the record.
        field: the name of the role's field in the data.
        roles: what each name of a role means. Names are also found in lower case.
    """
    if not isinstance(turn, dict):
        raise wrong_type(where, turn, "an object")
    name = require_text(turn, field, where)
    role = roles.get(name) or roles.get(name.strip().lower())
    if role is None:
        raise RecordError(
            "unknown_role",
            f"{where}.{field} is {shown(name)}; expected {alternatives(ROLES)}",
            f"Fix the record, or say what it means, e.g. --role {shlex.quote(name)}=user",
        )
    return role


def wrong_type(where: str, value: object, expected: str) -> RecordError:
    """Return the error for a value of another type than expected."""
    return RecordError("wrong_type", f"{where} is {shown(value)}; expected {expected}")


def kept_turns(roles: Sequence[str], last: Collection[str]) -> int:
    """Return how many turns there are up to the last one that is trained; all if none is.

    Args:
        roles: the roles of the turns.
        last: the roles of turns that are trained.
    """
    return next((n for n in range(len(roles), 0, -1) if roles[n - 1] in last), len(roles))


def require_last(name: str, last_role: str, allowed: Collection[str]) -> None:
    """Refuse a list of turns whose last turn has a role that is not trained.

    Args:
        name: the name of the field that holds the list in the data.
        last_role: the role of the last turn.
        allowed: the roles that may come last; ``assistant`` is one of them.
    """
    if last_role not in allowed:
        raise RecordError(
            "bad_turn_order",
            f"{name} ends with a {last_role} message; expected an "
            f"{alternatives(sorted(allowed))} message to train on",
            "Add it, or pass --on-no-answer cut to leave out the turns after the last answer",
        )


def found_fields(record: Record) -> str:
    """Return the names of a record's first eight fields, for a message; "" if it has none."""
    return ", ".join(map(shown, list(record)[:8]))


def require(record: Record, name: str, where: str) -> object:
    """Return the value of a field that must be there.

    Args:
        record: the record, or an object inside it.
        name: the field's name in the data.
        where: the object's place in the record; "" for the record itself.
    """
    if name not in record:
        place = where or "the record"
        found = found_fields(record) or "nothing"
        raise RecordError("missing_field", f"{place} has no field {shown(name)}; found {found}")
    return record[name]
