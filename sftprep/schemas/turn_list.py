"""The list of turns that a record holds, in whatever form its entries have.

In     the value of a field: a list of messages, of texts that the user and the assistant say by
       turns, or of entries with a question and its answer; or such a list as JSON text.
Out    a ``TurnList``: an object with a role and a text for each turn, and its place in the record.
Keeps  messages as they are, with all their keys.
Raises RecordError: ``missing_field``, ``wrong_type``, or what ``strict_json`` finds in JSON text.
"""

from typing import Any, NamedTuple

from sftprep.data.conversation import Record
from sftprep.schemas.checks import require, wrong_type
from sftprep.schemas.fields import Fields
from sftprep.schemas.shapes import EXCHANGES, form_of
from sftprep.strict_json import parse_json_text


class TurnList(NamedTuple):
    """The turns of a record."""

    turns: list[Any]  # entries that are not objects are refused later, with their place
    name: str  # the field that holds the list
    role: str  # the key of a turn's role
    text: str  # the key of a turn's text
    places: tuple[str, ...] = ()  # of each turn, if they are not just the list's indexes

    def place(self, index: int) -> str:
        """Return the place of a turn in the record, such as ``messages[3]``."""
        return self.places[index] if self.places else f"{self.name}[{index}]"


def turns_of_field(record: Record, name: str, role: str, text: str, fields: Fields) -> TurnList:
    """Return the turns that a field holds.

    Args:
        record: the record.
        name: the field.
        role: the key of a message's role in the data.
        text: the key of a message's text in the data.
        fields: the names that the data uses; it tells forms of entries apart.
    """
    value = record[name] if name in record else require(record, name, "")
    if isinstance(value, str) and value.lstrip().startswith("["):
        value = parse_json_text(value, name)
    if not isinstance(value, list):
        raise wrong_type(name, value, "a list")
    first = value[0] if value else None
    if isinstance(first, dict) and (role in first or text in first):
        return TurnList(value, name, role, text)
    form = form_of(value, fields)
    if form is None:
        return TurnList(value, name, role, text)
    if isinstance(form, str):
        return _alternating(value, name, role, text)
    if form in EXCHANGES:
        return _exchanges(value, name, role, text, form)
    return TurnList(value, name, *form)


def _alternating(texts: list[Any], name: str, role: str, text: str) -> TurnList:
    turns = []
    for index, entry in enumerate(texts):
        if not isinstance(entry, str):
            raise wrong_type(f"{name}[{index}]", entry, "a string, as the list's other entries")
        turns.append({role: "assistant" if index % 2 else "user", text: entry})
    return TurnList(turns, name, role, text)


def _exchanges(
    entries: list[Any], name: str, role: str, text: str, form: tuple[str, str]
) -> TurnList:
    """Return a user's and an assistant's turn for each entry; other keys belong to the answer."""
    turns, places = [], []
    question, answer = form
    for index, entry in enumerate(entries):
        where = f"{name}[{index}]"
        if not isinstance(entry, dict):
            raise wrong_type(where, entry, "an object")
        rest = {key: value for key, value in entry.items() if key not in form}
        turns += [
            {role: "user", text: require(entry, question, where)},
            {role: "assistant", text: require(entry, answer, where), **rest},
        ]
        places += [f"{where}.{question}", f"{where}.{answer}"]
    return TurnList(turns, name, role, text, tuple(places))
