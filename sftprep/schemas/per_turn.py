"""Divide a conversation into one example per answer (``--per-turn``).

In     a ``Conversation`` or a ``Chat``.
Out    for each answer that may be trained: the conversation up to and including that answer, with
       training turned off for all earlier answers. The example's prompt is then the one that
       inference would see. A conversation without such an answer is returned unchanged.
"""

from typing import TypeVar

from sftprep.data.conversation import Dialogue

D = TypeVar("D", bound=Dialogue)


def per_turn(dialogue: D) -> list[D]:
    """Return the examples of a conversation, in the order of its answers."""
    roles, train = dialogue.roles, dialogue.train
    answers = [i for i, role in enumerate(roles) if role == "assistant" and train[i] is not False]
    return [_example(dialogue, index) for index in answers] or [dialogue]


def _example(dialogue: D, index: int) -> D:
    """Return the turns up to ``index``; the last one is the only answer that may be trained."""
    example = dialogue.until(index)
    flags = [
        False if role == "assistant" else flag
        for role, flag in zip(example.roles, example.train, strict=True)
    ]
    return example.with_train((*flags[:-1], dialogue.train[index]))
