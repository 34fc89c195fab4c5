"""Show the progress of a run on stderr.

In     notes before the work begins; then, after each block, how much was read and processed.
Out    a bar with records, MB/s and time left if stderr is a terminal; notes and warnings in any
       case. ``Quiet`` shows warnings only.
Never  writes to stdout.
"""

import contextlib
import sys
import time
from typing import Any

from sftprep.progress import Silent
from sftprep.text import ascii_safe


def _write(text: str) -> None:
    """Write a line to stderr, if that is possible."""
    with contextlib.suppress(OSError):
        print(ascii_safe(text), file=sys.stderr)


class Quiet(Silent):
    """Shows warnings and nothing else."""

    def warn(self, text: str) -> None:
        """Write a warning to stderr."""
        _write(f"warning: {text}")


class Bar:
    """A tqdm bar that shows records, MB/s and the time left.

    Args:
        shown: whether to show the bar; notes are written in any case.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._bar: Any = None
        self._records = 0
        self._bytes = 0
        self._began = 0.0

    def note(self, text: str) -> None:
        """Write a note to stderr."""
        _write(f"note: {text}")

    def warn(self, text: str) -> None:
        """Write a warning to stderr."""
        _write(f"warning: {text}")

    def start(self, total: int | None) -> None:
        """Show the bar."""
        from tqdm import tqdm

        self._began = time.monotonic()
        self._bar = tqdm(
            total=total,
            unit="B",
            unit_scale=True,
            disable=not self._shown,
            file=sys.stderr,
            dynamic_ncols=True,
            bar_format="{desc}{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} "
            "[{elapsed}<{remaining}]{postfix}"
            if total
            else None,
        )

    def advance(self, stored: int, size: int, records: int) -> None:
        """Move the bar by one block."""
        self._records += records
        self._bytes += size
        rate = self._bytes / 1e6 / max(time.monotonic() - self._began, 1e-3)
        self._bar.set_postfix_str(f"{self._records:,} records, {rate:.1f} MB/s", refresh=False)
        self._bar.update(stored - self._bar.n)

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
