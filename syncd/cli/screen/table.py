"""Rows under headings, laid out so that no word of them is ever broken: an id can be marked and copied as it stands.

===========================  =========================================================================================
where                        how
===========================  =========================================================================================
a pipe or file; ``--wide``   one line a row, as wide as it needs
what fits                    columns; texts are wrapped between words, those with the larger share get more room
what does not fit            the values of a row behind one another, further lines indented, the last one on its own;
                             a few rows that are longer than the others are set so among columns
===========================  =========================================================================================

A terminal is as wide as it says; ``COLUMNS`` says it for a pipe as well.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

Column = tuple[str, int]
"""A heading, and the share of the room that its texts get beside others; 0: they are never folded."""

_AT_ONCE = 500
_GAP = 2
_INDENT = "    "
_LEAST_PART = 80
"""Percent of the rows that have columns at least, where the others, which are longer, are set without."""
_LAST_LEAST = 28
"""So much room the last column has, which says why; with less, a row is no column any more."""


def find_width(*, wide: bool = False) -> int | None:
    """Return how wide what is printed may be, None where nothing limits it."""
    if wide or not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        return None
    return max(20, shutil.get_terminal_size((100, 24)).columns)


def lay_out(columns: Sequence[Column], rows: Iterable[Sequence[str]], *, width: int | None) -> Iterator[list[str]]:
    """Yield the lines of the headings, then those of each row; rows are looked at some hundreds at a time."""
    source = iter(rows)
    widths = [measure(heading) for heading, _ in columns]
    headed = False
    while chunk := list(islice(source, _AT_ONCE)):
        found, apart = _fit(columns, chunk, widths, width)
        if found is not None:
            widths = found
        if not headed:
            headings = [heading for heading, _ in columns]
            yield _flow(headings, width) if found is None else [*_set(headings, widths), _underline(widths)]
            headed = True
        for place, row in enumerate(chunk):
            yield _flow(row, width) if found is None or place in apart else _set(row, widths)


def _fit(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], before: Sequence[int], width: int | None
) -> tuple[list[int] | None, set[int]]:
    """Return the width of each column, and which rows are too long for columns; None when too many of them are."""

    def share(chosen: Sequence[int]) -> list[int] | None:
        some = [rows[place] for place in chosen]
        natural = [max(old, *(measure(row[place]) for row in some)) for place, old in enumerate(before)]
        return _share(columns, some, natural, width)

    found = share(range(len(rows)))
    if found is not None:
        return found, set()
    order = sorted(range(len(rows)), key=lambda place: sum(map(_longest_word, rows[place])))
    fitting, least, most = None, len(rows) * _LEAST_PART // 100, len(rows) - 1
    while least <= most:  # so many of them as there is room for: with more rows less of it is left
        middle = (least + most + 1) // 2
        found = share(order[:middle]) if middle else None
        if found is None:
            most = middle - 1
        else:
            fitting, least = (found, set(order[middle:])), middle + 1
    return fitting or (None, set())


def _share(
    columns: Sequence[Column], rows: Sequence[Sequence[str]], natural: Sequence[int], width: int | None
) -> list[int] | None:
    """Return the width of each column, None when the words of a row do not fit beside one another."""
    gaps = _GAP * (len(columns) - 1)
    if width is None or sum(natural) + gaps <= width:
        return list(natural)
    least = [
        max(_longest_word(heading), *(_longest_word(row[place]) for row in rows)) if share else natural[place]
        for place, (heading, share) in enumerate(columns)
    ]
    least[-1] = max(least[-1], min(natural[-1], _LAST_LEAST))
    room = width - gaps - sum(least)
    if room < 0:
        return None
    # Whatever needs little gets it first, so that its lines stay whole; the rest is divided by the shares.
    order = sorted(range(len(columns)), key=lambda place: natural[place] - least[place])
    found = list(least)
    shares = sum(share for _, share in columns) or len(columns)
    for place in order:
        share = columns[place][1]
        more = min(natural[place] - least[place], room * share // max(1, shares))
        found[place] += more
        room -= more
        shares -= share
    return found


def _set(row: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Return the lines of a row in columns."""
    cells = [wrap(text, width) for text, width in zip(row, widths, strict=True)]
    lines = []
    for number in range(max(len(cell) for cell in cells)):
        parts = [cell[number] if number < len(cell) else "" for cell in cells]
        padded = (part + " " * (width - measure(part)) for part, width in zip(parts, widths, strict=True))
        lines.append((" " * _GAP).join(padded).rstrip())
    return lines


def _flow(row: Sequence[str], width: int | None) -> list[str]:
    """Return the lines of a row whose values follow one another; the last value begins a line of its own."""
    limit = width or sys.maxsize
    lines: list[str] = []
    for text in filter(None, row[:-1]):
        joined = f"{lines[-1]}{' ' * _GAP}{text}" if lines else text
        if lines and measure(joined) > limit:
            lines += [_INDENT + line for line in wrap(text, limit - len(_INDENT))]
        else:
            lines[-1:] = [joined]
    last = row[-1]
    if lines and last and measure(lines[-1]) + _GAP + measure(last) <= limit:
        lines[-1] += " " * _GAP + last
    elif last:
        lines += [f"{_INDENT if lines else ''}{line}" for line in wrap(last, limit - len(_INDENT))]
    return lines or [""]


def wrap(text: str, width: int) -> list[str]:
    """Return a text in lines of at most this width, broken between words only: a longer word stands out."""
    lines: list[str] = []
    for word in text.split() or [""]:
        if lines and measure(lines[-1]) + 1 + measure(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def _underline(widths: Sequence[int]) -> str:
    return "─" * (sum(widths) + _GAP * (len(widths) - 1))


def _longest_word(text: str) -> int:
    return max(measure(word) for word in text.split(" "))


def measure(text: str) -> int:
    """Return how many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)
