"""Runs the examples of a Markdown page, as a reader would: block by block, in one folder.

A fenced block is run by its language:

    bash     a script that must succeed; what it prints is not compared
    text     if its first line begins with ``$ ``: commands, each followed by all that it prints.
             A line ``...`` stands for any lines. The lines ``done in ...`` and ``working for ...``
             on stderr, which say how long a run takes, are not shown. A command must succeed,
             unless it prints a line that begins with ``error: ``: then it must fail. (Its exit
             code is not checked if the command itself prints ``$?``.) Other text blocks are only
             illustrations
    python   a script that must succeed. It must print the comments of the lines that begin with
             ``print(``, one line each
    yaml, json, jinja    with ``<!-- file: NAME -->`` before it: the content of that file, which
             later blocks may use. Without that comment: an illustration, which must be valid

``<!-- not run: REASON -->`` before a block says why it is not run. ``<!-- command: run -->`` and
``<!-- command: test -->`` mark the blocks that ``.ci/run`` runs in a fresh environment. Here, only
the last command of the former is run.
"""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

BLOCK = re.compile(
    r"^(?:<!-- (?P<note>.*?) -->\n)?```(?P<language>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
DOTS = re.compile(r"^\.\.\.\n", re.MULTILINE)
TIME = re.compile(r"^(done in|working for) .*\n", re.MULTILINE)
ELSEWHERE = ("not run: ", "command: test")
SECONDS = 300


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    language: str
    note: str  # the comment on the line before it; "" if there is none
    body: str
    start: int  # where the body begins in the page
    line: int  # of the page, counted from 1

    @property
    def is_session(self) -> bool:
        """Tell whether the block shows commands with their output."""
        return self.language == "text" and self.body.startswith("$ ")


@dataclass(frozen=True)
class Command:
    """A command of a session, and what it should print."""

    text: str
    expected: str
    start: int  # where the expected text begins in the page


@dataclass(frozen=True)
class Difference:
    """An example that does not do what the page says."""

    where: str  # page:line
    problem: str
    span: tuple[int, int] | None = None  # the text of the page that is wrong
    found: str = ""  # the text that would be right in its place


def blocks(page: str) -> Iterator[Block]:
    """Yield the fenced blocks of a page in order."""
    for match in BLOCK.finditer(page):
        start = match.start("body")
        line = page.count("\n", 0, start) + 1
        yield Block(match["language"], match["note"] or "", match["body"], start, line)


def commands(block: Block) -> Iterator[Command]:
    """Yield the commands of a session; a line that ends with a backslash continues on the next."""
    for match in re.finditer(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", block.body, re.MULTILINE):
        yield Command(match[1], match[2], block.start + match.start(2))


def matches(expected: str, found: str) -> bool:
    """Tell whether a text is as expected; in it, a line ``...`` stands for any lines."""
    parts = DOTS.split(expected)
    return re.fullmatch("(?:.*\n)*".join(map(re.escape, parts)), found) is not None


class Reader:
    """Tries what a page says, as a reader would.

    Args:
        folder: where everything is run. It gets a link to the sample data, and a ``.venv``
            that holds the program.
        sample_data: the folder of that name.
        program: the command that runs the program.
        python: the command that runs Python.
    """

    def __init__(
        self,
        folder: Path,
        sample_data: Path,
        program: Sequence[str] = ("sftprep",),
        python: Sequence[str] = (sys.executable,),
    ) -> None:
        self._folder = folder / "work"
        self._folder.mkdir()
        (self._folder / "sample_data").symlink_to(sample_data)
        programs = self._folder / ".venv" / "bin"
        programs.mkdir(parents=True)
        for name, command in {"sftprep": program, "python": python}.items():
            script = programs / name
            script.write_text(f'#!/bin/sh\nexec {shlex.join(command)} "$@"\n')
            script.chmod(0o755)
        source = str(sample_data.parent)
        self._environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": os.pathsep.join(
                [source, *filter(None, [os.environ.get("PYTHONPATH", "")])]
            ),
            "HF_HOME": str(folder / "hf"),
            "LC_ALL": "C.UTF-8",
        }
        self._environment.pop("COLUMNS", None)  # help is 80 columns wide without a terminal

    def differences(self, name: str, page: str) -> Iterator[Difference]:
        """Run all examples of a page, and yield each that does not do what the page says."""
        for block in blocks(page):
            where = f"{name}:{block.line}"
            if block.note.startswith(ELSEWHERE):
                continue
            if block.note.startswith("file: "):
                (self._folder / block.note.removeprefix("file: ")).write_text(block.body)
            elif block.note == "command: run":
                last = block.body.rpartition(" && ")[2]
                yield from self._run(["bash", "-c", last], where)
            elif block.is_session:
                for command in commands(block):
                    yield from self._try(command, where)
            elif block.language == "bash":
                yield from self._run(["bash", "-euo", "pipefail", "-c", block.body], where)
            elif block.language == "python":
                yield from self._run_python(block, where)
            elif block.language == "yaml":
                yaml.safe_load(block.body)
            elif block.language == "json":
                for line in block.body.splitlines():
                    json.loads(line)
            elif block.language != "text":
                yield Difference(where, f"a block of the language {block.language!r}")

    def _call(self, command: list[str], stderr: int | None = subprocess.STDOUT) -> tuple[int, str]:
        """Run a command; return its exit code, and what it prints on stdout and perhaps stderr."""
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            timeout=SECONDS,
            check=False,
        )
        return done.returncode, TIME.sub("", done.stdout.decode())

    def _try(self, command: Command, where: str) -> Iterator[Difference]:
        code, found = self._call(["bash", "-c", command.text])
        should_fail = any(line.startswith("error: ") for line in found.splitlines())
        if should_fail != (code != 0) and "$?" not in command.text:
            yield Difference(where, f"$ {command.text}\nexit code {code}\n{found}")
        elif not matches(command.expected, found):
            problem = f"$ {command.text}\n--- the page\n{command.expected}--- printed\n{found}"
            span = command.start, command.start + len(command.expected)
            yield Difference(where, problem, span, found)

    def _run(self, command: list[str], where: str) -> Iterator[Difference]:
        code, found = self._call(command)
        if code:
            yield Difference(where, f"{command[-1]}\nexit code {code}\n{found}")

    def _run_python(self, block: Block, where: str) -> Iterator[Difference]:
        code, found = self._call(["python", "-c", block.body], stderr=None)
        expected = re.findall(r"^ *print\(.*\)  # (.*\n)", block.body, re.MULTILINE)
        if code or found != "".join(expected):
            yield Difference(where, f"{block.body}exit code {code}\n--- printed\n{found}")


def corrected(page: str, differences: list[Difference]) -> str:
    """Return the page with what the commands really print.

    A difference in anything but printed text is not corrected, nor is text in which the page leaves
    out lines with ``...``.
    """
    for difference in sorted(differences, key=lambda d: d.span or (0, 0), reverse=True):
        start, end = difference.span or (0, 0)
        if difference.span and not DOTS.search(page[start:end]):
            page = page[:start] + difference.found + page[end:]
    return page
