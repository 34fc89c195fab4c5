"""system_prompt: what a chat template does with a system prompt, told by rendering small chats."""

import pytest

from sftprep.system.cpu_limit import CpuLimit
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.system_prompt import why_no_system_prompt

TURNS = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}"
LEAVES_OUT = "{% for m in messages if m.role != 'system' %}{{ m.content }}{% endfor %}"


def why(source: str) -> str:
    """Return what is found of a template."""
    return why_no_system_prompt(Sandbox(source, name="t", today=None, variables={}))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (TURNS, ""),
        (LEAVES_OUT, "does not write a system prompt"),
        ("{% if tools %}" + TURNS + "{% else %}" + LEAVES_OUT + "{% endif %}", ""),
        (
            "{% if messages[0].role == 'system' %}{{ raise_exception('No') }}{% endif %}" + TURNS,
            "refuses a system prompt: No",
        ),
        ("{{ messages[0].nothing.at.all }}", ""),  # it fails with and without a system prompt
        ("{{ strftime_now('%d') }}" + LEAVES_OUT, ""),  # no date is given
    ],
)
def test_what_a_template_does(source: str, expected: str) -> None:
    """A template is told to have no place only if it renders the same chat without the prompt."""
    assert why(source) == expected


@pytest.mark.parametrize(
    "body",
    [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% set n = namespace(t='x' * 1000000) %}{% for i in range(20) %}"
        "{% set n.t = n.t ~ n.t %}{% endfor %}",
    ],
)
def test_nothing_is_certain_of_a_template_that_reaches_a_limit(body: str) -> None:
    """The trial ends soon, with little memory, and the template is not refused."""
    limit = CpuLimit(0.1)
    sandbox = Sandbox(body + LEAVES_OUT, name="t", today=None, variables={}, limit=limit)
    assert why_no_system_prompt(sandbox) == ""
