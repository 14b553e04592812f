"""What the portal should hold, computed from the imitation tenant itself with the default rules.

Written from the promises, not from syncd's code: nothing of ``syncd.plan``, ``syncd.sync`` or the store is used here,
so that a mistake there cannot hide here as well. Guests are skipped, disabled and deleted people keep an account
without memberships, a renamed person has a new account and leaves the old one behind without memberships.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from syncd.sandbox.portal.store import PortalStore
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.objects import Group, Node

_REFUSED = re.compile(r'[\\%&*+/=?{}|<>();:,\[\]"#\s]')
_GROUP_DOMAIN = "groups.example.com"


def maps(user: Node) -> bool:
    """Return whether a person belongs into the portal: active, not blocked, no guest, with a usable principal name."""
    upn = str(user.properties.get("userPrincipalName") or "")
    return (
        user.state == "active"
        and user.properties.get("accountEnabled") is not False
        and user.properties.get("userType") != "Guest"
        and upn.count("@") == 1
        and not _REFUSED.search(upn)
    )


def name_of(user: Node) -> str:
    """Return a person's principal name in the form in which it is compared; of a deleted person the one before."""
    upn = str(user.properties.get("userPrincipalName") or "").casefold()
    return upn[32:] if user.state == "deleted" else upn


def flatten(directory: Directory, group: Group) -> set[str]:
    """Return the ids of the people who are members of a group through any nesting of active groups."""
    people: set[str] = set()
    seen: set[str] = set()
    rest = [group]
    while rest:
        present = rest.pop()
        if present.id in seen or present.state != "active":
            continue
        seen.add(present.id)
        for object_id in present.members:
            node = directory.objects[object_id]
            if isinstance(node, Group):
                rest.append(node)
            elif node.kind == "user":
                people.add(object_id)
    return people


@dataclass
class Truth:
    """The tenant as an observer knows it who looks after every change. ``foreign``: what the portal had before."""

    directory: Directory
    portal: PortalStore
    owners: bool = False
    """Whether owners are synchronised; otherwise no group may have any."""
    foreign: Mapping[str, object] = field(init=False)
    names: dict[str, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.foreign = self._picture_foreign()
        self.look()

    def look(self) -> None:
        """Remember the names that people bear now: whoever is renamed leaves an account with the old one behind."""
        for user in self.directory.users:
            if user.state != "gone":
                self.names.setdefault(user.id, set()).add(name_of(user))

    def find_differences(self) -> list[str]:
        """Return where the portal differs from what it should hold, a line each; empty: it is right."""
        return [*self._compare_accounts(), *self._compare_groups(), *self.find_touched_foreigners()]

    def find_touched_foreigners(self) -> list[str]:
        """Return the records that are not ours and are no longer what they were, to the byte."""
        now = self._picture_foreign()
        return [
            f"foreign {key}: {self.foreign.get(key)} became {now.get(key)}"
            for key in sorted(self.foreign.keys() | now.keys())
            if self.foreign.get(key) != now.get(key)
        ]

    # ---- accounts

    def _compare_accounts(self) -> list[str]:
        found: list[str] = []
        for user in self.directory.users:
            if not maps(user):
                continue
            properties, account = user.properties, self.portal.accounts.get(name_of(user))
            if account is None:
                found.append(f"{name_of(user)} has no account")
                continue
            phones = properties.get("businessPhones")
            wanted = {
                "name": properties["displayName"],
                "email": properties.get("mail") or properties["userPrincipalName"],
                "phoneNumber": properties.get("mobilePhone") or (phones[0] if isinstance(phones, list) else None),
                "jobTitle": properties.get("jobTitle"),
            }
            for key, value in wanted.items():
                if account.values[key] != value:
                    found.append(f"{account.bps_id} has {key} {account.values[key]!r}, not {value!r}")
            manager = (account.values["managerBpsId"] or "").casefold() or None
            if manager not in (allowed := self._list_managers(user)):
                found.append(f"{account.bps_id} has the manager {manager}, not one of {allowed}")
        known = set().union(*self.names.values()) if self.names else set()
        found += [
            f"{account.bps_id} has an account and never was a name"
            for key, account in self.portal.accounts.items()
            if account.origin == "rest" and key not in known
        ]
        return found

    def _list_managers(self, user: Node) -> set[str | None]:
        """Return whom the account may name: the manager, or a leaver's account as long as the portal has one."""
        if user.manager is None:
            return {None}
        manager = self.directory.get(user.manager)
        if maps(manager):
            return {name_of(manager)}
        left: set[str | None] = {name for name in self.names.get(manager.id, ()) if name in self.portal.accounts}
        unknowable = manager.state != "active"  # no list says who the manager was of somebody who came meanwhile
        return left if name_of(manager) in left and not unknowable else left | {None}

    # ---- groups

    def _compare_groups(self) -> list[str]:
        found: list[str] = []
        wanted: dict[str, set[str]] = {}
        owned: dict[str, set[str]] = {}
        for group in self.directory.active_groups():
            bps_id = f"{group.id}@{_GROUP_DOMAIN}"
            people = (self.directory.get(member) for member in flatten(self.directory, group))
            wanted[bps_id] = {name_of(person) for person in people if maps(person)}
            own = [self.directory.get(owner) for owner in group.owners] if self.owners else []
            owned[bps_id] = {name_of(owner) for owner in own if owner.kind == "user" and maps(owner)}
            record = self.portal.groups.get(bps_id)
            if record is None:
                found.append(f"group {bps_id} is missing")
                continue
            values = (group.properties["displayName"], group.properties.get("mail") or bps_id)
            if (record.name, record.email) != values:
                found.append(f"group {bps_id} is {record.name}, {record.email}, not {values}")
        for key, record in self.portal.groups.items():
            if record.origin != "rest":
                continue
            members, should = set(record.members), wanted.get(key, set())
            found += [f"{name} is missing in {key}" for name in sorted(should - members)]
            found += [f"{name} is in {key} and should not be" for name in sorted(members - should)]
            if (owners := set(record.owners)) != owned.get(key, set()):
                found.append(f"{key} has the owners {sorted(owners)}, not {sorted(owned.get(key, ()))}")
        return found

    # ---- what is not ours

    def _picture_foreign(self) -> dict[str, object]:
        accounts = {
            account.bps_id: (account.values.copy(), account.account_type, account.origin, account.active)
            for account in self.portal.accounts.values()
            if account.origin != "rest"
        }
        groups = {
            group.bps_id: (group.name, group.email, group.origin, tuple(group.members), tuple(group.owners))
            for group in self.portal.groups.values()
            if group.origin != "rest"
        }
        return {**accounts, **groups}
