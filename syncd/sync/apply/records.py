"""Sending the changes of accounts and groups, and of whom a group loses: one call each, and what its answer means."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from syncd.clock import Clock
from syncd.errors import UNCLEAR, Conflict, Forbidden, NotFound, RemoteError
from syncd.model.change import Outcome, Phase, Placed, PlannedChange
from syncd.model.licence import LicenceHolder
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.model.target import Account, Creation, GroupDetail, MembersResult, PortalGroup, fold
from syncd.plan.handover import send_fields
from syncd.plan.rules import Rules
from syncd.plan.words import say
from syncd.sync.apply.circuit import Kind
from syncd.sync.apply.managers import NamedManagers
from syncd.sync.apply.substitutions import Substituting
from syncd.sync.portal.licences import is_remembered, read_reason
from syncd.sync.portal.protection import Protecting
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store


class RecordWrites:
    """Sends what concerns one account or one group. Not reused."""

    def __init__(
        self,
        portal: Portal,
        store: Store,
        *,
        rules: Rules,
        clock: Clock,
        substituting: Substituting,
        weigh: Callable[[str, Kind, RemoteError], Awaitable[None]],
        surprised: Callable[[], None],
    ) -> None:
        """``surprised`` is told when the portal lacks a record that it had, or has one that it lacked."""
        self._portal = portal
        self._store = store
        self._rules = rules
        self._clock = clock
        self._substituting = substituting
        self._weigh = weigh
        self._surprised = surprised
        self._protecting = Protecting(portal, store, clock=clock, protect=rules.scope.protect)
        self._sent_before: set[int] = set()
        self._unready: set[int] = set()
        self.licences = False
        """Licences are looked after: no account is deleted that still has one."""
        self.managers = NamedManagers(portal, store, clock=clock)

    async def prepare(self, run_id: int, phase: Phase, batch: Sequence[Placed]) -> None:
        """Remember what is about to be sent, and find out what is needed to send it."""
        marked = [placed for placed in batch if is_remembered(placed[0].change)]
        if marked:
            records = [record for planned, record, _ in marked if planned.change.action == "create"]
            self._sent_before |= await self._store.outcomes.load_started_before(run_id, records)
            await self._store.outcomes.mark(run_id, [placed[0].seq for placed in marked], "started")
        if phase is Phase.USERS:
            await self.managers.prepare(run_id, batch)
        if phase is Phase.MANAGERS:
            there = await self._store.plans.load_managers(run_id, batch)
            strange = (each[0] for each in batch if each[0].change.after.get("manager") and each[0].seq not in there)
            self._unready |= {planned.seq for planned in strange}
            needed = [_find_needed(placed) for placed in batch]
            ready = await self._store.plans.load_ready(set().union(*needed))
            for (planned, _, _), accounts in zip(batch, needed, strict=True):
                if not (accounts <= ready.keys() and ready[fold(planned.change.bps_id)]):
                    self._unready.add(planned.seq)

    async def send(self, placed: Placed) -> Outcome:
        """Send one change of a record; raises what its answer means for more than it."""
        planned, record, _ = placed
        change = planned.change
        if change.action == "create":
            return await self._create(planned, record)
        if change.action == "delete":
            return await self._delete(planned, record)
        if planned.seq in self._unready:
            return _defer(planned, "the account or its manager's is not ready in the portal yet")
        if not (fields := send_fields(change)):
            return Outcome(planned.seq, "done")  # the record has another owner alone: nothing to write
        write = self._portal.update_account if change.object == "user" else self._portal.update_group
        try:
            await write(change.bps_id, fields)
        except (NotFound, Conflict) as error:
            return await self._explain_update(planned, error)
        return Outcome(planned.seq, "done")

    async def _explain_update(self, planned: PlannedChange, error: RemoteError) -> Outcome:
        """Look at a record whose update was refused: is it gone, not ready, or is the update wrong?"""
        bps_id = planned.change.bps_id
        if planned.change.object == "user":
            account = await self._portal.fetch_account(bps_id)
            if account is None and not isinstance(error, NotFound):
                return Outcome(planned.seq, "failed", read_reason(error))
            await self._store.inventory.store_account(bps_id, account, now=self._clock.now())
            there, status = account is not None, account.status if account else ""
        else:
            detail = await self._portal.fetch_group(bps_id)
            await self._store.inventory.store_group_detail(bps_id, detail, now=self._clock.now())
            there, status = detail is not None, detail.group.status if detail else ""
        if not there:
            self._surprised()
            return _defer(planned, "the portal does not list this record yet; retried in the next run")
        if status == "WaitingForSynchronization":
            return _defer(planned, "WEBCON still synchronises the record")
        return Outcome(planned.seq, "failed", read_reason(error))

    async def _create(self, planned: PlannedChange, record: int) -> Outcome:
        change = planned.change
        after = change.after
        sent_before = record in self._sent_before
        if change.object == "user":
            fields = {name: value for name, value in after.items() if value is not None}
            account = Account(bps_id=change.bps_id, **fields)  # type: ignore[arg-type]  # an account's fields, by name
            result = await self.managers.create(account, planned.run_id, planned.seq, sent_before=sent_before)
        else:
            group = PortalGroup(bps_id=change.bps_id, name=after.get("name"), email=after.get("email"))
            result = await self._portal.create_group(group, sent_before=sent_before)
        if result is not Creation.EXISTS:
            return Outcome(planned.seq, "done")
        self._surprised()
        if change.object == "user":
            found = await self._portal.fetch_account(change.bps_id)
            await self._store.inventory.store_account(change.bps_id, found, now=self._clock.now())
        else:
            detail: GroupDetail | None = await self._portal.fetch_group(change.bps_id)
            await self._store.inventory.store_group_detail(change.bps_id, detail, now=self._clock.now())
        if sent_before:
            claimed = await self._store.outcomes.claim_started(now=self._clock.now(), only=record)
            if claimed:
                return _defer(planned, "an earlier run had created it: the next run updates it")
        return _defer(planned, "the portal has had a record with this BPS id before: the next run plans its adoption")

    async def _delete(self, planned: PlannedChange, record: int) -> Outcome:
        change = planned.change
        if tied := await self._protecting.find_reason(change):
            return Outcome(planned.seq, "deferred", say(Cause.TIED, what=tied))
        if not await self._has_arrived(planned, record):
            return _defer(planned, "the renamed person's new account is not there yet")
        if waits := await self._find_what_would_stay(planned, record):
            return Outcome(planned.seq, "deferred", waits)
        delete = self._portal.delete_account if change.object == "user" else self._portal.delete_group
        await delete(change.bps_id)
        return Outcome(planned.seq, "done")

    async def _find_what_would_stay(self, planned: PlannedChange, record: int) -> Reason:
        """Return why an account or a group cannot go yet: what hangs on it would stay behind."""
        if planned.change.object == "group":  # of privileges nobody but the own record tells which are ours
            return say(Cause.PRIVILEGES_STAY) if await self._store.privileges.would_stay(record) else NO_REASON
        waits = await self._find_what_accounts_leave(planned, record)
        return say(Cause.NOT_READY, what=waits) if waits else NO_REASON

    async def _find_what_accounts_leave(self, planned: PlannedChange, record: int) -> str:
        """Return what of an account would stay behind: its licences and its substitution; the portal is asked anew."""
        change = planned.change
        try:
            holder = await self._fetch_holder(change.bps_id)
            if await self._substituting.is_arranged(record, change.bps_id):
                return "the substitution of its tasks has not ended yet"
        except UNCLEAR as error:
            await self._weigh(change.bps_id, (change.action, change.object), error)
            return f"what hangs on it could not be read again: {error}"
        if holder is not None:
            await self._store.licences.store_holders([holder], now=self._clock.now())
        if (holder is not None or self.licences) and await self._store.licences.has_licences(record):
            return "its licences are not revoked yet, and would keep their seats"
        return ""

    async def _fetch_holder(self, bps_id: str) -> LicenceHolder | None:
        try:
            return await self._portal.fetch_holder(bps_id)
        except Forbidden:
            if self._rules.licences:
                raise
            return None  # whoever has no rules need not give us the scope

    async def _has_arrived(self, planned: PlannedChange, record: int) -> bool:
        """Return whether an old account may go: it was not left by a rename, or the new one is there."""
        change = planned.change
        if change.object == "group" or change.reason.cause is not Cause.RENAMED or change.source_key is None:
            return True
        return await self._store.outcomes.has_current_account(change.source_key, record)

    async def unlink(self, placed: Sequence[Placed]) -> list[Outcome]:
        """Take members or owners out of one group."""
        change, group = placed[0][0].change, placed[0][1]
        if not await self._store.outcomes.is_owned_group(group):
            return [_defer(planned, "its group is not ours (yet)") for planned, _, _ in placed]
        if change.reason.cause is Cause.GROUP_RENAMED and not await self._store.outcomes.has_group_successor(group):
            waits = "the renamed group's new record is not there yet"
            return [_defer(planned, waits) for planned, _, _ in placed]
        late: set[int] = set()
        for planned, _, target in placed:
            if planned.change.reason.cause is not Cause.RENAMED or target is None:
                continue
            if not await self._store.outcomes.has_successor(target):
                late.add(planned.seq)
        ids = [planned.change.target for planned, _, _ in placed if planned.seq not in late]
        result = MembersResult()
        if ids:
            owners = change.object == "ownership"
            write = self._portal.remove_owners if owners else self._portal.remove_members
            try:
                result = await write(change.bps_id, ids)
            except NotFound:
                self._surprised()
                await self._store.inventory.store_group_detail(change.bps_id, None, now=self._clock.now())
                gone = "the portal does not list this group yet; retried in the next run"
                return [_defer(planned, gone) for planned, _, _ in placed]
        pending, failed = set(result.pending), dict(result.failed)
        outcomes = []
        for planned, _, _ in placed:
            member = planned.change.target
            if planned.seq in late:
                waits = "the renamed person's new account is not there yet"
                outcomes.append(_defer(planned, waits))
            elif member in failed:
                outcomes.append(Outcome(planned.seq, "failed", Reason(text=failed[member])))
            elif member in pending:
                outcomes.append(_defer(planned, "WEBCON still synchronises the group"))
            else:
                outcomes.append(Outcome(planned.seq, "done"))
        return outcomes


def _defer(planned: PlannedChange, what: str) -> Outcome:
    return Outcome(planned.seq, "deferred", say(Cause.NOT_READY, what=what))


def _find_needed(placed: Placed) -> set[str]:
    """Return the (folded) accounts that must be there before a manager can be set: the person's and the manager's."""
    change = placed[0].change
    return {fold(bps_id) for bps_id in (change.bps_id, change.after.get("manager")) if bps_id}
