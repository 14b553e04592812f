"""Faults of reading the tenant: what lists, counts and pages say is not what is so."""

from __future__ import annotations

from typing import Any

from syncd.sandbox.drill.play import Play, Scenario

LISTS = r"^/v1\.0/(users|groups)\?"
"""The first pages of both lists, and the following ones."""
_CUT = 3


def _cut(page: dict[str, Any]) -> None:
    """Leave out a third of a list, and every page behind it."""
    entries = page.get("value")
    if isinstance(entries, list):
        del entries[len(entries) - len(entries) // _CUT :]
        page.pop("@odata.nextLink", None)


async def _cut_lists(play: Play) -> None:
    play.alter(LISTS, _cut)
    await play.full()
    await play.delta()
    await play.full()


async def _lying_counts(play: Play) -> None:
    """Lists that are cut, and counts that agree with them: nothing but a second look tells the truth."""
    play.alter(LISTS, _cut)
    sides = {"users": len(list(play.sandbox.directory.active_users())), "groups": len(play.sandbox.directory.groups)}
    for side, number in sides.items():
        play.fault(
            "replace", side="graph", path=rf"{side}/\$count", status=200, body=str(number - number // _CUT).encode()
        )
    await play.full()
    await play.delta()
    await play.full()


READS = (
    Scenario(
        name="cut-lists", says="lists of the tenant end too early, with everything else in order", play=_cut_lists
    ),
    Scenario(name="lying-counts", says="the lists are cut, and the counts agree with them", play=_lying_counts),
)
