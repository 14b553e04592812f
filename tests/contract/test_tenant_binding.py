"""A store belongs to one tenant: in another one everybody whom it knows would count as deleted."""

from __future__ import annotations

import pytest
import structlog

from tests.fakes.world import World, open_world


async def found_company(world: World) -> None:
    """Five people, synchronised."""
    for number in range(5):
        name = f"u{number}"
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    assert (await world.sync("full")).status == "succeeded"


pytestmark = pytest.mark.company(founded_by=found_company)


@pytest.mark.both_engines
async def test_another_tenant_is_refused_before_anything_is_read(world: World) -> None:
    """Its people are not created, and ours are not deleted, whichever run is asked for."""
    world.source.tenant, world.source.tenant_id = "fabrikam.example", "99999999-2222-4333-8444-555555555555"
    world.source.users.clear()
    calls = len(world.source.calls)
    for kind in ("full", "delta", "none"):
        run = await world.sync(kind)
        assert (run.status, run.misconfigured) == ("failed", True)
        assert run.error.startswith("graph.tenant_id: the store belongs to the tenant 11111111-")
    single = await world.sync_one("user", "u1@x.com")
    assert single.misconfigured
    assert len(world.source.calls) == calls
    assert len(world.portal.accounts) == 5


async def test_another_id_is_another_tenant_whatever_a_token_says(world: World) -> None:
    """A token may say nothing of its tenant, or name one for all: the id in the settings is what was asked for."""
    world.source.tenant = "99999999-2222-4333-8444-555555555555"
    calls = len(world.source.calls)
    for kind in ("full", "delta", "none"):
        run = await world.sync(kind)
        assert (run.status, run.misconfigured) == ("failed", True)
    assert len(world.source.calls) == calls


async def test_the_same_tenant_may_be_named_by_its_id_or_any_of_its_domains(world: World) -> None:
    """The token tells which tenant it is; a name that is known is not looked up again."""
    for name in ("contoso.onmicrosoft.com", world.source.tenant_id, "contoso.example"):
        world.source.tenant = name
        assert (await world.sync("delta")).status == "succeeded"
    world.source.tenant_id = "not asked for again"
    world.source.tenant = "contoso.onmicrosoft.com"
    assert (await world.sync("delta")).status == "succeeded"


@pytest.mark.both_engines
async def test_a_store_without_anything_of_a_tenant_goes_with_the_configuration(store_url: str) -> None:
    """A first try with a wrong tenant, which read nothing, ties nobody."""
    structlog.reset_defaults()
    world = open_world(store_url)
    assert await world.store.directory.bind_tenant("one", "one.example") is None
    world.source.put_user("u1", userPrincipalName="u1@x.com", displayName="u1", mail="u1@x.com")
    assert (await world.sync("full")).status == "succeeded"
    assert await world.store.directory.bind_tenant("one", "one.example") == world.source.tenant_id
    world.database.close()
