"""Faults of reading the tenant: what lists, counts and pages say is not what is so, and nothing has happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from syncd.sandbox.drill.play import Play, Scenario

LISTS = r"^/v1\.0/(users|groups)\?"
"""The pages of both lists."""
DELTAS = r"^/v1\.0/(users|groups)/delta\?"
COUNTS = r"\$count"
MEMBERS = r"/members\?"
"""Member lists of groups; they are asked for as parts of a batch, or alone."""
SINGLES = r"^/v1\.0/(users|groups)/[0-9a-f-]{36}(\?|$)"
_MISSING = b'{"error":{"code":"Request_ResourceNotFound","message":"Resource does not exist"}}'
_SHARE, _LEAST = 0.05, 8
"""So much of a list is missing, and at least so many entries: fewer than a guard minds, and more than counts lag."""


def _cut(page: dict[str, Any]) -> None:
    """Leave out the end of a list, and every page behind it."""
    entries = page.get("value")
    if isinstance(entries, list):
        del entries[len(entries) - _count_cut(len(entries)) :]
        page.pop("@odata.nextLink", None)


def _cut_few(page: dict[str, Any]) -> None:
    """Leave out one of the members, or one in twenty."""
    entries = page.get("value")
    if isinstance(entries, list) and len(entries) > 1:
        del entries[len(entries) - max(1, int(len(entries) * _SHARE)) :]


def _count_cut(number: int) -> int:
    return min(number, max(_LEAST, int(number * _SHARE)))


def _empty(page: dict[str, Any]) -> None:
    if isinstance(page.get("value"), list):
        page["value"] = []
        page.pop("@odata.nextLink", None)


def _spoil(page: dict[str, Any]) -> None:
    """Let every fourth entry be what nobody understands."""
    entries = page.get("value")
    if not isinstance(entries, list):
        return
    for place in range(0, len(entries), 4):
        entry = dict(entries[place])
        shapes = ({**entry, "@odata.type": "#microsoft.graph.somethingNew"}, {**entry, "displayName": [None]})
        entries[place] = shapes[place // 4 % len(shapes)]


def _state_counts(play: Play, find_missing: Callable[[int], int]) -> None:
    """Let the counts agree with lists from which so many are missing."""
    directory = play.sandbox.directory
    present = {"users": sum(1 for _ in directory.active_users()), "groups": sum(1 for _ in directory.active_groups())}
    for name, number in present.items():
        said = number - find_missing(number)
        play.fault("replace", side="graph", path=rf"/{name}/\$count", status=200, body=str(said).encode())


def _deny_singles(play: Play) -> None:
    """Let nobody be found who is asked for alone."""
    for side in ("graph", "batch"):
        play.fault("status", side=side, path=SINGLES, status=404, body=_MISSING)


def _twice(begin: Callable[[Play], object]) -> Callable[[Play], Awaitable[None]]:
    """Return a play under a fault that lasts: everything is read, then what is new."""

    async def play_it(play: Play) -> None:
        begin(play)
        await play.full()
        await play.delta()

    return play_it


def cut_lists(play: Play) -> None:
    """Let the lists of people and groups end too early."""
    play.alter(LISTS, _cut)


def _cut_and_denied(play: Play) -> None:
    """Whoever is missing in the lists is not found alone either; only the counts know better."""
    play.alter(LISTS, _cut)
    _deny_singles(play)


def _lying_counts(play: Play) -> None:
    """Nothing but a second look tells the truth."""
    play.alter(LISTS, _cut)
    _state_counts(play, _count_cut)


def _empty_lists(play: Play) -> None:
    play.alter(LISTS, _empty)
    _state_counts(play, lambda number: number)
    _deny_singles(play)


def _cut_members(play: Play) -> None:
    play.alter(MEMBERS, _cut_few, side="batch")
    play.alter(MEMBERS, _cut_few)


def _empty_members(play: Play) -> None:
    play.alter(MEMBERS, _empty, side="batch")
    play.alter(MEMBERS, _empty)


def _hidden_members(play: Play) -> None:
    play.sandbox.registration.roles.discard("Member.Read.Hidden")
    play.sandbox.book.revoke_all()
    for group in play.sandbox.directory.groups:
        group.properties["visibility"] = "HiddenMembership"
        group.rendered.clear()


def _half_pages(play: Play) -> None:
    play.fault("truncate", side="graph", path=f"{LISTS}|{DELTAS}")


def _error_in_200(play: Play) -> None:
    body = b'{"error":{"code":"InternalServerError","message":"Unable to read"}}'
    play.fault("replace", side="graph", path=f"{LISTS}|{DELTAS}|{COUNTS}", status=200, body=body)


def _page_in_200(play: Play) -> None:
    play.fault("replace", side="graph", status=200, body=b"<html>Sign in</html>", content_type="text/html")


def _counts_refused(play: Play) -> None:
    play.sandbox.tenant_knobs.count_status = 503


def _unreadable(play: Play) -> None:
    play.alter(f"{LISTS}|{DELTAS}", _spoil)


def _spoiled_links(play: Play) -> None:
    play.fault("links", side="graph", path=LISTS, link="neither")
    play.fault("links", side="graph", path=DELTAS, link="same", count=3)
    play.fault("links", side="graph", path=DELTAS, link="foreign", count=3)
    play.fault("links", side="graph", path=DELTAS, link="neither")


def _marks(play: Play) -> None:
    play.fault("mark", side="graph")


async def _empty_streams(play: Play) -> None:
    """The delta links are too old, and the round from the beginning shows nobody."""
    play.sandbox.graph.engine.expire_checkpoints()
    play.alter(DELTAS, _empty)
    play.alter(LISTS, _empty)
    _state_counts(play, lambda number: number)
    await play.delta()
    await play.delta()
    await play.full()


async def _expired_links(play: Play) -> None:
    play.sandbox.graph.engine.expire_checkpoints()
    await play.delta()
    play.sandbox.graph.engine.reset_checkpoints()
    await play.delta()


def _scenario(name: str, says: str, begin: Callable[[Play], object]) -> Scenario:
    return Scenario(name=name, says=says, play=_twice(begin), side="Graph")


READS = (
    _scenario("cut-lists", "the lists of people and groups end too early", cut_lists),
    _scenario("cut-and-denied", "who is missing in the lists is not found alone either", _cut_and_denied),
    _scenario("lying-counts", "the lists end too early, and the counts agree with them", _lying_counts),
    _scenario("empty-lists", "lists are empty, counts are zero, and nobody is found", _empty_lists),
    _scenario("cut-members", "the lists of members end too early", _cut_members),
    _scenario("empty-members", "the lists of members are empty", _empty_members),
    _scenario("hidden-members", "every group hides its members from now on", _hidden_members),
    _scenario("half-pages", "pages break off in the middle", _half_pages),
    _scenario("error-in-200", "answers of status 200 hold an error", _error_in_200),
    _scenario("page-in-200", "a web page of status 200 comes in place of every answer of Graph", _page_in_200),
    _scenario("counts-refused", "counts are refused while everything else answers", _counts_refused),
    _scenario("unreadable-entries", "a quarter of all entries is of a kind that nobody knows", _unreadable),
    _scenario("spoiled-links", "links lead in a circle, to another host, or nowhere", _spoiled_links),
    _scenario("byte-order-marks", "every answer begins with a byte order mark", _marks),
    Scenario(
        name="empty-streams",
        says="delta links are too old, and the new round is empty",
        play=_empty_streams,
        side="Graph",
    ),
    Scenario(name="expired-links", says="delta links are too old, then reset", play=_expired_links, side="Graph"),
)
