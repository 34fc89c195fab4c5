"""Divide a conversation into one example per answer (``--per-turn``).

In     a ``Conversation`` or a ``Chat``; and which roles have bodies that are trained.
Out    for each answer that may be trained: the conversation up to and including that answer, with
       training turned off for all earlier answers. The example's prompt is then the one that
       inference would see. A conversation without such an answer is returned unchanged. If other
       roles are trained, their messages take the place of the answers.
"""

from collections.abc import Callable
from typing import TypeVar

from sftprep.data.conversation import Dialogue

D = TypeVar("D", bound=Dialogue)


def per_turn(
    dialogue: D, is_trained: Callable[[str], bool] = lambda r: r == "assistant"
) -> list[D]:
    """Return the examples of a conversation, in the order of its answers.

    Args:
        dialogue: the conversation.
        is_trained: tells whether the messages of a role have bodies that are trained.
    """
    train = dialogue.train
    bodies = [
        index
        for index, role in enumerate(dialogue.roles)
        if (is_trained(role) and train[index] is not False)
        or (role == "assistant" and train[index])
    ]
    return [_example(dialogue, index, is_trained) for index in bodies] or [dialogue]


def _example(dialogue: D, index: int, is_trained: Callable[[str], bool]) -> D:
    """Return the turns up to ``index``; the last one is the only body that may be trained."""
    example = dialogue.until(index)
    flags = [
        False if role == "assistant" or is_trained(role) else flag
        for role, flag in zip(example.roles, example.train, strict=True)
    ]
    return example.with_train((*flags[:-1], dialogue.train[index]))
