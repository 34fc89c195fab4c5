"""Colour what the command line writes: labels of messages, and the summary.

In     plain text.
Out    the same text with ANSI codes. Without the codes it is the plain text again.
Never  colours by itself: the caller knows whether the stream takes colours.
"""

import re

RESET = "\x1b[0m"
BOLD, DIM, RED, YELLOW, CYAN = "1", "2", "31", "33", "36"

KINDS = {"error": f"{BOLD};{RED}", "warning": f"{BOLD};{YELLOW}", "note": CYAN}
"""The colour of the label of each kind of message."""
LOST = frozenset({"dropped", "rejected"})
DOUBTFUL = frozenset(
    {
        "truncated", "shortened", "cut", "omitted", "stop", "boundary", "tokens", "separator",
        "history", "leaks",
    }
)  # fmt: skip
"""The labels of the summary's lines that a user should read before a training run."""
LABEL = re.compile(r"^  (\w+)(?=  )", re.MULTILINE)
TITLE = re.compile(r"^(?! )(.+?): ", re.MULTILINE)


def painted(text: str, codes: str) -> str:
    """Return a text between ANSI codes."""
    return f"\x1b[{codes}m{text}{RESET}"


def painted_summary(text: str) -> str:
    """Return a summary in which names of datasets are bold and labels have their colours."""

    def label(found: re.Match[str]) -> str:
        name = found[1]
        codes = RED if name in LOST else YELLOW if name in DOUBTFUL else DIM
        return f"  {painted(name, codes)}"

    return LABEL.sub(label, TITLE.sub(lambda found: painted(found[1], BOLD) + ": ", text))
