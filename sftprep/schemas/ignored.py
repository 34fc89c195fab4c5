"""Account for the parts of records that are not read, and for what is read as something else.

In     records of one shape that were used.
Out    counts: fields that have no meaning here; roles that are written in another way; loss flags.
       For each of them, which records are counted.
Keeps  to whole key sets: records are grouped by their keys, because most records of a file have the
       same ones.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
    # reason, such as ``ignored_field:id`` or ``role:human as user`` -> the numbers of the records
    holders: dict[str, set[int]]

    @classmethod
    def nothing(cls) -> "Understood":
        """Return counts of nothing."""
        return cls(Counter(), Counter(), Counter(), Counter(), {})

    def note(self, reason: str, records: Iterable[int]) -> None:
        """Note which records are counted for a reason."""
        self.holders.setdefault(reason, set()).update(records)

    def ignore(self, name: str, records: Collection[int]) -> None:
        """Count a field of these records that is not read."""
        if records:
            self.ignored[name] += len(records)
            self.note(f"ignored_field:{name}", records)


def count_unread_fields(
    records: Sequence[Record],
    key_sets: Mapping[tuple[str, ...], int],
    known: Callable[[tuple[str, ...]], frozenset[str]],
    found: Understood,
) -> None:
    """Count the fields of records that are not read.

    Args:
        records: the records.
        key_sets: the keys of records, with how many records have just these.
        known: returns which fields of a record with these keys are read.
        found: receives the counts.
    """
    unread = {keys: [name for name in keys if name not in known(keys)] for keys in key_sets}
    unread = {keys: names for keys, names in unread.items() if names}
    numbers: dict[tuple[str, ...], Sequence[int]] = {}
    if len(key_sets) == 1:
        numbers = dict.fromkeys(unread, range(len(records)))
    elif unread:
        of_keys: dict[tuple[str, ...], list[int]] = {keys: [] for keys in unread}
        for number, record in enumerate(records):
            if (keys := tuple(record)) in of_keys:
                of_keys[keys].append(number)
        numbers.update(of_keys)
    for keys, names in unread.items():
        for name in names:
            found.ignore(name, numbers[keys])


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
    lists: Sequence[tuple[int, TurnList]], roles: Mapping[str, str], reads: ReadsKey | None
) -> Understood:
    """Count what is not read in the messages of some records, and what is read by another name.

    Args:
        lists: the lists of turns, each with the number of its record.
        roles: what each name of a role means.
        reads: which keys of a message the chat template may read; None if there is none.
    """
    understood = Understood.nothing()
    used: dict[tuple[Any, ...], list[int]] = {}  # the names of roles in a record -> records
    key_sets: Counter[_MessageKeys] = Counter()
    holders: dict[_MessageKeys, set[int]] = {}
    for number, found in lists:
        turns = [turn for turn in found.turns if isinstance(turn, dict)]
        said = tuple([turn.get(found.role) for turn in turns])
        used.setdefault(said, []).append(number)
        for turn in [turn for turn in turns if len(turn) != 2]:  # others have a role and a text
            keys = (found.name, found.role, found.text, tuple(turn))
            key_sets[keys] += 1
            holders.setdefault(keys, set()).add(number)
            for key in turn.keys() & FLAGS:
                if turn[key] is not None:
                    understood.flags[key] += 1
                    understood.note(f"loss_flag:{key}", (number,))
    for keys, count in key_sets.items():
        name, role, text, of_message = keys
        for key in of_message:
            is_read = key in (role, text) or key in MESSAGE_KEYS or (reads and reads(key))
            if not is_read:
                understood.ignored[f"{name}[].{key}"] += count
                understood.note(f"ignored_field:{name}[].{key}", holders[keys])
    names: Counter[Any] = Counter()
    for said, numbers in used.items():
        for name, count in Counter(said).items():
            names[name] += count * len(numbers)
    others = _other_names(names, roles, reads is None)
    for said, numbers in used.items() if others else ():
        for other in others.keys() & said:
            understood.note(f"role:{others[other]}", numbers)
    for other, words in others.items():
        understood.roles[words] += names[other]
    return understood


_MessageKeys = tuple[str, str, str, tuple[str, ...]]
"""The field that holds the messages, the keys of role and text, and all keys of a message."""


def count_synonyms(
    records: Iterable[Record], fields: Fields, beside: Iterable[str], found: Understood
) -> None:
    """Count the fields with a value that were read under another name than their own.

    Args:
        records: the records.
        fields: the names that the data uses.
        beside: the canonical fields that were read.
        found: receives the counts.
    """
    meaning = {
        name: canonical for canonical in beside for name in fields.names(canonical)
        if name != canonical
    }  # fmt: skip
    for number, record in enumerate(records):
        for name in meaning.keys() & record.keys():
            if not (is_empty(record[name]) or isinstance(record[name], bool)):
                words = f"{name} as {meaning[name]}"
                found.fields[words] += 1
                found.note(f"field:{words}", (number,))


def count_unread_arguments(records: Iterable[Record], reads: ReadsKey, found: Understood) -> None:
    """Count the arguments for the chat template that it never reads."""
    for number, record in enumerate(records):
        given = record.get(ARGUMENTS)
        if isinstance(given, dict):
            names = [name for name, value in given.items() if value is not None]
            for name in names:
                if not reads(name):
                    found.ignore(f"{ARGUMENTS}.{name}", (number,))
        for name in SINGLE_ARGUMENTS:
            if record.get(name) is not None and not reads(name):
                found.ignore(name, (number,))


def _other_names(names: Iterable[Any], roles: Mapping[str, str], is_plain: bool) -> dict[Any, str]:
    """Return the names of roles that are not the roles' own, with what they were read as."""
    found: dict[Any, str] = {}
    for name in names:
        role = roles.get(name) or roles.get(str(name).strip().lower())
        if is_plain and role == "developer":
            role = "system"
        if role is not None and name not in (role, SHAREGPT.get(role)):
            found[name] = f"{name} as {'tool calls' if role == CALL else role}"
    return found
