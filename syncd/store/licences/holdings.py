"""Licences in the store: who should have which, who has which, and whose doing that is.

Who is covered by a licence rule is kept like the groups of the scope, as a role of its own for each rule, and brought
up to date for whoever was touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, and_, bindparam, delete, exists, func, or_, select, update

from syncd.model.change import Change
from syncd.model.licence import LicenceList, Seats, subtract_processes
from syncd.model.reason import Cause
from syncd.model.target import fold
from syncd.plan.licences import LICENCE_ROLE, STAYS_MANUAL, HeldLicence, PersonView, name_licence_role
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.markers import LICENCES_READ, load_marker, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import among, decode_json, encode_json, insert_missing, upsert
from syncd.store.db.stops import stopped
from syncd.store.inventory.bps_ids import intern_bps_ids, iterate_folded
from syncd.store.inventory.claims import is_taken, leaver_state
from syncd.store.licences.seats import find_doubted
from syncd.store.licences.taken import GONE, MOVING, forget_notes, is_held, load_taken, note_taken
from syncd.store.schema.tables import (
    changes,
    desired_users,
    scope_members,
    target_groups,
    target_licences,
    target_principals,
    target_users,
    touched_principals,
)

_GRANTED = "granted"
_IS_HELD = is_held()


class Licences(StorePart):
    """Reads and writes licences for the planner and for a reading of the portal."""

    # ---- reading the portal -----------------------------------------------------------------------------------------

    @in_thread
    def store_licences(self, found: LicenceList | None, seats: Sequence[Seats] = (), *, now: datetime) -> set[str]:
        """Take over who holds which licences; None: the portal assigns them by itself.

        A licence of ours that is still there stays ours. One that an earlier run sent without learning how it ended is
        ours when it is there now. Of the returned types the list lacks licences that ``seats`` still count as
        assigned: of these nobody's is gone.
        """
        t = target_licences
        with self._database.transaction() as connection:
            save_marker(connection, LICENCES_READ, "perpetual" if found is None else "yes")
            if found is None:
                return set()
            keys = intern_bps_ids(connection, [holder.bps_id for holder in found.holders], spelling=True)
            fresh = {
                (keys[fold(holder.bps_id)], licence.type): encode_json(dict(licence.settings))
                if licence.settings is not None
                else None
                for holder in found.holders
                for licence in holder.licences
            }
            held = select(t.c.key, t.c.type, t.c.settings).where(_IS_HELD)
            there = {(row[0], row[1]): row[2] for row in connection.execute(held)}
            gone = there.keys() - fresh.keys() if found.complete else set[tuple[int, str]]()
            doubted = find_doubted(connection, gone=gone, listed=fresh, seats=seats)
            gone = {(key, kind) for key, kind in gone if kind not in doubted}
            _move_started(connection, gone)
            note_taken(connection, gone, now=now)
            rows = [
                {"key": key, "type": kind, "settings": shown}
                for (key, kind), shown in sorted(fresh.items(), key=lambda item: item[0])
                if (key, kind) not in there or there[key, kind] != shown
            ]
            upsert(connection, t, rows)
            arrived = [{"row_key": row["key"], "kind": row["type"]} for row in rows]
            if arrived:  # what was on its way to a renamed person is there, or what was taken is given by hand
                notes = or_(*(t.c.origin == note for note in (MOVING, *GONE)))
                at_hand = t.c.key == bindparam("row_key"), t.c.type == bindparam("kind"), notes
                connection.execute(update(t).where(*at_hand).values(origin=None), arrived)
            if found.complete and not doubted:
                _claim_started(connection)
            return doubted

    def are_licences_known(self) -> bool:
        """Return whether everybody's licences were read once, and the portal lets them be assigned."""
        with reading(self._database) as connection:
            return load_marker(connection, LICENCES_READ) == "yes"

    @in_thread
    def are_licences_perpetual(self) -> bool:
        """Return whether the portal assigns licences by itself."""
        with reading(self._database) as connection:
            return load_marker(connection, LICENCES_READ) == "perpetual"

    @in_thread
    def owns_licences(self) -> bool:
        """Return whether licences that we granted are held, as far as we know."""
        with reading(self._database) as connection:
            return bool(connection.scalar(select(exists().where(target_licences.c.origin == _GRANTED))))

    # ---- who should have which --------------------------------------------------------------------------------------

    def forget_licence_roles(self, rules: int) -> None:
        """Drop what is remembered of rules that there are no more."""
        with self._database.transaction() as connection:
            old = scope_members.c.role.startswith(LICENCE_ROLE), scope_members.c.role >= name_licence_role(rules)
            connection.execute(delete(scope_members).where(*old))

    def iterate_people(self, run_id: int, rules: int, *, touched_only: bool) -> Iterator[list[PersonView]]:
        """Yield everybody whom a rule covers, who has a licence of ours, or whose account this plan deletes."""
        few = select(touched_principals.c.key) if touched_only else None
        for rows in iterate_folded(self._database, _select_people(run_id, rules), few):
            with reading(self._database) as connection:
                held = _load_held(connection, [row.key for row in rows])
                taken = load_taken(connection, [row.key for row in rows])
                moving = _load_moving(connection, [row.d_key for row in rows if row.d_key is not None])
            yield [
                _make_person(
                    row, held=held.get(row.key, []), moving=moving.get(row.key, []), removed=taken.get(row.key, {})
                )
                for row in rows
            ]


def load_holding(connection: Connection, keys: Collection[int]) -> dict[int, list[HeldLicence]]:
    """Return the licences that people hold, for explanations."""
    return _load_held(connection, keys)


# ---- outcomes, within the transaction that records them --------------------------------------------------------------


def record_licences(connection: Connection, done: Sequence[tuple[int, Change]]) -> None:
    """Take over changes of licences that were carried out, each with the key of its person."""
    forget_notes(connection, [key for key, change in done if change.object == "user" and change.action != "update"])
    for key, change in done:
        if change.object != "licence":
            continue
        if change.action == "grant":
            _note_granted(connection, key, change)
        elif change.after or not _move(connection, key, change.target, change.source_key):
            part = (change.before.get("processes") or "") if change.after else ""
            _forget_licence(connection, key, change.target, processes=part)


def _note_granted(connection: Connection, key: int, change: Change) -> None:
    """A licence was granted, or its settings were written: it is ours, unless it was given by hand before and stays."""
    manual = change.reason.cause in STAYS_MANUAL
    text = encode_json(dict(change.after))
    row = {
        "key": key,
        "type": change.target,
        "settings": text if change.after else None,
        "written": None if manual else text,
        "origin": None if manual else _GRANTED,
    }
    upsert(connection, target_licences, [row])
    if manual:  # it may have been on its way to a name in between
        others = select(target_users.c.key).where(
            target_users.c.source_key == change.source_key, target_users.c.key != key
        )
        t = target_licences
        connection.execute(delete(t).where(t.c.key.in_(others), t.c.type == change.target, t.c.origin == MOVING))


def _move(connection: Connection, key: int, kind: str, source_key: int | None) -> bool:
    """Remember a licence given by hand that a renamed person's old account gave up as on its way to the new one.

    Without this, a run that was killed between the two would leave that person without. False: it is nothing to move.
    """
    t, d = target_licences, desired_users
    one = t.c.key == key, t.c.type == kind
    row = connection.execute(select(t.c.settings, t.c.origin).where(*one)).first()
    if row is None or row.origin == _GRANTED:
        return False
    heir = connection.scalar(
        select(d.c.principal_key).where(d.c.key == source_key, d.c.state == "wanted", d.c.principal_key != key)
    )
    if heir is None:
        return False
    connection.execute(delete(t).where(*one))
    insert_missing(connection, t, [{"key": heir, "type": kind, "settings": row.settings, "origin": MOVING}])
    return True


def _move_started(connection: Connection, gone: Collection[tuple[int, str]]) -> None:
    """Do the same for what an earlier run took from an old account without learning how it ended."""
    started = select(changes.c.record_key, changes.c.target, changes.c.source_key).where(
        changes.c.object == "licence", changes.c.action == "revoke", changes.c.status == "started"
    )
    for key, kind, source_key in connection.execute(started).all():
        if (key, kind) in gone:
            _move(connection, key, kind, source_key)


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
    started = and_(changes.c.object == "licence", changes.c.status == "started")
    rows = connection.execute(
        select(changes.c.record_key, changes.c.target, changes.c.after)
        .where(started, changes.c.action == "grant", changes.c.cause.not_in([cause.value for cause in STAYS_MANUAL]))
        .order_by(changes.c.run_id)
    ).all()
    for record, kind, after in rows:
        t = target_licences
        connection.execute(
            update(t)
            .where(t.c.key == record, t.c.type == kind, t.c.origin.is_(None))
            .values(origin=_GRANTED, written=after or encode_json({}))
        )
    connection.execute(update(changes).where(started).values(stopped("dropped", say(Cause.SETTLED_LATER))))


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
    held = exists().where(target_licences.c.key == p.c.key, _IS_HELD)
    ours = exists().where(target_licences.c.key == p.c.key, target_licences.c.origin == _GRANTED)
    noted = exists().where(target_licences.c.key == p.c.key, target_licences.c.origin.in_(GONE))
    # Who was renamed may take along what was given by hand to the account before, or is on the way from there.
    former = target_users.alias("former")
    left = (
        exists()
        .where(target_licences.c.key == former.c.key)
        .where(former.c.source_key == d.c.key, former.c.key != p.c.key)
    )
    moving = exists().where(target_licences.c.key == p.c.key, target_licences.c.origin == MOVING)
    leaving = held & t.c.key.is_not(None) & (owner.c.state == "wanted") & (owner.c.principal_key != p.c.key)
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
        .where(
            or_(
                d.c.key.is_not(None) & (role.is_not(None) | left | moving),
                ours,
                noted,
                leaving,
                t.c.key.is_not(None) & held & deletion,
            )
        )
    )  # fmt: skip


def _load_held(connection: Connection, keys: Collection[int]) -> dict[int, list[HeldLicence]]:
    if not keys:
        return {}
    t = target_licences
    found: dict[int, list[HeldLicence]] = {}
    for key, kind, shown, written, origin in connection.execute(
        select(t).where(among(t.c.key, keys, connection), _IS_HELD).order_by(t.c.key, t.c.type)
    ):
        found.setdefault(key, []).append(
            HeldLicence(
                type=kind,
                ours=origin is not None,
                shown=decode_json(shown) if shown is not None else None,
                written=decode_json(written) if written is not None else None,
            )
        )
    return found


def _load_moving(connection: Connection, people: Collection[int]) -> dict[int, list[HeldLicence]]:
    """Return, by the principal that these source users want, what was given by hand to their accounts before.

    That is what an old account still has, and what is on its way from there.
    """
    if not people:
        return {}
    t, d, former = target_licences, desired_users, target_users.alias("former")
    wanted = d.c.state == "wanted", among(d.c.key, people, connection)
    left = (
        select(d.c.principal_key, t.c.type, t.c.settings)
        .join(former, (former.c.source_key == d.c.key) & (former.c.key != d.c.principal_key))
        .join(t, t.c.key == former.c.key)
        .where(*wanted, former.c.origin.is_not(None), (t.c.origin.is_(None)) | (t.c.origin == MOVING))
    )
    coming = (
        select(d.c.principal_key, t.c.type, t.c.settings)
        .join(t, t.c.key == d.c.principal_key)
        .where(*wanted, t.c.origin == MOVING)
    )
    found: dict[int, dict[str, HeldLicence]] = {}
    for key, kind, shown in connection.execute(left.union_all(coming)):
        found.setdefault(key, {})[kind] = HeldLicence(
            type=kind, ours=False, shown=decode_json(shown) if shown else None
        )
    return {key: [licences[kind] for kind in sorted(licences)] for key, licences in found.items()}


def _make_person(
    row: Any, *, held: Sequence[HeldLicence], moving: Sequence[HeldLicence], removed: Mapping[str, bool]
) -> PersonView:
    wanted = row.d_key is not None
    return PersonView(
        key=row.key,
        bps_id=row.bps_id,
        source_key=row.d_key if wanted else row.source_key,
        wanted=wanted,
        state="wanted" if wanted else leaver_state(row.owner_state, row.owner_principal, row.key, row.blocked),
        exists=row.t_key is not None,
        owned=row.origin is not None,
        taken=bool(row.taken),
        rule=int(row.role.removeprefix(LICENCE_ROLE)) if row.role is not None else None,
        deleting=bool(row.deleting) and row.t_key is not None,
        licences=tuple(held),
        moving=tuple(moving),
        removed=removed,
    )
