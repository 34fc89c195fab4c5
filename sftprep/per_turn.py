"""One conversation -> one example for each of its answers.

In     a ``Conversation`` or a ``Chat``.
Out    for each answer that may be trained, the conversation up to and with it, with no other answer
       trained: each sees the prompt that inference would. A conversation without such an answer
       comes out as it is.
"""

from sftprep.records import Chat, Conversation, Dialogue


def per_turn(dialogue: Dialogue) -> list[Dialogue]:
    """The examples of a conversation, in the order of its answers."""
    if isinstance(dialogue, Conversation):
        train = tuple(turn.train for turn in dialogue.turns)
        roles = [turn.role for turn in dialogue.turns]
    else:
        train = dialogue.train
        roles = [message["role"] for message in dialogue.messages]
    answers = [i for i, role in enumerate(roles) if role == "assistant" and train[i] is not False]
    return [_until(dialogue, index) for index in answers] or [dialogue]


def _until(dialogue: Dialogue, index: int) -> Dialogue:
    """The conversation up to an answer, which alone is trained."""
    if isinstance(dialogue, Chat):
        train = (*[False] * index, dialogue.train[index])
        return dialogue._replace(messages=dialogue.messages[: index + 1], train=train)
    before = [
        turn._replace(train=False) if turn.role == "assistant" else turn
        for turn in dialogue.turns[:index]
    ]
    return Conversation((*before, dialogue.turns[index]), dialogue.contents[: 2 * index + 2])
