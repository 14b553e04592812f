"""The chain of run records: every kind of tampering is found, and nothing that syncd itself does afterwards is one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, delete, insert, select, update

from syncd.model.chain import digest_content, hash_entry
from syncd.model.run import Approval, RunRequest
from syncd.store.runs.chain import append_ended
from syncd.store.schema.tables import changes, run_chain, runs, settlements
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World, open_world

pytestmark = pytest.mark.both_engines

HOLDING = make_rules(limits=make_limits(max_removals=0, min_population=0, max_removal_percent=None))


async def open_company(store_url: str) -> World:
    """Return a world in which runs 1 and 2 changed something, and run 3 holds a removal."""
    world = open_world(store_url)
    for name in ("ann", "ben"):
        world.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
    world.source.put_group("g", displayName="G", mailNickname="g@grp")
    world.source.link("g", "ann")
    world.source.link("g", "ben")
    await world.sync("full")
    world.source.put_user("ann", displayName="Ann anew")
    await world.sync()
    world.rules = HOLDING
    world.source.unlink("g", "ben")
    assert (await world.sync()).status == "held"
    return world


def _drop_entry(connection: Connection) -> None:
    connection.execute(delete(run_chain).where(run_chain.c.run_id == 2))


def _forge_entry(connection: Connection) -> None:
    connection.execute(update(run_chain).where(run_chain.c.run_id == 2).values(digest="0" * 64))


def _insert_run(connection: Connection) -> None:
    row: dict[str, Any] = dict(connection.execute(select(runs).where(runs.c.id == 2)).one()._mapping)
    connection.execute(insert(runs).values({**row, "id": 9}))


def _settle_as_done(connection: Connection) -> None:
    connection.execute(update(changes).where(changes.c.status == "held").values(status="done"))


TAMPERING: dict[str, tuple[Callable[[Connection], object], int, str]] = {
    "a counter": (
        lambda c: c.execute(update(runs).where(runs.c.id == 2).values(counts='{"done":9}')), 2, "was changed",
    ),
    "an error": (lambda c: c.execute(update(runs).where(runs.c.id == 1).values(error="x")), 1, "was changed"),
    "a run": (lambda c: c.execute(delete(runs).where(runs.c.id == 2)), 2, "was removed"),
    "another run": (_insert_run, 9, "no entry of the chain knows it"),
    "an outcome": (
        lambda c: c.execute(update(changes).where(changes.c.run_id == 1, changes.c.seq == 1).values(status="failed")),
        1, "was changed",
    ),
    "a value": (
        lambda c: c.execute(update(changes).where(changes.c.run_id == 2).values(after='{"name":"Eve"}')),
        2, "was changed",
    ),
    "a change": (
        lambda c: c.execute(delete(changes).where(changes.c.run_id == 1, changes.c.seq == 2)), 1, "removed",
    ),
    "what is held": (_settle_as_done, 3, "something that no later run makes of it"),
    "how it stood": (lambda c: c.execute(update(settlements).values(error="x")), 3, "was changed"),
    "an entry": (_forge_entry, 2, "was changed"),
    "no entry": (_drop_entry, 2, "no entry of the chain knows it"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERING)
async def test_tampering_is_found_and_the_first_run_named(store_url: str, what: str) -> None:
    """A record, a change, an outcome or an entry that is changed, removed or inserted."""
    world = await open_company(store_url)
    assert world.store.chain.verify().broken == []
    tamper, run_id, said = TAMPERING[what]
    with world.database.transaction() as connection:
        tamper(connection)
    first = world.store.chain.verify().broken[0]
    assert first.run_id == run_id
    assert said in first.what
    await world.sync()
    assert world.store.chain.verify().broken[0].run_id == run_id, "a later run hides nothing"
    world.database.close()


async def test_what_becomes_later_of_what_was_held_is_appended(store_url: str) -> None:
    """An approval and a rejection change how held changes stand; the hash of their run stays what it was."""
    world = await open_company(store_url)
    before = world.store.chain.load_head()
    request = RunRequest(pull="none", trigger="approval", approval=Approval(run_id=3))
    run = await world.runs.execute(request, world.open_sides())
    assert world.changes(run) == ["unlink membership g@grp ben@x.com done"]
    verdict = world.store.chain.verify(before)
    assert (verdict.broken, verdict.has_noted, verdict.pending) == ([], True, 0)
    kinds = world.database.load_values(select(run_chain.c.kind).order_by(run_chain.c.seq))
    assert kinds == ["begin", "run", "run", "run", "settled", "run"]
    with world.database.transaction() as connection:
        connection.execute(update(changes).where(changes.c.run_id == 3).values(error="nobody approved it"))
    first = world.store.chain.verify().broken[0]
    assert (first.run_id, "what became later" in first.what) == (3, True)
    world.database.close()


async def test_a_rejection_waits_for_the_next_run(store_url: str) -> None:
    """It is no run: until the next one ends, the walk counts it as not in the chain yet."""
    world = await open_company(store_url)
    assert world.store.decisions.reject(Approval(run_id=3)) == 1
    assert (world.store.chain.verify().broken, world.store.chain.verify().pending) == ([], 1)
    await world.sync()
    assert (world.store.chain.verify().broken, world.store.chain.verify().pending) == ([], 0)
    world.database.close()


async def test_runs_from_before_the_chain_are_said_to_be_unhashed(store_url: str) -> None:
    """Nothing is claimed of them, and a changed one is not found."""
    world = await open_company(store_url)
    with world.database.transaction() as connection:
        connection.execute(delete(run_chain))
        connection.execute(delete(settlements))
        content = '{"unhashed":3}'
        digest = digest_content(content)
        found = hash_entry(previous="", kind="begin", run_id=None, digest=digest)
        values = {"kind": "begin", "content": content, "digest": digest, "previous": "", "hash": found}
        connection.execute(insert(run_chain).values(**values))
    await world.sync()
    verdict = world.store.chain.verify()
    assert (verdict.broken, verdict.checked, verdict.unhashed) == ([], 1, 3)
    world.database.close()


async def test_a_killed_run_is_in_the_chain_once_it_is_marked(store_url: str) -> None:
    """While it seems to go on nothing is claimed of it; what it had planned may be settled later."""
    world = await open_company(store_url)
    number = await world.store.runs.open("delta", "cli", now=world.clock.now())
    assert world.store.chain.verify().broken == []
    assert await world.store.runs.interrupt_open() == [number]
    verdict = world.store.chain.verify()
    assert (verdict.broken, verdict.checked) == ([], 4)
    world.database.close()


async def test_a_chain_that_was_made_anew_holds_and_lacks_the_head_that_was_noted(store_url: str) -> None:
    """Whoever can write the store can rebuild all of it: only a hash that was kept elsewhere tells."""
    world = await open_company(store_url)
    noted = world.store.chain.load_head()
    with world.database.transaction() as connection:
        connection.execute(update(runs).where(runs.c.id == 2).values(error="forged"))
        connection.execute(delete(run_chain).where(run_chain.c.kind != "begin"))
        connection.execute(delete(settlements))
        for run_id in (1, 2, 3):
            append_ended(connection, run_id)
    verdict = world.store.chain.verify(noted)
    assert (verdict.broken, verdict.has_noted) == ([], False)
    world.database.close()
