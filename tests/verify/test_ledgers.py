"""ledgers: the lists of lost records agree with the counts, and with the inputs."""

import json
from pathlib import Path

import pytest
from toys import tree, write_jsonl
from verify.datasets import (
    LOSSY_OPTIONS,
    LOSSY_RECORDS,
    MakeDataset,
    ManifestValue,
    edit_manifest,
    problems,
    setting,
    sha256,
)

from sftprep.dataset.files import MANIFEST
from sftprep.verify.folder import DatasetFolder
from sftprep.verify.ledgers import LedgerEntry, compare_ledger
from sftprep.verify.report import Report


def test_ledgers_as_written_have_no_problems(dataset: MakeDataset) -> None:
    """The ledgers of a dataset agree with its counts and with its inputs."""
    folder = dataset(LOSSY_RECORDS, **LOSSY_OPTIONS)
    assert {"dropped.jsonl", "rejects.jsonl"} <= set(tree(folder))
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == []


def test_a_changed_ledger_is_reported(dataset: MakeDataset) -> None:
    """A changed reason, a line that is not an entry, and a missing ledger are all reported."""
    folder = dataset(LOSSY_RECORDS, **LOSSY_OPTIONS)
    path = folder / "dropped.jsonl"
    expected, size = sha256(path), path.stat().st_size
    path.write_bytes(path.read_bytes().replace(b"too_long", b"too_wide"))
    assert problems(folder) == [
        f"dropped.jsonl: SHA-256 is {sha256(path)}; the manifest says {expected}",
        "dropped.jsonl: lists 0 records of data.jsonl as too_long; the manifest says 1",
        "dropped.jsonl: lists 1 record of data.jsonl as too_wide; the manifest says 0",
    ]
    path.write_bytes(b'{"file":"data.jsonl"}\n')
    assert problems(folder) == [
        f"dropped.jsonl: has 22 bytes; the manifest says {size}",
        "dropped.jsonl: row 0: is not an entry with file, place and reason",
    ]
    path.unlink()
    assert problems(folder) == ["dropped.jsonl: is missing"]


def test_ledgers_that_the_manifest_does_not_name_are_reported(dataset: MakeDataset) -> None:
    """The counts of the manifest say which ledgers there must be."""
    folder = dataset(LOSSY_RECORDS, **LOSSY_OPTIONS)
    (folder / "dropped.jsonl").unlink()
    edit_manifest(folder, setting("ledgers", to={}))
    assert problems(folder) == [
        f"{MANIFEST}: ledgers['dropped.jsonl'] has 0 entries; counts.dropped says 1",
        f"{MANIFEST}: ledgers['rejects.jsonl'] has 0 entries; counts.rejected says 2",
        "rejects.jsonl: is a file that the manifest does not name",
    ]


@pytest.mark.parametrize(
    "line",
    [
        b"not JSON",
        b"[]",
        b'{"file":1,"line":1,"offset":0,"reason":"x"}',
        b'{"file":"a","line":true,"offset":0,"reason":"x"}',
        b'{"file":"a","line":1,"offset":0.0,"reason":"x"}',
        b'{"file":"a","line":1,"offset":0,"reason":null}',
    ],
)
def test_a_line_that_is_not_an_entry_is_reported(dataset: MakeDataset, line: bytes) -> None:
    """A line needs a file, a line, an offset and a reason, each of the right type."""
    folder = dataset(LOSSY_RECORDS, **LOSSY_OPTIONS)
    path = folder / "dropped.jsonl"
    path.write_bytes(line + b"\n")
    facts = {"entries": 1, "bytes": path.stat().st_size, "sha256": sha256(path)}
    edit_manifest(folder, setting("ledgers", "dropped.jsonl", to=facts))
    assert problems(folder) == ["dropped.jsonl: row 0: is not an entry with file, place and reason"]


def test_another_lost_record_is_found_with_the_inputs(dataset: MakeDataset) -> None:
    """A ledger that names another record is found by rebuilding, even if the counts agree."""
    folder = dataset(LOSSY_RECORDS, **LOSSY_OPTIONS)
    path = folder / "dropped.jsonl"
    path.write_bytes(path.read_bytes().replace(b'"line":2', b'"line":4'))
    facts = {"entries": 1, "bytes": path.stat().st_size, "sha256": sha256(path)}
    edit_manifest(folder, setting("ledgers", "dropped.jsonl", to=facts))
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == [
        "dropped.jsonl: row 0: lists data.jsonl:4 (too_long); the inputs give data.jsonl:2 "
        "(too_long)"
    ]


def test_a_lost_record_that_is_not_listed_is_found_with_the_inputs(dataset: MakeDataset) -> None:
    """A ledger that was removed, with all its counts, is found by rebuilding."""
    folder = dataset(LOSSY_RECORDS, **LOSSY_OPTIONS)
    (folder / "dropped.jsonl").unlink()

    def change(value: ManifestValue) -> None:
        del value["ledgers"]["dropped.jsonl"]
        for counts in (value["counts"], value["inputs"][0]):
            counts["dropped"] = {}
            counts["read"] -= 1

    edit_manifest(folder, change)
    assert problems(folder) == []
    assert problems(folder, against=["data.jsonl"]) == [
        f'{MANIFEST}: inputs[0].dropped is {{}}; the inputs give {{"too_long":1}}',
        f"{MANIFEST}: inputs[0].read is 4; the inputs give 5",
        f'{MANIFEST}: counts.dropped is {{}}; the inputs give {{"too_long":1}}',
        f"{MANIFEST}: counts.read is 4; the inputs give 5",
        "dropped.jsonl: row 0: lists no more records; the inputs give data.jsonl:2 (too_long)",
    ]


A, B, C = (LedgerEntry("f", line, 10 * line, "too_long") for line in (1, 2, 3))


@pytest.mark.parametrize(
    ("stored", "rebuilt", "complete", "expected"),
    [
        ([A, B], [A, B], True, []),
        ([A, B, C], [A, B], False, []),
        (
            [A, B, C],
            [A, B],
            True,
            ["l: row 2: lists f:3 (too_long); the inputs give no more records"],
        ),
        (
            [A],
            [A, B],
            False,
            ["l: row 1: lists no more records; the inputs give f:2 (too_long)"],
        ),
        (
            [A, C],
            [A, B],
            False,
            ["l: row 1: lists f:3 (too_long); the inputs give f:2 (too_long)"],
        ),
        (None, [], True, []),
        (None, None, True, []),
        ([A], None, True, ["l: row 0: lists f:1 (too_long); the inputs give no more records"]),
    ],
)
def test_ledgers_are_compared_up_to_the_first_difference(
    tmp_path: Path,
    stored: list[LedgerEntry] | None,
    rebuilt: list[LedgerEntry] | None,
    complete: bool,
    expected: list[str],
) -> None:
    """Entries are compared in order; what an incomplete rebuild did not reach is not a problem."""
    for name, entries in (("l", stored), ("rebuilt", rebuilt)):
        if entries is not None:
            write_jsonl(tmp_path / name, [entry._asdict() for entry in entries])
    report = Report("out")
    compare_ledger(
        DatasetFolder(tmp_path),
        "l",
        tmp_path / "rebuilt",
        report,
        listed=stored is not None,
        complete=complete,
    )
    assert list(map(str, report.problems)) == expected


def test_messages_of_a_ledger_may_differ(tmp_path: Path) -> None:
    """Only the record and the code of the reason are compared, not the words."""
    for name, message in (("l", "old words"), ("rebuilt", "new words")):
        (tmp_path / name).write_text(json.dumps({**A._asdict(), "message": message}))
    report = Report("out")
    compare_ledger(
        DatasetFolder(tmp_path), "l", tmp_path / "rebuilt", report, listed=True, complete=True
    )
    assert report.ok
