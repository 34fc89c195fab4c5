"""Properties that hold for every input, tested on generated records."""

import json
import tempfile
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from profiles import some
from tokenizers import Tokenizer as HfTokenizer
from toys import byte_hf, byte_tokenizer, piece_tokenizer, recipe, save_folder, tree, write_jsonl

from sftprep import DataError, load_manifest, prepare, read_shard
from sftprep.data.batch import Batch
from sftprep.data.block import Block
from sftprep.data.conversation import Conversation, Message
from sftprep.data.pieces import filled
from sftprep.data.result import BlockResult
from sftprep.pipeline import Pipeline
from sftprep.recipe import allowed_values
from sftprep.rows.truncation import truncate
from sftprep.settings import Settings
from sftprep.templates.loading import load_template
from sftprep.templates.renderer import TemplateRenderer
from sftprep.templates.template import RunTexts
from sftprep.tokenization.tokenizer import Tokenizer

CONTROLS = ("<s>", "</s>", "<|im_start|>", "<|im_end|>", "<|USER|>", "<|ASSISTANT|>", "<|SYSTEM|>")
MERGES = [(" ", "a"), ("a", "b"), ("\n", "\n"), (" ", " "), ("<", "|"), ("h", "e"), ("<", "/")]
BYTES = byte_tokenizer(CONTROLS, MERGES, special={"bos": "<s>", "eos": "</s>"}, adds_bos=True)
PIECES = piece_tokenizer("first", CONTROLS[2:])
TOKENIZERS = {"bytes": BYTES, "pieces": PIECES, "always": piece_tokenizer("always", CONTROLS[2:])}
TEMPLATES = ("plain", "qa", "alpaca", "alpaca_zh", "chatml", "roles", "zephyr", "vicuna")
NAUGHTY = (
    "",
    " ",
    "  \n\n",
    "undefined",
    "\\x00\x00\x7f",
    "\ufeffab \u200b\u202e",
    "𝕒𝕓 ﷽ ด้้้้้็็็็็้้้้้",
    "e\u0301\u0345 \u0378\U000e0001",
    "👩‍👩‍👧🇨🇳",
    "\u2028\u2029\x85",
    "{content}{{eos}}{bos}",
    "'; DROP TABLE t; --",
    "%s%n\\n\t",
    "社會科學院語學研究所",
    *CONTROLS,
    "<|im_end|>\n<|im_start|>system\n",
    "a</s",
    "<|im_",
)

texts = st.lists(st.one_of(st.sampled_from(NAUGHTY), st.text(max_size=8)), max_size=4).map("".join)
answers = texts.filter(lambda text: text.strip() != "")
flags = st.sampled_from([None, None, None, True, False])


@st.composite
def conversations(draw: st.DrawFn) -> Conversation:
    """Generate a conversation of one to three exchanges, sometimes with a system turn."""
    messages = []
    if draw(st.booleans()):
        messages.append(Message("system", draw(texts)))
    for _ in range(draw(st.integers(1, 3))):
        messages.append(Message("user", draw(texts), draw(st.sampled_from(["", "", "an input"]))))
        messages.append(Message("assistant", draw(answers), "", draw(flags)))
    return Conversation.of(*messages)


def record_of(conversation: Conversation) -> dict[str, Any]:
    """Return a conversation as a record of the schema ``messages``."""
    turns = []
    for message in conversation.messages:
        turn: dict[str, Any] = {"role": message.role, "content": message.content}
        if message.train is not None:
            turn["train"] = message.train
        turns.append(turn)
    return {"messages": turns}


def settings_of(tokenizer: Tokenizer, template: str = "chatml", **changed: Any) -> Settings:
    """Return the settings of a pipeline with these options."""
    options: dict[str, Any] = {
        "fields": {},
        "system": None,
        "separator": "",
        "allowed": (),
        "rejects_controls": False,
        "max_length": 1_000_000,
        "truncation": "drop",
        "train_on": "completion",
        "boundary": "split",
        "backend": "auto",
    }
    return Settings(tokenizer=tokenizer, template=load_template(template), **(options | changed))


PIPELINES: dict[Any, Pipeline] = {}


def run(
    records: Iterable[Conversation], tokenizer: str, template: str, **options: Any
) -> BlockResult:
    """Process records as one block; a pipeline with the same options is built only once."""
    key = (tokenizer, template, *sorted(options.items()))
    if key not in PIPELINES:
        PIPELINES[key] = Pipeline(settings_of(TOKENIZERS[tokenizer], template, **options))
    data = "".join(json.dumps(record_of(record)) + "\n" for record in records).encode()
    return PIPELINES[key].process(Block(0, 0, 1, 0, data, None, "messages"))


def rows_of(batch: Batch | None) -> dict[int, tuple[list[int], list[bool]]]:
    """Return the ids and the loss mask of each row, by the number of its record."""
    if batch is None:
        return {}
    ends = batch.offsets.tolist()
    return {
        record: (batch.input_ids[a:b].tolist(), batch.loss_mask[a:b].tolist())
        for record, a, b in zip(batch.record.tolist(), ends, ends[1:], strict=False)
    }


quickly = settings(max_examples=some(25), deadline=None, suppress_health_check=list(HealthCheck))
a_template = st.sampled_from(TEMPLATES)
a_tokenizer = st.sampled_from(sorted(TOKENIZERS))
a_boundary = st.sampled_from(["split", "joint"])
records = st.lists(conversations(), min_size=1, max_size=5)


@quickly
@given(records, a_tokenizer, a_template, st.sampled_from(allowed_values("train_on")), a_boundary)
def test_columns_are_consistent(
    data: list[Conversation], tokenizer: str, template: str, train_on: str, boundary: str
) -> None:
    """Each id has a label, which is the id or the ignore index; every row has a trained token."""
    result = run(data, tokenizer, template, train_on=train_on, boundary=boundary)
    kept = 0 if result.batch is None else len(result.batch)
    assert len(data) == result.read == kept + len(result.dropped) + len(result.rejected)
    if result.batch is None:
        return
    labels = result.batch.labels(-100)
    assert len(result.batch.input_ids) == len(labels) == result.batch.offsets[-1]
    assert np.all((labels == result.batch.input_ids) | (labels == -100))
    for _, mask in rows_of(result.batch).values():
        assert any(mask[1:])


@quickly
@given(conversations(), a_template, a_boundary)
def test_exactly_the_answers_are_trained(
    conversation: Conversation, template: str, boundary: str
) -> None:
    """Trained ids decode to the answers and their terminators; a whole row to the rendered text."""
    result = run([conversation], "bytes", template, boundary=boundary)
    rows = rows_of(result.batch)
    if not rows:
        return
    renderer = TemplateRenderer(
        load_template(template), texts=RunTexts("<s>", "</s>"), implicit_bos=True
    )
    rendered = renderer.render(pipeline_conversation(conversation))
    pieces = renderer.pieces(rendered.shape)
    trained = "".join(
        rendered.contents[p.slot] if p.slot >= 0 else p.text for p in pieces if p.trained
    )
    ids, mask = rows[0]
    found = decode([i for i, is_trained in zip(ids, mask, strict=True) if is_trained])
    if boundary == "joint" and result.counts["unclean_boundaries"]:
        assert trained.encode().endswith(found)
    else:
        assert trained.encode() == found
    bos = b"<s>" if load_template(template).bos == "auto" else b""
    assert bos + filled(pieces, rendered.contents).encode() == decode(ids)


def pipeline_conversation(conversation: Conversation) -> Conversation:
    """Return a conversation as it is read back from its record, which has no separate inputs."""
    return Conversation.of(*(m._replace(input="") for m in conversation.messages))


NAMES = {index: name for name, index in HfTokenizer.from_str(BYTES.json).get_vocab().items()}
BYTE_OF = {name: byte for byte, name in enumerate(NAMES[i] for i in range(256))}


def decode(ids: list[int]) -> bytes:
    """Return the bytes that ids of the byte-level tokenizer stand for."""
    added = {token.id: token.content for token in BYTES.added}
    return b"".join(
        added[i].encode() if i in added else bytes(BYTE_OF[c] for c in NAMES[i]) for i in ids
    )


@quickly
@given(records, a_tokenizer, a_template, a_boundary)
def test_content_gives_no_control_ids(
    data: list[Conversation], tokenizer: str, template: str, boundary: str
) -> None:
    """The control ids of a row are those that the template writes, whatever the contents are."""
    result = run(data, tokenizer, template, boundary=boundary)
    controls = {token.id for token in TOKENIZERS[tokenizer].controls.values()}
    blanks = [
        Conversation.of(*(m._replace(content="x", input="") for m in c.messages)) for c in data
    ]
    plain = rows_of(run(blanks, tokenizer, template, boundary=boundary).batch)
    for record, (ids, _) in rows_of(result.batch).items():
        expected = [i for i in plain[record][0] if i in controls]
        assert expected == [i for i in ids if i in controls]


@quickly
@given(answers, texts, a_tokenizer, a_template, st.booleans())
def test_the_prompts_ids_do_not_depend_on_the_answer(
    answer: str, prompt: str, tokenizer: str, template: str, with_system: bool
) -> None:
    """In split mode, different answers to one prompt follow the same ids."""
    system = [Message("system", "Be brief.")] if with_system and template != "plain" else []
    rows = rows_of(
        run(
            [
                Conversation.of(*system, Message("user", prompt), Message("assistant", text))
                for text in (answer, "x", "\n\n1")
            ],
            tokenizer,
            template,
        ).batch
    )
    fronts = {tuple(ids[: mask.index(True)]) for ids, mask in rows.values()}
    assert len(fronts) == 1


@quickly
@given(texts, answers, st.sampled_from(["bytes", "pieces", "always"]))
def test_the_prompts_ids_are_the_encoding_of_the_prompt(
    prompt: str, answer: str, tokenizer: str
) -> None:
    """With the template plain, the prompt's ids are BOS and what HF gives for the prompt alone."""
    resolved = TOKENIZERS[tokenizer]
    rows = rows_of(
        run(
            [Conversation.of(Message("user", prompt), Message("assistant", answer))],
            tokenizer,
            "plain",
        ).batch
    )
    ids, mask = rows[0]
    hf = HfTokenizer.from_str(resolved.stripped_json())
    alone = hf.encode(prompt, add_special_tokens=False).ids
    assert [resolved.ids["<s>"], *alone] == ids[: mask.index(True)]


@quickly
@given(records, st.sampled_from(allowed_values("truncation")), st.integers(1, 60), a_boundary)
def test_truncated_rows_fit(
    data: list[Conversation], strategy: str, limit: int, boundary: str
) -> None:
    """A truncated row fits the limit, is a part of the whole row, and has a trained token."""
    whole = rows_of(run(data, "bytes", "chatml", boundary=boundary).batch)
    options = {"truncation": strategy, "max_length": limit, "boundary": boundary}
    result = run(data, "bytes", "chatml", **options)
    cut = rows_of(result.batch)
    assert len(data) == len(cut) + len(result.dropped) + len(result.rejected)
    for record, (ids, mask) in cut.items():
        assert any(mask[1:])
        assert len(ids) <= min(limit, len(whole[record][0]))
        if len(whole[record][0]) <= limit:
            assert whole[record] == (ids, mask)
        assert is_subsequence(ids, whole[record][0])


def is_subsequence(short: list[int], long: list[int]) -> bool:
    """Return whether ``short`` is ``long`` with some elements left out."""
    rest = iter(long)
    return all(any(x == y for y in rest) for x in short)


@quickly
@given(records, st.sampled_from(allowed_values("truncation")), st.integers(2, 60))
def test_a_truncated_row_is_not_truncated_again(
    data: list[Conversation], strategy: str, limit: int
) -> None:
    """Truncating twice with the same limit is the same as truncating once."""
    batch = run(data, "bytes", "chatml", truncation="prompt-start").batch
    if batch is None:
        return
    once = truncate(batch, limit, strategy)
    again = truncate(once.batch, limit, strategy)
    assert (rows_of(once.batch), {}, 0) == (rows_of(again.batch), again.dropped, again.truncated)


@quickly
@given(records, a_tokenizer, a_template, a_boundary)
def test_backends_give_the_same_rows(
    data: list[Conversation], tokenizer: str, template: str, boundary: str
) -> None:
    """The fast backend gives the rows and counts of the reference backend."""
    fast = run(data, tokenizer, template, boundary=boundary, backend="auto")
    slow = run(data, tokenizer, template, boundary=boundary, backend="hf")
    assert rows_of(slow.batch) == rows_of(fast.batch)
    assert slow.counts == fast.counts


@quickly
@given(records, a_tokenizer, a_template)
def test_a_record_gives_the_same_row_alone(
    data: list[Conversation], tokenizer: str, template: str
) -> None:
    """A record gives the same row in a block of its own as in a block with others."""
    together = run(data, tokenizer, template)
    alone = [run([record], tokenizer, template) for record in data]
    rows = [row for result in alone for row in rows_of(result.batch).values()]
    assert rows == list(rows_of(together.batch).values())
    assert together.counts == sum((result.counts for result in alone), start=Counter())


# --- whole runs ---------------------------------------------------------------------------------

RECORDS = [
    {
        "prompt": f"{n} ".join(NAUGHTY[n % 20 : n % 20 + 3]) + ":",
        "completion": "ab " * (n % 50) + ".",
    }
    for n in range(400)
] + [{"prompt": 1}, {"completion": ""}]


@pytest.fixture(scope="module")
def byte_folder() -> Any:
    """The folder of a byte-level tokenizer."""
    with tempfile.TemporaryDirectory() as folder:
        hf = byte_hf(CONTROLS, MERGES)
        yield save_folder(hf, Path(folder) / "t", bos_token="<s>", eos_token="</s>")


def test_workers_and_block_sizes_change_no_byte(tmp_path: Path, byte_folder: Path) -> None:
    """Runs with one or two workers, and with blocks of any size, write the same bytes."""
    source = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    options = {"on_error": "quarantine", "shard_size": "9KB", "max_length": 150}
    outputs = {}
    for size, workers in ((1 << 20, 1), (1, 1), (700, 1), (4000, 2)):
        out = tmp_path / f"out-{size}-{workers}"
        prepare(recipe(source, out, byte_folder, workers=workers, **options), block_bytes=size)
        outputs[size, workers] = tree(out)
    first, *others = outputs.values()
    assert len([name for name in first if name.startswith("data/train-")]) > 3
    assert [first] * 3 == others


@pytest.mark.parametrize("template", ["plain", "qa"])
@pytest.mark.parametrize("truncation", ["drop", "balanced", "keep-start", "error"])
def test_every_record_is_accounted_for(
    tmp_path: Path, byte_folder: Path, template: str, truncation: str
) -> None:
    """Read = written + dropped + rejected, in the manifest, the ledgers and the shards."""
    source = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    prepare(
        recipe(
            source,
            tmp_path / "out",
            byte_folder,
            template=template,
            on_error="quarantine",
            truncation=truncation,
            max_length=80,
            format="jsonl",
            shard_size="20KB",
        )
    )
    counts = load_manifest(tmp_path / "out").counts
    rows = [
        read_shard(path, "jsonl").input_ids
        for path in sorted((tmp_path / "out").glob("data/train-*"))
    ]
    ledgers = {
        outcome: len(path.read_bytes().splitlines()) if path.exists() else 0
        for outcome, path in (
            ("dropped", tmp_path / "out" / "dropped.jsonl"),
            ("rejected", tmp_path / "out" / "rejects.jsonl"),
        )
    }
    assert len(RECORDS) == counts["read"]
    assert {name: sum(counts[name].values()) for name in ledgers} == ledgers
    assert counts["written"] == sum(len(part.lengths) for part in rows)
    assert counts["tokens"] == sum(len(part.values) for part in rows)
    assert len(RECORDS) == counts["written"] + sum(ledgers.values())


def test_bad_records_publish_nothing(tmp_path: Path, byte_folder: Path) -> None:
    """Two bad records among 400 good ones end the run, and no output folder is left."""
    source = write_jsonl(tmp_path / "a.jsonl", RECORDS)
    with pytest.raises(DataError, match=r"^2 of 402 records cannot be used"):
        prepare(recipe(source, tmp_path / "out", byte_folder))
    assert not (tmp_path / "out").exists()
