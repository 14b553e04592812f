"""What happens around rules about privileges in long histories: to the rules, the groups, the portal and the store."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import select

from syncd.plan.group_names import fold_name
from syncd.plan.privileges import RULE_GROUP
from syncd.plan.rules import PrivilegeRule
from syncd.sandbox.portal.places import Given
from syncd.store.db.database import open_database
from syncd.store.db.markers import PRIVILEGES_TELLING, load_markers
from syncd.store.schema.tables import target_principals
from syncd.store.store import Store
from tests.contract.office import Office
from tests.property.privilege_places import LEVELS, PLACES, Places

GROUPS = ("g", "h", "i")
_BEHIND = 600.0
"""So many seconds readings are behind at most here; what is done by hand within them nobody can see in time."""


@dataclass
class History:
    """One office, what somebody gave by hand there, and what the rules say."""

    office: Office
    chance: random.Random
    by_hand: set[Given] = field(default_factory=set)
    took: set[tuple[str, str, str]] = field(default_factory=set)
    """What somebody took of ours: group, place and level."""
    lost: set[Given] = field(default_factory=set)
    """What was there when an older store was put back, or a place went: nobody knows whose it is."""
    copy: Path | None = None
    then: set[Given] = field(default_factory=set)
    """What rules had given when that copy of the store was made."""
    rules: tuple[PrivilegeRule, ...] = ()
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000)))
    deleted: list[Given] = field(default_factory=list)
    """What groups had of ours when they were deleted, at places that are there."""

    def __post_init__(self) -> None:
        self.places = Places(self.office, self.chance, self.numbers, self.lost)
        self.companies_hidden = False

    def list_events(self) -> tuple[Callable[[], None], ...]:
        """Return what may happen, what happens more often more than once."""
        often = (self.choose_rules, self.choose_rules, self.rename, self.delete, self.give, self.take) * 2
        places, rare = self.places, (self.hide_companies, self.keep, self.put_back, self.turn_rights, self.turn_guard)
        return (*often, *rare, places.rename, places.hide, places.remove, places.put_back)

    def begin(self) -> None:
        """Three groups, of whom every history tells, and one that stays, as its member does: no tenant is emptied."""
        for name in (*GROUPS, "z"):
            self.office.source.put_group(name, displayName=f"Group {name}", mailNickname=f"{name}@grp")
        self.office.hire("ann", group="z")
        store, delete = self.office.wire.store, self.office.wire.store.delete_group

        def watch(bps_id: str) -> None:
            ours = [one for one, origin in store.privileges.items() if origin == "rest" and one not in self.lost]
            mine = [one for one in ours if one.key == store.key(bps_id) and self.places.has(one.place[3])]
            self.deleted += mine if not store.knobs.privilege_delay else []  # it may have been taken already
            delete(bps_id)

        store.delete_group = watch

    # ---- the rules --------------------------------------------------------------------------------------------------

    def say(self, rules: tuple[PrivilegeRule, ...]) -> None:
        """Let the rules be these."""
        self.rules = rules
        self.office.rules = replace(self.office.rules, privileges=rules)

    def choose_rules(self) -> None:
        """Let some of all rules be in force, each thing named by any of its names."""
        chosen = {}
        for _ in range(self.chance.randrange(6)):
            group, place = self.chance.choice(self.list_there() or GROUPS[:1]), self.chance.choice(PLACES)
            level = self.chance.choice(LEVELS)
            alike = f"{place} {level}"
            if self.office.wire.knobs.privilege_exclusive:  # two of them would take the place of each other for ever
                alike = place.get("process", str(place))
            chosen[group, alike] = self.places.spell(f"Group {group}", level, place)
        self.say(tuple(chosen.values()) if self.list_there() else ())

    def turn_guard(self) -> None:
        """Let the guard hold every removal, or none."""
        limits = self.office.rules.limits
        held = None if limits.max_removals == 0 else 0
        self.office.rules = replace(self.office.rules, limits=replace(limits, max_removals=held))

    # ---- the portal's settings --------------------------------------------------------------------------------------

    def hide_companies(self) -> None:
        """Take the scope for companies away, or grant it again: without it only a guid tells which one is meant."""
        scopes = self.office.wire.application.scopes
        scopes.symmetric_difference_update({"Admin.BusinessEntities.Read"})
        self.office.wire.book.revoke_all()

    def turn_rights(self) -> None:
        """Where the scope is not enough: let the API application be an administrator of a place, or not any more."""
        if self.office.wire.knobs.privilege_rights != "scope":
            mine = self.chance.choice(self._list_rights())
            given = self.office.wire.store.privileges
            if given.pop(mine, None) is None:
                given[mine] = "builtin"

    def grant_rights(self) -> None:
        """Let the API application be an administrator of all applications, where that is asked for."""
        if self.office.wire.knobs.privilege_rights != "scope":
            self.office.wire.store.privileges.update(dict.fromkeys(self._list_rights(), "builtin"))

    def _list_rights(self) -> list[Given]:
        store, own = self.office.wire.store, self.office.wire.application.bps_id
        items = store.databases[1].applications
        return [Given((1, "application", "", item.guid), store.key(own), "Administrator") for item in items]

    def settle(self) -> None:
        """Let nothing be in the way any more, and a day pass."""
        self.office.wire.application.scopes.add("Admin.BusinessEntities.Read")
        self.office.wire.book.revoke_all()
        self.places.put_back()
        if self.places.shown == "all":
            self.office.wire.knobs.places_visible = "all"
        self.grant_rights()
        there = {f"Group {name}" for name in self.list_there()}
        known = Store(self.office.database).privileges.load_meanings.blocking()
        kept = (one for one in self.rules if one.group in there or f"{RULE_GROUP}{fold_name(one.group)}" in known)
        self.say(tuple(self.places.name_by_guid(one) for one in kept))  # a name that no run has met is refused
        self.office.rules = replace(self.office.rules, limits=replace(self.office.rules.limits, max_removals=None))
        self.office.clock.elapsed += 86_400

    # ---- an older store ---------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Make a copy of the store."""
        self._let_it_arrive()
        file = self._close()
        self.copy = file.with_suffix(".kept")
        shutil.copy(file, self.copy)
        self.then = {given for given, origin in self.office.wire.store.privileges.items() if origin == "rest"}
        self.office.database = open_database(f"sqlite:///{file}")

    def put_back(self) -> None:
        """Put the copy back, often after somebody gave what rules had given then and took since.

        Nobody knows any more which of what is there is ours.
        """
        if self.copy is None:
            return
        self._let_it_arrive()
        store = self.office.wire.store
        gone = sorted((one for one in self.then if one.key in store.groups and one not in store.privileges), key=str)
        gone = [one for one in gone if self.places.has(one.place[3])]
        if gone and self.chance.random() < 0.8:
            self.hand(self.chance.choice(gone))
        file = self._close()
        shutil.copy(self.copy, file)
        self.office.database = open_database(f"sqlite:///{file}")
        self.lost |= store.privileges.keys()
        there = {f"Group {name}" for name in self.list_there()}  # it may know nothing of a group that is gone
        self.say(tuple(self.places.name_by_guid(one) for one in self.rules if one.group in there))

    def _let_it_arrive(self) -> None:
        """Let what is on its way take effect: no copy knows more of it."""
        if self.office.wire.knobs.privilege_delay:
            self.office.clock.elapsed += 60
            self.office.wire.service.privileges.catch_up()

    def _close(self) -> Path:
        self.office.database.close()
        return Path(self.office.database.engine.url.database or "")

    # ---- the groups -------------------------------------------------------------------------------------------------

    def list_there(self) -> list[str]:
        """Return the groups that the tenant has: a rule for another one is refused, as it should be."""
        named = {group.attributes["displayName"] for group in self.office.source.groups.values() if _is_live(group)}
        return [name for name in GROUPS if f"Group {name}" in named]

    def find_live(self) -> dict[str, str]:
        """Return the names of the tenant's groups by BPS id."""
        found = {}
        for group in self.office.source.groups.values():
            if _is_live(group):
                found[str(group.attributes["mailNickname"]).casefold()] = str(group.attributes["displayName"])
        return found

    def delete(self) -> None:
        """Delete a group; a later renaming may make it anew."""
        name = self.chance.choice(GROUPS)
        for key, group in list(self.office.source.groups.items()):
            if group.attributes["displayName"] == f"Group {name}" and _is_live(group):
                self.office.source.remove_group(key)

    def rename(self) -> None:
        """Give a group another BPS id, or make it anew under its name."""
        source, number = self.office.source, next(self.numbers)
        name = self.chance.choice(GROUPS)
        ids = [key for key, group in source.groups.items() if group.attributes["displayName"] == f"Group {name}"]
        live = [key for key in ids if source.groups[key].state == "active"]
        if live and self.chance.random() < 0.5:
            source.put_group(live[0], mailNickname=f"{name}{number}@grp")
            return
        for key in live:
            source.remove_group(key)
        source.put_group(f"{name}{number}", displayName=f"Group {name}", mailNickname=f"{name}{number}@grp")

    # ---- by hand ----------------------------------------------------------------------------------------------------

    def _let_it_show(self) -> None:
        """Where readings are behind: let them show what somebody has done by now."""
        if self.office.wire.knobs.privileges_shown_after:
            self.office.wire.service.privileges.catch_up()
            self.office.clock.elapsed += _BEHIND

    def give(self) -> None:
        """Somebody gives a group something at a place where it has nothing of ours, as far as syncd knows.

        Elsewhere nobody could tell the two apart, also where ours was taken in between and no reading saw it.
        """
        store = self.office.wire.store
        if self.office.wire.knobs.privilege_exclusive or not self.office.wire.knobs.privileges_list_groups:
            return
        keys = sorted(store.groups)
        if not keys:
            return
        kind: Literal["application", "process"] = self.chance.choice(("application", "process"))
        item = self.chance.choice(list(store.databases[1].items(kind))[:2])
        given = Given((1, kind, "", item.guid), self.chance.choice(keys), self.chance.choice(LEVELS))
        self.hand(given)

    def hand(self, given: Given, *, on_its_way: bool = False) -> None:
        """Let somebody give it, unless something is there; ``on_its_way``: syncd knows that its own may not be."""
        store = self.office.wire.store
        known = Store(self.office.database).privileges.load_held()
        names = self.office.database.load_rows(select(target_principals.c.key, target_principals.c.bps_fold))
        ours = {
            row.bps_fold: {
                held.privilege.place.key for held in known.get(row.key, ()) if not (on_its_way and held.state == "sent")
            }
            for row in names
        }
        there = {(one.place, one.key) for one in store.privileges}
        if (given.place, given.key) not in there and given.place[3] not in ours.get(given.key.casefold(), set()):
            store.privileges[given] = "local"
            self.by_hand.add(given)
            if not on_its_way:
                self._let_it_show()

    def take(self) -> None:
        """Somebody takes something, given by hand or by us.

        Not where readings name no groups, and nothing of ours before one has named a group: nobody would ever know.
        """
        if not self.office.wire.knobs.privileges_list_groups:
            return
        telling = bool(load_markers(self.office.database, PRIVILEGES_TELLING))
        given = self.office.wire.store.privileges.items()
        by_hand = {
            (one.place, one.key) for one, origin in given if origin == "local"
        }  # beside these nobody sees ours go
        there = sorted(
            (
                one
                for one, origin in given
                if origin == "local"
                or (telling and (one.place, one.key) not in by_hand and self.places.has(one.place[3]))
            ),
            key=str,
        )
        if there:
            gone = self.chance.choice(there)
            alike = [one for one, _ in given if (one.place, one.key) == (gone.place, gone.key)]
            for one in [gone] if gone in self.by_hand else alike:  # of several of ours nobody sees one go
                del self.office.wire.store.privileges[one]
                self.by_hand.discard(one)
                self.took.add((one.key, one.place[3], one.level))
            self._let_it_show()


def _is_live(group: Any) -> bool:
    return bool(group.state == "active")
