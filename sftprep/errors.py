"""Every exception sftprep raises on purpose, and the exit code each one ends with.

    SftprepError
    ├── UsageError          2    an option, a recipe, a template or a tokenizer cannot be used
    │   ├── TemplateError
    │   └── TokenizerError
    ├── DataError          65    bad records, or more of them than --max-rejects allows
    ├── NoInputError       66    nothing to read
    ├── InternalError      70    a bug of ours: two numbers that must agree do not
    ├── OutputError        73    the output cannot be created, or belongs to something else
    ├── StorageError       74    reading or writing failed
    └── LockedError        75    another run holds the output
    RecordError                  one bad record; never leaves the stage that handles blocks

An interrupted run ends with 130 (SIGINT) or 143 (SIGTERM). The text of an error says where, what is
wrong and what was found, and what to do.
"""

from typing import ClassVar


class SftprepError(Exception):
    """What a caller may catch: its text is complete and meant for the user."""

    exit_code: ClassVar[int] = 70


class UsageError(SftprepError):
    """An option or a recipe asks for something that cannot be done."""

    exit_code = 2


class TemplateError(UsageError):
    """A template cannot be loaded, or does not fit the tokenizer."""


class TokenizerError(UsageError):
    """A tokenizer cannot be loaded, or cannot be used safely."""


class DataError(SftprepError):
    """The input holds records that cannot be used."""

    exit_code = 65


class NoInputError(SftprepError):
    """There is nothing to read."""

    exit_code = 66


class InternalError(SftprepError):
    """A check of our own failed: a bug in sftprep, never the user's fault."""

    exit_code = 70


class OutputError(SftprepError):
    """The output folder cannot be created or must not be touched."""

    exit_code = 73


class StorageError(SftprepError):
    """The operating system failed to read or write."""

    exit_code = 74


class LockedError(SftprepError):
    """Another run is writing the same output."""

    exit_code = 75


class RecordError(Exception):
    """One record cannot be used.

    Raised by the stages that see one record, without its place: they do not know it. The block
    stage catches it, adds file and line, and either lists it or writes it to the rejects.

    Args:
        reason: a short code that is counted, such as ``unknown_role``.
        problem: what is wrong and what was found, without a full stop.
        cure: what to do to the record, one sentence without a full stop.
        column: where in its line, in characters counted from 1, if that is known.
        row: how many lines below the record's first: 0 but in pretty-printed JSON.
    """

    def __init__(
        self,
        reason: str,
        problem: str,
        cure: str = "Fix the record",
        column: int | None = None,
        row: int = 0,
    ) -> None:
        super().__init__(problem)
        self.reason = reason
        self.problem = problem
        self.cure = cure
        self.column = column
        self.row = row

    def __reduce__(self) -> tuple[type, tuple[str, str, str, int | None, int]]:
        # it crosses processes
        return type(self), (self.reason, self.problem, self.cure, self.column, self.row)

    def text(self, where: str) -> str:
        """The whole message, for a record at ``where`` (``file:line``)."""
        if self.column is not None:
            where = f"{where}:{self.column}"
        return f"{where}: {self.problem}. {self.cure}, or pass --on-error quarantine."
