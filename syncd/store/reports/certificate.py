"""What became of somebody who left: read from the store alone, for one document to an auditor."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, select

from syncd.model.history import LicenceTime, Links, RecordTime
from syncd.plan.desired import LEAVER_STATES
from syncd.store.db.database import Database, reading
from syncd.store.db.parameters import among_values
from syncd.store.db.sql import decode_json
from syncd.store.directory.entry import GONE
from syncd.store.reports.explain import Found
from syncd.store.reports.explain_changes import load_pending
from syncd.store.reports.history import History
from syncd.store.runs.verify import Chain
from syncd.store.schema.tables import (
    changes,
    desired_users,
    record_history,
    run_chain,
    runs,
    source_users,
    target_groups,
    target_principals,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """An arrangement about the tasks of an account: ``action`` is create, update or delete."""

    at: datetime | None
    run: int
    action: str
    account: str
    substitute: str
    until: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunProof:
    """A run that had to do with it. ``hash``: that of the chain when the run ended; None: it is from before."""

    id: int
    kind: str = ""
    trigger: str = ""
    status: str = ""
    started_at: datetime | None = None
    finished_at: datetime | None = None
    hash: str | None = None
    proof: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Departure:
    """All that is known of how somebody left. ``left_at`` None: before anybody noted it.

    ``how``: ``told`` (the tenant said that the object is gone), ``confirmed`` (missing from a reading, and a direct
    reading did not find it), ``disabled`` or ``out_of_scope`` (stated by what the tenant says of the person), or
    empty: not noted.
    """

    state: str
    reason: str
    how: str
    left_at: datetime | None
    left_run: int | None
    upn: str
    accounts: Sequence[RecordTime] = ()
    links: Sequence[Links] = ()
    licences: Sequence[LicenceTime] = ()
    tasks: Sequence[Task] = ()
    pending: Sequence[Mapping[str, Any]] = ()
    runs: Sequence[RunProof] = ()
    head: str = ""
    names: Mapping[str, str] = field(default_factory=dict)
    """Of the groups, by BPS id: as the portal has them, or had them last."""


class Certificates:
    """Its method is called by a command."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._history = History(database)

    def load(self, found: Found, *, now: datetime) -> Departure | None:
        """Return how a person left; None for one who has not left."""
        source = self._database.load_row(select(source_users).where(source_users.c.key == found.key))
        desired = self._database.load_row(select(desired_users).where(desired_users.c.key == found.key))
        gone = source is not None and source.state in GONE
        state = "deleted" if gone else str(desired.state if desired is not None else "")
        if source is None or state not in LEAVER_STATES:
            return None
        accounts = self._history.load_records("user", source=found.key)
        leaving = _find_beginning(accounts)
        left_at = source.removed_at if gone else leaving
        since = min((each for each in (left_at, leaving) if each is not None), default=None)
        keys = sorted({each.key for each in accounts})
        places = self._history.iterate_links(members=keys) if keys else ()
        links = [each for each in places if _ended_since(each.time.went, since)]
        licences = [each for each in self._history.load_licences(keys) if _ended_since(each.time.went, since)]
        left_run = None if left_at is None else self._history.find_run_at(left_at)
        with reading(self._database) as connection:
            tasks = _load_tasks(connection, keys)
            pending = load_pending(connection, keys, now=now).entries
            numbers = {left_run, *(task.run for task in tasks)}
            times = [account.time for account in accounts]
            times += [link.time for link in links] + [licence.time for licence in licences]
            numbers |= {end.run for time in times for end in (time.came, time.went) if end is not None}
            names = _load_names(connection, {each.group for each in links})
            proofs = _load_runs(connection, sorted(number for number in numbers if number is not None))
        return Departure(
            state=state,
            reason=desired.reason if desired is not None else "",
            how=(source.removed_as or "") if gone else state,
            left_at=left_at,
            left_run=left_run,
            upn=source.upn or "",
            accounts=accounts,
            links=links,
            licences=licences,
            tasks=tasks,
            pending=pending,
            runs=proofs,
            head=Chain(self._database).load_head(),
            names=names,
        )


def _find_beginning(accounts: Sequence[RecordTime]) -> datetime | None:
    """Return since when somebody's accounts are left as a leaver's, without a return in between."""
    begun: datetime | None = None
    for each in accounts:
        if each.leaving_as in LEAVER_STATES:
            begun = each.time.came.at if begun is None else begun
        elif not each.leaving_as:
            begun = None
    return begun


def _ended_since(went: Any, since: datetime | None) -> bool:
    return went is None or since is None or went.at is None or went.at >= since


def _load_names(connection: Connection, groups: Collection[str]) -> dict[str, str]:
    """Return the names of groups: those of now, or of a group that is gone the last one that was noted."""
    found: dict[str, str] = {}
    for statement in (_select_noted_names(groups), _select_names(groups)) if groups else ():
        found.update({row.bps_id: row.name for row in connection.execute(statement) if row.name})
    return found


def _load_tasks(connection: Connection, keys: Collection[int]) -> list[Task]:
    if not keys:
        return []
    return [
        Task(
            at=row.finished_at,
            run=row.run_id,
            action=row.action,
            account=row.account,
            substitute=row.substitute or "",
            until=decode_json(row.after).get("until") or "",
        )
        for row in connection.execute(_select_tasks(keys))
    ]


def _load_runs(connection: Connection, numbers: Sequence[int]) -> list[RunProof]:
    entry = (run_chain.c.run_id == runs.c.id) & (run_chain.c.kind == "run")
    statement = select(runs, run_chain.c.hash).outerjoin(run_chain, entry).where(among_values(runs.c.id, numbers))
    there = {row.id: row for row in connection.execute(statement)} if numbers else {}
    return [
        RunProof(id=number)
        if number not in there
        else RunProof(
            id=number,
            kind=there[number].kind,
            trigger=there[number].trigger,
            status=there[number].status,
            started_at=there[number].started_at,
            finished_at=there[number].finished_at,
            hash=there[number].hash,
            proof=decode_json(there[number].proof),
        )
        for number in numbers
    ]


def _select_noted_names(groups: Collection[str]) -> Select[Any]:
    return (
        select(target_principals.c.bps_id, record_history.c.name)
        .join(record_history, record_history.c.record_key == target_principals.c.key)
        .where(record_history.c.object == "group", among_values(target_principals.c.bps_id, groups))
        .order_by(record_history.c.key)
    )


def _select_names(groups: Collection[str]) -> Select[Any]:
    return (
        select(target_principals.c.bps_id, target_groups.c.name)
        .join(target_groups, target_groups.c.key == target_principals.c.key)
        .where(among_values(target_principals.c.bps_id, groups))
    )


def _select_tasks(keys: Collection[int]) -> Select[Any]:
    account, substitute = target_principals.alias("account"), target_principals.alias("substitute")
    return (
        select(changes, account.c.bps_id.label("account"), substitute.c.bps_id.label("substitute"))
        .join(account, account.c.key == changes.c.record_key)
        .outerjoin(substitute, substitute.c.key == changes.c.target_key)
        .where(changes.c.object == "substitution", changes.c.status == "done", among_values(changes.c.record_key, keys))
        .order_by(changes.c.run_id, changes.c.seq)
    )
