"""What should be in the target: one decision per source object, made from the object and the rules alone."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from datetime import datetime
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from syncd.model.kinds import RecordKind
from syncd.model.reason import NO_REASON, Cause, Reason
from syncd.model.source import KIND
from syncd.model.target import fold
from syncd.plan.cel.expressions import Expression, ExpressionFailed
from syncd.plan.mapping import Making, make_text
from syncd.plan.rules import FieldRule, Rules
from syncd.plan.words import say

State = Literal["wanted", "collision", "skipped", "protected", "disabled", "deleted", "out_of_scope"]
"""wanted: belongs into the target · collision: would, but another has the same BPS id · skipped: cannot be written, and
what is there stays as it is · protected: on the protect list · disabled, deleted, out_of_scope: a leaver, if it ever
was in the target."""

LEAVER_STATES: frozenset[State] = frozenset({"disabled", "deleted", "out_of_scope"})
FROZEN_STATES: frozenset[str] = frozenset({"skipped", "collision", "blocked", "frozen"})
"""Of a record of ours whose owner is still there and cannot be written: it stays as it is, and what the tenant takes
away is taken. blocked: the BPS id that its owner wants is a stranger's · frozen: how a skipped group is called whose
members are known."""

AGENT = "agentUser"
_FORBIDDEN = frozenset('\\%&*+/=?{}|<>();:,[]"#')
"""Characters that WEBCON refuses in a BPS id (its user documentation of the users and groups list)."""
_USABLE = re.compile(r"(?![0-9a-fA-F]{32}.)[\w.'\-]+@[\w.\-]+", re.ASCII)
"""Nearly all are of this form, to which nothing of what follows applies."""
_UPN = re.compile(r"[^@\s]+@[^@\s]+\.?[^@\s]*")
_TOMBSTONE = re.compile(r"[0-9a-fA-F]{32}.")


class SourceUser(NamedTuple):
    """A stored source user as the rules see it."""

    key: int
    state: str
    attributes: Mapping[str, Any]
    manager_key: int | None = None
    in_groups: bool = True
    """Whether the include and exclude groups of the scope let it in."""
    made_of: int | None = None
    """A digest of all this and of the rules; None: it is not known whether it is decided by that alone."""


@dataclass(frozen=True, slots=True)
class SourceGroup:
    """A stored source group as the rules see it."""

    key: int
    state: str
    attributes: Mapping[str, Any]
    _: KW_ONLY
    bound: str | None = None
    """The BPS id that it keeps, whatever its mapping gives."""
    made_of: int | None = None


class Desired(NamedTuple):
    """The decision about one user or group. ``fields`` are the mapped values; ``bps_id`` may be empty."""

    key: int
    state: State
    reason: Reason = NO_REASON
    bps_id: str = ""
    fields: Mapping[str, str | None] = MappingProxyType({})
    manager_key: int | None = None
    made_of: int | None = None
    """The digest of what it was decided by."""


def decide_user(user: SourceUser, rules: Rules, *, now: datetime | None = None, bound: str = "") -> Desired:
    """Decide about one user. Whatever cannot be evaluated is skipped with the reason, never judged a leaver.

    ``now`` is the time of the run, which rules that look at ``now`` need. ``bound``: the BPS id of a record that
    somebody bound to this user by hand, which counts instead of the mapped one, whatever its form.
    """
    if user.state == "unreadable":
        return Desired(key=user.key, state="skipped", reason=say(Cause.UNREADABLE, what="user"))
    attributes = user.attributes if "id" in user.attributes else {**user.attributes, "id": None}
    mapping = rules.mapping
    external = _is_external(attributes)
    guest = is_guest(attributes, external=external)
    by_mail = rules.scope.guests == "mail" if guest else external
    mapped, fields, failed = _map_fields(
        None if by_mail else mapping.user_bps_id, mapping.user_makings, "user", attributes, now=now
    )
    bps_id = bound or mapped
    state, reason = _judge_user(user, attributes, guest=guest, rules=rules, now=now)
    if state == "wanted" and failed:
        state, reason = "skipped", say(Cause.RULE_FAILED, problem=failed)
    elif state == "wanted":
        problem = None if bound else find_bps_id_problem(bps_id)
        if problem:
            what = "mail address (guest)" if guest or external else mapping.user_bps_id.text
            state, reason = "skipped", say(Cause.NO_BPS_ID, rule=what, problem=problem)
        elif not fields.get("name", bps_id) or not fields.get("email", bps_id):
            missing = "name" if not fields.get("name", bps_id) else "email"
            state, reason = "skipped", say(Cause.NO_VALUE, field=missing, rule=mapping.user_fields[missing].text)
    if bps_id and rules.scope.protect and fold(bps_id) in rules.scope.protect:
        state, reason = "protected", say(Cause.PROTECTED)
    return Desired(user.key, state, reason, bps_id or "", fields, user.manager_key, user.made_of)


def _judge_user(
    user: SourceUser, attributes: Mapping[str, Any], *, guest: bool, rules: Rules, now: datetime | None
) -> tuple[State, Reason]:
    """Tell whether somebody is meant for the target; what the tenant states needs no mapping that succeeds."""
    if user.state in ("soft_deleted", "deleted"):
        return "deleted", say(Cause.DELETED)
    if user.state == "parked":
        return "skipped", say(Cause.PARTLY_KNOWN, what="user")
    if attributes.get("accountEnabled") is False:
        return "disabled", say(Cause.DISABLED)
    if rules.scope.agents == "skip" and (kind := find_subtype(attributes)):
        # Of a type that was unknown until today nobody can tell whether it was meant to be left out: it may be the
        # tenant's new name for somebody who works here. So nothing is taken away for that.
        return ("out_of_scope", say(Cause.AGENT)) if kind == AGENT else ("skipped", say(Cause.SUBTYPE, kind=kind))
    if guest and rules.scope.guests == "skip":
        return "out_of_scope", say(Cause.GUEST)
    if not user.in_groups:
        return "out_of_scope", say(Cause.NOT_IN_GROUPS)
    return _judge_scope(rules.scope.users, "user", attributes, now=now)


def _judge_scope(
    rule: Expression | None, kind: RecordKind, attributes: Mapping[str, Any], *, now: datetime | None
) -> tuple[State, Reason]:
    try:
        if rule is None or rule.test(kind, attributes, now=now):
            return "wanted", NO_REASON
    except ExpressionFailed as error:
        return "skipped", say(Cause.RULE_FAILED, problem=error)
    return "out_of_scope", say(Cause.OUT_OF_SCOPE, rule=f"scope.{kind}s: {rule.text}")


def decide_group(group: SourceGroup, rules: Rules, *, now: datetime | None = None, bound: str = "") -> Desired:
    """Decide about one group, in the same manner."""
    if group.state in ("soft_deleted", "deleted"):
        return Desired(key=group.key, state="deleted", reason=say(Cause.DELETED))
    if group.state == "unreadable":
        return Desired(key=group.key, state="skipped", reason=say(Cause.UNREADABLE, what="group"))
    if group.state == "parked":
        return Desired(key=group.key, state="skipped", reason=say(Cause.PARTLY_KNOWN, what="group"))
    mapping = rules.mapping
    mapped, fields, failed = _map_fields(
        mapping.group_bps_id, mapping.group_makings, "group", group.attributes, now=now
    )
    bps_id = bound or group.bound or mapped
    state, reason = _judge_scope(rules.scope.groups, "group", group.attributes, now=now)
    if state == "wanted" and failed:
        state, reason = "skipped", say(Cause.RULE_FAILED, problem=failed)
    if state != "wanted":
        return Desired(
            key=group.key, state=state, reason=reason, bps_id=bps_id or "", fields=fields, made_of=group.made_of
        )
    problem = None if bound else find_bps_id_problem(bps_id)
    if problem or bps_id is None:
        reason = say(Cause.NO_BPS_ID, rule=rules.mapping.group_bps_id.text, problem=problem)
        return Desired(key=group.key, state="skipped", reason=reason)
    if not fields.get("name", bps_id):
        return Desired(
            key=group.key,
            state="skipped",
            reason=say(Cause.NO_VALUE, field="name", rule=rules.mapping.group_fields["name"].text),
            bps_id=bps_id,
        )
    if "email" in fields and not fields["email"]:
        fields["email"] = bps_id  # the portal wants an address; both known clients send the id when there is none
    if fold(bps_id) in rules.scope.protect:
        return Desired(
            key=group.key,
            state="protected",
            reason=say(Cause.PROTECTED),
            bps_id=bps_id,
            fields=fields,
            made_of=group.made_of,
        )
    return Desired(key=group.key, state="wanted", bps_id=bps_id, fields=fields, made_of=group.made_of)


def is_mapped_by_mail(attributes: Mapping[str, Any], rules: Rules) -> bool:
    """Return whether the BPS id is the mail address: of guests where the scope says so, of external members always."""
    return rules.scope.guests == "mail" if is_guest(attributes) else _is_external(attributes)


def find_subtype(attributes: Mapping[str, Any]) -> str:
    """Return which subtype of user somebody is, empty for a plain user.

    An agent's account (resource type agentUser) is known by its type, or by the identity that it is the account of.
    """
    kind = attributes.get(KIND)
    if kind == AGENT or attributes.get("identityParentId"):
        return AGENT
    return kind if isinstance(kind, str) else ""


def is_guest(attributes: Mapping[str, Any], *, external: bool | None = None) -> bool:
    """Return whether a user is a guest: by userType, or by the mark in the UPN where the type is missing.

    ``external``: whether the mark is there; None: not looked up yet.
    """
    kind = attributes.get("userType")
    if isinstance(kind, str) and kind:
        return kind.casefold() == "guest"
    return _is_external(attributes) if external is None else external


def _is_external(attributes: Mapping[str, Any]) -> bool:
    upn = str(attributes.get("userPrincipalName") or "")
    return "#" in upn and "#ext#" in upn.casefold()


def find_bps_id_problem(bps_id: str | None) -> str | None:
    """Return why a text cannot be a BPS id, None when it can: UPN form, no forbidden character, no tombstone name."""
    if not bps_id:
        return "it has no value"
    if _USABLE.fullmatch(bps_id):
        return None
    if not _FORBIDDEN.isdisjoint(bps_id):
        wrong = sorted(set(bps_id) & _FORBIDDEN)
        return f"'{bps_id}' contains {' '.join(wrong)}, which WEBCON refuses"
    if not _UPN.fullmatch(bps_id):
        return f"'{bps_id}' has no UPN form (name@domain)"
    if _TOMBSTONE.match(bps_id):
        return f"'{bps_id}' is the name of a deleted account (32 hex digits in front)"
    return None


def resolve_collision(claimants: Sequence[tuple[int, bool]]) -> int | None:
    """Return which of several claimants of one BPS id gets it: the one that has the record already, otherwise nobody.

    Each claimant is (source key, whether the record is already its own).
    """
    holders = [key for key, holds in claimants if holds]
    return holders[0] if len(holders) == 1 else None


def _map_fields(
    bps_id: FieldRule | None,
    fields: Sequence[tuple[str, Making]],
    kind: RecordKind,
    attributes: Mapping[str, Any],
    *,
    now: datetime | None,
) -> tuple[str | None, dict[str, str | None], str]:
    """Return the BPS id, the fields, and why there are none. ``bps_id`` None: the mail address is taken."""
    found = None
    try:
        found = make_text(attributes.get("mail"), "mail") if bps_id is None else bps_id.make(attributes, kind, now)
        return found, {name: make(attributes, kind, now) for name, make in fields}, ""
    except ExpressionFailed as error:
        return found, {}, str(error)
