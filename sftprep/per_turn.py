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
        train = tuple(message.train for message in dialogue.messages)
        roles = [message.role for message in dialogue.messages]
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
        m._replace(train=False) if m.role == "assistant" else m for m in dialogue.messages[:index]
    ]
    return Conversation((*before, dialogue.messages[index]))
