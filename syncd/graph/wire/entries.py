"""Single entries of Graph's answers to values; what cannot be read raises BadEntry, for the caller to count. Pure.

Properties are named as they were asked for: Graph takes any letter case and answers in its own.
``@odata.context`` is never read: Graph documents it as unreliable for relationships (known issues, "delta query").
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from typing import Any

from syncd.model.source import KIND, OTHER_KINDS, BadObject, GroupItem, Link, ManagerSet, Removal, Role, UserItem

_TYPES: Mapping[str, type] = {
    "accountEnabled": bool,
    "displayName": str,
    "mail": str,
    "userPrincipalName": str,
    "userType": str,
}

_LONGEST_KIND = 100
_ROLES: tuple[Role, ...] = ("members", "owners")
_COMMON_KINDS = {f"#microsoft.graph.{kind}": kind for kind in ("user", "group", "device", "servicePrincipal")}


class BadEntry(Exception):
    """An entry that cannot be read; stays in this folder. The message is the reason and repeats nothing personal."""


def read_user(entry: Any, wanted: frozenset[str], bad: list[BadObject]) -> UserItem:
    """Read one user; an unreadable manager is noted in ``bad`` and counts as not stated.

    A subtype of user keeps its type among the attributes. An entry that is marked as removed says no more than that.
    """
    user_id = read_id(entry)
    if (removed := _read_removal(entry)) is not None:
        return UserItem(id=user_id, attributes={}, removed=removed)
    attributes = _read_attributes(entry, wanted)
    if type(entry.get("@odata.type")) is str:
        kind = _read_kind(entry)
        if kind in OTHER_KINDS:
            raise BadEntry(f"it is a {kind} where a user belongs")
        attributes[KIND] = None if kind in ("user", "unknown") else kind
    manager = None
    if (changes := entry.get("manager@delta")) is not None:
        manager = _read_manager(user_id, changes, bad)
    return UserItem(id=user_id, attributes=attributes, manager=manager)


def read_group(entry: Any, wanted: frozenset[str], bad: list[BadObject]) -> GroupItem:
    """Read one group; each unreadable link is noted in ``bad``, the others stay.

    An entry that is marked as removed says no more than that.
    """
    group_id = read_id(entry)
    if (removed := _read_removal(entry)) is not None:
        return GroupItem(id=group_id, attributes={}, removed=removed)
    if "@odata.type" in entry and (kind := _read_kind(entry)) not in ("group", "unknown"):
        raise BadEntry(f"it is a {kind} where a group belongs")
    attributes = _read_attributes(entry, wanted)
    links = _read_links(group_id, entry, "members@delta", bad)
    owners = _read_links(group_id, entry, "owners@delta", bad) if "owners@delta" in entry else ()
    return GroupItem(id=group_id, attributes=attributes, links=links, owners=owners)


class BadEntries:
    """Gathers the entries of one page that cannot be read: those without an id as one number per reason."""

    def __init__(self) -> None:
        self.noted: list[BadObject] = []
        self._nameless: dict[str, int] = {}

    def add(self, entry: Any, reason: str) -> None:
        """Note one, with what it states for certain: whoever is disabled, or was taken out, is so in any case."""
        object_id = guess_id(entry)
        if not object_id:
            self._nameless[reason] = self._nameless.get(reason, 0) + 1
            return
        disabled = entry.get("accountEnabled") is False
        ended = tuple(
            (role, link.member_id)
            for role in _ROLES
            for link in _read_links("", entry, f"{role}@delta", [])
            if link.removed
        )
        self.noted.append(BadObject(object_id, reason, disabled=disabled, ended=ended))

    def gather(self) -> tuple[BadObject, ...]:
        """Return all of them."""
        return (*self.noted, *(BadObject("", reason, count=count) for reason, count in self._nameless.items()))


def _read_links(group_id: str, entry: Mapping[str, Any], name: str, bad: list[BadObject]) -> tuple[Link, ...]:
    changes = entry.get(name)
    links: list[Link] = []
    if isinstance(changes, list):
        for change in changes:
            try:
                links.append(read_member(change))
            except BadEntry as error:
                bad.append(BadObject(group_id, f"{name}: {error}"))
    elif changes is not None:
        bad.append(BadObject(group_id, f"{name} is {describe(changes)} instead of a list"))
    return tuple(links)


def read_member(entry: Any) -> Link:
    """Read one entry of a relationship: a bare id with its type, perhaps marked as removed."""
    if type(entry) is dict and "@removed" not in entry:  # the shape of nearly all of them, kept fast
        found, stated = entry.get("id"), entry.get("@odata.type")
        kind = _COMMON_KINDS.get(stated) if type(stated) is str else None
        if kind is not None and type(found) is str and found.isprintable() and found.strip():
            return Link(found.strip().lower(), kind)
    return Link(read_id(entry), _read_kind(entry), _read_removal(entry) is not None)


def read_id(entry: Any) -> str:
    """Return the entry's id in lower case."""
    if type(entry) is not dict:
        raise BadEntry(f"it is {describe(entry)} instead of an object")
    found = entry.get("id")
    if type(found) is not str:
        raise BadEntry("it has no id" if found is None else f"its id is {describe(found)} instead of text")
    object_id = found.strip().lower()
    if not object_id or not object_id.isprintable():
        raise BadEntry("its id has unprintable characters" if object_id else "its id is empty")
    return object_id


def guess_id(entry: Any) -> str:
    """Return the id of an entry that is bad for another reason, empty when it has none that can be shown."""
    try:
        return read_id(entry)
    except BadEntry:
        return ""


def refuse_unstorable(entry: Any) -> None:
    """Raise BadEntry for NUL, half a surrogate pair or an infinite number: no database keeps them."""
    stack = [entry]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            stack.extend(value)
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)
        elif isinstance(value, str) and ("\0" in value or any("\ud800" <= letter <= "\udfff" for letter in value)):
            raise BadEntry("it has text that cannot be stored (NUL or half a surrogate pair)")
        elif isinstance(value, float) and not math.isfinite(value):
            raise BadEntry("it has a number that cannot be stored")


def describe(value: Any) -> str:
    """Say what kind of JSON value it is, without repeating it (it may be personal)."""
    names = {type(None): "nothing", bool: "a truth value", str: "text", list: "a list", dict: "an object"}
    return names.get(type(value), "a number")


def _read_attributes(entry: Mapping[str, Any], wanted: frozenset[str]) -> dict[str, Any]:
    attributes = {name: entry[name] for name in entry if name in wanted}
    if len(attributes) < len(wanted):
        spellings = _fold(wanted)
        for name in entry:
            spelled = spellings.get(name.casefold())
            if spelled is not None and spelled not in attributes:
                attributes[spelled] = entry[name]
    for name, kind in _TYPES.items():
        value = attributes.get(name)
        if value is not None and type(value) is not kind:
            raise BadEntry(f"its {name} is {describe(value)}")
    return attributes


@functools.lru_cache(maxsize=8)
def _fold(names: frozenset[str]) -> Mapping[str, str]:
    return {name.casefold(): name for name in names}


def _read_manager(user_id: str, changes: Any, bad: list[BadObject]) -> ManagerSet | None:
    """Apply removals, then take the last live entry: old and new manager may come together, in either order."""
    if not isinstance(changes, list):
        bad.append(BadObject(user_id, f"manager@delta is {describe(changes)} instead of a list"))
        return None
    stated = None
    for change in changes:
        try:
            link = read_member(change)
        except BadEntry as error:
            bad.append(BadObject(user_id, f"manager@delta: {error}"))
            return None
        if not link.removed:
            stated = ManagerSet(link.member_id)
        elif stated is None:
            stated = ManagerSet(None)
    return stated


def _read_kind(entry: Mapping[str, Any]) -> str:
    """Return the bare type name (``#microsoft.graph.user``: user); unknown ones as they are, ``unknown`` for none."""
    stated = entry.get("@odata.type")
    if type(stated) is not str:
        return "unknown"
    kind = stated.rpartition(".")[2].lstrip("#").strip()
    return kind if kind and kind.isprintable() and len(kind) <= _LONGEST_KIND else "unknown"


def _read_removal(entry: Mapping[str, Any]) -> Removal | None:
    """Return the kind of removal; a missing or unknown reason counts as restorable, so that nothing is purged."""
    mark = entry.get("@removed")
    if mark is None:
        return None
    if not isinstance(mark, dict):
        raise BadEntry(f"its @removed is {describe(mark)} instead of an object")
    return "deleted" if mark.get("reason") == "deleted" else "changed"
