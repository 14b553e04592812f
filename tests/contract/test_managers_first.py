"""People are created level by level, with the manager in the creation, on every kind of portal."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from syncd.bootstrap.checks import check_managers
from syncd.store.store import Store
from tests.contract.office import Office
from tests.fakes.daemon import make_settings
from tests.fakes.wired import Asked
from tests.fakes.world import open_world

DEPTH = 6
KINDS: tuple[tuple[dict[str, Any], str], ...] = (
    ({}, "creation"),
    ({"pending_visible": False}, "creation"),
    ({"sync_delay_min": 20.0, "sync_delay_max": 20.0}, "creation"),
    ({"unknown_manager": "conflict"}, "creation"),
    ({"creation_manager": "refuse"}, "second_pass"),
    ({"creation_manager": "refuse", "sync_delay_min": 0.0, "sync_delay_max": 0.0}, "second_pass"),
    ({"creation_manager": "drop"}, "second_pass"),
    ({"creation_manager": "drop", "pending_visible": False}, "second_pass"),
    ({"creation_manager": "synchronized"}, "synchronized"),
    ({"creation_manager": "synchronized", "pending_visible": False, "unknown_manager": "conflict"}, "synchronized"),
)


def hire_chain(office: Office) -> None:
    """Let levels of people begin, named so that reports stand before their managers in the alphabet."""
    for level in range(DEPTH):
        for number in range(3):
            name = f"p{DEPTH - level}{number}"
            office.hire(name, group="g" if number else "")
            if level:
                office.source.put_user(name, manager=f"p{DEPTH - level + 1}{number}")


def list_managers(office: Office) -> dict[str, str | None]:
    """Return who reports to whom in the portal."""
    accounts = office.wire.store.accounts
    return {key: accounts[key].values["managerBpsId"] for key in accounts if key.startswith("p")}


def expect_managers() -> dict[str, str | None]:
    """Return who is to report to whom."""
    return {
        f"p{DEPTH - level}{number}@x.com": f"p{DEPTH - level + 1}{number}@x.com" if level else None
        for level in range(DEPTH)
        for number in range(3)
    }


@pytest.mark.parametrize(("office", "manner"), KINDS, indirect=["office"])
async def test_everybody_reports_to_the_right_person_in_the_end(office: Office, manner: str) -> None:
    """Whatever the portal does with managers in creations; what it does is found out once and remembered."""
    hire_chain(office)
    run = await office.sync("full")
    assert run.status == "succeeded", run.error
    assert list_managers(office) == expect_managers()
    for name in ("pyan", "pzoe"):
        refused = len(office.wire.refused)
        assert refused <= 2, "one of them finds out for all"
        office.hire(name)
        office.source.put_user(name, manager="p60")
        assert (await office.sync()).status == "succeeded"
        assert office.wire.store.accounts[f"{name}@x.com"].values["managerBpsId"] == "p60@x.com"
    assert len(office.wire.refused) == refused
    assert Store(office.database).plans.load_manager_manner() == manner
    office.take_asked()
    assert (await office.sync("full")).status == "succeeded"
    assert office.take_asked() == []


@pytest.mark.parametrize("office", [{}, {"pending_visible": False}], indirect=True)
async def test_a_portal_that_takes_managers_gets_no_second_pass(office: Office) -> None:
    """One request for each account, managers before those who report to them."""
    hire_chain(office)
    await office.sync("full")
    asked = office.take_asked()
    made = [each.bps_id for each in asked if each.action == "create" and each.object == "user"]
    assert len(made) == len(set(made)) == 4 + DEPTH * 3
    assert not [each for each in asked if each.action == "update"]
    for person, manager in expect_managers().items():
        assert manager is None or made.index(manager) < made.index(person)
    routes = Counter(office.wire.ledger.routes)
    writes = sum(number for (_, route), number in routes.items() if route.startswith(("POST /api/data", "PATCH")))
    batches = sum(number for (_, route), number in routes.items() if "members/add" in route or "owners/add" in route)
    assert writes - batches <= len(made) + 3 + 1


async def test_a_circle_is_closed_in_the_second_pass(office: Office) -> None:
    """Two people who report to each other, one to herself, and somebody below them."""
    for name in ("pa", "pb", "pc", "pd"):
        office.hire(name)
    for name, manager in (("pa", "pb"), ("pb", "pa"), ("pc", "pc"), ("pd", "pa")):
        office.source.put_user(name, manager=manager)
    assert (await office.sync("full")).status == "succeeded"
    assert list_managers(office) == {
        "pa@x.com": "pb@x.com",
        "pb@x.com": "pa@x.com",
        "pc@x.com": "pc@x.com",
        "pd@x.com": "pa@x.com",
    }


async def test_nobody_reports_to_a_strangers_account(office: Office) -> None:
    """Somebody made an account by the manager's name while the plan was made: it has not been adopted."""
    office.hire("pboss")
    office.hire("pa")
    office.source.put_user("pa", manager="pboss")

    def intrude(method: str, target: str) -> None:
        if method == "POST" and target.endswith("/admin/users") and "pboss@x.com" not in office.wire.store.accounts:
            office.wire.add_account("pboss@x.com", name="Somebody else")

    office.wire.before = intrude
    await office.sync("full")
    office.wire.before = None
    assert office.wire.store.accounts["pa@x.com"].values["managerBpsId"] is None
    office.rules = replace(office.rules, limits=replace(office.rules.limits, max_adoptions=None))
    assert (await office.sync("full")).status == "succeeded"
    assert (await office.sync("full")).status == "succeeded"
    assert office.wire.store.accounts["pa@x.com"].values["managerBpsId"] == "pboss@x.com"


async def test_a_creation_that_is_refused_for_itself_teaches_nothing(office: Office) -> None:
    """Only a creation that passes without the manager says something about managers."""
    office.hire("pboss")
    office.hire("pa", jobTitle="x" * 300)
    office.source.put_user("pa", manager="pboss")
    run = await office.sync("full")
    assert run.status == "partial"
    assert "pa@x.com" not in office.wire.store.accounts
    assert Store(office.database).plans.load_manager_manner() == "creation"  # ben and cleo had shown it
    assert Asked("create", "user", "pboss@x.com") in office.take_asked()


@pytest.mark.parametrize("office", [{}, {"creation_manager": "refuse"}], indirect=True)
async def test_check_tells_which_of_the_two_the_portal_wants(office: Office, tmp_path: Path) -> None:
    """Unknown before somebody was created with a manager, and remembered from then on."""
    settings = make_settings(f"sqlite:///{tmp_path / 'store.db'}")
    assert check_managers(settings).status == "unknown"
    await office.sync("full")
    office.hire("pzoe")
    office.source.put_user("pzoe", manager="ann")
    await office.sync()
    row = check_managers(settings)
    assert row.status == "ok"
    assert ("second pass" in row.detail) == (office.wire.knobs.creation_manager == "refuse")


@pytest.mark.both_engines
async def test_levels_and_circles_in_both_databases(store_url: str) -> None:
    """A chain against the alphabet, and a circle, over a store of each kind."""
    world = open_world(store_url)
    for name, manager in (("a", "b"), ("b", "c"), ("c", None), ("d", "e"), ("e", "d"), ("f", "d")):
        upn = f"{name}@x.com"
        world.source.put_user(name, userPrincipalName=upn, displayName=name, mail=upn, manager=manager)
    run = await world.sync("full")
    assert run.status == "succeeded", run.error
    found = {key: account.manager for key, account in world.portal.accounts.items()}
    assert found == {
        "a@x.com": "b@x.com",
        "b@x.com": "c@x.com",
        "c@x.com": None,
        "d@x.com": "e@x.com",
        "e@x.com": "d@x.com",
        "f@x.com": "d@x.com",
    }
    updates = [change for change in world.changes(run) if change.startswith("update")]
    assert updates == ["update user d@x.com done", "update user e@x.com done", "update user f@x.com done"]
    assert world.changes(await world.sync("full")) == []
    world.database.close()
