"""Numbers and booleans of a record: written as they are, and known to be the record's."""

import json
from datetime import date
from typing import Any

import pytest

from sftprep.templates.jinja.sandbox import Environment
from sftprep.templates.jinja.traced_environment import TracedEnvironment, plain
from sftprep.templates.jinja.traced_number import (
    is_traced_number,
    path_of,
    traced_number,
    untraced,
)
from sftprep.templates.jinja.traced_text import runs_of
from sftprep.templates.jinja.tracing import Tracer

TODAY = date(2026, 2, 3)
VALUES: dict[str, Any] = {
    "i": 42, "f": 0.5, "e": 1e30, "z": 0, "t": True, "u": False, "n": None,
    "d": {"i": 7, "t": True}, "l": [1, False, "x"],
}  # fmt: skip
PLAIN, TRACED = Environment(TODAY), TracedEnvironment(TODAY)


@pytest.mark.parametrize("value", [0, 42, -7, 2**63, 0.5, -1e30, True, False])
def test_a_number_is_written_and_compared_as_it_is(value: float) -> None:
    """It also knows its path; without it, type and value are those of the record."""
    number = traced_number(value, ("tools", 0))
    assert is_traced_number(number)
    assert path_of(number) == ("tools", 0)
    assert (str(number), repr(number), f"{number}") == (str(value), repr(value), f"{value}")
    assert number == value
    assert hash(number) == hash(value)
    assert bool(number) is bool(value)
    assert untraced([number, {"k": (number,)}]) == [value, {"k": [value]}]
    assert type(untraced(number)) is type(value)
    assert json.dumps(untraced({"k": number})) == json.dumps({"k": value})
    assert not is_traced_number(value)


def rendered(source: str) -> str:
    """Render with the numbers traced, and check the text against the sandbox's."""
    TRACED.tracer = Tracer()
    values = {name: TRACED.tracer.traced(v, ("arguments", name)) for name, v in VALUES.items()}
    template = TRACED.compiled(source)
    made = TRACED.concat(template.root_render_func(template.new_context(values)))
    assert plain(made) == PLAIN.compiled(source).render(VALUES)
    return made


def of_record(text: str) -> list[str]:
    """Return the stretches of a text that are the record's."""
    found, position = [], 0
    for run in runs_of(text):
        if run.origin is not None and run.origin.path and run.length:
            found.append(plain(text)[position : position + run.length])
        position += run.length
    return found


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("<{{ i }}|{{ f }}|{{ t }}>", ["42", "0.5", "True"]),
        ("<{{ i | tojson }}|{{ e | tojson }}|{{ u | tojson }}>", ["42", "1e+30", "false"]),
        ("{{ i | string }}-{{ t | string | lower }}", ["42", "true"]),
        ("{{ '<' ~ i ~ '>' }}{{ '<' ~ t | lower }}", ["42", "true"]),
        ("{{ [i, t] | join('+') }}", ["42", "True"]),
        ("{{ '<%s|%s>' % (i, t) }}{{ '<{}>'.format(f) }}", ["42", "True", "0.5"]),
        ("{{ '<%s>' | format(i) }}", ["42"]),
        ("{% for k, v in d.items() %}{{ v }};{% endfor %}", ["7", "True"]),
        ("{% for v in l %}{{ v }};{% endfor %}", ["1", "False", "x"]),
        ("{{ {'k': [i, t]} | tojson }}", ["42", "true"]),
        ("{{ d | tojson }}", ['{"i": 7, "t": true}']),
        ("{{ [d, t] | tojson(indent=1) }}", ['[\n {\n  "i": 7,\n  "t": true\n },\n true\n]']),
        ("{{ i + 1 }}|{{ f * 2 }}|{{ f | round | int }}|{{ l[2] | int }}", ["43", "1.0", "0", "0"]),
        ("{{ i if t is true else 'no' }}", ["42"]),
        ("{{ z or u or i }}", ["42"]),
    ],
)
def test_what_is_written_of_numbers_is_the_records(source: str, expected: list[str]) -> None:
    """Text between numbers is the template's, so that a control token beside a number is one."""
    assert of_record(rendered(source)) == expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ 'yes' if t else 'no' }}{{ 'yes' if i > 40 else 'no' }}",
        "{{ l | length }}{{ 1 + 1 }}{{ true }}{{ t is boolean }}{{ not t }}{{ t == true }}",
        "{{ '<%d>' % i }}{{ '{:>5}'.format(i) }}",
        "{% for k in range(d.i) %}{{ loop.index }}{% endfor %}",
    ],
)
def test_what_a_template_decides_by_numbers_is_its_own(source: str) -> None:
    """So are lengths, and numbers in a format that changes them."""
    assert of_record(rendered(source)) == []


NAMES = ("i", "f", "z", "t", "u", "n", "d.i", "d.t", "l[0]", "l[1]")
TESTS = (
    "boolean", "true", "false", "integer", "float", "number", "string", "mapping", "iterable",
    "sequence", "none", "defined", "sameas true", "sameas 42", "eq 1", "in [1, false]", "odd",
    "divisibleby 2",
)  # fmt: skip
FORMS = (
    "{0}", "{0} | string", "{0} | tojson", "[{0}] | tojson", "[{0}] | string", "'%s' % {0}",
    "{{'k': {0}}} | tojson(sort_keys=true)", "'%r' % ({0},)", "'%d' % {0}", "'{{}}'.format({0})",
    "{0} + 1", "{0} * 'ab'", "-{0}", "{0} ** 2", "{0} % 2", "{0} | int", "{0} | float",
    "{0} | abs", "{0} | round(1)", "{0} | lower", "{0} | trim", "{0} | default('x', true)",
    "{0} and 'x'", "[{0}, 1] | sum", "[{0}, 1] | max", "[{0}, 1, true] | unique | list",
    "[{0}] | select | list", "[{0}, 0] | sort | list", "{{{0}: 'x'}}[{0}]", "{0} == 1", "{0} < 7",
    "{0} in [0, 42]", "namespace(k={0}).k", "dict(k={0}).k | tojson", "(1, {0}) | last",
    "{0} | pprint", "[{0}] | map('string') | join", "{0} | filesizeformat", "{0} | format",
    "{0} | replace('1', '2')",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_template_sees_no_difference(name: str) -> None:
    """All tests and operations give what they give for the value of the record."""
    for test in TESTS:
        same(f"{{{{ {name} is {test} }}}}")
    for form in FORMS:
        same(f"{{{{ {form.format(name)} }}}}")
        same(f"{{% set s = namespace() %}}{{% set s.v = {form.format(name)} %}}{{{{ s.v }}}}")


def same(source: str) -> None:
    """Check that a template gives the same with and without traced numbers, or fails in both."""
    try:
        PLAIN.compiled(source).render(VALUES)
    except Exception:
        with pytest.raises(Exception):  # noqa: B017, PT011 - whatever Python raises for such a value
            rendered(source)
    else:
        rendered(source)
