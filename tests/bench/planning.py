"""How long the plan of a large dataset takes, and how much memory.

    python planning.py [--rows 10000000] [--pack-length 4096] [--json]

The lengths are log-normal, around 180 tokens; one row in fifty repeats another. Everything is asked
for, except near duplicates: exact duplicates, a validation and a test split, a sample, repeats, a
shuffle, packs and padding. The columns of all keys are there, whether a step needs them or not.
The peak is that of the whole process, columns and Python included.
"""

import argparse
import json
import resource
import time
from fractions import Fraction
from typing import Any

import numpy as np

from sftprep.arrange.arrange import arrange
from sftprep.arrange.columns import Columns
from sftprep.arrange.options import Arrangement, Dedup, Pad, PadTo, Repeat, Share


def made(rows: int, longest: int) -> Columns:
    """Return the columns of a dataset that resembles a real one."""
    random = np.random.default_rng(1)
    record = random.integers(0, 2**64, rows, np.uint64)
    again = random.integers(0, rows, rows // 50)
    record[again[1:]] = record[again[:-1]]
    sizes = np.exp(random.standard_normal(rows, np.float32) * np.float32(0.9) + np.float32(5.2))
    tokens = np.clip(sizes, 2, longest, out=sizes).astype(np.int32)
    # Equal texts have equal sizes.
    tokens[again[1:]] = tokens[again[:-1]]
    return Columns(
        source=random.integers(0, 20, rows, np.int32),
        tokens=tokens,
        trained=tokens // 2,
        prompt_key=record >> np.uint64(3),
        record_key=record,
        normalized_key=record.copy(),
        normalized_prompt_key=record >> np.uint64(3),
        group_key=record >> np.uint64(6),
    )


def measured(rows: int, pack_length: int) -> dict[str, Any]:
    """Plan once, and return the figures."""
    columns = made(rows, pack_length)
    options = Arrangement(
        dedup=Dedup.EXACT,
        validation=Share(fraction=Fraction(1, 100)),
        test=Share(rows=max(1, rows // 10_000)),
        sample=Share(fraction=Fraction(9, 10)),
        repeat=(Repeat(frozenset({1, 2}), Fraction(5, 2)),),
        shuffle=True,
        pack=True,
        pack_length=pack_length,
        pad=Pad(PadTo.MULTIPLE, 8),
    )
    columns_mib = _peak_mib()
    start, start_cpu = time.monotonic(), time.process_time()
    plan = arrange(columns, options)
    return {
        "rows": rows,
        "seconds": round(time.monotonic() - start, 1),
        "cpu_seconds": round(time.process_time() - start_cpu, 1),
        "columns_mib": columns_mib,
        "peak_mib": _peak_mib(),
        "dropped": plan.facts["dropped"],
        "train": plan.facts["splits"]["train"],
    }


def _peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--pack-length", type=int, default=4096)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measured(given.rows, given.pack_length)
    if given.json:
        print(json.dumps(found))
    else:
        train = found["train"]
        print(
            f"{found['rows']:,} rows planned in {found['seconds']} s, "
            f"{found['cpu_seconds']} s of one core"
        )
        print(f"peak memory {found['peak_mib']} MiB, {found['columns_mib']} MiB before the plan")
        print(f"{train['packs']:,} packs of {given.pack_length}, {train['efficiency']:.4%} full")


if __name__ == "__main__":
    main()
