"""Changes by hand in the imitation portal: what somebody does in its user list, past every synchronisation.

=================  ==============================================================================================
``portal-edit``    sets ``field`` of an account to ``value`` (null: nothing); without them a new phone number
``portal-join``    puts an account into ``group``
``portal-leave``   takes an account out of ``group``
``portal-remove``  removes an account, with its places in groups
``portal-grant``   gives ``group``, or ``target``, a ``level`` (ReadOnly) of an ``application`` of content database 1
``portal-revoke``  takes it away
=================  ==============================================================================================

``target`` is the account's BPS id and ``group`` a group's BPS id or name, of a privilege also that of a group of the
portal's own synchronisation (a SID); what is not named is chosen at random among the records that came by the API.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from syncd.errors import ConfigError
from syncd.sandbox.portal.places import Given
from syncd.sandbox.portal.privileges import LEVELS
from syncd.sandbox.portal.store import Account, PortalGroup, PortalRefusal, PortalStore

Described = dict[str, object]
OPERATIONS = ("portal-edit", "portal-join", "portal-leave", "portal-remove", "portal-grant", "portal-revoke")
_KEYS: Mapping[str, tuple[str, ...]] = {
    "portal-edit": ("field", "value"),
    "portal-join": ("group",),
    "portal-leave": ("group",),
    "portal-grant": ("group", "application", "level"),
    "portal-revoke": ("group", "application", "level"),
}
_NEVER_EMPTY = ("name", "email")
_Record = TypeVar("_Record", Account, PortalGroup)


@dataclass(frozen=True, slots=True)
class ByHand:
    """One wish: what to do, and what of it was named."""

    op: str
    target: str | None = None
    group: str | None = None
    field: str | None = None
    value: str | None = None
    application: str | None = None
    level: str | None = None


def parse_wish(op: str, document: Mapping[str, object]) -> ByHand:
    """Return the wish of a document; ConfigError when a key is unknown or no text."""
    known = {"target", *_KEYS.get(op, ())}
    problems = [f"{key}: {op} has no such key" for key in sorted(document.keys() - known - {"op", "count"})]
    texts: dict[str, str] = {}
    for key in sorted(known & document.keys()):
        value = document[key]
        if isinstance(value, str):
            texts[key] = value
        elif value is not None:
            problems.append(f"{key}: a text")
    if problems:
        raise ConfigError(problems)
    return ByHand(op, **texts)


def do_by_hand(portal: PortalStore, chance: random.Random, wish: ByHand, *, count: int = 1) -> list[Described]:
    """Do it ``count`` times (once where the account is named) and return what happened; ConfigError when it cannot."""
    operations: dict[str, Callable[[PortalStore, random.Random, ByHand], Described]] = {
        "portal-edit": _edit,
        "portal-join": _join,
        "portal-leave": _leave,
        "portal-remove": _remove,
        "portal-grant": _grant,
        "portal-revoke": _grant,
    }
    operation = operations.get(wish.op)
    if operation is None:
        raise ConfigError([f"op: {wish.op!r} is not one of {', '.join(operations)}"])
    return [operation(portal, chance, wish) for _ in range(count if wish.target is None else 1)]


def _edit(portal: PortalStore, chance: random.Random, wish: ByHand) -> Described:
    account = _choose_account(portal, chance, wish, portal.accounts)
    name, value = wish.field or "phoneNumber", wish.value or None
    if wish.field is None and value is None:
        value = f"+48 6{chance.randint(10_000_000, 99_999_999)}"
    if name not in account.values:
        raise ConfigError([f"field: {name!r} is not one of {', '.join(account.values)}"])
    if value is None and name in _NEVER_EMPTY:
        raise ConfigError([f"value: {name} cannot be empty"])
    before, account.values[name] = account.values[name], value
    return {"op": wish.op, "bpsId": account.bps_id, "field": name, "before": before, "after": value}


def _join(portal: PortalStore, chance: random.Random, wish: ByHand) -> Described:
    group = _choose_group(portal, chance, wish)
    account = _choose_account(portal, chance, wish, [key for key in portal.accounts if key not in group.members])
    key = portal.key(account.bps_id)
    if key in group.members:
        raise ConfigError([f"target: {account.bps_id} is in {group.name} already"])
    group.members[key] = None
    return {"op": wish.op, "bpsId": account.bps_id, "group": group.bps_id, "name": group.name}


def _leave(portal: PortalStore, chance: random.Random, wish: ByHand) -> Described:
    wanted = None if wish.target is None else portal.key(wish.target)
    group = _choose_group(
        portal, chance, wish, lambda group: wanted in group.members if wanted is not None else bool(group.members)
    )
    account = _choose_account(portal, chance, wish, list(group.members))
    key = portal.key(account.bps_id)
    if key not in group.members:
        raise ConfigError([f"target: {account.bps_id} is not in {group.name}"])
    del group.members[key]
    return {"op": wish.op, "bpsId": account.bps_id, "group": group.bps_id, "name": group.name}


def _remove(portal: PortalStore, chance: random.Random, wish: ByHand) -> Described:
    account = _choose_account(portal, chance, wish, portal.accounts)
    try:
        portal.delete_user(account.bps_id)
    except PortalRefusal as refusal:
        raise ConfigError([f"target: {account.bps_id}: {refusal}"]) from refusal
    return {"op": wish.op, "bpsId": account.bps_id, "name": account.values["name"]}


def _grant(portal: PortalStore, chance: random.Random, wish: ByHand) -> Described:
    holder, database = _choose_holder(portal, chance, wish), portal.databases[1]
    named = [one for one in database.applications if wish.application in (None, one.name, one.guid)]
    if not named:
        raise ConfigError([f"application: content database 1 has no {wish.application!r}"])
    level = wish.level or "ReadOnly"
    if level not in LEVELS["application"]:
        raise ConfigError([f"level: {level!r} is not one of {', '.join(LEVELS['application'])}"])
    given = Given((1, "application", "", named[0].guid), portal.key(holder.bps_id), level)
    name = holder.name if isinstance(holder, PortalGroup) else holder.values["name"]
    if wish.op == "portal-grant":
        portal.privileges.setdefault(given, "local")
    elif portal.privileges.pop(given, None) is None:
        raise ConfigError([f"level: {name} does not have {level} of {named[0].name}"])
    who = "group" if wish.target is None else "bpsId"
    return {"op": wish.op, who: holder.bps_id, "name": name, "application": named[0].name, "level": level}


def _choose_holder(portal: PortalStore, chance: random.Random, wish: ByHand) -> Account | PortalGroup:
    """Return who is given something: a person, a BPS group, or a group of the portal's own, which is an account."""
    if wish.target is not None:
        if wish.group is not None:
            raise ConfigError(["group: a privilege is given to target or to group: keep one of the two"])
        return _choose_account(portal, chance, wish, portal.accounts)
    if wish.group is not None:
        named = wish.group.casefold()
        for account in portal.accounts.values():
            names = (account.bps_id.casefold(), (account.values["name"] or "").casefold())
            if account.account_type == "AdGroup" and named in names:
                return account
    return _choose_group(portal, chance, wish)


def _choose_account(
    portal: PortalStore, chance: random.Random, wish: ByHand, among: Sequence[str] | Mapping[str, Account]
) -> Account:
    """Return the named account, or one of ``among`` (keys) that came by the API."""
    if wish.target is not None:
        found = portal.accounts.get(portal.key(wish.target))
        if found is None or found.account_type != "User":
            raise ConfigError([f"target: the portal has no user {wish.target!r}"])
        return found
    fitting = [account for key in among if (account := portal.accounts.get(key)) is not None and account.active]
    return _choose([account for account in fitting if portal.is_born(account)], chance, "account")


def _choose_group(
    portal: PortalStore,
    chance: random.Random,
    wish: ByHand,
    fits: Callable[[PortalGroup], bool] | None = None,
) -> PortalGroup:
    """Return the named group, or one that fits and came by the API."""
    if wish.group is None:
        fitting = [group for group in portal.groups.values() if fits is None or fits(group)]
        return _choose(fitting, chance, "group")
    named = portal.groups.get(portal.key(wish.group))
    found = [named] if named else [group for group in portal.groups.values() if group.name == wish.group]
    if len(found) != 1:
        said = "several groups are named" if found else "the portal has no group"
        raise ConfigError([f"group: {said} {wish.group!r}"])
    return found[0]


def _choose(records: Sequence[_Record], chance: random.Random, what: str) -> _Record:
    """Return one that came by the API."""
    fitting = [record for record in records if record.origin == "rest"]
    if not fitting:
        raise ConfigError([f"the portal has no such {what} yet: let syncd synchronise first, or name one"])
    return chance.choice(fitting)
