"""Whatever is deleted and founded again: a BPS group passes by proof alone, and whoever has the proof gets it.

The oracle knows the tenant alone. What syncd last saw of a deleted group may be older than its end, so that each state
since the last run counts as one that it may have seen: nothing may pass that none of them proves, and what all of
them prove must pass.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from hypothesis import example, given
from hypothesis import strategies as st
from sqlalchemy import select

from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import FieldRule
from syncd.store.db.database import open_database, reading
from syncd.store.schema.tables import source_objects, target_groups, target_principals
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World
from tests.property.machines import walked
from tests.stores import template

USERS = [f"u{number}" for number in range(6)]
GRACE = timedelta(days=3)

people = st.frozensets(st.sampled_from(USERS), max_size=5)
names = st.sampled_from(["Readers", "READERS", "Writers"])
place = st.integers(0, 3)
again = st.tuples(
    st.just("again"),
    place,
    st.booleans(),
    st.sampled_from([0.0, 0.0, 4.0]),
    st.sampled_from(["", "", "Others"]),
    people,
)
step = st.one_of(
    again,
    again,
    st.tuples(st.just("remove"), place),
    st.tuples(st.just("found"), names, people),
    st.tuples(st.just("found again"), people),
    st.tuples(st.just("link"), place, st.sampled_from(USERS), st.booleans()),
    st.tuples(st.just("rename"), place, names),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 4.0])),
    st.tuples(st.just("sync"), st.sampled_from(["delta", "delta", "full"])),
    st.tuples(st.just("sync"), st.sampled_from(["delta", "full"])),
)


@dataclass(kw_only=True)
class Team:
    """A group of the tenant. ``seen``: each name and circle that it had at the last run or since."""

    name: str
    people: frozenset[str]
    removed_at: datetime | None = None
    seen_removed_at: datetime | None = None
    seen: set[tuple[str, frozenset[str]]] = field(default_factory=set)
    decided: bool = False
    """A run has seen it active."""

    def note(self) -> None:
        """Remember how it is now."""
        self.seen.add((self.name, self.people))


class History:
    """One tenant with a handful of groups, a portal, a store."""

    def __init__(self, folder: Path, *, deletes: bool) -> None:
        shutil.copy(template(), folder / "store.db")
        self.world = world = World(open_database(f"sqlite:///{folder / 'store.db'}"))
        mapping = replace(make_rules().mapping, group_bps_id=FieldRule(expression=Expression('group.id + "@grp"')))
        policy = make_policy(deleted_groups="delete" if deletes else "empty", grace=GRACE)
        none = dict.fromkeys(("max_removals", "max_removal_percent", "max_daily_removal_percent", "max_update_percent"))
        limits = make_limits(**{**none, "max_creation_percent": None})
        world.rules = make_rules(mapping=mapping, policy=policy, limits=limits)
        self.teams: dict[str, Team] = {}
        for name in USERS:
            world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        self.found("Everybody", frozenset(USERS))  # so that the tenant is never without a group
        self.found("Readers", frozenset(USERS[:4]))

    # ---- what happens -----------------------------------------------------------------------------------------------

    def found(self, name: str, members: frozenset[str]) -> None:
        """Let a group be founded."""
        key = f"g{len(self.teams)}"
        self.world.source.put_group(key, displayName=name)
        for user in sorted(members):
            self.world.source.link(key, user)
        self.teams[key] = Team(name=name, people=members)

    def found_again(self, name: str, members: frozenset[str]) -> None:
        """Let the group that was deleted last be founded again, with other members, or but for a few of them."""
        gone = [team for team in self.teams.values() if team.removed_at is not None]
        if gone:
            last = max(gone, key=lambda team: str(team.removed_at))
            near, far = last.people ^ members, frozenset(USERS) - last.people ^ members
            self.found(name or last.name, (near, near, far)[len(members) % 3])

    async def take(self, what: tuple[Any, ...]) -> None:
        """Let one thing happen, and judge it."""
        source = self.world.source
        match what:
            case ("found", name, members):
                self.found(name, members)
            case ("found again", members):
                self.found_again("", members)
            case ("again", number, seen, days, name, members):
                await self.take(("remove", number))
                if seen:
                    await self.sync("delta")
                self.world.clock.ahead += timedelta(days=days)
                self.found_again(name, members)
                await self.sync("delta")
            case ("wait", days):
                self.world.clock.ahead += timedelta(days=days)
            case ("sync", kind):
                await self.sync(kind)
            case (_, number, *_):
                active = [key for key, team in self.teams.items() if team.removed_at is None][1:]
                if not active:
                    return
                key = active[number % len(active)]
                team = self.teams[key]
                match what:
                    case ("remove", _):
                        source.remove_group(key)
                        team.removed_at = self.world.clock.now()
                    case ("link", _, user, True) if user not in team.people:
                        source.link(key, user)
                        team.people |= {user}
                    case ("link", _, user, False) if user in team.people:
                        source.unlink(key, user)
                        team.people -= {user}
                    case ("rename", _, name):
                        source.put_group(key, displayName=name)
                        team.name = name
                team.note()

    # ---- what is true -----------------------------------------------------------------------------------------------

    def load_owners(self) -> dict[str, str]:
        """Return by BPS group of ours whose it is."""
        owned = (
            select(target_principals.c.bps_id, source_objects.c.id)
            .join_from(target_groups, target_principals, target_groups.c.key == target_principals.c.key)
            .join(source_objects, source_objects.c.key == target_groups.c.source_key)
        )
        with reading(self.world.database) as connection:
            return {row[0]: row[1] for row in connection.execute(owned)}

    def is_proven(self, former: Team, heir: Team, *, surely: bool, now: datetime) -> bool:
        """Return whether one follows the other: by any of what may have been seen, or (``surely``) by all of it."""
        if former.removed_at is None:
            return False
        removed = former.removed_at if surely else former.seen_removed_at or now
        if now - removed > GRACE:
            return False
        judged = [
            name.casefold() == heir.name.casefold()
            and (common := len(members & heir.people)) > 0
            and common * 2 >= max(len(members), len(heir.people))
            for name, members in former.seen
        ]
        return all(judged) if surely else any(judged)

    async def sync(self, kind: Any) -> None:
        """Run, and judge who has which BPS group."""
        before, now = self.load_owners(), self.world.clock.now()
        fresh = {key for key, team in self.teams.items() if team.removed_at is None and not team.decided}
        run = await self.world.sync(kind)
        assert run.status == "succeeded", run.error
        after = self.load_owners()
        owners = set(before.values())
        for record, former in before.items():
            heir = after.get(record, former)
            if heir != former:
                assert heir in fresh, f"{heir} had a BPS group of its own"
                proven = self.is_proven(self.teams[former], self.teams[heir], surely=False, now=now)
                assert proven, f"{record} passed from {self.teams[former]} to {self.teams[heir]}"
            fits = {key for key in fresh if self.is_proven(self.teams[former], self.teams[key], surely=False, now=now)}
            for key in fits if len(fits) == 1 else ():
                rivals = {
                    other
                    for other in owners - {former}
                    if self.is_proven(self.teams[other], self.teams[key], surely=False, now=now)
                }
                if not rivals and self.is_proven(self.teams[former], self.teams[key], surely=True, now=now):
                    assert after.get(record) == key, f"{record} did not pass to {self.teams[key]}"
        for team in self.teams.values():
            if team.removed_at is None:
                team.seen, team.decided = set(), True
                team.note()
            elif team.seen_removed_at is None:
                team.seen_removed_at = now

    async def end(self) -> None:
        """Fail unless each group has one BPS group with just its people, and nothing is left to do."""
        for _ in range(3):
            await self.sync("full")
        assert self.world.changes(await self.world.sync("full")) == []
        owners = {owner: record for record, owner in self.load_owners().items()}
        picture = self.world.portal.picture()
        for key, team in self.teams.items():
            there = picture.get(owners.get(key, ""), set())
            if team.removed_at is None:
                assert key in owners, f"{key} has no BPS group"
                assert there == {f"{user}@x.com" for user in team.people}, f"{key} has {there}"
            else:
                assert not there, f"{key} is deleted, and has {there}"


@walked(30)
@given(st.lists(step, min_size=4, max_size=20), st.booleans())
@example([("remove", 0), ("sync", "delta"), ("found again", frozenset({"u4"})), ("sync", "delta")], False)
@example([("remove", 0), ("found again", frozenset({"u4"})), ("sync", "full"), ("remove", 0), ("sync", "full")], True)
def test_a_bps_group_passes_by_proof_alone(steps: list[tuple[Any, ...]], deletes: bool) -> None:
    """Over deletions, groups that are founded again, other names and members, and time that passes."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    async def live() -> None:
        with TemporaryDirectory() as folder:
            history = History(Path(folder), deletes=deletes)
            await history.take(("sync", "full"))
            for each in steps:
                await history.take(each)
            await history.end()
            history.world.database.close()

    asyncio.run(live())
    structlog.reset_defaults()
