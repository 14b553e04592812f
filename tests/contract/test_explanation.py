"""What the store tells of one person or group, without asking either side."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import structlog

from syncd.store.explanation import Explanation, Explanations
from tests.fakes.world import World, open_world


@pytest.fixture
async def world(store_url: str) -> AsyncIterator[World]:
    """A member in a nested group, a guest, and somebody whom the portal refuses."""
    structlog.reset_defaults()
    made = open_world(store_url)
    source = made.source
    source.put_user("u1", userPrincipalName="ann@x.com", displayName="Ann", mail="ann@x.com", manager="u3")
    source.put_user("u2", userPrincipalName="g@x.com", displayName="Guest", mail="g@y.com", userType="Guest")
    source.put_user("u3", userPrincipalName="bad@x.com", displayName="Bad", mail="bad@x.com")
    source.put_group("g1", displayName="All", mailNickname="all@grp")
    source.put_group("g2", displayName="Sales", mailNickname="sales@grp")
    source.link("g2", "u1")
    source.link("g1", "g2", "group")
    source.link("g2", "u3")
    made.portal.refuse = {"bad@x.com"}
    await made.sync("full")
    yield made
    made.database.close()


def explain(world: World, wanted: str) -> Explanation:
    """Explain the one object that is meant."""
    explanations = Explanations(world.database)
    (found,) = explanations.find(wanted)
    return explanations.explain(found, now=world.clock.now())


@pytest.mark.parametrize("wanted", ["u1", "ANN@x.com", "Ann"])
async def test_a_person_is_found_by_id_name_and_bps_id(world: World, wanted: str) -> None:
    """Case does not matter."""
    explained = explain(world, wanted)
    assert explained.found.id == "u1"
    assert explained.desired is not None
    assert explained.desired["state"] == "wanted"
    assert [(item["name"], item["through"]) for item in explained.source["groups"]] == [
        ("All", "Sales"),
        ("Sales", None),
    ]
    assert explained.target is not None
    assert explained.target["groups"] == ["all@grp", "sales@grp"]
    assert {"create", "link"} <= {item["action"] for item in explained.outcomes}


async def test_a_guest_is_explained_by_the_rule_that_decided(world: World) -> None:
    """The reason names the setting."""
    explained = explain(world, "g@x.com")
    assert explained.desired is not None
    assert "scope.guests" in explained.desired["reason"]
    assert explained.target is None
    assert explained.outcomes == []


async def test_a_failing_person_shows_what_is_open_and_when_it_is_tried_again(world: World) -> None:
    """The portal's refusal, the next attempt, and the links that wait for it."""
    explained = explain(world, "bad@x.com")
    by_outcome = {item["outcome"]: item for item in explained.pending}
    assert "refuses" in by_outcome["failed"]["error"]
    assert by_outcome["failed"]["next_attempt_at"] is not None
    assert by_outcome["deferred"]["action"] in ("link", "update")


async def test_a_group_is_explained_with_its_members(world: World) -> None:
    """And an unknown name finds nothing."""
    explained = explain(world, "Sales")
    assert explained.found.kind == "group"
    assert explained.target is not None
    assert explained.target["members"] == ["ann@x.com"]
    assert Explanations(world.database).find("nobody") == []
