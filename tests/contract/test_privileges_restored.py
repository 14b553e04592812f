"""One of the two sides goes back in time: the store, from a backup, or the portal. What is by hand by then stays."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from syncd.sandbox.portal.backups import Backups
from syncd.sandbox.portal.places import Given
from syncd.store.db.backup import back_up
from syncd.store.db.database import open_database
from syncd.sync.planning.drift import DriftCheck
from syncd.sync.planning.replay import Replay
from syncd.sync.planning.undo import Undo
from tests.contract.office import Office
from tests.contract.privilege_rules import find_levels, give_by_hand, rule, say, tell
from tests.fakes.rules import make_limits

Put = Literal["over it", "in its place", "elsewhere"]
every_way = pytest.mark.parametrize("way", ["over it", "in its place", "elsewhere"])


def find_file(office: Office) -> Path:
    """Return the store's file."""
    return Path(office.database.engine.url.database or "")


def keep(office: Office) -> Path:
    """Make a copy of the store, as ``syncd backup`` does."""
    copy = find_file(office).with_name("kept.db")
    copy.touch()
    back_up(office.database, copy)
    return copy


def put_back(office: Office, copy: Path, way: Put = "over it") -> None:
    """Put the copy back while syncd is stopped."""
    file = find_file(office)
    office.database.close()
    for end in ("-wal", "-shm"):
        file.with_name(file.name + end).unlink(missing_ok=True)
    if way == "in its place":
        file.unlink()
    if way == "elsewhere":
        file = file.with_name("other.db")
    shutil.copy(copy, file)
    office.database = open_database(f"sqlite:///{file}")


async def go_on(office: Office) -> None:
    """Let two full runs follow; they change nothing."""
    office.take_asked()
    for _ in range(2):
        office.clock.elapsed += 86_400
        assert (await office.sync("full")).status == "succeeded"
    assert office.take_asked() == []


async def give_and_take(office: Office) -> tuple[Path, Given]:
    """Return a copy of a store that knows of something of ours, and what somebody gave since we took that."""
    say(office, rule())
    await office.sync("full")
    await office.sync("full")
    copy = keep(office)
    say(office)
    await office.sync()
    assert find_levels(office) == set()
    return copy, give_by_hand(office)


# ---- an older store --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["delta", "full"])
@every_way
async def test_what_somebody_gave_since_the_copy_was_made_is_never_taken(office: Office, way: Put, kind: Any) -> None:
    """The older store calls it ours; it is told as what may be by hand, in the run and by ``syncd privileges``."""
    copy, by_hand = await give_and_take(office)
    put_back(office, copy, way)
    run = await office.sync(kind)
    assert "the store is a copy that was put back: 1 that rules gave may be by hand by now" in run.error
    assert tell(office) == {"ReadOnly": "kept"}
    assert "put back" not in (await office.sync("full")).error
    await go_on(office)
    assert by_hand in office.wire.store.privileges


@every_way
async def test_a_rule_that_came_back_with_the_copy_takes_nothing_when_it_goes(office: Office, way: Put) -> None:
    """Also later: nobody can tell ours from what is by hand any more."""
    copy, by_hand = await give_and_take(office)
    put_back(office, copy, way)
    say(office, rule())
    await office.sync()
    assert tell(office) == {"ReadOnly": "beside"}
    await go_on(office)
    say(office, rule(level="Administrator"))
    await office.sync()
    say(office)
    await office.sync()
    await go_on(office)
    assert by_hand in office.wire.store.privileges


async def test_an_older_store_gives_nothing_before_it_has_looked(office: Office) -> None:
    """A grant that failed before the copy was made: what somebody gave since is seen, and stays when the rule goes."""
    await office.sync("full")
    say(office, rule(), rule("Group h"))
    office.wire.application.scopes.discard("App.Metadata.ReadWrite")
    office.wire.application.scopes.add("App.Metadata.Read")
    office.wire.book.revoke_all()
    await office.sync("full")
    copy = keep(office)
    await office.sync("full")
    office.wire.application.scopes.add("App.Metadata.ReadWrite")
    office.wire.book.revoke_all()
    by_hand = give_by_hand(office)
    put_back(office, copy)
    await office.sync()
    assert tell(office) == {"ReadOnly": "beside"}
    say(office)
    await office.sync()
    assert by_hand in office.wire.store.privileges
    assert find_levels(office, "h@grp") == set()


async def test_what_an_older_store_held_or_did_is_no_word_about_today(office: Office) -> None:
    """Neither its held revokes, approved now, nor the undoing of its grants take what may be by hand."""
    await office.sync("full")
    say(office, rule())
    gave = await office.sync("full")
    office.rules = replace(office.rules, limits=make_limits(max_removals=0))
    say(office)
    held = await office.sync()
    assert held.status == "held"
    copy = keep(office)
    assert (await office.approve(held)).status == "succeeded"
    by_hand = give_by_hand(office)
    for proposal in (None, Undo(run_id=gave.id)):
        put_back(office, copy)
        run = await (office.approve(held) if proposal is None else office.carry_out(proposal))
        assert ("1 of 1 approved changes" if proposal is None else "put back") in run.error
        assert by_hand in office.wire.store.privileges


async def test_a_store_that_goes_on_is_no_copy(office: Office) -> None:
    """Neither after kills between the marks nor when nothing was done since the copy was made: what is ours goes."""
    say(office, rule())
    await office.sync("full")
    copy = keep(office)
    put_back(office, copy, "in its place")
    assert "put back" not in (await office.sync()).error
    for place in (0, 1):  # the process died before, or after, the store took the new mark
        lock = find_file(office).with_name(find_file(office).name + ".lock")
        known = lock.read_text().splitlines()
        assert len(known) == 1
        known.insert(place, "run 0, never")
        lock.write_text("".join(f"{mark}\n" for mark in known))
        assert "put back" not in (await office.sync()).error
    say(office)
    await office.sync()
    assert find_levels(office) == set()


async def test_what_is_beside_after_a_restore_is_ours_again_when_a_person_took_it(office: Office) -> None:
    """The portal is where it can be told apart: taken there once, it is given by the rule alone."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift="revert"))
    copy, _ = await give_and_take(office)
    put_back(office, copy)
    say(office, rule())
    await office.sync("full")
    await go_on(office)
    office.wire.store.privileges.clear()
    await office.sync("full")
    assert tell(office) == {"ReadOnly": "given"}
    say(office)
    await office.sync()
    assert find_levels(office) == set()


async def test_what_the_older_store_calls_given_is_given_once_more(office: Office) -> None:
    """It was taken since, and the place names the group for something else: nobody would ever see that it is gone."""
    say(office, rule(level="Administrator"))
    await office.sync("full")
    copy = keep(office)
    say(office)
    await office.sync()
    by_hand = give_by_hand(office)
    put_back(office, copy)
    say(office, rule(level="Administrator"))
    await office.sync("full")
    assert find_levels(office) == {"Administrator", "ReadOnly"}
    await go_on(office)
    say(office)
    await office.sync("full")
    assert by_hand in office.wire.store.privileges


# ---- an older portal (docs/how-to/replay.md) -------------------------------------------------------------------------


@pytest.mark.parametrize("drift", ["revert", "report"])
async def test_a_portal_that_went_back_lost_what_was_given_and_has_what_was_taken(office: Office, drift: Any) -> None:
    """What rules gave since is drift; what they took since counts as given by hand, and only a person takes it."""
    await office.sync("full")
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift=drift))
    say(office, rule(level="Administrator"))
    await office.sync("full")
    await go_on(office)
    backups = Backups(office.wire.service)
    backups.take("monday")
    say(office, rule("Group h", level="PortalDesigner"))
    await office.sync()
    await go_on(office)
    assert (find_levels(office), find_levels(office, "h@grp")) == (set(), {"PortalDesigner"})
    backups.restore("monday")
    office.clock.elapsed += 86_400
    assert (await office.sync("full")).status == "succeeded"  # too little was lost to tell it from hands
    assert find_levels(office, "h@grp") == ({"PortalDesigner"} if drift == "revert" else set())
    if drift == "report":
        await office.carry_out(DriftCheck("revert", lambda found: [*found].clear()))
    assert find_levels(office, "h@grp") == {"PortalDesigner"}
    assert tell(office) == {None: "by_hand"}
    say(office)
    await office.sync()
    await go_on(office)
    assert find_levels(office, "h@grp") == set()
    assert find_levels(office) == {"Administrator"}


@pytest.mark.parametrize("drift", ["revert", "report", "adopt"])
async def test_a_replay_makes_groups_anew_and_the_next_full_run_gives_them_what_rules_give(
    office: Office, drift: Any
) -> None:
    """The portal is found to have gone back, and nothing is given there before its records are as they were."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift=drift))
    backups = Backups(office.wire.service)
    backups.take("monday")
    for number in range(20):
        office.hire(f"n{number}", group="g")
    say(office, rule(), rule("Group h"))
    await office.sync("full")
    await go_on(office)
    backups.restore("monday")
    office.clock.elapsed += 86_400
    for _ in range(2):
        run = await office.sync("full")
        assert "the portal went back in time" in run.error
        assert find_levels(office) == find_levels(office, "h@grp") == set()
    assert (await office.carry_out(Replay())).status in ("succeeded", "partial")
    for _ in range(2):
        await office.sync("full")
    assert find_levels(office) == find_levels(office, "h@grp") == {"ReadOnly"}
    await go_on(office)
    say(office)
    await office.sync()
    assert find_levels(office) == find_levels(office, "h@grp") == set()
