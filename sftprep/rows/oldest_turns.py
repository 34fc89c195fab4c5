"""Drop the oldest exchanges of conversations that are too long: as few as possible.

In     the conversations of a block that are too long, and how to render and to measure them.
Out    each conversation rendered without as many of its oldest exchanges as must go for it to fit.
       The last exchange always stays, whether it fits or not.
Keeps  a conversation that cannot be rendered without its oldest exchanges apart, with its error.

An *exchange* is a user turn and all turns after it, up to the next user turn. Turns before the
first user turn always stay.

The number of exchanges to drop is found by binary search, for all conversations at once: in each
round they are rendered and measured together.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from sftprep.data.conversation import Dialogue
from sftprep.data.pieces import Rendered
from sftprep.data.ragged import Offsets
from sftprep.errors import RecordError

D = TypeVar("D", bound=Dialogue)


class Shortened(NamedTuple):
    """Conversations without their oldest exchanges, by their number."""

    rendered: dict[int, Rendered]
    dropped: dict[int, int]  # of each rendered one: how many exchanges were dropped
    refused: dict[int, RecordError]  # those that cannot be rendered without the dropped exchanges


def shorten(
    dialogues: Mapping[int, Dialogue],
    render: Callable[[Dialogue], Rendered],
    measure: Callable[[Sequence[Rendered]], Offsets],
    max_length: int,
) -> Shortened:
    """Drop the oldest exchanges of conversations, as few as possible, until they fit.

    Args:
        dialogues: conversations that do not fit, by number. One with a single exchange cannot
            become shorter, and is left out of the result.
        render: renders a conversation, or raises RecordError.
        measure: returns int64[records], the number of tokens of rendered conversations.
        max_length: the most tokens that a row may have.
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

    # The number to drop is at least low and at most high.
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
