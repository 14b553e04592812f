"""Who keeps or gets access by accident, on every kind of portal: the situations in which the portal takes part.

One company meets them one after the other. Switches of the portal that do not exclude each other are turned together,
four at a time, so that each setting is tried and few companies have to live.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.model.run import Approval, RunRecord
from syncd.sandbox.wire.http import Answer
from syncd.sandbox.wire.knobs import turn_knobs
from syncd.store.db.database import open_database
from syncd.store.store import Store
from tests.contract.office import DAY, Office
from tests.contract.test_portal_switches import SWITCHES
from tests.fakes.rules import make_limits
from tests.fakes.wired import Asked
from tests.stores import template

AT_ONCE = 4
PAGE = b"<!DOCTYPE html><html><body><h1>Done</h1></body></html>"


def pack(switches: tuple[dict[str, Any], ...]) -> list[dict[str, Any]]:
    """Return portals that are each different in some respects at once; every setting is in one of them."""
    packed: list[list[dict[str, Any]]] = []
    for switch in switches:
        fitting = (one for one in packed if len(one) < AT_ONCE and not any(switch.keys() & each.keys() for each in one))
        place = next(fitting, None)
        if place is None:
            packed.append([switch])
        else:
            place.append(switch)
    return [{name: value for each in one for name, value in each.items()} for one in packed]


PORTALS = pack(SWITCHES[1:])


def test_every_setting_of_every_switch_is_turned() -> None:
    """Packing loses none."""
    turned = {(name, value) for portal in PORTALS for name, value in portal.items()}
    assert turned == {(name, value) for switch in SWITCHES for name, value in switch.items()}
    assert len(PORTALS) < len(SWITCHES) / 3


class Killed(BaseException):
    """The process is no more."""


def limit(office: Office, **limits: Any) -> None:
    """Let the guard withhold by these limits alone."""
    none = dict.fromkeys(("max_removals", "max_removal_percent", "max_daily_removal_percent", "max_update_percent"))
    office.rules = replace(office.rules, limits=make_limits(**{**none, "max_adoptions": 0, **limits}))


def list_held(office: Office, run: RunRecord, status: str = "held") -> set[Asked]:
    """Return the changes of a run with that outcome."""
    return {
        Asked(change.action, change.object, change.bps_id.casefold(), change.target.casefold())
        for chunk in Store(office.database).plans.iterate_changes(run.id, statuses=[status])  # type: ignore[list-item]
        for planned, _, _ in chunk
        for change in (planned.change,)
    }


def reject(office: Office, run: RunRecord) -> None:
    """Reject what a run holds."""
    assert Store(office.database).decisions.reject(Approval(run_id=run.id)) > 0


@pytest.fixture(params=[{}, *PORTALS], ids=lambda knobs: ",".join(knobs) or "default")
async def company(office: Office, request: pytest.FixtureRequest) -> Office:
    """The office of the other tests on such a portal, in step, with a third person in the second group."""
    turn_knobs(office.wire.knobs, request.param)
    office.hire("eve", group="h", employeeId="7")
    assert (await office.sync("full")).status == "succeeded"
    return office


@pytest.mark.both_engines
async def test_nobody_keeps_or_gets_access_by_accident_on_any_kind_of_portal(company: Office, tmp_path: Path) -> None:
    """Creations, slices, holds, kills, frozen people, unclear answers, handovers, deletions and an adoption."""
    await hold_creations(company)
    await lose_in_slices(company)
    await change_between_hold_and_approval(company)
    await freeze_and_take(company)
    await pass_an_account(company)
    await make_a_group_anew(company)
    await delete_with_what_hangs_on_it(company)
    await adopt_everything(company, tmp_path / "fresh.db")


async def hold_creations(office: Office) -> None:
    """A15: more newcomers than may come at once wait, with their places, and come together when somebody says so."""
    limit(office, max_creation_percent=10, min_population=3)
    for name in ("fay", "gus"):
        office.hire(name, group="g")
    held = await office.sync()
    assert held.status == "held", held.error
    assert not {"fay@x.com", "gus@x.com"} & office.wire.store.accounts.keys()
    run = await office.approve(held)
    assert run.status == "succeeded", run.error
    assert {"fay@x.com", "gus@x.com"} <= office.members("g@grp")
    assert office.held()["fay@x.com"] == {"PowerUser"}


async def lose_in_slices(office: Office) -> None:
    """A8, A10: the second slice of a day is held, and no run over that person alone lets it through."""
    limit(office, max_daily_removals=1)
    office.source.unlink("i", "dora")
    assert (await office.sync()).status == "succeeded"
    assert office.members("i@grp") == set()
    office.source.link("i", "eve")
    await office.sync()
    office.source.unlink("i", "eve")
    held = await office.sync()
    assert held.status == "held", held.error
    assert (await office.sync_one("user", "eve")).status == "held"
    assert office.members("i@grp") == {"eve@x.com"}
    office.source.link("i", "eve")
    limit(office)
    assert (await office.sync()).status == "succeeded"


async def change_between_hold_and_approval(office: Office) -> None:
    """A7, A9, A18: what an approval did before it was killed is held no more, and nobody goes whom the tenant wants."""
    limit(office, max_removals=1)
    for name in ("fay", "gus"):
        office.source.put_user(name, accountEnabled=False)
    held = await office.sync()
    shown = list_held(office, held)
    assert {Asked("unlink", "membership", "g@grp", f"{name}@x.com") for name in ("fay", "gus")} <= shown
    office.take_asked()

    def die(method: str, target: str) -> None:
        if office.wire.asked:
            raise Killed

    office.wire.after = die
    with pytest.raises((Killed, BaseExceptionGroup)):
        await office.approve(held)
    office.wire.after = None
    await Store(office.database).runs.interrupt_open()
    done = {each for each in office.take_asked() if each.removes}
    again = await office.sync()
    assert not done & list_held(office, again), "what was done is held"
    office.source.put_user("fay", accountEnabled=True)
    before = office.members("g@grp")
    approved = await office.approve(again)
    assert "fay@x.com" not in {each.target for each in office.take_asked() if each.removes}, approved.error
    assert office.members("g@grp") >= before - {"gus@x.com"}
    limit(office)
    office.source.put_user("gus", accountEnabled=True)
    assert (await office.sync()).status == "succeeded"
    assert {"fay@x.com", "gus@x.com"} <= office.members("g@grp")


async def freeze_and_take(office: Office) -> None:
    """A5, A21: who cannot be written loses what the tenant takes, also what an unclear answer may have given."""

    def spoil(method: str, target: str, answer: Answer) -> Answer:
        return Answer(body=PAGE, content_type="text/html") if "/members/add" in target else answer

    office.wire.spoil = spoil
    office.source.link("i", "fay")
    await office.sync()
    office.wire.spoil = None
    office.source.put_user("fay", userPrincipalName="fay+spam@x.com", mobilePhone="9")
    office.source.unlink("i", "fay")
    office.source.unlink("g", "fay")
    run = await office.sync()
    assert run.status == "succeeded", run.error
    assert not any("fay@x.com" in office.members(group) for group in ("g@grp", "h@grp", "i@grp"))
    assert "fay@x.com" not in office.held()
    assert office.wire.store.accounts["fay@x.com"].values["phoneNumber"] is None
    office.source.put_user("fay", userPrincipalName="fay@x.com", mobilePhone=None)
    assert (await office.sync()).status == "succeeded"


async def pass_an_account(office: Office) -> None:
    """A11: a login that is used again waits, with everything; approved, nothing of the former person's is left."""
    office.source.remove_user("eve")
    office.source.put_user(
        "new", userPrincipalName="eve@x.com", displayName="Eve New", mail="eve.new@x.com", employeeId="8"
    )
    office.source.link("i", "new")
    held = await office.sync()
    assert held.status == "held", held.error
    assert list_held(office, held) == {Asked("handover", "user", "eve@x.com")}
    account = office.wire.store.accounts["eve@x.com"]
    assert account.values["name"] == "Eve"
    assert not any("eve@x.com" in office.members(group) for group in ("g@grp", "h@grp", "i@grp"))
    assert "eve@x.com" not in office.held()
    run = await office.approve(held)
    assert run.status == "succeeded", run.error
    assert office.wire.store.accounts["eve@x.com"].values["name"] == "Eve New"
    assert office.members("i@grp") == {"eve@x.com"}


async def make_a_group_anew(office: Office) -> None:
    """A12: the same name and the same people make it the same group of the portal."""
    source = office.source
    source.put_group("k", displayName="Club", mailNickname="k@grp")
    for name in ("ben", "cleo"):
        source.link("k", name)
    assert (await office.sync()).status == "succeeded"
    source.remove_group("k")
    source.put_group("l", displayName="Club", mailNickname="l@grp")
    for name in ("ben", "cleo"):
        source.link("l", name)
    run = await office.sync()
    assert run.status == "succeeded", run.error
    assert "l@grp" not in office.wire.store.groups
    assert office.members("k@grp") == {"ben@x.com", "cleo@x.com"}


async def delete_with_what_hangs_on_it(office: Office) -> None:
    """A20: a licence that somebody gave by hand since the last full run goes before the account does."""
    office.source.put_user("gus", accountEnabled=False)
    assert (await office.sync()).status == "succeeded"
    holder = office.wire.service.licences.holders["gus@x.com"]
    holder.licences["ExternalUser"] = {}
    office.clock.elapsed += 4 * DAY
    office.take_asked()
    run = await office.sync()
    assert run.status == "succeeded", run.error
    asked = office.take_asked()
    gone = [Asked("revoke", "licence", "gus@x.com", "ExternalUser"), Asked("delete", "user", "gus@x.com")]
    assert [each for each in asked if each in gone] == gone
    assert "gus@x.com" not in office.held()


async def adopt_everything(office: Office, path: Path) -> None:
    """A17: a fresh store meets the portal in use; its plan lists what would follow, and that is what follows."""
    office.wire.store.groups["g@grp"].members[office.wire.store.key("dora@x.com")] = None
    people = len(office.members("g@grp"))
    shutil.copy(template(), path)
    old, office.database = office.database, open_database(f"sqlite:///{path}")
    try:
        limit(office)
        held = await office.sync("full")
        assert held.status == "held", held.error
        followed = {each for each in list_held(office, held, "dropped") if each.action == "unlink"}
        assert Asked("unlink", "membership", "g@grp", "dora@x.com") in followed
        office.take_asked()
        assert (await office.approve(held)).status in ("succeeded", "held")
        assert not {each for each in office.take_asked() if each.removes}
        assert len(office.members("g@grp")) == people
        assert (await office.sync("full")).status == "succeeded"
        assert {each for each in office.take_asked() if each.removes and each.action == "unlink"} == followed
    finally:
        office.database.close()
        office.database = old
