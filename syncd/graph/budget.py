"""The resource units that a tenant lets one application spend, kept before Graph has to refuse anything.

Identity requests have prices (throttling limits, "Identity and access service limits"), and each tenant a bucket that
refills within ten seconds; its size goes by the number of users. Requests wait here as long as the bucket is full. What
Graph says of the bucket (``x-ms-throttle-limit-percentage``, from 0.8 on) is believed over our own reckoning, and so is
its silence: an answer that tells its price and no percentage means that less than four fifths are used, since a tenant
may have more than the published size, and requests may cost less than the published price.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from syncd.clock import Clock
from syncd.errors import Throttled

_SIZES = ((50, 3500.0), (500, 5000.0))
_LARGEST = 8000.0
_WINDOW = 10.0
"""Units per this many seconds, for tenants of fewer than 50 users, of up to 500, and of more."""

_SHARE = 0.9
"""What we take of the bucket: other requests of this application are charged to it as well."""
_PACE = 0.97
"""What we take of the refill, so that the bucket never runs over while both sides reckon differently."""
_LOWERED, _LEAST = 0.7, 0.005
_RECOVERY = 30.0
"""After a refusal we keep to a smaller share, and go back by a step in this many seconds."""
_TOLD_FROM = 0.8
"""From this part of the bucket on Graph tells how full it is."""
_ONCE = 1.0
_TICK = 0.001

_BELONGINGS = frozenset({"memberOf", "transitiveMemberOf", "ownedObjects"})
_SMALL_PAGE = 20


def price(target: str) -> int:
    """Return what a GET costs in units, by its path below the version and its query: ``/users?$select=id``.

    The users, and what one of them is a member of or owns, cost 2, a group's members 3, all of them through nesting 5,
    any other path 1; ``$select`` makes it cheaper by one, ``$expand`` dearer, a page of less than 20 cheaper, and
    nothing is free (throttling limits, "Identity and access service limits", base cost and modifiers; what the page
    lists for ``me`` holds for ``/users/{id}``). Counts and single objects have no price of their own.
    """
    path, _, query = target.partition("?")
    match path.strip("/").split("/"):
        case ["groups", _, "transitiveMembers", *_]:
            base = 5
        case ["groups", _, "members", *_]:
            base = 3
        case ["users", _, relation, *_] if relation in _BELONGINGS:
            base = 2
        case ["users"]:
            base = 2
        case _:
            base = 1
    top = re.search(r"\$top=(\d+)", query)
    base += ("$expand=" in query) - ("$select=" in query) - (top is not None and int(top[1]) < _SMALL_PAGE)
    return max(1, base)


class ResourceBudget:
    """One application's bucket in one tenant. Seconds are monotonic."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._limit = _SIZES[0][1]
        self._share = 1.0
        self._level = 0.0
        self._reckoned: float | None = None
        self._held_until = 0.0
        self._eased = float("-inf")

    def note_users(self, count: int) -> None:
        """Learn how many users the tenant has at least."""
        fitting = next((limit for below, limit in _SIZES if count < below), _LARGEST)
        self._limit = max(self._limit, fitting)

    @property
    def is_roomy(self) -> bool:
        """Whether more than half of the bucket may still be spent, and Graph has refused nothing lately."""
        self._reckon()
        return self._share >= 1.0 and self._level < self._limit / 2

    async def take(self, units: int, *, patience: float = 180.0) -> None:
        """Wait until so many units may be spent, and spend them. Throttled when Graph asked for a longer rest."""
        while True:
            self._reckon()
            rest = self._held_until - self._clock.monotonic()
            if rest > patience:
                raise Throttled(
                    f"Microsoft Graph asked for no request in the next {rest:.0f} s", retry_after=rest, sent=False
                )
            room = self._limit * self._share * _SHARE
            full = (self._level + units - room) / self._refill if self._level > 0 else 0.0
            wait = max(rest, full)
            if wait <= _TICK:
                self._level += units
                return
            await self._clock.sleep(wait)

    def hear(self, headers: Mapping[str, str], *, expected: int) -> None:
        """Correct the reckoning by what an answer says of its price and of the bucket."""
        charged = _read_number(headers.get("x-ms-resource-unit"))
        if charged is not None and charged > expected:
            self._level += charged - expected
        filled = _read_number(headers.get("x-ms-throttle-limit-percentage"))
        if filled is not None:
            self._reckon()
            self._level = max(self._level, min(filled, 2.0) * self._limit * self._share)
        elif charged is not None:
            self._reckon()
            self._level = min(self._level, _TOLD_FROM * self._limit * self._share)

    def hold(self, seconds: float | None) -> None:
        """Note that Graph refused a request for its bucket; let nothing go out for so many seconds."""
        now = self._clock.monotonic()
        if now - self._eased >= _ONCE:  # refusals of what was under way together are one
            self._share = max(_LEAST, self._share * _LOWERED)
        self._eased = now
        if seconds is not None:
            self._held_until = max(self._held_until, now + seconds)

    @property
    def _refill(self) -> float:
        return self._limit * self._share * _PACE / _WINDOW

    def _reckon(self) -> None:
        now = self._clock.monotonic()
        if self._reckoned is not None:
            self._level = max(0.0, self._level - (now - self._reckoned) * self._refill)
        self._reckoned = now
        if self._share < 1.0 and now - self._eased > _RECOVERY:
            self._share = min(1.0, self._share / _LOWERED)
            self._eased = now


def _read_number(text: str | None) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        return None
    return number if number is not None and 0.0 <= number < 1e6 else None
