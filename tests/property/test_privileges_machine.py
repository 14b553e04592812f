"""Long histories of rules about privileges: they come and go, with several levels and companies of one group at one
place, and with other spellings of what they name; groups are renamed, deleted and made anew; somebody gives and takes
by hand, also while a grant is lost; answers are lost before and after the write, syncd is killed, and an older store is
put back. On every kind of portal, where drift is set back and where it is told.

In the end what the rules want is there, but for what somebody took where drift is only told; what was given by hand is
untouched, of ours nothing else is left but what is told as unknown, and further runs change nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import stamina
import structlog
from sqlalchemy import select

from syncd.cli.commands.privileges import list_privileges
from syncd.model.reason import Cause
from syncd.model.run import RunRecord
from syncd.plan.rules import PrivilegeRule
from syncd.sandbox.portal.places import KINDS, Given, Kind
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.store.db.database import open_database
from syncd.store.db.markers import PRIVILEGES_TELLING, load_markers
from syncd.store.schema.tables import target_principals
from syncd.store.store import Store
from tests.contract.office import Office
from tests.contract.privilege_rules import LATE, RIGHTS, SWITCHES, rule
from tests.fakes.rules import make_policy
from tests.property.machines import SHARES, list_seeds
from tests.stores import template

_STEPS = 16
_GROUPS = ("g", "h", "i")
_PLACES: tuple[dict[str, Any], ...] = (
    {"application": "Invoices"},
    {"application": "Contracts"},
    {"process": "Suppliers"},
    {"process": "Contracts", "company": "PL01"},
    {"process": "Contracts", "company": "DE01"},
    {"form_type": "Correction", "workflow": "Approval"},
)
_PLACE = re.compile(r"/db/1/(applications|processes)/([0-9a-f-]{36})/")
_LEVELS = ("ReadOnly", "Administrator")
_SWITCHES: tuple[dict[str, Any], ...] = (*SWITCHES, {"places_visible": "none"}, *LATE, *RIGHTS)
_BEHIND = 600.0
"""So many seconds readings are behind at most here; what is done by hand within them nobody can see in time."""


class _Killed(BaseException):
    """The process is gone."""


@dataclass
class _History:
    """One office, what somebody gave by hand there, and what the rules say."""

    office: Office
    chance: random.Random
    by_hand: set[Given] = field(default_factory=set)
    took: set[tuple[str, str, str]] = field(default_factory=set)
    """What somebody took of ours: group, place and level."""
    lost: set[Given] = field(default_factory=set)
    """What was there when an older store was put back."""
    copy: Path | None = None
    then: set[Given] = field(default_factory=set)
    """What rules had given when that copy of the store was made."""
    rules: tuple[PrivilegeRule, ...] = ()
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def list_events(self) -> tuple[Callable[[], None], ...]:
        """Return what may happen, what happens more often more than once."""
        often = (self.choose_rules, self.choose_rules, self.rename, self.delete, self.give, self.take) * 2
        return (*often, self.hide_companies, self.keep, self.put_back, self.turn_rights)

    def begin(self) -> None:
        """Three groups without anybody, of whom every history tells, and one that stays: a tenant is never emptied."""
        for name in (*_GROUPS, "z"):
            self.office.source.put_group(name, displayName=f"Group {name}", mailNickname=f"{name}@grp")

    def say(self, rules: tuple[PrivilegeRule, ...]) -> None:
        """Let the rules be these."""
        self.rules = rules
        self.office.rules = replace(self.office.rules, privileges=rules)

    def choose_rules(self) -> None:
        """Let some of all rules be in force, each thing named by any of its names."""
        chosen = {}
        for _ in range(self.chance.randrange(6)):
            group, place = self.chance.choice(self._list_there() or _GROUPS[:1]), self.chance.choice(_PLACES)
            level = self.chance.choice(_LEVELS)
            alike = f"{place} {level}"
            if self.office.wire.knobs.privilege_exclusive:  # two of them would take the place of each other for ever
                alike = place.get("process", str(place))
            chosen[group, alike] = rule(f"Group {group}", level, **self._spell(place))
        rules = tuple(chosen.values()) if self._list_there() else ()
        if self.office.wire.knobs.places_visible == "none":  # nothing can be named by its name
            rules = tuple(replace(one, place=self._find_guid(one)) for one in rules if one.kind != "form_type")
        self.say(rules)

    def _spell(self, place: dict[str, Any]) -> dict[str, Any]:
        spelt = dict(place)
        kinds: tuple[Kind, ...] = ("company", "workflow")
        for kind in kinds:
            if kind in place:
                items = self.office.wire.store.databases[1].items(kind)
                item = next(item for item in items if item.name == place[kind])
                spelt[kind] = self.chance.choice((item.name, item.guid, str(item.number)))
        return spelt

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

    def _let_it_show(self) -> None:
        """Where readings are behind: let them show what somebody has done by now."""
        if self.office.wire.knobs.privileges_shown_after:
            self.office.wire.service.privileges.catch_up()
            self.office.clock.elapsed += _BEHIND

    # ---- an older store ---------------------------------------------------------------------------------------------

    def keep(self) -> None:
        """Make a copy of the store."""
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
        store = self.office.wire.store
        gone = sorted((one for one in self.then if one.key in store.groups and one not in store.privileges), key=str)
        if gone and self.chance.random() < 0.8:
            self._give(self.chance.choice(gone))
        file = self._close()
        shutil.copy(self.copy, file)
        self.office.database = open_database(f"sqlite:///{file}")
        self.lost |= self.office.wire.store.privileges.keys()
        there = {f"Group {name}" for name in self._list_there()}  # it may know nothing of a group that is gone
        self.say(tuple(one for one in self.rules if one.group in there))

    def _close(self) -> Path:
        self.office.database.close()
        return Path(self.office.database.engine.url.database or "")

    def _list_there(self) -> list[str]:
        """Return the groups that the tenant has: a rule for another one is refused, as it should be."""
        named = {group.attributes["displayName"] for group in self.office.source.groups.values() if _is_live(group)}
        return [name for name in _GROUPS if f"Group {name}" in named]

    def _find_guid(self, one: PrivilegeRule) -> str:
        items = self.office.wire.store.databases[1].items("process" if one.kind == "process" else "application")
        return next(item.guid for item in items if item.name == one.place)

    def delete(self) -> None:
        """Delete a group; a later renaming may make it anew."""
        name = self.chance.choice(_GROUPS)
        for key, group in list(self.office.source.groups.items()):
            if group.attributes["displayName"] == f"Group {name}" and _is_live(group):
                self.office.source.remove_group(key)

    def rename(self) -> None:
        """Give a group another BPS id, or make it anew under its name."""
        source, number = self.office.source, next(self.numbers)
        name = self.chance.choice(_GROUPS)
        ids = [key for key, group in source.groups.items() if group.attributes["displayName"] == f"Group {name}"]
        live = [key for key in ids if source.groups[key].state == "active"]
        if live and self.chance.random() < 0.5:
            source.put_group(live[0], mailNickname=f"{name}{number}@grp")
            return
        for key in live:
            source.remove_group(key)
        source.put_group(f"{name}{number}", displayName=f"Group {name}", mailNickname=f"{name}{number}@grp")

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
        given = Given((1, kind, "", item.guid), self.chance.choice(keys), self.chance.choice(_LEVELS))
        self._give(given)

    def _give(self, given: Given, *, on_its_way: bool = False) -> None:
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
            (one for one, origin in given if origin == "local" or (telling and (one.place, one.key) not in by_hand)),
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

    async def run(self, *, trouble: bool) -> None:
        """Run once, perhaps with a lost answer, an unreachable portal or a kill on the way."""
        wire = self.office.wire
        kind = self.chance.choice(("delta", "full"))
        if trouble:
            what = self.chance.choice(("lose", "reset", "status", "kill before", "kill after", "outage", "hand"))
            path = self.chance.choice(("privileges/add", "privileges/remove", "admin/privileges"))
            anywhere = self.chance.random() < 0.3
            count = -1 if what == "outage" else self.chance.randrange(1, 4)
            if what in ("lose", "reset", "status"):
                wire.faults.add(Fault(what, side="portal", path=path, count=count))  # type: ignore[arg-type]
            elif what == "hand":
                self._give_while_lost()
            elif what == "outage":
                wire.faults.add(Fault("reset", side="portal", path="admin/privileges", count=-1))
            else:
                at = self.chance.randrange(1, 30) if anywhere else self.chance.randrange(1, 4)
                self._arm("/" if anywhere else path, after=what.endswith("after"), at=at)
        try:
            await self.office.sync(kind)  # type: ignore[arg-type]
        except _Killed:
            pass
        finally:
            wire.faults.clear()
            wire.before = wire.after = None
        self.office.clock.elapsed += self.chance.choice((60, 7200, 200_000))

    def _give_while_lost(self) -> None:
        """The first grant gets lost before its effect, and somebody gives the group something there meanwhile."""
        wire, seen = self.office.wire, 0
        knobs = wire.knobs
        if knobs.privilege_exclusive or not knobs.privileges_list_groups or knobs.privileges_shown_after:
            return
        wire.faults.add(Fault("reset", side="portal", path="privileges/add", count=1))

        def watch(_method: str, target: str) -> None:
            nonlocal seen
            seen += target.endswith("privileges/add")
            if not target.endswith("privileges/add") or seen > 1:
                return
            found = _PLACE.search(target)
            meant = self._list_meant(found[2]) if found else []
            if found and len({key for key, _ in meant}) == 1:  # of another group the grant that follows would be clear
                kind = "application" if found[1] == "applications" else "process"
                self._give(Given((1, kind, "", found[2]), *self.chance.choice(meant)), on_its_way=True)

        wire.before = watch

    def _list_meant(self, guid: str) -> list[tuple[str, str]]:
        """Return which groups of the portal are given which level at an application or process by a rule."""
        items = {item.guid: item for kind in KINDS for item in self.office.wire.store.databases[1].items(kind)}
        named = {name: key for key, name in self._find_live().items() if key in self.office.wire.store.groups}
        rules = [one for one in self.rules if one.group in named and one.place in (guid, items[guid].name)]
        return [(named[one.group], one.level) for one in rules if not one.company]

    def _arm(self, path: str, *, after: bool, at: int) -> None:
        seen, dead = 0, False

        def strike(_method: str, target: str) -> None:
            nonlocal seen, dead
            seen += path in target
            if dead or (path in target and seen == at):
                dead = True
                raise _Killed

        if after:
            self.office.wire.after = strike
        else:
            self.office.wire.before = strike

    def take_what_holds_groups_up(self, run: RunRecord, seed: str) -> bool:
        """Where a group waits for what no rule takes: do what the page says, and return whether there was one.

        A person takes what the group has at that place, or deletes the group where readings name none.
        """
        store, knobs = self.office.wire.store, self.office.wire.knobs
        chunks = Store(self.office.database).plans.iterate_changes(run.id)
        waiting = {
            store.key(planned.change.bps_id)
            for some in chunks
            for planned, _, _ in some
            if planned.change.action == "delete" and planned.error.cause is Cause.PRIVILEGES_STAY
        }
        lines = list(list_privileges(Store(self.office.database), self.office.rules))
        told = {store.key(str(line["bps_id"])) for line in lines if line["state"] == "kept"}
        assert waiting <= told, f"seed {seed}: {waiting - told} are there, and nobody says why"
        for key in waiting:
            if not knobs.privileges_list_groups:
                store.delete_group(store.groups[key].bps_id)
            for given in [given for given in store.privileges if given.key == key]:
                del store.privileges[given]
                self.by_hand.discard(given)
        return bool(waiting)

    def check(self, seed: str) -> None:
        """Compare the portal with the rules and with what was given by hand."""
        store, told = self.office.wire.store, f"seed {seed}"
        alive = {given for given in self.by_hand if given.key in store.groups}
        assert alive <= store.privileges.keys(), f"{told}: taken although it was given by hand"
        names = {fold: group.name for fold, group in store.groups.items()}
        titles = {item.guid: item.name for kind in KINDS for item in store.databases[1].items(kind)}
        companies = {key: item.name for item in store.databases[1].companies for key in (item.guid, str(item.number))}
        wanted = {
            (one.group, titles.get(one.place, one.place), one.level, companies.get(one.company, one.company))
            for one in self.rules
        }
        live = self._find_live()
        there = set()
        unwanted = []
        for given, origin in store.privileges.items():
            title, company = titles[given.place[3]], titles.get(given.company, "")
            if live.get(given.key) is not None:
                there.add((live[given.key], title, given.level, company))
            mine = origin == "rest" and given not in self.lost
            if mine and (live.get(given.key), title, given.level, company) not in wanted:
                unwanted.append(f"{given.key} {names.get(given.key)} {given.level} {title} {company}")
        unknown = {
            (line["bps_id"].casefold())
            for line in list_privileges(Store(self.office.database), self.office.rules)
            if line["bps_id"] and line["state"] in ("kept", "unknown", "beside")
        }
        excused = self._list_excused(titles)
        if not self.office.wire.knobs.privilege_exclusive:
            missing = {each for each in wanted if each[0] in live.values()} - there
            missing = {each for each in missing if each[:3] not in excused}
            assert not missing, f"{told}: {missing}"
        left = [each for each in unwanted if each.partition(" ")[0].casefold() not in unknown]
        assert not left, f"{told}: left of ours {left}"

    def _list_excused(self, titles: Mapping[str, str]) -> set[tuple[str, str, str]]:
        """Return what need not be there: what somebody took where that is only told, and what the portal refuses."""
        live, found = self._find_live(), set()
        lines = list(list_privileges(Store(self.office.database), self.office.rules))
        places = Counter((line["bps_id"], line["place"]) for line in lines)
        for line in lines:
            key = str(line["bps_id"]).casefold()
            title = str(line["place"]).partition(" (")[0].removeprefix("application ").removeprefix("process ")
            title, level = title.removeprefix("form type "), str(line["level"])
            taken = any((key, guid, level) in self.took for guid, name in titles.items() if name == title)
            several = places[line["bps_id"], line["place"]] > 1  # of several nobody sees one go
            if (taken and (several or line["state"] == "taken")) or line["state"] == "unknown":
                found.add((live.get(key, ""), title, level))
        return found

    def _find_live(self) -> dict[str, str]:
        found = {}
        for group in self.office.source.groups.values():
            if _is_live(group):
                found[str(group.attributes["mailNickname"]).casefold()] = str(group.attributes["displayName"])
        return found


def _is_live(group: Any) -> bool:
    return bool(group.state == "active")


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("knobs", _SWITCHES, ids=lambda knobs: ",".join(knobs) or "default")
async def test_whatever_happened_rules_are_kept_and_what_is_by_hand_is_untouched(
    tmp_path: Path, knobs: dict[str, Any], share: int
) -> None:
    """Sixteen events with runs between them, then three quiet runs: nothing more to do, and everything in its place."""
    for seed in list_seeds(share, variants=len(_SWITCHES)):
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        with stamina.set_testing(True, attempts=6, cap=True):
            await _live(tmp_path, knobs, seed)
    structlog.reset_defaults()


async def _live(tmp_path: Path, knobs: dict[str, Any], seed: str) -> None:
    file = tmp_path / f"store-{seed.replace('/', '-')}.db"
    await asyncio.to_thread(shutil.copy, template(), file)
    database = open_database(f"sqlite:///{file}")
    office = Office(database, PortalKnobs(**knobs))
    history = _History(office, random.Random(f"{knobs} {seed}"))
    drift: Literal["revert", "report"] = history.chance.choice(("revert", "report"))
    limits = replace(office.rules.limits, max_adoptions=None)  # an older store knows nothing of newer groups
    policy = make_policy(deleted_groups="delete", drift=drift)
    office.rules = replace(office.rules, licences=(), policy=policy, limits=limits)
    history.begin()
    history.grant_rights()
    await office.sync("full")
    for _ in range(_STEPS):
        history.chance.choice(history.list_events())()
        await history.run(trouble=history.chance.random() < 0.5)
    office.wire.application.scopes.add("Admin.BusinessEntities.Read")
    office.wire.book.revoke_all()
    history.grant_rights()
    office.clock.elapsed += 86_400
    for _ in range(4):
        run = await office.sync("full")
        office.clock.elapsed += 7200
    if history.take_what_holds_groups_up(run, seed):
        for _ in range(3):
            await office.sync("full")
            office.clock.elapsed += 7200
    office.take_asked()
    run = await office.sync("full")
    assert office.take_asked() == [], f"seed {seed}: a further run writes"
    planned = [each for some in Store(office.database).plans.iterate_changes(run.id) for each in some]
    assert planned == [], f"seed {seed}: a further run plans {planned}"
    assert run.status == "succeeded", f"seed {seed}: {run.status} {run.error}"
    history.check(seed)
    office.database.close()
    assert office.judge.broken == []
