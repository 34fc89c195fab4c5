"""Models' own chat templates with conversations of many kinds, compared with the oracle for chats.

``sweep_chat_templates`` tries more templates from the command line.
"""

from pathlib import Path

import pytest
from sweep_chat_templates import CRASHED, IDS, MASK, ORDER, Pair, try_template

SHARED = Path(__file__).resolve().parents[3] / "shared"
TEMPLATES = sorted((SHARED / "chat_templates").glob("*.jinja"))

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not TEMPLATES, reason="the folder shared is missing"),
]


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_rows_are_those_of_the_oracle(path: Path) -> None:
    """Ids and mask are right, whatever record came before; nothing crashes."""
    pairs = try_template(path, {}, ("joint", "split"), order=True, kept=None)
    assert len(pairs) > 160
    wrong = [
        pair
        for pair in pairs
        if pair.outcome in (MASK, ORDER, CRASHED) or (pair.outcome == IDS and not _is_unknown(pair))
    ]
    assert wrong == []


def _is_unknown(pair: Pair) -> bool:
    """Tell whether the oracle does not know where an answer stands, and so where to split."""
    return any("is not in the final text" in why for why in pair.detail["why"])
