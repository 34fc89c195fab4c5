"""TracedText: a text that knows where its characters come from behaves like any other text.

Each operation is applied to a traced text and to the same plain text. The results must be equal;
each copied character must stand at its place in the record's text; and no character of a record may
be taken for the template's own. The literals of these tests are written with other letters than
the texts of the record, except for the separators, which both use.
"""

import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some

from sftprep.templates.jinja.traced_text import (
    DERIVED,
    SLOT,
    Origin,
    Run,
    TracedText,
    concat,
    derived,
    formatted,
    runs_of,
    traced_concat,
    traced_in,
    whole,
)

SEPARATORS = "- \n\t\r"
OURS = "abß" + SEPARATORS
"""What literals are made of."""
THEIRS = "漢Éz" + SEPARATORS
"""What the texts of a record are made of."""
LITERAL = (0, 0)
"""The mark of a character that the template wrote."""
quickly = settings(max_examples=some(40), deadline=None)


class Sample(NamedTuple):
    """A traced text, and the texts of the record that it was made of."""

    text: TracedText
    texts: dict[int, str]  # id of an origin -> its text
    origins: list[Origin | None]  # so that ids stay valid

    @property
    def plain(self) -> str:
        """The characters alone."""
        return str.__str__(self.text)


def of_record(text: str, *path: str | int) -> TracedText:
    """Return a text of a record as the tracer makes it."""
    return TracedText.of(text, [Run(len(text), Origin(path or ("messages", 0), len(text)), 0)])


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    """Generate texts that were put together from literals and parts of the record's texts."""
    made: list[str] = []
    texts, origins = {}, []
    for number in range(draw(st.integers(1, 4))):
        kind = draw(st.sampled_from("ltttd"))
        text = draw(st.text(OURS if kind == "l" else THEIRS, max_size=6))
        if kind == "l":
            made.append(text)
            continue
        traced = of_record(text, "messages", number, "content")
        origins.append(traced.runs[0].origin)
        texts[id(origins[-1])] = text
        made.append(traced.upper() if kind == "d" else traced[draw(st.integers(0, 2)) :])
    return Sample(traced_concat(made), texts, origins)


def marks(text: str) -> list[tuple[int, int]]:
    """Return for each character the id of its origin, and its place there."""
    return [
        LITERAL if origin is None else (id(origin), DERIVED if start < 0 else start + index)
        for length, origin, start in runs_of(text)
        for index in range(length)
    ]


def check(result: Any, sample: Sample) -> None:
    """Check the provenance of all texts in a result."""
    if isinstance(result, list | tuple):
        for one in result:
            check(one, sample)
    if not isinstance(result, str):
        return
    assert sum(run.length for run in runs_of(result)) == len(result)
    assert all(run.length >= 0 for run in runs_of(result))
    position = 0
    for length, origin, start in runs_of(result):
        stretch = str.__str__(result)[position : position + length]
        position += length
        if origin is None:
            assert not set(stretch) & set(THEIRS) - set(SEPARATORS)
        elif start != DERIVED:
            assert sample.texts[id(origin)][start : start + length] == stretch


def same(operation: Callable[[Any], Any], sample: Sample) -> Any:
    """Apply an operation to the traced and to the plain text; return the traced result."""
    try:
        expected = operation(sample.plain)
    except (TypeError, ValueError, LookupError) as error:
        with pytest.raises(type(error)):
            operation(sample.text)
        return None
    result = operation(sample.text)
    assert result == expected
    assert isinstance(result, type(expected))
    check(result, sample)
    return result


def is_cut_from(parts: list[str], sample: Sample) -> None:
    """Check that parts have the provenance of consecutive stretches of the text."""
    text, all_marks = sample.plain, marks(sample.text)
    places = {0}
    for part in parts:
        after = set()
        for place in range(len(text) + 1):
            end = place + len(part)
            if any(p <= place for p in places) and text[place:end] == str.__str__(part):
                after |= {end} if all_marks[place:end] == marks(part) else set()
        assert after
        places = after


INDEX = st.integers(-8, 8)
BOUND = st.none() | INDEX
SEPARATOR = st.sampled_from(["-", " ", "\n", "\t", "--", "- ", "z", "a", "漢"])
WIDTH = st.integers(-2, 30)


@quickly
@given(samples(), BOUND, BOUND, st.none() | st.integers(-3, 3))
def test_slices_have_the_provenance_of_their_characters(
    sample: Sample, start: int | None, stop: int | None, step: int | None
) -> None:
    """With all kinds of bounds and steps."""
    result = same(operator.itemgetter(slice(start, stop, step)), sample)
    if result is not None:
        assert marks(result) == marks(sample.text)[start:stop:step]


@quickly
@given(samples(), INDEX)
def test_items_have_the_provenance_of_their_characters(sample: Sample, index: int) -> None:
    """Also from the end, in a loop, and reversed."""
    item = same(operator.itemgetter(index), sample)
    if item is not None:
        assert marks(item) == [marks(sample.text)[index]]
    characters = same(list, sample)
    assert [mark for one in characters for mark in marks(one)] == marks(sample.text)
    same(lambda text: list(reversed(text)), sample)
    same(sorted, sample)


DIVISIONS: dict[str, Callable[..., Any]] = {
    "split": lambda text, sep, most: text.split(sep, most),
    "split at white space": lambda text, sep, most: text.split(None, most),
    "split with names": lambda text, sep, most: text.split(sep=sep, maxsplit=most),
    "rsplit": lambda text, sep, most: text.rsplit(sep, most),
    "rsplit at white space": lambda text, sep, most: text.rsplit(maxsplit=most),
    "splitlines": lambda text, sep, most: text.splitlines(),
    "splitlines with ends": lambda text, sep, most: text.splitlines(keepends=True),
    "partition": lambda text, sep, most: text.partition(sep),
    "rpartition": lambda text, sep, most: text.rpartition(sep),
    "strip": lambda text, sep, most: [text.strip()],
    "strip characters": lambda text, sep, most: [text.strip(sep)],
    "lstrip": lambda text, sep, most: [text.lstrip(sep)],
    "rstrip": lambda text, sep, most: [text.rstrip(sep)],
    "removeprefix": lambda text, sep, most: [text.removeprefix(sep)],
    "removesuffix": lambda text, sep, most: [text.removesuffix(sep)],
    "no prefix": lambda text, sep, most: [text.removeprefix("")],
    "no suffix": lambda text, sep, most: [text.removesuffix("")],
    "split at nothing": lambda text, sep, most: text.split(""),
    "partition at nothing": lambda text, sep, most: text.partition(""),
}


@pytest.mark.parametrize("name", DIVISIONS)
@settings(max_examples=some(15), deadline=None)
@given(samples(), SEPARATOR, st.integers(-1, 3))
def test_parts_have_the_provenance_of_their_characters(
    name: str, sample: Sample, separator: str, most: int
) -> None:
    """Splits, partitions and trims copy; they change no provenance."""
    parts = same(lambda text: DIVISIONS[name](text, separator, most), sample)
    if parts is not None:
        is_cut_from(list(parts), sample)


@quickly
@given(samples(), st.sampled_from(["", "-", " ", "漢", "a", "\n", "z-"]), st.integers(-1, 4))
def test_replacing_puts_in_the_other_text(sample: Sample, old: str, count: int) -> None:
    """What is put in has its own provenance; all else keeps the one that it had."""
    other = of_record("Éz漢")
    known = sample._replace(texts={**sample.texts, id(other.runs[0].origin): "Éz漢"})
    result = same(lambda text: text.replace(old, other, count), known)
    same(lambda text: text.replace(old, "b", count), sample)
    same(lambda text: text.replace(old, ""), sample)
    kept = [mark for mark in marks(result) if mark[0] != id(other.runs[0].origin)]
    places = iter(marks(sample.text))
    assert all(mark in places for mark in kept)  # in this order


@quickly
@given(samples(), samples(), st.integers(-1, 4))
def test_concatenations_have_the_provenance_of_both(one: Sample, other: Sample, times: int) -> None:
    """Texts may be added on both sides, joined and repeated."""
    both = one._replace(texts={**one.texts, **other.texts})
    expected = marks(one.text) + marks(other.text)
    assert marks(same(lambda text: text + other.text, both)) == expected
    assert marks(same(lambda text: other.text + text, both)) == (
        marks(other.text) + marks(one.text)
    )
    assert marks(concat([one.text, other.text])) == expected
    literal = [LITERAL] * 2
    assert marks(same(lambda text: "ab" + text, one)) == literal + marks(one.text)
    assert marks(same(lambda text: text + "ab", one)) == marks(one.text) + literal
    assert marks(same(lambda text: text * times, one)) == marks(one.text) * max(times, 0)
    assert marks(same(lambda text: times * text, one)) == marks(one.text) * max(times, 0)
    joined = same(lambda text: text.join([other.text, other.text, "a"]), both)
    assert marks(joined) == (marks(other.text) + marks(one.text)) * 2 + [LITERAL]
    assert same(lambda text: text.join(iter([])), one) == ""


COMPUTED: dict[str, Callable[[Any], Any]] = {
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "capitalize": lambda text: text.capitalize(),
    "swapcase": lambda text: text.swapcase(),
    "casefold": lambda text: text.casefold(),
    "expandtabs": lambda text: text.expandtabs(),
    "expandtabs to 3": lambda text: text.expandtabs(tabsize=3),
    "zfill": lambda text: text.zfill(9),
    "translate": lambda text: text.translate({ord("漢"): "字", ord("a"): None}),
}


@pytest.mark.parametrize("name", COMPUTED)
@settings(max_examples=some(12), deadline=None)
@given(samples())
def test_what_is_computed_from_a_record_is_never_literal(name: str, sample: Sample) -> None:
    """All of it counts as derived: from every text of the record that was in it."""
    result = same(COMPUTED[name], sample)
    origins = {run.origin for run in sample.text.runs if run.origin}
    assert {run.origin for run in result.runs if run.origin} == origins or not result
    if origins:
        assert all(run.origin and (run.start == DERIVED or not result) for run in result.runs)


@quickly
@given(samples(), WIDTH, st.sampled_from("a -漢"))
def test_padding_is_literal_and_the_text_stays(sample: Sample, width: int, fill: str) -> None:
    """``center``, ``ljust`` and ``rjust`` copy the text once."""
    fill = fill if fill != "漢" else "b"
    for pad in (
        lambda text: text.center(width, fill),
        lambda text: text.center(width),
        lambda text: text.ljust(width, fill),
        lambda text: text.ljust(width),
        lambda text: text.rjust(width, fill),
        lambda text: text.rjust(width),
    ):
        result = same(pad, sample)
        found = marks(result)
        own = marks(sample.text)
        left = next(n for n in range(len(found) + 1) if found[n : n + len(own)] == own)
        right = len(found) - left - len(own)
        assert {*found[:left], *found[len(found) - right :]} <= {LITERAL}
    same(lambda text: text.ljust(width, "ab"), sample)
    same(lambda text: text.center(width, ""), sample)
    same(lambda text: text.rjust(width, ""), sample)


QUESTIONS: list[Callable[[Any], Any]] = [
    len, hash, repr, bool, str.isspace, str.isupper, str.isdigit, str.isidentifier,
    lambda text: text.encode(), lambda text: text.find("漢"), lambda text: text.index("-"),
    lambda text: text.rfind("-"), lambda text: text.count("-"), lambda text: text.startswith("a"),
    lambda text: text.endswith(("z", "a")), lambda text: "漢" in text, lambda text: text == "a",
    lambda text: text < "b", lambda text: {text: 1}[text], lambda text: ["b", text].index(text),
    lambda text: text in {"漢", "a"}, lambda text: "-" + text == text, lambda text: text.isascii(),
    int, lambda text: text.replace("a"), lambda text: text.replace("a", None),
    lambda text: text.replace(1, "a"), lambda text: text + 1, lambda text: text * "a",
    lambda text: text.join([1]), lambda text: text.join("ab"), lambda text: text[99],
    lambda text: text.rindex("zz"), lambda text: text.split(1), lambda text: text.strip(1),
    lambda text: text.removeprefix(None), lambda text: text.removesuffix(1),
    lambda text: text["a"], lambda text: text[::0], lambda text: text.partition(1),
    lambda text: text.center("a"), lambda text: text.ljust(None), lambda text: f"{text}",
    lambda text: text.split(maxsplit=0), lambda text: text.rsplit("-", 0),
]  # fmt: skip


@quickly
@given(samples())
def test_questions_have_the_same_answers(sample: Sample) -> None:
    """And what is an error with a plain text is one with a traced text."""
    for question in QUESTIONS:
        try:
            expected = question(sample.plain)
        except (TypeError, ValueError, LookupError) as error:
            with pytest.raises(type(error)):
                question(sample.text)
        else:
            assert question(sample.text) == expected


def test_no_operation_of_texts_is_forgotten() -> None:
    """Each method of ``str`` that can return a text is overridden, or returns no text here."""
    overridden = {name for name in vars(TracedText) if name in dir(str)}
    answers = {name for name in dir(str) if name.startswith("is")}
    others = {
        "count", "encode", "endswith", "find", "index", "maketrans", "rfind", "rindex",
        "startswith", "__contains__", "__eq__", "__ge__", "__gt__", "__hash__", "__le__", "__len__",
        "__lt__", "__ne__", "__sizeof__",
    }  # fmt: skip
    by_the_environment = {"format", "format_map", "__format__"}
    of_objects = set(dir(object)) - {"__str__", "__format__"}
    written_for_people = {"__repr__"}
    rest = set(dir(str)) - overridden - answers - others - by_the_environment - of_objects
    assert rest - written_for_people == {"__getnewargs__"}


FORMS = [
    "%s", "a%sb", "%s%s", "%r", "%10s", "%-10s", "%.2s", "%%%s", "%s %%", "%c", "%d", "%(x)s", "%a",
    "a", "", "%s and %s", SLOT, f"{SLOT}0{SLOT}%s",
]  # fmt: skip
VALUES: list[Callable[[Any], Any]] = [
    lambda text: text, lambda text: (text,), lambda text: (text, text), lambda text: ("a", text),
    lambda text: [text], lambda text: ([text],), lambda text: ({text: "a"},),
    lambda text: ({"a": text},), lambda text: {"x": text}, lambda text: {"x": {text: 1}},
    lambda text: ({"a": 1}.keys(), {text: 1}.keys()), lambda text: {text: 1}.items(),
    lambda text: {1: text}.values(), lambda text: (((text,), 1),), lambda text: text[:1],
    lambda text: (1, text),
]  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=some(6), deadline=None)
@given(samples())
def test_formats_give_what_they_give_for_plain_texts(form: str, sample: Sample) -> None:
    """With ``%``, whatever holds the text: and the record's characters are never literal."""
    for value in VALUES:
        made = same(
            lambda text, value=value: formatted(  # type: ignore[misc]
                lambda values: str.__mod__(form, values), form, value(text)
            ),
            sample,
        )
        if made is not None and isinstance(value(sample.text), str | tuple | dict):
            assert made == form % value(sample.plain)


@settings(max_examples=some(15), deadline=None)
@given(samples())
def test_operators_of_python_give_traced_texts(sample: Sample) -> None:
    """``"a" + text``, ``"%s" % text`` and ``text % "a"``, as Jinja calls them."""
    for operation in (
        lambda text: operator.mod("a%s", text),
        lambda text: "a" + text,
        lambda text: (text.replace("%", "") + "%s") % "b",
        lambda text: (text.replace("%", "") + "%s") % (text,),
        str,
    ):
        result = same(operation, sample)
        if any(run.origin for run in sample.text.runs):
            assert any(run.origin for run in runs_of(result))


def test_a_copied_value_in_a_format_is_copied() -> None:
    """Then the format is literal and the value has its place in the record's text."""
    text = of_record("漢z")
    origin = text.runs[0].origin
    made = formatted(lambda values: str.__mod__("a%s-%s", values), "a%s-%s", (text, text[1:]))
    assert runs_of(made) == (Run(1, None, 0), Run(2, origin, 0), Run(1, None, 0), Run(1, origin, 1))


def test_a_format_may_look_into_its_values() -> None:
    """The result is derived then; the format must not fail on what stands for the value."""
    text = of_record("漢z")
    for make, form, values in (
        (lambda values: str.__mod__("%c", values), "%c", text[:1]),
        (lambda values: str.format("{0[1]}", *values), "{0[1]}", (text,)),
    ):
        made = formatted(make, form, values)
        assert [run.origin for run in runs_of(made)] == [text.runs[0].origin]


def test_a_whole_text_is_known_as_whole() -> None:
    """A text is whole if it is all of one text of the record, in one piece or put together."""
    text, other = of_record("漢z"), of_record("漢z")
    origin = text.runs[0].origin
    assert whole(text) is origin
    assert whole(text[:1] + text[1:]) is origin
    assert whole(text.strip() + "") is origin
    assert whole(traced_concat(["", text])) is origin
    for part in (
        text[1:], text[:1], text + text, text + "a", text[:1] + other[1:], text[1:] + text[:1],
        text.upper(), text[:0], text[5:], text[::-1], traced_concat(["a"]), traced_concat([]),
    ):  # fmt: skip
        assert whole(part) is None
    empty = of_record("")
    assert whole(empty) is empty.runs[0].origin
    assert whole(text[:0] + empty) is None


def test_an_empty_part_keeps_its_place() -> None:
    """It tells where the template wrote a text of which nothing is left."""
    one, other = of_record("漢"), of_record("z")
    both = one + "a" + other
    assert both[0:0].runs == (Run(0, one.runs[0].origin, 0),)
    assert [run.origin for run in both[3:].runs] == [other.runs[0].origin]
    assert both[1:1].runs == (Run(0, one.runs[0].origin, 1),)
    assert traced_concat(["a"])[0:0].runs == ()
    assert of_record("").strip().runs[0].length == 0


def test_what_is_derived_names_all_its_sources() -> None:
    """The first text of the record takes the characters, the others an empty run."""
    one, other = of_record("漢"), of_record("z")
    made = derived("ab", "a", one, other)
    assert made.runs == (
        Run(0, other.runs[0].origin, DERIVED), Run(2, one.runs[0].origin, DERIVED)
    )  # fmt: skip
    assert derived("ab", "a", traced_concat(["a"])).runs == (Run(2, None, 0),)


def test_texts_are_found_in_all_containers() -> None:
    """In lists, tuples, objects, their keys, and views of them."""
    text = of_record("z")
    for value in (
        text, [text], (1, (text,)), {"a": [text]}, {text: 1}, {text: 1}.keys(), {1: text}.values(),
        {text: 1}.items(), [{"a": {1: text}.items()}],
    ):  # fmt: skip
        assert list(traced_in(value)) == [text]
    assert list(traced_in(["a", 1, None, {"a": 2.5}])) == []
