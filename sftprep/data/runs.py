"""The texts of a block that are encoded, and their ids: what ``rows`` asks of ``tokenization``.

A *run* is a text that is encoded by itself. Between two control tokens of a row, all text is one
run, as long as the loss does not change inside it. Where the loss turns on or off inside that text,
each side becomes a run of its own, and these runs form a *chain*: together they are one text.

``rows`` builds the ``TextRuns`` of a block and lays out the ids that it gets back. Everything
that concerns the boundaries inside a chain is the encoder's business.
"""

from typing import NamedTuple, Protocol

from sftprep.data.control_tokens import AddedToken
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged


class Chains(NamedTuple):
    """The chains of a block, in columns; each has two runs or more, and they do not overlap."""

    first: Offsets  # int64[chains]: the first run of each chain, ascending
    last: Offsets  # int64[chains]: the last run of each chain


class TextRuns(NamedTuple):
    """The runs of all records of a block, in columns."""

    texts: list[str]
    continued: Mask  # bool[runs]: text precedes the run, so the tokenizer may not add a space
    trained: Mask  # bool[runs]: whether the model is trained on the run
    chains: Chains


class EncodedRuns(NamedTuple):
    """The ids of a block's runs."""

    ids: Ragged  # one row per run
    unclean: Mask  # bool[chains]: the chain's text has other ids when it is encoded whole


class RunEncoder(Protocol):
    """What ``rows`` needs from a tokenizer."""

    def encode_runs(self, runs: TextRuns, *, joint: bool) -> EncodedRuns:
        """Encode the runs of a block.

        Args:
            runs: the runs.
            joint: whether an unclean chain is encoded as one text; a token that lies across a
                boundary then goes to the side that is not trained. Otherwise each run is encoded
                by itself.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text that no other text precedes."""
        ...

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Encode one text.

        Returns:
            int32[tokens], and int64[tokens, 2]: the characters that each token covers.
        """
        ...

    def adds_space_after(self, token: AddedToken) -> bool:
        """Return whether the tokenizer adds a space before a text that follows this token."""
        ...

    def forbidden_in(self, ids: Ids) -> Offsets:
        """Return the positions of the ids that text must never become: those of control tokens."""
        ...
