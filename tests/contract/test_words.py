"""Sentences may be reworded in any release: what runs of the release before left behind is acted on as before."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from sqlalchemy import update

from syncd.model.reason import Cause
from syncd.model.run import Approval, RunRecord, RunRequest
from syncd.plan import words
from syncd.plan.rules import LicenceRule
from syncd.store.schema.tables import changes, desired_groups, desired_users, failures
from syncd.sync.planning.undo import Undo
from tests.fakes.rules import make_limits, make_policy, make_rules
from tests.fakes.world import World, open_world

DELETES = make_policy(
    disabled_users="delete",
    deleted_users="delete",
    deleted_groups="delete",
    substitute="manager",
    grace=timedelta(days=1),
)


async def found_company(url: str) -> World:
    """Return eight people under a boss, in two groups, with licences by rule and by hand, after their first run."""
    made = open_world(url)
    made.source.put_group("g", displayName="All", mailNickname="all@grp")
    made.source.put_group("h", displayName="Power", mailNickname="power@grp")
    made.source.put_group("twin", displayName="Twin", mailNickname="pair@grp")
    made.source.put_group("pair", displayName="Pair", mailNickname="pair@grp")
    for number in range(8):
        name = f"u{number}"
        made.source.put_user(name, userPrincipalName=f"{name}@x.com", displayName=name, mail=f"{name}@x.com")
        made.source.link("g", name)
        if number:
            made.source.put_user(name, manager="u0")
    made.source.put_user("guest", userPrincipalName="guest@x.com", displayName="guest", userType="Guest")
    made.source.link("h", "u1")
    limits = make_limits(max_removals=3, max_removal_percent=None, max_update_percent=None)
    made.rules = make_rules(licences=(LicenceRule("Power", "PowerUser"),), policy=DELETES, limits=limits)
    made.portal.totals = {"PowerUser": 5, "User": 5}
    await made.sync("full")
    return made


def reword(world: World, patch: pytest.MonkeyPatch) -> None:
    """Say everything otherwise from now on, and let what is stored have been said in yet another way."""
    for cause, sentence in words.SENTENCES.items():
        patch.setitem(words.SENTENCES, cause, f"¡{sentence}!")
    with world.database.transaction() as connection:
        for table in (desired_users, desired_groups):
            connection.execute(update(table).where(table.c.reason != "").values(reason="said long ago"))
        connection.execute(update(changes).where(changes.c.reason != "").values(reason="said long ago"))
        connection.execute(update(changes).where(changes.c.error != "").values(error="said long ago"))
        connection.execute(update(failures).values(error="said long ago"))


async def approve(world: World, run: RunRecord) -> RunRecord:
    """Approve what a run held."""
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=Approval(run_id=run.id))
    return await world.runs.execute(request, world.open_sides())


async def live(world: World, patch: pytest.MonkeyPatch | None) -> list[object]:
    """Let a company live through all that depends on causes; return what came of it. ``patch``: reword in between."""
    found: list[object] = []

    async def note(run: RunRecord) -> RunRecord:
        found.append((run.kind, run.status, world.changes(run)))
        return run

    world.source.put_user("u2", userPrincipalName="other2@x.com")  # a rename: a creation and a substitution
    world.portal.licences.setdefault("u2@x.com", {})["User"] = {}  # given by hand: it moves
    renamed = await note(await world.sync("full"))
    for number in (3, 4, 5, 6):
        world.source.put_user(f"u{number}", accountEnabled=False)
    held = await note(await world.sync("delta"))
    assert held.status == "held"
    if patch is not None:
        reword(world, patch)
    await note(await world.sync("delta"))
    await note(await approve(world, world.store.runs.load_runs(1)[0]))
    world.source.remove_user("u7")
    await note(await world.sync("full"))
    world.clock.ahead += timedelta(days=2)
    await note(await world.sync("full"))
    await note(await approve(world, world.store.runs.load_runs(1)[0]))
    await note(await world.carry_out(Undo(run_id=renamed.id, delete_created=True)))
    await note(await world.sync("full"))
    world.source.remove_group("twin")
    await note(await world.sync("delta"))
    found.append(sorted(world.portal.accounts))
    found.append({key: sorted(kinds) for key, kinds in sorted(world.portal.licences.items())})
    return found


async def test_nothing_is_decided_by_a_sentence(tmp_path: Path) -> None:
    """Held changes, renames, moved licences, substitutions, deletions and an undo: reworded, all of it is the same."""
    structlog.reset_defaults()
    found: list[list[object]] = []
    for name in ("plain", "reworded"):
        world = await found_company(f"sqlite:///{tmp_path / name}.db")
        with pytest.MonkeyPatch.context() as patch:
            found.append(await live(world, patch if name == "reworded" else None))
        world.database.close()
    plain, reworded = found
    assert reworded == plain
    text = str(plain)
    for each in ("held", "create substitution", "delete user", "grant licence", "revoke licence"):
        assert each in text, each


def test_every_cause_has_a_sentence() -> None:
    """Nobody is told an empty reason, and no sentence is left over."""
    assert words.SENTENCES.keys() == set(Cause) - {Cause.NONE}
