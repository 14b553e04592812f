"""Who may see and do what: the table of all routes of the console. Nothing is reachable that does not stand here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from syncd.web.console.pages import (
    decide,
    drift,
    explain,
    held,
    licences,
    orphans,
    overview,
    people,
    run,
    runs,
    settings,
)
from syncd.web.console.view import Elsewhere, Page, View

Role = Literal["viewer", "approver"]
ShowPage = Callable[[View], Page | Elsewhere]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One route for people who have signed in. ``role``: who may use it at least."""

    method: Literal["GET", "POST"]
    path: str
    role: Role
    show: ShowPage


def _get(path: str, show: ShowPage) -> Route:
    return Route(method="GET", path=path, role="viewer", show=show)


ROUTES: tuple[Route, ...] = (
    _get("/", overview.show),
    _get("/runs", runs.show),
    _get("/runs/{run:[0-9]{1,15}}", run.show),
    _get("/held", held.show_list),
    _get("/held/{run:[0-9]{1,15}}", held.show),
    _get("/{kind:users|groups}", people.show),
    _get("/{kind:users|groups}/{id}", explain.show),
    _get("/records/{id}", explain.show_record),
    _get("/drift", drift.show),
    _get("/orphans", orphans.show),
    _get("/licences", licences.show),
    _get("/settings", settings.show),
    Route(method="POST", path="/held/{run:[0-9]{1,15}}", role="approver", show=decide.decide),
    Route(method="POST", path="/decisions/{decision:[0-9]{1,15}}/withdraw", role="approver", show=decide.withdraw),
)
