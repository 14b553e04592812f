"""Whether all is well with a store, in a few sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from syncd.model.run import RunRecord
from syncd.plan.report.sides import SIDES, Side, SideState

BEGINNING: Final = "no full run has succeeded in it, and nothing in the portal is known to be ours"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What speaks for or against.

    ``last``: the newest closed run of each kind of pull; ``short``: how many people wait for a licence, by its type.
    """

    works: bool
    fresh: bool
    """The store is a beginning: nothing in the portal is known to be ours."""
    last: Mapping[str, RunRecord | None]
    sides: Mapping[Side, SideState]
    held: int
    emptied: int
    """Streams that are held as a whole: the tenant shows none any more."""
    failing: int
    short: Mapping[str, int]
    ending: int
    """Credentials that end within 30 days."""
    ended: int
    """Credentials that have ended already."""


def list_troubles(standing: Standing) -> list[str]:
    """Return what somebody should look at, the worst first; empty when all is well."""
    return list(_iterate_troubles(standing))


def _iterate_troubles(standing: Standing) -> Iterator[str]:
    newest = max((run for run in standing.last.values() if run is not None), key=lambda run: run.id, default=None)
    if standing.fresh:
        yield "the store is new: if another one was lost, restore that one"
    if newest is None:
        yield "no run has read the tenant yet"
    elif newest.status in ("failed", "interrupted"):
        yield f"the last run {'failed' if newest.status == 'failed' else 'was interrupted'}"
    if standing.ended:
        yield f"{_count(standing.ended, 'credential')} {'have' if standing.ended != 1 else 'has'} ended"
    if not standing.works:
        yield "no daemon works"
    for side, name in SIDES.items():
        if standing.sides[side].state == "failed" and (newest is None or newest.status != "failed"):
            yield f"{name} did not answer well"
    if standing.held:
        yield f"{_count(standing.held, 'change')} {'wait' if standing.held != 1 else 'waits'} for approval"
    if standing.emptied:
        yield "the tenant shows nobody any more, or no group, and nothing is concluded from it"
    if standing.failing:
        yield f"{_count(standing.failing, 'change')} {'fail' if standing.failing != 1 else 'fails'}"
    for kind, waiting in sorted(standing.short.items()):
        yield f"{_count(waiting, 'person', 'people')} {'wait' if waiting != 1 else 'waits'} for {kind}"
    if standing.ending:
        yield f"{_count(standing.ending, 'credential')} {'end' if standing.ending != 1 else 'ends'} soon"


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or f'{one}s'}"
