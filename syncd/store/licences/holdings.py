"""Licences in the store: who should have which, who has which, and whose doing that is.

Who is covered by a licence rule is kept like the groups of the scope, as a role of its own for each rule, and brought
up to date for whoever was touched.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from syncd.model.change import Change
from syncd.model.licence import LicenceHolder, LicenceList, Seats, subtract_processes
from syncd.model.reason import Cause
from syncd.model.target import fold
from syncd.plan.licences import LICENCE_ROLE, STAYS_MANUAL, HeldLicence, PersonView, name_licence_role
from syncd.plan.words import say
from syncd.store.db.database import reading
from syncd.store.db.markers import LICENCES_READ, load_marker, load_markers, save_marker
from syncd.store.db.part import StorePart, in_thread
from syncd.store.db.sql import decode_json, encode_json, insert_missing, upsert
from syncd.store.db.stops import stopped
from syncd.store.inventory.bps_ids import intern_bps_ids, iterate_folded
from syncd.store.inventory.claims import leaver_state
from syncd.store.licences.history import note_done, note_read
from syncd.store.licences.holding_statements import (
    CLAIM,
    DELETE_ONE,
    FORGET_MOVING,
    FORGET_ROLES,
    GRANTED,
    OWNS_LICENCES,
    PEOPLE,
    SELECT_ALL_HELD,
    SELECT_HEIR,
    SELECT_HELD,
    SELECT_MOVING,
    SELECT_ONE,
    SELECT_ROLES,
    SELECT_STARTED_GRANTS,
    SELECT_STARTED_GRANTS_OF,
    SELECT_STARTED_REVOKES,
    SETTLE_NOTES,
    STOP_STARTED,
    STOP_STARTED_OF,
    TOUCHED,
    UPDATE_ONE,
)
from syncd.store.licences.seats import find_doubted
from syncd.store.licences.taken import MOVING, forget_notes, load_taken, note_taken
from syncd.store.schema.tables import target_licences


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
        with self._database.transaction() as connection:
            first = load_marker(connection, LICENCES_READ) != "yes"
            save_marker(connection, LICENCES_READ, "perpetual" if found is None else "yes")
            if found is None:
                return set()
            _, fresh = _read_holders(connection, found.holders)
            there = {(row[0], row[1]): row[2] for row in connection.execute(SELECT_ALL_HELD)}
            gone = there.keys() - fresh.keys() if found.complete else set[tuple[int, str]]()
            doubted = find_doubted(connection, gone=gone, listed=fresh, seats=seats)
            gone = {(key, kind) for key, kind in gone if kind not in doubted}
            _take_over(connection, fresh, there=there, gone=gone, first=first, now=now)
            if found.complete and not doubted:
                _claim_started(connection)
            return doubted

    @in_thread
    def store_holders(self, holders: Sequence[LicenceHolder], *, now: datetime) -> None:
        """Take over what single people hold, all of it, as `store_licences` does for everybody."""
        with self._database.transaction() as connection:
            keys, fresh = _read_holders(connection, holders)
            held = connection.execute(SELECT_HELD, {"keys": keys})
            there = {(row.key, row.type): row.settings for row in held}
            _take_over(connection, fresh, there=there, gone=there.keys() - fresh.keys(), now=now)
            _claim_started(connection, keys)

    def are_licences_known(self) -> bool:
        """Return whether everybody's licences were read once, and the portal lets them be assigned."""
        return load_markers(self._database, LICENCES_READ).get(LICENCES_READ) == "yes"

    @in_thread
    def are_licences_perpetual(self) -> bool:
        """Return whether the portal assigns licences by itself."""
        return load_markers(self._database, LICENCES_READ).get(LICENCES_READ) == "perpetual"

    @in_thread
    def owns_licences(self) -> bool:
        """Return whether licences that we granted are held, as far as we know."""
        return bool(self._database.load_value(OWNS_LICENCES))

    # ---- who should have which --------------------------------------------------------------------------------------

    def forget_licence_roles(self, rules: int) -> None:
        """Drop what is remembered of rules that there are no more."""
        with self._database.transaction() as connection:
            connection.execute(FORGET_ROLES, {"first": name_licence_role(rules)})

    def iterate_people(self, run_id: int, rules: int, *, touched_only: bool) -> Iterator[list[PersonView]]:
        """Yield everybody whom a rule covers, who has a licence of ours, or whose account this plan deletes."""
        few = TOUCHED if touched_only else None
        roles = [name_licence_role(rule) for rule in range(rules)]
        asked = {"run": run_id, "roles": roles}
        for rows in iterate_folded(self._database, PEOPLE, few, asked):
            with reading(self._database) as connection:
                held = _load_held(connection, [row.key for row in rows])
                taken = load_taken(connection, [row.key for row in rows])
                moving = _load_moving(connection, [row.d_key for row in rows if row.d_key is not None])
                unwanted = [row.source_key for row in rows if row.d_key is None and row.source_key is not None]
                covered = _load_covered(connection, unwanted, roles)
            yield [
                _make_person(
                    row,
                    held=held.get(row.key, []),
                    moving=moving.get(row.key, []),
                    removed=taken.get(row.key, {}),
                    covered=covered.get(row.source_key, ()),
                )
                for row in rows
            ]


def load_holding(connection: Connection, keys: Collection[int]) -> dict[int, list[HeldLicence]]:
    """Return the licences that people hold, for explanations."""
    return _load_held(connection, keys)


def _read_holders(
    connection: Connection, holders: Sequence[LicenceHolder]
) -> tuple[list[int], dict[tuple[int, str], str | None]]:
    """Return the keys of these people, and what they hold: the settings by person and type."""
    keys = intern_bps_ids(connection, [holder.bps_id for holder in holders], spelling=True)
    fresh = {
        (keys[fold(holder.bps_id)], licence.type): encode_json(dict(licence.settings))
        if licence.settings is not None
        else None
        for holder in holders
        for licence in holder.licences
    }
    return [keys[fold(holder.bps_id)] for holder in holders], fresh


def _take_over(
    connection: Connection,
    fresh: Mapping[tuple[int, str], str | None],
    *,
    there: Mapping[tuple[int, str], str | None],
    gone: Collection[tuple[int, str]],
    first: bool = False,
    now: datetime,
) -> None:
    _move_started(connection, gone)
    note_taken(connection, gone, now=now)
    rows = [
        {"key": key, "type": kind, "settings": shown}
        for (key, kind), shown in sorted(fresh.items(), key=lambda item: item[0])
        if (key, kind) not in there or there[key, kind] != shown
    ]
    upsert(connection, target_licences, rows)
    arrived = [{"holder": row["key"], "of": row["type"]} for row in rows]
    if arrived:  # what was on its way to a renamed person is there, or what was taken is given by hand
        connection.execute(SETTLE_NOTES, arrived)
    other = {key for (key, kind), shown in fresh.items() if (key, kind) not in there or there[key, kind] != shown}
    note_read(connection, other | {key for key, _ in gone}, first=first, now=now)


# ---- outcomes, within the transaction that records them --------------------------------------------------------------


def record_licences(connection: Connection, run_id: int, done: Sequence[tuple[int, Change]], *, now: datetime) -> None:
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
    note_done(connection, run_id, [key for key, change in done if change.object == "licence"], now=now)


def _note_granted(connection: Connection, key: int, change: Change) -> None:
    """A licence was granted, or its settings were written: it is ours, unless it was given by hand before and stays."""
    manual = change.reason.cause in STAYS_MANUAL
    text = encode_json(dict(change.after))
    row = {
        "key": key,
        "type": change.target,
        "settings": text if change.after else None,
        "written": None if manual else text,
        "origin": None if manual else GRANTED,
    }
    upsert(connection, target_licences, [row])
    if manual:  # it may have been on its way to a name in between
        moving = {"person": change.source_key, "holder": key, "of": change.target}
        connection.execute(FORGET_MOVING, moving)


def _move(connection: Connection, key: int, kind: str, source_key: int | None) -> bool:
    """Remember a licence given by hand that a renamed person's old account gave up as on its way to the new one.

    Without this, a run that was killed between the two would leave that person without. False: it is nothing to move.
    """
    one = {"holder": key, "of": kind}
    row = connection.execute(SELECT_ONE, one).first()
    if row is None or row.origin == GRANTED:
        return False
    heir = connection.scalar(SELECT_HEIR, {"person": source_key, "holder": key})
    if heir is None:
        return False
    connection.execute(DELETE_ONE, one)
    insert_missing(
        connection, target_licences, [{"key": heir, "type": kind, "settings": row.settings, "origin": MOVING}]
    )
    return True


def _move_started(connection: Connection, gone: Collection[tuple[int, str]]) -> None:
    """Do the same for what an earlier run took from an old account without learning how it ended."""
    people = {"people": {key for key, _ in gone}}
    for key, kind, source_key in connection.execute(SELECT_STARTED_REVOKES, people).all() if gone else ():
        if (key, kind) in gone:
            _move(connection, key, kind, source_key)


def _forget_licence(connection: Connection, key: int, kind: str, *, processes: str) -> None:
    """A licence was taken, or only these processes of it."""
    one = {"holder": key, "of": kind}
    if processes:
        row = connection.execute(SELECT_ONE, one).first()
        there = decode_json(row.settings or row.written) if row else {}
        text = encode_json({"processes": subtract_processes(there.get("processes") or "", processes)})
        connection.execute(UPDATE_ONE, {**one, "settings": text, "written": text})
    else:
        connection.execute(DELETE_ONE, one)


def _claim_started(connection: Connection, people: Collection[int] | None = None) -> None:
    """Recognise licences that we sent without learning how it ended, now that they were read: all, or some people's."""
    asked = {} if people is None else {"people": people}
    for record, kind, after in connection.execute(
        SELECT_STARTED_GRANTS if people is None else SELECT_STARTED_GRANTS_OF, asked
    ).all():
        connection.execute(CLAIM, {"holder": record, "of": kind, "sent": after or encode_json({})})
    settled = stopped("dropped", say(Cause.SETTLED_LATER))
    connection.execute(STOP_STARTED if people is None else STOP_STARTED_OF, {**asked, **settled})


def _load_held(connection: Connection, keys: Collection[int]) -> dict[int, list[HeldLicence]]:
    found: dict[int, list[HeldLicence]] = {}
    for key, kind, shown, written, origin in connection.execute(SELECT_HELD, {"keys": keys}) if keys else ():
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
    found: dict[int, dict[str, HeldLicence]] = {}
    for key, kind, shown in connection.execute(SELECT_MOVING, {"people": people}):
        found.setdefault(key, {})[kind] = HeldLicence(
            type=kind, ours=False, shown=decode_json(shown) if shown else None
        )
    return {key: [licences[kind] for kind in sorted(licences)] for key, licences in found.items()}


def _load_covered(connection: Connection, people: Collection[int], roles: Collection[str]) -> dict[int, set[int]]:
    """Return the places of the licence rules that cover each of these source users."""
    found: dict[int, set[int]] = {}
    asked = {"people": people, "roles": roles}
    for key, role in connection.execute(SELECT_ROLES, asked) if people and roles else ():
        found.setdefault(key, set()).add(int(role.removeprefix(LICENCE_ROLE)))
    return found


def _make_person(
    row: Any,
    *,
    held: Sequence[HeldLicence],
    moving: Sequence[HeldLicence],
    removed: Mapping[str, bool],
    covered: Collection[int],
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
        covered=frozenset() if wanted else frozenset(covered),
    )
