"""Lists as files for a spreadsheet: CSV and XLSX, for commands and for the console.

A cell that a spreadsheet would take for a formula stays the text that it is: in CSV behind an apostrophe, in XLSX by
its type.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, BinaryIO

Rows = Iterable[Sequence[object]]

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""With these a text begins that a spreadsheet may run; the last four are the wide forms."""
_CELL_LENGTH = 32_767
"""Excel's limit; a longer text ends with a mark there, and is whole in CSV."""
SHEET_ROWS = 1_048_575
"""A sheet has no more rows, its heading left out."""


class SheetFull(Exception):
    """A list has more rows than a sheet."""


def write_csv(stream: Any, headings: Sequence[str], rows: Rows) -> None:
    """Write a list to a text stream that was opened with ``newline=""``."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(headings)
    for row in rows:
        writer.writerow([_as_text(value) for value in row])


def write_xlsx(file: BinaryIO, headings: Sequence[str], rows: Rows) -> None:
    """Write a list as a workbook, in constant memory; raises SheetFull."""
    import xlsxwriter

    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        sheet = book.add_worksheet("syncd")
        bold = book.add_format({"bold": True})
        sheet.freeze_panes(1, 0)
        for place, heading in enumerate(headings):
            sheet.write_string(0, place, heading, bold)
            sheet.set_column(place, place, max(12, len(heading) + 2))
        number = 0
        for number, row in enumerate(rows, 1):
            if number > SHEET_ROWS:
                raise SheetFull
            for place, value in enumerate(row):
                plain = _as_plain(value)
                if isinstance(plain, bool) or not isinstance(plain, int | float):
                    sheet.write_string(number, place, _fit_cell("" if plain is None else str(plain)))
                else:
                    sheet.write_number(number, place, plain)
        sheet.autofilter(0, 0, number, len(headings) - 1)


def _as_text(value: object) -> str:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULAS) else value
    return "" if value is None else str(_as_plain(value))


def _as_plain(value: object) -> object:
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if isinstance(value, datetime) else value


def _fit_cell(text: str) -> str:
    return text if len(text) <= _CELL_LENGTH else f"{text[: _CELL_LENGTH - 2]} …"
