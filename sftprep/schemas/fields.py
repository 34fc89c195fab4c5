"""How the records name things: the schemas, the fields that they read, and the roles.

This module imports nothing heavy, so that options can be checked without loading numpy.
"""

from collections.abc import Iterable, Mapping
from copy import copy

from sftprep.schemas.paths import is_computed, top_fields
from sftprep.schemas.roles import PLAIN_ROLES, role_names

SCHEMA_NAMES = ("prompt-completion", "instruction", "messages", "sharegpt", "text")
"""The values that ``--schema`` takes besides ``auto``, in the order of the help text."""

FIELDS = (
    "prompt",
    "completion",
    "instruction",
    "input",
    "output",
    "system",
    "history",
    "tools",
    "reasoning_content",
    "messages",
    "role",
    "content",
    "conversations",
    "from",
    "value",
    "text",
    "train",
)
"""The canonical field names, which ``--field CANONICAL=ACTUAL`` can rename."""

LOSS_FLAGS = (
    "train",
    "trainable",
    "training",
    "loss",
    "loss_mask",
    "loss_weight",
    "weight",
    "mask",
    "masked",
)
"""The names under which a record or a message says whether it is trained: see ``flags``."""

SYNONYMS = {
    "input": ("input", "context", "Input", "Context"),
    "output": ("output", "response", "answer", "target", "Output", "Response", "Answer", "Target"),
    "system": ("system", "system_prompt", "system_message", "System"),
    "tools": ("tools", "functions"),
    "reasoning_content": ("reasoning_content", "reasoning", "thinking"),
    "train": LOSS_FLAGS,
}
"""Canonical field -> the names that are read unless ``--field`` gives its name."""


class Fields(dict[str, str]):
    """Maps each canonical field name to the name that the records use.

    Args:
        renamed: the names that differ, as ``--field`` gives them.
        roles: name -> role, as ``--role`` gives them.
        merge_turns: whether consecutive messages of one role are to become one.
        last_roles: the roles of the messages that may come last, because they are trained.
        cuts_end: whether the messages after the last one of these roles are left out.
        others: the paths of fields that are read beside those of the schemas.

    Attributes:
        renamed: the argument.
        roles: what each name of a role means, synonyms included.
        plain_roles: the same for the roles that built-in and YAML templates know.
        merge_turns: the argument.
        last_roles: the argument.
        cuts_end: the argument.
        computed: the values of ``renamed`` that are paths (``data.question``) or texts with several
            fields (``{title}: {body}``), not names.
        others: the names of the fields that are read beside those of the schemas.
    """

    def __init__(
        self,
        renamed: Mapping[str, str] | None = None,
        *,
        roles: Mapping[str, str] | None = None,
        merge_turns: bool = False,
        last_roles: frozenset[str] = frozenset({"assistant"}),
        cuts_end: bool = False,
        others: Iterable[str] = (),
    ) -> None:
        self.renamed = dict(renamed or {})
        super().__init__({name: name for name in FIELDS} | self.renamed)
        self.roles = role_names(roles)
        self.plain_roles = {
            name: PLAIN_ROLES[role] for name, role in self.roles.items() if role in PLAIN_ROLES
        }
        self.merge_turns = merge_turns
        self.last_roles = last_roles
        self.cuts_end = cuts_end
        self.others = frozenset(top_fields(others))
        self.computed = tuple(name for name in self.renamed.values() if is_computed(name))

    def names(self, canonical: str) -> tuple[str, ...]:
        """Return the names under which a record may hold a field, the preferred one first."""
        if canonical == "train" and canonical in self.renamed:
            return (self[canonical], *LOSS_FLAGS)  # a message's own flags have their usual names
        if canonical in self.renamed or canonical not in SYNONYMS:
            return (self[canonical],)
        return SYNONYMS[canonical]

    def with_names(self, names: Mapping[str, str]) -> "Fields":
        """Return a copy in which these fields have these names, unless ``--field`` names them."""
        changed = copy(self)
        changed.update({name: actual for name, actual in names.items() if name not in self.renamed})
        return changed
