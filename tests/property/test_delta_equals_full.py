"""Law 2: any cutting of a history into rounds and pages, with repeats and replays, gives the same directory."""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import structlog
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from syncd.clock import Clock
from syncd.store.db.database import Database, open_database, reading
from syncd.store.schema.tables import source_groups, source_members, source_objects, source_owners, source_users
from syncd.store.store import Store
from syncd.sync.pull.pull import Pull
from syncd.sync.pull.result import PullResult
from tests.fakes.source import FakeSource
from tests.property.machines import walked
from tests.stores import template

USERS = [f"u{number}" for number in range(5)]
GROUPS = [f"g{number}" for number in range(4)]
names = st.sampled_from(["Ann", "Ben", None])

event = st.one_of(
    st.tuples(st.just("put"), st.sampled_from(USERS), names, st.sampled_from([None, "", *USERS])),
    st.tuples(st.just("drop"), st.sampled_from(USERS), st.booleans()),
    st.tuples(st.just("restore"), st.sampled_from(USERS)),
    st.tuples(st.just("group"), st.sampled_from(GROUPS), st.sampled_from(["A", "B"])),
    st.tuples(st.just("ungroup"), st.sampled_from(GROUPS)),
    st.tuples(st.just("link"), st.sampled_from(GROUPS), st.sampled_from(USERS + GROUPS)),
    st.tuples(st.just("unlink"), st.sampled_from(GROUPS), st.sampled_from(USERS + GROUPS)),
    st.tuples(st.just("own"), st.sampled_from(GROUPS), st.sampled_from(USERS)),
    st.tuples(st.just("disown"), st.sampled_from(GROUPS), st.sampled_from(USERS)),
)
histories = st.lists(st.lists(event, max_size=6), max_size=6)


def happen(source: FakeSource, what: tuple[str, ...]) -> None:
    """Let one event happen, as far as it makes sense in the present state."""
    match what:
        case ("put", user, name, manager):
            if user not in source.users or source.users[user].state == "active":
                source.put_user(user, userPrincipalName=f"{user}@x.com", displayName=name, manager=manager)
        case ("drop", user, hard):
            there = source.users.get(user)
            if there is not None and (there.state == "active" or (hard and there.state == "soft_deleted")):
                source.remove_user(user, hard=bool(hard))
        case ("restore", user):
            if user in source.users and source.users[user].state == "soft_deleted":
                source.restore_user(user)
        case ("group", group, name):
            source.put_group(group, displayName=name)
        case ("ungroup", group):
            if group in source.groups and source.groups[group].state == "active":
                source.remove_group(group)
        case ("link", group, member):
            known = source.groups if member.startswith("g") else source.users
            active = group in source.groups and source.groups[group].state == "active"
            if active and member in known and known[member].state == "active":
                source.link(group, member, "group" if member.startswith("g") else "user")
        case ("unlink", group, member):
            active = group in source.groups and source.groups[group].state == "active"
            if active and member in source.groups[group].members:
                source.unlink(group, member)
        case ("own", group, owner):
            active = group in source.groups and source.groups[group].state == "active"
            if active and owner in source.users and source.users[owner].state == "active":
                source.own(group, owner)
        case ("disown", group, owner):
            active = group in source.groups and source.groups[group].state == "active"
            if active and owner in source.groups[group].owners:
                source.disown(group, owner)


def picture(database: Database, source: FakeSource) -> dict[str, Any]:
    """Return the directory by ids: active users with attributes and manager, active groups, their live memberships.

    A manager who is deleted counts as none: lists do not show one, and the return brings him back.
    """
    deleted = {key for key, user in source.users.items() if user.state != "active"}
    with reading(database) as connection:
        ids = {row.key: row.id for row in connection.execute(select(source_objects))}
        users = {
            ids[row.key]: (row.attributes, None if manager in deleted else manager)
            for row in connection.execute(select(source_users).where(source_users.c.state == "active"))
            for manager in [ids.get(row.manager_key or -1)]
        }
        groups = {
            ids[row.key]: row.attributes
            for row in connection.execute(select(source_groups).where(source_groups.c.state == "active"))
        }
        links, owners = (
            {
                (group, member)
                for row in connection.execute(select(table))
                for group, member in [(ids[row.group_key], ids[row.member_key])]
                if group in groups and (member in users or member in groups)
            }
            for table in (source_members, source_owners)
        )
    return {"users": users, "groups": groups, "links": links, "owners": owners}


def truth(source: FakeSource) -> dict[str, Any]:
    """Return the same picture of the tenant itself."""
    users = {key for key, user in source.users.items() if user.state == "active"}
    groups = {key for key, group in source.groups.items() if group.state == "active"}
    return {
        "users": users,
        "groups": groups,
        "links": {(key, member) for key in groups for member in source.groups[key].members if member in users | groups},
        "owners": {(key, owner) for key in groups for owner in source.groups[key].owners if owner in users},
    }


async def pull(database: Database, source: FakeSource, *, full: bool) -> PullResult:
    """Run one pull."""
    use_case = Pull(source, Store(database), clock=Clock(), progress=lambda name, number: None, stopping=lambda: False)
    return await use_case.run("full" if full else "delta")


@walked(100)
@given(histories, st.integers(0, 1000), st.integers(1, 4), st.sets(st.integers(0, 5), max_size=2), st.booleans())
def test_any_cutting_of_a_history_gives_the_same_directory(
    rounds: list[list[tuple[str, ...]]], seed: int, page_size: int, full_rounds: set[int], owners: bool
) -> None:
    """Deltas with repeats and replays, full pulls in between, and one full pull at the end agree with the tenant."""
    source = FakeSource(rng=random.Random(seed), page_size=page_size, repeat=True, tracks_owners=owners)
    source.put_user("always", userPrincipalName="always@x.com", displayName="Always")
    source.put_group("everyone", displayName="Everyone")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with TemporaryDirectory() as folder:
        for name in ("many.db", "once.db"):
            shutil.copy(template(), Path(folder, name))
        many, once = (open_database(f"sqlite:///{Path(folder, name)}") for name in ("many.db", "once.db"))
        try:
            for number, events in enumerate(rounds):
                for what in events:
                    happen(source, what)
                result = asyncio.run(pull(many, source, full=number in full_rounds))
                assert result.complete
            asyncio.run(pull(many, source, full=False))
            asyncio.run(pull(once, source, full=True))
            expected, found = picture(once, source), picture(many, source)
            assert found == expected
            real = truth(source)
            assert set(found["users"]) == real["users"]
            assert set(found["groups"]) == real["groups"]
            assert found["links"] == real["links"]
            assert found["owners"] == (real["owners"] if owners else set())
        finally:
            many.close()
            once.close()
