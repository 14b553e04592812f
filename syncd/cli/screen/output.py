"""What goes to stdout: tables for people, one JSON document for machines, neither ever built as a whole in memory."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING

import click

from syncd.cli.screen.streams import is_read

if TYPE_CHECKING:
    from rich.console import Console

ROWS_SHOWN = 200
_WIDE = 1000
"""Columns of a table that goes into a pipe or file, where nothing has to be folded; it takes what it needs."""
_WIDE_LONG = 300
"""The same of a table of many parts, which all take the whole width."""
_ROWS_PER_TABLE = 500


class Stream:
    """An array of a JSON document that is written entry by entry."""

    def __init__(self, entries: Iterable[object]) -> None:
        self.entries = entries


def print_json(document: Mapping[str, object] | Stream) -> None:
    """Print one document; values that are a `Stream`, also within an array's objects, are written as they come."""
    if isinstance(document, Stream):
        _write_array(document)
    else:
        _write_object(document)
    sys.stdout.write("\n")
    sys.stdout.flush()


def _write_object(document: Mapping[str, object]) -> None:
    sys.stdout.write("{")
    for number, (key, value) in enumerate(document.items()):
        sys.stdout.write(f"{',' if number else ''}\n{json.dumps(key)}: ")
        if isinstance(value, Stream):
            _write_array(value)
        else:
            sys.stdout.write(_encode(value))
    sys.stdout.write("\n}")


def _write_array(array: Stream) -> None:
    sys.stdout.write("[")
    some = False
    for entry in array.entries:
        if not is_read():
            return
        sys.stdout.write(f"{',' if some else ''}\n  ")
        if isinstance(entry, Mapping) and any(isinstance(value, Stream) for value in entry.values()):
            _write_object(entry)
        else:
            sys.stdout.write(_encode(entry))
        some = True
    sys.stdout.write("\n]" if some else "]")


def _encode(value: object) -> str:
    spells_everything = (getattr(sys.stdout, "encoding", None) or "").lower().replace("-", "") == "utf8"
    return json.dumps(value, ensure_ascii=not spells_everything)


def format_time(moment: datetime | None) -> str | None:
    """Return an instant as ISO 8601 in UTC to the second, None for None."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def print_line(text: str = "") -> None:
    """Print a line of text, without what could steer a terminal."""
    click.echo(printable(text), file=sys.stdout)  # by itself it would send UTF-8 to a stream that is said to be ASCII


def printable(text: str) -> str:
    """Return a text of foreign origin on one line, with a mark for each character that is not to be printed."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def print_table(columns: Sequence[tuple[str, int]], rows: Iterable[Sequence[object]]) -> int:
    """Print rows under their headings as they come; return how many.

    Each column has a heading and its share of the width. Long values are folded, never cut.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    source = iter(rows)
    printed = 0
    long = False
    while is_read() and (chunk := list(islice(source, _ROWS_PER_TABLE))):
        long = long or len(chunk) == _ROWS_PER_TABLE  # columns of equal width all the way down
        console = make_console(long=long)
        head = not printed
        table = Table(
            box=box.SIMPLE_HEAD if head else None, show_header=head, show_edge=False, pad_edge=False, expand=long
        )
        for heading, share in columns:
            table.add_column(Text(heading), ratio=share if long else None, overflow="fold")
        for row in chunk:
            table.add_row(*(Text(printable("" if value is None else str(value))) for value in row))
        console.print(table)
        printed += len(chunk)
    return printed


def make_console(*, long: bool = False) -> Console:
    """Return stdout as a console: as wide as the terminal, and wide where there is none; ``long``: for a long table."""
    from rich.console import Console

    width = None if sys.stdout.isatty() or os.environ.get("COLUMNS") else (_WIDE_LONG if long else _WIDE)
    return Console(width=width, markup=False, highlight=False, emoji=False)


def take_shown(rows: Iterator[Sequence[object]], total: int) -> tuple[Iterator[Sequence[object]], int]:
    """Return the first rows of a long table, and how many are not shown."""
    return islice(rows, ROWS_SHOWN), max(0, total - ROWS_SHOWN)
