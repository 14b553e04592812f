"""Settling unclear answers: a reading shows what took effect; the rest may be there, and is remembered as such.

=============================  =======================  ===============================================================
the answer                     a reading then shows     the change
=============================  =======================  ===============================================================
tells that nothing was done    (not read)               failed
unclear                        what was asked for       done
unclear                        something else           failed, in doubt: it may still take effect
the portal's own error         the record as before     failed (of an account or a group)
unclear                        nothing, nobody answers  failed, in doubt
refused by a gateway           something else           failed
=============================  =======================  ===============================================================

What is in doubt (`Cause.MAYBE_DONE`, `Cause.MAYBE_TAKEN`) is read again by the next runs before they plan. A place in a
group counts both ways: as lacking where it is wanted, as there where it is not.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from syncd.errors import UNCLEAR, Intercepted, RemoteError
from syncd.model.change import Change, LinkKind, Placed
from syncd.model.licence import LicenceHolder, is_settled
from syncd.model.target import Account, GroupDetail, PortalGroup, fold
from syncd.plan.handover import send_fields
from syncd.plan.spelling import is_same_text
from syncd.sync.portal.licences import make_step
from syncd.sync.ports.sides import Portal

if TYPE_CHECKING:
    from syncd.store.store import Store

_FEW = 25


def _may_ask(error: RemoteError) -> bool:
    """Return whether what was sent may have taken effect, and nobody asked for time before the next request."""
    return error.sent and isinstance(error, UNCLEAR) and not error.retry_after


async def find_done(
    portal: Portal, store: Store, placed: Sequence[Placed], error: RemoteError, *, now: datetime, ask: bool = True
) -> set[int]:
    """Return the places in the plan of those changes of one request that took effect although it has failed.

    The portal is asked where the answer is unclear, and the caller lets it ``ask``. None of privileges: no reading
    tells which of them are there.
    """
    change = placed[0][0].change
    known = {planned.seq for planned, _, _ in placed if planned.change.target in error.done}
    if not (ask and _may_ask(error)) or change.action == "create" or change.object in ("substitution", "privilege"):
        return known
    try:
        if change.object == "licence":
            done = await _find_licences(portal, placed)
        elif change.object in ("user", "group"):
            done = {placed[0][0].seq} if await _is_record_done(portal, store, change, now=now) else set()
        else:
            kind: LinkKind = "membership" if change.object == "membership" else "ownership"
            members = [planned.change.target for planned, _, _ in placed]
            gone = await find_places(portal, change.bps_id, kind, members, there=False)
            done = known | {planned.seq for planned, _, _ in placed if planned.change.target in gone}
    except RemoteError:
        return known
    if error.own and change.object in ("user", "group"):
        error.sent = False
    _believe(error)
    return done


async def find_places(portal: Portal, group: str, kind: LinkKind, members: Collection[str], *, there: bool) -> set[str]:
    """Return those of the people who are in a group now, or, ``there`` False, those who are not."""
    detail = await portal.fetch_group(group)
    present = _list_people(detail, kind)
    return {member for member in members if (fold(member) in present) == there}


async def find_linked(
    portal: Portal, group: str, kind: LinkKind, members: Collection[str], error: RemoteError, *, ask: bool = True
) -> set[str]:
    """Return those of the people whom a call that failed has put into a group.

    The portal is asked where the answer is unclear, and the caller lets it ``ask``.
    """
    known = error.done.intersection(members)
    if not (ask and _may_ask(error)):
        return {*known}
    try:
        found = await find_places(portal, group, kind, members, there=True)
    except RemoteError:
        return {*known}
    _believe(error)
    return found | known


def _believe(error: RemoteError) -> None:
    """A gateway that refused has refused, once a reading shows no effect; others may answer before the effect."""
    if isinstance(error, Intercepted) and (error.status or 0) >= 400:
        error.sent = False


def _list_people(detail: GroupDetail | None, kind: LinkKind) -> set[str]:
    if detail is None:
        return set()
    return {fold(each.bps_id) for each in (detail.members if kind == "membership" else detail.owners)}


async def _is_record_done(portal: Portal, store: Store, change: Change, *, now: datetime) -> bool:
    found: Account | PortalGroup | None
    if change.object == "user":
        found = account = await portal.fetch_account(change.bps_id)
        if change.action != "delete":
            await store.inventory.store_account(change.bps_id, account, now=now)
    else:
        detail = await portal.fetch_group(change.bps_id)
        found = None if detail is None else detail.group
    if change.action == "delete":
        return found is None
    return found is not None and all(
        _is_same(name, getattr(found, name), value) for name, value in send_fields(change).items()
    )


def _is_same(name: str, found: str | None, sent: str | None) -> bool:
    """Return whether a value is there as it was sent; case makes no other manager, but another name."""
    there, wanted = (found or "").strip(), (sent or "").strip()
    if name == "manager":
        return fold(there) == fold(wanted)
    return there == wanted or is_same_text(sent=wanted, shown=there)


async def _find_licences(portal: Portal, placed: Sequence[Placed]) -> set[int]:
    people = {fold(planned.change.bps_id): planned.change.bps_id for planned, _, _ in placed}
    if len(people) > _FEW:
        listed = await portal.fetch_licences()
        holders = {fold(each.bps_id): each for each in listed.holders} if listed and listed.complete else None
    else:
        read = [await portal.fetch_holder(bps_id) for bps_id in people.values()]
        holders = None if None in read else {fold(each.bps_id): each for each in read if each is not None}
    if holders is None:
        return set()
    return {
        planned.seq
        for planned, _, _ in placed
        if is_settled(
            make_step(planned.change),
            holders.get(fold(planned.change.bps_id)) or LicenceHolder(planned.change.bps_id, ()),
        )
    }
