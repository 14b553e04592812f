"""The own record of privileges, beside what readings of the portal showed.

Its rows change only here: when something is sent, when the portal has answered, and with a reading.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from syncd.model.privilege import Place, Privilege, read_place, read_privilege
from syncd.plan.drift import Drift
from syncd.plan.group_names import Remembered
from syncd.plan.privileges import GONE, OURS, RULE_GROUP, HeldPrivilege, Settled
from syncd.store.db.database import reading
from syncd.store.db.markers import (
    PRIVILEGE_RULES,
    PRIVILEGES_REFUSED,
    load_marker,
    load_markers,
    save_marker,
)
from syncd.store.db.part import in_thread
from syncd.store.db.sql import decode_json, encode_json, insert_missing, upsert
from syncd.store.privileges import statements as ask
from syncd.store.privileges.copies import recognise
from syncd.store.privileges.places import Places
from syncd.store.privileges.readings import SHOWN_WITHIN, is_ours
from syncd.store.privileges.respelling import respell
from syncd.store.schema.tables import privilege_targets, privileges


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """What is known before a change is sent.

    ``listed``: the group has something at the place, by the last reading and what we wrote since; of something to be
    taken: a reading has named the group there for it alone. ``sent_before``: an earlier attempt may have given it.
    ``beside``: something by hand is or may be there. ``telling``: readings name
    groups, so that one which is missing says something. ``ours``: it was given by us, and may be taken. ``fresh``: it
    was given within the hour, so that readings may not show it yet.
    """

    listed: bool
    sent_before: bool
    beside: bool
    telling: bool
    ours: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleState:
    """What is known of the rules.

    ``groups``: which groups their names mean that a run has looked up, by name as `fold_name` has it; ``refused``: the
    portal does not let us give or take anything.
    """

    groups: Mapping[str, Remembered] = field(default_factory=dict)
    refused: bool = False


class Privileges(Places):
    """Its methods are called in the store's thread, or by commands."""

    @in_thread
    def recognise(self, mark: str) -> int | None:
        """Return how much may be by hand by now, for this store is a copy that was put back; None: it is the same.

        All of ours is beside something by hand then, and the readings of places are of another time. ``mark``: what the
        store is known by from now on.
        """
        return recognise(self._database, mark)

    # ---- rules and places -------------------------------------------------------------------------------------------

    @in_thread
    def load_meanings(self) -> dict[str, Any]:
        """Return what names in the rules were found to mean."""
        found: dict[str, Any] = decode_json(load_markers(self._database, PRIVILEGE_RULES).get(PRIVILEGE_RULES))
        return found

    @in_thread
    def save_meanings(self, meanings: Mapping[str, Any]) -> None:
        """Remember what names in the rules mean."""
        with self._database.transaction() as connection:
            save_marker(connection, PRIVILEGE_RULES, encode_json(dict(meanings)) if meanings else None)

    @in_thread
    def load_refusal(self) -> datetime | None:
        """Return when the portal last refused us for want of a scope; None when it let us since."""
        found = load_markers(self._database, PRIVILEGES_REFUSED).get(PRIVILEGES_REFUSED)
        return datetime.fromisoformat(found) if found else None

    @in_thread
    def note_refusal(self, at: datetime | None) -> None:
        """Remember a refusal for want of a scope; None: the portal let us."""
        with self._database.transaction() as connection:
            save_marker(connection, PRIVILEGES_REFUSED, None if at is None else at.isoformat())

    @in_thread
    def are_ours(self) -> bool:
        """Return whether anything is remembered of what rules gave."""
        return bool(self._database.load_value(ask.HAS_ANY))

    @in_thread
    def load_places_of(self, run_id: int) -> list[Place]:
        """Return the places of the changes of a plan."""
        fields = self._database.load_values(ask.SELECT_TARGETS_OF_RUN, {"run": run_id})
        found = {place.token: place for each in fields for place in (read_privilege(decode_json(each)).place,)}
        return [found[token] for token in sorted(found)]

    @in_thread
    def load_places(self) -> list[Place]:
        """Return the places of everything in the own record."""
        found = {each.place.token: each.place for each in self.load_own.blocking()}
        return [found[token] for token in sorted(found)]

    @in_thread
    def load_own(self) -> list[Privilege]:
        """Return what is in the own record of any group, each once."""
        found = {held.privilege.token: held.privilege for each in self.load_held().values() for held in each}
        return [found[token] for token in sorted(found)]

    @in_thread
    def respell(self, found: Collection[tuple[Privilege, Privilege]]) -> None:
        """Give privileges of the own record (the first of each pair) the identity that was found out since."""
        with self._database.transaction() as connection:
            for old, new in found:
                respell(connection, old, new)

    # ---- planning ---------------------------------------------------------------------------------------------------

    def intern(self, found: Iterable[Privilege]) -> dict[str, int]:
        """Return the number of each privilege by its token."""
        with self._database.transaction() as connection:
            return intern_privileges(connection, found)

    def load_held(self) -> dict[int, list[HeldPrivilege]]:
        """Return the own record, by group."""
        return _gather_held(self._database.load_rows(ask.SELECT_OWN))

    def load_failing(self) -> dict[int, dict[str, str]]:
        """Return why the last attempt to give or take something failed, by group and by token of the privilege."""
        found: dict[int, dict[str, str]] = {}
        for row in self._database.load_rows(ask.SELECT_FAILING):
            found.setdefault(row.record_key, {})[row.token] = row.error
        return found

    def load_owned_of(self, sources: Collection[int]) -> dict[int, list[int]]:
        """Return the groups of the portal (principals) that source groups want or own, by source group."""
        found: dict[int, list[int]] = {}
        for row in self._database.load_rows(ask.SELECT_GROUPS_OF, {"sources": sources}) if sources else ():
            if row.principal is not None and row.principal not in found.setdefault(row.source, []):
                found[row.source].append(row.principal)
        return found

    def load_holders(self) -> set[tuple[str, int]]:
        """Return (place, principal) of everybody who has something, by the last readings and our own writes."""
        return {(row[0], row[1]) for row in self._database.load_rows(ask.SELECT_ALL_HOLDERS)}

    def name_places(self, tokens: Collection[str]) -> dict[str, Place]:
        """Return these places, with their names as far as something was ever planned there."""
        with reading(self._database) as connection:
            return name_places(connection, tokens)

    def load_names(self, keys: Collection[int]) -> dict[int, str]:
        """Return the BPS ids of these groups and people (principals)."""
        return {row[0]: row[1] for row in self._database.load_rows(ask.SELECT_NAMES, {"keys": keys})} if keys else {}

    def forget(self, group: int, tokens: Collection[str]) -> None:
        """Drop what somebody took and no rule gives any more."""
        if tokens:
            with self._database.transaction() as connection:
                connection.execute(ask.FORGET_TOKENS, {"group": group, "tokens": tokens})

    # ---- applying ---------------------------------------------------------------------------------------------------

    @in_thread
    def begin(self, group: int, target: int, *, remove: bool, now: datetime) -> Sending:
        """Note what is about to be sent, so that a killed run knows of it, and return what is known of it."""
        one = {"group": group, "target": target}
        with self._database.transaction() as connection:
            place = connection.scalar(ask.SELECT_PLACE_OF, one)
            rows = connection.execute(ask.SELECT_BESIDE, {"group": group, "of": place}).all()
            mine = next((row for row in rows if row.target_key == target), None)
            listed = connection.scalar(ask.IS_HOLDER, {"group": group, "of": place}) is not None
            telling = bool(connection.scalar(ask.NAMES_GROUPS))
            if remove:
                shown, ours = mine is not None and bool(mine.shown), mine is not None and is_ours(mine)
                fresh = mine is not None and mine.written_at >= now - SHOWN_WITHIN
                return Sending(listed=shown, sent_before=True, beside=False, telling=telling, ours=ours, fresh=fresh)
            sent_before = mine is not None and mine.state in OURS
            others = [row for row in rows if row.target_key != target and row.state not in GONE]
            pure = any(map(is_ours, others))
            seen = listed or any(row.beside or row.state == "unsure" for row in others)  # in this run, it may be
            beside = bool(mine.beside) if mine is not None and sent_before else seen and not pure
            note = {"state": "sent", "beside": beside, "shown": False, "written_at": now}
            upsert(connection, privileges, [{"group_key": group, "target_key": target, **note}])
            known = listed or bool(others)
            return Sending(listed=known, sent_before=sent_before, beside=beside, telling=telling)

    @in_thread
    def settle(self, group: int, target: int, settled: Settled, *, now: datetime) -> None:
        """Write down what the portal said; None as a state: nothing is there by our doing.

        When something was taken, what the portal refused to give beside it (409) is asked for again: it is forgotten
        where no attempt of ours can have arrived.
        """
        one = {"group": group, "target": target}
        with self._database.transaction() as connection:
            if settled.state is not None:
                values = {"state": settled.state, "beside": settled.beside, "written_at": now}
                values |= {"shown": True} if settled.shown else {}
                connection.execute(ask.UPDATE, {**one, **values})
                return
            place = connection.scalar(ask.SELECT_PLACE_OF, one)
            connection.execute(ask.FORGET, one)
            if settled.outcome != "done":
                return
            here = {"group": group, "of": place}
            for statement in ask.ASK_AGAIN:
                connection.execute(statement, here)
            if not connection.execute(ask.SELECT_BESIDE, here).all():
                connection.execute(ask.FORGET_HOLDER, here)

    @in_thread
    def is_ready_group(self, group: int) -> bool:
        """Return whether a group is ours and synchronised."""
        return bool(self._database.load_value(ask.IS_READY, {"group": group}))

    @in_thread
    def waits_for(self, run_id: int, group: int, target: int) -> bool:
        """Return whether what takes the place of a privilege, at the same place, is not given yet."""
        return bool(self._database.load_value(ask.HAS_UNGIVEN, {"run": run_id, "group": group, "target": target}))

    @in_thread
    def has_arrived(self, group: int, target: int) -> bool:
        """Return whether the successor of a renamed group has this privilege."""
        return bool(self._database.load_value(ask.HAS_ARRIVED, {"group": group, "target": target}))

    @in_thread
    def would_stay(self, group: int) -> bool:
        """Return whether a group may have something that rules gave it: it is not deleted before that is gone.

        Also where no rule takes it, for it may be by hand: then a person does.
        """
        return bool(self._database.load_value(ask.WOULD_STAY, {"group": group}))

    # ---- what others did --------------------------------------------------------------------------------------------

    def list_taken(self) -> list[Drift]:
        """Return what somebody took from groups of ours, and nobody has accepted as taken."""
        return [
            Drift(object="privilege", bps_id=row.bps_id, field=str(read_privilege(decode_json(row.fields))),
                  ours=row.bps_id, theirs=None, source_key=row.source_key, source_id=row.id,
                  fields=decode_json(row.fields))
            for row in self._database.load_rows(ask.SELECT_TAKEN)
        ]  # fmt: skip

    @in_thread
    def accept_taken(self) -> None:
        """Take it as it is that somebody took these privileges."""
        with self._database.transaction() as connection:
            connection.execute(ask.LET_GO_ALL)


def intern_privileges(connection: Connection, found: Iterable[Privilege]) -> dict[str, int]:
    """Return the number of each privilege by its token, within a transaction; names are brought up to date."""
    given = {privilege.token: privilege for privilege in found}
    if not given:
        return {}
    rows = [
        {"token": token, "place": privilege.place.token, "fields": encode_json(privilege.values())}
        for token, privilege in sorted(given.items())
    ]
    insert_missing(connection, privilege_targets, rows)
    return {row[0]: row[1] for row in connection.execute(ask.SELECT_TARGETS, {"tokens": given.keys()})}


def name_places(connection: Connection, tokens: Collection[str]) -> dict[str, Place]:
    """Return these places, with their names as far as something was ever planned there, within a transaction."""
    found = {token: read_place(token) for token in tokens}
    for row in connection.execute(ask.SELECT_FIELDS_AT, {"tokens": tokens}) if tokens else ():
        found[row.place] = read_privilege(decode_json(row.fields)).place
    return found


def load_rule_state(connection: Connection) -> RuleState:
    """Return what is known of the rules, within a transaction."""
    meanings: dict[str, Any] = decode_json(load_marker(connection, PRIVILEGE_RULES))
    groups = {
        key.removeprefix(RULE_GROUP): Remembered(id=known, called="")
        for key, known in meanings.items()
        if key.startswith(RULE_GROUP)
    }
    return RuleState(groups=groups, refused=load_marker(connection, PRIVILEGES_REFUSED) is not None)


def load_held_of(connection: Connection, groups: Collection[int]) -> dict[int, list[HeldPrivilege]]:
    """Return the own record of these groups, within a transaction."""
    return _gather_held(connection.execute(ask.SELECT_OWN_OF, {"groups": groups}).all() if groups else ())


def _gather_held(rows: Iterable[Any]) -> dict[int, list[HeldPrivilege]]:
    found: dict[int, list[HeldPrivilege]] = {}
    for row in rows:
        privilege = read_privilege(decode_json(row.fields))
        held = HeldPrivilege(privilege=privilege, state=row.state, beside=row.beside, shown=row.shown)
        found.setdefault(row.group_key, []).append(held)
    return found
