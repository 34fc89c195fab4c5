"""Measure the speed of sftprep and of other tools, and tell which targets are met.

    python tests/bench/speed.py --data ../shared/data/t0_20k.jsonl.zst --tokenizer FOLDER \
        --zh ../shared/data/lf_alpaca_zh_demo.json --linear --peers-python PYTHON --json FILE

It writes its data to a temporary folder (about 0.7 GB with the results, 5 GB with --linear), runs
each command as whole processes, all cases in turn, round after round, so that a disturbance affects
all of them; then it prints a table and the targets. The machine must be idle, and should have 2
cores.

A first pass fills the file cache and measures peak memory; its time does not count. sftprep runs
with its default options and a filled tokenizer cache; one case has an empty cache. TRL runs in
--peers-python, where it can have its own versions; if TRL is not installed there, its lines say so.
Repeated texts favour encoders that cache words, which all encoders here do.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from cases import Cases, Group, Place, make_data, peers
from measure import Measured, peak_memory, run
from targets import Results, Verdict, rate, verdicts

SAMPLES = Path(__file__).resolve().parents[2] / "sample_data"
LIBRARIES = ("sftprep", "gigatoken", "tokenizers", "orjson", "pyarrow", "numpy")
HEADINGS = (
    "", "x TRL", "MB/s", "records/s", "tokens/s", "MB", "seconds", "best", "start-up",
    "peak MB", "written MB",
)  # fmt: skip


def measure(groups: list[Group], rounds: int) -> Results:
    """Run every case: once for memory, then ``rounds`` times."""
    results = {case.name: Measured(case) for group in groups for case in group.cases}
    for case in (case for group in groups if group.memory for case in group.cases):
        results[case.name].peak = peak_memory(case)
        print(f"  memory: {case.name} {_millions(results[case.name].peak)} MB", file=sys.stderr)
    for number in range(rounds):
        for case in (c for group in groups for _ in range(group.times) for c in group.cases):
            ran = run(case)
            results[case.name].runs.append(ran)
            print(f"  round {number + 1}: {case.name} {ran.seconds:.2f} s", file=sys.stderr)
    return results


def rows(results: Results) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table of cases."""
    trl = {m.case.kind: m for m in results.values() if m.case.name in ("trl", "zh-trl", "code-trl")}
    for measured in results.values():
        case, last = measured.case, measured.runs[-1]
        seconds, startup = statistics.median(measured.of("seconds")), measured.of("startup")
        peer = trl.get(case.kind)
        median = statistics.median
        yield (
            case.title,
            f"{rate(measured, median) / rate(peer, median):.1f}" if peer else "",
            f"{case.size / seconds / 1e6:.2f}" if case.size else "",
            f"{last.records / seconds:,.0f}" if last.records else "",
            f"{last.tokens / seconds:,.0f}" if last.tokens else "",
            f"{case.size / 1e6:.1f}" if case.size else "",
            f"{seconds:.2f}",
            f"{min(measured.of('seconds')):.2f}",
            f"{median(startup):.2f}" if startup else "",
            _millions(measured.peak),
            f"{last.output / 1e6:.1f}" if last.output else "",
        )


def _millions(size: int | None) -> str:
    return f"{size / 1e6:.0f}" if size else ""


def verdict_rows(found: list[Verdict]) -> Iterator[tuple[str, ...]]:
    """Yield the lines of the table of targets."""
    for verdict in found:
        if verdict.ratio is None or verdict.best is None:
            yield (verdict.name, "", "", verdict.wanted, verdict.why_not)
        else:
            met = "met" if verdict.met else "NOT MET"
            yield (verdict.name, f"{verdict.ratio:.2f}", f"{verdict.best:.2f}", verdict.wanted, met)


def table(headings: tuple[str, ...], lines: Iterator[tuple[str, ...]]) -> str:
    """Return a Markdown table with aligned columns."""
    cells = [headings, *lines]
    widths = [max(3, *(len(line[i]) for line in cells)) for i in range(len(headings))]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    cells.insert(1, tuple(rule))
    return "\n".join(
        f"| {line[0]:{widths[0]}} | "
        + " | ".join(f"{c:>{w}}" for c, w in zip(line[1:], widths[1:], strict=True))
        + " |"
        for line in cells
    )


def facts(results: Results, found: list[Verdict]) -> dict[str, Any]:
    """Return all figures as plain data, for JSON."""
    return {
        "cases": {
            name: {
                "title": m.case.title,
                "bytes": m.case.size,
                "peak_bytes": m.peak,
                "runs": [ran._asdict() for ran in m.runs],
            }
            for name, m in results.items()
        },
        "targets": [verdict._asdict() for verdict in found],
    }


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    data = SAMPLES / "prompt_completion.jsonl"
    parser.add_argument("--data", type=Path, default=data, help="prompt/completion JSONL")
    parser.add_argument("--zh", type=Path, help="Chinese: instruction, input, output")
    parser.add_argument("--tokenizer", type=Path, action="append", help="a folder; repeatable")
    parser.add_argument("--mb", type=float, default=300, help="the large set (default 300)")
    parser.add_argument("--side-mb", type=float, default=40, help="chat, code, zh (default 40)")
    parser.add_argument("--linear", action="store_true", help="also 10 times --mb")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", help="these cases: trl,hf,floor,one,two,arrow,small,cold,...")
    parser.add_argument("--peers-python", default=sys.executable, help="where TRL is installed")
    parser.add_argument("--json", type=Path, help="write all figures to a file")
    return parser.parse_args()


def chosen(groups: list[Group], only: str | None) -> list[Group]:
    """Return the groups with the cases that ``--only`` names."""
    if not only:
        return groups
    names = set(only.split(","))
    known = {case.name for group in groups for case in group.cases}
    if names - known:
        sys.exit(
            f"--only {','.join(sorted(names - known))}: the cases are {', '.join(sorted(known))}"
        )
    return [
        Group([case for case in group.cases if case.name in names], group.times, group.memory)
        for group in groups
    ]


def main() -> None:
    """Measure, then print and write the figures."""
    options = arguments()
    versions = peers(options.peers_python)
    cores, busy = os.cpu_count(), os.getloadavg()[0]
    ours = {name: version(name) for name in LIBRARIES}
    about = ", ".join(f"{name} {found}" for name, found in ours.items())
    there = ", ".join(f"{name} {found}" for name, found in versions.items())
    print(f"{cores} cores, Python {platform.python_version()}, {about}")
    print(f"peers: {there or 'TRL is not installed in --peers-python'}")
    if busy > 0.3:
        print(
            f"the machine is not idle (its load is {busy:.1f}): the figures mean little", flush=True
        )
    report: dict[str, Any] = {"cores": cores, "load": busy, "versions": ours, "peers": versions}
    report["tokenizers"] = {}
    with tempfile.TemporaryDirectory() as name:
        place = Place(Path(name))
        make_data(
            place, options.data, megabytes=options.mb, side=options.side_mb,
            linear=options.linear, zh=options.zh,
        )  # fmt: skip
        for tokenizer in options.tokenizer or [SAMPLES / "tokenizer"]:
            cases = Cases(place, tokenizer.resolve(), options.peers_python if versions else None)
            cases.warm_up()
            results = measure(chosen(cases.groups(), options.only), options.rounds)
            found = verdicts(results)
            report["tokenizers"][tokenizer.name] = facts(results, found)
            print(f"\nTokenizer {tokenizer.name}\n\n{table(HEADINGS, rows(results))}\n")
            print(table(("target", "ratio", "best", "wanted", ""), verdict_rows(found)), flush=True)
    if options.json:
        options.json.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
