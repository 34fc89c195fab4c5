"""One conversation -> one example for each of its answers (``--per-turn``).

In     a ``Conversation`` or a ``Chat``.
Out    for each answer that may be trained, the conversation up to and including that answer, in
       which no other answer is trained: the example holds the prompt that inference would see.
       A conversation without such an answer comes out unchanged.
"""

from typing import TypeVar

from sftprep.data.conversation import Dialogue

D = TypeVar("D", bound=Dialogue)


def per_turn(dialogue: D) -> list[D]:
    """The examples of a conversation, in the order of its answers."""
    roles, train = dialogue.roles, dialogue.train
    answers = [i for i, role in enumerate(roles) if role == "assistant" and train[i] is not False]
    return [_example(dialogue, index) for index in answers] or [dialogue]


def _example(dialogue: D, index: int) -> D:
    """The conversation up to answer ``index``, the only answer that is trained."""
    example = dialogue.until(index)
    flags = [
        False if role == "assistant" else flag
        for role, flag in zip(example.roles, example.train, strict=True)
    ]
    return example.with_train((*flags[:-1], dialogue.train[index]))
