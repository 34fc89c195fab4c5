"""Tell a file's shape, and turn its records into ``Conversation``s or ``Chat``s.

In     a record: a dict as parsed.
Out    a ``Conversation`` for built-in and YAML templates: at most one system turn, first; then user
       and assistant turns in alternation, ending with an assistant turn. A ``Chat`` for Jinja chat
       templates.
Keeps  every text exactly as it is: nothing is trimmed and nothing is repaired.
Never  leaves out a part of a record in silence: it is used, refused, or counted as ignored.
Raises RecordError: ``unknown_schema``, ``ambiguous_schema``, ``preference_data``,
       ``schema_mismatch``, or what the schema's module and ``extras`` raise.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import chain
from operator import attrgetter, itemgetter
from typing import Any, Generic, NoReturn, TypeVar, cast

from sftprep.data.conversation import WHOLE, Chat, Conversation, Record
from sftprep.errors import RecordError, UsageError
from sftprep.schemas import instruction
from sftprep.schemas.chat_messages import with_system_message
from sftprep.schemas.checks import found_fields
from sftprep.schemas.computed import with_computed
from sftprep.schemas.extras import (
    LABELS,
    SWITCH,
    chat_with,
    conversation_with,
    extra_fields,
    refuse_unreadable,
    refuse_untrained,
)
from sftprep.schemas.fields import SCHEMA_NAMES, Fields
from sftprep.schemas.ignored import (
    ReadsKey,
    Understood,
    are_plain,
    count_synonyms,
    count_unread_arguments,
    count_unread_fields,
    understood_turns,
)
from sftprep.schemas.one_of import is_empty
from sftprep.schemas.paths import top_fields
from sftprep.schemas.preference import preference_error
from sftprep.schemas.shapes import AMBIGUOUS, LIST_SCHEMAS, Fit, Shape, fitting, shape_named
from sftprep.schemas.table import EXCHANGES, SCHEMAS, Schema
from sftprep.schemas.turns import with_system
from sftprep.text import alternatives, shown

D = TypeVar("D", Conversation, Chat)
BESIDE_LIST = ("system", "tools")
BESIDE_EXCHANGE = (*BESIDE_LIST, "input", "reasoning_content")
"""The fields with synonyms that may stand beside a list of messages, and beside a prompt."""
MOST_KEY_SETS = 10_000
"""How many different sets of a record's keys a normalizer remembers."""


def detect_schema(records: Iterable[Record], fields: Fields, schema: str = "") -> str:
    """Return a file's shape, by name: that of the first record that fits any.

    Args:
        records: the first records of the file.
        fields: the names that the data uses.
        schema: the only schema that is wanted; "" for any.

    Returns:
        A name that ``shape_named`` knows; ``AMBIGUOUS`` if that record fits several shapes; "" if
        no record fits any.
    """
    for record in records:
        fits = _fits(record, fields, schema)
        if fits:
            return fits[0].shape.name if len(fits) == 1 else AMBIGUOUS
    return ""


def schema_of(record: Record, fields: Fields) -> str:
    """Return the name of the shape that a record has; "" if it has none, or more than one.

    >>> schema_of({"instruction": "a", "response": "b"}, Fields())
    'instruction'
    """
    fits = _fits(record, fields)
    return fits[0].shape.name if len(fits) == 1 else ""


def read_as(name: str, fields: Fields) -> dict[str, str]:
    """Return what the fields of a shape are read as: canonical field -> its name in the data."""
    if name in ("", AMBIGUOUS):
        return {}
    return dict(shape_named(name, fields).names)


@dataclass(frozen=True)
class _Kind(Generic[D]):
    """How dialogues of one kind are made."""

    turns: Callable[[Schema], Callable[[Record, Fields], D]]
    with_extras: Callable[[D, Record, Fields, frozenset[str]], D]
    with_system: Callable[[D, str], D]


class Normalizer(Generic[D]):
    """Turns the records of a file into conversations or chats.

    ``conversation_normalizer`` and ``chat_normalizer`` make it.

    Args:
        kind: the kind of dialogues.
        name: the file's shape; ``AMBIGUOUS`` or "" for a file without one: then every record is
            refused.
        fields: the names that the data uses.
        system: the system prompt for records without one; None to add none.
        reads: for a chat template: which variables and keys of messages it may read.

    Attributes:
        read: turns a record into a conversation or a chat.
    """

    read: Callable[[Record], D]

    def __init__(
        self,
        kind: "_Kind[D]",
        name: str,
        fields: Fields,
        system: str | None,
        reads: ReadsKey | None = None,
    ) -> None:
        self._kind: _Kind[D] = kind
        self._system = system
        self._reads = reads
        self._given = fields
        self._readers: dict[tuple[str, ...], Callable[[Record], D]] = {}
        self._counted: tuple[Sequence[Record], Counter[tuple[str, ...]]] = ((), Counter())
        self._plain: dict[tuple[frozenset[str], str], Callable[[Record], D]] = {}
        self.shape = _shape(name, fields)
        if self.shape is None:
            self.read = partial(_refuse, fields=fields, is_ambiguous=name == AMBIGUOUS)
            return
        self._fields = self.shape.fields(fields)
        self._schema = SCHEMAS[self.shape.schema]
        self._extra = extra_fields(self._fields)
        self._own = frozenset(self.shape.names.values()) | top_fields(fields.computed)
        self._is_exchange = self.shape.schema in EXCHANGES
        beside = ("input", "history") if self._is_exchange else ("history",)
        self._beside = frozenset(chain.from_iterable(map(self._fields.names, beside)))
        self.read = self._read_computed if fields.computed else self._read

    def __call__(self, record: Record) -> D:
        """Return a record as a conversation or a chat."""
        return self.read(record)

    def reader_for(self, records: Sequence[Record]) -> Callable[[Record], D]:
        """Return what reads these records, and does no more than their keys ask for.

        If it raises an error, the records must be read one by one with ``read``, which tells more.
        """
        if self.read != self._read:
            return self.read
        readers = set(map(self._reader_of, self._key_sets(records)))
        return readers.pop() if len(readers) == 1 else self.read

    def understood(self, records: Sequence[Record]) -> Understood:
        """Count what is not read in records that were used, and what is read by another name."""
        found = Understood.nothing()
        if self.shape is None or not records:
            return found
        if self._given.computed:
            records = [with_computed(record, self._given.computed) for record in records]
        key_sets = self._key_sets(records)
        self._counted = ((), Counter())  # the records are not kept longer than their block
        names = set(chain.from_iterable(key_sets))
        if with_lists := self._with_lists(records):
            turns = [
                (number, turn_list)
                for number in with_lists
                for turn_list in self._schema.turn_lists(records[number], self._fields)
            ]
            found = understood_turns(turns, self._fields.roles, self._reads)
        count_unread_fields(records, key_sets, self._known, found)
        if special := self._special(names):
            self._count_special(records, special, found)
        beside = BESIDE_EXCHANGE if self._is_exchange else BESIDE_LIST
        others = {name for canonical in beside for name in self._fields.names(canonical)[1:]}
        if others & names:
            count_synonyms(records, self._fields, beside, found)
        return found

    def _count_special(
        self, records: Sequence[Record], special: frozenset[str], found: Understood
    ) -> None:
        """Count what is not read of arguments, and the flags of records."""
        if self._reads is not None:
            count_unread_arguments(records, self._reads, found)
        if not self._is_exchange and SWITCH in special:
            texts = [n for n, record in enumerate(records) if isinstance(record.get(SWITCH), str)]
            found.ignore(SWITCH, texts)
        for name in special.intersection(self._fields.names("train")):
            flagged = [n for n, record in enumerate(records) if record.get(name) is not None]
            if flagged:
                found.flags[name] += len(flagged)
                found.note(f"loss_flag:{name}", flagged)

    def _key_sets(self, records: Sequence[Record]) -> Counter[tuple[str, ...]]:
        """Return the keys of these records, with how many records have just these.

        A block's records are looked at before and after they are rendered, and counted once.
        """
        if self._counted[0] is not records:
            self._counted = (records, _key_sets(records))
        return self._counted[1]

    def outputs(self, records: Iterable[Record]) -> Counter[str]:
        """Count the fields that the output of instruction records was read from."""
        if self.shape is None or self.shape.schema != "instruction":
            return Counter()
        return Counter(instruction.output_field(record, self._fields) for record in records)

    def _with_lists(self, records: Sequence[Record]) -> Sequence[int]:
        """Return the numbers of the records in whose lists of messages anything may count."""
        assert self.shape is not None
        if self.shape.schema in LIST_SCHEMAS:
            name, role = map(self._fields.__getitem__, LIST_SCHEMAS[self.shape.schema][:2])
            return () if are_plain(records, name, role) else range(len(records))
        if self.shape.schema == "prompt-completion":
            prompt = self._fields["prompt"]
            if list in set(map(type, map(itemgetter(prompt), records))):
                return [n for n, record in enumerate(records) if type(record[prompt]) is list]
        return ()

    def _known(self, keys: tuple[str, ...]) -> frozenset[str]:
        """Return which fields of a record with these keys are read."""
        known = (self._special(keys) - set(LABELS)) | self._own | self._beside
        known |= self._given.others
        known |= {*self._given.computed, *self._fields.names("train")}
        if self.shape is not None and self.shape.schema == "instruction":
            known |= {instruction.output_field(dict.fromkeys(keys), self._fields)}
        return known

    def _special(self, keys: Iterable[str]) -> frozenset[str]:
        """Return which of these fields have a meaning of their own, beside the turns."""
        special = self._extra.intersection(keys) - self._own
        if self._is_exchange:
            return special
        return special - (set(self._fields.names("reasoning_content")) - {SWITCH})

    def _read_computed(self, record: Record) -> D:
        return self._read(with_computed(record, self._given.computed))

    def _read(self, record: Record) -> D:
        try:
            return self._reader_of(tuple(record))(record)
        except RecordError as error:
            if error.reason == "missing_field":
                raise self._mismatch(record) or error from None
            raise

    def _reader_of(self, keys: tuple[str, ...]) -> Callable[[Record], D]:
        """Return what reads records with these keys."""
        reader = self._readers.get(keys)
        if reader is None:
            if len(self._readers) >= MOST_KEY_SETS:
                self._readers.clear()
            reader = self._readers[keys] = self._make_reader(keys)
        return reader

    def _make_reader(self, keys: tuple[str, ...]) -> Callable[[Record], D]:
        fields, kind, system = self._fields, self._kind, self._system
        special, beside = self._special(keys), self._beside.intersection(keys) - self._own
        output = instruction.output_field(dict.fromkeys(keys), fields)
        turns = self._plain.setdefault((beside, output), self._turns_reader(keys))
        if not special and not (beside and not self._is_exchange) and system is None:
            return turns

        reasoning = special.intersection(fields.names("reasoning_content"))
        reasoning = reasoning if self._is_exchange else frozenset()

        def read(record: Record) -> D:
            if not self._is_exchange:
                _refuse_history(record, beside)
            refuse_unreadable(record, fields, special)
            dialogue = turns(record)
            if special:
                dialogue = kind.with_extras(dialogue, record, fields, reasoning)
                refuse_untrained(dialogue, record, fields, special)
            return dialogue if system is None else kind.with_system(dialogue, system)

        return read

    def _turns_reader(self, keys: tuple[str, ...]) -> Callable[[Record], D]:
        """Return what reads the turns of records with these keys, and nothing beside them."""
        assert self.shape is not None
        fields, turns = self._fields, self._kind.turns(self._schema)
        exchange = EXCHANGES.get(self.shape.schema)
        if exchange is not None and turns is exchange.to_conversation:
            reader: Any = exchange.conversation_reader(fields, keys)
            return cast(Callable[[Record], D], reader)
        return lambda record: turns(record, fields)

    def _mismatch(self, record: Record) -> RecordError | None:
        """Return the error for a record that has another shape; None if it has no other."""
        if WHOLE in record and WHOLE not in self._own:
            problem = f"the record is {shown(record[WHOLE])}; expected a JSON object"
            return RecordError("not_an_object", problem)
        found = schema_of(record, self._given)
        if self.shape is None or found in {"", self.shape.name}:
            return None
        return RecordError(
            "schema_mismatch",
            f"the record's schema is {found}; expected {self.shape.name}, the schema of its file",
            "Put records of one schema into each file",
        )


def _key_sets(records: Sequence[Record]) -> Counter[tuple[str, ...]]:
    keys = tuple(records[0])
    if keys and set(map(len, records)) == {len(keys)}:
        with suppress(KeyError):
            deque(map(itemgetter(*keys), records), maxlen=0)
            return Counter({keys: len(records)})  # as in most blocks: all have the same keys
    return Counter(map(tuple, records))


def conversation_normalizer(
    name: str, fields: Fields, system: str | None = None
) -> Normalizer[Conversation]:
    """Return what turns records of a shape into conversations.

    Args:
        name: the shape; see ``Normalizer``.
        fields: the names that the data uses.
        system: the system prompt for records without one; None to add none.
    """
    kind = _Kind(attrgetter("to_conversation"), conversation_with, with_system)
    return Normalizer(kind, name, fields, system)


def chat_normalizer(
    name: str, fields: Fields, system: str | None = None, reads: ReadsKey = lambda _: True
) -> Normalizer[Chat]:
    """Return what turns records of a shape into chats.

    Args:
        name: the shape; see ``Normalizer``.
        fields: the names that the data uses.
        system: the system prompt for records without one; None to add none.
        reads: which variables and keys of messages the chat template may read.
    """
    kind = _Kind(attrgetter("to_chat"), chat_with, _with_system_unless_it_has_one)
    return Normalizer(kind, name, fields, system, reads)


def _shape(name: str, fields: Fields) -> Shape | None:
    if name in ("", AMBIGUOUS):
        return None
    try:
        return shape_named(name, fields)
    except KeyError:
        raise UsageError(
            f"unknown schema {shown(name)}. Choose {', '.join(SCHEMA_NAMES)} or auto."
        ) from None


def _fits(record: Record, fields: Fields, schema: str = "") -> list[Fit]:
    if fields.computed:
        try:
            record = with_computed(record, fields.computed)
        except RecordError:  # the record is refused when it is read
            return []
    return fitting(record, fields, schema)


def _refuse(record: Record, fields: Fields, *, is_ambiguous: bool) -> NoReturn:
    """Refuse a record of a file that has no shape, or more than one."""
    if fields.computed:
        record = with_computed(record, fields.computed)
    if is_ambiguous:
        raise _ambiguous(fitting(record, fields))
    if (error := preference_error(record)) is not None:
        raise error
    if WHOLE in record:
        problem = f"the record is {shown(record[WHOLE])}; expected a JSON object"
        raise RecordError("not_an_object", problem)
    if record.keys() >= {"role", "content"}:
        raise RecordError(
            "unknown_schema",
            "the record is a single message; expected a whole conversation",
            "Put the messages of each conversation into one record, as a list in a field messages",
        )
    raise RecordError(
        "unknown_schema",
        f"no known schema has these fields: {found_fields(record) or 'no fields'}",
        _field_flags(record, fields),
    )


def _ambiguous(fits: list[Fit]) -> RecordError:
    """Return the error for a record of a file whose first record fits more than one shape."""
    flags = " or ".join(fit.flags for fit in fits)
    if len(fits) > 1:
        names = alternatives(fit.shape.name for fit in fits).replace(" or ", " and ")
        return RecordError(
            "ambiguous_schema", f"the record fits more than one schema: {names}", f"Pass {flags}"
        )
    return RecordError(
        "ambiguous_schema",
        "the first record of the file fits more than one schema",
        f"Pass {flags}" if flags else "Name the fields with --field",
    )


def _field_flags(record: Record, fields: Fields) -> str:
    """Return what to do with a record that has no known shape: flags that may fit it."""
    for name, value in record.items():
        if isinstance(value, dict) and len(fits := fitting(value, fields)) == 1:
            names = fits[0].shape.names
            listed = {k: v for k, v in names.items() if v in fits[0].decisive}
            flags = " ".join(f"--field {k}={name}.{v}" for k, v in listed.items())
            return f"Name the fields inside {shown(name)}: {flags}"
    return "Map them with --field, e.g. --field prompt=question --field completion=answer"


def _refuse_history(record: Record, names: Iterable[str]) -> None:
    """Refuse a history beside a list of messages: it is not clear how the two belong together."""
    for name in names:
        if not is_empty(record[name]):
            raise RecordError(
                "conflicting_fields",
                f"the record has {name} beside a list of messages",
                f"Put the turns of {name} into the list",
            )


def _with_system_unless_it_has_one(chat: Chat, system: str) -> Chat:
    if chat.messages[0]["role"] in ("system", "developer"):
        return chat
    return with_system_message(chat, system)
