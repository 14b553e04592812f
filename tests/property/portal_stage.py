"""The stage of the portal machine: a tenant, a portal on the wire, a store, and runs that can go wrong anywhere.

Whatever the portal carried out in a run is judged here by the rules of the manual: by the ledger of what is ours, by
the truth of the tenant, by the guard, and by what a person released.
"""

from __future__ import annotations

import asyncio
import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, cast

from sqlalchemy import select

from syncd.errors import StoreError, Unavailable, UnknownObject
from syncd.model.change import OutcomeStatus
from syncd.model.reason import Cause
from syncd.model.run import RunRecord, RunRequest
from syncd.plan.planfile import Head, encode_plan
from syncd.sandbox.portal.licences import Holder
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.store.db.database import open_database, reading
from syncd.store.directory.delta_log import BEHIND
from syncd.store.schema.tables import changes, source_objects, target_groups, target_principals, target_users
from syncd.store.store import Store
from syncd.sync.planning.proposal import Proposal
from syncd.sync.pull.pull import Pull
from syncd.sync.push import Push
from syncd.sync.runs import Runs, Sides
from tests.contract.sandbox_client import MovableClock
from tests.fakes.rules import make_apply_options
from tests.fakes.source import FakeSource
from tests.fakes.store import watch_store
from tests.fakes.wired import Asked, Wire, WiredPortal
from tests.property.machines import OurClock
from tests.property.portal_comparison import find_kept
from tests.property.portal_oracle import FROZEN, LEAVERS, Config, Truth, find_group_id, find_id
from tests.stores import template

STRANGER, STRANGERS = "stranger@portal", "strangers@portal"
HAND = "hand@portal"


class Killed(BaseException):
    """The process is no more."""


@dataclass
class Trouble:
    """What goes wrong in a run, and at which call of which kind; a kill ends everything from there on."""

    kind: str = ""
    at: int = 0
    calls: int = 0
    dead: bool = False

    def strike(self, where: str) -> None:
        """Fail if it is time, and always once the process is dead."""
        if self.dead:
            raise Killed
        if self.kind not in (where, f"kill {where}", f"cancel {where}"):
            return
        self.calls += 1
        if self.kind.startswith("kill") and self.calls == self.at:
            self.dead = True
            raise Killed
        if self.kind.startswith("cancel") and self.calls == self.at:
            raise asyncio.CancelledError
        if self.kind == where and self.calls >= self.at:
            raise StoreError("no store") if where == "store" else Unavailable(f"no {where}", status=503)


class Troubled:
    """Passes everything on to the tenant, until trouble strikes."""

    def __init__(self, inner: Any, trouble: Trouble, where: str) -> None:
        self._inner, self._trouble, self._where = inner, trouble, where

    def __getattr__(self, name: str) -> Any:
        wrapped = getattr(self._inner, name)
        if self._where != "source" or not name.startswith("fetch_"):
            return wrapped

        async def call(*args: Any, **kwargs: Any) -> Any:
            self._trouble.strike(self._where)
            return await wrapped(*args, **kwargs)

        return call


@dataclass
class Changed:
    """One change of a run as the run log has it."""

    asked: Asked
    status: str
    cause: str


@dataclass
class Ended:
    """What a run was, and what the portal carried out in it. ``record`` None: killed or refused without a record."""

    record: RunRecord | None
    run_id: int
    asked: list[Asked]
    changes: list[Changed]

    def planned(self, *statuses: str) -> set[Asked]:
        """Return the changes with these outcomes."""
        return {change.asked for change in self.changes if not statuses or change.status in statuses}


@dataclass
class Stage:
    """Everything together."""

    folder: Path
    knobs: PortalKnobs
    seed: int
    page_size: int
    config: Config = field(default_factory=Config)

    def __post_init__(self) -> None:
        shutil.copy(template(), self.folder / "store.db")
        self.clock = MovableClock()
        """The time of all the world."""
        self.our_clock = OurClock(self.clock)
        self.runner = asyncio.Runner()
        self.database = open_database(f"sqlite:///{self.folder / 'store.db'}")
        self.source = FakeSource(random.Random(self.seed), self.page_size, repeat=True)
        self.source.tracks_owners = self.config.owners
        self.wire = Wire(self.clock, self.knobs, self.seed)
        self.wire.service.licences.totals = {"User": 50, "PowerUser": 50, "ExternalUser": 50}
        self.store = Store(self.database)
        self.names: dict[str, set[str]] = {}
        self.group_names: dict[str, set[str]] = {}
        self.ours: set[str] = set()
        """BPS ids of accounts and groups that syncd made or took over."""
        self.since: dict[tuple[str, str], datetime] = {}
        """Since when an account (or a group) stands where it stands, as far as syncd may have known."""
        self.by_hand: set[tuple[str, ...]] = set()
        self.handed: set[str] = set()
        """Records that the last run meant to pass to another source object."""
        """What somebody changed in the portal since a run over everything set it back."""
        self.accepted: set[tuple[str, ...]] = set()
        self.manual: set[tuple[str, str]] = set()
        self.rejected: set[Asked] = set()
        self.refused_heirs: set[tuple[str, str]] = set()
        """Records, and who is not to have them: a person rejected that handover."""
        self.taken: dict[Asked, datetime] = {}
        """What ordinary runs took away unasked, and when last."""
        self.frozen_at = 0.0
        self.kept: set[tuple[str, ...]] = set()
        """What the last run left to people although the tenant had taken it."""
        self.seen_before: Truth | None = None
        self.deeds: dict[int, list[Asked]] = {}
        """What the portal carried out in each run."""
        self.foreign = self.picture_foreign()

    def close(self) -> None:
        """Let go of everything."""
        self.runner.close()
        self.database.close()

    # ---- what is there ----------------------------------------------------------------------------------------------

    def truth(self) -> Truth:
        """Return the tenant as it is now, and remember the names that people and groups bear."""
        for key, user in self.source.users.items():
            self.names.setdefault(key, set()).update({find_id(user, self.config)} - {""})
        for key, group in self.source.groups.items():
            self.group_names.setdefault(key, set()).add(find_group_id(group))
        return Truth(self.source, self.config, self.names, self.group_names, self.load_owners())

    def accounts(self) -> dict[str, Any]:
        """Return the portal's accounts by folded BPS id; two of them that differ in case only are a failure."""
        found = {key.casefold(): account for key, account in self.wire.store.accounts.items()}
        assert len(found) == len(self.wire.store.accounts), f"a double: {sorted(self.wire.store.accounts)}"
        return found

    def groups(self) -> dict[str, Any]:
        """Return the portal's groups in the same way."""
        return {key.casefold(): group for key, group in self.wire.store.groups.items()}

    def places(self, kind: str) -> dict[str, set[str]]:
        """Return the folded members (or owners) of each group."""
        relation = "members" if kind == "membership" else "owners"
        return {key: {one.casefold() for one in getattr(group, relation)} for key, group in self.groups().items()}

    def licences(self) -> dict[str, set[str]]:
        """Return who holds which types."""
        holders = self.wire.service.licences.holders
        return {key.casefold(): set(holder.licences) for key, holder in holders.items() if holder.licences}

    def settings(self, bps_id: str, kind: str) -> dict[str, Any]:
        """Return the settings with which somebody holds a licence, as the portal keeps them."""
        holders = self.wire.service.licences.holders
        return next((holder.licences[kind] for key, holder in holders.items() if key.casefold() == bps_id), {})

    def give_by_hand(self, bps_id: str, kind: str) -> None:
        """Let somebody give a licence in the portal."""
        account = self.accounts()[bps_id]
        holders = self.wire.service.licences.holders
        key = self.wire.store.key(account.bps_id)
        holders.setdefault(key, Holder(account.bps_id, account.bps_id)).licences.setdefault(kind, {})
        self.manual.add((bps_id, kind))

    def picture(self, ids: set[str] | frozenset[str]) -> dict[str, object]:
        """Return everything of these accounts and groups, to the byte."""
        places = {kind: self.places(kind) for kind in ("membership", "ownership")}
        found: dict[str, object] = {}
        for bps_id in ids:
            account, group = self.accounts().get(bps_id), self.groups().get(bps_id)
            found[bps_id] = (
                None if account is None else (account.bps_id, dict(account.values), account.origin, account.active),
                group and (group.bps_id, group.name, group.email, tuple(group.members), tuple(group.owners)),
                sorted(self.licences().get(bps_id, ())),
                {kind: {key for key, people in place.items() if bps_id in people} for kind, place in places.items()},
            )  # fmt: skip
        return found

    def picture_foreign(self) -> dict[str, object]:
        """Return the strangers, and the substitutions that people have arranged among themselves."""
        entries = self.wire.service.substitutions.entries
        arranged = {number: dict(entry) for number, entry in entries.items() if number >= 1000}
        return self.picture(frozenset({STRANGER, STRANGERS})) | {"arranged": arranged}

    # ---- runs -------------------------------------------------------------------------------------------------------

    def open_sides(self, trouble: Trouble, config: Config) -> Sides:
        """Return the use cases as a fresh process would open them."""
        rules = config.make()
        source = Troubled(self.source, trouble, "source")
        store = watch_store(self.database, partial(trouble.strike, "store"), inline=True)
        portal = self.wire.open(members_per_request=3, page_size=4)
        polls = 0

        def stopping() -> bool:
            nonlocal polls
            polls += 1
            return trouble.kind == "stop" and polls >= trouble.at

        def note(name: str, number: int) -> None:
            """Count nothing."""

        pull = Pull(cast(Any, source), store, clock=self.our_clock, progress=note, stopping=stopping)
        options = make_apply_options(concurrency=2, members_per_request=3)
        push = Push(portal, store, rules=rules, clock=self.our_clock, options=options, progress=note, stopping=stopping)
        return Sides(pull, push, {"bps": portal})

    def run(
        self,
        request: RunRequest,
        trouble: Trouble | None = None,
        *,
        proposal: Proposal | None = None,
        config: Config | None = None,
        allowed: Callable[[Asked], bool] | None = None,
    ) -> Ended:
        """Run once, and judge everything that the portal carried out.

        ``allowed``: which removals a person released; None: those of an ordinary run, that the guard may let through.
        """
        trouble, config = trouble or Trouble(), config or self.config
        if self.clock.elapsed - self.frozen_at > BEHIND.total_seconds() / 2:
            self.source.thaw()
        truth = self.truth()
        self._note_standing(truth)
        guarded = self.picture(config.protect)
        population = len(self.accounts()), len(self.groups())
        sides = self.open_sides(trouble, config)
        runs = Runs(
            watch_store(self.database, partial(trouble.strike, "store"), inline=True),
            self.our_clock,
            lambda now: config.quiet,
        )
        last, owners = self.newest(), self.load_owners()
        held = set() if request.approval else self.load_held()[1]
        places = {kind: self.places(kind) for kind in ("membership", "ownership")}
        self.wire.asked.clear()
        self.wire.taken.clear()

        async def work() -> RunRecord | None:
            try:
                return await runs.execute(request, sides, proposal=proposal)
            except (Killed, StoreError, UnknownObject, asyncio.CancelledError):
                return None
            finally:
                for task in asyncio.all_tasks() - {cast(Any, asyncio.current_task())}:
                    task.cancel()

        with self._struck(trouble):
            record = self.runner.run(work())
        Store(self.database).runs.interrupt_open.blocking()
        run_id = self.newest()
        ended = Ended(record, run_id, list(self.wire.asked), self.load_changes(run_id) if run_id > last else [])
        self.handed = {each.bps_id for each in self._list_begun(ended, request) if each.action == "handover"}
        tried = Truth(self.source, config, self.names, self.group_names, owners, frozenset(self.handed))
        asks = Truth(self.source, config, self.names, self.group_names, owners)
        unasked = allowed is None and request.approval is None and proposal is None
        if unasked:
            self._judge_handovers(asks, config)
            assert not held & {each for each in ended.asked if each.removes}, "what was held was done unasked"
            self._judge_returns(ended, places)
        self._judge(ended, request, config, tried, allowed, population)
        if unasked:
            self._judge_day(ended, config)
        self._judge_owners(owners, ended)
        assert self.picture(config.protect) == guarded, "the protect list was touched"
        assert self.picture_foreign() == self.foreign, "a stranger was touched"
        self.accounts()
        self.deeds[run_id] = ended.asked
        whole = request.pull != "none" and request.write and config.mode != "plan_only"
        if whole and record is not None and record.status in ("succeeded", "partial", "held"):
            self.seen_before = self.truth()
            self._forget_standing(truth)
            if unasked and not trouble.kind:
                self._judge_kept(record, ended)
        if proposal is None and request.write and config.drift == "adopt" and _looked_for_drift(record):
            self.accepted |= self.by_hand
        return ended

    @staticmethod
    def _list_begun(ended: Ended, request: RunRequest) -> set[Asked]:
        """Return what a run meant to do and was let: of one that looks its plan, else what it began, or perhaps did.

        One that ended before it asked the guard leaves what it planned up to then, and has sent nothing of it.
        """
        touched = {name for each in ended.asked for name in (each.bps_id, each.target)}
        meant = ended.planned() - ended.planned("held", "dropped")
        unsent = {each for each in ended.planned("planned") if request.write and each.bps_id not in touched}
        return meant - unsent

    def load_held(self) -> tuple[int, set[Asked]]:
        """Return the newest run that holds something, and what; 0 when there is none."""
        found = Store(self.database).decisions.load_holding_runs(now=self.our_clock.now())
        return (
            (found[-1], {change.asked for change in self.load_changes(found[-1], ("held",))}) if found else (0, set())
        )

    @contextmanager
    def _struck(self, trouble: Trouble) -> Iterator[None]:
        self.wire.before = lambda method, target: trouble.strike("portal")
        self.wire.after = lambda method, target: trouble.strike("late portal")
        try:
            yield
        finally:
            self.wire.before = self.wire.after = None

    def newest(self) -> int:
        """Return the number of the newest run."""
        found = Store(self.database).runs.load_runs(1)
        return found[0].id if found else 0

    def load_changes(self, run_id: int, statuses: tuple[OutcomeStatus, ...] | None = None) -> list[Changed]:
        """Return the changes of a run."""
        targets = target_principals.alias()
        wanted = (
            select(changes, target_principals.c.bps_id, targets.c.bps_id.label("person"))
            .join_from(changes, target_principals, target_principals.c.key == changes.c.record_key)
            .outerjoin(targets, targets.c.key == changes.c.target_key)
            .where(changes.c.run_id == run_id)
        )
        with reading(self.database) as connection:
            rows = connection.execute(wanted).all()
        return [
            Changed(
                Asked(
                    row.action, row.object, row.bps_id.casefold(), row.person.casefold() if row.person else row.target
                ),
                row.status,
                row.cause,
            )
            for row in rows
            if statuses is None or row.status in statuses
        ]

    def make_file(self, run_id: int) -> list[bytes]:
        """Return the lines of the plan file of a run."""
        store = self.store
        head = Head(
            WiredPortal.address.fget(self.wire.open()),  # type: ignore[attr-defined]  # a property's own function
            run_id,
            "2026-03-02T09:00:00Z",
            self.config.make().fingerprint(),
            store.plan_files.load_directory_parts.blocking(),
        )
        records = (
            record for chunk in store.plan_files.iterate_concerned(run_id, ("planned", "held")) for record in chunk
        )
        return list(encode_plan(head, records, store.plan_files.iterate_file_changes(run_id)))

    # ---- since when -------------------------------------------------------------------------------------------------

    def _standing(self, truth: Truth) -> set[tuple[str, str]]:
        found = {(key, state) for key in self.accounts() for state in truth.find_states(key)}
        return found | {(key, state) for key in self.groups() for state in truth.find_group_states(key)}

    def _note_standing(self, truth: Truth) -> None:
        for where in self._standing(truth):
            self.since.setdefault(where, self.clock.now())  # of all the world: no grace ends because ours is wrong

    def _forget_standing(self, truth: Truth) -> None:
        now = self._standing(truth)
        self.since = {where: when for where, when in self.since.items() if where in now}

    # ---- the judge --------------------------------------------------------------------------------------------------

    def _judge(
        self,
        ended: Ended,
        request: RunRequest,
        config: Config,
        truth: Truth,
        allowed: Callable[[Asked], bool] | None,
        population: tuple[int, int],
    ) -> None:
        asked = ended.asked
        if not request.write or config.mode == "plan_only":
            assert not asked, f"a run that only looks wrote {asked}"
        sendable = {each.asked for each in ended.changes if each.status not in ("held", "dropped")}
        adopted = {each.bps_id for each in self._list_begun(ended, request) if each.action == "adopt"}
        given_back = {c.asked.bps_id for c in ended.changes if c.cause == Cause.GIVES_BACK and c.status == "done"}
        for each in asked:
            assert _is_planned(each, sendable), f"{each} was in no plan that may be carried out"
        self._judge_adoptions(adopted, request, config, truth, released=allowed is not None)
        removals = [each for each in asked if each.removes]
        for each in asked:
            if each.object in ("user", "group") and each.action in ("update", "delete"):
                assert each.bps_id in self.ours | adopted, f"{each}: it is not ours"
            if each.object in ("membership", "ownership"):
                assert each.bps_id in self.ours | adopted, f"{each}: the group is not ours"
            if each.removes:
                assert config.mode == "sync", f"{each} under {config.mode}"
                if allowed is not None:
                    assert allowed(each), f"{each} was not released"
                else:
                    assert not config.quiet, f"{each} in quiet hours"
                    self._judge_removal(each, truth, config, removals, lenient=request.only is not None)
            if each.action == "create" and each.object == "user" and allowed is None and request.only is None:
                assert each.bps_id in truth.wanted.values(), f"{each}: nobody wants it"
            self._own(each)
        if allowed is None:
            returned = {change.asked for change in ended.changes if change.cause == Cause.RETURNS}
            self._judge_guard([each for each in removals if each not in returned], config, population)
        self.ours |= {each.bps_id for each in sendable if each.action == "adopt" and _was_done(each, ended)}
        self.ours -= given_back

    def load_owners(self) -> dict[str, str]:
        """Return by record of ours that is in the portal the id of the source object on whose behalf it is."""
        found: dict[str, str] = {}
        there = self.accounts().keys() | self.groups().keys()
        with reading(self.database) as connection:
            for table in (target_users, target_groups):
                owned = (
                    select(target_principals.c.bps_id, source_objects.c.id)
                    .join_from(table, target_principals, table.c.key == target_principals.c.key)
                    .join(source_objects, source_objects.c.key == table.c.source_key)
                )
                found.update({row[0].casefold(): row[1] for row in connection.execute(owned)})
        return {record: owner for record, owner in found.items() if record in there}

    def _judge_handovers(self, truth: Truth, config: Config) -> None:
        """Fail when more passes to somebody else than may, or what a person rejected; ``truth``: nothing passes."""
        heirs = {record: truth.waiting[record] for record in self.handed if record in truth.waiting}
        unproven = {record: heir for record, heir in heirs.items() if not truth.is_proven(record)}
        limit = config.max_handovers
        assert limit is None or len(unproven) <= limit, f"{unproven} were handed over unasked"
        assert not unproven.items() & self.refused_heirs, f"{unproven}: that was rejected"

    def _judge_returns(self, ended: Ended, places: dict[str, dict[str, set[str]]]) -> None:
        """Fail when a place counts as a return that we did not fill lately, or whose group is empty afterwards."""
        for change in ended.changes:
            each = change.asked
            if change.cause == Cause.RETURNS and each.action == "unlink":
                there = places[each.object].get(each.bps_id, set())
                gone = {one.target for one in ended.asked if one[:3] == each[:3]}
                assert not there or there - gone, f"{each}: the group is emptied"

    def _judge_day(self, ended: Ended, config: Config) -> None:
        """Fail when slices take away more in 24 hours than may go."""
        now = self.clock.now()
        returned = {change.asked for change in ended.changes if change.cause == Cause.RETURNS}
        fresh = {each for each in ended.asked if each.removes and each.object != "privilege"} - returned
        self.taken |= dict.fromkeys(fresh, now)
        self.taken = {each: when for each, when in self.taken.items() if now - when < timedelta(hours=24)}
        for action in {each.action for each in fresh}:
            number = sum(each.action == action for each in self.taken)
            limit = config.max_daily
            assert limit is None or number <= limit, f"{number} times {action} in a day, {limit} are allowed"

    def _judge_kept(self, record: RunRecord, ended: Ended) -> None:
        """Fail when somebody keeps for a second run what the tenant has taken away, and nothing hinders it."""
        well = record.status == "succeeded" and all(change.status == "done" for change in ended.changes)
        config = self.config
        if not well or config.mode != "sync" or config.quiet:
            self.kept = set()
            return
        kept = find_kept(self, self.truth())
        assert not kept & self.kept, f"{kept & self.kept} were taken away by the tenant, and are still there"
        self.kept = kept

    def _judge_owners(self, before: dict[str, str], ended: Ended) -> None:
        """Fail when a record has another owner, and no handover says so."""
        told = {each.bps_id for each in ended.planned() if each.action in ("handover", "create", "adopt")}
        after = self.load_owners()
        silent = {record for record, owner in before.items() if after.get(record, owner) != owner} - told
        assert not silent, f"{silent} passed without a word"

    def _own(self, each: Asked) -> None:
        if each.object not in ("user", "group"):
            return
        if each.action == "create":
            self.ours.add(each.bps_id)
        elif each.action == "delete":
            self.ours.discard(each.bps_id)

    def _judge_adoptions(
        self, adopted: set[str], request: RunRequest, config: Config, truth: Truth, *, released: bool
    ) -> None:
        if not adopted:
            return
        assert config.adopt == "match", f"adopted {adopted}"
        assert config.mode in ("sync", "upsert_only", "plan_only"), f"adopted {adopted} under {config.mode}"
        if not released:
            limit = config.max_adoptions
            assert limit is None or len(adopted) <= limit, f"{adopted} were adopted unasked"
            if request.only is None and request.pull != "none":  # without a pull the plan is over what the store knows
                assert adopted <= {*truth.wanted.values(), *truth.groups, *truth.unclear}, f"adopted {adopted}"

    def _judge_guard(self, removals: list[Asked], config: Config, population: tuple[int, int]) -> None:
        for action in ("delete", "unlink", "revoke"):
            found = {each for each in removals if each.action == action}
            limit = config.max_removals
            assert limit is None or len(found) <= limit, f"{len(found)} times {action}, {limit} are allowed"
            if config.percent == 0:
                assert not found, f"{action} under a guard that allows none"
        if config.percent:
            for kind, most in zip(("user", "group"), population, strict=True):
                found = {each for each in removals if each.action == "delete" and each.object == kind}
                assert most <= 3 or len(found) * 100 <= config.percent * most or self._few(kind), f"{found}"

    def _few(self, kind: str) -> bool:
        there = self.accounts() if kind == "user" else self.groups()
        return len(self.ours & there.keys()) <= 4

    def _judge_removal(
        self, each: Asked, truth: Truth, config: Config, removals: list[Asked], *, lenient: bool
    ) -> None:
        """Fail unless the tenant and the settings ask for this."""
        if each.object in ("user", "group"):
            self._judge_deletion(each, truth, config)
        elif each.object == "licence":
            self._judge_revoke(each, truth, config, removals, lenient=lenient)
        else:
            before = self.seen_before
            if lenient and before is not None and not _belongs(each, before):
                return  # of the others a run over one object knows what the last run over everything saw
            assert not _belongs(each, truth), f"{each}: the tenant wants it"
            group_states = truth.find_group_states(each.bps_id)
            if "wanted" not in group_states:
                may = {"renamed"} | (LEAVERS if config.groups != "keep" else set())
                assert group_states & may, f"{each}: of a group that is {group_states}"
                return
            states = truth.find_states(each.target)
            if not states:
                assert config.drift == "revert", f"{each}: put in by hand, and drift is {config.drift}"
            elif not lenient:
                ends = {state for state in states if config.policy_for(state) != "keep" or state == "wanted"}
                taken = states & FROZEN and not truth.keeps_place(each.object, each.bps_id, each.target)
                assert ends or taken, f"{each}: {states} are kept as they are"

    def _judge_deletion(self, each: Asked, truth: Truth, config: Config) -> None:
        states = (truth.find_states if each.object == "user" else truth.find_group_states)(each.bps_id)
        assert "wanted" not in states, f"{each}: the tenant wants it"
        heir = truth.waiting.get(each.bps_id)
        assert heir is None or (each.bps_id, heir) in self.refused_heirs, f"{each}: {heir} waits for it"
        if each.object == "group":
            assert config.groups == "delete", f"{each} under {config.groups}"
            ends = states & LEAVERS
        else:
            ends = {state for state in states if config.policy_for(state) == "delete"}
        grace = timedelta(days=config.grace)
        late = [state for state in ends if self.clock.now() - self.since[each.bps_id, state] >= grace]
        assert late, f"{each}: {states} since {[self.since.get((each.bps_id, state)) for state in states]}"

    def _judge_revoke(self, each: Asked, truth: Truth, config: Config, removals: list[Asked], *, lenient: bool) -> None:
        states = truth.find_states(each.bps_id)
        deleting = Asked("delete", "user", each.bps_id) in removals or any(
            config.policy_for(state) == "delete" for state in states
        )
        if (each.bps_id, each.target) in self.manual and each.target == "ExternalUser":
            assert deleting or each.bps_id in self.handed or "renamed" in states, f"{each}: it was given by hand"
        if "wanted" in states:
            user = next(key for key, bps_id in truth.wanted.items() if bps_id == each.bps_id)
            rule = truth.licence(user)
            if rule is None or rule.type != each.target:
                return
            assert each.target == "SingleSolutionUser", f"{each}: its rule gives it"
            named = set(rule.settings.get("processes", "").split())
            gone = [processes for person, processes in self.wire.taken if person == each.bps_id]
            assert all(processes and not processes & named for processes in gone), f"{each}: its rule gives {gone}"
        else:
            unaware = lenient and self.seen_before is not None and each.bps_id in self.seen_before.wanted.values()
            ends = any(config.policy_for(state) != "keep" for state in states)
            part = each.target == "SingleSolutionUser"
            taken = states & FROZEN and (part or not truth.keeps_licence(each.bps_id, each.target))
            assert deleting or ends or unaware or taken, f"{each}: {states}"


def _looked_for_drift(record: RunRecord | None) -> bool:
    """Return whether a run read the whole portal and came as far as its plan: a delta run does so after other settings.

    Of a killed run nobody knows how far it came.
    """
    if record is None:
        return True
    planned = "apply" in record.phases or record.status in ("succeeded", "partial", "held")
    return planned and "read portal members" in record.phases


def _belongs(each: Asked, truth: Truth) -> bool:
    if each.bps_id in truth.unclear or each.bps_id not in truth.groups:
        return False
    return each.target in truth.places(each.object, each.bps_id)


def _is_planned(each: Asked, sendable: set[Asked]) -> bool:
    if each in sendable:
        return True
    if each.object == "substitution":
        return any(known.object == "substitution" for known in sendable)
    if each.action == "update":
        return any(Asked(action, each.object, each.bps_id) in sendable for action in ("adopt", "handover"))
    return False


def _was_done(each: Asked, ended: Ended) -> bool:
    return any(change.asked == each and change.status in ("done", "started", "planned") for change in ended.changes)
