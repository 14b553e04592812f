"""What an administrator does, on every kind of portal that the facts leave possible: drift, approve, apply, undo.

The company and the kinds of portal are those of `test_portal_switches`, which lets everything happen by itself.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.model.run import Approval, RunRecord
from syncd.plan.drift import Drift
from syncd.store.store import Store
from syncd.sync.planning.drift import DriftCheck
from syncd.sync.planning.undo import Undo
from tests.contract.office import Office, make_office_rules
from tests.contract.test_portal_switches import SWITCHES
from tests.fakes.rules import make_limits

_HOURS = 7200.0
_on_every_portal = pytest.mark.parametrize(
    "office", SWITCHES, indirect=True, ids=lambda knobs: ",".join(map(str, knobs)) or "default"
)


def picture(office: Office) -> dict[str, Any]:
    """Return everything that the portal holds: values, members, owners, licences with their settings."""
    store = office.wire.store
    return {
        "accounts": {key: dict(account.values) for key, account in store.accounts.items()},
        "groups": {
            key: (group.name, {each.casefold() for each in group.members}, {each.casefold() for each in group.owners})
            for key, group in store.groups.items()
        },
        "licences": office.held(),
    }


async def settle(office: Office) -> None:
    """Let everything be written, shown by the portal, and be older than the hour within which nothing is drift."""
    assert (await office.sync("full")).status == "succeeded"
    office.clock.elapsed += _HOURS
    done = await office.sync("full")
    assert (done.status, done.counts.get("done")) == ("succeeded", None)


async def look(office: Office, answer: Any = "report") -> tuple[RunRecord, list[tuple[str, ...]]]:
    """Look for drift, and return what it told."""
    found: list[Drift] = []

    def tell(chunks: Any) -> None:
        for chunk in chunks:
            found.extend(chunk)

    record = await office.carry_out(DriftCheck(answer, tell))
    return record, sorted((each.object, each.bps_id, each.field, each.ours or "", each.theirs or "") for each in found)


@_on_every_portal
async def test_what_an_administrator_does_ends_alike_on_every_kind_of_portal(office: Office) -> None:
    """Drift is told and set back, what is held is approved or rejected, a plan file is applied, undone and refused."""
    await settle(office)
    await change_by_hand(office)
    await approve_and_reject(office)
    await apply_and_undo(office)


async def change_by_hand(office: Office) -> None:
    """A value, a place put in, one taken out, an owner, a licence, an account; a stranger's is nobody's business."""
    before = picture(office)
    store, holders = office.wire.store, office.wire.service.licences.holders
    store.accounts["ben@x.com"].values["jobTitle"] = "By hand"
    store.accounts["stranger@portal"].values["jobTitle"] = "Nobody's business"
    group = store.groups["g@grp"]
    group.members["stranger@portal"] = None
    del group.members[next(key for key in group.members if key.casefold() == "cleo@x.com")]
    group.owners.clear()
    del holders["ann@x.com"].licences["PowerUser"]
    store.delete_user("dora@x.com")
    office.clock.elapsed += office.wire.knobs.tombstone
    expected = [
        ("licence", "ann@x.com", "PowerUser", "PowerUser", ""),
        ("membership", "g@grp", "member", "", "stranger@portal"),
        ("membership", "g@grp", "member", "cleo@x.com", ""),
        ("ownership", "g@grp", "owner", "ann@x.com", ""),
        ("user", "ben@x.com", "job_title", "Clerk", "By hand"),
        ("user", "dora@x.com", "record", "dora@x.com", ""),
    ]
    office.take_asked()
    record, found = await look(office)
    assert (record.status, found) == ("succeeded", expected)
    assert office.take_asked() == []
    record, found = await look(office, "revert")
    assert (record.status, found) == ("succeeded", expected)
    office.clock.elapsed += _HOURS
    assert (await office.sync()).status == "succeeded"  # dora's places and licence follow her account
    assert (await look(office))[1] == []
    before["accounts"]["stranger@portal"]["jobTitle"] = "Nobody's business"
    assert picture(office) == before


async def approve_and_reject(office: Office) -> None:
    """Two people leave and the guard withholds it: one goes as shown, the other one stays, whatever run follows."""
    before = picture(office)
    office.rules = replace(
        office.rules,
        limits=make_limits(
            max_removals=1, max_removal_percent=None, min_population=20, max_adoptions=0, max_update_percent=None
        ),
    )
    for name in ("ben", "cleo"):
        office.source.put_user(name, accountEnabled=False)
    run = await office.sync()
    assert run.status == "held"
    assert picture(office) == before
    approved = await office.approve(run, only=("ben@x.com",))
    assert approved.status in ("succeeded", "held"), approved.error
    assert office.members("g@grp") == {"ann@x.com", "cleo@x.com"}
    assert office.held().keys() == {"ann@x.com", "cleo@x.com", "dora@x.com"}
    store = Store(office.database)
    for holding in store.decisions.load_holding_runs(now=office.clock.now()):
        assert store.decisions.reject(Approval(run_id=holding)) > 0
    for kind in ("delta", "full"):
        later = await office.sync(kind)
        assert (later.status, later.counts.get("done")) == ("succeeded", None), later.error
    assert office.members("g@grp") == {"ann@x.com", "cleo@x.com"}
    assert "cleo@x.com" in office.held()
    office.rules = make_office_rules()
    for name in ("ben", "cleo"):
        office.source.put_user(name, accountEnabled=True)
    assert (await office.sync()).status == "succeeded"
    assert picture(office) == before


async def apply_and_undo(office: Office) -> None:
    """A joiner, a new title, somebody who changes groups: as written, and all of it is set back afterwards."""
    before = picture(office)
    source = office.source
    office.hire("eve", group="h", jobTitle="Clerk")
    source.put_user("ben", jobTitle="Chief", mobilePhone=None)
    source.unlink("g", "cleo")
    source.link("i", "cleo")
    source.disown("g", "ann")
    source.own("g", "ben")
    planned = await office.sync(write=False)
    proposal = office.make_file(planned)
    assert picture(office) == before
    applied = await office.carry_out(proposal)
    assert applied.status == "succeeded", applied.error
    after = picture(office)
    assert after["accounts"]["ben@x.com"]["jobTitle"] == "Chief"
    assert after["accounts"]["ben@x.com"]["phoneNumber"] is None
    assert office.members("g@grp") == {"ann@x.com", "ben@x.com"}
    assert office.members("g@grp", "owners") == {"ben@x.com"}
    assert {"eve@x.com": {"User"}, "ben@x.com": {"PowerUser"}}.items() <= office.held().items()
    office.clock.elapsed += _HOURS
    done = await office.sync("full")
    assert (done.status, done.counts.get("done")) == ("succeeded", None)
    undone = await office.carry_out(Undo(run_id=applied.id, delete_created=True))
    assert undone.status == "succeeded", undone.error
    assert picture(office) == before
    source.put_user("dora", jobTitle="Chief")
    stale = office.make_file(await office.sync(write=False))
    office.wire.store.accounts["dora@x.com"].values["jobTitle"] = "By hand"
    office.take_asked()
    refused = await office.carry_out(stale)
    assert refused.status == "failed"
    assert "dora@x.com" in refused.error
    assert office.take_asked() == []
