"""What sftprep knows of a trainer: a ``Target``.

A module of this folder declares one target. ``table.py`` lists all of them, and says for rows of a
given form whether a target takes them, and what their columns are.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

from sftprep.data.arranged import ArrangedRows
from sftprep.data.batch import Batch
from sftprep.data.columns import Columns, Kinds
from sftprep.data.ragged import Mask, Ragged
from sftprep.targets.contents import LABELS, NEXT_LABELS, TRAINED, Content

_NUMBERS = re.compile(r"\d+-of-\d+|(?<=_)\d+(?=\.)")
"""Matches what tells the shards of a split apart."""

IGNORED = -100
"""The label without loss that all trainers use; some cannot be told another one."""


class Shift(StrEnum):
    """Who moves the labels by one, so that a token is predicted from those before it."""

    MODEL = "the model shifts the labels, so they are stored as they are"
    TRAINER = "the trainer shifts the labels, so they are stored as they are"
    DATA = "the trainer does not shift the labels, so they are stored shifted"


class Evidence(StrEnum):
    """How it is known that the trainer reads what is written for it."""

    TRAINED = "steps of it were run on the rows, and the loss compared"
    READ = "its own reader was run on the rows"
    SOURCE = "its source was read; it was not run"


class Facts(NamedTuple):
    """What the lines for a trainer's configuration depend on."""

    path: str  # the folder of the dataset, as the user named it
    shards: Mapping[str, tuple[str, ...]]  # split -> the paths of its shards in the folder
    longest: int  # the most tokens that a row may have, padding included
    packed: bool
    padded: bool
    vocabulary_size: int
    special_ids: Mapping[str, int]  # bos, eos and pad, as far as the tokenizer has them
    loss_mask: str | None = None  # the column that is in place of labels

    def has(self, split: str) -> bool:
        """Return True if the dataset has this split."""
        return split in self.shards

    def files(self, split: str) -> str:
        """Return the path of a split's only shard, or a pattern for its shards."""
        names = self.shards[split]
        name = names[0] if len(names) == 1 else _NUMBERS.sub("*", names[0])
        return f"{self.path}/{name}"


class Lines(NamedTuple):
    """What a user writes to train on a dataset."""

    language: str  # python, yaml or bash
    text: str


@dataclass(frozen=True)
class Form:
    """The columns of rows, and how they may be padded."""

    columns: Mapping[str, Content]  # in their order
    no_padding: str = ""  # why rows must not be padded; "" if they may be
    one_length: str = ""  # why all rows must be padded to one length; "" if they need not

    @property
    def kinds(self) -> Kinds:
        """The names and dtypes of the columns, in their order."""
        return {name: content.dtype for name, content in self.columns.items()}

    def columns_of(self, rows: ArrangedRows, ignore_index: int) -> Columns:
        """Return the columns of some rows."""
        return {name: c.make(rows, ignore_index) for name, c in self.columns.items()}

    def with_mask(self, name: str) -> "Form":
        """Return the form with a column that says which tokens are trained, in place of labels."""
        columns = {
            name if content is LABELS else old: TRAINED if content is LABELS else content
            for old, content in self.columns.items()
        }
        return replace(self, columns=columns)

    @property
    def keeps_first(self) -> bool:
        """Whether the columns can say that the first token of a row is trained."""
        return self._loss[1].keeps_first

    def loss_mask_of(self, columns: Mapping[str, Ragged], ignore_index: int) -> Mask:
        """Return which tokens of rows that were read are trained.

        Args:
            columns: the columns of the rows.
            ignore_index: the label of a token without loss.
        """
        name, content = self._loss
        assert content.loss_of is not None
        return content.loss_of(columns[name], ignore_index)

    def loss_of(self, columns: Mapping[str, Ragged]) -> Ragged:
        """Return the column of rows that says which tokens are trained."""
        return columns[self._loss[0]]

    def ids_of(self, columns: Mapping[str, Ragged]) -> Ragged:
        """Return the ids of rows that were read, padding included."""
        return columns[next(iter(self.columns))]

    @property
    def has_labels(self) -> bool:
        """Whether a column holds labels, in which the ignore index may stand."""
        return LABELS in self.columns.values() or NEXT_LABELS in self.columns.values()

    @property
    def _loss(self) -> tuple[str, Content]:
        """The column that says which tokens are trained."""
        return next((n, c) for n, c in self.columns.items() if c.loss_of is not None)


@dataclass(frozen=True)
class Target:
    """A trainer that reads token ids."""

    name: str
    trainer: str  # what it is called, and which part of it reads the rows
    tested: str  # the versions with which this was tried
    evidence: Evidence
    shift: Shift
    folder: str  # what the trainer is pointed to, for people
    unpacked: Form
    packed: Form | str  # or why it takes no packed rows
    configuration: Callable[[Facts], tuple[Lines, ...]]
    notes: tuple[str, ...] = ()  # what goes wrong without a message, and how to avoid it
    no_left_padding: str = ""  # why padding must be on the right; "" if either side will do
    labels_of_any_value: bool = False  # whether it can be told another ignore index
    loss_masks: tuple[str, ...] = ()  # the columns that it takes in place of labels

    def form(self, *, packed: bool, loss_mask: str | None = None) -> Form:
        """Return the columns of rows; packed ones only where the target takes them.

        Args:
            packed: whether rows are packed.
            loss_mask: one of ``loss_masks``; None for labels.
        """
        form = self.packed if packed else self.unpacked
        if not isinstance(form, Form):
            raise LookupError(f"{self.name} takes no packed rows")  # noqa: TRY004 - no wrong type
        return form.with_mask(loss_mask) if loss_mask else form


class Unable(NamedTuple):
    """A trainer that cannot be given token ids with their labels."""

    name: str
    trainer: str
    tested: str
    why: str
    instead: str


def columns_of_batch(form: Form, batch: Batch, ignore_index: int) -> Columns:
    """Return the columns of rows that are not arranged."""
    return form.columns_of(ArrangedRows.of(batch), ignore_index)
