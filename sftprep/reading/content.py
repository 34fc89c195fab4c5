"""Tell from the first bytes of a file and from its name what it holds.

In     the first bytes, uncompressed; the path.
Out    the name of the file's format.
Keeps  the first bytes above the name. Only text decides by its name: it is CSV or TSV if the name
       says so or if the user gave a delimiter; otherwise it is JSON.
Raises DataError: the file is something else, said in one line that names the cure.
"""

import re

from sftprep.encoding_guess import guess_file_encoding
from sftprep.errors import DataError
from sftprep.reading.endings import data_ending

START_BYTES = 512
"""How many bytes tell what a file is."""
UTF8_MARK = b"\xef\xbb\xbf"

FORMATS_BY_START = {
    b"PAR1": "parquet",
    b"ARROW1\0\0": "arrow",
    b"\xff\xff\xff\xff": "arrow",
    b"\x1e": "json-sequence",
}
"""First bytes -> the format that they show."""

NAME_A_MEMBER = "Name a file in it, as {path}::train.jsonl"
FOREIGN = {
    b"PK\x03\x04": ("a ZIP archive", NAME_A_MEMBER),
    b"PK\x05\x06": ("an empty ZIP archive", "Check how it was made"),
    b"FEA1": ("a Feather file of version 1", "Write it again as Parquet or as Feather version 2"),
    b"ORC": ("an ORC file", "Write it as Parquet"),
    b"Obj\x01": ("an Avro file", "Write it as Parquet or JSON Lines"),
    b"SQLite format 3\0": ("an SQLite database", "Export the table as CSV or JSON Lines"),
    b"\x89HDF\r\n": ("an HDF5 file", "Write it as Parquet or JSON Lines"),
    b"\x93NUMPY": ("a NumPy array", "Write it as Parquet or JSON Lines"),
    b"%PDF": ("a PDF document", "Extract the records as JSON Lines"),
    b"\x89PNG": ("an image", "Name files with records"),
    b"\xff\xd8\xff": ("an image", "Name files with records"),
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": ("an old Office document", "Save the table as CSV"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "Unpack it first"),
    b"Rar!": ("a RAR archive", "Unpack it first"),
    b"\x04\x22\x4d\x18": ("compressed with lz4", "Compress it with zstd or gzip, or unpack it"),
    b"\x80\x02": ("a Python pickle", "Write it as JSON Lines or Parquet"),
    b"\x80\x03": ("a Python pickle", "Write it as JSON Lines or Parquet"),
    b"\x80\x04": ("a Python pickle", "Write it as JSON Lines or Parquet"),
    b"\x80\x05": ("a Python pickle", "Write it as JSON Lines or Parquet"),
    b"version https://git-lfs.github.com/spec/": (
        "a Git LFS pointer, not the data itself",
        "Fetch the data with git lfs pull",
    ),
    b"\0\0\0\0": ("full of zero bytes at its start", "Fetch the file again"),
}  # fmt: skip
"""First bytes -> what the file is, and what to do."""
LIKE_JSON = re.compile(rb'\s*(\{\s*("|$)|\[\s*([\[{"]|$))')
"""Matches text that cannot be CSV: there, a quote does not follow a bracket."""
MARKUP = re.compile(rb"\s*<(!doctype html|html|head|body)\b", re.IGNORECASE)
XML = re.compile(rb"\s*<(\?xml|[a-z]+:?[a-z]*\s)", re.IGNORECASE)
TAR_MAGIC = b"ustar"
TABLE_ENDINGS = {"parquet", "arrow", "feather", "ipc"}


def format_of(start: bytes, path: str, delimiter: str = "") -> str:
    """Return the format of a file: a key of ``reading.table.FORMATS``, or ``json``.

    Args:
        start: its first ``START_BYTES`` bytes, uncompressed; fewer if it is shorter.
        path: its path.
        delimiter: what separates the cells of CSV, if the user said so.

    Raises:
        DataError: the file is in no format that can be read.
    """
    ending = data_ending(path)
    for magic, name in FORMATS_BY_START.items():
        if start.startswith(magic):
            return name
    if not start and ending in TABLE_ENDINGS:
        raise DataError(f"{path}: is empty. The download may have failed; fetch it again.")
    _refuse_foreign(start, path)
    if ending in TABLE_ENDINGS:
        name = "a Parquet file" if ending == "parquet" else "an Arrow file"
        raise DataError(
            f"{path}: is not {name}, although its name says so, or its start is damaged. Fetch the "
            "file again, or correct its name."
        )
    text = start.removeprefix(UTF8_MARK)
    is_json = LIKE_JSON.match(text) is not None
    if ending in ("csv", "tsv"):
        if is_json:
            raise DataError(
                f"{path}: holds JSON, although its name says {ending.upper()}. Correct its name."
            )
        return "csv"
    return "csv" if delimiter and not is_json else "json"


def _refuse_foreign(start: bytes, path: str) -> None:
    if start[30:49] == b"[Content_Types].xml":  # the first file in the ZIP archive
        raise DataError(f"{path}: is an Office document. Save the table as CSV.")
    for magic, (what, cure) in FOREIGN.items():
        if start.startswith(magic):
            raise DataError(f"{path}: is {what}. {_cure(cure, path)}.")
    if name := guess_file_encoding(start[:4]):
        raise DataError(f"{path}: the file is {name}. Convert it to UTF-8.")
    if start[257:262] == TAR_MAGIC:
        raise DataError(f"{path}: is a tar archive. {_cure(NAME_A_MEMBER, path)}.")
    text = start.removeprefix(UTF8_MARK)
    if MARKUP.match(text):
        raise DataError(
            f"{path}: is an HTML page, perhaps a login or error page that was saved instead of the "
            "data. Fetch the file again."
        )
    if XML.match(text):
        raise DataError(
            f"{path}: is XML, perhaps an error message that was saved instead of the data. Fetch "
            "the file again, or write it as JSON Lines."
        )


def _cure(cure: str, path: str) -> str:
    """Return what to do. An archive that comes through a pipe has no members to name."""
    if cure == NAME_A_MEMBER and path == "-":
        return "Save it as a file, and name a file in it, as data.zip::train.jsonl"
    return cure.format(path=path)
