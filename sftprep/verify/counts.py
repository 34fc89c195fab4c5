"""Compare the manifest's counts by reason with the indexes, which say for each row what it counts.

In     a ``Manifest`` in which no other problem was found; what was counted in all of its indexes.
Out    problems: counts that are not those of the indexes.
Never  looks at a row itself.

Some counts of the manifest are of answers or of think blocks, of which a row may have several. The
indexes give the least that such a count can be.
"""

from collections.abc import Iterator, Mapping

from sftprep.dataset.files import MANIFEST
from sftprep.dataset.manifest import Manifest
from sftprep.dataset.outcome import COUNTED, COUNTED_BY_NAME
from sftprep.text import number, shown
from sftprep.verify.report import Problem

OF_SHARDS = ("tokens", "trained_tokens")
"""The counts that are compared with the shards."""
SEVERAL_IN_A_ROW = {
    "glued_answers": "glued_answer",
    "answers_without_stop": "answer_without_stop",
    "empty_think_blocks": "empty_think_block",
    "trained_think_blocks": "trained_think_block",
}
"""Counts of what a row may have several of, and the names of such rows in the index."""


def count_problems(manifest: Manifest, found: Mapping[str, int]) -> list[Problem]:
    """Compare the counts of a manifest with those of its indexes.

    Args:
        manifest: the manifest.
        found: how many documents of all indexes are counted under each name, as ``counts_of`` says.
    """
    errors = [*_exact_errors(manifest, found), *_least_errors(manifest, found)]
    return [Problem(MANIFEST, None, error) for error in errors]


def _exact_errors(manifest: Manifest, found: Mapping[str, int]) -> Iterator[str]:
    """Compare the counts of rows."""
    counts = manifest.counts
    several = () if manifest.arrangement else tuple(SEVERAL_IN_A_ROW)
    for name, index_name in COUNTED.items():
        if name in OF_SHARDS or name in several:
            continue
        has = found.get(index_name, 0)
        if counts[name] != has:
            yield f"counts.{name} is {counts[name]:,}; the indexes have {has:,}"
    for name, prefix in COUNTED_BY_NAME.items():
        in_indexes = {
            key.removeprefix(prefix): value
            for key, value in found.items()
            if key.startswith(prefix)
        }
        for key in sorted(in_indexes.keys() | counts[name].keys()):
            says, has = counts[name].get(key, 0), in_indexes.get(key, 0)
            if says != has:
                yield f"counts.{name}[{shown(key)}] is {says:,}; the indexes have {has:,}"


def _least_errors(manifest: Manifest, found: Mapping[str, int]) -> Iterator[str]:
    """Compare the counts of answers and of think blocks with the rows that have one.

    In an arranged dataset these are counts of records, of which some may be in no split or in a
    split several times.
    """
    if manifest.arrangement:
        return
    for name, index_name in SEVERAL_IN_A_ROW.items():
        says, rows = manifest.counts[name], found.get(index_name, 0)
        if says < rows:
            yield f"counts.{name} is {says:,}; the indexes have {number(rows, 'row')} with one"
