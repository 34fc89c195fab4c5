"""Rules about the roles of a conversation's messages."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise

from sftprep.lint.material import Column, Material
from sftprep.lint.rule import CLEAR, Notes, Rule, minority

SYSTEM = ("system", "developer")
WITHOUT = "without a system prompt"
NO_ANSWER = "no answer at the end"


@cache
def order_fault(roles: tuple[str, ...]) -> str:
    """Return what is wrong with an order of roles; "" if nothing is.

    >>> order_fault(("system", "user", "assistant")), order_fault(("user", "user", "assistant"))
    ('', 'two user messages in a row')
    """
    first = next((n for n, role in enumerate(roles) if role not in SYSTEM), len(roles))
    rest = roles[first:]
    if any(role in SYSTEM for role in rest):
        return "a system message behind others"
    if rest and rest[0] != "user":
        return f"{'an' if rest[0] == 'assistant' else 'a'} {rest[0]} message at the start"
    for before, after in pairwise(rest):
        if before == after and before != "tool":
            return f"two {before} messages in a row"
        if before == "user" and after == "tool":
            return "the result of a tool behind a user message"
    return ""


def _order(material: Material, notes: Notes) -> None:
    notes.seen(material.records)
    for line, error in material.refused:
        if error.reason == "bad_turn_order":
            notes.remark(line, error.problem, NO_ANSWER)
    for line, roles in material.roles:
        if fault := order_fault(roles):
            notes.remark(line, _in_short(roles), fault)


def _in_short(roles: Sequence[str]) -> str:
    return ", ".join(roles[:8]) + (", ..." if len(roles) > 8 else "")


def _system(material: Material, notes: Notes) -> None:
    if not material.roles:  # prompts and completions, without a system prompt
        lines = material.pairs.lines
        notes.seen(len(lines))
        column = Column(lines, [""] * len(lines))
        notes.all_of(WITHOUT, column, range(len(lines)), at_end=False)
        return
    has = {line for line, roles in material.roles if roles and roles[0] in SYSTEM}
    lines = [line for line, _ in material.roles]
    notes.seen(len(lines))
    without = [line for line in lines if line not in has]
    notes.all_of(
        WITHOUT,
        Column(without, [""] * len(without)),
        range(len(without)),
        at_end=False,
    )
    system = dict(material.systems.pairs())
    column = Column(sorted(has), [system.get(line, "") for line in sorted(has)])
    notes.all_of("with a system prompt", column, range(len(column)), at_end=False)


RULES = (
    Rule(
        name="role-order",
        severity="warning",
        unit="record",
        finds="conversations whose messages are in an order that inference never has",
        why="Templates and models expect a user and an assistant by turns. Built-in templates and "
        "many chat templates refuse other orders.",
        cure="Correct the order; --merge-turns joins messages of one role, and --on-no-answer cut "
        "leaves out what follows the last answer.",
        look=_order,
    ),
    Rule(
        name="system-prompt",
        severity="note",
        unit="record",
        finds="records that differ from most in whether they have a system prompt",
        why="Inference either sends a system prompt or not. The model should know the case that "
        "comes.",
        cure="Pass --system for those that have none, or remove it from the others.",
        look=_system,
        judge=minority(CLEAR),
    ),
)
