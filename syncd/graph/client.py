"""One authorised request to Microsoft Graph: token, manners, links, refusals, unreadable answers.

Knows no resource: which path is asked for and what its body means is the caller's matter.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TypeVar

from yarl import URL

from syncd.clock import Clock
from syncd.errors import AuthFailed, Forbidden, Intercepted, ProtocolError, RemoteError, Unavailable
from syncd.graph.auth.challenge import ClaimsWanted
from syncd.graph.auth.tokens import TokenSource
from syncd.graph.budget import ResourceBudget, price
from syncd.graph.credentials import ManagedIdentity
from syncd.graph.options import GraphOptions
from syncd.graph.retry import Progress, repeat_while
from syncd.graph.wire.refusals import Purpose, read_error, to_error
from syncd.http import HttpClient, HttpOptions, Response, RetryPolicy, Told
from syncd.logs.quotes import quote

T = TypeVar("T")

_VERSION = "/v1.0"
_UNREADABLE_ATTEMPTS = 3
_ANSWER_BYTES = 64 << 20
"""A page has a thousand objects at most, and a batch as many answers as twenty."""


class GraphClient:
    """Sends requests for one tenant. ``new_id`` makes the client-request-id that Microsoft's support asks for."""

    def __init__(
        self,
        door: HttpClient,
        tokens: TokenSource,
        *,
        options: GraphOptions,
        clock: Clock,
        new_id: Callable[[], str] = lambda: str(uuid.uuid4()),
    ) -> None:
        self.door = door
        self.tokens = tokens
        self.options = options
        self.budget = ResourceBudget(clock)
        self.progress = Progress(clock)
        self._new_id = new_id
        self._clock = clock
        self._root = URL(options.base_url.rstrip("/"))

    def make_url(self, path: str) -> URL:
        """Return the address of a path such as ``/users/delta?$select=id``, which must be encoded already."""
        return URL(f"{str(self._root).rstrip('/')}{_VERSION}{path}", encoded=True)

    def find_target(self, url: URL) -> str:
        """Return path and query of an address of ours below the version, as the requests of a batch name them."""
        return url.raw_path_qs.removeprefix(self._root.raw_path.rstrip("/")).removeprefix(_VERSION)

    def check_link(self, link: str) -> URL:
        """Return a link of Graph's, byte for byte; ProtocolError when it leads anywhere but to our Graph root.

        The bearer token travels with the request, so a foreign link must be refused before it is followed or stored.
        """
        try:
            url = URL(link, encoded=True)
            host, port = url.host or "", url.port  # read here: of a host outside of ASCII they raise
            at_home = url.scheme == "https" and port == self._root.port
            at_home = at_home and host.lower() == (self._root.host or "").lower()
            inside = url.raw_path.startswith(f"{_VERSION}/") and ".." not in url.raw_path
            plain = not url.user and not url.password and link.isascii() and link.isprintable() and " " not in link
        except ValueError as error:
            raise ProtocolError("Microsoft Graph sent a link that is no address; it is not followed") from error
        if not (at_home and inside and plain):
            raise ProtocolError(
                f"Microsoft Graph sent a link to {quote(self.door.confidential.mask(host)) or 'nowhere'}, outside of "
                f"{self._root}{_VERSION}; it is not followed (graph.base_url names the only permitted host)"
            )
        return url

    async def fetch(
        self,
        url: URL,
        parse: Callable[[Response], T],
        *,
        purpose: Purpose,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        retry: RetryPolicy | None = None,
        units: int | None = None,
    ) -> T:
        """Send one request that does no harm when repeated, and return what ``parse`` makes of its answer.

        What it costs is waited for where the tenant's budget is spent; ``units`` says what a batch costs. Being refused
        for the budget is no failure as long as other requests are answered, or without ``retry`` for some minutes.

        An answer that ``parse`` refuses (Unavailable, ProtocolError) is asked for again, a few times. Raises what the
        door raises, ResyncRequired for a dead link, and Forbidden with the missing permission.
        """
        cost = price(self.find_target(url)) if units is None else units
        async for attempt in repeat_while(_is_unreadable, attempts=_UNREADABLE_ATTEMPTS):
            # Outside of the attempt: the door has retried what may be retried.
            async def send() -> Response:
                return await self._send(
                    method, url, purpose=purpose, headers=dict(headers or {}), body=body, retry=retry, units=cost
                )

            answers = [await (self.progress.wait_out(send) if retry is None else send())]
            with attempt:
                found = _read(answers, parse)
                if method == "GET":  # a batch is answered part by part
                    self.progress.note()
                return found
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _send(
        self,
        method: str,
        url: URL,
        *,
        purpose: Purpose,
        headers: dict[str, str],
        body: bytes | None,
        retry: RetryPolicy | None,
        units: int,
    ) -> Response:
        """Send with a token; when it is refused, or lacks a permission, once more with a fresh one."""
        headers["client-request-id"] = self._new_id()
        budget = self.budget

        def judge_answer(response: Response, told: Told) -> RemoteError | None:
            if response.status == 429:
                budget.hold(None)  # the door keeps the Retry-After itself
            return to_error(purpose, self._clock, response, told)

        async def send(token: str) -> Response:
            await budget.take(units)
            response = await self.door.send(
                method,
                url,
                headers={**headers, "Authorization": f"Bearer {token}"},
                body=body,
                retry=retry,
                read_error=read_error,
                classify=judge_answer,
            )
            budget.hear(response.headers, expected=units)
            return response

        token = await self.tokens.fetch()
        try:
            return await send(token)
        except AuthFailed as error:
            if error.status != 401:
                raise
            self.tokens.invalidate(token)
            claims = error.claims if isinstance(error, ClaimsWanted) else ""
        except Forbidden as error:
            newer = await self.tokens.renew(token)
            if newer is not None:
                return await send(newer)
            if not isinstance(self.options.credential, ManagedIdentity):
                raise
            # Managed identities, "Known issues": roles and permissions are in tokens that Azure keeps for a day.
            raise Forbidden(
                f"{error}; Azure keeps the tokens of a managed identity for up to 24 hours, "
                "so a permission granted just now may be seen that late",
                status=error.status,
                code=error.code,
            ) from error
        fresh = await self.tokens.fetch(claims)
        try:
            return await send(fresh)
        except ClaimsWanted:
            raise
        except AuthFailed as error:
            if not error.own:
                raise Intercepted(
                    f"{error}; these are no words of Microsoft Graph: something before it wants a sign-in of its own, "
                    "which syncd does not do; let it pass requests to Graph",
                    status=error.status,
                ) from error
            raise AuthFailed(
                f"{error}; a fresh token of {self.options.authority_url} was refused too: "
                "check that graph.base_url and graph.authority_url belong to the same cloud",
                status=error.status,
                code=error.code,
            ) from error


def _read(answers: list[Response], parse: Callable[[Response], T]) -> T:
    """Return what ``parse`` makes of the one answer, which is taken out of the list.

    What it raises holds nothing of the answer: frames would keep it in memory while it is asked for again.
    """
    try:
        return parse(answers.pop())
    except (ProtocolError, Unavailable) as error:
        refused = error
    cause: BaseException | None = refused
    while cause is not None:
        cause.__traceback__ = None
        cause = cause.__cause__ or cause.__context__
    raise refused


def _is_unreadable(error: Exception) -> bool:
    return isinstance(error, ProtocolError | Unavailable)


@asynccontextmanager
async def open_client(options: GraphOptions, clock: Clock) -> AsyncIterator[GraphClient]:
    """Open the connection pool to Graph; nothing is sent yet. Tokens go another way and are not in its traffic."""
    door_options = HttpOptions(
        address_setting=f"graph.base_url, {options.proxy_setting} and the network",
        ca_setting="graph.ca_file",
        proxy_setting=options.proxy_setting,
        ca_file=options.ca_file,
        proxy_url=options.proxy_url,
        concurrency=options.concurrency,
        size_limit=_ANSWER_BYTES,
        # A mirror can wait: under throttling, people's own work goes first (throttling limits, request headers).
        headers={"x-ms-throttle-priority": "low"},
        shared=options.shared,
    )
    async with HttpClient("Microsoft Graph", door_options, clock) as door:
        yield GraphClient(door, TokenSource(options, clock), options=options, clock=clock)
