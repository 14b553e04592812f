"""Drift: what was changed by hand in the target since we last wrote, and how it is set back. Pure.

What stands by hand is left alone when a person accepted it, or when ``policy.drift`` is ``adopt`` or ``report``, until
the source says something else about that very attribute, membership or record.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from syncd.model.change import Action, Change, LinkKind, Phase
from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause, Reason
from syncd.plan.diff import Current, Pair, changes_allowed, differs, is_accepted
from syncd.plan.rules import PolicyRules
from syncd.plan.undo.values import Reverse
from syncd.plan.words import say

LINK_FIELDS: Mapping[LinkKind, str] = {"membership": "member", "ownership": "owner"}
RECORD = "record"
_GIVEN: Mapping[str, tuple[Phase, Phase]] = {
    "licence": (Phase.GRANTS, Phase.REVOKES),
    "privilege": (Phase.PRIVILEGES, Phase.PRIVILEGE_REVOKES),
}
"""What is granted and revoked, with the phases of both."""
_UNWANTED = "the tenant or the rules do not want it any more: it stays, and is told, until --adopt takes it as it is"


@dataclass(frozen=True, slots=True)
class Ours:
    """What is ours to write, as the rules have it: the fields of accounts and groups, and which links of groups."""

    fields: Mapping[RecordKind, Collection[str]]
    links: tuple[LinkKind, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One difference. ``field`` is an attribute, ``member`` or ``owner`` of a group, the type of a licence or the
    privilege that was taken, or ``record`` for one that was removed.

    ``ours`` is what we last wrote and ``theirs`` what the portal has; of a membership or ownership both are the BPS id
    of the person, and the side that lacks it is None. ``wanted``: the source still wants what we wrote. ``fields``: the
    removed record, the settings of the licence, or the privilege.
    """

    object: Literal["user", "group", "membership", "ownership", "licence", "privilege"]
    bps_id: str
    field: str
    ours: str | None
    theirs: str | None
    source_key: int | None = None
    source_id: str | None = None
    wanted: bool = True
    fields: Mapping[str, str | None] = dataclasses.field(default_factory=dict)

    @property
    def member(self) -> str:
        """Return the BPS id of the member or owner; empty for what is neither."""
        return (self.ours or self.theirs or "") if self.object in ("membership", "ownership") else ""

    def describe(self) -> Change:
        """Return what was done by hand as a change, for the record of what a plan leaves alone."""
        if self.object in ("membership", "ownership"):
            action: Action = "unlink" if self.theirs is None else "link"
            return _make_link(self, action, reason=say(Cause.CHANGED_BY_HAND))
        if self.object in _GIVEN:
            return Change(
                phase=_GIVEN[self.object][1], action="revoke", object=self.object, bps_id=self.bps_id,
                target=self.field, source_key=self.source_key, before=dict(self.fields),
                reason=say(Cause.CHANGED_BY_HAND),
            )  # fmt: skip
        phase = Phase.USERS if self.object == "user" else Phase.GROUPS
        if self.field == RECORD:
            return Change(
                phase=phase,
                action="delete",
                object=self.object,
                bps_id=self.bps_id,
                target="",
                source_key=self.source_key,
                before=dict(self.fields),
                after={},
                reason=say(Cause.CHANGED_BY_HAND),
            )
        before, after = {self.field: self.ours}, {self.field: self.theirs}
        return Change(
            phase=phase,
            action="update",
            object=self.object,
            bps_id=self.bps_id,
            target="",
            source_key=self.source_key,
            before=before,
            after=after,
            reason=say(Cause.CHANGED_BY_HAND),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
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
    if drift.bps_id.casefold() in protect or drift.member.casefold() in protect:
        return Reverse(left="scope.protect names it: hands off")
    if not drift.wanted:
        return Reverse(left=_UNWANTED)
    changes = _revert(drift)
    forbidden = {change.action for change in changes if not changes_allowed(policy, change.action)}
    if forbidden:
        return Reverse(left=f'policy.mode = "{policy.mode}" forbids to {" and ".join(sorted(forbidden))}')
    return Reverse(changes)


def _revert(drift: Drift) -> tuple[Change, ...]:
    key, bps_id = drift.source_key, drift.bps_id
    if drift.object in ("membership", "ownership"):
        action: Action = "link" if drift.theirs is None else "unlink"
        reason = say(Cause.REMOVED_BY_HAND if drift.theirs is None else Cause.PUT_IN_BY_HAND)
        return (_make_link(drift, action, reason=reason),)
    if drift.object in _GIVEN:
        return (
            Change(
                phase=_GIVEN[drift.object][0], action="grant", object=drift.object, bps_id=bps_id, target=drift.field,
                source_key=key, after=dict(drift.fields), reason=say(Cause.TAKEN_BY_HAND)
            ),
        )  # fmt: skip
    kind, phase = drift.object, Phase.USERS if drift.object == "user" else Phase.GROUPS
    if drift.field == RECORD:
        sent = {name: value for name, value in drift.fields.items() if value is not None}
        manager = sent.pop("manager", None)
        made = [
            Change(
                phase=phase,
                action="create",
                object=kind,
                bps_id=bps_id,
                target="",
                source_key=key,
                before={},
                after=sent,
                reason=say(Cause.REMOVED_BY_HAND),
            )
        ]
        if manager:
            late = {"manager": manager}
            made.append(
                Change(
                    phase=Phase.MANAGERS,
                    action="update",
                    object=kind,
                    bps_id=bps_id,
                    target="",
                    source_key=key,
                    before={"manager": None},
                    after=late,
                    reason=say(Cause.CHANGED_BY_HAND),
                )
            )
        return tuple(made)
    phase = Phase.MANAGERS if drift.field == "manager" else phase
    before, after = {drift.field: drift.theirs}, {drift.field: drift.ours}
    return (
        Change(
            phase=phase,
            action="update",
            object=kind,
            bps_id=bps_id,
            target="",
            source_key=key,
            before=before,
            after=after,
            reason=say(Cause.CHANGED_BY_HAND),
        ),
    )


def _make_link(drift: Drift, action: Action, *, reason: Reason) -> Change:
    """Return the change of a membership or an ownership."""
    phases = (Phase.OWNERS, Phase.DISOWNS) if drift.object == "ownership" else (Phase.LINKS, Phase.UNLINKS)
    return Change(
        phase=phases[0 if action == "link" else 1],
        action=action,
        object="ownership" if drift.object == "ownership" else "membership",
        bps_id=drift.bps_id,
        target=drift.member,
        source_key=drift.source_key,
        reason=reason,
    )
