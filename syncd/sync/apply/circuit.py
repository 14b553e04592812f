"""Tells a portal that is down from a record that it cannot work on: the one ends a run, the other fails alone.

======================================================  =============================================================
the portal                                              what becomes of it
======================================================  =============================================================
refuses the sign-in, or says that the scope is missing  the run ends at once; so it does where the proxy refuses us
gives no usable answer, eight times in a row            it is asked for something small
... and gives none to that either                       the run ends: it is down
... and answers, and all was about one or few records   those records fail, what else is planned for them unsent
... and answers, and it was about one record each       the run ends: writing is down
======================================================  =============================================================

No usable answer: none at all, one that may pass (5xx, 423, 429), a web page or a redirect in place of the API, or a
refusal of the account's rights, which may concern the one record or everything.

Something before the portal may refuse requests by what is in them (a firewall), by their method or their size. Such
refusals come at once, and say nothing about the portal:

======================================================  =============================================================
a gateway refuses                                       what becomes of it
======================================================  =============================================================
a record                                                it fails alone, and the rest goes on, however many it refuses
... eight in a row of one kind of change                the portal is asked for something small, as above
... two of them about one record                        nothing more of that kind is sent about it
the method, or wants a sign-in, for 32 records in a     that kind of change fails, unsent; all other kinds go on
row
======================================================  =============================================================
"""

from __future__ import annotations

from collections import Counter

from syncd.errors import AuthFailed, Forbidden, Intercepted, ProtocolError, ProxyRefused, RemoteError, TransientError
from syncd.model.change import Action, ObjectKind
from syncd.model.target import NO_SCOPE, fold
from syncd.sync.ports.sides import Portal

Kind = tuple[Action, ObjectKind]
"""A kind of change: each is sent by a method and to an address of its own, which a gateway may let pass or not."""

_ROW = 8
"""So many requests in a row without a usable answer, and somebody has to find out why."""

_OFTEN = 2
"""A record with so many of them is itself the reason, when the portal answers otherwise."""

_WALL = 32
"""So many records of one kind, all refused for what they have in common, and no more of that kind are sent."""

_METHOD_REFUSED = frozenset({405, 501})
_COMMON = _METHOD_REFUSED | {401}
"""Statuses of a gateway that do not depend on what is in a request."""


class Circuit:
    """Judges the answers of one run. Not reused."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal
        self._row: Counter[str] = Counter()
        self._refused: dict[Kind, Counter[str]] = {}
        self._broken: dict[str, str] = {}
        self._broken_kinds: dict[Kind, str] = {}
        self._broken_both: dict[tuple[Kind, str], str] = {}
        self._notes: dict[Kind, str] = {}

    @property
    def notes(self) -> list[str]:
        """What concerns more than one record, as sentences, each once."""
        return list(dict.fromkeys(self._notes.values()))

    def find_broken(self, bps_id: str, kind: Kind) -> str:
        """Return why nothing more of that kind is sent about a record in this run; empty when it is to be sent."""
        if not (self._broken or self._broken_kinds or self._broken_both):
            return ""
        name = fold(bps_id)
        return self._broken.get(name) or self._broken_kinds.get(kind) or self._broken_both.get((kind, name)) or ""

    def close(self, kind: Kind) -> None:
        """A request was answered as it should be."""
        if self._row:
            self._row.clear()
        if self._refused:
            self._refused.pop(kind, None)

    async def weigh(self, bps_id: str, kind: Kind, error: RemoteError) -> RemoteError | None:
        """Take the failure of a request about one record; return the error that ends the run, None when none does."""
        rights = isinstance(error, Forbidden) and error.code != NO_SCOPE
        if isinstance(error, AuthFailed | Forbidden | ProxyRefused) and not rights:
            return error
        if isinstance(error, Intercepted) and (error.status or 0) >= 400:
            return await self._weigh_refusal(fold(bps_id), kind, error)
        if not (rights or isinstance(error, TransientError | ProtocolError)):
            self.close(kind)
            return None
        self._row[fold(bps_id)] += 1
        if self._row.total() < _ROW:
            return None
        row, self._row = self._row, Counter()
        if silence := await self._ask():
            return silence
        often = [name for name, number in row.items() if number >= _OFTEN]
        if not often:
            return error
        self._broken |= dict.fromkeys(often, f"{error}; so it went {_ROW} times in a row, and the rest was not sent")
        return None

    async def _weigh_refusal(self, name: str, kind: Kind, error: Intercepted) -> RemoteError | None:
        """Take a refusal by something before the portal."""
        if error.status in _METHOD_REFUSED:
            self._notes.setdefault(kind, str(error))
        refused = self._refused.setdefault(kind, Counter())
        refused[name] += 1
        if refused.total() % _ROW:
            return None
        if silence := await self._ask():
            return silence
        if len(refused) >= _WALL and error.status in _COMMON:
            why = f"{error}; so it went with {len(refused)} records in a row, and the rest was not sent"
            self._broken_kinds[kind] = self._notes[kind] = why
        often = [each for each, number in refused.items() if number >= _OFTEN]
        self._broken_both |= {(kind, each): f"{error}; it was refused again and again" for each in often}
        return None

    async def _ask(self) -> RemoteError | None:
        """Ask the portal for something small; return what it raised instead of an answer."""
        try:
            await self._portal.check()
        except RemoteError as silence:
            return silence
        return None
