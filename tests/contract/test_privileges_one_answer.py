"""One answer that a place is gone: of one server that is behind, or of a gateway. Nothing is let go of by it, and
nothing is asked again and again."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import pytest

from syncd.model.reason import Cause
from syncd.model.run import RunRecord
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import turn_knobs
from syncd.store.store import Store
from tests.contract.office import DAY, Office
from tests.contract.privilege_rules import find_levels, give_by_hand, rule, say, tell

hidden = pytest.mark.parametrize("shown", ["none", "privileged"])


def miss(office: Office, path: str, *, method: str = ".*", count: int = 1) -> Fault:
    """Let the portal say so many times that there is no such place."""
    body = b'{"type": "ResourceNotFound", "description": "no", "errorGuid": "1"}'
    fault = Fault("status", side="portal", method=method, path=path, status=404, body=body, count=count)
    return office.wire.faults.add(fault)


def look(office: Office) -> list[str]:
    """Return the requests about privileges since the last look."""
    seen = [line.split() for line in office.judge.seen if "/db/" in line]
    office.judge.seen.clear()
    return [f"{method} {target.rpartition('/db/1/')[2].rpartition('/')[2]}" for method, target, *_ in seen]


def name_by_guid(office: Office) -> str:
    """Return the guid of the application Invoices, by which a rule needs no list."""
    return office.wire.store.databases[1].applications[0].guid


def list_outcomes(office: Office, run: RunRecord) -> list[tuple[str, str, Cause]]:
    """Return action, status and cause of every change of a privilege."""
    chunks = Store(office.database).plans.iterate_changes(run.id)
    found = [planned for some in chunks for planned, _, _ in some if planned.change.object == "privilege"]
    return [(planned.change.action, planned.status, planned.error.cause) for planned in found]


async def test_a_grant_that_one_server_does_not_know_the_place_of_is_sent_by_the_next_run(office: Office) -> None:
    """The place can be read: that says more. Nothing is remembered, and others are given what they are to have."""
    await office.sync("full")
    say(office, rule(), rule("Group h"))
    miss(office, "privileges/add")
    run = await office.sync("full")
    assert run.status == "partial"
    assert sorted(status for _, status, _ in list_outcomes(office, run)) == ["done", "failed"]
    assert sum(bool(find_levels(office, f"{name}@grp")) for name in "gh") == 1
    look(office)
    assert (await office.sync()).status == "succeeded"
    assert look(office) == ["GET privileges", "POST add"]
    assert find_levels(office) == find_levels(office, "h@grp") == {"ReadOnly"}
    say(office)
    await office.sync()
    assert find_levels(office) == find_levels(office, "h@grp") == set()


async def test_a_revoke_that_one_server_does_not_know_the_place_of_is_sent_by_the_next_run(office: Office) -> None:
    """Once in each run, as long as it says so; what the rule gave is not forgotten."""
    say(office, rule())
    for _ in range(2):
        await office.sync("full")
    say(office)
    fault = miss(office, "privileges/remove", count=2)
    for number in range(2):
        assert [status for _, status, _ in list_outcomes(office, await office.sync())] == ["failed"]
        assert fault.hits == number + 1
        assert tell(office) == {"ReadOnly": "leaving"}
    await office.sync()
    assert find_levels(office) == set()


async def test_a_look_that_finds_no_place_once_waits_for_the_next_full_run(office: Office) -> None:
    """Delta runs ask nothing more, and `syncd privileges` says what it waits for; what is there stays known."""
    say(office, rule(), rule("Group h"))
    body = b'{"type": "InsufficientAccountPermissions", "description": "no", "errorGuid": "1"}'
    office.wire.faults.add(
        Fault("status", side="portal", path="privileges/add", holding="h@grp", status=403, body=body)
    )
    await office.sync("full")
    miss(office, "admin/privileges", method="GET")
    run = await office.sync()
    assert list_outcomes(office, run) == [("grant", "dropped", Cause.PLACE_GONE)]
    look(office)
    for _ in range(3):
        assert (await office.sync()).status == "succeeded"
    assert look(office) == []
    assert (tell(office), tell(office, "h@grp")) == ({"ReadOnly": "given"}, {"ReadOnly": "waiting"})
    assert (await office.sync("full")).status == "succeeded"
    assert tell(office, "h@grp") == {"ReadOnly": "given"}


@pytest.mark.parametrize("verb", ["add", "remove"])
async def test_a_place_that_went_since_it_was_read_is_not_written_to_again_and_again(office: Office, verb: str) -> None:
    """A delta run finds it by its write; the runs after it ask nothing, and the next full run asks the lists."""
    say(office, rule())
    await office.sync("full")
    say(office, *((rule(), rule(level="Administrator")) if verb == "add" else ()))
    office.wire.store.databases[1].applications.pop(0)
    await office.sync()
    look(office)
    for _ in range(3):
        assert (await office.sync()).status == "succeeded"
    assert look(office) == []
    office.clock.elapsed += DAY
    await office.sync("full")
    assert "GET privileges" not in look(office)


async def test_a_lost_grant_whose_repetition_finds_no_place_is_not_forgotten(office: Office) -> None:
    """The first attempt may have given it, or somebody may have meanwhile."""
    await office.sync("full")
    say(office, rule())
    office.wire.faults.add(Fault("lose", side="portal", path="privileges/add"))
    miss(office, "privileges/add")
    await office.sync("full")
    assert find_levels(office) == {"ReadOnly"}
    states = [held.state for some in Store(office.database).privileges.load_held().values() for held in some]
    assert states == ["sent"]
    await office.sync("full")
    assert tell(office) == {"ReadOnly": "beside"}


async def leave(office: Office) -> None:
    """Let the group go from the tenant, with its time of grace over and nothing taken from it yet."""
    say(office, rule(application=name_by_guid(office)))
    for _ in range(2):
        assert (await office.sync("full")).status == "succeeded"
    office.source.remove_group("g")
    office.rules = replace(office.rules, policy=replace(office.rules.policy, grace=office.rules.policy.grace * 0))


@hidden
async def test_where_lists_show_nothing_one_answer_lets_no_group_go(
    office: Office, shown: Literal["none", "privileged"]
) -> None:
    """A portal that keeps it would give it to the next group with that BPS id."""
    turn_knobs(office.wire.knobs, {"places_visible": shown})
    await leave(office)
    miss(office, "admin/privileges", method="GET", count=-1)
    run = await office.sync("full")
    assert "g@grp" in office.wire.store.groups
    assert "no such place" in run.error
    assert tell(office) == {"ReadOnly": "kept"}
    office.wire.faults.clear()
    office.take_asked()
    await office.sync("full")
    asked = [one.action for one in office.take_asked() if one.bps_id == "g@grp" and one.object != "membership"]
    assert asked == ["revoke", "delete"]


@hidden
async def test_where_lists_show_nothing_a_second_full_run_believes_it(
    office: Office, shown: Literal["none", "privileged"]
) -> None:
    """What was given there nobody has: the group goes, and the place is told for as long as a rule names it."""
    turn_knobs(office.wire.knobs, {"places_visible": shown})
    await leave(office)
    office.wire.store.databases[1].applications.pop(0)
    for there in (True, False):
        office.clock.elapsed += DAY
        await office.sync("full")
        assert ("g@grp" in office.wire.store.groups) is there


async def test_a_portal_that_could_not_be_read_in_between_makes_it_the_first_answer_again(office: Office) -> None:
    """Two answers in a row are asked for, each of a full run."""
    turn_knobs(office.wire.knobs, {"places_visible": "none"})
    await leave(office)
    miss(office, "admin/privileges", method="GET")
    await office.sync("full")
    office.wire.faults.add(Fault("status", side="portal", path="admin/privileges", status=503, count=-1))
    await office.sync("full")
    office.wire.faults.clear()
    miss(office, "admin/privileges", method="GET")
    await office.sync("full")
    assert "g@grp" in office.wire.store.groups


async def test_a_place_that_answers_for_itself_is_not_forgotten_although_lists_lack_it(office: Office) -> None:
    """Lists that show some of all, and a reading that failed once: what the rule gave is taken in the end."""
    say(office, rule())
    await office.sync("full")
    give_by_hand(office, "Administrator", group=office.wire.application.bps_id, application="Contracts")
    turn_knobs(office.wire.knobs, {"places_visible": "privileged"})
    say(office)
    miss(office, "admin/privileges", method="GET")
    run = await office.sync("full")
    assert "could not be read" in run.error
    assert tell(office) == {"ReadOnly": "kept"}
    await office.sync("full")
    assert find_levels(office) == set()


@pytest.mark.parametrize("named", [{"process": "Suppliers"}, {"form_type": "Correction", "workflow": "Approval"}])
async def test_a_list_that_one_server_does_not_know_hides_what_lies_in_it(
    office: Office, named: dict[str, str]
) -> None:
    """A server that is behind says so of the place, of the list in which it would be, and of the process itself."""
    say(office, rule(level="ReadOnly", **named))
    await office.sync("full")
    say(office)
    miss(office, "(processes|associatedFormTypes|admin/privileges)", method="GET", count=-1)
    for _ in range(2):
        await office.sync("full")
    office.wire.faults.clear()
    for _ in range(2):
        await office.sync("full")
    assert find_levels(office) == set()
