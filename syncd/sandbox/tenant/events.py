"""Believable changes of the company: random ones by seed (``live``), and named ones as the control endpoint asks for.

Every change is described as a small document, so that the one who asked can show what happened.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from syncd.errors import ConfigError
from syncd.sandbox.tenant.company import plain
from syncd.sandbox.tenant.directory import Directory
from syncd.sandbox.tenant.names import DEPARTMENTS, FIRST_NAMES, LAST_NAMES, SITES
from syncd.sandbox.tenant.objects import Group, Node

Described = dict[str, object]
_LIVE_WEIGHTS = {"hire": 5, "leave": 3, "disable": 2, "rename": 2, "move": 5, "retitle": 4, "regroup": 8, "restore": 1}


def live(directory: Directory, chance: random.Random, count: int) -> list[Described]:
    """Let ``count`` random things happen in the company and return what happened."""
    operations = _operations()
    names = chance.choices(list(_LIVE_WEIGHTS), list(_LIVE_WEIGHTS.values()), k=count)
    return [described for name in names if (described := operations[name](directory, chance)) is not None]


def operation_names() -> tuple[str, ...]:
    """Return the names that ``happen`` understands."""
    return (*_operations(), "live", "empty-group")


def happen(
    directory: Directory, chance: random.Random, name: str, *, count: int = 1, target: str | None = None
) -> list[Described]:
    """Let a named thing happen ``count`` times and return what happened.

    ``target`` (a user's id or principal name, a group's id or name) chooses whom it happens to, where that makes sense.
    ``…-many`` is the same as the plain name. Raises ConfigError for an unknown name.
    """
    name = name.removesuffix("-many")
    if name == "live":
        return live(directory, chance, count)
    if name == "empty-group":
        group = directory.objects.get(target or "") or directory.find_group(target or "BPS users")
        return [{"op": name, "id": group.id, "removed": directory.empty_group(group.id)}]
    operation = _operations().get(name)
    if operation is None:
        raise ConfigError([f"op: {name!r} is not one of {', '.join(operation_names())}"])
    if target is not None:
        fixed = _Fixed(target, directory, chance)
        if isinstance(fixed.target, Group) != name.endswith("-group"):
            raise ConfigError([f"target: {name} happens to a {'group' if name.endswith('-group') else 'person'}"])
        described = operation(directory, fixed)
        return [] if described is None else [described]
    return [described for _ in range(count) if (described := operation(directory, chance)) is not None]


class _Fixed(random.Random):
    """Chance that always falls on one user; everything else stays random."""

    def __init__(self, target: str, directory: Directory, chance: random.Random) -> None:
        super().__init__(chance.getrandbits(64))
        named = directory.objects.get(target) or directory.match_group(target)
        self.target = named or directory.find_user(target)


def _operations() -> dict[str, Callable[[Directory, random.Random], Described | None]]:
    return {
        "hire": _hire,
        "guest": _guest,
        "agent": _agent,
        "leave": _leave,
        "delete": _delete,
        "disable": _disable,
        "enable": _enable,
        "restore": _restore,
        "rehire": _rehire,
        "take-login": _take_login,
        "rename": _rename,
        "move": _move,
        "retitle": _retitle,
        "regroup": _regroup,
        "reown": _reown,
        "create-group": _create_group,
        "delete-group": _delete_group,
        "rename-group": _rename_group,
        "remake-group": _remake_group,
    }


def _choose(nodes: Sequence[Node], chance: random.Random, fits: Callable[[Node], bool]) -> Node | None:
    """Return a random object that fits, or None; a few guesses first, because most do and a company may be large."""
    if isinstance(chance, _Fixed):
        return chance.target
    for _ in range(100 if nodes else 0):
        if fits(node := chance.choice(nodes)):
            return node
    fitting = [node for node in nodes if fits(node)]
    return chance.choice(fitting) if fitting else None


def _employee(directory: Directory, chance: random.Random) -> Node | None:
    """Return a random active employee: no guest, no service account, nobody who is blocked."""
    return _choose(
        directory.users, chance, lambda user: _works_in(user) and bool(user.properties.get("accountEnabled"))
    )


def _colleague(directory: Directory, chance: random.Random, department: str, *, of: str = "") -> str | None:
    """Return the id of somebody else in a department, or None."""
    free = random.Random(chance.getrandbits(64))  # noqa: S311 - reproducible imitation; a fixed target is not meant here
    found = _choose(directory.users, free, lambda user: _works_in(user, department) and user.id != of)
    return None if found is None else found.id


def _works_in(user: Node, department: str | None = None) -> bool:
    its = user.properties.get("department")
    return user.state == "active" and its is not None and department in (None, its)


def _open_groups(directory: Directory) -> list[Group]:
    return [g for g in directory.active_groups() if "DynamicMembership" not in str(g.properties.get("groupTypes"))]


def _new_name(directory: Directory, chance: random.Random, first: str | None = None) -> tuple[str, str, str]:
    given, last = first or chance.choice(FIRST_NAMES), chance.choice(LAST_NAMES)
    return given, last, f"{plain(given)}.{plain(last)}.{chance.getrandbits(20):05x}@{directory.domain}"


def _described(name: str, node: Node, **more: object) -> Described:
    return {"op": name, "id": node.id, "name": node.properties.get("displayName"), **more}


def _hire(directory: Directory, chance: random.Random) -> Described:
    first, last, upn = _new_name(directory, chance)
    department, _, titles = chance.choice(DEPARTMENTS)
    user_id = directory.hire(
        f"{first} {last}",
        upn,
        manager=_colleague(directory, chance, department),
        givenName=first,
        surname=last,
        department=department,
        jobTitle=titles[0],
        officeLocation=chance.choice(SITES)[0],
    )
    groups = _open_groups(directory)
    for group in chance.sample(groups, min(3, len(groups))):
        directory.add_member(group.id, user_id)
    return _described("hire", directory.get(user_id), upn=upn)


def _guest(directory: Directory, chance: random.Random) -> Described:
    first, last, _ = _new_name(directory, chance)
    mail = f"{plain(first)}.{plain(last)}.{chance.getrandbits(20):05x}@partner.example"
    return _described("guest", directory.get(directory.invite_guest(mail, display_name=f"{first} {last}")))


def _agent(directory: Directory, chance: random.Random) -> Described:
    number = f"{chance.getrandbits(20):05x}"
    agent = directory.create_agent(f"Agent {number}", f"agent-{number}@{directory.domain}")
    groups = _open_groups(directory)
    for group in chance.sample(groups, min(2, len(groups))):
        directory.add_member(group.id, agent)
    return _described("agent", directory.get(agent))


def _leave(directory: Directory, chance: random.Random) -> Described | None:
    if (user := _employee(directory, chance)) is None:
        return None
    directory.soft_delete(user.id)
    return _described("leave", user)


def _delete(directory: Directory, chance: random.Random) -> Described | None:
    if (user := _employee(directory, chance)) is None:
        return None
    described = _described("delete", user)
    directory.hard_delete(user.id)
    return described


def _disable(directory: Directory, chance: random.Random) -> Described | None:
    if (user := _employee(directory, chance)) is None:
        return None
    directory.disable(user.id)
    return _described("disable", user)


def _enable(directory: Directory, chance: random.Random) -> Described | None:
    user = _choose(
        directory.users, chance, lambda u: u.state == "active" and u.properties.get("accountEnabled") is False
    )
    if user is None:
        return None
    directory.enable(user.id)
    return _described("enable", user)


def _restore(directory: Directory, chance: random.Random) -> Described | None:
    user = _choose(directory.users, chance, lambda u: u.state == "deleted")
    if user is None:
        return None
    directory.restore(user.id)
    return _described("restore", user)


def _rehire(directory: Directory, chance: random.Random) -> Described | None:
    return _follow(directory, chance, "rehire")


def _take_login(directory: Directory, chance: random.Random) -> Described | None:
    return _follow(directory, chance, "take-login")


def _follow(directory: Directory, chance: random.Random, name: str) -> Described | None:
    """Let a new account have the login of a deleted one: the same person's with the number of before, or another's."""

    def is_followed(user: Node) -> bool:
        gone = user.state == "deleted" and "department" in user.properties
        return gone and directory.is_free(str(user.properties["userPrincipalName"])[32:])

    before = _choose(directory.users, chance, is_followed)
    if before is None:
        return None
    first, last, _ = _new_name(directory, chance)
    shown, number = f"{first} {last}", None
    if name == "rehire":
        shown, number = str(before.properties.get("displayName")), before.properties.get("employeeId")
    login = str(before.properties["userPrincipalName"])[32:]
    department, title = before.properties["department"], before.properties.get("jobTitle")
    user_id = directory.hire(shown, login, department=department, jobTitle=title)
    if number:
        directory.set_attributes(user_id, employeeId=number)
    return _described(name, directory.get(user_id), upn=login, before=before.id)


def _rename(directory: Directory, chance: random.Random) -> Described | None:
    if (user := _employee(directory, chance)) is None:
        return None
    before = user.properties["userPrincipalName"]
    first = str(user.properties.get("givenName") or chance.choice(FIRST_NAMES))
    _, last, upn = _new_name(directory, chance, first)
    directory.rename(user.id, display_name=f"{first} {last}", upn=upn)
    return _described("rename", user, before=before, upn=upn)


def _move(directory: Directory, chance: random.Random) -> Described | None:
    if (user := _employee(directory, chance)) is None:
        return None
    department = chance.choice(DEPARTMENTS)[0]
    groups = _open_groups(directory)
    directory.move(
        user.id,
        department=department,
        manager=_colleague(directory, chance, department, of=user.id),
        leave_groups=[g.id for g in directory.groups_of(user.id)[:1] if g in groups],
        join_groups=[chance.choice(groups).id] if groups else [],
    )
    return _described("move", user, department=department)


def _retitle(directory: Directory, chance: random.Random) -> Described | None:
    if (user := _employee(directory, chance)) is None:
        return None
    title = chance.choice(chance.choice(DEPARTMENTS)[2])
    phone = f"+48 6{chance.randint(10_000_000, 99_999_999)}"
    directory.set_attributes(user.id, jobTitle=title, mobilePhone=phone if chance.random() < 0.8 else None)
    return _described("retitle", user, title=title)


def _regroup(directory: Directory, chance: random.Random) -> Described | None:
    user, groups = _employee(directory, chance), _open_groups(directory)
    if user is None or not groups:
        return None
    group = chance.choice(groups)
    if user.id in group.members:
        directory.remove_member(group.id, user.id)
        return _described("regroup", user, left=group.id)
    directory.add_member(group.id, user.id)
    return _described("regroup", user, joined=group.id)


def _reown(directory: Directory, chance: random.Random) -> Described | None:
    user, groups = _employee(directory, chance), _open_groups(directory)
    if user is None or not groups:
        return None
    group = chance.choice(groups)
    if user.id in group.owners:
        directory.remove_owner(group.id, user.id)
        return _described("reown", user, gave_up=group.id)
    directory.add_owner(group.id, user.id)
    return _described("reown", user, owns=group.id)


def _create_group(directory: Directory, chance: random.Random) -> Described:
    name = f"Task force {chance.getrandbits(20):05x}"
    users = list(directory.active_users())
    members = [user.id for user in chance.sample(users, min(5, len(users)))]
    return _described("create-group", directory.get(directory.create_group({"displayName": name}, members=members)))


def _delete_group(directory: Directory, chance: random.Random) -> Described | None:
    small = ("Team ", "Project ", "Task force ")
    group = _choose(_open_groups(directory), chance, lambda g: str(g.properties["displayName"]).startswith(small))
    if group is None:
        return None
    directory.delete_group(group.id)
    return _described("delete-group", group)


def _rename_group(directory: Directory, chance: random.Random) -> Described | None:
    group = _choose(_open_groups(directory), chance, lambda _: True)
    if not isinstance(group, Group):
        return None
    before = str(group.properties["displayName"])
    name = f"{before.partition(' (')[0]} ({chance.getrandbits(12):03x})"
    directory.set_attributes(group.id, displayName=name)
    return {**_described("rename-group", group), "before": before}


def _remake_group(directory: Directory, chance: random.Random) -> Described | None:
    group = _choose(_open_groups(directory), chance, lambda _: True)
    if not isinstance(group, Group) or group.state != "active":
        return None
    name, members = str(group.properties["displayName"]), tuple(group.members)
    directory.delete_group(group.id)
    fresh = directory.create_group({"displayName": name}, members=members)
    return _described("remake-group", directory.get(fresh), before=group.id)
