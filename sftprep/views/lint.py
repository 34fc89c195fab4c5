"""Write what ``lint`` has found: as text for people, or as one JSON object.

In     a ``Report``, or the name of a rule.
Out    text: a paragraph for each rule that has found something, the most severe first; what was
       ignored, with the reason; what was not run.
Keeps  the text the same at any width but for its line breaks. What comes from the data is quoted,
       and a character that a terminal could act on is written as an escape.
Raises UsageError: there is no such rule.
"""

import io
from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import orjson

from sftprep.errors import UsageError
from sftprep.lint.findings import Example
from sftprep.lint.names import RULE_NAMES
from sftprep.lint.rule import Finding, place_of
from sftprep.lint.table import RULES
from sftprep.text import ascii_safe, did_you_mean, number, quoted, shown

if TYPE_CHECKING:
    from sftprep.lint_inputs import Report

COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}
MOST_FORMS = 6
"""How many forms of a finding are named."""
PLAIN_WIDTH = 100
"""The width of the text where there is no terminal."""
LEAST_WIDTH = 40

Line = tuple[int, str, str]
"""How far a line is indented, its text, and its style."""


def lint_report(report: "Report", *, colour: bool, width: int | None = None) -> str:
    """Return a report as text.

    Args:
        report: the report.
        colour: whether to use colours.
        width: the columns of the terminal; None if there is none.
    """
    lines = [*_head(report), *_body(report), *_foot(report)]
    return _laid_out(lines, colour=colour, width=width or PLAIN_WIDTH)


def lint_json(report: "Report") -> bytes:
    """Return a report as one JSON object, with a line break at its end."""
    value = {
        "inputs": list(report.names),
        "records": report.records,
        "findings": [_as_json(finding, report) for finding in report.findings],
        "ignored": [
            {
                "rule": one.finding.rule.name,
                "count": one.finding.verdict.faulty,
                "reason": one.reason,
            }
            for one in report.ignored
        ],
        "not_run": [rule.name for rule in report.not_run],
        "fixed": None if report.fixed is None else asdict(report.fixed),
    }
    return orjson.dumps(value, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def explain_rule(name: str, *, colour: bool, width: int | None = None) -> str:
    """Return all that a rule says of itself.

    Raises:
        UsageError: there is no such rule.
    """
    if name not in RULES:
        hint = did_you_mean(name, RULE_NAMES, f"The rules are {', '.join(RULE_NAMES)}.")
        raise UsageError(f"--explain {shown(name)}: there is no such rule. {hint}")
    rule = RULES[name]
    needs = [(2, "needs  a tokenizer", "")] if rule.needs_rows else []
    lines: list[Line] = [
        (0, f"{rule.name} ({rule.severity})", COLOURS[rule.severity]),
        (2, f"finds  {rule.finds}", ""),
        (2, f"why    {rule.why}", ""),
        (2, f"cure   {rule.cure}", ""),
        *needs,
    ]
    return _laid_out(lines, colour=colour, width=width or PLAIN_WIDTH)


def _head(report: "Report") -> Iterator[Line]:
    names = report.names
    what = ascii_safe(names[0]) if len(names) == 1 else number(len(names), "input")
    found = ", ".join(
        number(count, severity) for severity, count in report.counts().items() if count
    )
    yield 0, f"{what}: {number(report.records, 'record')}; {found or 'nothing found'}", "bold"


def _body(report: "Report") -> Iterator[Line]:
    for finding in report.findings:
        rule, verdict = finding.rule, finding.verdict
        yield 0, "", ""
        yield 0, f"{rule.name} ({rule.severity}): {_amount(finding)}", COLOURS[rule.severity]
        yield 2, rule.finds, ""
        if verdict.majority is not None:
            form, count = verdict.majority
            yield 2, f"most: {ascii_safe(form)}, {count:,} ({_percent(count, finding.seen)})", ""
        if verdict.forms:
            yield 2, f"found: {_forms(finding)}", ""
        for example in verdict.examples:
            yield 4, _example(example, report), "dim"
        yield 2, f"cure: {rule.cure}", ""


def _foot(report: "Report") -> Iterator[Line]:
    if report.fixed is not None:
        changes = ", ".join(f"{rule} {count:,}" for rule, count in report.fixed.changes.items())
        path = ascii_safe(report.fixed.path)
        yield 0, "", ""
        yield (
            0,
            f"fixed: {number(report.fixed.records, 'record')} in {path}: {changes or 'nothing'}",
            "",
        )
        yield 2, f"every change is listed in {path}.changes", ""
    if report.ignored:
        yield 0, "", ""
        for one in report.ignored:
            reason = f": {ascii_safe(one.reason)}" if one.reason else ""
            yield 0, f"ignored: {one.finding.rule.name}, {_amount(one.finding)}{reason}", ""
    if report.not_run:
        count = number(len(report.not_run), "rule")
        yield 0, "", ""
        yield 0, f"not run: {count} about tokens; pass --tokenizer", ""
    if report.findings:
        yield 0, "", ""
        yield 0, "sftprep lint --explain RULE says why a rule matters.", ""


def _amount(finding: Finding) -> str:
    count, seen = finding.verdict.faulty, finding.seen
    return f"{count:,} of {number(seen, finding.rule.unit)} ({_percent(count, seen)})"


def _percent(count: int, total: int) -> str:
    """Return a share in words: never 0 % of something, and never 100 % of less than all.

    >>> _percent(1, 10000), _percent(9999, 10000), _percent(1, 3)
    ('under 0.1%', 'over 99.9%', '33.3%')
    """
    share = count / total if total else 0.0
    if 0 < share < 0.0005:
        return "under 0.1%"
    if 0.9995 <= share < 1:
        return "over 99.9%"
    return f"{share:.1%}"


def _forms(finding: Finding) -> str:
    forms = finding.verdict.forms
    named = [f"{ascii_safe(form)} in {count:,}" for form, count in forms[:MOST_FORMS]]
    if len(forms) > MOST_FORMS:
        named.append(f"{number(len(forms) - MOST_FORMS, 'other')}")
    return "; ".join(named)


def _example(example: Example, report: "Report") -> str:
    place = ascii_safe(place_of(example, report.names))
    if example.is_said:
        return f"{place}  {ascii_safe(example.text)}".rstrip()
    before, after = "" if example.is_start else "…", "" if example.is_end else "…"
    return f"{place}  {before}{quoted(example.text)}{after}"


def _as_json(finding: Finding, report: "Report") -> dict[str, Any]:
    rule, verdict = finding.rule, finding.verdict
    majority = None
    if verdict.majority is not None:
        majority = {"form": verdict.majority[0], "count": verdict.majority[1]}
    return {
        "rule": rule.name,
        "severity": rule.severity,
        "finds": rule.finds,
        "unit": rule.unit,
        "count": verdict.faulty,
        "of": finding.seen,
        "share": round(finding.share, 6),
        "majority": majority,
        "forms": [{"form": form, "count": count} for form, count in verdict.forms],
        "examples": [
            {
                "file": report.names[example.source],
                "line": example.line,
                "remark" if example.is_said else "text": example.text,
            }
            for example in verdict.examples
        ],
        "why": rule.why,
        "cure": rule.cure,
    }


def _laid_out(lines: list[Line], *, colour: bool, width: int) -> str:
    """Return lines wrapped between words; what goes on is indented further than its start."""
    from rich.console import Console
    from rich.text import Text

    console = Console(
        file=io.StringIO(), force_terminal=colour, no_color=not colour, width=width,
        color_system="standard" if colour else None, legacy_windows=False,
    )  # fmt: skip
    out: list[str] = []
    for indent, text, style in lines:
        if not text:
            out.append("")
            continue
        room = max(width, LEAST_WIDTH) - indent - 2
        first, *rest = Text(text, style).wrap(console, room + 2) or [Text(text)]
        more: list[Text] = []
        if rest:
            more = list(Text(text[len(first.plain) :].lstrip(), style).wrap(console, room))
        for number_of_line, part in enumerate([first, *more]):
            part.rstrip()
            with console.capture() as capture:
                console.print(part, end="", soft_wrap=True)
            spaces = " " * (indent if number_of_line == 0 else indent + 2)
            out.append(f"{spaces}{capture.get()}".rstrip())
    return "\n".join(out)
