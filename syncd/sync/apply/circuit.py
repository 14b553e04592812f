"""Tells a portal that is down from a record that it cannot work on: the one ends a run, the other fails alone.

======================================================  =============================================================
the portal                                              what becomes of it
======================================================  =============================================================
refuses the sign-in, or the scope is missing            the run ends at once
gives no usable answer, eight times in a row            it is asked for something small
... and gives none to that either                       the run ends: it is down
... and answers, and all was about one or few records   those records fail, what else is planned for them unsent
... and answers, and it was about one record each       the run ends: writing is down
======================================================  =============================================================

No usable answer: none at all, one that may pass (5xx, 423, 429), a web page or a redirect in place of the API, or a
refusal of the account's rights, which may concern the one record or everything.
"""

from __future__ import annotations

from collections import Counter

from syncd.errors import AuthFailed, Forbidden, ProtocolError, RemoteError, TransientError
from syncd.model.target import NO_RIGHTS, fold
from syncd.sync.ports.sides import Portal

_ROW = 8
"""So many requests in a row without a usable answer, and somebody has to find out why."""

_OFTEN = 2
"""A record with so many of them is itself the reason, when the portal answers otherwise."""


class Circuit:
    """Judges the answers of one run. Not reused."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._row: Counter[str] = Counter()
        self._broken: dict[str, str] = {}

    def find_broken(self, bps_id: str) -> str:
        """Return why nothing more is sent about a record in this run; empty when it is to be sent."""
        return self._broken.get(fold(bps_id), "") if self._broken else ""

    def close(self) -> None:
        """A request was answered as it should be."""
        if self._row:
            self._row.clear()

    async def weigh(self, bps_id: str, error: RemoteError) -> RemoteError | None:
        """Take the failure of a request about one record; return the error that ends the run, None when none does."""
        passing = isinstance(error, TransientError | ProtocolError)
        rights = isinstance(error, Forbidden) and error.code == NO_RIGHTS
        if isinstance(error, AuthFailed | Forbidden) and not rights:
            return error
        if not (passing or rights):
            self.close()
            return None
        self._row[fold(bps_id)] += 1
        if self._row.total() < _ROW:
            return None
        row, self._row = self._row, Counter()
        try:
            await self._portal.check()
        except RemoteError as silence:
            return silence
        often = [name for name, number in row.items() if number >= _OFTEN]
        if not often:
            return error
        self._broken |= dict.fromkeys(often, f"{error}; so it went {_ROW} times in a row, and the rest was not sent")
        return None
