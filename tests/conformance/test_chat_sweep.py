"""Models' own chat templates with conversations of many kinds, compared with the oracle for chats.

``sweep_chat_templates`` tries more templates from the command line.
"""

from pathlib import Path

import pytest
from sweep_chat_templates import CRASHED, IDS, MASK, ORDER, try_template

SHARED = Path(__file__).resolve().parents[3] / "shared"
TEMPLATES = sorted((SHARED / "chat_templates").glob("*.jinja"))

pytestmark = [
    pytest.mark.conformance,
    pytest.mark.skipif(not TEMPLATES, reason="the folder shared is missing"),
]


@pytest.mark.xfail(strict=False, reason="some rows are still wrong; the sweep lists them")
@pytest.mark.parametrize("boundary", ["joint", "split"])
@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: path.stem)
def test_rows_are_those_of_the_oracle(path: Path, boundary: str) -> None:
    """Ids and mask are right, whatever record came before; nothing crashes."""
    pairs = try_template(path, {}, {"boundary": boundary}, order=True, kept=None)
    assert len(pairs) > 80
    wrong = [pair for pair in pairs if pair.outcome in (IDS, MASK, ORDER, CRASHED)]
    assert wrong == []
