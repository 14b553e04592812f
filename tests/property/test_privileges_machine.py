"""Long histories of rules about privileges: they come and go, with several levels and companies of one group at one
place, and with other spellings of what they name; groups are renamed, deleted and made anew; places are renamed, hidden
from us, gone and back; somebody gives and takes by hand, also while a grant is lost; answers are lost before and after
the write, or say 403, 404 or 409 without cause, syncd is killed, and an older store is put back. Runs are over
everything, over what is new and over one object; plans are held and approved, kept in a file and applied, and undone;
drift is looked for. On every kind of portal, where drift is set back and where it is told.

In the end what the rules want is there, but for what somebody took where drift is only told; what was given by hand is
untouched, of ours nothing else is left but what is told as unknown, and further runs change nothing. No group was
deleted while it had something of ours at a place that is there.
"""

from __future__ import annotations

import asyncio
import logging
import random
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import stamina
import structlog

from syncd.cli.commands.privileges import list_privileges
from syncd.model.reason import Cause
from syncd.model.run import RunRecord
from syncd.sandbox.wire.knobs import PortalKnobs
from syncd.store.db.database import open_database
from syncd.store.store import Store
from tests.contract.office import Office
from tests.contract.privilege_rules import LATE, RIGHTS, SWITCHES
from tests.fakes.rules import make_policy
from tests.property.machines import SHARES, calling_the_store_at_once, list_seeds
from tests.property.privilege_acts import Acts
from tests.property.privilege_history import History
from tests.stores import template

_STEPS = 16
_SWITCHES: tuple[dict[str, Any], ...] = (*SWITCHES, {"places_visible": "none"}, *LATE, *RIGHTS)


def _list_lines(history: History) -> list[dict[str, Any]]:
    return list(list_privileges(Store(history.office.database), history.office.rules))


def _take_what_holds_groups_up(history: History, run: RunRecord, seed: str) -> bool:
    """Where a group waits for what no rule takes: do what the page says, and return whether there was one.

    A person takes what the group has at that place, or deletes the group where readings name none.
    """
    office, store = history.office, history.office.wire.store
    waiting = {
        store.key(planned.change.bps_id)
        for some in Store(office.database).plans.iterate_changes(run.id)
        for planned, _, _ in some
        if planned.change.action == "delete" and planned.error.cause is Cause.PRIVILEGES_STAY
    }
    told = {store.key(str(line["bps_id"])) for line in _list_lines(history) if line["state"] == "kept"}
    assert waiting <= told, f"seed {seed}: {waiting - told} are there, and nobody says why"
    for key in waiting:
        for given in [given for given in store.privileges if given.key == key]:
            del store.privileges[given]
            history.by_hand.discard(given)
        if not store.knobs.privileges_list_groups:
            store.delete_group(store.groups[key].bps_id)
    return bool(waiting)


def _check(history: History, seed: str) -> None:
    """Compare the portal with the rules and with what was given by hand."""
    history.office.wire.service.privileges.catch_up()
    store, told, live = history.office.wire.store, f"seed {seed}", history.find_live()
    assert history.deleted == [], f"{told}: groups were deleted with {history.deleted}"
    alive = {given for given in history.by_hand if given.key in store.groups}
    assert alive <= store.privileges.keys(), f"{told}: taken although it was given by hand"
    wanted = {(one.group, *history.places.describe(one)) for one in history.rules if one.group in live.values()}
    there, unwanted = set[tuple[str, str, str, str]](), list[tuple[str, str]]()
    for given, origin in store.privileges.items():
        said = (live.get(given.key, ""), given.place[3], given.level, given.company)
        there.add(said)
        if origin == "rest" and given not in history.lost and said not in wanted:
            unwanted.append((given.key, given.level))
    if not store.knobs.privilege_exclusive:
        excused = _list_excused(history)
        missing = {each for each in wanted - there if each[:3] not in excused}
        assert not missing, f"{told}: {missing}"
    unknown = {
        str(line["bps_id"]).casefold()
        for line in _list_lines(history)
        if line["bps_id"] and line["state"] in ("kept", "unknown", "beside")
    }
    left = [each for each in unwanted if each[0] not in unknown]
    assert not left, f"{told}: left of ours {left}"


def _list_excused(history: History) -> set[tuple[str, str, str]]:
    """Return what need not be there: what somebody took where that is only told, and what the portal refuses."""
    live, found, lines = history.find_live(), set(), _list_lines(history)
    places = Counter((line["bps_id"], line["place"]) for line in lines)
    for line in lines:
        key, guid, level = str(line["bps_id"]).casefold(), history.places.read_line(line), str(line["level"])
        taken = (key, guid, level) in history.took
        several = places[line["bps_id"], line["place"]] > 1  # of several nobody sees one go
        if (taken and (several or line["state"] == "taken")) or line["state"] == "unknown":
            found.add((live.get(key, ""), guid, level))
    return found


@pytest.fixture(autouse=True)
def _at_once() -> Iterator[None]:
    with calling_the_store_at_once():
        yield


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("knobs", _SWITCHES, ids=lambda knobs: ",".join(knobs) or "default")
async def test_whatever_happened_rules_are_kept_and_what_is_by_hand_is_untouched(
    tmp_path: Path, knobs: dict[str, Any], share: int
) -> None:
    """Sixteen events with a run after each, then quiet runs: nothing more to do, and everything in its place."""
    for seed in list_seeds(share, variants=len(_SWITCHES)):
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
        with stamina.set_testing(True, attempts=6, cap=True):
            await _live(tmp_path, knobs, seed)
    structlog.reset_defaults()


async def _live(tmp_path: Path, knobs: dict[str, Any], seed: str) -> None:
    file = tmp_path / f"store-{seed.replace('/', '-')}.db"
    await asyncio.to_thread(shutil.copy, template(), file)
    office = Office(open_database(f"sqlite:///{file}"), PortalKnobs(**knobs))
    history = History(office, random.Random(f"{knobs} {seed}"))
    drift: Literal["revert", "report"] = history.chance.choice(("revert", "report"))
    limits = replace(office.rules.limits, max_adoptions=None)  # an older store knows nothing of newer groups
    policy = make_policy(deleted_groups="delete", drift=drift)
    office.rules = replace(office.rules, licences=(), policy=policy, limits=limits)
    history.begin()
    history.grant_rights()
    await office.sync("full")
    acts = Acts(history)
    for _ in range(_STEPS):
        history.chance.choice(history.list_events())()
        await acts.act(trouble=history.chance.random() < 0.5)
    history.settle()
    for _ in range(5):
        run = await office.sync("full")
        await acts.approve_what_waits(run)
        office.clock.elapsed += 7200
    if _take_what_holds_groups_up(history, run, seed):
        for _ in range(3):
            await office.sync("full")
            office.clock.elapsed += 7200
    office.take_asked()
    office.judge.seen.clear()
    run = await office.sync("full")
    assert office.take_asked() == [], f"seed {seed}: a further run writes"
    planned = [each for some in Store(office.database).plans.iterate_changes(run.id) for each in some]
    assert planned == [], f"seed {seed}: a further run plans {planned}"
    assert run.status == "succeeded", f"seed {seed}: {run.status} {run.error}"
    calls = Counter(line for line in office.judge.seen if "/db/" in line)
    assert all(number == 1 and "admin/privileges" in line for line, number in calls.items()), f"seed {seed}: {calls}"
    office.judge.seen.clear()
    await office.sync("delta")
    assert [line for line in office.judge.seen if "/db/" in line] == [], f"seed {seed}: a delta without news asks"
    _check(history, seed)
    office.database.close()
    assert office.judge.broken == []
