"""Faults under a rollout: a first push, or one of new rules, meets a portal that does not keep what it is told.

With ``policy.waves`` only the first wave may be reached before somebody looks at it.
"""

from __future__ import annotations

from collections.abc import Collection

from syncd.sandbox.drill.picture import take_picture
from syncd.sandbox.drill.play import Day, Play, Scenario


def _change_rules(play: Play) -> Collection[str]:
    play.program.roll_out(new_rules=True)
    return ()


def _begin_anew(play: Play) -> Collection[str]:
    """Nothing of ours is in the portal any more, and the store is empty, as on the first day."""
    portal, holders = play.sandbox.portal, play.sandbox.portal_service.licences.holders
    for records in (portal.accounts, portal.groups):
        ours = {key for key, record in records.items() if record.origin == "rest"}
        for key in ours:
            del records[key]
            holders.pop(key, None)
        for given in [given for given in portal.privileges if given.key in ours]:
            del portal.privileges[given]
    play.program.forget()
    play.program.roll_out(new_rules=False)
    play.base = take_picture(play.sandbox)
    return ()


_NEW_RULES = Day("titles are made by a new rule", _change_rules)
_FIRST_PUSH = Day("the first push", _begin_anew)


_COPIED_IN = 3.0
"""Seconds for which the portal copies what was written, as real ones do: a look before that sees nothing."""


async def _values_cut(play: Play) -> None:
    play.sandbox.portal_knobs.spelling = "cut"
    await _roll_out(play)


async def _places_lost(play: Play) -> None:
    play.sandbox.portal_knobs.links_lost = True
    await _roll_out(play)


async def _roll_out(play: Play) -> None:
    """Push, look whom it reached, have the portal put right, and release what was held."""
    knobs = play.sandbox.portal_knobs
    knobs.sync_delay_min = knobs.sync_delay_max = _COPIED_IN
    play.happen()
    ended = await play.delta()
    play.look_at_wave()
    play.lift()
    if ended.held:
        await play.approve(ended.run)


ROLLOUTS = (
    Scenario(
        name="new-rules-cut", says="new rules change everybody, and values are kept cut", play=_values_cut,
        side="portal", day=_NEW_RULES,
    ),
    Scenario(
        name="first-push-lost", says="of the first push memberships are confirmed and not kept", play=_places_lost,
        side="portal", day=_FIRST_PUSH,
    ),
)  # fmt: skip
