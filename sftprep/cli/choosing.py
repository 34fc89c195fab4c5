"""The options of ``preview`` and ``inspect`` that choose rows, and say how they are shown."""

from typing import TYPE_CHECKING, Annotated

import typer

from sftprep.cli.terminal import columns, is_coloured

if TYPE_CHECKING:
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


def look(*, ids: bool, why: bool) -> "Look":
    """Return how rows are shown on this terminal.

    Args:
        ids: also show the ids.
        why: say why tokens are trained or not.
    """
    from sftprep.views.token_text import Look

    return Look(colour=is_coloured(), width=columns(), ids=ids, why={} if why else None)
