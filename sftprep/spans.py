"""Find what is trained in a rendered conversation, and prove it, or say that it cannot be done.

In     the text a chat template made of a record; where the record's own texts stand in it; a way to
       render parts of the conversation.
Out    for each assistant turn that is to be trained, the characters it covers: from where the
       generation prompt ends to the end of the terminator.
Raises RecordError ``span_not_derivable``: never a guess.

How a span is found, if the template does not mark it itself with ``{% generation %}``:

1.  It begins where the prompt of inference ends: the rendering of the messages before it with
    ``add_generation_prompt``. That text must be how the whole conversation begins, and must end
    between the texts of the messages before and the turn's own. Where a template writes earlier
    turns otherwise once they are history, the text that ``add_generation_prompt`` adds is looked
    for between the two instead, and must stand there exactly once. Where the turn begins as that
    text does and then goes on otherwise (without ``<think>``, say), the two must part at a control
    token, or where the turn's own text begins.
2.  It ends behind the terminator. What stands behind the turn's last text when the conversation
    ends there, and when a message follows, begin alike: the terminator is in what they share. It
    is the EOS token if that is among it; else the last control token, if nothing but white space
    is left when the conversation ends there, or if it also ends a message before. A template whose
    turns end with plain text ends there with that text.
3.  Between the two stands only what the template adds and the turn's own texts: text of another
    message there refuses the record.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from sftprep.errors import RecordError
from sftprep.layout import Controls
from sftprep.marks import GENERATION, Event, Slot
from sftprep.tokenizer import AddedToken


class Span(NamedTuple):
    """Characters ``start`` to ``end`` are what message ``message`` trains."""

    start: int
    end: int
    message: int


class Rendering(NamedTuple):
    """A rendered conversation and where the record's texts stand in it."""

    text: str
    events: Sequence[Event]
    slots: Sequence[Slot]

    def positions(self, message: int) -> list[int]:
        """Where texts of a message begin and end."""
        prefix = ("messages", message)
        return [
            e.position
            for e in self.events
            if e.slot != GENERATION and self.slots[e.slot].path[:2] == prefix
        ]

    def others(self, message: int) -> list[int]:
        """Where texts of other messages, and of tools, begin and end."""
        prefix = ("messages", message)
        return [
            e.position
            for e in self.events
            if e.slot != GENERATION and self.slots[e.slot].path[:2] != prefix
        ]


class Turns(NamedTuple):
    """How parts of the conversation are rendered."""

    prompt: Callable[[int, bool], str]  # the messages before one; with the generation prompt or not
    until: Callable[[int], Rendering]  # the conversation up to and with one
    followed: Callable[[int], Rendering | None]  # the same with any message behind it


class Found(NamedTuple):
    """The spans of a conversation."""

    spans: list[Span]
    parity: bool  # whether the text before each span is what inference feeds


def marked_spans(rendering: Rendering, trained: Sequence[int]) -> list[Span]:
    """The spans that the template marks itself, of the messages that are to be trained."""
    spans = []
    opened = -1  # number of the event that opened
    for number, event in enumerate(rendering.events):
        if event.slot != GENERATION:
            continue
        if event.opens:
            opened = number
            continue
        inside = [rendering.slots[e.slot].path for e in rendering.events[opened + 1 : number]]
        owners = {path[1] for path in inside if path[0] == "messages"}
        if len(owners) != 1:
            raise not_derivable("its generation markers hold texts of no message, or of several")
        owner = int(owners.pop())
        if owner in trained:
            spans.append(Span(rendering.events[opened].position, event.position, owner))
    if missing := set(trained) - {span.message for span in spans}:
        raise not_derivable(f"its generation markers leave out messages[{min(missing)}]")
    return spans


def derived_spans(
    rendering: Rendering, turns: Turns, trained: Sequence[int], controls: Controls, eos: str
) -> Found:
    """The spans of the messages that are to be trained, by the rules above."""
    spans: list[Span] = []
    parity = True
    for message in trained:
        own = rendering.positions(message)
        if not own:
            raise not_derivable(f"it does not write the text of messages[{message}]")
        first, last = min(own), max(own)
        if any(first < position < last for position in rendering.others(message)):
            raise not_derivable(f"it writes other text into messages[{message}]")
        before = max((p for p in rendering.others(message) if p <= first), default=0)
        prompts = (turns.prompt(message, True), turns.prompt(message, False))
        start, equal = _start(rendering.text, prompts, (before, first), controls)
        if start < 0:
            raise not_derivable(f"the prompt before messages[{message}] is not found in it")
        parity &= equal
        end = last + _end(rendering, turns, message, controls, eos)
        spans.append(Span(start, end, message))
    return Found(spans, parity)


def _start(
    text: str, prompts: tuple[str, str], gap: tuple[int, int], controls: Controls
) -> tuple[int, bool]:
    """Where a span begins (-1: unknown), and whether the text before it is what inference feeds.

    Args:
        text: the whole conversation.
        prompts: the messages before the turn, with and without the generation prompt.
        gap: where the texts before the turn end, and where its own begin.
        controls: finds control tokens.
    """
    prompt, bare = prompts
    before, first = gap
    if text.startswith(prompt) and before <= len(prompt) <= first:
        return len(prompt), True
    added = prompt[len(bare) :] if prompt.startswith(bare) else ""
    if not added:
        return -1, False
    places = _places(text[before:first], added, controls)
    if len(places) != 1:
        return -1, False
    length = _shared_header(text[before + places[0] : first], added, controls)
    return (before + places[0] + length, False) if length else (-1, False)


def _places(gap: str, added: str, controls: Controls) -> list[int]:
    """Where the generation prompt, or its first control token, stands between two texts."""
    if gap.count(added) == 1:
        return [gap.index(added)]
    head = controls.split(added)[0]
    places, position = [], 0
    for part in controls.split(gap):
        if part == head or (isinstance(part, str) and part == str(head).rstrip()):
            places.append(position)
        position += _length(part)
    return places


def _shared_header(turn: str, added: str, controls: Controls) -> int:
    """How long the header of a turn is that begins as the generation prompt does; 0: unknown."""
    shared = 0
    ours, theirs = controls.split(turn), controls.split(added)
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one == other:
            shared += _length(one)
        elif isinstance(one, str) and isinstance(other, str):
            same = len(commonprefix((one, other)))
            own_begins = index == len(ours) - 1 and not one[same:].strip()
            return shared + same if own_begins or same == len(other) else 0
        else:
            break
    return shared


def _end(
    rendering: Rendering, turns: Turns, message: int, controls: Controls, eos: str
) -> int:
    """How far behind a turn's last text its terminator ends."""
    alone = turns.until(message)
    behind = _tail(alone, message)
    tail = _tail(rendering, message)
    is_last = len(rendering.text) == max(rendering.positions(message)) + len(tail)
    following: str | None = tail
    if is_last:
        followed = turns.followed(message)
        following = _tail(followed, message) if followed else None
    if not any(isinstance(part, AddedToken) for part in controls.split(behind)):
        ending = behind.rstrip()
        if not tail.startswith(ending):
            raise not_derivable(f"the end of messages[{message}] is not found in the conversation")
        return len(ending)
    endings = {_first_control(turns.prompt...)}
    raise NotImplementedError


def not_derivable(why: str) -> RecordError:
    """The refusal."""
    return RecordError(
        "span_not_derivable",
        f"what the chat template trains cannot be told for certain: {why}",
        "Use a template with {% generation %} markers, fix the record",
    )
