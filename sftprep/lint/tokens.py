"""Rules about rows: what only the tokenizer and the template show.

They look at the rows that the stages of ``prepare`` make, before any is cut to the maximum length.
"""

from functools import partial

import numpy as np

from sftprep.data.omitted import in_words
from sftprep.data.ragged import Mask, Offsets
from sftprep.lint.findings import Form
from sftprep.lint.material import Material
from sftprep.lint.rule import Look, Notes, Rule, minority

SHOWN = 32
"""How many characters of a text a remark shows."""


def _reason(name: str) -> Look:
    """Return a rule's look for the rows that the stages count under one name."""

    def look(material: Material, notes: Notes) -> None:
        batch = material.batch
        if batch is None or batch.facts is None:
            return
        notes.seen(len(batch))
        rows = batch.facts.reasons.get(name)
        if rows is not None:
            notes.records(_lines(batch.record[rows]), lambda line: _borders(material, line))

    return look


def _named(kind: str) -> Look:
    """Return a rule's look for the rows that are counted by kind and name: the name is a form."""

    def look(material: Material, notes: Notes) -> None:
        batch = material.batch
        if batch is None or batch.facts is None:
            return
        notes.seen(len(batch))
        for reason, rows in batch.facts.reasons.items():
            found, _, name = reason.partition(":")
            if found == kind and name:
                words = in_words([name]) if kind == "omitted" else name
                notes.records(_lines(batch.record[rows]), partial(_said, words), words)

    return look


def _said(words: str, _: int) -> str:
    return words


def _borders(material: Material, line: int) -> str:
    """Return the end of a record's first prompt, and the start of its answer."""
    lines, prompts, answers = material.pairs
    number = next((n for n, own in enumerate(lines) if own == line), None)
    if number is None:
        return ""
    return f"{prompts[number][-SHOWN:]!r} then {answers[number][:SHOWN]!r}"


def _last_words(material: Material, line: int) -> str:
    """Return the end of a record's last answer."""
    answers = [text for own, text in material.answers.pairs() if own == line]
    return repr(answers[-1][-SHOWN:]) if answers else ""


def _lines(records: Offsets) -> list[int]:
    return [int(line) for line in records.tolist()]


def _no_stop(material: Material, notes: Notes) -> None:
    batch = material.batch
    if batch is None or batch.facts is None:
        return
    notes.seen(len(batch))
    reasons = batch.facts.reasons
    rows: Mask = reasons.get("answer_without_stop", np.zeros(len(batch), np.bool_)).copy()
    for reason, others in reasons.items():
        if reason.startswith("other_stop:"):
            rows &= ~others
    notes.records(_lines(batch.record[rows]), lambda line: _last_words(material, line))


def _terminators(material: Material, notes: Notes) -> None:
    """Note the control token that ends the last answer of each row."""
    batch = material.batch
    if batch is None or batch.facts is None or not len(batch.input_ids):
        return
    places = np.where(batch.loss_mask, np.arange(len(batch.loss_mask)), -1)
    last = np.maximum.reduceat(places, batch.offsets[:-1])
    ends = batch.input_ids[np.maximum(last, 0)]
    known = material.writing.controls
    notes.seen(len(batch))
    for token in np.unique(ends).tolist():
        if token not in known:
            continue  # the rule no-stop tells of it
        lines = _lines(batch.record[(ends == token) & (last >= 0)])
        found = notes.tally.forms.setdefault(known[token], Form())
        found.count += len(lines)
        for line in lines[:5]:
            notes.said(known[token], line, f"ends with {known[token]}")


def _doubled_bos(material: Material, notes: Notes) -> None:
    batch, bos = material.batch, material.writing.bos
    if batch is None or bos is None:
        return
    notes.seen(len(batch))
    long = batch.lengths > 1
    starts = batch.offsets[:-1][long]
    doubled = (batch.input_ids[starts] == bos) & (batch.input_ids[starts + 1] == bos)
    notes.records(_lines(batch.record[long][doubled]), lambda line: _borders(material, line))


def _prompt_over(material: Material, notes: Notes) -> None:
    """Note the rows in which no trained token comes before the maximum length."""
    batch, limit = material.batch, material.writing.max_length
    if batch is None or not len(batch.input_ids):
        return
    notes.seen(len(batch))
    ends = len(batch.loss_mask)
    places = np.where(batch.loss_mask, np.arange(ends), ends)
    first = np.minimum.reduceat(places, batch.offsets[:-1]) - batch.offsets[:-1]
    _note_lengths(material, first, first >= limit, notes)


def _row_over(material: Material, notes: Notes) -> None:
    batch, limit = material.batch, material.writing.max_length
    if batch is None:
        return
    notes.seen(len(batch))
    _note_lengths(material, batch.lengths, batch.lengths > limit, notes)


def _note_lengths(material: Material, lengths: Offsets, rows: Mask, notes: Notes) -> None:
    assert material.batch is not None
    places = zip(material.batch.record[rows].tolist(), lengths[rows].tolist(), strict=True)
    for line, length in places:
        notes.remark(line, f"{length:,} tokens")


RULES = (
    Rule(
        name="no-stop",
        severity="error",
        unit="row",
        finds="answers that end without a trained stop token",
        why="The model would not learn where to stop.",
        cure="Pass --end-of-turn TOKEN, or choose another --template.",
        look=_no_stop,
        needs_rows=True,
    ),
    Rule(
        name="other-stop",
        severity="warning",
        unit="row",
        finds="answers that end with a token at which inference does not stop",
        why="The model learns to write the token, and inference goes on behind it.",
        cure="Add the token to eos_token_id in generation_config.json, or pass --end-of-turn.",
        look=_named("other_stop"),
        needs_rows=True,
    ),
    Rule(
        name="stop-differs",
        severity="warning",
        unit="row",
        finds="last answers that end with another stop token than most",
        why="The model learns two ways to stop, and which of them comes is chance.",
        cure="Use one template for all records, and one token in it.",
        look=_terminators,
        judge=minority(0, few=2),
        needs_rows=True,
    ),
    Rule(
        name="doubled-bos",
        severity="error",
        unit="row",
        finds="rows that begin with two BOS tokens",
        why="Inference sends one. Two come from a template that writes what the tokenizer adds.",
        cure="Remove the token from the template.",
        look=_doubled_bos,
        needs_rows=True,
    ),
    Rule(
        name="unclean-boundary",
        severity="warning",
        unit="row",
        finds="prompts and answers that do not meet at the border of a token",
        why="The tokens of the prompt alone are others than those of the whole text, so inference "
        "sends other tokens than training.",
        cure="End prompts with a line break or a marker, not with a space.",
        look=_reason("unclean_boundary"),
        needs_rows=True,
    ),
    Rule(
        name="glued-answer",
        severity="warning",
        unit="row",
        finds="answers that the template puts directly behind their prompt",
        why="The last word of the prompt and the first word of the answer touch.",
        cure="Pass --separator '\\n', or choose another --template.",
        look=_reason("glued_answer"),
        needs_rows=True,
    ),
    Rule(
        name="token-as-text",
        severity="warning",
        unit="row",
        finds="texts of the template that look like tokens, and are none of the tokenizer's",
        why="They become several pieces of text, which the model has never seen in that place.",
        cure="Pass --add-token, or --plain-text if it is meant as text.",
        look=_named("token_as_text"),
        needs_rows=True,
    ),
    Rule(
        name="left-out",
        severity="warning",
        unit="row",
        finds="parts of records that the template leaves out, such as tools or reasoning",
        why="The model would not see them; prepare refuses records that lose tools, tool calls, "
        "reasoning or their system prompt.",
        cure="Choose another --template, or pass --on-omission count.",
        look=_named("omitted"),
        needs_rows=True,
    ),
    Rule(
        name="rewritten-history",
        severity="note",
        unit="row",
        finds="conversations whose earlier turns the template writes otherwise at inference",
        why="At inference, the model sees another text before an answer than in training.",
        cure="Pass --per-turn, which makes an example of each answer.",
        look=_reason("rewritten_history"),
        needs_rows=True,
    ),
    Rule(
        name="trained-think-block",
        severity="note",
        unit="row",
        finds="empty think blocks of the template that are trained",
        why="The model would learn not to think.",
        cure="Choose another template, or pass --template-arg if it takes one for thinking.",
        look=_reason("trained_think_block"),
        needs_rows=True,
    ),
    Rule(
        name="prompt-over-limit",
        severity="warning",
        unit="row",
        finds="prompts that alone are longer than --max-length",
        why="No strategy that keeps the whole prompt can keep anything of the answer.",
        cure="Raise --max-length, shorten the prompts, or choose --truncation prompt-start.",
        look=_prompt_over,
        needs_rows=True,
    ),
    Rule(
        name="over-limit",
        severity="note",
        unit="row",
        finds="rows longer than --max-length",
        why="They are dropped or cut, as --truncation says.",
        cure="Raise --max-length; sftprep stats says which length keeps how many.",
        look=_row_over,
        needs_rows=True,
    ),
)
