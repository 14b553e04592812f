"""A list as a file to keep: the whole of it, as commands write it with ``--csv`` and ``--xlsx``."""

from __future__ import annotations

import io
from collections.abc import Sequence

from syncd.spreadsheet import Rows, SheetFull, write_csv, write_xlsx
from syncd.web.console.view import Page, View

KINDS = ("csv", "xlsx")
_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
_BYTES_AT_MOST = 64 << 20


class _Bounded(io.BytesIO):
    """A file in memory that does not grow for ever."""

    def write(self, content: object) -> int:
        if self.tell() > _BYTES_AT_MOST:
            raise SheetFull
        return super().write(content)  # type: ignore[arg-type]  # whatever a file of bytes takes


def export(view: View, name: str, headings: Sequence[str], rows: Rows, *, table: str = "") -> Page | None:
    """Return the list as the file that the address asks for; None when it asks for none, or for another table."""
    kind = view.pick("export", KINDS)
    if not kind or view.query.get("table", "") != table:
        return None
    file = _Bounded()
    try:
        if kind == "xlsx":
            write_xlsx(file, headings, rows)
        else:
            text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="", write_through=True)
            write_csv(text, headings, rows)
            text.detach()
    except SheetFull:
        return view.render("message.html", title=view.texts("error.title"), said=view.texts("error.export"), code=413)
    stamp = view.now.strftime("%Y%m%d-%H%M")
    return Page(
        body=file.getvalue(),
        content_type=_XLSX if kind == "xlsx" else "text/csv",
        headers={"Content-Disposition": f'attachment; filename="syncd-{name}{table and f"-{table}"}-{stamp}.{kind}"'},
    )
