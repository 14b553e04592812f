"""Take a plan through the sieves of `syncd.plan.sieves`, in their order. Nothing is decided here.

What the sieves decide by is loaded just before each of them, since every sieve sees what those before it left.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from syncd.model.change import REMOVALS
from syncd.model.reason import Cause, Reason
from syncd.plan import licence_sieves, sieves
from syncd.plan.daily import Kind, list_allowances, make_day
from syncd.plan.guard import Hold, find_populations_to_know, hold_excess
from syncd.plan.licences import Shortage, allot
from syncd.plan.moment import Moment
from syncd.plan.pauses import stop_paused
from syncd.plan.restored import Restored
from syncd.plan.returns import RETURN_WITHIN
from syncd.plan.rules import GuardLimits

if TYPE_CHECKING:
    from syncd.store.store import Store

_LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class PassedRecords:
    """What the places of a plan must know of its records. ``declined``: hands off; ``held``: adoptions that wait."""

    declined: frozenset[int]
    held: frozenset[int]


@dataclass(frozen=True, slots=True)
class Passed:
    """What a complete plan lost. ``returned``: how many changes only undo what a run of the last days did, by run."""

    holds: list[Hold]
    returned: Mapping[int, int]


def pass_records(store: Store, run_id: int, limits: GuardLimits) -> PassedRecords:
    """Take planned accounts and groups through the sieves before their places are planned (stage "records")."""
    stops, decisions = store.stops, store.decisions
    stops.stop(run_id, sieves.stop_rejected(stops.load_rejected_before(run_id)))
    declined = decisions.load_declined(run_id)
    stops.stop(run_id, sieves.stop_declined(declined))
    unmade, kept = decisions.load_unmoved(run_id)
    stops.stop(run_id, sieves.stop_unmoved(kept, stops.load_managed_by(run_id, sorted(unmade))))
    adopted = store.plans.load_adoptions(run_id)
    counts = store.plans.count_changes(run_id) if adopted else {}
    holds = [hold for hold in hold_excess(counts, {}, limits) if hold.action == "adopt"]
    stops.stop(run_id, sieves.stop_unadopted(holds))
    return PassedRecords(frozenset(declined | unmade | kept), frozenset(adopted if holds else ()))


def pass_complete(
    store: Store,
    run_id: int,
    limits: GuardLimits,
    *,
    decisions: bool,
    moment: Moment,
    restored: Restored | None = None,
) -> Passed:
    """Take a complete plan through what people decided and the guard (stage "complete"); return what is withheld.

    ``decisions`` False: what was rejected or is held of other runs does not count, and nothing counts as a return.
    ``restored``: the portal went back in time, and almost nothing of the plan is to be written.
    """
    stops = store.stops
    held: list[Hold] = []
    if decisions:
        stops.stop(run_id, sieves.stop_rejected(stops.load_rejected_before(run_id)))
        if stops.stop(run_id, sieves.stop_held_before(stops.load_held_before(run_id, now=moment.expiring))):
            remembered = store.plans.load_holds(run_id, Cause.HELD_BEFORE)
            held = [Hold(action, number, reason, before=True) for action, number, reason in remembered]
    if restored is not None:
        stops.stop(run_id, sieves.stop_restored(store.past.load_stated_removals(run_id, restored.since)))
    counts, holds = _weigh(store, run_id, limits, now=moment.earliest)
    returned: Mapping[int, int] = {}
    if decisions and not moment.doubt and any(hold.action in ("unlink", "revoke", "update") for hold in holds):
        returned = store.plans.mark_returns(run_id, since=moment.now - RETURN_WITHIN)
    respelled = 0
    if decisions and any(hold.action == "update" for hold in holds):
        respelled = store.plans.mark_respelled(run_id)
    if returned or respelled:
        counts, holds = _weigh(store, run_id, limits, now=moment.earliest)
    stops.stop(run_id, sieves.stop_excess(holds))
    if any(action == "delete" for action, _ in counts):
        groups, members = stops.load_kept_places() if decisions else (set[int](), set[int]())
        stops.stop(run_id, sieves.stop_kept_places(groups, members))
    return Passed(held + holds, returned)


def _weigh(store: Store, run_id: int, limits: GuardLimits, *, now: datetime) -> tuple[Mapping[Kind, int], list[Hold]]:
    """Return what counts of a plan, and what is beyond a limit."""
    counts = store.plans.count_changes(run_id)
    removals = [kind for kind, number in counts.items() if kind[0] in REMOVALS and number]
    done = store.plans.load_done(now=now) if removals else []
    populations = store.inventory.count_owned(find_populations_to_know(counts, limits, done))
    day = make_day(done, populations, min_population=limits.min_population)
    if removals:
        store.plans.save_allowances(list_allowances(removals, day, limits))
    return counts, list(hold_excess(counts, populations, limits, day))


def pass_moment(
    store: Store, run_id: int, *, moment: Moment, grace: bool, decided: bool, retry_failed: bool, write: bool
) -> None:
    """Take a plan through what depends on the moment (stage "write"): pauses, clock, quiet hours, next attempts.

    ``grace``: accounts and groups are deleted after a time. ``decided``: a person said what goes on, at any hour.
    ``write``: it is to be carried out, so that the portal is asked whether it still refuses what it refused.
    """
    pass_pauses(store, run_id, moment)
    if moment.doubt:
        store.stops.stop(run_id, sieves.stop_untimely(moment.doubt, grace=grace))
    if moment.quiet and not decided:
        store.stops.stop(run_id, sieves.stop_quiet())
    if not retry_failed:
        store.stops.stop(run_id, sieves.stop_failing(*store.stops.load_not_due(run_id, now=moment.now)))
    if not write and store.substitutions.load_refusal.blocking() is not None:
        store.stops.stop(run_id, sieves.stop_unscoped())


def pass_pauses(store: Store, run_id: int, moment: Moment) -> None:
    """Put off what concerns somebody who is paused (stage "write"), also of a plan that compares nothing.

    While the clock is not believed, no pause is over.
    """
    pauses = store.decisions.load_pauses(now=_LONG_AGO if moment.doubt else moment.now)
    if pauses:
        store.stops.stop(run_id, stop_paused(store.stops.load_concerned(run_id, pauses), pauses))


def pass_licences(store: Store, run_id: int) -> None:
    """Let go only together what belongs together (stage "write")."""
    if not store.licences.has_licence_changes.blocking(run_id):
        return
    stops = store.stops
    stops.stop(run_id, licence_sieves.stop_uncoupled())
    stops.stop(run_id, licence_sieves.stop_moves(stops.load_moves_on_their_way(run_id)))
    stops.stop(run_id, licence_sieves.stop_swaps())


def pass_seats(store: Store, run_id: int, free: dict[str, int]) -> tuple[Shortage, ...]:
    """Put off the grants for which there is no seat, and free seats early where others wait for them (stage "seats").

    ``free``: seats by type, before this plan.
    """
    claims, supply = store.licences.load_claims(run_id, free)
    allotment = allot(claims, supply)
    store.stops.stop(run_id, licence_sieves.stop_without_seat(allotment))
    if allotment.early:
        store.licences.revoke_early(run_id, allotment.early)
    return allotment.shortages


def pass_unready_grants(store: Store, run_id: int) -> None:
    """Defer the grants whose account is not ready, and keep what they would have taken the place of."""
    if store.licences.defer_unready_grants(run_id):
        store.stops.stop(run_id, licence_sieves.stop_swaps())


def drop_plan(store: Store, run_id: int, reason: Reason) -> None:
    """Take everything out of a plan that is not to be applied after all."""
    store.stops.stop(run_id, sieves.stop_everything(reason))
