"""The company of the demo, as the sandbox's control endpoint shows it, and what the portal should hold therefore."""

from __future__ import annotations

import json
import re
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from demo_stage import expect

_REFUSED = re.compile(r'[\\%&*+/=?{}|<>();:,\[\]"#\s]')
_DIRECT = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback is no business of any proxy


@dataclass(frozen=True, slots=True)
class Company:
    """The sandbox's control endpoint: lets things happen, and tells the truth about both sides."""

    url: str

    def happen(self, operation: str, count: int = 1, target: str | None = None) -> list[dict[str, Any]]:
        """Let something happen so many times, and return what it was."""
        body = json.dumps({"op": operation, "count": count, "target": target}).encode()
        happened: list[dict[str, Any]] = self._send("/change", body)
        return happened

    def state(self, what: str) -> list[dict[str, Any]]:
        """Return the present state of one of: users, groups, portal-users, portal-groups."""
        state: list[dict[str, Any]] = self._send(f"/state?what={what}", None)
        return state

    def _send(self, path: str, body: bytes | None) -> Any:
        with _DIRECT.open(f"{self.url}{path}", body, timeout=30) as answer:
            return json.load(answer)


@dataclass(frozen=True, slots=True)
class Picture:
    """Who has an account with which name and manager, who is in which group, and the records that are not ours."""

    accounts: Mapping[str, tuple[str, str | None]]
    members: Mapping[str, frozenset[str]]
    foreign: Mapping[str, object]

    @property
    def memberships(self) -> int:
        """Return how many there are altogether."""
        return sum(len(members) for members in self.members.values())


def look_at_portal(company: Company) -> Picture:
    """Return what the portal holds."""
    users, groups = company.state("portal-users"), company.state("portal-groups")
    return Picture(
        {
            user["bpsId"].lower(): (user["name"], (user["managerBpsId"] or "").lower() or None)
            for user in users
            if user["origin"] == "rest"
        },
        {
            group["bpsId"]: frozenset(member.lower() for member in group["members"])
            for group in groups
            if group["origin"] == "rest"
        },
        {record["bpsId"]: record for record in (*users, *groups) if record["origin"] != "rest"},
    )


def look_at_tenant(company: Company) -> Picture:
    """Return what the portal should hold, with the rules that hold where nothing is configured.

    Everybody who is not blocked, no guest, and has a name that the portal accepts; group members through any nesting.
    """
    users = {user["id"]: user for user in company.state("users")}
    groups = {group["id"]: group for group in company.state("groups") if group["state"] == "active"}
    names = {key: user["userPrincipalName"].lower() for key, user in users.items() if belongs(user)}

    def gather(group_id: str, seen: set[str]) -> set[str]:
        if group_id in seen:
            return set()
        seen.add(group_id)
        found = {names[member] for member in groups[group_id]["members"] if member in names}
        for member in groups[group_id]["members"]:
            if member in groups:
                found |= gather(member, seen)
        return found

    return Picture(
        {name: (users[key]["displayName"], names.get(users[key]["manager"])) for key, name in names.items()},
        {f"{key}@groups.example.com": frozenset(gather(key, set())) for key in groups},
        {},
    )


def belongs(user: Mapping[str, Any]) -> bool:
    """Return whether a person of the tenant belongs into the portal."""
    name = user.get("userPrincipalName") or ""
    return (
        user["state"] == "active"
        and user.get("accountEnabled") is not False
        and user.get("userType") != "Guest"
        and name.count("@") == 1
        and not _REFUSED.search(name)
    )


def compare(wanted: Picture, found: Picture, foreign: Mapping[str, object]) -> None:
    """Fail with the first difference between what the portal should hold and what it holds.

    Accounts of people who left stay, without memberships; a manager who left may still be named.
    """
    for name, (shown, manager) in wanted.accounts.items():
        expect(name in found.accounts, f"{name} has no account")
        its_name, its_manager = found.accounts[name]
        expect(its_name == shown, f"{name} is called {its_name!r} in the portal and {shown!r} in the tenant")
        left = manager is None and its_manager in found.accounts and its_manager not in wanted.accounts
        expect(its_manager == manager or left, f"{name} reports to {its_manager} in the portal, not to {manager}")
    for group, members in wanted.members.items():
        expect(found.members.get(group) == members, f"the members of {group} differ")
    for group in found.members.keys() - wanted.members.keys():
        expect(not found.members[group], f"{group} is gone from the tenant and still has members")
    expect(found.foreign == foreign, "a record that is not ours was touched")
