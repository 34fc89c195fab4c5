"""limits: a record that needs too much time or memory is rejected, and no other record notices."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from toys import byte_tokenizer

from sftprep.data.block import Block
from sftprep.data.result import BlockResult
from sftprep.errors import TemplateError
from sftprep.pipeline import Pipeline
from sftprep.settings import Settings
from sftprep.templates import limits
from sftprep.templates.template import ChatTemplate
from sftprep.tokenization.proof import prove_content_encoding

TURNS = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
HEAVY = (
    "{% if messages[0].content == 'slow' %}"
    "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    "{% elif messages[0].content == 'large' %}{% set n = namespace(t='x') %}"
    "{% for i in range(31) %}{% set n.t = n.t ~ n.t %}{% endfor %}{{ n.t.nothing.at.all }}"
    "{% endif %}"
)
TOKENIZER = byte_tokenizer()
SETTINGS = Settings(
    tokenizer=TOKENIZER,
    encoding=prove_content_encoding(TOKENIZER),
    template=ChatTemplate(name="own", source=HEAVY + TURNS, sha256="", arguments={}, today=None),
    fields={},
    system=None,
    separator="",
    allowed=(),
    max_length=1 << 20,
    truncation="drop",
    train_on="completion",
    boundary="split",
    backend="auto",
)
CURE = "Correct the template or the record"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "SECONDS", 0.15)
    monkeypatch.setattr(limits, "SPARE_BYTES", 100 << 20)


def processed(questions: Sequence[str], answers: int = 1, **options: Any) -> BlockResult:
    """Return the result of a block with a record for each question."""
    exchange = [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]
    lines = [
        {"messages": [{"role": "user", "content": question}, *(exchange * answers)[1:]]}
        for question in questions
    ]
    data = b"".join(orjson.dumps(line) + b"\n" for line in lines)
    return Pipeline(replace(SETTINGS, **options)).process(Block(0, 0, 1, 0, data, None, "messages"))


def bytes_of(result: BlockResult) -> list[int]:
    """Return all ids of a result."""
    return [] if result.batch is None else result.batch.input_ids.tolist()


def test_records_over_a_limit_are_rejected_and_the_others_are_as_without_them() -> None:
    """Each is listed with its own reason; the rows of the others do not change."""
    mixed = processed(["one", "slow", "large", "two", "large", "slow", "large", "three"])

    assert [(lost.line, lost.reason) for lost in mixed.rejected] == [
        (2, "template_too_slow"), (3, "template_limit"), (5, "template_limit"),
        (6, "template_too_slow"), (7, "template_limit"),
    ]  # fmt: skip
    assert {(lost.error.problem, lost.error.cure) for lost in mixed.rejected if lost.error} == {
        ("chat template own needs more than 0.15 seconds of CPU time for the record", CURE),
        ("chat template own asks for too much memory for the record", CURE),
    }
    assert bytes_of(mixed) == bytes_of(processed(["one", "two", "three"]))


def test_many_slow_records_of_a_block_end_the_run() -> None:
    """How many that are is a setting; the message says where the first ones are."""
    assert len(processed(["slow"] * 2 + ["one"]).rejected) == 2
    with pytest.raises(TemplateError) as caught:
        processed(["slow", "one", "slow", "slow", "slow", "slow"], patience=4)
    assert str(caught.value) == (
        "chat template own needs more than 0.15 seconds of CPU time for the record, and for 4 "
        "records in all (lines 1, 3, 4 and 1 more); it may never finish. Correct the template."
    )


def test_all_renderings_of_a_record_share_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes less than the limit; with ``per_turn``, the examples of a record share it too."""
    monkeypatch.setattr(limits, "SECONDS", 0.25)
    work = "{% for i in range(1500) %}{% for j in range(9) %}{% endfor %}{% endfor %}"
    template = replace(SETTINGS.template, source=work + TURNS)
    assert not processed(["one"], template=template).rejected
    options: dict[str, Any] = {"answers": 12, "per_turn": True, "template": template}
    assert [lost.reason for lost in processed(["one"], **options).rejected] == [limits.TOO_SLOW]

    monkeypatch.setattr(limits, "SECONDS_PER_MIB", 60 * 1024.0)  # a minute for a KiB
    assert not processed(["one"], **options).rejected


def test_turns_are_dropped_within_the_limits() -> None:
    """``oldest-turns`` renders again, which can take too long only then."""
    source = (
        "{% if messages | length < 6 %}" + HEAVY.replace("'slow'", "'Q'") + "{% endif %}" + TURNS
    )
    template = replace(SETTINGS.template, source=source)
    result = processed(
        ["one"], answers=3, template=template, truncation="oldest-turns", max_length=40
    )
    assert [(lost.line, lost.reason) for lost in result.rejected] == [(1, limits.TOO_SLOW)]


def test_errors_hold_no_frames() -> None:
    """What a template built before it failed is freed before the next record."""
    template = replace(SETTINGS.template, source="{{ 1 / 0 }}")
    [lost] = processed(["one"], template=template).rejected
    assert lost.error is not None
    assert (lost.error.__traceback__, lost.error.__cause__, lost.error.__context__) == (None,) * 3
