"""The names of roles."""

import pytest
from dialogues import normalize, refused

from sftprep.schemas.fields import Fields
from sftprep.schemas.roles import ROLES, SYNONYMS, role_names


def test_each_role_and_each_synonym_is_known_once() -> None:
    """Every role stands for itself, and no name stands for two roles."""
    names = [name for synonyms in SYNONYMS.values() for name in synonyms]
    assert len({*names, *ROLES}) == len(names) + len(ROLES)
    assert {role: role_names()[role] for role in ROLES} == {role: role for role in ROLES}
    assert role_names()["human"] == "user"
    assert all(name == name.lower() for name in names)


def test_given_names_win_over_synonyms() -> None:
    """``--role`` adds names, and can say that a synonym means something else."""
    known = role_names({"patient": "user", "agent": "user"})
    assert (known["patient"], known["agent"], known["gpt"]) == ("user", "user", "assistant")


@pytest.mark.parametrize("names", [("Human", "GPT"), (" USER ", "Assistant"), ("prompter", "bot")])
def test_names_are_found_in_any_case(names: tuple[str, str]) -> None:
    """Capital letters and outer white space do not make another role."""
    turns = [{"role": name, "content": "x"} for name in names]
    assert normalize("messages", {"messages": turns}).roles == ("user", "assistant")


def test_an_unknown_role() -> None:
    """An unknown role is refused with the flag that says what it means."""
    error = refused("messages", {"messages": [{"role": "the doctor", "content": "x"}]})
    assert error.reason == "unknown_role"
    assert error.problem == (
        "messages[0].role is 'the doctor'; expected system, developer, user, assistant or tool"
    )
    assert error.cure == "Fix the record, or say what it means, e.g. --role 'the doctor'=user"


def test_plain_roles() -> None:
    """Built-in templates have no developer and no tools: a developer's message is the system's."""
    plain = Fields(roles={"boss": "developer"}).plain_roles
    assert (plain["boss"], plain["human"]) == ("system", "user")
    assert "tool" not in plain
    assert "function_call" not in plain
