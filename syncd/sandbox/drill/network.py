"""Faults of the way to the tenant, on an ordinary day: throttling, errors now and then, no sign-in."""

from __future__ import annotations

from syncd.sandbox.drill.days import ORDINARY
from syncd.sandbox.drill.play import Play, Scenario


async def _throttling(play: Play) -> None:
    """The tenant's budget is used up by others: now and then a request is refused, with a pause to be kept."""
    play.happen()
    for skip in range(0, 20, 2):
        play.fault("status", side="graph", skip=skip, count=1, status=429, headers={"Retry-After": "15"})
    play.fault("status", side="batch", count=6, status=429, headers={"Retry-After": "10"})
    await play.delta()
    await play.full()


async def _errors(play: Play) -> None:
    play.happen()
    kinds = (("status", 503), ("status", 500), ("reset", 0), ("truncate", 0), ("html", 502), ("status", 504))
    for skip, (kind, status) in enumerate(kinds):
        play.fault(kind, side="graph", skip=skip, count=2, **({"status": status} if status else {}))
    play.sandbox.book.revoke_all()
    await play.delta()
    await play.full()


async def _no_sign_in(play: Play) -> None:
    play.happen()
    play.sandbox.book.revoke_all()
    play.sandbox.tenant_knobs.secret_expired = True
    await play.delta()
    await play.full()


async def _forbidden(play: Play) -> None:
    """Somebody takes the permissions away: everything is refused, or empty."""
    play.happen()
    play.fault(
        "status", side="graph", status=403,
        body=b'{"error":{"code":"Authorization_RequestDenied","message":"Insufficient privileges"}}',
    )  # fmt: skip
    await play.delta()
    await play.full()


NETWORK = (
    Scenario(
        name="throttling",
        says="Graph refuses now and then and asks for pauses",
        play=_throttling,
        side="Graph",
        day=ORDINARY,
    ),
    Scenario(
        name="errors",
        says="Graph answers with errors, cuts and old tokens",
        play=_errors,
        side="Graph",
        day=ORDINARY,
    ),
    Scenario(name="no-sign-in", says="the client secret has expired", play=_no_sign_in, side="Graph", day=ORDINARY),
    Scenario(name="no-permission", says="the permissions are taken away", play=_forbidden, side="Graph", day=ORDINARY),
)
