"""The rules that determine spans, each with a small template and the span that follows by hand.

The trained text is shown between ⟦ and ⟧. ``</s>`` is the EOS token and the only stop token, unless
a test says otherwise. Templates with a loop over the messages fall under rule 2a; those that have
the loop in a macro or count with numbers do not tell which message they are at (rules 2b to 2d).
"""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from profiles import some
from templates.jinja.chats import CHATML, call, chat_of, renderer, shown, tool, turns

from sftprep.data.control_tokens import TurnEnd
from sftprep.errors import RecordError

TWO = turns("a", "b", "c", "d")
ONE = turns("a", "b")
COUNT = "{{ messages | length }}"
"""A template that begins with this rewrites its history: no prompt is a part of it."""


def in_macro(source: str) -> str:
    """Return a template that does the same, without a loop that tells at which message it is."""
    return f"{{% macro all() %}}{source}{{% endmacro %}}{{{{ all() }}}}"


def with_prompt(prompt: str) -> str:
    """Return CHATML with another generation prompt."""
    return CHATML.replace("<im>assistant\n' }}{% endif", f"{prompt}' }}}}{{% endif")


def with_end(end: str) -> str:
    """Return CHATML with another end of turns."""
    return CHATML.replace("m.content + '</im>\n'", f"m.content + {end}")


def rewrites(source: str, record: dict[str, Any], **options: Any) -> bool:
    """Tell whether inference feeds another text than the one before a span."""
    made = renderer(source, **options)
    return made.rewrites(made.render(chat_of(record)).shape)


def refusal(source: str, record: dict[str, Any], **options: Any) -> str:
    """Return what a refusal says."""
    with pytest.raises(RecordError) as caught:
        shown(renderer(source, **options), record)
    assert caught.value.reason == "span_not_derivable"
    return caught.value.problem.removeprefix("it is not certain what the chat template trains: ")


GOES_ON = (
    "{% set ns = namespace(inside=false) %}{% for m in messages %}"
    "{% if m.role == 'user' %}<user>{{ m.content }}{% set ns.inside = false %}"
    "{% elif m.role == 'tool' %}[{{ m.content }}]"
    "{% else %}{{ '' if ns.inside else '<bot>' }}{% set ns.inside = true %}{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<call>{{ c.function.arguments | tojson }}</call>"
    "{% else %}</s>{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
)
"""A template that writes a call, its result and the answer in one turn."""

STARTS: dict[str, tuple[str, dict[str, Any], str, bool]] = {
    "1a: after the prompt": (
        CHATML, TWO,
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n",
        False,
    ),
    "1a: the prompt ends inside the answer": (
        with_prompt("<im>assistant\n<think>\n"), turns("a", "<think>\nr</think>b"),
        "<im>user\na</im>\n<im>assistant\n<think>\n⟦r</think>b</im>⟧\n", False,
    ),
    "1a: an answer that is the end of the prompt": (
        with_prompt("<im>assistant\n<think>"), turns("a", "<think>"),
        "<im>user\na</im>\n<im>assistant\n<think>⟦</im>⟧\n", False,
    ),
    "1a: the prompt ends before white space of the answer": (
        CHATML, turns("a", "\n b"), "<im>user\na</im>\n<im>assistant\n⟦\n b</im>⟧\n", False,
    ),
    "1a: the header is written twice": (
        CHATML.replace("m.content", "('<bot>' if m.role == 'assistant' else '') + m.content"), ONE,
        "<im>user\na</im>\n<im>assistant\n⟦<bot>b</im>⟧\n", False,
    ),
    "1b: another text at the start": (
        COUNT + CHATML, TWO,
        "4<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n",
        True,
    ),
    "1b: a generation prompt of plain text": (
        COUNT + "{% for m in messages %}{{ m.role }}: {{ m.content }}</s>\n{% endfor %}"
        "{% if add_generation_prompt %}assistant: {% endif %}", ONE,
        "2user: a</s>\nassistant: ⟦b</s>⟧\n", True,
    ),
    "1b: contents like the generation prompt": (
        COUNT + CHATML, turns("<im>assistant\n", "<im>assistant\n"),
        "2<im>user\n<im>assistant\n</im>\n<im>assistant\n⟦<im>assistant\n</im>⟧\n", True,
    ),
    "1c: the turn has no think tag": (
        with_prompt("<im>assistant\n<think>\n"), ONE,
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n", True,
    ),
    "1c: the turn has a think tag that the prompt closes": (
        with_prompt("<im>assistant\n<think></think>"), turns("a", "<think>r</think>b"),
        "<im>user\na</im>\n<im>assistant\n⟦<think>r</think>b</im>⟧\n", True,
    ),
    "1c: the prompt goes on with plain text": (
        with_prompt("<im>assistant\nWell, "), ONE,
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n", True,
    ),
    "1c: the template's own tag begins the turn": (
        with_prompt("<im>assistant\n<final>").replace(
            "m.content", "('<think></think>' if m.role == 'assistant' else '') + m.content"), ONE,
        "<im>user\na</im>\n<im>assistant\n⟦<think></think>b</im>⟧\n", True,
    ),
    "1d: no generation prompt": (
        "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}", TWO,
        "[user]a</s>⟦[assistant]b</s>⟧[user]c</s>⟦[assistant]d</s>⟧", False,
    ),
    "1d: no generation prompt, another text at the start": (
        COUNT + "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}", ONE,
        "2[user]a</s>⟦[assistant]b</s>⟧", True,
    ),
    "1f: the answer goes on behind a result": (
        GOES_ON, turns("a", call(x=1), tool("r"), {"role": "assistant", "content": "b"}),
        "<user>a<bot>⟦<call>{\"x\": 1}</call>⟧[r]⟦b</s>⟧", True,
    ),
    "an answer at the start": (
        CHATML, turns({"role": "assistant", "content": "b"}, {"role": "user", "content": "c"},
                      {"role": "assistant", "content": "d"}),
        "<im>assistant\n⟦b</im>⟧\n<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n", True,
    ),
    "an answer after the system prompt": (
        CHATML, turns({"role": "system", "content": "s"}, {"role": "assistant", "content": "b"}),
        "<im>system\ns</im>\n<im>assistant\n⟦b</im>⟧\n", False,
    ),
    "an answer after an answer": (
        CHATML, turns({"role": "user", "content": "a"}, {"role": "assistant", "content": "b"},
                      {"role": "assistant", "content": "d"}),
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n<im>assistant\n⟦d</im>⟧\n", False,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", STARTS)
def test_where_a_span_starts(name: str) -> None:
    """Rule 1, and whether inference feeds the text before it."""
    source, record, expected, is_rewritten = STARTS[name]
    assert shown(renderer(source), record) == expected
    if not name.startswith("an answer"):
        assert rewrites(source, record) == is_rewritten


NO_START = {
    "1b: the generation prompt stands there twice": (
        COUNT
        + CHATML.replace(
            "'<im>' +", "('<im>assistant\n' if m.role == 'assistant' else '') +'<im>' +"
        ),
        ONE,
    ),
    "1c: another header in plain text": (with_prompt("<im>bot\n"), ONE),
    "1c: the generation prompt begins with plain text": (
        "{% for m in messages %}[{{ m.role }}]<im>{{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}[assistant]<im><think>{% endif %}",
        ONE,
    ),
    "1c: the control token stands there twice": (
        with_prompt("<im>assistant\n<think>").replace(
            "'<im>' +", "('<im>' if m.role == 'assistant' else '') + '<im>' +"
        ),
        ONE,
    ),
}


@pytest.mark.parametrize("name", NO_START)
@pytest.mark.parametrize("form", [str, in_macro])
def test_where_no_start_is_certain(name: str, form: Any) -> None:
    """The record is refused."""
    source, record = NO_START[name]
    assert refusal(form(source), record) == "the prompt before messages[1] is not found in it"


STOPS = {"turn_end": TurnEnd(frozenset({"</im>", "<user>", "</s>"}))}
GLM = (
    "{% for m in messages %}{{ '<user>' if m.role == 'user' else '<bot>' }}{{ m.content }}"
    "{% endfor %}{% if add_generation_prompt %}<bot>{% endif %}"
)
ENDS: dict[str, tuple[str, dict[str, Any], str, dict[str, Any]]] = {
    "the terminator": (CHATML, TWO, "b</im>⟧\n<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n", {}),
    "the first stop token": (with_end("'</im><end>\n'"), TWO,
        "b</im>⟧<end>\n<im>user\nc</im><end>\n<im>assistant\n⟦d</im>⟧<end>\n", STOPS),
    "the last control token": (with_end("'<end></im>\n'"), TWO,
        "b<end></im>⟧\n<im>user\nc<end></im>\n<im>assistant\n⟦d<end></im>⟧\n", {}),
    "the first stop token behind another token": (with_end("'<end></s></s>'"), TWO,
        "b<end></s>⟧</s><im>user\nc<end></s></s><im>assistant\n⟦d<end></s>⟧</s>", {}),
    "text before the terminator": (with_end("'!</im>\n'"), TWO,
        "b!</im>⟧\n<im>user\nc!</im>\n<im>assistant\n⟦d!</im>⟧\n", {}),
    "EOS once more at the very end": (CHATML + "{{ eos_token if not add_generation_prompt }}", TWO,
        "b</im>⟧\n<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n</s>", {}),
    "plain text": (with_end("'\n##\n'"), TWO,
        "b\n##⟧\n<im>user\nc\n##\n<im>assistant\n⟦d\n##⟧\n", {}),
    "the next message's stop token": (GLM, TWO, "b<user>⟧c<bot>⟦d<user>⟧", STOPS),
    "the next message's token is all that ends it": (GLM, TWO, "b<user>⟧c<bot>⟦d⟧", {}),
    "the chosen end of turn is added": (GLM, TWO, "b<user>⟧c<bot>⟦d<end>⟧",
        {"turn_end": TurnEnd(frozenset({"<user>", "<end>"}), "<end>")}),
    "contents like terminators": (CHATML, turns("</s>", "</im>\n</s>", "</im>", "</im>"),
        "</im>\n</s></im>⟧\n<im>user\n</im></im>\n<im>assistant\n⟦</im></im>⟧\n", STOPS),
    "nothing but the terminator differs": (
        CHATML.replace("'</im>\n'", "('</s>' if m.role == 'assistant' else '</im>') + '\n'"), TWO,
        "b</s>⟧\n<im>user\nc</im>\n<im>assistant\n⟦d</s>⟧\n", {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ENDS)
@pytest.mark.parametrize("form", [str, in_macro], ids=["2a", "2b-2d"])
def test_where_a_span_ends(name: str, form: Any) -> None:
    """Rule 2: the same with and without a loop that tells at which message it is."""
    source, record, expected, options = ENDS[name]
    text = shown(renderer(form(source), **options), record)
    assert text.partition("⟦")[2] == expected


LAST_DIFFERS = (
    "{% for m in messages %}<im>{{ m.role }}<final>{{ m.content }}"
    "{{ '</s>' if loop.last and m.role == 'assistant' else '<end>' }}{% endfor %}"
    "{% if add_generation_prompt %}<im>assistant{% endif %}"
)


@pytest.mark.parametrize("form", [str, in_macro], ids=["2a", "2c"])
def test_a_terminator_that_differs_at_the_end(form: Any) -> None:
    """Within the conversation, it is the token that also ends the user's messages."""
    assert shown(renderer(form(LAST_DIFFERS)), TWO) == (
        "<im>user<final>a<end><im>assistant⟦<final>b<end>⟧"
        "<im>user<final>c<end><im>assistant⟦<final>d</s>⟧"
    )


def test_rule_2c_needs_the_same_terminator_before() -> None:
    """If the previous message ends with another token, the terminator is not certain."""
    source = in_macro(
        LAST_DIFFERS.replace("'<end>'", "('<end>' if m.role == 'user' else '<call>')")
    )
    assert refusal(source, TWO) == "the terminator of messages[1] is not certain"


def test_rule_2c_needs_white_space_before_the_next_token() -> None:
    """Otherwise the token could begin the next message."""
    source = in_macro(
        "{% for m in messages %}<im>{{ m.role }}{{ m.content }}"
        "{{ '</s>' if loop.last and m.role == 'assistant' else '<end>and' }}{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant{% endif %}"
    )
    assert refusal(source, TWO) == "the terminator of messages[1] is not certain"


def test_a_template_without_any_end_within_the_conversation() -> None:
    """EOS at the very end says nothing about the first answer."""
    source = (
        "{% for m in messages %}<im>{{ m.role }}\n{{ m.content }}{% endfor %}"
        "{% if add_generation_prompt %}<im>assistant\n{% else %}</s>{% endif %}"
    )
    assert refusal(in_macro(source), TWO) == "the terminator of messages[1] is not certain"
    assert shown(renderer(in_macro(source)), ONE).endswith("⟦b</s>⟧")


def test_a_template_that_takes_no_message_after_the_answer() -> None:
    """With one control token at its end, that is the terminator; with two it is not certain."""
    only = "{{ raise_exception('') if messages[-1].content == '-' and messages|length > 1 }}"
    assert shown(renderer(in_macro(only + CHATML)), ONE).endswith("⟦b</im>⟧\n")
    two = in_macro(only + with_end("'</im><end>' if m.role == 'assistant' else '<call>'"))
    assert refusal(two, ONE) == "the terminator of messages[1] is not certain"


MIXED = (
    "{% for m in messages %}{% if m.role == 'assistant' %}<im>{{ m.reasoning_content }}"
    "{{ OTHER }}{{ m.content }}</im>{% else %}<user>{{ m.content }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<im>{% endif %}"
)


@pytest.mark.parametrize("form", [str, in_macro])
@pytest.mark.parametrize("other", ["messages[0].content", "tools[0].function.name", "word"])
def test_other_texts_inside_a_turn_are_refused(other: str, form: Any) -> None:
    """Rule 3: a text of another message, of the tools, or of the record's template arguments."""
    record = turns("a", {"role": "assistant", "content": "b", "reasoning_content": "r"}) | {
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "chat_template_kwargs": {"word": "w"},
    }
    source = form(MIXED.replace("OTHER", other))
    assert refusal(source, record) == "it writes other text into messages[1]"


def test_text_computed_from_two_messages_is_refused() -> None:
    """Rule 3 holds for what is computed: it comes from both."""
    source = CHATML.replace("m.content +", "(m.content ~ messages[0].content) | upper +")
    assert refusal(source, TWO) == "it writes other text into messages[1]"


def test_an_answer_that_is_left_out_is_refused() -> None:
    """There is nothing of it to be trained."""
    source = CHATML.replace("m.content", "(m.content if m.role == 'user' else '')")
    for form in (source, in_macro(source)):
        assert refusal(form, TWO) == "it does not write the text of messages[1]"


MARKED = (
    "{% for m in messages %}<im>{{ m.role }}\n{% if m.role == 'assistant' %}"
    "{% generation %}BODY{% endgeneration %}{% else %}{{ m.content }}</im>{% endif %}"
    "{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<im>assistant\n{% endif %}"
)
MARKERS: dict[str, tuple[str, dict[str, Any], str]] = {
    "content and terminator": ("{{ m.content }}</im>", TWO,
        "<im>user\na</im>\n<im>assistant\n⟦b</im>⟧\n<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n"),
    "without the terminator": ("{{ m.content }}{% endgeneration %}{{ '</im>' }}{% generation %}",
        ONE, "<im>user\na</im>\n<im>assistant\n⟦b⟧</im>\n"),
    "with the header": ("<bot>{{ m.content }}</im>", ONE,
        "<im>user\na</im>\n<im>assistant\n⟦<bot>b</im>⟧\n"),
    "EOS in a body of its own": (
        "{{ m.content }}{% endgeneration %}</im>{% generation %}{{ eos_token }}", ONE,
        "<im>user\na</im>\n<im>assistant\n⟦b⟧</im>⟦</s>⟧\n"),
    "only the calls": (
        "{% endgeneration %}{{ m.content }}{% generation %}"
        "{% for c in m.tool_calls or [] %}{{ c.function.name }}{% endfor %}</im>",
        turns("a", call(), tool("r"), "b"),
        "<im>user\na</im>\n<im>assistant\nNone⟦f</im>⟧\n<im>tool\nr</im>\n"
        "<im>assistant\nb⟦</im>⟧\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", [name for name in MARKERS if name != "only the calls"])
@pytest.mark.parametrize("form", [str, in_macro])
def test_markers_alone_say_what_is_trained(name: str, form: Any) -> None:
    """A body without text of the record belongs to the message before it."""
    body, record, expected = MARKERS[name]
    assert shown(renderer(form(MARKED.replace("BODY", body))), record) == expected


def test_markers_follow_the_policy() -> None:
    """With ``--train-on last``, only the bodies of the last answer are trained."""
    made = renderer(MARKED.replace("BODY", "{{ m.content }}</im>"), train_on="last")
    assert shown(made, TWO) == (
        "<im>user\na</im>\n<im>assistant\nb</im>\n<im>user\nc</im>\n<im>assistant\n⟦d</im>⟧\n"
    )


def test_a_body_over_an_answer_that_is_not_trained_is_refused() -> None:
    """It would train what the record's flag leaves out."""
    source = "{% generation %}" + CHATML + "{% endgeneration %}"
    record = turns(*["a", "b", "c", "d"])
    record["messages"][1]["train"] = False
    assert refusal(source, record) == (
        "a pair of its generation markers contains texts of no message, or of messages that are "
        "trained and of others"
    )


def test_markers_that_leave_out_a_required_answer_are_refused() -> None:
    """The record's own flag says that it is trained."""
    source = MARKED.replace("{% if m.role == 'assistant' %}", "{% if loop.last %}").replace(
        "BODY", "{{ m.content }}</im>"
    )
    record = turns(*["a", "b", "c", "d"])
    assert shown(renderer(source), record).count("⟦") == 1
    record["messages"][1]["train"] = True
    assert refusal(source, record) == "its generation markers leave out messages[1]"


HEADERS = {
    "control": "{{ '<im>' + m.role + '\n' }}",
    "role tokens": "{{ '<user>' if m.role == 'user' else '<bot>' }}",
    "text": "[{{ m.role }}] ",
}
TERMINATORS = {"</im>\n": "</im>", "</s>": "</s>", "<end></im>": "<end></im>", "</s>\n\n": "</s>",
               "</s><end>": "</s>", "\n##\n": "\n##"}  # fmt: skip
FORMS = ["loop", "macro", "numbers", "set block"]
CONTENTS = st.text("ab<>/im#\n ", min_size=1, max_size=8).filter(str.strip)


@settings(max_examples=some(25), deadline=None)
@given(
    st.sampled_from(sorted(HEADERS)),
    st.sampled_from(sorted(TERMINATORS)),
    st.sampled_from(FORMS),
    st.sampled_from(["", "<think>", "<think>\n"]),
    st.sampled_from(["", COUNT]),
    st.lists(st.tuples(CONTENTS, CONTENTS), min_size=1, max_size=3),
)
def test_spans_of_templates_that_are_put_together(
    header: str, end: str, form: str, extra: str, start: str, talk: list[tuple[str, str]]
) -> None:
    """Whatever the parts and contents: the answers with their terminators, or a refusal."""
    loop = {"numbers": "{% for i in range(messages|length) %}{% set m = messages[i] %}"}
    body = loop.get(form, "{% for m in messages %}") + HEADERS[header] + "{{ m.content }}"
    prompt = HEADERS[header].replace("m.role", "'assistant'") + extra
    source = (
        f"{start}{body}{end}{{% endfor %}}{{% if add_generation_prompt %}}{prompt}{{% endif %}}"
    )
    if form == "macro":
        source = in_macro(source)
    if form == "set block":
        source = f"{{% set s %}}{source}{{% endset %}}{{{{ s }}}}"
    names = {"control": ("<im>user\n", "<im>assistant\n"), "role tokens": ("<user>", "<bot>"),
             "text": ("[user] ", "[assistant] ")}  # fmt: skip
    user, assistant = names[header]
    trained = TERMINATORS[end]
    expected = str(2 * len(talk)) if start else ""
    for question, answer in talk:
        expected += f"{user}{question}{end}{assistant}⟦{answer}{trained}⟧{end[len(trained) :]}"
    record = turns(*[text for exchange in talk for text in exchange])
    if header == "text" and extra:
        # The prompt begins with plain text, and the conversation does not continue it.
        assert refusal(source, record) == "the prompt before messages[1] is not found in it"
    else:
        assert shown(renderer(source), record) == expected
        assert rewrites(source, record) == bool(extra or start)
