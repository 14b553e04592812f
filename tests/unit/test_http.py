"""What the HTTP door promises to both adapters, against a real server on loopback and in virtual time."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
import trustme
from aiohttp import web
from yarl import URL

from syncd.clock import Clock
from syncd.errors import (
    AuthFailed,
    Conflict,
    Forbidden,
    Intercepted,
    NotFound,
    ProtocolError,
    Rejected,
    RemoteError,
    Throttled,
    Timeout,
    Unavailable,
)
from syncd.http import (
    HttpClient,
    HttpOptions,
    Response,
    RetryPolicy,
    Shared,
    Told,
    excerpt,
    make_error,
    parse_retry_after,
)

pytestmark = pytest.mark.looptime

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)


class LoopClock(Clock):
    """Time as the event loop has it, so that minutes of waiting pass at once."""

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Scripted:
    """A server that gives one prepared answer after the other, then 200 for ever, and remembers when it was asked."""

    answers: list[Answer] = field(default_factory=list)
    asked_at: list[float] = field(default_factory=list)
    url: URL = field(default_factory=URL)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked_at.append(asyncio.get_running_loop().time())
        await request.read()
        if self.answers:
            return await self.answers.pop(0)(request)
        return web.Response(text="fine")


def status(code: int, body: str = "", **headers: str) -> Answer:
    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=code, text=body, headers={k.replace("_", "-"): v for k, v in headers.items()})

    return answer


def read_own(response: Response) -> Told:
    """Read any body as the words of the other side itself."""
    return Told(code="E1", words=response.body.decode(), own=True)


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def serve(handler: Answer, ssl_context: ssl.SSLContext | None = None) -> tuple[web.AppRunner, int]:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=ssl_context)
    await site.start()
    return runner, runner.addresses[0][1]


@pytest.fixture
async def server() -> AsyncIterator[Scripted]:
    scripted = Scripted()
    runner, port = await serve(scripted.handle)
    scripted.url = URL(f"http://127.0.0.1:{port}/x")
    yield scripted
    await runner.cleanup()


@pytest.fixture
async def door() -> AsyncIterator[HttpClient]:
    async with HttpClient("the other side", HttpOptions(), LoopClock()) as opened:
        yield opened


async def test_a_success_is_returned_whole_and_counted(server: Scripted, door: HttpClient) -> None:
    """A 2xx answer comes back with status, headers and body, and the traffic knows of it."""
    answer = await door.send("GET", server.url)
    assert (answer.status, answer.body) == (200, b"fine")
    assert (door.traffic.requests, door.traffic.retries, door.traffic.bytes_received) == (1, 0, 4)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Mon, 23 Nov 2026 09:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2026 08:00:00 GMT", 0.0),
        ("Mon, 23 Nov 2026 10:00:30 +0100", 30.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
    ],
)
async def test_every_form_of_retry_after_is_read(value: str | None, seconds: float | None) -> None:
    """Seconds, fractions and dates are seconds from now, never negative; what cannot be read counts as absent."""
    assert parse_retry_after(value, LoopClock()) == seconds


@pytest.mark.parametrize(
    ("code", "kind", "sent"),
    [
        (400, Rejected, True),
        (401, AuthFailed, True),
        (403, Forbidden, True),
        (404, NotFound, True),
        (405, Rejected, True),
        (408, Timeout, True),
        (409, Conflict, True),
        (423, Unavailable, False),
        (425, Throttled, False),
        (429, Throttled, False),
        (500, Unavailable, True),
        (501, Rejected, True),
        (502, Unavailable, True),
        (503, Unavailable, False),
        (504, Unavailable, True),
        (302, ProtocolError, True),
    ],
)
async def test_each_status_has_its_error(code: int, kind: type[RemoteError], sent: bool) -> None:
    """The status table names the situation, and says whether a write may have taken effect."""
    error = make_error("it", Response(code, {}, b""), Told(code="Code", words="words", own=True), LoopClock())
    assert type(error) is kind
    assert (error.status, error.sent) == (code, sent)
    assert "it answered" in str(error)
    assert code == 302 or "Code: “words”" in str(error)


@pytest.mark.parametrize("code", [400, 402, 403, 404, 405, 406, 409, 410, 411, 413, 414, 415, 418, 421, 451, 501])
async def test_words_that_are_not_its_own_accuse_nobody(code: int) -> None:
    """A permanent refusal by something in between is Intercepted, and whether it was passed on is not known."""
    page = Told(words="Forbidden by policy", page=True)
    error = make_error("it", Response(code, {}, b"", "PATCH"), page, LoopClock())
    assert type(error) is Intercepted
    assert (error.status, error.sent, error.own) == (code, True, False)
    assert f"({code}: a web page “Forbidden by policy”)" in str(error)
    assert ("does not let PATCH through" in str(error)) == (code in (405, 501))


@pytest.mark.parametrize(("code", "kind"), [(401, AuthFailed), (408, Timeout), (423, Unavailable), (429, Throttled)])
async def test_what_may_pass_is_the_same_whoever_says_it(code: int, kind: type[RemoteError]) -> None:
    """A fresh token, or a later time, may help."""
    assert type(make_error("it", Response(code, {}, b""), Told(page=True), LoopClock())) is kind


async def test_a_retry_after_is_waited_for_to_the_second(server: Scripted, door: HttpClient) -> None:
    """A throttled request is repeated when the time that was asked for has passed, not earlier."""
    server.answers = [status(429, Retry_After="90")]
    await door.send("GET", server.url)
    assert 90 <= server.asked_at[1] - server.asked_at[0] < 92
    assert (door.traffic.throttled, door.traffic.retries) == (1, 1)


async def test_the_first_failure_and_the_recovery_are_told_once(server: Scripted, door: HttpClient) -> None:
    """A long silence has an explanation in the log; each repetition, and trouble that flickers, has none of its own."""
    server.answers = [status(503), status(503), status(429, Retry_After="5")]
    with structlog.testing.capture_logs() as lines:
        for _ in range(3):
            await door.send("GET", server.url)
        server.answers = [status(500)]
        await door.send("GET", server.url)
        await asyncio.sleep(61)
        server.answers = [status(502)]
        await door.send("GET", server.url)
    assert [(line["event"], line.get("status")) for line in lines] == [
        ("http.retry", 503),
        ("http.recovered", None),
        ("http.retry", 502),
        ("http.recovered", None),
    ]
    assert lines[0]["side"] == "the other side"


async def test_what_is_not_retried_is_not_told(server: Scripted, door: HttpClient) -> None:
    """The one who asked tells it; the log would only repeat it."""
    server.answers = [status(429, Retry_After="3600")]
    with structlog.testing.capture_logs() as lines, pytest.raises(Throttled):
        await door.send("GET", server.url)
    assert lines == []


async def test_every_request_keeps_quiet_after_a_throttled_one(server: Scripted, door: HttpClient) -> None:
    """A Retry-After that one request was told holds back all others of the same door too."""
    server.answers = [status(429, Retry_After="60")]
    told = asyncio.create_task(door.send("GET", server.url))
    while not door.traffic.throttled:
        await asyncio.sleep(0)
    await door.send("GET", server.url)
    await told
    assert all(moment - server.asked_at[0] >= 60 for moment in server.asked_at[1:])


async def test_a_rest_too_small_to_sleep_for_is_no_endless_wait(server: Scripted) -> None:
    """A clock that stops a hair before the end of the quiet time does not keep the door waiting for ever."""

    class StuckClock(LoopClock):
        """Stops a nanosecond before the quiet time ends."""

        naps = 0

        def monotonic(self) -> float:
            return min(super().monotonic(), 1000 - 1e-9)

        async def sleep(self, seconds: float) -> None:
            self.naps += 1
            assert self.naps < 10
            await super().sleep(seconds)

    clock = StuckClock()
    async with HttpClient("it", HttpOptions(), clock) as door:
        server.answers = [status(429, Retry_After=str(1000 - clock.monotonic()))]
        await door.send("GET", server.url, retry=RetryPolicy(patience=2000))
    assert len(server.asked_at) == 2


async def test_a_retry_after_beyond_the_patience_is_not_waited_for(server: Scripted, door: HttpClient) -> None:
    """Neither the request that was told to wait an hour nor any other of that door hangs for an hour."""
    server.answers = [status(429, Retry_After="3600")]
    for _ in range(2):
        with pytest.raises(Throttled) as caught:
            await door.send("GET", server.url, retry=RetryPolicy(patience=100))
        assert caught.value.retry_after == pytest.approx(3600, abs=5)
    assert len(server.asked_at) == 1


async def test_a_pause_that_was_asked_for_outlives_the_door(server: Scripted) -> None:
    """The next run opens doors of its own: it waits for the rest of the time, and only for the same host."""
    clock, options = LoopClock(), HttpOptions(shared=Shared())
    server.answers = [status(429, Retry_After="30")]
    async with HttpClient("it", options, clock) as first:
        with pytest.raises(Throttled):
            await first.send("GET", server.url, retry=RetryPolicy(attempts=1))
    async with HttpClient("it", options, clock) as second:
        await second.send("GET", server.url)
    assert server.asked_at[1] - server.asked_at[0] >= 29
    assert options.shared.until == {}


async def test_a_pause_of_a_year_is_asked_about_again_within_the_hour(server: Scripted) -> None:
    """A gateway with a wrong clock must not silence a daemon until somebody restarts it."""
    clock, options = LoopClock(), HttpOptions(shared=Shared())
    server.answers = [status(429, Retry_After="31536000")]
    async with HttpClient("it", options, clock) as door:
        with pytest.raises(Throttled):
            await door.send("GET", server.url)
    await clock.sleep(3600)
    async with HttpClient("it", options, clock) as door:
        await door.send("GET", server.url)
    assert len(server.asked_at) == 2


async def test_the_sum_of_all_waiting_stays_within_the_patience(server: Scripted, door: HttpClient) -> None:
    """Two waits that are short enough one by one, but too long together, end with the second answer's error."""
    server.answers = [status(429, Retry_After="60"), status(429, Retry_After="60")]
    with pytest.raises(Throttled):
        await door.send("GET", server.url, retry=RetryPolicy(patience=100))
    assert len(server.asked_at) == 2


async def test_retries_end_with_the_last_error(server: Scripted, door: HttpClient) -> None:
    """The number of attempts is a bound, the first one included."""
    server.answers = [status(503, "down")] * 9
    with pytest.raises(Unavailable, match="answered 503: “down”"):
        await door.send("GET", server.url, retry=RetryPolicy(attempts=3))
    assert len(server.asked_at) == 3


@pytest.mark.parametrize("unclear", [status(500), status(502), status(504), hang_up])
async def test_an_unclear_answer_is_retried_only_when_repeating_does_no_harm(
    server: Scripted, door: HttpClient, unclear: Answer
) -> None:
    """A write whose effect is unclear is left to its caller, unless the policy calls it repeatable."""
    server.answers = [unclear]
    with pytest.raises(Unavailable) as caught:
        await door.send("POST", server.url, body=b"{}", retry=RetryPolicy(repeatable=False))
    assert caught.value.sent
    assert len(server.asked_at) == 1
    server.answers = [unclear]
    assert (await door.send("POST", server.url, body=b"{}")).status == 200


async def test_a_refusal_without_effect_is_retried_even_when_not_repeatable(server: Scripted, door: HttpClient) -> None:
    """429 and 503 say that nothing happened, so that sending it again cannot do it twice."""
    server.answers = [status(429), status(503), status(503, Retry_After="1")]
    await door.send("POST", server.url, body=b"{}", retry=RetryPolicy(repeatable=False))
    assert len(server.asked_at) == 4


async def test_a_permanent_refusal_is_not_retried(server: Scripted, door: HttpClient) -> None:
    """What would fail again is raised at once."""
    server.answers = [status(409, "there is one")]
    with pytest.raises(Conflict, match="there is one"):
        await door.send("POST", server.url, read_error=read_own)
    assert len(server.asked_at) == 1


async def test_a_redirect_is_refused(server: Scripted, door: HttpClient) -> None:
    """A token never travels to a host that nobody configured: a redirect is an error that names its target."""
    server.answers = [status(302, Location="https://elsewhere.example/")]
    with pytest.raises(ProtocolError, match=r"elsewhere\.example"):
        await door.send("GET", server.url)
    assert len(server.asked_at) == 1


async def test_the_judge_has_the_last_word(server: Scripted, door: HttpClient) -> None:
    """An adapter may read the error body and name a better error than the table."""
    server.answers = [status(404, "no such route")]
    with pytest.raises(Rejected, match="E1 no such route"):
        await door.send(
            "GET",
            server.url,
            read_error=read_own,
            classify=lambda answer, told: Rejected(f"{told.code} {told.words}", status=answer.status),
        )


@pytest.mark.parametrize("compressed", [False, True])
async def test_an_answer_above_the_size_limit_is_refused(server: Scripted, compressed: bool) -> None:
    """The limit holds for what is announced, for what is streamed and for what a small body decompresses to."""
    text = b"x" * 300_000

    async def answer(request: web.Request) -> web.StreamResponse:
        headers = {"Content-Encoding": "gzip"} if compressed else {}
        return web.Response(body=gzip.compress(text) if compressed else text, headers=headers)

    server.answers = [answer, answer]
    async with HttpClient("it", HttpOptions(size_limit=200_000), LoopClock()) as narrow:
        with pytest.raises(ProtocolError, match="larger than 200000 bytes"):
            await narrow.send("GET", server.url)
    async with HttpClient("it", HttpOptions(size_limit=400_000), LoopClock()) as wide:
        assert len((await wide.send("GET", server.url)).body) == 300_000


async def test_of_an_error_answer_no_more_is_read_than_anybody_looks_at(server: Scripted) -> None:
    """However long it goes on: the error is told, and the connection left."""
    sent = 0

    async def endless(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=400)
        await response.prepare(request)
        with suppress(ConnectionError):
            while sent < 64 << 20:
                await response.write(b" " * (1 << 20))
                sent += 1 << 20
        return response

    server.answers = [endless]
    async with HttpClient("it", HttpOptions(), LoopClock()) as client:
        with pytest.raises(Intercepted):
            await client.send("GET", server.url)
    assert sent < 32 << 20


async def test_an_answer_of_millions_of_values_is_refused(server: Scripted) -> None:
    """Each costs many times the two bytes that it takes on the wire."""

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b"[" + b"1," * 2_000_000 + b"1]")

    server.answers = [answer]
    async with HttpClient("it", HttpOptions(most_values=2_000_000), LoopClock()) as client:
        with pytest.raises(ProtocolError, match="more than 2000000 values"):
            await client.send("GET", server.url)


async def test_large_answers_are_read_one_after_the_other(server: Scripted) -> None:
    """While one of them is under way the rest of another waits; small ones go on."""
    may_end = asyncio.Event()
    begun: list[str] = []

    async def large(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b" " * (3 << 20))
        begun.append("large")
        await may_end.wait()
        await response.write_eof(b"1")
        return response

    server.answers = [large, large]
    async with HttpClient("it", HttpOptions(), LoopClock()) as client, asyncio.TaskGroup() as group:
        both = [group.create_task(client.send("GET", server.url)) for _ in range(2)]
        while len(begun) < 2:
            await asyncio.sleep(0.1)
        assert (await client.send("GET", server.url)).status == 200
        assert not any(task.done() for task in both)
        assert client._large.locked()
        may_end.set()
    assert [len(task.result().body) for task in both] == [(3 << 20) + 1] * 2


async def test_a_silent_server_is_a_timeout(server: Scripted) -> None:
    """No answer within the limit is a Timeout that leaves open whether the request took effect."""

    over = asyncio.Event()

    async def silent(request: web.Request) -> web.StreamResponse:
        await over.wait()
        return web.Response()

    server.answers = [silent]
    async with HttpClient("it", HttpOptions(answer_timeout=5), LoopClock()) as impatient:
        with pytest.raises(Timeout, match="did not answer in time") as caught:
            await impatient.send("POST", server.url, retry=RetryPolicy(repeatable=False))
    assert caught.value.sent
    over.set()


async def test_a_closed_port_is_unavailable_without_effect(door: HttpClient) -> None:
    """Nothing listens there: the error says where, and that nothing was sent."""
    runner, port = await serve(status(200))
    await runner.cleanup()
    with pytest.raises(Unavailable, match=f"127.0.0.1:{port}") as caught:
        await door.send("GET", URL(f"http://127.0.0.1:{port}/"), retry=RetryPolicy(attempts=1))
    assert not caught.value.sent


async def test_a_foreign_certificate_is_named_with_the_way_out(tmp_path: Path) -> None:
    """A certificate of an unknown authority is refused with one sentence naming ca_file; with it, it is accepted."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    ca_file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(ca_file)
    runner, port = await serve(status(200), context)
    url = URL(f"https://localhost:{port}/")
    async with HttpClient("it", HttpOptions(), Clock()) as stranger:
        with pytest.raises(Rejected, match=r"certificate is not trusted.*ca_file"):
            await stranger.send("GET", url)
    async with HttpClient("it", HttpOptions(ca_file=ca_file), Clock()) as friend:
        assert (await friend.send("GET", url)).status == 200
    await runner.cleanup()


async def test_a_closed_door_sends_nothing(server: Scripted) -> None:
    """Outside its context a door refuses, instead of opening a connection that nobody closes."""
    with pytest.raises(Unavailable, match="closed"):
        await HttpClient("it", HttpOptions(), LoopClock()).send("GET", server.url, retry=RetryPolicy(attempts=1))
    assert not server.asked_at


async def test_an_excerpt_is_one_short_line() -> None:
    """Whatever a body contains, a message gets one printable line of bounded length."""
    assert excerpt(Response(200, {}, b"a\n\tb\xff")) == "a b\ufffd"
    assert len(excerpt(Response(200, {}, b"y" * 9000), 50)) == 50
