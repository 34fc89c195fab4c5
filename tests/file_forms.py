"""The same records as files of every format that can be read."""

import csv
import gzip
import io
import json
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from sftprep.data.block import Block
from sftprep.errors import RecordError
from sftprep.reading.blocks import BlockReader
from sftprep.reading.limits import Hints, Limits
from sftprep.reading.parsing import parse_block
from sftprep.reading.sources import find_sources

Records = Sequence[dict[str, Any]]


def json_lines(records: Records) -> bytes:
    """Write JSON Lines."""
    return b"".join(json.dumps(r, ensure_ascii=False).encode() + b"\n" for r in records)


def pretty(records: Records) -> bytes:
    """Write objects over several lines, one after another."""
    return b"\n".join(json.dumps(r, indent=2).encode() for r in records)


def sequence(records: Records) -> bytes:
    """Write a JSON text sequence."""
    return b"".join(b"\x1e" + json.dumps(r, indent=1).encode() + b"\n" for r in records)


def table(records: Records) -> pa.Table:
    """Return the records as an Arrow table."""
    return pa.Table.from_pylist([*records])


def parquet(records: Records, **options: Any) -> bytes:
    """Write Parquet with several row groups, unless told otherwise."""
    sink = io.BytesIO()
    pq.write_table(table(records), sink, **{"row_group_size": 7} | options)
    return sink.getvalue()


def arrow_stream(records: Records) -> bytes:
    """Write an Arrow IPC stream, as ``datasets`` does."""
    sink = io.BytesIO()
    rows = table(records)
    with pa.ipc.new_stream(sink, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=5)
    return sink.getvalue()


def arrow_file(records: Records) -> bytes:
    """Write an Arrow IPC file."""
    sink = io.BytesIO()
    rows = table(records)
    with pa.ipc.new_file(sink, rows.schema) as writer:
        writer.write_table(rows, max_chunksize=5)
    return sink.getvalue()


def feather_file(records: Records) -> bytes:
    """Write a Feather file of version 2, compressed."""
    sink = io.BytesIO()
    feather.write_feather(table(records), sink, compression="zstd", chunksize=5)
    return sink.getvalue()


def delimited(records: Records, delimiter: str = ",", line_end: str = "\r\n") -> bytes:
    """Write CSV, as Python's ``csv`` does."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*records[0]], delimiter=delimiter, lineterminator=line_end)
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def zipped(name: str, data: bytes) -> bytes:
    """Return a ZIP archive with one file, beside things that are not data."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._x.jsonl", b"\0\0")
        archive.writestr(name, data)
        archive.writestr("README.md", b"# about")
    return sink.getvalue()


def tarred(name: str, data: bytes, mode: str = "w") -> bytes:
    """Return a tar archive with one file in a folder."""
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode=mode) as archive:  # type: ignore[call-overload]
        for path, content in (("README.md", b"# about"), (name, data)):
            info = tarfile.TarInfo(path)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return sink.getvalue()


FLAT: dict[str, tuple[str, Callable[[Records], bytes]]] = {
    "csv": ("a.csv", delimited),
    "csv-lf-bom": ("a.csv", lambda r: b"\xef\xbb\xbf" + delimited(r, line_end="\n")),
    "tsv": ("a.tsv", lambda r: delimited(r, "\t")),
    "csv-gzip": ("a.csv.gz", lambda r: gzip.compress(delimited(r))),
}
"""Name -> file name and writer of formats that hold texts only."""
NESTED: dict[str, tuple[str, Callable[[Records], bytes]]] = {
    "jsonl": ("a.jsonl", json_lines),
    "gzip": ("a.jsonl.gz", lambda r: gzip.compress(json_lines(r))),
    "gzip-without-ending": ("a", lambda r: gzip.compress(json_lines(r))),
    "xz": ("a.jsonl.xz", lambda r: lzma.compress(json_lines(r))),
    "json": ("a.json", lambda r: json.dumps([*r]).encode()),
    "json-pretty": ("a.json", lambda r: json.dumps([*r], indent=4, ensure_ascii=False).encode()),
    "wrapped": ("a.json", lambda r: json.dumps({"version": [1], "data": [*r], "n": {}}).encode()),
    "wrapped-pretty": ("a.json", lambda r: json.dumps({"train": [*r]}, indent=2).encode()),
    "objects": ("a.json", pretty),
    "sequence": ("a.json-seq", sequence),
    "parquet": ("a.parquet", parquet),
    "parquet-without-ending": ("a", parquet),
    "parquet-gzip": ("a.parquet.gz", lambda r: gzip.compress(parquet(r))),
    "parquet-one-group": ("a.parquet", lambda r: parquet(r, row_group_size=1 << 20)),
    "arrow-stream": ("a.arrow", arrow_stream),
    "arrow-file": ("a.arrow", arrow_file),
    "feather": ("a.feather", feather_file),
    "zip": ("a.zip", lambda r: zipped("d/train.jsonl", json_lines(r))),
    "zip-parquet": ("a.zip", lambda r: zipped("train.parquet", parquet(r))),
    "tar": ("a.tar", lambda r: tarred("d/train.jsonl", json_lines(r))),
    "tar-gz": ("a.tar.gz", lambda r: tarred("train.json", json.dumps([*r]).encode(), "w:gz")),
    "tgz-arrow": ("a.tgz", lambda r: tarred("train.arrow", arrow_stream(r), "w:gz")),
}
"""Name -> file name and writer of formats that hold nested values too."""
ALL = FLAT | NESTED


class Read(NamedTuple):
    """What was read of some inputs."""

    records: list[dict[str, Any] | RecordError | None]
    places: list[tuple[int, int | None]]
    raw: list[bytes]
    shards: list[int]  # of each record
    blocks: list[Block]
    reader: BlockReader


def read_all(
    *paths: Path | str,
    block_bytes: int = 1 << 20,
    shard_size: int = 1 << 30,
    limits: Limits = Limits(),  # noqa: B008 - it is immutable
    hints: Hints = Hints(),  # noqa: B008 - it is immutable
) -> Read:
    """Read and parse all records of some inputs."""
    sources = find_sources([str(path) for path in paths])
    reader = BlockReader(sources, shard_size, block_bytes, limits=limits, hints=hints)
    found = Read([], [], [], [], [], reader)
    for block in reader:
        parsed = parse_block(block)
        assert block.records == len(parsed.records) == len(parsed.raw)
        found.blocks.append(block)
        found.records.extend(parsed.records)
        found.raw.extend(parsed.raw)
        found.places.extend(block.place(index) for index in range(block.records))
        found.shards.extend([block.shard] * block.records)
    return found
