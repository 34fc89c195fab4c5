"""The options of an arrangement, checked and parsed: what ``arrange`` is asked to do."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction


class Dedup(StrEnum):
    """Which rows count as the same."""

    NONE = ""
    EXACT = "exact"  # same text, and the same part of it is trained
    NORMALIZED = "normalized"  # same text after Unicode, case and white space are evened out
    NEAR = "near"  # nearly the same tokens


class PackOrder(StrEnum):
    """The order of the documents in a pack."""

    PLAN = "plan"  # as they would follow each other without packs
    LONGEST_FIRST = "longest-first"


class PadTo(StrEnum):
    """The length that rows are padded to."""

    NONE = "none"
    LONGEST = "longest"  # the longest row of the split
    MAX_LENGTH = "max-length"
    MULTIPLE = "multiple-of"  # the next multiple of a number


@dataclass(frozen=True, slots=True)
class Share:
    """A part of the rows: a number of them, or a fraction. Exactly one of the two is set."""

    rows: int | None = None
    fraction: Fraction | None = None  # above 0, below 1

    def __str__(self) -> str:
        return f"{self.rows}" if self.fraction is None else f"{float(self.fraction * 100):g}%"


@dataclass(frozen=True, slots=True)
class Pad:
    """How rows are padded."""

    to: PadTo = PadTo.NONE
    number: int = 0  # for max-length and multiple-of
    side: str = "right"  # or left


@dataclass(frozen=True, slots=True)
class Repeat:
    """How often the rows of some sources occur in the training split.

    2.5 means: each row twice, and half of the rows once more. Below 1, rows are left out.
    """

    sources: frozenset[int]
    factor: Fraction


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What is to be done, in the order in which it is done. The default leaves rows as they are."""

    dedup: Dedup = Dedup.NONE
    near_threshold: Fraction = Fraction(4, 5)  # the least Jaccard similarity of near duplicates
    validation: Share | None = None
    test: Share | None = None
    by_group: bool = (
        False  # splits keep rows with one group_key together, not those with one prompt
    )
    sample: Share | None = None  # of the training split
    repeat: tuple[Repeat, ...] = ()  # of the training split; a source occurs in one of them at most
    shuffle: bool = False
    seed: int = 0  # decides about the splits, the sample, the repeats and the order
    pack: bool = False
    pack_length: int = 0  # the capacity of a pack, in tokens
    pack_order: PackOrder = PackOrder.PLAN
    pad: Pad = Pad()

    @property
    def is_plain(self) -> bool:
        """Whether nothing is to be done: each row goes to its place in the input's order."""
        return self == Arrangement(seed=self.seed, pack_length=self.pack_length)
