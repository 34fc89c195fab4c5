"""A slow and obvious reference for the content of shards, written from the design text alone.

It handles one record at a time, uses HF tokenizers only, and shares no code with the program that
it judges. Where the design leaves a choice, the choice is one of these:

* A plain-text template (`plain`, `alpaca`) starts with a BOS exactly if the tokenizer adds one
  itself, and its first text is encoded as the tokenizer encodes the start of a text. `chatml`
  writes all of its control tokens itself and has no BOS.
* Any schema goes through any template: the user turn of an instruction record is the instruction,
  a newline and the input; `alpaca` takes a prompt or a user message as an instruction without an
  input.
* `alpaca` with history writes the exchanges in order, with a blank line after the EOS of each but
  the last, as LLaMA-Factory's template does. There is no rule (`NoRuleError`) for a history
  together with an input, or for a second exchange or a system turn in `plain`.
* With `train_on="all"`, the loss does not turn on within a text, so the text is encoded whole.
* An empty text is not one side of a boundary: a completion after an empty prompt starts the text.
* A token belongs to the part of the row that contains the token's first character.
* Truncation of the prompt always leaves its frame, and a completion must fit next to the frame: the
  BOS and the whole system turn of the record, and in a single exchange of `chatml` everything that
  the template itself writes around the user's text.
* `completion-end` leaves the prompt whole. A prompt without room for the completion drops the row.
* `balanced` divides exactly. LLaMA-Factory rounds `target / (source + target)` first, and so it
  sometimes gives one token less.
"""

import copy
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from itertools import groupby
from typing import Any, Literal, NamedTuple, get_args

from tokenizers import AddedToken, Tokenizer

IGNORE = -100

Boundary = Literal["split", "joint"]
Part = Literal["lead", "content", "frame", "completion"]  # lead and frame are never cut
Strategy = Literal["drop", "keep-start", "keep-end", "prompt-start", "completion-end", "balanced"]
Template = Literal["plain", "alpaca", "chatml"]
TrainOn = Literal["completion", "last", "all"]

ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request."
)
ALPACA_NO_INPUT = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request."
)


class NoRuleError(Exception):
    """The design does not say what this record becomes, so the oracle cannot tell."""


class Row(NamedTuple):
    """The row that one record must become."""

    input_ids: list[int]
    labels: list[int]


class Dropped(NamedTuple):
    """The reason why one record must give no row."""

    reason: Literal["too-long", "no-trained-token"]


# --- records ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; `extra` is the input of an instruction."""

    role: str
    content: str
    extra: str = ""
    trained: bool = False

    @property
    def whole(self) -> str:
        """The content as chat templates write it."""
        return f"{self.content}\n{self.extra}" if self.extra else self.content


def turns_of(record: Mapping[str, Any], train_on: TrainOn) -> list[Turn]:
    """Read a record of one of the three schemas, and decide which turns are trained."""
    turns: list[Turn] = []
    flags: list[bool | None] = []  # the messages' own, which win over --train-on
    if "messages" in record:
        for message in record["messages"]:
            flag = message.get("train", message.get("weight"))
            flags.append(None if flag is None else bool(flag))
            answer = message["role"] == "assistant"
            turns.append(Turn(message["role"], message["content"], trained=answer))
    elif "instruction" in record:
        if record.get("system"):
            turns.append(Turn("system", record["system"]))
        for question, answer in record.get("history") or []:
            turns += [Turn("user", question), Turn("assistant", answer, trained=True)]
        turns.append(Turn("user", record["instruction"], extra=record.get("input") or ""))
        turns.append(Turn("assistant", record["output"], trained=True))
    else:
        turns.append(Turn("user", record["prompt"]))
        turns.append(Turn("assistant", record["completion"], trained=True))
    if train_on == "last":
        turns = [replace(turn, trained=turn.trained and turn is turns[-1]) for turn in turns]
    if train_on == "all":
        turns = [replace(turn, trained=True) for turn in turns]
    if flags:
        turns = [
            turn if flag is None else replace(turn, trained=flag)
            for turn, flag in zip(turns, flags, strict=True)
        ]
    return turns


# --- templates ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """A text, or a control token by its id; `part` is the part of the row it belongs to."""

    what: str | int
    trained: bool
    part: Part
    implied: bool = False  # the tokenizer itself adds it; the next piece starts the text


def plain(turns: Sequence[Turn], bos: int | None, eos: int, everything: bool) -> Iterator[Piece]:
    """Prompt, completion, EOS."""
    if [turn.role for turn in turns] != ["user", "assistant"]:
        raise NoRuleError("plain is one prompt and one completion")
    prompt, answer = turns
    if bos is not None:
        yield Piece(bos, everything, "lead", implied=True)
    yield Piece(prompt.whole, everything, "content")
    yield Piece(answer.content, answer.trained, "completion")
    yield Piece(eos, answer.trained, "completion")


def alpaca(turns: Sequence[Turn], bos: int | None, eos: int, everything: bool) -> Iterator[Piece]:
    """The wording of Stanford's train.py, a newline after the last heading, the output, EOS."""
    system = turns[0].content if turns[0].role == "system" else None
    talk = turns[1:] if system is not None else turns
    exchanges = list(zip(talk[::2], talk[1::2], strict=True))
    if len(exchanges) > 1 and any(user.extra for user, _ in exchanges):
        raise NoRuleError("which preamble has a history with an input?")
    if bos is not None:
        yield Piece(bos, everything, "lead", implied=True)
    if system is not None:
        yield Piece(system, everything, "lead")
    for place, (user, answer) in enumerate(exchanges):
        text = "\n\n"
        if place == 0 and system is None:
            text = f"{ALPACA_WITH_INPUT if user.extra else ALPACA_NO_INPUT}\n\n"
        text += f"### Instruction:\n{user.content}\n\n"
        if user.extra:
            text += f"### Input:\n{user.extra}\n\n"
        text += "### Response:\n"
        last = place == len(exchanges) - 1
        yield Piece(text, everything, "content")
        yield Piece(answer.content, answer.trained, "completion" if last else "content")
        yield Piece(eos, answer.trained, "completion" if last else "content")


def chatml(turns: Sequence[Turn], start: int, end: int, everything: bool) -> Iterator[Piece]:
    r"""`<|im_start|>role\ncontent<|im_end|>\n` for each turn; an answer and its end are trained."""
    answers = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    trained = [place for place in answers if turns[place].trained]
    completion = (trained or answers)[-1]
    header: Part
    content: Part
    around: Part
    for place, turn in enumerate(turns):
        if place > completion:
            header = content = around = "completion"
        elif place == 0 and turn.role == "system":
            header = content = around = "lead"
        elif place == completion:
            header = "frame" if len(answers) == 1 else "content"
            content = around = "completion"
        elif len(answers) == 1:
            header, content, around = "lead", "content", "frame"
        else:
            header = content = around = "content"
        yield Piece(start, everything, header)
        yield Piece(f"{turn.role}\n", everything, header)
        yield Piece(turn.whole, turn.trained, content)
        yield Piece(end, turn.trained, around)
        yield Piece("\n", everything, around)


# --- encoding -----------------------------------------------------------------------------------


class Token(NamedTuple):
    """One id of the row, with the properties of its piece."""

    id: int
    trained: bool
    part: Part


LEFT, RIGHT = "\ue0f3\ue0f4\ue0f5", "\ue0f6\ue0f7\ue0f8"
Flags = tuple[bool, bool, bool]  # lstrip, rstrip, normalized


class Encoder:
    """The tokenizer without its control tokens, for all surroundings that a text can have."""

    def __init__(self, tokenizer: Any) -> None:
        self.whole = tokenizer
        self.eos: int | None = tokenizer.eos_token_id
        with_bos = tokenizer("a")["input_ids"]
        without = tokenizer("a", add_special_tokens=False)["input_ids"]
        adds_bos = with_bos[: 1 + len(without)] == [tokenizer.bos_token_id, *without]
        self.bos: int | None = tokenizer.bos_token_id if adds_bos else None
        self.spec: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
        added = self.spec["added_tokens"]
        self.control = {str(t["content"]): int(t["id"]) for t in added if t["content"].strip()}
        self.control_ids = set(self.control.values())
        self.flags: dict[int, Flags] = {
            t["id"]: (t["lstrip"], t["rstrip"], t["normalized"]) for t in added
        }
        self.blank_ids = {
            str(t["content"]): int(t["id"]) for t in added if not t["content"].strip()
        }
        self.encode = lru_cache(maxsize=1_000)(self._encode)
        self.tokenizer = cache(self._tokenizer)

    def _tokenizer(
        self, goes_on: bool, left: Flags | None, right: Flags | None
    ) -> tuple[Tokenizer, dict[int, int]]:
        """Build the tokenizer for a text that continues another or is next to control tokens.

        A stand-in with the same flags takes the place of a control token next to the text. The
        dictionary maps the ids of whitespace tokens to those of the whole tokenizer.
        """
        spec = copy.copy(self.spec)
        spec["added_tokens"] = [t for t in spec["added_tokens"] if not t["content"].strip()]
        spec["post_processor"] = spec["truncation"] = spec["padding"] = None
        if goes_on:
            spec["pre_tokenizer"] = without_prefix(spec["pre_tokenizer"])
            spec["normalizer"] = without_prefix(spec["normalizer"])
        made = Tokenizer.from_str(json.dumps(spec))
        blanks = made.get_added_tokens_decoder()
        back = {id_: self.blank_ids[token.content] for id_, token in blanks.items()}
        for text, flags in ((LEFT, left), (RIGHT, right)):
            if flags is not None:
                lstrip, rstrip, normalized = flags
                token = AddedToken(text, lstrip=lstrip, rstrip=rstrip, normalized=normalized)
                made.add_tokens([token])
        return made, back

    def _encode(
        self, text: str, goes_on: bool, left: int | None, right: int | None
    ) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the ids of a text between two control tokens, and the characters of each id."""
        left_flags = None if left is None else self.flags[left]
        right_flags = None if right is None else self.flags[right]
        tokenizer, back = self.tokenizer(goes_on, left_flags, right_flags)
        assert LEFT not in text
        assert RIGHT not in text
        before = "" if left is None else LEFT
        after = "" if right is None else RIGHT
        encoding = tokenizer.encode(before + text + after)
        tokens = encoding.tokens
        first = next(at for at, token in enumerate(tokens) if LEFT in token) + 1 if before else 0
        last = len(tokens) - 1 if after else len(tokens)
        assert RIGHT in "".join(tokens[last:]) or not after
        ids = [back.get(id_, id_) for id_ in encoding.ids[first:last]]
        shift = len(before)
        spans = [(start - shift, end - shift) for start, end in encoding.offsets[first:last]]
        assert self.control_ids.isdisjoint(ids), "a control id from plain text"
        return ids, spans


def without_prefix(part: Any) -> Any:
    """Switch off everything in a normalizer or pre-tokenizer that adds a space before a text."""
    if isinstance(part, list):
        return [without_prefix(each) for each in part if not is_prepend(each)]
    if not isinstance(part, dict):
        return part
    if is_prepend(part):
        return None
    part = {key: without_prefix(value) for key, value in part.items()}
    if part.get("type") == "Metaspace":
        part["prepend_scheme"] = "never"
        part.pop("add_prefix_space", None)
    if part.get("type") == "ByteLevel":
        part["add_prefix_space"] = False
    return part


def is_prepend(part: Any) -> bool:
    """Tell whether this is a normalizer that only adds something before a text."""
    return isinstance(part, dict) and part.get("type") == "Prepend"


def encode_row(pieces: Iterable[Piece], encoder: Encoder, boundary: Boundary) -> list[Token]:
    """Place the control tokens by their ids and encode each run of text between them."""
    row: list[Token] = []
    left: int | None = None
    run: list[Piece] = []
    for piece in pieces:
        if isinstance(piece.what, str):
            run += [piece] if piece.what else []
            continue
        row += encode_run(run, encoder, boundary, left, piece.what)
        row.append(Token(piece.what, piece.trained, piece.part))
        left, run = (None if piece.implied else piece.what), []
    return row + encode_run(run, encoder, boundary, left, None)


def encode_run(
    run: Sequence[Piece], encoder: Encoder, boundary: Boundary, left: int | None, right: int | None
) -> list[Token]:
    """Encode one run: divided where the loss turns on or off (split), or whole (joint)."""
    sides = [list(side) for _, side in groupby(run, key=lambda piece: piece.trained)]
    if boundary == "joint" and run:
        sides = [list(run)]
    row: list[Token] = []
    for place, side in enumerate(sides):
        row += encode_side(
            side,
            encoder,
            goes_on=place > 0,
            left=left if place == 0 else None,
            right=right if place == len(sides) - 1 else None,
        )
    return row


def encode_side(
    side: Sequence[Piece], encoder: Encoder, *, goes_on: bool, left: int | None, right: int | None
) -> list[Token]:
    """Encode the pieces as one text; a token is trained if all the pieces it touches are."""
    text = "".join(str(piece.what) for piece in side)
    ids, spans = encoder.encode(text, goes_on, left, right)
    if len(side) == 1:
        return [Token(id_, side[0].trained, side[0].part) for id_ in ids]
    owner = [place for place, piece in enumerate(side) for _ in str(piece.what)]
    row: list[Token] = []
    for id_, (start, end) in zip(ids, spans, strict=True):
        first = owner[start]
        last = owner[end - 1] if end > start else first
        trained = all(piece.trained for piece in side[first : last + 1])
        row.append(Token(id_, trained, side[first].part))
    return row


# --- truncation ---------------------------------------------------------------------------------


def infer_seqlen(source: int, target: int, cutoff: int) -> tuple[int, int]:
    """Divide the length limit between prompt and completion as LLaMA-Factory does."""
    if target * 2 < cutoff:
        most = cutoff
    elif source * 2 < cutoff:
        most = cutoff - source
    else:
        most = cutoff * target // (source + target)
    new_target = min(most, target)
    return min(max(cutoff - new_target, 0), source), new_target


def cut_both(row: list[Token], source: int, target: int, max_length: int) -> list[Token]:
    """Keep the frame and the end of the prompt, and the start of the completion."""
    lead, content, frame, completion = (
        [token for token in row if token.part == part] for part in get_args(Part)
    )
    fixed = len(lead) + len(frame)
    completion = completion[: max(min(target, max_length - fixed), 0)]
    tail = max(source - fixed, 0)
    return lead + content[len(content) - min(tail, len(content)) :] + frame + completion


def cut(row: list[Token], max_length: int, strategy: Strategy) -> list[Token] | None:
    """Cut a row that is too long to the length limit; return `None` if it is dropped instead."""
    if len(row) <= max_length:
        return row
    completion = sum(token.part == "completion" for token in row)
    result: list[Token] | None = None
    match strategy:
        case "keep-start":
            result = row[:max_length]
        case "completion-end":
            result = row[:max_length] if len(row) - completion < max_length else None
        case "keep-end":
            result = row[-max_length:]
        case "prompt-start":
            result = cut_both(row, max_length - completion, completion, max_length)
        case "balanced":
            source, target = infer_seqlen(len(row) - completion, completion, max_length)
            result = cut_both(row, source, target, max_length)
    return result


# --- the whole ----------------------------------------------------------------------------------


class Oracle:
    """The rows that records must become, for a tokenizer and a template."""

    def __init__(
        self,
        encoder: Encoder,
        template: Template,
        boundary: Boundary,
        train_on: TrainOn = "completion",
    ) -> None:
        self.encoder, self.template = encoder, template
        self.boundary, self.train_on = boundary, train_on

    def pieces(self, record: Mapping[str, Any]) -> list[Piece]:
        """Render one record."""
        turns = turns_of(record, self.train_on)
        everything = self.train_on == "all"
        if self.template == "chatml":
            control = self.encoder.control
            marks = control["<|im_start|>"], control["<|im_end|>"]
            return list(chatml(turns, *marks, everything))
        assert self.encoder.eos is not None
        template = plain if self.template == "plain" else alpaca
        return list(template(turns, self.encoder.bos, self.encoder.eos, everything))

    def tokens(self, record: Mapping[str, Any]) -> list[Token]:
        """Render and encode one record."""
        return encode_row(self.pieces(record), self.encoder, self.boundary)


def finish(tokens: list[Token], max_length: int, strategy: Strategy) -> Row | Dropped:
    """Truncate and label the tokens of one record, or return why it is dropped."""
    row = cut(tokens, max_length, strategy)
    if row is None:
        return Dropped("too-long")
    if not any(token.trained for token in row[1:]):
        return Dropped("no-trained-token")
    labels = [token.id if token.trained else IGNORE for token in row]
    return Row([token.id for token in row], labels)
