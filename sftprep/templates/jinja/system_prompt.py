"""Find out if a chat template has a place for a system prompt, by rendering small conversations.

In     a ``Sandbox`` with the template.
Out    what the template does with a system prompt instead of writing it; "" if it writes it, or if
       that is not certain.
Never  takes more than a few seconds and ``SPARE_BYTES`` of memory, if this is the main thread.
       ``trials`` calls this in a process of its own.
"""

from typing import Any

from sftprep.errors import RecordError, TemplateError
from sftprep.system.cpu_limit import CpuLimitReached
from sftprep.system.memory import limited
from sftprep.templates.jinja.sandbox import Sandbox

PROBE = "The system prompt of a trial."
SPARE_BYTES = 512 << 20
TOOL = {
    "type": "function",
    "function": {
        "name": "trial",
        "description": "A trial.",
        "parameters": {"type": "object", "properties": {}},
    },
}
EXCHANGE: list[dict[str, Any]] = [
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": "b"},
]


def why_no_system_prompt(sandbox: Sandbox) -> str:
    """Return what the template does instead of writing a system prompt; "" if it may write one.

    A template has no place for it if it renders a conversation, and refuses the same conversation
    with a system prompt or leaves the prompt out, with and without tools.
    """
    reasons = []
    system = {"role": "system", "content": PROBE}
    for tools in (None, [TOOL]):
        try:
            with limited(SPARE_BYTES):
                sandbox.render(EXCHANGE, tools, size=1000)
                text = sandbox.render([system, *EXCHANGE], tools, size=1000)
        except RecordError as error:
            if error.reason != "template_refused":
                return ""
            reasons.append(f"refuses a system prompt: {error.problem.partition(': ')[2]}")
        except (TemplateError, CpuLimitReached, MemoryError):
            return ""
        else:
            if PROBE in text:
                return ""
            reasons.append("does not write a system prompt")
    return reasons[0]
