"""Every record is counted once, and every lost record is listed."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import tree

from sftprep import DataError, InternalError
from sftprep.data.batch import Batch
from sftprep.data.block import Source
from sftprep.data.ragged import lengths_to_offsets
from sftprep.data.result import BlockResult, LostRecord
from sftprep.dataset.accounting import Accounting, check_balance, imbalance
from sftprep.errors import RecordError

SOURCES = [Source("in/a.jsonl", "a.jsonl"), Source("in/b\x1b.jsonl", "b\x1b.jsonl")]
WRONG = RecordError("wrong_type", "prompt is 5; expected a string")


def rows(count: int) -> Batch:
    """Make rows of one token."""
    return Batch(
        np.zeros(count, np.int32),
        np.ones(count, np.bool_),
        lengths_to_offsets(np.ones(count, np.int64)),
        np.arange(count, dtype=np.int64),
    )


def rejected(source: int, line: int, raw: bytes = b"{}", error: RecordError = WRONG) -> LostRecord:
    """Make a bad record."""
    return LostRecord(source, line, line * 10, error.reason, error, raw)


def dropped(source: int, line: int) -> LostRecord:
    """Make a good record that was dropped."""
    return LostRecord(source, line, line * 10, "too_long", None, b"{}")


def block(source: int, read: int, written: int, **more: Any) -> BlockResult:
    """Make the result of a block."""
    batch = rows(written) if written else None
    return BlockResult(source, 0, "messages", 100, batch=batch, read=read, **more)


def full(folder: Path, *, quarantine: bool) -> Accounting:
    """Account for three blocks of two sources."""
    accounting = Accounting(SOURCES, folder, quarantine=quarantine)
    accounting.add(
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
    accounting.add(block(0, 1, 1, counts=Counter(tokens=2, unclean_boundaries=1)))
    accounting.add(
        block(1, 2, 1, rejected=[rejected(1, 1, b"\xff", RecordError("invalid_utf8", "bad"))])
    )
    accounting.close()
    return accounting


def lines(path: Path) -> list[dict[str, Any]]:
    """Read the objects of a JSON Lines file."""
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_totals(tmp_path: Path) -> None:
    """Counts add up over blocks and sources."""
    accounting = full(tmp_path, quarantine=True)
    expected = {
        "read": 8,
        "blank_lines": 1,
        "written": 4,
        "dropped": {"too_long": 1},
        "rejected": {"invalid_utf8": 1, "wrong_type": 2},
        "tokens": 9,
        "trained_tokens": 3,
        "truncated": 0,
        "truncated_trained": 0,
        "unclean_boundaries": 1,
        "records_with_control_strings": 1,
        "control_strings": {"<s>": 1},
        "output_fields": {"response": 2},
    }
    found = accounting.totals()
    assert expected == {name: found[name] for name in expected}
    assert (accounting.read, accounting.rejected) == (8, 3)
    assert [(source.read, source.written) for source in accounting.by_source] == [(6, 3), (2, 1)]
    assert [source.schema for source in accounting.by_source] == ["messages", "messages"]


def test_each_lost_record_is_listed(tmp_path: Path) -> None:
    """A lost record is listed with file, line, offset and reason; a bad one also with its bytes."""
    full(tmp_path, quarantine=True)
    wrong = {
        "reason": "wrong_type", "message": "prompt is 5; expected a string",
        "cure": "Fix the record", "raw": "{}",
    }  # fmt: skip
    assert [
        {"file": "a.jsonl", "line": 3, "offset": 30, **wrong},
        {"file": "a.jsonl", "line": 4, "offset": 40, **wrong},
        {
            "file": "b\x1b.jsonl", "line": 1, "offset": 10, "reason": "invalid_utf8",
            "message": "bad", "cure": "Fix the record", "raw_base64": "/w==",
        },
    ] == lines(tmp_path / "rejects.jsonl")  # fmt: skip
    assert lines(tmp_path / "dropped.jsonl") == [
        {"file": "a.jsonl", "line": 2, "offset": 20, "reason": "too_long"}
    ]


def test_tokens_and_column_are_listed_if_known(tmp_path: Path) -> None:
    """A record lost after encoding is listed with its tokens, a JSON error with its column."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=True)
    bad = RecordError("invalid_json", "not valid JSON: x", "Write it again", 7)
    accounting.add(block(0, 1, 0, rejected=[rejected(0, 3, error=bad)._replace(tokens=12)]))
    accounting.add(block(1, 1, 0, dropped=[dropped(1, 2)._replace(tokens=3000)]))
    accounting.close()
    assert lines(tmp_path / "rejects.jsonl") == [
        {
            "file": "a.jsonl", "line": 3, "offset": 30, "reason": "invalid_json", "tokens": 12,
            "column": 7, "message": "not valid JSON: x", "cure": "Write it again", "raw": "{}",
        }
    ]  # fmt: skip
    assert lines(tmp_path / "dropped.jsonl") == [
        {"file": "b\x1b.jsonl", "line": 2, "offset": 20, "reason": "too_long", "tokens": 3000}
    ]


def test_ledgers_are_described_at_any_time(tmp_path: Path) -> None:
    """The entries, bytes and SHA-256 of each ledger are known after each block."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=True)
    assert accounting.ledgers() == {}
    for count, at in ((1, 3), (2, 4)):
        accounting.add(block(0, 1, 0, rejected=[rejected(0, at)]))
        found = accounting.ledgers()
        data = (tmp_path / "rejects.jsonl").read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        assert found == {"rejects.jsonl": {"entries": count, "bytes": len(data), "sha256": sha256}}
    accounting.close()
    assert found == accounting.ledgers()


@pytest.mark.parametrize("quarantine", [False, True])
def test_restored_accounting_ends_the_same(tmp_path: Path, quarantine: bool) -> None:
    """Accounting that continues from a state ends as if it had never been interrupted."""
    folders = [tmp_path / name for name in ("whole", "parts")]
    results = [
        block(
            0, 5, 2, blank=1, dropped=[dropped(0, 2)], rejected=[rejected(0, 3), rejected(0, 4)],
            counts=Counter(tokens=7, extra_examples=0), controls=Counter({"<s>": 1}),
            outputs=Counter(response=2),
        ),
        block(1, 2, 1, rejected=[rejected(1, 1, b"\xff")], counts=Counter(tokens=1)),
        block(1, 4, 2, dropped=[dropped(1, 5)._replace(tokens=77)], rejected=[rejected(1, 6)]),
    ]  # fmt: skip
    for folder in folders:
        folder.mkdir()
    whole = Accounting(SOURCES, folders[0], quarantine=quarantine)
    for result in results:
        whole.add(result)
    whole.close()

    first = Accounting(SOURCES, folders[1], quarantine=quarantine)
    for result in results[:2]:
        first.add(result)
    state = json.loads(json.dumps(first.state()))
    first.close()
    second = Accounting(SOURCES, folders[1], quarantine=quarantine)
    second.restore(state)
    second.add(results[2])
    second.close()

    assert (whole.totals(), whole.state(), whole.ledgers()) == (
        second.totals(),
        second.state(),
        second.ledgers(),
    )
    assert tree(folders[0]) == tree(folders[1])
    assert set(tree(folders[0])) == {"dropped.jsonl", *(["rejects.jsonl"] if quarantine else [])}


def test_restored_error_lists_the_first_bad_records(tmp_path: Path) -> None:
    """Bad records from before an interruption are listed first, and counted with later ones."""
    first = Accounting(SOURCES, tmp_path, quarantine=False)
    first.add(block(0, 2, 1, rejected=[rejected(0, 3)]))
    second = Accounting(SOURCES, tmp_path, quarantine=False)
    second.restore(first.state())
    second.add(block(1, 2, 1, rejected=[rejected(1, 9)]))
    with pytest.raises(DataError) as caught:
        second.check(None)
    more = "prompt is 5; expected a string. Fix the record, or pass --on-error quarantine."
    assert str(caught.value) == (
        "2 of 4 records cannot be used; nothing was published.\n"
        f"in/a.jsonl:3: {more} The same in 1 more record: in/b\\x1b.jsonl:9"
    )


def test_a_state_does_not_change_later(tmp_path: Path) -> None:
    """Records that are counted after ``state`` was called do not change what it returned."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=False)
    accounting.add(block(0, 2, 1, rejected=[rejected(0, 3)], controls=Counter({"<s>": 1})))
    state = accounting.state()
    before = json.dumps(state)
    accounting.add(block(0, 2, 1, rejected=[rejected(0, 4)], controls=Counter({"<s>": 1})))
    assert before == json.dumps(state)


def test_a_failed_run_closes_its_ledgers(tmp_path: Path) -> None:
    """After a failure nothing is written any more, which the next run might find in its folder."""
    with Accounting(SOURCES, tmp_path, quarantine=True) as accounting:
        accounting.add(block(0, 1, 0, rejected=[rejected(0, 3)]))
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="closed file"):
        accounting.add(block(0, 1, 0, rejected=[rejected(0, 4)]))
    del accounting
    assert before == tree(tmp_path)
    assert len(before["rejects.jsonl"].splitlines()) == 1


def test_no_ledger_without_lost_records(tmp_path: Path) -> None:
    """A run that loses no record writes no ledger."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=True)
    accounting.add(block(0, 2, 2))
    accounting.close()
    accounting.check(0)
    assert list(tmp_path.iterdir()) == []


def test_bad_records_are_an_error(tmp_path: Path) -> None:
    """Without quarantine, bad records are an error that tells each cause, file names escaped."""
    accounting = full(tmp_path, quarantine=False)
    with pytest.raises(DataError) as caught:
        accounting.check(None)
    more = "Fix the record, or pass --on-error quarantine."
    assert [
        "3 of 8 records cannot be used; nothing was published.",
        f"in/a.jsonl:3: prompt is 5; expected a string. {more} The same in 1 more record: "
        "in/a.jsonl:4",
        f"in/b\\x1b.jsonl:1: bad. {more}",
    ] == str(caught.value).split("\n")
    assert not (tmp_path / "rejects.jsonl").exists()


@pytest.mark.parametrize(("limit", "passes"), [(None, True), (3, True), (2, False), (0, False)])
def test_max_rejects(tmp_path: Path, limit: int | None, passes: bool) -> None:
    """With quarantine, as many records may be bad as --max-rejects allows."""
    accounting = full(tmp_path, quarantine=True)
    if passes:
        accounting.check(limit)
        return
    with pytest.raises(DataError) as caught:
        accounting.check(limit)
    assert (
        f"3 of 8 records cannot be used, and --max-rejects allows {limit}; nothing was published. "
        "Fix the data, or raise the limit.\n"
        "in/a.jsonl:3: prompt is 5; expected a string. The same in 1 more record: in/a.jsonl:4\n"
        "in/b\\x1b.jsonl:1: bad."
    ) == str(caught.value)


def long(source: int, line: int, tokens: int, reason: str = "too_long") -> LostRecord:
    """Make a good record that was dropped because of its length."""
    return LostRecord(source, line, line * 10, reason, None, b"{}", tokens)


@pytest.mark.parametrize(("limit", "passes"), [(None, True), (3, True), (2, False), (0, False)])
def test_max_dropped(tmp_path: Path, limit: int | None, passes: bool) -> None:
    """As many valid records may be dropped as --max-dropped allows; the error helps to choose."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=False)
    lost = [long(0, 2, 4000), long(0, 3, 5000), long(0, 4, 4, "nothing_to_train")]
    accounting.add(block(0, 9, 6, dropped=lost))
    accounting.close()
    accounting.check(None)
    if passes:
        accounting.check_dropped(limit)
        return
    with pytest.raises(DataError) as caught:
        accounting.check_dropped(limit)
    assert str(caught.value) == (
        "3 of 9 records gave no row (1 nothing_to_train, 2 too_long), and --max-dropped allows "
        f"{limit}; nothing was published. With --max-length 5120, 99% of the records would fit. "
        "Choose another --truncation, or raise the limit."
    )


def test_max_dropped_counts_examples(tmp_path: Path) -> None:
    """With several examples a record, examples are dropped; a limit can do without a length."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=False)
    lost = [long(0, 2, 4, "nothing_to_train")]
    accounting.add(block(0, 2, 4, dropped=lost, counts=Counter(extra_examples=3)))
    accounting.close()
    assert accounting.examples == 5
    with pytest.raises(DataError) as caught:
        accounting.check_dropped(0)
    assert str(caught.value) == (
        "1 of 5 examples gave no row (1 nothing_to_train), and --max-dropped allows 0; nothing was "
        "published. Choose another --truncation, or raise the limit."
    )


def test_the_length_that_would_fit(tmp_path: Path) -> None:
    """Rejected and dropped records that are too long count, and no others."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=True)
    error = RecordError("too_long", "the record has 3,000 tokens")
    accounting.add(
        block(
            0, 200, 196, dropped=[long(0, 2, 9000), long(0, 4, 50_000, "nothing_to_train")],
            rejected=[rejected(0, 5, error=error)._replace(tokens=3000),
                      rejected(0, 6)._replace(tokens=60_000)],
        )
    )  # fmt: skip
    accounting.close()
    assert accounting.totals()["fitting_length"] == 3072  # 1 of 198 may be longer


def test_the_place_in_a_table_is_a_row(tmp_path: Path) -> None:
    """A lost row of a table is listed with the number of the row, without line and offset."""
    lost = LostRecord(0, 7, None, "wrong_type", WRONG, b"{}")
    with Accounting(SOURCES, tmp_path, quarantine=False) as failing:
        failing.add(block(0, 1, 0, rejected=[lost]))
        with pytest.raises(DataError) as caught:
            failing.check(None)
    assert str(caught.value).split("\n")[1].startswith("in/a.jsonl: row 7: prompt is 5; expected")
    with Accounting(SOURCES, tmp_path, quarantine=True) as accounting:
        accounting.add(block(0, 1, 0, rejected=[lost]))
        accounting.close()
    (entry,) = lines(tmp_path / "rejects.jsonl")
    assert [*entry] == ["file", "row", "reason", "message", "cure", "raw"]
    assert (entry["file"], entry["row"]) == ("a.jsonl", 7)


def test_a_record_without_an_outcome_is_a_bug(tmp_path: Path) -> None:
    """A record that is neither written nor listed is an internal error."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=True)
    accounting.add(block(1, 3, 2))
    accounting.close()
    with pytest.raises(InternalError) as caught:
        accounting.check(None)
    assert caught.value.exit_code == 70
    assert "3 records read, but 2 written + 0 dropped + 0 rejected" in str(caught.value)


def test_each_source_must_balance(tmp_path: Path) -> None:
    """The balance is checked for each source, so that two errors cannot cancel out."""
    accounting = Accounting(SOURCES, tmp_path, quarantine=True)
    accounting.add(block(0, 3, 2))
    accounting.add(block(1, 2, 3))
    accounting.close()
    with pytest.raises(InternalError, match=r"in/a\.jsonl: 3 records read"):
        accounting.check(None)


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({}, ""),
        ({"read": 5}, "5 records read, but 1 written + 2 dropped + 3 rejected"),
        ({"read": 1234}, "1,234 records read, but 1 written + 2 dropped + 3 rejected"),
        ({"read": 4, "extra_examples": 2}, ""),
        (
            {"read": 4, "extra_examples": 1},
            "4 records read + 1 extra examples, but 1 written + 2 dropped + 3 rejected",
        ),
        ({"written": 0}, "6 records read, but 0 written + 2 dropped + 3 rejected"),
    ],
)
def test_balance(changed: dict[str, Any], problem: str) -> None:
    """Read records and extra examples are as many as written, dropped and rejected ones."""
    counts = {"read": 6, "written": 1, "dropped": {"a": 2}, "rejected": {"b": 2, "c": 1}} | changed
    assert imbalance(counts) == problem
    if not problem:
        check_balance("x", counts)
        return
    with pytest.raises(InternalError) as caught:
        check_balance("x", counts)
    assert str(caught.value) == (
        f"x: {problem}. This is a bug in sftprep; nothing was published. Please report it."
    )
