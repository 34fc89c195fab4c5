"""A prompt and its completion, with the input and the history that a record may have beside them.

In     a record, and the names of the fields that hold the prompt and the completion: two texts, or
       two lists of messages, as TRL's conversational form has them.
Out    a ``Conversation`` or a ``Chat``.
Keeps  the input apart from the prompt in a ``Conversation``: some templates have a place for it.
Raises RecordError: ``missing_field``, ``wrong_type``, ``empty_completion``, ``conflicting_fields``,
       and what ``turns`` and ``chat_messages`` raise.

Answers that are inside the prompt are not trained, unless they say so themselves. Those of the
history are answers like any other.
"""

from collections.abc import Callable, Collection
from typing import Any

from sftprep.data.conversation import Chat, Conversation, Record, Turn
from sftprep.schemas.chat_messages import chat_of_turns
from sftprep.schemas.checks import require, require_completion, require_text, wrong_type
from sftprep.schemas.fields import LOSS_FLAGS, Fields
from sftprep.schemas.one_of import one_of
from sftprep.schemas.turn_list import TurnList, turns_of_field
from sftprep.schemas.turns import EXCHANGE, conversation_of_turns

EXCHANGE_WITH_INPUT = (Turn("user", has_input=True), EXCHANGE[1])
ROLE, TEXT = "role", "content"


def conversation_reader(
    fields: Fields, prompt: str, completion: str, keys: Collection[str]
) -> Callable[[Record], Conversation]:
    """Return what reads records with these keys, without a look at any other key.

    There may be millions of records, so a good one has to pass very few tests.

    Args:
        fields: the names of the other fields.
        prompt: the name of the field that holds the prompt.
        completion: the name of the field that holds the completion.
        keys: the fields that the records have.
    """
    names = [name for name in fields.names("input") if name in keys]
    inputs = [name for name in names if name not in (prompt, completion)]
    history = fields["history"] if fields["history"] in keys else ""

    def read(record: Record) -> Conversation:
        question, answer = record.get(prompt), record.get(completion)
        if type(question) is str and type(answer) is str and answer:
            return Conversation(EXCHANGE, (question, "", answer, ""))
        return exchange_as_conversation(record, fields, prompt, completion)

    def read_with_more(record: Record) -> Conversation:
        question, answer, extra = record.get(prompt), record.get(completion), record.get(inputs[0])
        is_good = type(question) is str and type(answer) is str and type(extra) is str and answer
        if is_good and not (history and record[history]):
            turns = EXCHANGE_WITH_INPUT if extra else EXCHANGE
            return Conversation(turns, (question, extra, answer, ""))  # type: ignore[arg-type]
        return exchange_as_conversation(record, fields, prompt, completion)

    if not inputs and not history:
        return read
    if len(inputs) == 1:
        return read_with_more
    return lambda record: exchange_as_conversation(record, fields, prompt, completion)


def exchange_as_conversation(
    record: Record, fields: Fields, prompt: str, completion: str
) -> Conversation:
    """Return the record as turns.

    Args:
        record: the record.
        fields: the names of its other fields.
        prompt: the name of the field that holds the prompt.
        completion: the name of the field that holds the completion.
    """
    extra = input_text(record, fields, prompt, completion)
    lists = turn_lists(record, fields, prompt, completion)
    made = conversation_of_turns(lists, fields)
    if not extra:
        return made
    last = len(made.turns) - 2
    contents = list(made.contents)
    contents[2 * last + 1] = extra
    turn = made.turns[last]._replace(has_input=True)
    return made._replace(turns=(*made.turns[:last], turn, made.turns[-1]), contents=tuple(contents))


def exchange_as_chat(record: Record, fields: Fields, prompt: str, completion: str) -> Chat:
    """Return the record as messages; an input follows the prompt on a new line."""
    extra = input_text(record, fields, prompt, completion)
    lists = turn_lists(record, fields, prompt, completion)
    if extra:
        turn = lists[-1].turns[0]
        turn[TEXT] = f"{turn[TEXT]}\n{extra}"
    return chat_of_turns(lists, fields)


def input_text(record: Record, fields: Fields, prompt: str, completion: str) -> str:
    """Return the input of a record; "" if it has none."""
    names = [name for name in fields.names("input") if name in record]
    if not names:
        return ""
    found = one_of(record, [name for name in names if name not in (prompt, completion)])
    if found is None:
        return ""
    if not isinstance(found.value, str):
        raise wrong_type(found.name, found.value, "a string")
    for name in (prompt, completion):
        if isinstance(record.get(name), list | dict):
            raise wrong_type(name, record[name], f"a string, as {found.name} is given beside it")
    return found.value


def turn_lists(record: Record, fields: Fields, prompt: str, completion: str) -> list[TurnList]:
    """Return the lists of turns that a record holds: its history, its prompt, its completion.

    Two texts are one list. The dicts of its turns are the caller's.
    """
    lists = []
    if record.get(fields["history"]):
        lists.append(_history(record, fields))
    question = require(record, prompt, "")
    if not isinstance(question, list):
        require_text(record, prompt)
    answer = require(record, completion, "")
    if not isinstance(question, list) and not isinstance(answer, list | dict):
        require_completion(require_text(record, completion), completion)
        both = [{ROLE: "user", TEXT: question}, {ROLE: "assistant", TEXT: answer}]
        return [*lists, TurnList(both, completion, ROLE, TEXT, (prompt, completion))]
    for name, value in ((prompt, question), (completion, answer)):
        if isinstance(value, list) and not all(isinstance(entry, dict) for entry in value):
            raise wrong_type(name, value, "a string, or a list of messages")
    if isinstance(question, list):
        found = turns_of_field(record, prompt, ROLE, TEXT, fields)
        lists.append(found._replace(turns=[_not_trained(t, found, fields) for t in found.turns]))
    else:
        turns = [{ROLE: "user", TEXT: question}]
        lists.append(TurnList(turns, prompt, ROLE, TEXT, (prompt,)))
    if isinstance(answer, list):
        lists.append(turns_of_field(record, completion, ROLE, TEXT, fields))
    elif isinstance(answer, dict):
        lists.append(TurnList([answer], completion, ROLE, TEXT, (completion,)))
    else:
        turns = [{ROLE: "assistant", TEXT: require_text(record, completion)}]
        lists.append(TurnList(turns, completion, ROLE, TEXT, (completion,)))
    return lists


def _not_trained(turn: Any, found: TurnList, fields: Fields) -> Any:
    """Return a turn of a prompt; if it is an answer without a loss flag, with one."""
    if not isinstance(turn, dict) or any(turn.get(name) is not None for name in LOSS_FLAGS):
        return turn
    is_answer = fields.roles.get(str(turn.get(found.role))) == "assistant"
    return {**turn, "train": False} if is_answer else turn


def _history(record: Record, fields: Fields) -> TurnList:
    """Return the turns of the history, a list of pairs, of objects, or of messages."""
    name = fields["history"]
    value = record[name]
    if not isinstance(value, list):
        raise wrong_type(name, value, "a list of [question, answer] pairs")
    if not isinstance(value[0], list):
        return turns_of_field(record, name, ROLE, TEXT, fields)
    turns, places = [], []
    for index, pair in enumerate(value):
        if not isinstance(pair, list) or [type(text) for text in pair] != [str, str]:
            raise wrong_type(f"{name}[{index}]", pair, "a pair of strings")
        require_completion(pair[1], f"{name}[{index}][1]")
        turns += [{ROLE: "user", TEXT: pair[0]}, {ROLE: "assistant", TEXT: pair[1]}]
        places += [f"{name}[{index}][0]", f"{name}[{index}][1]"]
    return TurnList(turns, name, ROLE, TEXT, tuple(places))
