"""The speed targets, and whether they are met.

In     ``Measured`` cases by name.
Out    A ``Verdict`` for each target: the ratio of the medians, which decides, and of the best runs;
       or why there is none.
Keeps  The comparison fair: whole processes on both sides. If the start-up of a peer is more than a
       tenth of its time, a second line leaves that start-up out, but never that of sftprep.
"""

import math
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from measure import Measured

Results = Mapping[str, Measured]
Pick = Callable[[list[float]], float]  # picks one figure of several runs
GIB = 1 << 30


class Verdict(NamedTuple):
    """Whether one target is met."""

    name: str
    wanted: str
    ratio: float | None  # of the medians
    best: float | None  # of the best runs
    met: bool | None
    why_not: str = ""  # why it was not measured


@dataclass(frozen=True)
class Target:
    """A ratio of two cases, and its limit.

    Args:
        name: what is compared.
        cases: the two cases.
        ratio: computes the ratio of the two, from the median or the best of their runs.
        limit: the smallest allowed ratio, or the largest.
        at_least: whether the limit is the smallest allowed ratio.
        startup: whether the peer's start-up is left out; then judged only if the start-up is long.
    """

    name: str
    cases: tuple[str, str]
    ratio: Callable[[Measured, Measured, Pick], float]
    limit: float
    at_least: bool = True
    startup: bool = False

    def verdict(self, results: Results) -> Verdict:
        """Compare the two cases."""
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
    """Return bytes of JSONL per second."""
    return case.case.size / pick(case.of(what))


def speed(ours: Measured, theirs: Measured, pick: Pick) -> float:
    """Compare bytes per second, of whole processes."""
    return rate(ours, pick) / rate(theirs, pick)


def speed_at_work(ours: Measured, theirs: Measured, pick: Pick) -> float:
    """Compare bytes per second, without the start-up of the peer."""
    return rate(ours, pick) / rate(theirs, pick, "work")


def time(ours: Measured, theirs: Measured, pick: Pick) -> float:
    """Compare seconds, of whole processes."""
    return pick(ours.of("seconds")) / pick(theirs.of("seconds"))


def same_texts(ours: Measured, theirs: Measured, pick: Pick) -> float:
    """Compare records per second of two cases with the same records."""
    return time(theirs, ours, pick)


def memory(ours: Measured, theirs: Measured, _: Pick) -> float:
    """Compare peak memory; not a number if it could not be measured."""
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
    Target("4 Parquet input : JSONL input, rate", ("table", "two"), same_texts, 0.8),
    Target("5 --help : import typer, time", ("help", "typer"), time, 2, at_least=False),
    Target("5 100 records : imports, time", ("hundred", "imports"), time, 3, at_least=False),
    Target("6 Chinese : TRL, rate", ("zh", "zh-trl"), speed, 20),
    Target(f"6 Chinese : TRL, rate, {TRL}", ("zh", "zh-trl"), speed_at_work, 20, startup=True),
    Target("6 code : TRL, rate", ("code", "code-trl"), speed, 20),
    Target(f"6 code : TRL, rate, {TRL}", ("code", "code-trl"), speed_at_work, 20, startup=True),
    Target("6 Jinja chat : prompt/completion, rate", ("chat", "pairs"), same_texts, 1 / 3),
)


OURS = {"one", "two", "arrow", "table", "small", "linear", "pairs", "chat", "zh", "code"}
"""The cases whose peak memory has a limit."""


def verdicts(results: Results) -> list[Verdict]:
    """Return the verdicts on all targets, in order."""
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
    """Tell whether the start-up is more than a tenth of the time."""
    if peer is None:
        return False
    return statistics.median(peer.of("startup")) > statistics.median(peer.of("seconds")) / 10
