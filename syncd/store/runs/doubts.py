"""What was sent without learning how it ended: the failures after which nobody knows what the portal has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Delete, delete, exists, select

from syncd.model.change import LinkKind
from syncd.store.db.part import StorePart, in_thread
from syncd.store.inventory.written import LINKS
from syncd.store.runs.retries import DOUBTFUL
from syncd.store.schema.tables import failures, target_principals

Membership = tuple[int, int]


class Doubts(StorePart):
    """Its methods are called in the store's thread."""

    def load_doubtful_places(self) -> Mapping[LinkKind, set[Membership]]:
        """Return the (group, member) that may be there although the inventory lacks them."""
        found: dict[LinkKind, set[Membership]] = {kind: set() for kind in LINKS}
        for kind, group, member in self._database.load_rows(_SELECT_PLACES):
            found[kind].add((group, member))
        return found

    def forget_settled_doubts(self) -> None:
        """Forget the doubts about places that the portal was seen to have."""
        if self._database.load_rows(_SELECT_PLACES):
            with self._database.transaction() as connection:
                for kind in LINKS:
                    connection.execute(_FORGET_SEEN[kind])

    @in_thread
    def load_doubtful_records(self) -> list[tuple[str, str, int]]:
        """Return (object, BPS id, key) of the accounts, groups and holders of licences that are in doubt."""
        return [(row[0], row[1], row[2]) for row in self._database.load_rows(_SELECT_RECORDS)]


# ---- statements -----------------------------------------------------------------------------------------------------


def _make_forgetting(kind: LinkKind) -> Delete:
    links = LINKS[kind]
    seen = exists().where(links.c.group_key == failures.c.record_key, links.c.member_key == failures.c.target_key)
    return delete(failures).where(_IN_DOUBT, failures.c.object == kind, seen)


_IN_DOUBT: Any = failures.c.cause.in_(DOUBTFUL)
_SELECT_PLACES = select(failures.c.object, failures.c.record_key, failures.c.target_key).where(
    _IN_DOUBT, failures.c.object.in_(tuple(LINKS))
)
_FORGET_SEEN = {kind: _make_forgetting(kind) for kind in LINKS}
_SELECT_RECORDS = (
    select(failures.c.object, target_principals.c.bps_id, failures.c.record_key)
    .join(target_principals, target_principals.c.key == failures.c.record_key)
    .where(_IN_DOUBT, failures.c.object.in_(("user", "group", "licence")))
    .distinct()
    .order_by(failures.c.object, failures.c.record_key)
)
