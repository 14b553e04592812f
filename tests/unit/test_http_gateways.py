"""Answers that are none, and those of proxies, over real sockets: told in our words, and without what was sent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from yarl import URL

from syncd.clock import Clock
from syncd.errors import Intercepted, ProtocolError, ProxyRefused, RemoteError, Unavailable
from syncd.http import HttpClient, HttpOptions, Response, RetryPolicy
from syncd.http.answer import make_redirected

TOKEN = "canary-9f3c1b7e42-token"
HEADERS = {"Authorization": f"Bearer {TOKEN}"}
ONCE = RetryPolicy(attempts=1)

Speak = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def listen(speak: Speak) -> AsyncIterator[tuple[URL, list[bytes]]]:
    """Answer every connection on loopback by ``speak``; yield the address and the heads of requests that came."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await speak(reader, writer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield URL(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/x"), heads


def say(content: bytes) -> Speak:
    """Return what sends these bytes."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(content)
        await writer.drain()

    return speak


async def fail(url: URL, options: HttpOptions | None = None, *, retry: RetryPolicy = ONCE) -> RemoteError:
    """Send one request that carries the token, and return what it raises."""
    async with HttpClient("it", options or HttpOptions(), Clock()) as client:
        with pytest.raises(RemoteError) as raised:
            await client.send("GET", url, headers=HEADERS, retry=retry)
    return raised.value


@pytest.mark.parametrize(
    "content",
    [
        b"HTTP/1.1 200 OK\r\nX-Long: %s\r\nContent-Length: 0\r\n\r\n" % (b"x" * 70_000),
        b"HTTP/1.1 99999 %s\r\n\r\n" % TOKEN.encode(),
        b"%s is no HTTP\r\n\r\n" % TOKEN.encode(),
        b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % TOKEN.encode(),
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n" % TOKEN.encode(),
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 5\r\n\r\n12345",
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n" + TOKEN.encode(),
        b"",
    ],
)
async def test_an_answer_that_is_no_http_is_told_in_our_words(content: bytes) -> None:
    """Neither the exception of a library nor what was sent is in the message, or in what it was raised from."""
    async with listen(say(content)) as (url, _):
        error = await fail(url)
    assert isinstance(error, Unavailable | ProtocolError)
    assert error.__cause__ is None
    assert str(error).startswith("it (127.0.0.1)")
    for word in (TOKEN, "Error", "aiohttp", "Bearer", "b'"):
        assert word not in str(error)


async def test_a_header_line_of_64_kib_is_read() -> None:
    """Gateways send long ones; what is longer is refused with the number of bytes, and not asked for again."""
    line = b"Content-Security-Policy: " + b"x" * (65_536 - 30)
    answer = b"HTTP/1.1 200 OK\r\n%s\r\nContent-Length: 2\r\n\r\nok" % line
    async with listen(say(answer)) as (url, _), HttpClient("it", HttpOptions(), Clock()) as client:
        assert (await client.send("GET", url, retry=ONCE)).body == b"ok"
    async with listen(say(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % (line * 2))) as (url, heads):
        error = await fail(url, retry=RetryPolicy(wait_initial=0.01))
    assert "more than 65536 bytes" in str(error)
    assert len(heads) == 1


@pytest.mark.parametrize(
    "body", [b"\xef\xbb\xbf{}", '\ufeff{"a":"ż"}'.encode("utf-16-le"), '\ufeff{"a":"ż"}'.encode("utf-16-be")]
)
async def test_a_byte_order_mark_is_no_part_of_a_body(body: bytes) -> None:
    """It is taken off, and what it stands for becomes UTF-8."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with listen(say(answer)) as (url, _), HttpClient("it", HttpOptions(), Clock()) as client:
        found = (await client.send("GET", url, retry=ONCE)).body
    assert found in (b"{}", '{"a":"ż"}'.encode())


@pytest.mark.parametrize(
    ("asked", "location", "back"),
    [
        ("https://p.example/a/b?c=1", "https://p.example/a/b?c=1", True),
        ("https://p.example/a/b?c=1", "http://p.example/a/b?c=1", True),
        ("https://p.example:8443/a", "http://p.example/a", True),
        ("https://p.example/a", "/a", True),
        ("https://p.example/a", "https://p.example/a/", False),
        ("http://p.example/a", "https://p.example/a", False),
        ("https://p.example/a", "https://other.example/a", False),
        ("https://p.example:8443/a", "https://p.example/a", False),
    ],
)
async def test_a_redirect_to_the_very_address_blames_the_reverse_proxy(asked: str, location: str, back: bool) -> None:
    """Nothing can be corrected in the address: it is the one that was asked."""
    error = make_redirected("it", Response(308, {"Location": location}, b"", "GET", asked), "correct the address")
    assert isinstance(error, Intercepted) == back
    assert ("X-Forwarded-Proto: https" in str(error)) == back
    assert ("correct the address" in str(error)) != back


@pytest.mark.parametrize(
    ("location", "shown"),
    [
        ("https://login.example/a?hint=anna@example.com", "a redirect to https://login.example,"),
        (f"https://login.example/{TOKEN}", "a redirect to https://login.example,"),
        ("https://user:pass@login.example/", "a redirect to https://login.example,"),
        ("http://[", "an address that cannot be read"),
        ("https://ł\udc9f.example/", "an address that cannot be read"),
        ("", "an address that cannot be read"),
    ],
)
async def test_a_redirect_elsewhere_shows_no_more_than_the_host(location: str, shown: str) -> None:
    """Path and query may hold anything."""
    head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode("utf-8", "surrogateescape")
    async with listen(say(head)) as (url, _):
        error = await fail(url)
    assert shown in str(error)
    assert "anna" not in str(error)
    assert TOKEN not in f"{error} {error.location}"


PROXY = "http://someone:pr0xy-pass-w0rd@127.0.0.1:%d"


@pytest.mark.parametrize("target", ["https://portal.example/x", "http://portal.example/x"])
@pytest.mark.parametrize(
    ("status", "offer", "kind", "told"),
    [
        ("407 Proxy Authentication Required", "Negotiate", ProxyRefused, "wants Negotiate, which syncd does not speak"),
        ("407 No", "NTLM TlRMTVNTUAA=", ProxyRefused, "wants NTLM"),
        ("407 No", 'Basic realm="pr0xy-pass-w0rd"', ProxyRefused, "refuses the user name or the password of"),
        ("401 Unauthorized", "", ProxyRefused, "refuses the user name or the password of"),
        ("403 Forbidden", "", ProxyRefused, r"does not let portal.example:\d+ through"),
        ("503 Service Unavailable", "", Unavailable, "does not reach portal.example"),
    ],
)
async def test_what_a_proxy_answers_is_told_as_its_own(
    target: str, status: str, offer: str, kind: type[RemoteError], told: str
) -> None:
    """With the setting, without the password, and asked once only where it cannot pass by itself."""
    offered = f"Proxy-Authenticate: {offer}\r\n" if offer else "X-Squid-Error: ERR_ACCESS_DENIED 0\r\n"
    body = "someone:pr0xy-pass-w0rd c29tZW9uZTpwcjB4eS1wYXNzLXcwcmQ="
    head = f"HTTP/1.1 {status}\r\n{offered}Content-Length: {len(body)}\r\n\r\n{body}"
    async with listen(say(head.encode())) as (url, heads):
        options = HttpOptions(proxy_setting="bps.proxy_url", proxy_url=PROXY % (url.port or 0))
        error = await fail(URL(target), options, retry=RetryPolicy(attempts=3, wait_initial=0.01, wait_max=0.02))
    with pytest.raises(kind, match=f"^the proxy of bps.proxy_url answered {status[:3]}: .*{told}"):
        raise error
    assert len(heads) == (3 if kind is Unavailable else 1)
    assert b"Proxy-Authorization: Basic c29tZW9uZTpwcjB4eS1wYXNzLXcwcmQ=" in heads[0]
    for secret in ("pr0xy-pass-w0rd", "c29tZW9uZTpwcjB4eS1wYXNzLXcwcmQ"):
        assert secret not in f"{error} {error!r}"


async def test_a_proxy_that_wants_a_sign_in_says_where_to_write_it() -> None:
    """Where the setting has no user name yet."""
    head = b"HTTP/1.1 407 No\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
    async with listen(say(head)) as (url, _):
        options = HttpOptions(proxy_setting="graph.proxy_url", proxy_url=f"http://127.0.0.1:{url.port}")
        error = await fail(URL("https://graph.example/"), options)
    assert "write them into graph.proxy_url, as in http://USER:PASSWORD@HOST:PORT" in str(error)


async def test_a_proxy_that_cannot_be_reached_is_named() -> None:
    """It is not the other side that cannot be reached."""
    async with listen(say(b"")) as (url, _):
        port = url.port or 0
    options = HttpOptions(proxy_setting="bps.proxy_url", proxy_url=PROXY % port)
    error = await fail(URL("https://portal.example/"), options)
    assert str(error) == "the proxy of bps.proxy_url cannot be reached: Connection refused; check bps.proxy_url"
