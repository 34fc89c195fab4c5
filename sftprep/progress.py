"""How a run says how far it is."""

from typing import Protocol


class Progress(Protocol):
    """Told how a run goes."""

    def note(self, text: str) -> None:
        """Something the user should know, before the work begins."""
        ...

    def start(self, total: int | None) -> None:
        """The work begins; ``total`` is the input's size in bytes as stored, if it is known."""
        ...

    def advance(self, stored: int, size: int, records: int) -> None:
        """A block is done: bytes taken from storage so far; its own bytes and records."""
        ...


class Silent:
    """Tells nobody."""

    def note(self, text: str) -> None:
        """Say nothing."""

    def start(self, total: int | None) -> None:
        """Say nothing."""

    def advance(self, stored: int, size: int, records: int) -> None:
        """Say nothing."""
