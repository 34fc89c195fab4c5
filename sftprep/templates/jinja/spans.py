"""Find the spans of a rendered conversation that are trained, and prove them, or refuse the record.

In     a rendered conversation that tells where each of its characters comes from; a way to render
       only a part of the conversation.
Out    for each turn that is to be trained, its span: in an answer, the characters from the end of
       the generation prompt to the end of the terminator.
Never  guesses.
Raises RecordError ``span_not_derivable``: the rules below do not determine a span.

A template with ``{% generation %}`` markers says itself what is trained. For all other templates,
these rules determine the span of a turn. "The turn's texts" are the texts that the record gives for
this turn, whichever fields they are in.

1.  Start. The span starts where the inference prompt ends. The inference prompt is the rendering of
    the messages before the turn, with ``add_generation_prompt``.
    a.  As a rule, the rendered conversation starts with the inference prompt. The prompt may end
        inside the turn's texts, if these begin as the generation prompt ends (``<think>``).
    b.  Some templates write earlier turns differently once they are history, so the conversation
        does not start with the inference prompt. Then the generation prompt, which is what
        ``add_generation_prompt`` adds, must occur exactly once between the texts of the earlier
        messages and the turn's texts. The span starts after it.
    c.  The turn may start like the generation prompt and then differ from it: without ``<think>``,
        for example. Then the generation prompt must start with a control token that occurs once
        between the earlier texts and the turn's texts, and the two must first differ at a control
        token, or where the turn's texts start. The span starts where they differ. If the template's
        loop tells where the turn begins, they may also differ within plain text, behind the first
        line; then the span starts with the line in which they differ.
    d.  White space around the generation prompt may differ. Then the prompt without it must occur
        exactly once between the earlier texts and the turn's texts; and if the template's loop does
        not tell where the turn begins, nothing but white space may stand between it and the latter.
    e.  If the template has no generation prompt, or one of white space only, the span starts where
        the template begins to write the turn.
    f.  The template may go on with an answer where the messages before it end, without a header, as
        behind a call's result in the same turn. Then the conversation must start with the rendering
        of the messages before the turn, and the turn's texts must follow at once.
    No inference asks for an answer at the start of a conversation or after another answer. The
    prompt of such a turn ends with the generation prompt that follows a user message (1b, 1c), if
    the turn begins with it.
2.  End. The span ends after the terminator.
    a.  As a rule, the template's loop writes the terminator together with the turn: it is the first
        stop token after the turn's last text; if there is none, the last control token.
    b.  Otherwise, two texts are compared: the text after the turn's last text when the conversation
        ends with this turn, and the text in the same place when another message follows. The
        terminator is in the common start of the two. White space around plain text does not count
        in this comparison. If the template accepts no message after this turn, there is only the
        first text.
        The terminator is the first stop token of the common start; or, if the first text has
        nothing more than the common start, the last control token of it. If there is no second
        text, this holds only if the first text has a single control token. In all other cases, the
        terminator is the last control token of the common start that also ends the previous
        message.
    c.  If the common start contains no control token, the template ends a turn in one way at the
        end of a conversation and in another way within it. At the end of the conversation, the
        terminator is the only control token after the turn's last text. Within the conversation,
        it is the first control token after that text, if three conditions hold: this token also
        ends the previous message, the text in front of it is the same as at the end of a
        conversation, and only white space separates it from the next control token.
    d.  If the first text contains no control token, its plain text is the terminator, without
        trailing white space; or as much of it as the template's loop writes with the turn. The
        whole conversation must continue with it in that place. If the next message begins with a
        stop token (``<|user|>``), the model stops by writing it: then the span ends after that
        token. If the turn has no terminator at all, any control token there is one.
3.  Of a message that is no answer, only the body is trained: from the start of its content to the
    first stop token behind its texts that the template's loop writes with it; if there is none, to
    the first control token before the next text of the record; else to the end of its texts.
4.  A span contains only the turn's texts and text of the template. If it contains a text of another
    message, the record is refused.
"""

from bisect import bisect_right
from collections.abc import Collection, Sequence
from itertools import accumulate, takewhile
from typing import NamedTuple

from sftprep.data.control_tokens import AddedToken, ControlTokens
from sftprep.errors import RecordError
from sftprep.templates.jinja.traced_chat import TracedChat
from sftprep.templates.jinja.tracing import Rendering, Turn

TextAndTokens = Sequence[str | AddedToken]
"""A text as the sequence of its control tokens and of the plain texts between them."""


class Span(NamedTuple):
    """A range of trained characters, from ``start`` to ``end``, and the message it belongs to."""

    start: int
    end: int
    message: int


class SpanIndex:
    """Finds the span in which a range lies.

    Args:
        spans: the spans.
    """

    def __init__(self, spans: Sequence[Span]) -> None:
        self._spans = sorted(spans)
        self._starts = [span.start for span in self._spans]
        self._ends = list(accumulate((span.end for span in self._spans), max))

    def find(self, start: int, end: int) -> Span | None:
        """Return a span in which a range lies; None if there is none."""
        index = bisect_right(self._starts, start) - 1
        while index >= 0 and end <= self._ends[index]:
            if end <= self._spans[index].end:
                return self._spans[index]
            index -= 1
        return None

    def holds(self, start: int, end: int) -> bool:
        """Tell whether a range lies in one of the spans."""
        return self.find(start, end) is not None


class Spans(NamedTuple):
    """The spans of a conversation, in order."""

    spans: list[Span]
    parity: bool  # whether the text before each span is what inference feeds


def marked_spans(
    rendering: Rendering, chat: TracedChat, trained: Collection[int], required: Collection[int]
) -> Spans:
    """Return the spans that the template marks itself.

    A body that holds no text of the record belongs to the message that the template's loop is at,
    or else to the message whose text is before it.

    Args:
        rendering: the whole conversation.
        chat: renders parts of the conversation.
        trained: the messages that are to be trained.
        required: those of them whose own flag says so.
    """
    spans = []
    to_train = set(trained)
    for start, end in rendering.generations:
        inside = [c for c in rendering.within(start, end + 1) if start <= c.start and c.end <= end]
        messages = {c.message for c in inside if c.message is not None}
        if not messages:
            at = rendering.written_at(start)
            at = rendering.message_before(start) if at is None else at
            messages = set() if at is None else {at}
        if not messages or (not messages <= to_train and messages & to_train):
            raise not_derivable(
                "a pair of its generation markers contains texts of no message, or of messages "
                "that are trained and of others"
            )
        if messages <= to_train:
            spans.append(Span(start, end, max(messages)))
    if missing := set(required) - {span.message for span in spans}:
        raise not_derivable(f"its generation markers leave out messages[{min(missing)}]")
    prompts = (chat.prompt(s.message, generation_prompt=True) for s in spans if s.message)
    return Spans(spans, all(p is None or rendering.text.startswith(p) for p in prompts))


class SpanFinder:
    """Determines spans by the rules at the top of this module.

    Args:
        rendering: the whole conversation.
        chat: renders parts of the conversation.
        roles: the roles of the messages.
        controls: finds control tokens.
        stops: the tokens that end a turn at inference, such as the EOS token.
    """

    def __init__(
        self,
        rendering: Rendering,
        chat: TracedChat,
        roles: Sequence[str],
        controls: ControlTokens,
        stops: Collection[str],
    ) -> None:
        self._rendering = rendering
        self._chat = chat
        self._roles = roles
        self._controls = controls
        self._stops = stops
        self._ends: dict[tuple[str, bool], int] = {}  # text after a turn, is it followed -> length

    def spans(self, trained: Sequence[int]) -> Spans:
        """Return the spans of these messages."""
        spans: list[Span] = []
        parity = True
        for message in trained:
            self._set_end(message)
            turn = self._rendering.turn(message)
            if turn is None:
                raise not_derivable(f"it does not write the text of messages[{message}]")
            if self._roles[message] != "assistant":
                spans.append(self._body(message, turn))
                prompt = self._chat.prompt(message, generation_prompt=False) if message else None
                parity &= prompt is None or self._rendering.text.startswith(prompt)
                continue
            if self._rendering.is_mixed(turn, message):
                raise not_derivable(f"it writes other text into messages[{message}]")
            start, has_parity = self._start(message, turn, self._rendering.previous_end(turn))
            parity &= has_parity
            spans.append(Span(start, self._end(message, turn), message))
        return Spans(spans, parity)

    def _body(self, message: int, turn: Turn) -> Span:
        """Return the span of a message that is no answer (rule 3)."""
        rendering = self._rendering
        inside = rendering.within(turn.start, turn.end + 1)
        own = [c for c in inside if c.origin.path[:3] == ("messages", message, "content")]
        if not own:
            raise not_derivable(f"it does not write the content of messages[{message}]")
        following = rendering.tail(turn)
        items = self._controls.split(following)
        finish = turn.finish if rendering.has_loop(message) else turn.end + len(following)
        tokens = [
            (turn.end + len(_joined(items[: index + 1])), token) for index, token in _tokens(items)
        ]
        stops = [end for end, token in tokens if end <= finish and token.content in self._stops]
        end = [*stops, *(end for end, _ in tokens), turn.end][0]
        others = [c for c in rendering.within(own[0].start, end) if c.end > c.start]
        if any(c.message != message for c in others):
            raise not_derivable(f"it writes other text into messages[{message}]")
        return Span(own[0].start, end, message)

    def _set_end(self, message: int) -> None:
        """Find where a turn ends in which the template writes texts of later messages.

        Some templates write the result of a call, with the name of the function, within the turn of
        the call. What is written without the later messages is the turn's own.
        """
        if self._rendering.holds_later(message):
            self._rendering.end_turn(message, self._chat.until(message).count(message))

    def _start(self, message: int, turn: Turn, before: int) -> tuple[int, bool]:
        """Find where a span starts (rule 1).

        Args:
            message: the index of the message.
            turn: where it stands.
            before: where the texts of the earlier messages end.

        Returns:
            The start; and whether the text before it is what inference feeds.
        """
        text = self._rendering.text
        follows_prompt = message > 0 and self._roles[message - 1] not in (
            "assistant", "system", "developer",
        )  # fmt: skip
        prompt = self._chat.prompt(message, generation_prompt=True)
        is_start = prompt is not None and text.startswith(prompt) and before <= len(prompt)
        in_loop = self._rendering.has_loop(message)
        begin = max(before, turn.begin) if in_loop else before
        between = text[begin : turn.start]
        if not follows_prompt:
            found = self._after(between, self._chat.generation_prompt(), in_loop=in_loop)
            if found is not None and not (is_start and prompt and len(prompt) > begin + found):
                return begin + found, is_start and prompt == text[: begin + found]
        if is_start and prompt is not None and len(prompt) <= turn.end:
            return len(prompt), True
        added = self._added(message, prompt, text[:begin] if in_loop else None)
        found = self._after(between, added, in_loop=in_loop)
        if found is None and not added.strip() and begin > before:
            found = _common_prefix_length(between, added)  # rule 1e
        if found is None and self._follows_at_once(message, turn):
            return turn.start, False
        if found is None:
            raise not_derivable(f"the prompt before messages[{message}] is not found in it")
        return begin + found, False

    def _follows_at_once(self, message: int, turn: Turn) -> bool:
        """Tell whether a turn's texts follow the messages before it without a header (rule 1f)."""
        history = self._chat.prompt(message, generation_prompt=False)
        return history is not None and history == self._rendering.text[: turn.start]

    def _added(self, message: int, prompt: str | None, before: str | None) -> str:
        """Return the generation prompt that inference would add before a message.

        Args:
            message: the index of the message.
            prompt: the inference prompt; None if the template does not accept it.
            before: the conversation up to where the template begins to write the message; None if
                that is unknown.
        """
        if prompt is not None and before is not None and prompt.startswith(before):
            return prompt[len(before) :]
        history = self._chat.prompt(message, generation_prompt=False)
        if prompt is None or history is None:
            return self._chat.generation_prompt()
        if prompt.startswith(history):
            return prompt[len(history) :]
        common = _common_length(self._controls.split(prompt), self._controls.split(history))
        return prompt[common:]

    def _after(self, between: str, added: str, *, in_loop: bool) -> int | None:
        """Return where a generation prompt ends in the text before a turn (rules 1b to 1d).

        Args:
            between: the text before the turn's texts.
            added: the generation prompt.
            in_loop: whether ``between`` is only what the template's loop writes with the turn.
        """
        if added and between.count(added) == 1:
            return between.index(added) + len(added)
        core = added.strip()
        if core and between.count(core) == 1:
            end = between.index(core) + len(core)
            if in_loop or not between[end:].strip():
                space = added[len(added.rstrip()) :]
                return end + _common_prefix_length(between[end:], space)
        ours, theirs = self._controls.split(between), self._controls.split(added.lstrip())
        return _header_length(ours, theirs, in_loop=in_loop) or None

    def _end(self, message: int, turn: Turn) -> int:
        """Return where a span ends (rule 2)."""
        rendering = self._rendering
        if rendering.has_loop(message):
            limit = rendering.next_content(turn)
            finish = turn.finish if limit is None else min(turn.finish, limit)
            items = self._controls.split(rendering.text[turn.end : finish])
            tokens = _tokens(items)
            stops = [i for i, token in tokens if token.content in self._stops]
            if stops:
                return turn.end + len(_joined(items[: stops[0] + 1]))
            if tokens:
                end = len(_joined(items[: tokens[-1][0] + 1]))
                rest = rendering.tail(turn)[end:]
                return turn.end + end + (0 if rest[:1].isspace() else self._stop_length(rest))
        key = (rendering.tail(turn), rendering.next_content(turn) is not None)
        if key not in self._ends:
            self._ends[key] = self._end_by_comparison(message, turn)
        return turn.end + self._ends[key]

    def _end_by_comparison(self, message: int, turn: Turn) -> int:
        """Return how many characters after the turn's last text the terminator ends."""
        rendering = self._rendering
        tail = self._controls.split(rendering.tail(turn))
        at_end = self._tail_at_end(message)
        if not _tokens(at_end):  # rule 2d
            plain = _joined(at_end).rstrip()
            if rendering.has_loop(message):
                finish = min(turn.finish, turn.end + len(_joined(tail)))
                plain = rendering.text[turn.end : finish].rstrip()
            if not _joined(tail).startswith(plain):
                raise not_derivable(
                    f"the end of messages[{message}] is not found in the conversation"
                )
            rest = _joined(tail)[len(plain) :]
            return len(plain) + self._stop_length(rest, stops_only=bool(plain))
        is_followed = rendering.next_content(turn) is not None
        followed: TextAndTokens | None = tail
        if not is_followed:
            other = self._chat.when_followed(message)
            there = None if other is None else other.turn(message)
            followed = (
                None if other is None or there is None else self._controls.split(other.tail(there))
            )
        common = _common_items(at_end, at_end if followed is None else followed)
        previous = self._previous_terminators(message)
        nothing_left = not _joined(at_end[common:]).strip()
        if followed is None and len(_tokens(at_end)) > 1:
            nothing_left = False
        tokens = _tokens(at_end[:common])
        ends = [i for i, token in tokens if token.content in self._stops][:1] or [
            i for i, token in tokens if nothing_left or token.content in previous
        ]
        if not ends and not tokens:
            ends = _differing_terminator(tail, at_end, previous if is_followed else None)
        if not ends:
            raise not_derivable(f"the terminator of messages[{message}] is not certain")
        return len(_joined(tail[: ends[-1] + 1]))

    def stop_after(self, message: int) -> str:
        """Return the stop token that begins the message after this one; "" if none does."""
        other = self._chat.when_followed(message)
        turn = None if other is None else other.turn(message)
        if other is None or turn is None:
            return ""
        tail = other.tail(turn)
        return tail[: self._stop_length(tail)].strip()

    def _stop_length(self, tail: str, *, stops_only: bool = True) -> int:
        """Return where the stop token with which this text begins ends; 0 if there is none.

        Args:
            tail: a text after a turn.
            stops_only: False: any control token counts.
        """
        items = self._controls.split(tail)
        lead = 1 if len(items) > 1 and isinstance(items[0], str) and not items[0].strip() else 0
        first = items[lead] if items else ""
        if isinstance(first, AddedToken) and (not stops_only or first.content in self._stops):
            return len(_joined(items[: lead + 1]))
        return 0

    def _tail_at_end(self, message: int) -> TextAndTokens:
        """Return the text after a turn's last text when the conversation ends with it."""
        rendering = self._chat.until(message)
        turn = rendering.turn(message)
        if turn is None:
            raise not_derivable(f"it does not write the text of messages[{message}]")
        return self._controls.split(rendering.tail(turn))

    def _previous_terminators(self, message: int) -> set[str]:
        """Return the control token that ends the previous message, as a set; empty if none does."""
        if not message:
            return set()
        try:
            tail = self._tail_at_end(message - 1)
        except RecordError:  # the template does not accept a conversation that ends there
            return set()
        return {token.content for _, token in _tokens(tail)[:1]}


def _header_length(between: TextAndTokens, added: TextAndTokens, *, in_loop: bool) -> int:
    """Find the end of a turn's header that starts like the generation prompt (rule 1c).

    Args:
        between: the text between the texts of the earlier messages and the turn's texts.
        added: the generation prompt.
        in_loop: as for ``SpanFinder._after``.

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
                line = one[:same].rfind("\n") + 1
                header = [*between[: start + index], one[:line]]
                return len(_joined(header)) if in_loop and line else 0
        break
    return len(_joined(between[:start])) + _common_length(ours, theirs)


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
