"""A message as a letter: a subject, a plain text and the same as HTML. Pure; names nobody that the message does not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape

from syncd.plan.report.notifications import Notification

_SUBJECT_CHARACTERS = 150
_LABELS = {
    "run": "Run",
    "kind": "Kind",
    "trigger": "Started by",
    "status": "Ended as",
    "error": "Reason",
    "held_objects": "Held back",
    "held_since": "Oldest held since",
    "expires_at": "Ends at",
    "allowances": "Of the day's allowance",
    "setting": "Setting",
    "days_left": "Days left",
    "failing": "Keep failing",
    "causes": "Causes",
    "failing_since": "Oldest failing since",
    "problems": "Problems",
    "where": "Read from",
    "commands": "What to do",
}
_STYLE = (
    "font-family:system-ui,Segoe UI,Helvetica,Arial,sans-serif;font-size:15px;line-height:1.5;max-width:42em;margin:1em"
)
_CELL = "text-align:left;vertical-align:top;padding:.15em 1em .15em 0"


@dataclass(frozen=True, slots=True)
class Letter:
    """What is sent. ``subject`` is one printable line."""

    subject: str
    plain: str
    html: str


def make_letter(news: Notification, *, portal: str, at: datetime, console: str | None) -> Letter:
    """Return a message as a letter. ``portal`` tells installations apart; ``console``: where it can be looked at."""
    where = _make_line(portal) or "syncd"
    subject = f"[syncd {where}] {_make_line(news.subject)}"[:_SUBJECT_CHARACTERS]
    rows = [*_list_rows(news.fields), ("Portal", where), ("Told at", f"{at:%Y-%m-%d %H:%M} UTC")]
    plain = [news.text, "", *(f"{label}: {value}" for label, value in rows)]
    if console:
        plain += ["", f"Console: {console}"]
    plain += ["", "-- ", "Sent by syncd. notify.events chooses what is told."]
    table = "".join(
        f'<tr><th style="{_CELL}">{escape(label)}</th><td style="{_CELL}">{escape(value)}</td></tr>'
        for label, value in rows
    )
    link = f'<p><a href="{escape(console)}">Open the console</a></p>' if console else ""
    html = (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(subject)}</title></head>'
        f'<body style="{_STYLE}"><p>{escape(news.text)}</p><table role="presentation">{table}</table>{link}'
        "<p><small>Sent by syncd. <code>notify.events</code> chooses what is told.</small></p></body></html>"
    )
    return Letter(subject, "\n".join(plain) + "\n", html)


def _list_rows(fields: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for name, label in _LABELS.items():
        value = fields.get(name)
        if value is None or value == "" or value == [] or value == {}:
            continue
        for line in _list_values(name, value):
            yield label, line


def _list_values(name: str, value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield ", ".join(f"{key} {number:,}" for key, number in value.items())
    elif name == "allowances" and isinstance(value, list):
        for each in value:
            allowed = "no limit" if each["allowed"] is None else f"{each['allowed']:,} allowed"
            yield f"{each['action']} {each['object']}: {each['used']:,} used, {allowed}"
    elif isinstance(value, list | tuple):
        yield from (str(each) for each in value)
    elif isinstance(value, int) and not isinstance(value, bool):
        yield f"{value:,}" if name != "run" else str(value)
    else:
        yield str(value)


def _make_line(text: str) -> str:
    """Return a text as one line of printable characters: what stands in a header."""
    return " ".join("".join(sign if sign.isprintable() else " " for sign in text).split())
