"""Long histories of rules about privileges: they come and go, groups are renamed, deleted and made anew, somebody gives
and takes by hand, answers are lost before and after the write, and syncd is killed. On every kind of portal.

In the end what the rules want is there, what was given by hand is untouched, of ours nothing else is left but what is
told as unknown, and further runs change nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import pytest
import stamina
import structlog
from sqlalchemy import select

from syncd.cli.commands.privileges import list_privileges
from syncd.plan.rules import PrivilegeRule
from syncd.sandbox.portal.places import KINDS, Given
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.store.db.database import open_database
from syncd.store.db.markers import PRIVILEGES_TELLING, load_markers
from syncd.store.schema.tables import target_principals
from syncd.store.store import Store
from tests.contract.office import Office
from tests.contract.privilege_rules import SWITCHES, rule
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
    {"form_type": "Correction", "workflow": "Approval"},
)
_LEVELS = ("ReadOnly", "Administrator")
_SWITCHES: tuple[dict[str, Any], ...] = (*SWITCHES, {"places_visible": "none"})


class _Killed(BaseException):
    """The process is gone."""


@dataclass
class _History:
    """One office, what somebody gave by hand there, and what the rules say."""

    office: Office
    chance: random.Random
    by_hand: set[Given] = field(default_factory=set)
    rules: tuple[PrivilegeRule, ...] = ()
    numbers: Iterator[int] = field(default_factory=lambda: iter(range(1000)))

    def begin(self) -> None:
        """Three groups without anybody, of whom every history tells, and one that stays: a tenant is never emptied."""
        for name in (*_GROUPS, "z"):
            self.office.source.put_group(name, displayName=f"Group {name}", mailNickname=f"{name}@grp")

    def say(self, rules: tuple[PrivilegeRule, ...]) -> None:
        """Let the rules be these."""
        self.rules = rules
        self.office.rules = replace(self.office.rules, privileges=rules)

    def choose_rules(self) -> None:
        """Let some of all rules be in force; of one place and group one level."""
        chosen = {}
        for _ in range(self.chance.randrange(5)):
            group, place = self.chance.choice(self._list_there() or _GROUPS[:1]), self.chance.choice(_PLACES)
            level = self.chance.choice(_LEVELS)
            chosen[group, str(place)] = rule(f"Group {group}", level, **place)
        rules = tuple(chosen.values()) if self._list_there() else ()
        if self.office.wire.knobs.places_visible == "none":  # nothing can be named by its name
            rules = tuple(replace(one, place=self._find_guid(one)) for one in rules if one.kind != "form_type")
        self.say(rules)

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
        known = Store(self.office.database).privileges.load_held()
        names = self.office.database.load_rows(select(target_principals.c.key, target_principals.c.bps_fold))
        ours = {row.bps_fold: {held.privilege.place.key for held in known.get(row.key, ())} for row in names}
        there = {(one.place, one.key) for one in store.privileges}
        if (given.place, given.key) not in there and item.guid not in ours.get(given.key.casefold(), set()):
            store.privileges[given] = "local"
            self.by_hand.add(given)

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
            del self.office.wire.store.privileges[gone]
            self.by_hand.discard(gone)

    async def run(self, *, trouble: bool) -> None:
        """Run once, perhaps with a lost answer, an unreachable portal or a kill on the way."""
        wire = self.office.wire
        kind = self.chance.choice(("delta", "full"))
        if trouble:
            what = self.chance.choice(("lose", "reset", "status", "kill before", "kill after", "outage"))
            path = self.chance.choice(("privileges/add", "privileges/remove", "admin/privileges"))
            anywhere = self.chance.random() < 0.3
            count = -1 if what == "outage" else self.chance.randrange(1, 4)
            if what in ("lose", "reset", "status"):
                wire.faults.add(Fault(what, side="portal", path=path, count=count))  # type: ignore[arg-type]
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

    def check(self, seed: str) -> None:
        """Compare the portal with the rules and with what was given by hand."""
        store, told = self.office.wire.store, f"seed {seed}"
        alive = {given for given in self.by_hand if given.key in store.groups}
        assert alive <= store.privileges.keys(), f"{told}: taken although it was given by hand"
        names = {fold: group.name for fold, group in store.groups.items()}
        titles = {item.guid: item.name for kind in KINDS for item in store.databases[1].items(kind)}
        wanted = {(one.group, titles.get(one.place, one.place), one.level, one.company) for one in self.rules}
        live = self._find_live()
        there = set()
        unwanted = []
        for given, origin in store.privileges.items():
            title, company = titles[given.place[3]], titles.get(given.company, "")
            if live.get(given.key) is not None:
                there.add((live[given.key], title, given.level, company))
            if origin == "rest" and (live.get(given.key), title, given.level, company) not in wanted:
                unwanted.append(f"{given.key} {names.get(given.key)} {given.level} {title} {company}")
        unknown = {
            (line["bps_id"].casefold())
            for line in list_privileges(Store(self.office.database), self.office.rules)
            if line["bps_id"] and line["state"] in ("kept", "unknown", "beside")
        }
        if not self.office.wire.knobs.privilege_exclusive:
            missing = {each for each in wanted if each[0] in live.values()} - there
            assert not missing, f"{told}: {missing}"
        left = [each for each in unwanted if each.partition(" ")[0].casefold() not in unknown]
        gone = [each for each in left if each.partition(" ")[0] not in store.groups]
        assert not set(left) - set(gone), f"{told}: left of ours {left}"

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
    office.rules = replace(office.rules, licences=(), policy=make_policy(deleted_groups="delete", drift="revert"))
    history = _History(office, random.Random(f"{knobs} {seed}"))
    history.begin()
    await office.sync("full")
    for _ in range(_STEPS):
        event = history.chance.choice(
            (history.choose_rules, history.choose_rules, history.rename, history.delete, history.give, history.take)
        )
        event()
        await history.run(trouble=history.chance.random() < 0.5)
    office.clock.elapsed += 86_400
    for _ in range(4):
        await office.sync("full")
    office.take_asked()
    run = await office.sync("full")
    assert office.take_asked() == [], f"seed {seed}: a further run writes"
    planned = [each for some in Store(office.database).plans.iterate_changes(run.id) for each in some]
    assert planned == [], f"seed {seed}: a further run plans {planned}"
    assert run.status == "succeeded", f"seed {seed}: {run.status} {run.error}"
    history.check(seed)
    database.close()
    assert office.judge.broken == []
