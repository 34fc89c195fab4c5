"""The table of rules.

To add a rule, write it in the module of its subject, and its name in ``names``.
"""

from itertools import chain

from sftprep.lint import characters, markers, pairs, records, roles, spaces, texts, tokens
from sftprep.lint.names import RULE_NAMES
from sftprep.lint.rule import Rule

_ALL = {
    rule.name: rule
    for rule in chain.from_iterable(
        module.RULES
        for module in (records, roles, spaces, markers, texts, characters, pairs, tokens)
    )
}

RULES: dict[str, Rule] = {name: _ALL[name] for name in RULE_NAMES}
"""All rules by name, in the order of ``RULE_NAMES``."""
