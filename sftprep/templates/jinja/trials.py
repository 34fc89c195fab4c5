"""Try a chat template out before a run, in a child process.

In     the template in a ``Sandbox``.
Out    what ``missing_tokens`` and ``why_no_system_prompt`` find.
Never  runs a template in this process. If the template reaches a limit, or kills the child, nothing
       is found: the workers of the run meet the same limits, and the run says so.
"""

from collections.abc import Callable, Mapping

from sftprep.data.control_tokens import ControlTokens
from sftprep.system.child import ChildError, called_in_child
from sftprep.templates.jinja.missing_tokens import Missing, missing_tokens
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.system_prompt import why_no_system_prompt

CPU_SECONDS = 10
"""More than the renderings of a trial take, each of which has a limit of its own."""
PATIENCE = 60.0
"""How many seconds to wait for a child on a busy machine."""


def try_tokens(make: Callable[[Mapping[str, str]], Sandbox], controls: ControlTokens) -> Missing:
    """Find the tokens that a template needs and the tokenizer lacks; see ``missing_tokens``."""
    try:
        found = called_in_child(
            lambda: missing_tokens(make, controls), cpu_seconds=CPU_SECONDS, patience=PATIENCE
        )
    except ChildError:
        return Missing([], [])
    return Missing(*found)


def try_system_prompt(sandbox: Sandbox) -> str:
    """Find what a template does instead of writing a system prompt; see ``system_prompt``."""
    try:
        return str(
            called_in_child(
                lambda: why_no_system_prompt(sandbox), cpu_seconds=CPU_SECONDS, patience=PATIENCE
            )
        )
    except ChildError:
        return ""
