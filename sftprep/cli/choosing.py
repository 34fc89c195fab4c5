"""The options of ``preview``, ``inspect`` and ``report``: which rows, and how they are shown."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sftprep.cli.terminal import columns, is_coloured

if TYPE_CHECKING:
    from sftprep.views.choice import Choice
    from sftprep.views.token_text import Look

ROWS, LOOK = "Which rows", "How they are shown"

RowCount = Annotated[
    int, typer.Option("--rows", help="How many rows to show.", rich_help_panel=ROWS)
]
Line = Annotated[
    str | None,
    typer.Option(
        "--line",
        metavar="FILE:LINE",
        help="The rows of one record, e.g. train.jsonl:12; in a table, of one row.",
        rich_help_panel=ROWS,
    ),
]
Random = Annotated[bool, typer.Option("--random", help="Rows at random.", rich_help_panel=ROWS)]
Seed = Annotated[
    int, typer.Option("--seed", help="Other rows, with --random.", rich_help_panel=ROWS)
]
Longest = Annotated[bool, typer.Option("--longest", help="The longest rows.", rich_help_panel=ROWS)]
Shortest = Annotated[
    bool, typer.Option("--shortest", help="The shortest rows.", rich_help_panel=ROWS)
]
CutRows = Annotated[
    bool, typer.Option("--cut", help="Only rows that truncation has cut.", rich_help_panel=ROWS)
]
Reason = Annotated[
    str | None,
    typer.Option(
        "--reason",
        metavar="NAME",
        help="Only rows that are counted under a name, e.g. unclean_boundary.",
        rich_help_panel=ROWS,
    ),
]
Grep = Annotated[
    str | None,
    typer.Option("--grep", metavar="TEXT", help="Only rows with a text.", rich_help_panel=ROWS),
]
Choose = Callable[[], "Choice"]
"""Returns which rows the options choose."""
CHOOSING: dict[str, tuple[Any, Any]] = {
    "rows": (RowCount, None),
    "line": (Line, None),
    "random": (Random, False),
    "seed": (Seed, 0),
    "longest": (Longest, False),
    "shortest": (Shortest, False),
    "cut": (CutRows, False),
    "reason": (Reason, None),
    "grep": (Grep, None),
}
"""Field of ``Choice`` -> its option, and the default of the option."""

Dropped = Annotated[
    bool,
    typer.Option(
        "--dropped", help="List records without a row, with the reasons.", rich_help_panel=ROWS
    ),
]
Why = Annotated[
    bool,
    typer.Option(
        "--why",
        help="Say who wrote each run of tokens, and why it is trained or not.",
        rich_help_panel=LOOK,
    ),
]
Ids = Annotated[bool, typer.Option("--ids", help="Show the ids, too.", rich_help_panel=LOOK)]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print the rows as one JSON object.", rich_help_panel=LOOK)
]


def chooses_rows(rows: int) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options that choose rows.

    Its parameter ``choose`` gets a function that returns the ``Choice``, and refuses options that
    contradict each other.

    Args:
        rows: how many rows are shown by default.
    """

    def decorate(work: Callable[..., None]) -> Callable[..., None]:
        def called(*args: Any, **given: Any) -> None:
            def choose() -> "Choice":
                from sftprep.views.choice import Choice

                return Choice(**chosen)

            chosen = {name: given.pop(name) for name in CHOOSING}
            work(*args, choose=choose, **given)

        parameters = list(inspect.signature(work).parameters.values())
        at = next(i for i, each in enumerate(parameters) if each.name == "choose")
        options = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=rows if name == "rows" else default,
                annotation=annotation,
            )
            for name, (annotation, default) in CHOOSING.items()
        ]
        others = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters[at + 1 :]]
        parameters = [*parameters[:at], *options, *others]
        called.__name__, called.__doc__ = work.__name__, work.__doc__
        called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        called.__annotations__ = {each.name: each.annotation for each in parameters}
        return called

    return decorate


def look(*, ids: bool, why: bool) -> "Look":
    """Return how rows are shown on this terminal.

    Args:
        ids: also show the ids.
        why: say why tokens are trained or not.
    """
    from sftprep.views.token_text import Look

    return Look(colour=is_coloured(), width=columns(), ids=ids, why={} if why else None)
