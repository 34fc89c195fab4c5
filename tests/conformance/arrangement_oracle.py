"""What the manual promises of an arranged dataset, checked by plain Python.

`read` takes a finished dataset apart into its documents. `problems` compares it with a plain
dataset of the same input, which was made without any option of the arrangement. Nothing here is
shared with the program: the files are read with pyarrow and json, and each rule is written as the
manual says it.
"""

import bisect
import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.ipc
import pyarrow.parquet as pq

IGNORE = -100
Key = tuple[int, int, int]  # source, line, answer
PLACE = ("row", "position")


@dataclass(frozen=True)
class Document:
    """One example in a dataset."""

    split: str
    row: int  # of the split
    ids: tuple[int, ...]
    labels: tuple[int, ...]
    entry: dict[str, Any]  # its row of the index

    @property
    def key(self) -> Key:
        """The place of the example in the input."""
        return self.entry["source"], self.entry["line"], self.entry["answer"]


@dataclass(frozen=True)
class Dataset:
    """A finished dataset, read into memory."""

    folder: Path
    manifest: dict[str, Any]
    rows: dict[str, list[dict[str, Any]]]  # by split
    documents: list[Document]
    faults: list[str]  # of its form

    def of(self, split: str) -> list[Document]:
        """The documents of a split, in their order."""
        return [document for document in self.documents if document.split == split]


def read(folder: Path) -> Dataset:
    """Read a dataset, and note where its form is not as the manual says."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    dataset = Dataset(folder, manifest, defaultdict(list), [], [])
    for name in sorted(path.name for path in (folder / "data").iterdir()):
        split = name.split("-", maxsplit=1)[0]
        rows = _rows(folder / "data" / name)
        index = pq.read_table(folder / "index" / (Path(name).stem + ".parquet")).to_pylist()
        _take_apart(dataset, split, rows, index)
        dataset.rows[split] += rows
        said = next(shard for shard in manifest["shards"] if shard["name"] == f"data/{name}")
        if said["rows"] != len(rows) or said["split"] != split:
            dataset.faults.append(f"{name}: {len(rows)} rows; the manifest says {said}")
    _form(dataset)
    return dataset


def _rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    if path.suffix == ".arrow":
        found: list[dict[str, Any]] = pyarrow.ipc.open_file(path).read_all().to_pylist()
        return found
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def _take_apart(
    dataset: Dataset, split: str, rows: list[dict[str, Any]], index: list[dict[str, Any]]
) -> None:
    options, faults = dataset.manifest["recipe"], dataset.faults
    packed, left = bool(options.get("pack")), options.get("pad_side") == "left"
    pad = dataset.manifest["tokenizer"]["special_tokens"].get("pad", {}).get("id")
    entries = iter(index)
    for number, row in enumerate(rows):
        where = f"{split} row {number}"
        ids, labels = row["input_ids"], row["labels"]
        mask = row.get("attention_mask")
        expected = {"input_ids", "labels"}
        expected |= {"position_ids", "seq_lengths"} if packed else {"attention_mask"}
        if set(row) != expected:
            faults.append(f"{where}: columns {sorted(row)}")
        lengths = row["seq_lengths"] if packed else [sum(row["attention_mask"])]
        padding = len(ids) - sum(lengths)
        start = padding if left else 0
        outside = [*range(start), *range(start + sum(lengths), len(ids))]
        if any(labels[i] != IGNORE or ids[i] != pad for i in outside):
            faults.append(f"{where}: padding is trained, or is not the pad token")
        if mask is not None and mask != [int(i not in set(outside)) for i in range(len(ids))]:
            faults.append(f"{where}: the attention mask is {mask}")
        if not (len(labels) == len(ids) == len(row.get("position_ids", ids))):
            faults.append(f"{where}: columns of different lengths")
        if min(lengths) < 1:
            faults.append(f"{where}: an empty document")
        for length in lengths:
            end = start + length
            entry = next(entries, None)
            if entry is None:
                faults.append(f"{where}: more documents than rows in the index")
                return
            if (entry["row"], entry["position"]) != (number, start):
                faults.append(f"{where}: the index says row {entry['row']}, {entry['position']}")
            if packed and row["position_ids"][start:end] != list(range(length)):
                faults.append(f"{where}: positions do not restart")
            if packed and labels[start] != IGNORE:
                faults.append(f"{where}: the first label of a document is trained")
            document = Document(
                split,
                number + len(dataset.rows[split]),
                tuple(ids[start:end]),
                tuple(labels[start:end]),
                entry,
            )
            _entry(document, faults)
            dataset.documents.append(document)
            start = end
    if next(entries, None) is not None:
        faults.append(f"{split}: the index has more rows than the shard has documents")


def _entry(document: Document, faults: list[str]) -> None:
    """Compare a document with its row of the index."""
    entry, labels = document.entry, document.labels
    trained = [label != IGNORE for label in labels]
    if any(label not in (IGNORE, token) for label, token in zip(labels, document.ids, strict=True)):
        faults.append(f"{document.key}: a label is neither the id nor the ignore index")
    if entry["tokens"] != len(labels) or entry["trained_tokens"] != sum(trained[1:]):
        faults.append(f"{document.key}: the index counts {entry['tokens']} tokens")
    told = [run["trained"] for run in entry["segments"] for _ in range(run["tokens"])]
    if told[1:] != trained[1:]:
        faults.append(f"{document.key}: the segments say something else of the trained tokens")
    if any(run["tokens"] < 1 for run in entry["segments"]):
        faults.append(f"{document.key}: an empty segment")


def _form(dataset: Dataset) -> None:
    """Check lengths and counts."""
    manifest, faults = dataset.manifest, dataset.faults
    options = manifest["recipe"]
    most = options["pack_length"] if options.get("pack") else options["max_length"]
    pad = options.get("pad") or "none"
    for split, rows in dataset.rows.items():
        lengths = [len(row["input_ids"]) for row in rows]
        content = [sum(row.get("seq_lengths") or row["attention_mask"]) for row in rows]
        if pad.startswith("multiple-of:"):
            unit = int(pad.removeprefix("multiple-of:"))
            expected = [-(-length // unit) * unit for length in content]
        else:
            padded = {"longest": max(content), "max-length": most}
            expected = [padded.get(pad, length) for length in content]
        if lengths != expected:
            faults.append(f"{split}: rows have {lengths} tokens; expected {expected}")
        if max(content) > most:
            faults.append(f"{split}: a row has {max(content)} tokens of {most}")
    tokens = sum(document.entry["tokens"] for document in dataset.documents)
    trained = sum(document.entry["trained_tokens"] for document in dataset.documents)
    counts = manifest["counts"]
    if (counts["tokens"], counts["written"]) != (tokens, len(dataset.documents)):
        faults.append(f"{tokens} tokens, {len(dataset.documents)} documents; counted {counts}")
    if options.get("pack") and counts["trained_tokens"] != trained:
        faults.append(f"{trained} trained tokens; counted {counts['trained_tokens']}")
    for number, entry in enumerate(manifest["inputs"]):
        written = sum(document.entry["source"] == number for document in dataset.documents)
        balance = entry["read"] + entry["extra_examples"] + entry["repeated"]
        lost = sum(entry["dropped"].values()) + sum(entry["rejected"].values())
        if entry["written"] != written or balance != written + lost:
            faults.append(f"{entry['name']}: the counts do not balance: {entry}")
    ledger = dataset.folder / "dropped.jsonl"
    listed = Counter(line["reason"] for line in _ledger(ledger))
    if listed != Counter(counts["dropped"]):
        faults.append(f"dropped.jsonl lists {listed}; counted {counts['dropped']}")
    if sorted(path.name for path in (dataset.folder / "index").iterdir()) != sorted(
        Path(shard["name"]).stem + ".parquet" for shard in manifest["shards"]
    ):
        faults.append("index/ holds other files than the shards have")


def _ledger(path: Path) -> list[dict[str, Any]]:
    return (
        [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []
    )


# --- compared with a plain dataset ----------------------------------------------------------------


@dataclass(frozen=True)
class Truth:
    """What is known of the input, by the place of each example in it."""

    prompt: Callable[[Key], Hashable]  # what keeps examples in one split
    text: Callable[[Key], str]  # the whole text, different for different records


def problems(dataset: Dataset, plain: Dataset, truth: Truth) -> list[str]:
    """Return everything in which an arranged dataset is not what its options say."""
    return [
        *plain.faults,
        *dataset.faults,
        *_documents(dataset, plain),
        *_balance(dataset, plain, truth),
        *_splits(dataset, truth),
        *_order(dataset),
        *_packs(dataset),
    ]


def _documents(dataset: Dataset, plain: Dataset) -> Iterator[str]:
    """Compare each document with the one in the plain dataset."""
    options = dataset.manifest["recipe"]
    originals = {document.key: document for document in plain.documents}
    # The first label has no loss where another document, or padding, may stand before it.
    first = int(bool(options.get("pack")) or (options.get("pad") or "none") != "none")
    used = f"ignored_field:{options.get('split_by')}"  # it is not ignored any more
    for document in dataset.documents:
        original = originals.get(document.key)
        if original is None:
            yield f"{document.key}: not in the plain dataset"
            continue
        if document.ids != original.ids or document.labels[first:] != original.labels[first:]:
            yield f"{document.key}: other tokens or labels than in the plain dataset"
        if first and document.labels[0] != IGNORE:
            yield f"{document.key}: its first label is trained"
        reasons = [reason for reason in original.entry["reasons"] if reason != used]
        before = original.entry | {"reasons": reasons}
        for column in before.keys() - PLACE:
            if document.entry[column] != before[column]:
                yield f"{document.key}: {column} was {before[column]}"


def _balance(dataset: Dataset, plain: Dataset, truth: Truth) -> Iterator[str]:
    """Check that each example is there as often as the options say, or is listed as dropped."""
    options = dataset.manifest["recipe"]
    names = [entry["name"] for entry in dataset.manifest["inputs"]]
    keys = sorted(document.key for document in plain.documents)
    kept, repeats = _deduplicated(options.get("dedup"), keys, truth)
    listed = {
        _place(names, line)[:2]: _place(names, line["repeats"])[:2]
        for line in _ledger(dataset.folder / "dropped.jsonl")
        if line["reason"] == "duplicate"
    }
    if listed != {key[:2]: original[:2] for key, original in repeats.items()}:
        yield f"duplicates {listed}; expected {repeats}"
    found = Counter(document.key for document in dataset.documents)
    outside = {document.key for document in dataset.documents if document.split != "train"}
    for key in kept:
        times = found.pop(key, 0)
        factor = 1.0 if key in outside else _factor(options.get("repeat") or [], names[key[0]])
        allowed = {int(factor), -int(-factor // 1)}
        if options.get("sample") and key not in outside:
            allowed.add(0)
        if times not in allowed:
            yield f"{key}: {times} times; its factor is {factor}"
    if found:
        yield f"documents that were dropped are there: {found}"
    sample, rows = options.get("sample") or "%", len(dataset.of("train"))
    if not sample.endswith("%") and not options.get("repeat") and rows != int(sample):
        yield f"{rows} rows in the sample of {sample}"
    lost = [sum(each.manifest["counts"]["dropped"].values()) for each in (plain, dataset)]
    there = {document.key for document in dataset.documents}
    if len(keys) != len(there) + lost[1] - lost[0]:
        yield f"{len(keys)} rows, of which {lost[1] - lost[0]} are counted as dropped"


def _factor(rules: list[str], name: str) -> float:
    """How often --repeat gives the rows of a source."""
    for rule in rules:
        glob, _, factor = rule.rpartition("=")
        if fnmatchcase(name, glob):
            return float(factor)
    return 1.0


def _place(names: list[str], line: dict[str, Any]) -> Key:
    number = line["line"] if "line" in line else line["row"]
    return names.index(line["file"]), number, line.get("answer", 0)


def _deduplicated(
    policy: str | None, keys: list[Key], truth: Truth
) -> tuple[list[Key], dict[Key, Key]]:
    first: dict[str, Key] = {}
    kept, repeats = [], {}
    for key in keys:
        text = truth.text(key)
        if policy == "normalized":
            text = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
        original = first.setdefault(text, key) if policy in ("exact", "normalized") else key
        if original == key:
            kept.append(key)
        else:
            repeats[key] = original
    return kept, repeats


def _splits(dataset: Dataset, truth: Truth) -> Iterator[str]:
    options = dataset.manifest["recipe"]
    expected = {"train"} | {name for name in ("validation", "test") if options.get(name)}
    if set(dataset.rows) != expected:
        yield f"the splits are {set(dataset.rows)}; expected {expected}"
    sides: dict[Hashable, set[str]] = defaultdict(set)
    sizes: Counter[Hashable] = Counter()
    for document in dataset.documents:
        prompt = truth.prompt(document.key)
        sides[prompt].add(document.split)
        sizes[prompt] += document.split != "train"
    if torn := [prompt for prompt, names in sides.items() if len(names) > 1]:
        yield f"in several splits: {torn}"
    largest = max(sizes.values())
    for name in expected - {"train"}:
        count, wanted = len(dataset.of(name)), options[name]
        if not wanted.endswith("%") and not int(wanted) <= count < int(wanted) + largest:
            yield f"{name} has {count} rows; wanted {wanted}, and the largest group is {largest}"


def _order(dataset: Dataset) -> Iterator[str]:
    """Check the order of the rows and of the documents in them."""
    options = dataset.manifest["recipe"]
    in_plan = options.get("pack_order") != "longest-first"
    for split in dataset.rows:
        keys = [document.key for document in dataset.of(split)]
        rows: dict[int, list[Document]] = defaultdict(list)
        for document in dataset.of(split):
            rows[document.row].append(document)
        neighbours = [pair for row in rows.values() for pair in pairwise(row)]
        firsts = [min(document.key for document in row) for row in rows.values()]
        if not in_plan and any(len(a.ids) < len(b.ids) for a, b in neighbours):
            yield f"{split}: a pack is not ordered by length"
        if options.get("shuffle"):
            if len(set(firsts)) > 12 and firsts == sorted(firsts):
                yield f"{split}: not shuffled"
        elif split == "train" and options.get("repeat"):
            continue  # the rows follow each other in several passes
        elif firsts != sorted(firsts) or (in_plan and any(a.key > b.key for a, b in neighbours)):
            yield f"{split}: not in the order of the input: {keys}"


def best_fit(lengths: list[int], capacity: int) -> list[int]:
    """The space left in each pack of a plain best-fit decreasing, sorted."""
    spaces: list[int] = []
    for length in sorted(lengths, reverse=True):
        place = bisect.bisect_left(spaces, length)
        left = (spaces.pop(place) if place < len(spaces) else capacity) - length
        bisect.insort(spaces, left)
    return spaces


def _packs(dataset: Dataset) -> Iterator[str]:
    options = dataset.manifest["recipe"]
    if not options.get("pack"):
        return
    for split, rows in dataset.rows.items():
        spaces = sorted(options["pack_length"] - sum(row["seq_lengths"]) for row in rows)
        best = best_fit([len(d.ids) for d in dataset.of(split)], options["pack_length"])
        if spaces != best:
            yield f"{split}: {len(spaces)} packs with the spaces {spaces}; best fit: {best}"
