"""What was measured against what was aimed at.

In     ``Measured`` cases by name.
Out    a ``Verdict`` for each target: the ratio of the medians (it decides) and of the best runs, or
       why there is none.
Keeps  whole processes on both sides. Where a peer's start-up is more than a tenth of its time,
       a second line leaves that of the peer out, and never sftprep's.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from measure import Measured

Results = Mapping[str, Measured]
Pick = Callable[[list[float]], float]  # one figure of several runs
GIB = 1 << 30


class Verdict(NamedTuple):
    """One target."""

    name: str
    wanted: str
    ratio: float | None  # of medians
    best: float | None  # of the best runs
    met: bool | None
    why_not: str = ""  # measured


@dataclass(frozen=True)
class Target:
    """A ratio of two cases, and its limit.

    Args:
        name: what is compared.
        cases: the two cases.
        ratio: of what was measured of them, by the median or the best of the runs.
        limit: how much it must be at least, or at most.
        startup: whether this leaves out a start-up, and is told only where that matters.
    """

    name: str
    cases: tuple[str, str]
    ratio: Callable[[Measured, Measured, Pick], float]
    limit: float
    at_least: bool = True
    startup: bool = False

    def verdict(self, results: Results) -> Verdict:
        """Judge it."""
        wanted = f"{'>=' if self.at_least else '<='} {self.limit:.3g}"
        missing = [name for name in self.cases if name not in results]
        if missing:
            why = f"{' and '.join(missing)} not measured"
            return Verdict(self.name, wanted, None, None, None, why)
        first, second = (results[name] for name in self.cases)
        ratio = self.ratio(first, second, statistics.median)
        if math.isnan(ratio):
            return Verdict(self.name, wanted, None, None, None, "cannot be measured here")
        best = self.ratio(first, second, min)
        met = ratio >= self.limit if self.at_least else ratio <= self.limit
        return Verdict(self.name, wanted, ratio, best, met)


def rate(case: Measured, pick: Pick, what: str = "seconds") -> float:
    """Bytes of JSONL a second."""
    return case.case.size / pick(case.of(what))


def speed(ours: Measured, theirs: Measured, pick: Pick) -> float:
    """Bytes a second, whole processes."""
    return rate(ours, pick) / rate(theirs, pick)


def speed_at_work(ours: Measured, theirs: Measured, pick: Pick) -> float:
    """Bytes a second, the other's start-up left out."""
    return rate(ours, pick) / rate(theirs, pick, "work")


def time(ours: Measured, theirs: Measured, pick: Pick) -> float:
    """Seconds."""
    return pick(ours.of("seconds")) / pick(theirs.of("seconds"))


def same_texts(ours: Measured, theirs: Measured, pick: Pick) -> float:
    """Records a second, of the same records."""
    return time(theirs, ours, pick)


def memory(ours: Measured, theirs: Measured, _: Pick) -> float:
    """Peak memory; not a number where it could not be measured."""
    return ours.peak / theirs.peak if ours.peak and theirs.peak else math.nan


TRL = "TRL's start-up left out"
TARGETS = (
    Target("1 Parquet : TRL, rate", ("two", "trl"), speed, 60),
    Target(f"1 Parquet : TRL, rate, {TRL}", ("two", "trl"), speed_at_work, 60, startup=True),
    Target("1 Arrow : TRL, rate", ("arrow", "trl"), speed, 80),
    Target(f"1 Arrow : TRL, rate, {TRL}", ("arrow", "trl"), speed_at_work, 80, startup=True),
    Target("2 Parquet : HF encoding alone, rate", ("two", "hf"), speed_at_work, 25),
    Target("3 Parquet : floor, time", ("two", "floor"), time, 1.3, at_least=False),
    Target("4 2 workers : 1 worker, rate", ("two", "one"), speed, 1.8),
    Target("4 10 times the data, time", ("linear", "two"), time, 10.5, at_least=False),
    Target("4 10 times the data, peak memory", ("linear", "two"), memory, 1.1, at_least=False),
    Target("5 --help : import typer, time", ("help", "typer"), time, 2, at_least=False),
    Target("5 100 records : imports, time", ("hundred", "imports"), time, 3, at_least=False),
    Target("6 Chinese : TRL, rate", ("zh", "zh-trl"), speed, 20),
    Target(f"6 Chinese : TRL, rate, {TRL}", ("zh", "zh-trl"), speed_at_work, 20, startup=True),
    Target("6 code : TRL, rate", ("code", "code-trl"), speed, 20),
    Target(f"6 code : TRL, rate, {TRL}", ("code", "code-trl"), speed_at_work, 20, startup=True),
    Target("6 Jinja chat : prompt/completion, rate", ("chat", "pairs"), same_texts, 1 / 3),
)


OURS = {"one", "two", "arrow", "small", "linear", "pairs", "chat", "zh", "code"}
"""The cases whose peak memory is bounded."""


def verdicts(results: Results) -> list[Verdict]:
    """All targets, in order."""
    found = [
        target.verdict(results)
        for target in TARGETS
        if not target.startup or _starts_slowly(results.get(target.cases[1]))
    ]
    return sorted([*found, _peak(results)], key=lambda verdict: verdict.name[0])


def _peak(results: Results) -> Verdict:
    peaks = [m.peak / GIB for m in results.values() if m.case.name in OURS and m.peak]
    name, wanted = "4 peak memory of sftprep, in GiB", "<= 1"
    if not peaks:
        return Verdict(name, wanted, None, None, None, "not measured")
    return Verdict(name, wanted, max(peaks), max(peaks), max(peaks) <= 1)


def _starts_slowly(peer: Measured | None) -> bool:
    """Whether start-up is more than a tenth of the time."""
    if peer is None:
        return False
    return statistics.median(peer.of("startup")) > statistics.median(peer.of("seconds")) / 10
