"""Tables with aligned columns: on a terminal by rich, in its width; elsewhere plain text, a row a line."""

import sys
from collections.abc import Collection, Sequence

from rich.cells import cell_len

Row = Sequence[str]


def columns(rows: Sequence[Row], right: Collection[int] = ()) -> list[str]:
    """A line for each row, its cells padded to their column's width; columns in `right` align right."""
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]

    def cell(text: str, column: int) -> str:
        space = " " * (widths[column] - cell_len(text))
        return space + text if column in right else text + space

    return ["  ".join(cell(text, i) for i, text in enumerate(row)).rstrip() for row in rows]


def print_table(header: Row, rows: Sequence[Row], right: Collection[int] = ()) -> None:
    """Prints `header` in capitals above `rows`; columns in `right` align right."""
    header, rows = [name.upper() for name in header], [[_plain(cell) for cell in row] for row in rows]
    if not sys.stdout.isatty():
        print("\n".join(columns([header, *rows], right)))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for i, name in enumerate(header):
        table.add_column(name, justify="right" if i in right else "left", overflow="fold")
    _print_rich(table, rows)


def print_facts(facts: Sequence[tuple[str, str]]) -> None:
    """Prints a name and its value per line, the values aligned."""
    rows = [[_plain(cell) for cell in fact] for fact in facts]
    if not sys.stdout.isatty():
        print("\n".join(columns(rows)))
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    _print_rich(table, rows)


def _print_rich(table: "object", rows: Sequence[Row]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    assert isinstance(table, Table)
    for row in rows:
        table.add_row(*map(Text, row))
    Console().print(table)


def _plain(cell: str) -> str:
    """Without line ends and control characters: names come from untrusted files."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in cell)
