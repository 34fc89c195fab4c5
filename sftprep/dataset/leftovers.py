"""Files that readers leave in the folder of a dataset: told apart from the dataset's own.

In     the path of something in the folder that is none of the dataset's files; the first bytes of a
       file.
Out    the program that has left it there; "" if no known one has.
Never  takes a file by its name alone if people give files that name: then its content must be that
       of the program too.

They belong to the dataset that was read: an index or a cache of other rows would be wrong. So they
are no damage, and they go when another dataset takes the place of this one, which a run says.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from sftprep.text import ascii_safe, number

START_BYTES = 4096
"""How much of a file ``left_by`` looks at."""
MOST_LISTED = 3


class Leftover(NamedTuple):
    """What a program leaves behind."""

    program: str
    paths: str  # matches the paths in the dataset's folder
    starts: str = ""  # matches the start of a file; "" if its path is enough


_SHARD_FOLDER = "(data|train|validation|test)"
LEFTOVERS = (
    Leftover("litdata", rf"({_SHARD_FOLDER}/)?index\.json", r'\s*\{\s*"chunks"\s*:\s*\['),
    Leftover("datasets", rf"{_SHARD_FOLDER}/cache-[0-9a-f]+(_\d+_of_\d+)?\.arrow"),
    Leftover("a model hub", r"\.gitattributes", r"([^\n]* filter=lfs [^\n]*\n|#[^\n]*\n|\n)+"),
    Leftover(
        "a model hub",
        r"\.cache/huggingface/(\.gitignore|CACHEDIR\.TAG|(down|up)load/.*\.(metadata|lock|incomplete))",
    ),
    Leftover("macOS", r"(.*/)?\.DS_Store"),
)
"""What is known. Folders in which only such files lie need no entry of their own."""
_FOLDERS = re.compile(r"\.cache(/huggingface(/(down|up)load(/.*)?)?)?")


def left_by(path: str, start: Callable[[], bytes]) -> str:
    """Return the program that has left a file in a dataset's folder; "" if no known one has.

    Args:
        path: relative to the folder; that of a regular file.
        start: returns the first ``START_BYTES`` bytes of the file.
    """
    for leftover in LEFTOVERS:
        if re.fullmatch(leftover.paths, path) and (
            not leftover.starts or re.match(leftover.starts, start().decode("utf-8", "replace"))
        ):
            return leftover.program
    return ""


def left_in(path: Path, name: str) -> str:
    """Return the program that has left a file; "" if no known one has, or it is no regular file.

    Args:
        path: the path of the file.
        name: its path in the dataset's folder.
    """
    if path.is_symlink() or not path.is_file():
        return ""

    def start() -> bytes:
        with path.open("rb") as file:
            return file.read(START_BYTES)

    return left_by(name, start)


def listed(found: Mapping[str, str]) -> str:
    """Return some of the files in words.

    Args:
        found: the path of each -> the program.

    >>> listed({"data/index.json": "litdata"})
    'data/index.json (litdata)'
    """
    words = [f"{ascii_safe(path)} ({program})" for path, program in found.items()]
    more = [f"{number(len(words) - MOST_LISTED, 'more file')}"] if len(words) > MOST_LISTED else []
    return ", ".join([*words[:MOST_LISTED], *more])


def is_left_folder(path: str) -> bool:
    """Return True for a folder that a reader makes; what lies in it may be anything."""
    return _FOLDERS.fullmatch(path) is not None
