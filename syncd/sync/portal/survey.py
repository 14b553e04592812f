"""Who has something at the applications and processes of the portal, also where no rule names them.

Only a person who looks at a card asks for it, never a run: a portal without rules is asked nothing by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from datetime import datetime

from syncd.errors import Forbidden, NotFound, RemoteError
from syncd.model.privilege import Place, Survey
from syncd.model.target import NO_SCOPE
from syncd.sync.ports.sides import Portal

MOST_PLACES = 200
"""So many places are read; how many are left is told."""
PATIENCE_SECONDS = 60.0
"""So long the readings may take together."""
_AT_ONCE = 4


async def survey_places(portal: Portal, databases: Collection[int], *, now: datetime) -> Survey:
    """Read who has something at each application and process of these content databases, within both bounds.

    RemoteError where nothing can be listed. ``now``: when this is.
    """
    places, unlisted = list[Place](), 0
    for database in sorted(databases):
        found, more = await _list_places(portal, database, most=MOST_PLACES - len(places))
        places += found
        unlisted += more
    chosen = places[:MOST_PLACES]
    holders, unread, gate = dict[Place, tuple[str, ...]](), list[Place](), asyncio.Semaphore(_AT_ONCE)

    async def look(place: Place) -> None:
        async with gate:
            try:
                found = await portal.fetch_holders(place)
            except RemoteError:
                unread.append(place)
                return
        if found is not None and found.complete:
            holders[place] = found.bps_ids
        elif found is not None:
            unread.append(place)

    try:
        async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
            for place in chosen:
                group.create_task(look(place), name=f"survey {place.token}")
    except TimeoutError:
        unread += [place for place in chosen if place not in holders and place not in unread]
    return Survey(
        at=now,
        databases=tuple(sorted(databases)),
        holders=holders,
        unread=tuple(sorted(unread, key=str)),
        left=len(places) - len(chosen) + unlisted,
    )


async def _list_places(portal: Portal, database: int, *, most: int) -> tuple[list[Place], int]:
    """Return the applications and their processes, and how many applications were not looked into."""
    applications = await portal.list_places(database, "application")
    found = [Place(database=database, kind="application", key=each.key, name=each.name) for each in applications]
    for number, application in enumerate(applications):
        if len(found) >= most:
            return found, len(applications) - number
        try:
            processes = await portal.list_places(database, "process", application.key)
        except Forbidden as error:
            if error.code == NO_SCOPE:
                raise
            continue
        except NotFound:
            continue
        found += [Place(database=database, kind="process", key=each.key, name=each.name) for each in processes]
    return found, 0
