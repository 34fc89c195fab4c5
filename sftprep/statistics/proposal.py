"""Propose a recipe for inputs: what a look at the data and a few questions decide.

In     the options that are given already; a way to ask.
Out    ``Proposal``: options with their values and the reasons, and the text of a recipe file.
Keeps  what is given. Each answer has a default that follows from the data, so that nobody need be
       asked. What is proposed is tried: the lengths come from rows that were really made.
Never  writes a file.
Raises UsageError: an answer is none of the choices, or something that is needed is not given.
       DataError: no record has a shape that can be read. And what ``plan`` raises.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any, NamedTuple

from sftprep.data.block import Block
from sftprep.data.conversation import Record
from sftprep.errors import DataError, SftprepError, UsageError
from sftprep.pipeline import Pipeline, with_schemas
from sftprep.plan import check_tokens, plan
from sftprep.progress import Progress, Silent
from sftprep.reading.blocks import BlockReader
from sftprep.reading.parsing import good_records
from sftprep.reading.sources import STDIN, find_inputs
from sftprep.recipe import Recipe
from sftprep.schemas.fields import SCHEMA_NAMES, Fields
from sftprep.schemas.normalizer import detect_schema
from sftprep.schemas.shapes import AMBIGUOUS, shape_named
from sftprep.statistics.figures import Statistics
from sftprep.statistics.of_inputs import of_inputs
from sftprep.targets.names import TARGET_NAMES
from sftprep.templates.loading import builtin_names, load_template
from sftprep.text import alternatives, ascii_safe, number, shown
from sftprep.tokenization.cached import resolve_tokenizer
from sftprep.tokenization.tokenizer import Tokenizer

RECORDS = 1000
"""How many records are looked at."""
NO_LIMIT = 2**31 - 1
"""A maximum length that no row reaches."""
STEP = 64
"""Limits are a multiple of this."""
FOR_SCHEMA = {
    "messages": ("chatml", "llama3", "phi3", "vicuna"),
    "sharegpt": ("chatml", "llama3", "phi3", "vicuna"),
    "instruction": ("alpaca",),
    "prompt-completion": ("plain",),
    "text": ("plain",),
}
"""The built-in templates that suit a schema, the best first."""
SEPARATOR = "\\n\\n"
SPLITS = ((200_000, "2000"), (10_000, "1%"), (300, "5%"))
"""From so many prompts on, how much of the rows is kept for validation: never nothing."""
LEAST_CHINESE = 0.3
"""A template in Chinese is proposed if so much of the text is Chinese."""


class Question(NamedTuple):
    """A question about one option."""

    option: str
    text: str
    default: str
    choices: tuple[str, ...] = ()  # () for any text


Ask = Callable[[Question], str]
"""Returns the answer to a question."""


def decide(question: Question) -> str:
    """Answer a question with its default."""
    return question.default


@dataclass
class Proposal:
    """A recipe, option by option."""

    values: dict[str, Any]
    reasons: dict[str, str] = field(default_factory=dict)  # option -> why it has its value
    hints: list[tuple[str, str]] = field(default_factory=list)  # a line that is left out, and why

    def set(self, option: str, value: Any, reason: str) -> None:
        """Propose a value."""
        self.values[option] = value
        self.reasons[option] = reason

    def recipe(self) -> Recipe:
        """Return the recipe."""
        return Recipe.from_sources(None, self.values)

    def text(self) -> str:
        """Return the text of a recipe file, with the reasons as comments."""
        import yaml

        parts = ["# A recipe for: sftprep prepare --recipe FILE --output DIR\n"]
        for option, value in self.values.items():
            plain = list(value) if isinstance(value, tuple) else value
            line = yaml.safe_dump({option: plain}, allow_unicode=True, width=1000)
            reason = self.reasons.get(option, "")
            parts.append(f"{_comment(reason)}{line}")
        parts += [f"{_comment(reason)}# {line}\n" for line, reason in self.hints]
        return "\n".join(parts)


def propose(given: Mapping[str, Any], ask: Ask, progress: Progress | None = None) -> Proposal:
    """Propose a recipe.

    Args:
        given: the options that are given already, by name.
        ask: answers questions about the others.
        progress: receives reports on how far the work is.
    """
    progress = progress or Silent()
    proposal = Proposal({"inputs": tuple(given.get("inputs", ()))})
    if not proposal.values["inputs"]:
        raise UsageError("no input. Name files, globs or folders.")
    if STDIN in proposal.values["inputs"]:
        raise UsageError("init reads its inputs twice, which standard input cannot. Name files.")
    proposal.values |= {name: value for name, value in given.items() if name != "inputs"}
    if "tokenizer" not in given:
        name = ask(Question("tokenizer", "Tokenizer (a folder, a file or a hub id)", ""))
        if not name:
            raise UsageError(
                "no tokenizer. Pass --tokenizer with a folder, a tokenizer.json or a hub id."
            )
        proposal.set("tokenizer", name, "")
    look = _Look(proposal.recipe())
    _propose_shape(proposal, look, ask)
    _propose_template(proposal, look, ask)
    _propose_separator(proposal, look, ask)
    tried = proposal.recipe()
    if tried.max_length is None:
        tried = replace(tried, max_length=NO_LIMIT)
    figures = of_inputs(tried, batch_size=1, sample=RECORDS, progress=progress)
    _propose_length(proposal, look, figures, ask)
    _propose_validation(proposal, figures, ask)
    if "target" not in proposal.values:
        target = _one_of(ask, Question("target", "Trainer", "hf", tuple(TARGET_NAMES)))
        proposal.set("target", target, "the trainer that reads the dataset: see sftprep targets")
    _add_hints(proposal, figures)
    return proposal


class _Look:
    """The first block of each input, and the tokenizer."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        assert recipe.tokenizer is not None
        self.tokenizer: Tokenizer = resolve_tokenizer(
            recipe.tokenizer, revision=recipe.revision, add_tokens=recipe.add_token
        )
        sources, _ = find_inputs(recipe.inputs)
        self.names = [source.name for source in sources]
        self.blocks: list[Block] = []  # the first of each input
        for source in sources:
            reader = BlockReader([source], 1 << 30, 1 << 18, limits=recipe.limits)
            first = next(iter(reader), None)
            if first is not None:
                self.blocks.append(first._replace(source=len(self.blocks)))

    def records(self) -> list[Record]:
        """Return the first record of each input."""
        found = (next(iter(good_records(block)), None) for block in self.blocks)
        return [record for record in found if record is not None]

    def shapes(self, fields: Fields, schema: str) -> list[str]:
        """Return the name of the shape of each input."""
        wanted = "" if schema == "auto" else schema
        return [detect_schema(good_records(block), fields, wanted) for block in self.blocks]


def _propose_shape(proposal: Proposal, look: _Look, ask: Ask) -> None:
    """Propose the schema, and the names of fields if they must be given."""
    recipe = proposal.recipe()
    records = look.records()
    if not records:
        raise DataError("the input holds no record that can be read. Check the files.")
    shapes = look.shapes(Fields(recipe.field_names), recipe.schema)
    if AMBIGUOUS in shapes and recipe.schema == "auto":
        schema = _one_of(
            ask,
            Question("schema", "The records fit several schemas; which", "", SCHEMA_NAMES),
        )
        if not schema:
            raise UsageError(
                f"the records fit several schemas. Pass --schema: {alternatives(SCHEMA_NAMES)}."
            )
        proposal.set("schema", schema, "the records fit several schemas")
        shapes = look.shapes(Fields(recipe.field_names), schema)
    if not any(shapes):
        _ask_fields(proposal, records[0], ask)
        recipe = proposal.recipe()
        shapes = look.shapes(Fields(recipe.field_names), recipe.schema)
        if not any(shapes):
            raise DataError(
                f"{look.names[0]}: no record can be read with these fields. See sftprep help data."
            )
    if "schema" in proposal.values:
        return
    fields = Fields(recipe.field_names)
    found = [shape_named(name, fields) for name in shapes if name and name != AMBIGUOUS]
    schemas = list(dict.fromkeys(shape.schema for shape in found))
    names = {c: n for shape in found for c, n in shape.names.items() if c != n}
    read_as = ", ".join(f"{ascii_safe(n)} as {c}" for c, n in names.items())
    detail = f"; read: {read_as}" if read_as else ""
    if len(schemas) == 1 and schemas[0] in SCHEMA_NAMES:
        proposal.set("schema", schemas[0], f"the shape of the records{detail}")
    else:
        proposal.set("schema", "auto", f"the inputs have different shapes{detail}")


def _ask_fields(proposal: Proposal, record: Record, ask: Ask) -> None:
    """Ask which fields hold the prompt and the completion."""
    names = tuple(name for name, value in record.items() if isinstance(value, str))
    listed = ", ".join(map(shown, record)) or "none"
    asked = []
    for canonical in ("prompt", "completion"):
        text = f"No shape is known for these fields. Which one holds the {canonical}"
        answer = _one_of(ask, Question("field", text, "", names)) if names else ""
        if not answer:
            raise DataError(
                f"the records have no shape that sftprep knows; their fields are {listed}. Pass "
                "--field prompt=NAME --field completion=NAME; sftprep help data lists the shapes."
            )
        asked.append(f"{canonical}={answer}")
    proposal.set("field", tuple(asked), "the fields that hold prompt and completion")


def _propose_template(proposal: Proposal, look: _Look, ask: Ask) -> None:
    if "template" in proposal.values:
        return
    default, why = "plain", "no other built-in template suits the tokenizer"
    schema = proposal.recipe().schema
    fitting = [name for name in builtin_names() if _has_tokens(name, look.tokenizer)]
    if look.tokenizer.chat_templates:
        default, why = "tokenizer", "the tokenizer's own chat template, which the model knows"
    else:
        suited = FOR_SCHEMA.get(schema, ("chatml", "vicuna"))
        if schema == "instruction" and _is_chinese(look):
            suited = ("alpaca_zh", *suited)
        for name in suited:
            if name in fitting:
                default, why = name, f"suits {schema} records; the tokenizer has no chat template"
                break
    choices = tuple(["tokenizer"] * bool(look.tokenizer.chat_templates) + fitting)
    template = ask(Question("template", "Template", default, choices))
    proposal.set("template", template, why if template == default else "as you chose")


def _has_tokens(name: str, tokenizer: Tokenizer) -> bool:
    try:
        check_tokens(load_template(name), tokenizer)
    except SftprepError:
        return False
    return True


def _is_chinese(look: _Look) -> bool:
    text = "".join(
        value for record in look.records() for value in record.values() if isinstance(value, str)
    )
    chinese = sum("\u4e00" <= character <= "\u9fff" for character in text)
    return chinese > LEAST_CHINESE * len(text)


def _propose_separator(proposal: Proposal, look: _Look, ask: Ask) -> None:
    """Propose a separator if the template takes one and answers stand directly behind prompts."""
    recipe = proposal.recipe()
    if recipe.separator is not None or recipe.template != "plain":
        return
    job = plan(recipe)
    pipeline = Pipeline(job.settings)
    glued = read = 0
    for block in with_schemas(look.blocks, recipe.schema, recipe.field_names):
        result = pipeline.process(block)
        glued += result.counts["glued_answers"]
        read += result.read
    if not glued:
        return
    question = Question("separator", "Text between prompt and completion", SEPARATOR)
    found = f"{glued:,} of {number(read, 'prompt')} are followed directly by the answer"
    proposal.set("separator", ask(question), found)


def _propose_length(proposal: Proposal, look: _Look, figures: Statistics, ask: Ask) -> None:
    if "max_length" in proposal.values:
        return
    fits = figures.lengths.fits_99
    length = max(ceil(fits / STEP) * STEP, STEP)
    limit = look.tokenizer.model_max_length
    why = f"99% of the rows have at most {fits:,} tokens, the longest {figures.lengths.longest:,}"
    if limit is not None and length > limit:
        length = limit
        why += f"; but the tokenizer says that its model can read {limit:,}"
    answer = ask(Question("max_length", "Maximum length of a row, in tokens", str(length)))
    if not answer.isdecimal() or not int(answer):
        raise UsageError(f"--max-length is {shown(answer)}; expected a whole number above 0.")
    proposal.set("max_length", int(answer), why)
    if "truncation" not in proposal.values:
        proposal.set(
            "truncation", "drop", "what becomes of longer rows: see sftprep help truncation"
        )


def _propose_validation(proposal: Proposal, figures: Statistics, ask: Ask) -> None:
    if "validation" in proposal.values:
        return
    records = figures.sample.of if figures.sample else figures.losses.read
    same = figures.duplicates
    different = _different(figures.rows.rows, same.rows + same.rows_of_such_prompts)
    default = next((share for least, share in SPLITS if records * different >= least), "")
    text = "Share of the rows for validation, such as 5%; none for no validation split"
    answer = ask(Question("validation", text, default or "none"))
    if answer and answer != "none":
        why = f"of {number(records, 'record')}; rows with one prompt stay in one split"
        proposal.set("validation", answer, why)


def _different(rows: int, alike: int) -> float:
    """Return the share of rows that are left when those that are alike do not count."""
    return max(rows - alike, 0) / rows if rows else 0.0


def _add_hints(proposal: Proposal, figures: Statistics) -> None:
    """Propose what the data asks for, and name what else may be of use."""
    losses = figures.losses
    if losses.rejected and "on_error" not in proposal.values:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in losses.rejected.items())
        bad = sum(losses.rejected.values())
        proposal.set(
            "on_error",
            "quarantine",
            f"{bad:,} of {number(losses.read, 'record')} cannot be used ({reasons})",
        )
    if "dedup" not in proposal.values and figures.duplicates.rows:
        equal = number(figures.duplicates.rows, "row")
        proposal.hints.append(("dedup: exact", f"{equal} of {losses.written:,} repeat another"))
    if "shuffle" not in proposal.values:
        proposal.hints.append(("shuffle: true", "most trainers shuffle by themselves"))
    if "pack" not in proposal.values:
        proposal.hints.append(("pack: true", "several rows in one, for trainers that take packs"))


def _one_of(ask: Ask, question: Question) -> str:
    """Ask, and refuse an answer that is none of the choices; "" is refused only by the caller."""
    answer = ask(question)
    if answer and answer not in question.choices:
        raise UsageError(
            f"{shown(answer)} is none of the choices for {question.option}. Choose "
            f"{alternatives(question.choices)}."
        )
    return answer


def _comment(reason: str) -> str:
    return f"# {ascii_safe(reason)}\n" if reason else ""
