"""A tenant, the imitation portal on a wire without sockets, and one run of syncd after the other, each a fresh process.

Where WEBCON's API document is at hand, every request that reaches the portal, and every answer, is compared with it.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from syncd.model.kinds import RecordKind
from syncd.model.run import Approval, PullKind, RunRecord, RunRequest, Wanted
from syncd.plan.planfile import Head, encode_plan, open_plan
from syncd.plan.rules import LicenceRule, Rules
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.planning.proposal import FromFile, Proposal
from syncd.sync.pull.pull import Pull
from syncd.sync.push import Push
from syncd.sync.runs import Runs, Sides
from tests.contract.openapi import Judge
from tests.contract.sandbox_client import MovableClock
from tests.fakes.rules import make_apply_options, make_limits, make_policy, make_rules
from tests.fakes.source import FakeSource
from tests.fakes.wired import Asked, Wire

DAY = 86_400.0


class Office:
    """The use cases over a tenant and the imitation portal, a fresh process for every run."""

    def __init__(self, database: Database, knobs: PortalKnobs) -> None:
        self.clock = MovableClock()
        self.database, self.source, self.wire = database, FakeSource(), Wire(self.clock, knobs)
        self.source.tracks_owners = True
        self.rules = make_office_rules()
        self.per_request = 200
        offered = tuple(kind.strip() for kind in knobs.licence_types.split(","))
        self.wire.observer = self.judge = Judge(licence_types=offered)

    async def sync(
        self, kind: PullKind = "delta", *, patience: float = 120.0, write: bool = True, retry_failed: bool = True
    ) -> RunRecord:
        """Run as a process of its own would."""
        request = RunRequest(pull=kind, trigger="cli", write=write, retry_failed=retry_failed)
        return await self._run(request, patience=patience)

    async def sync_one(self, kind: RecordKind, name: str) -> RunRecord:
        """Run over one person or group alone, in a process of its own."""
        return await self._run(RunRequest(pull="none", trigger="cli", retry_failed=True, only=Wanted(kind, name)))

    async def carry_out(self, proposal: Proposal) -> RunRecord:
        """Carry out an undo, a look for drift or a plan file, in a process of its own."""
        return await self._run(RunRequest(pull="none", trigger="cli", retry_failed=True), proposal)

    async def approve(self, run: RunRecord, *, only: tuple[str, ...] = ()) -> RunRecord:
        """Approve what a run held."""
        return await self._run(
            RunRequest(
                pull="none",
                trigger="approval",
                retry_failed=True,
                approval=Approval(run_id=run.id, actions=(), only=only),
            )
        )

    async def _run(
        self, request: RunRequest, proposal: Proposal | None = None, *, patience: float = 120.0
    ) -> RunRecord:
        store = Store(self.database)
        portal = self.wire.open(members_per_request=self.per_request, page_size=100)
        pull = Pull(
            self.source,
            Store(self.database),
            clock=self.clock,
            progress=lambda name, number: None,
            stopping=lambda: False,
        )
        options = make_apply_options(members_per_request=self.per_request, sync_wait=patience)
        push = Push(
            portal,
            store,
            rules=self.rules,
            clock=self.clock,
            options=options,
            progress=lambda name, number: None,
            stopping=lambda: False,
        )
        runs = Runs(Store(self.database), self.clock, lambda now: False)
        return await runs.execute(request, Sides(pull, push, {"bps": portal}), proposal=proposal)

    def make_file(self, run: RunRecord) -> FromFile:
        """Return the plan file of a run that only planned, as `apply` reads it."""
        store = Store(self.database)
        address = self.wire.open().address
        head = Head(
            address,
            run.id,
            "2026-01-01T00:00:00Z",
            self.rules.fingerprint(),
            store.plan_files.load_directory_parts.blocking(),
        )
        records = (
            record for chunk in store.plan_files.iterate_concerned(run.id, ("planned", "held")) for record in chunk
        )
        lines = list(encode_plan(head, records, store.plan_files.iterate_file_changes(run.id)))
        return FromFile(open_plan(lambda: lines))

    def hire(self, name: str, *, group: str = "", **attributes: str) -> None:
        """Let somebody begin."""
        upn = f"{name}@x.com"
        self.source.put_user(name, userPrincipalName=upn, displayName=name.title(), mail=upn, **attributes)
        if group:
            self.source.link(group, name)

    def members(self, group: str, relation: str = "members") -> set[str]:
        """Return who is there, without case."""
        return {key.casefold() for key in getattr(self.wire.store.groups[group], relation)}

    def held(self) -> dict[str, set[str]]:
        """Return who holds which licences, of accounts that are there or not."""
        holders = self.wire.service.licences.holders
        return {key: set(holder.licences) for key, holder in holders.items() if holder.licences}

    def take_asked(self) -> list[Asked]:
        """Return what the portal carried out since the last look."""
        found, self.wire.asked[:] = list(self.wire.asked), []
        return found


def make_office_rules(**policy: Any) -> Rules:
    """Return rules with licences and owners, that delete the disabled and vanished groups, and no guard."""
    rules = make_rules(
        policy=make_policy(grace=timedelta(days=3), disabled_users="delete", deleted_groups="delete", **policy),
        limits=make_limits(
            max_removals=None, max_removal_percent=None, min_population=20, max_adoptions=0, max_update_percent=None
        ),
        licences=(LicenceRule("Group g", "PowerUser"), LicenceRule("Group h", "User")),
    )
    return replace(rules, mapping=replace(rules.mapping, owners=True))


def found_company(office: Office) -> None:
    """Let a company begin: ann leads, ben and cleo report to her, dora is in the other group."""
    source = office.source
    source.put_group("g", displayName="Group g", mailNickname="g@grp")
    source.put_group("h", displayName="Group h", mailNickname="h@grp")
    office.hire("ann", group="g", jobTitle="Boss")
    for name in ("ben", "cleo"):
        office.hire(name, group="g", mobilePhone="1", jobTitle="Clerk")
        source.put_user(name, manager="ann")
    office.hire("dora", group="h")
    source.put_group("i", displayName="Group i", mailNickname="i@grp")
    source.link("i", "dora")
    source.own("g", "ann")
    office.wire.add_account("stranger@portal")
    office.wire.add_account("synced@portal", origin="builtin")
