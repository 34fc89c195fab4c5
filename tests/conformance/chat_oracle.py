"""A slow and obvious reference for rows made with chat templates, written from the manual alone.

It shares no code with the program that it judges. ``transformers`` renders every text. For one
record the oracle tells the ids of the row, and two masks: the tokens that must be trained and those
that may be. The two are equal where the manual and the design decide; where they do not, the mask
of a right row lies between them. The rules:

* The final text is what ``apply_chat_template`` gives. Arguments of a tool call that are JSON text
  are an object, if the template takes one; a template that copies the text may do so. A content
  that is a list of text parts is one text, if the template writes the list as Python or JSON does,
  leaves a part out, or fails with it. Where a content of null beside a call, which transformers
  leaves out, makes the template fail, the template may get the null, or an empty text.
* A call of which the template writes nothing need not be trained: its message may be.
* If the template has ``{% generation %}`` markers, they alone say what is trained.
* Otherwise an answer is trained from the end of the prompt that inference feeds (the messages
  before it, with ``add_generation_prompt``) to the end of the first token that ends a turn. If no
  such token follows the last answer, a row may have one appended.
* If that prompt is no prefix of the final text, because the template writes earlier messages
  otherwise, the answer begins behind what the prompt has after the text of the last message before
  the answer. A first assistant message begins behind its own header.
* A token that lies across the boundary belongs to the prompt.
* What the template writes is a control token; what it copies from the record is text. The literals
  that the template writes are told from those it compares and splits with by its syntax tree: each
  written one is replaced by a character of its own, and the text must be the same otherwise.
* To find where the text of a message stands, the message is changed and rendered again: the first
  and the last difference between both renderings are its ends.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any
from unittest import mock

from chat_tokenizers import parsed

FLAGS = ("train", "trainable", "training", "loss", "loss_mask", "weight")
ARGUMENTS = ("enable_thinking", "thinking")
FIRST_MARK = 0xF0000  # private-use characters that stand for the tokens that a template writes
FIRST_COPY = 0xF8000  # and for those that a record holds
OPEN, CLOSE = "\U00100001", "\U00100002"  # characters with which a message is changed
SEARCHES = frozenset(
    (
        "split", "rsplit", "startswith", "endswith", "find", "rfind", "index", "count", "strip",
        "lstrip", "rstrip", "partition", "rpartition", "removeprefix", "removesuffix", "get",
    )
)  # fmt: skip
NO_END = "no token ends the answer"
# A prompt may end with the token that begins the reasoning, or the answer begin with it.
OPENING = re.compile(r"[<\[][^<>/\[\]]*think[^<>\[\]]*[>\]]\s*$", re.IGNORECASE)
THINKING = re.compile(
    r"\s*[<\[][^<>/\[\]]*think[^<>\[\]]*[>\]]\s*(</[^<>]*think[^<>]*>\s*)?$", re.IGNORECASE
)
GENERATION = re.compile(r"\{%-?\s*generation\s*-?%\}")

Record = dict[str, Any]
Span = tuple[int, int]
Control = tuple[int, int, int]  # start, end, id


class RefusalError(Exception):
    """What transformers says of a record that the template cannot render."""


class UndeterminedError(Exception):
    """Neither manual nor design says what the row is."""


@dataclass
class Row:
    """One right row: its ids, the tokens that must be trained and those that may be."""

    ids: list[int]
    must: list[bool]
    may: list[bool]
    why: list[str] = field(default_factory=list)  # why ``must`` and ``may`` differ
    may_append: list[int] = field(default_factory=list)  # ids, one of which may end the row
    leaves_out: bool = False  # the template writes nothing of a message that is to be trained

    def takes(self, ids: Sequence[int], trained: Sequence[bool]) -> str:
        """Return what is wrong with a row: "", "ids" or "mask"."""
        ids, trained = list(ids), list(trained)
        if len(ids) == len(self.ids) + 1 and ids[-1] in self.may_append and trained[-1]:
            ids, trained = ids[:-1], trained[:-1]
        if ids != self.ids:
            return "ids"
        fits = all(
            must <= is_trained <= may
            for must, is_trained, may in zip(self.must, trained, self.may, strict=True)
        )
        return "" if fits else "mask"


class Midnight(datetime):
    """The clock of templates that write today's date."""

    @classmethod
    def now(cls, tz: Any = None) -> "Midnight":
        """Return the day that the oracle takes for today."""
        return cls(2026, 12, 1, tzinfo=tz)


class ChatOracle:
    """What the rows of records are with one template and one tokenizer.

    Args:
        tokenizer: a tokenizer of transformers, with all control tokens.
        source: the chat template.
        stops: the tokens that end a turn.
        boundary: ``joint`` or ``split``, as the option of this name.
    """

    def __init__(self, tokenizer: Any, source: str, stops: Sequence[str], boundary: str) -> None:
        self.tokenizer, self.source, self.boundary = tokenizer, source, boundary
        self.controls: dict[str, int] = dict(tokenizer.added_tokens_encoder)
        longest = sorted(self.controls, key=len, reverse=True)
        self.control = re.compile("|".join(map(re.escape, longest)))
        self.stops = {self.controls[stop] for stop in stops if stop in self.controls}
        self.marks = {token: chr(FIRST_MARK + place) for place, token in enumerate(longest)}
        self.has_markers = GENERATION.search(source) is not None
        self.marked = self._mark_template()
        self._rendered: dict[str, str | RefusalError] = {}  # record and prompt -> text

    # --- what transformers renders ---------------------------------------------------------------

    def render(self, chat: Record, messages: list[Record], *, prompt: bool = False) -> str:
        """Return the text of messages; with ``prompt``, the prompt that inference feeds."""
        key = json.dumps(
            [messages, chat["tools"], chat["arguments"], prompt, chat.get("keeps_nulls")]
        )
        if key not in self._rendered:
            try:
                self._rendered[key] = self._render(chat, messages, prompt=prompt)
            except RefusalError as refusal:
                self._rendered[key] = refusal
        text = self._rendered[key]
        if isinstance(text, RefusalError):
            raise text
        return text

    def _render(self, chat: Record, messages: list[Record], *, prompt: bool) -> str:
        from transformers.utils import chat_template_utils

        try:
            with mock.patch.object(chat_template_utils, "datetime", Midnight), nulls(chat):
                text = self.tokenizer.apply_chat_template(
                    messages,
                    tools=chat["tools"],
                    chat_template=self.source,
                    add_generation_prompt=prompt,
                    tokenize=False,
                    **chat["arguments"],
                )
        except Exception as error:  # a template is a program: anything may happen
            raise RefusalError(f"{type(error).__name__}: {error}") from error
        return str(text)

    def _mark_template(self) -> Any:
        """Return the template with every control token that it writes as one private character."""
        from jinja2 import Template, nodes
        from transformers.utils import chat_template_utils

        tree = parsed(self.source)
        consts = [const for node in _searches(tree) for const in _consts(node)]
        searched = {id(const) for const in consts}
        texts = [const.value for const in consts if isinstance(const.value, str)]
        self.searched = {token for text in texts for token in self.control.findall(text)}
        for node in tree.find_all(nodes.TemplateData):
            node.data = self._replace_controls(node.data)
        for node in tree.find_all(nodes.Const):
            if isinstance(node.value, str) and id(node) not in searched:
                node.value = self._replace_controls(node.value)
        environment = chat_template_utils._compile_jinja_template(self.source).environment
        return Template.from_code(
            environment, environment.compile(tree), environment.make_globals(None)
        )

    def _replace_controls(self, text: str) -> str:
        return self.control.sub(lambda found: self.marks[found[0]], text)

    def _render_marked(self, chat: Record, messages: list[Record], *, prompt: bool) -> str:
        from transformers.utils import chat_template_utils

        special = self.tokenizer.special_tokens_map
        named = {name: self._replace_controls(text) for name, text in special.items()}
        marked = {**chat, "arguments": {**named, **chat["arguments"]}}
        compiled = mock.patch.object(
            chat_template_utils, "_compile_jinja_template", return_value=self.marked
        )
        with compiled:
            return self._render(marked, messages, prompt=prompt)

    # --- control tokens --------------------------------------------------------------------------

    def control_spans(
        self, chat: Record, messages: list[Record], final: str, *, prompt: bool = False
    ) -> list[Control]:
        """Return (start, end, id) of each control token in the text of messages."""
        held = {token for text in strings_of(chat) for token in self.control.findall(text)}
        if not held:
            return [
                (found.start(), found.end(), self.controls[found[0]])
                for found in self.control.finditer(final)
            ]
        # Contents get a character in place of each token for which the template does not look.
        copied = {
            token: chr(FIRST_COPY + place)
            for place, token in enumerate(self.marks)
            if token not in self.searched
        }
        for stand_ins in (copied, {}):
            with contextlib.suppress(RefusalError):
                covered = [
                    covered_message(message, self.control, stand_ins) for message in messages
                ]
                tools = covered_value(chat["tools"], self.control, stand_ins)
                given = {**chat, "tools": tools}
                marked = self._render_marked(given, covered, prompt=prompt)
                spans = self._read_marks(marked, final, held, stand_ins)
                if spans is not None:
                    return spans
        raise UndeterminedError("control tokens: the template also searches for what it writes")

    def _read_marks(
        self, marked: str, final: str, held: set[str], stand_ins: dict[str, str]
    ) -> list[Control] | None:
        """Return the control tokens of a marked text; None if it is not the final text."""
        spans: list[Control] = []
        text = ""
        tokens = {mark: token for token, mark in self.marks.items()}
        copies = {mark: token for token, mark in stand_ins.items()}
        for piece in re.split(f"([{''.join([*tokens, *copies])}])", marked):
            if piece in tokens:
                token = tokens[piece]
                spans.append((len(text), len(text) + len(token), self.controls[token]))
                text += token
            elif piece in copies:
                text += copies[piece]
            else:
                for found in self.control.finditer(piece):  # e.g. '<|' + message.role + '|>'
                    if found[0] not in held or found[0] in stand_ins:
                        start = len(text) + found.start()
                        spans.append((start, start + len(found[0]), self.controls[found[0]]))
                text += piece
        return spans if text == final else None

    # --- where the texts of a message are --------------------------------------------------------

    def text_span(
        self, chat: Record, messages: list[Record], place: int, final: str, *, prompt: bool = False
    ) -> Span | None:
        """Return where the text of one message stands; None if changes to it do not show."""
        starts, ends = [], []
        for change in self.changes:
            changed = [*messages[:place], changed_message(messages[place], change)]
            try:
                other = self.render(chat, changed + messages[place + 1 :], prompt=prompt)
            except RefusalError:
                continue
            if other != final:
                starts.append(common_prefix(final, other))
                ends.append(len(final) - common_prefix(final[::-1], other[::-1]))
        return (min(starts), max(ends)) if starts and min(starts) <= max(ends) else None

    def call_span(self, chat: Record, place: int, final: str) -> Span | None:
        """Return where a call stands, without its name that is written with the result; or None."""
        messages = chat["messages"][: place + 1]
        try:
            alone = self.render(chat, messages)
        except RefusalError:
            return None
        span = self.text_span(chat, messages, place, alone)
        return span if span and final.startswith(alone[: span[1]]) else None

    @property
    def changes(self) -> list[Callable[[str], str]]:
        """The ways in which texts are changed to find them; a template may lose some of them."""
        return [
            lambda text: OPEN + text,
            lambda text: text + CLOSE,
            lambda text: self.control.sub(lambda found: found[0] + OPEN, text),
            lambda text: self.control.sub(lambda found: CLOSE + found[0], text),
        ]

    # --- which characters are trained ------------------------------------------------------------

    def spans(
        self, chat: Record, final: str, controls: list[Control]
    ) -> Iterator[tuple[Span, Span, str]]:
        """Return for each trained answer what must be trained, what may be, and why they differ."""
        messages = chat["messages"]
        texts = [self.text_span(chat, messages, place, final) for place in range(len(messages))]
        for place, message in enumerate(messages):
            if message.get("tool_calls") and place + 1 < len(messages):
                texts[place] = self.call_span(chat, place, final) or texts[place]
        for place, message in enumerate(messages):
            if message["role"] != "assistant" or not chat["trained"][place]:
                continue
            here = texts[place]
            if here is None:
                raise UndeterminedError(f"messages[{place}]: its text is not in the final text")
            after = texts[place + 1] if place + 1 < len(messages) else (len(final), len(final))
            before = texts[place - 1] if place else (0, 0)
            if after is None or before is None or not before[1] <= here[0] <= here[1] <= after[0]:
                raise UndeterminedError(f"messages[{place}]: its neighbours are not beside it")
            sure, first, why = self.start(chat, place, final, before[1], here)
            if here[0] == here[1] and message.get("tool_calls"):
                sure, why = after[0], f"{why} nothing of the call is written"
            ends = (e for s, e, id_ in controls if here[1] <= s < after[0] and id_ in self.stops)
            end = next(ends, None)
            if end is None:
                yield (sure, here[1]), (first, after[0]), f"{why} {NO_END}".strip()
                continue
            yield (sure, end), (first, end), why

    def start(
        self, chat: Record, place: int, final: str, low: int, here: Span
    ) -> tuple[int, int, str]:
        """Return from where an answer must be trained, from where it may be, and why they differ.

        Args:
            chat: the record.
            place: the number of the answer's message.
            final: the final text.
            low: the end of the text of the message before.
            here: where the answer's own text stands.
        """
        messages = chat["messages"]
        header = self.header(chat)
        talk = any(message["role"] not in ("system", "developer") for message in messages[:place])
        prompt = None
        if talk:
            try:
                prompt = self.render(chat, messages[:place], prompt=True)
            except RefusalError:
                prompt = None
        if prompt is None:
            return self._behind(final, header, low, here, "no prompt of inference:")
        if final.startswith(prompt):
            bare = here[0] > len(prompt) and final[len(prompt) : here[0]].strip()
            ends_with_header = header and prompt.endswith(header.rstrip()[-8:])
            if bare and not ends_with_header and not prompt.endswith(header or "\0"):
                soft = self._behind(final, header, len(prompt), here, "")
                return max(soft[0], len(prompt)), len(prompt), "the prompt has no header:"
            return len(prompt), len(prompt), ""
        # The template writes what comes before otherwise: compare what follows the message before.
        span = self.text_span(chat, messages[:place], place - 1, prompt, prompt=True)
        if span is None:
            return self._behind(final, header, low, here, "the prompt is no prefix:")
        return self._behind(final, prompt[span[1] :], low, here, "the prompt is no prefix:", at=low)

    def _behind(
        self, final: str, header: str, low: int, here: Span, why: str, at: int | None = None
    ) -> tuple[int, int, str]:
        """Find the longest beginning of a header before an answer's text, and start behind it."""
        for size in range(len(header), 0, -1):
            if at is None:
                found = final.rfind(header[:size], low, here[0] + size)
            else:
                found = at if final.startswith(header[:size], at) else -1
            if not 0 <= found <= here[0]:
                continue
            start = found + self._not_in_tag(header, size, final, found)
            whole = len(header) == start - found
            possible = low + len(OPENING.sub("", final[low:start]))
            has_core = start - found >= len(THINKING.sub("", header))
            if whole or (has_core and possible == start):
                return start, start, ""
            return max(start, here[0]), min(possible, here[0]), why
        return here[0], low, why

    def _not_in_tag(self, header: str, size: int, final: str, found: int) -> int:
        """Return the size of a common beginning that does not end inside a control token."""
        for text, shift in ((header, 0), (final, found)):
            for tag in self.control.finditer(text):
                if tag.start() < shift + size < tag.end():
                    size = tag.start() - shift
        return max(size, 0)

    def header(self, chat: Record) -> str:
        """Return what the generation prompt adds to a user's message."""
        messages = [{"role": "user", "content": "Hello"}]
        plain = {**chat, "tools": None}
        try:
            without = self.render(plain, messages)
            prompt = self.render(plain, messages, prompt=True)
        except RefusalError:
            return ""
        return prompt[len(without) :] if prompt.startswith(without) else ""

    # --- rows ------------------------------------------------------------------------------------

    def encode(
        self, final: str, controls: list[Control], cuts: Sequence[int]
    ) -> tuple[list[int], list[Span]]:
        """Return ids and characters of each token; text is encoded apart on both sides of a cut."""
        ids: list[int] = []
        spans: list[Span] = []
        edges = sorted(
            {0, len(final), *cuts, *(e for s, e, _ in controls), *(s for s, *_ in controls)}
        )
        token_at = {(start, end): id_ for start, end, id_ in controls}
        for left, right in pairwise(edges):
            if (left, right) in token_at:
                ids.append(token_at[left, right])
                spans.append((left, right))
                continue
            made = self.plain.encode(final[left:right])
            ids += made.ids
            spans += [(left + start, left + end) for start, end in made.offsets]
        return ids, spans

    @property
    def plain(self) -> Any:
        """The tokenizer without its control tokens."""
        if not hasattr(self, "_plain"):
            from tokenizers import Tokenizer

            spec = json.loads(self.tokenizer.backend_tokenizer.to_str())
            spec["added_tokens"], spec["post_processor"] = [], None
            self._plain = Tokenizer.from_str(json.dumps(spec))
        return self._plain

    def rows(self, record: Record) -> list[Row]:
        """Return the right rows of a record, the best first.

        Raises:
            RefusalError: transformers does not render it.
            UndeterminedError: what the row is, the manual does not say.
        """
        rows: list[Row] = []
        refusal: RefusalError | None = None
        undetermined: UndeterminedError | None = None
        for chat in readings(record, self.render):
            try:
                final = self.render(chat, chat["messages"])
            except RefusalError as error:
                refusal = refusal or error
                continue
            try:
                rows += self._rows(chat, final)
            except UndeterminedError as error:
                undetermined = undetermined or error
        if not rows:
            raise undetermined or refusal or RefusalError("no reading")
        return rows

    def _rows(self, chat: Record, final: str) -> Iterator[Row]:
        controls = self.control_spans(chat, chat["messages"], final)
        fed = self.fed(chat, final) - set(controls)
        yield from self._rows_of(chat, final, controls)
        if fed:  # the prompt of inference has a token where the final text copies a message
            yield from self._rows_of(chat, final, sorted({*controls, *fed}))

    def fed(self, chat: Record, final: str) -> set[Control]:
        """Return the control tokens of the prompts of inference that are prefixes."""
        found: set[Control] = set()
        for place, message in enumerate(chat["messages"]):
            if place and message["role"] == "assistant" and self.control.search(str(message)):
                before = chat["messages"][:place]
                with contextlib.suppress(RefusalError, UndeterminedError):
                    prompt = self.render(chat, before, prompt=True)
                    if final.startswith(prompt):
                        found.update(self.control_spans(chat, before, prompt, prompt=True))
        return found

    def _rows_of(self, chat: Record, final: str, controls: list[Control]) -> Iterator[Row]:
        why: list[str] = []
        appended: list[int] = []
        if self.has_markers:
            sure = possible = self._flagged(chat, final, self._marker_spans(chat))
            ends = [end for _, end in sure]
        else:
            try:
                found = list(self.spans(chat, final, controls))
            except UndeterminedError as error:  # the ids are known nevertheless
                found = [((0, 0), (0, len(final)), str(error))]
            sure, possible = [must for must, _, _ in found], [may for _, may, _ in found]
            ends = [end for (_, end), _, reason in found if NO_END not in reason]
            why = [reason for _, _, reason in found if reason]
            if found and NO_END in found[-1][2] and found[-1][1][1] == len(final):
                appended = sorted(self.stops)
        lost = any(
            self.text_span(chat, chat["messages"], place, final) is None
            for place, message in enumerate(chat["messages"])
            if message["role"] == "assistant" and chat["trained"][place]
        )
        cuts: list[list[int]] = [[]]
        if self.boundary == "split":  # where the start is not certain, the cut is not
            cuts = [[start for start, _ in spans] + ends for spans in (sure, possible)]
        for cut in cuts[:1] if cuts[0] == cuts[-1] else cuts:
            ids, must, may = self._masks(chat, final, controls, cut, sure, possible)
            yield Row(ids, must, may, why, appended, lost)

    def _masks(
        self,
        chat: Record,
        final: str,
        controls: list[Control],
        cuts: list[int],
        sure: list[Span],
        possible: list[Span],
    ) -> tuple[list[int], list[bool], list[bool]]:
        """Return the ids of a text, and which of them must be trained and may be."""
        ids, characters = self.encode(final, controls, cuts)
        held = any(self.control.search(text) for text in strings_of(chat))
        if self.boundary == "joint" and not held:
            assert ids == self._ids_of_transformers(chat), "the oracle encodes otherwise"
        if self.has_markers:  # transformers counts a straddling token as trained
            may = [any(s < b and e > a for a, b in possible) for s, e in characters]
        else:
            may = [any(a <= s < b for a, b in possible) for s, e in characters]
        must = [any(a <= s and e <= b for a, b in sure) for s, e in characters]
        return ids, must, may

    def _flagged(self, chat: Record, final: str, spans: list[Span]) -> list[Span]:
        """Return the spans of the markers without those of answers that are not to be trained."""
        for place, is_trained in enumerate(chat["trained"]):
            if not is_trained:
                text = self.text_span(chat, chat["messages"], place, final)
                if text is None:
                    raise UndeterminedError(f"messages[{place}]: which markers are its own?")
                spans = [(a, b) for a, b in spans if b <= text[0] or a >= text[1]]
        return spans

    def _ids_of_transformers(self, chat: Record) -> list[int]:
        from transformers.utils import chat_template_utils

        with mock.patch.object(chat_template_utils, "datetime", Midnight), nulls(chat):
            made = self.tokenizer.apply_chat_template(
                chat["messages"],
                tools=chat["tools"],
                chat_template=self.source,
                **chat["arguments"],
            )
        return list(made["input_ids"])

    def _marker_spans(self, chat: Record) -> list[Span]:
        from transformers.utils import chat_template_utils

        with mock.patch.object(chat_template_utils, "datetime", Midnight):
            _, spans = chat_template_utils.render_jinja_template(
                [
                    [
                        {k: v for k, v in m.items() if v is not None or chat.get("keeps_nulls")}
                        for m in chat["messages"]
                    ]
                ],
                tools=chat["tools"],
                chat_template=self.source,
                return_assistant_tokens_mask=True,
                **{**self.tokenizer.special_tokens_map, **chat["arguments"]},
            )
        return [(int(start), int(end)) for start, end in spans[0]]


# --- records ------------------------------------------------------------------------------------


def readings(record: Record, render: Callable[..., str]) -> Iterator[Record]:
    """Return the ways in which a record may be given to the template, the best first."""
    messages = [
        {key: value for key, value in message.items() if key not in FLAGS}
        for message in record["messages"]
    ]
    for message in messages:
        if message.get("tool_calls") == []:
            del message["tool_calls"]
    flags = [[m[flag] for flag in FLAGS if flag in m] for m in record["messages"]]
    chat = {
        "tools": record.get("tools"),
        "trained": [bool(found[0]) if found else True for found in flags],
        "arguments": {
            **(record.get("chat_template_kwargs") or {}),
            **{name: record[name] for name in ARGUMENTS if name in record},
        },
    }
    messages = with_texts(chat, messages, render)
    objects = with_arguments(messages, lambda value: json.loads(value) if is_text(value) else value)
    texts = with_arguments(
        messages, lambda value: value if is_text(value) else json.dumps(value, ensure_ascii=False)
    )
    has_texts = objects != messages
    yield {**chat, "messages": objects}
    try:
        render({**chat}, objects)
        takes_objects = True
    except RefusalError:
        takes_objects = False
    if texts != objects and (has_texts or not takes_objects):
        try:
            written = render({**chat}, texts)
        except RefusalError:
            written = ""
        quoted = [json.dumps(text, ensure_ascii=False) for text in arguments_of(texts)]
        if written and not any(text in written for text in quoted):
            yield {**chat, "messages": texts}
    if any(m.get("content", "") is None for m in messages) and not takes_objects:
        for made in (objects, texts):
            yield {**chat, "messages": made, "keeps_nulls": True}
            filled = [{**m, "content": m["content"] or ""} if "content" in m else m for m in made]
            yield {**chat, "messages": filled}


def nulls(chat: Record) -> contextlib.AbstractContextManager[Any]:
    """Let transformers pass contents of null on to the template, if the reading is of this kind."""
    from transformers import tokenization_utils_base

    if not chat.get("keeps_nulls"):
        return contextlib.nullcontext()
    return mock.patch.object(tokenization_utils_base, "_normalize_chat_messages", list)


def with_texts(chat: Record, messages: list[Record], render: Callable[..., str]) -> list[Record]:
    """Return the messages; lists of parts are joined where the template takes texts only."""
    for place, message in enumerate(messages):
        if not isinstance(message.get("content"), list):
            continue
        parts = [part["text"] for part in message["content"]]
        joined = [*messages]
        joined[place] = {**message, "content": "".join(parts)}
        try:
            as_list, as_text = render(chat, messages), render(chat, joined)
        except RefusalError:
            messages = joined
            continue
        shows_keys = any(as_list.count(key) > as_text.count(key) for key in ("'type'", '"type"'))
        if shows_keys or any(part.strip() not in as_list for part in parts):
            messages = joined
    return messages


def is_text(value: Any) -> bool:
    """Tell whether arguments are JSON text."""
    return isinstance(value, str)


def with_arguments(messages: list[Record], change: Callable[[Any], Any]) -> list[Record]:
    """Return the messages with the arguments of all calls changed."""
    changed = []
    for message in messages:
        if message.get("tool_calls"):
            made = []
            for one in message["tool_calls"]:
                function = {**one["function"], "arguments": change(one["function"]["arguments"])}
                made.append({**one, "function": function})
            changed.append({**message, "tool_calls": made})
        else:
            changed.append(message)
    return changed


def arguments_of(messages: list[Record]) -> list[Any]:
    """Return the arguments of all calls."""
    return [c["function"]["arguments"] for m in messages for c in m.get("tool_calls") or []]


def changed_message(message: Record, change: Callable[[str], str]) -> Record:
    """Return a message with each of its texts changed: content, reasoning, and its calls'."""
    changed = dict(message)
    for key in ("content", "reasoning_content", "reasoning", "thinking"):
        if isinstance(changed.get(key), str):
            if changed[key] or not message.get("tool_calls"):
                changed[key] = change(changed[key])
        elif isinstance(changed.get(key), list):
            changed[key] = [{**part, "text": change(part["text"])} for part in changed[key]]
    if message.get("tool_calls"):
        made = []
        for one in message["tool_calls"]:
            function = one["function"]
            arguments = function["arguments"]
            if isinstance(arguments, str):
                arguments = changed_json(arguments, change)
            else:
                arguments = changed_value(arguments, change)
            name = change(function["name"])
            made.append({**one, "function": {**function, "name": name, "arguments": arguments}})
        changed["tool_calls"] = made
    return changed


def covered_message(message: Record, control: re.Pattern[str], by: dict[str, str]) -> Record:
    """Return a message with control tokens in its texts replaced; role and ids stay."""
    return {
        key: value if key in ("role", "tool_call_id") else covered_value(value, control, by)
        for key, value in message.items()
    }


def covered_value(value: Any, control: re.Pattern[str], by: dict[str, str]) -> Any:
    """Return a value with control tokens in all of its texts replaced, keys excepted."""
    if isinstance(value, str):
        return control.sub(lambda found: by.get(found[0], found[0]), value)
    if isinstance(value, dict):
        return {key: covered_value(item, control, by) for key, item in value.items()}
    if isinstance(value, list):
        return [covered_value(item, control, by) for item in value]
    return value


def changed_json(text: str, change: Callable[[str], str]) -> str:
    """Return JSON text with its values changed."""
    return json.dumps(changed_value(json.loads(text), change), ensure_ascii=False)


def changed_value(value: Any, change: Callable[[str], str]) -> Any:
    """Return a JSON value with the scalars in it changed; numbers become other numbers."""
    if isinstance(value, dict):
        return {key: changed_value(item, change) for key, item in value.items()}
    if isinstance(value, list):
        return [changed_value(item, change) for item in value]
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 7_000_000
    return change(value) if isinstance(value, str) else value


def strings_of(value: Any) -> Iterator[str]:
    """Return all texts in a record, keys included."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from strings_of(key)
            yield from strings_of(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from strings_of(item)


def common_prefix(one: str, other: str) -> int:
    """Return how many characters two texts have in common at their beginning."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


def _searches(tree: Any) -> Iterator[Any]:
    """Return the parts of a syntax tree whose literals are compared or searched, not written."""
    from jinja2 import nodes

    for node in tree.find_all(nodes.Compare):
        yield node
    for node in tree.find_all(nodes.Call):
        if isinstance(node.node, nodes.Getattr) and node.node.attr in SEARCHES:
            yield from node.args
        if isinstance(node.node, nodes.Getattr) and node.node.attr == "replace":
            yield from node.args[:1]
    for node in tree.find_all(nodes.Filter):
        if node.name == "replace":
            yield from node.args[:1]
        if node.name in ("split", "selectattr", "rejectattr", "attr", "map"):
            yield from node.args
    for node in tree.find_all(nodes.Test):
        yield from node.args
    for node in tree.find_all(nodes.Getitem):
        yield node.arg


def _consts(node: Any) -> Iterator[Any]:
    from jinja2 import nodes

    if isinstance(node, nodes.Const):
        yield node
    yield from node.find_all(nodes.Const)
