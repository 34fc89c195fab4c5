"""Write a copy of a file of JSON Lines in which all that is certain is corrected.

In     the source, its shape, and the corrections for what was found in it.
Out    the copy; beside it ``NAME.changes``, with a line for each change: place, rule, before and
       after.
Keeps  every byte but those of the corrected strings. Each line that was changed is parsed again,
       and must hold what it held before, with only these strings replaced.
Never  overwrites a file, and leaves no file behind if it fails.
Raises UsageError: the input is not one plain file of JSON Lines. OutputError: a file exists
       already, or cannot be created.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sftprep.data.block import Block, Source
from sftprep.data.conversation import WHOLE, Record
from sftprep.errors import InternalError, OutputError, RecordError, UsageError
from sftprep.lint.fixes import Fix, fixed
from sftprep.lint.json_edit import Path as JsonPath
from sftprep.lint.json_edit import with_strings
from sftprep.linter import Reader
from sftprep.reading.json_lines import parse_line
from sftprep.reading.sources import STDIN
from sftprep.schemas.fields import Fields
from sftprep.schemas.normalizer import conversation_normalizer
from sftprep.schemas.shapes import LIST_SCHEMAS, Shape
from sftprep.schemas.table import EXCHANGES
from sftprep.text import ascii_safe, quoted

MARK = b"\xef\xbb\xbf"
CONTEXT = 16
"""How many characters of a text a line of the changes shows around what was changed."""
ONLY = "--write-fixed writes a copy of one plain file of JSON Lines"


@dataclass(frozen=True)
class FixedCopy:
    """What was written."""

    path: str
    records: int  # how many were changed
    changes: dict[str, int]  # rule -> how many texts it has changed


def check_target(path: str, sources: Sequence[Source]) -> None:
    """Refuse, before any work, a copy that cannot be written.

    Raises:
        UsageError: the input is not one file.
        OutputError: the copy, or its list of changes, exists already.
    """
    if len(sources) != 1 or sources[0].path == STDIN or sources[0].member:
        what = "standard input" if sources[0].path == STDIN else "a member of an archive"
        found = f"{len(sources)} inputs" if len(sources) != 1 else what
        raise UsageError(f"{ONLY}; found {found}. Name one file.")
    for name in (path, changes_of(path)):
        if os.path.lexists(name):
            raise OutputError(f"{ascii_safe(name)}: exists already. Name another file.")


def changes_of(path: str) -> str:
    """Return the name of the list of changes."""
    return f"{path}.changes"


class Copier:
    """Writes a corrected copy.

    Args:
        source: the file.
        fields: the names that the data uses.
        first: the first block of the file, with its schema.
    """

    def __init__(self, source: Source, fields: Fields, first: Block) -> None:
        self._source = source
        self._fields = fields
        self._reader = Reader(first.schema, fields)
        self._texts = _Texts(first.schema, fields)
        self._check_is_plain(first)

    def _check_is_plain(self, first: Block) -> None:
        with Path(self._source.path).open("rb") as file:
            file.seek(first.offset)
            start = file.read(len(MARK) + len(first.data)).removeprefix(MARK)
        is_plain = first.rows is None and first.elements is None and start.startswith(first.data)
        if not is_plain:
            name = ascii_safe(self._source.path)
            raise UsageError(f"{ONLY}; {name} is in another format. Convert or unpack it first.")
        if self._fields.computed:
            raise UsageError(
                f"{ONLY}, and cannot write into the paths and joined fields that --field names. "
                "Leave the option out, or give the records plain fields."
            )

    def write(self, path: str, fixes: Sequence[Fix]) -> FixedCopy:
        """Write the copy and the list of its changes.

        Args:
            path: the file to create.
            fixes: the corrections to make.
        """
        counts: dict[str, int] = {}
        changed = 0
        with (
            _NewFiles((path, changes_of(path))) as (copy, listed),
            Path(self._source.path).open("rb") as file,
        ):
            for number, line in enumerate(file, 1):
                new, changes = self._line(line, fixes, is_first=number == 1)
                copy.write(new)
                changed += bool(changes)
                for place, rule, before, after in changes:
                    counts[rule] = counts.get(rule, 0) + 1
                    where = f"{self._source.name}:{number}"
                    words = f"{where}\t{place}\t{rule}\t{_difference(before, after)}\n"
                    listed.write(words.encode("utf-8", "backslashreplace"))
        return FixedCopy(path, changed, counts)

    def _line(
        self, line: bytes, fixes: Sequence[Fix], *, is_first: bool
    ) -> tuple[bytes, list[tuple[str, str, str, str]]]:
        """Return a line as it is written, and its changes: place, rule, before and after."""
        mark = MARK if is_first and line.startswith(MARK) else b""
        body = line.removeprefix(mark).removesuffix(b"\n")
        try:
            record = parse_line(body)
        except RecordError:  # it was reported; it is copied as it is
            return line, []
        if not self._reader.takes(record):
            return line, []
        values: dict[JsonPath, str] = {}
        changes: list[tuple[str, str, str, str]] = []
        for path, role, text in self._texts.of(record):
            new, found = fixed(text, role, fixes, is_exchange=self._texts.is_exchange)
            if found:
                values[path] = new
                place = _in_words(path)
                changes += [(place, *change) for change in found]
        if not values:
            return line, []
        written = with_strings(body, values)
        if parse_line(written) != _replaced(record, values):
            raise InternalError(
                f"{self._source.path}: a correction has changed more than it should. Nothing was "
                "written."
            )
        return mark + written + line[len(mark) + len(body) :], changes


class _Texts:
    """Finds the texts of records, with their paths and roles.

    Texts in other forms, such as a history of pairs, are not found; they stay as they are.
    """

    def __init__(self, schema: str, fields: Fields) -> None:
        shape = conversation_normalizer(schema, fields).shape
        self.is_exchange = shape is not None and shape.schema in EXCHANGES
        self._names: dict[str, str] = {}  # field -> role
        self._list: tuple[str, str, str] | None = None
        self._roles = fields.roles
        if shape is not None:
            self._understand(shape, shape.fields(fields))

    def _understand(self, shape: Shape, names: Fields) -> None:
        if shape.schema in LIST_SCHEMAS:
            field, role, text = (names[name] for name in LIST_SCHEMAS[shape.schema])
            self._list = (field, role, text)
        else:
            asked = dict.fromkeys((names["prompt"], names["instruction"]), "user")
            said = dict.fromkeys((names["completion"], *names.names("output")), "assistant")
            self._names = {**asked, **said}
            if shape.schema == "text":
                self._names = {names["text"]: "assistant"}
            self._names |= dict.fromkeys(names.names("input"), "input")
        self._names |= dict.fromkeys(names.names("system"), "system")

    def of(self, record: Record) -> Iterator[tuple[JsonPath, str, str]]:
        """Yield the path, the role and the text of each text of a record."""
        for name, role in self._names.items():
            value = record.get(name)
            if isinstance(value, str):
                yield (name,), role, value
            elif isinstance(value, list) and self._list is None:
                yield from self._of_list(value, (name,), "role", "content")
        if self._list is not None:
            field, role_name, text_name = self._list
            value = record.get(field)
            if isinstance(value, list):
                prefix = () if field == WHOLE else (field,)
                yield from self._of_list(value, prefix, role_name, text_name)

    def _of_list(
        self, turns: list[Any], prefix: JsonPath, role_name: str, text_name: str
    ) -> Iterator[tuple[JsonPath, str, str]]:
        for index, turn in enumerate(turns):
            if not isinstance(turn, dict):
                continue
            role = self._roles.get(str(turn.get(role_name)), "")
            role = "system" if role == "developer" else role
            content = turn.get(text_name)
            path = (*prefix, index, text_name)
            if isinstance(content, str):
                yield path, role, content
            elif isinstance(content, list) and len(content) == 1 and isinstance(content[0], dict):
                # The ends of several parts are not those of the text.
                for key in ("text", "value"):
                    if isinstance(content[0].get(key), str) and content[0].get("type") == "text":
                        yield (*path, 0, key), role, content[0][key]


def _replaced(record: Record, values: Mapping[JsonPath, str]) -> Record:
    """Return a copy of a record with other strings at these paths."""
    made = deepcopy(record)
    for path, value in values.items():
        inner: Any = made[WHOLE] if WHOLE in made and path[0] not in made else made
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
    return made


def _in_words(path: JsonPath) -> str:
    """Return a path as messages write it, such as ``messages[2].content``."""
    words = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return ascii_safe(words.removeprefix("."))


def _difference(before: str, after: str) -> str:
    """Return what was changed in a text, with a few characters around it."""
    shorter = min(len(before), len(after))
    start = next((n for n in range(shorter) if before[n] != after[n]), shorter)
    end = next(
        (n for n in range(shorter - start) if before[-1 - n] != after[-1 - n]), shorter - start
    )
    first, tail = max(0, start - CONTEXT), max(0, end - CONTEXT)
    old, new = before[first : len(before) - tail], after[first : len(after) - tail]
    return f"{quoted(old)} -> {quoted(new)}"


class _NewFiles:
    """New files that appear together under their names when all is written.

    Args:
        paths: the files to create.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = [Path(path) for path in paths]
        self._parts = [path.with_name(f".{path.name}.{os.getpid()}.part") for path in self._paths]
        self._stack = ExitStack()
        self._files: list[IO[bytes]] = []

    def __enter__(self) -> list[IO[bytes]]:
        try:
            for part in self._parts:
                self._files.append(self._stack.enter_context(part.open("xb")))
        except OSError as error:
            self.__exit__(type(error), error, None)
            path = ascii_safe(str(self._paths[0]))
            raise OutputError(
                f"{path}: cannot be created: {error.strerror}. Name another file."
            ) from error
        return self._files

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                for file in self._files:
                    file.flush()
                    os.fsync(file.fileno())
                self._publish()
        finally:
            self._stack.close()
            for part in self._parts:
                with suppress(OSError):
                    part.unlink()

    def _publish(self) -> None:
        made: list[Path] = []
        for part, path in zip(self._parts, self._paths, strict=True):
            try:
                os.link(part, path)  # fails if the name exists, unlike a rename
            except FileExistsError as error:
                for other in made:
                    other.unlink()
                raise OutputError(f"{ascii_safe(str(path))}: exists already.") from error
            made.append(path)
