"""The reverse of a licence that was granted, corrected or revoked. Pure.

=======================  ==============================================================================================
done                     its reverse
=======================  ==============================================================================================
granted                  it is revoked, unless somebody gave it by hand since
settings corrected       those before, where they are still as we left them
revoked                  it is granted again with its settings, when a seat is free; given by hand before: it stays so
processes taken          they are added again
moved with a rename      nothing: what was given by hand stays with the person
=======================  ==============================================================================================
"""

from __future__ import annotations

from dataclasses import replace

from syncd.model.change import Change, Phase
from syncd.model.licence import Settings, join_processes, subtract_processes
from syncd.model.reason import Cause, Reason
from syncd.plan.licences import HeldLicence
from syncd.plan.undo.values import Done, Reverse
from syncd.plan.words import say

_PROCESSES = "processes"


def take(change: Change, licence: HeldLicence, reason: Reason) -> Change:
    """Return the revoke of a licence from the person of a change."""
    return Change(
        phase=Phase.REVOKES, action="revoke", object="licence", bps_id=change.bps_id, target=licence.type,
        source_key=change.source_key,
        before=dict(licence.settings), reason=reason,
    )  # fmt: skip


def reverse_licence(done: Done) -> Reverse:
    """Return what undoes one change of a licence."""
    change, record = done.change, done.record
    if done.moved:
        return Reverse(left="it was given by hand, and stays with the person, at the new account")
    if record is None and not done.remade:
        return Reverse(left="the account is not there any more")
    if record is not None and record.origin is None:
        return Reverse(left="the account is not ours any more")
    held = find_held(done)
    if change.action == "revoke" and not change.after:
        if held is not None:
            return Reverse(left="held again already")
        by_hand = change.reason.cause in (Cause.HAND_DELETED, Cause.INHERITED)
        reason = say(Cause.GIVEN_AGAIN if by_hand else Cause.UNDONE)
        return Reverse((_give(change, before={}, after=change.before, reason=reason),))
    if held is None:
        return Reverse(left="the licence is not there any more")
    if not held.ours:
        return Reverse(left="it was given by hand, and stays")
    if change.action == "revoke":
        return _add_processes(change, held)
    if change.before:
        return _restore_settings(change, held)
    return Reverse((take(change, held, say(Cause.UNDONE)),))


def find_held(done: Done) -> HeldLicence | None:
    """Return the licence of a change as the person holds it now."""
    return next((licence for licence in done.licences if licence.type == done.change.target), None)


def licence_still_stands(done: Done) -> bool:
    """Return whether a planned change of a licence meets what it was planned for: ours still, with those settings."""
    change, record, held = done.change, done.record, find_held(done)
    if change.action == "revoke" and change.reason.cause is Cause.LOST_WITH_PORTAL:
        return held is not None  # it came back with the portal, as nobody's
    if not done.remade if record is None else record.origin is None:
        return False
    if change.action == "grant" and not change.before:
        return held is None
    if held is None or not held.ours:
        return False
    whole = change.action == "revoke" and not change.after
    if whole and any(value is not None and name not in change.before for name, value in held.settings.items()):
        return False
    return _agree(change.before, held.settings, partly=change.action == "revoke" and not whole)


def _give(change: Change, *, before: Settings, after: Settings, reason: Reason) -> Change:
    return Change(
        phase=Phase.GRANTS, action="grant", object="licence", bps_id=change.bps_id, target=change.target,
        source_key=change.source_key,
        before=dict(before), after=dict(after), reason=reason,
    )  # fmt: skip


def _add_processes(change: Change, held: HeldLicence) -> Reverse:
    there = held.settings.get(_PROCESSES) or ""
    missing = subtract_processes(change.before.get(_PROCESSES) or "", there)
    if not missing:
        return Reverse(left="there again already")
    wanted = join_processes([*there.split(), *missing.split()])
    return Reverse((_give(change, before={_PROCESSES: there}, after={_PROCESSES: wanted}, reason=say(Cause.UNDONE)),))


def _restore_settings(change: Change, held: HeldLicence) -> Reverse:
    """Write the settings before, where they are as we left them, and take the processes that were added.

    Taking is a revoke of its own, as everywhere, so that the guard counts it.
    """
    there, kept = held.settings, set[str]()
    wanted: dict[str, str | None] = {}
    for name, value in change.after.items():
        if name == _PROCESSES:
            continue
        if there.get(name) != value or change.before.get(name) is None:
            kept.add(name)
        elif change.before[name] != value:
            wanted[name] = change.before[name]
    found: list[Change] = []
    if wanted:
        after = {name: wanted.get(name, value) for name, value in change.after.items() if name != _PROCESSES}
        found.append(
            _give(change, before={name: there.get(name) for name in after}, after=after, reason=say(Cause.UNDONE))
        )
    added = subtract_processes(change.after.get(_PROCESSES) or "", change.before.get(_PROCESSES) or "")
    have = there.get(_PROCESSES) or ""
    extra = subtract_processes(added, subtract_processes(added, have))
    if extra:
        taken, rest = take(change, held, say(Cause.UNDONE)), subtract_processes(have, extra)
        found.append(replace(taken, phase=Phase.UNLINKS, before={_PROCESSES: extra}, after={_PROCESSES: rest}))
    if extra != added:
        kept.add(_PROCESSES)
    left = f"changed again since, or not known as before, and left: {', '.join(sorted(kept))}" if kept else ""
    return Reverse(tuple(found), left)


def _agree(known: Settings, there: Settings, *, partly: bool) -> bool:
    """Return whether a licence has these settings; of processes in any order, and (``partly``) others besides."""
    for name, value in known.items():
        have = there.get(name)
        if name != _PROCESSES and have != value:
            return False
        if name == _PROCESSES and subtract_processes(value or "", have or ""):
            return False
        if name == _PROCESSES and not partly and subtract_processes(have or "", value or ""):
            return False
    return True
