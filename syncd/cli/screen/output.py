"""What goes to stdout: tables for people, one JSON document for machines, neither ever built as a whole in memory."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import overload

import click

from syncd.cli.screen.streams import is_read
from syncd.cli.screen.table import Column, find_width, lay_out, measure, wrap

ROWS_SHOWN = 200


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


@overload
def format_time(moment: datetime) -> str: ...


@overload
def format_time(moment: datetime | None) -> str | None: ...


def format_time(moment: datetime | None) -> str | None:
    """Return an instant as ISO 8601 in UTC to the second, None for None."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def print_line(text: str = "") -> None:
    """Print a line of text, without what could steer a terminal; a long one is wrapped between words."""
    spelled, width = printable(text), find_width()
    lines = [spelled]
    if width is not None and measure(spelled) > width:
        indent = " " * (len(spelled) - len(spelled.lstrip(" ")))
        lines = [f"{indent}{line}" for line in wrap(spelled, width - len(indent))]
    for line in lines:
        click.echo(line, file=sys.stdout)  # by itself it would send UTF-8 to a stream that is said to be ASCII


def printable(text: str) -> str:
    """Return a text of foreign origin on one line, with a mark for each character that is not to be printed."""
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)


def print_table(columns: Sequence[Column], rows: Iterable[Sequence[object]], *, wide: bool = False) -> int:
    """Print rows under their headings as they come; return how many.

    Each column has a heading and its share of the room. Nothing is cut, and no word is broken (`screen.table`).
    """
    printed = -1
    spelled = ([printable("" if value is None else str(value)) for value in row] for row in rows)
    for lines in lay_out(columns, spelled, width=find_width(wide=wide)):
        if not is_read():
            break
        sys.stdout.write("".join(f"{line}\n" for line in lines))
        printed += 1
    return max(0, printed)


def print_rows(columns: Sequence[Column], rows: Iterable[Sequence[object]], *, indent: int) -> int:
    """Print rows without headings, behind so many blanks; return how many."""
    printed, width = -1, find_width()
    spelled = ([printable("" if value is None else str(value)) for value in row] for row in rows)
    for lines in lay_out(columns, spelled, width=None if width is None else width - indent):
        if not is_read():
            break
        if printed >= 0:  # the first are the headings
            sys.stdout.write("".join(f"{' ' * indent}{line}\n" for line in lines))
        printed += 1
    return max(0, printed)


def take_shown(rows: Iterator[Sequence[object]], total: int) -> tuple[Iterator[Sequence[object]], int]:
    """Return the first rows of a long table, and how many are not shown."""
    return islice(rows, ROWS_SHOWN), max(0, total - ROWS_SHOWN)
