"""Faults of the portal, on an ordinary day: down in the middle, answers that are lost, pages of a gateway."""

from __future__ import annotations

from syncd.sandbox.drill.days import ORDINARY
from syncd.sandbox.drill.play import Play, Scenario

WRITES = "POST|PATCH|DELETE|PUT"


async def _down(play: Play) -> None:
    """It answers the first two writes, and then nothing any more."""
    play.happen()
    play.fault("status", side="portal", method=WRITES, path="/api/data/", skip=2, status=503)
    play.fault("reset", side="portal", path="/api/data/", skip=8)
    await play.delta()
    await play.full()


PORTAL = (Scenario(name="portal-down", says="the portal goes down in the middle of a run", play=_down, day=ORDINARY),)
