"""List the targets, or show one: what it reads, the lines for its configuration, what to mind.

In     the name of a target, or of a trainer that cannot be given token ids.
Out    text of at most 80 columns, except for lines that are to be copied.
Raises UsageError: there is no such target.
"""

import textwrap
from collections.abc import Iterator, Mapping

from sftprep.dataset.files import shard_files
from sftprep.errors import UsageError
from sftprep.targets.contents import TRAINED, Content
from sftprep.targets.names import TARGET_FORMATS
from sftprep.targets.table import TARGETS, UNABLE, why_not
from sftprep.targets.target import IGNORED, Facts, Form, Lines, Target, Unable
from sftprep.text import did_you_mean, shown

WIDTH = 80
LABEL = 10
"""The columns of the labels on the left."""
FOLDER = "out"
LENGTH = 2048
"""The dataset of the examples: its folder, and the length of its longest row."""


def list_targets() -> str:
    """Return the targets, one line each, and the trainers that cannot be given token ids."""
    width = max(map(len, [*TARGETS, *UNABLE]))
    takes = max(len(_takes(target)) for target in TARGETS.values())
    lines = [
        f"{target.name:<{width}}  {_takes(target):<{takes}}  {target.trainer}"
        for target in TARGETS.values()
    ]
    unable = [f"{name:<{width}}  {'no ids':<{takes}}  {u.trainer}" for name, u in UNABLE.items()]
    hint = _wrapped(
        "sftprep targets NAME shows what a trainer reads, the lines for its configuration, and "
        "what to mind; for one without ids, what to use instead."
    )
    return "\n".join([*lines, *unable, "", *hint])


def describe_target(name: str) -> str:
    """Describe a target.

    Args:
        name: the name of a target, or of a trainer that cannot be given token ids.

    Raises:
        UsageError: there is no such target.
    """
    if name in UNABLE:
        return "\n".join(_unable(UNABLE[name]))
    if name not in TARGETS:
        hint = did_you_mean(name, [*TARGETS, *UNABLE], f"Choose {', '.join(TARGETS)}.")
        raise UsageError(f"there is no target {shown(name)}. {hint}")
    return "\n".join(_description(TARGETS[name]))


def _takes(target: Target) -> str:
    found = ["packed"] if isinstance(target.packed, Form) else []
    found += [] if target.unpacked.no_padding else ["padded"]
    return ", ".join(found) or "plain rows"


def _unable(unable: Unable) -> Iterator[str]:
    yield f"{unable.name}: {unable.trainer}"
    yield ""
    yield from _fact("version", unable.tested)
    yield from _fact("token ids", f"no. {unable.why}")
    yield from _fact("instead", unable.instead)


def _description(target: Target) -> Iterator[str]:
    yield from _wrapped(f"{target.name}: {target.trainer}")
    yield ""
    yield from _fact("tested", f"{target.tested}; {target.evidence}")
    yield from _fact("format", ", ".join(TARGET_FORMATS[target.name]))
    yield from _fact("read from", target.folder)
    yield from _fact("shift", target.shift)
    yield from _columns("columns", target.unpacked.columns)
    if isinstance(target.packed, Form):
        if target.packed.columns != target.unpacked.columns:
            yield from _columns("packed", target.packed.columns)
        else:
            yield from _fact("packed", "the same columns")
        if target.packed.one_length:
            yield from _fact("", f"only with --pad max-length: {target.packed.one_length}")
    else:
        yield from _fact("packed", f"no: {target.packed}")
    yield from _fact("padded", _padding(target))
    if target.loss_masks:
        masks = " or ".join(target.loss_masks)
        yield from _fact("masks", f"--loss-mask {masks}: {TRAINED.says}, in place of labels")
    yield ""
    yield f"For a dataset in {FOLDER}/ with rows of up to {LENGTH:,} tokens:"
    yield from _lines(target.configuration(_facts(target, packed=False)))
    packed = isinstance(target.packed, Form)
    if packed and target.configuration(_facts(target, packed=True)) != target.configuration(
        _facts(target, packed=False)
    ):
        yield ""
        yield "The same, with packed rows:"
        yield from _lines(target.configuration(_facts(target, packed=True)))
    yield ""
    yield "To mind:"
    for note in target.notes:
        yield from textwrap.wrap(note, WIDTH, initial_indent="- ", subsequent_indent="  ")


def _columns(label: str, columns: Mapping[str, Content]) -> Iterator[str]:
    names = max(map(len, columns))
    for name, content in columns.items():
        kind = f"{name:<{names}}  {content.dtype.name:<5}  "
        says = content.says.format(ignore=IGNORED)
        indent = LABEL + 1 + len(kind)
        first, *rest = textwrap.wrap(says, WIDTH - indent)
        yield f"{label:<{LABEL}} {kind}{first}"
        yield from (" " * indent + line for line in rest)
        label = ""


def _padding(target: Target) -> str:
    if target.unpacked.no_padding:
        return f"no: {target.unpacked.no_padding}"
    found = "on either side"
    if target.no_left_padding:
        found = f"on the right: {target.no_left_padding}"
    if isinstance(target.packed, Form) and target.packed.no_padding:
        found += f"; packed rows no: {target.packed.no_padding}"
    return found


def _facts(target: Target, *, packed: bool) -> Facts:
    """Return the dataset of the examples; packed rows are padded where they must be."""
    needs_padding = bool(
        packed and why_not(target, packed=True, padded=False, left=False, one_length=0)
    )
    shard = shard_files("train", 0, 1, TARGET_FORMATS[target.name][0]).name
    return Facts(
        path=FOLDER,
        shards={"train": (shard,)},
        longest=LENGTH,
        packed=packed,
        padded=needs_padding,
        vocabulary_size=100_000,
        special_ids={},
    )


def _lines(found: tuple[Lines, ...]) -> Iterator[str]:
    for number, lines in enumerate(found):
        if number:
            yield ""
        yield from (f"    {line}".rstrip() for line in lines.text.splitlines())


def _fact(label: str, text: str) -> Iterator[str]:
    first, *rest = textwrap.wrap(text, WIDTH - LABEL - 1)
    yield f"{label:<{LABEL}} {first}"
    yield from (" " * (LABEL + 1) + line for line in rest)


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH)
