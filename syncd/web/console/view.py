"""One page in the making: who reads it, in which language, of which store; and how its template is filled in."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from syncd.config import Settings
from syncd.plan.rules import Rules
from syncd.store.console.sessions import ConsoleSession
from syncd.store.db.database import Database
from syncd.web.console.counts import Counts
from syncd.web.console.desk import Desk
from syncd.web.console.texts.catalogue import LANGUAGES, Texts

FOLDER = Path(__file__).parent
PAGE_ROWS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer: a document, or a file to keep."""

    body: str | bytes
    status: int = 200
    content_type: str = "text/html"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Elsewhere:
    """An answer that sends the browser to another page."""

    path: str


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """What a page is made of; made and used in a thread of its own."""

    desk: Desk
    database: Database
    settings: Settings
    rules: Rules
    counts: Counts
    now: datetime
    session: ConsoleSession
    form_token: str
    texts: Texts
    path: str
    parts: Mapping[str, str]
    query: Mapping[str, str]
    form: Sequence[tuple[str, str]] = ()

    @property
    def decides(self) -> bool:
        """Return whether the reader may decide."""
        return self.session.role == "approver"

    def first(self, name: str, default: str = "") -> str:
        """Return a field of the form."""
        return next((value for key, value in self.form if key == name), default)

    def every(self, name: str) -> tuple[str, ...]:
        """Return all values of a field of the form."""
        return tuple(value for key, value in self.form if key == name)

    def pick(self, name: str, known: Iterable[str]) -> str:
        """Return a parameter of the address when it is one of these, otherwise an empty text."""
        value = self.query.get(name, "")
        return value if value in known else ""

    def count(self, name: str, *, most: int = 1_000_000) -> int:
        """Return a number of the address, 0 when there is none."""
        text = self.query.get(name, "")
        return min(int(text), most) if text.isascii() and text.isdecimal() and len(text) < 12 else 0

    def render(self, template: str, *, title: str, code: int = 200, **context: Any) -> Page:
        """Return a page of the console."""
        return Page(
            body=render(
                template,
                texts=self.texts,
                now=self.now,
                zone=self.settings.schedule.timezone,
                title=title,
                session=self.session,
                form_token=self.form_token,
                role=self.desk.vitals.role,
                path=self.path,
                link=self.link,
                query=self.query,
                **context,
            ),
            status=code,
        )

    def link(self, **changes: object) -> str:
        """Return the address of this page with other parameters; None takes one away."""
        wanted = {name: value for name, value in self.query.items() if name not in ("page", "export", "table")}
        wanted |= {name: str(value) for name, value in changes.items() if value is not None}
        for name, value in changes.items():
            if value is None or value == "":
                wanted.pop(name, None)
        return f"{self.path}?{urlencode(wanted)}" if wanted else self.path


def render(template: str, *, texts: Texts, now: datetime, zone: Any, title: str, **context: Any) -> str:
    """Return a filled-in template; what is missing in ``context`` is an error."""
    values: dict[str, Any] = {
        "session": None, "form_token": "", "role": "", "path": "/", "link": lambda **_: "", "query": {},
        "languages": LANGUAGES,
    }  # fmt: skip

    def show_time(moment: datetime | None, shape: Literal["full", "day", "clock"] = "full") -> Markup:
        return _show_time(moment, zone, shape)

    def tell_away(moment: datetime | None) -> str:
        return "" if moment is None else tell_distance(texts, moment, now)

    values |= {"stamp": stamp_files(), "t": texts, "title": title, "now": now, "when": show_time, "away": tell_away}
    return make_environment().get_template(template).render({**values, **context})


_SHAPES = {"full": "%Y-%m-%d %H:%M %Z", "day": "%Y-%m-%d", "clock": "%H:%M"}


def _show_time(moment: datetime | None, zone: Any, shape: Literal["full", "day", "clock"]) -> Markup:
    if moment is None:
        return Markup("–")
    local = moment.astimezone(zone)
    return Markup('<time datetime="{}" data-shape="{}">{}</time>').format(
        moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"), shape, local.strftime(_SHAPES[shape])
    )


def tell_distance(texts: Texts, moment: datetime, now: datetime) -> str:
    """Return how far away an instant is, in words."""
    seconds = int((moment - now).total_seconds())
    size, unit = next(
        (size, unit)
        for size, unit in ((86_400, "days"), (3600, "hours"), (60, "minutes"), (1, "seconds"))
        if abs(seconds) >= size or size == 1
    )
    return texts(f"time.{'in' if seconds > 0 else 'ago'}_{unit}", n=abs(seconds) // size)


@cache
def stamp_files() -> str:
    """Return what changes when a file of the pages does, so that no browser keeps an old one."""
    content = b"".join(path.read_bytes() for path in sorted((FOLDER / "static").iterdir()))
    return hashlib.sha256(content).hexdigest()[:12]


@cache
def make_environment() -> Environment:
    """Return what fills templates in: every value is escaped."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER / "templates"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        auto_reload=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["segment"] = lambda text: quote(str(text), safe="")
    return environment
