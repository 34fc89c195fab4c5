"""The names of the schemas and of the fields that they read.

This module imports nothing else of sftprep, so that options can be checked without loading numpy.
"""

from collections.abc import Mapping

SCHEMA_NAMES = ("prompt-completion", "instruction", "messages", "sharegpt")
"""The values that ``--schema`` takes besides ``auto``, in the order of the help text."""

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
"""The canonical field names, which ``--field CANONICAL=ACTUAL`` can rename."""

OUTPUT_SYNONYMS = ("output", "response", "answer", "target")
"""Names that instruction datasets use for the output. The first that a record has is read."""


class Fields(dict[str, str]):
    """Maps each canonical field name to the name that the records use.

    Args:
        renamed: the names that differ, as ``--field`` gives them.

    Attributes:
        outputs: the names under which an instruction record may hold its output. The synonyms are
            accepted only if ``--field`` does not name the output.
    """

    def __init__(self, renamed: Mapping[str, str] | None = None) -> None:
        renamed = dict(renamed or {})
        super().__init__({name: name for name in FIELDS} | renamed)
        self.outputs = (renamed["output"],) if "output" in renamed else OUTPUT_SYNONYMS
