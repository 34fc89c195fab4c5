"""What lint has found, from the file that ``sftprep lint --json`` has printed.

In     the path of the file.
Out    ``Findings``: for each rule that has found something, its words as plain values.
Raises UsageError: the file is not what lint prints. StorageError: it cannot be read.
"""

from pathlib import Path
from typing import Any, NamedTuple

import orjson

from sftprep.errors import StorageError, UsageError
from sftprep.text import ascii_safe, number, quoted
from sftprep.views.stats import percent

MOST_FORMS = 8
"""How many forms of a finding are named."""


class Example(NamedTuple):
    """A place in the input, and what is there."""

    place: str
    text: str


class ShownFinding(NamedTuple):
    """What one rule has found."""

    rule: str
    severity: str
    amount: str
    finds: str
    majority: str  # the form of most records, and how many; "" if there is none
    forms: str
    examples: list[Example]
    cure: str


class Findings(NamedTuple):
    """What all rules have found."""

    inputs: list[str]
    records: int
    findings: list[ShownFinding]
    ignored: list[str]
    not_run: int


def read_findings(path: str) -> Findings:
    """Read the file."""
    try:
        value = orjson.loads(Path(path).read_bytes())
        return _findings(value)
    except OSError as error:
        raise StorageError(f"{ascii_safe(path)}: cannot be read: {error.strerror}.") from error
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise UsageError(
            f"{ascii_safe(path)}: is not what lint prints. Make it with: sftprep lint INPUT "
            f"--json > FILE"
        ) from error


def _findings(value: Any) -> Findings:
    return Findings(
        inputs=list(map(str, value["inputs"])),
        records=int(value["records"]),
        findings=[_finding(each) for each in value["findings"]],
        ignored=[
            f"{each['rule']}, {int(each['count']):,}"
            + (f": {each['reason']}" if each["reason"] else "")
            for each in value["ignored"]
        ],
        not_run=len(value["not_run"]),
    )


def _finding(value: Any) -> ShownFinding:
    count, seen = int(value["count"]), int(value["of"])
    most = value["majority"]
    forms = [f"{each['form']} in {int(each['count']):,}" for each in value["forms"]]
    if len(forms) > MOST_FORMS:
        forms = [*forms[:MOST_FORMS], number(len(forms) - MOST_FORMS, "other")]
    return ShownFinding(
        rule=str(value["rule"]),
        severity=str(value["severity"]),
        amount=f"{count:,} of {number(seen, value['unit'])} ({percent(count / max(seen, 1))})",
        finds=str(value["finds"]),
        majority=f"{most['form']}, {int(most['count']):,}" if most else "",
        forms="; ".join(forms),
        examples=[_example(each) for each in value["examples"]],
        cure=str(value["cure"]),
    )


def _example(value: Any) -> Example:
    place = f"{value['file']}:{int(value['line']):,}"
    return Example(place, str(value["remark"]) if "remark" in value else quoted(value["text"]))
