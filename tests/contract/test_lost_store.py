"""A store that was lost, and that the daemon made anew: told until a full run has succeeded in it (C26)."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.bootstrap.checks import Check, check_store
from syncd.errors import Unavailable
from syncd.model.run import Approval, RunRequest
from syncd.plan.report.verdict import Standing, list_troubles
from syncd.store.reports.overview import is_fresh, load_overview
from tests.fakes.daemon import make_settings
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines


def list_told(world: World) -> list[str]:
    """Return what `status` says of the store."""
    overview = load_overview(world.database, now=world.clock.now())
    standing = Standing(
        works=True,
        fresh=overview.fresh,
        last=overview.last,
        sides=overview.sides,
        held=0,
        emptied=0,
        failing=0,
        short={},
        ending=0,
        ended=0,
    )
    return [each for each in list_troubles(standing) if "store" in each]


def fill(world: World) -> None:
    """A tenant of three, whom the portal has already."""
    for name in ("ann", "ben", "cleo"):
        login = f"{name}@x.com"
        world.source.put_user(name, userPrincipalName=login, displayName=name, mail=login)
        world.portal.add_account(login, name=name, email=login)


async def test_a_store_is_a_beginning_until_what_is_ours_is_known(store_url: str) -> None:
    """Before any run; after a full run that holds adoptions, also when it created somebody; no more once approved."""
    world = open_world(store_url)
    try:
        assert is_fresh(world.database)
        fill(world)
        world.source.put_user("new", userPrincipalName="new@x.com", displayName="new", mail="new@x.com")
        run = await world.sync("full")
        assert (run.status, "new@x.com" in world.portal.accounts) == ("held", True)
        assert list_told(world) == ["the store is new: if another one was lost, restore that one"]
        request = RunRequest(
            pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id, only=())
        )
        await world.runs.execute(request, world.open_sides())
        assert list_told(world) == []
        assert (await world.sync("full")).status == "succeeded"
        assert not is_fresh(world.database)
    finally:
        world.database.close()


async def test_an_old_store_whose_full_runs_are_never_whole_is_no_beginning(store_url: str) -> None:
    """Nothing was lost there: records are ours, and nothing waits for adoption."""
    world = open_world(store_url)
    try:
        world.source.put_user("ann", userPrincipalName="ann@x.com", displayName="ann", mail="ann@x.com")
        world.source.no_counts = Unavailable("no count")
        assert (await world.sync("full")).status == "partial"
        assert list_told(world) == []
    finally:
        world.database.close()


async def test_check_warns_of_a_store_that_was_made_anew(tmp_path: Path) -> None:
    """As long as no full run has succeeded; then it is a store like any other."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    world = open_world(url)

    def look() -> Check:
        return check_store(make_settings(url))

    try:
        row = look()
        assert row.status == "warning"
        assert "no full run has succeeded in it, and nothing in the portal is known to be ours" in row.detail
        assert "stop syncd and restore it" in row.remedy
        fill(world)
        assert (await world.sync("full")).status == "held"
        assert look().status == "warning"
        for name in ("ann", "ben", "cleo"):
            world.portal.accounts.pop(f"{name}@x.com")
        assert (await world.sync("full")).status == "succeeded"
        assert (look().status, look().remedy) == ("ok", "")
    finally:
        world.database.close()
