"""Every exception that sftprep raises on purpose, and the exit code of each.

    SftprepError
    ├── UsageError          2    an option, a recipe, a template or a tokenizer cannot be used
    │   ├── TemplateError
    │   └── TokenizerError
    ├── DataError          65    bad records, or more lost ones than the options allow
    ├── NoInputError       66    nothing to read
    ├── InternalError      70    a bug in sftprep, or a worker process that died twice
    ├── OutputError        73    the output cannot be created, or belongs to something else
    ├── StorageError       74    reading or writing failed
    └── LockedError        75    another run is writing the output
    RecordError                  one bad record; sftprep.steps catches it, callers never see it

An interrupted run exits with 129 (SIGHUP), 130 (SIGINT) or 143 (SIGTERM). The text of an error says
where the problem is, what is wrong, what was found, and what to do.
"""

from typing import ClassVar


class SftprepError(Exception):
    """The base of all errors that callers may catch; its text is a whole message for the user."""

    exit_code: ClassVar[int] = 70


class UsageError(SftprepError):
    """An option or a recipe asks for something that cannot be done."""

    exit_code = 2


class ArrangementError(UsageError):
    """The rows are made, but cannot be arranged as asked. They are kept for a run that can."""


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
    """One of sftprep's own checks failed, which is a bug, or a worker process died twice."""

    exit_code = 70


class OutputError(SftprepError):
    """The output folder cannot be created, or must not be replaced."""

    exit_code = 73


class StorageError(SftprepError):
    """The operating system failed to read or write."""

    exit_code = 74


class LockedError(SftprepError):
    """Another run is writing to the same output."""

    exit_code = 75


class RecordError(Exception):
    """One record cannot be used.

    The stages that see a single record raise it, without knowing the record's file and line. The
    pipeline catches it and adds them. The run then reports it, or writes it to ``rejects.jsonl``.

    Args:
        reason: a short code for counting, such as ``unknown_role``.
        problem: what is wrong and what was found, without a full stop at the end.
        cure: what to do, one sentence without a full stop at the end.
        column: where in its line the problem is, in characters counted from 1; None if unknown.
        row: the line of the record that has the problem, counted from 0. It can be above 0 only
            in a JSON array, where a record may take up several lines.
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
        # Workers send errors to the parent process. By default only ``problem`` would be pickled.
        return type(self), (self.reason, self.problem, self.cure, self.column, self.row)

    def text(self, where: str) -> str:
        """Return the whole message.

        Args:
            where: the place of the record, as ``file:line``.
        """
        if self.column is not None:
            where = f"{where}:{self.column}"
        return f"{where}: {self.problem}. {self.cure}, or pass --on-error quarantine."
