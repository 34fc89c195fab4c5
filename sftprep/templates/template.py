"""What a template is: its texts with placeholders, or the source of a Jinja chat template.

Placeholders in a template's texts: ``{content}``, ``{input}`` and ``{system}`` stand for texts of
the record; ``{bos}``, ``{eos}`` and ``{separator}`` stand for texts of the run. A literal brace is
written twice: ``{{``.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from sftprep.errors import TemplateError

RUN_TEXTS = ("bos", "eos", "separator")
"""The placeholders whose text is the same for the whole run: fields of ``RunTexts``."""
PLACEHOLDER = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


@dataclass(frozen=True, kw_only=True)
class Template:
    """A built-in template or a user's YAML template. The keys of a template file are these fields.

    In a file, ``header``, ``body`` and ``after`` are under the key ``assistant``.
    """

    name: str  # the file's name without its extension
    sha256: str  # of the file's bytes
    text: str = ""  # the file's whole text
    description: str = ""
    source: str = ""  # where the format was published
    bos: str = "auto"  # auto (a BOS if the tokenizer itself adds one), always or never
    tokens: tuple[str, ...] = ()  # each of them must be a single token of the tokenizer
    trim: tuple[str, ...] = ()  # the roles whose contents lose their outer white space
    system: str | None = None  # a system turn; None: the template has no system turn
    default_system: str | None = None  # the system prompt of a record that has none
    default_system_with_input: str | None = None  # the same if the first user turn has an input
    user: str = ""
    user_with_input: str | None = None  # None: the input follows the content on a new line
    user_with_system: str | None = None  # a user turn that includes the system prompt
    system_in: str = "first-user"  # or last-user: the user turn that includes it
    header: str = ""  # before an answer: the end of what inference feeds; not trained
    body: str = ""  # the answer and its terminator: trained
    after: str = ""  # after the terminator; not trained
    end: str = ""  # once, after the last turn; not trained


class RunTexts(NamedTuple):
    """The texts that are the same for all records of a run; "" for what there is not."""

    bos: str = ""
    eos: str = ""
    separator: str = ""  # the text for ``{separator}``
    end_of_turn: str = ""  # written behind each answer, unless the template writes it there


NO_TEXTS = RunTexts()


@dataclass(frozen=True)
class ChatTemplate:
    """A model's own chat template in Jinja, and the values it is rendered with."""

    name: str
    source: str
    sha256: str
    arguments: Mapping[str, Any]  # from --template-arg
    today: date | None  # the date that ``strftime_now`` formats


def split_placeholders(text: str, where: str = "template") -> Iterator[tuple[bool, str]]:
    """Yield ``(False, literal text)`` and ``(True, placeholder name)`` pairs, in order.

    Args:
        text: a template's text.
        where: the text's name in error messages.

    Raises:
        TemplateError: a brace is neither doubled nor part of a placeholder.

    >>> list(split_placeholders("<a>{content}{{x}}"))
    [(False, '<a>'), (True, 'content'), (False, '{x}')]
    """
    literal, position = "", 0
    for match in PLACEHOLDER.finditer(text):
        literal += text[position : match.start()]
        position = match.end()
        if match[0] in ("{{", "}}"):
            literal += match[0][0]
        elif match[1] is None:
            raise TemplateError(
                f"{where} has a single {match[0]!r}. Write it twice to get a literal brace."
            )
        else:
            if literal:
                yield False, literal
            literal = ""
            yield True, match[1]
    if literal + text[position:]:
        yield False, literal + text[position:]


def text_after_answer(template: Template, texts: RunTexts) -> str:
    """Return the trained text that a template writes behind an answer: normally a terminator."""
    parts = list(split_placeholders(template.body))
    last = max(i for i, part in enumerate(parts) if part == (True, "content"))
    return "".join(getattr(texts, x) if is_slot else x for is_slot, x in parts[last + 1 :])


def with_run_texts(text: str, texts: RunTexts) -> str:
    """Return a template's text that holds no text of the record, with the run's texts filled in."""
    return "".join(getattr(texts, x) if is_slot else x for is_slot, x in split_placeholders(text))


def own_texts(template: Template) -> list[str]:
    """Return the texts that a template writes by itself, without those of the record."""
    defaults = [template.default_system, template.default_system_with_input]
    parts = [part for text in _texts(template) for part in split_placeholders(text)]
    return [text for is_slot, text in parts if not is_slot] + [text for text in defaults if text]


def _texts(template: Template) -> list[str]:
    """Return a template's texts with placeholders."""
    texts = (
        template.system, template.user, template.user_with_input, template.user_with_system,
        template.header, template.body, template.after, template.end,
    )  # fmt: skip
    return [text for text in texts if text]


def run_texts(template: Template) -> set[str]:
    """Return which of ``RUN_TEXTS`` a template writes."""
    parts = [part for text in _texts(template) for part in split_placeholders(text)]
    found = {value for is_slot, value in parts if is_slot}
    return (found | {"bos"} if template.bos == "always" else found) & set(RUN_TEXTS)
