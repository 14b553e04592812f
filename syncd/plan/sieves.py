"""What a planned change passes between plan and write, in this order. Each sieve may stop it.

=====  ======================  ================================================================  =========
stage  sieve                   stops                                                             as
=====  ======================  ================================================================  =========
records (accounts and groups are planned, their places are not yet)
1      `stop_rejected`         what a person rejected before and what has not changed since      dropped
2      `stop_declined`         updates of records whose adoption was rejected                    dropped
3      `stop_unmoved`          what follows from a rejected move of a renamed person             dropped
4      `stop_unadopted`        updates of records whose adoption is beyond the limit             held
complete (everything is planned)
5      `stop_rejected`         the same once more, now with places and licences                  dropped
6      `stop_held_before`      what an earlier run holds, until a person decides                 held
7      `stop_restored`         all but what the tenant states, in a restored portal              deferred
8      `stop_excess`           every kind beyond a limit of the guard, and what goes with it     held
9      `stop_kept_places`      deletions that would take along places which are held or stay     held, dropped
release (instead of 1 to 9, when a person has approved something)
10     `stop_unapproved`       what was not released, or was not shown                           held, deferred
write (nothing is sent yet)
11     `stop_paused`           whatever concerns a person or group that is paused                deferred
12     `stop_untimely`         what hangs on a clock that is not believed                        deferred
13     `stop_quiet`            removals, in quiet hours                                          deferred
14     `stop_failing`          what failed alike, until its next attempt is due                  deferred
15     `stop_unscoped`         substitutions in a plan, while the portal refuses them            deferred
16     `stop_tied`             deletions with which the portal would change what is protected    deferred
17     `stop_uncoupled`        licences and deletions that do not go on together                 as the other
18     `stop_moves`            a licence given by hand whose previous account keeps it           as the other
19     `stop_swaps`            the old licence, until the new one is given                       deferred
seats (the portal's seats are known)
20     `stop_given_by_hand`    grants of what somebody gave by hand meanwhile                    dropped
21     `stop_without_seat`     grants without a seat, and again 19                               deferred
=====  ======================  ================================================================  =========

What is left is sent. While it is sent, a link or a grant waits for accounts that are not synchronised, a removal for
the successor of a renamed record, and `sync.apply.circuit` weighs refusals.

11 stands in `pauses`, 17 to 21 in `licence_sieves`. Every function is pure: it is given what the store knows and
returns what to stop, and why. `sync.passage` runs them in this order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from syncd.model.change import REMOVALS, Action, ObjectKind, Phase
from syncd.model.kinds import RECORD_KINDS
from syncd.model.reason import Cause, Reason
from syncd.plan.approval import Approved, HeldBefore
from syncd.plan.guard import Hold
from syncd.plan.selection import ANY_OUTCOME, Beside, Selection, Stop, stop_seqs
from syncd.plan.words import say

_LINKS: tuple[ObjectKind, ...] = ("membership", "ownership")


# ---- what people decided ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RejectedBefore:
    """A planned change about whose object something was rejected: what it writes, and what was rejected.

    The texts are as the store encodes them; ``values`` are the same as mappings.
    """

    seq: int
    action: Action
    object: ObjectKind
    after: str
    rejected: str
    values: Mapping[str, Any]
    rejected_values: Mapping[str, Any]


def stop_rejected(rows: Iterable[RejectedBefore]) -> tuple[Stop, ...]:
    """Drop what a person rejected, as long as nothing else is to be written."""
    return stop_seqs("dropped", say(Cause.REJECTED_BEFORE), [row.seq for row in rows if _is_rejected(row)])


def _is_rejected(row: RejectedBefore) -> bool:
    """Return whether an update writes, or an adoption means, nothing else than what was rejected.

    A manager is part of an adoption only once there is an account to name: that alone makes it no other one.
    """
    if row.after == row.rejected:
        return True
    if row.object not in RECORD_KINDS or row.action not in ("adopt", "update"):
        return False
    if row.action == "update":
        return row.values.items() <= row.rejected_values.items()
    both = row.values, row.rejected_values
    managers = {values["manager"] for values in both if values.get("manager")}
    rest = [{name: value for name, value in values.items() if name != "manager"} for values in both]
    return rest[0] == rest[1] and len(managers) < 2


def stop_declined(records: Collection[int]) -> tuple[Stop, ...]:
    """Write nothing into records of others whose adoption a person rejected."""
    if not records:
        return ()
    updates = Selection(actions=("update",), objects=RECORD_KINDS, records=frozenset(records), statuses=ANY_OUTCOME)
    return (Stop("dropped", say(Cause.ADOPTION_REJECTED), (updates,)),)


def stop_unmoved(kept: Collection[int], managed: Collection[int]) -> tuple[Stop, ...]:
    """Let an account that is not made become nobody's manager, and get nobody's tasks.

    ``kept``: the accounts that those people keep; ``managed``: places of updates that name such a manager.
    """
    tasks = Selection(actions=("create",), objects=("substitution",), records=frozenset(kept), statuses=ANY_OUTCOME)
    named = Selection(seqs=frozenset(managed), statuses=ANY_OUTCOME)
    found = (*((tasks,) if kept else ()), *((named,) if managed else ()))
    return (Stop("dropped", say(Cause.MOVE_REJECTED), found),) if found else ()


def stop_unadopted(holds: Iterable[Hold]) -> tuple[Stop, ...]:
    """Hold the updates of records whose adoption is beyond the limit."""
    if not any(hold.action == "adopt" for hold in holds):
        return ()
    adopted = Beside(of=Selection(actions=("adopt",), statuses=ANY_OUTCOME), same=("record",))
    updates = Selection(actions=("update",), statuses=ANY_OUTCOME, beside=adopted)
    return (Stop("held", say(Cause.ADOPTION_HELD, what="account"), (updates,)),)


def stop_unapproved(found: Approved) -> tuple[Stop, ...]:
    """Keep what was held and not released, and leave what nobody has seen to the next run."""
    kept = [
        replace(stop, since=held.since)
        for held, seqs in found.unreleased.items()
        for stop in stop_seqs("held", held.reason, seqs)
    ]
    return (*kept, *stop_seqs("deferred", say(Cause.NOT_APPROVED), found.unseen))


# ---- the guard -------------------------------------------------------------------------------------------------------


_UNASKED = (Cause.SAME_BY_PROOF, Cause.GROUP_REMADE, Cause.SWAPPED)
"""Handovers about which there is no question any more: what was missing when they were held is there."""


def stop_held_before(held: Iterable[HeldBefore]) -> tuple[Stop, ...]:
    """Keep held what an earlier run holds, whatever today's numbers say of it: the guard has a memory.

    A population that has grown, a run over one object, or a wider limit decide nothing: a person does.
    """
    stops = []
    for each in held:
        reason = each.reason
        if reason.cause is not Cause.HELD_BEFORE:
            reason = say(Cause.HELD_BEFORE, run=each.since, breach=reason.text)
        same = Selection(actions=(each.action,), held_by=(each.run_id, each.since), but_causes=_UNASKED)
        stops.append(Stop("held", reason, (same,), each.since))
    if stops:
        last = stops[-1]
        stops.append(Stop("held", last.reason, (*_GOES_WITH_UNLINKS, *_GOES_WITH_CREATIONS), last.since))
    return tuple(stops)


def stop_excess(holds: Iterable[Hold]) -> tuple[Stop, ...]:
    """Hold every change of a kind that is beyond a limit, and what goes with it.

    What only completes a creation goes through, and so does the end of a substitution: it takes nothing from anybody.
    """
    return tuple(stop for hold in holds for stop in _hold(hold))


def _hold(hold: Hold) -> tuple[Stop, ...]:
    reason, but = say(Cause.GUARD, breach=hold.reason), (Cause.COMPLETES_CREATION, Cause.RETURNS, Cause.RESPELLED)
    match hold.action:
        case "update":
            renames = Selection(actions=("create",), causes=(Cause.RENAMED,))
            return (
                Stop("held", reason, (Selection(actions=("update",), objects=RECORD_KINDS, but_causes=but), renames)),
            )
        case "unlink":
            stand_ins = Selection(causes=(Cause.STANDS_IN,))
            first = Stop("held", reason, (Selection(actions=("unlink",), but_causes=but), stand_ins))
            return first, Stop("held", reason, _GOES_WITH_UNLINKS)
        case "create":
            return Stop("held", reason, (_CREATION,)), Stop("held", reason, _GOES_WITH_CREATIONS)
        case "delete":
            return (Stop("held", reason, (Selection(actions=("delete",), objects=RECORD_KINDS),)),)
    return (Stop("held", reason, (Selection(actions=(hold.action,), but_causes=but),)),)


_CREATION = Selection(actions=("create",), objects=RECORD_KINDS, but_causes=(Cause.RENAMED,))
_HELD_CREATION = replace(_CREATION, statuses=("held",))
_GOES_WITH_CREATIONS = (
    Selection(actions=("update", "link", "grant"), beside=Beside(of=_HELD_CREATION, same=("record",))),
    Selection(actions=("link",), beside=Beside(of=_HELD_CREATION, same=("member as record",))),
)
"""The managers, places and licences of accounts and groups that are not made: with an approval they come together."""

_LEAVING = Selection(actions=("unlink",), objects=("membership",), statuses=("held",))
_GOES_WITH_UNLINKS = (
    Selection(
        actions=("revoke",),
        objects=("licence",),
        phases=(Phase.REVOKES,),
        beside=Beside(of=_LEAVING, same=("record as member",)),
    ),
    Selection(
        actions=("revoke",),
        objects=("privilege",),
        causes=(Cause.GROUP_LEAVES,),
        beside=Beside(of=_LEAVING, same=("record",)),
    ),
    Selection(actions=("delete",), objects=("substitution",), beside=Beside(of=_LEAVING, same=("record as member",))),
    Selection(actions=("delete",), objects=("substitution",), beside=Beside(of=_LEAVING, same=("member",))),
)
"""What belongs to the leaving of somebody whose memberships are held: the licences, which somebody else would get at
once, and the end of a substitution by or for that account. Whoever comes back after a mistake must find them."""


def stop_kept_places(groups: Collection[int], members: Collection[int]) -> tuple[Stop, ...]:
    """Hold deletions of records whose places are held, and drop those whose places stay by rejection.

    The portal takes all memberships and ownerships of a deleted record along: nobody has allowed that then. A group
    waits for the revoke of its privileges, too. ``groups`` and ``members``: records with a place whose removal was
    rejected.
    """
    held = Selection(actions=("unlink",), statuses=("held",))
    allowed = Selection(actions=("revoke",), objects=("privilege",), statuses=("held",))
    stops = [
        Stop(
            "held",
            say(Cause.PLACES_HELD),
            (
                Selection(actions=("delete",), objects=("group",), beside=Beside(of=held, same=("record",))),
                Selection(actions=("delete",), objects=("user",), beside=Beside(of=held, same=("record as member",))),
            ),
        ),
        Stop(
            "held",
            say(Cause.PRIVILEGES_STAY),
            (Selection(actions=("delete",), objects=("group",), beside=Beside(of=allowed, same=("record",))),),
        ),
    ]
    staying = (
        Selection(actions=("delete",), objects=("group",), records=frozenset(groups)),
        Selection(actions=("delete",), objects=("user",), records=frozenset(members)),
    )
    if groups or members:
        stops.append(Stop("dropped", say(Cause.PLACES_STAY), staying))
    return tuple(stops)


# ---- the moment ------------------------------------------------------------------------------------------------------


def stop_restored(stated: Collection[int]) -> tuple[Stop, ...]:
    """Put off everything in a portal that went back in time, but the removals that are ``stated`` (places in the plan).

    What waits for a person waits no more: it was compared with records of another day.
    """
    rest = Selection(statuses=("planned", "held"), but_seqs=frozenset(stated))
    return (Stop("deferred", say(Cause.PORTAL_BACK), (rest,)),)


def stop_untimely(doubt: str, *, grace: bool) -> tuple[Stop, ...]:
    """Put off what is done because a time has come, when our clock is not believed (``doubt`` says why).

    Those are the substitutions, which have an end, and the deletions of accounts and groups where there is a ``grace``.
    """
    late = (Selection(actions=("delete",), objects=RECORD_KINDS),) if grace else ()
    return (Stop("deferred", say(Cause.CLOCK, doubt=doubt), (Selection(objects=("substitution",)), *late)),)


def stop_quiet() -> tuple[Stop, ...]:
    """Put every removal off (quiet hours), and the substitutions of leavers with them."""
    removals = Selection(actions=REMOVALS, objects=(*RECORD_KINDS, *_LINKS, "licence", "privilege"))
    return (Stop("deferred", say(Cause.QUIET_HOURS), (removals, Selection(causes=(Cause.STANDS_IN,)))),)


def stop_unscoped() -> tuple[Stop, ...]:
    """Put off substitutions that the portal would refuse: a plan says what a run can do."""
    return (Stop("deferred", say(Cause.SUBSTITUTIONS_REFUSED), (Selection(objects=("substitution",)),)),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """A planned change whose object failed before, and whose next attempt is not due. ``written`` says what is sent."""

    seq: int
    kind: ObjectKind
    written: tuple[Any, ...]


def stop_failing(rows: Iterable[Retried], tried: Collection[tuple[Any, ...]]) -> tuple[Stop, ...]:
    """Put off what failed before in just this way. ``tried``: what was sent, and failed.

    What is to be written otherwise by now, or done otherwise, is tried at once: it may be the correction. There is one
    way only to put somebody into a group or to take somebody out.
    """
    seqs = [row.seq for row in rows if row.kind in _LINKS or row.written in tried]
    return stop_seqs("deferred", say(Cause.NOT_DUE), seqs)


def stop_tied(tied: Mapping[str, Collection[int]]) -> tuple[Stop, ...]:
    """Put off the deletions with which the portal would change what is on the protect list, by the reason of each."""
    return tuple(
        stop for what, seqs in sorted(tied.items()) for stop in stop_seqs("deferred", say(Cause.TIED, what=what), seqs)
    )


def stop_everything(reason: Reason) -> tuple[Stop, ...]:
    """Drop a plan that is not to be applied after all."""
    return (Stop("dropped", reason, (Selection(statuses=("planned", "held")),)),)
