"""Who has something at places that no rule names, read for cards when a person asks, within bounds."""

from __future__ import annotations

from datetime import timedelta

import pytest

from syncd.errors import Forbidden
from syncd.model.privilege import Listed
from syncd.store.privileges.survey import load_last_survey, save_survey
from syncd.store.reports.impact_privileges import NO_RULES
from syncd.sync.portal import survey as surveys
from syncd.sync.portal.survey import survey_places
from tests.contract.privilege_rules import rule
from tests.contract.test_impact_privileges import BY_HAND, found_company, load, say
from tests.fakes.world import World

pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


def give_by_hand(world: World) -> None:
    """Two applications and a process: a group of ours has the process, Ann an application, a stranger the other one."""
    world.portal.places[1, "process", "invoices"] = (Listed(number=3, guid="costs", name="Costs"),)
    world.portal.privileges = {
        ("1/process//costs//start", "all@grp"),
        ("1/application//contracts//readonly", "ann@x.com"),
        ("1/application//invoices//readonly", "stranger@portal"),
    }


async def test_a_survey_is_on_every_card_and_no_run_makes_one(world: World) -> None:
    """Of the group, of those in it, of the person; with when it was read and what is still not known."""
    give_by_hand(world)
    say(world)
    await world.sync("full")
    world.source.put_user("ann", accountEnabled=False)
    held = await world.sync("full")
    assert {(card["privileges"], card["unknown"]) for card in load(world, held).values()} == {(None, NO_RULES)}
    assert world.portal.privilege_reads == []
    now = world.clock.now()
    save_survey(world.database, await survey_places(world.portal, {1}, now=now))
    assert load_last_survey(world.database) == now
    assert sorted(world.portal.privilege_reads) == [
        "holders contracts",
        "holders costs",
        "holders invoices",
        "list application",
        "list process contracts",
        "list process invoices",
    ]
    cards = load(world, held)
    costs = {**BY_HAND, "group": "all@grp", "place": "process Costs (database 1)"}
    contracts = {**BY_HAND, "group": None, "place": "application Contracts (database 1)"}
    assert cards["delete ann@x.com"]["privileges"] == [contracts, costs]
    assert cards["unlink all@grp"]["privileges"] == [costs]
    said = (
        "the level of what was given by hand, and form types that no rule names (3 applications and processes of "
        f"content database 1 were read at {now:%Y-%m-%d %H:%M} UTC)"
    )
    assert {card["unknown"] for card in cards.values()} == {said}
    await world.sync("full")
    assert len(world.portal.privilege_reads) == 6
    assert list(world.store.privileges.load_holders()) == []  # planning and `syncd privileges` know nothing of it


async def test_what_runs_read_of_a_rule_s_place_counts_more(world: World) -> None:
    """What a rule gave is told with its level, and once; the survey adds the other places."""
    give_by_hand(world)
    say(world, rule("All"))
    await world.sync("full")
    save_survey(world.database, await survey_places(world.portal, {1}, now=world.clock.now()))
    world.portal.privileges.add(("1/application//invoices//administrator", "sales@grp"))
    await world.sync("full")
    world.source.put_user("ann", accountEnabled=False)
    cards = load(world, await world.sync("delta"))
    told = [(each["group"], each["place"], each["level"]) for each in cards["delete ann@x.com"]["privileges"]]
    assert told == [
        (None, "application Contracts (database 1)", None),
        ("all@grp", "application Invoices (database 1)", "ReadOnly"),
        ("all@grp", "process Costs (database 1)", None),
        ("sales@grp", "application Invoices (database 1)", None),
    ]


async def test_a_survey_is_bounded_and_says_what_it_left(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the bound nothing is read; a place that cannot be read is named, one that is gone gives nothing."""
    give_by_hand(world)
    monkeypatch.setattr(surveys, "MOST_PLACES", 2)
    found = await survey_places(world.portal, {1}, now=world.clock.now())
    assert (len(found.holders), found.left) == (2, 2)
    assert len([one for one in world.portal.privilege_reads if one.startswith("holders")]) == 2
    monkeypatch.setattr(surveys, "MOST_PLACES", 200)
    world.portal.unreadable_places, world.portal.gone_places = {"contracts"}, {"invoices"}
    found = await survey_places(world.portal, {1}, now=world.clock.now())
    assert [str(place) for place in found.unread] == ["application Contracts (database 1)"]
    assert [place.name for place in found.holders] == ["Costs"]
    say(world)
    await world.sync("full")
    save_survey(world.database, found)
    world.source.put_user("ann", accountEnabled=False)
    (card, *_) = load(world, await world.sync("full")).values()
    assert "who has something at application Contracts (database 1), which could not be read" in card["unknown"]


async def test_without_the_scope_a_survey_is_refused(world: World) -> None:
    """The caller says so; nothing is kept."""
    world.portal.privileges_forbidden = "all"
    with pytest.raises(Forbidden):
        await survey_places(world.portal, {1}, now=world.clock.now() + timedelta())
    assert load_last_survey(world.database) is None
