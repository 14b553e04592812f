"""What a person should know who decides about a handover: a card for each, made of what is stored now."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, bindparam, or_, select

from syncd.model.change import OutcomeStatus
from syncd.model.kinds import RecordKind
from syncd.model.target import fold
from syncd.plan.handover import Claim, Party, describe_former
from syncd.plan.rules import Rules
from syncd.store.db.database import Database, reading
from syncd.store.db.parameters import among_bound
from syncd.store.desired.handovers import Handovers, fold_all
from syncd.store.licences.holdings import load_holding
from syncd.store.reports.explain_records import load_linked
from syncd.store.runs.open_changes import find_newest_planned, select_in_force
from syncd.store.schema.tables import (
    changes,
    runs,
    substitutions,
    target_groups,
    target_members,
    target_owners,
    target_principals,
    target_users,
)

Card = Mapping[str, Any]
"""Plain values: instants as they are."""


class HandoverCards:
    """Makes cards; nothing is asked of either side."""

    def __init__(self, database: Database, rules: Rules, *, now: datetime) -> None:
        self._database = database
        self._rules = rules
        self._now = now

    def iterate(
        self, run_id: int, statuses: Collection[OutcomeStatus], *, start: int = 0, limit: int | None = None
    ) -> Iterator[tuple[int, Card]]:
        """Yield (place in the plan, card) of the handovers of a run that ended, or wait, in one of these ways.

        All of them, or so many from a place on.
        """
        asked = {"run": run_id, "statuses": list(statuses)}
        rows = self._database.load_rows(_OF_RUN, asked)[start : None if limit is None else start + limit]
        reports = self._load_reports([row.record_key for row in rows if row.object == "user"])
        for row in rows:
            card = self._load(row.object, row.record_key, row.source_key, reports=reports)
            if card is not None:
                yield row.seq, card

    def find(self, kind: RecordKind, keys: Collection[int], source: int, *, hanging: bool = True) -> Card | None:
        """Return the card of the open handover of one of these records, or to this source object; None without any.

        ``hanging`` False: without what hangs on it, for which all accounts are looked at.
        """
        with reading(self._database) as connection:
            newest = find_newest_planned(connection)
            row = connection.execute(
                _OPEN.where(changes.c.run_id.in_(select_in_force(newest).where(_MAY_ASK))),
                {"kind": kind, "keys": list(keys), "source": source},
            ).first()
        if row is None:
            return None
        if not hanging:
            return self._load(kind, row.record_key, row.source_key, reports=None)
        return self.load(kind, row.record_key, row.source_key)

    def load(self, kind: RecordKind, record: int, heir: int) -> Card | None:
        """Return the card of one handover."""
        return self._load(kind, record, heir, reports=self._load_reports([record] if kind == "user" else []))

    def _load_reports(self, records: Collection[int]) -> dict[str, list[str]]:
        """Return who reports to these accounts, by folded BPS id, in one look at all accounts."""
        found: dict[str, list[str]] = {}
        names = self._database.load_values(_NAMES, {"keys": records}) if records else []
        for row in self._database.load_rows(_REPORTS, {"names": fold_all(names)}) if names else ():
            found.setdefault(fold(row.manager), []).append(row.bps_id)
        return found

    def _load(
        self, kind: RecordKind, record: int, heir: int, *, reports: Mapping[str, list[str]] | None
    ) -> Card | None:
        """Return a card; ``reports`` None: without what hangs on the record."""
        claim = Handovers(self._database).load_claim(kind, record=record, heir=heir, rules=self._rules, now=self._now)
        if claim is None or claim.current.source_key == heir:
            return None
        with reading(self._database) as connection:
            since = connection.scalar(_SINCE[kind], {"record": record})
            return {
                "object": kind,
                "bps_id": claim.bps_id,
                "former": _describe_former(claim, since),
                "newcomer": _describe(claim.heir),
                "hangs_on_it": {}
                if reports is None
                else _load_hanging(connection, claim, reports.get(fold(claim.bps_id), [])),
                "evidence": {"for": list(claim.evidence.speaks_for), "against": list(claim.evidence.against)},
            }


def _describe(party: Party) -> dict[str, Any]:
    return {
        "id": party.id,
        "name": party.name,
        "login": party.attributes.get("userPrincipalName"),
        "state": party.state,
    }


def _describe_former(claim: Claim, since: datetime | None) -> dict[str, Any] | None:
    former = claim.former
    if former is None:
        return None
    became = "deleted" if former.state == "deleted" else describe_former(former)  # the day stands beside it
    return {**_describe(former), "became": became, "gone_since": former.removed_at or since}


def _load_hanging(connection: Connection, claim: Claim, reports: list[str]) -> dict[str, Any]:
    """Return what goes along, or is taken away, when a record passes."""
    if claim.kind == "group":
        return {
            "members": load_linked(connection, target_members, "group", claim.record),
            "owners": load_linked(connection, target_owners, "group", claim.record),
        }
    held = load_holding(connection, [claim.record]).get(claim.record, [])
    rows = connection.execute(_SUBSTITUTIONS, {"record": claim.record}).all()
    return {
        "groups": load_linked(connection, target_members, "user", claim.record),
        "owns": load_linked(connection, target_owners, "user", claim.record),
        "licences": [{"type": each.type, "granted": "by a rule" if each.ours else "by hand"} for each in held],
        "substitutions": [{"tasks_of": row[0], "go_to": row[1], "until": row[2]} for row in rows],
        "reports": reports,
    }


# ---- statements -----------------------------------------------------------------------------------------------------

_HANDOVERS = select(changes.c.seq, changes.c.object, changes.c.record_key, changes.c.source_key).where(
    changes.c.action == "handover"
)
_OF_RUN = _HANDOVERS.where(
    changes.c.run_id == bindparam("run"), among_bound(changes.c.status, "statuses", textual=True)
).order_by(changes.c.seq)
_OPEN = _HANDOVERS.where(
    changes.c.status.in_(("planned", "held", "deferred", "failed")),
    changes.c.object == bindparam("kind"),
    or_(among_bound(changes.c.record_key, "keys"), changes.c.source_key == bindparam("source")),
).order_by(changes.c.run_id.desc())
_MAY_ASK = or_(runs.c.counts.contains('"handover":'), runs.c.status.not_in(("succeeded", "partial", "held")))
"""Which runs may have planned a handover: a run that came to its end has counted those. No other is looked through."""
_SINCE = {
    kind: select(table.c.leaving_at).where(table.c.key == bindparam("record"))
    for kind, table in (("user", target_users), ("group", target_groups))
}
_original, _substitute = target_principals.alias("original"), target_principals.alias("substitute")
_SUBSTITUTIONS = (
    select(_original.c.bps_id, _substitute.c.bps_id, substitutions.c.ends_at)
    .join(_original, _original.c.key == substitutions.c.original_key)
    .join(_substitute, _substitute.c.key == substitutions.c.substitute_key)
    .where(
        substitutions.c.confirmed,
        or_(substitutions.c.original_key == bindparam("record"), substitutions.c.substitute_key == bindparam("record")),
    )
    .order_by(_original.c.bps_fold)
)
_NAMES = select(target_principals.c.bps_id).where(among_bound(target_principals.c.key, "keys"))
_REPORTS = (
    select(target_principals.c.bps_id, target_users.c.manager)
    .join(target_users, target_users.c.key == target_principals.c.key)
    .where(among_bound(target_users.c.manager, "names", textual=True))
    .order_by(target_principals.c.bps_fold)
)
