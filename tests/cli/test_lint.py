"""cli: what a user of ``sftprep lint`` sees: stdout, stderr and exit codes, in full."""

import json
from pathlib import Path

import pytest
from planted import exchange
from toys import write_jsonl
from typer.testing import CliRunner

from sftprep.cli.app import app


def run(*args: object) -> tuple[int, str, str]:
    """Run ``sftprep lint`` with one worker; return the exit code, stdout and stderr."""
    given = [str(arg) for arg in ("lint", *args)]
    result = CliRunner().invoke(app, [*given, "--workers", "1", "--quiet"])
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    """A file with one error, one warning that needs a majority, and one note."""
    records = [exchange(number) for number in range(30)]
    records[2]["completion"] = "CafÃ© \x1b[31m"
    records[4]["completion"] = " " + records[4]["completion"]
    records[6]["completion"] = "I'm sorry, but I can't help with that."
    return write_jsonl(tmp_path / "a.jsonl", records)


REPORT = """\
a.jsonl: 30 records; 1 error, 2 warnings, 1 note

mojibake (error): 1 of 30 records (3.3%)
  texts whose UTF-8 was read as another encoding, such as Ã© for é
  found: Ã© for é in 1
    a.jsonl:3  'CafÃ© \\x1b[31m'
  cure: Read the source as UTF-8 and make the file again. --write-fixed repairs what is certain.

answer-start (warning): 1 of 30 answers (3.3%)
  answers that begin with another kind of white space than most
  most: text, 29 (96.7%)
  found: a space in 1
    a.jsonl:5  ' It was seen 4 times. It is a lo'…
  cure: Let all answers begin with the first word, and let the prompt or --separator hold the white
    space before it. --write-fixed does so.

control-character (warning): 1 of 30 records (3.3%)
  texts with invisible control characters, such as those of terminals
  found: U+001B in 1
    a.jsonl:3  'CafÃ© \\x1b[31m'
  cure: Remove the characters.

refusal (note): 1 of 30 answers (3.3%)
  answers that refuse, or speak of the model as an AI
    a.jsonl:7  "I'm sorry, but I can't help with that."
  cure: Remove them, unless the model is to refuse in these cases.

not run: 12 rules about tokens; pass --tokenizer

sftprep lint --explain RULE says why a rule matters.
"""


def test_report(faulty: Path) -> None:
    """Findings come by severity, with counts, shares, both forms, examples and the cure."""
    assert run(faulty) == (0, REPORT, "")


def test_nothing_found(tmp_path: Path) -> None:
    """Clean data is one line, and what was not run."""
    clean = write_jsonl(tmp_path / "a.jsonl", map(exchange, range(30)))
    assert run(clean, "--fail-on", "warning") == (
        0,
        "a.jsonl: 30 records; nothing found\n\nnot run: 12 rules about tokens; pass --tokenizer\n",
        "",
    )


def test_fail_on(faulty: Path) -> None:
    """The exit code is 65 if a finding is as severe as asked; the report is printed too."""
    code, out, err = run(faulty, "--fail-on", "error")
    assert (code, out) == (65, REPORT)
    assert err == (
        "error: --fail-on error: 1 rule found faults: mojibake. Correct the data, or ignore a rule "
        "with a reason.\n"
    )
    assert run(faulty, "--fail-on", "error", "--ignore", "mojibake")[0] == 0
    assert run(faulty, "--fail-on", "warning", "--ignore", "mojibake")[0] == 65
    assert run(faulty, "--fail-on", "note")[::2] == (
        2, "error: --fail-on is 'note'. Choose error or warning.\n"
    )  # fmt: skip


def test_ignored_with_a_reason(faulty: Path, tmp_path: Path) -> None:
    """What a recipe ignores is listed with the reason."""
    recipe = tmp_path / "r.yaml"
    recipe.write_text("lint_ignore: {mojibake: it is meant so, nul: there is none}")
    _, out, _ = run(faulty, "--recipe", recipe, "--ignore", "refusal", "--select", "mojibake",
                    "--select", "refusal")  # fmt: skip
    assert out == (
        "a.jsonl: 30 records; nothing found\n\n"
        "ignored: mojibake, 1 of 30 records (3.3%): it is meant so\n"
        "ignored: refusal, 1 of 30 answers (3.3%)\n"
    )


def test_json(faulty: Path) -> None:
    """``--json`` prints one object."""
    _, out, _ = run(faulty, "--select", "answer-start", "--json")
    value = json.loads(out)
    why, cure = (value["findings"][0].pop(key) for key in ("why", "cure"))
    assert why
    assert cure
    assert value == {
        "inputs": ["a.jsonl"],
        "records": 30,
        "findings": [
            {
                "rule": "answer-start",
                "severity": "warning",
                "finds": "answers that begin with another kind of white space than most",
                "unit": "answer",
                "count": 1,
                "of": 30,
                "share": 0.033333,
                "majority": {"form": "text", "count": 29},
                "forms": [{"form": "a space", "count": 1}],
                "examples": [
                    {
                        "file": "a.jsonl",
                        "line": 5,
                        "text": " It was seen 4 times. It is a lo",
                    }
                ],
            }
        ],
        "ignored": [],
        "not_run": [],
        "fixed": None,
    }


def test_write_fixed(faulty: Path, tmp_path: Path) -> None:
    """The report says what was corrected; a second time, the file exists."""
    target = tmp_path / "b.jsonl"
    code, out, _ = run(faulty, "--write-fixed", target, "--select", "answer-start")
    assert code == 0
    assert f"fixed: 1 record in {target}: answer-start 1" in " ".join(out.split())
    assert target.read_text() == faulty.read_text().replace('" It was', '"It was')
    assert run(faulty, "--write-fixed", target)[::2] == (
        73, f"error: {target}: exists already. Name another file.\n"
    )  # fmt: skip


def test_explain() -> None:
    """``--explain`` needs no input."""
    assert run("--explain", "nul") == (
        0,
        "nul (error)\n"
        "  finds  texts with the character NUL\n"
        "  why    It comes from damaged files. Many programs take it for the end of a text.\n"
        "  cure   Make the file again from its source, or remove the records.\n",
        "",
    )
    assert run("--explain", "null")[::2] == (
        2, "error: --explain 'null': there is no such rule. Did you mean 'nul'?\n"
    )  # fmt: skip


def test_no_input() -> None:
    """Without an input, the command says so."""
    assert run()[::2] == (
        2, "error: no input. Name files, globs or folders, or - for standard input.\n"
    )  # fmt: skip
