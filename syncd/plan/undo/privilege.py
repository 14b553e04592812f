"""The reverse of a privilege that was given or taken. Pure."""

from __future__ import annotations

from syncd.model.change import Change, Phase
from syncd.model.privilege import read_privilege
from syncd.model.reason import Cause
from syncd.plan.privileges import OURS, HeldPrivilege
from syncd.plan.undo.values import Done, Reverse
from syncd.plan.words import say


def reverse_privilege(done: Done) -> Reverse:
    """Return what undoes one change of a privilege, by the own record: the portal does not tell what is there."""
    change, held = done.change, _find_held(done)
    if done.record is None and not done.remade:
        return Reverse(left="the group is not there any more")
    if done.record is not None and done.record.origin is None:
        return Reverse(left="the group is not ours any more")
    ours = held is not None and held.state in OURS
    if change.action == "revoke":
        if ours:
            return Reverse(left="given again already")
        return Reverse((_make(change, "grant"),))
    if held is None or not ours:
        return Reverse(left="it is not there any more, as far as is known")
    if not held.surely_ours:
        return Reverse(left="something by hand is or may be there, which may be the very same: it stays")
    return Reverse((_make(change, "revoke"),))


def take_privilege(change: Change, held: HeldPrivilege) -> Change:
    """Return the revoke of a privilege from the group of a change."""
    return Change(
        phase=Phase.PRIVILEGE_REVOKES, action="revoke", object="privilege", bps_id=change.bps_id,
        target=str(held.privilege), source_key=change.source_key, before=held.privilege.values(),
        reason=say(Cause.UNDONE),
    )  # fmt: skip


def privilege_still_stands(done: Done) -> bool:
    """Return whether a planned change of a privilege meets what it was planned for, by the own record."""
    held = _find_held(done)
    reachable = done.remade if done.record is None else done.record.origin is not None
    ours = held is not None and held.state in OURS
    if done.change.action == "grant":
        return reachable and not (ours and held is not None and held.state != "sent")
    return reachable and held is not None and held.surely_ours


def _find_held(done: Done) -> HeldPrivilege | None:
    token = read_privilege(done.change.after or done.change.before).token
    return next((held for held in done.privileges if held.privilege.token == token), None)


def _make(change: Change, action: str) -> Change:
    values = dict(change.after or change.before)
    grant = action == "grant"
    return Change(
        phase=Phase.PRIVILEGES if grant else Phase.PRIVILEGE_REVOKES,
        action="grant" if grant else "revoke",
        object="privilege",
        bps_id=change.bps_id,
        target=change.target,
        source_key=change.source_key,
        before={} if grant else values,
        after=values if grant else {},
        reason=say(Cause.UNDONE),
    )
