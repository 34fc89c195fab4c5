"""The sandbox: a template can only render, it always ends, and its result never varies."""

import re
import signal
import threading
import time
from datetime import date
from pathlib import Path
from typing import Any

import jinja2
import orjson
import pytest
from toys import SAMPLE_TOKENIZER, write_jsonl
from typer.testing import CliRunner

from sftprep.cli.app import app
from sftprep.errors import RecordError, TemplateError
from sftprep.system.cpu_limit import CpuLimit, CpuLimitReached
from sftprep.system.memory import limited
from sftprep.templates.jinja.sandbox import Environment, Sandbox

CORPUS = Path(__file__).resolve().parents[4] / "shared/corpora/modelaudit_jinja2_samples"
MESSAGES = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "yo"}]


def rendered(source: str, *, today: date | None = None, **variables: Any) -> str:
    """Return what a template makes of two messages."""
    sandbox = Sandbox(source, name="t.jinja", today=today, variables=variables)
    return sandbox.render(MESSAGES, None, size=10)


BOMBS = {
    "product": "{{ 'a' * 10**9 }}",
    "product, reversed": "{{ 10**9 * 'a' }}",
    "list": "{{ [0] * 10**9 }}",
    "power": "{{ 9**9**9 }}",
    "percent": "{{ '%1000000000d' % 1 }}",
    "percent with a star": "{{ '%*d' | format(1000000000, 1) }}",
    "format filter": "{{ '%1000000000d' | format(1) }}",
    "format method": "{{ '{:1000000000d}'.format(1) }}",
    "nested format": "{{ '{:{}d}'.format(1, 1000000000) }}",
    "center": "{{ 'a' | center(1000000000) }}",
    "center method": "{{ 'a'.center(1000000000) }}",
    "zfill": "{{ 'a'.zfill(1000000000) }}",
    "indent": "{{ 'a\nb' | indent(1000000000) }}",
    "batch": "{{ [1] | batch(1000000000, 'x') | list }}",
    "tojson": "{{ [1] | tojson(indent=1000000000) }}",
    "sum": "{{ [[1]] | sum(start=[]) }}",
    "range": "{{ range(10**9) | list }}",
    "output": "{% for a in range(9**5) %}{% for b in range(9**5) %}xxxxxx{% endfor %}{% endfor %}",
    "macro": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "recursive loop": "{% for i in [1] recursive %}{{ loop([1]) }}{% endfor %}",
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_at_once(name: str) -> None:
    """What would fill the memory or the output is refused before it gets large."""
    start = time.process_time()
    with pytest.raises(RecordError) as caught:
        rendered(BOMBS[name])
    assert caught.value.reason in ("template_limit", "template_failed")
    assert time.process_time() - start < 2


ENDLESS = {
    "loop": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "macro": "{% macro m(n) %}{% if n %}{{ m(n-1) }}{{ m(n-1) }}{% endif %}{% endmacro %}"
    "{{ m(60) }}",
    "numbers": "{% set n = namespace(n=7) %}{% for i in range(40) %}"
    "{% set n.n = n.n * n.n %}{% endfor %}",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_templates_are_interrupted(name: str) -> None:
    """The limit ends the rendering, and is no error that a caller could take for a refusal."""
    limit = CpuLimit(0.1)
    sandbox = Sandbox(ENDLESS[name], name="t.jinja", today=None, variables={}, limit=limit)
    for _ in range(2):
        with pytest.raises(CpuLimitReached):
            sandbox.render(MESSAGES, None, size=10)


def test_a_template_without_memory_is_interrupted() -> None:
    """A text that doubles itself reaches the limit of the process, and leaves nothing behind."""
    source = (
        "{% set n = namespace(t='x' * 1000000) %}{% for i in range(20) %}"
        "{% set n.t = n.t ~ n.t %}{% endfor %}"
    )
    sandbox = Sandbox(source, name="t.jinja", today=None, variables={})
    for _ in range(3):
        with limited(100 << 20), pytest.raises(MemoryError):
            sandbox.render(MESSAGES, None, size=10)


def test_no_alarm_is_left_after_rendering() -> None:
    """The time limit of one record never interrupts what the process does next."""
    rendered("x")
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)
    with pytest.raises(RecordError):
        rendered("{{ 1 / 0 }}")
    assert signal.getitimer(signal.ITIMER_PROF) == (0.0, 0.0)


def test_a_template_can_be_rendered_in_another_thread() -> None:
    """Only a main thread receives signals; elsewhere there is no time limit."""
    texts: list[str] = []
    thread = threading.Thread(target=lambda: texts.append(rendered("x")))
    thread.start()
    thread.join()
    assert texts == ["x"]


def test_filters_of_constants_are_not_evaluated_by_the_compiler() -> None:
    """They are evaluated during rendering, when the limits apply."""
    source = "{{ 'x'|replace('x', '" + "x" * 900 + "')|length }}"
    sandbox = Sandbox(source, name="t.jinja", today=None, variables={})
    assert sandbox.render(MESSAGES, None, size=10) == "900"
    compiler = Environment(None)
    seen: list[str] = []
    compiler.filters["note"] = lambda text: [seen.append(text), text][1]  # type: ignore[func-returns-value]
    template = compiler.compiled("{{ 'a' | note }}")
    assert seen == []
    assert (template.render(), seen) == ("a", ["a"])


ESCAPES = [
    "{{ ''.__class__.__mro__[1].__subclasses__() }}",
    "{{ messages.__class__.__base__.__subclasses__() }}",
    "{{ namespace.__init__.__globals__ }}",
    "{{ raise_exception.__globals__ }}",
    "{{ strftime_now.__globals__ }}",
    "{{ '{0.__class__.__mro__[1]}'.format('') }}",
    "{{ ('{0.__cla' ~ 'ss__.__mro__[1]}').format('') }}",
    "{{ [('{0.__class__.__mro__}', '')] | map('first') | map('format', '') | list }}",
    "{% import 'os' as os %}",
    "{% include '/etc/passwd' %}",
    "{% extends 'x' %}",
    "{{ messages.append(1) }}",
    "{{ messages[0].update({'role': 'x'}) }}",
    "{{ lipsum() }}",
    "{{ cycler('a').next() }}",
    "{{ self.__init__.__globals__.os.popen('id').read() }}",
    "{{ config.items() }}",
]


@pytest.mark.parametrize("source", ESCAPES)
def test_a_template_reaches_nothing_outside(source: str) -> None:
    """It can reach no Python attribute and no file, and cannot change the messages."""
    before = orjson.dumps(MESSAGES)
    try:
        text = rendered(source)
    except RecordError as error:
        text = error.reason
    assert text in ("", "template_failed", "['{0.__class__.__mro__}']")
    assert orjson.dumps(MESSAGES) == before


def test_nothing_random_or_current_is_available() -> None:
    """There are no random numbers, and no date except the one that was given."""
    with pytest.raises(TemplateError, match="random"):
        rendered("{{ [1, 2] | random }}")
    with pytest.raises(TemplateError, match="--date"):
        rendered("{{ strftime_now('%Y') }}")
    assert rendered("{{ strftime_now('%Y-%m-%d %H:%M') }}", today=date(2026, 2, 3)) == (
        "2026-02-03 00:00"
    )


def test_templates_render_as_in_transformers() -> None:
    """Blocks are trimmed, JSON is not escaped, loops can break, and a template can refuse."""
    assert rendered("{% if true %}\n  a\n  {% endif %}\nb") == "  a\nb"
    assert rendered("{{ {'k': '<é>'} | tojson }}") == '{"k": "<é>"}'
    assert rendered("{% for m in messages %}{{ m.role }}{% break %}{% endfor %}") == "user"
    assert rendered("{% generation %}x{{ n }}{% endgeneration %}", n=1) == "x1"
    with pytest.raises(RecordError) as caught:
        rendered("{{ raise_exception('no \x1b[31m') }}")
    assert (caught.value.reason, caught.value.problem) == (
        "template_refused",
        "chat template t.jinja refuses the record: no \\x1b[31m",
    )


@pytest.mark.parametrize("source", ["{% if %}", "{{ x | nothing }}", "{% endfor %}", "{{ " * 5])
def test_a_source_that_does_not_compile_is_refused(source: str) -> None:
    """The error names the line."""
    with pytest.raises(TemplateError, match="line 1"):
        rendered(source)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("{{ " + "(" * 3000 + "1" + ")" * 3000 + " }}", "maximum recursion depth exceeded"),
        ("{{ " + "9" * 5000 + " }}", "Exceeds the limit"),
        ("{% generation %}", "block that needs to be closed is 'generation'. Correct"),
    ],
)
def test_a_source_that_python_cannot_compile_is_refused(source: str, words: str) -> None:
    """Nested too deeply, a number of too many digits; the message ends with one full stop."""
    with pytest.raises(TemplateError) as caught:
        rendered(source)
    assert words in str(caught.value)
    assert str(caught.value).endswith(". Correct the template.")
    assert ".." not in str(caught.value)


@pytest.mark.parametrize(
    ("source", "code", "words"),
    [
        pytest.param(
            ENDLESS["loop"],
            2,
            "it may never finish",
            marks=pytest.mark.conformance,  # takes 15 seconds
            id="endless",
        ),
        ("{{ 'a' * 10**9 }}", 65, "too long"),
        ("{{ strftime_now('%Y') }}", 2, "--date"),
        ("{% if messages[0].content == 'hi' %}{{ 1 / 0 }}{% endif %}", 65, "ZeroDivisionError"),
        ("{% if %}", 2, "line 1"),
    ],
)
def test_a_bad_template_ends_the_run(tmp_path: Path, source: str, code: int, words: str) -> None:
    """The command ends by itself, and its message says what the template did."""
    template = tmp_path / "bad.jinja"
    template.write_text(source)
    data = write_jsonl(tmp_path / "in.jsonl", [{"messages": MESSAGES}] * 4)
    run = CliRunner().invoke(
        app,
        ["prepare", str(data), "--output", str(tmp_path / "out"), "--tokenizer",
         str(SAMPLE_TOKENIZER), "--template", str(template), "--workers", "1"],
    )  # fmt: skip
    assert (run.exit_code, words in run.stderr) == (code, True), run.stderr
    assert not (tmp_path / "out").exists()


def samples() -> list[tuple[str, str]]:
    """Return the name and the source of every template among the samples."""
    found = []
    for path in sorted(CORPUS.rglob("*")):
        if not path.is_file() or path.name == "LICENSE":
            continue
        text = path.read_text(encoding="utf-8", errors="replace")
        values = [text]
        if path.suffix == ".json":
            value = orjson.loads(text) if text.strip() else {}
            template = value.get("chat_template", "") if isinstance(value, dict) else ""
            values = [
                t["template"] if isinstance(t, dict) else str(t)
                for t in (template if isinstance(template, list) else [template])
            ]
        found += [(f"{path.relative_to(CORPUS)}#{i}", t) for i, t in enumerate(values)]
    return found


@pytest.mark.conformance
@pytest.mark.skipif(not CORPUS.is_dir(), reason="the folder shared is missing")
def test_collected_samples_are_harmless() -> None:
    """Malicious templates run no code and open nothing; benign ones render as in plain Jinja."""
    import sys

    watched: list[str] = []
    active = False

    def hook(event: str, _args: tuple[Any, ...]) -> None:
        if active and re.match(r"open|os\.|subprocess|socket|exec|compile|import", event):
            watched.append(event)

    sys.addaudithook(hook)
    names = {"bos_token": "<s>", "eos_token": "</s>"}
    compared = 0
    found = samples()
    for name, source in found:
        ours: str | None = None
        try:
            limit = CpuLimit(1.0)
            today = date(2026, 1, 1)
            sandbox = Sandbox(source, name=name, today=today, variables=names, limit=limit)
            active = True
            ours = sandbox.render(MESSAGES, None, size=100)
        except (RecordError, TemplateError, CpuLimitReached):
            pass
        finally:
            active = False
        if "benign" in name:
            plain = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
            values: dict[str, Any] = {
                **names,
                "messages": MESSAGES,
                "tools": None,
                "documents": None,
            }
            values["add_generation_prompt"] = False
            assert ours == plain.from_string(source).render(values), name
            compared += 1
    assert (watched, len(found) > 40, compared > 8) == ([], True, True)
