"""What the last look at all applications and processes showed, for cards: kept as one fact, beside the own record.

Planning knows nothing of it. Of those who have something, only whom the store has met are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from syncd.model.privilege import Place, Survey, read_place
from syncd.model.target import fold
from syncd.store.db.database import Database, reading
from syncd.store.db.markers import PRIVILEGE_SURVEY, load_marker, save_marker
from syncd.store.db.parameters import among_bound
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.schema.tables import target_principals


@dataclass(frozen=True, slots=True, kw_only=True)
class Surveyed:
    """A survey as it is kept.

    ``places``: those that were read, by token; ``holders``: the tokens at which each record (key) has something;
    ``unread``: places that could not be read, in words; ``left``: how many more there are at least.
    """

    at: datetime
    databases: tuple[int, ...]
    places: Mapping[str, Place]
    holders: Mapping[int, tuple[str, ...]]
    unread: tuple[str, ...]
    left: int


def save_survey(database: Database, survey: Survey) -> None:
    """Keep what a survey showed, in place of the one before."""
    folds = sorted({fold(bps_id) for ids in survey.holders.values() for bps_id in ids})
    with database.transaction() as connection:
        keys = {row.bps_fold: row.key for row in connection.execute(_SELECT_KEYS, {"folds": folds})} if folds else {}
        holders: dict[str, list[str]] = {}
        for place, ids in sorted(survey.holders.items(), key=lambda item: item[0].token):
            for key in sorted({keys[fold(bps_id)] for bps_id in ids if fold(bps_id) in keys}):
                holders.setdefault(str(key), []).append(place.token)
        kept = {
            "at": survey.at.isoformat(),
            "databases": list(survey.databases),
            "places": {place.token: place.name for place in survey.holders},
            "holders": holders,
            "unread": [str(place) for place in survey.unread],
            "left": survey.left,
        }
        save_marker(connection, PRIVILEGE_SURVEY, encode_json(kept))


def load_survey(connection: Connection) -> Surveyed | None:
    """Return the last survey, within a transaction; None when there was none."""
    text = load_marker(connection, PRIVILEGE_SURVEY)
    if text is None:
        return None
    kept = decode_json(text)
    places = {}
    for token, name in kept["places"].items():
        place = read_place(token)
        places[token] = Place(database=place.database, kind=place.kind, key=place.key, name=name)
    return Surveyed(
        at=datetime.fromisoformat(kept["at"]),
        databases=tuple(kept["databases"]),
        places=places,
        holders={int(key): tuple(tokens) for key, tokens in kept["holders"].items()},
        unread=tuple(kept["unread"]),
        left=kept["left"],
    )


def load_last_survey(database: Database) -> datetime | None:
    """Return when the last survey was made."""
    with reading(database) as connection:
        found = load_survey(connection)
    return found.at if found else None


_SELECT_KEYS = select(target_principals.c.bps_fold, target_principals.c.key).where(
    among_bound(target_principals.c.bps_fold, "folds", textual=True)
)
