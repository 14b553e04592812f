"""A group is deleted after what rules gave it is taken, and waits for that, whatever kept it from being taken."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from syncd.cli.commands.privileges import list_privileges
from syncd.model.reason import Cause
from syncd.model.run import PullKind, RunRecord
from syncd.sandbox.portal.places import Given
from syncd.sandbox.wire.faults import Fault
from syncd.store.reports.explain import Explanations
from syncd.store.store import Store
from syncd.sync.planning.undo import Undo
from tests.contract.office import DAY, Office
from tests.contract.privilege_rules import find_levels, give_by_hand, rule, say, tell
from tests.fakes.rules import make_limits
from tests.fakes.wired import Asked

GONE = Asked("delete", "group", "g@grp")


def refuse(office: Office, status: int, code: str) -> None:
    """Let the portal answer every revoke with this."""
    body = f'{{"type": "{code}", "description": "no", "errorGuid": "1"}}'.encode()
    office.wire.faults.add(Fault("status", side="portal", path="privileges/remove", status=status, body=body, count=-1))


def break_connection(office: Office) -> None:
    """Let nobody learn how a revoke ends."""
    office.wire.faults.add(Fault("reset", side="portal", path="admin/privileges", count=-1))


TROUBLES: dict[str, Callable[[Office], None]] = {
    "no rights": lambda office: refuse(office, 403, "InsufficientAccountPermissions"),
    "no scope": lambda office: refuse(office, 403, "InvalidScope"),
    "conflict": lambda office: refuse(office, 409, "ValidationError"),
    "unclear": break_connection,
}
each_trouble = pytest.mark.parametrize("trouble", TROUBLES.values(), ids=TROUBLES)


async def leave(office: Office) -> None:
    """Let the group go from the tenant, with its time of grace over and nothing taken from it yet."""
    say(office, rule())
    assert (await office.sync("full")).status == "succeeded"
    office.source.remove_group("g")
    office.rules = replace(office.rules, policy=replace(office.rules.policy, grace=office.rules.policy.grace * 0))
    office.take_asked()


def take_revoked(office: Office) -> bool:
    """Return whether the group was deleted since the last look; if so, nothing was left of what the rule gave."""
    asked = office.take_asked()
    if GONE not in asked:
        return False
    return "revoke" in [one.action for one in asked[: asked.index(GONE)] if one.object == "privilege"]


def find_reason(office: Office, run: RunRecord) -> Cause | None:
    """Return why the plan of a run put the deletion off; None when it did not."""
    chunks = Store(office.database).plans.iterate_changes(run.id)
    found = [planned for some in chunks for planned, _, _ in some if planned.change.action == "delete"]
    assert len(found) == 1
    return found[0].error.cause if found[0].status == "deferred" else None


@each_trouble
async def test_a_group_stays_until_its_privileges_are_revoked(
    office: Office, trouble: Callable[[Office], None]
) -> None:
    """Refused, put off, a conflict or an unclear answer: the portal may keep them under the id of the group."""
    await leave(office)
    trouble(office)
    run = await office.sync()
    assert find_reason(office, run) is Cause.PRIVILEGES_STAY
    assert "g@grp" in office.wire.store.groups
    office.wire.faults.clear()
    office.wire.store.privileges.clear()  # a person looked, where only a person can
    await office.sync("full")
    assert "g@grp" not in office.wire.store.groups


async def test_the_deletion_follows_its_revoke_in_one_run(office: Office) -> None:
    """As soon as it is taken; nothing more is asked of the portal for that."""
    await leave(office)
    refuse(office, 403, "InsufficientAccountPermissions")
    await office.sync()
    office.wire.faults.clear()
    office.judge.seen.clear()
    await office.sync()
    assert take_revoked(office)
    assert [line.split()[0] for line in office.judge.seen if "privileges" in line] == ["POST"]


async def test_why_it_stays_is_explained(office: Office) -> None:
    """In the words of the reasons, beside what is to be taken."""
    await leave(office)
    refuse(office, 403, "InsufficientAccountPermissions")
    await office.sync()
    explanations = Explanations(office.database)
    (found,) = explanations.find("Group g")
    told = explanations.explain(found, now=office.clock.now())
    open_ = {(one["action"], one["object"]): one["error"] for one in told.pending}
    assert open_["delete", "group"].startswith("privileges that rules gave it are not revoked yet")
    states = [(each["bps_id"], each["state"]) for each in list_privileges(Store(office.database), office.rules)]
    assert ("g@grp", "leaving") in states


@each_trouble
async def test_an_approval_deletes_no_group_that_keeps_privileges(
    office: Office, trouble: Callable[[Office], None]
) -> None:
    """Released together, the deletion waits for the revoke all the same."""
    await leave(office)
    office.rules = replace(office.rules, limits=make_limits(max_removals=0))
    held = await office.sync()
    assert held.status == "held"
    trouble(office)
    assert find_reason(office, await office.approve(held)) is Cause.PRIVILEGES_STAY
    assert "g@grp" in office.wire.store.groups


@each_trouble
async def test_a_plan_file_deletes_no_group_that_keeps_privileges(
    office: Office, trouble: Callable[[Office], None]
) -> None:
    """The same of a plan that was made before."""
    await leave(office)
    file = office.make_file(await office.sync("delta", write=False))
    trouble(office)
    assert find_reason(office, await office.carry_out(file)) is Cause.PRIVILEGES_STAY
    assert "g@grp" in office.wire.store.groups


@each_trouble
async def test_an_undo_deletes_no_group_that_keeps_privileges(
    office: Office, trouble: Callable[[Office], None]
) -> None:
    """The same of a group that the undone run had made."""
    say(office, rule())
    made = await office.sync("full")
    trouble(office)
    await office.carry_out(Undo(run_id=made.id, delete_created=True))
    assert "g@grp" in office.wire.store.groups
    assert "h@grp" not in office.wire.store.groups


async def test_an_undo_takes_what_later_runs_gave_before_it_deletes_a_group(office: Office) -> None:
    """As with the licences of an account: they go with it, once."""
    say(office)
    made = await office.sync("full")
    say(office, rule(), rule("Group h"))
    await office.sync("full")
    office.take_asked()
    done = await office.carry_out(Undo(run_id=made.id, delete_created=True))
    assert done.status == "succeeded", done.error
    asked = office.take_asked()
    for group in ("g@grp", "h@grp"):
        revoked = [place for place, one in enumerate(asked) if one[:3] == ("revoke", "privilege", group)]
        assert len(revoked) == 1
        assert revoked[0] < asked.index(Asked("delete", "group", group))
    assert office.wire.store.privileges == {}


async def test_an_undo_revokes_once_what_the_undone_run_gave_to_a_group_that_it_made(office: Office) -> None:
    """By the creation alone: the grant goes with its group."""
    say(office, rule())
    made = await office.sync("full")
    office.take_asked()
    await office.carry_out(Undo(run_id=made.id, delete_created=True))
    assert [one.action for one in office.take_asked() if one.bps_id == "g@grp" and one.object == "privilege"] == [
        "revoke"
    ]


async def test_an_undo_leaves_a_group_that_has_something_by_hand_where_a_rule_gave_too(office: Office) -> None:
    """Nobody can tell the two apart, and the deletion would take both."""
    say(office)
    made = await office.sync("full")
    place = (1, "application", "", office.wire.store.databases[1].applications[0].guid)
    office.wire.store.privileges[Given(place, "g@grp", "MetadataAccess")] = "local"
    say(office, rule())
    await office.sync("full")
    await office.carry_out(Undo(run_id=made.id, delete_created=True))
    assert "g@grp" in office.wire.store.groups
    assert len(office.wire.store.privileges) == 2


async def test_a_place_that_is_gone_keeps_no_group(office: Office) -> None:
    """What was given there nobody has, and nobody can take."""
    say(office, rule())
    await office.sync("full")
    office.wire.store.databases[1].applications.pop(0)
    await office.sync("full")
    office.source.remove_group("g")
    await office.sync()
    office.clock.elapsed += 4 * DAY
    await office.sync()
    assert GONE in office.take_asked()


def miss_once(office: Office, method: str) -> None:
    """Let the portal say once that there is no such place."""
    body = b'{"type": "ResourceNotFound", "description": "no", "errorGuid": "1"}'
    office.wire.faults.add(Fault("status", side="portal", method=method, path="privileges", status=404, body=body))


@pytest.mark.parametrize(("method", "kind"), [("POST", "delta"), ("POST", "full"), ("GET", "full")])
async def test_one_answer_that_a_place_is_gone_deletes_no_group(office: Office, method: str, kind: PullKind) -> None:
    """Not that to the revoke, nor that to a reading of a place that the lists show: the next full run decides."""
    await leave(office)
    miss_once(office, method)
    run = await office.sync(kind)
    assert find_reason(office, run) is Cause.PRIVILEGES_STAY
    assert ("its lists show it" in run.error) == (method == "GET")
    assert "nothing is done there" not in run.error
    assert tell(office) == {"ReadOnly": "kept" if method == "GET" else "leaving"}
    assert find_levels(office) == {"ReadOnly"}
    office.take_asked()
    run = await office.sync("full")
    assert not run.error
    assert take_revoked(office)


async def test_an_approval_deletes_no_group_on_one_answer_that_a_place_is_gone(office: Office) -> None:
    """It asks no lists: the next full run decides."""
    await leave(office)
    office.rules = replace(office.rules, limits=make_limits(max_removals=0))
    held = await office.sync()
    miss_once(office, "GET")
    await office.approve(held)
    assert "g@grp" in office.wire.store.groups
    office.rules = replace(office.rules, limits=make_limits())
    office.take_asked()
    await office.sync("full")
    assert take_revoked(office)


async def stay(office: Office) -> None:
    """The group waits, whatever runs follow, and is told with what it may have; a person takes that, and it goes."""
    for _ in range(2):
        run = await office.sync("full")
        assert find_reason(office, run) is Cause.PRIVILEGES_STAY
        office.clock.elapsed += DAY
    assert tell(office)["ReadOnly"] == "kept"
    if office.wire.knobs.privileges_list_groups:
        office.wire.store.privileges.clear()
    else:  # no reading will ever tell
        office.wire.store.delete_group("g@grp")
    for _ in range(2):
        await office.sync("full")
    assert "g@grp" not in office.wire.store.groups
    assert tell(office) == {}


@pytest.mark.parametrize("office", [{"deletion_clears_privileges": False}], indirect=True)
async def test_a_group_stays_where_ours_cannot_be_told_from_what_is_by_hand(office: Office) -> None:
    """No rule takes it, and a portal that keeps it would give it to the next group with that BPS id."""
    await office.sync("full")
    give_by_hand(office, "MetadataAccess")
    await leave(office)
    await stay(office)


@pytest.mark.parametrize("office", [{}, {"privileges_list_groups": False}], indirect=True, ids=["named", "not named"])
async def test_a_group_stays_where_a_conflict_may_be_ours(office: Office) -> None:
    """The answer to its grant was lost, and the next one was a conflict."""
    await office.sync("full")
    office.wire.knobs.privilege_repeated = "conflict"
    office.wire.faults.add(Fault("lose", side="portal", path="privileges/add"))
    await leave(office)
    states = [held.state for some in Store(office.database).privileges.load_held().values() for held in some]
    assert states == ["unsure"]
    await stay(office)


async def test_a_group_stays_until_a_grant_cannot_arrive_any_more(office: Office) -> None:
    """Its answer was lost: it may take effect late, and after an hour a full run finds that it did not."""
    say(office, rule("Group h"))
    for _ in range(2):
        await office.sync("full")  # a reading names a group
    say(office, rule("Group h"), rule())
    office.wire.faults.add(Fault("reset", side="portal", path="privileges/add", count=-1))
    await office.sync("full")
    office.wire.faults.clear()
    office.source.remove_group("g")
    office.rules = replace(office.rules, policy=replace(office.rules.policy, grace=office.rules.policy.grace * 0))
    say(office, rule("Group h"))
    assert find_reason(office, await office.sync("full")) is Cause.PRIVILEGES_STAY
    office.clock.elapsed += 3601
    await office.sync("full")
    assert "g@grp" not in office.wire.store.groups


@pytest.mark.parametrize("office", [{"deletion_clears_privileges": False}, {}], indirect=True, ids=["kept", "cleared"])
async def test_what_the_portal_keeps_for_a_group_that_somebody_deleted_is_told(office: Office) -> None:
    """Also when a group with that BPS id is there again: then it may be by hand. What it does not keep is forgotten."""
    kept = not office.wire.knobs.deletion_clears_privileges
    say(office, rule())
    for _ in range(2):
        await office.sync("full")
    office.source.remove_group("g")
    say(office)
    refuse(office, 403, "InsufficientAccountPermissions")
    await office.sync()
    office.wire.faults.clear()
    office.wire.store.delete_group("g@grp")
    for _ in range(2):
        await office.sync("full")
    assert tell(office) == ({"ReadOnly": "kept"} if kept else {})
    office.source.put_group("k", displayName="Group k", mailNickname="g@grp")
    for _ in range(2):
        await office.sync("full")
    assert tell(office) == ({"ReadOnly": "kept"} if kept else {})
    assert find_levels(office) == ({"ReadOnly"} if kept else set())
    office.wire.store.privileges.clear()
    office.clock.elapsed += 3601
    await office.sync("full")
    assert tell(office) == {}


@pytest.mark.parametrize("office", [{"deletion_clears_privileges": False}, {}], indirect=True, ids=["kept", "cleared"])
async def test_a_group_that_somebody_deleted_is_given_its_privileges_when_it_is_made_anew(office: Office) -> None:
    """Before any full run looks at the place. What the portal kept may be by hand: that stays with the new group."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift="revert"))
    say(office, rule())
    for _ in range(2):
        await office.sync("full")
    office.clock.elapsed += DAY
    office.wire.store.delete_group("g@grp")
    await office.sync_one("group", "g")  # the record is found gone by itself
    for _ in range(2):
        await office.sync()
    assert find_levels(office) == {"ReadOnly"}
    kept = not office.wire.knobs.deletion_clears_privileges
    assert tell(office) == {"ReadOnly": "beside" if kept else "given"}


async def test_undoing_a_deletion_gives_back_what_the_same_run_revoked(office: Office) -> None:
    """The group is made anew, and gets its privilege as soon as it is ready."""
    await leave(office)
    gone = await office.sync()
    assert take_revoked(office)
    run = await office.carry_out(Undo(run_id=gone.id))
    assert run.status == "succeeded", run.error
    assert [(given.key, given.level) for given in office.wire.store.privileges] == [("g@grp", "ReadOnly")]
