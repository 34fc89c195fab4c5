"""Draw the README's picture: what ``sftprep preview`` prints on a terminal with colours.

    python .github/make_preview.py

runs the program in this clone and writes ``preview.svg`` beside this file. The same output gives
the same bytes. ``tests/docs/test_picture.py`` fails when the program prints something else.
"""

import os
import pty
import re
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from html import escape
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PICTURE = Path(__file__).with_name("preview.svg")
COMMAND = (
    "sed -n 5p sample_data/messages.jsonl | "
    "sftprep preview - --template chatml --tokenizer sample_data/tokenizer"
)
"""The record is a chat whose first answer is not to be trained."""

COLUMNS = 96  # longer lines are wrapped, as a terminal does
CELL, LINE, MARGIN, SIZE = 8.4, 20, 20, 14  # pixels: a column, a line, the frame, the font
FRAME, TEXT, GREY, GREEN = "#0d1117", "#e6edf3", "#848d97", "#56d364"
FONTS = "ui-monospace, 'SFMono-Regular', Menlo, Consolas, 'DejaVu Sans Mono', monospace"
CODES = re.compile(r"\x1b\[([\d;]*)m")


class Cell(NamedTuple):
    """A character and the ANSI codes that are in force there."""

    character: str
    codes: frozenset[str]

    @property
    def columns(self) -> int:
        """How many columns the character takes: Chinese characters take two."""
        return 2 if unicodedata.east_asian_width(self.character) in "WF" else 1


def coloured_output() -> str:
    """Run ``COMMAND`` on a terminal, and return what it prints, ANSI codes and all."""
    here = f'"{sys.executable}" -m sftprep'
    ours, its = pty.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    environment["COLUMNS"] = str(COLUMNS)
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        ["bash", "-c", COMMAND.replace("sftprep", here, 1)], stdout=its, cwd=ROOT, env=environment
    ) as process:
        os.close(its)
        output = b"".join(_read(ours))
    os.close(ours)
    if process.returncode:
        raise SystemExit(f"{COMMAND}: exit code {process.returncode}")
    return output.decode().replace("\r\n", "\n")


def _read(terminal: int) -> Iterator[bytes]:
    try:
        while data := os.read(terminal, 1 << 16):
            yield data
    except OSError:  # Linux says so that the other side was closed
        return


def plain(output: str) -> str:
    """Return the output without its ANSI codes."""
    return CODES.sub("", output)


def cells(line: str) -> list[Cell]:
    """Return the characters of a line with their codes."""
    found: list[Cell] = []
    codes: frozenset[str] = frozenset()
    for index, part in enumerate(CODES.split(line)):
        if index % 2:
            codes = frozenset(part.split(";")) - {"0", ""}
        else:
            found += [Cell(character, codes) for character in part]
    return found


def wrapped(line: list[Cell]) -> list[list[Cell]]:
    """Return the lines that a terminal of ``COLUMNS`` columns makes of one."""
    lines: list[list[Cell]] = [[]]
    column = 0
    for cell in line:
        if column + cell.columns > COLUMNS:
            lines.append([])
            column = 0
        lines[-1].append(cell)
        column += cell.columns
    return lines


def drawn(line: list[Cell], y: int, *, continued: bool) -> str:
    """Return one line: a text for each run of equal style, after the background of a control token.

    Every text has its own place and width, so that columns stay straight in any font.
    """
    elements = []
    column = 0
    for codes, group in groupby(line, lambda cell: cell.codes):
        run = list(group)
        width = sum(cell.columns for cell in run)
        colour = GREEN if "32" in codes else GREY if "2" in codes else TEXT
        x, length = f"{MARGIN + column * CELL:.1f}", f"{width * CELL:.1f}"
        if "7" in codes:  # reverse video: control tokens
            elements.append(
                f'<rect x="{x}" y="{y - 15}" width="{length}" height="{LINE}" fill="{colour}"/>'
            )
        style = f'fill="{FRAME if "7" in codes else colour}"'
        style += ' font-weight="bold"' if "1" in codes else ""
        style += ' text-decoration="underline"' if "4" in codes else ""
        text = escape("".join(cell.character for cell in run), quote=False)
        elements.append(f'<text x="{x}" y="{y}" textLength="{length}" {style}>{text}</text>')
        column += width
    return f'<g class="{"continued" if continued else "line"}">{"".join(elements)}</g>'


def svg(output: str) -> str:
    """Return the picture of a terminal that shows the command and its output."""
    elements: list[str] = []
    y = MARGIN
    for line in [f"\x1b[1m$ {COMMAND}\x1b[0m", *output.rstrip("\n").split("\n")]:
        for index, row in enumerate(wrapped(cells(line))):
            y += LINE
            elements.append(drawn(row, y, continued=index > 0))
    width, height = round(2 * MARGIN + COLUMNS * CELL), y + MARGIN
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
            f'width="{width}" height="{height}" font-family="{FONTS}" font-size="{SIZE}" '
            'xml:space="preserve">',
            "<style>text {white-space: pre}</style>",  # browsers no longer know xml:space
            "<title>sftprep preview: trained tokens are green, the others grey</title>",
            f'<rect width="{width}" height="{height}" rx="10" fill="{FRAME}"/>',
            *elements,
            "</svg>\n",
        ]
    )


if __name__ == "__main__":
    PICTURE.write_text(svg(coloured_output()), encoding="utf-8")
