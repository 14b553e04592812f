"""Places of privileges that the portal has no more: looked for anew by name, or forgotten. Never fought over.

One answer says that there is no such place, which may be that of one server that is behind, or of a gateway: the
portal's lists have to say the same. Where they show us nothing, or not all, the place is read again by the next full
run: that one's word is enough to let a group go, and nothing is forgotten. Where they show it, or it can be asked for
by itself, it could not be read: what rules gave there may be there still.

=================================  =====================================================================================
the lists do not show it, and      then
=================================  =====================================================================================
a rule's name means another place  it was made anew: the rule means that one from now on
a rule names it all the same       it is told, and nothing there is forgotten: somebody may bring it back
no rule names it (any more)        it is forgotten, with the own record of it: nothing of ours can be there
=================================  =====================================================================================
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import structlog

from syncd.errors import AuthFailed, RemoteError
from syncd.model.privilege import Place, Privilege, read_privilege
from syncd.plan.rules import PrivilegeRule
from syncd.sync.portal.places import Places, Unknown, Waits, name_rule

if TYPE_CHECKING:
    from syncd.store.store import Store


@dataclass(slots=True)
class Settled:
    """What became of places that are gone.

    ``moved``: what rules mean instead, by the place among the rules. ``lost``: those that are gone for good as far as
    the lists tell, and need not be read. ``listed``: those that the portal shows all the same.
    """

    moved: dict[int, Privilege] = field(default_factory=dict)
    lost: list[Place] = field(default_factory=list)
    listed: list[Place] = field(default_factory=list)


async def settle_gone(
    places: Places,
    store: Store,
    rules: Sequence[PrivilegeRule],
    meanings: dict[str, Any],
    *,
    gone: Collection[Place],
    write: bool,
) -> Settled:
    """Look for these places in the lists, and put what is found into ``meanings``; raises AuthFailed.

    ``write`` False: nothing is forgotten.
    """
    settled, log = Settled(), structlog.get_logger("syncd.privileges")
    for place in sorted(gone, key=lambda each: each.token):
        listed = await _is_listed(places, place)
        if listed is not False:
            settled.listed += [place] if listed else []
            continue
        named = [number for number, rule in enumerate(rules) if _means(meanings, rule, place)]
        found = {number: anew for number in named if (anew := await _find_anew(places, rules[number], place))}
        if len(found) == len(named) and (answer := await _is_there(places, place)) is not False:
            settled.listed += [place] if answer else []
            continue
        for number, privilege in found.items():
            log.info("privileges.place_found", rule=number, place=privilege.place.token)
        settled.moved |= found
        if len(found) < len(named):
            settled.lost.append(place)
        elif write:
            await store.privileges.forget_place(place)
            log.info("privileges.place_forgotten", place=place.token)
    for number, privilege in settled.moved.items():
        meanings[name_rule(rules[number])] = privilege.values()
    return settled


def _means(meanings: dict[str, Any], rule: PrivilegeRule, place: Place) -> bool:
    known = meanings.get(name_rule(rule))
    return known is not None and read_privilege(known).place.token == place.token


async def _is_listed(places: Places, place: Place) -> bool | None:
    """Return whether the lists show a place; None: they do not tell."""
    try:
        return await places.is_listed(place)
    except AuthFailed:
        raise
    except RemoteError:
        return None


async def _is_there(places: Places, place: Place) -> bool | None:
    """Return whether the portal shows the place itself, where it can be asked for by itself; None: it does not tell."""
    if place.kind == "form_type":
        return False
    try:
        return await places.portal.find_place(place.database, place.kind, place.key) is not None
    except AuthFailed:
        raise
    except RemoteError:
        return None


async def _find_anew(places: Places, rule: PrivilegeRule, place: Place) -> Privilege | None:
    """Return what a rule's name means by now; None where it means nothing else than it did."""
    try:
        found = await places.find(rule)
    except AuthFailed:
        raise
    except (Unknown, Waits, RemoteError):
        return None
    return None if found.place.token == place.token else found
