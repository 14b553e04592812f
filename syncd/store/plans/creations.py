"""Creations level by level: managers before those who report to them, and what became of managers in creations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, bindparam, exists, func, or_, select, update

from syncd.model.change import Change, Phase, Placed
from syncd.model.reason import Cause
from syncd.model.target import MANAGER_MANNERS, ManagerManner, fold
from syncd.plan.words import say
from syncd.store.db.markers import MANAGER_MANNER, load_markers, save_marker
from syncd.store.db.parameters import among_bound, json_field
from syncd.store.db.part import in_thread
from syncd.store.db.sql import decode_json, encode_json
from syncd.store.plans.change_statements import PAGE, place_rows
from syncd.store.plans.changes import Plans
from syncd.store.plans.wave_statements import SHIFT_PARTED
from syncd.store.schema.tables import changes, desired_users, record_history, target_principals, target_users


class Creations(Plans):
    """Its methods are called in the store's thread."""

    def load_manager_manner(self) -> ManagerManner | None:
        """Return how the portal wants managers of new accounts, None as long as none was created with one."""
        return MANAGER_MANNERS.get(load_markers(self._database, MANAGER_MANNER).get(MANAGER_MANNER, ""))

    @in_thread
    def save_manager_manner(self, manner: ManagerManner) -> None:
        """Remember that."""
        with self._database.transaction() as connection:
            save_marker(connection, MANAGER_MANNER, manner)

    @in_thread
    def load_level(self, run_id: int, *, after: int, limit: int) -> list[Placed]:
        """Return the next planned changes of accounts, without creations whose manager is still to be created."""
        asked = {"run": run_id, "phase": int(Phase.USERS), "after": after, "most": limit}
        return self._load_places(_LEVEL, asked)

    @in_thread
    def load_managers(self, run_id: int, placed: Sequence[Placed]) -> dict[int, bool]:
        """Return those changes (by place in the plan) whose manager is there, each with whether it is synchronised.

        It is there when the account is that of the manager whom the tenant names, and nobody else's. An undo names the
        one before, whom the tenant names no more: that account is there unless it was ever somebody else's as well.
        """
        named = {each[0].seq: each[0].change for each in placed if each[0].change.after.get("manager")}
        if not named:
            return {}
        folds = {fold(change.after["manager"] or "") for change in named.values()}
        there = {row[0]: row for row in self._database.load_rows(_ACCOUNTS, {"run": run_id, "folds": folds})}
        people = {change.source_key for change in named.values() if change.source_key is not None}
        keys = {row[0]: row[1] for row in self._database.load_rows(_MANAGER_KEYS, {"people": people})}
        back = {fold(change.after["manager"] or "") for change in named.values() if change.reason.cause == Cause.UNDONE}
        back -= {row[0] for row in self._database.load_rows(_PASSED, {"folds": back})} if back else set()
        found: dict[int, bool] = {}
        for seq, change in named.items():
            name = fold(change.after["manager"] or "")
            row = there.get(name)
            if row is not None and change.reason.cause == Cause.UNDONE and name in back:
                found[seq] = row.status == "Synchronized"
                continue
            wanted = keys.get(change.source_key) if change.source_key is not None else None
            if row is not None and (row.source_key == wanted or wanted is None or not (row.source_key or row.made)):
                found[seq] = row.status == "Synchronized"
        return found

    @in_thread
    def part_managers(self, run_id: int, seqs: Sequence[int]) -> None:
        """Take the managers out of these creations, and plan them for the second pass."""
        with self._database.transaction() as connection:
            asked = {"run": run_id, "seqs": seqs}
            parted: list[tuple[Change, int, int | None]] = []
            for seq, record, source, text in connection.execute(_CREATIONS, asked).all():
                after = decode_json(text)
                manager = after.pop("manager", None)
                if manager is None:
                    continue
                connection.execute(_REWRITE, {"run": run_id, "place": seq, "text": encode_json(after)})
                update_of = Change(
                    phase=Phase.MANAGERS,
                    action="update",
                    object="user",
                    bps_id="",
                    source_key=source,
                    before={"manager": None},
                    after={"manager": manager},
                    reason=say(Cause.COMPLETES_CREATION),
                )
                parted.append((update_of, record, None))
            last = connection.scalar(_LAST, {"run": run_id}) or 0
        if parted:
            self.add_changes.blocking(run_id, last + 1, parted)
            with self._database.transaction() as connection:
                connection.execute(SHIFT_PARTED, {"run": run_id, "first": last + 1})


# ---- statements -----------------------------------------------------------------------------------------------------

_RUN = changes.c.run_id == bindparam("run")


def _select_level() -> Select[Any]:
    person, manager, other = desired_users.alias("person"), desired_users.alias("manager"), changes.alias("other")
    waits = exists().where(
        person.c.key == changes.c.source_key,
        manager.c.key == person.c.manager_key,
        other.c.record_key == manager.c.principal_key,
        other.c.run_id == bindparam("run"),
        other.c.phase == int(Phase.USERS),
        other.c.action == "create",
        other.c.status.in_(("planned", "started")),
    )
    free = or_(changes.c.action != "create", json_field(changes.c.after, "manager").is_(None), ~waits)
    return place_rows(PAGE.where(changes.c.status == "planned", free))


def _select_accounts() -> Select[Any]:
    made = exists().where(
        _RUN, changes.c.record_key == target_principals.c.key, changes.c.action == "create", changes.c.object == "user"
    )
    return (
        select(target_principals.c.bps_fold, target_users.c.status, target_users.c.source_key, made.label("made"))
        .join(target_users, target_users.c.key == target_principals.c.key)
        .where(among_bound(target_principals.c.bps_fold, "folds", textual=True))
    )


def _select_passed() -> Select[Any]:
    record = target_principals.c.key
    handed = exists().where(changes.c.record_key == record, changes.c.action == "handover", changes.c.object == "user")
    owners = select(func.count(record_history.c.source_key.distinct())).where(
        record_history.c.record_key == record, record_history.c.object == "user"
    )
    return select(target_principals.c.bps_fold).where(
        among_bound(target_principals.c.bps_fold, "folds", textual=True), or_(handed, owners.scalar_subquery() > 1)
    )


_LEVEL = _select_level()
_ACCOUNTS = _select_accounts()
_PASSED = _select_passed()
_MANAGER_KEYS = select(desired_users.c.key, desired_users.c.manager_key).where(
    among_bound(desired_users.c.key, "people")
)
_CREATIONS = select(changes.c.seq, changes.c.record_key, changes.c.source_key, changes.c.after).where(
    _RUN, among_bound(changes.c.seq, "seqs"), changes.c.action == "create"
)
_REWRITE = update(changes).where(_RUN, changes.c.seq == bindparam("place")).values(after=bindparam("text"))
_LAST = select(func.max(changes.c.seq)).where(_RUN)
