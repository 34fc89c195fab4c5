"""tally, manifest and summary: every record is counted once, and every loss is listed."""

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys import tree

from sftprep import DataError, InternalError, NoInputError, load_manifest
from sftprep.cli.summary import summarize
from sftprep.data.batch import Batch
from sftprep.data.block import Source
from sftprep.data.ragged import ends_to_offsets
from sftprep.data.result import BlockResult, LostRecord
from sftprep.dataset.accounting import Tally
from sftprep.dataset.identity import ORDER, difference, fingerprint
from sftprep.dataset.ledger import Ledger
from sftprep.dataset.manifest import MANIFEST, Manifest, Prepared, check_identity
from sftprep.errors import RecordError
from sftprep.tokenization.control_strings import ControlStrings

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


def rejected(source: int, line: int, raw: bytes = b"{}", error: RecordError = WRONG) -> LostRecord:
    """A bad record."""
    return LostRecord(source, line, line * 10, error.reason, error, raw)


def dropped(source: int, line: int) -> LostRecord:
    """A good record that was dropped."""
    return LostRecord(source, line, line * 10, "too_long", None, b"{}")


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


def test_ledger_of_a_record_that_came_far(tmp_path: Path) -> None:
    """A loss has its length in tokens and its column where these are known."""
    tally = Tally(SOURCES, tmp_path, quarantine=True)
    bad = RecordError("invalid_json", "not valid JSON: x", "Write it otherwise", 7)
    tally.add(block(0, 1, 0, rejected=[rejected(0, 3, error=bad)._replace(tokens=12)]))
    tally.add(block(1, 1, 0, dropped=[dropped(1, 2)._replace(tokens=3000)]))
    tally.close()
    assert lines(tmp_path / "rejects.jsonl") == [
        {
            "file": "a.jsonl", "line": 3, "offset": 30, "reason": "invalid_json", "tokens": 12,
            "column": 7, "message": "not valid JSON: x", "cure": "Write it otherwise", "raw": "{}",
        }
    ]  # fmt: skip
    assert lines(tmp_path / "dropped.jsonl") == [
        {"file": "b\x1b.jsonl", "line": 2, "offset": 20, "reason": "too_long", "tokens": 3000}
    ]


def test_facts_of_the_ledgers(tmp_path: Path) -> None:
    """Of each ledger that is there the entries, bytes and SHA-256 are known at any time."""
    tally = Tally(SOURCES, tmp_path, quarantine=True)
    assert tally.ledgers() == {}
    for count, at in ((1, 3), (2, 4)):
        tally.add(block(0, 1, 0, rejected=[rejected(0, at)]))
        found = tally.ledgers()
        data = (tmp_path / "rejects.jsonl").read_bytes()
        sha256 = hashlib.sha256(data).hexdigest()
        assert found == {"rejects.jsonl": {"entries": count, "bytes": len(data), "sha256": sha256}}
    tally.close()
    assert found == tally.ledgers()


@pytest.mark.parametrize("quarantine", [False, True])
def test_restored(tmp_path: Path, quarantine: bool) -> None:
    """A tally that goes on from another's state ends as one that was never interrupted."""
    folders = [tmp_path / name for name in ("whole", "parts")]
    results = [
        block(
            0, 5, 2, blank=1, dropped=[dropped(0, 2)], rejected=[rejected(0, 3), rejected(0, 4)],
            counts=Counter(tokens=7, extra_examples=0), controls=Counter({"<s>": 1}),
            outputs=Counter(response=2),
        ),
        block(1, 2, 1, rejected=[rejected(1, 1, b"\xff")], counts=Counter(tokens=1)),
        block(1, 4, 2, dropped=[dropped(1, 5)], rejected=[rejected(1, 6)]),
    ]  # fmt: skip
    for folder in folders:
        folder.mkdir()
    whole = Tally(SOURCES, folders[0], quarantine=quarantine)
    for result in results:
        whole.add(result)
    whole.close()

    first = Tally(SOURCES, folders[1], quarantine=quarantine)
    for result in results[:2]:
        first.add(result)
    state = json.loads(json.dumps(first.state()))
    first.close()
    second = Tally(SOURCES, folders[1], quarantine=quarantine)
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


def test_restored_error_lists_what_was_first(tmp_path: Path) -> None:
    """The bad records of before an interruption are listed, in their order."""
    first = Tally(SOURCES, tmp_path, quarantine=False)
    first.add(block(0, 2, 1, rejected=[rejected(0, 3)]))
    second = Tally(SOURCES, tmp_path, quarantine=False)
    second.restore(first.state())
    second.add(block(1, 2, 1, rejected=[rejected(1, 9)]))
    with pytest.raises(DataError) as caught:
        second.check(None)
    more = "prompt is 5; expected a string. Fix the record, or pass --on-error quarantine."
    assert str(caught.value) == (
        "2 of 4 records cannot be used; nothing was published.\n"
        f"in/a.jsonl:3: {more}\nin/b\\x1b.jsonl:9: {more}"
    )


def test_a_state_does_not_change(tmp_path: Path) -> None:
    """A state is of its moment: what is counted later is not in it."""
    tally = Tally(SOURCES, tmp_path, quarantine=False)
    tally.add(block(0, 2, 1, rejected=[rejected(0, 3)], controls=Counter({"<s>": 1})))
    state = tally.state()
    before = json.dumps(state)
    tally.add(block(0, 2, 1, rejected=[rejected(0, 4)], controls=Counter({"<s>": 1})))
    assert before == json.dumps(state)


# --- a ledger -----------------------------------------------------------------------------------


def test_ledger(tmp_path: Path) -> None:
    """A line an entry; what is known of the file is true of what is on disk at that time."""
    path = tmp_path / "a.jsonl"
    ledger = Ledger(path)
    assert ledger.facts() == {}
    assert not path.exists()
    for count in (1, 2, 3):
        ledger.add({"价": count, "raw": "a\nb"})
        data = "".join(f'{{"价":{n},"raw":"a\\nb"}}\n' for n in range(1, count + 1)).encode()
        expected = {
            "entries": count,
            "bytes": len(data),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        assert ledger.facts() == expected
        assert path.read_bytes() == data
    ledger.close()
    assert ledger.facts() == expected
    assert path.stat().st_mode & 0o777 == 0o600


def test_ledger_resumed(tmp_path: Path) -> None:
    """A ledger that is taken up again goes on behind the entries that are there."""
    path = tmp_path / "a.jsonl"
    whole = Ledger(tmp_path / "whole")
    first = Ledger(path)
    for ledger in (whole, first):
        ledger.add({"n": 1})
    first.abandon()
    again = Ledger(path)
    again.resume()
    assert again.facts() == whole.facts()
    for ledger in (whole, again):
        ledger.add({"n": 2})
        ledger.close()
    assert again.facts() == whole.facts()
    assert path.read_bytes() == b'{"n":1}\n{"n":2}\n' == (tmp_path / "whole").read_bytes()


def test_ledger_resumed_from_nothing(tmp_path: Path) -> None:
    """Where there was no entry there is no file, before and after."""
    ledger = Ledger(tmp_path / "a.jsonl")
    ledger.resume()
    assert ledger.facts() == {}
    ledger.abandon()
    ledger.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_ledger_never_over_a_file(tmp_path: Path, kind: str) -> None:
    """A ledger is a new file, and no link to one."""
    path = tmp_path / "a.jsonl"
    (tmp_path / "mine").write_text("mine")
    if kind == "file":
        path.write_text("mine")
    else:
        path.symlink_to(tmp_path / ("mine" if kind == "link" else "nowhere"))
    with pytest.raises(FileExistsError):
        Ledger(path).add({"n": 1})
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_tally_that_fails_closes_its_files(tmp_path: Path) -> None:
    """A run that failed writes no more: nothing comes late into the folder of the next one."""
    with Tally(SOURCES, tmp_path, quarantine=True) as tally:
        tally.add(block(0, 1, 0, rejected=[rejected(0, 3)]))
    before = tree(tmp_path)
    with pytest.raises(ValueError, match="closed file"):
        tally.add(block(0, 1, 0, rejected=[rejected(0, 4)]))
    del tally
    assert before == tree(tmp_path)
    assert len(before["rejects.jsonl"].splitlines()) == 1


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
        "format_version": 4, "recipe": {"max_length": 9}, "inputs": [], "tokenizer": {},
        "template": {"name": "价"}, "counts": {}, "shards": [], "ledgers": {}, "libraries": {},
        "fingerprint": "f",
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


OTHER_VERSION = "this sftprep reads 4. Use the version that wrote it, or build the dataset again."


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{", "is damaged: "),
        (b"[]", f"has format version null; {OTHER_VERSION}"),
        (b"{}", f"has format version null; {OTHER_VERSION}"),
        (b'{"format_version": 1}', f"has format version 1; {OTHER_VERSION}"),
        (b'{"format_version": "4"}', f"has format version '4'; {OTHER_VERSION}"),
        (b'{"format_version": 4}', "has other keys than a manifest. Build the dataset again."),
        (
            manifest().dump().replace(b'"max_length": 9', b'"max_length": 8'),
            "has been changed since it was written: its digest is another. Build the dataset "
            "again.",
        ),
    ],
)
def test_bad_manifest(tmp_path: Path, content: bytes, message: str) -> None:
    """A manifest that is damaged or of another version is an error that says so."""
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(DataError) as caught:
        load_manifest(tmp_path)
    assert str(caught.value).startswith(f"{tmp_path / MANIFEST}: {message}")
    assert message == "is damaged: " or str(caught.value).endswith(message)


@pytest.mark.parametrize("cut", range(0, 700, 35))
def test_manifest_that_was_cut_off(tmp_path: Path, cut: int) -> None:
    """A manifest that is not whole is an error, wherever it ends."""
    whole = manifest().dump()
    (tmp_path / MANIFEST).write_bytes(whole[: min(cut, len(whole) - 2)])
    with pytest.raises(DataError, match=r" is damaged: .*\. Build the dataset again\.$"):
        load_manifest(tmp_path)


FACTS: dict[str, Any] = {
    "format_version": 4,
    "recipe": {"max_length": 10, "add_token": [], "system": None, "per_turn": False},
    "tokenizer": "t",
    "template": "u",
    "libraries": {"orjson": "3.1", "pyarrow": "20"},
    "inputs": ["a", "b"],
}


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({}, ""),
        ({"format_version": 1}, "the format version was 4 and is 1"),
        ({"tokenizer": "x"}, "the tokenizer differs"),
        ({"template": "x"}, "the template differs"),
        ({"inputs": ["a", "x"]}, "input 2 of 2 differs"),
        ({"inputs": ["b", "a"]}, "input 1 of 2 differs"),
        ({"inputs": ["a"]}, "there were 2 inputs and are 1"),
        ({"inputs": ["a"] * 1234}, "there were 2 inputs and are 1,234"),
        (
            {"libraries": {"orjson": "3.1", "pyarrow": "21"}},
            "the version of pyarrow was '20' and is '21'",
        ),
        ({"libraries": {"orjson": "3.1"}}, "the version of pyarrow was '20' and is null"),
        (
            {"libraries": {"orjson": "3.1", "pyarrow": "20", "x": "1"}},
            "the version of x was null and is '1'",
        ),
        ({"recipe": FACTS["recipe"] | {"max_length": 11}}, "--max-length was 10 and is 11"),
        ({"recipe": FACTS["recipe"] | {"system": ""}}, "--system was null and is ''"),
        ({"recipe": FACTS["recipe"] | {"per_turn": True}}, "--per-turn was false and is true"),
        (
            {"recipe": FACTS["recipe"] | {"add_token": ["<x>", "pad=\a"]}},
            "--add-token was none and is '<x>', 'pad=\\x07'",
        ),
        (
            {"recipe": FACTS["recipe"] | {"max_length": 1, "system": "a"}, "tokenizer": "x"},
            "--max-length was 10 and is 1",
        ),
        ({"tokenizer": "x", "template": "x", "inputs": []}, "the tokenizer differs"),
    ],
)
def test_difference(changed: dict[str, Any], expected: str) -> None:
    """The first thing in which two runs differ is named, with both its values."""
    assert expected == difference(FACTS, FACTS | changed)
    assert (expected == "") == (difference(FACTS | changed, FACTS) == "")


def test_every_decisive_fact_is_compared() -> None:
    """What decides the bytes is what is compared."""
    facts = manifest(tokenizer={"sha256": "t"}, template={"sha256": "u"})
    assert set(ORDER) == set(FACTS) == set(facts.identity())


def test_decisive_facts_of_a_manifest() -> None:
    """A manifest tells what decided its bytes: the inputs by content, nothing of the result."""
    found = manifest(
        inputs=[{"name": "a", "sha256": "1"}, {"name": "b", "sha256": "2"}],
        tokenizer={"sha256": "t", "name": "x"},
        template={"sha256": "u", "name": "y", "source": "z"},
        libraries={"orjson": "3"},
        counts={"read": 1},
        shards=[{"rows": 1}],
    ).identity()
    assert found == {
        "format_version": 4, "recipe": {"max_length": 9}, "tokenizer": "t", "template": "u",
        "libraries": {"orjson": "3"}, "inputs": ["1", "2"],
    }  # fmt: skip


def test_prepared() -> None:
    """What ``--json`` prints is the manifest as it is written, and the status before it."""
    whole = manifest(counts={"价": 1})
    found = Prepared(whole, "resumed").dump()
    assert found.startswith(b'{\n  "status": "resumed",\n  "format_version": 4,')
    assert json.loads(found) == {"status": "resumed", **json.loads(whole.dump())}
    assert found.endswith(b"\n}\n")


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
        "  boundary   1 row with other ids than if prompt and completion were encoded as one text; "
        "end prompts without a space, and start completions with it",
        "  control    1 record with a control token's text (<s> in 1), kept as text; if the token "
        "is meant, pass --allow-control '<s>'",
    ]
