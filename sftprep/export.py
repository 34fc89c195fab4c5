"""The second half of a run alone: ``export`` arranges a finished dataset in another way.

    dataset -> staged rows -> plan -> gather, shard by shard -> ledgers -> manifest

``prepare`` with some options, and ``prepare`` without them followed by ``export`` with them, give
the same bytes. ``run.py`` shows the whole run.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from sftprep.arrange.arrange import arrange_again, arrange_rest
from sftprep.arrange.options import Arrangement
from sftprep.arrange.plan import DUPLICATE, NEAR_DUPLICATE, NOT_SAMPLED, Plan
from sftprep.arrangement import Material, arrangement_of, resolved_arrangement
from sftprep.commit import commit, say_what_is_discarded, say_what_is_kept
from sftprep.data.ragged import lengths_to_offsets
from sftprep.dataset.arranged_shards import OutputShard, shards_of
from sftprep.dataset.copied import copy_ledgers, copy_tokenizer
from sftprep.dataset.identity import Identity, fingerprint
from sftprep.dataset.journal import begin_alone
from sftprep.dataset.manifest import Manifest, Prepared, load_manifest
from sftprep.dataset.reuse import find_exported
from sftprep.dataset.staging import STAGED, OutputFolder
from sftprep.dataset.unpack import Unpacked, unpack
from sftprep.errors import UsageError
from sftprep.formats.buffers import share_memory
from sftprep.progress import Progress, Silent
from sftprep.recipe import Recipe
from sftprep.second_half import SecondHalf
from sftprep.system.cores import usable_cores
from sftprep.text import flag, shown
from sftprep.tokenization.cached import versions

CHOICE = ("validation", "test", "split_by", "sample", "repeat", "seed")
"""The options that say which rows are in which split, and how often."""


def export(folder: str, given: Mapping[str, Any], *, progress: Progress | None = None) -> Prepared:
    """Arrange a finished dataset in another way, without tokenizing.

    Args:
        folder: the folder of the dataset.
        given: the options that are given, by name; the others are those of the dataset.
        progress: receives reports on how far the run is.

    Returns:
        The manifest of the new dataset in the output folder, and whether this run wrote it.

    Raises:
        SftprepError: the run failed; the subclass says in what way. Nothing was published, and a
            dataset that was in the output folder before is still there.
    """
    progress = progress or Silent()
    job = _plan(folder, given)
    output = OutputFolder(job.output)
    output.check()
    output.check_inputs([folder])
    recipe = job.recipe
    existing = find_exported(
        output, job.draft.identity(), overwrite=recipe.overwrite, resume=recipe.resume
    )
    if existing is not None:
        say_what_is_kept(output, existing, progress)
        return Prepared(existing, "unchanged")
    workers = recipe.workers or usable_cores()
    with output.staged() as staging:
        say_what_is_discarded(output, recipe, progress)
        resumed = begin_alone(output, job.identity(), resume=recipe.resume)
        staged = staging / STAGED
        staged.mkdir()
        share_memory()
        unpacked = unpack(Path(folder), job.source, staged, workers)
        half = SecondHalf(
            staging=staging,
            staged=unpacked.rows,
            arrangement=job.arrangement,
            draft=job.draft,
            workers=workers,
            resume=resumed,
        )
        plan = job.plan(half, unpacked)
        manifest = half.write(plan, job.shards(half, plan), progress)
        ledgers = copy_ledgers(
            Path(folder),
            job.source,
            output.dataset,
            half.dropped(plan),
            private=recipe.private_ledgers,
        )
        copy_tokenizer(Path(folder), job.source, output.dataset)
        manifest = commit(output, replace(manifest, ledgers=ledgers))
    return Prepared(manifest, "resumed" if resumed else "written")


def export_recipe(folder: str, given: Mapping[str, Any]) -> Recipe:
    """Return the recipe of the dataset that ``export`` would write.

    Args:
        folder: the folder of the dataset.
        given: the options that are given, by name.
    """
    return Recipe.rearranged(load_manifest(Path(folder)).recipe, given)


@dataclass(frozen=True)
class _Job:
    """What is to be done, as far as it is known before a row is read."""

    folder: str
    source: Manifest
    draft: Manifest  # that of the new dataset, without what depends on its rows
    recipe: Recipe
    arrangement: Arrangement

    @property
    def output(self) -> str:
        if not self.recipe.output:
            raise UsageError("no output folder. Pass --output DIR.")
        return self.recipe.output

    def identity(self) -> Identity:
        """Return what decides the bytes of the dataset, in the form of a staging folder."""
        names = [entry["name"] for entry in self.source.inputs]
        return {**self.draft.identity(), "inputs": names}

    @property
    def _lost(self) -> Mapping[str, int]:
        """How many rows the dataset has lost to its own arrangement, by reason."""
        found: Mapping[str, int] = self.source.arrangement.get("dropped", {})
        return found

    @property
    def _is_settled(self) -> bool:
        """Whether the new dataset has the same rows in the same splits, as often."""
        return bool(self.source.arrangement) and not self._changed(("dedup", *CHOICE))

    def _changed(self, names: tuple[str, ...]) -> list[str]:
        """Return which of these options differ from those of the dataset."""
        return [name for name in names if self.source.recipe[name] != self.draft.recipe[name]]

    def check(self) -> None:
        """Refuse options that need what the dataset does not have."""
        needed = []
        if any(reason in self._lost for reason in (DUPLICATE, NEAR_DUPLICATE)):
            needed = self._changed(("dedup",))
        if NOT_SAMPLED in self._lost:
            needed = self._changed(("dedup", *CHOICE))
        if needed:
            lost = ", ".join(f"{count:,} {reason}" for reason, count in self._lost.items())
            raise UsageError(
                f"{flag(needed[0])} cannot be changed: the dataset {self.folder} was made without "
                f"some rows ({lost}), which would be needed. Export from a dataset that has all "
                "rows, or run prepare with the option."
            )
        field = self.recipe.split_by
        if field is not None and self._changed(("split_by",)):
            raise UsageError(
                f"--split-by {shown(field)} cannot be used: the dataset {self.folder} was made "
                "without this field of its records. Run prepare with the option."
            )
        if self.recipe.dedup == "normalized" and self._changed(("dedup",)):
            raise UsageError(
                f"--dedup normalized cannot be used: the dataset {self.folder} does not hold the "
                "texts of its rows. Run prepare with the option, or use --dedup exact."
            )
        if self.arrangement.is_plain and not self.draft.input_shards:
            raise UsageError(
                "rows that are not arranged are divided as their input is, here into slices of "
                f"--shard-size {self.recipe.shard_size}, and the dataset {self.folder} knows only "
                "those of the size it was first made with. Pass that size, arrange the rows, or "
                "run prepare."
            )

    def plan(self, half: SecondHalf, unpacked: Unpacked) -> Plan:
        """Plan what becomes of each row."""
        columns, options, old = half.staged.columns(), self.arrangement, self.source.arrangement
        if self._is_settled:
            return arrange_again(columns, options, unpacked.splits, old)
        if old and self.recipe.dedup and not self._changed(("dedup",)):
            return arrange_rest(columns, options, old)
        return half.plan()

    def shards(self, half: SecondHalf, plan: Plan) -> list[OutputShard]:
        """Divide the rows into shards; without an arrangement, as the input is divided."""
        if self.arrangement.is_plain:
            (split,) = plan.splits
            borders = lengths_to_offsets(np.array(self.source.input_shards))
            return shards_of(split, borders.tolist(), self.draft.recipe["format"])
        return half.shards(plan)


def _plan(folder: str, given: Mapping[str, Any]) -> _Job:
    """Refuse everything that can be refused before a row is read."""
    source = load_manifest(Path(folder))
    recipe = Recipe.rearranged(source.recipe, given)
    resolved = {
        "format": recipe.file_format,
        "shard_size": recipe.shard_bytes,
        "max_line_bytes": source.recipe["max_line_bytes"],
        **resolved_arrangement(recipe, source.recipe["max_length"]),
    }
    draft = replace(
        source, recipe=recipe.deciding(resolved), libraries=_libraries(source), shards=[]
    )
    if draft.recipe["shard_size"] != source.recipe["shard_size"]:
        draft = replace(draft, input_shards=[])  # how the input would be divided is not known
    draft = replace(draft, ledgers={}, fingerprint=fingerprint(draft.identity()))
    job = _Job(folder, source, draft, recipe, _arrangement(recipe, source))
    job.check()
    return job


def _arrangement(recipe: Recipe, source: Manifest) -> Arrangement:
    special = source.tokenizer["special_tokens"]
    material = Material(
        sources=[entry["name"] for entry in source.inputs],
        tokenizer=source.tokenizer["name"],
        has_pad="pad" in special,
        max_length=source.recipe["max_length"],
        has_rows=True,
    )
    return arrangement_of(recipe, material)


def _libraries(source: Manifest) -> dict[str, str]:
    """Return the versions of the libraries that decide the bytes: Arrow writes the shards anew."""
    return {**source.libraries, **versions("pyarrow")}
