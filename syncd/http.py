"""The one HTTP client: every request to Graph and to the portal goes through here.

It owns time limits, size limits, the retry policy, the quiet time after a throttled answer and the table from status
to error. It never follows a redirect (a bearer token must not travel to a host that nobody configured) and never reads
proxy or certificate settings from the environment. It knows neither Graph nor WEBCON: an adapter passes a function that
reads that side's error body.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path
from types import TracebackType
from typing import Self

import aiohttp
import msgspec
import stamina
import structlog
from yarl import URL

from syncd.clock import Clock
from syncd.errors import (
    AuthFailed,
    Conflict,
    Forbidden,
    NotFound,
    ProtocolError,
    Rejected,
    RemoteError,
    Throttled,
    Timeout,
    TransientError,
    Unavailable,
)
from syncd.time_limit import TimeLimit

_CHUNK = 1 << 16
_LOG_PAUSE_SECONDS = 60.0
"""Minimum seconds between two ``http.retry`` warnings about one remote."""
_LONGEST_QUIET = 3600.0
"""Seconds for which a Retry-After is remembered at most; a side that still wants quiet then says so again."""

_TICK = 0.001
"""Seconds. A rest below this is no wait: the event loop treats a tiny sleep as due at once, without time passing."""


class Response(msgspec.Struct, frozen=True):
    """One complete answer; ``body`` is decompressed."""

    status: int
    headers: Mapping[str, str]
    body: bytes


ErrorReader = Callable[[Response], tuple[str, str]]
"""Reads (code, message) from the body of an error answer; must accept any body."""

Classify = Callable[[Response, str, str], RemoteError | None]
"""Given (answer, code, message), may name a more precise error than the table; None keeps the table's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How long a request may be repeated.

    ``repeatable`` says that sending it twice does no harm, so that answers which leave its effect unclear (time-out,
    broken connection, 500, 502, 504) are retried too. Refusals that had no effect (429, 503, connection refused) are
    always retried. ``wait_max`` bounds our own backoff; ``patience`` bounds one Retry-After and the sum of all waiting,
    in seconds: a longer one is not waited for, the error is raised.
    """

    attempts: int = 6
    patience: float = 180.0
    wait_initial: float = 0.4
    wait_max: float = 20.0
    repeatable: bool = True


@dataclass(slots=True, kw_only=True)
class Traffic:
    """What went through a client so far."""

    requests: int = 0
    retries: int = 0
    throttled: int = 0
    bytes_received: int = 0


@dataclass(frozen=True, slots=True)
class QuietTimes:
    """Until when (monotonic seconds) each host wants no request. Clients that share it also share what one was told."""

    until: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """How to reach one side. Times are in seconds, sizes in bytes.

    ``address_setting`` and ``ca_setting`` name the settings that an operator looks at when it cannot be reached.
    """

    address_setting: str = "the address"
    ca_setting: str = "ca_file"
    ca_file: Path | None = None
    proxy_url: str | None = None
    concurrency: int = 8
    connect_timeout: float = 15.0
    answer_timeout: float = 100.0
    size_limit: int = 64 << 20
    headers: Mapping[str, str] = field(default_factory=dict)
    quiet: QuietTimes = field(default_factory=QuietTimes)


def silence_retries() -> None:
    """Let stamina say nothing of each retry in this process: it would log errors whole, which may name people.

    A client logs the first failure and the recovery itself, and counts the rest.
    """
    stamina.instrumentation.set_on_retry_hooks(())


class HttpClient:
    """The HTTP client of one remote: pool, time and size limits, retries, and a Retry-After that all requests share.

    Use as an async context manager.
    """

    def __init__(self, name: str, options: HttpOptions, clock: Clock) -> None:
        self.name = name
        self.traffic = Traffic()
        self._options = options
        self._clock = clock
        self._quiet = options.quiet.until
        self._session: aiohttp.ClientSession | None = None
        self._limit = TimeLimit(options.answer_timeout)
        self._troubled = False
        self._no_word_before = float("-inf")
        self._log = structlog.get_logger("syncd.http")

    async def __aenter__(self) -> Self:
        context = await asyncio.to_thread(make_ssl_context, self._options.ca_file)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._options.concurrency, ssl=context, keepalive_timeout=30),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self._options.connect_timeout),
            headers={"User-Agent": "syncd", "Accept": "application/json", **self._options.headers},
            proxy=self._options.proxy_url,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),
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
        retry: RetryPolicy | None = None,
        read_error: ErrorReader | None = None,
        classify: Classify | None = None,
    ) -> Response:
        """Send one request and return its 2xx answer, retrying what the policy allows.

        Any other answer raises: Throttled, Unavailable and Timeout when the patience is used up, otherwise the error
        of the status table, or the one that ``classify`` names.
        """
        policy = retry or RetryPolicy()
        try:
            return await self._attempt(method, url, headers, body, policy, read_error, classify)
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
                    return await self._attempt(method, url, headers, body, policy, read_error, classify)
                except RemoteError as error:
                    error.repeated = True
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def _attempt(
        self,
        method: str,
        url: URL,
        headers: Mapping[str, str] | None,
        body: bytes | None,
        policy: RetryPolicy,
        read_error: ErrorReader | None,
        classify: Classify | None,
    ) -> Response:
        if self._quiet:
            await self._keep_quiet(_name_host(url), policy.patience)
        response = await self._exchange(method, url, headers, body)
        if 200 <= response.status < 300:
            if self._troubled:
                self._troubled = False
                self._log.info("http.recovered", side=self.name)
            return response
        code, message = read_error(response) if read_error else ("", excerpt(response.body))
        error = classify(response, code, message) if classify else None
        error = error or make_error(self.name, response, code=code, message=message, clock=self._clock)
        if isinstance(error, Throttled):
            self._note_throttle(_name_host(url), error)
        raise error

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
            reason=str(error) if error.status is None else None,  # an answer's own words may name somebody
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

    async def _exchange(self, method: str, url: URL, headers: Mapping[str, str] | None, body: bytes | None) -> Response:
        if self._session is None:
            raise Unavailable(f"{self.name}: the connection pool is closed", sent=False)
        self.traffic.requests += 1
        try:
            with self._limit.limit():
                async with self._session.request(
                    method, url, headers=headers, data=body, allow_redirects=False
                ) as answer:
                    content = await self._read_body(answer)
                    self.traffic.bytes_received += len(content)
                    return Response(answer.status, answer.headers, content)
        except TimeoutError as error:
            sent = not isinstance(error, aiohttp.ConnectionTimeoutError)
            raise Timeout(f"{self.name} ({url.host}) did not answer in time", sent=sent) from error
        except aiohttp.ClientConnectorCertificateError as error:
            raise Rejected(
                f"{self.name} ({url.host}): its certificate is not trusted: {error.certificate_error}; "
                f"name the authority's certificate with {self._options.ca_setting}",
                sent=False,
            ) from error
        except aiohttp.ClientConnectorError as error:
            raise Unavailable(
                f"{self.name} ({url.host}:{url.port}) cannot be reached: {_name_cause(error.os_error)}; "
                f"check {self._options.address_setting}",
                sent=False,
            ) from error
        except (aiohttp.ClientError, ConnectionError, ssl.SSLError) as error:
            raise Unavailable(f"{self.name} ({url.host}): the connection broke: {error!r}") from error

    async def _read_body(self, answer: aiohttp.ClientResponse) -> bytes:
        """Read the whole body, but never more than the size limit, also of what decompresses to more."""
        announced = answer.content_length
        small = announced is not None and announced <= min(_CHUNK, self._options.size_limit)
        if small and "Content-Encoding" not in answer.headers:
            return await answer.read()
        content = bytearray()
        async for chunk in answer.content.iter_chunked(_CHUNK):
            content += chunk
            if len(content) > self._options.size_limit:
                raise ProtocolError(
                    f"{self.name}: an answer is larger than {self._options.size_limit} bytes", status=answer.status
                )
        return bytes(content)


def _name_cause(error: OSError) -> str:
    """Say why a connection failed, as the system says it: "Connection refused", "Name or service not known"."""
    if isinstance(error, socket.gaierror) or not error.errno or error.errno < 0:
        return error.strerror or str(error)
    return os.strerror(error.errno)


def _name_host(url: URL) -> str:
    return f"{url.host}:{url.port}"


def make_ssl_context(ca_file: Path | None) -> ssl.SSLContext:
    """Return a verifying context: the system's authorities and, when given, those of ``ca_file`` (PEM)."""
    context = ssl.create_default_context()
    if ca_file is not None:
        context.load_verify_locations(cafile=str(ca_file))
    return context


def make_error(name: str, response: Response, *, code: str, message: str, clock: Clock) -> RemoteError:
    """Map an answer that is no success to an error of our taxonomy (the status table)."""
    status = response.status
    said = f"{name} answered {status}" + (f" {code}" if code else "") + (f": {message}" if message else "")
    wait = parse_retry_after(response.headers.get("Retry-After"), clock)
    location = response.headers.get("Location", "")
    if status in (425, 429) or (status == 503 and wait is not None):
        return Throttled(said, status=status, code=code, retry_after=wait, sent=False)
    if status in (423, 503):
        return Unavailable(said, status=status, code=code, retry_after=wait, sent=False)
    if status == 408:
        return Timeout(said, status=status, code=code, retry_after=wait)
    if status >= 500 and status != 501:
        return Unavailable(said, status=status, code=code, retry_after=wait)
    if 300 <= status < 400:
        return ProtocolError(f"{said}; redirects are not followed (to {location or 'nowhere'})", status=status)
    kind = {401: AuthFailed, 403: Forbidden, 404: NotFound, 409: Conflict}.get(status, Rejected)
    return kind(said, status=status, code=code, retry_after=wait, location=location)


def parse_retry_after(value: str | None, clock: Clock) -> float | None:
    """Read a Retry-After header: seconds (also fractional) or an HTTP date; None for absent, empty or unreadable.

    Fractional and empty values are seen on Graph's wire (reports of its own SDKs' users).
    """
    if value is None or not value.strip():
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = parsedate_to_datetime(text)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - clock.now()).total_seconds()
    if seconds != seconds or seconds == float("inf"):
        return None
    return max(0.0, seconds)


def excerpt(body: bytes, limit: int = 200) -> str:
    """Return the beginning of a body as one printable line, for an error message."""
    text = " ".join(body[: limit * 4].decode("utf-8", "replace").split())
    return text if len(text) <= limit else text[: limit - 1] + "…"
