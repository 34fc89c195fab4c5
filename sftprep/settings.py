"""What a pipeline is built from: plain data that can be sent to another process."""

from dataclasses import dataclass, field, replace
from typing import Protocol, Self

from sftprep.data.policy import Policy
from sftprep.rows.truncation import NEEDS_SECTIONS
from sftprep.templates.limits import PATIENCE
from sftprep.templates.template import ChatTemplate, Template
from sftprep.tokenization.proof import ContentEncoding
from sftprep.tokenization.tokenizer import Tokenizer


class WorkSettings(Protocol):
    """What an engine must know of the settings of a work, whatever the work is."""

    @property
    def is_slow(self) -> bool:
        """Whether a block takes much longer than a worker process takes to start."""
        ...

    @property
    def untrusted(self) -> bool:
        """Whether the template is a program, which must run in a process that can be killed."""
        ...

    @property
    def template_name(self) -> str:
        """The name of the template, for messages."""
        ...

    def light(self) -> Self:
        """Return the settings without the parts that only the parent process needs."""
        ...


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The values that decide what becomes of a block, and how."""

    tokenizer: Tokenizer
    template: Template | ChatTemplate
    fields: dict[str, str]  # canonical field name -> the name that the data uses
    roles: dict[str, str] = field(default_factory=dict)  # the data's name of a role -> the role
    merge_turns: bool = False  # join consecutive messages of one role
    cuts_end: bool = False  # leave out the turns after the last answer
    system: str | None
    separator: str
    plain_text: tuple[str, ...] = ()  # looks like control tokens, and is meant as text
    allowed: tuple[str, ...]  # the control tokens that a record's text may become
    rejects_controls: bool = False  # reject a record that holds a control token's text
    rejects_omissions: bool = True  # reject a record that the template leaves a part out of
    max_length: int
    truncation: str
    train_on: str
    train_reasoning: str = "all"
    train_calls: bool = True
    per_turn: bool = False
    tried_limits: tuple[int, ...] = ()  # ascending; count what truncation would do at each
    end_of_turn: str = ""  # the token that ends an answer; "": the template alone decides
    checks_all_texts: bool = False  # render each record with the template, also where it is proven
    normalized_keys: bool = False  # make keys of the texts without their small differences
    split_by: str = ""  # the path of the field by which records are grouped; "": they are not
    patience: int = PATIENCE  # how many records of a block may take a chat template too long
    boundary: str
    backend: str
    encoding: ContentEncoding | None = None  # proven for this tokenizer, allowed and backend

    @property
    def is_slow(self) -> bool:
        """Whether a block takes much longer than a worker process takes to start."""
        return self.untrusted or self.encoding is None or not self.encoding.is_fast

    @property
    def untrusted(self) -> bool:
        """Whether the template is a program, which must run in a process that can be killed."""
        return isinstance(self.template, ChatTemplate)

    @property
    def template_name(self) -> str:
        """The name of the template, for messages."""
        return self.template.name

    @property
    def stops(self) -> tuple[str, ...]:
        """The tokens that stop the model at inference, ``--end-of-turn`` first."""
        given = (self.end_of_turn,) if self.end_of_turn else ()
        return tuple(dict.fromkeys((*given, *self.tokenizer.stops)))

    @property
    def needs_sections(self) -> bool:
        """Whether truncation, or a count of what it would do, must know what it may cut."""
        return bool(self.tried_limits) or self.truncation in NEEDS_SECTIONS

    @property
    def sections_over(self) -> int | None:
        """The length of a row over which it needs sections; None if no row does."""
        limits = [self.max_length] if self.truncation in NEEDS_SECTIONS else []
        return min([*limits, *self.tried_limits], default=None)

    @property
    def policy(self) -> Policy:
        """Which text is trained."""
        return Policy(self.train_on, self.train_reasoning, self.train_calls)

    def light(self) -> "Settings":
        """Return the settings without the parts that only the parent process needs."""
        return replace(self, tokenizer=self.tokenizer.light())


def stop_ids(settings: Settings) -> frozenset[int] | None:
    """Return the ids of the tokens that stop the model.

    Returns:
        None if neither the options nor the tokenizer's files name them: any control token may be
        one then.
    """
    if not (settings.end_of_turn or settings.tokenizer.generation_stops):
        return None
    ids = settings.tokenizer.ids
    return frozenset(ids[token] for token in settings.stops if token in ids)
