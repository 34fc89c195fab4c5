"""The table of schemas."""

import pytest
from dialogues import assistant, user

from sftprep.data.conversation import Record
from sftprep.schemas.fields import SCHEMA_NAMES, Fields
from sftprep.schemas.normalizer import schema_of
from sftprep.schemas.table import SCHEMAS

EXAMPLES: dict[str, Record] = {
    "prompt-completion": {"prompt": "a", "completion": "b"},
    "instruction": {"instruction": "a", "output": "b"},
    "messages": {"messages": [user("a"), assistant("b")]},
    "sharegpt": {"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]},
}


def test_names() -> None:
    """The values of ``--schema`` are the names in the table, each once."""
    assert set(SCHEMAS) == set(SCHEMA_NAMES) == {*EXAMPLES, "text"}
    assert len(SCHEMAS) == len(SCHEMA_NAMES)


@pytest.mark.parametrize("name", EXAMPLES)
def test_each_schema_has_both_forms(name: str) -> None:
    """Each schema recognises its records and reads them for both kinds of template."""
    record, fields = EXAMPLES[name], Fields()
    assert schema_of(record, fields) == name
    assert SCHEMAS[name].to_conversation(record, fields).roles == ("user", "assistant")
    assert SCHEMAS[name].to_chat(record, fields).roles == ("user", "assistant")
