"""Long conversations -> how few of their oldest exchanges must go.

In     the conversations of a block that are too long, and how to render them and to build rows.
Out    for each the fewest exchanges that must go for it to fit (all but one, if it never does).
Keeps  a conversation that cannot be rendered without its oldest exchanges apart, with its error.

A binary search for all conversations at once: in each round they are built together.
"""

from collections.abc import Callable, Mapping, Sequence

from sftprep.data.batch import Batch
from sftprep.data.conversation import Dialogue
from sftprep.data.pieces import Rendered
from sftprep.errors import RecordError
from sftprep.rows.truncation import drop_oldest


class Shorter:
    """Conversations without their oldest exchanges.

    Args:
        conversations: of a block.
        render: renders one.
        refused: takes the error of each that cannot be rendered.
    """

    def __init__(
        self,
        conversations: Sequence[Dialogue],
        render: Callable[[Dialogue], Rendered],
        refused: dict[int, RecordError],
    ) -> None:
        self._conversations = conversations
        self._render = render
        self._refused = refused

    def render(self, index: int, count: int) -> Rendered | None:
        """Conversation ``index`` without its oldest exchanges; None where it is refused."""
        if index in self._refused:
            return None
        try:
            return self._render(drop_oldest(self._conversations[index], count))
        except RecordError as error:
            self._refused[index] = error
            return None


def fewest_dropped(
    shorter: Shorter,
    counts: Mapping[int, int],
    max_length: int,
    build: Callable[[list[Rendered]], Batch],
) -> dict[int, int]:
    """For each conversation, the fewest exchanges to drop.

    Args:
        shorter: renders them.
        counts: the conversations, and how many exchanges each has.
        max_length: the tokens that a row may have.
        build: makes the rows of rendered conversations.
    """
    low = dict.fromkeys(counts, 1)
    high = {i: n - 1 for i, n in counts.items()}
    while tried := {
        i: rendered
        for i in counts
        if low[i] < high[i] and (rendered := shorter.render(i, (low[i] + high[i]) // 2))
    }:
        lengths = build(list(tried.values())).lengths.tolist()
        for i, length in zip(tried, lengths, strict=True):
            middle = (low[i] + high[i]) // 2
            if length <= max_length:
                high[i] = middle
            else:
                low[i] = middle + 1
    return high
