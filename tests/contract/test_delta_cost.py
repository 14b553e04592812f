"""Law 4, seen from the database: what a delta run asks costs what changed, whatever the size of the company.

SQLite says of every statement how it finds its rows. None that a delta run asks may walk through a table that grows
with the company, nor through a part of one that has no bound.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Delete, Insert, Select, Update, event

from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import LicenceRule
from tests.fakes.queries import find_walks, is_walk, listening
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import World, open_world


@contextmanager
def counting_built_statements() -> Iterator[Counter[str]]:
    """Count the statements that are built meanwhile, by their kind: what is built once is built by now."""
    built = Counter[str]()

    def watch(kind: type[Any]) -> Any:
        begin = kind.__init__

        def count(self: Any, *arguments: Any, **options: Any) -> None:
            built[kind.__name__] += 1
            begin(self, *arguments, **options)

        return count

    with pytest.MonkeyPatch.context() as patch:
        for kind in (Select, Insert, Update, Delete):
            patch.setattr(kind, "__init__", watch(kind))
        yield built


@pytest.fixture
async def world(tmp_path: Path) -> Any:
    """A company with nested groups, managers, owners and licences, in step with its portal, under every policy."""
    made = open_world(f"sqlite:///{tmp_path / 'store.db'}")
    rules = make_rules(
        scope=make_scope(
            include_groups=("All",), users=Expression("user.jobTitle != 'X'"), protect=frozenset({"boss@x.com"})
        ),
        policy=make_policy(
            disabled_users="delete", deleted_groups="delete", substitute="manager", grace=timedelta(days=1)
        ),
        limits=make_limits(
            max_removals=50,
            max_removal_percent=50,
            max_daily_removals=50,
            max_daily_removal_percent=90,
            min_population=3,
            max_adoptions=0,
            max_update_percent=100,
        ),
        licences=(LicenceRule("Sales", "PowerUser"),),
    )
    made.rules = replace(rules, mapping=replace(rules.mapping, owners=True))
    source = made.source
    source.tracks_owners = True
    for number in range(12):
        name = f"u{number}@x.com"
        manager = "u0" if number else None
        source.put_user(f"u{number}", userPrincipalName=name, displayName=f"User {number}", mail=name, manager=manager)
    for group, title in (("g1", "All"), ("g2", "Sales"), ("g3", "Ring")):
        source.put_group(group, displayName=title, mailNickname=f"{title.lower()}@grp")
    for number in range(9):
        source.link("g1", f"u{number}")
    source.link("g1", "g2", "group")
    source.link("g2", "u9")
    source.link("g2", "g3", "group")
    source.own("g2", "u1")
    for _ in range(2):
        assert (await made.sync("full")).status == "succeeded"
    yield made
    made.database.close()


async def test_a_delta_run_without_news_walks_through_nothing(world: World) -> None:
    """The run log, the checkpoints and the few exceptions are all that it looks at."""
    with listening(world) as heard:
        run = await world.sync("delta")
    assert world.changes(run) == []
    assert len(heard) > 30
    assert find_walks(world, heard) == []


async def test_a_delta_run_without_news_asks_little(tmp_path: Path) -> None:
    """However few people there are: beginnings of transactions count as well. Before anything is asked, it is built."""
    world = open_world(f"sqlite:///{tmp_path / 'store.db'}")
    for number in range(8):
        name = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=name, displayName=f"User {number}", mail=name)
    for group in ("g1", "g2", "g3"):
        world.source.put_group(group, displayName=group, mailNickname=f"{group}@grp")
        world.source.link(group, "u1")
    for kind in ("full", "delta"):
        assert (await world.sync(kind)).status == "succeeded"
    asked: list[str] = []
    event.listen(world.database.engine, "before_cursor_execute", lambda *given: asked.append(given[2]))
    with counting_built_statements() as built:
        run = await world.sync("delta")
    assert world.changes(run) == []
    assert sum(not statement.startswith("BEGIN") for statement in asked) > 30
    assert len(asked) <= 60
    assert sum(built.values()) == 0, built
    world.database.close()


async def test_news_of_every_kind_walk_through_nothing(world: World) -> None:
    """Hires, leavers, renames, moves, managers, owners, groups and licences; and the deletions after the grace."""
    source = world.source
    source.put_user("u1", jobTitle="Boss", mobilePhone="1")
    source.put_user("u2", accountEnabled=False)
    source.put_user("u3", userPrincipalName="new@x.com")
    source.put_user("u5", manager="u4")
    source.remove_user("u6")
    source.put_user("u20", userPrincipalName="u20@x.com", displayName="User 20", mail="u20@x.com", manager="u1")
    source.link("g1", "u20")
    source.unlink("g2", "u9")
    source.link("g3", "u5")
    source.put_group("g9", displayName="New", mailNickname="new@grp")
    source.link("g9", "u4")
    source.own("g2", "u4")
    with listening(world) as heard:
        run = await world.sync("delta")
    assert {line.split()[0] for line in world.changes(run)} == {"create", "update", "link", "unlink", "grant", "revoke"}
    assert find_walks(world, heard) == []
    source.remove_group("g9")
    world.clock.ahead += timedelta(days=3)
    with listening(world) as heard:
        run = await world.sync("delta")
    assert "delete user u2@x.com done" in world.changes(run)
    assert find_walks(world, heard) == []


def test_a_walk_is_recognised() -> None:
    """What SQLite says of whole tables, of open ranges and of single rows."""
    names = {"child": "source_groups"}
    assert is_walk("SCAN child", names)
    assert is_walk("SCAN target_users USING COVERING INDEX ix_target_users_source_key", names)
    assert is_walk("SEARCH source_users USING INTEGER PRIMARY KEY (rowid>?)", names)
    assert not is_walk("SEARCH source_users USING INTEGER PRIMARY KEY (rowid=?)", names)
    assert not is_walk("SCAN target_users USING INDEX ix_target_users_waiting", names)
    assert not is_walk("SCAN touched_users", names)
