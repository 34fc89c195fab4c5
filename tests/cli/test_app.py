"""cli: what a user of the commands sees: stdout, stderr and exit codes, in full."""

import importlib.metadata
import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from toys import SAMPLE_DATA, SAMPLE_TOKENIZER, byte_hf, save_folder, tree, write_jsonl
from typer.testing import CliRunner

from sftprep import load_manifest, read_shard
from sftprep.cli.app import app
from sftprep.dataset.files import MANIFEST
from sftprep.formats.names import FORMAT_NAMES
from sftprep.schemas.fields import FIELDS

Write = Callable[[str, str | bytes], Path]
BAD = SAMPLE_DATA / "bad.jsonl"
GOOD = SAMPLE_DATA / "prompt_completion.jsonl"


DONE = re.compile(r"^done in .*\n", re.MULTILINE)
"""The line about time and sizes, which is never the same; ``test_time_and_size`` checks it."""


class Ran(NamedTuple):
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str


def run(*args: object, stdin: bytes | None = None) -> Ran:
    """Run the command in this process."""
    result = CliRunner().invoke(app, [str(arg) for arg in args], input=stdin)
    if result.exception and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, DONE.sub("", result.stderr))


def prepare(source: object, output: Path, *options: object, stdin: bytes | None = None) -> Ran:
    """Run ``sftprep prepare`` with one worker and the sample tokenizer."""
    fixed = ("--output", output, "--tokenizer", SAMPLE_TOKENIZER, "--workers", 1)
    return run("prepare", source, *fixed, *options, stdin=stdin)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """An output folder that does not exist yet."""
    return tmp_path / "out"


@pytest.fixture
def toy(tmp_path: Path) -> Path:
    """The folder of a byte-level tokenizer whose ids are the text's bytes."""
    return save_folder(byte_hf(["</s>", "<|im_end|>"]), tmp_path / "toy", eos_token="</s>")


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """Two records."""
    records = [
        {"prompt": "Hi\n", "completion": "you"},
        {"prompt": "a<|im_end|>b:", "completion": "c"},
    ]
    return write_jsonl(tmp_path / "two.jsonl", records)


# --- results ------------------------------------------------------------------------------------


def test_summary(out: Path, two: Path, toy: Path) -> None:
    """A run summarizes what it read and wrote, and what the user should know."""
    expected = (
        f"{out}: 2 rows in 1 shard, 22 tokens, 27.3% of them trained\n"
        "  read       2 records (prompt-completion), template plain, at most 2,048 tokens per row\n"
        "  tokenizer  toy, vocabulary 258, nothing added\n"
        "  padding    the tokenizer has no pad token; rows are not padded\n"
        "  separator  1 answer directly behind the prompt, without a space or a line break: pass "
        "--separator '\\n', or end the prompts with one\n"
        "  control    1 record with a control token's text (<|im_end|> in 1), kept as text; if it "
        "is meant as the token, pass --allow-control '<|im_end|>'\n"
    )
    assert Ran(0, expected, "") == run("prepare", two, "--output", out, "--tokenizer", toy)


def test_rows(out: Path, two: Path, toy: Path) -> None:
    """The rows are the prompt and the completion with EOS, the prompt without labels."""
    run("prepare", two, "--output", out, "--tokenizer", toy, "--quiet")
    rows = read_shard(out / "data" / "train-00000-of-00001.parquet", "parquet")
    ids = [[*b"Hi\nyou", 256], [*b"a<|im_end|>b:c", 256]]
    assert ids == [rows.input_ids.row(i).tolist() for i in range(2)]
    labels = [*[-100] * 3, *b"you", 256, *[-100] * 13, *b"c", 256]
    assert labels == rows.labels.tolist()


def test_summary_of_what_went_on(out: Path, tmp_path: Path, toy: Path) -> None:
    """The summary reports losses, cuts, added tokens, renamed fields and unclean boundaries."""
    merging = save_folder(byte_hf(["</s>"], [(" ", "b")]), tmp_path / "m", eos_token="</s>")
    records = [
        {"instruction": "a ", "answer": "b"},
        {"instruction": "a", "response": "c"},
        {"instruction": "a", "output": "c" * 30},
        {"instruction": "aaaaaaaaaaaaaaaaaaaaa", "output": "b"},
        {"instruction": "a"},
    ]
    source = write_jsonl(tmp_path / "a.jsonl", records)
    ran = run(
        "prepare", source, "--output", out, "--tokenizer", merging, "--max-length", 20,
        "--truncation", "completion-end", "--on-error", "quarantine", "--add-token", "pad=</s>",
        "--add-token", "<x>", "--format", "jsonl",
    )  # fmt: skip
    rejected = json.loads((out / "rejects.jsonl").read_text())
    expected = (
        f"{out}: 2 of 5 records have no row (40.0%): 1 cut_to_nothing, 1 missing_field. With "
        "--max-length 23, 99% of the records would fit\n"
        f"{out}: 3 rows in 1 shard, 27 tokens, 85.2% of them trained\n"
        "  read       5 records (instruction), template plain, at most 20 tokens per row\n"
        "  fields     read: answer as output, response as output (1 record)\n"
        "  dropped    1 cut_to_nothing; listed in dropped.jsonl\n"
        "  rejected   1 missing_field; kept in rejects.jsonl\n"
        f"             {source}:5: {rejected['message']}.\n"
        "  truncated  1 row by completion-end; 1 of them lost all or part of an answer\n"
        "  tokenizer  1 token added (<x>): call model.resize_token_embeddings(259), and load "
        "tokenizer/ from the output\n"
        "  padding    the pad token is EOS (</s>): labels are already set, so use a collator that "
        "does not mask by pad id\n"
        "  separator  2 answers directly behind the prompt, without a space or a line break: pass "
        "--separator '\\n', or end the prompts with one\n"
        "  boundary   1 row in which prompt and completion do not meet at a token boundary; "
        "end prompts without a space, and start completions with one\n"
    )
    assert Ran(0, expected, "") == ran
    dropped = [json.loads(line) for line in (out / "dropped.jsonl").read_text().splitlines()]
    place = {"line": 4, "offset": source.read_bytes().index(b'{"instruction": "aaa')}
    assert [{"file": "a.jsonl", **place, "reason": "cut_to_nothing", "tokens": 23}] == dropped


def with_status(out: Path, status: str) -> str:
    """What ``--json`` prints: the run's status, then the manifest."""
    text = (out / MANIFEST).read_text()
    assert text.startswith("{\n  ")
    return f'{{\n  "status": "{status}",\n{text[2:]}'


def test_json(out: Path, two: Path, toy: Path) -> None:
    """``--json`` prints the manifest with the run's status, and nothing else."""
    ran = run("prepare", two, "--output", out, "--tokenizer", toy, "--json")
    assert Ran(0, with_status(out, "written"), "") == ran
    assert json.loads(ran.out)["counts"]["written"] == 2
    again = run("prepare", two, "--output", out, "--tokenizer", toy, "--json")
    assert Ran(0, with_status(out, "unchanged"), "") == again


def test_quiet(out: Path) -> None:
    """``--quiet`` prints nothing if a run succeeds."""
    assert Ran(0, "", "") == prepare(GOOD, out, "--quiet")
    assert (out / MANIFEST).is_file()


def test_quiet_json(out: Path) -> None:
    """``--quiet`` still prints the result that ``--json`` asks for."""
    ran = prepare(GOOD, out, "--quiet", "--json")
    assert Ran(0, with_status(out, "written"), "") == ran


SAMPLES = [
    ("prompt_completion.jsonl", "prompt-completion", "plain"),
    ("instruction.jsonl", "instruction", "alpaca"),
    ("instruction_zh.json", "instruction", "alpaca_zh"),
    ("messages.jsonl", "messages", "chatml"),
    ("sharegpt.jsonl", "sharegpt", "chatml"),
]


@pytest.mark.parametrize(("name", "schema", "template"), SAMPLES)
def test_sample_data(out: Path, name: str, schema: str, template: str) -> None:
    """Every sample file gives one row per record and loses none."""
    text = (SAMPLE_DATA / name).read_text(encoding="utf-8")
    count = len(json.loads(text)) if name.endswith(".json") else text.count("\n")
    assert prepare(SAMPLE_DATA / name, out, "--template", template).code == 0
    manifest = load_manifest(out)
    facts = manifest.inputs[0]
    assert (name, schema, count, count) == (
        facts["name"],
        facts["schema"],
        facts["read"],
        facts["written"],
    )
    assert [count] == [shard["rows"] for shard in manifest.shards]
    assert count > 10


def test_files_of_a_dataset(out: Path) -> None:
    """A dataset holds shards and their indexes, tokenizer, card and manifest, and nothing else."""
    prepare(GOOD, out, "--shard-size", "8KB")
    names = [name for name in tree(out) if not name.startswith("tokenizer/")]
    total = -(-GOOD.stat().st_size // 8500)
    stems = [f"train-{i:05d}-of-{total:05d}.parquet" for i in range(total)]
    assert sorted(names) == [
        "README.md",
        *(f"{folder}/{stem}" for folder in ("data", "index") for stem in stems),
        MANIFEST,
    ]
    assert (SAMPLE_TOKENIZER / "chat_template.jinja").read_bytes() == tree(out)[
        "tokenizer/chat_template.jinja"
    ]


# --- bad records --------------------------------------------------------------------------------

BAD_RECORDS: list[tuple[int, str, str, str]] = [
    (2, "invalid_json", "not valid JSON: unexpected end of data", ""),
    (3, "not_an_object", "the record is a list of 4 items; expected a JSON object", ""),
    (5, "missing_field", "messages[1] has no field 'content'; found 'role'", ""),
    (6, "wrong_type", "messages[1].content is null; expected a string", ""),
    (
        7,
        "unsupported_tools",
        "messages[1] has the role 'function', which built-in and YAML templates cannot write",
        "Pass --template tokenizer, or the .jinja file of a chat template",
    ),
    (
        8,
        "bad_turn_order",
        "messages[1] is a user message; expected an assistant message",
        "Fix the record, or pass --merge-turns to join messages of one role",
    ),
    (9, "empty_completion", "messages[1] is empty: there is nothing to train on", ""),
    (
        10,
        "bad_turn_order",
        "messages ends with a user message; expected an assistant message to train on",
        "Add it, or pass --on-no-answer cut to leave out the turns after the last answer",
    ),
    (
        11,
        "schema_mismatch",
        "the record's schema is prompt-completion; expected messages, the schema of its file",
        "Put records of one schema into each file",
    ),
    (
        12,
        "wrong_type",
        r"messages is 'user: What is the square root of 81?\nassistant: 9'; expected a list",
        "",
    ),
    (
        13,
        "invalid_utf8",
        "not valid UTF-8 at byte 131: invalid continuation byte",
        "Convert the file to UTF-8 (it looks like Windows-1252)",
    ),
    (15, "lone_surrogate", "half of a surrogate pair (\\ud800 to \\udfff) is not a character", ""),
]
"""The bad records of sample_data/bad.jsonl: line, reason, problem, cure."""
BAD_COLUMNS = {2: 100, 13: 131, 15: 111}
"""The bad records whose fault has one place: line, column."""


def test_bad_records_fail(out: Path) -> None:
    """Bad records fail the run, all of them are listed, and nothing is published."""
    lines = [
        f"{BAD}:{line}{f':{BAD_COLUMNS[line]}' if line in BAD_COLUMNS else ''}: {problem}. "
        f"{cure or 'Fix the record'}, or pass --on-error quarantine."
        for line, _, problem, cure in BAD_RECORDS
    ]
    expected = ["error: 12 of 15 records cannot be used; nothing was published.", *lines, ""]
    assert Ran(65, "", "\n".join(expected)) == prepare(BAD, out, "--template", "chatml")
    assert list(out.parent.iterdir()) == []


def test_bad_records_quarantined(out: Path) -> None:
    """With quarantine, bad records are set aside unchanged, and the others are written."""
    ran = prepare(BAD, out, "--template", "chatml", "--on-error", "quarantine")
    assert (ran.code, ran.err) == (0, "")
    rejects = [json.loads(line) for line in (out / "rejects.jsonl").read_bytes().splitlines()]
    found = [(r["file"], r["line"], r["reason"], r["message"]) for r in rejects]
    expected = [("bad.jsonl", line, reason, problem) for line, reason, problem, _ in BAD_RECORDS]
    assert expected == found
    assert {r["line"]: r["column"] for r in rejects if "column" in r} == BAD_COLUMNS
    data = BAD.read_bytes()
    for reject in rejects:
        raw = data[reject["offset"] :].split(b"\n")[0]
        assert ("raw" in reject) == (reject["reason"] != "invalid_utf8")
        if "raw" in reject:
            assert raw == reject["raw"].encode()
    counts = load_manifest(out).counts
    assert (
        counts["read"],
        counts["blank_lines"],
        counts["written"],
        sum(counts["rejected"].values()),
        counts["dropped"],
    ) == (15, 1, 3, 12, {})


def test_one_cause_is_told_once(out: Path, tmp_path: Path) -> None:
    """If many records are bad for one cause, the error has one line with their number."""
    source = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "a", "completion": "b"}] + [{}] * 1234)
    ran = prepare(source, out)
    lines = ran.err.splitlines()
    assert lines[0] == "error: 1,234 of 1,235 records cannot be used; nothing was published."
    assert lines[1].startswith(f"{source}:2: ")
    same = f"The same in 1,233 more records: {source}:3, {source}:4, ..."
    assert lines[1].endswith(same)
    assert len(lines) == 2
    assert ran.code == 65


@pytest.mark.parametrize(
    ("limit", "code"), [("12", 0), ("11", 65), ("80%", 0), ("79.9%", 65), ("0", 65)]
)
def test_max_rejects(out: Path, limit: str, code: int) -> None:
    """The run fails if there are more bad records than ``--max-rejects`` allows."""
    options = ("--on-error", "quarantine", "--max-rejects", limit)
    ran = prepare(BAD, out, "--template", "chatml", *options)
    allowed = {"11": "11", "79.9%": "11", "0": "0"}.get(limit)
    expected = (
        f"error: 12 of 15 records cannot be used, and --max-rejects allows {allowed}; nothing was "
        "published. Fix the data, or raise the limit."
    )
    head, *causes = ran.err.splitlines() or [""]
    assert (code, expected if allowed else "") == (ran.code, head)
    assert len(causes) == (3 if allowed else 0)
    assert all(line.startswith(f"{BAD}:") for line in causes)
    assert (code == 0) == out.exists()


@pytest.mark.parametrize(
    ("limit", "code"), [("22", 0), ("21", 65), ("74%", 0), ("73%", 65), ("0", 65)]
)
def test_max_dropped(out: Path, limit: str, code: int) -> None:
    """The run fails if more valid records are dropped than ``--max-dropped`` allows."""
    source = SAMPLE_DATA / "messages.jsonl"
    options = ("--template", "chatml", "--max-length", 100, "--max-dropped", limit)
    ran = prepare(source, out, *options, "--quiet")
    allowed = {"21": "21", "73%": "21", "0": "0"}.get(limit)
    expected = (
        f"error: 22 of 30 records gave no row (22 too_long), and --max-dropped allows {allowed}; "
        "nothing was published. With --max-length 416, 99% of the records would fit. Choose "
        "another --truncation, or raise the limit.\n"
    )
    assert ran == Ran(code, "", expected if allowed else "")
    assert (code == 0) == out.exists()


def test_the_named_length_loses_nothing(out: Path) -> None:
    """With the ``--max-length`` that the error names, the same run succeeds."""
    options = ("--template", "chatml", "--max-dropped", 0, "--quiet")
    source = SAMPLE_DATA / "messages.jsonl"
    assert prepare(source, out, *options, "--max-length", 416) == Ran(0, "", "")
    assert load_manifest(out).counts["fitting_length"] == 0


def test_too_long_is_an_error(out: Path, tmp_path: Path, toy: Path) -> None:
    """With ``--truncation error``, a record that is too long is a bad record."""
    source = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "abc", "completion": "d" * 2000}])
    ran = run(
        "prepare", source, "--output", out, "--tokenizer", toy, "--max-length", 1500,
        "--truncation", "error",
    )  # fmt: skip
    expected = (
        "error: 1 of 1 records cannot be used; nothing was published.\n"
        f"{source}:1: the record has 2,004 tokens, over the limit of 1,500. Raise --max-length, "
        "choose another --truncation, or pass --on-error quarantine.\n"
    )
    assert Ran(65, "", expected) == ran


def test_escapes_do_not_reach_the_terminal(out: Path, write: Write) -> None:
    """Control characters in the data or in a file's name are printed as escapes."""
    source = write("a\a\u202e.jsonl", json.dumps({"\a\u202e\u009b": 1}))
    ran = prepare(source, out)
    assert ran.code == 65
    assert not [c for c in ran.err if not c.isprintable() and c != "\n"]


@pytest.mark.parametrize(
    "text", ['[{"prompt":"a","completion":"b"},,{"prompt":"a","completion":"b"}]',
             '[{"prompt":"a","completion":"b"},]', '[,{"prompt":"a","completion":"b"}]']
)  # fmt: skip
def test_missing_element(out: Path, write: Write, text: str) -> None:
    """A JSON array with an extra comma is bad data: it must not pass for a shorter array."""
    assert prepare(write("a.json", text), out).code == 65
    assert not out.exists()


def test_no_good_record(out: Path, toy: Path, write: Write) -> None:
    """If each record is bad, the way to a good one is to see what is wrong."""
    bad = write("bad.jsonl", '{"prompt": "a"}\n{"prompt": "b"}\n')
    options = ("--output", out, "--tokenizer", toy, "--on-error", "quarantine")
    ran = run("prepare", bad, *options, "--schema", "prompt-completion")
    expected = (
        "error: none of 2 records produced a row (2 missing_field); nothing was published. Run "
        "without --on-error quarantine: then the error says what is wrong with them.\n"
    )
    assert Ran(65, "", expected) == ran
    assert not out.exists()


def test_no_row(out: Path, toy: Path, two: Path) -> None:
    """A run that leaves no row publishes nothing."""
    ran = run("prepare", two, "--output", out, "--tokenizer", toy, "--max-length", 1)
    expected = (
        "error: none of 2 records produced a row (2 too_long); nothing was published. With "
        "--max-length 15, 99% of the records would fit.\n"
    )
    assert Ran(65, "", expected) == ran
    assert not out.exists()


# --- exit codes ---------------------------------------------------------------------------------


def test_missing_input(out: Path) -> None:
    """An input that does not exist ends the run with exit code 66."""
    ran = prepare("gone.jsonl", out)
    expected = (
        "error: gone.jsonl: no such file or folder. Check the path; - reads standard input.\n"
    )
    assert Ran(66, "", expected) == ran


@pytest.mark.parametrize("content", ["", "\n\n", "[]", "\ufeff"])
def test_empty_input(out: Path, write: Write, content: str) -> None:
    """An input without records ends the run with exit code 66; an empty file is named."""
    path = write("a.jsonl", content)
    note = "" if content else f"note: {path}: empty; the download may have failed.\n"
    error = "error: the input holds no records. Check the files.\n"
    assert Ran(66, "", note + error) == prepare(path, out)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ((), "no output folder. Pass --output DIR."),
        (("--output", "o"), "no input. Name files, globs or folders, or - for standard input."),
        (
            ("--output", "o", str(GOOD)),
            "no tokenizer. Pass --tokenizer with a folder, a tokenizer.json or a hub id.",
        ),
        (("--max-length", "0"), "--max-length is 0; expected 1 or more."),
        (("--workers", "0"), "--workers is 0; expected 1 or more."),
        (
            ("--ignore-index", "0"),
            "--ignore-index is 0, which can be a token's id. Use a number below 0.",
        ),
        (
            ("--schema", "message"),
            "--schema is 'message', which is not allowed. Did you mean 'messages'?",
        ),
        (
            ("--format", "csv"),
            f"--format is 'csv', which is not allowed. Choose one of {', '.join(FORMAT_NAMES)}.",
        ),
        (
            ("--max-rejects", "3"),
            "--max-rejects needs --on-error quarantine: without it no bad record is allowed.",
        ),
        (
            ("--field", "question=prompt"),
            "--field 'question=prompt': expected CANONICAL=ACTUAL, with CANONICAL one of "
            f"{', '.join(FIELDS)}.",
        ),
        (
            ("--shard-size", "64 potatoes"),
            "--shard-size is '64 potatoes'; expected a number above 0 with B, KB, MB, GB, KiB, MiB "
            "or GiB, e.g. 64MiB.",
        ),
    ],
)
def test_usage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, args: tuple[str, ...], message: str
) -> None:
    """A value that an option does not allow gives exit code 2, before anything is read."""
    monkeypatch.chdir(tmp_path)
    assert Ran(2, "", f"error: {message}\n") == run("prepare", *args)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--template", "alpca"), "no template 'alpca', and no such file. Did you mean 'alpaca'?"),
        (
            ("--template", "llama3"),
            "template 'llama3' needs '<|start_header_id|>', '<|end_header_id|>', '<|eot_id|>', a "
            "BOS token, which tokenizer 'tokenizer' does not have. Pass --add-token "
            "'<|start_header_id|>' --add-token '<|end_header_id|>' --add-token '<|eot_id|>' "
            "--add-token 'bos=TOKEN', or choose another --template.",
        ),
        (
            ("--template", "chatml", "--separator", "\n"),
            "--separator cannot be used: template 'chatml' does not contain {separator}. Use "
            "--template plain, or a template of your own that contains it.",
        ),
        (
            ("--allow-control", "<|x|>"),
            "--allow-control '<|x|>': tokenizer 'tokenizer' has no such control token. Check its "
            "spelling, or add it with --add-token '<|x|>'.",
        ),
    ],
)
def test_usage_that_needs_the_tokenizer(out: Path, options: Any, message: str) -> None:
    """Options that do not fit the tokenizer or template are refused; the error names a remedy."""
    assert Ran(2, "", f"error: {message}\n") == prepare(GOOD, out, *options)
    assert not out.exists()


def test_unknown_option() -> None:
    """An option that does not exist gives exit code 2."""
    ran = run("prepare", "--outptu", "x")
    assert (ran.code, ran.out) == (2, "")
    assert "--outptu" in ran.err


def test_output_exists(out: Path) -> None:
    """An existing dataset that differs gives exit code 73, unless it may be replaced."""
    assert prepare(GOOD, out, "--quiet").code == 0
    before = tree(out)
    expected = (
        f"error: {out}: the dataset in it was built with different settings: --max-length was 2048 "
        "and is 99. Choose another --output, or pass --overwrite to replace it.\n"
    )
    assert Ran(73, "", expected) == prepare(GOOD, out, "--max-length", 99)
    assert Ran(73, "", expected) == prepare(GOOD, out, "--max-length", 99, "--resume")
    assert before == tree(out)
    assert Ran(0, "", "") == prepare(GOOD, out, "--max-length", 99, "--overwrite", "--quiet")
    assert load_manifest(out).recipe["max_length"] == 99


@pytest.mark.parametrize("flag", [(), ("--resume",), ("--overwrite", "--resume")])
def test_already_complete(out: Path, flag: tuple[str, ...]) -> None:
    """An existing dataset that is equal is left unchanged, even its files' times."""
    assert prepare(GOOD, out, "--quiet").code == 0
    before = {path: path.stat() for path in out.rglob("*")}
    expected = f"{out}: already complete, from the same input and options; nothing was done\n"
    assert Ran(0, expected, "") == prepare(GOOD, out, *flag)
    after = {path: path.stat() for path in out.rglob("*")}
    assert {path: (s.st_ino, s.st_mtime_ns) for path, s in before.items()} == {
        path: (s.st_ino, s.st_mtime_ns) for path, s in after.items()
    }


def test_overwrite_builds_again(out: Path) -> None:
    """``--overwrite`` writes the dataset again even if it is equal."""
    assert prepare(GOOD, out, "--quiet").code == 0
    before, inode = tree(out), out.stat().st_ino
    ran = prepare(GOOD, out, "--overwrite", "--json")
    assert Ran(0, with_status(out, "written"), "") == ran
    assert before == tree(out)
    assert inode != out.stat().st_ino


def test_time_and_size(out: Path, tmp_path: Path) -> None:
    """A run ends with a line on stderr: how long, how fast, how much; ``--quiet`` leaves it out."""
    fixed = ("-t", str(SAMPLE_TOKENIZER), "--workers", "1")
    ran = CliRunner().invoke(app, ["prepare", str(GOOD), "-o", str(out), *fixed])
    sizes = r"[\d.]+ KB of shards and [\d.]+ KB of index written\n"
    assert re.fullmatch(rf"done in [\d.]+ s: 19.4 KB of input, \d+\.\d MB/s; {sizes}", ran.stderr)
    written = sum(path.stat().st_size for path in (out / "data").iterdir())
    assert f" {written / 1000:.1f} KB of shards" in ran.stderr
    ran = CliRunner().invoke(app, ["export", str(out), "-o", str(tmp_path / "other"), "--shuffle"])
    assert re.fullmatch(rf"done in [\d.]+ s: {sizes}", ran.stderr)
    quiet = ["--overwrite", "--quiet"]
    assert (
        CliRunner().invoke(app, ["prepare", str(GOOD), "-o", str(out), *fixed, *quiet]).stderr == ""
    )


def test_max_length_above_the_tokenizers(out: Path) -> None:
    """A ``--max-length`` over the tokenizer's limit is used, with a note on stderr."""
    ran = prepare(GOOD, out, "--max-length", 5000)
    note = "note: --max-length 5,000 is more than the tokenizer says its model can read (4,096).\n"
    assert (0, note) == (ran.code, ran.err)
    assert load_manifest(out).recipe["max_length"] == 5000


def test_max_length_of_the_tokenizer(out: Path, two: Path, tmp_path: Path) -> None:
    """Without ``--max-length``, a tokenizer's smaller limit applies."""
    small = save_folder(byte_hf(["</s>"]), tmp_path / "t", eos_token="</s>", model_max_length=512)
    run("prepare", two, "--output", out, "--tokenizer", small, "--quiet")
    assert load_manifest(out).recipe["max_length"] == 512


# --- standard input, recipes, help --------------------------------------------------------------


def test_stdin(out: Path, tmp_path: Path) -> None:
    """Records from standard input give the same shards as the same records in a file."""
    assert prepare("-", out, stdin=GOOD.read_bytes()).code == 0
    prepare(GOOD, tmp_path / "file")
    assert load_manifest(tmp_path / "file").shards == load_manifest(out).shards
    assert load_manifest(out).inputs[0]["name"] == "stdin"


def test_print_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``--print-recipe`` prints a recipe that gives the same dataset, and writes nothing."""
    monkeypatch.chdir(tmp_path)
    options = (
        "--template", "alpaca", "--train-on", "all", "--max-length", "300", "--truncation",
        "balanced", "--add-token", "<x>", "--system", "Sei kurz: 价\n", "--shard-size", "9KB",
    )  # fmt: skip
    source = SAMPLE_DATA / "instruction.jsonl"
    ran = prepare(source, Path("out"), *options, "--print-recipe")
    assert (ran.code, ran.err, list(tmp_path.iterdir())) == (0, "", [])
    Path("r.yaml").write_text(ran.out, encoding="utf-8")
    assert run("prepare", "--recipe", "r.yaml", "--quiet").code == 0
    assert prepare(source, Path("again"), *options, "--quiet").code == 0
    assert tree(Path("again")) == tree(Path("out"))
    assert ran.out == run("prepare", "--recipe", "r.yaml", "--print-recipe").out


def test_flags_win_over_the_recipe(out: Path, write: Write) -> None:
    """A flag overrides the recipe file."""
    path = write("r.yaml", f"inputs: [{GOOD}]\ntemplate: chatml\nformat: arrow\n")
    assert run(
        "prepare", "--recipe", path, "--output", out, "--tokenizer", SAMPLE_TOKENIZER,
        "--template", "qa", "--quiet",
    ).code == 0  # fmt: skip
    manifest = load_manifest(out)
    assert (manifest.template["name"], manifest.recipe["format"]) == ("qa", "arrow")


LIGHT = """
import sys
from sftprep.cli.app import main
try:
    main()
finally:
    heavy = ("transformers", "pyarrow", "gigatoken", "tokenizers", "numpy", "datasets", "torch")
    print("loaded:", [name for name in heavy if name in sys.modules], file=sys.stderr)
"""


@pytest.mark.parametrize("command", [["--help"], ["prepare", "--help"]])
def test_help_is_light(command: list[str]) -> None:
    """Help imports nothing heavy."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT, *command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "loaded: []\n")
    assert "Usage:" in done.stdout


def test_package_is_light() -> None:
    """Importing the package imports nothing heavy."""
    code = "import sftprep, sys; print('numpy' in sys.modules, 'transformers' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False False\n"


def test_version() -> None:
    """``sftprep --version`` prints the version of the installed package."""
    assert run("--version") == Ran(0, f"sftprep {importlib.metadata.version('sftprep')}\n", "")


def test_no_command() -> None:
    """Without a command, the help is printed."""
    ran = run()
    assert "Usage: sftprep" in ran.out + ran.err
    assert ran.code == 2


def test_whole_program(tmp_path: Path) -> None:
    """The program writes results to stdout and messages to stderr, with no bar in a pipe."""
    command = [sys.executable, "-m", "sftprep", "prepare", "-", "--output", "out", "--json"]
    command += ["--tokenizer", str(SAMPLE_TOKENIZER), "--max-length", "9999", "--workers", "2"]
    done = subprocess.run(
        command, input=GOOD.read_bytes(), capture_output=True, check=False, cwd=tmp_path
    )
    note = "note: --max-length 9,999 is more than the tokenizer says its model can read (4,096).\n"
    assert (0, note) == (done.returncode, done.stderr.decode())
    assert with_status(tmp_path / "out", "written") == done.stdout.decode()
    assert importlib.metadata.version("sftprep") == json.loads(done.stdout)["libraries"]["sftprep"]


def test_stdout_gone(tmp_path: Path) -> None:
    """A reader that closes the pipe early causes no traceback."""
    reader, writer = os.pipe()
    os.close(reader)
    with io.FileIO(writer, "w") as gone:
        done = subprocess.run(
            [sys.executable, "-m", "sftprep", "prepare", "--print-recipe"],
            stdout=gone,
            stderr=subprocess.PIPE,
            check=False,
            cwd=tmp_path,
        )
    assert b"Traceback" not in done.stderr
    assert done.returncode == 141
