"""tally, manifest and summary: every record is counted once, and every loss is listed."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sftprep import DataError, InternalError, NoInputError, load_manifest
from sftprep.controls import ControlStrings
from sftprep.errors import RecordError
from sftprep.manifest import MANIFEST, Manifest, check_identity, fingerprint
from sftprep.pipeline import BlockResult, Lost
from sftprep.read import Source
from sftprep.records import Batch, ends_to_offsets
from sftprep.summary import summarize
from sftprep.tally import Tally

SOURCES = [Source("in/a.jsonl", "a.jsonl"), Source("in/b\x1b.jsonl", "b\x1b.jsonl")]
WRONG = RecordError("wrong_type", "prompt is 5; expected a string")


def rows(count: int) -> Batch:
    """Rows of one token."""
    return Batch(
        np.zeros(count, np.int32),
        np.ones(count, np.bool_),
        ends_to_offsets(np.ones(count, np.int64)),
        np.arange(count, dtype=np.int64),
    )


def rejected(source: int, line: int, raw: bytes = b"{}", error: RecordError = WRONG) -> Lost:
    """A bad record."""
    return Lost(source, line, line * 10, error.reason, error, raw)


def dropped(source: int, line: int) -> Lost:
    """A good record that was dropped."""
    return Lost(source, line, line * 10, "too_long", None, b"{}")


def block(source: int, read: int, written: int, **more: Any) -> BlockResult:
    """What became of a block."""
    batch = rows(written) if written else None
    return BlockResult(source, 0, "messages", 100, batch=batch, read=read, **more)


def full(folder: Path, *, quarantine: bool) -> Tally:
    """A tally of three blocks of two sources."""
    tally = Tally(SOURCES, folder, quarantine=quarantine)
    tally.add(
        block(
            0,
            5,
            2,
            blank=1,
            dropped=[dropped(0, 2)],
            rejected=[rejected(0, 3), rejected(0, 4)],
            counts=Counter(tokens=7, trained_tokens=3, control_records=1),
            controls=Counter({"<s>": 1}),
            outputs=Counter(response=2),
        )
    )
    tally.add(block(0, 1, 1, counts=Counter(tokens=2, unclean_boundaries=1)))
    tally.add(
        block(1, 2, 1, rejected=[rejected(1, 1, b"\xff", RecordError("invalid_utf8", "bad"))])
    )
    tally.close()
    return tally


def lines(path: Path) -> list[dict[str, Any]]:
    """The objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_totals(tmp_path: Path) -> None:
    """Counts add up over blocks and sources."""
    tally = full(tmp_path, quarantine=True)
    expected = {
        "read": 8,
        "blank_lines": 1,
        "written": 4,
        "dropped": {"too_long": 1},
        "rejected": {"invalid_utf8": 1, "wrong_type": 2},
        "tokens": 9,
        "trained_tokens": 3,
        "truncated": 0,
        "unclean_boundaries": 1,
        "records_with_control_strings": 1,
        "control_strings": {"<s>": 1},
        "output_fields": {"response": 2},
    }
    found = tally.totals()
    assert expected == {name: found[name] for name in expected}
    assert (tally.read, tally.rejected) == (8, 3)
    assert [(source.read, source.written) for source in tally.sources] == [(6, 3), (2, 1)]
    assert [source.schema for source in tally.sources] == ["messages", "messages"]


def test_ledgers(tmp_path: Path) -> None:
    """Each loss has a line with its file, line, offset and reason; a bad record also its bytes."""
    full(tmp_path, quarantine=True)
    wrong = {"reason": "wrong_type", "message": "prompt is 5; expected a string", "raw": "{}"}
    assert [
        {"file": "a.jsonl", "line": 3, "offset": 30, **wrong},
        {"file": "a.jsonl", "line": 4, "offset": 40, **wrong},
        {
            "file": "b\x1b.jsonl", "line": 1, "offset": 10, "reason": "invalid_utf8",
            "message": "bad", "raw_base64": "/w==",
        },
    ] == lines(tmp_path / "rejects.jsonl")  # fmt: skip
    assert lines(tmp_path / "dropped.jsonl") == [
        {"file": "a.jsonl", "line": 2, "offset": 20, "reason": "too_long"}
    ]


def test_ledgers_are_private(tmp_path: Path) -> None:
    """The ledgers hold the data of records: only their owner may read them."""
    full(tmp_path, quarantine=True)
    assert [path.stat().st_mode & 0o777 for path in tmp_path.iterdir()] == [0o600, 0o600]


def test_no_ledger_without_losses(tmp_path: Path) -> None:
    """A run that loses nothing writes no ledger."""
    tally = Tally(SOURCES, tmp_path, quarantine=True)
    tally.add(block(0, 2, 2))
    tally.close()
    tally.check(0)
    assert list(tmp_path.iterdir()) == []


def test_fail(tmp_path: Path) -> None:
    """Without quarantine bad records are an error that lists them, with names made safe."""
    tally = full(tmp_path, quarantine=False)
    with pytest.raises(DataError) as caught:
        tally.check(None)
    more = "Fix the record, or pass --on-error quarantine."
    assert [
        "3 of 8 records cannot be used; nothing was published.",
        f"in/a.jsonl:3: prompt is 5; expected a string. {more}",
        f"in/a.jsonl:4: prompt is 5; expected a string. {more}",
        f"in/b\\x1b.jsonl:1: bad. {more}",
    ] == str(caught.value).split("\n")
    assert not (tmp_path / "rejects.jsonl").exists()


@pytest.mark.parametrize(("limit", "passes"), [(None, True), (3, True), (2, False), (0, False)])
def test_limit(tmp_path: Path, limit: int | None, passes: bool) -> None:
    """With quarantine there may be as many bad records as were allowed."""
    tally = full(tmp_path, quarantine=True)
    if passes:
        tally.check(limit)
        return
    with pytest.raises(DataError) as caught:
        tally.check(limit)
    assert (
        f"3 of 8 records are bad, and --max-rejects allows {limit}; nothing was published. Fix the "
        "data, or raise the limit."
    ) == str(caught.value)


def test_a_lost_record_is_a_bug(tmp_path: Path) -> None:
    """A record that is nowhere is found by the program itself."""
    tally = Tally(SOURCES, tmp_path, quarantine=True)
    tally.add(block(1, 3, 2))
    tally.close()
    with pytest.raises(InternalError) as caught:
        tally.check(None)
    assert caught.value.exit_code == 70
    assert "3 records read, but 2 written + 0 dropped + 0 rejected" in str(caught.value)


def test_a_lost_record_is_not_hidden_by_another_source(tmp_path: Path) -> None:
    """The sum is checked for each source: two errors do not cancel out."""
    tally = Tally(SOURCES, tmp_path, quarantine=True)
    tally.add(block(0, 3, 2))
    tally.add(block(1, 2, 3))
    tally.close()
    with pytest.raises(InternalError, match=r"in/a\.jsonl: 3 records read"):
        tally.check(None)


def test_check_identity() -> None:
    """Read is written, dropped and rejected together."""
    counts = {"read": 6, "written": 1, "dropped": {"a": 2}, "rejected": {"b": 2, "c": 1}}
    check_identity("x", counts)
    with pytest.raises(InternalError):
        check_identity("x", counts | {"read": 5})


# --- control strings ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("records", "expected"),
    [
        ([], (0, {})),
        ([["a", "b"]], (0, {})),
        ([["<s>", "x"], ["<s><s>", "</s>"], ["y"]], (2, {"<s>": 2, "</s>": 1})),
        ([["<s", ">"], ["<", "s>"], ["<s>"]], (1, {"<s>": 1})),
        ([["x<|im_end|>"], ["<|im_end"]], (1, {"<|im_end|>": 1})),
        ([["中<｜User｜>"]], (1, {"<｜User｜>": 1})),
        ([["[INST]"], ["[/INST]"], ["[INST] [/INST]"]], (3, {"[/INST]": 2, "[INST]": 2})),
    ],
)
def test_control_strings(records: list[list[str]], expected: tuple[int, dict[str, int]]) -> None:
    """Records are counted, not occurrences; a string never lies across two contents."""
    strings = ["<s>", "</s>", "<|im_end|>", "<｜User｜>", "[INST]", "[/INST]"]
    assert expected == ControlStrings(strings).find(records)


# --- the manifest -------------------------------------------------------------------------------


def manifest(**changed: Any) -> Manifest:
    """A small manifest."""
    values: dict[str, Any] = {
        "format_version": 1, "recipe": {"max_length": 9}, "inputs": [], "tokenizer": {},
        "template": {"name": "价"}, "counts": {}, "shards": [], "libraries": {}, "fingerprint": "f",
    }  # fmt: skip
    return Manifest(**values | changed)


def test_manifest_round_trip(tmp_path: Path) -> None:
    """A manifest that was written is read again as it was."""
    (tmp_path / MANIFEST).write_bytes(manifest().dump())
    assert manifest() == load_manifest(tmp_path)
    assert manifest().dump() == load_manifest(tmp_path).dump()


def test_no_manifest(tmp_path: Path) -> None:
    """A folder without a manifest is no dataset."""
    with pytest.raises(NoInputError) as caught:
        load_manifest(tmp_path)
    assert (
        f"{tmp_path}: holds no dataset: there is no manifest.json. Check the path, or run prepare."
    ) == str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is damaged: "),
        (b"[]", "has format version None; this sftprep reads 1. "),
        (b"{}", "has format version None; this sftprep reads 1. "),
        (b'{"format_version": 2}', "has format version 2; this sftprep reads 1. "),
        (b'{"format_version": 1}', "has other keys than a manifest. "),
    ],
)
def test_bad_manifest(tmp_path: Path, content: bytes, message: str) -> None:
    """A manifest that is damaged or of another version is an error that says so."""
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / MANIFEST}: {message}")


def test_fingerprint() -> None:
    """A fingerprint follows the facts and not their order."""
    assert fingerprint({"a": 1, "b": [1, {"c": 2, "d": 3}]}) == fingerprint(
        {"b": [1, {"d": 3, "c": 2}], "a": 1}
    )
    facts: list[dict[str, Any]] = [{"a": 1}, {"a": 2}, {"b": 1}, {"a": "1"}, {"a": [1]}]
    assert len(facts) == len({fingerprint(f) for f in facts})


def test_summary_shows_names_as_they_are(tmp_path: Path) -> None:
    """The summary has one line a fact, figures with separators, singular and plural."""
    counts = full(tmp_path, quarantine=True).totals()
    text = summarize(
        manifest(
            counts=counts | {"tokens": 12345, "trained_tokens": 1, "truncated": 1},
            recipe={"max_length": 2048, "truncation": "balanced"},
            inputs=[{"schema": "messages"}, {"schema": ""}, {"schema": "instruction"}],
            tokenizer={
                "name": "t", "vocabulary_size": 50257, "added_tokens": {}, "pad_is_eos": False,
                "special_tokens": {"pad": {"token": "<pad>", "id": 0}},
            },
            shards=[{}, {}],
            template={"name": "qa"},
        ),
        "out",
    )  # fmt: skip
    assert text.split("\n") == [
        "out: 4 rows in 2 shards, 12,345 tokens, 0.0% of them trained",
        "  read       8 records (instruction, messages), template qa, at most 2,048 tokens a row",
        "  dropped    1 too_long; listed in dropped.jsonl",
        "  rejected   1 invalid_utf8, 2 wrong_type; kept in rejects.jsonl",
        "  truncated  1 row by balanced",
        "  tokenizer  t, vocabulary 50,257, nothing added",
        "  padding    the pad token is <pad>; rows are not padded",
        "  fields     read as output: response in 2",
        "  boundary   1 row where prompt and completion do not meet between tokens; end prompts "
        "without a space, and start completions with it",
        "  control    1 record with a control token's text (<s> in 1), kept as text; if the token "
        "is meant, pass --allow-control '<s>'",
    ]
