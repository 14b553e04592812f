"""What every list can do: fewer rows, one line a row, and the same as a file for a spreadsheet.

A file names people, so that only its owner may read it; it is there whole or not.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypeVar, get_args

import click

from syncd.cli.options import Invocation
from syncd.cli.screen.output import print_line, print_table
from syncd.cli.screen.table import Column
from syncd.cli.screen.unfinished import taking_place
from syncd.model.change import Action
from syncd.spreadsheet import SHEET_ROWS, Rows, SheetFull, write_csv, write_xlsx

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """How a list is wanted."""

    csv: str | None = None
    xlsx: Path | None = None
    limit: int | None = None
    wide: bool = False

    @property
    def exports(self) -> bool:
        """Return whether it goes into files instead of on the screen."""
        return self.csv is not None or self.xlsx is not None

    def take(self, rows: Iterable[T]) -> Iterator[T]:
        """Return the rows that are wanted."""
        return islice(iter(rows), self.limit)

    def export(self, headings: Sequence[str], make_rows: Callable[[], Rows]) -> bool:
        """Write the files that are wanted; return whether any is. ``make_rows`` is called for each of them."""
        if self.csv == "-":
            write_csv(sys.stdout, headings, self.take(make_rows()))
        elif self.csv is not None:
            _write_csv_file(Path(self.csv), headings, self.take(make_rows()))
        if self.xlsx is not None:
            _write_xlsx(self.xlsx, headings, self.take(make_rows()))
        return self.exports

    def print(self, columns: Sequence[Column], rows: Rows, *, total: int | None = None, more: str = "") -> int:
        """Print the rows as a table; return how many.

        ``total``: how many there are; ``more`` says how the rest is seen.
        """
        shown = print_table(columns, self.take(rows), wide=self.wide)
        if total is not None and total > shown:
            print_line(f"{total - shown:,} more are not shown{more}")
        return shown


T = TypeVar("T")


def actions_option(told: str) -> Callable[[F], F]:
    """Let a command list only changes of some actions, handed over as ``actions``; ``told`` is the option's help."""
    return click.option("--action", "actions", multiple=True, type=click.Choice(get_args(Action)), help=told)


def list_options(command: F) -> F:
    """Give a command the options of all lists, handed over as ``listing``."""

    @wraps(command)
    def with_listing(
        *arguments: Any, csv_file: str | None, xlsx_file: Path | None, limit: int | None, wide: bool, **options: Any
    ) -> Any:
        if (csv_file is not None or xlsx_file is not None) and click.get_current_context().ensure_object(
            Invocation
        ).json:
            raise click.UsageError("--json prints the list, and --csv and --xlsx write it: keep one of them")
        if xlsx_file == Path("-"):
            raise click.BadParameter("is not written to stdout: name a file, or use --csv -", param_hint="--xlsx")
        for option, path in (("--csv", Path(csv_file) if csv_file not in (None, "-") else None), ("--xlsx", xlsx_file)):
            if path is not None:
                require_folder(path, option)
        return command(*arguments, listing=Listing(csv=csv_file, xlsx=xlsx_file, limit=limit, wide=wide), **options)

    decorated: Any = with_listing
    for option in (
        click.option("--wide", is_flag=True, help="Print one line a row, however long it is."),
        click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Print so many rows."),
        click.option(
            "--xlsx",
            "xlsx_file",
            type=click.Path(dir_okay=False, path_type=Path),
            metavar="FILE",
            help="Write the list into a workbook instead.",
        ),
        click.option(
            "--csv",
            "csv_file",
            type=click.Path(dir_okay=False, allow_dash=True),
            metavar="FILE",
            help="Write the list as CSV instead; - is stdout.",
        ),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # click's decorators return what they are given


def require_folder(path: Path, option: str) -> None:
    """Raise BadParameter unless a file can be made beside ``path``: before the work is done that would be lost."""
    if not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
        raise click.BadParameter(f"{path.parent} is no folder that can be written to", param_hint=option)


def _write_csv_file(path: Path, headings: Sequence[str], rows: Rows) -> None:
    import io

    with private_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
        write_csv(text, headings, rows)
        text.detach()


def _write_xlsx(path: Path, headings: Sequence[str], rows: Rows) -> None:
    with private_file(path) as file:
        try:
            write_xlsx(file, headings, rows)
        except SheetFull:
            raise click.ClickException(
                f"a workbook holds {SHEET_ROWS:,} rows, and this list is longer: use --csv, or --limit"
            ) from None


@contextmanager
def private_file(path: Path) -> Iterator[BinaryIO]:
    """Open a new file in place of ``path``, readable by its owner alone; it takes its place when it is whole."""
    with taking_place(path) as unfinished, unfinished.open("w+b") as file:
        yield file
