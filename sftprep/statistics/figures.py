"""The figures, as plain values: each class says what its numbers mean.

``Statistics.as_dict`` gives the JSON object that ``sftprep stats --json`` prints. A value is None
(in JSON null) if it is not known, or does not apply.
"""

from dataclasses import asdict, dataclass
from typing import Any

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)


@dataclass(frozen=True)
class Bin:
    """A bar of a histogram: how many rows have a number from ``low`` to ``high``."""

    low: int
    high: int
    count: int


@dataclass(frozen=True)
class Spread:
    """How a number is spread over rows. A percentile is a value that occurs."""

    total: int
    mean: float
    least: int
    most: int
    percentiles: dict[str, int]  # "1" to "99": so many percent of the rows have at most this number
    histogram: list[Bin]


@dataclass(frozen=True)
class Group:
    """The rows of a split, or of one input."""

    name: str
    rows: int
    share_of_tokens: float
    tokens: Spread | None  # None if there is no row
    trained: Spread | None


@dataclass(frozen=True)
class Fate:
    """What a strategy would do with all rows at one limit; ``tokens`` is None if not known.

    The tokens of cut rows that stay count as kept. Shares are those of all rows, or of all tokens.
    """

    kept: int
    cut: int
    dropped: int
    kept_share: float
    cut_share: float
    dropped_share: float
    tokens_kept: int | None
    tokens_cut: int | None
    tokens_dropped: int
    tokens_kept_share: float | None


@dataclass(frozen=True)
class Limit:
    """What would become of the rows with another ``--max-length``."""

    max_length: int
    strategies: dict[str, Fate]  # by ``--truncation``


@dataclass(frozen=True)
class Lengths:
    """The lengths of rows before they are cut, and what other limits would do."""

    rows: int  # those with a known length, also those that the present limit drops
    longest: int
    fits_99: int  # the least ``--max-length`` that 99 % of these rows fit
    unknown: int  # rows that ``oldest-turns`` has shortened: their whole length is not known
    limits: list[Limit]
    limits_of: str  # "input": the whole rows; "rows": the rows as the dataset holds them


@dataclass(frozen=True)
class Losses:
    """What has become of the records."""

    read: int
    examples: int  # as many as records, or more with ``--per-turn``
    written: int  # rows, or documents in packs
    repeated: int  # copies that ``--repeat`` has made, which are among those written
    truncated: int
    truncated_trained: int
    shortened: int
    exchanges_dropped: int
    dropped: dict[str, int]
    rejected: dict[str, int]


@dataclass(frozen=True)
class Packs:
    """The packs, or the padded rows, of one split of a dataset."""

    split: str
    packs: int
    documents: int
    length: int | None  # ``--pack-length``
    efficiency: float  # the share of the tokens of the packs that is no padding and no empty room
    padding: int


@dataclass(frozen=True)
class Packing:
    """What ``--pack`` would give at one ``--pack-length``; a longer row counts as cut to it."""

    pack_length: int
    packs: int
    efficiency: float
    rows_over: int


@dataclass(frozen=True)
class Duplicates:
    """Rows that repeat others; copies that ``--repeat`` has made do not count."""

    rows: int  # those with the text and the trained part of an earlier row
    share: float
    prompts_with_several_answers: int
    rows_of_such_prompts: int


@dataclass(frozen=True)
class Epoch:
    """One pass over the training split."""

    batch_size: int
    rows: int  # packs, if the rows are packed
    steps: int
    tokens: int
    trained_tokens: int
    tokens_per_step: float


@dataclass(frozen=True)
class Shards:
    """The files that hold the rows. Of inputs, what they would be: estimated from some rows."""

    count: int
    bytes: int
    index_bytes: int
    smallest: int | None
    largest: int | None
    estimated: bool


@dataclass(frozen=True)
class Sample:
    """The part of the records that the figures are about."""

    records: int
    of: int
    seed: int


@dataclass(frozen=True)
class Statistics:
    """All figures about a dataset, or about inputs."""

    kind: str  # "dataset" or "inputs"
    name: str  # of the folder, or of the inputs
    template: str
    tokenizer: str
    max_length: int
    truncation: str
    packed: bool
    sample: Sample | None  # None: all records
    losses: Losses
    rows: Group  # all rows
    splits: list[Group]
    sources: list[Group]
    lengths: Lengths
    packs: list[Packs]  # empty if rows are neither packed nor padded
    packing: list[Packing]
    duplicates: Duplicates
    epoch: Epoch
    shards: Shards
    seconds: float | None  # about how long ``prepare`` takes; None of a dataset
    workers: int | None  # with so many worker processes

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, in the form of the JSON object."""
        return asdict(self)
