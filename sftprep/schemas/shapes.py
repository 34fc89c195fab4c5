"""The shapes of records: which fields a record has, what they mean, and which schema reads it.

In     the first records of a file, and the names that ``--field`` gives.
Out    a ``Shape``; or the shapes that a record fits, if it fits more than one.

A new shape is a new entry in ``PAIRS``, ``LESS_COMMON_PAIRS``, ``LISTS``, ``FORMS`` or
``EXCHANGES``. A record may fit several entries. Then these rules decide, in this order:

1. A shape with a field that ``--field`` names counts more than all others.
2. A list of messages counts more than a pair of fields, and a pair more than ``text`` alone.
3. A less common pair does not count if it shares a field with a common pair.
4. A shape that reads only a part of what another reads does not count.

If two are left, the record is ambiguous, and its file is not read.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from sftprep.data.conversation import WHOLE, Record
from sftprep.schemas.fields import Fields

PAIRS = (
    ("prompt", "completion"),
    ("prompt", "response"),
    ("question", "answer"),
    ("question", "response"),
    ("query", "response"),
    ("problem", "solution"),
    ("source", "target"),
    ("inputs", "targets"),
    ("user", "assistant"),
    ("human", "assistant"),
    ("human", "bot"),
    ("article", "summary"),
    ("document", "summary"),
    ("dialogue", "summary"),
    ("text", "summary"),
)
"""Fields that hold a prompt and its completion, as datasets name them."""

LESS_COMMON_PAIRS = (
    ("input", "output"),
    ("input", "response"),
    ("input", "answer"),
    ("input", "target"),
    ("input", "completion"),
    ("prompt", "answer"),
    ("prompt", "output"),
    ("prompt", "target"),
    ("prompt", "generation"),
    ("question", "solution"),
    ("question", "output"),
    ("query", "answer"),
    ("query", "output"),
    ("problem", "answer"),
    ("problem", "response"),
    ("problem", "output"),
    ("inputs", "outputs"),
    ("user", "response"),
    ("human", "response"),
    ("task", "solution"),
)
"""Further pairs. Many datasets have one of these names beside a pair of ``PAIRS``."""

LISTS = (
    "messages",
    "conversations",
    "conversation",
    "dialog",
    "dialogue",
    "dialogs",
    "dialogues",
    "turns",
    "items",
    "chat",
    "data",
    WHOLE,
)
"""Fields that hold a list of messages; the last stands for a record that is a list itself."""

FORMS = (
    ("role", "content"),
    ("from", "value"),
    ("role", "text"),
    ("role", "value"),
    ("role", "message"),
    ("role", "utterance"),
    ("from", "content"),
    ("from", "text"),
    ("speaker", "utterance"),
    ("speaker", "text"),
    ("speaker", "content"),
    ("speaker", "message"),
    ("author", "content"),
    ("author", "text"),
    ("sender", "content"),
    ("sender", "text"),
    ("sender", "message"),
    ("type", "content"),
)
"""Fields of a message that hold its role and its text."""

EXCHANGES = (
    ("user", "assistant"),
    ("human", "assistant"),
    ("human", "gpt"),
    ("human", "bot"),
    ("input", "output"),
    ("question", "answer"),
    ("query", "response"),
    ("prompt", "completion"),
    ("prompt", "response"),
    ("instruction", "output"),
    ("instruction", "response"),
)
"""Fields of an entry that holds a question and its answer, in a list of such entries."""

LIST_SCHEMAS = {
    "messages": ("messages", "role", "content"),
    "sharegpt": ("conversations", "from", "value"),
}
"""Schema of a list of messages -> its canonical fields: the list, the role and the text."""
LIST_ITSELF = "list"
"""What a record that is a list itself is called in the names of shapes."""
TEXTS = "texts"
"""The form of a list of texts: the user's and the assistant's by turns."""
AMBIGUOUS = "ambiguous"
"""Stands for the shape's name in a file whose first record fits more than one shape."""

LIST, PAIR, LESS_COMMON, TEXT = range(4)  # kinds of shapes, the one that counts most first


class Shape(NamedTuple):
    """What the fields of a record mean."""

    name: str  # in the summary and the manifest
    schema: str  # a key of ``table.SCHEMAS``
    names: Mapping[str, str]  # canonical field -> its name in the data

    def fields(self, fields: Fields) -> Fields:
        """Return the names of all fields, for a record of this shape."""
        return fields.with_names(self.names)


class Fit(NamedTuple):
    """A shape that a record has."""

    shape: Shape
    kind: int
    decisive: frozenset[str]  # the record's fields that a record of this shape must have
    read: frozenset[str]  # the record's fields that are read
    named: bool  # whether ``--field`` names one of the decisive fields

    @property
    def flags(self) -> str:
        """The ``--field`` flags that choose this shape."""
        listed = self.kind == LIST
        names = {k: v for k, v in self.shape.names.items() if not listed or v in self.decisive}
        if "output" in names:
            (names["output"],) = self.decisive - {names["instruction"]}
        return " ".join(f"--field {name}={actual}" for name, actual in names.items())


def fitting(record: Record, fields: Fields, schema: str = "") -> list[Fit]:
    """Return the shapes that a record fits equally well; none if it fits no shape.

    Args:
        record: the record, with its computed fields.
        fields: what ``--field`` names.
        schema: the only schema that is wanted; "" for any.
    """
    fits = [fit for fit in _fits(record, fields) if schema in ("", fit.shape.schema)]
    fits = [fit for fit in fits if fit.named] or fits
    best = [fit for fit in fits if fit.kind == min(f.kind for f in fits)]
    if best and best[0].kind == PAIR:
        decided = frozenset().union(*(fit.decisive for fit in best))
        others = (fit for fit in fits if fit.kind == LESS_COMMON)
        best += [fit for fit in others if not fit.decisive & decided]
    distinct = {fit.read: fit for fit in reversed(best)}  # of equal shapes, the first is kept
    return [
        fit
        for read, fit in reversed(distinct.items())
        if not any(read < other for other in distinct)
    ]


def shape_named(name: str, fields: Fields) -> Shape:
    """Return the shape with a name that ``fitting`` gave; a schema's name is a shape's name too.

    Raises:
        KeyError: there is no such shape.
    """
    fixed = {shape.name: shape for shape, _ in _fixed(fields)}
    if name in fixed:
        return fixed[name]
    if name.endswith(f" of {TEXTS}"):
        return _list_shape(_list_field(name, f" of {TEXTS}"), TEXTS, fields)
    for form in (*_forms(fields), *EXCHANGES):
        ending = f" with {'/'.join(form)}"
        if name.endswith(ending):
            return _list_shape(_list_field(name, ending), form, fields)
    raise KeyError(name)


def _list_field(name: str, ending: str) -> str:
    """Return the field of a list, from the name of its shape."""
    field = name.removesuffix(ending)
    return WHOLE if field == LIST_ITSELF else field


def form_of(value: object, fields: Fields) -> tuple[str, str] | str | None:
    """Return the form of a list's entries, by its first; ``TEXTS``; or None if it has no form."""
    if not isinstance(value, list) or not value:
        return None
    first = value[0]
    if isinstance(first, str):
        return TEXTS
    if not isinstance(first, dict):
        return None
    for form in (*_forms(fields), *EXCHANGES):
        if form[0] in first and form[1] in first:
            return form
    return None


def _fits(record: Record, fields: Fields) -> Iterator[Fit]:
    for canonical in ("messages", "conversations"):
        if canonical in fields.renamed and fields[canonical] in record:
            yield _list_fit(record, fields[canonical], canonical, fields, named=True)
    for name in LISTS:
        if name in record and name not in fields.renamed.values():
            base = name if name in ("messages", "conversations") else ""
            if (base and base not in fields.renamed) or form_of(record[name], fields):
                yield _list_fit(record, name, base or "messages", fields, named=False)
    for shape, kind in _fixed(fields):
        if kind == LIST:
            continue
        decisive = {actual for name, actual in shape.names.items() if name != "output"}
        if "output" in shape.names:
            outputs = [name for name in fields.names("output") if name in record]
            if not outputs:
                continue
            decisive.add(outputs[0])
        if decisive <= record.keys() and (
            kind != TEXT or isinstance(record[shape.names["text"]], str)
        ):
            inputs = set(fields.names("input")) & record.keys() if kind != TEXT else set()
            named = any(name in fields.renamed for name in shape.names)
            names = frozenset(decisive)
            yield Fit(shape, kind, names, names | inputs, named)


def _fixed(fields: Fields) -> Iterator[tuple[Shape, int]]:
    """Yield the shapes that do not depend on a record's values, with their kinds."""

    def shape(name: str, schema: str, *names: str) -> Shape:
        given = dict(pair.split("=") for pair in names)
        return Shape(name, schema, {k: fields.renamed.get(k, v) for k, v in given.items()})

    for schema, (field, *form) in LIST_SCHEMAS.items():
        names = (fields[form[0]], fields[form[1]])
        yield _list_shape(fields[field], names, fields, name=schema), LIST
    yield shape("instruction", "instruction", "instruction=instruction", "output=output"), PAIR
    yield shape("Instruction", "instruction", "instruction=Instruction", "output=Output"), PAIR
    for kind, pairs in ((PAIR, PAIRS), (LESS_COMMON, LESS_COMMON_PAIRS)):
        for pair in pairs:
            for prompt, completion in (pair, tuple(map(str.capitalize, pair))):
                name = f"{prompt}/{completion}"
                if name == "prompt/completion":
                    name = "prompt-completion"
                names = (f"prompt={prompt}", f"completion={completion}")
                yield shape(name, "prompt-completion", *names), kind
    yield shape("text", "text", "text=text"), TEXT


def _list_fit(record: Record, name: str, canonical: str, fields: Fields, *, named: bool) -> Fit:
    form = form_of(record[name], fields)
    if form is None:
        schema = "sharegpt" if canonical == "conversations" else "messages"
        form = (fields[LIST_SCHEMAS[schema][1]], fields[LIST_SCHEMAS[schema][2]])
    names = frozenset((name,))
    return Fit(_list_shape(name, form, fields), LIST, names, names, named)


def _list_shape(
    field: str, form: tuple[str, str] | str, fields: Fields, *, name: str = ""
) -> Shape:
    """Return the shape of records that hold a list.

    Args:
        field: the list's field in the data.
        form: the form of its entries.
        fields: what ``--field`` names.
        name: the shape's name, if it is not that of the field and the form.
    """
    from_value = (fields["from"], fields["value"])
    known = {
        (fields["messages"], (fields["role"], fields["content"])): "messages",
        (fields["conversations"], from_value): "sharegpt",
    }
    ending = f"of {TEXTS}" if isinstance(form, str) else f"with {'/'.join(form)}"
    name = name or known.get((field, form), f"{field or LIST_ITSELF} {ending}")  # type: ignore[arg-type]
    schema = "sharegpt" if form == from_value else "messages"
    actual = (field, *(form if form in _forms(fields) else FORMS[0]))
    return Shape(name, schema, dict(zip(LIST_SCHEMAS[schema], actual, strict=True)))


def _forms(fields: Fields) -> tuple[tuple[Any, Any], ...]:
    """Return the forms that messages may have; what ``--field`` names comes first."""
    given = [
        (fields[role], fields[text])
        for role, text in (("role", "content"), ("from", "value"))
        if role in fields.renamed or text in fields.renamed
    ]
    return (*given, *FORMS)
