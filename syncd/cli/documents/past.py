"""The documents about the past, and about faults that were played."""

from __future__ import annotations

from typing import Annotated, Any, Literal, TypedDict

from msgspec import Meta

from syncd.cli.documents.runs import Undo
from syncd.cli.documents.shared import BpsId, Count, Time

_Started = Annotated[str | None, Meta(description="An instant in UTC; null for a moment, which has no beginning.")]


class End(TypedDict):
    """How a time began or ended."""

    at: Annotated[Time | None, Meta(description="Null: before the history began.")]
    run: int | None
    cause: Annotated[str | None, Meta(description="A stable word.")]
    approved: bool
    says: str | None


class _Lasting(TypedDict):
    came: End | None
    went: Annotated[End | None, Meta(description="Null: it lasts.")]


class _Seen(_Lasting):
    there_at_end: Annotated[bool, Meta(description="It lasted at the moment, or at the end of the day.")]


Place = TypedDict("Place", {"group": str, "bps_id": BpsId, "name": str | None, "as": Literal["member", "owner"]})


class PlaceThen(Place, _Seen):
    """Somebody who was in the group."""


Who = TypedDict(
    "Who",
    {
        "group": str,
        "from": _Started,
        "to": Time,
        "history_since": Time,
        "notes": list[str],
        "people": list[PlaceThen],
    },
)
Who.__doc__ = "Who was in a group."


class AccountThen(_Seen):
    """An account of the person."""

    bps_id: BpsId
    source_id: str | None
    ownership: str
    leaving_as: str | None


class LinkThen(_Seen):
    """A group that an account was in, or owned."""

    bps_id: BpsId
    group: str


class LicenceThen(_Seen):
    """A licence that an account had."""

    bps_id: BpsId
    type: str


ExplanationAt = TypedDict(
    "ExplanationAt",
    {
        "who": str,
        "from": _Started,
        "to": Time,
        "history_since": Time,
        "accounts": list[AccountThen],
        "groups": list[LinkThen],
        "owns": list[LinkThen],
        "licences": list[LicenceThen],
    },
)
ExplanationAt.__doc__ = "What a person had."


class Leaver(TypedDict):
    """Whom the certificate is about."""

    source_id: str
    upn: str | None
    name: str | None


Left = TypedDict(
    "Left",
    {
        "as": str,
        "at": Time | None,
        "run": int | None,
        "known_by": Literal["told", "confirmed", "disabled", "out_of_scope"] | None,
        "says": str,
        "reason": str | None,
    },
)
Left.__doc__ = "How the person left, and by what that is known."


class AccountLeft(_Lasting):
    """An account of the leaver."""

    bps_id: BpsId
    ownership: str
    leaving_as: str | None
    kept: bool


class LinkLeft(_Lasting):
    """A group that the leaver was in, or owned."""

    bps_id: BpsId
    group: str
    name: Annotated[str | None, Meta(description="Of the group, as the portal has it or had it last.")]


class LicenceLeft(_Lasting):
    """A licence that the leaver had."""

    bps_id: BpsId
    type: str


class Handed(TypedDict):
    """Tasks that were handed to somebody, or back."""

    at: Time | None
    run: int
    action: str
    account: BpsId
    substitute: str | None
    until: str | None


class Proof(TypedDict):
    """A run that the certificate rests on; of one that was let go all but the id is null."""

    id: int
    kind: str | None
    trigger: str | None
    status: str | None
    started_at: Time | None
    finished_at: Time | None
    reads: dict[str, Any]
    hash: str | None


class Certificate(TypedDict):
    """What became of everything that a leaver had."""

    who: Leaver
    made_at: Time
    finished: bool
    open: list[str]
    left: Left
    accounts: list[AccountLeft]
    groups: list[LinkLeft]
    owned: list[LinkLeft]
    licences: list[LicenceLeft]
    tasks: list[Handed]
    runs: list[Proof]
    history_since: Time
    head: str | None


class Broken(TypedDict):
    """A run that is not as it was when it ended; null: it is the chain itself."""

    run: int | None
    problem: str


class Verdict(TypedDict):
    """Whether the run log is as it was written."""

    ok: bool
    head: str | None
    noted_head_is_there: bool | None
    runs_checked: Count
    first_run: int | None
    runs_pruned: Count
    runs_unhashed: Count
    settled_since: Count
    broken: list[Broken]


class Restored(TypedDict):
    """The portal went back in time."""

    since: str
    lost: Count
    written: Count


class Replay(Undo):
    """What was lost, as a plan; `restored` is null when the portal is as it should be."""

    restored: Restored | None


class Company(TypedDict):
    """The company that was played."""

    made_up: bool
    people: Count
    groups: Count
    stored_people: Count
    synchronised: Count


Side = Literal["tenant", "Graph", "portal", "syncd"]


class Fault(TypedDict):
    """How one fault passed off; `day` is what really happens besides, empty where nothing does."""

    fault: str
    side: Side
    says: str
    day: str
    planned: Count
    held: Count
    removed: Count
    by_mistake: dict[str, int]
    who: list[str]
    converged: bool
    runs: list[str]
    ok: bool


class Drill(TypedDict):
    """Whether this configuration removes nobody by mistake."""

    company: Company
    ok: bool
    weak: list[str]
    notes: list[str]
    faults: list[Fault]


class Scenario(TypedDict):
    """A fault that can be played."""

    fault: str
    side: Side
    says: str
    day: str
