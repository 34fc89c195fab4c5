"""How the rows of a dataset are laid out, by its manifest: packed or not, and how padded.

In     a manifest whose structure was checked; its values may still contradict each other.
Out    ``RowLayout``, and the length that rows must have with padding.
Never  raises: an option that cannot be used is reported with the manifest, and stands for its
       default here.
"""

from typing import NamedTuple

import numpy as np

from sftprep.arrange.options import Pad, PadTo
from sftprep.data.ragged import Offsets
from sftprep.dataset.manifest import Manifest


class RowLayout(NamedTuple):
    """How documents stand in the rows of all shards."""

    packed: bool = False  # a row may hold several documents
    capacity: int = 0  # the maximum number of tokens of a row, without padding
    pad: Pad = Pad()
    pad_id: int | None = None  # the token that pads

    @property
    def padded(self) -> bool:
        """Whether rows may have padding."""
        return self.pad.to is not PadTo.NONE

    @property
    def isolated(self) -> bool:
        """Whether the first token of a document must have no loss.

        Another document, or padding, may precede it.
        """
        return self.packed or self.padded


def layout_of(manifest: Manifest) -> RowLayout:
    """Return how the rows of a dataset are laid out."""
    recipe = manifest.recipe
    packed = recipe["pack"]
    capacity = (recipe["pack_length"] if packed else None) or recipe["max_length"]
    kind, _, number = recipe["pad"].partition(":")
    pad = Pad()
    if kind == PadTo.MULTIPLE and number.isdecimal() and 0 < int(number) < 1 << 31:
        pad = Pad(PadTo.MULTIPLE, int(number), recipe["pad_side"] or "right")
    elif kind in (PadTo.LONGEST, PadTo.MAX_LENGTH):
        pad = Pad(PadTo(kind), capacity, recipe["pad_side"] or "right")
    special = manifest.tokenizer["special_tokens"]
    return RowLayout(packed, capacity, pad, special["pad"]["id"] if "pad" in special else None)


def padded_lengths(filled: Offsets, longest: int, pad: Pad) -> Offsets:
    """Return for each row the length that it should have, with padding.

    Args:
        filled: int64[rows], the lengths of rows without padding.
        longest: the length of all rows that are padded to the longest.
        pad: how rows are padded.
    """
    if pad.to is PadTo.MULTIPLE:
        return -(-filled // pad.number) * pad.number
    if pad.to is PadTo.MAX_LENGTH:
        # A number so large that no array can hold it is no length that a row has.
        return np.full_like(filled, min(pad.number, 1 << 62))
    return np.full_like(filled, longest) if pad.to is PadTo.LONGEST else filled
