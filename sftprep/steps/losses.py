"""Describe the records of a block that have no row: where each of them is, and why it has none.

In     the place of a record in its block; the reason code or the error.
Out    a ``LostRecord``; the errors that depend on more than one record, or on a row.
Never  keeps the frames of an error: they may hold much memory, which the next record could miss.
"""

from collections.abc import Sequence

from sftprep.data.batch import DropReason
from sftprep.data.block import Block
from sftprep.data.result import LostRecord
from sftprep.errors import RecordError, TemplateError
from sftprep.text import number

LEAK = RecordError(
    "control_from_text", "the tokenizer turns text of the record into a control token"
)


def dropped(block: Block, index: int, line: bytes, reason: str) -> LostRecord:
    """Return the entry of a valid record that has no row.

    Args:
        block: the block.
        index: the number of the record's line in the block.
        line: the record as it was read.
        reason: a reason code.
    """
    line_number, offset = block.place(index)
    return LostRecord(block.source, line_number, offset, reason, None, line)


def rejected(block: Block, index: int, line: bytes, error: RecordError) -> LostRecord:
    """Return the entry of a bad record.

    Args:
        block: the block.
        index: the number of the record's line in the block.
        line: the record as it was read.
        error: what is wrong with it.
    """
    error.__traceback__ = error.__cause__ = error.__context__ = None
    _, offset = block.place(index)
    line_number, located = block.located(index, error)
    return LostRecord(block.source, line_number, offset, error.reason, located, line)


def template_too_slow(lost: Sequence[LostRecord]) -> TemplateError:
    """Return the error for a chat template that took too long for too many records of a block."""
    assert lost[-1].error is not None
    unit = "rows" if lost[0].offset is None else "lines"
    places = ", ".join(f"{one.line:,}" for one in lost[:3])
    more = f" and {len(lost) - 3:,} more" if len(lost) > 3 else ""
    return TemplateError(
        f"{lost[-1].error.problem}, and for {number(len(lost), 'record')} in all ({unit} {places}"
        f"{more}); it may never finish. Correct the template."
    )


def too_long(tokens: int, max_length: int) -> RecordError:
    """Return the error for a row that is too long where no row may be cut or dropped."""
    return RecordError(
        DropReason.TOO_LONG.value,
        f"the record has {tokens:,} tokens, over the limit of {max_length:,}",
        "Raise --max-length, choose another --truncation",
    )
