"""Whatever happens between a hold and its approval, nobody goes who was not shown, or whom the tenant wants again.

The oracle knows the tenant and the portal alone: what an approval took away must have been listed as held by the run
that was approved, and the tenant must not want it now. Ordinary runs take nothing away here, one removal is too many;
but what came since a picture of the tenant, by a run of ours, may go again when the whole tenant is set back to it.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from hypothesis import example, given
from hypothesis import strategies as st

from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.plan.rules import LicenceRule
from syncd.store.db.database import open_database
from syncd.sync.planning.replay import Replay
from syncd.sync.planning.undo import Undo
from tests.fakes.history import reopen_run
from tests.fakes.portal import FakePortal
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World
from tests.property.machines import walked
from tests.stores import template

USERS = [f"u{number}" for number in range(5)]
OUTSIDERS = ["v0", "v1"]
"""Who begins in no group."""
GROUPS = ["g0", "g1"]
_PORTAL = ("accounts", "groups", "members", "owners", "licences")
Seen = set[tuple[str, ...]]

users, groups = st.sampled_from([*USERS, *OUTSIDERS]), st.sampled_from(GROUPS)
event = st.one_of(
    st.tuples(st.just("enable"), users, st.booleans()),
    st.tuples(st.just("link"), groups, users),
    st.tuples(st.just("unlink"), groups, users),
    st.tuples(st.just("drop"), users),
    st.tuples(st.just("restore"), users),
    st.tuples(st.just("title"), users, st.sampled_from(["Clerk", "Director"])),
    st.tuples(st.just("hand"), groups, users, st.booleans()),
    st.tuples(st.just("hire")),
    st.tuples(st.just("backup")),
    st.tuples(st.just("older store"), st.booleans()),
    st.tuples(st.just("portal backup")),
    st.tuples(st.just("older portal")),
    st.tuples(st.just("photograph")),
    st.tuples(st.just("set back")),
    st.tuples(st.just("wait"), st.sampled_from([0.5, 4.0])),
    st.tuples(st.just("jump"), st.sampled_from([0.0, 0.0, -2.0, 40.0]), st.sampled_from(["ours", "graph", "bps"])),
)
step = st.one_of(
    event,
    event,
    st.tuples(st.just("sync"), st.sampled_from(["delta", "delta", "full"])),
    st.tuples(st.just("sync"), st.sampled_from(["delta", "full"])),
    st.tuples(st.sampled_from(["undo", "replay"])),
    st.tuples(st.just("approve"), st.integers(0, 4), st.sampled_from(["", "", *USERS])),
    st.tuples(st.just("approve"), st.just(0), st.just("")),
)


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What the tenant was like: who was active, with which values, and in which groups."""

    values: Mapping[str, Mapping[str, Any]]
    members: Mapping[str, frozenset[str]]


class History:
    """One tenant, one portal, and the stores that come and go."""

    def __init__(self, folder: Path, *, deletes: bool) -> None:
        self.folder, self.stores = folder, 0
        self.world = World(open_database(self._put_store(template())), portal=FakePortal())
        self.saved: Path | None = None
        self.saved_portal: dict[str, Any] = {}
        self.last_joining: int | None = None
        self.picture: Picture | None = None
        self.joined: Seen = set()
        """What runs of ours gave to people who had their account before."""
        world = self.world
        world.portal.totals = {"User": 99}
        world.rules = make_rules(
            limits=make_limits(max_removals=0, max_creation_percent=None, max_update_percent=None),
            policy=make_policy(disabled_users="delete" if deletes else "revoke", grace=timedelta(), drift="report"),
            licences=(LicenceRule("Group g1", "User"),),
        )
        for name in GROUPS:
            world.source.put_group(name, displayName=f"Group {name}", mailNickname=f"{name}@grp")
        for name in USERS:
            self._hire(name, GROUPS)
        for name in OUTSIDERS:
            self._hire(name, ())

    def _put_store(self, copied: Path) -> str:
        self.stores += 1
        path = self.folder / f"{self.stores}.db"
        shutil.copy(copied, path)
        return f"sqlite:///{path}"

    def _hire(self, name: str, groups: Sequence[str]) -> None:
        login = f"{name}@x.com"
        self.world.source.put_user(name, userPrincipalName=login, displayName=name, mail=login)
        for group in groups:
            self.world.source.link(group, name)

    # ---- what is true -----------------------------------------------------------------------------------------------

    def look(self) -> Seen:
        """Return what people have in the portal."""
        portal = self.world.portal
        places = {("unlink", group, member) for group, people in portal.members.items() for member in people}
        licences = {("revoke", login, kind) for login, held in portal.licences.items() for kind in held}
        return places | licences | {("delete", login) for login in portal.accounts}

    def is_wanted(self, what: tuple[str, ...]) -> bool:
        """Return whether the tenant wants somebody to have this."""
        source = self.world.source
        login = what[2] if what[0] == "unlink" else what[1]
        user = source.users.get(login.partition("@")[0])
        if user is None or user.state != "active" or not user.attributes.get("accountEnabled", True):
            return False
        group = {"unlink": what[1].partition("@")[0], "revoke": "g1"}.get(what[0])
        return group is None or login.partition("@")[0] in source.groups[group].members

    def list_held(self, run: int) -> Seen:
        """Return what a run shows as held."""
        return {
            tuple(part for part in (change.action, change.bps_id, change.target) if part)
            for chunk in self.world.store.plans.iterate_changes(run, statuses=["held"])
            for planned, _, _ in chunk
            for change in (planned.change,)
        }

    def _returns(self, what: tuple[str, ...]) -> bool:
        """Return whether this may go unasked: the tenant was set back to where it was not yet."""
        return what[0] != "delete" and what in self.joined and self.picture is not None and not self.is_wanted(what)

    # ---- what happens -----------------------------------------------------------------------------------------------

    async def take(self, what: tuple[Any, ...]) -> None:
        """Let one thing happen, and judge it."""
        match what:
            case ("sync", kind):
                before = self.look()
                run = await self.world.sync(kind)
                gone = before - self.look()
                assert all(self._returns(each) for each in gone), f"{run.kind} run {run.id} took away {gone}"
                known = {each[-1] for each in before if each[0] == "delete"}
                logins = {each: each[2] if each[0] == "unlink" else each[1] for each in self.look() - before}
                self.joined |= {each for each, login in logins.items() if login in known}
                if "link" in run.counts:
                    self.last_joining = run.id
            case ("undo",):
                if self.last_joining is not None:
                    before = self.look()
                    await self.world.carry_out(Undo(run_id=self.last_joining))
                    assert before <= self.look()
            case ("replay",):
                before = self.look()
                run = await self.world.carry_out(Replay())
                assert before <= self.look(), f"replay {run.id} took away {before - self.look()}"
            case ("approve", kill, only):
                await self._approve(kill, (f"{only}@x.com",) if only else ())
            case _:
                self._happen(what)

    def _happen(self, what: tuple[Any, ...]) -> None:
        world, source = self.world, self.world.source
        match what:
            case ("enable", name, value):
                source.put_user(name, accountEnabled=value)
            case ("link", group, name):
                source.link(group, name)
            case ("unlink", group, name):
                source.unlink(group, name)
            case ("drop", name):
                source.remove_user(name)
            case ("restore", name):
                if source.users[name].state != "active":
                    source.restore_user(name)
            case ("title", name, title):
                source.put_user(name, jobTitle=title) if source.users[name].state == "active" else None
            case ("hand", group, name, inside):
                people, login = world.portal.members.get(f"{group}@grp"), f"{name}@x.com"
                if people is not None and login in world.portal.accounts:
                    people.pop(login, None)
                    people |= {login: login} if inside else {}
            case ("hire",):
                self._hire(f"n{len(source.users)}", GROUPS)
            case ("portal backup",):
                self.saved_portal = deepcopy({name: getattr(world.portal, name) for name in _PORTAL})
            case ("older portal",):
                vars(world.portal).update(deepcopy(self.saved_portal))
            case ("photograph",):
                active = {name: user for name, user in source.users.items() if user.state == "active"}
                self.picture = Picture(
                    values={name: dict(user.attributes) for name, user in active.items()},
                    members={name: frozenset(source.groups[name].members) for name in GROUPS},
                )
            case ("set back",) if self.picture is not None:
                self._set_back(self.picture)
            case ("wait", days):
                world.clock.ahead += timedelta(days=days)
            case ("jump", days, "ours"):
                world.clock.wrong = timedelta(days=days)
            case ("jump", days, side):
                world.meters[side].ahead = timedelta(days=days)
            case ("backup",):
                self.saved = self.folder / "saved.db"
                world.database.close()
                shutil.copy(self.folder / f"{self.stores}.db", self.saved)
                self._open(self.saved)
            case ("older store", dead) if self.saved is not None:
                world.database.close()
                self._open(self.saved)
                source.dead = dead
                self.last_joining = None

    def _set_back(self, picture: Picture) -> None:
        """Let the tenant be as it was: who was there with these values, and nobody who came since."""
        source = self.world.source
        for name, user in list(source.users.items()):
            if name not in picture.values:
                source.remove_user(name) if user.state == "active" else None
                continue
            if user.state != "active":
                source.restore_user(name)
            old = picture.values[name]
            source.put_user(name, **(dict.fromkeys(user.attributes.keys() - old.keys()) | dict(old)))
        for group, people in picture.members.items():
            now = set(source.groups[group].members)
            for name in now - people:
                source.unlink(group, name)
            for name in people - now:
                source.link(group, name)

    def _open(self, store: Path) -> None:
        old = self.world
        database = open_database(self._put_store(store))
        self.world = World(database, source=old.source, portal=old.portal, rules=old.rules, clock=old.clock)
        self.world.meters = old.meters

    async def _approve(self, kill: int, only: tuple[str, ...]) -> None:
        world = self.world
        holding = world.store.decisions.load_holding_runs(now=world.clock.now())
        if not holding:
            return
        shown, before = self.list_held(holding[-1]), self.look()
        approval = Approval(run_id=holding[-1], only=only)
        request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval)
        run = await self._execute(request, kill)
        gone = before - self.look()
        alone = {each for each in gone if ("delete", each[-1]) not in gone or each[0] != "unlink"}
        assert alone <= shown, f"nobody was shown {alone - shown}"
        if not self._is_reversal(holding[-1]):
            assert not [each for each in gone if self.is_wanted(each)], "the tenant wants it"
        if only:
            assert all(only[0] in each for each in gone), gone
        if run is None:
            await world.store.runs.interrupt_open()
            left = self.list_held(holding[-1])
            noted = {each for each in shown - left if each[0] in ("unlink", "delete", "revoke")}
            assert noted <= gone | (noted - before), "what was not done is held no more"
        else:
            assert run.status in ("succeeded", "partial", "failed", "held"), run.error

    def _is_reversal(self, run: int) -> bool:
        record = self.world.store.runs.load_run.blocking(run)
        return record is not None and record.kind == "undo"

    async def _execute(self, request: RunRequest, kill: int) -> RunRecord | None:
        world, portal = self.world, self.world.portal
        if not kill:
            return await world.runs.execute(request, world.open_sides())
        remove, done = portal.remove_members, 0

        async def die(group_id: str, member_ids: Sequence[str]) -> Any:
            nonlocal done
            done += 1
            if done > kill:
                raise RuntimeError("killed")
            found = await remove(group_id, member_ids)
            if done == kill:
                raise RuntimeError("killed")
            return found

        portal.remove_members = die
        try:
            return await world.runs.execute(request, world.open_sides())
        except (RuntimeError, BaseExceptionGroup):
            (killed,) = world.store.runs.load_runs(1)
            reopen_run(world.database, killed.id)
            return None
        finally:
            del portal.remove_members


@walked(40)
@given(st.lists(step, min_size=6, max_size=22), st.booleans())
@example([("enable", "u0", False), ("sync", "delta"), ("enable", "u0", True), ("approve", 0, "")], True)
@example(
    [
        ("wait", 4.0),
        ("photograph",),
        *(("link", group, name) for group in GROUPS for name in OUTSIDERS),
        ("sync", "delta"),
        ("set back",),
        ("sync", "delta"),
    ],
    False,
)
def test_an_approval_takes_only_what_was_shown_and_nobody_wants(steps: list[tuple[Any, ...]], deletes: bool) -> None:
    """Over both sides' changes, kills, older stores and portals, wrong clocks, undone and replayed runs."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))

    async def live() -> None:
        with TemporaryDirectory() as folder:
            history = History(Path(folder), deletes=deletes)
            await history.take(("sync", "full"))
            for each in steps:
                await history.take(each)
            history.world.database.close()

    asyncio.run(live())
    structlog.reset_defaults()
