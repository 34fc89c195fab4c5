"""The run of ``lint``, top to bottom: read -> parse -> normalize -> look -> merge -> judge.

``linter`` shows what happens to one block; this module shows what happens to the input.

In     a recipe: what to read; with a tokenizer, also how to make rows of it.
Out    a ``Report``: what each rule has found in the whole input, with what was ignored and why.
Never  writes anything but the corrected copy that ``write_fixed`` asks for.
Raises SftprepError: the input or an option cannot be used. A bad record is a finding, no error.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from sftprep.data.block import Block, Source
from sftprep.engine.local.engine import run_blocks
from sftprep.engine.local.pool import WorkerPool
from sftprep.errors import DataError, NoInputError, UsageError
from sftprep.fixed_copy import Copier, FixedCopy, check_target
from sftprep.lint.findings import Columns, Findings, Tally
from sftprep.lint.fixes import fixes_for
from sftprep.lint.rule import SEVERITIES, Finding, Rule
from sftprep.lint.table import RULES
from sftprep.linter import Linted, Linter, LintSettings
from sftprep.pipeline import with_schemas
from sftprep.plan import plan
from sftprep.progress import Progress, Silent
from sftprep.reading.blocks import BLOCK_BYTES, BlockReader
from sftprep.reading.sources import find_inputs
from sftprep.recipe import Recipe
from sftprep.schemas.fields import Fields
from sftprep.system.cores import usable_cores
from sftprep.text import did_you_mean, number, shown


@dataclass(frozen=True)
class Ignored:
    """A finding that is not reported."""

    finding: Finding
    reason: str  # "" if a flag says so, without a reason


@dataclass(frozen=True)
class Report:
    """What the rules have found."""

    names: tuple[str, ...]  # of the sources
    records: int
    findings: tuple[Finding, ...]  # the most severe first
    ignored: tuple[Ignored, ...]
    not_run: tuple[Rule, ...]  # those that need a tokenizer, if there is none
    fixed: FixedCopy | None = None  # the copy that was written

    def counts(self) -> dict[str, int]:
        """Return how many rules of each severity have found something."""
        found = [finding.rule.severity for finding in self.findings]
        return {severity: found.count(severity) for severity in SEVERITIES}

    def check(self, fail_on: str) -> None:
        """Raise a ``DataError`` if a finding is at least as severe as ``fail_on``; "": never."""
        if not fail_on:
            return
        ranks: dict[str, int] = {severity: rank for rank, severity in enumerate(SEVERITIES)}
        found = [one for one in self.findings if ranks[one.rule.severity] <= ranks[fail_on]]
        if found:
            names = ", ".join(finding.rule.name for finding in found)
            raise DataError(
                f"--fail-on {fail_on}: {number(len(found), 'rule')} found faults: {names}. Correct "
                "the data, or ignore a rule with a reason."
            )


def lint(
    recipe: Recipe,
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    write_fixed: str | None = None,
    progress: Progress | None = None,
    early: WorkerPool | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> Report:
    """Look for faults in instruction data.

    Args:
        recipe: what to read. With a tokenizer, the rules about rows are run too.
        select: the names of the rules to run; none for all.
        ignore: the names of rules that are not to report; those of the recipe are added.
        write_fixed: a file to write a corrected copy to.
        progress: receives reports on how far the run is.
        early: worker processes that were started before this module was loaded.
        block_bytes: how much input a worker gets at a time; does not change what is found.
    """
    progress = progress or Silent()
    if not recipe.inputs:
        raise UsageError("no input. Name files, globs or folders, or - for standard input.")
    chosen = _chosen(select, "select") or list(RULES.values())
    if recipe.system is not None:  # with it, all records have a system prompt
        chosen = [rule for rule in chosen if rule.name != "system-prompt"]
    if not chosen:
        raise UsageError("--select system-prompt finds nothing with --system. Remove one of them.")
    reasons = dict.fromkeys((rule.name for rule in _chosen(ignore, "ignore")), "")
    reasons |= recipe.ignored_rules
    sources, settings, notes = _planned(recipe, chosen)
    if write_fixed is not None:
        check_target(write_fixed, sources)
    for note in notes:
        progress.note(note)
    reader = BlockReader(
        sources, recipe.shard_bytes, block_bytes, limits=recipe.limits, hints=recipe.hints
    )
    progress.start(reader.total_bytes)
    paths = [source.path for source in sources]
    workers = recipe.workers or usable_cores()
    blocks: Iterator[Block] = with_schemas(reader, recipe.schema, recipe.field_names)
    copier = None
    if write_fixed is not None and (first := next(blocks, None)) is not None:
        copier = Copier(sources[0], Fields(recipe.field_names, roles=recipe.role_names), first)
        blocks = chain([first], blocks)
    total = Findings()
    for result in run_blocks(blocks, settings, workers, paths, early, Linter):
        assert isinstance(result, Linted)
        total.add(result.findings)
        progress.advance(reader.stored_bytes, result.size, result.read)
    if not total.records:
        raise NoInputError("the input holds no records. Check the files.")
    names = tuple(source.name for source in sources)
    found = _judged(total, settings.rules, names)
    reported = tuple(one for one in found if one.rule.name not in reasons)
    copy = None
    if copier is not None and write_fixed is not None:
        copy = copier.write(write_fixed, fixes_for(reported))
    return Report(
        names=names,
        records=total.records,
        findings=reported,
        ignored=tuple(
            Ignored(one, reasons[one.rule.name]) for one in found if one.rule.name in reasons
        ),
        not_run=tuple(rule for rule in chosen if rule.name not in settings.rules),
        fixed=copy,
    )


def _planned(
    recipe: Recipe, chosen: Sequence[Rule]
) -> tuple[list[Source], LintSettings, list[str]]:
    """Return the sources, the settings of the linter, and notes on the inputs."""
    has_tokenizer = recipe.tokenizer is not None
    rules = tuple(rule.name for rule in chosen if has_tokenizer or not rule.needs_rows)
    if not rules:
        raise UsageError(
            f"{', '.join(rule.name for rule in chosen)}: needs rows, and so a tokenizer. Pass "
            "--tokenizer."
        )
    glues = (
        recipe.template == "plain"
        and not recipe.separator
        and not any(token.startswith("sep=") for token in recipe.add_token)
    )
    fixed = LintSettings(
        rules=rules,
        fields=recipe.field_names,
        roles=recipe.role_names,
        merge_turns=recipe.merge_turns,
        cuts_end=recipe.on_no_answer == "cut",
        glues=glues and not has_tokenizer,
        allowed=frozenset(recipe.allow_control),
    )
    if not has_tokenizer:
        sources, notes = find_inputs(recipe.inputs)
        return sources, fixed, notes
    job = plan(recipe)
    limit = job.settings.max_length
    return job.sources, replace(fixed, pipeline=job.settings, max_length=limit), job.notes


def _chosen(names: Collection[str], flag: str) -> list[Rule]:
    """Return the rules with these names, in the order of the table."""
    for name in names:
        if name not in RULES:
            hint = did_you_mean(name, RULES, "sftprep help lint lists the rules.")
            raise UsageError(f"--{flag} {shown(name)}: there is no such rule. {hint}")
    return [rule for rule in RULES.values() if rule.name in names]


def _judged(total: Findings, rules: Sequence[str], names: Sequence[str]) -> list[Finding]:
    """Return what the rules find in all that was noted, the most severe first."""
    columns = Columns.concatenate(total.columns)
    found: list[Finding] = []
    for name in rules:
        rule = RULES[name]
        tally = total.tallies.get(name, Tally())
        if rule.look_over is not None:
            tally = rule.look_over(columns, names)
        verdict = rule.judge(tally)
        if verdict is not None and verdict.faulty:
            found.append(Finding(rule, tally.seen, verdict))
    return sorted(found, key=lambda one: SEVERITIES.index(one.rule.severity))
