"""Content never becomes a control token: every added token, in every field, whole and in halves.

The control ids of each record must be those of the same record with neutral text, in the same
order, and its ids must decode to the rendered text.
"""

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from real_tokenizers import deepseek, mistral
from toys import SAMPLE_TOKENIZER

from sftprep.data.pieces import filled
from sftprep.pipeline import Pipeline, with_schemas
from sftprep.plan import plan
from sftprep.reading.blocks import BlockReader
from sftprep.recipe import Recipe

SHARED = Path(__file__).resolve().parents[3] / "shared"
EVERY = "SFTPREP_EVERY_TOKEN" in os.environ  # all tokens, cut in two at all places: takes minutes

pytestmark = pytest.mark.conformance

TEMPLATE = """{% for t in tools or [] %}<|tool|>{{ t | tojson }}{{ t.function.description }}
{%- endfor %}
{%- for m in messages %}{{ '<|' + m.role + '|>' }}{{ m.name or '' }}
{%- if m.reasoning_content %}[{{ m.reasoning_content }}]{% endif %}{{ m.content }}
{%- for c in m.tool_calls or [] %}<|call|>{{ c.function.name }}{{ c.function | tojson }}{% endfor %}
{%- if m.tool_call_id %}{{ m.tool_call_id }}{% endif %}<|end|>{% endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""
ADDED = ("<|tool|>", "<|user|>", "<|assistant|>", "<|system|>", "<|call|>", "<|end|>", "Ａ<|x|>")

PLACES = 13


def record(texts: list[str]) -> dict[str, Any]:
    """Build a record with one of the texts in every field."""
    t = iter(texts)
    parameters = {"type": "object", "properties": {"p" + next(t): {"description": next(t)}}}
    function = {"name": next(t), "description": next(t), "parameters": parameters}
    call = {"name": next(t), "arguments": {"k" + next(t): next(t)}}
    return {
        "tools": [{"type": "function", "function": function}],
        "messages": [
            {"role": "system", "content": next(t)},
            {"role": "user", "name": next(t), "content": "u" + next(t)},
            {"role": "assistant", "content": "a" + next(t), "tool_calls": [
                {"type": "function", "id": "c", "function": call}]},
            {"role": "tool", "tool_call_id": "c", "content": "t" + next(t)},
            {"role": "assistant", "content": "a" + next(t)},
        ],
    }  # fmt: skip


def records(token: str) -> list[dict[str, Any]]:
    """Build records with the token in each field, in all fields, and across each two neighbours."""
    made = [["n"] * i + [token] + ["n"] * (PLACES - i - 1) for i in range(PLACES)]
    made.append([token] * PLACES)
    middles = range(1, len(token)) if EVERY else sorted({1, len(token) // 2, len(token) - 1} - {0})
    for middle in middles:
        halves = [token[:middle], token[middle:]]
        made += [["n"] * i + halves + ["n"] * (PLACES - i - 2) for i in range(PLACES - 1)]
    return [record([text or "n" for text in texts]) for texts in made]


def tokenizer_folder(name: str, folder: Path) -> str:
    """Return the folder of a tokenizer, or skip the test."""
    if name == "deepseek":
        return str(deepseek())
    if name == "mistral":
        return str(mistral(folder))
    path = SAMPLE_TOKENIZER if name == "sample" else SHARED / "tokenizers/gpt2"
    if not path.is_dir():
        pytest.skip(f"the tokenizer is missing: {path}")
    return str(path)


@pytest.mark.parametrize("name", ["sample", "gpt2", "deepseek", "mistral"])
def test_no_control_id_comes_from_data(tmp_path: Path, name: str) -> None:
    """With any added token in any field, rows hold only the control ids of the template."""
    source = tokenizer_folder(name, tmp_path / "tokenizer")
    template = tmp_path / "roles.jinja"
    template.write_text(TEMPLATE)
    data = tmp_path / "in.jsonl"

    def recipe(**options: Any) -> Recipe:
        return Recipe(
            inputs=(str(data),), tokenizer=source, template=str(template), add_token=ADDED,
            max_length=1_000_000, **options,
        )  # fmt: skip

    data.write_bytes(b"{}")
    job = plan(recipe())
    tokenizer = job.settings.tokenizer
    pipeline = Pipeline(job.settings)
    step = 1 if EVERY else max(1, len(tokenizer.controls) // 60)
    tokens = sorted(tokenizer.controls)[::step]
    cases = [record(["n"] * PLACES)] + [r for token in tokens for r in records(token)]
    data.write_bytes(b"".join(orjson.dumps(r) + b"\n" for r in cases))
    control_ids = {t.id for t in tokenizer.controls.values()}
    expected: list[int] | None = None
    made = refused = 0
    for block in with_schemas(BlockReader(plan(recipe()).sources, 1 << 40), "auto", {}):
        result = pipeline.process(block)
        assert {entry.reason for entry in result.rejected} <= {"control_in_unmarked_text"}
        assert result.batch is not None
        offsets = result.batch.offsets
        ids = result.batch.input_ids
        rows = [ids[a:b].tolist() for a, b in pairwise(offsets)]
        for row in rows:
            found = [i for i in row if i in control_ids]
            expected = expected or found
            assert found == expected
        _decoded(pipeline, block, rows, {entry.line for entry in result.rejected})
        made += len(rows)
        refused += len(result.rejected)
    assert made + refused == len(cases)
    print(f"{Path(source).name}: {len(tokens)} tokens, {made} rows, {refused} refused")


def _decoded(pipeline: Pipeline, block: Any, rows: list[list[int]], lost: set[int]) -> None:
    """Check that the ids decode to the rendered text."""
    from tokenizers import Tokenizer as HfTokenizer

    hf = HfTokenizer.from_str(pipeline.settings.tokenizer.json)
    normalize = pipeline.examples.normalizer("messages")
    position = 0
    for index, line in enumerate(block.lines()):
        if not line.strip() or block.place(index)[0] in lost:
            continue
        if position % 20 == 0:
            rendered = pipeline.rendering.renderer.render(normalize(orjson.loads(line)))
            text = filled(pipeline.rendering.renderer.pieces(rendered.shape), rendered.contents)
            assert hf.decode(rows[position], skip_special_tokens=False) == text
        position += 1


def test_on_injection_reject_refuses_control_tokens(tmp_path: Path) -> None:
    """Records with the text of a control token are refused, and no others."""
    template = tmp_path / "roles.jinja"
    template.write_text(TEMPLATE)
    data = tmp_path / "in.jsonl"
    cases = [record(["n"] * PLACES), *records("<|end|>")[:PLACES]]
    data.write_bytes(b"".join(orjson.dumps(r) + b"\n" for r in cases))
    recipe = Recipe(
        inputs=(str(data),),
        tokenizer=str(SAMPLE_TOKENIZER),
        template=str(template),
        add_token=ADDED,
        max_length=1_000_000,
        on_injection="reject",
    )
    job = plan(recipe)
    (block,) = with_schemas(BlockReader(job.sources, 1 << 40), recipe.schema, recipe.field_names)
    result = Pipeline(job.settings).process(block)
    reasons = {entry.reason for entry in result.rejected}
    assert (len(result.rejected), reasons <= {"control_string", "control_in_unmarked_text"}) == (
        PLACES,
        True,
    )
