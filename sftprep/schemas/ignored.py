"""Account for the parts of records that are not read, and for what is read as something else.

In     records of one shape that were used.
Out    counts: fields that have no meaning here; roles that are written in another way; loss flags.
Keeps  to whole key sets: records are grouped by their keys, because most records of a file have the
       same ones.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from itertools import chain
from operator import itemgetter
from typing import Any, NamedTuple

from sftprep.data.conversation import Record
from sftprep.schemas.chat_messages import REASONING
from sftprep.schemas.extras import ARGUMENTS, SINGLE_ARGUMENTS
from sftprep.schemas.fields import LOSS_FLAGS, Fields
from sftprep.schemas.one_of import is_empty
from sftprep.schemas.roles import CALL
from sftprep.schemas.turn_list import TurnList
from sftprep.schemas.turns import CALLS

FLAGS = frozenset(LOSS_FLAGS)
MESSAGE_KEYS = FLAGS.union(CALLS, REASONING)
"""The keys of a message that are read, besides its role and its text."""
PLAIN_NAMES = frozenset(("system", "user", "assistant", "tool", "human", "gpt"))
SHAREGPT = {"user": "human", "assistant": "gpt"}
"""Role -> the other name that is too common to be worth a count."""
WHOLE_MESSAGES = r"\bmessages?\s*\|\s*(tojson|string|items)|\bmessage\.items\b"
ReadsKey = Callable[[str], bool]
"""Returns whether a template may read a variable or a key of a message."""


def reader_of(source: str) -> ReadsKey:
    """Return which names a chat template may read: those that are words of its text.

    A template that writes whole messages reads all of their keys.
    """
    if re.search(WHOLE_MESSAGES, source):
        return lambda _: True
    return frozenset(re.findall(r"\w+", source)).__contains__


class Understood(NamedTuple):
    """How the records of a block were understood."""

    ignored: Counter[str]  # field that is not read -> records; ``messages[].field`` -> messages
    roles: Counter[str]  # ``human as user`` -> messages
    flags: Counter[str]  # loss flag -> records and messages that have it
    fields: Counter[str]  # ``context as input`` -> records


def unread_fields(
    key_sets: Mapping[tuple[str, ...], int],
    known: Callable[[tuple[str, ...]], frozenset[str]],
) -> Counter[str]:
    """Count the fields of records that are not read.

    Args:
        key_sets: the keys of records, with how many records have just these.
        known: returns which fields of a record with these keys are read.
    """
    found: Counter[str] = Counter()
    for keys, count in key_sets.items():
        read = known(keys)
        found.update({name: count for name in keys if name not in read})
    return found


def are_plain(records: Iterable[Record], name: str, role: str) -> bool:
    """Return whether the messages of some records surely have nothing that is to be counted.

    They have a role and a text and no more, and the names of roles are common ones. The check takes
    a small part of the time that reading the records takes.

    Args:
        records: the records.
        name: the field that holds the list of messages.
        role: the key of a message's role.
    """
    try:
        turns = list(chain.from_iterable(map(itemgetter(name), records)))
        return set(map(len, turns)) == {2} and PLAIN_NAMES.issuperset(map(itemgetter(role), turns))
    except (KeyError, TypeError):  # messages in another form
        return False


def understood_turns(
    lists: Iterable[TurnList], roles: Mapping[str, str], reads: ReadsKey | None
) -> Understood:
    """Count what is not read in the messages of some records, and what is read by another name.

    Args:
        lists: the lists of turns.
        roles: what each name of a role means.
        reads: which keys of a message the chat template may read; None if there is none.
    """
    flags: Counter[str] = Counter()
    names: Counter[Any] = Counter()
    key_sets: Counter[tuple[str, str, str, tuple[str, ...]]] = Counter()
    for found in lists:
        turns = [turn for turn in found.turns if isinstance(turn, dict)]
        names.update([turn.get(found.role) for turn in turns])
        for turn in turns:
            if len(turn) == 2:  # no more than role and text
                continue
            key_sets[found.name, found.role, found.text, tuple(turn)] += 1
            flags.update(key for key in turn.keys() & FLAGS if turn[key] is not None)
    ignored: Counter[str] = Counter()
    for (name, role, text, keys), count in key_sets.items():
        for key in keys:
            is_read = key in (role, text) or key in MESSAGE_KEYS or (reads and reads(key))
            if not is_read:
                ignored[f"{name}[].{key}"] += count
    return Understood(ignored, _other_names(names, roles, reads is None), flags, Counter())


def synonyms_read(records: Iterable[Record], fields: Fields, beside: Iterable[str]) -> Counter[str]:
    """Count the fields with a value that were read under another name than their own.

    Args:
        records: the records.
        fields: the names that the data uses.
        beside: the canonical fields that were read.
    """
    meaning = {
        name: canonical for canonical in beside for name in fields.names(canonical)
        if name != canonical
    }  # fmt: skip
    found: Counter[str] = Counter()
    for record in records:
        for name in meaning.keys() & record.keys():
            if not (is_empty(record[name]) or isinstance(record[name], bool)):
                found[f"{name} as {meaning[name]}"] += 1
    return found


def unread_arguments(records: Iterable[Record], reads: ReadsKey) -> Counter[str]:
    """Count the arguments for the chat template that it never reads."""
    found: Counter[str] = Counter()
    for record in records:
        given = record.get(ARGUMENTS)
        if isinstance(given, dict):
            names = (name for name, value in given.items() if value is not None)
            found.update(f"{ARGUMENTS}.{name}" for name in names if not reads(name))
        single = (name for name in SINGLE_ARGUMENTS if record.get(name) is not None)
        found.update(name for name in single if not reads(name))
    return found


def _other_names(
    names: Mapping[Any, int], roles: Mapping[str, str], is_plain: bool
) -> Counter[str]:
    """Return the names of roles that are not the roles' own, with what they were read as."""
    found: Counter[str] = Counter()
    for name, count in names.items():
        role = roles.get(name) or roles.get(str(name).strip().lower())
        if is_plain and role == "developer":
            role = "system"
        if role is not None and name not in (role, SHAREGPT.get(role)):
            found[f"{name} as {'tool calls' if role == CALL else role}"] += count
    return found
