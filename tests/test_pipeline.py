"""pipeline: what each record of a block becomes, and where it came from."""

import itertools
import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from toys import (
    Token,
    byte_tokenizer,
)

from sftprep.data.block import Block, Element
from sftprep.data.result import BlockResult
from sftprep.pipeline import Pipeline
from sftprep.schemas.fields import LOSS_FLAGS
from sftprep.schemas.normalizer import conversation_normalizer
from sftprep.settings import Settings
from sftprep.templates.loading import load_template, parse_template
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import ChatTemplate

CHAT = parse_template(
    {
        "tokens": ["<u>", "<a>"],
        "system": "{content}\n",
        "user": "<u>{content}",
        "assistant": {"header": "<a>", "body": "{content}{eos}"},
    },
    name="chat",
    where="chat.yaml",
)
TOKENIZER = byte_tokenizer(["</s>", "<u>", "<a>"])


def settings(**changed: Any) -> Settings:
    """Settings for a pipeline with the toy tokenizer."""
    options: dict[str, Any] = {
        "tokenizer": TOKENIZER,
        "template": CHAT,
        "fields": {},
        "system": None,
        "separator": "",
        "allowed": (),
        "rejects_controls": False,
        "max_length": 1000,
        "truncation": "drop",
        "train_on": "completion",
        "boundary": "split",
        "backend": "auto",
    }
    return Settings(**options | changed)


def talk(text: str, **train: bool) -> dict[str, Any]:
    """A conversation: "s:x u:y a:z", its answers' ``train`` by their number, e.g. a2=False."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    turns: list[dict[str, Any]] = []
    for index, word in enumerate(text.split()):
        turn: dict[str, Any] = {"role": roles[word[0]], "content": word[2:]}
        if f"t{index}" in train:
            turn["train"] = train[f"t{index}"]
        turns.append(turn)
    return {"messages": turns}


def run(records: Sequence[object], schema: str = "messages", **changed: Any) -> BlockResult:
    """Run one block of these lines through a pipeline."""
    data = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    return Pipeline(settings(**changed)).process(Block(0, 0, 1, 0, data, None, schema))


def texts(result: BlockResult) -> list[str]:
    """The rows decoded to text."""
    if result.batch is None:
        return []
    ends = result.batch.offsets.tolist()
    names = {token.id: token.content for token in TOKENIZER.added}
    ids = result.batch.input_ids.tolist()
    return ["".join(names.get(i, chr(i)) for i in ids[a:b]) for a, b in itertools.pairwise(ends)]


# --- places -------------------------------------------------------------------------------------


def test_losses_have_their_places() -> None:
    """Each record without a row is reported with its line, byte offset, reason and bytes."""
    good = b'{"prompt":"a","completion":"b"}'
    long = b'{"prompt":"a","completion":"' + b"b" * 50 + b'"}'
    lines = [good, b"", b"\xff", long, b"  \r", b'{"prompt":"\xe4\xbb\xb7"}\r', good, b"[1]"]
    block = Block(3, 7, 100, 5000, b"\n".join(lines), None, "prompt-completion")
    result = Pipeline(settings(template=load_template("plain"), max_length=20)).process(block)
    offsets = [5000 + sum(len(line) + 1 for line in lines[:index]) for index in range(len(lines))]
    assert [
        (3, 102, offsets[2], "invalid_utf8", lines[2]),
        (3, 105, offsets[5], "missing_field", lines[5]),
        (3, 107, offsets[7], "not_an_object", lines[7]),
    ] == [(x.source, x.line, x.offset, x.reason, x.raw) for x in result.rejected]
    assert [(3, 103, offsets[3], "too_long", None)] == [
        (x.source, x.line, x.offset, x.reason, x.error) for x in result.dropped
    ]
    assert (
        result.source,
        result.shard,
        result.read,
        result.blank,
        texts(result),
    ) == (3, 7, 6, 2, ["ab</s>"] * 2)


def test_losses_of_an_array() -> None:
    """The elements of an array keep the places that their block gives them."""
    data = b'{"prompt":"a","completion":"b"}   {"prompt":1}'
    elements = (Element(0, 31, 4), Element(34, 46, 9))
    block = Block(0, 0, 4, 77, data, elements, "prompt-completion")
    result = Pipeline(settings(template=load_template("plain"))).process(block)
    assert [(x.line, x.offset, x.raw) for x in result.rejected] == [(9, 111, b'{"prompt":1}')]


def test_reasons_are_plain_strings() -> None:
    """Reasons are plain strings in every count, because they become keys of the manifest."""
    result = run([talk("u:a a:" + "b" * 99), talk("u:a")], max_length=50)
    assert [str, str] == [type(lost.reason) for lost in [*result.dropped, *result.rejected]]


# --- oldest turns -------------------------------------------------------------------------------

FOUR = "u:1 a:b u:2 a:d u:3 a:f u:4 a:h"  # each exchange has five tokens


@pytest.mark.parametrize(
    ("text", "limit", "expected", "gone"),
    [
        (FOUR, 20, "<u>1<a>b</s><u>2<a>d</s><u>3<a>f</s><u>4<a>h</s>", 0),
        (FOUR, 19, "<u>2<a>d</s><u>3<a>f</s><u>4<a>h</s>", 1),
        (FOUR, 15, "<u>2<a>d</s><u>3<a>f</s><u>4<a>h</s>", 1),
        (FOUR, 14, "<u>3<a>f</s><u>4<a>h</s>", 2),
        (FOUR, 5, "<u>4<a>h</s>", 3),
        ("s:s " + FOUR, 14, "s\n<u>3<a>f</s><u>4<a>h</s>", 2),
        ("s:s " + FOUR, 11, "s\n<u>4<a>h</s>", 3),
        ("u:1 a:b u:2345 a:h", 6, "<u>45<a>h</s>", 1),
        ("u:1 a:b u:x a:defghi", 6, "<u><a>defg", 1),
        ("u:1234 a:b", 6, "<u>34<a>b</s>", 0),
    ],
)
def test_oldest_turns(text: str, limit: int, expected: str, gone: int) -> None:
    """As few of the oldest exchanges are dropped as possible; the last is cut by prompt-start."""
    result = run([talk(text)], truncation="oldest-turns", max_length=limit)
    assert [expected] == texts(result)
    assert (gone, min(gone, 1)) == (result.counts["exchanges_dropped"], result.counts["shortened"])


def test_oldest_turns_of_many() -> None:
    """Each conversation loses its own number of exchanges, and short ones lose none."""
    records = [talk(FOUR), talk("u:1 a:b"), talk("u:" + "1" * 9 + " a:b " + FOUR)]
    result = run(records, truncation="oldest-turns", max_length=20)
    whole = "<u>1<a>b</s><u>2<a>d</s><u>3<a>f</s><u>4<a>h</s>"
    assert [whole, "<u>1<a>b</s>", whole] == texts(result)
    assert (result.counts["shortened"], result.counts["exchanges_dropped"]) == (1, 1)


def test_oldest_turns_take_what_was_trained() -> None:
    """A conversation is cut to nothing if its only trained answer was in a dropped exchange."""
    result = run([talk("u:1 a:b u:2 a:d", t3=False)], truncation="oldest-turns", max_length=8)
    assert [lost.reason for lost in result.dropped] == ["cut_to_nothing"]
    assert [lost.tokens for lost in result.dropped] == [10]  # of the whole conversation
    untrained = run([talk("u:1 a:b u:2 a:d", t1=False, t3=False)], truncation="oldest-turns")
    assert [lost.reason for lost in untrained.dropped] == ["nothing_to_train"]


# --- control strings ----------------------------------------------------------------------------


def test_control_strings_are_counted() -> None:
    """Records that hold a control token's text are counted, and encoded as text."""
    result = run([talk("u:<a> a:</s>"), talk("u:x a:y"), talk("u:<a><a> a:z")])
    assert texts(result) == ["<u><a><a></s></s>", "<u>x<a>y</s>", "<u><a><a><a>z</s>"]
    assert (result.counts["control_records"], dict(result.controls)) == (2, {"<a>": 2, "</s>": 1})


def test_allowed_control_strings_are_not_counted() -> None:
    """A control token that ``--allow-control`` names is not reported."""
    result = run([talk("u:<a> a:x")], allowed=("<a>",))
    assert (result.counts["control_records"], dict(result.controls)) == (0, {})
    assert result.batch is not None
    assert TOKENIZER.ids["<a>"] == result.batch.input_ids[1]


def test_single_word_tokens() -> None:
    """A ``single_word`` token of the template is a token only if the text beside it allows it."""
    tokenizer = byte_tokenizer(["</s>", Token("ab", single_word=True)])
    template = parse_template(
        {"user": "{content}ab ", "assistant": {"body": "{content}{eos}"}}, name="t", where="t.yaml"
    )
    records = [{"prompt": p, "completion": "c"} for p in ("x", ".", "")]
    result = run(records, "prompt-completion", tokenizer=tokenizer, template=template)
    assert result.batch is not None
    assert [*b"xab c", 256, 46, 257, *b" c", 256, 257, *b" c", 256] == (
        result.batch.input_ids.tolist()
    )


@pytest.mark.parametrize("kind", ["built-in", "Jinja"])
@pytest.mark.parametrize(
    ("train_on", "flags", "expected"),
    [
        ("completion", {}, ["b</s>", "d</s>"]),
        ("completion", {"t1": False}, ["d</s>"]),
        ("last", {}, ["d</s>"]),
        ("last", {"t3": False}, ["b</s>"]),
        ("last", {"t1": True}, ["b</s>", "d</s>"]),
        ("last", {"t1": True, "t3": False}, ["b</s>"]),
        ("all", {}, ["a:b</s>", "a:c:d</s>"]),
        ("all", {"t1": False}, ["a:c:d</s>"]),
        ("user", {}, ["c"]),  # nothing is in front of "a" from which it could be predicted
        ("user", {"t0": False}, ["c"]),
        ("user", {"t1": True}, ["b</s>", "c"]),
        ("user,assistant", {"t3": False}, ["b</s>", "c"]),
    ],
)
def test_each_trained_answer_gives_one_example(
    kind: str, train_on: str, flags: dict[str, bool], expected: list[str]
) -> None:
    """With ``per_turn``, flags win over the policy, and earlier answers are never trained."""
    body = {"header": "", "body": "{content}{eos}"}
    template: Any = parse_template({"user": "{content}:", "assistant": body}, name="t", where="t")
    if kind == "Jinja":
        source = (
            "{% for m in messages %}{{ m.content }}{{ ':' if m.role == 'user' else '</s>' }}"
            "{% endfor %}"
        )
        template = ChatTemplate("t.jinja", source, "", {}, None)
    record = talk("u:a a:b u:c a:d", **flags)
    result = run([record], template=template, per_turn=True, train_on=train_on)
    assert result.batch is not None
    ends = list(itertools.pairwise(result.batch.offsets.tolist()))
    ids, mask = result.batch.input_ids, result.batch.loss_mask
    texts = []
    for start, end in ends:
        trained = ids[start:end][mask[start:end]].tolist()
        texts.append("".join("</s>" if id_ == 256 else chr(id_) for id_ in trained))
    assert texts == expected


@pytest.mark.parametrize("train_on", ["user", "completion"])
@pytest.mark.parametrize("per_turn", [False, True])
def test_a_conversation_that_ends_with_a_user(train_on: str, per_turn: bool) -> None:
    """It gives a row if users are trained, with every kind of template; otherwise it is refused."""
    body = {"header": "A", "body": "{content}{eos}"}
    built_in = parse_template({"user": "U{content}{eos}", "assistant": body}, name="t", where="t")
    source = (
        "{% for m in messages %}{{ m.role[0] | upper }}{{ m.content }}</s>{% endfor %}"
        "{% if add_generation_prompt %}A{% endif %}"
    )
    for template in (built_in, ChatTemplate("t.jinja", source, "", {}, None)):
        result = run([talk("u:a a:b u:c")], template=template, train_on=train_on, per_turn=per_turn)
        if train_on == "completion":
            assert [lost.reason for lost in result.rejected] == ["bad_turn_order"]
            continue
        assert result.batch is not None
        trained = result.batch.input_ids[result.batch.loss_mask].tolist()
        assert trained == [*b"a", 256, *b"c", 256]
        assert len(result.batch) == (2 if per_turn else 1)
        assert result.counts["answers_without_stop"] == 0


# --- what a template leaves out -------------------------------------------------------------------


def leave_out(monkeypatch: pytest.MonkeyPatch, **by_content: str) -> None:
    """Let the template leave these things out of the rows whose first content is a key."""

    def omitted(self: TemplateRenderer, shape: int) -> frozenset[str]:
        system = any(piece.text == "" and piece.slot == 0 for piece in self.pieces(shape)[:1])
        return frozenset({by_content["system" if system else "user"]} - {""})

    monkeypatch.setattr(TemplateRenderer, "omitted", omitted)


RECORDS = [talk("u:a a:b"), talk("s:x u:c a:d"), talk("u:e a:f")]


def test_omissions_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record whose tools the template leaves out is a bad record; the others are written."""
    leave_out(monkeypatch, system="tools", user="")
    result = run(RECORDS)
    (lost,) = result.rejected
    assert lost.error is not None
    assert (lost.line, lost.reason, lost.error.text("f:2")) == (
        2,
        "omitted_by_template",
        "f:2: template 'chat' does not write the record's tools. Choose another --template, pass "
        "--on-omission count to train without it, or pass --on-error quarantine.",
    )
    assert texts(result) == ["<u>a<a>b</s>", "<u>e<a>f</s>"]
    assert result.omitted == {}


@pytest.mark.parametrize(
    ("name", "rejects"), [("tools", False), ("earlier_reasoning", False), ("name", True)]
)
def test_omissions_are_counted(monkeypatch: pytest.MonkeyPatch, name: str, rejects: bool) -> None:
    """With ``count`` all that is left out is counted; else, only what is of less importance."""
    leave_out(monkeypatch, system="", user=name)
    result = run(RECORDS, rejects_omissions=rejects)
    assert len(texts(result)) == 3
    assert result.omitted == {name: 2}


def test_omissions_of_rows_that_are_not_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only rows that are written count: a row that is dropped leaves nothing out."""
    leave_out(monkeypatch, system="tools", user="tools")
    result = run([talk("u:a a:b"), talk("u:a a:long")], rejects_omissions=False, max_length=6)
    assert [lost.line for lost in result.dropped] == [2]
    assert result.omitted == {"tools": 1}


def test_omissions_of_a_schema(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no template of the kind takes counts like what the template leaves out."""

    def normalizer(*options: Any) -> Any:
        made = conversation_normalizer(*options)
        read = made.read
        made.read = lambda record: read(record)._replace(omitted=tuple(record.get("left", ())))
        return made

    monkeypatch.setattr("sftprep.steps.examples.conversation_normalizer", normalizer)
    records = [talk("u:a a:b") | {"left": ["reasoning", "name"]}, talk("u:c a:d")]
    result = run(records, rejects_omissions=False)
    assert result.omitted == {"reasoning": 1, "name": 1}
    result = run(records)
    assert [lost.reason for lost in result.rejected] == ["omitted_by_template"]
    assert texts(result) == ["<u>c<a>d</s>"]


# --- what ends an answer --------------------------------------------------------------------------


def with_body(body: str) -> Any:
    """The template of the other tests with another body."""
    return parse_template(
        {"tokens": ["<u>"], "user": "<u>{content}", "assistant": {"header": "<a>", "body": body}},
        name="chat",
        where="chat.yaml",
    )


TWO_ANSWERS = [talk("u:a a:b u:c a:d"), talk("u:a a:b")]
STOPPED: dict[str, Any] = {"generation_stops": ("</s>",)}


@pytest.mark.parametrize(
    ("body", "end_of_turn", "named", "without", "others"),
    [
        ("{content}{eos}", "", {}, 0, {}),
        ("{content}", "", {}, 3, {}),
        ("{content}", "</s>", {}, 0, {}),
        ("{content}<a>", "", {}, 0, {}),  # nobody says which token stops the model
        ("{content}<a>", "", STOPPED, 3, {"<a>": 3}),
        ("{content}<a>", "<a>", STOPPED, 0, {}),
        ("{content}{eos}", "", STOPPED, 0, {}),
        ("{content}", "", STOPPED, 3, {}),
    ],
)
def test_answers_without_a_stop(
    body: str, end_of_turn: str, named: dict[str, Any], without: int, others: dict[str, int]
) -> None:
    """An answer counts if no token ends it, or one that does not stop the model."""
    result = run(
        TWO_ANSWERS,
        template=with_body(body),
        end_of_turn=end_of_turn,
        tokenizer=replace(TOKENIZER, **named),
    )
    assert (result.counts["answers_without_stop"], dict(result.other_stops)) == (without, others)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"train_on": "last"}, 2),
        ({"train_on": "all"}, 3),
        ({"per_turn": True}, 3),
        ({"max_length": 5}, 1),  # the other record is dropped
        ({"max_length": 5, "truncation": "keep-start"}, 1),  # the other row lost an answer
        ({"max_length": 5, "truncation": "prompt-start"}, 3),  # it lost a part of its prompt
    ],
)
def test_which_answers_without_a_stop_count(options: dict[str, Any], expected: int) -> None:
    """Only trained answers of rows that are written count, and only if the row lost none."""
    result = run(TWO_ANSWERS, template=with_body("{content}"), **options)
    assert result.counts["answers_without_stop"] == expected


def test_a_stop_in_the_data() -> None:
    """An answer that brings its own stop token ends with it, if its text may become the token."""
    records = [{"prompt": "a", "completion": "b</s>"}, {"prompt": "a", "completion": "b"}]
    schema, template = "prompt-completion", with_body("{content}")
    found = run(records, schema, template=template, allowed=("</s>",))
    assert found.counts["answers_without_stop"] == 1
    assert run(records, schema, template=template).counts["answers_without_stop"] == 2


JINJA = ChatTemplate(
    name="t.jinja",
    source="{% for m in messages %}{% if m.role == 'user' %}<u>{{ m.content }}{% else %}<a>"
    "{{ m.content }}</s>{% endif %}{% endfor %}{% if add_generation_prompt %}<a>{% endif %}",
    sha256="",
    arguments={},
    today=None,
)
FLAGS = [name for name in LOSS_FLAGS if name != "masked"]


def trained_by(flag: bool | None, role: str, *, is_last: bool, policy: str) -> bool:
    """Whether the text of a message is trained, in the words of the manual."""
    if flag is not None:
        return flag
    return policy == "all" or (role == "assistant" and (policy == "completion" or is_last))


@pytest.mark.parametrize("template", [CHAT, JINJA], ids=["YAML", "Jinja"])
@pytest.mark.parametrize("policy", ["completion", "last", "all"])
@pytest.mark.parametrize("name", FLAGS)
def test_each_flag_wins_over_each_policy(name: str, policy: str, template: Any) -> None:
    """Whatever the flags say, what remains trained is what the policy and the flags say."""
    roles = ["user", "assistant"] * 2
    cases = list(itertools.product([None, 0, True], repeat=4))
    records = [
        {
            "messages": [
                {"role": role, "content": text, name: flag}
                for role, text, flag in zip(roles, "abcd", flags, strict=True)
            ]
        }
        for flags in cases
    ]
    result = run(records, template=template, train_on=policy)
    assert result.batch is not None
    found = dict.fromkeys(cases, "")
    ends = itertools.pairwise(result.batch.offsets.tolist())
    for number, (start, end) in zip(result.batch.record.tolist(), ends, strict=True):
        ids = result.batch.input_ids[start:end][result.batch.loss_mask[start:end]]
        found[cases[number]] = "".join(chr(i) for i in ids.tolist() if i < 256)
    assert found == {
        case: "".join(
            text
            for i, (role, text, flag) in enumerate(zip(roles, "abcd", case, strict=True))
            if trained_by(None if flag is None else bool(flag), role, is_last=i == 3, policy=policy)
        )
        for case in cases
    }
    assert len(result.batch) + len(result.dropped) == len(cases)
    assert result.flags == {name: sum(4 - case.count(None) for case in cases)}


@pytest.mark.parametrize("template", [CHAT, JINJA], ids=["YAML", "Jinja"])
@pytest.mark.parametrize("policy", ["completion", "last", "all"])
def test_a_record_that_is_not_to_be_trained_gives_no_row(policy: str, template: Any) -> None:
    """It is dropped and listed, in its place among the others that are lost."""
    record = talk("u:a a:b")
    records = [record, {**record, "loss": 0}, "x", {**record, "loss": 1}]
    result = run(records, template=template, train_on=policy)
    assert result.batch is not None
    assert result.batch.record.tolist() == [0, 3]
    assert [(lost.line, lost.reason, lost.error) for lost in result.dropped] == [
        (2, "nothing_to_train", None)
    ]
    assert [lost.line for lost in result.rejected] == [3]
    assert result.flags == {"loss": 1}


@pytest.mark.parametrize("template", [CHAT, JINJA], ids=["YAML", "Jinja"])
def test_placeholders_for_pictures_are_refused(template: Any) -> None:
    """A record that asks about a picture is refused, unless its placeholder is meant as text."""
    records = [talk("u:a a:b"), talk("u:<image> a:b")]
    result = run(records, template=template)
    assert [(lost.line, lost.reason) for lost in result.rejected] == [(2, "unsupported_content")]
    assert not run(records, template=template, plain_text=("<image>",)).rejected
    assert not run([talk("u:a a:<image>")], template=template).rejected


@pytest.mark.parametrize("template", [CHAT, JINJA], ids=["YAML", "Jinja"])
def test_a_placeholder_in_escapes(template: Any) -> None:
    """It is refused however the file writes its characters."""
    data = json.dumps(talk("u:<image> a:b")).replace("<", "\\u003c").encode()
    block = Block(0, 0, 1, 0, data, None, "messages")
    result = Pipeline(settings(template=template)).process(block)
    assert [lost.reason for lost in result.rejected] == ["unsupported_content"]


def test_what_was_understood_is_counted_once() -> None:
    """A block with a bad record is rendered twice; what it holds is counted once."""
    record = {"prompt": "a", "completion": "b", "context": "c", "id": 1}
    for more, used in (([], 2), ([{"prompt": "a"}], 2)):
        result = run([record, record, *more], "prompt-completion")
        assert result.ignored == {"id": used}
        assert result.fields == {"context as input": used}
