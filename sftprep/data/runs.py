"""The texts of a block that get encoded, and their ids: what ``rows`` needs ``tokenization`` for.

A *run* (of text; not a run of the program) is a text that is encoded by itself. All text between
two control tokens of a row is one run if the loss does not change inside it. If the loss turns on
or off inside it, each side is a run of its own. These runs form a *chain*: together they are one
text.

``rows`` builds the ``TextRuns`` of a block, and lays out the ids that it gets back. How to encode
the boundaries inside a chain is left to the encoder.
"""

from typing import NamedTuple, Protocol

from sftprep.data.control_tokens import AddedToken
from sftprep.data.ragged import Ids, Mask, Offsets, Ragged


class Chains(NamedTuple):
    """The chains of a block, in columns. Each has at least two runs; chains do not overlap."""

    first: Offsets  # int64[chains]: the first run of each chain, ascending
    last: Offsets  # int64[chains]: the last run of each chain


class TextRuns(NamedTuple):
    """The runs of all records of a block, in columns."""

    texts: list[str]
    continued: Mask  # bool[runs]: text precedes the run, so the tokenizer may not add a space
    trained: Mask  # bool[runs]: True if the model is trained on the run
    chains: Chains


class Places(NamedTuple):
    """Places in texts of which the ids are known, in columns.

    A text is one run, or several that were encoded as one text.
    """

    runs: TextRuns
    first_run: Offsets  # int64[texts]: the first run of each text
    last_run: Offsets  # int64[texts]: the last run of each text
    sizes: Offsets  # int64[texts]: the number of bytes of each text in UTF-8
    first: Offsets  # int64[texts]: where the ids of each text start
    last: Offsets  # int64[texts]: where they end
    counts: Offsets  # int64[texts]: how many places each text has
    at: Offsets  # int64[places]: how many bytes of its text are before a place

    def text(self, number: int) -> str:
        """Return a text."""
        return "".join(self.runs.texts[self.first_run[number] : self.last_run[number] + 1])


class EncodedRuns(NamedTuple):
    """The ids of a block's runs."""

    ids: Ragged  # one row per run
    unclean: Mask  # bool[chains]: True if the chain has other ids when it is encoded as one text


class RunEncoder(Protocol):
    """The methods that ``rows`` needs from a tokenizer."""

    def encode_runs(self, runs: TextRuns, *, joint: bool) -> EncodedRuns:
        """Encode the runs of a block.

        Args:
            runs: the runs.
            joint: if True, an unclean chain is encoded as one text, and a token that lies across a
                boundary belongs to the side that is not trained. If False, each run is encoded by
                itself.
        """
        ...

    def count_tokens(self, text: str) -> int:
        """Return the number of tokens of a text that has no other text before it."""
        ...

    def spans(self, text: str, continued: bool) -> tuple[Ids, Offsets]:
        """Encode one text.

        Returns:
            int32[tokens], and int64[tokens, 2]: the characters that each token covers.
        """
        ...

    def ids_before(self, places: Places, ids: Ids) -> Offsets:
        """Return int64[places]: the position in ``ids`` of the first token behind each place.

        A token is behind a place if its first byte is.
        """
        ...

    def adds_space_after(self, token: AddedToken) -> bool:
        """Return True if the tokenizer adds a space before a text that follows this token."""
        ...

    def is_word(self, character: str) -> bool:
        """Return True if a ``single_word`` token next to this character is plain text."""
        ...

    def forbidden_in(self, ids: Ids) -> Offsets:
        """Return the positions of control tokens in ``ids``, which text must never become."""
        ...
