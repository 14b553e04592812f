"""Faults of the program's own surroundings: its clock, its end at any moment, its memory, its settings."""

from __future__ import annotations

from syncd.sandbox.drill.days import ORDINARY
from syncd.sandbox.drill.picture import take_picture
from syncd.sandbox.drill.play import Play, Scenario, pick
from syncd.sandbox.drill.reads import cut_lists
from syncd.sandbox.snapshot import put_back, take_snapshot
from syncd.sandbox.tenant.company import CompanyOptions, found_company

_FAR = 40 * 86_400.0
_KILLS, _FULL_KILLS = (3, 5, 7, 9, 12, 15, 19), (6, 12, 25)
_CHANGED_BY_HAND = 5
_OTHER = "9f2c4d0e-77aa-4c55-9d0b-0f2f5f0f6a11"


async def _clock_ahead(play: Play) -> None:
    """The grace of those who left today seems to be over."""
    play.happen()
    await play.delta()
    play.program.set_clock(ahead=_FAR)
    await play.delta()
    await play.full()


async def _clock_behind(play: Play) -> None:
    play.program.set_clock(ahead=-_FAR)
    play.happen()
    await play.delta()
    await play.full()


async def _portal_clock(play: Play) -> None:
    play.sandbox.portal_knobs.clock_ahead = _FAR
    play.happen()
    await play.delta()
    await play.full()


async def _killed(play: Play) -> None:
    """Again and again a run is killed, each time a little later; what it had sent counts all the same."""
    play.happen()
    for after in _KILLS:
        if not await play.kill("delta", after=after):
            break
    for after in _FULL_KILLS:
        await play.kill("full", after=after)


async def _restored_store(play: Play) -> None:
    """The store is put back to yesterday's; the portal has what was written since."""
    before = play.program.keep()
    play.happen()
    await play.delta()
    play.program.put_back(before)
    await play.delta()
    play.program.put_back(before)
    play.sandbox.graph.engine.expire_checkpoints()
    await play.delta()


async def _lost_store(play: Play) -> None:
    """There is no store any more, and the portal is in use; later a copy of it is found.

    What somebody has changed there meanwhile is not overwritten unasked: to an empty store each record is a stranger's.
    """
    before, accounts = play.program.keep(), play.sandbox.portal.accounts
    names = {key: accounts[key].values["name"] for key in (play.people[each] for each in pick(play, _CHANGED_BY_HAND))}
    for key in names:
        accounts[key].values["name"] = "Changed by hand"
    changed = take_picture(play.sandbox)
    play.program.forget()
    await play.full()
    await play.delta()
    play.look_what_was_given(changed)
    for key, name in names.items():
        accounts[key].values["name"] = name
    play.program.put_back(before)


async def _begun_again(play: Play) -> None:
    """There is no store any more, and what the new one reads first is cut: nobody leaves a group that is taken over."""
    before = play.program.keep()
    play.program.forget()
    cut_lists(play)
    await play.full()
    await play.delta()
    play.program.put_back(before)


async def _tenant_back(play: Play) -> None:
    """The tenant is restored from a backup: who was hired since never was."""
    before = take_snapshot(play.sandbox)
    play.happen()
    await play.delta()
    play.strangers = True
    put_back(play.sandbox, before, parts=("tenant",))
    play.sandbox.graph.engine.expire_checkpoints()
    play.undo_day()
    await play.delta()
    await play.full()


async def _other_tenant(play: Play) -> None:
    """The settings name another tenant, with another company in it."""
    before, directory = take_snapshot(play.sandbox), play.sandbox.directory
    directory.forget()
    found_company(directory, CompanyOptions(users=40, groups=20, memberships=200, seed=99))
    play.sandbox.registration.tenant_id = _OTHER
    play.sandbox.book.revoke_all()
    play.program.take_for(_OTHER)
    await play.delta()
    await play.full()
    put_back(play.sandbox, before)
    play.sandbox.book.revoke_all()


SURROUNDINGS = (
    Scenario(name="clock-ahead", says="our clock is forty days ahead", play=_clock_ahead, side="syncd", day=ORDINARY),
    Scenario(
        name="clock-behind",
        says="our clock is forty days behind",
        play=_clock_behind,
        side="syncd",
        day=ORDINARY,
    ),
    Scenario(
        name="portal-clock",
        says="the portal's clock is forty days ahead",
        play=_portal_clock,
        side="portal",
        day=ORDINARY,
    ),
    Scenario(
        name="killed",
        says="runs are killed again and again, each a little later",
        play=_killed,
        side="syncd",
        day=ORDINARY,
    ),
    Scenario(
        name="restored-store",
        says="the store is put back to an older one",
        play=_restored_store,
        side="syncd",
        day=ORDINARY,
    ),
    Scenario(name="lost-store", says="the store is lost, and found again later", play=_lost_store, side="syncd"),
    Scenario(
        name="begun-again",
        says="the store is lost, and the lists that a new one reads first are cut",
        play=_begun_again,
        side="syncd",
    ),
    Scenario(
        name="tenant-rolled-back",
        says="the tenant is put back to yesterday",
        play=_tenant_back,
        side="tenant",
        day=ORDINARY,
    ),
    Scenario(name="other-tenant", says="the settings name another tenant", play=_other_tenant, side="syncd"),
)
