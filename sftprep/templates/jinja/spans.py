"""Find the spans of a rendered conversation that are trained, and prove them, or refuse the record.

In     the rendered conversation, and the positions of the record's texts in it; a way to render
       only a part of the conversation.
Out    for each assistant turn that is to be trained, its span: the characters from the end of the
       generation prompt to the end of the terminator.
Never  guesses.
Raises RecordError ``span_not_derivable``: the rules below do not determine a span.

A template with ``{% generation %}`` markers says itself what is trained. For all other templates,
these rules determine the span of a turn. "The turn's texts" are the texts that the record gives for
this turn, whichever fields they are in.

1.  Start. The span starts where the inference prompt ends. The inference prompt is the rendering of
    the messages before the turn, with ``add_generation_prompt``.
    a.  As a rule, the rendered conversation starts with the inference prompt, and the prompt ends
        between the texts of the earlier messages and the turn's texts.
    b.  Some templates write earlier turns differently once they are history, so the conversation
        does not start with the inference prompt. Then the generation prompt, which is what
        ``add_generation_prompt`` adds, must occur exactly once between the texts of the earlier
        messages and the turn's texts. The span starts after it.
    c.  The turn may start like the generation prompt and then differ from it: without ``<think>``,
        for example. Then the generation prompt must start with a control token that occurs once
        between the earlier texts and the turn's texts, and the two must first differ at a control
        token, or where the turn's texts start. The span starts where they differ.
2.  End. The span ends after the terminator. To find it, two texts are compared: the text after the
    turn's last text when the conversation ends with this turn, and the text in the same place when
    another message follows. The terminator is in the common start of the two. White space around
    plain text does not count in this comparison. If the template accepts no message after this
    turn, there is only the first text.
    a.  The terminator is the EOS token, if the common start contains it.
    b.  Otherwise, if the first text has nothing more than the common start, the terminator is the
        last control token of the common start. If there is no second text, this holds only if the
        first text has a single control token. In all other cases, the terminator is the last
        control token of the common start that also ends the previous message.
    c.  If the common start contains no control token, the template ends a turn in one way at the
        end of a conversation and in another way within it. At the end of the conversation, the
        terminator is the only control token after the turn's last text. Within the conversation,
        it is the first control token after that text, if three conditions hold: this token also
        ends the previous message, the text in front of it is the same as at the end of a
        conversation, and only white space separates it from the next control token.
    d.  If the first text contains no control token, its plain text is the terminator, without
        trailing white space. The whole conversation must continue with it in that place.
3.  A span contains only the turn's texts and text of the template. If it contains a text of another
    message, the record is refused.
"""

from collections.abc import Sequence
from itertools import takewhile
from typing import NamedTuple

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.errors import RecordError
from sftprep.templates.jinja.traced_chat import TracedChat
from sftprep.templates.jinja.tracing import GENERATION, Rendering

TextAndTokens = Sequence[str | AddedToken]
"""A text as the sequence of its control tokens and of the plain texts between them."""


class Span(NamedTuple):
    """A range of trained characters, from ``start`` to ``end``, and the message it belongs to."""

    start: int
    end: int
    message: int


class Spans(NamedTuple):
    """The spans of a conversation, in order."""

    spans: list[Span]
    parity: bool  # whether the text before each span is what inference feeds


def marked_spans(rendering: Rendering, chat: TracedChat, trained: Sequence[int]) -> Spans:
    """Return the spans that the template marks itself.

    Args:
        rendering: the whole conversation.
        chat: renders parts of the conversation.
        trained: the messages that are to be trained.
    """
    spans = []
    opened = -1  # index of the opening mark
    for index, mark in enumerate(rendering.marks):
        if mark.origin != GENERATION:
            continue
        if mark.opens:
            opened = index
            continue
        inside = [rendering.origins[m.origin].path for m in rendering.marks[opened + 1 : index]]
        messages = {path[1] for path in inside if path[0] == "messages"}
        if len(messages) != 1:
            raise not_derivable(
                "a pair of its generation markers contains texts of no message or of several"
            )
        message = int(messages.pop())
        if message in trained:
            spans.append(Span(rendering.marks[opened].position, mark.position, message))
    if missing := set(trained) - {span.message for span in spans}:
        raise not_derivable(f"its generation markers leave out messages[{min(missing)}]")
    prompts = {s.message: chat.prompt(s.message, generation_prompt=True) for s in spans}
    return Spans(spans, all(rendering.text.startswith(prompt) for prompt in prompts.values()))


def derived_spans(
    rendering: Rendering,
    chat: TracedChat,
    trained: Sequence[int],
    controls: ControlTokens,
    eos: str | None,
) -> Spans:
    """Return the spans that the rules at the top of this module determine.

    Args:
        rendering: the whole conversation.
        chat: renders parts of the conversation.
        trained: the messages that are to be trained.
        controls: finds control tokens.
        eos: the EOS token.
    """
    spans: list[Span] = []
    parity = True
    for message in trained:
        own = rendering.positions(message)
        if not own:
            raise not_derivable(f"it does not write the text of messages[{message}]")
        first, last = min(own), max(own)
        others = rendering.other_positions(message)
        if any(first < position < last for position in others):
            raise not_derivable(f"it writes other text into messages[{message}]")
        before = max((p for p in others if p <= first), default=0)
        prompt = chat.prompt(message, generation_prompt=True)
        history = chat.prompt(message, generation_prompt=False)
        start, has_parity = _start(rendering.text, prompt, history, (before, first), controls)
        if start is None:
            raise not_derivable(f"the prompt before messages[{message}] is not found in it")
        parity &= has_parity
        end = last + _terminator_end(rendering, chat, message, controls, eos)
        spans.append(Span(start, end, message))
    return Spans(spans, parity)


def _start(
    text: str, prompt: str, history: str, gap: tuple[int, int], controls: ControlTokens
) -> tuple[int | None, bool]:
    """Find where a span starts (rule 1).

    Args:
        text: the whole conversation.
        prompt: the inference prompt: the messages before the turn, with the generation prompt.
        history: the same without the generation prompt.
        gap: where the texts of the earlier messages end, and where the turn's texts start.
        controls: finds control tokens.

    Returns:
        The start, or None if it is unknown; and whether the text before it is what inference feeds.
    """
    before, first = gap
    if text.startswith(prompt) and before <= len(prompt) <= first:
        return len(prompt), True
    added = prompt[_common_length(controls.split(prompt), controls.split(history)) :]
    between = text[before:first]
    if added and between.count(added) == 1:
        return before + between.index(added) + len(added), False
    header = _header_length(controls.split(between), controls.split(added))
    return (before + header if header else None), False


def _header_length(between: TextAndTokens, added: TextAndTokens) -> int:
    """Find the end of a turn's header that starts like the generation prompt (rule 1c).

    Args:
        between: the text between the texts of the earlier messages and the turn's texts.
        added: the generation prompt.

    Returns:
        The length of ``between`` up to the end of the header; 0 if it is unknown.
    """
    if not added or isinstance(added[0], str) or between.count(added[0]) != 1:
        return 0
    start = between.index(added[0])
    ours, theirs = between[start:], added
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        if one == other:
            continue
        if isinstance(one, str) and isinstance(other, str):
            same = _common_prefix_length(one, other)
            turn_text_next = index == len(ours) - 1 and not one[same:].strip()
            if not turn_text_next and same < len(other):
                return 0
        break
    return len(_joined(between[:start])) + _common_length(ours, theirs)


def _terminator_end(
    rendering: Rendering, chat: TracedChat, message: int, controls: ControlTokens, eos: str | None
) -> int:
    """Return how many characters after the turn's last text the terminator ends (rule 2)."""
    tail = controls.split(rendering.tail(message))
    at_end = controls.split(chat.until(message).tail(message))
    if not _tokens(at_end):  # rule 2d
        plain = _joined(at_end).rstrip()
        if not _joined(tail).startswith(plain):
            raise not_derivable(f"the end of messages[{message}] is not found in the conversation")
        return len(plain)
    is_followed = rendering.is_followed(message)
    followed: TextAndTokens | None = tail
    if not is_followed:
        text = chat.tail_when_followed(message)
        followed = None if text is None else controls.split(text)
    common = _common_items(at_end, at_end if followed is None else followed)
    previous = _previous_terminators(chat, message, controls)
    nothing_left = not _joined(at_end[common:]).strip()
    if followed is None and len(_tokens(at_end)) > 1:
        nothing_left = False
    tokens = _tokens(at_end[:common])
    ends = [i for i, token in tokens if token.content == eos][:1] or [
        i for i, token in tokens if nothing_left or token.content in previous
    ]
    if not ends and not tokens:
        ends = _differing_terminator(tail, at_end, previous if is_followed else None)
    if not ends:
        raise not_derivable(f"the terminator of messages[{message}] is not certain")
    return len(_joined(tail[: ends[-1] + 1]))


def _differing_terminator(
    tail: TextAndTokens, at_end: TextAndTokens, previous: set[str] | None
) -> list[int]:
    """Find the terminator where it differs at the end of a conversation and within it (rule 2c).

    Args:
        tail: the text after the turn's last text.
        at_end: the same when the conversation ends with this turn.
        previous: the control token that ends the previous message; None for the last turn.

    Returns:
        The index of the terminator in ``tail``, as a list; empty if it is unknown.
    """
    tokens = _tokens(tail)
    if previous is None:
        return [tokens[0][0]] if len(tokens) == 1 else []
    first = tokens[0][0] if tokens else -1
    header_next = len(tokens) > 1 and not _joined(tail[first + 1 : tokens[1][0]]).strip()
    same_lead = _joined(tail[:first]).strip() == _joined(at_end[: _tokens(at_end)[0][0]]).strip()
    is_certain = header_next and same_lead and tokens[0][1].content in previous
    return [first] if is_certain else []


def _previous_terminators(chat: TracedChat, message: int, controls: ControlTokens) -> set[str]:
    """Return the control token that ends the previous message, as a set; empty if none does."""
    if not message:
        return set()
    try:
        tail = chat.until(message - 1).tail(message - 1)
    except RecordError:  # the template does not accept a conversation that ends there
        return set()
    return {token.content for _, token in _tokens(controls.split(tail))[:1]}


def _common_length(ours: TextAndTokens, theirs: TextAndTokens) -> int:
    """Return the length of the common start of two texts; it never ends inside a control token.

    >>> _common_length(["ab"], ["ac"])
    1
    """
    length = 0
    for one, other in zip(ours, theirs, strict=False):
        if one != other:
            if isinstance(one, str) and isinstance(other, str):
                length += _common_prefix_length(one, other)
            break
        length += len(_joined([one]))
    return length


def _common_prefix_length(one: str, other: str) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _common_items(ours: TextAndTokens, theirs: TextAndTokens) -> int:
    """Return how many items two texts share at their start; outer white space does not count."""
    for index, (one, other) in enumerate(zip(ours, theirs, strict=False)):
        both_text = isinstance(one, str) and isinstance(other, str)
        if one != other and not (both_text and _joined([one]).strip() == _joined([other]).strip()):
            return index
    return min(len(ours), len(theirs))


def _tokens(items: TextAndTokens) -> list[tuple[int, AddedToken]]:
    """Return the control tokens, each with its index among the items."""
    return [(index, item) for index, item in enumerate(items) if isinstance(item, AddedToken)]


def _joined(items: TextAndTokens) -> str:
    return "".join([item.content if isinstance(item, AddedToken) else item for item in items])


def not_derivable(why: str) -> RecordError:
    """Return the error for a record whose spans cannot be determined."""
    return RecordError(
        "span_not_derivable",
        f"it is not certain what the chat template trains: {why}",
        "Use a template with {% generation %} markers, fix the record",
    )
