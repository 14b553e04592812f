"""The whole error taxonomy. An error is named for the situation, and its message says the numbers and the way out.

::

    SyncdError
    ├── ConfigError             the operator's settings cannot be used; carries every problem        exit 2
    ├── TransientError          may pass by itself; carries retry_after (seconds) where it was told
    │   ├── Throttled           the other side asked us to wait (429, 503 with Retry-After)
    │   ├── Unavailable         the other side is down or the connection broke (5xx, reset, DNS)
    │   └── Timeout             no answer within our limit
    ├── PermanentError          the same request would fail again; carries status and code
    │   ├── AuthFailed          401, or the token endpoint refused us
    │   ├── Forbidden           403, or a scope or permission is missing
    │   ├── NotFound            404
    │   ├── ProxyRefused        the forward proxy of the settings does not let us through
    │   ├── Conflict            409 (and WEBCON's 405 "already exist")
    │   └── Rejected            any other 4xx
    │       ├── PageExpired     the link to a list's next page came too late: the list must be read from its start
    │       └── BadQuery        what the settings make us ask for cannot be asked for                 exit 2
    ├── ProtocolError           the other side broke its contract (shape, foreign link)
    │   ├── Intercepted         something between us and the other side answered in its place
    │   └── EndlessRound        pages in a circle or without an end: the round must begin anew
    │       └── EmptyPages      so many pages without an entry that the rest is left to the next run
    ├── ResyncRequired          the checkpoint is dead: a full pull is needed
    ├── IncompleteRead          no proof of completeness: additive work only
    ├── UnknownObject           an operator named what nobody bears, or several do                  exit 2
    ├── NotLeft                 a certificate was asked for about somebody who has not left
    ├── UnsafePlan              a plan that a guard withholds
    ├── PortalRestored          the portal went back in time, and is not written to
    ├── UnusablePlanFile        a plan file that is damaged, edited, foreign or too new             exit 2
    ├── NotInstalled            an optional part of syncd is asked for and is not installed
    ├── Interrupted             the run was asked to stop, and stopped at the next safe place
    └── StoreError              our own store failed
        ├── SchemaMismatch      the store is at another revision than the program: refuse to start
        └── StoreLocked         another syncd works on this store                                     exit 75

They decide something in three places only: ``http`` (retry), ``sync.apply`` (skip, defer, stop) and ``sync.runs``
(close the run).
"""

from __future__ import annotations

from collections.abc import Sequence


class SyncdError(Exception):
    """Base of everything that syncd raises on purpose."""


class ConfigError(SyncdError):
    """Settings that cannot be used. ``problems`` lists all of them, each naming the key, the value and the way out.

    ``where`` says which file the settings were read from, or where one was looked for; empty when the problems do.
    """

    def __init__(self, problems: Sequence[str], *, where: str = "") -> None:
        self.problems: tuple[str, ...] = tuple(problems)
        self.where = where
        super().__init__("; ".join(self.problems))


class RemoteError(SyncdError):
    """Something that Graph or the portal answered, or failed to answer.

    ``status`` is the HTTP status (None when there was no answer), ``code`` the other side's own error code, ``sent``
    whether the request may have taken effect, ``location`` the Location header of the answer, ``repeated`` that this
    answers a repetition: an attempt before was turned away, and whoever did that may not have known its effect.
    ``foreign_record``: the other side said that the record written to belongs to another maker.
    ``own``: these are the other side's own words, in the shape in which its API answers; without it nobody is accused.
    ``done``: of a call for several people, the BPS ids of those for whom it has taken effect before it was broken off.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        retry_after: float | None = None,
        sent: bool = True,
        location: str = "",
        foreign_record: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.retry_after = retry_after
        self.sent = sent
        self.location = location
        self.foreign_record = foreign_record
        self.repeated = False
        self.own = False
        self.done: frozenset[str] = frozenset()


class TransientError(RemoteError):
    """May pass by itself. ``retry_after`` is in seconds, None when the other side named no time."""


class Throttled(TransientError):
    """The other side asked us to slow down; the request had no effect."""


class Unavailable(TransientError):
    """The other side is down, or the connection broke; a write may or may not have taken effect (see ``sent``)."""


class Timeout(TransientError):
    """No answer in time; a write may or may not have taken effect."""


class PermanentError(RemoteError):
    """Repeating the same request would fail again."""


class AuthFailed(PermanentError):
    """The credentials or the token were refused."""


class Forbidden(PermanentError):
    """A permission or scope is missing."""


class NotFound(PermanentError):
    """The object does not exist (any more)."""


class ProxyRefused(PermanentError):
    """The forward proxy that the settings name wants a sign-in, or does not let us reach that address."""


class Conflict(PermanentError):
    """The other side already has such an object, or a named object does not exist there."""


class Rejected(PermanentError):
    """The request was understood and refused."""


class PageExpired(Rejected):
    """The link to the next page of a list came too late."""


class NotOffered(Rejected):
    """The other side knows no such address at all, whatever is asked there; what can be done another way is."""


class BadQuery(Rejected):
    """A query that the settings make was refused, and would be refused again: a mistake of the configuration.

    ``said``: the other side's own words.
    """

    def __init__(self, message: str, *, status: int | None = None, code: str = "", said: str = "") -> None:
        super().__init__(message, status=status, code=code)
        self.said = said


class ProtocolError(RemoteError):
    """The other side broke its contract: an unreadable shape, a link to a foreign host."""


class Intercepted(ProtocolError):
    """Something between us and the other side (a gateway, a firewall, a web server) answered in its place.

    It says nothing about a scope, a record or who made it. Whether the request was passed on is not known.
    """


UNCLEAR = (TransientError, ProtocolError)
"""After these nobody knows whether a write took effect, where ``sent`` says so: no answer, or a page in its place."""


class EndlessRound(ProtocolError):
    """The pages of a list go in a circle or do not end; following the last link again would lead there again."""


class EmptyPages(EndlessRound):
    """So many pages without any entry came in a row that a run ends there; the next one goes on behind them."""


class ResyncRequired(RemoteError):
    """The checkpoint was declared dead by the source; a full pull is needed. ``location`` may name the fresh start."""


class IncompleteRead(SyncdError):
    """A full read ended without a proof of completeness; nothing may be removed because of it."""


class UnknownObject(SyncdError):
    """An operator named an object that neither side has, or a name that several bear; the message lists their ids."""


class NotLeft(SyncdError):
    """A certificate was asked for about somebody who has not left; the message says where to look instead."""


class UnsafePlan(SyncdError):
    """A plan that a guard withholds; the message carries counts, limit and way out."""


class PortalRestored(SyncdError):
    """The portal went back in time: it shows what was there before our last writes, and is not written to."""


class UnusablePlanFile(SyncdError):
    """A plan file that cannot be applied, whatever the two sides look like; nothing was read or written."""


class NotInstalled(SyncdError):
    """An optional part of syncd is asked for and is not installed; the message says how to get it."""


class Interrupted(SyncdError):
    """The run was asked to stop; what it did up to then is recorded, and the next run goes on from there."""


class StoreError(SyncdError):
    """Our own store failed; what was committed before is intact."""


class SchemaMismatch(StoreError):
    """The store is at another revision than this program; the message names the command that helps."""


class StoreLocked(StoreError):
    """Another syncd works on this store."""
