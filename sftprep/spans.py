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
    for between the two instead, and must stand there exactly once; or the turn's own text must
    begin where the two renderings part.
2.  It ends behind the terminator: the first control token behind the turn's last text when the
    conversation is cut off after the turn, and the same token in the whole conversation. A template
    whose turns end with plain text ends there with that text.
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
    rendering: Rendering, turns: Turns, trained: Sequence[int], controls: Controls
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
        following = min(
            (p for p in rendering.others(message) if p >= last), default=len(rendering.text)
        )
        end = _end(rendering, turns.until(message), message, last, following, controls)
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
    if added and text.count(added, before, first) == 1:
        return text.index(added, before) + len(added), False
    # The prompt goes on as this turn does not: with <think>, say. Both begin with the header.
    same = _same(text, prompt)
    header = max((e for e in _control_ends(text, before, first, controls) if e <= same), default=-1)
    own = controls.split(text[header:first].lstrip()) if header >= 0 else [""]
    if header >= 0 and (not own or isinstance(own[0], AddedToken)):
        return header, False
    if before <= same and not text[same:first].strip():
        return min(same, first), False
    return -1, False


def _same(first: str, second: str) -> int:
    """How many characters two texts begin with alike."""
    low, high = 0, min(len(first), len(second))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if first[:middle] == second[:middle] else (low, middle - 1)
    return low


def _control_ends(text: str, start: int, end: int, controls: Controls) -> list[int]:
    """Where control tokens end, between two places of a text."""
    ends = []
    for part in controls.split(text[start:end]):
        start += len(part.content if isinstance(part, AddedToken) else part)
        if isinstance(part, AddedToken):
            ends.append(start)
    return ends


def _end(
    rendering: Rendering,
    alone: Rendering,
    message: int,
    last: int,
    following: int,
    controls: Controls,
) -> int:
    """Where a span ends: behind the terminator."""
    behind = alone.text[max(alone.positions(message), default=len(alone.text)) :]
    tail = rendering.text[last:following]
    lead, token = _first_control(behind, controls)
    if token is None:
        ending = behind.rstrip()
        if not tail.startswith(ending):
            raise not_derivable(f"the end of messages[{message}] is not found in the conversation")
        return last + len(ending)
    found_lead, found = _first_control(tail, controls)
    if found is None or (found_lead != lead and found_lead.strip() != lead.strip()):
        raise not_derivable(f"the terminator of messages[{message}] is not found")
    end = len(found_lead) + len(found.content)
    if found.content != token.content:
        # Another terminator within a conversation than at its end: then a header follows at once.
        next_lead, header = _first_control(tail[end:], controls)
        if header is None or next_lead.strip():
            raise not_derivable(f"messages[{message}] has no terminator within the conversation")
    return last + end


def _first_control(text: str, controls: Controls) -> tuple[str, AddedToken | None]:
    """The text up to the first control token, and the token."""
    lead = ""
    for part in controls.split(text):
        if isinstance(part, AddedToken):
            return lead, part
        lead += part
    return lead, None


def not_derivable(why: str) -> RecordError:
    """The refusal."""
    return RecordError(
        "span_not_derivable",
        f"what the chat template trains cannot be told for certain: {why}",
        "Use a template with {% generation %} markers, fix the record",
    )
