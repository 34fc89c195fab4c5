"""TracedEnvironment: it gives what the sandbox's environment gives, and knows what is the record's.

The texts of the record here contain Chinese characters, which no template contains. So such a
character must never be found in text that counts as the template's own.
"""

import copy
import json
from datetime import date
from typing import Any

import jinja2
import jinja2.filters
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some

from sftprep.errors import TemplateError
from sftprep.templates.jinja.sandbox import Environment
from sftprep.templates.jinja.traced_environment import TracedEnvironment, plain
from sftprep.templates.jinja.traced_text import DERIVED, TracedText, runs_of
from sftprep.templates.jinja.tracing import Tracer, value_at

TODAY = date(2026, 2, 3)
RECORD: dict[str, Any] = {
    "messages": [
        {"role": "user", "content": " 漢-字 b\n"},
        {
            "role": "assistant",
            "content": "語",
            "reasoning_content": "<think>言</think>",
            "tool_calls": [
                {
                    "function": {
                        "name": "名",
                        "arguments": {"鍵": "値", "n": 1.5, "里": ["外", None]},
                    }
                }
            ],
        },
        {"role": "tool", "content": "", "name": "名"},
        {"role": "assistant", "content": "漢-字\t語 <b>", "prefix": True},
    ],
    "tools": [{"type": "function", "role": "役", "function": {"name": "名", "parameters": {}}}],
    "arguments": {"word": "言語", "flag": True},
}
THEIRS = set("漢字語言名鍵値里外役")
ERRORS = (jinja2.TemplateError, TypeError, ValueError, LookupError, AttributeError)
PLAIN, TRACED = Environment(TODAY), TracedEnvironment(TODAY)


def with_names(record: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of a template: parts of the record have short names."""
    messages = record["messages"]
    return {
        **record,
        **record["arguments"],
        "m": messages[0],
        "x": messages[0]["content"],
        "y": messages[3]["content"],
        "a": messages[1]["tool_calls"][0]["function"]["arguments"],
    }


def rendered_traced(source: str) -> str:
    """Render with the traced copy of the record."""
    tracer = TRACED.tracer = Tracer()
    template = TRACED.compiled(source)
    values = with_names({key: tracer.traced(value, (key,)) for key, value in RECORD.items()})
    return TRACED.concat(template.root_render_func(template.new_context(values)))


def check_provenance(text: str) -> None:
    """Check that what is copied is the record's text, and that nothing of it is literal."""
    assert sum(run.length for run in runs_of(text)) == len(text)
    position = 0
    for length, origin, start in runs_of(text):
        stretch = plain(text)[position : position + length]
        position += length
        if origin is None or not origin.path:
            assert not THEIRS & set(stretch), f"literal: {stretch}"
        elif start != DERIVED:
            value = value_at(RECORD, origin.path[:-1])
            # The text is a value of an object or list, or its key.
            value = value[origin.path[-1]]
            texts = [json.dumps(value, **origin.options)] if origin.options else [
                value, origin.path[-1]
            ]  # fmt: skip
            found = [t[start : start + length] for t in texts if isinstance(t, str)]
            assert stretch in found


def same(source: str) -> str | None:
    """Check that a template gives the same with and without provenance; None: it fails in both."""
    try:
        # A copy: Jinja's filter ``indent`` adds a line to a list that it is given.
        expected = PLAIN.compiled(source).render(with_names(copy.deepcopy(RECORD)))
    except ERRORS:
        with pytest.raises(ERRORS):
            rendered_traced(source)
        return None
    made = rendered_traced(source)
    assert plain(made) == expected
    check_provenance(made)
    return made


def has_literal(text: str) -> bool:
    """Tell whether a part of a text counts as the template's own."""
    return any(run.length and run.origin is None for run in runs_of(text))


TEXT_FILTERS = {
    "attr('upper')": "method",
    "batch(2)": "list",
    "capitalize": "",
    "center(20)": "padded",
    "count": "number",
    "d('z')": "",
    "default('z')": "",
    "dictsort": "fails",
    "e": "",
    "escape": "",
    "filesizeformat": "fails",
    "first": "",
    "float": "number",
    "forceescape": "",
    "format('z')": "",
    "indent": "padded",
    "indent(3, true)": "padded",
    "int": "number",
    "items": "generator",
    "join('+')": "padded",
    "last": "",
    "length": "number",
    "list": "list",
    "lower": "",
    "map('upper')": "list",
    "max": "",
    "min": "",
    "pprint": "",
    "reject('eq', 'b')": "list",
    "replace('-', x)": "",
    "replace('', x, 1)": "",
    "replace('-', x, none)": "",
    "reverse": "",
    "round": "fails",
    "safe": "",
    "select('ne', 'b')": "list",
    "slice(2)": "list",
    "sort": "list",
    "string": "",
    "striptags": "",
    "title": "",
    "tojson": "",
    "tojson(ensure_ascii=true, indent=2)": "",
    "trim": "",
    "trim('z')": "",
    "truncate(5, true)": "",
    "unique": "list",
    "upper": "",
    "urlencode": "",
    "urlize": "",
    "wordcount": "number",
    "wordwrap(3)": "",
}
OF_LISTS_AND_OBJECTS = (
    "batch(2)", "count", "d('z')", "dictsort", "dictsort(by='value')", "e", "first", "groupby(0)",
    "items", "join", "join('+')", "join(x)", "join(d='+')", "join(attribute=0)", "last", "length",
    "list", "map('upper')", "map('string')", "max", "min", "pprint", "reject", "reverse", "select",
    "select('string')", "slice(2)", "sort", "string", "sum", "tojson", "tojson(sort_keys=true)",
    "tojson(indent=2)", "tojson(separators=(',', ':'))", "tojson(ensure_ascii=true)", "trim",
    "unique", "upper", "urlencode", "wordcount", "xmlattr", "title", "capitalize", "format(x)",
    "replace('-', x)", "truncate(9)", "wordwrap(5)", "indent", "int", "float", "safe", "striptags",
    "abs", "round", "filesizeformat", "urlize", "center(40)", "forceescape", "attr('keys')",
    "map(attribute=0)", "map(attribute='content')", "selectattr('role')", "rejectattr('name')",
    "selectattr('role', 'eq', 'user')", "default(x)", "lower", "escape", "groupby('role')",
)  # fmt: skip


@pytest.mark.parametrize("name", TEXT_FILTERS)
def test_filters_of_texts(name: str) -> None:
    """Each filter gives the same as for a plain text, and its result is the record's."""
    kind = TEXT_FILTERS[name]
    after = {"list": "|list", "generator": "|list", "method": "()"}.get(kind, "")
    for text in ("y", "x", "a.鍵", "messages[2].content", "'z' ~ y", "y ~ 'z' ~ x"):
        expression = f"(({text})|{name}){after}"
        made = same(f"{{{{ {expression} }}}}")
        assert made is None or kind != "fails"
        if made and kind in ("", "method") and "'z'" not in text:
            assert not has_literal(made)
    if kind not in ("list", "method", "fails", "generator"):
        same(f"{{{{ [y, x, messages[1].content]|map('{name.partition('(')[0]}')|join('+') }}}}")


@pytest.mark.parametrize(
    "part", [0, *(pytest.param(part, marks=pytest.mark.conformance) for part in range(1, 6))]
)
@pytest.mark.parametrize("name", OF_LISTS_AND_OBJECTS)
def test_filters_of_lists_and_objects(name: str, part: int) -> None:
    """Each filter gives the same as for plain lists and objects, views and generators of texts."""
    values = (
        "messages", "tools", "a", "m", "[x, y, 'z']", "(x, y)", "{'k': x}", "{x: 1, y: 2}",
        "a.keys()", "a.values()", "a.items()", "a|items", "messages|map(attribute='content')",
        "[x, y]|map('upper')", "[[x, 1], ['b', y]]", "x.split('-')", "y|list", "[]", "{}",
        "nothing",
        "messages|selectattr('role', 'eq', 'user')", "a.里", "[[x, y]|map('trim')|list]",
    )  # fmt: skip
    lists = ("groupby", "items", "map", "reject", "select", "batch", "slice", "unique", "reverse",
             "dictsort")  # fmt: skip
    after = "|list" if name.startswith(lists) else "()|list" if name.startswith("attr") else ""
    first = OF_LISTS_AND_OBJECTS.index(name) + part
    for value in values[first % 6 :: 6]:
        shows_object = not after and name.partition("(")[0] not in ("join", "first", "last")
        if shows_object and ("map(" in value or "selectattr" in value or "|items" in value):
            continue  # writes an address
        same(f"{{{{ ({value})|{name}{after} }}}}")
        same(f"{{{{ ({value})|{name}{after}|list|join('+') }}}}")


def test_all_filters_of_jinja_are_tried() -> None:
    """When Jinja gets a new filter, a test for it is due."""
    tried = {name.partition("(")[0] for name in (*TEXT_FILTERS, *OF_LISTS_AND_OBJECTS)}
    assert set(jinja2.filters.FILTERS) - tried == {"random"}


WITH_SPLITS = (
    "x.split('-')[0]", "x.split()|join('+')", "y.rsplit('-', 1)[-1]", "x.partition('-')[2]",
    "x.splitlines()|first", "x.strip()", "y.lstrip('-')", "x.removeprefix(' ')",
    "x[1:]", "x[-3:-1]", "x[::-1]", "x[0]", "y|list|last", "x.find('-')", "x.count('-')",
    "x.startswith(' ')", "x.upper()", "x.title()", "x.center(30, '*')", "x.zfill(20)",
    "x.replace('-', '+')", "x.replace('-', y, 1)", "'a'.replace('a', x)", "'-'.join([x, y])",
    "'-'.join(x)", "x.join(['a', 'b'])", "'-'.join(a)", "'-'.join(a.keys())",
    "'-'.join(messages|map(attribute='content'))", "'%s' % x", "'%s-%r' % (x, y)", "'%s' % a",
    "'%s' % (a,)", "'%s' % [x]", "'%(k)s' % {'k': x}", "'%s' % (a.keys(),)", "'%c' % x[1]",
    "'%.2s|%9s' % (x, y)", "'{}'.format(x)", "'{:>9}{k}'.format(x, k=y)", "'{0[1]}'.format(x)",
    "'{}'.format(a)", "'{}'.format([x])", "'{k}'.format_map({'k': x})",
    "x.format('a')", "(x ~ '{}').format(y)", "(x ~ '%s') % y", "'%s'|format(x)",
    "'%(k)s'|format(k=x)", "x ~ y ~ 'a' ~ 1 ~ none ~ true", "x + 'a' + y", "'a' + x", "x * 2",
    "3 * x", "[x] * 2", "[x] + [y]", "x < y", "x == 'b'", "x in y", "'-' in x",
    "x in [x, y]", "x in {x: 1}", "{x: 1}[x]", "{x: y}", "[x, y]", "(x,)", "dict(k=x)",
    "dict(a)", "dict(m, content='z')", "dict(m).content", "namespace(k=x).k",
    "a.keys()", "a.values()", "a.items()", "a.items()|list", "a", "messages", "a.里", "none", "1.5",
    "tools[0].role", "tools", "messages[1].role", "word", "flag", "strftime_now('%Y-%m')",
    "strftime_now(y)", "x.encode()|length", "x.encode().decode()", "x.encode('utf-8').hex()",
    "x.encode().decode('latin-1')", "x and y", "messages[2].content or x", "not x", "x is string",
    "x is upper", "x is eq y", "x is in y", "x if y else 'z'", "messages|map(attribute='content')"
    "|join('|')", "messages|groupby('role')|map('last')|list", "messages|sum(attribute='nothing')",
    "y.split(sep='-', maxsplit=1)", "y.expandtabs(tabsize=2)", "x.translate({45: 'z'})",
    "x.maketrans('a', 'b')", "x.isalpha()", "x.casefold()", "messages[-1]['content']", "x.nothing",
    "messages[0]['content'][1]", "loop", "[x, y]|map('length')|list", "range(3)|list", "range(3)",
    "x|first|upper", "(x|trim) == (y|trim)", "x|length > 3", "messages|length", "a.n", "a.n + 1",
    "m.get('content')", "m.get('nothing', x)", "a.get('n')", "a.copy()", "m|items|list|tojson",
    "'a' 'b'", "x|default(y, true)", "y|replace('-', '')|replace('\t', '')|length",
)  # fmt: skip


@pytest.mark.parametrize("expression", WITH_SPLITS)
def test_expressions(expression: str) -> None:
    """Operators, methods, functions: the same values, and the record's characters are its own."""
    same(f"{{{{ {expression} }}}}")
    same(f"{{% set v = {expression} %}}[{{{{ v }}}}]{{{{ v|string ~ v }}}}")


STATEMENTS = (
    "{% for t in messages %}{{ loop.index }}{{ t.content }}{% if not loop.last %},{% endif %}"
    "{% endfor %}",
    "{% for k, v in a.items() %}{{ k }}={{ v }};{% else %}z{% endfor %}",
    "{% for k in a %}{{ k }}{% endfor %}{% for c in x %}[{{ c }}]{% endfor %}",
    "{% for t in messages if t.content %}{{ t.content }}{% break %}{% endfor %}",
    "{% for t in messages[1:] recursive %}{{ t.content }}{{ loop(t.nothing or []) }}{% endfor %}",
    "{% macro f(p, q='z') %}<{{ p }}{{ q }}{{ caller() if caller else '' }}>{% endmacro %}"
    "{{ f(x) }}{{ f('a', q=y) }}{% call f(y) %}{{ x }}{% endcall %}{{ f(x)|upper }}",
    "{% set v %}<{{ x }}>{% endset %}{{ v }}{{ v|trim }}{{ v[1:-1] }}{{ v.split('-')[0] }}",
    "{% filter upper %}b{{ x }}{% endfilter %}{% filter replace('-', y) %}{{ x }}{% endfilter %}",
    "{% set n = namespace(t='') %}{% for t in messages %}{% set n.t = n.t ~ t.content %}"
    "{% endfor %}{{ n.t }}",
    "{% set b, c = x[:2] %}{{ c }}{{ b }}{% set d = (x, y) %}{{ d[0] }}",
    "{% with v = x %}{{ v }}{% endwith %}{% block b %}{{ x }}{% endblock %}{{ self.b() }}",
    "{% generation %}a{{ x }}{% endgeneration %}{{ y }}",
    "{% set v %}{% generation %}{{ x }}{% endgeneration %}{% endset %}{{ v|trim }}{{ v|upper }}",
    "{% for t in messages %}{{ loop.cycle('a', t.content) }}{{ loop.changed(t.role) }}{% endfor %}",
    "{{- x -}} b {{ y }}  {%- if x %} {{ x }}{% endif %}",
    "{% raw %}{{ x }}{% endraw %}{# x #}",
    "{% set j = joiner(x) %}{{ j() }}a{{ j() }}",
    "{% for t in messages|groupby('role') %}{{ t.grouper }}"
    "{{ t.list|map(attribute='content')|join }}{% endfor %}",
    "{{ messages|map(attribute='content')|map('trim')|select|join(', ') }}",
    "{% set ks = a.keys()|list %}{{ ks }}{{ ks|join }}{{ a|dictsort }}",
    "{{ undefined_name }}{{ undefined_name is defined }}{{ messages[0].nothing|default(x) }}",
    "{% if x == y %}a{% elif x != y %}b{% endif %}{{ 1 < 2 < 3 }}{{ 'a' < x < 'b' }}",
)


@pytest.mark.parametrize("source", STATEMENTS)
def test_statements(source: str) -> None:
    """Loops, macros, blocks and namespaces pass the provenance on."""
    made = same(source)
    assert made is not None


LEAVES = st.sampled_from(
    ["x", "y", "word", "messages[1].content", "messages[2].content", "a.鍵",
     "tools[0].function.name",
     "'b'", "'-'", "''", "'z'", "messages[0].role", "a.n", "a", "messages", "nothing"]
)  # fmt: skip
ONE = [
    "{}|upper", "{}|trim", "{}|title", "{}|string", "{}|list|last", "{}|first", "{}|reverse|list",
    "{}[1:]", "{}[:-1]", "{}[::-1]", "{}[0]", "{}.split('-')|join('+')", "{}.split()|first",
    "{}.strip()", "{}.partition('-')|last", "{}.upper()", "{}|tojson", "[{}]|tojson", "{}|length",
    "{{'k': {}}}|tojson(sort_keys=true)", "[{}]|string", "{{{}: 1}}.keys()|join", "'%s' % ({},)",
    "'%5s' % {}", "'{{}}'.format({})", "'<{{:>5}}>'.format({})", "{}|indent(2)", "{}|wordwrap(3)",
    "{}|replace('-', '')", "{}|urlencode", "{}.encode().decode()", "{}|center(9)", "dict(k={}).k",
    "namespace(k={}).k", "{} * 2", "{}|map('upper')|join", "{}|map('string')|list|join('-')",
    "{}|unique|join", "{}|sort|join", "{}|join('b')", "{} is string", "{}|default('b', true)",
    "{}.content", "{}|map(attribute='content')|join(',')", "{}|truncate(4)", "not {}",
    "{}|items|list",
    "{}|batch(2)|map('join', '-')|join", "{}.keys()|list", "{}|tojson|length", "{}|int",
]  # fmt: skip
TWO = [
    "{} ~ {}", "{} + {}", "[{}, {}]|join('-')", "[{}]|join({})", "{}|replace('-', {})",
    "{}|join({})",
    "{}.replace('-', {})", "'%s-%s' % ({}, {})", "'{{}}{{}}'.format({}, {})", "{} or {}",
    "{} and {}",
    "{{{}: {}}}", "{{{}: {}}}|tojson", "[{}, {}]|min", "[{}, {}]|tojson(ensure_ascii=true)",
    "({}, {})|map('trim')|join('b')", "{} in {}", "{} == {}", "'b'.join([{}, {}])", "{}.join([{}])",
    "({} if {} else 'b')", "{}.get('k', {})", "[{}, {}]|unique|list", "{}.split({})",
    "{}.strip({})",
    "[{}, {}]|tojson(indent=1)", "[{}, [{}]]", "{}|default({})", "{}.rpartition({})|first",
]  # fmt: skip
EXPRESSIONS: st.SearchStrategy[str] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(ONE), inner).map(lambda d: d[0].format(f"({d[1]})")),
        st.tuples(st.sampled_from(TWO), inner, inner).map(
            lambda d: d[0].format(f"({d[1]})", f"({d[2]})")
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=some(40), deadline=None)
@given(st.lists(EXPRESSIONS, min_size=1, max_size=3))
def test_random_expressions(expressions: list[str]) -> None:
    """Whatever a template computes, the value is the same and the record's text stays its own."""
    for expression in expressions:
        same(f"{{{{ {expression} }}}}")


@pytest.mark.conformance
@settings(max_examples=1500, deadline=None)
@given(st.lists(EXPRESSIONS, min_size=1, max_size=3))
def test_many_random_expressions(expressions: list[str]) -> None:
    """The same, longer."""
    for expression in expressions:
        same(f"{{{{ {expression} }}}}")


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ("messages|map(attribute='content')", "generator"),
        ("namespace(k=x)", "Namespace"),
        ("x.encode()", "bytes"),
        ("x.upper", "builtin_function_or_method"),
        ("a.items", "builtin_function_or_method"),
        ("[messages|map(attribute='content')]", "generator"),
        ("{'k': namespace(k=x)}", "Namespace"),
    ],
)
@pytest.mark.parametrize(
    "form", ["{}", "{}|string", "{} ~ ''", "'%s' % ({},)", "'{{}}'.format({})", "'%s'|format({})"]
)
def test_an_object_of_python_cannot_be_written(value: str, kind: str, form: str) -> None:
    """Its text holds an address in memory, or texts of the record that nobody would see there."""
    with pytest.raises(jinja2.TemplateRuntimeError) as caught:
        rendered_traced(f"{{{{ {form.format(f'({value})')} }}}}")
    kinds = [kind, "method"] if "method" in kind else [kind]
    texts = [f"it writes a {k}, which is an object of Python and no text" for k in kinds]
    assert str(caught.value) in texts


def test_autoescaping_is_refused() -> None:
    """It would make other text of the record's texts, and no chat template has a use for it."""
    with pytest.raises(jinja2.TemplateSyntaxError, match="autoescape is not supported"):
        rendered_traced("{% autoescape true %}{{ word }}{% endautoescape %}")


def test_a_date_is_still_needed() -> None:
    """The traced environment refuses what the sandbox's environment refuses."""
    environment = TracedEnvironment(None)
    with pytest.raises(TemplateError, match="Pass --date"):
        environment.compiled("{{ strftime_now('%Y') }}").render()


def test_what_is_literal_is_not_traced() -> None:
    """A template that writes none of the record's texts gives a plain text."""
    assert not isinstance(rendered_traced("a{{ 'b' ~ 1 }}{{ messages|length }}"), TracedText)
    assert not isinstance(rendered_traced("{{ tools[0].type == 'function' }}"), TracedText)
