"""What happens next about one person or group, and what somebody can do about it. Pure.

=============  =================================  ====================================================================
state          happens next                       can be done
=============  =================================  ====================================================================
active         each run compares it               look at it now
pending        the next run does what is open     do it now
held           it waits, and is planned anew      approve, reject
failing        it is tried again, and when        mend what the reason names, try at once
leaving        what the policy for leavers says   bring back in the tenant, pause
foreign        nothing                            link, let it be adopted
skipped        nothing                            by the cause: what to change, and where
out_of_scope   nothing                            by the cause
paused         nothing until a day                resume
(any)          nothing, when the last run failed  mend what stopped it
(any)          what follows a held adoption       approve or reject that
(any)          who is not met is not missed       read everything once more, where the last full read has no proof
=============  =================================  ====================================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from syncd.model.kinds import RecordKind
from syncd.model.reason import Cause
from syncd.model.shell import quote_word


@dataclass(frozen=True, slots=True)
class Step:
    """What happens by itself, and what a person can do; empty when there is nothing."""

    happens: str
    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where somebody stands. ``held``: the runs that hold something of it, each with the end of that, if known.

    ``retried_at``: the next attempt of what failed; ``paused_until``: nothing is done before; ``bps_id``: the record,
    wanted or there, empty without one.
    """

    kind: RecordKind
    id: str
    state: str
    bps_id: str
    cause: str
    open: bool
    held: Mapping[int, datetime | None]
    retried_at: datetime | None
    paused_until: datetime | None
    next_run: datetime | None
    """When the working daemon's next run is due; None: no daemon works."""
    unproven: Mapping[str, str] = field(default_factory=dict)
    """The streams of the tenant whose last full read has no proof, and why."""
    adopting: tuple[int, ...] = ()
    """The runs that hold an adoption from which some of what is open would follow."""
    failed: tuple[int, str] | None = None
    """The newest full or delta run, and what it says, where it failed as a whole."""


_COLLISION = "give one of those who want this BPS id another login or mail address in the tenant"
_WAYS: Mapping[str, str] = {
    Cause.GUEST.value: 'scope.guests = "mail" lets guests in, with the mail address as BPS id',
    Cause.AGENT.value: 'scope.agents = "sync" lets accounts of agents in',
    Cause.SUBTYPE.value: 'scope.agents = "sync" lets every subtype of user in',
    Cause.NOT_IN_GROUPS.value: "put it into a group of scope.include_groups, or out of those of scope.exclude_groups",
    Cause.OUT_OF_SCOPE.value: "change the attribute that the scope rule looks at in the tenant, or the rule in [scope]",
    Cause.DISABLED.value: "enable the account in the tenant",
    Cause.NO_BPS_ID.value: "correct that value in the tenant, or map another one (mapping.{kind}.bps_id)",
    Cause.NO_VALUE.value: "fill in that value in the tenant, or map another one ([mapping])",
    Cause.RULE_FAILED.value: "correct the expression in [scope] or [mapping], so that it fits such values",
    Cause.PROTECTED.value: "take its BPS id off scope.protect, if syncd shall look after it",
    Cause.USER_COLLISION.value: _COLLISION,
    Cause.USER_COLLISION_LOST.value: _COLLISION,
    Cause.GROUP_COLLISION.value: "give one of the groups that want this BPS id another value in the tenant",
}


def list_steps(place: Place) -> list[Step]:
    """Return what happens next and what can be done, the most telling first; never empty."""
    steps = list[Step]()
    if place.paused_until is not None:
        until = f"nothing is done about it until {_say(place.paused_until)}: it is paused"
        steps.append(Step(until, f"'syncd resume {place.id}' ends the pause"))
    if place.failed is not None:
        run, why = place.failed
        stopped = f"nothing comes from the tenant, nor reaches the portal, as long as runs end like run {run}: {why}"
        steps.append(Step(stopped, f"mend what it names; 'syncd status' and 'syncd runs show {run}' tell more"))
    steps.append(_find_step(place))
    for run in place.adopting:
        follows = f"what is open of it follows once the adoptions that run {run} holds are approved"
        steps.append(
            Step(follows, f"'syncd held {run}' lists them; 'syncd reject {run} --kind adopt' leaves all as it is")
        )
    for stream, why in sorted(place.unproven.items()):
        missed = f"nobody whom the last full read of {stream} lacks is missed: it has no proof ({why})"
        steps.append(
            Step(missed, "'syncd sync full' reads everything once more; 'syncd check' tells what the tenant refuses")
        )
    return steps


def _find_step(place: Place) -> Step:
    now = f"'syncd sync {place.kind} {place.id}' does it at once"
    if place.held or place.state == "held":
        return _tell_held(place)
    if place.state == "failing":
        when = "it is tried again with the next runs"
        if place.retried_at is not None:
            when = f"it is tried again from {_say(place.retried_at)} on"
        return Step(when, f"mend what the reason names; {now}")
    if place.state == "active" and not place.open:
        look = f"'syncd sync {place.kind} {place.id}' reads and compares it at once"
        return Step(f"nothing is open; {_say_next(place)} compares it again", look)
    if place.state in ("active", "pending"):
        return Step(f"{_say_next(place)} does what is open", now)
    if place.state == "leaving":
        way = _WAYS.get(place.cause, "bring it back in the tenant")
        pause = f"'syncd pause {place.id} --until DATE --reason TEXT' puts everything off"
        policy = "what the policy for leavers says, as the state tells; who comes back gets everything back"
        return Step(policy, f"to keep it: {way}; {pause}")
    if place.state == "foreign":
        record = quote_word(place.bps_id or "BPSID")
        link = f"'syncd link {place.id} {record}' makes that record the one of this {_name(place.kind)}"
        return Step("nothing: the record of the portal is somebody else's", f"{link}; or change what the reason names")
    way = _WAYS.get(place.cause, "change what the reason names, in the tenant or in the settings")
    return Step("nothing, as long as the reason holds", way.format(kind=place.kind))


def _tell_held(place: Place) -> Step:
    if not place.held:
        return Step("it waits for a decision", "'syncd held' lists what waits, and how to approve or reject it")
    ends = [end for end in place.held.values() if end is not None]
    until = f" until {_say(min(ends))}, and is planned anew after that" if ends else ""
    only = f" --only {quote_word(place.bps_id)}" if place.bps_id else ""
    words = [f"'syncd approve {run}{only}' lets it through, 'syncd reject {run}{only}' drops it" for run in place.held]
    return Step(f"it waits for a decision{until}", "; ".join(words))


def _say_next(place: Place) -> str:
    if place.next_run is None:
        return "the next run ('syncd sync delta', or a daemon once one works)"
    return f"the next run, at {_say(place.next_run)},"


def _say(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _name(kind: RecordKind) -> str:
    return "person" if kind == "user" else "group"
