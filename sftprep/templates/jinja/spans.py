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
    text does and then goes on otherwise (without ``<think>``, say), they must part at a control
    token, or where the turn's own text begins.
2.  It ends behind the terminator. What stands behind the turn's last text when the conversation
    ends there, and what stands there when a message follows, begin alike: the terminator is in what
    they share. It is the EOS token if that is among it; else the last control token, if nothing is
    left of the first, or if it ends the message before too. If they share none, the turn has one
    terminator at the end and one within: within, it must be what ends the message before. A
    template whose turns end with plain text ends there with that text.
3.  Between the two stands only what the template adds and the turn's own texts: text of another
    message there refuses the record.
"""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import NamedTuple

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.errors import RecordError
from sftprep.templates.jinja.tracing import GENERATION, Event, Slot

Parts = Sequence[str | AddedToken]
"""A text with its control tokens taken out."""


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

    def tail(self, message: int) -> str:
        """What stands between a message's last text and the next message's."""
        last = max(self.positions(message), default=len(self.text))
        following = (p for p in self.others(message) if p >= last)
        return self.text[last : min(following, default=len(self.text))]

    def goes_on(self, message: int) -> bool:
        """Whether texts of other messages follow."""
        last = max(self.positions(message), default=len(self.text))
        return any(position >= last for position in self.others(message))


class Turns(NamedTuple):
    """How parts of the conversation are rendered."""

    prompt: Callable[[int, bool], str]  # the messages before one; with the generation prompt or not
    until: Callable[[int], Rendering]  # the conversation up to and with one
    followed: Callable[[int], Parts | None]  # what is behind it when another message follows


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
    rendering: Rendering,
    turns: Turns,
    trained: Sequence[int],
    controls: ControlTokens,
    eos: str | None,
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
        spans.append(Span(start, last + _end(rendering, turns, message, controls, eos), message))
    return Found(spans, parity)


def _start(
    text: str, prompts: tuple[str, str], gap: tuple[int, int], controls: ControlTokens
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
    added = prompt[_shared(controls.split(prompt), controls.split(bare)) :]
    between = text[before:first]
    if added and between.count(added) == 1:
        return before + between.index(added) + len(added), False
    header = _header(controls.split(between), controls.split(added))
    return (before + header, False) if header else (-1, False)


def _shared(ours: Parts, theirs: Parts) -> int:
    """How many characters two texts begin with alike; a control token is shared whole."""
    shared = 0
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            if isinstance(one, str) and isinstance(other, str):
                shared += _same(one, other)
            break
        shared += len(_joined([one]))
    return shared


def _same(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _header(between: Parts, added: Parts) -> int:
    """Where a turn's header ends that begins as the generation prompt does; 0: unknown.

    Args:
        between: what stands between the texts before the turn and its own.
        added: the generation prompt. It must begin with a control token that is there once.
    """
    if not added or isinstance(added[0], str) or between.count(added[0]) != 1:
        return 0
    start = between.index(added[0])
    ours, theirs = between[start:], added
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one == other:
            continue
        if isinstance(one, str) and isinstance(other, str):
            same = _same(one, other)
            own_text_next = number == len(ours) - 1 and not one[same:].strip()
            if not own_text_next and same < len(other):
                return 0
        break
    return len(_joined(between[:start])) + _shared(ours, theirs)


def _end(
    rendering: Rendering, turns: Turns, message: int, controls: ControlTokens, eos: str | None
) -> int:
    """How far behind a turn's last text its terminator ends."""
    tail = controls.split(rendering.tail(message))
    alone = controls.split(turns.until(message).tail(message))
    goes_on = rendering.goes_on(message)
    if not _tokens(alone):
        ending = _joined(alone).rstrip()
        if not _joined(tail).startswith(ending):
            raise not_derivable(f"the end of messages[{message}] is not found in the conversation")
        return len(ending)
    followed = tail if goes_on else turns.followed(message)
    shared = _alike(alone, alone if followed is None else followed)
    known = _known_ends(turns, message, controls)
    nothing_left = not _joined(alone[shared:]).strip()
    if followed is None and len(_tokens(alone)) > 1:
        nothing_left = False
    tokens = _tokens(alone[:shared])
    ends = [n for n, token in tokens if token.content == eos][:1] or [
        n for n, token in tokens if nothing_left or token.content in known
    ]
    if not ends and not tokens:
        ends = _other_end(tail, alone, known if goes_on else None)
    if not ends:
        raise not_derivable(f"messages[{message}] has no terminator that is one for certain")
    return len(_joined(tail[: ends[-1] + 1]))


def _other_end(tail: Parts, alone: Parts, known: set[str] | None) -> list[int]:
    """A terminator within a conversation that is another than at its end, or the one at its end.

    Args:
        tail: what stands behind the turn's last text.
        alone: the same when the conversation ends there.
        known: what ends the message before; None for the last turn.
    """
    tokens = _tokens(tail)
    if known is None:
        return [tokens[0][0]] if len(tokens) == 1 else []
    first = tokens[0][0] if tokens else -1
    header_next = len(tokens) > 1 and not _joined(tail[first + 1 : tokens[1][0]]).strip()
    same_lead = _joined(tail[:first]).strip() == _joined(alone[: _tokens(alone)[0][0]]).strip()
    ends = header_next and same_lead and tokens[0][1].content in known
    return [first] if ends else []


def _known_ends(turns: Turns, message: int, controls: ControlTokens) -> set[str]:
    """The control token that ends the message before, if one does."""
    if not message:
        return set()
    try:
        before = turns.until(message - 1).tail(message - 1)
    except RecordError:  # the template does not render a conversation that ends there
        return set()
    return {token.content for _, token in _tokens(controls.split(before))[:1]}


def _alike(ours: Parts, theirs: Parts) -> int:
    """How many parts two texts begin with alike, but for the white space around text."""
    for number, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        both_text = isinstance(one, str) and isinstance(other, str)
        if one != other and not (both_text and _joined([one]).strip() == _joined([other]).strip()):
            return number
    return min(len(ours), len(theirs))


def _tokens(parts: Parts) -> list[tuple[int, AddedToken]]:
    """The control tokens, each with its place among the parts."""
    return [(n, part) for n, part in enumerate(parts) if isinstance(part, AddedToken)]


def _joined(parts: Parts) -> str:
    return "".join([part.content if isinstance(part, AddedToken) else part for part in parts])


def not_derivable(why: str) -> RecordError:
    """The refusal."""
    return RecordError(
        "span_not_derivable",
        f"what the chat template trains cannot be told for certain: {why}",
        "Use a template with {% generation %} markers, fix the record",
    )
