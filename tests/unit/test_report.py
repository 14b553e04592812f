"""The lists of users and groups: each source object once, in the one state that an administrator looks for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from syncd.model.kinds import RecordKind
from syncd.store.db.database import Database, open_database
from syncd.store.db.revision import ensure_schema
from syncd.store.reports.status import Line, Report
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World

pytestmark = pytest.mark.both_engines(every=True)


@pytest.fixture
def world(store_url: str) -> Iterator[World]:
    """A tenant of four people and two groups, not synchronised yet."""
    database: Database = open_database(store_url)
    ensure_schema(database, create=True)
    made = World(database)
    for name in ("ann", "ben", "cleo", "dan"):
        made.source.put_user(name, userPrincipalName=f"{name}@x.example", displayName=name.title(), userType="Member")
    for name in ("sales", "staff"):
        made.source.put_group(name, displayName=name.title(), mailNickname=f"{name}@groups.example")
    for member in ("ann", "ben", "cleo", "dan"):
        made.source.link("staff", member)
    yield made
    database.close()


def report(world: World, kind: RecordKind = "user", *, needle: str = "") -> dict[str, Line]:
    """Return the lines by source id, or by BPS id where there is none."""
    found_in = Report(world.database, world.rules.policy)
    lines = list(found_in.iterate(kind, needle=needle))
    if not needle:  # however it is read, it is the same
        assert found_in.count(kind) == Counter((line.state, line.reason) for line in lines)
        assert list(found_in.iterate(kind, at_once=2)) == lines
    found = {line.source_id or line.bps_id or "": line for line in lines}
    assert len(found) == len(lines) or any(line.reason.startswith("renamed") for line in lines)
    return found


async def test_everybody_is_pending_before_the_first_push_and_active_after_it(world: World) -> None:
    """A planned run leaves people pending; a push makes them active and says when."""
    await world.sync(write=False)
    assert {line.state for line in report(world).values()} == {"pending"}
    assert report(world)["ann"].last_synced_at is None
    await world.sync()
    ann = report(world)["ann"]
    assert (ann.state, ann.reason, ann.bps_id, ann.name) == ("active", "", "ann@x.example", "Ann")
    assert ann.last_synced_at is not None
    assert {line.state for line in report(world, "group").values()} == {"active"}


async def test_a_guest_and_an_unmappable_person_are_skipped_with_the_reason(world: World) -> None:
    """Nobody is missing without a word."""
    world.source.put_user("guest", userPrincipalName="g_y#EXT#@x.example", displayName="Guest", userType="Guest")
    world.source.put_user("odd", userPrincipalName="no-upn", displayName="Odd", userType="Member")
    await world.sync()
    lines = report(world)
    assert lines["guest"].state == "skipped"
    assert "scope.guests" in lines["guest"].reason
    assert lines["odd"].state == "skipped"
    assert "UPN form" in lines["odd"].reason


async def test_two_people_with_one_bps_id_are_skipped_as_a_collision(world: World) -> None:
    """Both see the other as the reason."""
    for name in ("one", "two"):
        world.source.put_user(name, userPrincipalName="same@x.example", displayName=name, userType="Member")
    await world.sync()
    assert {report(world)[name].state for name in ("one", "two")} == {"skipped"}
    assert "another person" in report(world)["one"].reason


async def test_a_leaver_is_leaving_with_what_happens_to_the_account(world: World) -> None:
    """Disabled, deleted and out of scope: the reason, since when, and what the policy will do."""
    await world.sync()
    world.source.put_user("ann", accountEnabled=False)
    world.source.remove_user("ben")
    world.rules = make_rules(policy=make_policy(deleted_users="delete", grace=timedelta(days=7)))
    await world.sync()
    lines = report(world)
    assert lines["ann"].state == lines["ben"].state == "leaving"
    assert "disabled in the tenant" in lines["ann"].reason
    assert "the account is kept" in lines["ann"].reason
    assert "leaving since" in lines["ben"].reason
    assert "the account is deleted from" in lines["ben"].reason


async def test_who_never_came_is_not_listed_when_deleted(world: World) -> None:
    """Deleted before ever being in the target: no line. Disabled or out of scope: said so."""
    world.source.remove_user("ann")
    world.source.put_user("ben", accountEnabled=False)
    world.rules = make_rules(scope=make_scope(include_groups=("sales",)))
    await world.sync()
    lines = report(world)
    assert "ann" not in lines
    assert lines["ben"].state == "skipped"
    assert lines["dan"].state == "out_of_scope"
    assert "scope.include_groups" in lines["dan"].reason


async def test_a_protected_person_is_skipped(world: World) -> None:
    """The protect list is named as the reason."""
    world.rules = make_rules(scope=make_scope(protect=frozenset({"ann@x.example"})))
    await world.sync()
    assert report(world)["ann"].state == "skipped"
    assert "scope.protect" in report(world)["ann"].reason


async def test_a_record_that_the_portal_had_before_us_is_held_or_foreign(world: World) -> None:
    """Adoption waits for approval; with policy.adopt = "never" the record stays somebody else's."""
    world.portal.add_account("ann@x.example", name="Ann")
    record = await world.sync()
    assert record.status == "held"
    assert report(world)["ann"].state == "held"
    assert "guard.max_adoptions" in report(world)["ann"].reason
    assert report(world)["ann"].last_synced_at is None
    world.rules = replace(world.rules, policy=make_policy(adopt="never"))
    await world.sync()
    assert report(world)["ann"].state == "foreign"


async def test_a_held_removal_shows_at_the_people_concerned_until_it_is_gone(world: World) -> None:
    """The unlinks of one group are held; when the members come back, nothing is held any more."""
    await world.sync()
    world.rules = replace(world.rules, limits=make_limits(max_removals=1))
    world.source.unlink("staff", "ann")
    world.source.unlink("staff", "ben")
    assert (await world.sync()).status == "held"
    lines = report(world)
    assert [lines[name].state for name in ("ann", "ben", "cleo")] == ["held", "held", "active"]
    assert "unlink of 1 membership" in lines["ann"].reason
    group = report(world, "group")["staff"]
    assert (group.state, "unlink of 2 memberships" in group.reason) == ("held", True)
    world.source.link("staff", "ann")
    world.source.link("staff", "ben")
    assert (await world.sync()).status == "succeeded"
    assert {line.state for line in report(world).values()} == {"active"}


async def test_a_refused_record_is_failing_with_the_error_and_the_next_attempt(world: World) -> None:
    """What the portal said, how often it was tried, and when it is tried again."""
    world.portal.refuse.add("ann@x.example")
    assert (await world.sync()).status == "partial"
    ann = report(world)["ann"]
    assert ann.state == "failing"
    assert "the portal refuses ann@x.example" in ann.reason
    assert "1 attempt, next attempt" in ann.reason
    world.portal.refuse.clear()
    await world.sync()
    assert report(world)["ann"].state == "active"


async def test_a_failure_that_nobody_wants_any_more_is_forgotten(world: World) -> None:
    """A person who could not be created and then left the tenant does not stay failing."""
    world.portal.refuse.add("ann@x.example")
    await world.sync()
    world.source.remove_user("ann")
    await world.sync()
    assert "ann" not in report(world)


async def test_a_renamed_person_is_active_under_the_new_name_and_leaving_under_the_old_one(world: World) -> None:
    """Two lines for one source object: the present account and the one that was left."""
    await world.sync()
    world.source.put_user("ann", userPrincipalName="anna@x.example")
    await world.sync()
    lines = [line for line in Report(world.database, world.rules.policy).iterate("user") if line.source_id == "ann"]
    assert [(line.bps_id, line.state) for line in lines] == [
        ("anna@x.example", "active"),
        ("ann@x.example", "leaving"),
    ]
    assert lines[1].reason.startswith("renamed: its person or group is anna@x.example now")


async def test_a_deleted_group_is_leaving_emptied(world: World) -> None:
    """Its record stays, without members."""
    await world.sync()
    world.source.remove_group("staff")
    await world.sync()
    staff = report(world, "group")["staff"]
    assert staff.state == "leaving"
    assert "emptied" in staff.reason


async def test_lines_come_in_the_order_of_names_and_can_be_searched(world: World) -> None:
    """By any part of name, principal name, BPS id or source id, without case."""
    world.source.put_user("zoe", userPrincipalName="z@x.example", displayName="Łucja Źródlana", userType="Member")
    await world.sync()
    names = [line.name for line in Report(world.database, world.rules.policy).iterate("user")]
    assert names == ["Ann", "Ben", "Cleo", "Dan", "Łucja Źródlana"]
    assert list(report(world, needle="źRÓD")) == ["zoe"]
    assert list(report(world, needle="Z@X")) == ["zoe"]
    assert list(report(world, needle="ZOE")) == ["zoe"]
    assert report(world, needle="nobody") == {}
    assert list(report(world, "group", needle="STAFF@")) == ["staff"]
