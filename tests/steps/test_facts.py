"""Where rows come from: the place of their record, their keys, what was cut, why they count."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from toys import byte_tokenizer, piece_tokenizer

from sftprep.data.batch import Batch
from sftprep.data.block import Block, Element, Rows
from sftprep.data.provenance import CutAt, Part, RowFacts, Writer
from sftprep.data.result import BlockResult
from sftprep.pipeline import Pipeline
from sftprep.settings import Settings
from sftprep.steps.examples import MOST_REASONS
from sftprep.templates.loading import parse_template
from sftprep.templates.template import ChatTemplate

CHAT = parse_template(
    {
        "tokens": ["<u>", "<a>"],
        "system": "{content}\n",
        "user": "<u>{content}<|l|>",
        "assistant": {"header": "<a>", "body": "{content}{eos}"},
    },
    name="chat",
    where="chat.yaml",
)
PLAIN = parse_template(
    {"user": "{content}", "assistant": {"header": "", "body": "{content}{eos}"}},
    name="plain",
    where="plain.yaml",
)
TOKENS = ("</s>", "<u>", "<a>")
TOKENIZER = byte_tokenizer(TOKENS, [("a", "b")])
JINJA = (
    "{% for m in messages %}<u>{{ m.role }}\n"
    "{% if m.reasoning_content and loop.last %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}<u>assistant\n{% endif %}"
)


def jinja(source: str = JINJA) -> ChatTemplate:
    """A chat template."""
    return ChatTemplate(name="own", source=source, sha256="", arguments={}, today=None)


def run(
    records: Sequence[object], schema: str = "messages", **changed: Any
) -> tuple[BlockResult, Batch, RowFacts]:
    """The result of one block of these lines, the rows, and their facts."""
    lines = [r if isinstance(r, bytes) else json.dumps(r).encode() for r in records]
    return process(
        Block(3, 0, 11, 100, b"".join(line + b"\n" for line in lines), None, schema), **changed
    )


def process(block: Block, **changed: Any) -> tuple[BlockResult, Batch, RowFacts]:
    """The result of one block, the rows, and their facts."""
    options: dict[str, Any] = {
        "tokenizer": TOKENIZER, "template": CHAT, "fields": {}, "system": None, "separator": "",
        "allowed": (), "max_length": 1000, "truncation": "drop", "train_on": "completion",
        "boundary": "split", "backend": "auto",
    }  # fmt: skip
    result = Pipeline(Settings(**options | changed)).process(block)
    assert result.batch is not None
    facts = result.batch.facts
    assert facts is not None
    check(result.batch, facts)
    return result, result.batch, facts


def check(batch: Batch, facts: RowFacts) -> None:
    """Check that the facts are those of these rows."""
    assert len(facts) == len(batch)
    assert facts.segments.row_tokens.tolist() == batch.lengths.tolist()
    trained = np.repeat(facts.segments.trained, facts.segments.tokens)
    assert trained.tolist() == batch.loss_mask.tolist()


def turns(*texts: str, **more: Any) -> dict[str, Any]:
    """A conversation of user and assistant by turns."""
    roles = ["user", "assistant"] * len(texts)
    messages = [{"role": r, "content": t} for r, t in zip(roles, texts, strict=False)]
    return {"messages": messages, **more}


def exchange(prompt: str, completion: str, **more: Any) -> dict[str, Any]:
    """A prompt with its completion."""
    return {"prompt": prompt, "completion": completion, **more}


# --- places -------------------------------------------------------------------------------------


def test_places_in_lines() -> None:
    """Blank lines, bad lines and dropped records count; a byte is not a character."""
    records = [exchange("é", "b"), b"", b"{", exchange("a", "b" * 99), exchange("q", "b")]
    result, _, facts = run(records, "prompt-completion", max_length=50)
    assert (len(result.rejected), len(result.dropped)) == (1, 1)
    lengths = [len(json.dumps(r)) if isinstance(r, dict) else len(r) for r in records]
    assert facts.source.tolist() == [3, 3]
    assert facts.line.tolist() == [11, 15]
    assert facts.offset.tolist() == [100, 100 + sum(lengths[:4]) + 4]


def test_places_in_an_array_and_in_a_table() -> None:
    """An element of an array has a line and an offset; a row of a table only its number."""
    record = json.dumps(exchange("a", "b")).encode()
    two = b"[" + record + b",\n " + record + b"]"
    elements = (Element(1, 1 + len(record), 11), Element(4 + len(record), 4 + 2 * len(record), 12))
    _, _, facts = process(Block(0, 0, 11, 7, two, elements, "prompt-completion"))
    assert (facts.line.tolist(), facts.offset.tolist()) == ([11, 12], [8, 11 + len(record)])
    table = Rows("csv", 2, ("prompt", "completion"), ",")
    block = Block(0, 0, 5, 0, b"a,b\nc,d\n", None, "prompt-completion", rows=table)
    _, _, facts = process(block)
    assert (facts.line.tolist(), facts.offset.tolist()) == ([5, 6], [-1, -1])


def test_answers_of_a_record() -> None:
    """With one example for each answer, their number tells them apart."""
    records = [turns("a", "b", "c", "d"), turns("e", "f"), turns("g", "h", "i", "j", "k", "l")]
    _, _, facts = run(records, per_turn=True)
    assert facts.line.tolist() == [11, 11, 12, 13, 13, 13]
    assert facts.answer.tolist() == [0, 1, 0, 0, 1, 2]
    assert run(records)[2].answer.tolist() == [0, 0, 0]


# --- texts and their tokens ---------------------------------------------------------------------


def test_segments_of_a_yaml_template() -> None:
    """Messages are numbered as in the conversation; the template's own text has their numbers."""
    records = [{"messages": [{"role": "system", "content": "be"}, *turns("ab", "b")["messages"]]}]
    _, _, facts = run(records)
    user, answer = Writer(1, "user", Part.TEMPLATE), Writer(2, "assistant", Part.TEMPLATE)
    assert facts.segments.row(0) == [
        (2, Writer(0, "system", Part.CONTENT), False),
        (1, Writer(0, "system", Part.TEMPLATE), False),
        (1, user, False),
        (1, user._replace(part=Part.CONTENT), False),
        (5, user, False),
        (1, answer, False),
        (1, answer._replace(part=Part.CONTENT), True),
        (1, answer._replace(part=Part.STOP), True),
    ]


def test_reasoning_that_is_not_trained() -> None:
    """It is told apart from the rest of the content; otherwise it is part of the content."""
    records = [turns("a", "<think>x</think>b")]
    _, _, facts = run(records, train_reasoning="none")
    answer = Writer(1, "assistant", Part.CONTENT)
    assert facts.segments.row(0)[4:6] == [
        (16, answer._replace(part=Part.REASONING), False), (1, answer, True),
    ]  # fmt: skip
    assert run(records)[2].segments.row(0)[4:5] == [(17, answer, True)]


def test_segments_of_a_chat_template() -> None:
    """The loop of the template tells which message its text belongs to."""
    answer = {"role": "assistant", "content": "b", "reasoning_content": "ab"}
    record = {"messages": [{"role": "user", "content": "a"}, answer]}
    user, header = Writer(0, "user", Part.TEMPLATE), Writer(1, "assistant", Part.TEMPLATE)
    reasoning = header._replace(part=Part.REASONING)
    before = [
        (6, user, False),
        (1, user._replace(part=Part.CONTENT), False),
        (2, user, False),
    ]
    after = [
        (1, header._replace(part=Part.CONTENT), True),
        (1, header._replace(part=Part.STOP), True),
        (1, header, False),
    ]
    thought = [(11, header, False), (7, header, True), (1, reasoning, True), (8, header, True)]
    _, _, facts = run([record], template=jinja())
    assert facts.segments.row(0) == [*before, *thought, *after]
    thought = [(18, header, False), (1, reasoning, False), (8, header, False)]
    _, _, facts = run([record], template=jinja(), train_reasoning="none")
    assert facts.segments.row(0) == [*before, *thought, *after]


def test_tools_and_calls_of_a_chat_template() -> None:
    """Tools belong to no message; calls to the answer that makes them."""
    source = (
        "{% if tools %}{{ tools | tojson }}\n{% endif %}{% for m in messages %}<u>{{ m.role }}\n"
        "{{ m.content }}{% for c in m.tool_calls or [] %}({{ c.function.name }}){% endfor %}</s>"
        "{% endfor %}{% if add_generation_prompt %}<u>assistant\n{% endif %}"
    )
    call = {"type": "function", "function": {"name": "ab", "arguments": {}}}
    answer = {"role": "assistant", "content": "b", "tool_calls": [call]}
    tools = [{"type": "function", "function": {"name": "ab"}}]
    record = {"messages": [{"role": "user", "content": "a"}, answer], "tools": tools}
    _, _, facts = run([record], template=jinja(source))
    parts = [(writer.message, writer.part) for _, writer, _ in facts.segments.row(0)]
    assert parts == [
        (-1, Part.TOOLS), (-1, Part.TEMPLATE), (0, Part.TEMPLATE), (0, Part.CONTENT),
        (0, Part.TEMPLATE), (1, Part.TEMPLATE), (1, Part.CONTENT), (1, Part.TEMPLATE),
        (1, Part.TOOL_CALL), (1, Part.TEMPLATE), (1, Part.STOP),
    ]  # fmt: skip


@pytest.mark.parametrize("boundary", ["split", "joint"])
@pytest.mark.parametrize("template", [CHAT, PLAIN, jinja()])
@pytest.mark.parametrize("truncation", ["keep-end", "prompt-start", "balanced", "oldest-turns"])
def test_segments_and_loss_mask_agree(boundary: str, template: Any, truncation: str) -> None:
    """In every mode, also after a cut; ``process`` checks it."""
    records = [turns(*("ab" * i for i in range(2, 2 + 2 * n))) for n in (1, 2, 3)]
    records += [turns("é ", " b"), turns("\n", "ab\n")]
    for limit in (20, 28, 1000):
        _, batch, facts = run(
            records, template=template, boundary=boundary, truncation=truncation, max_length=limit
        )
        kept = batch.lengths.tolist()
        whole = run(records, template=template, boundary=boundary)[1].lengths.tolist()
        lengths = [whole[line - 11] for line in facts.line.tolist()]
        if truncation != "oldest-turns":
            assert (facts.cut_tokens + kept).tolist() == lengths


# --- keys ---------------------------------------------------------------------------------------


def test_keys_do_not_depend_on_how_the_text_is_encoded() -> None:
    """Neither boundaries, backends and tokenizers nor a cut make a difference."""
    records = [turns("ab ", " b", "c", "d"), turns("é", "ab" * 9), turns("ab ", "c")]
    facts = [
        run(records)[2],
        run(records, boundary="joint")[2],
        run(records, backend="hf")[2],
        run(records, tokenizer=byte_tokenizer(TOKENS))[2],
        run(records, tokenizer=piece_tokenizer("first", ["<u>", "<a>"], adds_bos=True))[2],
        run(records, max_length=16, truncation="keep-start")[2],
        run(records, max_length=16, truncation="oldest-turns")[2],
        RowFacts.concatenate([run([record])[2] for record in records]),
    ]
    assert facts[6].exchanges_dropped.tolist() == [1, 0, 0]
    for one in facts:
        assert one.prompt_key.tolist() == facts[0].prompt_key.tolist()
        assert one.record_key.tolist() == facts[0].record_key.tolist()
    first, second, third = facts[0].prompt_key.tolist()
    assert first == third != second
    assert run(records, train_on="last")[2].record_key[0] != facts[0].record_key[0]


def test_normalized_keys_on_request() -> None:
    """They find records that differ in case and white space."""
    records = [turns("A  b", "C"), turns("a b", "c")]
    assert run(records)[2].normalized_key is None
    _, _, facts = run(records, normalized_keys=True)
    assert facts.normalized_key is not None
    assert facts.normalized_prompt_key is not None
    assert len(set(facts.normalized_key.tolist())) == 1
    assert len(set(facts.normalized_prompt_key.tolist())) == 1
    assert len(set(facts.record_key.tolist())) == 2


@pytest.mark.parametrize("template", [CHAT, jinja()])
def test_groups(template: Any) -> None:
    """Records of one group have one key; one without the field is refused; the field is read."""
    records = [turns("a", "b", meta={"id": i}) for i in (1, 2, 1)]
    _, _, facts = run(records, split_by="meta.id", template=template)
    assert facts.group_key is not None
    first, second, third = facts.group_key.tolist()
    assert first == third != second
    result, _, facts = run([*records, turns("a", "b")], split_by="meta.id", template=template)
    assert facts.group_key is not None
    assert facts.group_key.tolist() == [first, second, third]
    (refused,) = result.rejected
    assert (refused.reason, refused.line) == ("missing_field", 14)
    assert result.ignored == {}
    assert run(records, template=template)[0].ignored == {"meta": 3}
    assert run(records, template=template)[2].group_key is None


# --- cuts and reasons ---------------------------------------------------------------------------


def test_what_a_cut_has_removed() -> None:
    """In tokens, and where; the exchanges that were left out are counted by themselves."""
    records = [turns("a", "b" * 20), turns("a" * 9, "b", "c", "d"), turns("a", "b")]
    _, _, facts = run(records, truncation="keep-start", max_length=20)
    assert facts.cut_tokens.tolist() == [9, 8, 0]
    assert facts.cut_trained.tolist() == [9, 2, 0]
    assert facts.cut_at.tolist() == [CutAt.END, CutAt.END, 0]
    _, _, facts = run(records, truncation="oldest-turns", max_length=20)
    assert facts.exchanges_dropped.tolist() == [0, 1, 0]


NOTE = "{{ '!' if m.role == 'user' and loop.last else '' }}"
GLUED = turns("a", "b")
VARIED: list[Any] = [
    GLUED,
    turns("a\n", "b"),
    turns("a", "b</s>", "<u> and </s>", "d"),
    turns("ab", "<think></think>b"),
    turns("x", "y" * 90),
    turns("x" * 40, "y", "x", "y"),
    turns("<a>", "z" * 200),
    b"{",
    {
        "messages": [
            *GLUED["messages"][:1],
            {"role": "assistant", "content": "b", "reasoning_content": "c"},
            *GLUED["messages"],
        ]
    },
    {"messages": [{"role": "system", "content": "s"}, *GLUED["messages"]], "system_prompt": ""},
    {"messages": [{"role": "User", "content": "q"}, GLUED["messages"][1]], "id": 1},
    {"messages": [{**turn, "id": 2, "weight": 1} for turn in GLUED["messages"]], "functions": []},
    turns("a", "b", loss=True, id=None),
]


OF_RECORDS = ("ignored_field:", "loss_flag:", "role:", "field:")


def test_counts_of_records_are_the_rows_of_those_records() -> None:
    """Where each record has one row, a count of records is one of rows; else of messages."""
    good = [record for record in VARIED if isinstance(record, dict)]
    result, batch, facts = run(good, template=PLAIN, rejects_omissions=False)
    assert len(batch) == len(good)
    found = {n: int(rows.sum()) for n, rows in facts.reasons.items() if n.startswith(OF_RECORDS)}
    assert found == {
        "ignored_field:id": 2, "ignored_field:messages[].id": 1, "loss_flag:loss": 1,
        "loss_flag:weight": 1, "role:User as user": 1,
    }  # fmt: skip
    assert result.ignored == {"id": 2, "messages[].id": 2}
    assert (result.flags, result.roles) == ({"loss": 1, "weight": 2}, {"User as user": 1})


def test_the_rows_of_one_record_have_its_reasons() -> None:
    """With an example for each answer, all of them count; rejected records do not."""
    records = [turns("a", "b"), b"{", turns("a", "b", "c", "d", id=1), turns("e", "f", id=2)]
    _, _, facts = run(records, per_turn=True)
    assert facts.line.tolist() == [11, 13, 13, 14]
    assert facts.reasons["ignored_field:id"].tolist() == [False, True, True, True]


def test_fields_that_are_different_in_each_record() -> None:
    """Only so many are named."""
    records = [exchange("a", "b", **{f"x{i}": 1}) for i in range(MOST_REASONS + 5)]
    _, _, facts = run(records, "prompt-completion")
    named = [name for name in facts.reasons if name.startswith("ignored_field:")]
    assert len(named) == MOST_REASONS + 1
    assert facts.reasons["ignored_field:(others)"].sum() == 5


@pytest.mark.parametrize("changed", [
    {},
    {"truncation": "keep-start", "max_length": 50},
    {"truncation": "oldest-turns", "max_length": 40},
    {"boundary": "joint"},
    {"template": PLAIN, "rejects_omissions": False},
    {"template": PLAIN, "end_of_turn": "<a>", "rejects_omissions": False},
    {"template": jinja()},
    {"template": jinja(JINJA.replace("loop.last", "true")), "per_turn": True},
    {"template": jinja(JINJA.replace("{{ m.content }}", "{{ m.content }}" + NOTE))},
    {"template": jinja("<|l|>" + JINJA.replace("</s>", "<think></think>"))},
])  # fmt: skip
def test_counts_of_rows_are_the_rows_with_the_reason(changed: dict[str, Any]) -> None:
    """Whatever the summary says of rows can be listed."""
    result, batch, facts = run(VARIED, **{"max_length": 120, **changed})
    found = {name: int(rows.sum()) for name, rows in facts.reasons.items()}
    assert all(
        rows.dtype == np.bool_ and len(rows) == len(batch) for rows in facts.reasons.values()
    )
    counts = result.counts
    expected = Counter(
        {
            "shortened": counts["shortened"],
            "unclean_boundary": counts["unclean_boundaries"],
            "rewritten_history": counts["rewritten_histories"],
            "control_string": counts["control_records"],
            **{f"control_string:{text}": n for text, n in result.controls.items()},
            **{f"token_as_text:{text}": n for text, n in result.lookalikes.items()},
            **{f"omitted:{name}": n for name, n in result.omitted.items()},
        }
    )
    of_parts = {"glued_answer", "empty_think_block", "trained_think_block", "answer_without_stop"}
    others = {n for n in found if n in of_parts or n.startswith(("other_stop:", *OF_RECORDS))}
    assert {n: rows for n, rows in found.items() if n not in others} == +expected
    for name, count in {
        "glued_answer": counts["glued_answers"],
        "empty_think_block": counts["empty_think_blocks"],
        "trained_think_block": counts["trained_think_blocks"],
        "answer_without_stop": counts["answers_without_stop"],
        **{f"other_stop:{token}": n for token, n in result.other_stops.items()},
    }.items():
        assert bool(count) == (name in others)
        assert found.get(name, 0) <= count
    assert counts["truncated"] == np.count_nonzero(facts.cut_tokens)
    assert counts["truncated_trained"] == np.count_nonzero(facts.cut_trained)
    assert counts["exchanges_dropped"] == facts.exchanges_dropped.sum()


def test_the_varied_data_has_all_kinds() -> None:
    """The comparison above compares something for each reason."""
    cases = test_counts_of_rows_are_the_rows_with_the_reason.pytestmark[0].args[1]
    facts = [run(VARIED, **{"max_length": 120, **changed})[2] for changed in cases]
    names = {name.partition(":")[0] for one in facts for name in one.reasons}
    assert names >= {
        "shortened", "unclean_boundary", "rewritten_history", "control_string", "token_as_text",
        "omitted", "glued_answer", "empty_think_block", "trained_think_block",
        "answer_without_stop",
    }  # fmt: skip
