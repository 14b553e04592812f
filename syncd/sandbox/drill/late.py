"""Faults of time in reading the tenant, on an ordinary day: old replicas, pages that shift, news told twice."""

from __future__ import annotations

import re
from collections.abc import Collection

from syncd.sandbox.drill.days import ORDINARY
from syncd.sandbox.drill.play import Day, Play, Scenario, pick

_CHECKS = (7 * 3600.0, 900.0)
"""Seconds until the members of groups are counted, and until what they counted is looked at again."""


async def _stale_lists(play: Play) -> None:
    """Delta has told everything already when a full read meets lists that know nothing of it."""
    play.sandbox.replicas.freeze("lists", "links", "counts")
    play.happen()
    await play.delta()
    play.settle()
    await play.full()
    play.settle()
    play.sandbox.replicas.thaw()
    await play.delta()
    play.settle()


async def _stale_replicas(play: Play) -> None:
    play.sandbox.replicas.freeze()
    play.happen()
    await play.delta()
    await play.full()
    play.settle()
    play.sandbox.replicas.thaw()
    await play.delta()


async def _shifting_pages(play: Play) -> None:
    """Somebody is deleted while the pages of the list are being read, and everybody behind moves up by one."""
    knobs = play.sandbox.tenant_knobs
    knobs.page_drift, knobs.list_page_objects = True, max(5, len(play.sandbox.directory.users) // 6)
    pages = 0

    def watch(side: str, _method: str, target: str) -> None:
        nonlocal pages
        if side == "graph" and re.search(r"/v1\.0/(users|groups)\?", target):
            pages += 1
            if pages == 4:
                play.happen()

    play.sandbox.faults.watch = watch
    try:
        await play.full()
    finally:
        play.sandbox.faults.watch = None
    if pages < 4:
        play.happen()
    await play.delta()


async def _replayed_rounds(play: Play) -> None:
    knobs = play.sandbox.tenant_knobs
    knobs.replay_previous_round = knobs.shuffle = knobs.initial_removed_links = knobs.initial_removed_objects = True
    knobs.repeat_relationships = knobs.restore_reports_links = True
    knobs.duplicates, knobs.empty_page_every, knobs.page_objects = 0.3, 2, 20
    play.happen()
    await play.delta()
    await play.delta()
    play.sandbox.graph.engine.expire_checkpoints()
    await play.delta()


async def _lost_links(play: Play) -> None:
    """Delta never tells of a change of members; who left a group must be out of it within a day all the same."""
    play.sandbox.tenant_knobs.lose_links = True
    play.happen()
    await play.delta()
    for pause in _CHECKS:
        await play.sandbox.directory.clock.sleep(pause)
        await play.delta()
    play.settle()
    await play.full()


async def _late_news(play: Play) -> None:
    play.sandbox.tenant_knobs.visibility_delay = 600.0
    play.happen()
    await play.delta()
    await play.full()


def _leave_ahead(play: Play) -> Collection[str]:
    """Of those at the head of the list one goes to whom nobody reports."""
    users = list(play.sandbox.directory.active_users())
    managers = {user.manager for user in users}
    person = next((user.id for user in users if user.id in play.people and user.id not in managers), None)
    if person is None:
        return ()
    play.sandbox.directory.soft_delete(person)
    return (person,)


def _move(play: Play) -> Collection[str]:
    directory = play.sandbox.directory
    left, joined, *_ = (*pick(play, 2), "", "")
    groups = [group for group in directory.active_groups() if group.id in play.places]
    before = next((group for group in groups if left in group.members), None)
    after = next((group for group in groups if group is not before and joined not in group.members), None)
    if before is None:
        return ()
    directory.remove_member(before.id, left)
    if joined and after is not None:
        directory.add_member(after.id, joined)
    return (left,)


_LEFT_AHEAD = Day("one at the head of the list is deleted", _leave_ahead)
_MOVED = Day("one leaves a group, and another joins one", _move)

LATE = (
    Scenario(
        name="stale-lists", says="lists are older than what delta has told", play=_stale_lists,
        side="Graph", day=ORDINARY,
    ),
    Scenario(
        name="stale-replicas", says="every reading but delta is old", play=_stale_replicas, side="Graph", day=ORDINARY,
    ),
    Scenario(
        name="shifting-pages", says="people move between pages while they are read", play=_shifting_pages,
        side="Graph", day=_LEFT_AHEAD,
    ),
    Scenario(
        name="replayed-rounds", says="delta repeats and shuffles its news", play=_replayed_rounds,
        side="Graph", day=ORDINARY,
    ),
    Scenario(
        name="lost-links", says="delta never tells who joined or left a group", play=_lost_links,
        side="Graph", day=_MOVED,
    ),
    Scenario(
        name="late-news", says="delta tells everything ten minutes later", play=_late_news, side="Graph", day=ORDINARY,
    ),
)  # fmt: skip
