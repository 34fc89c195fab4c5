"""The manual: the pages in ``sftprep/docs``, one Markdown file per topic, shipped with the package.

In     the name of a topic, or None for the list of topics.
Out    the page for a terminal, or the list: one line per topic.
Keeps  one source for each fact: ``index.md`` lists the topics and gives their order; the first
       line of each page, ``# Title: description``, says what the topic is about.
Raises UsageError: the manual has no such topic.
"""

import io
import re
import shutil
from pathlib import Path

from sftprep.errors import UsageError
from sftprep.text import did_you_mean, shown

FOLDER = Path(__file__).parent.parent / "docs"
MOST_COLUMNS = 100
"""Lines are not made longer than this on a wider terminal, because they would be hard to read."""

COMMENT = re.compile(r"^<!--.*?-->\n", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[([^\]]+)\]\(([a-z-]+)\.md\)")


def topics() -> dict[str, str]:
    """Return the description of each topic by its name, in the order of the manual."""
    names = [match[2] for match in LINK.finditer(_read("index"))]
    return {name: _read(name).split("\n", 1)[0].partition(": ")[2] for name in names}


def manual_page(topic: str | None, *, colour: bool) -> str:
    """Return a page of the manual, or the list of topics.

    Args:
        topic: a name from ``topics()``; None for the list.
        colour: True if the text goes to a terminal that shows colours; the page is then laid out
            for the terminal's width. If False, the text is the Markdown of the page.

    Raises:
        UsageError: the manual has no such topic.
    """
    known = topics()
    if topic is None:
        return _list(known)
    if topic not in known:
        hint = did_you_mean(topic, known, f"Choose {', '.join(known)}.")
        raise UsageError(f"the manual has no topic {shown(topic)}. {hint}")
    text = LINK.sub(r"\1 (`sftprep help \2`)", COMMENT.sub("", _read(topic))).strip()
    return _laid_out(text) if colour else text


def _list(known: dict[str, str]) -> str:
    width = max(map(len, known))
    lines = [f"  {name:<{width}}  {description}" for name, description in known.items()]
    return "\n".join(["The manual:", "", *lines, "", "sftprep help TOPIC shows a page."])


def _read(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def _laid_out(text: str) -> str:
    """Return Markdown as text with ANSI codes, wrapped to the terminal's width."""
    from rich.console import Console
    from rich.markdown import Markdown

    width = min(shutil.get_terminal_size().columns, MOST_COLUMNS)
    console = Console(file=io.StringIO(), force_terminal=True, width=width, legacy_windows=False)
    with console.capture() as capture:
        console.print(Markdown(text, code_theme="ansi_dark"))
    return "\n".join(line.rstrip() for line in capture.get().rstrip().split("\n"))
