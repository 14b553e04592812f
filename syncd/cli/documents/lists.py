"""The documents that are lists, and those of few keys."""

from __future__ import annotations

from typing import Annotated, Literal, TypedDict

from msgspec import Meta

from syncd.cli.documents.shared import Allowance, BpsId, Count, Licence, ReasonedChange, Time, WithheldChange
from syncd.model.kinds import RecordKind
from syncd.plan.report.due import What
from syncd.plan.report.orphans import OrphanClass
from syncd.plan.report.privileges import LineState
from syncd.plan.report.status import ObjectStatus


class Record(TypedDict):
    """Where one person or group of the tenant stands."""

    source_id: Annotated[str | None, Meta(description="Null for a record that nobody in the tenant has.")]
    name: str | None
    bps_id: str | None
    state: ObjectStatus
    reason: str | None
    last_synced_at: Time | None


class HeldEntry(WithheldChange):
    """A change that waits for approval: `reason` is the limit, `why` the reason of the change itself."""

    why: str | None
    since: Time | None


class Held(TypedDict):
    """What one run withheld."""

    run: int
    reason: str
    since: Time | None
    expires_at: Time | None
    allowances: list[Allowance]
    changes: list[HeldEntry]
    follows: Annotated[
        list[ReasonedChange], Meta(description="What the run after an adoption would remove; no part of it.")
    ]


class Gain(TypedDict):
    """Who would get a licence; `waits`: no seat would be left."""

    bps_id: BpsId
    rule: int | None
    waits: bool


class Loss(TypedDict):
    """Who would lose one."""

    bps_id: BpsId
    reason: str


class RuleCover(TypedDict):
    """Whom a rule would cover; `rule` is its place in the file."""

    rule: int
    group: str
    covers: Count
    gives: Count


class AsIf(TypedDict):
    """What would be under other rules."""

    by_rule: Count
    waiting: Count
    gains: list[Gain]
    losses: list[Loss]
    rules: list[RuleCover]


class LicenceAsIf(Licence):
    """One type of licence, as it is and as it would be."""

    as_if: AsIf


class Check(TypedDict):
    """One thing that was tried."""

    check: str
    status: Literal["ok", "warning", "failed", "unknown"]
    detail: str
    remedy: str | None


Orphan = TypedDict(
    "Orphan",
    {
        "object": RecordKind,
        "bps_id": BpsId,
        "name": str | None,
        "class": OrphanClass,
        "would_match": str | None,
        "last_seen_at": Time | None,
    },
)
Orphan.__doc__ = "A record of the portal that the tenant does not know."


class Date(TypedDict):
    """Something that happens on a day that is known."""

    at: Time
    what: What
    bps_id: str | None
    detail: str


class Difference(TypedDict):
    """What was changed by hand: of a membership both sides are the person, and the one that lacks it is null."""

    object: Literal["user", "group", "membership", "ownership", "licence", "privilege"]
    bps_id: BpsId
    field: str
    ours: str | None
    theirs: str | None
    source_id: str | None
    owner: str | None
    left: Annotated[
        str | None,
        Meta(description="Why `--revert` leaves it as it is, a reason as a person reads it; null: it does not."),
    ]


class Privilege(TypedDict):
    """What a rule gives a group at a place; `rule` is null for what no rule gives."""

    rule: int | None
    group: str | None
    bps_id: str | None
    place: str
    level: str | None
    company: str | None
    state: LineState
    detail: str


class Trigger(TypedDict):
    """A run that was asked for."""

    request: int
    kind: Literal["full", "delta"]


Migration = TypedDict("Migration", {"from": str | None, "to": str})
Migration.__doc__ = "The revisions before and after; null: the store was empty."


class Backup(TypedDict):
    """The copy of the store that was made."""

    file: str
    bytes: Count
    revision: str


class Paused(TypedDict):
    """Who is paused, until when, and why."""

    who: list[str]
    until: Time
    reason: str


class Resumed(TypedDict):
    """Who goes on; `was_paused` is false where there was no pause to end."""

    who: str
    was_paused: bool


class Linked(TypedDict):
    """Whose record it is from now on; `was_linked`: it was so before."""

    bps_id: BpsId
    who: str
    was_linked: bool


class Released(TypedDict):
    """The records that are nobody's of ours any more."""

    bps_ids: list[BpsId]


class Rejected(TypedDict):
    """How many changes of a run were rejected, or, where it was `withdrawn`, are planned again."""

    run: int
    changes: Count
    withdrawn: bool


class Sandbox(TypedDict):
    """Where the imitations answer, the console of the configuration, and where that lies."""

    login: str
    graph: str
    portal: str
    control: str
    console: str
    config: str
