"""Signs of somebody else who fills the portal: records under our BPS ids that the API hides, or does not let us change.

WEBCON's own synchronisation of users leaves such records, deactivated ones too, and an API application is one. Creating
or changing them is refused in every run; it is tried again ever more rarely, and told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import and_, exists, not_, or_, select

from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause
from syncd.store.db.database import Database
from syncd.store.schema.tables import failures, target_groups, target_principals, target_users

_NAMED = 3
_OFTEN = 2
WAY_OUT = (
    "switch off the portal's own synchronisation with Entra ID and remove what it left (deactivated users too) in the "
    "portal, or name the ids in scope.protect; 'syncd users --state failing' lists them"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Blocked:
    """Records that could not be written for that reason: how many, since when, how often, and a few of their ids.

    ``refused`` of them are records that the portal had before us and whose changes it refuses in other words;
    ``example`` are the words for the first of these.
    """

    users: int
    groups: int
    since: datetime | None
    attempts: int
    examples: tuple[str, ...]
    refused: int = 0
    example: str = ""

    def describe(self) -> str:
        """Return it as a sentence, nothing when nothing is blocked."""
        if self.since is None:
            return ""
        kinds = ((self.users, "user"), (self.groups, "group"))
        what = " and ".join(f"{number} {name}{'s' if number != 1 else ''}" for number, name in kinds if number)
        said = (
            f"{what} refused since {self.since:%Y-%m-%d}, up to {self.attempts} times: their BPS ids belong to records "
            f"of another maker (such as {', '.join(self.examples)})"
        )
        if not self.refused:
            return said
        which = "all of them" if self.refused == self.users + self.groups else f"{self.refused} of them"
        return f"{said}; the portal had {which} before syncd, and refuses each change: {self.example}"


def load_blocked(database: Database) -> Blocked:
    """Return what is blocked at present; what was solved is not.

    A record that was there before us counts from the second refusal on, whatever the portal's words are.
    """
    rows = database.load_rows(_SELECT_BLOCKED)
    others = [row for row in rows if row.cause == Cause.REFUSED.value]
    return Blocked(
        users=sum(row.object == "user" for row in rows),
        groups=sum(row.object == "group" for row in rows),
        since=min((row.first_at for row in rows), default=None),
        attempts=max((row.attempts for row in rows), default=0),
        examples=tuple(row.bps_id for row in rows[:_NAMED]),
        refused=len(others),
        example=f"{others[0].bps_id}: {others[0].error}" if others else "",
    )


_THERE = [exists().where(table.c.key == failures.c.record_key) for table in (target_users, target_groups)]
_MADE = [
    exists().where(table.c.key == failures.c.record_key, table.c.origin == "created")
    for table in (target_users, target_groups)
]
_REFUSED = and_(failures.c.cause == Cause.REFUSED.value, failures.c.attempts >= _OFTEN, or_(*_THERE), not_(or_(*_MADE)))
_SELECT_BLOCKED = (
    select(
        failures.c.object,
        failures.c.first_at,
        failures.c.attempts,
        failures.c.cause,
        failures.c.error,
        target_principals.c.bps_id,
    )
    .join(target_principals, target_principals.c.key == failures.c.record_key)
    .where(failures.c.object.in_(RECORD_KINDS), or_(failures.c.cause == Cause.FOREIGN_RECORD.value, _REFUSED))
    .order_by(target_principals.c.bps_fold)
)
