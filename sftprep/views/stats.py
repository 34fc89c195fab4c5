"""Show figures about a dataset, or about inputs, as tables, bars and sentences.

In     ``Statistics``; the width of the terminal, and whether it shows colours.
Out    text of at most that width.
Keeps  columns straight, whatever the names of files are: Chinese characters take two places.
Never  lets a file's name act on the terminal.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sftprep.data.limits import STRATEGIES
from sftprep.statistics.figures import Bin, Group, Limit, Spread, Statistics
from sftprep.text import ascii_safe, number

PLAIN_COLUMNS = 80
"""The width of the text where there is no terminal."""
MOST_NAMES = 20
"""How many inputs are shown; the others are only counted."""
LONGEST_BAR = 60
MOST_BARS = 14
"""With more bars in a histogram, two become one."""
FEW_PERCENTILES = ("5", "50", "95", "99")
MORE_PERCENTILES = ("1", "5", "10", "25", "50", "75", "90", "95", "99")
WIDE = 76
"""From this width on, all percentiles have room."""
SIDE_BY_SIDE = 120
"""From this width on, two tables stand side by side."""
LABEL = 12
GAP = 2
"""The space between two columns."""
LEAST_NAME = 12
"""A name is not made shorter than this."""
UNITS = ("B", "kB", "MB", "GB", "TB")


def show_statistics(found: Statistics, *, width: int, colour: bool) -> str:
    """Return the figures as text.

    Args:
        found: the figures.
        width: the most columns of a line.
        colour: True for text with ANSI codes.
    """
    page = _Page(width, colour)
    page.say(_title(found))
    page.table(_spreads(found, wide=width >= WIDE))
    page.histograms(found)
    page.groups("split", found.splits)
    page.groups("input", found.sources)
    page.tables(_limits(found), _packing(found))
    page.facts(facts(found))
    return page.text()


class _Page:
    """Collects what is shown, and lays it out."""

    def __init__(self, width: int, colour: bool) -> None:
        self._colour = colour
        self._width = width
        self._file = io.StringIO()
        self._console = Console(
            file=self._file,
            width=width,
            force_terminal=colour,
            color_system="standard" if colour else None,
            no_color=not colour,
            legacy_windows=False,
            highlight=False,
            emoji=False,
        )

    def text(self) -> str:
        lines = self._file.getvalue().split("\n")
        return "\n".join(line.rstrip() for line in lines).strip("\n")

    def say(self, text: Text) -> None:
        self._console.print(text)

    def table(self, table: Table | None) -> None:
        if table is not None:
            self._console.print()
            self._console.print(table)

    def tables(self, *tables: Table | None) -> None:
        """Show tables below each other, or side by side where there is room."""
        shown = [table for table in tables if table is not None]
        if self._width < SIDE_BY_SIDE or len(shown) < 2:
            for table in shown:
                self.table(table)
            return
        side_by_side = Table.grid(padding=(0, 4))
        side_by_side.add_row(*shown)
        self.table(side_by_side)

    def histograms(self, found: Statistics) -> None:
        """Show the lengths of rows and the trained tokens, side by side where there is room."""
        shown = [
            (title, spread)
            for title, spread in (
                (f"tokens per {_row(found)}", found.rows.tokens),
                (f"trained tokens per {_row(found)}", found.rows.trained),
            )
            if spread is not None
        ]
        width = self._width
        if width >= SIDE_BY_SIDE:
            width = min(width // 2 - 4, LONGEST_BAR + 30)
        self.tables(*(self._histogram(title, spread, width) for title, spread in shown))

    def _histogram(self, title: str, spread: Spread, width: int) -> Table:
        table = _new([(title, "right"), ("rows", "right"), ("", "left")])
        bars = fewer_bars(spread.histogram)
        most = max(bar.count for bar in bars)
        ranges = [numbers_in(bar.low, bar.high) for bar in bars]
        first = max(len(title), *map(len, ranges))
        second = max(4, len(f"{most:,}"))
        room = min(width - first - second - 6, LONGEST_BAR)
        for bar, text in zip(bars, ranges, strict=True):
            size = max(round(room * bar.count / most), 1) if bar.count else 0
            drawn = Text(("█" if self._colour else "#") * size, "green")
            table.add_row(text, f"{bar.count:,}", drawn)
        return table

    def groups(self, what: str, groups: Sequence[Group]) -> None:
        """Show a line for each group, if there are several."""
        if len(groups) < 2:
            return
        ordered = groups
        if len(groups) > MOST_NAMES:
            ordered = sorted(groups, key=lambda group: -group.share_of_tokens)[:MOST_NAMES]
        wide = self._width >= WIDE
        percentiles = ("5", "50", "95") if wide else ("50", "95")
        heads = ["rows", "of tokens", "mean", *(f"{p}%" for p in percentiles), "max", "trained"]
        rows = []
        for group in ordered:
            tokens, trained = group.tokens, group.trained
            if tokens is not None and trained is not None:
                cells = [
                    f"{group.rows:,}",
                    percent(group.share_of_tokens),
                    f"{tokens.mean:,.0f}",
                    *(f"{tokens.percentiles[p]:,}" for p in percentiles),
                    f"{tokens.most:,}",
                    percent(trained.total / tokens.total),
                ]
                rows.append((ascii_safe(group.name), cells))
        columns = zip(heads, *(cells for _, cells in rows), strict=True)
        used = sum(max(map(len, column)) + GAP for column in columns)
        room = max(self._width - used - GAP, LEAST_NAME)
        table = _new([(what, "left"), *((head, "right") for head in heads)])
        for name, cells in rows:
            table.add_row(Text(fitting(name, room), "bold"), *cells)
        self.table(table)
        if more := len(groups) - len(ordered):
            self.say(Text(f"and {number(more, what)} with fewer tokens: see --json", "dim"))

    def facts(self, facts: Iterable[tuple[str, list[str]]]) -> None:
        """Show lines with a label each; a label is written once."""
        self._console.print()
        table = Table.grid(padding=(0, 1))
        table.add_column(min_width=LABEL, no_wrap=True)
        table.add_column()
        for label, lines in facts:
            for index, line in enumerate(lines):
                table.add_row(Text("" if index else label, "bold"), Text(ascii_safe(line)))
        self._console.print(table)


def fewer_bars(bars: Sequence[Bin]) -> Sequence[Bin]:
    """Join the two bars of each power of two if there are many bars."""
    if len(bars) <= MOST_BARS:
        return bars
    joined: list[Bin] = []
    for bar in bars:
        if joined and bar.low & (bar.low - 1):
            last = joined.pop()
            joined.append(Bin(last.low, bar.high, last.count + bar.count))
        else:
            joined.append(bar)
    return joined


def _new(columns: Sequence[tuple[str, Any]]) -> Table:
    """Return a table without lines, with heads that stand out."""
    table = Table(box=None, padding=(0, GAP, 0, 0), header_style="bold cyan", pad_edge=False)
    for head, justify in columns:
        table.add_column(head, justify=justify, no_wrap=True)
    return table


def _title(found: Statistics) -> Text:
    text = Text()
    text.append(ascii_safe(found.name), "bold")
    rows = number(found.rows.rows, _row(found))
    packs = sum(split.packs for split in found.packs) if found.packed else 0
    what = f"{number(packs, 'pack')} of {rows}" if packs else rows
    tokens = found.rows.tokens
    trained = found.rows.trained
    share = ""
    if tokens is not None and trained is not None:
        share = (
            f", {number(tokens.total, 'token')}, {percent(trained.total / tokens.total)} trained"
        )
    text.append(f": {what}{share}\n")
    text.append(
        ascii_safe(
            f"template {found.template}, tokenizer {found.tokenizer}, at most "
            f"{found.max_length:,} tokens per {_row(found)} ({found.truncation})"
        ),
        "dim",
    )
    if found.sample is not None:
        text.append(
            f"\na sample: {found.sample.records:,} of {number(found.sample.of, 'record')}, chosen "
            f"with seed {found.sample.seed}",
            "yellow",
        )
    elif found.kind == "inputs":
        text.append("\nnothing is written", "dim")
    return text


def _row(found: Statistics) -> str:
    return "document" if found.packed else "row"


def _spreads(found: Statistics, *, wide: bool) -> Table | None:
    """Return the table of means and percentiles."""
    percentiles = MORE_PERCENTILES if wide else FEW_PERCENTILES
    heads = ["mean", "min", *(f"{p}%" for p in percentiles), "max"]
    table = _new([(f"per {_row(found)}", "left"), *((head, "right") for head in heads)])
    for label, spread in (("tokens", found.rows.tokens), ("trained", found.rows.trained)):
        if spread is None:
            return None
        table.add_row(
            Text(label, "bold"),
            f"{spread.mean:,.0f}",
            f"{spread.least:,}",
            *(f"{spread.percentiles[p]:,}" for p in percentiles),
            f"{spread.most:,}",
        )
    return table


def limits_that_matter(found: Statistics) -> list[Limit]:
    """Return the limits that were tried, up to the first that keeps all rows.

    If even the shortest keeps all rows, there are none.
    """
    limits: list[Limit] = []
    for limit in found.lengths.limits:
        limits.append(limit)
        if limit.strategies["drop"].dropped == 0:
            break
    return limits if limits and limits[0].strategies["drop"].dropped else []


def _limits(found: Statistics) -> Table | None:
    """Return the table of what other limits would do; None if there is nothing to show."""
    limits = limits_that_matter(found)
    if not limits:
        return None
    table = _new(
        [("--max-length", "left"), *((f"{limit.max_length:,}", "right") for limit in limits)]
    )

    def add(label: str, values: Iterable[str], style: str = "") -> None:
        table.add_row(Text(label, style), *values)

    none = [""] * len(limits)
    add("whole rows", (percent(at.strategies["drop"].kept_share) for at in limits), "bold")
    add("rows dropped", none, "bold")
    for name in STRATEGIES:
        add(f"  {name}", (percent(at.strategies[name].dropped_share) for at in limits))
    add("tokens kept", none, "bold")
    for name in STRATEGIES:
        shares = (at.strategies[name].tokens_kept_share for at in limits)
        add(f"  {name}", ("?" if share is None else percent(share) for share in shares))
    return table


def _packing(found: Statistics) -> Table | None:
    """Return the table of what packing would give, from the first length that all rows fit."""
    if not found.packing or not found.rows.rows:
        return None
    table = _new(
        [("--pack-length", "left"), ("packs", "right"), ("filled", "right"), ("rows cut", "right")]
    )
    for packing in found.packing:
        table.add_row(
            f"{packing.pack_length:,}",
            f"{packing.packs:,}",
            percent(packing.efficiency),
            f"{packing.rows_over:,}",
        )
    return table


def facts(found: Statistics) -> Iterable[tuple[str, list[str]]]:
    """Yield sentences under labels."""
    yield "lengths", _lengths(found)
    yield "records", _losses(found)
    if found.packs:
        yield (
            "packs",
            [
                f"{split.split}: {number(split.packs, 'pack' if split.length else 'row')}, "
                f"{percent(split.efficiency)} filled"
                for split in found.packs
            ],
        )
    yield "duplicates", _duplicates(found)
    epoch = found.epoch
    yield (
        "epoch",
        [
            f"{number(epoch.steps, 'step')} at batch size {epoch.batch_size:,}, "
            f"{epoch.tokens_per_step:,.0f} tokens each; {number(epoch.tokens, 'token')} in all, "
            f"{epoch.trained_tokens:,} of them trained"
        ],
    )
    yield "shards", [_shards(found)]
    if found.seconds is not None:
        workers = number(found.workers or 1, "worker")
        yield "time", [f"prepare takes about {duration(found.seconds)} with {workers}"]


def _lengths(found: Statistics) -> list[str]:
    lengths = found.lengths
    lines = [
        f"--max-length {lengths.fits_99} keeps 99% whole of {number(lengths.rows, 'row')}; the "
        f"longest has {number(lengths.longest, 'token')}"
    ]
    if lengths.unknown:
        lines.append(
            f"{number(lengths.unknown, 'row')} without the oldest exchanges: how long they were is "
            "not known"
        )
    if lengths.limits_of == "rows":
        lines.append(
            f"other limits are tried on the rows as they are in the dataset, which was made with "
            f"--max-length {found.max_length}"
        )
    return lines


def _losses(found: Statistics) -> list[str]:
    losses = found.losses
    examples = ""
    if losses.examples != losses.read:
        examples = f" with {number(losses.examples, 'example')}"
    repeated = f", {losses.repeated:,} of them repeated" if losses.repeated else ""
    lines = [
        f"{losses.read:,} read{examples}, {number(losses.written, _row(found))} written{repeated}"
    ]
    if losses.truncated:
        lost = losses.truncated_trained
        rest = f", {lost:,} of them lost trained tokens" if lost else ""
        lines.append(f"{losses.truncated:,} truncated by {found.truncation}{rest}")
    if losses.shortened:
        lines.append(
            f"{losses.shortened:,} without their oldest exchanges, "
            f"{number(losses.exchanges_dropped, 'exchange')} in all"
        )
    for label, counts in (("dropped", losses.dropped), ("rejected", losses.rejected)):
        if counts:
            lines.append(f"{sum(counts.values()):,} {label}: {_reasons(counts)}")
    return lines


def _duplicates(found: Statistics) -> list[str]:
    equal = found.duplicates
    lines = [f"{number(equal.rows, 'row')} ({percent(equal.share)}) equal to an earlier one"]
    if several := equal.prompts_with_several_answers:
        lines.append(
            f"{number(several, 'prompt')} with different answers, in "
            f"{number(equal.rows_of_such_prompts, 'row')}"
        )
    return lines


def _shards(found: Statistics) -> str:
    shards = found.shards
    about = "about " if shards.estimated else ""
    sizes = ""
    if shards.count > 1 and shards.smallest is not None and shards.largest is not None:
        sizes = f" ({size(shards.smallest)} to {size(shards.largest)} each)"
    return (
        f"{about}{number(shards.count, 'shard')} with {size(shards.bytes)}{sizes}; their index: "
        f"{size(shards.index_bytes)}"
    )


def _reasons(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count:,} {reason}" for reason, count in counts.items())


def numbers_in(low: int, high: int) -> str:
    """Return the numbers of a bar of a histogram in words.

    >>> numbers_in(1024, 1535), numbers_in(1, 1)
    ('1,024 to 1,535', '1')
    """
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def fitting(name: str, room: int) -> str:
    """Return a name, without its start if it is too long: names of files differ at their end.

    >>> fitting("data/part-00012.jsonl", 15), fitting("数据.jsonl", 9)
    ('…rt-00012.jsonl', '…据.jsonl')
    """
    if cell_len(name) <= room:
        return name
    while cell_len(name) >= room:
        name = name[1:]
    return f"…{name}"


def percent(share: float) -> str:
    """Return a share in percent; only all of something is 100%, and only nothing is 0%.

    >>> percent(1), percent(0.99999), percent(0.5), percent(0.00001), percent(0)
    ('100%', '>99.9%', '50.0%', '<0.1%', '0%')
    """
    if share in (0, 1):
        return f"{share:.0%}"
    if share >= 0.9995:
        return ">99.9%"
    return "<0.1%" if share < 0.0005 else f"{share:.1%}"


def size(count: int) -> str:
    """Return a number of bytes.

    >>> size(999), size(2_097_068), size(12_345_678_901)
    ('999 B', '2.1 MB', '12.3 GB')
    """
    value, unit = float(count), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value /= 1000
        unit += 1
    return f"{value:.1f} {UNITS[unit]}" if unit else f"{count} B"


def duration(seconds: float) -> str:
    """Return a time.

    >>> duration(0.2), duration(41), duration(200), duration(9000)
    ('1 s', '41 s', '3 min 20 s', '2 h 30 min')
    """
    whole = max(round(seconds), 1)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
