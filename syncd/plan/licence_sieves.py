"""The sieves of licences, which `syncd.plan.sieves` lists in their order: what goes on together, and seats."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from syncd.model.change import OutcomeStatus
from syncd.model.reason import Cause
from syncd.plan.licences import FOR_DELETION, Allotment
from syncd.plan.selection import Beside, Same, Selection, Stop, stop_seqs
from syncd.plan.words import say

_WAITING: tuple[OutcomeStatus, ...] = ("held", "deferred")
_STOPPED: tuple[OutcomeStatus, ...] = ("held", "deferred", "dropped")

_DELETION = Selection(actions=("delete",), objects=("user",))
_FOR_DELETION = Selection(actions=("revoke",), objects=("licence",), causes=FOR_DELETION)
_GIVEN_UP = Selection(actions=("revoke",), objects=("licence",))
_MOVE = Selection(actions=("grant",), objects=("licence",), causes=(Cause.MOVED,))
_SAME_LICENCE: tuple[Same, ...] = ("source", "type")


def stop_uncoupled() -> tuple[Stop, ...]:
    """Let licences that go because of a deletion go only with it, and an account only when all of them go.

    Of an account that stays for one licence the others stay, too: the first rule is asked again.
    """
    return tuple(rule(status) for rule in (_keep_licences, _keep_account, _keep_licences) for status in _STOPPED)


def _keep_licences(status: OutcomeStatus) -> Stop:
    stopped = Beside(of=replace(_DELETION, statuses=(status,)), same=("record",))
    return Stop(status, say(Cause.DELETION_STOPPED), (replace(_FOR_DELETION, beside=stopped),))


def _keep_account(status: OutcomeStatus) -> Stop:
    stopped = Beside(of=replace(_FOR_DELETION, statuses=(status,)), same=("record",))
    return Stop(status, say(Cause.LICENCES_STAY), (replace(_DELETION, beside=stopped),))


def stop_moves(on_their_way: Collection[int]) -> tuple[Stop, ...]:
    """Move a licence given by hand to the new account only when the old one gives it up, or has given it up.

    ``on_their_way``: places of grants whose licence has left the old account already.
    """
    given_up = Beside(of=_GIVEN_UP, same=_SAME_LICENCE)
    alone = replace(_MOVE, but_seqs=frozenset(on_their_way), without=given_up)
    held, deferred = (_wait_with_previous(alone, status) for status in _WAITING)
    return held, deferred, Stop("dropped", say(Cause.MANUAL_STAYS), (alone,))


def _wait_with_previous(move: Selection, status: OutcomeStatus) -> Stop:
    waiting = Beside(of=replace(_GIVEN_UP, statuses=(status,)), same=_SAME_LICENCE)
    return Stop(status, say(Cause.MOVES_TOGETHER), (replace(move, beside=waiting),))


def stop_swaps() -> tuple[Stop, ...]:
    """Keep the old licence until the new one is given."""
    waits = Selection(actions=("grant",), objects=("licence",), statuses=("deferred", "held"))
    old = Selection(actions=("revoke",), objects=("licence",), beside=Beside(of=waits, same=("record", "another type")))
    return (Stop("deferred", say(Cause.KEPT_UNTIL_GIVEN), (old,)),)


def stop_without_seat(allotment: Allotment) -> tuple[Stop, ...]:
    """Put off the grants for which there is no seat, and keep what they would have taken the place of."""
    by_reason: dict[str, list[int]] = {}
    for seq, shortage in allotment.without.items():
        by_reason.setdefault(shortage.reason, []).append(seq)
    stops = [
        stop
        for shortage, seqs in sorted(by_reason.items())
        for stop in stop_seqs("deferred", say(Cause.NO_SEAT, shortage=shortage), seqs)
    ]
    return (*stops, *stop_swaps())


def stop_given_by_hand(grants: Collection[int]) -> tuple[Stop, ...]:
    """Drop grants of what somebody gave by hand meanwhile: it stays manual."""
    return stop_seqs("dropped", say(Cause.GIVEN_BY_HAND), grants)


def stop_licences() -> tuple[Stop, ...]:
    """Drop every change of a licence: the portal assigns them by itself."""
    licences = Selection(objects=("licence",), statuses=("planned", "held"))
    return (Stop("dropped", say(Cause.LICENCES_PERPETUAL), (licences,)),)
