"""The lengths of rows after padding.

In     int32[packs], the tokens of each row or pack of a split, and how to pad.
Out    int32[packs]: the same with padding. Which side it is on is up to the writers.
Raises UsageError: a row is longer than the length to pad to.
"""

import numpy as np

from sftprep.arrange.columns import Numbers
from sftprep.arrange.options import Pad, PadTo
from sftprep.errors import UsageError


def padded(lengths: Numbers, pad: Pad) -> Numbers:
    """Return the length of each row with padding.

    >>> padded(np.array([3, 8], np.int32), Pad(PadTo.MULTIPLE, 4)).tolist()
    [4, 8]
    """
    if pad.to is PadTo.LONGEST:
        return np.full_like(lengths, lengths.max(initial=0))
    if pad.to is PadTo.MAX_LENGTH:
        if lengths.max(initial=0) > pad.number:
            raise UsageError(
                f"{np.count_nonzero(lengths > pad.number):,} of {len(lengths):,} rows are longer "
                f"than {pad.number} tokens, to which --pad max-length pads; the longest has "
                f"{lengths.max()}. Pass a larger --max-length, or --pad longest."
            )
        return np.full_like(lengths, pad.number)
    if pad.to is PadTo.MULTIPLE:
        return -(-lengths // np.int32(pad.number)) * np.int32(pad.number)
    return lengths
