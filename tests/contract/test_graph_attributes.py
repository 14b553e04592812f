"""Attributes that rules ask for, from the tenant into the directory: extensions, lists, a selection that changes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from syncd.bootstrap.rules import list_attributes, make_rules
from syncd.bootstrap.settings import read_settings
from syncd.plan.desired import SourceUser, decide_user
from syncd.store.db.database import Database, reading
from syncd.store.db.sql import decode_json
from syncd.store.schema.tables import source_users
from tests.fakes.tenant import Tenant
from tests.stores import open_migrated

EXTENSION = "extension_0123456789abcdef0123456789abcdef_costCentre"


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = open_migrated(f"sqlite:///{tmp_path / 'store.db'}")
    yield opened
    opened.close()


def make_tenant() -> Tenant:
    """Return a tenant with one person and one group."""
    tenant = Tenant()
    tenant.directory.hire(
        "Ann",
        "ann@nordwind.example",
        user_id="a",
        onPremisesExtensionAttributes={"extensionAttribute1": "clerk", "extensionAttribute2": None},
        proxyAddresses=["SMTP:ann@nordwind.example", "smtp:a@x"],
        **{EXTENSION: "C1"},
    )
    tenant.directory.create_group({"displayName": "Sales"}, group_id="g", members=["a"])
    return tenant


def stored(database: Database) -> Any:
    """Return the attributes of the only user."""
    with reading(database) as connection:
        return decode_json(connection.scalars(select(source_users.c.attributes)).one())


async def test_a_rule_sees_extensions_and_lists_of_the_tenant(database: Database) -> None:
    """From the setting to ``$select`` to the store to the decision, in list form and in both forms of CEL."""
    settings = read_settings(
        None,
        {
            "SYNCD_SCOPE__USERS": f'user["{EXTENSION}"] == "C1" && user.proxyAddresses.exists(p, p == "smtp:a@x")',
            "SYNCD_MAPPING__USER__JOB_TITLE": f'["onPremisesExtensionAttributes.extensionAttribute2", "{EXTENSION}"]',
            "SYNCD_MAPPING__USER__PHONE": "user.onPremisesExtensionAttributes.extensionAttribute1",
        },
        need=frozenset(),
    )
    rules = make_rules(settings)
    tenant = make_tenant()
    await tenant.pull(database, source=tenant.open_source(user_attributes=list_attributes(rules, "user")))
    decided = decide_user(SourceUser(key=1, state="active", attributes=stored(database)), rules)
    assert (decided.state, decided.fields["job_title"], decided.fields["phone"]) == ("wanted", "C1", "clerk")


async def test_a_changed_selection_leads_to_exactly_one_full_pull(database: Database) -> None:
    """Only the stream whose properties changed begins anew, once; then it costs one request again."""
    tenant = make_tenant()
    await tenant.pull(database)
    assert EXTENSION not in stored(database)
    source = tenant.open_source(user_attributes=(EXTENSION,))
    seen = []
    for _ in range(3):
        tenant.ledger.clear()
        result = await tenant.pull(database, source=source)
        seen.append((result.full, "users first" in tenant.deltas(), "groups first" in tenant.deltas()))
    assert seen == [(True, True, False), (False, False, False), (False, False, False)]
    assert sorted(tenant.deltas()) == ["groups link", "users link"]
    assert stored(database)[EXTENSION] == "C1"


async def test_a_change_of_an_extension_arrives_by_delta(database: Database) -> None:
    """A cleared extension reads as null from then on."""
    tenant = make_tenant()
    source = tenant.open_source(user_attributes=(EXTENSION, "onPremisesExtensionAttributes.extensionAttribute1"))
    await tenant.pull(database, source=source)
    tenant.directory.set_attributes(
        "a", **{EXTENSION: None}, onPremisesExtensionAttributes={"extensionAttribute1": "boss"}
    )
    await tenant.pull(database, source=source)
    assert EXTENSION not in stored(database)
    assert stored(database)["onPremisesExtensionAttributes"] == {"extensionAttribute1": "boss"}


async def test_the_letter_case_of_a_rule_makes_no_difference(database: Database) -> None:
    """Asked for in the schema's spelling, stored once, and read by every rule: nobody is judged by a null."""
    tenant = make_tenant()
    tenant.directory.set_attributes("a", department="Sales")
    settings = read_settings(
        None,
        {
            "SYNCD_SCOPE__USERS": f'user.Department == "Sales" && user["{EXTENSION.lower()}"] == "C1"',
            "SYNCD_MAPPING__USER__JOB_TITLE": "DEPARTMENT",
            "SYNCD_MAPPING__USER__PHONE": EXTENSION,
        },
        need=frozenset(),
    )
    rules = make_rules(settings)
    names = list_attributes(rules, "user")
    assert "department" in names
    assert len([name for name in names if name.casefold() == EXTENSION.casefold()]) == 1

    source = tenant.open_source(user_attributes=names)
    await tenant.pull(database, source=source)
    decided = decide_user(SourceUser(key=1, state="active", attributes=stored(database)), rules)
    assert (decided.state, decided.fields["job_title"], decided.fields["phone"]) == ("wanted", "Sales", "C1")
