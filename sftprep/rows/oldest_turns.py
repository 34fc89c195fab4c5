"""Drop the oldest exchanges of conversations that are too long: as few of them as possible.

In     the conversations of a block that are too long, and functions that render and measure them.
Out    each conversation, rendered without its oldest exchanges: without the smallest number of them
       that makes it fit. The last exchange always stays, even if it does not fit. A conversation
       that cannot be rendered without its oldest exchanges is returned separately, with the error.

An *exchange* is a user turn and all turns after it, up to the next user turn. Turns before the
first user turn always stay.

Binary search finds the number of exchanges to drop, for all conversations at once: in each round,
they are rendered and measured together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sftprep.data.conversation import Dialogue
from sftprep.data.pieces import Rendered
from sftprep.data.ragged import Offsets
from sftprep.errors import RecordError

D = TypeVar("D", bound=Dialogue)


class Shortened(NamedTuple):
    """The results; each dictionary has the numbers of the conversations as keys."""

    rendered: dict[int, Rendered]
    dropped: dict[int, int]  # how many exchanges of a rendered conversation were dropped
    refused: dict[int, RecordError]  # why it cannot be rendered without its oldest exchanges


def shorten(
    dialogues: Mapping[int, Dialogue],
    render: Callable[[Dialogue], Rendered],
    measure: Callable[[Sequence[Rendered]], Offsets],
    max_length: int,
) -> Shortened:
    """Drop as few of the oldest exchanges of each conversation as possible, so that it fits.

    Args:
        dialogues: the conversations that do not fit, by number. A conversation with a single
            exchange cannot become shorter, and does not appear in the result.
        render: renders a conversation, or raises ``RecordError``.
        measure: returns int64[conversations], the number of tokens in each rendered conversation.
        max_length: the maximum number of tokens in a row.
    """
    refused: dict[int, RecordError] = {}

    def render_without(counts: Mapping[int, int]) -> dict[int, Rendered]:
        rendered = {}
        for index, count in counts.items():
            try:
                rendered[index] = render(drop_oldest(dialogues[index], count))
            except RecordError as error:
                refused[index] = error
        return rendered

    # The number of exchanges to drop is at least ``low`` and at most ``high``.
    high = {i: n - 1 for i, dialogue in dialogues.items() if (n := exchanges(dialogue)) > 1}
    low = dict.fromkeys(high, 1)
    while tried := render_without(
        middle := {
            i: (low[i] + high[i]) // 2 for i in high if low[i] < high[i] and i not in refused
        }
    ):
        lengths = measure(list(tried.values())).tolist()
        for index, length in zip(tried, lengths, strict=True):
            if length <= max_length:
                high[index] = middle[index]
            else:
                low[index] = middle[index] + 1
    rendered = render_without({i: n for i, n in high.items() if i not in refused})
    return Shortened(rendered, {i: high[i] for i in rendered}, refused)


def exchanges(dialogue: Dialogue) -> int:
    """Return how many exchanges a conversation has."""
    return dialogue.roles.count("user")


def drop_oldest(dialogue: D, count: int) -> D:
    """Return the conversation without its ``count`` oldest exchanges."""
    users = [index for index, role in enumerate(dialogue.roles) if role == "user"]
    return dialogue.without(slice(users[0], users[count]))
