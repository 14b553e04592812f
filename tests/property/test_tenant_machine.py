"""Laws 2 and 3 against the imitation tenant: random lives of a company, read with everything that can go wrong.

A machine lets people and agents be hired, leave, return, take over logins, change names and managers, nests groups in
circles, sets the whole tenant back, and reads in between: by delta and in full, with faults, kills, lost permissions,
expired checkpoints, replicas that are behind, counts that are refused, wrong clocks, and changes under the read. After
each read nothing may have vanished from the directory that the tenant did not lose; once the faults stop the directory
equals the tenant. See `machines` for long runs.

Slow answers are slow on the tenant's clock alone: what was asked for later overtakes them, links and tokens grow old
meanwhile, and the tenant changes between question and answer. That bytes which drip over a socket are put together, and
left when they do not end, shows `contract/test_manners.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
)
from sqlalchemy import select, update

from syncd.errors import Conflict, SyncdError
from syncd.graph import trail as trails
from syncd.model.source import KIND
from syncd.sandbox.tenant.objects import Group, Node
from syncd.sandbox.tenant.replicas import Read
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import TenantKnobs
from syncd.store.db.database import Database, open_database, reading
from syncd.store.db.sql import decode_json
from syncd.store.directory.checkpoints import load_checkpoint
from syncd.store.directory.delta_log import BEHIND
from syncd.store.schema.tables import (
    checkpoints,
    source_groups,
    source_members,
    source_objects,
    source_owners,
    source_users,
)
from tests.fakes.tenant import READING, ROOT, Tenant, make_error
from tests.property.machines import SHARES, OurClock, walk
from tests.stores import template

if TYPE_CHECKING:
    from tests.contract.sandbox_client import MovableClock

TRACKED = ("accountEnabled", "businessPhones", "displayName", "jobTitle", "mail", "userPrincipalName", "userType")
MARKS = {KIND, "identityParentId"}
MINUTES = 60.0
DAYS = 86_400.0

number = st.integers(0, 30)


def make_id(first: str, count: int) -> str:
    """Return an object id that can be told from others at a glance."""
    return f"{first * 8}-0000-4000-8000-{count:012}"


OURS = ("a" * 8, "b" * 8, "c" * 8)
"""How ids of users and groups begin; all others are devices and the like, which are never deleted here."""
ANN, BOB, OPEN, HIDDEN = make_id("a", 1), make_id("a", 2), make_id("b", 0), make_id("c", 0)


def event(name: str, *arguments: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    """Return one kind of event: a method of the machine, and its arguments."""
    return st.tuples(st.just(name), *arguments)


in_company = st.one_of(
    event("hire", number),
    event("leave", number, st.booleans()),
    event("purge", number),
    event("come_back", number),
    event("rename", number, st.sampled_from(["new", "boss", "NEW"])),
    event("swap", number, number),
    event("retitle", number, st.sampled_from(["Clerk", "Boss", None]), st.sampled_from([["1"], ["2", "1"], None])),
    event("enable", number, st.sampled_from([True, False, None])),
    event("promote", number, st.one_of(st.none(), number)),
    event("create_group", number),
    event("drop_group", number, st.booleans()),
    event("join", number, number),
    event("join", number, number),
    event("leave_group", number, number),
    event("empty", number),
    event("own", number, number),
    event("disown", number, number),
    event("succeed", number),
    event("hire_agent", number),
    event("photograph"),
    event("set_back"),
)
around = st.one_of(
    event("wait", st.sampled_from([10.0, 6 * MINUTES, 2 * DAYS, 8 * DAYS, 31 * DAYS])),
    event("lose_checkpoints", st.booleans()),
    event("lose_tokens"),
    event("change_permissions", st.booleans(), st.booleans()),
    event("miscount", st.sampled_from([-20, -1, 3, 20])),
    event("restart"),
    event("garble_links"),
    event("circle", st.booleans()),
    event("swallow_links", st.booleans()),
    event("fall_behind", st.sampled_from([(), ("lists",), ("links",), ("singles",), ("counts",), ("lists", "links")])),
    event("catch_up"),
    event("refuse_counts", st.sampled_from([0, 400, 503, 504])),
    event("jump", st.sampled_from([0.0, -2 * DAYS, 0.1 * DAYS, 40 * DAYS]), st.booleans()),
)

# Left out: latency, gzip and the life of tokens, which are the transport's; what ends a secret or an application ends
# every read, and is tried in the login's own tests. Endless rounds, lost links and counts are turned on and off.
knobs = st.fixed_dictionaries(
    {},
    optional={
        "page_objects": st.integers(1, 5),
        "page_links": st.integers(1, 5),
        "shuffle": st.just(True),
        "duplicates": st.just(0.5),
        "replay_previous_round": st.just(True),
        "initial_removed_objects": st.just(True),
        "initial_removed_links": st.just(True),
        "empty_page_every": st.integers(1, 3),
        "repeat_relationships": st.just(True),
        "manager_names_old": st.just(False),
        "manager_removed_last": st.just(True),
        "restore_reports_links": st.just(True),
        "purge_links_after": st.sampled_from([None, 5 * MINUTES]),
        "visibility_delay": st.just(5 * MINUTES),
        "same_delta_token": st.just(True),
        "expiry_form": st.sampled_from(["sync_state_not_found", "gone", "never"]),
        "page_drift": st.just(True),
        "list_page_objects": st.integers(1, 4),
        "hidden_membership": st.just("forbidden"),
        "retry_after_form": st.sampled_from(["fraction", "date", "empty", "absent"]),
        "corrupt_token_code": st.sampled_from(["BadRequest", "syncStateNotFound", "Request_BrandNew"]),
        "page_token_lifetime": st.sampled_from([1.0, 5.0]),
        "delta_lifetime": st.sampled_from([MINUTES, 1 * DAYS]),
        "initial_round_lifetime": st.sampled_from([10 * MINUTES, 1 * DAYS]),
        "members_omit_service_principals": st.just(False),
        "resource_units_per_10s": st.sampled_from([20, 60]),
        "subtypes_stated": st.just(False),
        "subtypes_listed": st.just(False),
        "subtypes_counted": st.just(False),
    },
)


def _cut_list(page: Any, *, keep: int) -> None:
    """Drop entries from a list without a word."""
    if isinstance(page.get("value"), list):
        del page["value"][keep:]


def _leave_out(page: Any) -> None:
    """Drop one answer of a batch."""
    if isinstance(page.get("responses"), list):
        del page["responses"][:1]


LIST = r"^/v1.0/(users|groups)\?"


def _say_error(page: Any) -> None:
    page.clear()
    page["error"] = {"code": "InternalServerError", "message": "It is broken inside."}


FAULTS: tuple[Callable[[], dict[str, Any]], ...] = (
    lambda: {"kind": "status", "status": 429, "headers": {"Retry-After": "7"}},
    lambda: {"kind": "status", "status": 503, "headers": {"Retry-After": "2.5"}},
    lambda: {"kind": "status", "status": 500, "body": make_error("InternalServerError")},
    lambda: {"kind": "status", "status": 504},
    lambda: {"kind": "html", "status": 200},
    lambda: {"kind": "html", "status": 502},
    lambda: {"kind": "reset"},
    lambda: {"kind": "lose"},
    lambda: {"kind": "truncate"},
    lambda: {"kind": "delay", "seconds": 20.0},
    lambda: {"kind": "delay", "seconds": 300.0},
    lambda: {"kind": "drip", "seconds": 4.0},
    lambda: {"kind": "drip", "seconds": 30.0},
    lambda: {"kind": "drip", "seconds": 1.0, "path": LIST},
    lambda: {"kind": "status", "status": 200, "body": b'{"value":[{"id":"'},
    lambda: {"kind": "status", "status": 401, "body": make_error("InvalidAuthenticationToken")},
    lambda: {"kind": "status", "status": 403, "body": make_error("Authorization_RequestDenied")},
    lambda: {"kind": "status", "status": 400, "body": b'{"value":[]}'},
    lambda: {"kind": "status", "status": 400, "body": make_error("Request_BadRequest", "Once more.")},
    lambda: {"kind": "status", "status": 404, "body": make_error("UnknownError")},
    lambda: {"kind": "status", "status": 404, "body": make_error("Request_ResourceNotFound"), "path": "delta"},
    lambda: {"kind": "alter", "change": _say_error},
    lambda: {"kind": "alter", "change": partial(_cut_list, keep=0), "path": "delta"},
    lambda: {"kind": "alter", "change": partial(_cut_list, keep=1), "path": "delta"},
    lambda: {"kind": "alter", "change": partial(_cut_list, keep=0), "path": "members"},
    lambda: {"kind": "alter", "change": partial(_cut_list, keep=1), "path": "members"},
    lambda: {"kind": "links", "link": "same"},
    lambda: {"kind": "links", "link": "foreign"},
    lambda: {"kind": "links", "link": "neither", "path": "delta"},
    lambda: {"kind": "links", "link": "both"},
    lambda: {"kind": "status", "side": "batch", "status": 404, "body": make_error("UnknownError")},
    lambda: {"kind": "status", "side": "batch", "status": 429, "headers": {"Retry-After": "9"}},
    lambda: {"kind": "status", "side": "batch", "status": 503},
    lambda: {"kind": "status", "side": "batch", "status": 401, "body": make_error("InvalidAuthenticationToken")},
    lambda: {"kind": "status", "side": "batch", "status": 403, "body": make_error("Authorization_RequestDenied")},
    lambda: {"kind": "status", "side": "batch", "status": 400, "body": make_error("BadRequest")},
    lambda: {"kind": "alter", "side": "batch", "change": _say_error},
    lambda: {"kind": "alter", "side": "batch", "change": partial(_cut_list, keep=1), "path": "members"},
    lambda: {"kind": "alter", "change": _leave_out, "method": "POST"},
    lambda: {"kind": "status", "status": 424, "method": "POST", "headers": {"Retry-After": "3"}},
    lambda: {"kind": "status", "status": 400, "body": make_error("Request_BadRequest"), "path": "latest"},
    lambda: {"kind": "status", "status": 501, "body": make_error("NotImplemented"), "path": LIST},
    lambda: {"kind": "status", "status": 503, "path": LIST},
    lambda: {
        "kind": "status",
        "status": 400,
        "body": make_error("Directory_ExpiredPageToken"),
        "path": f"{LIST}.*skiptoken",
    },
    lambda: {"kind": "alter", "change": partial(_cut_list, keep=1), "path": LIST},
    lambda: {"kind": "links", "link": "foreign", "path": LIST},
    lambda: {"kind": "links", "link": "neither", "path": LIST},
)
fault = st.tuples(st.integers(0, len(FAULTS) - 1), st.integers(0, 12), st.sampled_from([1, 1, 2, 9, -1]))
trouble = st.one_of(st.none(), st.lists(fault, min_size=1, max_size=3))


async def call_in_turn(work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Run the store's work in the event loop: without a thread, every history can be told again as it was."""
    await asyncio.sleep(0)
    return work(*args, **kwargs)


class Company(RuleBasedStateMachine):
    """One tenant with its people, one store, and the adapter between them."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = TemporaryDirectory()
        path = Path(self.folder.name, "store.db")
        shutil.copy(template(), path)
        self.database = open_database(f"sqlite:///{path}")
        self.database.call = call_in_turn
        self.serial = 0
        self.honest = True
        self.gone_objects: set[str] = set()
        self.gone_links: set[tuple[str, str]] = set()
        self.moved: set[str] = set()
        self.gone_ownerships: set[tuple[str, str]] = set()
        self.known = Known()
        self.backup: dict[str, Node] = {}
        self.frozen_at = 0.0

    @initialize(chosen=knobs, seed=number, owners=st.booleans())
    def found(self, chosen: dict[str, Any], seed: int, owners: bool) -> None:
        """A small company: six people, an open and a hidden group, a device and a contact."""
        self.owners = owners
        if chosen.get("retry_after_form") in ("empty", "absent"):
            chosen.pop("resource_units_per_10s", None)  # who is told no time waits by guesses, which take none here
        self.tenant = Tenant(knobs=TenantKnobs(**{"page_objects": 3, "page_links": 3, **chosen}), seed=seed)
        directory = self.directory = self.tenant.directory
        for _ in range(6):
            self.hire(1)
        self.others = [directory.add_object("device", "PC"), directory.add_object("servicePrincipal", "App")]
        directory.create_group({"displayName": "Open"}, group_id=OPEN, members=[ANN, BOB, *self.others], owners=[ANN])
        hidden = {"displayName": "Hidden", "visibility": "HiddenMembership", "groupTypes": ["Unified"]}
        directory.create_group(hidden, group_id=HIDDEN, members=[BOB, make_id("a", 5), OPEN])
        directory.set_manager(ANN, directory.add_object("orgContact", "Board"))
        self.our_clock = OurClock(cast("MovableClock", self.tenant.clock))
        self.source = self.open_source()
        self.look()

    def open_source(self) -> Any:
        """Return the adapter of a new process, which forgets what it was told to wait: it starts when that is over."""
        self.wait(120.0)  # a bucket of twenty units asks for more than ten seconds
        return self.tenant.open_source(user_attributes=("jobTitle", "businessPhones"), owners=self.owners)

    def teardown(self) -> None:
        """Once faults stop, all is well; then everything is put away."""
        try:
            if hasattr(self, "source"):
                self.settle()
                assert [found for found in self.tenant.ledger.violations if found.rule != "unknown-token"] == []
        finally:
            self.database.close()
            self.runner.close()
            self.folder.cleanup()

    # ---- what happens in the company --------------------------------------------------------------------------------

    @rule(events=st.lists(in_company, min_size=1, max_size=5))
    def live(self, events: list[tuple[Any, ...]]) -> None:
        """Some days pass."""
        for what in events:
            self.happen(what)

    @rule(what=around)
    def suffer(self, what: tuple[Any, ...]) -> None:
        """Something happens to the connection."""
        self.happen(what)

    def happen(self, what: tuple[Any, ...]) -> None:
        """Let one event happen, as far as it makes sense now."""
        getattr(self, what[0])(*what[1:])
        self.look()

    def pick(self, nodes: list[Any], index: int) -> Any:
        """Return one of some objects, None when there is none."""
        return nodes[index % len(nodes)] if nodes else None

    def users(self, state: str = "active") -> list[Node]:
        """Return the users in a state."""
        return [user for user in self.directory.users if user.state == state]

    def groups(self, state: str = "active") -> list[Group]:
        """Return the groups in a state."""
        return [group for group in self.directory.groups if group.state == state]

    def hire(self, index: int) -> None:
        self.serial += 1
        name = f"u{self.serial}" if index % 3 else "boss"
        with contextlib.suppress(Conflict):  # Entra keeps principal names unique
            self.directory.hire(f"Person {self.serial}", f"{name}@x.example", user_id=make_id("a", self.serial))

    def hire_agent(self, index: int) -> None:
        self.serial += 1
        self.directory.create_agent(f"Agent {index}", f"a{self.serial}@x.example", user_id=make_id("a", self.serial))

    def succeed(self, index: int) -> None:
        """Somebody gets the login of a person who has left."""
        former = self.pick(self.users("deleted"), index)
        if former is not None:
            self.serial += 1
            with contextlib.suppress(Conflict):
                login = str(former.properties["userPrincipalName"])
                self.directory.hire(f"Person {self.serial}", login, user_id=make_id("a", self.serial))

    def photograph(self) -> None:
        """The tenant keeps a backup of itself."""
        self.backup = {node.id: node.copy() for node in [*self.users(), *self.groups()]}

    def set_back(self) -> None:
        """The tenant is set back to its backup: people who came since are deleted, what was purged stays away."""
        if not self.backup:
            return
        for user in self.users():
            if user.id not in self.backup:
                self.directory.leave(user.id)
        for node in [*self.users("deleted"), *self.groups("deleted")]:
            if node.id in self.backup:
                with contextlib.suppress(Conflict):
                    self.directory.restore(node.id)
        alive = {node.id for node in [*self.users(), *self.groups()]} | {*self.others}
        for node in [*self.users(), *self.groups()]:
            then = self.backup.get(node.id)
            if then is not None:
                self._set_one_back(node, then, alive)

    def _set_one_back(self, node: Node, then: Node, alive: set[str]) -> None:
        changed = {name: then.properties.get(name) for name in TRACKED if name in {*node.properties, *then.properties}}
        with contextlib.suppress(Conflict):
            self.directory.set_attributes(node.id, **changed)
        if isinstance(node, Group) and isinstance(then, Group):
            for member in [member for member in node.members if member not in then.members]:
                self.directory.remove_member(node.id, member)
            for member in then.members.keys() & alive - node.members.keys():
                self.directory.add_member(node.id, member)
            for owner in [owner for owner in node.owners if owner not in then.owners]:
                self.directory.remove_owner(node.id, owner)
            for owner in then.owners.keys() & alive - node.owners.keys():
                self.directory.add_owner(node.id, owner)
        elif node.manager != then.manager and (then.manager is None or then.manager in alive):
            self.directory.set_manager(node.id, then.manager)

    def leave(self, index: int, hard: bool) -> None:
        user = self.pick(self.users(), index)
        if user is not None:
            self.directory.leave(user.id, "hard" if hard else "soft")

    def purge(self, index: int) -> None:
        node = self.pick([*self.users("deleted"), *self.groups("deleted")], index)
        if node is not None:
            self.directory.hard_delete(node.id)

    def come_back(self, index: int) -> None:
        node = self.pick([*self.users("deleted"), *self.groups("deleted")], index)
        if node is not None:
            with contextlib.suppress(Conflict):
                self.directory.restore(node.id)

    def rename(self, index: int, name: str) -> None:
        user = self.pick(self.users(), index)
        if user is not None:
            with contextlib.suppress(Conflict):
                self.directory.rename(user.id, display_name=name, upn=f"{name}@x.example")

    def swap(self, one: int, other: int) -> None:
        first, second = self.pick(self.users(), one), self.pick(self.users(), other)
        if first is not None and first is not second:
            self.directory.swap_names(first.id, second.id)

    def retitle(self, index: int, title: str | None, phones: list[str] | None) -> None:
        user = self.pick(self.users(), index)
        if user is not None:
            self.directory.set_attributes(user.id, jobTitle=title, businessPhones=phones)

    def enable(self, index: int, enabled: bool | None) -> None:
        user = self.pick(self.users(), index)
        if user is not None:
            self.directory.set_attributes(user.id, accountEnabled=enabled)

    def promote(self, index: int, manager: int | None) -> None:
        user = self.pick(self.users(), index)
        if user is not None:
            chosen = None if manager is None else self.pick(self.users(), manager).id
            self.directory.set_manager(user.id, chosen)

    def create_group(self, index: int) -> None:
        self.serial += 1
        members = [node.id for node in (self.pick(self.users(), index), self.pick(self.groups(), index)) if node]
        self.directory.create_group(
            {"displayName": f"G{self.serial}"}, group_id=make_id("b", self.serial), members=members
        )

    def drop_group(self, index: int, hard: bool) -> None:
        group = self.pick(self.groups(), index)
        if group is not None:
            (self.directory.hard_delete if hard else self.directory.delete_group)(group.id)

    def join(self, index: int, member: int) -> None:
        group = self.pick(self.groups(), index)
        joining = self.pick([*[n.id for n in self.users()], *[n.id for n in self.groups()], *self.others], member)
        if group is not None and joining != group.id:
            self.directory.add_member(group.id, joining)

    def leave_group(self, index: int, member: int) -> None:
        group = self.pick([group for group in self.groups() if group.members], index)
        if group is not None:
            self.directory.remove_member(group.id, self.pick(list(group.members), member))

    def empty(self, index: int) -> None:
        group = self.pick(self.groups(), index)
        if group is not None:
            self.directory.empty_group(group.id)

    def own(self, index: int, user: int) -> None:
        group, owner = self.pick(self.groups(), index), self.pick(self.users(), user)
        if group is not None and owner is not None:
            self.directory.add_owner(group.id, owner.id)

    def disown(self, index: int, owner: int) -> None:
        group = self.pick([group for group in self.groups() if group.owners], index)
        if group is not None:
            self.directory.remove_owner(group.id, self.pick(list(group.owners), owner))

    # ---- what happens to the connection -----------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        self.tenant.clock.elapsed += seconds  # type: ignore[attr-defined]

    def fall_behind(self, reads: tuple[Read, ...]) -> None:
        """What is read, but for delta, goes on showing the tenant as it is now; for less than an hour."""
        self.tenant.service.replicas.freeze(*reads)
        self.frozen_at = self.tenant.clock.monotonic()
        self.honest = False

    def catch_up(self) -> None:
        self.tenant.service.replicas.thaw()

    def refuse_counts(self, status: int) -> None:
        self.tenant.knobs.count_status = status
        self.honest = self.honest and not status

    def jump(self, seconds: float, ours: bool) -> None:
        """The clock of our machine, or that of Graph, is wrong from now on; or right again."""
        if ours:
            self.catch_up()  # what delta has told counts for an hour of our clock
            self.our_clock.wrong = timedelta(seconds=seconds)
        else:
            self.tenant.ahead = timedelta(seconds=seconds)

    def lose_checkpoints(self, reset: bool) -> None:
        engine = self.tenant.service.engine
        (engine.reset_checkpoints if reset else engine.expire_checkpoints)()

    def lose_tokens(self) -> None:
        self.tenant.book.revoke_all()

    def change_permissions(self, hidden: bool, opaque: bool) -> None:
        self.tenant.roles = READING if hidden else READING - {"Member.Read.Hidden"}
        self.tenant.opaque = opaque
        self.tenant.book.revoke_all()
        self.honest = self.honest and hidden and not opaque

    def miscount(self, offset: int) -> None:
        self.tenant.knobs.count_offset = offset
        self.honest = False

    def garble_links(self) -> None:
        """What was stored of Graph's links is no longer what Graph gave."""
        with self.database.transaction() as connection:
            for name in ("delta_link", "next_link"):
                link = checkpoints.c[name]
                connection.execute(update(checkpoints).where(link.is_not(None)).values({name: link + "x"}))

    def circle(self, on: bool) -> None:
        """No round comes to its end, or they do again."""
        self.tenant.knobs.endless_rounds = on
        self.honest = self.honest and not on

    def swallow_links(self, on: bool) -> None:
        """Delta says nothing of memberships that begin or end from now on, or does again."""
        self.tenant.knobs.lose_links = on
        self.honest = self.honest and not on

    def restart(self) -> None:
        self.source = self.open_source()

    # ---- reading ----------------------------------------------------------------------------------------------------

    @rule(full=st.booleans(), planned=trouble, stop_after=st.one_of(st.none(), st.integers(1, 6)))
    def read(self, full: bool, planned: list[tuple[int, int, int]] | None, stop_after: int | None) -> None:
        """Read with faults; whatever comes of it, nothing may vanish that is there."""
        self.plan(planned)
        left = stop_after if stop_after is not None else 10**9

        def stopping() -> bool:
            nonlocal left
            left -= 1
            return left <= 0

        self.honest = self.honest and planned is None
        with contextlib.suppress(SyncdError):
            self.pull(full, stopping)
        self.tenant.faults.clear()

    @rule(full=st.booleans(), after=st.integers(1, 25), planned=trouble)
    def killed(self, full: bool, after: int, planned: list[tuple[int, int, int]] | None) -> None:
        """The process dies at some request; another one goes on."""
        left = after

        def die(target: str) -> None:
            nonlocal left
            left -= 1
            if left == 0:
                self.reading.cancel()

        self.plan(planned)
        self.honest = self.honest and planned is None
        self.tenant.before = die
        with contextlib.suppress(SyncdError, asyncio.CancelledError):
            self.pull(full)
        self.tenant.before = None
        self.tenant.faults.clear()
        self.source = self.open_source()

    @rule(full=st.booleans(), during=st.lists(st.tuples(st.integers(0, 12), in_company), min_size=1, max_size=4))
    def read_while_it_changes(self, full: bool, during: list[tuple[int, tuple[Any, ...]]]) -> None:
        """People come, go and move between two requests of one read."""
        due, asked = sorted(during, key=lambda each: each[0]), 0

        def change(target: str) -> None:
            nonlocal asked
            while due and due[0][0] <= asked:
                self.happen(due.pop(0)[1])
            asked += 1

        self.tenant.before = change
        with contextlib.suppress(SyncdError):
            self.pull(full)
        self.tenant.before = None

    def plan(self, planned: list[tuple[int, int, int]] | None) -> None:
        cut: tuple[str, str] | None = None
        for kind, skip, count in planned or ():
            chosen = FAULTS[kind]()
            if chosen["kind"] == "alter" and "path" in chosen:
                # One list at a time: two that are cut alike are told only by a count, which has a tolerance.
                cut = cut or (chosen["path"], chosen.get("side", "graph"))
                chosen["path"], chosen["side"] = cut
            self.tenant.faults.add(Fault(**{"side": "graph", **chosen, "skip": skip, "count": count}))

    async def run(self, full: bool, stopping: Callable[[], bool]) -> Any:
        """Read in a task that can be broken off."""
        self.reading = asyncio.ensure_future(
            self.tenant.pull(self.database, full=full, source=self.source, stopping=stopping, clock=self.our_clock)
        )
        return await self.reading

    def pull(self, full: bool, stopping: Callable[[], bool] = lambda: False) -> Any:
        """Read once, and look for what has vanished although the tenant still has it."""
        before = load(self.database)
        happens, self.tenant.before = self.tenant.before, partial(self.watch, self.tenant.before)
        try:
            return self.runner.run(self.run(full, stopping))
        finally:
            self.tenant.before = happens
            self.look()
            after = load(self.database)
            objects, links, managers = self.known.objects, self.known.links, self.known.managers
            lost = {one for one in before.active - after.active if one in objects and one not in self.gone_objects}
            assert not lost, f"{lost} are in the tenant all the time, and were removed"
            # No list shows who is deleted just now. A deletion that is not told yet lets the memberships go with it, so
            # does one that was told before the person was ever met: who comes back is asked for memberships.
            unmet = {one for one in before.links if one[1] not in objects and one[1] not in before.met}
            unsure = {one for one in before.links - after.links if one[1] in self.gone_objects} | unmet
            cut = {one for one in before.links - after.links - unsure if one in links and one not in self.gone_links}
            assert not cut, f"memberships {cut} are in the tenant all the time, and were removed"
            unsure = {one for one in before.ownerships - after.ownerships if one[1] in self.gone_objects}
            ended = before.ownerships - after.ownerships - unsure - self.gone_ownerships
            assert not ended & self.known.ownerships, f"ownerships {ended} are in the tenant, and were removed"
            orphans = {
                user
                for user, (_, manager) in before.users.items()
                if manager and user in after.users and after.users[user][1] is None
                if user not in self.moved and managers.get(user) == manager and manager not in self.gone_objects
            }
            assert not orphans, f"the managers of {orphans} never changed, and were removed"

    def watch(self, happens: Callable[[str], None] | None, target: str) -> None:
        """Fail when another delta link is used than the one that is stored; then let happen what is to happen."""
        if self.tenant.clock.monotonic() - self.frozen_at > BEHIND.total_seconds() / 2:
            self.catch_up()
        used = re.search(r"/(users|groups)/delta\?.*deltatoken=(?!latest)", target)
        if used:
            checkpoint = load_checkpoint(self.database, "users" if used[1] == "users" else "groups")
            stored = () if checkpoint is None else (checkpoint.delta_link, checkpoint.next_link)
            assert f"{ROOT}{target}" in stored, "a delta link was used that is not stored, or not any more"
        if happens is not None:
            happens(target)

    def look(self) -> None:
        """Remember what the tenant has lost since the directory last equalled it."""
        nodes = [*self.directory.users, *self.directory.groups]
        now = Known(
            {node.id for node in nodes if node.state == "active"},
            {(group.id, member) for group in self.directory.groups for member in group.members},
            {(group.id, owner) for group in self.directory.groups for owner in group.owners},
            {user.id: user.manager for user in self.directory.users},
        )
        before = self.known
        self.gone_objects |= before.objects - now.objects
        self.gone_links |= before.links - now.links
        self.gone_ownerships |= before.ownerships - now.ownerships
        self.moved |= {user for user, manager in before.managers.items() if now.managers.get(user) != manager}
        self.known = now

    # ---- the truth --------------------------------------------------------------------------------------------------

    @rule()
    def settle(self) -> None:
        """Faults stop, delays pass: one delta and one full read later the directory is the tenant."""
        self.quiet()
        self.pull(False)
        self.pull(False)  # a tenant may tell its last round once more
        # What delta told and took back without a word holds against every list for so long.
        self.wait((BEHIND + timedelta(minutes=1)).total_seconds())
        result = self.pull(True)
        assert result.complete or result.emptied, result.unproven
        if result.emptied:
            return  # a stream without anybody waits for a person, who says that it is true
        self.compare(strict=True)
        self.honest = True
        self.gone_objects.clear()
        self.gone_links.clear()
        self.gone_ownerships.clear()
        self.moved.clear()

    @rule()
    def read_both_ways(self) -> None:
        """Lists and a round of delta give two empty stores the same directory, to the last row."""
        self.quiet()
        found = []
        for refused in (False, True):
            path = Path(self.folder.name, "other.db")
            shutil.copy(template(), path)
            database = open_database(f"sqlite:///{path}")
            database.call = call_in_turn
            if refused:
                latest: Any = {"kind": "status", "status": 400, "body": make_error("BadRequest"), "path": "latest"}
                self.tenant.faults.add(Fault(**{"side": "graph", "count": -1, **latest}))
            result = self.runner.run(self.tenant.pull(database, full=True, source=self.open_source()))
            assert bool(result.counts.get("lists_refused")) == refused
            found.append(load(database).describe(self.find_unlisted()))
            database.close()
        self.tenant.faults.clear()
        assert found[0] == found[1]

    @precondition(lambda self: self.honest)
    @rule()
    def agree(self) -> None:
        """Where every answer was honest, deltas are enough: one to end a round that was broken off, and one more."""
        self.wait(6 * MINUTES)
        self.pull(False)
        result = self.pull(False)
        if result.complete:
            self.compare(strict=False)

    def quiet(self) -> None:
        """Let nothing go wrong from now on."""
        tenant = self.tenant
        tenant.faults.clear()
        tenant.before = None
        tenant.knobs.count_offset, tenant.roles, tenant.opaque = 0, READING, False
        tenant.knobs.endless_rounds = tenant.knobs.lose_links = False
        tenant.knobs.count_status, tenant.ahead, self.our_clock.wrong = 0, timedelta(), timedelta()
        self.catch_up()
        # Whoever reads in an hour what lives for a second never comes to an end: that is a fault, too.
        tenant.knobs.page_token_lifetime = max(tenant.knobs.page_token_lifetime, 5 * MINUTES)
        tenant.book.revoke_all()
        self.wait(6 * MINUTES)

    def find_unlisted(self) -> set[str]:
        """Return the agents whom no list shows: only delta tells of them."""
        knobs = self.tenant.knobs
        return set() if knobs.subtypes_listed else {user.id for user in self.directory.users if user.subtype}

    def compare(self, *, strict: bool) -> None:
        """Fail unless the directory shows what the tenant has; agents whom no list shows may be met or not."""
        found = load(self.database)
        hidden = self.find_unlisted()
        users = {user.id: user for user in self.users()}
        groups = {group.id: group for group in self.groups()}
        assert found.active | hidden == users.keys() | groups.keys() | hidden
        assert {key for key, (attributes, _) in found.users.items() if is_agent(attributes)} == {
            key for key, user in users.items() if user.subtype and key in found.users
        }
        for user_id, (attributes, manager) in found.users.items():
            if user_id not in users:
                continue
            real = users[user_id].properties
            assert {name: value for name, value in attributes.items() if name not in MARKS} == {
                name: real[name] for name in TRACKED if real.get(name)
            } | {name: real[name] for name in ("accountEnabled",) if real.get(name) is not None}, user_id
            known = users[user_id].manager
            # What Graph says of a manager who is deleted, and whether it says so again after the return, is not known.
            if known in users and (strict or known not in self.gone_objects):
                assert manager == known, user_id
        for group_id, name in found.groups.items():
            assert name == groups[group_id].properties["displayName"]
        shown = users.keys() | groups.keys()
        sure = shown if strict else shown - self.gone_objects
        live = {(group_id, member) for group_id, group in groups.items() for member in group.members if member in sure}
        assert {link for link in found.links if link[0] in groups and link[1] in sure - hidden} == {
            link for link in live if link[1] not in hidden
        }
        if self.owners:
            owned = {(key, owner) for key, group in groups.items() for owner in group.owners if owner in sure}
            assert {link for link in found.ownerships if link[0] in groups and link[1] in sure} == owned


@dataclass
class Known:
    """What the tenant has: active objects, memberships, ownerships, and the manager of each person."""

    objects: set[str] = field(default_factory=set)
    links: set[tuple[str, str]] = field(default_factory=set)
    ownerships: set[tuple[str, str]] = field(default_factory=set)
    managers: dict[str, str | None] = field(default_factory=dict)


class Stored:
    """The directory by ids: active objects, users with attributes and manager, names of groups, all memberships."""

    def __init__(self, database: Database) -> None:
        with reading(database) as connection:
            ids = {row.key: row.id for row in connection.execute(select(source_objects))}
            self.users = {
                ids[row.key]: (
                    decode_json(row.attributes),
                    ids.get(row.manager_key or -1),
                )
                for row in connection.execute(select(source_users).where(source_users.c.state == "active"))
            }
            self.groups = {
                ids[row.key]: row.name
                for row in connection.execute(select(source_groups).where(source_groups.c.state == "active"))
            }
            self.links, self.ownerships = (
                {(ids[row.group_key], ids[row.member_key]) for row in connection.execute(select(table))}
                for table in (source_members, source_owners)
            )
            self.met = {
                ids[key] for table in (source_users, source_groups) for key in connection.scalars(select(table.c.key))
            }
        self.active = self.users.keys() | self.groups.keys()

    def describe(self, hidden: Collection[str] = ()) -> dict[str, Any]:
        """Return everything that counts: no memberships of, and no managers among, the deleted and the ``hidden``."""

        def is_there(one: str | None) -> bool:
            return (one not in hidden and one in self.active) or (one is not None and one[:8] not in OURS)

        return {
            "users": {
                user: (attributes, manager if is_there(manager) else None)
                for user, (attributes, manager) in self.users.items()
                if user not in hidden
            },
            "groups": self.groups,
            "links": {link for link in self.links if link[0] in self.groups and is_there(link[1])},
            "owners": {link for link in self.ownerships if link[0] in self.groups and is_there(link[1])},
        }


load = Stored


def is_agent(attributes: dict[str, Any]) -> bool:
    """Return whether stored attributes say that somebody is an agent."""
    return bool(attributes.get(KIND) or attributes.get("identityParentId"))


@pytest.mark.slow
@pytest.mark.parametrize("share", SHARES)
def test_the_directory_follows_any_company_through_any_trouble(share: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """At no moment does a failed or partial read remove anything; once faults stop the directory is the tenant."""
    monkeypatch.setattr(trails, "EMPTY_PAGE_CAP", 20)  # so soon is a round without an end found out here
    walk(Company, share, machines=200, steps=14)
