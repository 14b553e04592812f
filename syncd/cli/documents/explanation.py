"""The document of ``syncd explain``."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from syncd.cli.documents.shared import BpsId, Card, Count, Impact, SourceId, Time
from syncd.model.change import Action, ObjectKind, OutcomeStatus
from syncd.model.kinds import RecordKind
from syncd.plan.report.privileges import LineState
from syncd.plan.report.status import ObjectStatus


class GroupAround(TypedDict):
    """A group that the object lies in, and through which."""

    id: SourceId
    name: str | None
    through: str | None
    path: list[str]


class Owned(TypedDict):
    """A group that a person owns, or a person who owns the group."""

    id: SourceId
    name: str | None
    state: str


class GroupInside(TypedDict):
    """A group that lies directly in this one."""

    id: SourceId
    name: str | None


class Contained(TypedDict):
    """What is directly in a group."""

    users: Count
    groups: list[GroupInside]


class Source(TypedDict):
    """The object of the tenant; owners are null while the tenant is not asked for them."""

    id: SourceId
    kind: RecordKind
    state: str
    removed_at: Time | None
    attributes: dict[str, Any]
    groups: list[GroupAround]
    manager: NotRequired[str | None]
    owns: NotRequired[list[Owned] | None]
    owners: NotRequired[list[Owned] | None]
    contains: NotRequired[Contained]


class Standing(TypedDict):
    """Where a record of the object stands."""

    bps_id: str | None
    state: ObjectStatus
    reason: str | None
    last_synced_at: Time | None


class Verdict(TypedDict):
    """What one rule says, and through which nested groups it reaches the object."""

    rule: str
    value: str
    says: Literal["in", "out", "no say", "fails"]
    detail: str | None
    path: list[str]


class Scope(TypedDict):
    """The decision, and what each rule says."""

    state: str
    reason: str
    rules: list[Verdict]


class Mapped(TypedDict):
    """The rule of a field, and its value; of a manager also why there is none, or what it waits for."""

    rule: str
    value: str | None
    reason: NotRequired[str | None]


class ByHand(TypedDict):
    """What somebody changed by hand, and whether that was taken as it is."""

    field: str
    ours: str | None
    theirs: str | None
    accepted: bool


class StandIn(TypedDict):
    """To whom the tasks of the account go."""

    substitute: BpsId
    until: Time | None


class PortalRecord(TypedDict):
    """A record of the portal; an account has groups, a group has members."""

    bps_id: BpsId
    ownership: str
    status: str
    fields: dict[str, str | None]
    written: dict[str, str | None]
    by_hand: list[ByHand]
    leaving_since: Time | None
    substitution: StandIn | None
    last_synced_at: Time | None
    groups: NotRequired[list[BpsId]]
    owns: NotRequired[list[BpsId]]
    members: NotRequired[list[BpsId]]
    owners: NotRequired[list[BpsId]]


class Target(PortalRecord):
    """The record, and the others that the object has."""

    other_records: list[PortalRecord]


class LicenceHeld(TypedDict):
    """A licence that the person has."""

    type: str
    granted: Literal["by a rule", "by hand"]
    settings: dict[str, Any]


class Licences(TypedDict):
    """What the rules give and why, and what the person has."""

    wanted: str | None
    reason: str
    held: list[LicenceHeld]


class PrivilegeHeld(TypedDict):
    """What rules gave a group that the object is, or is in."""

    group: BpsId
    privilege: str
    state: LineState
    detail: str


class Use(TypedDict):
    """A rule that reaches people through this group. ``detail``: what it waits for, null for nothing."""

    rule: str
    group: str
    licence: str | None
    path: list[str]
    detail: str | None


class Namesake(TypedDict):
    """A rule that names a group like this one, and means another."""

    rule: str
    group: str
    means: SourceId


class Outcome(TypedDict):
    """A change that was tried."""

    run: int
    action: Action
    object: ObjectKind
    bps_id: BpsId
    target: str | None
    outcome: OutcomeStatus
    reason: str | None
    before: dict[str, str | None]
    after: dict[str, str | None]
    error: str | None
    at: Time | None


class Pending(Outcome):
    """A change that is open."""

    next_attempt_at: Time | None
    impact: NotRequired[Impact]


class Rejected(TypedDict):
    """What a person rejected."""

    run: int
    action: Action
    object: ObjectKind
    bps_id: BpsId
    target: str
    after: dict[str, str | None]


class Step(TypedDict):
    """What happens by itself, and what a person can do."""

    happens: str
    do: str | None


class Explanation(TypedDict):
    """Everything about one person or group; `source` is null for a record that nobody in the tenant has."""

    source: Source | None
    standing: list[Standing]
    scope: Scope
    mapping: dict[str, Mapped]
    target: Target | None
    licences: Licences | None
    privileges: list[PrivilegeHeld]
    used_by: list[Use]
    namesake_of: list[Namesake]
    handover: Annotated[Card | None, Meta(description="The open handover of, or to, this object.")]
    pending: list[Pending]
    rejected: list[Rejected]
    outcomes: list[Outcome]
    next: list[Step]
    names: Annotated[dict[str, str], Meta(description="Names of the portal's groups that are mentioned, by BPS id.")]
