"""Before a grant its place is looked at: what somebody gave since the last reading stays when the rule goes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from syncd.model.reason import Cause
from syncd.sandbox.wire.faults import Fault
from syncd.store.store import Store
from syncd.sync.planning.undo import Undo
from tests.contract.office import Office
from tests.contract.privilege_rules import (
    allow_writes,
    find_levels,
    give_by_hand,
    refuse_writes,
    rule,
    say,
    tell,
)


def refuse(office: Office) -> None:
    """Let the portal refuse every grant, as to somebody who is no administrator there."""
    body = b'{"type": "InsufficientAccountPermissions", "description": "no", "errorGuid": "1"}'
    office.wire.faults.add(Fault("status", side="portal", path="privileges/add", status=403, body=body, count=-1))


def break_off(office: Office) -> None:
    """Let no grant arrive."""
    office.wire.faults.add(Fault("reset", side="portal", path="privileges/add", count=-1))


TROUBLES: dict[str, Callable[[Office], None]] = {"refused": refuse, "lost": break_off, "no scope": refuse_writes}


def look(office: Office) -> list[str]:
    """Return the requests about privileges since the last look."""
    seen = [line.split() for line in office.judge.seen if "admin/privileges" in line]
    office.judge.seen.clear()
    return [f"{method} {target.partition('/admin/')[2]}" for method, target, *_ in seen]


async def end_rule(office: Office) -> None:
    """The rule goes, and two full runs follow."""
    say(office)
    await office.sync()
    for _ in range(2):
        office.clock.elapsed += 86_400
        assert (await office.sync("full")).status == "succeeded"


@pytest.mark.parametrize("one", [False, True], ids=["delta", "one object"])
@pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)
async def test_what_somebody_gave_before_a_later_run_gives_it_stays(
    office: Office, trouble: Callable[[Office], None], one: bool
) -> None:
    """The grant of a full run was put off or failed; the next one is answered clearly, and tells nothing of before."""
    say(office, rule())
    trouble(office)
    await office.sync("full")
    by_hand = give_by_hand(office)
    office.wire.faults.clear()
    allow_writes(office)
    await (office.sync_one("group", "Group g") if one else office.sync())
    assert tell(office) == {"ReadOnly": "beside"}
    await end_rule(office)
    assert by_hand in office.wire.store.privileges
    assert tell(office) == {"ReadOnly": "kept"}


@pytest.mark.parametrize("one", [False, True], ids=["delta", "one object"])
async def test_what_somebody_gives_a_new_record_before_the_rule_does_stays(office: Office, one: bool) -> None:
    """A group gets another BPS id, and somebody was there first."""
    say(office, rule())
    await office.sync("full")
    office.source.put_group("g", displayName="Group g", mailNickname="new@grp")

    def watch(_method: str, target: str) -> None:
        if "new@grp" in office.wire.store.groups:
            give_by_hand(office, group="new@grp")
            office.wire.after = None

    office.wire.after = watch
    for _ in range(2):
        await (office.sync_one("group", "Group g") if one else office.sync())
    assert tell(office, "new@grp") == {"ReadOnly": "beside"}
    await end_rule(office)
    assert find_levels(office, "new@grp") == {"ReadOnly"}


async def test_undoing_a_revoke_leaves_what_somebody_gave_since(office: Office) -> None:
    """It is given once more, and not taken for ours alone."""
    say(office, rule())
    await office.sync("full")
    say(office)
    taken = await office.sync("full")
    by_hand = give_by_hand(office)
    say(office, rule())
    await office.carry_out(Undo(run_id=taken.id))
    (held,) = [one for some in Store(office.database).privileges.load_held().values() for one in some]
    assert (held.state, held.beside) == ("granted", True)
    await end_rule(office)
    assert by_hand in office.wire.store.privileges


async def test_a_full_run_that_takes_long_looks_again(office: Office) -> None:
    """Between its reading and its grants the people and groups are written, which may take hours."""
    say(office, rule(), rule("Group h"), rule("Group h", "Administrator"))

    def watch(method: str, target: str) -> None:
        if method == "POST" and "admin/groups" in target:
            office.clock.elapsed += 61
        if "g@grp" in office.wire.store.groups:
            give_by_hand(office)

    office.wire.after = watch
    assert (await office.sync("full")).status == "succeeded"
    assert look(office) == ["GET privileges", "GET privileges", *["POST privileges/add"] * 3]
    assert tell(office) == {"ReadOnly": "beside"}
    assert tell(office, "h@grp") == {"ReadOnly": "given", "Administrator": "given"}
    office.wire.after = None
    await end_rule(office)
    assert (find_levels(office), find_levels(office, "h@grp")) == ({"ReadOnly"}, set())


async def test_a_clock_that_is_set_back_makes_no_look_younger(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    """What somebody gave in the minutes since the look is by hand, whatever the machine's clock says."""
    say(office, rule())
    back, now = timedelta(), office.clock.now

    def watch(method: str, target: str) -> None:
        nonlocal back
        if method == "POST" and "admin/groups" in target:
            office.clock.elapsed += 61
            back += timedelta(minutes=10)
        if "g@grp" in office.wire.store.groups:
            give_by_hand(office)

    monkeypatch.setattr(office.clock, "now", lambda: now() - back)
    office.wire.after = watch
    assert (await office.sync("full")).status == "succeeded"
    assert tell(office) == {"ReadOnly": "beside"}


async def test_a_place_is_looked_at_once_for_all_groups(office: Office) -> None:
    """Also in a delta run, and once more only when that was over a minute ago."""
    say(office, rule(), rule("Group h"), rule("Group i"))
    refuse(office)
    await office.sync("full")
    office.wire.faults.clear()
    look(office)
    by_hand = give_by_hand(office, group="i@grp")
    await office.sync()
    assert look(office) == ["GET privileges", *["POST privileges/add"] * 3]
    assert [tell(office, f"{name}@grp")["ReadOnly"] for name in "ghi"] == ["given", "given", "beside"]
    await end_rule(office)
    assert set(office.wire.store.privileges) == {by_hand}


async def test_nothing_is_given_where_nobody_could_look(office: Office) -> None:
    """The grant fails and is sent by a later run; nothing is remembered of it meanwhile."""
    say(office, rule())
    refuse(office)
    await office.sync("full")
    office.wire.faults.clear()
    office.wire.faults.add(Fault("reset", side="portal", path="admin/privileges", count=-1))
    look(office)
    run = await office.sync()
    assert run.status == "partial"
    ((planned, _, _),) = [one for some in Store(office.database).plans.iterate_changes(run.id) for one in some]
    assert (planned.status, planned.error.cause) == ("failed", Cause.NONE)
    assert "POST privileges/add" not in look(office)
    assert Store(office.database).privileges.load_held() == {}
    office.wire.faults.clear()
    await office.sync()
    assert tell(office) == {"ReadOnly": "given"}


async def test_a_place_that_went_meanwhile_is_told_by_the_look(office: Office) -> None:
    """Nothing is sent there, and nothing remembered of it; one answer makes nothing gone before a full run looked."""
    say(office, rule())
    refuse(office)
    await office.sync("full")
    office.wire.faults.clear()
    office.wire.store.databases[1].applications.pop(0)
    look(office)
    assert (await office.sync()).status == "succeeded"
    assert look(office) == ["GET privileges"]
    assert tell(office) == {"ReadOnly": "waiting"}
    for _ in range(2):
        assert (await office.sync()).status == "succeeded"
    assert look(office) == []
    await office.sync("full")
    assert tell(office) == {"ReadOnly": "gone"}
