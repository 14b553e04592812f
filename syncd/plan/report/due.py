"""Everything with a date: what happens by itself on a day that is known already."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Literal

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.run import HELD_FOR
from syncd.plan.desired import LEAVER_STATES, Desired
from syncd.plan.diff import choose_leaver_policy
from syncd.plan.rules import PolicyRules

What = Literal["start", "end", "change", "deletion", "substitution", "held", "credential", "pause"]

SOON = timedelta(days=30)
"""So far ahead ``syncd status`` looks."""
AHEAD = timedelta(days=366)
"""So far ahead ``syncd due`` looks for what rules over ``now`` bring."""


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Due:
    """One date. ``bps_id``: whose record it concerns, empty when none; ``key`` tells it from the others for good."""

    at: datetime
    what: What
    bps_id: str = ""
    detail: str = ""
    key: str = ""


def group_days(entries: Iterable[Due], zone: tzinfo = UTC) -> list[tuple[Due, int]]:
    """Return the first of what is due on the same day in the same way, and how much that is, in the order of dates.

    Days begin in ``zone``. What concerns no record, as a credential or a hold, stands for itself.
    """
    found: dict[tuple[date, What, Due | None], tuple[Due, int]] = {}
    for entry in sorted(entries):
        day = entry.at.astimezone(zone).date(), entry.what, None if entry.bps_id else entry
        first, number = found.get(day, (entry, 0))
        found[day] = (first, number + 1)
    return list(found.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """A record of ours that nobody wants any more. ``state``: why, as a policy is chosen by it; ``why``: in words.

    ``stays``: a rejection or the protect list keeps it, so that no date is its last.
    """

    kind: RecordKind
    bps_id: str
    since: datetime
    state: str
    why: str
    stays: bool


def deletes_any(policy: PolicyRules) -> bool:
    """Return whether any leaver is deleted at all, so that there is a grace to tell the end of."""
    states = (*LEAVER_STATES, "renamed", "unknown")
    return any(choose_leaver_policy(state, kind, policy) == "delete" for kind in RECORD_KINDS for state in states)


def list_deletions(leaving: Iterable[Leaving], policy: PolicyRules) -> list[Due]:
    """Return when the grace of each record ends that is deleted then; of those that are kept nothing is due."""
    if policy.mode in ("create_only", "upsert_only", "plan_only"):
        return []
    return [
        Due(
            at=each.since + policy.grace,
            what="deletion",
            bps_id=each.bps_id,
            detail=f"the {'account' if each.kind == 'user' else 'group'} is deleted by the first run from then on: "
            f"{each.why or each.state} since {each.since:%Y-%m-%d}",
            key=each.bps_id.casefold(),
        )
        for each in leaving
        if not each.stays and choose_leaver_policy(each.state, each.kind, policy) == "delete"
    ]


def tell_hold(run_id: int, finished_at: datetime, number: int) -> Due:
    """Return when what a run holds can no longer be approved."""
    return Due(
        at=finished_at + HELD_FOR,
        what="held",
        detail=f"{number:,} change{'s' if number != 1 else ''} held by run {run_id} can be approved until then",
        key=str(run_id),
    )


def tell_substitution(bps_id: str, substitute: str, ends_at: datetime) -> Due:
    """Return when the substitution of an account of ours ends."""
    return Due(
        at=ends_at,
        what="substitution",
        bps_id=bps_id,
        detail=f"{substitute} gets the tasks of this account until then",
        key=bps_id.casefold(),
    )


def tell_credential(setting: str, ends_at: datetime, *, now: datetime) -> Due:
    """Return when a credential ends, or has ended."""
    told = f"the credential of {setting} ends"
    if ends_at <= now:
        told = f"the credential of {setting} has ended: register a new one, and put it in the place of the old one"
    return Due(at=ends_at, what="credential", detail=told, key=setting)


_ENDS: dict[str, str] = {
    "keep": "everything stays as it is",
    "revoke": "groups and licences end",
    "delete": "groups and licences end, and the grace begins",
    "empty": "its members are taken out",
}


def tell_turn(
    kind: RecordKind, *, at: datetime, before: Desired, after: Desired, policy: PolicyRules, key: str
) -> Due | None:
    """Return what becomes of somebody because a moment comes; None for nothing that anybody would see."""
    what: What
    if before.state == "wanted" and after.state == "wanted":
        names = sorted(name for name in before.fields.keys() | after.fields.keys() if _differ(before, after, name))
        if before.bps_id != after.bps_id:
            names.insert(0, "BPS id")
        if not names:
            return None
        what, detail = "change", f"mapped values change: {', '.join(names)}"
    elif after.state == "wanted":
        what, detail = "start", f"comes in by the first run from then on; now {before.state.replace('_', ' ')}"
    elif before.state == "wanted" and after.state == "skipped":
        what, detail = "end", f"cannot be written from then on, and stays as it is: {after.reason}"
    elif before.state == "wanted":
        choice = choose_leaver_policy(after.state, kind, policy)
        what, detail = "end", f"goes by the first run from then on ({after.state.replace('_', ' ')}): {_ENDS[choice]}"
    else:
        return None
    return Due(at=at, what=what, bps_id=after.bps_id or before.bps_id, detail=detail, key=key)


def _differ(before: Desired, after: Desired, name: str) -> bool:
    return before.fields.get(name) != after.fields.get(name)


def tell_pause_end(bps_id: str, until: datetime, *, reason: str, by: str) -> Due:
    """Return when a pause ends."""
    return Due(
        at=until, what="pause", bps_id=bps_id, detail=f"paused by {by} ({reason}); goes on then", key=bps_id.casefold()
    )
