"""The company is the same for the same seed, of the wanted size, and as odd as real ones are."""

from __future__ import annotations

import random

import pytest

from syncd.errors import Conflict, NotFound
from syncd.sandbox.tenant.company import GUEST_NAME, CompanyOptions, found_company
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.events import happen, live, operation_names
from syncd.sandbox.wire.knobs import TenantKnobs
from tests.contract.sandbox_client import MovableClock


def make_company(options: CompanyOptions) -> Directory:
    """Return a tenant with that company."""
    directory = Directory(clock=MovableClock(), seed=options.seed, knobs=TenantKnobs())
    found_company(directory, options)
    return directory


def describe(directory: Directory) -> object:
    """Return everything that can be compared."""
    return (
        [(user.id, user.properties, user.manager) for user in directory.users],
        [(group.id, group.properties, list(group.members), list(group.owners)) for group in directory.groups],
    )


def test_the_same_seed_gives_the_same_company() -> None:
    """Id for id, and another seed gives other people."""
    first, again, other = (make_company(CompanyOptions(seed=seed)) for seed in (7, 7, 8))
    assert describe(first) == describe(again)
    assert describe(first) != describe(other)


@pytest.mark.parametrize(
    "options",
    [
        CompanyOptions(),
        CompanyOptions(users=0, groups=0, memberships=0),
        CompanyOptions(users=3, groups=1, memberships=3),
        CompanyOptions(users=2000, groups=150, memberships=12_000, big_groups=2, big_group_size=1500),
    ],
    ids=lambda options: f"{options.users}",
)
def test_sizes_are_what_was_asked_for(options: CompanyOptions) -> None:
    """Users, groups, direct memberships and big groups are counted exactly, and nothing is in the change log."""
    directory = make_company(options)
    assert len(directory.users) == options.users
    assert len(directory.groups) == options.groups
    assert sum(len(group.members) for group in directory.groups) == options.memberships
    assert all(len(group.members) >= options.big_group_size for group in directory.groups[: options.big_groups])
    assert directory.log == []


def test_the_company_has_its_odd_people_and_groups() -> None:
    """Guests, one of them by name, blocked people, names a portal refuses, a cycle, nesting, machines, owners."""
    directory = make_company(CompanyOptions())
    properties = [user.properties for user in directory.users]
    names = [str(p["userPrincipalName"]) for p in properties]
    guest = next(p for p in properties if p["displayName"] == GUEST_NAME)
    assert guest["userType"] == "Guest"
    assert "#EXT#" in str(guest["userPrincipalName"])
    assert {p["accountEnabled"] for p in properties} == {True, False, None}
    assert any("+" in name for name in names)
    assert any("#" in name and "#EXT#" not in name for name in names)
    assert any("mail" not in p for p in properties)
    kinds = {directory.get(member).kind for group in directory.groups for member in group.members}
    assert kinds == {"user", "group", "device", "servicePrincipal"}
    one, two = directory.find_group("Approvers A"), directory.find_group("Approvers B")
    assert two.id in one.members
    assert one.id in two.members
    assert any(group.owners for group in directory.groups)


def test_managers_form_a_tree() -> None:
    """Everybody with a manager reaches one head without going round in circles."""
    directory = make_company(CompanyOptions())
    heads = set()
    for user in directory.users:
        seen = [user.id]
        while (manager := directory.get(seen[-1]).manager) is not None:
            assert manager not in seen
            seen.append(manager)
        if user.manager:
            heads.add(seen[-1])
    assert len(heads) == 1


def test_live_changes_are_reproducible_and_logged() -> None:
    """The same chance makes the same things happen, and each is in the change log."""
    first, again = make_company(CompanyOptions()), make_company(CompanyOptions())
    happened = live(first, random.Random(3), 50)
    assert happened == live(again, random.Random(3), 50)
    assert describe(first) == describe(again)
    assert {change["op"] for change in happened} >= {"hire", "move", "regroup"}
    assert len(first.log) >= len(happened)


def test_every_named_operation_happens() -> None:
    """All operations of the control endpoint work, also the many-forms and on a named target."""
    directory, chance = make_company(CompanyOptions()), random.Random(1)
    for name in operation_names():
        if name in ("rehire", "take-login"):
            happen(directory, chance, "leave")  # both follow somebody who has left
        assert happen(directory, chance, name), name
    assert len(happen(directory, chance, "leave-many", count=30)) == 30
    user = next(u for u in directory.active_users() if u.properties.get("department"))
    upn = str(user.properties["userPrincipalName"])
    assert happen(directory, chance, "disable", target=upn.upper())[0]["id"] == user.id
    assert user.properties["accountEnabled"] is False


def test_operations_refuse_nonsense() -> None:
    """Unknown ids and taken names are errors, and leave everything as it was."""
    directory = make_company(CompanyOptions(users=5, groups=2, memberships=4))
    one, two = directory.users[:2]
    before = describe(directory)
    with pytest.raises(NotFound):
        directory.disable("nobody")
    with pytest.raises(NotFound):
        directory.add_member(one.id, two.id)
    with pytest.raises(Conflict):
        directory.rename(one.id, display_name="X", upn=str(two.properties["userPrincipalName"]).upper())
    with pytest.raises(Conflict):
        directory.hire("X", str(two.properties["userPrincipalName"]))
    with pytest.raises(Conflict):
        directory.restore(one.id)
    assert describe(directory) == before
    assert directory.log == []


def test_a_freed_name_can_be_taken_and_blocks_a_return() -> None:
    """A deleted person's principal name is free; who then has it keeps it."""
    directory = make_company(CompanyOptions(users=5, groups=2, memberships=4))
    user = directory.users[0]
    name = str(user.properties["userPrincipalName"])
    directory.soft_delete(user.id)
    directory.hire("Successor", name)
    with pytest.raises(Conflict):
        directory.restore(user.id)
    assert user.state == "deleted"
