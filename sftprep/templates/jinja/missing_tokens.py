"""Find the control tokens that a chat template writes and the tokenizer does not have.

In     the template in a ``Sandbox``, and the tokenizer's control tokens.
Out    the texts that the template writes by itself in small conversations, that look like control
       tokens, and are none; and the special tokens without which it fails.
Never  takes more than a few seconds and ``SPARE_BYTES`` of memory, if this is the main thread. A
       conversation that the template refuses, or fails on, is left out. ``trials`` calls this in a
       process of its own.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from sftprep.data.control_tokens import ControlTokens
from sftprep.errors import RecordError, TemplateError
from sftprep.system.cpu_limit import CpuLimitReached
from sftprep.system.memory import limited
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.system_prompt import SPARE_BYTES
from sftprep.templates.lookalikes import lookalikes

EXCHANGES: list[dict[str, Any]] = [
    {"role": "user", "content": "One?"},
    {"role": "assistant", "content": "Two."},
    {"role": "user", "content": "Three?"},
    {"role": "assistant", "content": "Four."},
]
"""No content holds a character that stands in a control token."""
SPECIAL = ("bos_token", "eos_token")
"""The variables of a template that are special tokens, if the tokenizer has them."""
CONVERSATIONS = (
    [{"role": "system", "content": "Count."}, *EXCHANGES],
    EXCHANGES,
    EXCHANGES[:2],
    EXCHANGES[:1],
)


class Missing(NamedTuple):
    """What the tokenizer lacks for a template."""

    texts: list[str]  # what looks like a control token and is none, in the order of the rendering
    variables: list[str]  # names of special tokens without which every rendering fails


def missing_tokens(
    make: Callable[[Mapping[str, str]], Sandbox], controls: ControlTokens
) -> Missing:
    """Find the tokens that a template needs and the tokenizer lacks.

    All of a conversation's own texts are harmless, so whatever looks like a token in the rendering
    is the template's, even if it is made of parts, as in ``'<|' + message.role + '|>'``.

    Args:
        make: makes the template's sandbox, with these variables in addition to the tokenizer's.
        controls: finds the tokenizer's control tokens.
    """
    texts = _renderings(make({}))
    if texts:
        return Missing(lookalikes(texts, controls), [])
    texts = _renderings(make(dict.fromkeys(SPECIAL, "")))
    needed = [
        name
        for name in SPECIAL
        if texts and not _renderings(make(dict.fromkeys(set(SPECIAL) - {name}, "")))
    ]
    return Missing(lookalikes(texts, controls) if needed else [], needed)


def _renderings(sandbox: Sandbox) -> list[str]:
    """Return the texts of the conversations that the template renders."""
    texts: list[str] = []
    for messages in CONVERSATIONS:
        for asks in (False, True):
            try:
                with limited(SPARE_BYTES):
                    texts.append(
                        sandbox.render(messages, None, size=1000, add_generation_prompt=asks)
                    )
            except RecordError:
                continue
            except (TemplateError, CpuLimitReached, MemoryError):
                return texts  # it would fail on every record; the run says why
    return texts
