"""What the fields of records are called."""

from collections.abc import Mapping

FIELDS = (
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "system",
    "history",
    "messages",
    "role",
    "content",
    "conversations",
    "from",
    "value",
)
"""The names that ``--field CANONICAL=ACTUAL`` can map."""


OUTPUT_SYNONYMS = ("output", "response", "answer", "target")


class Fields(dict[str, str]):
    """What a record's fields are called: canonical name -> actual name."""

    def __init__(self, renamed: Mapping[str, str] | None = None) -> None:
        super().__init__({name: name for name in FIELDS} | dict(renamed or {}))
        self.renamed = dict(renamed or {})
        self.outputs = (self["output"],) if "output" in self.renamed else OUTPUT_SYNONYMS
