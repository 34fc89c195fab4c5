"""The roles of messages, and the other names that datasets give to them.

This module imports nothing else of sftprep, so that options can be checked without loading numpy.
"""

from collections.abc import Mapping

ROLES = ("system", "developer", "user", "assistant", "tool")
"""The roles, and what ``--role ACTUAL=ROLE`` can name."""
PLAIN_ROLES = {"system": "system", "developer": "system", "user": "user", "assistant": "assistant"}
"""Role -> the role that built-in and YAML templates know; the others need a chat template."""
CALL = "call"
"""What a turn is whose text is the JSON of tool calls: it becomes an assistant's message."""

SYNONYMS = {
    "system": ("system_prompt", "system_message"),
    "user": ("human", "prompter", "instruction", "customer", "client", "student"),
    "assistant": (
        "gpt",
        "bot",
        "ai",
        "model",
        "chatgpt",
        "gpt4",
        "gpt-4",
        "bing",
        "bard",
        "claude",
        "chatbot",
        "agent",
        "teacher",
    ),
    "tool": (
        "function",
        "observation",
        "tool_response",
        "tool_result",
        "function_response",
        "function_result",
        "ipython",
    ),
    CALL: ("function_call", "function-call", "tool_call", "tool_calls"),
}
"""Role -> the other names that datasets give to it, in lower case."""


def role_names(given: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return what each name of a role means: the roles themselves, and their synonyms.

    Args:
        given: name -> role, as ``--role`` gives them.
    """
    known = {role: role for role in ROLES}
    known |= {name: role for role, names in SYNONYMS.items() for name in names}
    return known | dict(given or {})
