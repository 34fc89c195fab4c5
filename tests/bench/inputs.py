"""The benchmark's data: records from what is given, made as large as wanted.

In     a prompt/completion JSONL file (plain or compressed), an instruction file, or the functions
       of Python's standard library.
Out    JSONL files of prompt/completion or messages records, each with a running number at the
       start of its prompt, so that no two are the same.
Never  parses or dumps while it repeats: a record's text is made once, only its number changes.
"""

import ast
import sys
import sysconfig
import warnings
from collections.abc import Iterable, Iterator
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
"""For each schema: what comes before the prompt's text, before the completion, and after it."""
NOT_LIBRARY = {"test", "tests", "site-packages", "dist-packages", "__pycache__"}


class Pair(NamedTuple):
    """One record."""

    prompt: str
    completion: str


def unpack(source: Path, target: Path) -> Path:
    """A file as it is, without its compression; ``target`` is written."""
    with pa.input_stream(str(source), compression="detect") as stream:
        target.write_bytes(stream.read())
    return target


def read_pairs(path: Path) -> list[Pair]:
    """The records of a JSONL file with ``prompt`` and ``completion``."""
    records = _records(path)
    if not records or not {"prompt", "completion"} <= set(records[0]):
        sys.exit(f"{path.name}: no prompt/completion JSONL. Pass another --data.")
    return [Pair(record["prompt"], record["completion"]) for record in records]


def read_instructions(path: Path) -> list[Pair]:
    """The records of a file with ``instruction``, ``input`` and ``output``: JSONL or an array."""
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
    """The standard library's functions: the signature with its docstring, then the body."""
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
    except (UnicodeDecodeError, SyntaxError):  # some are made to be wrong
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
    """Write the pairs again and again until there are so many megabytes, or so many records.

    Returns:
        How many records were written.
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
