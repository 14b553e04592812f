"""What the portal has before anybody synchronises it: records that are not the company's and must stay untouched."""

from __future__ import annotations

from collections.abc import Iterable

from syncd.sandbox.portal.places import Given
from syncd.sandbox.portal.service import PortalApplication
from syncd.sandbox.portal.store import Account, AccountType, Origin, PortalGroup, PortalStore

_PEOPLE: tuple[tuple[str, str, AccountType, Origin, bool], ...] = (
    ("workflow.robot@bps.local", "Workflow robot", "User", "local", True),
    ("auditor@external-audit.example", "External auditor", "User", "local", True),
    ("NORDWIND\\legacy.admin", "Legacy administrator", "User", "local", True),
    ("synced.colleague@nordwind-legacy.example", "Colleague of the built-in synchronisation", "User", "builtin", True),
    ("former.colleague@nordwind-legacy.example", "Deactivated colleague", "User", "builtin", False),
    ("S-1-5-21-1004336348-1177238915-682003330-512", "Domain Admins", "AdGroup", "builtin", True),
)


def add_application(store: PortalStore, application: PortalApplication) -> None:
    """Give the API application its account; a BPS id equal to its login is taken."""
    _place(store, application.bps_id, application.name, "ApiApplication", "application")


def add_foreign_records(store: PortalStore) -> None:
    """Add a few local users, records of a built-in synchronisation, one group made by hand, and what they may do."""
    for bps_id, name, account_type, origin, active in _PEOPLE:
        _place(store, bps_id, name, account_type, origin, active=active)
    members = [person[0].casefold() for person in (_PEOPLE[0], _PEOPLE[2], _PEOPLE[5])]
    group = PortalGroup("local.admins@bps.local", "Local administrators", "local.admins@bps.local", origin="local")
    group.members.update(dict.fromkeys(members))
    group.owners[members[0]] = None
    store.groups[group.bps_id.casefold()] = group
    (contracts,) = [item for item in store.databases[1].applications if item.name == "Contracts"]
    for key, level, origin in ((members[2], "Administrator", "builtin"), (members[0], "ReadOnly", "local")):
        store.privileges[Given((1, "application", "", contracts.guid), key, level)] = origin


def add_local_users(store: PortalStore, people: Iterable[tuple[str, str]]) -> None:
    """Add users as if typed in by hand, given as (BPS id, name): material for adoption and collisions."""
    for bps_id, name in people:
        _place(store, bps_id, name, "User", "local")


def _place(
    store: PortalStore, bps_id: str, name: str, account_type: AccountType, origin: Origin, *, active: bool = True
) -> None:
    email = bps_id if "@" in bps_id else f"{name.casefold().replace(' ', '.')}@nordwind.example"
    values = {"name": name, "email": email, "phoneNumber": None, "managerBpsId": None, "jobTitle": None}
    store.accounts[bps_id.casefold()] = Account(bps_id, values, account_type, origin, active)
