"""The one HTTP client: every request to Graph and to the portal goes through here.

It owns time limits, size limits, the retry policy and the quiet time after a throttled answer, and it takes what was
sent in confidence out of every error answer before anybody reads it. It never follows a redirect (a bearer token must
not travel to a host that nobody configured) and never reads proxy or certificate settings from the environment. It
knows neither Graph nor WEBCON: an adapter passes a function that reads that side's error body.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

import aiohttp
import stamina
import structlog
from multidict import CIMultiDict
from yarl import URL

from syncd.clock import Clock
from syncd.errors import RemoteError, Throttled, TransientError, Unavailable
from syncd.http.answer import Response, Told, make_error, read_page
from syncd.http.body import read_body
from syncd.http.concurrency import Admission, ConcurrencyLimit
from syncd.http.confidential import Confidential, list_credentials
from syncd.http.options import HttpOptions, RetryPolicy, Traffic
from syncd.http.silence import HEADER_BYTES, NO_ANSWER, explain_proxy, explain_silence
from syncd.http.times import Times
from syncd.http.trust import load_ssl_context
from syncd.time_limit import TimeLimit

_HEADERS = 512
"""So many header lines at most."""
_TEXT_BYTES, _JSON_BYTES = 64 << 10, 1 << 20
"""What is read of an error answer: of a page its beginning, and of JSON as much as a page of a list may have."""
_BYTE_ORDER_MARKS = ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16"))
_PROXY_HEADERS = ("X-Squid-Error", "Proxy-Status", "Proxy-Authenticate")
"""Signs of an answer by a forward proxy itself (the second by RFC 9209)."""
_LOG_PAUSE_SECONDS = 60.0
"""Minimum seconds between two ``http.retry`` warnings about one remote."""
_LONGEST_QUIET = 3600.0
"""Seconds for which a Retry-After is remembered at most; a side that still wants quiet then says so again."""

_TICK = 0.001
"""Seconds. A rest below this is no wait: the event loop treats a tiny sleep as due at once, without time passing."""

ErrorReader = Callable[[Response], Told]
"""Reads what an error answer says; must accept any body."""

Classify = Callable[[Response, Told], RemoteError | None]
"""Given an answer and what it says, may name a more precise error than the table; None keeps the table's."""


def stop_logging_retries() -> None:
    """Let stamina say nothing of each retry in this process: it would log errors whole, which may name people.

    A client logs the first failure and the recovery itself, and counts the rest.
    """
    stamina.instrumentation.set_on_retry_hooks(())


@contextmanager
def hurried_retries(attempts: int) -> Iterator[None]:
    """Let retries in this process follow at once, at most so many: for two sides that are an imitation of our own."""
    with stamina.set_testing(True, attempts=attempts, cap=True):
        yield


class HttpClient:
    """The HTTP client of one remote: pool, time and size limits, retries, and a Retry-After that all requests share.

    Use as an async context manager.
    """

    def __init__(self, name: str, options: HttpOptions, clock: Clock) -> None:
        self.name = name
        self.traffic = Traffic()
        self.times = Times(clock)
        self._options = options
        self._clock = clock
        self._quiet = options.shared.until
        self._session: aiohttp.ClientSession | None = None
        self._limit = TimeLimit(options.answer_timeout)
        self._admission: Admission | None = None
        self._sign_in = _make_sign_in(options.proxy_url)
        self._large = asyncio.Lock()
        self._sent = options.shared.sent
        self._sent.keep(list_credentials(options.proxy_url))
        self._troubled = False
        self._no_word_before = float("-inf")
        self._log = structlog.get_logger("syncd.http")

    @property
    def confidential(self) -> Confidential:
        """What was sent and must not be repeated."""
        return self._sent.confidential

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(load_ssl_context, self._options.ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._options.concurrency, ssl=context, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._options.connect_timeout),
            headers={"User-Agent": "syncd", "Accept": "application/json", **self._options.headers},
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            max_headers=_HEADERS,
            proxy=None if self._options.proxy_url is None else URL(self._options.proxy_url).with_user(None),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        session, self._session = self._session, None
        self._limit.close()
        if session is not None:
            await session.close()

    async def send(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        kind: Hashable = None,
        secrets: Sequence[str] = (),
        retry: RetryPolicy | None = None,
        read_error: ErrorReader = read_page,
        classify: Classify | None = None,
    ) -> Response:
        """Send one request and return its 2xx answer, retrying what the policy allows.

        ``kind``: what else takes about as long as this request, beside its method. ``secrets`` are texts of the
        request, beside a token in its headers, that no message may repeat.

        Any other answer raises: Throttled, Unavailable and Timeout when the patience is used up, otherwise the error
        of the status table, or the one that ``classify`` names.
        """
        policy = retry or RetryPolicy()
        self._remember(headers, secrets)

        async def attempt_once() -> Response:
            if self._quiet:
                await self._keep_quiet(_name_host(url), policy.patience)
            response = await self._admit(method, url, headers, body, kind=kind)
            return self._judge(self._complete(response, method, url), url, read_error, classify)

        try:
            return await attempt_once()
        except TransientError as error:
            failure: TransientError | None = error
        # Only now is a retry loop worth its price; its first attempt is the one that has just failed.
        started = self._clock.monotonic()

        def decide(error: Exception) -> bool | float:
            if not isinstance(error, TransientError) or (error.sent and not policy.repeatable):
                return False
            if error.retry_after is None:
                return True
            rest = policy.patience - (self._clock.monotonic() - started)
            return error.retry_after if error.retry_after <= rest else False

        async for attempt in stamina.retry_context(
            on=decide,
            attempts=policy.attempts,
            timeout=policy.patience,
            wait_initial=policy.wait_initial,
            wait_max=policy.wait_max,
            wait_jitter=policy.wait_initial,
        ):
            with attempt:
                if failure is not None:
                    known, failure = failure, None
                    if decide(known) is not False:
                        self._note_trouble(known)
                    raise known
                self.traffic.retries += 1
                try:
                    return await attempt_once()
                except RemoteError as error:
                    error.repeated = True
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def ask(
        self,
        method: str,
        url: URL,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        secrets: Sequence[str] = (),
    ) -> Response:
        """Send one request once, and return its answer with whatever status; raises where there is none.

        What was sent in confidence is taken out of an error answer here as well.
        """
        self._remember(headers, secrets)
        response = self._complete(await self._admit(method, url, headers, body), method, url)
        self._refuse_proxy(response, url, own=False)
        return response

    def _judge(self, response: Response, url: URL, read_error: ErrorReader, classify: Classify | None) -> Response:
        """Return a 2xx answer; raise what any other one means."""
        if 200 <= response.status < 300:
            self.times.note(response.headers)
            if self._troubled:
                self._troubled = False
                self._log.info("http.recovered", side=self.name)
            return response
        told = read_error(response)
        self._refuse_proxy(response, url, own=told.own)
        error = classify(response, told) if classify else None
        error = error or make_error(self.name, response, told, self._clock)
        error.own = told.own
        if isinstance(error, Throttled):
            self._note_throttle(_name_host(url), error)
        raise error

    def _refuse_proxy(self, response: Response, url: URL, *, own: bool) -> None:
        """Raise what an answer of the forward proxy means, where it answers itself a request by plain http."""
        if self._options.proxy_url is None or url.scheme != "http" or own:
            return
        signs = any(name in response.headers for name in _PROXY_HEADERS)
        if response.status == 407 or (response.status >= 400 and signs):
            raise explain_proxy(response.status, response.headers, url=url, options=self._options)

    def _remember(self, headers: Mapping[str, str] | None, secrets: Sequence[str]) -> None:
        """Note what must not be repeated by anybody who answers from now on."""
        token = headers.get("Authorization", "").partition(" ")[2] if headers else ""
        self._sent.remember((token, *secrets))

    def _complete(self, response: Response, method: str, url: URL) -> Response:
        """Return the answer as it is read: as UTF-8, with what was asked, and an error without what was sent."""
        body, headers, hidden = _read_text(response.body), response.headers, self.confidential
        if response.status >= 300:
            body = hidden.mask_bytes(body[: _JSON_BYTES if body.lstrip()[:1] == b"{" else _TEXT_BYTES])
            headers = CIMultiDict((name, hidden.mask(value)) for name, value in headers.items())
        return Response(response.status, headers, body, method, str(url), hidden)

    def _note_trouble(self, error: TransientError) -> None:
        """Log the first failure of a time of trouble, so that a long silence has an explanation."""
        now = self._clock.monotonic()
        if self._troubled or now < self._no_word_before:
            return
        self._troubled, self._no_word_before = True, now + _LOG_PAUSE_SECONDS
        self._log.warning(
            "http.retry",
            side=self.name,
            error=type(error).__name__,
            status=error.status,
            reason=str(error),
            wait=error.retry_after,
        )

    def _note_throttle(self, host: str, error: Throttled) -> None:
        self.traffic.throttled += 1
        if error.retry_after is not None:
            pause = min(error.retry_after, _LONGEST_QUIET)
            self._quiet[host] = max(self._quiet.get(host, 0.0), self._clock.monotonic() + pause)

    async def _keep_quiet(self, host: str, patience: float) -> None:
        """Wait out the Retry-After that any request to this host was told: all of them would only make it longer.

        One that asks for more than ``patience`` seconds is not waited for: Throttled, as for the request that was told.
        """
        while (rest := self._quiet.get(host, 0.0) - self._clock.monotonic()) > _TICK:
            if rest > patience:
                raise Throttled(
                    f"{self.name} asked for no request in the next {rest:.0f} s", retry_after=rest, sent=False
                )
            await self._clock.sleep(max(rest, _TICK))
        self._quiet.pop(host, None)

    async def _admit(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        *,
        kind: Hashable = None,
    ) -> Response:
        """Exchange, after waiting for a place where the side bears only so many at once."""
        if not self._options.adaptive:
            return await self._exchange(method, url, headers, body)
        if self._admission is None:
            host = _name_host(url)
            limit = self._options.shared.borne.setdefault(host, ConcurrencyLimit(self._options.concurrency))
            self._admission = Admission(limit)
        async with self._admission.place((method, kind), self._clock) as answered:
            response = await self._exchange(method, url, headers, body)
            answered(response.status)
            return response

    async def _exchange(self, method: str, url: URL, headers: Mapping[str, str] | None, body: bytes | None) -> Response:
        if self._session is None:
            raise Unavailable(f"{self.name}: the connection pool is closed", sent=False)
        self.traffic.requests += 1
        try:
            with self._limit.limit():
                proxied = self._sign_in if url.scheme == "https" else None  # a tunnel is asked for by itself
                if self._sign_in and not proxied:
                    headers = {**(headers or {}), **self._sign_in}
                async with self._session.request(
                    method, url, headers=headers, data=body, allow_redirects=False, proxy_headers=proxied
                ) as answer:
                    content = await read_body(answer, self._options, name=self.name, large=self._large)
                    self.traffic.bytes_received += len(content)
                    return Response(answer.status, answer.headers, content)
        except NO_ANSWER as error:
            raise explain_silence(error, name=self.name, url=url, options=self._options) from None


def _name_host(url: URL) -> str:
    return f"{url.host}:{url.port}"


def _make_sign_in(proxy_url: str | None) -> dict[str, str]:
    """Return the header that signs in to a proxy whose address has a user name and a password."""
    url = URL(proxy_url or "")
    return {"Proxy-Authorization": aiohttp.encode_basic_auth(url.user, url.password or "")} if url.user else {}


def _read_text(content: bytes) -> bytes:
    """Return a body without a byte order mark, and in UTF-8 whatever the mark stood for."""
    for mark, encoding in _BYTE_ORDER_MARKS:
        if content.startswith(mark):
            return content.decode(encoding, "replace").encode()
    return content
