"""What several documents have in them: instants, changes, what hangs on a record, and runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal, NotRequired, TypedDict

from msgspec import Meta

from syncd.model.change import Action, ObjectKind, OutcomeStatus
from syncd.model.kinds import RecordKind
from syncd.model.run import RunKind, RunStatus, Trigger

Time = Annotated[
    str,
    Meta(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$", description="An instant in UTC."),
]
Count = Annotated[int, Meta(ge=0)]
BpsId = Annotated[str, Meta(description="The id of a record of the portal.")]
SourceId = Annotated[str, Meta(description="The id of an object of the tenant.")]


class Run(TypedDict):
    """One run of the history."""

    id: int
    kind: RunKind
    trigger: Trigger
    status: RunStatus
    started_at: Time
    finished_at: Time | None
    counts: Annotated[dict[str, int], Meta(description="The counts of the line `run.finished`.")]
    phases: Annotated[dict[str, float], Meta(description="Seconds by phase.")]
    error: str | None
    proof: Annotated[
        dict[str, dict[str, Any]] | None,
        Meta(description="By stream that was read as a whole: what its completeness rests on."),
    ]


class Change(TypedDict):
    """One intended write."""

    action: Action
    object: ObjectKind
    bps_id: Annotated[str, Meta(description="The record that is written to.")]
    target: Annotated[
        str | None,
        Meta(description="The member, the type of a licence, the substitute, or what a privilege allows where."),
    ]


class ReasonedChange(Change):
    """A change with the reason why it is not done now, or what it follows from."""

    reason: str


class TriedChange(Change):
    """A change with what became of it."""

    outcome: OutcomeStatus
    before: dict[str, str | None]
    after: dict[str, str | None]
    cause: Annotated[str | None, Meta(description="A stable word for the reason.")]
    reason: str | None
    error: str | None


class HeldLicence(TypedDict):
    """A licence that hangs on an account, and whose doing it is."""

    type: str
    by: Literal["rule", "hand"]


class Substitution(TypedDict):
    """Whose tasks go to whom, until when."""

    of: BpsId
    to: BpsId
    until: Time | None


class Allowed(TypedDict):
    """What may be done in the portal; `group` is null for what a person has directly."""

    group: str | None
    place: str
    level: str | None
    company: str | None
    state: Literal["given", "beside", "unknown", "by_hand"]


class Impact(TypedDict):
    """What hangs on what is to be removed; of a membership only what the group may do."""

    memberships: NotRequired[list[BpsId]]
    ownerships: NotRequired[list[BpsId]]
    licences: NotRequired[list[HeldLicence]]
    substitutions: NotRequired[list[Substitution]]
    reports: NotRequired[Annotated[list[BpsId], Meta(description="The accounts that name it as their manager.")]]
    privileges: Annotated[list[Allowed] | None, Meta(description="Null while nothing is known.")]
    unknown: Annotated[str, Meta(description="What is not known, in words.")]


class Party(TypedDict):
    """An object of the tenant that has, or wants, a record."""

    id: SourceId
    name: str | None
    login: str | None
    state: str


class Former(Party):
    """Who had the record."""

    became: str
    gone_since: Time | None


class GrantedLicence(TypedDict):
    """A licence of an account."""

    type: str
    granted: Literal["by a rule", "by hand"]


class Tasks(TypedDict):
    """Whose tasks go to whom, until when."""

    tasks_of: BpsId
    go_to: BpsId
    until: Time | None


class Hanging(TypedDict, total=False):
    """What passes with a record, or is taken away: of an account the last five, of a group the first two."""

    members: list[BpsId]
    owners: list[BpsId]
    groups: list[BpsId]
    owns: list[BpsId]
    licences: list[GrantedLicence]
    substitutions: list[Tasks]
    reports: list[BpsId]


Evidence = TypedDict("Evidence", {"for": list[str], "against": list[str]})
Evidence.__doc__ = "What says that both are the same, and what says that they are not."


class Card(TypedDict):
    """What a person should know who decides about a handover."""

    object: RecordKind
    bps_id: BpsId
    former: Former | None
    newcomer: Party
    hangs_on_it: Hanging
    evidence: Evidence


class PlannedChange(Change):
    """A change of a plan; a removal may have an impact, a handover has a card."""

    impact: NotRequired[Impact]
    card: NotRequired[Card]


class WithheldChange(PlannedChange):
    """The same with the limit that withholds it."""

    reason: str


class Allowance(TypedDict):
    """What went unasked in the last 24 hours, and how much may; null: there is no limit."""

    action: Action
    object: ObjectKind
    used: Count
    allowed: int | None


class Licence(TypedDict):
    """One type of licence; seats are null where the portal does not tell."""

    type: str
    seats: int | None
    by_rule: Count
    by_hand: Count
    waiting: Count
