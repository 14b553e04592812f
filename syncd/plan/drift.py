"""Drift: what was changed by hand in the target since we last wrote, and how it is set back. Pure.

What stands by hand is left alone when a person accepted it, or when ``policy.drift`` is ``adopt`` or ``report``, until
the source says something else about that very attribute, membership or record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from syncd.model.change import Action, Change, Phase
from syncd.plan.diff import Current, Pair, changes_allowed, differs, is_accepted
from syncd.plan.rules import PolicyRules
from syncd.plan.undo import Reverse

MEMBER = "member"
RECORD = "record"
_BY_HAND = "changed by hand"


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. ``field`` is an attribute, or ``member`` of a group, or ``record`` for one that was removed.

    ``ours`` is what we last wrote and ``theirs`` what the portal has; of a membership both are the member's BPS id, and
    the side that lacks it is None. ``wanted``: the source still wants what we wrote. ``fields``: the removed record.
    """

    object: Literal["user", "group", "membership"]
    bps_id: str
    field: str
    ours: str | None
    theirs: str | None
    source_key: int | None = None
    source_id: str | None = None
    wanted: bool = True
    fields: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    def describe(self) -> Change:
        """Return what was done by hand as a change, for the record of what a plan leaves alone."""
        if self.object == "membership":
            member = self.ours or self.theirs or ""
            action: Action = "unlink" if self.theirs is None else "link"
            phase = Phase.UNLINKS if self.theirs is None else Phase.LINKS
            return Change(phase, action, "membership", self.bps_id, member, self.source_key, reason=_BY_HAND)
        phase = Phase.USERS if self.object == "user" else Phase.GROUPS
        if self.field == RECORD:
            return Change(
                phase, "delete", self.object, self.bps_id, "", self.source_key, dict(self.fields), {}, _BY_HAND
            )
        before, after = {self.field: self.ours}, {self.field: self.theirs}
        return Change(phase, "update", self.object, self.bps_id, "", self.source_key, before, after, _BY_HAND)


@dataclass(frozen=True, slots=True)
class Vanished:
    """A record of ours that was removed by hand: as we last wrote it, and what is desired now (None: nothing)."""

    key: int
    bps_id: str
    fields: Mapping[str, str | None]
    accepted: bool
    desired: Mapping[str, str | None] | None


def find_drift(names: Collection[str], current: Current) -> Iterator[tuple[str, str | None, str | None]]:
    """Yield (field, ours, theirs) of what differs from what we last wrote and was not accepted."""
    for name in sorted(names):
        ours, theirs = current.written.get(name), current.fields.get(name)
        known = name in current.written or current.origin == "created"
        if known and differs(name, ours, theirs) and not is_accepted(name, current):
            yield name, ours, theirs


def find_settled(pair: Pair, *, managers: bool) -> dict[str, str | None]:
    """Return fields in which source and target agree although we wrote something else: that is no drift any more."""
    current, desired = pair.current, pair.desired
    if current is None or current.origin is None or desired is None:
        return {}
    wanted = {**desired.fields, **({"manager": pair.manager} if managers else {})}
    return {
        name: value
        for name, value in wanted.items()
        if not differs(name, value, current.fields.get(name))
        and (name in current.accepted or (name in current.written and differs(name, value, current.written[name])))
    }


def stays_away(vanished: Vanished, policy: PolicyRules) -> bool:
    """Return whether a record that was removed by hand is not made again: until the source wants it otherwise."""
    if policy.drift == "revert" and not vanished.accepted:
        return False
    if vanished.desired is None:
        return True
    return not any(
        differs(name, value if value is not None else _stand_in(name, vanished), vanished.fields.get(name))
        for name, value in vanished.desired.items()
    )


def _stand_in(name: str, vanished: Vanished) -> str | None:
    """Return what a creation writes for a field without a value: the portal wants a name and an address."""
    return vanished.bps_id if name in ("name", "email") else None


def revert(drift: Drift, policy: PolicyRules, *, protect: frozenset[str]) -> Reverse:
    """Return what sets one difference back, as the rules permit it."""
    member = drift.ours or drift.theirs or ""
    if drift.bps_id.casefold() in protect or (drift.field == MEMBER and member.casefold() in protect):
        return Reverse(left="scope.protect names it: hands off")
    if not drift.wanted:
        return Reverse(left="the tenant or the rules do not want it any more: the next full run decides")
    changes = _revert(drift, member)
    forbidden = {change.action for change in changes if not changes_allowed(policy, change.action)}
    if forbidden:
        return Reverse(left=f'policy.mode = "{policy.mode}" forbids to {" and ".join(sorted(forbidden))}')
    return Reverse(changes)


def _revert(drift: Drift, member: str) -> tuple[Change, ...]:
    key, bps_id = drift.source_key, drift.bps_id
    if drift.object == "membership":
        if drift.theirs is None:
            return (Change(Phase.LINKS, "link", "membership", bps_id, member, key, reason="removed by hand"),)
        return (Change(Phase.UNLINKS, "unlink", "membership", bps_id, member, key, reason="put in by hand"),)
    kind, phase = drift.object, Phase.USERS if drift.object == "user" else Phase.GROUPS
    if drift.field == RECORD:
        sent = {name: value for name, value in drift.fields.items() if value is not None}
        manager = sent.pop("manager", None)
        made = [Change(phase, "create", kind, bps_id, "", key, {}, sent, "removed by hand")]
        if manager:
            late = {"manager": manager}
            made.append(Change(Phase.MANAGERS, "update", kind, bps_id, "", key, {"manager": None}, late, _BY_HAND))
        return tuple(made)
    phase = Phase.MANAGERS if drift.field == "manager" else phase
    before, after = {drift.field: drift.theirs}, {drift.field: drift.ours}
    return (Change(phase, "update", kind, bps_id, "", key, before, after, _BY_HAND),)
