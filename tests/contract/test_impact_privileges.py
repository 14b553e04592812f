"""A removal of an account, a group or a membership names what may be done in the portal by it, as far as is known."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from syncd.cli.screen.impact import print_impact_of, print_impacts
from syncd.model.privilege import Listed
from syncd.model.run import RunRecord
from syncd.store.reports.explain import Explanations
from syncd.store.reports.impact import Impact, describe_impact, load_impacts
from syncd.store.reports.impact_privileges import NO_RULES, NO_SCOPE, REST
from tests.contract.privilege_rules import rule
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World


def found_company(world: World) -> None:
    """Ann is in two groups, Ben in one; a portal with two applications; leavers are deleted at once, or held."""
    for key, name in (("g1", "All"), ("g2", "Sales")):
        world.source.put_group(key, displayName=name, mailNickname=f"{name.lower()}@grp")
    for name in ("ann", "ben"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        world.source.link("g1", name)
    world.source.link("g2", "ann")
    world.portal.places = {
        (1, "application", ""): (
            Listed(number=1, guid="invoices", name="Invoices"),
            Listed(number=2, guid="contracts", name="Contracts"),
        )
    }
    world.rules = make_rules(policy=make_policy(disabled_users="delete", deleted_groups="delete", grace=timedelta()))


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep each sentence on one line, whoever starts the tests."""
    monkeypatch.delenv("COLUMNS", raising=False)


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]

INVOICES = {"place": "application Invoices (database 1)", "level": "ReadOnly", "company": None}
BY_HAND = {"level": None, "company": None, "state": "by_hand"}


def say(world: World, *rules: Any) -> None:
    """Let these rules be in force, and hold every removal from now on."""
    world.rules = replace(world.rules, privileges=rules, limits=make_limits(max_removals=0))


def load(world: World, run: RunRecord) -> dict[str, Impact]:
    """Return the cards of what a run holds, by action and record."""
    found = {}
    for chunk in world.store.plans.iterate_changes(run.id, statuses=["held"]):
        cards = load_impacts(world.database, chunk)
        for planned, _, _ in chunk:
            if planned.seq in cards:
                found[f"{planned.change.action} {planned.change.bps_id}"] = cards[planned.seq]
    return found


async def test_a_removal_names_what_may_be_done_by_it(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """By rule and by hand, of each group that somebody leaves, and of the person alone; nothing more is asked."""
    say(world, rule("Sales"), rule("All", application="Contracts"))
    world.portal.privileges = {
        ("1/application//invoices//administrator", "all@grp"),
        ("1/application//invoices//metadataaccess", "ann@x.com"),
    }
    await world.sync("full")
    asked = list(world.portal.privilege_reads)
    world.source.put_user("ann", accountEnabled=False)
    held = await world.sync("delta")
    assert (held.status, world.portal.privilege_reads) == ("held", asked)
    cards = load(world, held)
    contracts = {**INVOICES, "place": "application Contracts (database 1)", "group": "all@grp", "state": "given"}
    by_hand = {**BY_HAND, "place": INVOICES["place"]}
    given = {**INVOICES, "group": "sales@grp", "state": "given"}
    assert cards["delete ann@x.com"]["privileges"] == [
        {**by_hand, "group": None},
        contracts,
        {**by_hand, "group": "all@grp"},
        given,
    ]
    assert cards["unlink sales@grp"] == {"privileges": [given], "unknown": REST}
    assert cards["unlink all@grp"]["privileges"] == [contracts, {**by_hand, "group": "all@grp"}]
    assert describe_impact(cards["delete ann@x.com"], 9)[-1] == (
        "may do in the portal: something at application Invoices (database 1) (given by hand), ReadOnly of application "
        "Contracts (database 1) (by all@grp), something at application Invoices (database 1) (by all@grp, given by "
        "hand), ReadOnly of application Invoices (database 1) (by sales@grp)"
    )
    print_impacts(world.database, held.id, ["held"])
    printed = capsys.readouterr().out
    assert "  sales@grp, 1 membership\n    may do in the portal: ReadOnly of application Invoices" in printed
    assert printed.endswith(f"  Not known: {REST}.\n")
    world.source.remove_group("g2")
    gone = load(world, await world.sync("delta"))
    assert gone["delete sales@grp"]["privileges"] == [given]
    explanations = Explanations(world.database)
    for name in ("ann@x.com", "sales@grp"):
        (found,) = explanations.find(name)
        pending = explanations.explain(found, now=world.clock.now()).pending
        told = {f"{each['action']} {each['bps_id']}": each["impact"] for each in pending if "impact" in each}
        assert given in told[f"delete {name}"]["privileges"]
        assert told["unlink sales@grp"]["privileges"] == [given]
        capsys.readouterr()
        print_impact_of([*pending, *pending])
        printed = capsys.readouterr().out
        assert printed.count("What hangs on a membership of sales@grp:\n  may do in the portal: ReadOnly of app") == 1
        assert f"  not known: {REST}" in printed


async def test_without_rules_nothing_is_asked_and_that_is_said(world: World) -> None:
    """Also when there were some before: what old readings showed is not told as if it were known."""
    await world.sync("full")
    world.rules = replace(world.rules, privileges=(rule("Sales"),))
    world.portal.privileges = {("1/application//invoices//administrator", "all@grp")}
    await world.sync("full")
    world.rules = replace(world.rules, privileges=())
    await world.sync("full")
    await world.sync("full")
    world.portal.privilege_reads.clear()
    say(world)
    world.source.put_user("ann", accountEnabled=False)
    cards = load(world, await world.sync("full"))
    assert [(key, card["privileges"], card["unknown"]) for key, card in cards.items()] == [
        ("delete ann@x.com", None, NO_RULES)
    ]
    assert world.portal.privilege_reads == []


async def test_a_refusal_is_forgotten_with_the_rules(world: World) -> None:
    """Nobody is refused who does not ask: the card says that there are no rules."""
    world.portal.privileges_forbidden = "all"
    say(world, rule("Sales"))
    await world.sync("full")
    assert await world.store.privileges.load_refusal() is not None
    say(world)
    await world.sync("full")
    assert await world.store.privileges.load_refusal() is None
    world.source.put_user("ann", accountEnabled=False)
    cards = load(world, await world.sync("delta"))
    assert {key: card["unknown"] for key, card in cards.items()} == {"delete ann@x.com": NO_RULES}


async def test_the_scope_that_reads_is_enough_for_a_card(world: World) -> None:
    """With App.Metadata.Read alone: who has something is known, nothing is given, and no level is known."""
    world.portal.privileges_forbidden = "write"
    world.portal.privileges = {("1/application//invoices//administrator", "all@grp")}
    say(world, rule("Sales"))
    assert (await world.sync("full")).status == "succeeded"
    world.source.put_user("ben", accountEnabled=False)
    cards = load(world, await world.sync("delta"))
    by_hand = {**BY_HAND, "place": INVOICES["place"], "group": "all@grp"}
    assert [card["privileges"] for card in cards.values()] == [[by_hand]] * 2
    assert {card["unknown"] for card in cards.values()} == {REST}


async def test_without_the_scope_a_card_says_so(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    """From the beginning nothing is known; where it was taken away, what was known, and that it may have changed."""
    world.portal.privileges_forbidden = "all"
    say(world, rule("Sales"))
    await world.sync("full")
    world.source.put_user("ann", accountEnabled=False)
    held = await world.sync("delta")
    cards = load(world, held)
    assert cards.keys() == {"delete ann@x.com", "unlink all@grp", "unlink sales@grp"}
    assert {(card["privileges"], card["unknown"]) for card in cards.values()} == {(None, NO_SCOPE)}
    print_impacts(world.database, held.id, ["held"])
    assert f"Not known: {NO_SCOPE}." in capsys.readouterr().out
    world.portal.privileges_forbidden = ""
    await world.sync("full")
    world.portal.privileges_forbidden = "all"
    card = load(world, await world.sync("full"))["unlink sales@grp"]
    assert [each["state"] for each in card["privileges"]] == ["given"]
    assert card["unknown"].startswith("who has something at application Invoices (database 1), which could not be read")
    assert "App.Metadata.Read)" in card["unknown"]
    world.rules = replace(world.rules, privileges=(), policy=replace(world.rules.policy, mode="create_only"))
    await world.sync("full")
    assert await world.store.privileges.load_refusal() is not None  # something of ours is there still


async def test_a_place_that_could_not_be_read_is_named(world: World) -> None:
    """The others are told; a place that is gone gives nothing any more."""
    say(world, rule("Sales"), rule("All", application="Contracts"))
    await world.sync("full")
    world.portal.gone_places = {"contracts"}
    world.portal.places[1, "application", ""] = world.portal.places[1, "application", ""][:1]
    world.portal.unreadable_places = {"invoices"}
    world.source.put_user("ann", accountEnabled=False)
    cards = load(world, await world.sync("full"))
    assert [each["group"] for each in cards["delete ann@x.com"]["privileges"]] == ["sales@grp"]
    assert cards["delete ann@x.com"]["unknown"] == (
        f"who has something at application Invoices (database 1), which could not be read; {REST}"
    )
