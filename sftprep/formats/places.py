"""Where the files of a format lie in the dataset's folder.

In     the split of a shard, its number and the number of shards of the split; the finished shards.
Out    the paths of its files; and the files that describe the shards of a dataset to its readers.
Keeps  shards in folders that hold nothing else of the dataset, apart from files that describe them.

A path is given as a pattern with the fields ``split``, ``index`` (of the shard, from 0) and
``count`` (of all shards of the split).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sftprep.data.columns import Kinds

DATA = "data"
"""The folder of the shards whose format asks for no other."""


class Described(NamedTuple):
    """A finished shard, for the files that describe it."""

    path: str  # in the dataset's folder
    rows: int
    bytes: int
    sha256: str


def _nothing(splits: Mapping[str, Sequence[Described]], kinds: Kinds) -> dict[str, bytes]:
    del splits, kinds
    return {}


@dataclass(frozen=True)
class Places:
    """Where a format's files lie.

    ``describe`` is given the shards of each split, in order, and the columns. It returns files by
    their path, which are those of ``describing`` for these splits.
    """

    shard: str  # the pattern of a shard's path
    parts: tuple[str, ...] = ()  # those of its other files, if it has several
    describing: tuple[str, ...] = ()  # those of the files that describe the shards
    describe: Callable[[Mapping[str, Sequence[Described]], Kinds], dict[str, bytes]] = _nothing
    loads: str = ""
    """Which files ``datasets.load_dataset`` should read as a split; "" if it reads none of them."""

    def files(self, split: str, index: int, count: int) -> tuple[str, ...]:
        """Return the paths of a shard's files.

        >>> in_data("parquet").files("train", 1, 4)
        ('data/train-00001-of-00004.parquet',)
        """
        patterns = (self.shard, *self.parts)
        return tuple(each.format(split=split, index=index, count=count) for each in patterns)

    def folders(self, splits: Sequence[str]) -> frozenset[str]:
        """Return the folders that can hold shards."""
        paths = (self.files(split, 0, 1)[0] for split in splits)
        return frozenset(path.rpartition("/")[0] for path in paths)


def in_data(ending: str) -> Places:
    """Return the places of a format whose shards are tables, which need no other files.

    Args:
        ending: the ending of their names, without the dot.
    """
    return Places(
        shard=f"{DATA}/{{split}}-{{index:05d}}-of-{{count:05d}}.{ending}",
        loads=f"{DATA}/{{split}}-*.{ending}",
    )
