"""Arranged datasets, compared with what the manual promises (`arrangement_oracle.py`).

A few option sets run by default. Many random ones, over several sources, templates and formats, run
in CI.
"""

import csv
import filecmp
import json
import random
import re
from collections import Counter
from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from arrangement_oracle import Dataset, Key, Truth, best_fit, problems, read
from toys import SAMPLE_TOKENIZER

from sftprep import Recipe, UsageError, prepare
from sftprep.export import export
from sftprep.verify.check import verify

TEXT = "the cat 你好 世界 ox runs Straße e\u0301 ﬁne\u00a0day def f(x): Ⅳ ok 中文 long-winded"
WORDS = TEXT.split(" ")
NO_ROW = re.compile("is no row|leaves? no row|leave none")
TEXT_NEEDED = {"split_by"}
ADDED = ("<|im_start|>", "<|im_end|>")
Record = dict[str, Any]
Options = dict[str, Any]


class Source(NamedTuple):
    """A file, and the records in it."""

    path: Path
    records: list[Record]


def words(choose: random.Random, most: int) -> str:
    """A text of up to so many words."""
    return " ".join(choose.choice(WORDS) for _ in range(choose.randint(1, most)))


def varied(choose: random.Random, text: str) -> str:
    """The text in another case or with other white space, or as it is."""
    return choose.choice([text, text.upper(), text.replace(" ", "  "), text.replace(" ", "\n")])


def make_records(choose: random.Random, count: int, *, chats: bool) -> list[Record]:
    """Records of which some repeat others, and many have the same prompt."""
    prompts = [words(choose, 25) for _ in range(max(3, count // 2))]
    records: list[Record] = []
    for _ in range(count):
        if records and choose.random() < 0.15:
            record = json.loads(json.dumps(choose.choice(records)))
            if choose.random() < 0.5 and chats:
                answer = record["messages"][-1]
                answer["content"] = varied(choose, answer["content"])
            elif choose.random() < 0.5 and not chats:
                record["completion"] = varied(choose, record["completion"])
        elif chats:
            texts = [choose.choice(prompts), words(choose, 60)]
            while choose.random() < 0.4:
                texts += [words(choose, 8), words(choose, 30)]
            messages = [
                {"role": "assistant" if i % 2 else "user", "content": text}
                for i, text in enumerate(texts)
            ]
            if choose.random() < 0.3:
                messages.insert(0, {"role": "system", "content": words(choose, 6)})
            record = {"messages": messages}
        else:
            record = {"prompt": choose.choice(prompts), "completion": words(choose, 80)}
        records.append({**record, "doc": choose.randint(0, 6)})
    return records


def write(path: Path, records: list[Record]) -> Source:
    """Write the records in the format that the file's name says."""
    if path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, list(records[0]))
            table.writeheader()
            table.writerows(records)
    elif path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(records), path)
    else:
        lines = [json.dumps(record, ensure_ascii=len(records) % 2 == 0) for record in records]
        path.write_text("".join(line + "\n" for line in lines), "utf-8")
    return Source(path, records)


def truth(sources: list[Source], options: Options) -> Truth:
    """What the records themselves say of each example."""
    last = options.get("train_on") == "last"  # then --per-turn gives one example of a record

    def record_of(key: Key) -> Record:
        return sources[key[0]].records[key[1] - 1]

    def text(key: Key) -> str:
        record = record_of(key)
        if "messages" not in record:
            return f"{record['prompt']} -> {record['completion']}"
        messages = record["messages"]
        if options.get("per_turn") and not last:
            answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
            messages = messages[: answers[key[2]] + 1]
        return " | ".join(f"{message['role']}: {message['content']}" for message in messages)

    def prompt(key: Key) -> Hashable:
        record = record_of(key)
        if options.get("split_by"):
            return str(record["doc"])
        if options.get("train_on") == "all":
            whole = options.get("per_turn") and "messages" in record
            return json.dumps(record["messages"]) if whole else text(key)
        if "messages" not in record:
            return str(record["prompt"])
        messages = record["messages"]
        answers = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
        return json.dumps(messages[: answers[-1 if last else 0]])

    return Truth(prompt, text)


def make(folder: Path, sources: list[Source], **options: Any) -> Dataset:
    """Prepare the sources, and read the dataset."""
    prepare(
        Recipe(
            inputs=tuple(str(source.path) for source in sources),
            output=str(folder),
            tokenizer=str(SAMPLE_TOKENIZER),
            **{"workers": 1, **options},
        )
    )
    return read(folder)


def manifest_without_counts_of_text(folder: Path) -> dict[str, Any]:
    """The manifest, without what only ``prepare`` can count, because it needs the texts."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    del manifest["digest"]
    manifest["arrangement"].get("prompts_in_two_splits", {}).pop("normalized", None)
    return manifest


def differing(left: Path, right: Path) -> list[str]:
    """The files in which two datasets differ."""
    names = {str(p.relative_to(d)) for d in (left, right) for p in d.rglob("*") if p.is_file()}
    _, found, unreadable = filecmp.cmpfiles(left, right, sorted(names), shallow=False)
    if found == ["manifest.json"] and not unreadable:
        one, other = map(manifest_without_counts_of_text, (left, right))
        return [name for name in one if one[name] != other[name]]
    return [*found, *unreadable]


def check(folder: Path, sources: list[Source], basic: Options, arrangement: Options) -> None:
    """Make the dataset in every way, and compare it with the oracle."""
    plain = make(folder / "plain", sources, **basic)
    arranged = make(folder / "arranged", sources, **basic, **arrangement)
    assert problems(arranged, plain, truth(sources, basic | arrangement)) == []
    for document in arranged.documents:
        source, offset = sources[document.key[0]], document.entry["offset"]
        if source.path.suffix == ".jsonl":
            line = source.path.read_bytes()[offset:].partition(b"\n")[0]
            assert json.loads(line) == source.records[document.key[1] - 1]
        elif source.path.suffix == ".parquet":
            assert offset is None
    assert verify(str(folder / "arranged"), workers=1).problems == []
    if not (TEXT_NEEDED & arrangement.keys() or arrangement.get("dedup") == "normalized"):
        export(
            str(folder / "plain"),
            {**arrangement, "output": str(folder / "exported"), "workers": 1},
        )
        assert differing(folder / "arranged", folder / "exported") == []


@pytest.mark.parametrize(
    "arrangement",
    [
        {
            "dedup": "exact",
            "validation": "20%",
            "repeat": ("s0*=2.5",),
            "shuffle": True,
            "pack": True,
            "pad": "longest",
            "pad_side": "left",
            "format": "jsonl",
        },
        {"dedup": "normalized", "sample": "9", "test": "3", "split_by": "doc", "pad": "max-length"},
    ],
)
def test_what_the_manual_promises(arrangement: Options, tmp_path: Path) -> None:
    """Packs, splits, copies, padding and the index are as the manual says."""
    choose = random.Random(3)
    sources = [
        write(tmp_path / f"s{i}.jsonl", make_records(choose, 20, chats=False)) for i in (0, 1)
    ]
    check(tmp_path, sources, {"max_length": 400}, arrangement)


def test_the_oracle_sees_faults(tmp_path: Path) -> None:
    """The oracle reports a lost, a doubled and a changed document, and a trained border."""
    source = write(tmp_path / "s0.jsonl", make_records(random.Random(5), 12, chats=False))
    plain = make(tmp_path / "plain", [source])
    options: Options = {"pack": True, "pack_length": 2048, "format": "jsonl"}
    make(tmp_path / "packed", [source], **options)
    shard = next((tmp_path / "packed/data").iterdir())
    rows = [json.loads(line) for line in shard.read_text("utf-8").splitlines()]
    known = truth([source], options)
    for column, value in (("labels", rows[0]["input_ids"][0]), ("position_ids", 1)):
        damaged = json.loads(json.dumps(rows))
        damaged[0][column][0] = value
        shard.write_text("".join(json.dumps(row) + "\n" for row in damaged), "utf-8")
        assert problems(read(tmp_path / "packed"), plain, known), column
    damaged = json.loads(json.dumps(rows))
    damaged[0]["input_ids"][3] += 1
    shard.write_text("".join(json.dumps(row) + "\n" for row in damaged), "utf-8")
    assert problems(read(tmp_path / "packed"), plain, known)
    shard.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    whole = read(tmp_path / "packed")
    assert problems(whole, plain, known) == []
    whole.documents.append(whole.documents[0])
    assert problems(whole, plain, known)
    del whole.documents[-2:]
    assert problems(whole, plain, known)


def test_best_fit() -> None:
    """The oracle's own packing: the longest first, each where the least space is left."""
    assert best_fit([5, 4, 3, 2, 2], 8) == [0, 0]
    assert best_fit([6, 5, 3, 2], 8) == [0, 0]
    assert best_fit([7, 6, 5], 8) == [1, 2, 3]


# --- many option sets -----------------------------------------------------------------------------


def some_options(choose: random.Random, *, chats: bool) -> tuple[Options, Options]:
    """Return options of the first half, and of the arrangement."""

    def maybe(*values: Any) -> Any:
        return choose.choice([None, *values])

    length = choose.choice([150, 300, 700])
    cuts = ["drop", "keep-start", "keep-end", "prompt-start", "completion-end", "balanced"]
    basic = {
        "template": "chatml" if chats else choose.choice(["plain", "chatml", "alpaca"]),
        "max_length": length,
        "truncation": choose.choice([*cuts, "oldest-turns"] if chats else cuts),
        "train_on": choose.choice(["completion", "completion", "all", *["last"] * chats]),
        "per_turn": chats and choose.random() < 0.4,
        "boundary": choose.choice(["split", "split", "joint"]),
        "shard_size": choose.choice(["3KB", "10KB", "64MiB"]),
        "add_token": ADDED,
    }
    arrangement = {
        "dedup": maybe(None, "exact", "normalized"),
        "validation": maybe("20%", "30%", "3", "1"),
        "test": maybe(None, "25%", "2"),
        "sample": maybe(None, "50%", "7", "99%"),
        "repeat": maybe(None, *[(f"s0*={factor}",) for factor in ("2", "0.5", "3.7", "1.01")]),
        "shuffle": maybe(True),
        "pack": maybe(True),
        "pad": maybe(None, "longest", "max-length", "multiple-of:10", "multiple-of:50"),
        "format": choose.choice(["parquet", "arrow", "jsonl"]),
    }
    if arrangement["pack"]:
        arrangement["pack_length"] = maybe(length, length + 50, length + 4000)
        arrangement["pack_order"] = maybe("longest-first")
    if arrangement["pad"]:
        arrangement["pad_side"] = maybe("left")
    if arrangement["validation"] or arrangement["test"]:
        arrangement["split_by"] = maybe(None, "doc")
        arrangement["seed"] = maybe(1, 2**63)
    return basic, {name: value for name, value in arrangement.items() if value}


@pytest.mark.conformance
@pytest.mark.parametrize("number", range(60))
def test_random_options(number: int, tmp_path: Path) -> None:
    """Whatever the options and the data: the dataset is as the manual says."""
    choose = random.Random(number)
    chats = number % 2 == 0
    endings = [".jsonl", ".parquet"] if chats else [".jsonl", ".parquet", ".csv"]
    sources = [
        write(
            tmp_path / f"s{i} 数[{i}]{choose.choice(endings)}",
            make_records(choose, choose.randint(15, 50), chats=chats),
        )
        for i in range(choose.randint(1, 3))
    ]
    basic, arrangement = some_options(choose, chats=chats)
    try:
        check(tmp_path, sources, basic, arrangement)
    except UsageError as error:
        if not NO_ROW.search(str(error)):
            raise
        pytest.skip(f"refused: {error}")  # a split of a few rows is often empty
    inputs = [str(source.path) for source in sources]
    assert verify(str(tmp_path / "arranged"), against=inputs, workers=1).problems == []
    if number % 10 == 0:
        make(tmp_path / "again", sources, **basic, **arrangement, workers=3)
        assert differing(tmp_path / "arranged", tmp_path / "again") == []


@pytest.mark.conformance
def test_records_that_are_added(tmp_path: Path) -> None:
    """Records that are added move no old row, and change nothing in the sample and the copies."""
    choose = random.Random(8)
    records = make_records(choose, 300, chats=False)
    options: Options = {
        "dedup": "exact",
        "validation": "20%",
        "test": "20%",
        "sample": "60%",
        "repeat": ("*=1.5",),
        "seed": 4,
    }
    few = make(tmp_path / "few", [write(tmp_path / "s.jsonl", records[:200])], **options)
    many = make(tmp_path / "many", [write(tmp_path / "s.jsonl", records)], **options)
    old = Counter((d.split, d.key) for d in many.documents if d.key[1] <= 200)
    assert old == Counter((d.split, d.key) for d in few.documents)


@pytest.mark.conformance
def test_loaded_by_datasets(tmp_path: Path) -> None:
    """``load_dataset`` gives the splits, with the rows of the shards, and nothing else."""
    datasets = pytest.importorskip("datasets")
    source = write(tmp_path / "s.jsonl", make_records(random.Random(2), 60, chats=True))
    options = {"validation": "10", "test": "10", "pack": True, "shard_size": "10KB"}
    for name in ("parquet", "arrow", "jsonl"):
        made = make(tmp_path / name, [source], template="chatml", format=name, **options)
        loaded = datasets.load_dataset(str(tmp_path / name), cache_dir=str(tmp_path / "cache"))
        assert {split: list(rows) for split, rows in loaded.items()} == dict(made.rows)
