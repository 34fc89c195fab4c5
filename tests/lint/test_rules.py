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
