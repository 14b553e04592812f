"""Faults of the portal, on an ordinary day: down in the middle, lost answers, pages of a gateway, cut lists."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from syncd.sandbox.drill.days import BUSY, ORDINARY
from syncd.sandbox.drill.picture import take_picture
from syncd.sandbox.drill.play import Day, Play, Scenario, pick
from syncd.sandbox.snapshot import put_back, take_snapshot

WRITES = "POST|PATCH|DELETE|PUT"
DATA = "/api/data/"
_PAGE = b"<html><head><title>Request blocked</title></head><body>The request was blocked.</body></html>"


async def _down(play: Play) -> None:
    """It answers two writes, and then nothing any more."""
    play.happen()
    play.fault("status", side="portal", method=WRITES, path=DATA, skip=2, status=503)
    play.fault("reset", side="portal", path=DATA, skip=8)
    await play.delta()
    await play.full()


async def _lost_answers(play: Play) -> None:
    """Everything takes effect, and every second answer is lost."""
    play.happen()
    for skip in range(0, 12, 2):
        play.fault("lose", side="portal", method=WRITES, path=DATA, skip=skip, count=2)
    await play.delta()
    await play.delta()


async def _torn_answers(play: Play) -> None:
    play.happen()
    play.fault("truncate", side="portal", path=DATA, skip=1, count=25)
    await play.delta()
    await play.full()


async def _unclear_answers(play: Play) -> None:
    """Somebody joins a group, and the answer is a web page; then that person is deleted, and only delta tells of it."""
    directory = play.sandbox.directory
    (person,) = pick(play, 1)
    group = next((each for each in directory.active_groups() if _is_new_to(play, each.id, person)), None)
    if group is not None:
        directory.add_member(group.id, person)
    play.fault("replace", side="portal", path="members/add", status=200, body=_PAGE, content_type="text/html")
    await play.delta()
    play.lift()
    play.happen()
    await play.delta()
    play.settle()


async def _pages(play: Play, status: int, method: str) -> None:
    play.happen()
    play.fault("status", side="portal", method=method, path=DATA, status=status, body=_PAGE, content_type="text/html")
    await play.delta()
    await play.full()


async def _page_403(play: Play) -> None:
    await _pages(play, 403, "POST|PATCH")


async def _page_405(play: Play) -> None:
    await _pages(play, 405, "PATCH|DELETE")


async def _throttled(play: Play) -> None:
    play.happen()
    for skip in range(0, 30, 3):
        play.fault("status", side="portal", path=DATA, skip=skip, count=1, status=429, headers={"Retry-After": "20"})
    await play.delta()
    await play.full()


def _cut(page: dict[str, Any]) -> None:
    for entries in page.values():
        if isinstance(entries, list):
            del entries[len(entries) - len(entries) // 3 :]


def _empty(page: dict[str, Any]) -> None:
    for entries in page.values():
        if isinstance(entries, list):
            entries.clear()


async def _cut_lists(play: Play) -> None:
    play.happen()
    play.alter(r"admin/(users|groups|licenses)\b", _cut, side="portal", method="GET")
    await play.full()
    await play.delta()


async def _forgetful(play: Play) -> None:
    """Lists are empty, and records are not found one by one either."""
    play.alter(r"admin/(users|groups)\?", _empty, side="portal", method="GET")
    body = b'{"type":"ResourceNotFound","description":"User does not exist","errorGuid":"1"}'
    play.fault("status", side="portal", method="GET", path=r"admin/(user|group)\?", status=404, body=body)
    await play.full()
    await play.delta()


async def _slow(play: Play) -> None:
    """What is written is seen two minutes later, and new records are not found until then."""
    knobs = play.sandbox.portal_knobs
    knobs.sync_delay_min = knobs.sync_delay_max = 120.0
    knobs.pending_visible = False
    play.happen()
    await play.delta()
    await play.delta()
    play.sandbox.portal.settle()


async def _renamed_slowly(play: Play) -> None:
    """A new login is a new account, which is seen minutes later: until then the old one keeps every place."""
    knobs = play.sandbox.portal_knobs
    knobs.sync_delay_min = knobs.sync_delay_max = 300.0
    knobs.pending_visible = False
    play.happen()
    (former,) = play.meant or ("",)
    latter = next(iter(play.wanted.accounts.keys() - play.base.accounts.keys()), former)
    wanted = {group for group, member in play.wanted.members if member == latter}
    for _ in range(3):
        await play.delta()
        places = {group for group, member in take_picture(play.sandbox).members if member in (former, latter)}
        play.harm.places |= {former} if wanted - places else set()
    play.sandbox.portal.settle()


async def _went_back(play: Play) -> None:
    """The portal is restored from yesterday's backup: who left has access again until that is taken away there, too.

    Everything else waits until a person asks for it.
    """
    before = take_snapshot(play.sandbox)
    play.happen()
    await play.delta()
    put_back(play.sandbox, before, parts=("portal", "licences", "substitutions"))
    back = take_picture(play.sandbox)
    await play.delta()
    await play.full()
    play.settle()
    play.look_what_was_given(back)
    await play.replay()


def _is_new_to(play: Play, group: str, person: str) -> bool:
    return group in play.places and (play.places[group], play.people[person]) not in play.base.members


def _leave(play: Play) -> Collection[str]:
    (person,) = pick(play, 1)
    directory = play.sandbox.directory
    group = next((each for each in directory.active_groups() if _is_new_to(play, each.id, person)), None)
    if group is not None:
        directory.add_member(group.id, person)
    directory.soft_delete(person)
    return (person,)


def _rename(play: Play) -> Collection[str]:
    """The account of the old login loses its places by it."""
    (person,) = pick(play, 1)
    login, _, domain = str(play.sandbox.directory.get(person).properties["userPrincipalName"]).partition("@")
    fresh = f"{login}.married@{domain}"
    play.sandbox.directory.set_attributes(person, userPrincipalName=fresh, mail=fresh)
    return (person,)


_RENAMED = Day("one gets another login", _rename)
_JOINED_AND_LEFT = Day("one joins a group and is deleted", _leave)

PORTAL = (
    Scenario(
        name="portal-down", says="the portal goes down in the middle of a run", play=_down,
        side="portal", day=ORDINARY,
    ),
    Scenario(
        name="lost-answers", says="writes take effect, and answers are lost", play=_lost_answers,
        side="portal", day=ORDINARY,
    ),
    Scenario(
        name="torn-answers", says="answers of the portal break off", play=_torn_answers,
        side="portal", day=ORDINARY,
    ),
    Scenario(
        name="unclear-answers", says="joins are answered with a web page, then people leave", play=_unclear_answers,
        side="portal",
        day=_JOINED_AND_LEFT,
    ),
    Scenario(
        name="page-403", says="a gateway answers writes with a 403 page", play=_page_403,
        side="portal", day=ORDINARY,
    ),
    Scenario(
        name="page-405", says="a gateway answers changes with a 405 page", play=_page_405,
        side="portal", day=ORDINARY,
    ),
    Scenario(name="portal-throttling", says="the portal asks for pauses", play=_throttled, side="portal", day=ORDINARY),
    Scenario(
        name="portal-cut-lists", says="lists of the portal end too early", play=_cut_lists,
        side="portal", day=ORDINARY,
    ),
    Scenario(name="portal-forgetful", says="the portal denies that it has any record", play=_forgetful, side="portal"),
    Scenario(name="portal-slow", says="what is written is seen minutes later", play=_slow, side="portal", day=ORDINARY),
    Scenario(
        name="renamed-slowly", says="the account of a new login is seen minutes later", play=_renamed_slowly,
        side="portal", day=_RENAMED,
    ),
    Scenario(
        name="portal-restored", says="the portal is put back to yesterday", play=_went_back,
        side="portal", day=BUSY,
    ),
)  # fmt: skip
