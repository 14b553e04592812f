"""Where a source object or a record of ours stands: the one word and the reason that an administrator is shown.

==============  ====================================================================================================
state           meaning
==============  ====================================================================================================
active          wanted, and its record in the target is ours
pending         wanted, and not there yet, or a change of it was put off to the next run
held            the newest plan has a change of it that waits for approval, or gives it another one's record; or the
                tenant shows nobody any more, and nobody has said that this is true
failing         a change of it failed and is tried again
foreign         wanted, but the record in the target is somebody else's and stays so
leaving         its record is ours, and nobody wants it any more
skipped         cannot or must not be written: unmappable, a collision, a guest or agent, protected, disabled at once
out_of_scope    the rules leave it out, and it was never in the target
==============  ====================================================================================================
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from syncd.model.kinds import RECORD_KINDS, RecordKind
from syncd.model.reason import Cause, Reason
from syncd.model.source import ACTIVE, STREAMS
from syncd.plan.desired import FROZEN_STATES, LEAVER_STATES
from syncd.plan.diff import changes_allowed, choose_leaver_policy
from syncd.plan.pauses import Pause
from syncd.plan.rules import PolicyRules
from syncd.plan.words import FROZEN, TIED

EMPTIED: dict[RecordKind, str] = {
    kind: f"the tenant shows no {ACTIVE[stream]} any more, and nothing is taken away until somebody approves that "
    "('syncd held')"
    for kind, stream in zip(RECORD_KINDS, STREAMS, strict=True)
}
"""What is said of the records of a kind that the tenant shows nobody of."""

_ENDED = ("deleted", "disabled")

ObjectStatus = Literal["active", "pending", "skipped", "leaving", "held", "failing", "foreign", "out_of_scope"]
StatusReason = tuple[ObjectStatus, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """What the target has. ``mine``: it is ours, and on behalf of this source object; ``ours``: on anybody's behalf.

    ``kept``: memberships of which a person rejected the removal; ``spared``: a person rejected its deletion;
    ``tied``: its deletion would change something on the protect list; ``declined``: a person rejected its adoption.
    """

    ours: bool
    mine: bool
    leaving_at: datetime | None = None
    kept: int = 0
    spared: bool = False
    stand_in: StandIn | None = None
    tied: bool = False
    declined: bool = False


@dataclass(frozen=True, slots=True)
class StandIn:
    """To whom the tasks of an account go, and until when."""

    bps_id: str
    until: datetime


class Told(str):
    """A reason in two parts: what is in the way of one object, and why, which many may have in common."""

    what: str
    why: str

    @classmethod
    def make(cls, what: str, why: str) -> Told:
        """Return the reason; it is a text like every other one."""
        told = cls(f"{what}: {why}")
        told.what, told.why = what, why
        return told


@dataclass(frozen=True, slots=True, kw_only=True)
class Obstacle:
    """What stands in the way of a record: held or deferred by the newest plan, or failed ``attempts`` times."""

    kind: Literal["held", "deferred", "failed"]
    reason: str
    attempts: int = 0
    next_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusFacts:
    """Everything that decides. ``desired``: the state of the last planning, None before the first one."""

    kind: RecordKind
    gone: bool
    """The tenant has deleted it."""
    desired: str | None
    reason: Reason
    record: Record | None
    taken: bool = False
    """Its BPS id belongs to a record of the other kind in the target."""
    held: Obstacle | None = None
    failed: Obstacle | None = None
    deferred: Obstacle | None = None
    emptied: bool = False
    """The tenant shows nobody of this kind any more, and nobody has said that this is true."""
    removed: Literal["", "by hand", "accepted"] = ""
    """Somebody removed its record in the target by hand; accepted: and that was taken as it is."""
    now: datetime | None = None
    """The present, where what is over by now matters."""


def find_status(facts: StatusFacts, policy: PolicyRules) -> StatusReason | None:
    """Return state and reason; None for what is deleted and was never in the target."""
    mine = facts.record is not None and facts.record.mine
    if facts.desired is None or (facts.gone and facts.desired not in LEAVER_STATES):
        if facts.gone and not mine:
            return None
        return "pending", "changed since the last plan"
    if facts.desired == "wanted":
        return _find_wanted_status(facts, policy)
    if facts.desired in LEAVER_STATES:
        return _find_leaver_status(facts, policy) if mine else _find_absent_status(facts)
    reason = facts.reason.text
    if facts.reason.cause is Cause.HANDOVER_WAITS:
        return "held", reason
    if not mine:
        return "skipped", reason
    taken = f"; {FROZEN}" if facts.desired in FROZEN_STATES else ""
    return "skipped", f"{reason}; its record stays as it is{taken}"


def find_orphan_status(state: str, *, successor: str, facts: StatusFacts, policy: PolicyRules) -> StatusReason:
    """Return state and reason of a record of ours that is not the present one of its source object.

    ``state``: renamed, when that has the record ``successor`` now, otherwise the object's own state, or unknown.
    """
    why = {
        "renamed": f"renamed: its person or group is {successor} now",
        "blocked": f"renamed: its person or group is to be {successor}, which belongs to somebody else",
        "unknown": "its source object is unknown",
    }
    return _find_obstacle(facts) or (
        "leaving",
        f"{why.get(state) or facts.reason or state}; {_describe_leaving(state, facts, policy)}",
    )


def tell_pause(
    judged: StatusReason, pauses: Sequence[Pause], *, source: int | None, record: int | None
) -> StatusReason:
    """Return the same, and that nothing is done about it for the time being, when it is paused."""
    state, reason = judged
    for pause in pauses:
        if record in pause.records or (source is not None and source == pause.source):
            return state, "; ".join(part for part in (str(pause.why), reason) if part)
    return judged


def _find_wanted_status(facts: StatusFacts, policy: PolicyRules) -> StatusReason:
    record = facts.record
    if facts.taken:
        other = "group" if facts.kind == "user" else "user"
        return "foreign", f"its BPS id belongs to a {other} of the portal"
    if record is not None and not record.ours:
        if policy.adopt == "never":
            return "foreign", 'the portal had this record before us (policy.adopt = "never")'
        if not changes_allowed(policy, "adopt"):
            return "foreign", f'the portal had this record before us (policy.mode = "{policy.mode}")'
    trouble = _find_obstacle(facts)
    if trouble is not None:
        return trouble
    if record is None and facts.removed:
        if policy.drift == "revert" and facts.removed == "by hand":
            return "pending", "its record was removed by hand in the portal; the next full run makes it again"
        return "skipped", "its record was removed by hand in the portal; it stays away until the tenant changes it"
    if record is None:
        return "pending", "not in the portal yet"
    if not record.ours and record.declined:
        return "foreign", "the portal had this record before us, and its adoption was rejected"
    if not record.ours:
        return "pending", "the portal has a record with this BPS id, which is to be adopted"
    if not record.mine:
        return "pending", "its record still belongs to another source object"
    return "active", ""


def _find_leaver_status(facts: StatusFacts, policy: PolicyRules) -> StatusReason:
    record, state = facts.record, facts.desired or "unknown"
    trouble = _find_obstacle(facts)
    if trouble is not None or record is None:
        return trouble or ("leaving", facts.reason.text)
    if facts.emptied and state in _ENDED and record.leaving_at is None:
        return "held", f"{facts.reason}; {EMPTIED[facts.kind]}"
    late = f"; put off: {facts.deferred.reason}" if facts.deferred is not None else ""
    return "leaving", f"{facts.reason}; {_describe_leaving(state, facts, policy)}{late}"


def _find_absent_status(facts: StatusFacts) -> StatusReason | None:
    """A leaver that was never in the target."""
    if facts.gone or facts.desired == "deleted":
        return None
    if facts.desired == "out_of_scope" and facts.reason.cause not in (Cause.GUEST, Cause.AGENT):
        return "out_of_scope", facts.reason.text
    return "skipped", facts.reason.text


def _find_obstacle(facts: StatusFacts) -> StatusReason | None:
    if facts.held is not None:
        return "held", facts.held.reason
    if facts.failed is not None:
        failed = facts.failed
        again = f", next attempt {failed.next_at:%Y-%m-%d %H:%M} UTC" if failed.next_at else ""
        times = f"{failed.attempts} attempt{'s' if failed.attempts != 1 else ''}"
        return "failing", f"{failed.reason} ({times}{again})"
    if facts.deferred is not None and facts.desired == "wanted":
        return "pending", facts.deferred.reason
    return None


def _describe_leaving(state: str, facts: StatusFacts, policy: PolicyRules) -> str:
    record = facts.record or Record(ours=True, mine=True)
    since = f"leaving since {record.leaving_at:%Y-%m-%d}, " if record.leaving_at else ""
    choice = choose_leaver_policy(state, facts.kind, policy)
    if policy.mode in ("create_only", "upsert_only"):
        return f'{since}left as it is (policy.mode = "{policy.mode}")'
    if choice == "keep":
        return f"{since}left as it is"
    return since + _describe_places(choice, facts.kind, record, policy) + _describe_tasks(state, facts, policy)


def _describe_places(choice: str, kind: RecordKind, record: Record, policy: PolicyRules) -> str:
    what = "account" if kind == "user" else "group"
    several = record.kept != 1
    stay = (
        f"{record.kept} membership{'s stay: their' if several else ' stays: its'} removal was rejected"
        if record.kept
        else ""
    )
    if choice == "delete" and record.spared:
        return f"{stay + ', ' if stay else ''}the {what} stays: its deletion was rejected"
    if choice == "delete" and record.tied:
        return f"{stay + ', ' if stay else ''}{TIED[kind]}"
    if choice == "delete" and stay:
        return f"{stay}, and so does the {what}"
    if choice == "delete" and record.leaving_at is None:
        return f"the {what} is deleted after the grace"
    if choice == "delete" and record.leaving_at is not None:
        return f"the {what} is deleted from {record.leaving_at + policy.grace:%Y-%m-%d} on"
    if kind == "group":
        return stay or "the group is emptied and kept"
    return f"{stay or 'out of all groups'}, the account is kept"


def _describe_tasks(state: str, facts: StatusFacts, policy: PolicyRules) -> str:
    record = facts.record
    if record is None or facts.kind == "group":
        return ""
    if record.stand_in is not None:
        return f"; tasks go to {record.stand_in.bps_id} until {record.stand_in.until:%Y-%m-%d}"
    left = facts.now is not None and record.leaving_at is not None and facts.now < record.leaving_at + policy.grace
    if state in LEAVER_STATES and policy.substitute == "manager" and left:
        return "; nobody stands in: no manager in the portal who could"
    return ""
