"""lint: the run over whole inputs; what it finds depends on the records alone."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from planted import COUNT, EVERY, PLANTED, Record, chat, exchange
from toys import byte_hf, put_bos, save_folder, write_jsonl

from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.lint.rule import Finding
from sftprep.lint_inputs import Report, lint
from sftprep.recipe import Recipe

Write = Callable[[str, str | bytes], Path]


def linted(inputs: Sequence[object], *, select: Sequence[str] = (), **options: Any) -> Report:
    """Lint some files."""
    own: dict[str, Any] = {"workers": 1, "inputs": tuple(map(str, inputs))}
    blocks = {"block_bytes": options.pop("block_bytes")} if "block_bytes" in options else {}
    return lint(Recipe(**(own | options)), select=select, **blocks)


def found(report: Report) -> dict[str, Finding]:
    """Return what was found, by the names of the rules."""
    return {finding.rule.name: finding for finding in report.findings}


def everything_planted() -> list[Record]:
    """Return records of one schema with all faults that can be planted in it, each in its lines."""
    records = [exchange(number) for number in range(1000)]
    own = [planted for planted in PLANTED if planted.base is exchange]
    for number, planted in enumerate(own):
        for line in (100 + number, 300 + number, 600 + number):
            records[line] = planted.plant(records[line], line)
    return records


def test_neither_workers_nor_blocks_change_what_is_found(tmp_path: Path) -> None:
    """The report is the same for one process and two, and for blocks of any size."""
    records = everything_planted()
    path = write_jsonl(tmp_path / "a.jsonl", records)
    expected = linted([path])
    assert len(expected.findings) > 25
    for size in (2000, 30_000):
        assert linted([path], block_bytes=size) == expected
    assert linted([path], block_bytes=20_000, workers=2) == expected


def test_files_in_two_orders_have_the_same_counts(tmp_path: Path) -> None:
    """The order of the inputs changes no count."""
    records = everything_planted()
    one = write_jsonl(tmp_path / "one.jsonl", records[:450])
    two = write_jsonl(tmp_path / "two.jsonl", records[450:])

    def counts(report: Report) -> dict[str, tuple[int, int]]:
        # Which of two equal records is the repeated one depends on the order.
        return {name: (f.verdict.faulty, f.seen) for name, f in found(report).items()}

    assert counts(linted([one, two])) == counts(linted([two, one]))


def test_tables_name_rows(tmp_path: Path) -> None:
    """A finding in a table has the number of its row."""
    records = [exchange(number) for number in range(30)]
    records[4]["completion"] += " "
    path = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_pylist(records), path)
    (example,) = found(linted([path]))["answer-end"].verdict.examples
    assert (example.line, example.offset) == (5, None)


# --- rules over the whole input -------------------------------------------------------------------


def test_leaks(tmp_path: Path) -> None:
    """A prompt in a training and in a validation file is found, with its place in the other."""
    train = write_jsonl(tmp_path / "train.jsonl", map(exchange, range(COUNT)))
    held = [exchange(number) for number in range(COUNT, 2 * COUNT)]
    held[7] = exchange(5) | {"completion": "Another answer."}
    valid = write_jsonl(tmp_path / "valid.jsonl", held)
    finding = found(linted([train, valid], select=["leak"]))["leak"]
    assert (finding.verdict.faulty, finding.seen) == (1, COUNT)
    (example,) = finding.verdict.examples
    assert (example.source, example.line) == (1, 8)
    assert example.text == "has the prompt of train.jsonl:6"
    renamed = valid.rename(tmp_path / "more.jsonl")
    assert found(linted([train, renamed], select=["leak"])) == {}


def test_duplicates_say_of_what(tmp_path: Path) -> None:
    """A repeated record names the first one of its kind."""
    path = write_jsonl(tmp_path / "a.jsonl", map(exchange, [1, 2, 1, 3, 1]))
    verdict = found(linted([path], select=["duplicate"]))["duplicate"].verdict
    assert [(e.line, e.text) for e in verdict.examples] == [
        (3, "repeats a.jsonl:1"),
        (5, "repeats a.jsonl:1"),
    ]


def test_conflicts_name_a_record_with_another_answer(tmp_path: Path) -> None:
    """Each record of a group names one with the same prompt and another answer."""
    records = [exchange(n % 3) | {"completion": f"Answer {n // 4}."} for n in range(7)]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    verdict = found(linted([path], select=["conflicting-answers"]))["conflicting-answers"].verdict
    assert verdict.faulty == 7
    for example in verdict.examples:
        other = int(example.text.rpartition(":")[2]) - 1
        own = records[example.line - 1]
        assert records[other]["prompt"] == own["prompt"]
        assert records[other]["completion"] != own["completion"]


def test_tools_belong_to_the_prompt(tmp_path: Path) -> None:
    """Two records that differ in their tools are neither duplicates nor in conflict."""
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    records = [chat(1), chat(1) | {"tools": tools}]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    assert found(linted([path], select=["duplicate", "conflicting-answers"])) == {}


def test_options_that_answer_a_rule(tmp_path: Path) -> None:
    """With the option that a rule's cure names, the rule is silent."""
    records = [chat(n) if n % 20 else {"messages": chat(n)["messages"][1:]} for n in range(COUNT)]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    assert set(found(linted([path]))) == {"system-prompt"}
    assert found(linted([path], system="You count.")) == {}
    ended = [exchange(n) for n in range(COUNT)]
    ended = [one | {"completion": one["completion"] + "<|im_end|>"} for one in ended]
    path = write_jsonl(tmp_path / "b.jsonl", ended)
    assert set(found(linted([path]))) == {"control-string"}
    assert found(linted([path], allow_control=("<|im_end|>",))) == {}


def test_no_separator_depends_on_the_template(tmp_path: Path) -> None:
    """Glued prompts and answers are found where the template writes nothing between them."""
    records = [exchange(n) | {"prompt": f"How much is {n} and {n}?"} for n in range(40)]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    assert set(found(linted([path]))) == {"no-separator"}
    assert found(linted([path], separator="\\n")) == {}
    assert found(linted([path], template="qa")) == {}


# --- majorities -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("without", "is_found"), [(10, True), (31, False), (120, False)])
def test_a_clear_majority_is_needed(tmp_path: Path, without: int, is_found: bool) -> None:
    """A system prompt in some records is reported if most have one, with both shares."""
    records = [chat(number) for number in range(COUNT - without)]
    records += [{"messages": chat(n)["messages"][1:]} for n in range(COUNT, COUNT + without)]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    finding = found(linted([path])).get("system-prompt")
    assert (finding is not None) == is_found
    if finding is not None:
        assert finding.verdict.majority == ("with a system prompt", COUNT - without)
        assert finding.verdict.forms == (("without a system prompt", without),)


# --- choosing rules -------------------------------------------------------------------------------


def test_select_and_ignore(tmp_path: Path) -> None:
    """Only chosen rules run; an ignored one is listed with its reason."""
    path = write_jsonl(tmp_path / "a.jsonl", everything_planted())
    assert set(found(linted([path], select=["html", "nul"]))) == {"html", "nul"}
    recipe = Recipe(inputs=(str(path),), workers=1, lint_ignore=("html=these are pages",))
    report = lint(recipe, ignore=["nul"])
    assert not {"html", "nul"} & set(found(report))
    assert [(one.finding.rule.name, one.reason) for one in report.ignored] == [
        ("nul", ""),
        ("html", "these are pages"),
    ]


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"select": ["htlm"]}, "--select 'htlm': there is no such rule. Did you mean 'html'?"),
        ({"ignore": ["x"]}, "--ignore 'x': there is no such rule. sftprep help lint lists the "
         "rules."),
        ({"select": ["no-stop"]}, "no-stop: needs rows, and so a tokenizer. Pass --tokenizer."),
    ],
)  # fmt: skip
def test_rules_that_cannot_be_chosen(tmp_path: Path, given: Any, problem: str) -> None:
    """A rule that does not exist, or cannot run, is refused."""
    path = write_jsonl(tmp_path / "a.jsonl", [exchange(1)])
    with pytest.raises(UsageError) as caught:
        lint(Recipe(inputs=(str(path),), workers=1), **given)
    assert str(caught.value) == problem


def test_fail_on(tmp_path: Path) -> None:
    """A finding of the severity, or of a greater one, is an error on request."""
    path = write_jsonl(tmp_path / "a.jsonl", everything_planted())
    warning = linted([path], select=["nbsp", "html"])
    warning.check("")
    warning.check("error")
    with pytest.raises(DataError, match="--fail-on warning: 1 rule found faults: nbsp"):
        warning.check("warning")
    with pytest.raises(DataError, match="2 rules found faults: nul, nbsp"):
        linted([path], select=["nbsp", "nul"]).check("warning")


def test_no_records(write: Write) -> None:
    """An input without records is no clean input."""
    with pytest.raises(NoInputError):
        linted([write("a.jsonl", "\n")])
    with pytest.raises(UsageError):
        linted([])


# --- with a tokenizer -----------------------------------------------------------------------------


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The folder of a byte-level tokenizer that stops at ``</s>``."""
    tokens = ["<s>", "</s>", "<|im_end|>"]
    return save_folder(byte_hf(tokens), tmp_path / "toy", eos_token="</s>", bos_token="<s>")


def test_clean_rows(tmp_path: Path, toy: Path) -> None:
    """The rules about tokens find nothing in clean data."""
    path = write_jsonl(tmp_path / "a.jsonl", map(exchange, range(COUNT)))
    report = linted([path], tokenizer=str(toy))
    assert (found(report), report.not_run) == ({}, ())


def test_lengths_of_rows(tmp_path: Path, toy: Path) -> None:
    """Rows and prompts over the limit are found, with their lengths in tokens."""
    records = [exchange(number) for number in range(60)]
    records[20]["completion"] += " more" * 200
    records[40]["prompt"] = "very " * 200 + records[40]["prompt"]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    findings = found(linted([path], tokenizer=str(toy), max_length=600))
    assert set(findings) == {"over-limit", "prompt-over-limit"}
    lengths = [len((r["prompt"] + r["completion"]).encode()) + 1 for r in records]
    over = findings["over-limit"].verdict
    assert [(e.line, e.text) for e in over.examples] == [
        (21, f"{lengths[20]:,} tokens"),
        (41, f"{lengths[40]:,} tokens"),
    ]
    (example,) = findings["prompt-over-limit"].verdict.examples
    assert (example.line, example.text) == (41, f"{len(records[40]['prompt']):,} tokens")


def test_control_tokens_of_the_tokenizer(tmp_path: Path, toy: Path) -> None:
    """With a tokenizer, its own tokens are looked for, and no others."""
    records = [exchange(number) for number in range(60)]
    records[10]["completion"] += "<|im_end|>"
    records[20]["completion"] += "<|eot_id|>"
    path = write_jsonl(tmp_path / "a.jsonl", records)
    verdict = found(linted([path], tokenizer=str(toy)))["control-string"].verdict
    assert (verdict.forms, verdict.examples[0].line) == ((("<|im_end|>", 1),), 11)


def test_answers_without_a_stop_token(tmp_path: Path, toy: Path, write: Write) -> None:
    """A template that ends no answer is found in every row."""
    path = write_jsonl(tmp_path / "a.jsonl", map(exchange, range(COUNT)))
    own = str(write("own.jinja", "{% for m in messages %}{{ m.content }}\n{% endfor %}"))
    findings = found(linted([path], tokenizer=str(toy), template=own))
    assert findings["no-stop"].verdict.faulty == COUNT


def test_stop_tokens_that_differ(tmp_path: Path, toy: Path, write: Write) -> None:
    """A template that ends some answers with another token is found in these rows."""
    source = (
        "{% for m in messages %}{{ m.content }}"
        "{% if m.role == 'assistant' %}"
        "{{ '<|im_end|>' if 'seen 50 times' in m.content else '</s>' }}{% endif %}{% endfor %}"
    )
    path = write_jsonl(tmp_path / "a.jsonl", map(exchange, range(COUNT)))
    own = str(write("own.jinja", source))
    findings = found(linted([path], tokenizer=str(toy), template=own))
    verdict = findings["stop-differs"].verdict
    assert (verdict.majority, verdict.forms) == (("</s>", COUNT - 1), (("<|im_end|>", 1),))
    assert [example.line for example in verdict.examples] == [51]


def test_doubled_bos(tmp_path: Path, write: Write) -> None:
    """A template that writes the BOS token which the tokenizer adds is found in every row."""
    hf = byte_hf(["<s>", "</s>"])
    put_bos(hf)
    folder = save_folder(hf, tmp_path / "toy", eos_token="</s>", bos_token="<s>")
    path = write_jsonl(tmp_path / "a.jsonl", map(exchange, range(60)))
    source = "{{ bos_token }}{{ bos_token }}{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    findings = found(
        linted([path], tokenizer=str(folder), template=str(write("own.jinja", source)))
    )
    assert findings["doubled-bos"].verdict.faulty == 60


def test_parts_that_the_template_leaves_out(tmp_path: Path, toy: Path, write: Write) -> None:
    """Tools that a template does not write are found, and the records are still looked at."""
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    records = [chat(n) | ({"tools": tools} if n % EVERY == 0 else {}) for n in range(COUNT)]
    path = write_jsonl(tmp_path / "a.jsonl", records)
    source = "{% for m in messages %}{{ m.content }}</s>{% endfor %}"
    findings = found(linted([path], tokenizer=str(toy), template=str(write("own.jinja", source))))
    assert findings["left-out"].verdict.forms == (("tools", COUNT // EVERY),)


def test_records_that_a_template_refuses(tmp_path: Path, toy: Path) -> None:
    """With a template, what it refuses is a bad record; other rules look at it all the same."""
    records = [exchange(number) for number in range(COUNT)]
    tools = [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    records[9] |= {"tools": tools, "completion": records[9]["completion"] + " "}
    path = write_jsonl(tmp_path / "a.jsonl", records)
    findings = found(linted([path], tokenizer=str(toy)))
    assert set(findings) == {"bad-record", "answer-end"}
    (example,) = findings["bad-record"].verdict.examples
    assert (example.line, findings["bad-record"].verdict.forms) == (10, (("unsupported_tools", 1),))
