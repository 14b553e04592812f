"""Licences in the store: who should have which, who has which, and whose doing that is.

Who is covered by a licence rule is kept like the groups of the scope, as a role of its own for each rule, and brought
up to date for whoever was touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Select, and_, delete, exists, func, or_, select, update

from syncd.model.change import Change
from syncd.model.licence import LicenceList, Seats, subtract_processes
from syncd.model.target import fold
from syncd.plan.licences import LICENCE_ROLE, HeldLicence, PersonView, name_licence_role
from syncd.store.database import Database, reading
from syncd.store.facts import LICENCE_SEATS, LICENCES_READ, load_fact, save_fact
from syncd.store.pairing import is_taken, leaver_state
from syncd.store.principals import intern_principals
from syncd.store.rows import among, decode_json, encode_json, upsert
from syncd.store.tables import (
    changes,
    desired_users,
    scope_members,
    target_groups,
    target_licences,
    target_principals,
    target_users,
    touched_principals,
)

_CHUNK = 1000


class Licences:
    """Reads and writes licences for the planner and for a reading of the portal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # ---- reading the portal -----------------------------------------------------------------------------------------

    def store_licences(self, found: LicenceList | None) -> None:
        """Take over who holds which licences; None: the portal assigns them by itself.

        A licence of ours that is still there stays ours. One that an earlier run sent without learning how it ended is
        ours when it is there now.
        """
        with self._database.transaction() as connection:
            save_fact(connection, LICENCES_READ, "perpetual" if found is None else "yes")
            if found is None:
                return
            keys = intern_principals(connection, [holder.bps_id for holder in found.holders], spelling=True)
            fresh = {
                (keys[fold(holder.bps_id)], licence.type): encode_json(dict(licence.settings))
                if licence.settings is not None
                else None
                for holder in found.holders
                for licence in holder.licences
            }
            t = target_licences
            there = {(row[0], row[1]): row[2] for row in connection.execute(select(t.c.key, t.c.type, t.c.settings))}
            gone = there.keys() - fresh.keys() if found.complete else ()
            for key, kind in sorted(gone):
                connection.execute(delete(t).where(t.c.key == key, t.c.type == kind))
            rows = [
                {"key": key, "type": kind, "settings": shown}
                for (key, kind), shown in sorted(fresh.items(), key=lambda item: item[0])
                if (key, kind) not in there or there[key, kind] != shown
            ]
            upsert(connection, t, rows)
            _claim_started(connection)

    def are_licences_known(self) -> bool:
        """Return whether everybody's licences were read once, and the portal lets them be assigned."""
        with reading(self._database) as connection:
            return load_fact(connection, LICENCES_READ) == "yes"

    def are_licences_perpetual(self) -> bool:
        """Return whether the portal assigns licences by itself."""
        with reading(self._database) as connection:
            return load_fact(connection, LICENCES_READ) == "perpetual"

    # ---- who should have which --------------------------------------------------------------------------------------

    def forget_licence_roles(self, rules: int) -> None:
        """Drop what is remembered of rules that there are no more."""
        with self._database.transaction() as connection:
            old = scope_members.c.role.startswith(LICENCE_ROLE), scope_members.c.role >= name_licence_role(rules)
            connection.execute(delete(scope_members).where(*old))

    def iterate_people(self, run_id: int, rules: int, *, touched_only: bool) -> Iterator[list[PersonView]]:
        """Yield everybody whom a rule covers, who has a licence of ours, or whose account this plan deletes."""
        statement = _select_people(run_id, rules)
        if touched_only:
            statement = statement.where(target_principals.c.key.in_(select(touched_principals.c.key)))
        folded, last = target_principals.c.bps_fold, ""
        while True:
            with reading(self._database) as connection:
                rows = connection.execute(statement.where(folded > last).order_by(folded).limit(_CHUNK)).all()
                held = _load_held(connection, [row.key for row in rows])
            if not rows:
                return
            yield [_make_person(row, tuple(held.get(row.key, ()))) for row in rows]
            last = rows[-1].bps_fold

    # ---- seats ------------------------------------------------------------------------------------------------------

    def has_other_licences(self, seats: Sequence[Seats]) -> bool:
        """Return whether the portal has assigned more or fewer seats than we know of: somebody did it by hand."""
        with reading(self._database) as connection:
            known, counted = _load_seats(connection), _count_held(connection)
        return any(
            kind.type not in known or kind.assigned != counted.get(kind.type, 0) + known[kind.type][1] for kind in seats
        )

    def store_seats(self, seats: Sequence[Seats]) -> None:
        """Remember the seats, and how many of them the list does not show; call it after `store_licences`."""
        with self._database.transaction() as connection:
            counted = _count_held(connection)
            known = {kind.type: (kind.total, kind.assigned - counted.get(kind.type, 0)) for kind in seats}
            save_fact(connection, LICENCE_SEATS, encode_json({name: list(numbers) for name, numbers in known.items()}))

    def load_free_seats(self) -> dict[str, int]:
        """Return the free seats of each type whose number is known, by the last word of the portal and our writes."""
        with reading(self._database) as connection:
            counted = _count_held(connection)
            return {
                kind: total - counted.get(kind, 0) - unseen for kind, (total, unseen) in _load_seats(connection).items()
            }


def load_holding(connection: Connection, keys: Collection[int]) -> dict[int, list[HeldLicence]]:
    """Return the licences that people hold, for explanations."""
    return _load_held(connection, keys)


# ---- outcomes, within the transaction that records them --------------------------------------------------------------


def record_licences(connection: Connection, done: Sequence[tuple[int, Change]]) -> None:
    """Take over changes of licences that were carried out, each with the key of its person."""
    for key, change in done:
        if change.object != "licence":
            continue
        if change.action == "grant":
            _own_granted(connection, key, change.target, dict(change.after))
        else:
            part = (change.before.get("processes") or "") if change.after else ""
            _forget_licence(connection, key, change.target, processes=part)


def _own_granted(connection: Connection, key: int, kind: str, settings: dict[str, str | None]) -> None:
    """A licence was granted, or its settings were written: it is ours."""
    text = encode_json(settings)
    row = {"key": key, "type": kind, "settings": text if settings else None, "written": text, "origin": "granted"}
    upsert(connection, target_licences, [row])


def _forget_licence(connection: Connection, key: int, kind: str, *, processes: str) -> None:
    """A licence was taken, or only these processes of it."""
    t = target_licences
    one = t.c.key == key, t.c.type == kind
    if processes:
        row = connection.execute(select(t.c.settings, t.c.written).where(*one)).first()
        there = decode_json(row.settings or row.written) if row else {}
        text = encode_json({"processes": subtract_processes(there.get("processes") or "", processes)})
        connection.execute(update(t).where(*one).values(settings=text, written=text))
    else:
        connection.execute(delete(t).where(*one))


def _claim_started(connection: Connection) -> None:
    """Recognise licences that we sent without learning how it ended, now that everybody's licences were read."""
    started = and_(changes.c.object == "licence", changes.c.action == "grant", changes.c.status == "started")
    rows = connection.execute(
        select(changes.c.record_key, changes.c.target, changes.c.after).where(started).order_by(changes.c.run_id)
    ).all()
    for record, kind, after in rows:
        t = target_licences
        connection.execute(
            update(t)
            .where(t.c.key == record, t.c.type == kind, t.c.origin.is_(None))
            .values(origin="granted", written=after or encode_json({}))
        )
    if rows:
        connection.execute(
            update(changes).where(started).values(status="dropped", error="a later run found out how it ended")
        )


# ---- statements -----------------------------------------------------------------------------------------------------


def _select_people(run_id: int, rules: int) -> Select[Any]:
    p, d, t = target_principals, desired_users, target_users
    owner = desired_users.alias("owner")
    roles = [name_licence_role(rule) for rule in range(rules)]
    role = (
        select(func.min(scope_members.c.role))
        .where(scope_members.c.key == d.c.key, scope_members.c.role.in_(roles))
        .scalar_subquery()
    )
    deletion = exists().where(
        changes.c.run_id == run_id,
        changes.c.record_key == p.c.key,
        changes.c.action == "delete",
        changes.c.object == "user",
    )
    held = exists().where(target_licences.c.key == p.c.key)
    ours = exists().where(target_licences.c.key == p.c.key, target_licences.c.origin.is_not(None))
    return (
        select(
            p.c.key, p.c.bps_id, p.c.bps_fold, d.c.key.label("d_key"), t.c.key.label("t_key"), t.c.origin,
            t.c.source_key, owner.c.state.label("owner_state"), owner.c.principal_key.label("owner_principal"),
            role.label("role"), deletion.label("deleting"), is_taken(owner.c.principal_key, "user").label("blocked"),
            exists().where(target_groups.c.key == p.c.key).label("taken"),
        )
        .select_from(
            p.outerjoin(d, (d.c.principal_key == p.c.key) & (d.c.state == "wanted"))
            .outerjoin(t, t.c.key == p.c.key)
            .outerjoin(owner, owner.c.key == t.c.source_key)
        )
        .where(or_(d.c.key.is_not(None) & role.is_not(None), ours, t.c.key.is_not(None) & held & deletion))
    )  # fmt: skip


def _load_held(connection: Connection, keys: Collection[int]) -> dict[int, list[HeldLicence]]:
    if not keys:
        return {}
    t = target_licences
    found: dict[int, list[HeldLicence]] = {}
    for key, kind, shown, written, origin in connection.execute(
        select(t).where(among(t.c.key, keys, connection)).order_by(t.c.key, t.c.type)
    ):
        found.setdefault(key, []).append(
            HeldLicence(
                kind,
                origin is not None,
                decode_json(shown) if shown is not None else None,
                decode_json(written) if written is not None else None,
            )
        )
    return found


def _make_person(row: Any, held: tuple[HeldLicence, ...]) -> PersonView:
    wanted = row.d_key is not None
    return PersonView(
        row.key,
        row.bps_id,
        row.d_key if wanted else row.source_key,
        wanted,
        "wanted" if wanted else leaver_state(row.owner_state, row.owner_principal, row.key, row.blocked),
        row.t_key is not None,
        row.origin is not None,
        bool(row.taken),
        int(row.role.removeprefix(LICENCE_ROLE)) if row.role is not None else None,
        bool(row.deleting) and row.t_key is not None,
        held,
    )


def _load_seats(connection: Connection) -> dict[str, tuple[int, int]]:
    found: dict[str, list[int]] = decode_json(load_fact(connection, LICENCE_SEATS))
    return {kind: (numbers[0], numbers[1]) for kind, numbers in sorted(found.items())}


def _count_held(connection: Connection) -> dict[str, int]:
    t = target_licences
    return {row[0]: row[1] for row in connection.execute(select(t.c.type, func.count()).group_by(t.c.type))}
