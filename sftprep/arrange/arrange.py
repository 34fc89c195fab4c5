"""The plan of a dataset, from a few numbers a row: the steps, in their order.

In     the columns of all rows, and the options.
Out    ``Plan``.
Keeps  The plan depends on the columns and the options alone. Each row goes into the splits or is
       dropped for a reason that is named; ``conservation`` proves it for each plan.
Never  sees a text. Only the search for near duplicates asks for tokens.
Raises UsageError: an option cannot be met by these rows, such as a split that would be empty.
       DataError: there is no row.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from sftprep.arrange import dedup, facts, mix
from sftprep.arrange.columns import Columns, Numbers, Rows
from sftprep.arrange.conservation import check_conserved, digest, text, total
from sftprep.arrange.hashing import salt_of
from sftprep.arrange.near import TokensOf, near
from sftprep.arrange.options import Arrangement, Dedup
from sftprep.arrange.pack import pack
from sftprep.arrange.pad import padded
from sftprep.arrange.plan import DUPLICATE, NEAR_DUPLICATE, NOT_SAMPLED, REASONS, Plan, SplitPlan
from sftprep.arrange.shuffle import shuffled
from sftprep.arrange.split import SPLITS, keys_of_records, split_rows
from sftprep.errors import DataError, InternalError

_SPLIT, _SAMPLE, _REPEAT, _SHUFFLE, _PACKS = range(5)
"""What a hash decides; with one seed, each is decided independently of the others."""


def arrange(columns: Columns, options: Arrangement, tokens_of: TokensOf | None = None) -> Plan:
    """Plan what becomes of each row.

    Args:
        columns: what is known about each row.
        options: what is to be done.
        tokens_of: returns the tokens of rows; needed only for near duplicates.
    """
    if not len(columns):
        raise DataError(
            "There is no row to arrange: every record was dropped or rejected. The ledgers in the "
            "output folder say why."
        )
    dropped = _Dropped(len(columns))
    found: dict[str, Any] = {"rows": len(columns)}
    if options.dedup is not Dedup.NONE:
        found |= _drop_duplicates(columns, options, tokens_of, dropped)
    in_splits = _split(columns, options, dropped.others())
    before = facts.by_source(columns, in_splits["train"])
    in_splits["train"] = _choose(columns, options, in_splits["train"], dropped)
    # Each split's rows are freed when they are laid out: for many rows, that is much memory.
    splits = tuple(
        _lay_out(columns, options, name, in_splits.pop(name))
        for name in SPLITS
        if name in in_splits
    )
    found["sources"] = facts.source_facts(before, facts.by_source(columns, splits[0].rows))
    return _plan(columns, options, splits, dropped, found)


def arrange_again(
    columns: Columns,
    options: Arrangement,
    times: Mapping[str, Numbers],
    old: Mapping[str, Any],
) -> Plan:
    """Plan the order, the packs and the padding of rows whose splits are settled.

    Args:
        columns: what is known about each row.
        options: what is to be done; the options before --shuffle are those of the old plan.
        times: for each split int32[rows]: how often each row is in it.
        old: the facts of the plan that has settled the splits.
    """
    splits = []
    for name in SPLITS:
        if name in times:
            rows = np.flatnonzero(times[name])
            rows = mix.passes(rows, times[name][rows])
            splits.append(_lay_out(columns, options, name, rows))
    digests = {split.name: text(_digest(columns, split.rows)) for split in splits}
    if digests != old["digests"]["splits"]:
        raise InternalError(
            "The rows of the splits are not those that the manifest describes. Please report this."
        )
    capacity = options.pack_length if options.pack else None
    split_facts = {split.name: facts.split_facts(columns, split, capacity) for split in splits}
    none = np.zeros(0, np.int64)
    found = {**old, "splits": split_facts}
    return Plan(tuple(splits), none, none, none.astype(np.uint8), found)


def arrange_rest(columns: Columns, options: Arrangement, old: Mapping[str, Any]) -> Plan:
    """Plan what becomes of rows from which duplicates are gone.

    Args:
        columns: what is known about each row.
        options: what is to be done; --dedup is that of the old plan, which dropped nothing else.
        old: the facts of the plan that has dropped the duplicates.
    """
    plan = arrange(columns, replace(options, dedup=Dedup.NONE))
    new, gone = plan.facts, old["dropped"]
    digests = {
        **new["digests"],
        "in": old["digests"]["in"],
        "dropped": text(total(*(int(f["digests"]["dropped"], 16) for f in (old, new)))),
    }
    found = {
        **{name: old[name] for name in ("rows", "near") if name in old},
        **{name: value for name, value in new.items() if name != "rows"},
        "dropped": {name: n for name in REASONS if (n := (gone | new["dropped"]).get(name))},
        "digests": digests,
    }
    return replace(plan, facts=found)


class _Dropped:
    """The rows that are in no split: why, and which row each repeats."""

    def __init__(self, rows: int) -> None:
        self._rows: list[Rows] = [np.zeros(0, np.int64)]
        self._repeats: list[Rows] = [np.zeros(0, np.int64)]
        self._reasons: list[npt.NDArray[np.uint8]] = [np.zeros(0, np.uint8)]
        self._left = np.ones(rows, np.bool_)

    def add(self, reason: str, rows: Rows, repeats: Rows | None = None) -> None:
        self._rows.append(rows)
        self._repeats.append(np.full(len(rows), -1, np.int64) if repeats is None else repeats)
        self._reasons.append(np.full(len(rows), REASONS.index(reason), np.uint8))
        self._left[rows] = False

    def others(self) -> Rows:
        """Return the rows that are not dropped."""
        return np.flatnonzero(self._left)

    def all(self) -> tuple[Rows, Rows, npt.NDArray[np.uint8]]:
        """Return the rows, ascending, what they repeat, and their reasons."""
        rows = np.concatenate(self._rows)
        order = np.argsort(rows)
        return (
            rows[order],
            np.concatenate(self._repeats)[order],
            np.concatenate(self._reasons)[order],
        )


def _drop_duplicates(
    columns: Columns, options: Arrangement, tokens_of: TokensOf | None, dropped: _Dropped
) -> dict[str, Any]:
    """Drop the rows that repeat an earlier one; return facts about the search."""
    if options.dedup is Dedup.NORMALIZED:
        dropped.add(DUPLICATE, *dedup.normalized(columns))
        return {}
    exact = dedup.exact(columns)
    if options.dedup is Dedup.EXACT:
        dropped.add(DUPLICATE, *exact)
        return {}
    if tokens_of is None:
        raise InternalError("The search for near duplicates needs the tokens of the rows.")
    # The first of equal rows may itself nearly repeat an earlier one, which then stays for all.
    stays = np.arange(len(columns))
    stays[exact.rows] = exact.repeats
    rows = np.flatnonzero(stays == np.arange(len(columns)))
    found = near(rows, columns.tokens[rows], tokens_of, options.near_threshold)
    dropped.add(NEAR_DUPLICATE, *found.repeated)
    stays[found.repeated.rows] = found.repeated.repeats
    dropped.add(DUPLICATE, exact.rows, stays[exact.repeats])
    return {"near": found.facts}


def _split(columns: Columns, options: Arrangement, rows: Rows) -> dict[str, Rows]:
    """Return the rows of each split that is asked for."""
    if options.validation is None and options.test is None:
        return {"train": rows}
    keys = columns.prompt_key
    if options.by_group:
        if columns.group_key is None:
            raise InternalError("The rows were read without the keys of the field of --split-by.")
        keys = columns.group_key
    elif columns.record is not None:
        keys = keys_of_records(keys, columns.record)
    salt = salt_of(options.seed, _SPLIT)
    numbers = split_rows(keys[rows], options.validation, options.test, salt)
    asked = {"train": True, "validation": options.validation, "test": options.test}
    return {name: rows[numbers == number] for number, name in enumerate(SPLITS) if asked[name]}


def _choose(columns: Columns, options: Arrangement, rows: Rows, dropped: _Dropped) -> Rows:
    """Return the training split's rows after --sample and --repeat, in the order of the passes."""
    if options.sample is None and not options.repeat:
        return rows
    keys = mix.row_keys(columns, rows)
    if options.sample is not None:
        kept = mix.sample(keys, options.sample, salt_of(options.seed, _SAMPLE))
        dropped.add(NOT_SAMPLED, rows[~kept])
        rows, keys = rows[kept], keys[kept]
    if not options.repeat:
        return rows
    times = mix.copies(columns.source[rows], keys, options.repeat, salt_of(options.seed, _REPEAT))
    del keys  # much memory, if there are many rows
    dropped.add(NOT_SAMPLED, rows[times == 0])
    return mix.passes(rows, times)


def _lay_out(columns: Columns, options: Arrangement, name: str, rows: Rows) -> SplitPlan:
    """Order the rows of a split, pack them and pad the packs."""
    number = SPLITS.index(name)
    if options.shuffle:
        salt = salt_of(salt_of(options.seed, _SHUFFLE), number)
        rows = rows[shuffled(len(rows), salt)]
    lengths = columns.tokens[rows]
    if not options.pack:
        return SplitPlan(name, rows, np.arange(len(rows) + 1), padded(lengths, options.pad))
    # Packs need a shuffle of their own: those with the most documents hold the earliest ones.
    salt_of_packs = salt_of(salt_of(options.seed, _PACKS), number) if options.shuffle else None
    packed = pack(lengths, options.pack_length, options.pack_order, salt_of_packs)
    lengths = np.add.reduceat(lengths[packed.order], packed.offsets[:-1])
    return SplitPlan(name, rows[packed.order], packed.offsets, padded(lengths, options.pad))


def _plan(
    columns: Columns,
    options: Arrangement,
    splits: tuple[SplitPlan, ...],
    dropped: _Dropped,
    found: dict[str, Any],
) -> Plan:
    """Count what is planned, and prove that no row is lost."""
    rows, repeats, reasons = dropped.all()
    copies = _copies(splits[0].rows)
    digests = {split.name: _digest(columns, split.rows) for split in splits}
    before = digest(columns.record_key, columns.tokens, columns.trained)
    gone, again = _digest(columns, rows), _digest(columns, copies)
    check_conserved(before, digests, again, gone)

    counts = np.bincount(reasons, minlength=len(REASONS)).tolist()
    capacity = options.pack_length if options.pack else None
    found |= {
        "dropped": {reason: count for reason, count in zip(REASONS, counts, strict=True) if count},
        "repeated": len(copies),
        "splits": {split.name: facts.split_facts(columns, split, capacity) for split in splits},
        "prompts_in_two_splits": facts.leaks(columns, splits),
        "digests": {
            "in": text(before),
            "dropped": text(gone),
            "repeated": text(again),
            "splits": {name: text(value) for name, value in digests.items()},
        },
    }
    return Plan(splits, rows, repeats, reasons, found)


def _copies(rows: Rows) -> Rows:
    """Return the rows beyond the first occurrence of each."""
    ordered = np.sort(rows)
    again: Rows = ordered[1:][ordered[1:] == ordered[:-1]]
    return again


def _digest(columns: Columns, rows: Rows) -> int:
    """Return the digest of the rows, some of which may occur several times."""
    at_once = 2**20
    return total(
        *(
            digest(columns.record_key[part], columns.tokens[part], columns.trained[part])
            for part in (rows[start : start + at_once] for start in range(0, len(rows), at_once))
        )
    )
