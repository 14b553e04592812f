"""Faults of time in reading the tenant, on an ordinary day: old replicas, pages that shift, news told twice."""

from __future__ import annotations

import re

from syncd.sandbox.drill.days import ORDINARY
from syncd.sandbox.drill.play import Play, Scenario


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
    play.sandbox.tenant_knobs.lose_links = True
    play.happen()
    await play.delta()
    await play.full()
    play.settle()


async def _late_news(play: Play) -> None:
    play.sandbox.tenant_knobs.visibility_delay = 600.0
    play.happen()
    await play.delta()
    await play.full()


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
        side="Graph", day=ORDINARY,
    ),
    Scenario(
        name="replayed-rounds", says="delta repeats and shuffles its news", play=_replayed_rounds,
        side="Graph", day=ORDINARY,
    ),
    Scenario(
        name="lost-links", says="delta never tells who joined or left a group", play=_lost_links,
        side="Graph", day=ORDINARY,
    ),
    Scenario(
        name="late-news", says="delta tells everything ten minutes later", play=_late_news, side="Graph", day=ORDINARY,
    ),
)  # fmt: skip
