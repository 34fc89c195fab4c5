"""Whether a dataset is what its manifest says: every file, every row, every sum.

In     a dataset's folder; perhaps the inputs it was made from, and the template.
Out    a ``Report`` with every problem: the file, the row where it is one, found and expected.
Keeps  memory bounded by a few thousand rows for each worker. Rows are looked at even where a file's
       hash differs: the problem is then named with its row.
Never  trusts the dataset: opens nothing outside its folder, follows no link, unpickles nothing; a
       damaged or hostile one gives problems, never a crash.
Raises NoInputError: no dataset, or no such input. UsageError: no such template file. StorageError:
       the system failed to read.
"""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from sftprep.dataset.manifest import MANIFEST, Manifest, load_manifest
from sftprep.errors import DataError, UsageError
from sftprep.formats.chunks import ShardError
from sftprep.formats.table import shard_chunks
from sftprep.progress import Progress, Silent
from sftprep.system.cores import usable_cores
from sftprep.text import shown
from sftprep.verify.folder import FILE, Facts, Folder, check_facts, facts_of
from sftprep.verify.ledgers import check_ledgers
from sftprep.verify.manifest import content_problems, form_problems
from sftprep.verify.rebuild import compare
from sftprep.verify.report import Problem, Report
from sftprep.verify.rows import RowCheck, Rules


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
        folder: the dataset's.
        against: the inputs it should have been made from; they are rendered and encoded again.
        template: a file that should be the template it was made with.
        workers: how many threads, and processes for ``against``, at the most; all cores unless
            given.
        progress: told how it goes; nobody, unless given.
    """
    progress, workers = progress or Silent(), workers or usable_cores()
    report = Report(folder)
    manifest = _manifest(Path(folder), report)
    if manifest is None:
        return report
    report.problems += content_problems(manifest)
    if template is not None:
        _check_template(template, manifest, report)
    files = Folder(Path(folder))
    there = _present(files, manifest, report)
    parts = [*manifest.shards, *(manifest.inputs if against is not None else ())]
    progress.start(sum(part["bytes"] for part in parts))
    _check_shards(files, manifest, there, workers, report, progress)
    check_ledgers(files, manifest, there, report)
    for name, sha256 in manifest.tokenizer["files"].items():
        if name in there:
            found = files.facts(name)
            check_facts(name, found, found._replace(sha256=sha256), report)
    if against is not None and report.ok:
        report.problems += compare(files, manifest, against, workers, progress)
        report.compared = len(manifest.inputs)
    elif against is not None:
        report.remark = "The inputs were not compared: what is wrong without them comes first."
    return report


def against_inputs(against: Sequence[str] | None, more: Sequence[str] | None) -> list[str] | None:
    """The inputs of ``--against A B C``, which the command line takes apart behind A.

    Returns:
        None where the option was not given.
    """
    if more and not against:
        raise UsageError(
            f"{shown(more[0])}: only one dataset at a time. Inputs go behind --against."
        )
    if more and against and len(against) > 1:
        raise UsageError("--against is given more than once. Name all inputs behind one of them.")
    return [*against, *(more or ())] if against else None


def _manifest(folder: Path, report: Report) -> Manifest | None:
    """The manifest, if the other checks can rely on its form."""
    path = folder / MANIFEST
    if path.is_symlink() or (path.exists() and not path.is_file()):
        report.add(MANIFEST, "is no plain file")
        return None
    try:
        manifest = load_manifest(folder)
    except DataError as error:
        report.add(MANIFEST, str(error).removeprefix(f"{path}: ").rstrip("."))
        return None
    except (RecursionError, TypeError) as error:  # lists in lists in lists
        report.add(MANIFEST, f"is no manifest: {error}")
        return None
    report.problems += form_problems(manifest)
    return manifest if report.ok else None


def _check_template(path: str, manifest: Manifest, report: Report) -> None:
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}. Check --template.") from error
    found, expected = hashlib.sha256(data).hexdigest(), manifest.template["sha256"]
    as_read = data.replace(b"\r\n", b"\n")  # a chat template's line ends do not count
    if expected not in (found, hashlib.sha256(as_read).hexdigest()):
        name = shown(manifest.template["name"])
        report.add(path, f"SHA-256 is {found}; the manifest says {expected} for template {name}")


def _present(files: Folder, manifest: Manifest, report: Report) -> set[str]:
    """The dataset's files that are there; what is missing or does not belong is a problem."""
    named = [MANIFEST, *(shard["name"] for shard in manifest.shards)]
    named += [*manifest.ledgers, *manifest.tokenizer["files"]]
    found = files.entries(set(named))
    for name in dict.fromkeys(named):
        if name not in found:
            report.add(name, "is missing")
        elif found[name] != FILE:
            report.add(name, f"is {found[name]}; expected {FILE}")
    for name in sorted(found.keys() - set(named)):
        report.add(name, f"is {found[name]} that the manifest does not name")
    report.files = len(set(named))
    return {name for name in named if found.get(name) == FILE}


def _check_shards(
    files: Folder,
    manifest: Manifest,
    there: set[str],
    workers: int,
    report: Report,
    progress: Progress,
) -> None:
    recipe = manifest.recipe
    rules = Rules(
        recipe["max_length"], manifest.tokenizer["vocabulary_size"], recipe["ignore_index"]
    )
    shards = [shard for shard in manifest.shards if shard["name"] in there]
    check = partial(_shard, files, recipe["format"], rules)
    stored = 0
    with ThreadPoolExecutor(workers) as threads:
        for shard, (rows, problems) in zip(shards, threads.map(check, shards), strict=True):
            report.shards += 1
            report.rows += rows.rows
            report.tokens += rows.tokens
            report.problems += problems
            stored += shard["bytes"]
            progress.advance(stored, shard["bytes"], rows.rows)


def _shard(
    files: Folder, name: str, rules: Rules, shard: dict[str, Any]
) -> tuple[RowCheck, list[Problem]]:
    """Check one shard: the file, its rows, and what the manifest counts in it."""
    file_name: str = shard["name"]
    report, rows = Report(file_name), RowCheck(rules)
    with files.open(file_name) as file:
        check_facts(file_name, facts_of(file), Facts(shard["bytes"], shard["sha256"]), report)
        try:
            for part in shard_chunks(file, name):
                rows.add(part)
        except ShardError as error:
            report.problems += rows.problems(file_name)
            report.add(file_name, error.problem, error.row)
            return rows, report.problems
    report.problems += rows.problems(file_name)
    for key, found in (
        ("rows", rows.rows),
        ("tokens", rows.tokens),
        ("trained_tokens", rows.trained),
    ):
        if found != shard[key]:
            words = key.replace("_", " ")
            report.add(file_name, f"holds {found:,} {words}; the manifest says {shard[key]:,}")
    return rows, report.problems
