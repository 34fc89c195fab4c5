"""views.lint: the report at any width; the manual's table of rules."""

import re
from pathlib import Path

import pytest
from planted import exchange
from rich.cells import cell_len
from toys import write_jsonl

from sftprep.lint.table import RULES
from sftprep.lint_inputs import Report, lint
from sftprep.recipe import Recipe
from sftprep.views.lint import explain_rule, lint_report
from sftprep.views.manual import FOLDER


@pytest.fixture
def report(tmp_path: Path) -> Report:
    """A report with long, wide and right-to-left texts."""
    records = [exchange(number) for number in range(30)]
    for number, text in enumerate(["他今天早上数了很多鸟，" * 9, "שלום עולם " * 9, "word " * 40]):
        records[number]["completion"] = f"\u2060{text}\u2060"
    path = write_jsonl(tmp_path / "a.jsonl", records)
    return lint(Recipe(inputs=(str(path),), workers=1))


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_no_line_is_wider_than_the_terminal(report: Report, width: int) -> None:
    """Lines are broken between words, and the words stay the same."""
    text = lint_report(report, colour=False, width=width)
    assert max(map(cell_len, text.splitlines())) <= width
    words = "".join(lint_report(report, colour=False, width=10_000).split())
    assert "".join(text.split()) == words


def test_colours_add_nothing_but_colour(report: Report) -> None:
    """Without its codes, a coloured report is the plain one."""
    coloured = lint_report(report, colour=True, width=80)
    assert "\x1b[" in coloured
    plain = lint_report(report, colour=False, width=80)
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain


@pytest.mark.parametrize("name", RULES)
def test_every_rule_can_be_explained(name: str) -> None:
    """Each rule says what it finds, why and the cure."""
    text = " ".join(explain_rule(name, colour=False).split())
    rule = RULES[name]
    assert text.startswith(f"{name} ({rule.severity}) finds {rule.finds} why {rule.why} cure")


def test_the_manual_lists_every_rule() -> None:
    """The tables of the manual say what the rules say, in their order."""
    page = (FOLDER / "lint.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([a-z-]+)` \| (\w+) \| (.*) \|$", page, re.MULTILINE)
    assert rows == [
        (rule.name, rule.severity, rule.finds.replace("|", "&#124;")) for rule in RULES.values()
    ]
