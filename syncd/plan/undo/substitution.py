"""The reverse of a substitution that was arranged, changed or ended. Pure.

What was arranged is ended; what was changed or ended is put back as it was, as long as its time is not over. Nothing
is done about one that is another by now.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from syncd.model.change import Action, Change, Phase
from syncd.model.reason import Cause
from syncd.plan.substitution import ALIKE, Arranged
from syncd.plan.undo.values import Done, Reverse
from syncd.plan.words import say

_UNTIL = "until"


def reverse_substitution(done: Done, *, now: datetime) -> Reverse:
    """Return what undoes one change of a substitution; its ``target`` is the substitute that it arranges or ends."""
    change, present = done.change, done.arranged
    if done.record is None:
        return Reverse(left="the account is not there any more")
    if change.action == "delete" or _was_cut(change):
        if present is not None and not (_was_cut(change) and present.ends_at <= now):
            return Reverse(left="there is another substitution by now")
        return _arrange(change, {}, now)
    if present is None:
        return Reverse(left="the substitution has ended already")
    if not _is_as_left(change.after, present):
        return Reverse(left="the substitution was changed again since")
    if change.action == "create":
        return Reverse(
            (
                _make(
                    change,
                    Phase.SUBSTITUTION_ENDS,
                    action="delete",
                    substitute=present.bps_id,
                    before=_describe(present),
                    after={},
                ),
            )
        )
    return _arrange(change, _describe(present), now)


def _arrange(change: Change, before: Mapping[str, str | None], now: datetime) -> Reverse:
    until, substitute = change.before.get(_UNTIL) or "", change.before.get("substitute") or ""
    if datetime.fromisoformat(until) <= now:
        return Reverse(left="the time of the substitution before is over")
    action: Action = "update" if before else "create"
    return Reverse(
        (_make(change, Phase.SUBSTITUTIONS, action=action, substitute=substitute, before=before, after=change.before),)
    )


def _make(
    change: Change,
    phase: Phase,
    *,
    action: Action,
    substitute: str,
    before: Mapping[str, str | None],
    after: Mapping[str, str | None],
) -> Change:
    key = change.source_key
    return Change(
        phase=phase,
        action=action,
        object="substitution",
        bps_id=change.bps_id,
        target=substitute,
        source_key=key,
        before=dict(before),
        after=dict(after),
        reason=say(Cause.UNDONE),
    )


def _was_cut(change: Change) -> bool:
    """Return whether a substitution was ended by its end date, where nothing may be deleted."""
    return change.action == "update" and "substitute" not in change.after


def _describe(present: Arranged) -> dict[str, str | None]:
    return {"substitute": present.bps_id, _UNTIL: present.ends_at.isoformat()}


def _is_as_left(after: Mapping[str, str | None], present: Arranged) -> bool:
    until = datetime.fromisoformat(after.get(_UNTIL) or "")
    same = (after.get("substitute") or "").casefold() == present.bps_id.casefold()
    return same and abs(present.ends_at - until) < ALIKE
