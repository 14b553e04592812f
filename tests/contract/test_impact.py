"""A removal of an account or a group names what hangs on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pytest
import structlog

from syncd.model.run import RunRecord
from syncd.plan.rules import LicenceRule
from syncd.store.reports.explain import Explanations
from syncd.store.reports.impact import Impact, describe_impact, load_impacts
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """Ann leads Ben and Cleo, is in two groups, owns one, and has two licences; leavers are deleted at once."""
    structlog.reset_defaults()
    made = open_world(store_url)
    made.portal.totals = {"User": 9, "PowerUser": 9}
    rules = make_rules(
        policy=make_policy(disabled_users="delete", deleted_groups="delete", grace=timedelta(), rename_substitute=True),
        licences=(LicenceRule("Sales", "User"),),
    )
    made.rules = replace(rules, mapping=replace(rules.mapping, owners=True))
    made.source.tracks_owners = True
    for key, name in (("g1", "All"), ("g2", "Sales")):
        made.source.put_group(key, displayName=name, mailNickname=f"{name.lower()}@grp")
    for name in ("ann", "ben", "cleo"):
        made.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        made.source.link("g1", name)
    for name in ("ben", "cleo"):
        made.source.put_user(name, manager="ann")
    made.source.link("g2", "ann")
    made.source.own("g2", "ann")
    made.source.own("g1", "cleo")
    assert (await made.sync("full")).status == "succeeded"
    made.portal.licences["ann@x.com"]["PowerUser"] = {}
    assert (await made.sync("full")).status == "succeeded"
    made.rules = replace(made.rules, limits=make_limits(max_removals=0))
    yield made
    made.database.close()


def load(world: World, run: RunRecord) -> dict[str, Impact]:
    """Return the cards of what a run holds or plans, by BPS id."""
    found = {}
    for chunk in world.store.plans.iterate_changes(run.id, statuses=["held", "planned", "dropped"]):
        cards = load_impacts(world.database, chunk)
        found.update({planned.change.bps_id: cards[planned.seq] for planned, _, _ in chunk if planned.seq in cards})
    return found


@pytest.mark.parametrize("write", [True, False])
async def test_the_card_of_an_account_names_places_licences_and_reports(world: World, write: bool) -> None:
    """Of a removal that is held as of one that is only planned; what is not known is said."""
    world.source.put_user("ann", accountEnabled=False)
    if not write:
        world.rules = replace(world.rules, limits=make_limits(max_removals=None, max_removal_percent=None))
    run = await world.sync("delta", write=write)
    assert (run.status == "held") is write
    (card,) = load(world, run).values()
    assert card["memberships"] == ["all@grp", "sales@grp"]
    assert card["ownerships"] == ["sales@grp"]
    assert sorted((each["type"], each["by"]) for each in card["licences"]) == [("PowerUser", "hand"), ("User", "rule")]
    assert card["reports"] == ["ben@x.com", "cleo@x.com"]
    assert card["substitutions"] == []
    assert card["privileges"] is None
    assert "without [[privileges]] rules no run reads them" in card["unknown"]
    assert describe_impact(card, 1)[-1] == "people who report to it: ben@x.com and 1 more"


async def test_the_card_of_an_account_names_its_substitutions(world: World) -> None:
    """The old account of somebody renamed, whose tasks go to the new one."""
    limits = make_limits(max_removals=None, max_removal_percent=None, max_update_percent=None)
    policy = replace(world.rules.policy, deleted_users="delete", grace=timedelta(days=3))
    world.rules = replace(world.rules, limits=limits, policy=policy)
    world.source.put_user("ben", userPrincipalName="benny@x.com", mail="benny@x.com")
    assert (await world.sync("delta")).status == "succeeded"
    world.rules = replace(world.rules, policy=replace(policy, grace=timedelta()), limits=make_limits(max_removals=0))
    run = await world.sync("full", write=False)
    card = load(world, run)["ben@x.com"]
    assert [(each["of"], each["to"]) for each in card["substitutions"]] == [("ben@x.com", "benny@x.com")]


async def test_the_card_of_a_group_names_its_people(world: World) -> None:
    """Members and owners."""
    world.source.remove_group("g1")
    run = await world.sync("delta")
    assert run.status == "held"
    card = load(world, run)["all@grp"]
    assert (card["memberships"], card["ownerships"]) == (["ann@x.com", "ben@x.com", "cleo@x.com"], ["cleo@x.com"])


async def test_an_explanation_carries_the_card(world: World) -> None:
    """Beside what is open; nothing else has one."""
    world.source.put_user("ann", accountEnabled=False)
    await world.sync("delta")
    explanations = Explanations(world.database)
    (found,) = explanations.find("ann@x.com")
    pending = explanations.explain(found, now=world.clock.now()).pending
    cards = {entry["action"]: entry.get("impact", {}) for entry in pending}
    assert cards["delete"]["reports"] == ["ben@x.com", "cleo@x.com"]
    assert cards["unlink"] == {}
