"""lint: each rule finds just the faults that were planted for it, and nothing in clean data."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from planted import COUNT, EVERY, PLANTED, Planted, Record, chat, chinese, exchange
from toys import write_jsonl

from sftprep.lint.names import RULE_NAMES
from sftprep.lint.rule import Finding
from sftprep.lint.table import RULES
from sftprep.lint_inputs import Report, lint
from sftprep.recipe import Recipe

WITHOUT_PLANTS = {"no-separator", "leak"}
"""The rules whose faults are not those of single records; they have tests of their own."""


def linted(path: Path, records: Iterable[object], **options: Any) -> Report:
    """Lint some records, with one worker."""
    write_jsonl(path, records)
    return lint(Recipe(inputs=(str(path),), workers=1), **options)


def found(report: Report) -> dict[str, Finding]:
    """Return what was found, by the names of the rules."""
    return {finding.rule.name: finding for finding in report.findings}


@pytest.mark.parametrize("base", [exchange, chat, chinese])
def test_clean_data(tmp_path: Path, base: Callable[[int], Record]) -> None:
    """Nothing is found in data without a fault."""
    assert found(linted(tmp_path / "a.jsonl", map(base, range(COUNT)))) == {}


LANGUAGES = (
    "«\u00a0Où allez-vous\u202f?\u00a0» dit-elle. Le prix est de 12\u00a0000\u202f€, non\u202f?",
    "می\u200cخواهم کتاب\u200cها را ببینم، چون آن\u200cها بسیار زیبا هستند.",
    "שלום\u200f! מה שלומך היום? אני בסדר גמור, תודה רבה על השאלה.",
    "क्\u200dष और श्री: यह एक छोटा सा वाक्य है जो हिंदी में लिखा गया है।",
    "Größe, Äpfel, Öl und Übung: „Das ist ja schön“, sagte SIE. Ich rufe dich morgen wieder an",
    "Příliš žluťoučký kůň úpěl ďábelské ódy, a to všechno zcela bez chyby.",
    "Ağaçlar çiçek açtı; ılık bir rüzgâr esiyor ve İstanbul çok güzel görünüyor.",
    "Trời hôm nay đẹp quá, chúng ta cùng đi dạo ở công viên gần nhà nhé.",
    "Съешь ещё этих мягких французских булок, да выпей же чаю вместе с нами.",
    "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία, και μετά πάω για έναν καφέ στην πόλη.",
    "오늘 날씨가 정말 좋네요. 우리 같이 공원에 산책하러 갈까요?",
    "今日はとても良い天気ですね。一緒に公園を散歩しませんか？　はい、行きましょう。",
    "วันนี้อากาศดีมาก เราไปเดินเล่นที่สวนสาธารณะด้วยกันไหม",
    "Não há açúcar no café da manhã, mas o pão está ótimo e AS MAÇÃS também são.",
    "A family \U0001f468\u200d\U0001f469\u200d\U0001f467 waves: \u2764\ufe0f\u200d\U0001f525",
    "Use `a < b && b > c` in C; the list is [1, 2, 3], and {x} is a set of one element.",
    'The price is $5 & rising; see [Name](https://example.org) or write "N/A" in the form.',
    "Add the numbers step by step:\n- 7 and 3 are 10\n- 10 and 10 are 20\nSo the whole sum is\n20.",
    "She asked what it was made of, who it was for, and where it came from",
    "A lone � marks what was lost; in many fonts it is a black diamond.",
)
"""Answers without a fault, whose characters or words some rules look at."""


@pytest.mark.parametrize("text", LANGUAGES)
def test_no_false_alarms(tmp_path: Path, text: str) -> None:
    """What a language or a subject needs is no fault."""
    records = [exchange(number) for number in range(COUNT)]
    prompt = f"Passage: {text}\nWhat does it say?\nAnswer:\n"
    records[7] = {"prompt": prompt, "completion": text}
    assert found(linted(tmp_path / "a.jsonl", records)) == {}


def name_of(planted: Planted) -> str:
    """Return a name for a test."""
    return f"{planted.rule}-{planted.form}".rstrip("-")


@pytest.mark.parametrize("planted", PLANTED, ids=name_of)
def test_planted_faults(tmp_path: Path, planted: Planted) -> None:
    """A rule finds the faults that were planted for it, each of them once, and no other rule."""
    lines = range(EVERY, COUNT, EVERY)
    rare = range(EVERY, EVERY + 1) if planted.rule == "length-outlier" else lines
    records = [planted.base(number) for number in range(COUNT)]
    for line in rare:
        records[line] = planted.plant(records[line], line)
    report = linted(tmp_path / "a.jsonl", records)
    findings = found(report)
    assert set(findings) - planted.also == {planted.rule}
    finding = findings[planted.rule]
    verdict = finding.verdict
    assert verdict.faulty == len(rare)
    examples = [example.line for example in verdict.examples]
    assert examples == sorted(examples)
    assert examples[0] == rare[0] + 1
    assert set(examples) <= {line + 1 for line in rare}
    if planted.form:
        assert verdict.forms == ((planted.form, len(rare)),)
    assert (verdict.majority is None) or verdict.majority[1] + verdict.faulty == finding.seen


def test_every_rule_has_a_planted_fault() -> None:
    """No rule goes without a test."""
    with_rows = {name for name, rule in RULES.items() if rule.needs_rows}
    assert {planted.rule for planted in PLANTED} | WITHOUT_PLANTS | with_rows == set(RULE_NAMES)
    assert list(RULES) == list(RULE_NAMES)


def test_rules_describe_themselves() -> None:
    """Each rule says what it finds, why it matters and what to do, in sentences."""
    for rule in RULES.values():
        assert rule.finds[0].islower() or rule.finds.startswith("HTML")
        assert not rule.finds.endswith(".")
        assert rule.why.endswith(".")
        assert rule.cure.endswith(".")
        assert (rule.look is None) != (rule.look_over is None)
