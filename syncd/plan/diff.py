"""Desired against current: which changes make the one into the other. Pure; one record at a time.

===================  =======================  =====================================================================
somebody wants it    the target has it        then
===================  =======================  =====================================================================
yes                  no                       create (not in a run that may only look)
yes                  ours                     update what differs
yes                  ours, for another one    it passes, or nothing (`syncd.plan.handover`)
yes                  not ours                 adopt, or hands off (policy.adopt)
no (a leaver)        ours                     kept · emptied · deleted after the grace, by policy
no                   not ours                 nothing, ever
skipped, protected   any                      nothing
===================  =======================  =====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

from syncd.model.change import Change, ObjectKind, Phase
from syncd.model.reason import NO_REASON, Cause
from syncd.model.target import fold
from syncd.plan.desired import Desired, State
from syncd.plan.rules import PolicyRules
from syncd.plan.words import say, say_leaving

Origin = Literal["created", "adopted"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Current:
    """A record of the target as the inventory has it. ``written`` is what we last wrote; ``origin`` None: not ours."""

    fields: Mapping[str, str | None]
    status: str
    origin: Origin | None = None
    source_key: int | None = None
    written: Mapping[str, str | None] = field(default_factory=dict)
    leaving_at: datetime | None = None
    accepted: Mapping[str, str | None] = field(default_factory=dict)
    """Values put in by hand that a person, or the policy, took as they are."""


class Pair(NamedTuple):
    """One BPS id: who wants it (if anybody), what the target has there, and who its owner is or was."""

    bps_id: str
    desired: Desired | None
    current: Current | None
    leaver_state: State | Literal["renamed", "blocked", "unknown"] = "unknown"
    """Why nobody wants a record of ours: the state of its source object; renamed: that one wants another BPS id;
    blocked: it does, and a stranger has that."""
    manager: str | None = None
    """BPS id of the desired manager, when that account exists in the target or will be created."""
    manager_ready: bool = False
    """The manager's account exists there and is synchronised, so that it can be named at once."""
    taken: bool = False
    """The BPS id belongs to a record of another kind in the target."""
    owned_elsewhere: bool = False
    """The source object that wants it already owns a record under another BPS id (a rename)."""
    handover: Change | None = None
    """The change by which it passes to the source object that wants it, when it is another one's and may pass."""

    @property
    def is_anothers(self) -> bool:
        """Return whether the record is ours on behalf of another source object than the one that wants it."""
        ours = self.current is not None and self.current.origin is not None
        return ours and self.desired is not None and self.current.source_key != self.desired.key  # type: ignore[union-attr]  # it is there


def diff_user(
    pair: Pair, policy: PolicyRules, *, managers: bool, now: datetime, second_pass: bool = False
) -> list[Change]:
    """Return the changes for one account, except its memberships.

    ``second_pass``: the portal takes no manager in a creation.
    """
    if pair.desired is None:
        return _diff_leaver(pair, "user", policy, now)
    if pair.taken:
        return []
    if pair.is_anothers:
        return _hand_over(pair, managers=managers)
    desired = pair.desired
    wanted = dict(desired.fields)
    late: dict[str, str | None] = {}
    if managers:
        at_once = pair.manager_ready if pair.current is not None else not second_pass
        if pair.manager is None or at_once:
            wanted["manager"] = pair.manager
        else:
            late["manager"] = pair.manager
    if pair.current is None:
        return _create(pair, "user", Phase.USERS, wanted, late, policy)
    changes = _diff_record(pair, "user", Phase.USERS, wanted, policy)
    if late and changes_allowed(policy, "update") and (pair.current.origin is not None or changes):
        changes += _update(pair, "user", Phase.MANAGERS, late, policy)
    return changes


def diff_group(pair: Pair, policy: PolicyRules, *, now: datetime) -> list[Change]:
    """Return the changes for one group, except its members."""
    if pair.desired is None:
        return _diff_leaver(pair, "group", policy, now)
    if pair.taken:
        return []
    if pair.is_anothers:
        return _hand_over(pair, managers=False)
    if pair.current is None:
        return _create(pair, "group", Phase.GROUPS, dict(pair.desired.fields), {}, policy)
    return _diff_record(pair, "group", Phase.GROUPS, dict(pair.desired.fields), policy)


def _hand_over(pair: Pair, *, managers: bool) -> list[Change]:
    """Return the handover of a record, when it may pass, and its new owner's manager; otherwise nothing is written."""
    if pair.handover is None:
        return []
    if not managers or pair.manager is None:
        return [pair.handover]
    manager = Change(
        phase=Phase.MANAGERS,
        action="update",
        object="user",
        bps_id=pair.bps_id,
        source_key=pair.handover.source_key,
        before={"manager": None},
        after={"manager": pair.manager},
        reason=say(Cause.AFTER_HANDOVER),
    )
    return [pair.handover, manager]


def changes_allowed(policy: PolicyRules, action: str) -> bool:
    """Return whether the policy mode permits a kind of change; ``plan_only`` plans everything and writes nothing."""
    if policy.mode == "create_only":
        return action in ("create", "link", "grant")
    if policy.mode == "upsert_only":
        return action not in ("delete", "unlink", "revoke", "handover")
    return True


def _create(
    pair: Pair,
    kind: ObjectKind,
    phase: Phase,
    wanted: dict[str, str | None],
    late: Mapping[str, str | None],
    policy: PolicyRules,
) -> list[Change]:
    desired = pair.desired
    if desired is None or not changes_allowed(policy, "create"):
        return []
    wanted["name"] = wanted.get("name") or pair.bps_id
    wanted["email"] = wanted.get("email") or pair.bps_id
    after = {name: value for name, value in wanted.items() if value is not None}
    reason = say(Cause.RENAMED) if pair.owned_elsewhere else NO_REASON
    changes = [
        Change(
            phase=phase,
            action="create",
            object=kind,
            bps_id=pair.bps_id,
            source_key=desired.key,
            after=after,
            reason=reason,
        )
    ]
    if late:
        before: dict[str, str | None] = dict.fromkeys(late)
        changes.append(
            Change(
                phase=Phase.MANAGERS,
                action="update",
                object=kind,
                bps_id=pair.bps_id,
                target="",
                source_key=desired.key,
                before=before,
                after=dict(late),
                reason=say(Cause.COMPLETES_CREATION),
            )
        )
    return changes


def _diff_record(
    pair: Pair, kind: ObjectKind, phase: Phase, wanted: Mapping[str, str | None], policy: PolicyRules
) -> list[Change]:
    desired, current = pair.desired, pair.current
    if desired is None or current is None:
        return []
    if current.origin is None:
        if policy.adopt == "never" or not changes_allowed(policy, "adopt"):
            return []
        after = {
            name: value
            for name, value in wanted.items()
            if value is not None and differs(name, value, current.fields.get(name))
        }
        before = {name: current.fields.get(name) for name in after}
        reason = say(Cause.PORTAL_HAD_IT)
        return [
            Change(
                phase=phase,
                action="adopt",
                object=kind,
                bps_id=pair.bps_id,
                target="",
                source_key=desired.key,
                before=before,
                after=after,
                reason=reason,
            )
        ]
    if not changes_allowed(policy, "update"):
        return []
    return _update(pair, kind, phase, wanted, policy)


def _update(
    pair: Pair, kind: ObjectKind, phase: Phase, wanted: Mapping[str, str | None], policy: PolicyRules
) -> list[Change]:
    desired, current = pair.desired, pair.current
    if desired is None or current is None:
        return []
    after = {
        name: value
        for name, value in wanted.items()
        if differs(name, value, current.fields.get(name)) and _is_ours_to_write(name, value, current, policy)
    }
    if not after:
        return []
    before = {name: current.fields.get(name) for name in after}
    reason = NO_REASON
    if after.keys() == {"manager"} and current.origin == "created" and "manager" not in current.written:
        reason = NO_REASON if before["manager"] else say(Cause.COMPLETES_CREATION)
    return [
        Change(
            phase=phase,
            action="update",
            object=kind,
            bps_id=pair.bps_id,
            target="",
            source_key=desired.key,
            before=before,
            after=after,
            reason=reason,
        )
    ]


def _is_ours_to_write(name: str, value: str | None, current: Current, policy: PolicyRules) -> bool:
    """Return whether a differing field is to be written.

    An adopted record keeps the values that we never set. A field changed by hand since our last write is drift, and
    what was accepted of it stays until the source says something else.
    """
    written = current.written.get(name)
    if value is None and written is None and current.origin == "adopted":
        return False
    known = name in current.written or current.origin == "created"
    by_hand = known and differs(name, current.fields.get(name), written) and not differs(name, value, written)
    return not by_hand or (policy.drift == "revert" and not is_accepted(name, current))


def is_accepted(name: str, current: Current) -> bool:
    """Return whether the value that the target has now was put in by hand and taken as it is."""
    return name in current.accepted and not differs(name, current.accepted[name], current.fields.get(name))


def differs(name: str, one: str | None, other: str | None) -> bool:
    """Return whether two values of a field differ; a manager is named by a BPS id, which has no case."""
    if name == "manager" and one and other:
        return fold(one) != fold(other)
    return one != other


def _diff_leaver(pair: Pair, kind: ObjectKind, policy: PolicyRules, now: datetime) -> list[Change]:
    current = pair.current
    if current is None or current.origin is None or not changes_allowed(policy, "delete"):
        return []
    if choose_leaver_policy(pair.leaver_state, kind, policy) != "delete":
        return []
    if current.leaving_at is None or now - current.leaving_at < policy.grace:
        return []
    phase = Phase.USER_DELETES if kind == "user" else Phase.GROUP_DELETES
    days = (now - current.leaving_at).days
    since = f"{days} day{'s' if days != 1 else ''}" if days else "less than a day"
    reason = say_leaving(pair.leaver_state, grace=since)
    return [
        Change(
            phase=phase,
            action="delete",
            object=kind,
            bps_id=pair.bps_id,
            target="",
            source_key=current.source_key,
            before=dict(current.fields),
            after={},
            reason=reason,
        )
    ]


def choose_leaver_policy(
    state: str, kind: ObjectKind, policy: PolicyRules
) -> Literal["keep", "revoke", "delete", "empty"]:
    """Return what happens to a record of ours that nobody wants any more; in doubt it is kept as it is."""
    if state not in ("disabled", "deleted", "out_of_scope", "renamed"):
        return "keep"
    if kind == "group":
        return "empty" if state == "renamed" else policy.deleted_groups
    if state == "renamed":
        return "delete" if policy.deleted_users == "delete" else "revoke"
    if state == "disabled":
        return policy.disabled_users
    return policy.deleted_users if state == "deleted" else policy.out_of_scope
