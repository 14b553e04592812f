"""Planning privileges: every group that a rule gives something, or that has something of ours."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from syncd.model.change import Change
from syncd.model.privilege import Privilege, read_privilege
from syncd.plan.membership import GroupView
from syncd.plan.privileges import Allowed, WantedPrivilege, decide_privileges, find_settled
from syncd.plan.rules import Rules

if TYPE_CHECKING:
    from syncd.store.store import Store

Placed = tuple[Change, int, int | None]


def load_allowed(store: Store, wanted: Collection[WantedPrivilege], *, also: Iterable[int] = ()) -> list[Allowed]:
    """Return every group concerned, and ``also`` these, in the order of BPS ids; called in the store's thread."""
    held = store.privileges.load_held()
    records = store.privileges.load_owned_of({each.group for each in wanted})
    given: dict[int, list[WantedPrivilege]] = {}
    for each in wanted:
        for record in records.get(each.group, ()):
            given.setdefault(record, []).append(each)
    places = store.privileges.load_readable()
    readable = frozenset(token for token, (state, _) in places.items() if state == "read")
    views = store.pairs.load_group_views({*held, *given, *also})
    gone = store.privileges.load_names(held.keys() - views.keys())
    views |= {key: _make_gone(key, bps_id) for key, bps_id in gone.items()}
    return [
        Allowed(
            group=view,
            wanted=tuple(each for each in given.get(key, ()) if each.group == view.source_key),
            held=tuple(held.get(key, ())),
            readable=readable,
        )
        for key, view in sorted(views.items(), key=lambda item: item[1].bps_id.casefold())
    ]


def _make_gone(key: int, bps_id: str) -> GroupView:
    """Return a group that the portal has no more, and nobody wants; what rules gave it may be there still."""
    return GroupView(
        key=key, bps_id=bps_id, source_key=0, state="deleted", exists=False, owned=False, taken=False, made=False
    )


def plan_privileges(
    store: Store,
    rules: Rules,
    wanted: Collection[WantedPrivilege],
    *,
    adoption_held: Collection[int],
    only: Collection[int] | None,
    write: bool,
) -> list[tuple[Change, GroupView, int]]:
    """Return the changes, each with its group and its number. ``only``: these groups alone are looked at."""
    found: list[tuple[Change, GroupView, int]] = []
    for view in load_allowed(store, wanted):
        if only is not None and view.group.key not in only:
            continue
        if write:
            store.privileges.forget(view.group.key, find_settled(view))
        changes = decide_privileges(view, rules, adoption_held=adoption_held)
        numbers = number_privileges(store, changes)
        found += [(change, view.group, number) for change, number in zip(changes, numbers, strict=True)]
    return found


def number_privileges(store: Store, changes: Collection[Change]) -> list[int]:
    """Return the number that stands for the privilege of each change in a plan."""
    privileges = [find_privilege(change) for change in changes]
    keys = store.privileges.intern(privileges)
    return [-keys[privilege.token] for privilege in privileges]


def find_privilege(change: Change) -> Privilege:
    """Return the privilege that a change gives or takes."""
    return read_privilege(change.after or change.before)
