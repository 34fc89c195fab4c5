"""The benchmark's data: given records, repeated until a file is as large as wanted.

In     A prompt/completion JSONL file (plain or compressed), an instruction file, or the functions
       of Python's standard library.
Out    JSONL files of prompt/completion or messages records. Each prompt starts with a running
       number, so that no two records are the same.
Never  Serializes a record more than once: only the number changes when it is repeated.
"""

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import orjson
import pyarrow as pa

SCHEMAS = {
    "pairs": (b'{"prompt":"%d. ', b',"completion":', b"}\n"),
    "messages": (
        b'{"messages":[{"role":"user","content":"%d. ',
        b'},{"role":"assistant","content":',
        b"}]}\n",
    ),
}
"""For each schema: the JSON before the prompt's text, before the completion, and after it."""
NOT_LIBRARY = {"test", "tests", "site-packages", "dist-packages", "__pycache__"}


class Pair(NamedTuple):
    """A prompt and its completion."""

    prompt: str
    completion: str


def unpack(source: Path, target: Path) -> Path:
    """Write the decompressed content of ``source`` to ``target``."""
    with pa.input_stream(str(source), compression="detect") as stream:
        target.write_bytes(stream.read())
    return target


def read_pairs(path: Path) -> list[Pair]:
    """Read a JSONL file with ``prompt`` and ``completion``."""
    records = _records(path)
    if not records or not {"prompt", "completion"} <= set(records[0]):
        sys.exit(f"{path.name}: not a JSONL file with prompt and completion. Pass another --data.")
    return [Pair(record["prompt"], record["completion"]) for record in records]


def read_instructions(path: Path) -> list[Pair]:
    """Read a JSONL file or JSON array with ``instruction``, ``input`` and ``output``."""
    pairs = []
    for record in _records(path):
        parts = (record["instruction"], record.get("input"))
        prompt = "".join(f"{part}\n" for part in parts if part)
        pairs.append(Pair(prompt, record["output"]))
    return pairs


def _records(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes().strip()
    if data.startswith(b"["):
        records: list[dict[str, Any]] = orjson.loads(data)
        return records
    return [orjson.loads(line) for line in data.split(b"\n")]


def library_functions() -> list[Pair]:
    """Make a pair of each function of the standard library: signature and docstring, then body."""
    root = Path(sysconfig.get_path("stdlib"))
    return [
        pair
        for path in sorted(root.rglob("*.py"))
        if NOT_LIBRARY.isdisjoint(path.relative_to(root).parts)
        for pair in _functions(path)
    ]


def _functions(path: Path) -> Iterator[Pair]:
    try:
        text = path.read_text()
        with warnings.catch_warnings(action="ignore"):
            tree = ast.parse(text)
    except (UnicodeDecodeError, SyntaxError):  # some files are wrong on purpose
        return
    lines = [line + "\n" for line in text.split("\n")]
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            if body and body[0].lineno > node.lineno:
                start, end = node.lineno - 1, body[0].lineno - 1
                yield Pair("".join(lines[start:end]), "".join(lines[end : node.end_lineno]))


def write(
    path: Path,
    pairs: Iterable[Pair],
    *,
    megabytes: float | None = None,
    records: int | None = None,
    schema: str = "pairs",
) -> int:
    """Write the pairs, repeatedly, until there are this many megabytes or this many records.

    Returns:
        The number of records.
    """
    before, between, after = SCHEMAS[schema]
    texts = [
        orjson.dumps(prompt)[1:] + between + orjson.dumps(completion) + after
        for prompt, completion in pairs
    ]
    wanted = float("inf") if megabytes is None else megabytes * 1e6
    most = float("inf") if records is None else records
    size = number = 0
    with path.open("wb") as file:
        while size < wanted and number < most:
            text = texts[number % len(texts)]
            number += 1
            size += file.write(before % number) + file.write(text)
    return number


def as_parquet(source: Path, target: Path) -> None:
    """Write the records of a JSONL file as Parquet, as pyarrow does without options."""
    import pyarrow.parquet as pq

    with source.open("rb") as lines:
        writer = None
        while records := [orjson.loads(line) for line in islice(lines, 20_000)]:
            table = pa.Table.from_pylist(records)
            writer = writer or pq.ParquetWriter(target, table.schema)
            writer.write_table(table)
        if writer is not None:
            writer.close()
