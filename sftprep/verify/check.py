"""Check a finished dataset against its manifest: every file, every row, every count.

In     the folder of a dataset; optionally the inputs that it was built from, and a template file.
Out    a ``Report`` that lists every problem: the file, the row if the problem is in a row, what was
       found and what was expected.
Keeps  memory bounded by a few thousand rows per worker. Rows are checked even in a file whose hash
       is wrong, so that the report also names the row.
Never  trusts the dataset: it opens nothing outside the folder, follows no symbolic link and
       unpickles nothing. A damaged or hostile dataset gives problems, never a crash.
Raises NoInputError: there is no dataset, or an input does not exist. UsageError: the template file
       cannot be read, or the number of workers is out of range. StorageError: a file of the
       dataset or an input cannot be read.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

from sftprep.arrange import conservation
from sftprep.arrange.options import PadTo
from sftprep.dataset.canonical import canonical_chunks
from sftprep.dataset.files import MANIFEST
from sftprep.dataset.manifest import Manifest, files_of, load_manifest
from sftprep.errors import DataError, UsageError
from sftprep.formats.chunks import ShardError
from sftprep.progress import Progress, Silent
from sftprep.recipe import MOST_WORKERS, check_range
from sftprep.system.cores import usable_cores
from sftprep.text import number, shown
from sftprep.verify.arrangement import arrangement_problems, index_problems
from sftprep.verify.counts import count_problems
from sftprep.verify.folder import DatasetFolder, EntryKind, check_digest, digest_of
from sftprep.verify.index import IndexChecker
from sftprep.verify.layout import layout_of
from sftprep.verify.ledgers import check_ledgers
from sftprep.verify.manifest import content_problems, structure_problems
from sftprep.verify.rebuild import rebuild_and_compare
from sftprep.verify.report import Problem, Report
from sftprep.verify.rows import RowChecker, RowLimits


def verify(
    folder: str,
    *,
    against: Sequence[str] | None = None,
    template: str | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Report:
    """Check a finished dataset.

    Args:
        folder: the folder of the dataset.
        against: the inputs that the dataset should have been built from. If nothing else is wrong,
            they are rendered and encoded again, and the rows are compared.
        template: a file that should be the template the dataset was built with.
        workers: how many threads check shards, and how many processes rebuild rows; None for one
            per core.
        progress: receives reports on the progress of the check; None for no reports.
    """
    if workers is not None:
        check_range("--workers", workers, 1, MOST_WORKERS)
    progress, workers = progress or Silent(), workers or usable_cores()
    report = Report(folder)
    manifest = _load_manifest(Path(folder), report)
    if manifest is None:
        return report
    report.problems += content_problems(manifest) or arrangement_problems(manifest)
    if template is not None:
        _check_template(template, manifest, report)
    files = DatasetFolder(Path(folder))
    present = _check_entries(files, manifest, report)
    to_read = [*manifest.shards, *(manifest.inputs if against is not None else ())]
    progress.start(sum(part["bytes"] for part in to_read))
    counts = _check_shards(files, manifest, present, workers, report, progress)
    check_ledgers(files, manifest, present, report)
    for name, sha256 in (manifest.files | manifest.tokenizer["files"]).items():
        if name in present:
            check_digest(report, name, files.digest(name), sha256)
    if report.ok:
        report.problems += count_problems(manifest, counts)
        report.problems += index_problems(files, manifest)
    if against is not None and report.ok:
        report.problems += rebuild_and_compare(files, manifest, against, workers, progress)
        report.compared_inputs = len(manifest.inputs)
    elif against is not None:
        report.remark = "The inputs were not compared: that needs a dataset without other problems."
    return report


def against_inputs(against: Sequence[str] | None, more: Sequence[str] | None) -> list[str] | None:
    """Collect the inputs of ``--against A B C``.

    On the command line an option takes one value only, so ``B`` and ``C`` arrive as arguments.

    Args:
        against: the values of the option: ``A``.
        more: the arguments after the dataset: ``B C``.

    Returns:
        All inputs; None if the option was not given.
    """
    if more and not against:
        raise UsageError(
            f"{shown(more[0])}: verify checks one dataset at a time. Put inputs after --against."
        )
    if more and against and len(against) > 1:
        raise UsageError("--against is given more than once. Put all inputs after one --against.")
    return [*against, *(more or ())] if against else None


def _load_manifest(folder: Path, report: Report) -> Manifest | None:
    """Load the manifest; None if it has a problem that prevents all other checks."""
    path = folder / MANIFEST
    if path.is_symlink() or (path.exists() and not path.is_file()):
        report.add(MANIFEST, "is not a regular file")
        return None
    try:
        manifest = load_manifest(folder)
    except DataError as error:
        report.add(MANIFEST, str(error).removeprefix(f"{path}: ").rstrip("."))
        return None
    except (RecursionError, TypeError) as error:  # a value that is nested too deeply
        report.add(MANIFEST, f"is not a manifest: {error}")
        return None
    report.problems += structure_problems(manifest)
    return manifest if report.ok else None


def _check_template(path: str, manifest: Manifest, report: Report) -> None:
    """Compare a file with the template that the dataset was built with."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}. Check --template.") from error
    found, expected = hashlib.sha256(data).hexdigest(), manifest.template["sha256"]
    # A chat template is hashed as text, in which every line ends with "\n".
    as_text = hashlib.sha256(data.replace(b"\r\n", b"\n")).hexdigest()
    if expected not in (found, as_text):
        name = shown(manifest.template["name"])
        report.add(path, f"SHA-256 is {found}; the manifest says {expected} for template {name}")


def _check_entries(files: DatasetFolder, manifest: Manifest, report: Report) -> set[str]:
    """Compare what the folder contains with what the manifest names.

    Returns:
        The files that the manifest names and that exist.
    """
    named = [MANIFEST, *(file["name"] for shard in manifest.shards for file in files_of(shard))]
    named += [shard["index"]["name"] for shard in manifest.shards]
    named += [*manifest.files, *manifest.ledgers, *manifest.tokenizer["files"]]
    found = files.entries(set(named))
    for name in dict.fromkeys(named):
        if name not in found:
            report.add(name, "is missing")
        elif found[name] is not EntryKind.FILE:
            report.add(name, f"is {found[name]}; expected {EntryKind.FILE}")
    for name in sorted(found.keys() - set(named)):
        program = files.left_by(name) if found[name] is EntryKind.FILE else ""
        if program:
            report.leftovers[name] = program
        else:
            report.add(name, f"is {found[name]} that the manifest does not name")
    report.files = len(set(named))
    return {name for name in named if found.get(name) is EntryKind.FILE}


def _check_shards(
    files: DatasetFolder,
    manifest: Manifest,
    present: set[str],
    workers: int,
    report: Report,
    progress: Progress,
) -> Counter[str]:
    """Check the shards that exist, several at a time.

    Returns:
        How many documents are counted under each name, in the indexes that exist.
    """
    recipe = manifest.recipe
    limits = RowLimits(
        recipe["max_length"],
        manifest.tokenizer["vocabulary_size"],
        recipe["ignore_index"],
        layout_of(manifest),
    )
    shards = [shard for shard in manifest.shards if shard["name"] in present]
    check = partial(_check_shard, files, recipe, limits, len(manifest.inputs), present)
    done = 0
    longest: dict[str, int] = {}  # of each split: the most tokens in a row, without padding
    padded_to: dict[str, int | None] = {}  # of each shard
    counts: Counter[str] = Counter()
    with ThreadPoolExecutor(workers) as threads:
        for shard, (rows, of_shard, problems) in zip(
            shards, threads.map(check, shards), strict=True
        ):
            report.shards += 1
            longest[shard["split"]] = max(longest.get(shard["split"], 0), rows.longest)
            padded_to[shard["name"]] = rows.padded_to
            report.rows += rows.rows
            report.tokens += rows.tokens
            report.problems += problems
            counts.update(of_shard)
            done += shard["bytes"]
            progress.advance(done, shard["bytes"], rows.rows)
    if limits.layout.pad.to is PadTo.LONGEST:
        for shard in shards:
            found, expected = padded_to[shard["name"]], longest[shard["split"]]
            if found is not None and found != expected:
                report.add(
                    shard["name"],
                    f"has rows of {number(found, 'token')}; the longest row of the "
                    f"{shard['split']} split has {expected:,}",
                )
    return counts


def _check_shard(
    files: DatasetFolder,
    recipe: dict[str, Any],
    limits: RowLimits,
    inputs: int,
    present: set[str],
    shard: dict[str, Any],
) -> tuple[RowChecker, Counter[str], list[Problem]]:
    """Check one shard: its hash, its rows, its index, and what the manifest says about it.

    Args:
        files: the folder of the dataset.
        recipe: the recipe in the manifest.
        limits: what every row must satisfy.
        inputs: how many inputs the manifest lists.
        present: the files that exist.
        shard: the entry of the shard in the manifest.

    Returns:
        What was found in the rows; how many documents the index counts under each name; problems.
    """
    name: str = shard["name"]
    report, rows = Report(name), RowChecker(limits)

    def open_index() -> AbstractContextManager[BinaryIO]:
        if shard["index"]["name"] not in present:
            raise ShardError("its rows cannot be checked without its index")
        return files.open(shard["index"]["name"])

    with ExitStack() as stack:
        opened = []
        for entry in files_of(shard):
            if entry["name"] not in present:
                report.add(name, "its rows cannot be checked without its other files")
                return rows, Counter(), report.problems
            file = stack.enter_context(files.open(entry["name"]))
            check_digest(report, entry["name"], digest_of(file), entry["sha256"], entry["bytes"])
            opened.append(file)
        index = None
        if shard["index"]["name"] in present:
            entry = shard["index"]
            index_file = stack.enter_context(files.open(entry["name"]))
            digest = digest_of(index_file)
            check_digest(report, entry["name"], digest, entry["sha256"], entry["bytes"])
            index = IndexChecker(index_file, inputs, isolated=limits.layout.isolated)
        try:
            for chunk in canonical_chunks(opened[0], recipe, open_index, opened[1:]):
                documents = rows.add(chunk)
                if index is not None and documents is not None:
                    index.compare(documents)
        except ShardError as error:
            report.problems += rows.problems(name)
            report.add(name, error.problem, error.row)
            return rows, Counter(), report.problems
        report.problems += rows.problems(name)
        if index is not None:
            _finish_index(index, rows, shard, report)
    for key, noun, found in (
        ("rows", "row", rows.rows),
        *([("documents", "document", rows.documents)] if limits.layout.packed else []),
        ("tokens", "token", rows.tokens),
        ("trained_tokens", "trained token", rows.trained_tokens),
    ):
        if found != shard[key]:
            report.add(name, f"holds {number(found, noun)}; the manifest says {shard[key]:,}")
    return rows, Counter() if index is None else index.counts, report.problems


def _finish_index(
    index: IndexChecker, rows: RowChecker, shard: dict[str, Any], report: Report
) -> None:
    """Report what is wrong with the index of a shard, as far as the shard's rows are right."""
    name = shard["index"]["name"]
    if not rows.is_broken:
        index.finish()
    report.problems += index.problems(name)
    digest = conservation.text(index.digest)
    if not rows.is_broken and index.is_compared and digest != shard["digest"]:
        report.add(
            name,
            f"its documents have the digest {digest}; the manifest says {shard['digest']}",
        )
