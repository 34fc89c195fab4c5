"""The causes for which records were refused: each one once, with its count and its first places.

In     refused records, in input order: what is wrong, and the place.
Out    ``Cause``s in the order of their first records, and their texts for messages.
Keeps  memory small: of each cause the first places, of all causes the first ``LISTED``.

Two records have the same cause if their messages are the same but for the numbers in them.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from sftprep.errors import RecordError
from sftprep.text import number

LISTED = 20
"""How many causes are kept."""
PLACES = 3
"""How many places are kept for each cause."""
TOLD = 3
"""How many causes a summary tells."""
NUMBER = re.compile(r"\d[\d,.]*")


@dataclass
class Cause:
    """Why some records were refused."""

    message: str  # about the first of them, with its place
    places: list[str] = field(default_factory=list)  # of the first ``PLACES`` of them
    records: int = 0

    def others(self) -> str:
        """Return a sentence about the other records; "" if there are none.

        >>> Cause("a.jsonl:1: bad", ["a.jsonl:1", "a.jsonl:5", "a.jsonl:9"], 40).others()
        'The same in 39 more records: a.jsonl:5, a.jsonl:9, ...'
        """
        rest = self.records - 1
        if not rest:
            return ""
        named = self.places[1:]
        places = ", ".join([*named, *(["..."] if rest > len(named) else [])])
        return f"The same in {number(rest, 'more record')}: {places}"


class Causes:
    """Collects the causes of a run.

    Attributes:
        not_listed: how many refused records have other causes than those kept.
    """

    def __init__(self) -> None:
        self.not_listed = 0
        self._causes: dict[str, Cause] = {}

    def add(self, error: RecordError, place: str, message: str) -> None:
        """Count a refused record.

        Args:
            error: what is wrong with it.
            place: its place, as ``file:line`` or ``file: row N``.
            message: what to say about it, with its place.
        """
        key = f"{error.reason}: {NUMBER.sub('0', error.problem)}"
        cause = self._causes.get(key)
        if cause is None:
            if len(self._causes) == LISTED:
                self.not_listed += 1
                return
            cause = self._causes[key] = Cause(message)
        cause.records += 1
        if len(cause.places) < PLACES:
            cause.places.append(place)

    def listed(self) -> list[Cause]:
        """Return the causes, in the order of their first records."""
        return [*self._causes.values()]

    def most_frequent(self) -> str:
        """Return lines about the causes with the most records."""
        return "\n".join(most_frequent(self.listed()))

    def state(self) -> dict[str, Any]:
        """Return the causes as plain JSON values."""
        causes = {key: asdict(cause) for key, cause in self._causes.items()}
        return {"listed": causes, "not_listed": self.not_listed}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the ``state`` of an interrupted run."""
        self._causes = {key: Cause(**cause) for key, cause in state["listed"].items()}
        self.not_listed = state["not_listed"]


def most_frequent(causes: Sequence[Cause]) -> list[str]:
    """Return a line about each of the ``TOLD`` causes with the most records."""
    told = sorted(causes, key=lambda cause: -cause.records)[:TOLD]
    return [f"{cause.message}. {cause.others()}".rstrip() for cause in told]
