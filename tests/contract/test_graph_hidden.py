"""Groups that hide their members: what was known of them when a permission was there is not lost with it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from syncd.errors import Forbidden
from syncd.store.db.database import Database, reading
from syncd.store.schema.tables import source_members, source_objects
from tests.fakes.tenant import READING, Tenant
from tests.stores import open_migrated

BARE = READING - {"Member.Read.Hidden"}


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_migrated(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


@pytest.fixture(params=["empty", "forbidden"])
def tenant(request: pytest.FixtureRequest) -> Tenant:
    """A tenant with a hidden group h and an open group g."""
    found = Tenant()
    found.knobs.hidden_membership = request.param
    found.directory.hire("Ann", "ann@nordwind.example", user_id="a")
    found.directory.hire("Bob", "bob@nordwind.example", user_id="b")
    hidden = {"displayName": "Hidden", "visibility": "HiddenMembership", "groupTypes": ["Unified"]}
    found.directory.create_group(hidden, group_id="h", members=["a", "b"])
    found.directory.create_group({"displayName": "Open"}, group_id="g", members=["a"])
    return found


def links(database: Database) -> set[tuple[str, str]]:
    """Return the stored memberships."""
    group, member = source_objects.alias(), source_objects.alias()
    statement = (
        select(group.c.id, member.c.id)
        .select_from(source_members)
        .join(group, group.c.key == source_members.c.group_key)
        .join(member, member.c.key == source_members.c.member_key)
    )
    with reading(database) as connection:
        return {(one, other) for one, other in connection.execute(statement)}


ALL = {("h", "a"), ("h", "b"), ("g", "a")}


@pytest.mark.parametrize("opaque", [False, True])
async def test_losing_the_permission_removes_nobody(tenant: Tenant, database: Database, opaque: bool) -> None:
    """A full read without Member.Read.Hidden meets no member of the hidden group; they stay, and the run says so."""
    await tenant.pull(database, full=True)
    assert links(database) == ALL
    tenant.roles, tenant.opaque = BARE, opaque
    result = await tenant.pull(database, full=True)
    assert links(database) == ALL
    assert result.counts["groups_hidden"] == 1
    assert result.complete


async def test_with_the_permission_an_emptied_hidden_group_is_emptied(tenant: Tenant, database: Database) -> None:
    """The token names the permission, so that an empty list is the truth; so is one of an open group."""
    await tenant.pull(database, full=True)
    tenant.directory.log.clear()
    for group in ("h", "g"):
        tenant.directory.empty_group(group)
    tenant.service.engine.expire_checkpoints()
    result = await tenant.pull(database, full=True)
    assert links(database) == set()
    assert "groups_hidden" not in result.counts


async def test_an_open_group_is_emptied_without_the_permission(tenant: Tenant, database: Database) -> None:
    """Only groups that can hide their members are doubted."""
    await tenant.pull(database, full=True)
    tenant.roles = BARE
    tenant.directory.empty_group("g")
    await tenant.pull(database, full=True)
    assert links(database) == ALL - {("g", "a")}


async def test_a_restored_hidden_group_keeps_its_members(tenant: Tenant, database: Database) -> None:
    """Its members are asked for once, cannot be seen, and stay; an unchanged delta is cheap again."""
    await tenant.pull(database, full=True)
    tenant.roles = BARE
    tenant.directory.delete_group("h")
    await tenant.pull(database)
    tenant.directory.restore("h")
    await tenant.pull(database)
    assert links(database) == ALL
    tenant.ledger.clear()
    await tenant.pull(database)
    assert tenant.ledger.requests() == 2


async def test_a_group_without_a_stated_visibility_is_doubted_if_it_can_hide(tenant: Tenant) -> None:
    """A Microsoft 365 group of unknown visibility may be hidden; a security group never is."""
    tenant.roles = BARE
    tenant.directory.create_group({"displayName": "Team", "groupTypes": ["Unified"]}, group_id="t")
    tenant.directory.create_group(
        {"displayName": "Open team", "groupTypes": ["Unified"], "visibility": "Private"}, group_id="p"
    )
    tenant.directory.create_group({"displayName": "Security"}, group_id="s")
    source = tenant.open_source()
    with pytest.raises(Forbidden, match=r"Member\.Read\.Hidden"):
        await source.fetch_members("t")
    assert await source.fetch_members("p") == await source.fetch_members("s") == ()
    assert await source.fetch_members("nobody") is None
