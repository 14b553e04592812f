"""Messages about privileges: what is held and what keeps failing, told as such over hook and mail, naming nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.model.event import EVENTS
from syncd.model.privilege import Listed
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.plan.report.status import ObjectStatus
from syncd.store.reports.status import Report
from syncd.sync.notify import Notifications
from tests.contract.privilege_rules import rule
from tests.fakes.channel import FakeChannel
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World


def found_company(world: World) -> None:
    """Two groups, and a portal with one application."""
    for name in ("g", "h"):
        world.source.put_group(name, displayName=f"Group {name}", mailNickname=f"{name}@grp")
    world.portal.places = {(1, "application", ""): (Listed(number=1, guid="invoices", name="Invoices"),)}


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


def say(world: World, *groups: str, most: int | None = None) -> None:
    """Let rules give these groups something; ``most``: so many removals go unasked."""
    rules = make_rules(limits=make_limits(max_removals=most, max_removal_percent=None))
    world.rules = replace(rules, privileges=tuple(rule(f"Group {name}") for name in groups))


async def tell(world: World, channel: FakeChannel, run: RunRecord) -> None:
    """Tell how a run ended, as a process of its own would."""
    await Notifications(world.clock, "mail", EVENTS).notify_run(channel, world.store, run)


def find_states(world: World) -> set[tuple[str | None, ObjectStatus]]:
    """Return the state of each group."""
    lines = Report(world.database, world.rules.policy, now=world.clock.now()).iterate("group")
    return {(line.bps_id, line.state) for line in lines}


async def test_privileges_that_are_held_are_told_as_such_and_once(world: World) -> None:
    """By kind, in the text, the fields and the letter; what else is held later is news, the same is none."""
    channel = FakeChannel()
    say(world, "g", "h")
    await world.sync("full")
    say(world, most=0)
    for _ in range(2):
        held = await world.sync("full")
        await tell(world, channel, held)
    assert channel.events == ["held"]
    (told,), (letter,) = channel.got, channel.letters
    assert (told["held"], told["held_objects"]) == ({"revoke": 2}, {"revoke privilege": 2})
    assert "holds back revoke privilege 2, the oldest since " in letter.plain
    assert "Held back: revoke privilege 2\n" in letter.plain
    assert not any(name in str(told) + letter.plain + letter.html for name in ("g@grp", "Group g", "Invoices"))
    assert find_states(world) == {("g@grp", "held"), ("h@grp", "held")}
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=held.id))
    done = await world.runs.execute(request, world.open_sides())
    await tell(world, channel, done)
    assert (done.status, channel.events, world.portal.privileges) == ("succeeded", ["held"], set())


async def test_privileges_that_keep_failing_are_told_and_their_groups_listed(world: World) -> None:
    """After three attempts, by kind and cause; the list that the message names tells why; solved it is over."""
    channel = FakeChannel()
    await world.sync("full")
    world.portal.refuse = {"g@grp ReadOnly invoices"}
    say(world, "g", "h")
    for attempt in range(4):
        run = await world.sync("full")
        assert run.status == "partial"
        await tell(world, channel, run)
        assert channel.events == ([] if attempt < 2 else ["failing"])
    (told,), (letter,) = channel.got, channel.letters
    assert told["failing"] == {"privilege": 1}
    assert "privilege 1 keep failing, the oldest since " in letter.plain
    assert "syncd groups --state failing" in str(told["commands"])
    assert not any(name in str(told) + letter.plain + letter.html for name in ("g@grp", "Group g", "Invoices"))
    assert find_states(world) == {("g@grp", "failing"), ("h@grp", "active")}
    world.portal.refuse = set()
    await tell(world, channel, await world.sync("full"))
    assert channel.events == ["failing"]
    assert find_states(world) == {("g@grp", "active"), ("h@grp", "active")}
