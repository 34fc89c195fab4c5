"""Show the progress of a run on stderr.

In     notes before the work begins; then, after each block, how much was read and processed.
Out    a bar with records, MB/s and time left if stderr is a terminal; else a line every
       ``HEARTBEAT`` seconds, so that the log of a long run shows that it lives. Notes and warnings
       in any case. ``Quiet`` shows warnings only.
Never  writes to stdout.
"""

import contextlib
import os
import sys
import threading
import time
from typing import Any

from sftprep.cli.terminal import say, say_below
from sftprep.progress import Silent
from sftprep.text import ascii_safe, duration

HEARTBEAT = 30.0
"""How many seconds pass between two lines about a run whose stderr is no terminal."""


class Quiet(Silent):
    """Shows warnings and nothing else."""

    def warn(self, text: str) -> None:
        """Write a warning to stderr."""
        say(ascii_safe(text), "warning")


class Bar:
    """A tqdm bar that shows records, MB/s and the time left, or a line every ``HEARTBEAT`` seconds.

    Args:
        shown: whether to show the bar; notes are written in any case.
    """

    def __init__(self, *, shown: bool) -> None:
        self._shown = shown
        self._total: int | None = None
        self._stored = 0
        self._closed = threading.Event()
        self._bar: Any = None
        self._records = 0
        self._bytes = 0
        self._began = 0.0

    def note(self, text: str) -> None:
        """Write a note to stderr."""
        say(ascii_safe(text), "note")

    def warn(self, text: str) -> None:
        """Write a warning to stderr."""
        say(ascii_safe(text), "warning")

    def start(self, total: int | None) -> None:
        """Show the bar, or begin to write lines."""
        from tqdm import tqdm

        self._began = time.monotonic()
        self._total = total
        if self._shown:
            say_below(self.close)
        else:
            threading.Thread(target=self._beat, daemon=True).start()
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
        self._stored = stored
        rate = self._bytes / 1e6 / max(time.monotonic() - self._began, 1e-3)
        self._bar.set_postfix_str(f"{self._records:,} records, {rate:.1f} MB/s", refresh=False)
        self._bar.update(stored - self._bar.n)

    def close(self) -> None:
        """Leave the bar as it is, or end the lines."""
        self._closed.set()
        say_below(None)
        if self._bar is not None:
            self._bar.close()

    def _beat(self) -> None:
        """Write a line about the run every ``HEARTBEAT`` seconds, until it is closed."""
        while not self._closed.wait(HEARTBEAT):
            # Not with print: a process that is forked at this moment would inherit its lock.
            with contextlib.suppress(OSError):
                os.write(sys.stderr.fileno(), f"{self._state()}\n".encode())

    def _state(self) -> str:
        """Return how far the run is, in words."""
        seconds = time.monotonic() - self._began
        share = f" ({self._stored / self._total:.0%} of the input)" if self._total else ""
        return (
            f"working for {duration(seconds)}: {self._records:,} records{share}, "
            f"{self._bytes / 1e6 / seconds:.1f} MB/s"
        )
