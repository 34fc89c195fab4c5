"""trials: what a template does is tried out in a child process, which may die."""

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from templates.jinja.chats import CHATML
from toys import byte_tokenizer

from sftprep.data.control_tokens import ControlTokens
from sftprep.system.cpu_limit import CpuLimit
from sftprep.templates.jinja.missing_tokens import Missing
from sftprep.templates.jinja.sandbox import Sandbox
from sftprep.templates.jinja.trials import try_system_prompt, try_tokens

LEAVES_OUT = "{% for m in messages if m.role != 'system' %}<|x|>{{ m.content }}{% endfor %}"
MEMORY_BOMB = (
    "{% set ns = namespace(x='ab' * 500000) %}"
    "{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}"
)
ENDLESS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
NO_CONTROLS = ControlTokens(list(byte_tokenizer(()).controls.values()))


def sandbox(source: str, more: Mapping[str, str]) -> Sandbox:
    """Return the sandbox of a template, with little time."""
    return Sandbox(source, name="t", today=None, variables=dict(more), limit=CpuLimit(0.2))


def tried(source: str) -> tuple[Missing, str]:
    """Return what both trials find of a template."""
    missing = try_tokens(lambda more: sandbox(source, more), NO_CONTROLS)
    return missing, try_system_prompt(sandbox(source, {}))


def test_what_is_found_in_the_child_arrives() -> None:
    """Both trials give what they give in this process."""
    assert tried(LEAVES_OUT) == (Missing(["<|x|>"], []), "does not write a system prompt")
    assert tried(CHATML) == (Missing([], []), "")


@pytest.mark.parametrize("body", [MEMORY_BOMB, ENDLESS])
def test_a_template_that_takes_too_much_is_given_up(body: str) -> None:
    """Nothing is found, soon; this process keeps its memory and its limits."""
    assert tried(body + LEAVES_OUT) == (Missing([], []), "")


def test_a_template_that_kills_its_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The child may die at any moment; here it dies in the template."""
    own = os.getpid()

    def dies(*_: Any) -> str:
        assert os.getpid() != own  # never in this process
        os._exit(1)

    monkeypatch.setattr(Sandbox, "_written", dies)
    assert tried(LEAVES_OUT) == (Missing([], []), "")


def test_in_another_thread() -> None:
    """The child has its time limits in every thread of the caller."""
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend([tried(LEAVES_OUT), tried(ENDLESS)]))
    thread.start()
    thread.join()
    assert found[0][1] == "does not write a system prompt"
    assert found[1] == (Missing([], []), "")


def test_no_other_module_tries_templates_in_its_own_process() -> None:
    """Whoever wants to try a template calls this module."""
    package = Path(__file__).resolve().parents[3] / "sftprep"
    for path in package.rglob("*.py"):
        text = path.read_text()
        if path.stem not in ("trials", "missing_tokens", "system_prompt"):
            assert " missing_tokens(" not in text, path
            assert "why_no_system_prompt" not in text, path
