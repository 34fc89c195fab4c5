"""Decide which split each row belongs to.

In     one key a row, and the shares of the validation and the test split.
Out    uint8[rows]: the number of the row's split in ``SPLITS``.
Keeps  Rows with one key are in one split. With a percentage, a row's split depends on its key and
       the seed alone, so it stays where it is when rows are added. Validation takes the smallest
       hashes and test the largest, so neither changes with the other's share.
Raises UsageError: a share takes no row, or leaves none for training.
"""

import numpy as np
import numpy.typing as npt

from sftprep.arrange.columns import Keys, Rows
from sftprep.arrange.hashing import mix, smallest
from sftprep.arrange.options import Share
from sftprep.data.ragged import Mask
from sftprep.errors import UsageError

SPLITS = ("train", "validation", "test")


def split_rows(
    keys: Keys, validation: Share | None, test: Share | None, salt: int
) -> npt.NDArray[np.uint8]:
    """Return the number of each row's split.

    A number of rows cannot always be met, since rows with one key stay together: then the split has
    more rows than asked for, by less than the rows of the last key that it took.
    """
    splits = np.zeros(len(keys), np.uint8)
    hashes = mix(keys, salt)
    if validation is not None:
        splits[_take(hashes, "validation", validation)] = 1
    if test is not None:
        # The smallest complements are the largest hashes.
        tested = _take(np.invert(hashes, out=hashes), "test", test)
        if (splits[tested] != 0).any():
            raise UsageError(
                f"--validation {validation} and --test {test} together take more than all "
                f"{len(keys):,} rows. Make one of them smaller."
            )
        splits[tested] = 2
    if splits.all():
        asked = {"validation": validation, "test": test}
        named = " and ".join(f"--{name} {share}" for name, share in asked.items() if share)
        raise UsageError(
            f"{named} would take all {len(keys):,} rows, and leave none for training (rows that "
            "belong together are never divided). Make the share smaller."
        )
    return splits


def keys_of_records(keys: Keys, record: Rows) -> Keys:
    """Return for each row the key of the first row of its record.

    The examples of a conversation have different prompts, each of which holds the answers before.
    They must not be divided among the splits.

    Args:
        keys: the key of each row.
        record: int64[rows]: the number of its record; a record's rows follow each other.

    >>> keys_of_records(np.array([7, 8, 9], np.uint64), np.array([0, 0, 2])).tolist()
    [7, 7, 9]
    """
    begins = np.ones(len(record), np.bool_)
    begins[1:] = record[1:] != record[:-1]
    first = np.maximum.accumulate(np.where(begins, np.arange(len(record)), 0))
    found: Keys = keys[first]
    return found


def _take(hashes: Keys, name: str, share: Share) -> Mask:
    """Return bool[rows]: the rows with the smallest hashes."""
    if share.fraction is not None:
        taken = smallest(hashes, share.fraction)
        if not taken.any():
            raise UsageError(
                f"--{name} {share} of {len(hashes):,} rows is no row: the {name} split would be "
                f"empty. Give a number of rows (such as --{name} {max(1, len(hashes) // 10)}), or "
                "a larger percentage."
            )
        return taken
    number = share.rows or 0
    if not 0 < number < len(hashes):
        raise UsageError(
            f"--{name} {number} must be at least 1 and less than the {len(hashes):,} rows that "
            "there are, or none would be left for training. Give a smaller number, or a "
            "percentage."
        )
    last = np.partition(hashes, number - 1)[number - 1]
    chosen: Mask = hashes <= last
    return chosen
