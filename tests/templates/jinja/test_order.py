"""No row depends on other records: not on their order, and not on which were rendered before.

The templates here decide by what a text holds: a content, the parts of a content, the arguments of
a call, a tool, a template argument of the record. Each record must give what it gives alone.
"""

import json
import random
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CHATML, call, chat_of, renderer, shown_rendered, tool, turns
from toys import Token, byte_hf, recipe, save_folder, tree, write_jsonl

from sftprep import load_manifest
from sftprep.errors import DataError, RecordError
from sftprep.run import prepare
from sftprep.templates.jinja.renderer import ChatRenderer

LITERALS = ("no", "x", "</think>", "<think>", "<end>", "\n", "a", "1", "sorry")
WORDS = (*LITERALS, " ", "<", "</im>", "think>", "/think>", "</", "<im>assistant\n", "Q", "é", "oz")
TEXTS = st.lists(st.sampled_from(WORDS), max_size=5).map("".join)
QUOTED = st.sampled_from([repr(literal) for literal in LITERALS])


def conditions(text: str) -> st.SearchStrategy[str]:
    """Generate conditions on a text of a message."""
    return st.one_of(
        st.tuples(QUOTED, st.sampled_from(["in", "not in"])).map(
            lambda drawn: f"{drawn[0]} {drawn[1]} {text}"
        ),
        st.tuples(st.sampled_from(["startswith", "endswith", "count"]), QUOTED).map(
            lambda drawn: f"{text}.{drawn[0]}({drawn[1]})"
        ),
        st.tuples(st.sampled_from(["==", "!=", "<"]), QUOTED).map(
            lambda drawn: f"{text} {drawn[0]} {drawn[1]}"
        ),
        st.integers(0, 9).map(lambda length: f"{text}|length > {length}"),
        st.integers(0, 3).map(lambda index: f"{text}[{index}:] == {text}[:-{index}]"),
        st.sampled_from(
            [
                "loop.last",
                f"{text}|trim",
                f"{text} is string",
                f"({text} ~ 'a') is in ['xa', 'a']",
                f"{text}.isdigit()",
                f"{text}.split('x')|length > 1",
                f"{text}|upper == {text}",
                f"{text}|list|first == 'a'",
                f"{text} in 'a no x'",
                "messages|selectattr('content', 'equalto', 'x')|list",
                f"messages|map(attribute='content')|join|trim != {text}|trim",
                f"messages|tojson|length > 60 and {text}",
            ]
        ),
    )


def written(text: str) -> st.SearchStrategy[str]:
    """Generate expressions that write a text of a message, or a part of it."""
    return st.sampled_from(
        [
            text,
            text,
            f"{text}|trim",
            f"{text}.strip('\\n')",
            f"{text}.split('</think>')[-1]",
            f"{text}.split('</think>')[-1].lstrip('\\n')",
            f"'<think>\\n' ~ {text}.split('</think>')[0].split('<think>')[-1] ~ '</think>' ~ "
            f"{text}.split('</think>')[-1]",
            f"{text}.replace('no', '')",
            f"{text}.split('\\n') | join('|')",
            f"{text}.rsplit('a', 1)[0] ~ {text}.partition('x')[0]",
            f"{text} ~ ('!' | safe)",
            f"{{{text}: 1, 'a': 2}} | tojson",
            f"{text}[:12]",
            f"{text}|tojson",
            f"{text}|default('x', true)",
        ]
    )


@st.composite
def sources(draw: st.DrawFn) -> str:
    """Generate templates that decide by what the texts of the record hold."""

    def choice(text: str) -> str:
        one, other = draw(written(text)), draw(written(text))
        extra = draw(st.sampled_from(["'!'", "'<end>'", "''", "'<think>'"]))
        test = draw(conditions(text))
        return f"(({one} ~ {extra}) if {test} else {other})"

    body = choice("m.content") if draw(st.booleans()) else draw(written("m.content"))
    if draw(st.booleans()):
        body = f"(({body}) if m.role == '{draw(st.sampled_from(['user', 'assistant']))}'" + (
            " else m.content)"
        )
    prompt = draw(st.sampled_from(["''", "'<think>'", "'<think>\\n\\n</think>\\n\\n'"]))
    extra = draw(conditions("messages[-1].content"))
    setup = ""
    if draw(st.booleans()):
        setup = "{% set c %}{{ messages[0].content }}{% endset %}"
        body = f"({body} ~ ('?' if {draw(conditions('c'))} else ''))"
    open_tag, close_tag = "", ""
    if draw(st.integers(0, 3)) == 0:
        open_tag, close_tag = "{% generation %}", "{% endgeneration %}"
    first = f"{{% if {draw(conditions('m.content'))} %}}" if open_tag else ""
    return (
        f"{setup}{{% for m in messages %}}<im>{{{{ m.role }}}}\n"
        f"{{% if m.role == 'assistant' %}}{first}{open_tag}{{{{ {body} }}}}</im>{close_tag}"
        + ("{% else %}{{ m.content }}</im>{% endif %}" if first else "")
        + f"{{% else %}}{{{{ {body} }}}}</im>{{% endif %}}\n{{% endfor %}}"
        "{% if add_generation_prompt %}<im>assistant\n"
        f"{{{{ {prompt} if {extra.replace('loop.last', 'true')} else '' }}}}{{% endif %}}"
    )


CONVERSATIONS = st.lists(st.tuples(TEXTS, TEXTS.filter(str.strip)), min_size=1, max_size=2).map(
    lambda exchanges: turns(*[text for exchange in exchanges for text in exchange])
)


def result(made: ChatRenderer, record: dict[str, Any]) -> Any:
    """Return all that the renderer says of a record: texts, what is trained, sections, parity."""
    try:
        rendered = made.render(chat_of(record))
    except RecordError as error:
        return error.reason, error.problem
    pieces = made.pieces(rendered.shape)
    return (
        [(p.text, p.slot < 0, p.trained, p.section) for p in pieces],
        [rendered.contents[p.slot] for p in pieces if p.slot >= 0],
        made.rewrites(rendered.shape),
    )


VALUES = st.one_of(TEXTS, st.sampled_from([1, 2.0, True, None, ["a"], {"x": "no"}, [], {}, 10**20]))
ARGUMENTS = st.dictionaries(st.sampled_from(["x", "k", "</im>"]), VALUES, max_size=2)
TOOLS = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from("fg"), "description": TEXTS, "parameters": ARGUMENTS}
    ),
    min_size=1,
    max_size=2,
)


@st.composite
def records_with_calls(draw: st.DrawFn) -> dict[str, Any]:
    """Generate records with calls, tools, parts of contents, reasoning, template arguments."""
    arguments = draw(ARGUMENTS)
    made = call(**arguments)
    if draw(st.booleans()):
        made["tool_calls"][0]["function"]["arguments"] = json.dumps(arguments)
    made["content"] = draw(st.sampled_from([None, "", "no", "a\n"]))
    question: Any = draw(TEXTS)
    answer, found = draw(TEXTS.filter(str.strip)), draw(TEXTS)
    if draw(st.booleans()):
        question = [{"type": "text", "text": text} for text in (question, found)]
    last: dict[str, Any] = {"role": "assistant", "content": answer}
    if draw(st.booleans()):
        last["reasoning_content"] = draw(TEXTS)
    record = turns(question, made, tool(found), last)
    if draw(st.booleans()):
        record["tools"] = [{"type": "function", "function": one} for one in draw(TOOLS)]
    if draw(st.booleans()):
        record["chat_template_kwargs"] = {"word": draw(VALUES)}
    return record


CALL_CONDITIONS = [
    "c.function.arguments", "c.function.arguments is mapping", "c.function.arguments is string",
    "'x' in c.function.arguments", "c.function.arguments.x", "c.function.arguments | length > 1",
    "c.function.arguments.x == 'no'", "c.function.name == 'f'", "c.id == 'c1'", "'no' in m.content",
    "c.function.arguments | tojson | length > 20", "'no' in (c.function.arguments | tojson)",
    "c.function.arguments == {}", "c.function.arguments.x is number", "m.content is none",
    "(c.function | tojson)[-3] == '1'", "c.function.arguments.k is defined", "loop.first",
]  # fmt: skip
CALL_TEXTS = [
    "c | tojson", "c.function | tojson", "c.function.arguments | tojson", "c.function.name",
    "c.function.arguments.x", "c.function.arguments.items() | list | length", "c.id",
    "c.function.arguments | tojson(indent=2)", "(c.function.arguments | tojson)[1:-1]",
    "{'n': c.function.name, 'a': c.function.arguments} | tojson",
    "c.function.arguments | join('|')",
    "c.function.arguments if c.function.arguments is string else c.function.arguments | tojson",
    "c.function.arguments.keys() | join(',')", "(c.function | tojson).split(':')[0]",
    "c.function.arguments.x | tojson", "'%s' % c.function.name",
    "[c.function.name, m.content] | tojson",
]  # fmt: skip
OTHER_CONDITIONS = [
    "m.content is string", "m.content is sequence", "'no' in text(m)", "text(m) | trim", "tools",
    "tools and tools[0].function.name == 'f'", "tools and 'no' in tools[0].function.description",
    "tools and tools[0].function.parameters", "word", "word is defined", "word == 1",
    "word is true",
    "word == 'no'", "m.reasoning_content", "'no' in (m.reasoning_content or '')",
    "m.role == 'tool'",
    "messages[1].tool_calls[0].function.arguments.x", "text(messages[0]) == text(messages[-1])",
    "tools | tojson | length > 150", "messages | tojson | length > 400", "text(m) | length > 3",
]  # fmt: skip
OTHER_TEXTS = [
    "text(m)", "text(m)", "text(m) | trim", "text(m) | tojson", "text(m) ~ (word or '')",
    "(m.reasoning_content or '') ~ text(m)", "text(m).split('no')[0]",
    "text(m) | replace('no', 'x')",
    "(tools | tojson if tools else '') ~ text(m)", "[text(m), word] | tojson", "text(m)[:3]",
    "(tools[0].function.name if tools else '') ~ text(m)", "text(m) ~ word", "m | tojson",
    "(tools | map(attribute='function') | map(attribute='name') | join if tools else '') ~ text(m)",
]  # fmt: skip


@st.composite
def sources_for_calls(draw: st.DrawFn) -> str:
    """Generate templates that decide by the calls, parts, tools and arguments of a record."""

    def choice(texts: list[str], conditions: list[str]) -> str:
        one, other = draw(st.sampled_from(texts)), draw(st.sampled_from(texts))
        test = draw(st.sampled_from(conditions))
        extra = draw(st.sampled_from(["", "<end>", "!"]))
        return f"{{% if {test} %}}{{{{ {one} }}}}{extra}{{% else %}}{{{{ {other} }}}}{{% endif %}}"

    prompt = draw(st.sampled_from(["", "{{ '<think>' if messages[-1].content is string }}",
                                   "{{ '<think>' if word }}"]))  # fmt: skip
    return (
        "{% macro text(m) %}{% if m.content is string %}{{ m.content }}"
        "{% else %}{% for part in m.content or [] %}{{ part.text }}{% endfor %}{% endif %}"
        "{% endmacro %}"
        f"{draw(st.sampled_from(['', '{{ tools | tojson if tools }}', '{{ word }}']))}"
        f"{{% for m in messages %}}<im>{{{{ m.role }}}}\n{choice(OTHER_TEXTS, OTHER_CONDITIONS)}"
        f"{{% for c in m.tool_calls or [] %}}<call>{choice(CALL_TEXTS, CALL_CONDITIONS)}</call>"
        f"{{% endfor %}}</im>\n{{% endfor %}}"
        f"{{% if add_generation_prompt %}}<im>assistant\n{prompt}{{% endif %}}"
    )


def check_alone(source: str, records: list[dict[str, Any]], shuffle: random.Random) -> None:
    """Check that neither the records before it nor their order change what a record gives."""
    alone = [result(renderer(source), record) for record in records]
    for _ in range(2):
        order = list(range(len(records)))
        shuffle.shuffle(order)
        made = renderer(source)
        for index in order:
            assert result(made, records[index]) == alone[index]


SOME_TALK = st.lists(CONVERSATIONS, min_size=2, max_size=6)
SOME_CALLS = st.lists(records_with_calls(), min_size=2, max_size=6)


@settings(deadline=None, max_examples=some(6))
@given(sources(), SOME_TALK, st.randoms())
def test_a_record_gives_what_it_gives_alone(
    source: str, records: list[dict[str, Any]], shuffle: random.Random
) -> None:
    """Templates that decide by contents."""
    check_alone(source, records, shuffle)


@settings(deadline=None, max_examples=some(5))
@given(sources_for_calls(), SOME_CALLS, st.randoms())
def test_a_record_with_calls_gives_what_it_gives_alone(
    source: str, records: list[dict[str, Any]], shuffle: random.Random
) -> None:
    """Templates that decide by calls, parts, tools, reasoning and template arguments."""
    check_alone(source, records, shuffle)


@pytest.mark.conformance
@settings(deadline=None, max_examples=150)
@given(st.one_of(st.tuples(sources(), SOME_TALK), st.tuples(sources_for_calls(), SOME_CALLS)),
       st.randoms())  # fmt: skip
def test_many_records_give_what_they_give_alone(
    given: tuple[str, list[dict[str, Any]]], shuffle: random.Random
) -> None:
    """The same, longer."""
    check_alone(*given, shuffle)


def check_shared(source: str, record: dict[str, Any]) -> None:
    """Check that a skeleton from the neutral chat has the spans of the record's own text."""
    shared, own = renderer(source), renderer(source)
    own._may_reuse = False
    try:
        expected = shown_rendered(own, own.render(chat_of(record)))
    except RecordError:
        return  # marks in the text change more decisions than placeholders do
    rendered = shared.render(chat_of(record))
    assert shown_rendered(shared, rendered) == expected


@settings(deadline=None, max_examples=some(8))
@given(
    st.one_of(
        st.tuples(sources(), CONVERSATIONS), st.tuples(sources_for_calls(), records_with_calls())
    )
)
def test_a_shared_skeleton_trains_what_the_record_itself_trains(
    given: tuple[str, dict[str, Any]],
) -> None:
    """A skeleton from the neutral chat has the same spans as one from the record's own text."""
    check_shared(*given)


@pytest.mark.conformance
@settings(deadline=None, max_examples=250)
@given(
    st.one_of(
        st.tuples(sources(), CONVERSATIONS), st.tuples(sources_for_calls(), records_with_calls())
    )
)
def test_many_shared_skeletons_train_what_the_records_train(
    given: tuple[str, dict[str, Any]],
) -> None:
    """The same, longer."""
    check_shared(*given)


def shapes(source: str, *records: dict[str, Any]) -> tuple[list[int], int]:
    """Return the records' shapes, and how many skeletons were derived for them."""
    made = renderer(source)
    with mock.patch.object(made, "_derive", wraps=made._derive) as derive:
        return [made.render(chat_of(record)).shape for record in records], derive.call_count


@pytest.mark.parametrize(
    "change",
    [
        ("", ""),
        ("m.content +", "m.content | trim +"),
        ("m.content +", "m.content.strip('\n') +"),
        ("m.content +", "(m.content if m.content is string else '') +"),
        ("m.content +", "('' if '</think>' in m.content else m.content) +"),
        ("m.content +", "(m.content if m.content.startswith('<tool>') else m.content) +"),
        ("m.content +", "m.content.split('</think>')[-1] +"),
        ("m.content +", "m.content.replace('<tool>', '') +"),
        ("m.content +", "([m] | map(attribute='content') | join) +"),
        ("m.content +", "([m.content, ''] | join('')) +"),
        ("for m in messages", "for m in messages | selectattr('role', 'ne', 'system')"),
    ],
)
def test_a_template_that_does_not_look_into_texts_shares_its_skeletons(
    change: tuple[str, str],
) -> None:
    """Common operations on texts are no reason to derive a skeleton for each record."""
    records = [turns("a", "b"), turns("cd", "ef"), turns("g h", "i")]
    assert shapes(CHATML.replace(*change), *records) == ([0, 0, 0], 1)


@pytest.mark.parametrize(
    ("expression", "first", "second"),
    [
        ("m.content + ('!' | safe)", "a", "<"),
        ("m.content + '!' | e", "a", "<"),
        ("('!' | safe) + m.content", "a", "<"),
        ("[m.content, '!' | safe] | join", "a", "<"),
        ("{m.content: 1, 'a': 2} | tojson", "b", "a"),
        ("{m.content: 1, 'm': 2} | tojson(sort_keys=true)", "b", "z"),
        ("dict([[m.content, 1], ['a', 2]]) | tojson", "b", "a"),
        ("dict([[m.content, 1], ['m', 2]]) | tojson(sort_keys=true)", "b", "z"),
        ("m.content.split('\\n')[-1]", "\n\n a", "\n\n a\nb"),
        ("m.content.split('a')[0] ~ m.content.split('>\\n')[-1]", "<think>\nb", "<think>\nb>\n"),
        ("two(*m.content.strip())", "a", "ab"),
    ],
)
def test_what_depends_on_more_than_decisions_is_not_remembered(
    expression: str, first: str, second: str
) -> None:
    """Text is escaped, keys of an object are equal or in another order, a text is divided."""
    macro = "{% macro two(a, b='') %}{{ a ~ '-' ~ b }}{% endmacro %}"
    made, own = (renderer(macro + CHATML.replace("m.content +", f"{expression} +")) for _ in "ab")
    own._may_reuse = False
    for text in (first, second):
        record = turns(text, "answer")
        assert result(made, record) == result(own, record)


def test_items_of_a_list_that_are_texts_may_be_divided_into_variables() -> None:
    """One text has as many characters as there are variables, another one with it has more."""
    loop = "{% for a, b in [m.content] %}{{ a ~ '-' ~ b }}{% endfor %}"
    source = CHATML.replace("{{ '<im>'", loop + "{{ '<im>'", 1)
    assert loop in source
    made, own = renderer(source), renderer(source)
    own._may_reuse = False
    for text in (" a", " ab"):
        assert result(made, turns(text, "\na")) == result(own, turns(text, "\na"))


def test_a_record_for_which_a_template_writes_too_much_is_refused() -> None:
    """Also if the template has written less for another record with the same form."""
    source = CHATML.replace("m.content +", f"({' ~ '.join(['m.content'] * 100)}) +")
    made = renderer(source)
    assert made.render(chat_of(turns("a", "b")))
    refused = result(made, turns("a" * 40_000, "b"))
    assert refused[0] == "template_limit"


@pytest.mark.parametrize(
    "text", ["m.content | length", "m.content[1:2]", "m.content.find('c')", "m.content | first"]
)
def test_a_template_that_looks_into_texts_gets_a_skeleton_for_each_record(text: str) -> None:
    """Nothing is reused, and equal skeletons still have one shape."""
    source = CHATML.replace("m.content +", f"(m.content if {text} != 'z' else '') +")
    numbers, derived = shapes(source, turns("ab", "cb"), turns("cd", "ef"))
    assert numbers == [0, 0]
    assert derived >= 2


def test_calls_and_tools_share_skeletons() -> None:
    """Arguments, results and parameters may differ: templates write them as JSON."""
    source = (
        "{% for t in tools %}{{ t | tojson }}{% endfor %}"
        "{% for m in messages %}<im>{{ m.role }}\n{{ m.content or '' }}"
        "{% for c in m.tool_calls or [] %}<call>{{ c.function.name }}"
        "{{ c.function.arguments | tojson }}</call>{% endfor %}"
        "</im>\n{% endfor %}{% if add_generation_prompt %}<im>assistant\n{% endif %}"
    )
    records = []
    for arguments in ({"x": 1}, {"y": ["é", 2.5]}):
        function = {"name": "f", "parameters": {"type": "object", "properties": arguments}}
        tools = [{"type": "function", "function": function}]
        record = turns("a", call(**arguments), tool(str(arguments)), "b")
        records.append(record | {"tools": tools})
    assert shapes(source, *records) == ([0, 0], 1)


DECIDING = {
    "the prompt depends on the question": CHATML.replace(
        "'<im>assistant\n' }}",
        "'<im>assistant\n' }}{% if '/no' in messages[-1].content %}<think>{% endif %}",
    ),
    "what is marked depends on the answer": (
        "{% for m in messages %}<im>{{ m.role }}\n"
        "{% if m.role == 'assistant' and 'sorry' not in m.content %}"
        "{% generation %}{{ m.content }}</im>{% endgeneration %}"
        "{% else %}{{ m.content }}</im>{% endif %}\n{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant\n{% endif %}"
    ),
    "thinking is taken apart": (
        "{% for m in messages %}<im>{{ m.role }}\n{% if '</think>' in m.content %}"
        "{% set parts = m.content.split('</think>') %}"
        "<think>\n{{ parts[0].split('<think>')[-1].strip('\n') }}\n</think>\n\n"
        "{{ parts[-1].lstrip('\n') }}{% else %}{{ m.content }}{% endif %}</im>\n{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant\n{% endif %}"
    ),
    "the length decides": CHATML.replace(
        "m.content +", "m.content + ('<end>' if m.content | length > 4 else '') +"
    ),
}


RUNS = [(1, 150), (2, 400), (3, 150), (7, 200)]
"""Numbers of workers, and sizes of blocks."""


@pytest.mark.conformance
@pytest.mark.parametrize("name", DECIDING)
def test_every_number_of_workers_and_size_of_blocks_gives_the_same_rows(
    name: str, tmp_path: Path
) -> None:
    """The dataset is the same, and each row is the row of its record alone."""
    tokens = ["<im>", "</im>", "<end>", "<think>", "</think>", "</s>"]
    tokenizer = save_folder(
        byte_hf([Token(token) for token in tokens]), tmp_path / "tokenizer", eos_token="</s>"
    )
    template = tmp_path / "template.jinja"
    template.write_text(DECIDING[name])
    answers = [
        "b",
        "sorry",
        "<think>r</think>b",
        "r\n</think>\n\none",
        "<think>x</think>",
        "long b",
    ]
    records = [
        turns(question, answer) for question in ("a", "a /no", "long a") for answer in answers
    ]
    random.Random(name).shuffle(records)
    options = {"template": str(template), "on_error": "quarantine", "max_rejects": "100%"}

    def built(folder: str, records: list[dict[str, Any]], workers: int, block: int) -> Path:
        data = write_jsonl(tmp_path / f"{len(records)}.jsonl", records)
        output = tmp_path / folder
        prepare(
            recipe(data, output, tokenizer, workers=workers, format="jsonl", **options),
            block_bytes=block,
        )
        return output

    def rows(output: Path) -> list[str]:
        shards = [output / shard["name"] for shard in load_manifest(output).shards]
        return [row for shard in shards for row in shard.read_text().splitlines()]

    def rows_alone(number: int) -> list[str]:
        try:
            return rows(built(f"alone-{number}", [records[number]], 1, 1 << 20))
        except DataError:  # the record is rejected
            return []

    first = built("first", records, 1, 1 << 20)
    for workers, block in RUNS:
        other = built(f"{workers}-{block}", records, workers, block)
        assert tree(other) == tree(first)
    alone = [row for number in range(len(RUNS)) for row in rows_alone(number)]
    assert alone == rows(first)[: len(alone)]
