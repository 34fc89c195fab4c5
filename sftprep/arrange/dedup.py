"""Find the rows that repeat an earlier row.

In     the columns of all rows.
Out    ``Repeated``: rows that are to be dropped, and the row that each one repeats.
Keeps  The first of each group of equal rows, so a row that is dropped repeats one that stays.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Columns, Rows
from sftprep.arrange.equal_rows import equal_rows
from sftprep.errors import InternalError


class Repeated(NamedTuple):
    """Rows that repeat others."""

    rows: Rows  # int64[rows], ascending
    repeats: Rows  # int64[rows]: the row that each repeats; it comes earlier and stays


def exact(columns: Columns) -> Repeated:
    """Find rows with the text of an earlier row, of which the same part is trained.

    The numbers of tokens belong to the key: two texts with one hash then still count as different
    unless they also have as many tokens, and as many trained ones.
    """
    others: list[npt.NDArray[np.integer]] = [columns.prompt_key, columns.tokens, columns.trained]
    return Repeated(*equal_rows(columns.record_key, others).repeated())


def normalized(columns: Columns) -> Repeated:
    """Find rows whose normalized text and normalized prompt are those of an earlier row."""
    if columns.normalized_key is None or columns.normalized_prompt_key is None:
        raise InternalError("The rows were read without the keys of their normalized texts.")
    return Repeated(*equal_rows(columns.normalized_key, [columns.normalized_prompt_key]).repeated())
