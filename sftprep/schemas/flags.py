"""Loss flags: what a record or a message itself says about being trained.

In     a record or a message with one or more of the fields of ``LOSS_FLAGS``.
Out    True (trained), False (not trained), or None (it does not say).
Raises RecordError: ``wrong_type``, for a value that is neither yes nor no, and for two flags that
       contradict each other.

All names have one sense: 1 and true mean trained. The one exception is ``masked``, whose 1 means
left out of the loss.
"""

from collections.abc import Iterable

from sftprep.data.conversation import Record
from sftprep.errors import RecordError
from sftprep.schemas.checks import wrong_type
from sftprep.schemas.fields import LOSS_FLAGS
from sftprep.text import shown

INVERTED = "masked"


def train_flag(holder: Record, where: str, names: Iterable[str] = LOSS_FLAGS) -> bool | None:
    """Return what the loss flags of a record or a message say.

    Args:
        holder: the record or the message.
        where: its place, such as ``messages[3]``; "" for the record.
        names: the names of flags that are read.
    """
    said: tuple[str, bool] | None = None
    for name in names:
        value = holder.get(name)
        if value is None:
            continue
        trained = _read(value, f"{where}.{name}" if where else name) is not (name == INVERTED)
        if said is not None and said[1] is not trained:
            raise RecordError(
                "wrong_type",
                f"{where or 'the record'} has {said[0]} {shown(holder[said[0]])} and {name} "
                f"{shown(value)}, which contradict each other",
            )
        said = said or (name, trained)
    return None if said is None else said[1]


def _read(value: object, where: str) -> bool:
    if isinstance(value, bool):
        return value
    if not isinstance(value, int | float):
        raise wrong_type(where, value, "true, false, 1 or 0")
    if value not in {0, 1}:
        raise RecordError(
            "wrong_type",
            f"{where} is {shown(value)}; expected 1 or 0: a token can be trained or not, but "
            "cannot have a weight",
            "Write 1 or 0, remove the field, or repeat the records that are to count more",
        )
    return bool(value)
