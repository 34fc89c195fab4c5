"""Running the commands that show something."""

from pathlib import Path

from typer.testing import CliRunner, Result

from sftprep.cli.app import app

LEGEND = (
    "⟦trained⟧, all else not trained; · between tokens, but not inside a character; ↵ newline\n"
)
"""The line that explains the marks of output without colour."""


def run(*arguments: str | Path, stdin: bytes | None = None) -> Result:
    """Run ``sftprep`` in this process; its output goes to no terminal."""
    return CliRunner().invoke(app, list(map(str, arguments)), input=stdin, catch_exceptions=False)
