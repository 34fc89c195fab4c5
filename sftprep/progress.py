"""The interface through which a run reports its progress."""

from typing import Protocol


class Progress(Protocol):
    """Receives reports from a run; a progress bar implements it."""

    def note(self, text: str) -> None:
        """Show something that the user should know before the work begins."""
        ...

    def warn(self, text: str) -> None:
        """Show something that the user must know, even one who asked for silence."""
        ...

    def start(self, total: int | None) -> None:
        """Begin; ``total`` is the size of the input in bytes as stored, or None if unknown."""
        ...

    def advance(self, stored: int, size: int, records: int) -> None:
        """Report that a block is done.

        Args:
            stored: bytes read from storage since the start.
            size: uncompressed bytes in this block.
            records: records in this block.
        """
        ...


class Silent:
    """A ``Progress`` that shows nothing."""

    def note(self, text: str) -> None:
        """Ignore the note."""

    def warn(self, text: str) -> None:
        """Ignore the warning."""

    def start(self, total: int | None) -> None:
        """Ignore the start."""

    def advance(self, stored: int, size: int, records: int) -> None:
        """Ignore the report."""
