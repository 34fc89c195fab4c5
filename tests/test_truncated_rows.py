"""Rows of chats that are too long: what each strategy keeps, with Jinja and YAML templates alike.

The expected rows follow from the manual's page on truncation. The tokenizer has one token per
character and per control token, so a row can be written as its text.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from profiles import some
from toys import byte_tokenizer

from sftprep.data.block import Block
from sftprep.data.limits import STRATEGIES
from sftprep.data.result import BlockResult
from sftprep.pipeline import Pipeline
from sftprep.recipe import allowed_values
from sftprep.settings import Settings
from sftprep.templates.loading import parse_template
from sftprep.templates.template import ChatTemplate

NAMES = {"bos_token": "<s>", "eos_token": "</s>"}
TOKENIZER = replace(
    byte_tokenizer(["<s>", "</s>", "<im>", "</im>"], special={"bos": "<s>", "eos": "</s>"}),
    variables=NAMES,
)
TEXTS = {token.id: token.content for token in TOKENIZER.added}
KINDS = ("jinja", "yaml")

Turns = Sequence[tuple[str, str]]
"""Role and content of each turn."""

CHAT_JINJA = (
    "{{ bos_token }}{% for m in messages %}{{ '<im>' + m.role + '\n' + m.content + '</im>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<im>assistant\n' }}{% endif %}"
)
CHAT_YAML: dict[str, Any] = {
    "bos": "always",
    "tokens": ["<im>", "</im>"],
    "system": "<im>system\n{content}</im>\n",
    "user": "<im>user\n{content}</im>\n",
    "assistant": {"header": "<im>assistant\n", "body": "{content}</im>", "after": "\n"},
}
MERGED_JINJA = (
    "{{ bos_token }}{% set s = '' %}{% if messages[0].role == 'system' %}"
    "{% set s = messages[0].content + '\n\n' %}{% set messages = messages[1:] %}{% endif %}"
    "{% for m in messages %}{{ '<im>' + m.role + '\n' + (s if loop.first else '') + m.content "
    "+ '</im>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<im>assistant\n' }}{% endif %}"
)
MERGED_YAML = {key: value for key, value in CHAT_YAML.items() if key != "system"} | {
    "user_with_system": "<im>user\n{system}\n\n{content}</im>\n",
    "system_in": "first-user",
}
PLAIN_JINJA = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}{{ m.content + '\n\n' }}"
    "{% elif m.role == 'user' %}{{ 'USER: ' + m.content + '\n' }}"
    "{% else %}{{ 'BOT: ' + m.content + '</s>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'BOT: ' }}{% endif %}"
)
PLAIN_YAML: dict[str, Any] = {
    "bos": "always",
    "system": "{content}\n\n",
    "user": "USER: {content}\n",
    "assistant": {"header": "BOT: ", "body": "{content}{eos}"},
}
PICKY_JINJA = (
    "{% if messages[0].content == 'no' %}{{ raise_exception('no') }}{% endif %}" + CHAT_JINJA
)
TEMPLATES = {
    "chat": (CHAT_JINJA, CHAT_YAML),
    "merged": (MERGED_JINJA, MERGED_YAML),
    "plain": (PLAIN_JINJA, PLAIN_YAML),
    "picky": (PICKY_JINJA, CHAT_YAML),
}
"""Each as Jinja and as YAML: a system turn of its own, a system prompt in the first user turn, no
role tokens, and a template that refuses to begin with a turn that says "no"."""


def run(turns: Turns, name: str, kind: str, **options: Any) -> BlockResult:
    """Run one conversation through the stages, with a template of this kind."""
    jinja, own = TEMPLATES[name]
    template: Any = ChatTemplate("t", jinja, "", {}, None)
    if kind == "yaml":
        template = parse_template({**own}, name="t", where="t.yaml")
    base: dict[str, Any] = {"train_on": "completion", "boundary": "split", "backend": "hf"}
    settings = Settings(
        tokenizer=TOKENIZER,
        template=template,
        fields={},
        system=None,
        separator="",
        allowed=(),
        **base | options,
    )
    messages = [{"role": role, "content": content} for role, content in turns]
    line = json.dumps({"messages": messages}).encode() + b"\n"
    return Pipeline(settings).process(Block(0, 0, 1, 0, line, None, "messages"))


Row = list[tuple[str, bool]]
"""The text of each token, and whether it is trained."""


def rows(result: BlockResult) -> list[Row]:
    """Return the rows of a result."""
    if result.batch is None:
        return []
    ids, mask = result.batch.input_ids.tolist(), result.batch.loss_mask.tolist()
    tokens = [(TEXTS.get(i) or chr(i), trained) for i, trained in zip(ids, mask, strict=True)]
    return [tokens[a:b] for a, b in pairwise(result.batch.offsets.tolist())]


def shown(row: Row) -> str:
    """Return the text of a row, with the trained text between ⟦ and ⟧."""
    text = "".join(f"⟦{text}⟧" if trained else text for text, trained in row)
    return text.replace("⟧⟦", "")


# --- rows written by hand -----------------------------------------------------------------------

TALK = [
    ("system", "Be."), ("user", "abcdef"), ("assistant", "xy"), ("user", "why"),
    ("assistant", "because"),
]  # fmt: skip
SYSTEM = "<s><im>system\nBe.</im>\n"  # 14 tokens
FIRST = "<im>user\nabcdef</im>\n<im>assistant\n⟦xy</im>⟧\n"  # 29
SECOND = "<im>user\nwhy</im>\n<im>assistant\n"  # 22
ANSWER = "⟦because</im>⟧\n"  # 9, so the whole has 74


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("strategy", "limit", "expected", "lost_trained"),
    [
        ("keep-start", 70, SYSTEM + FIRST + SECOND + "⟦becau⟧", 1),
        ("keep-start", 73, SYSTEM + FIRST + SECOND + "⟦because</im>⟧", 0),
        ("keep-end", 31, SECOND + ANSWER, 1),
        ("keep-end", 70, "stem\nBe.</im>\n" + FIRST + SECOND + ANSWER, 0),
        ("completion-end", 73, SYSTEM + FIRST + SECOND + "⟦because</im>⟧", 0),
        ("completion-end", 70, SYSTEM + FIRST + SECOND + "⟦becau⟧", 1),
        ("completion-end", 66, SYSTEM + FIRST + SECOND + "⟦b⟧", 1),
        ("prompt-start", 73, SYSTEM + FIRST.removeprefix("<im>") + SECOND + ANSWER, 0),
        ("prompt-start", 70, SYSTEM + FIRST.removeprefix("<im>use") + SECOND + ANSWER, 0),
        ("prompt-start", 48, SYSTEM + "⟦y</im>⟧\n" + SECOND + ANSWER, 1),
        ("prompt-start", 45, SYSTEM + SECOND + ANSWER, 1),
        ("prompt-start", 23, SYSTEM + ANSWER, 1),
        ("prompt-start", 20, SYSTEM + "⟦becaus⟧", 1),
        ("prompt-start", 15, SYSTEM + "⟦b⟧", 1),
        ("balanced", 40, SYSTEM + "\nwhy</im>\n<im>assistant\n" + ANSWER, 1),
        ("balanced", 16, SYSTEM + "\n⟦b⟧", 1),
        ("oldest-turns", 73, SYSTEM + SECOND + ANSWER, None),
        ("oldest-turns", 45, SYSTEM + SECOND + ANSWER, None),
        ("oldest-turns", 43, SYSTEM + "<im>user\ny</im>\n<im>assistant\n" + ANSWER, 0),
        ("oldest-turns", 40, SYSTEM + "<im>user\n</im>\n<im>assistant\n⟦because⟧", 1),
    ],
)
def test_what_a_strategy_keeps(
    strategy: str, limit: int, expected: str, lost_trained: int | None, kind: str
) -> None:
    """Each strategy keeps this text; a row that loses trained tokens is counted apart."""
    result = run(TALK, "chat", kind, truncation=strategy, max_length=limit)
    assert [expected] == [shown(row) for row in rows(result)]
    counts = result.counts["truncated"], result.counts["truncated_trained"]
    assert counts == ((0, 0) if lost_trained is None else (1, lost_trained))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("strategy", "limit", "reason"),
    [
        ("drop", 73, "too_long"),
        ("error", 73, "too_long"),
        ("keep-start", 30, "cut_to_nothing"),
        ("completion-end", 65, "cut_to_nothing"),
        ("completion-end", 50, "cut_to_nothing"),
        ("completion-end", 1, "cut_to_nothing"),
        ("prompt-start", 14, "too_long"),
        ("prompt-start", 1, "too_long"),
        ("balanced", 14, "too_long"),
        ("oldest-turns", 33, "too_long"),
    ],
)
def test_what_is_lost(strategy: str, limit: int, reason: str, kind: str) -> None:
    """A record whose completion finds no room gives no row, and is listed with its length."""
    result = run(TALK, "chat", kind, truncation=strategy, max_length=limit)
    assert rows(result) == []
    lost = [(one.reason, one.tokens) for one in [*result.dropped, *result.rejected]]
    assert lost == [(reason, 74)]
    assert (result.counts["truncated"], result.counts["truncated_trained"]) == (0, 0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("strategy", allowed_values("truncation"))
def test_a_record_of_exactly_the_limit_stays_whole(strategy: str, kind: str) -> None:
    """With ``--max-length`` of its own length, a record is not cut by any strategy."""
    result = run(TALK, "chat", kind, truncation=strategy, max_length=74)
    assert [shown(row) for row in rows(result)] == [SYSTEM + FIRST + SECOND + ANSWER]
    assert (result.counts["truncated"], result.counts["shortened"]) == (0, 0)


def test_a_refused_row_is_not_counted_as_truncated() -> None:
    """Only rows that are written are counted as cut."""
    turns = [("user", "a"), ("assistant", "b"), ("user", "no"), ("assistant", "c" * 90)]
    result = run(turns, "picky", "jinja", truncation="oldest-turns", max_length=60)
    assert [(lost.reason, lost.tokens) for lost in result.rejected] == [("template_refused", 137)]
    assert rows(result) == []
    assert (result.counts["truncated"], result.counts["truncated_trained"]) == (0, 0)


# --- any conversation ---------------------------------------------------------------------------


class Token(NamedTuple):
    """A token of a row: its text, its section (k, p or c) and whether it is trained."""

    text: str
    section: str
    trained: bool


def tokens_of(turns: Turns, name: str, kind: str, train_on: str) -> list[Token]:
    """Write a whole conversation, turn by turn, as the manual says."""
    found: list[Token] = [Token("<s>", "k", train_on == "all")]
    single = sum(role == "assistant" for role, _ in turns) == 1
    # What the template writes around a single exchange stays.
    around = "k" if single and (name != "plain" or kind == "jinja") else "p"
    last = len(turns) - 1

    def write(text: str, section: str, trained: bool = False) -> None:
        for control in ("<im>", "</im>", "</s>"):
            text = text.replace(control, f"\0{control}\0")
        for part in filter(None, text.split("\0")):
            texts = [part] if part[0] == "<" else part
            found.extend(Token(text, section, trained or train_on == "all") for text in texts)

    for index, (role, content) in enumerate(turns):
        answer = role == "assistant"
        trained = answer and (train_on == "completion" or index == last)
        completion = "c" if index == last else "p"
        if name == "plain" and role == "system":
            write(f"{content}\n\n", "k")
        elif name == "plain" and role == "user":
            write("USER: ", around)
            write(content, "p")
            write("\n", around)
        elif name == "plain":
            write("BOT: ", around)
            write(f"{content}</s>", completion, trained)
        elif name == "merged" and role == "system":
            write(f"<im>user\n{content}\n\n", "k")
        elif role == "system":
            write(f"<im>system\n{content}</im>\n", "k")
        elif role == "user":
            if not (name == "merged" and index == 1):
                write("<im>user\n", around)
            write(content, "p")
            write("</im>\n", around)
        else:
            write("<im>assistant\n", around)
            write(f"{content}</im>", completion, trained)
            write("\n", completion)
    return found


def cut(tokens: list[Token], limit: int, strategy: str) -> list[Token] | None:
    """Cut a row as the manual says; None: it is dropped."""
    kept, prompt, completion = (sum(t.section == s for t in tokens) for s in "kpc")
    if len(tokens) <= limit:
        return tokens
    whole = {"keep-start": 0, "keep-end": 0, "completion-end": kept + prompt}
    if strategy in ("drop", "error") or whole.get(strategy, kept) >= limit:
        return None
    if strategy in whole:
        return tokens[-limit:] if strategy == "keep-end" else tokens[:limit]
    target = min(completion, limit - kept)
    if strategy == "balanced":
        source = kept + prompt
        if 2 * completion >= limit:
            most = limit - source
            if 2 * source >= limit:
                most = int(limit * (completion / (source + completion)))
            target = min(completion, most)
        source = max(kept, min(source, limit - target))
        target = min(target, limit - source)
    gone = prompt - (min(kept + prompt, limit - target) - kept)
    left: list[Token] = []
    for token in tokens:
        if token.section == "p" and gone:
            gone -= 1
        elif token.section != "c" or target:
            left.append(token)
            target -= token.section == "c"
    return left


def expected_row(
    turns: Turns, name: str, kind: str, train_on: str, limit: int, strategy: str
) -> list[Token] | None:
    """Return the row that a conversation must become; None: it is dropped."""

    def write() -> list[Token]:
        return tokens_of(turns, name, kind, train_on)

    while strategy == "oldest-turns" and len(write()) > limit:
        users = [index for index, (role, _) in enumerate(turns) if role == "user"]
        if len(users) == 1:
            break
        turns = [*turns[: users[0]], *turns[users[1] :]]
    row = cut(write(), limit, strategy)
    return row if row and any(token.trained for token in row[1:]) else None


WORDS = st.text("ab .", min_size=1, max_size=30).map(str.strip).filter(bool)


@st.composite
def conversations(draw: st.DrawFn) -> Turns:
    """Draw a conversation: perhaps a system prompt, then one to four exchanges."""
    turns = [("system", draw(WORDS))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 4))):
        turns += [("user", draw(WORDS)), ("assistant", draw(WORDS))]
    return turns


@hypothesis_settings(deadline=None, max_examples=some(80))
@given(
    conversations(),
    st.sampled_from(["chat", "merged", "plain"]),
    st.sampled_from(KINDS),
    st.sampled_from(["completion", "last", "all"]),
    st.integers(1, 150),
    st.sampled_from(allowed_values("truncation")),
)
def test_cut_rows_are_what_the_manual_says(
    turns: Turns, name: str, kind: str, train_on: str, limit: int, strategy: str
) -> None:
    """A cut row is a part of the whole row that keeps ids and mask together, and what it must."""
    result = run(turns, name, kind, train_on=train_on, truncation=strategy, max_length=limit)
    expected = expected_row(turns, name, kind, train_on, limit, strategy)
    found = rows(result)
    wanted = [[(token.text, token.trained) for token in expected]] if expected else []
    assert [shown(row) for row in wanted] == [shown(row) for row in found]
    assert wanted == found
    whole = [(token.text, token.trained) for token in tokens_of(turns, name, kind, train_on)]
    for row in found:
        assert len(row) <= limit
        remaining = iter(whole)
        assert strategy == "oldest-turns" or all(token in remaining for token in row)
        if strategy not in ("keep-start", "keep-end"):
            kept = [t for t in tokens_of(turns, name, kind, train_on) if t.section == "k"]
            lead = len(kept) if len(turns) > 3 else 1
            assert row[:lead] == [(token.text, token.trained) for token in kept[:lead]]


@hypothesis_settings(deadline=None, max_examples=some(50))
@given(conversations(), st.integers(10, 120), st.sampled_from(["chat", "merged", "plain"]))
def test_rows_that_lost_trained_tokens_are_counted(turns: Turns, limit: int, name: str) -> None:
    """``truncated_trained`` is 1 exactly if a row has fewer trained tokens than the whole."""
    for strategy in ("keep-start", "keep-end", "prompt-start", "completion-end", "balanced"):
        result = run(turns, name, "yaml", truncation=strategy, max_length=limit)
        whole = sum(token.trained for token in tokens_of(turns, name, "yaml", "completion"))
        lost = [sum(trained for _, trained in row) < whole for row in rows(result)]
        assert result.counts["truncated_trained"] == sum(lost)


# --- what other limits would do -----------------------------------------------------------------

TRIED = (1, 25, 45, 90)


def fate(result: BlockResult) -> tuple[str, int]:
    """Return what has become of a conversation, and how many tokens its row has."""
    if result.batch is None:
        return "dropped", 0
    facts = result.batch.facts
    assert facts is not None
    is_cut = facts.cut_tokens[0] > 0 or facts.exchanges_dropped[0] > 0
    return ("cut" if is_cut else "kept"), len(result.batch.input_ids)


ANY_RUN = given(
    conversations(),
    st.sampled_from(sorted(TEMPLATES)),
    st.sampled_from(KINDS),
    st.sampled_from(["completion", "last", "all", "user"]),
    st.sampled_from([("drop", 1000), ("oldest-turns", 50), ("balanced", 50)]),
)


@hypothesis_settings(deadline=None, max_examples=5)
@ANY_RUN
def test_what_other_limits_would_do(
    turns: Turns, name: str, kind: str, train_on: str, own: tuple[str, int]
) -> None:
    """The counts are those of runs with each limit and strategy, whatever the run's own are."""
    check_other_limits(turns, name, kind, train_on, own)


@pytest.mark.conformance
@hypothesis_settings(deadline=None, max_examples=150)
@ANY_RUN
def test_what_other_limits_would_do_to_many(
    turns: Turns, name: str, kind: str, train_on: str, own: tuple[str, int]
) -> None:
    """The same, for more conversations."""
    check_other_limits(turns, name, kind, train_on, own)


def check_other_limits(
    turns: Turns, name: str, kind: str, train_on: str, own: tuple[str, int]
) -> None:
    """Compare the counts with runs."""
    options = {"train_on": train_on, "boundary": "split"}
    found = run(
        turns, name, kind, truncation=own[0], max_length=own[1], tried_limits=TRIED, **options
    ).limits
    assert found is not None
    [whole] = found.lengths.tolist()
    for at, limit in enumerate(TRIED):
        for number, strategy in enumerate(STRATEGIES):
            real, left = fate(
                run(turns, name, kind, truncation=strategy, max_length=limit, **options)
            )
            what = (limit, strategy)
            assert found.cut[number, at] == (real == "cut"), what
            assert found.dropped[number, at] == (real == "dropped"), what
            assert found.tokens_dropped[number, at] == whole * (real == "dropped"), what
            uncounted = strategy == "oldest-turns" and found.uncounted[at]
            if not uncounted:
                assert found.tokens_cut[number, at] == (whole - left) * (real == "cut"), what


@pytest.mark.parametrize("kind", KINDS)
def test_other_limits_change_no_row(kind: str) -> None:
    """A run that tries other limits gives the same rows as one that does not."""
    options = {"truncation": "prompt-start", "max_length": 48}
    tried = run(TALK, "chat", kind, tried_limits=TRIED, **options)
    assert rows(tried) == rows(run(TALK, "chat", kind, **options))
