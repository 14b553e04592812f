"""Mail over a real SMTP server on loopback: encrypted or not at all, once, and without anybody's name."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from syncd.clock import Clock
from syncd.config import Listen
from syncd.config.secret import Secret
from syncd.config.sections import NotifySettings
from syncd.errors import AuthFailed, Rejected, RemoteError, Timeout, Unavailable
from syncd.mail import Mailer, MailOptions, encode_letter
from syncd.model.event import EVENTS, Event
from syncd.notifications import list_outlets
from syncd.plan.report.console_links import find_page
from syncd.plan.report.mail import Letter, make_letter
from syncd.plan.report.notifications import Notification
from tests.fakes.console import make_web
from tests.fakes.mail_server import PASSWORD, USER, MailServer, serving_mail
from tests.fakes.rules import make_default_settings

AT = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)
LETTER = Letter("Zażółć", "Plain text\n.dotted\n", "<p>HTML</p>")
SIGN_IN = f"{quote(USER, safe='')}:{quote(PASSWORD, safe='')}@"
TO = ("it@example.com", "duty@example.com")

pytestmark = pytest.mark.looptime


class LoopClock(Clock):
    """The clock of the running loop, so that looptime owns it."""

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


@pytest.fixture(autouse=True)
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust the authority of the server, as a machine does that has it among its certificates."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "mail-ca.pem"))


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[MailServer]:
    """A server that begins TLS by STARTTLS."""
    async with serving_mail(tmp_path) as serving:
        yield serving


def make_mailer(server: MailServer, *, implicit_tls: bool = False, sign_in: str = SIGN_IN) -> Mailer:
    """Return what sends to the server."""
    ending = "" if implicit_tls else "?starttls=required"
    url = f"{'smtps' if implicit_tls else 'smtp'}://{sign_in}127.0.0.1:{server.port}{ending}"
    return Mailer(MailOptions(lambda: url, "syncd@example.com", TO), LoopClock())


async def test_a_letter_goes_out_by_starttls(server: MailServer) -> None:
    """Signed in, encrypted, as text and HTML, with Date and Message-ID, to everybody who is named."""
    receipt = await make_mailer(server).send(LETTER, at=AT)
    (mail,) = server.got
    assert (receipt.refused, receipt.unclear, server.encrypted, server.sign_ins) == ({}, False, [True], [USER.encode()])
    assert (mail["From"], mail["To"], mail["Subject"]) == ("syncd@example.com", ", ".join(TO), "Zażółć")
    assert server.envelopes[0].rcpt_tos == list(TO)
    assert parsedate_to_datetime(mail["Date"]) == AT
    assert mail["Message-ID"].endswith("@example.com>")
    plain, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert plain is not None
    assert html is not None
    assert plain.get_content().replace("\r\n", "\n") == LETTER.plain
    assert html.get_content().strip() == LETTER.html


async def test_a_letter_goes_out_by_implicit_tls(tmp_path: Path) -> None:
    """Encrypted from the first byte; without a user nobody signs in."""
    async with serving_mail(tmp_path, implicit_tls=True) as server:
        await make_mailer(server, implicit_tls=True, sign_in="").send(LETTER, at=AT)
        await make_mailer(server, implicit_tls=True).send(LETTER, at=AT)
    assert (len(server.got), server.encrypted, server.sign_ins) == (2, [True, True], [USER.encode()])


async def test_nothing_is_said_without_encryption(tmp_path: Path) -> None:
    """A server without STARTTLS hears neither a password nor a sender, and the error names the way out."""
    async with serving_mail(tmp_path, starttls=False) as server:
        for trial in (make_mailer(server).send(LETTER, at=AT), make_mailer(server).probe()):
            with pytest.raises(Rejected, match=r"does not offer STARTTLS.*smtps://"):
                await trial
    assert (server.commands, server.sign_ins) == ([], [])


@pytest.mark.parametrize("implicit_tls", [True, False])
async def test_a_stranger_s_certificate_is_not_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, implicit_tls: bool
) -> None:
    """Neither way; nothing was said to it, and it is asked once."""
    (tmp_path / "other").mkdir()
    async with serving_mail(tmp_path / "other"), serving_mail(tmp_path, implicit_tls=implicit_tls) as server:
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "other" / "mail-ca.pem"))
        with pytest.raises(Rejected, match=r"not trusted: .*SSL_CERT_FILE"):
            await make_mailer(server, implicit_tls=implicit_tls).send(LETTER, at=AT)
    assert (server.commands, server.sign_ins) == ([], [])


async def test_a_wrong_password_is_told_without_it(server: MailServer) -> None:
    """Once, and by the name of the setting."""
    with pytest.raises(AuthFailed, match=r"notify\.smtp_url: 535") as raised:
        await make_mailer(server, sign_in="syncd%40example.com:sesame@").send(LETTER, at=AT)
    assert "sesame" not in str(raised.value)
    assert len(server.sign_ins) == 1
    assert server.commands == []


async def test_a_server_that_repeats_what_it_got_does_not_show_the_password(server: MailServer) -> None:
    """Neither as it is nor in base64, as the command carries it."""
    server.repeats = True
    with pytest.raises(AuthFailed, match=r"notify\.smtp_url: 535 .*cannot use") as raised:
        await make_mailer(server, sign_in="syncd%40example.com:open-sesame-4711@").send(LETTER, at=AT)
    shown = str(raised.value)
    encoded = base64.b64encode(b"\0syncd@example.com\0open-sesame-4711").decode()
    assert not any(encoded[start : start + 8] in shown for start in range(len(encoded) // 2, len(encoded) - 8))


async def test_a_server_where_nobody_signs_in_gets_no_password(tmp_path: Path) -> None:
    """A user that is not wanted is a mistake of the settings."""
    async with serving_mail(tmp_path, sign_in=False) as server:
        with pytest.raises(AuthFailed, match="lets nobody sign in"):
            await make_mailer(server).send(LETTER, at=AT)
        await make_mailer(server, sign_in="").send(LETTER, at=AT)
    assert len(server.got) == 1


async def test_a_check_sends_no_mail(server: MailServer) -> None:
    """It connects, encrypts, signs in and leaves."""
    await make_mailer(server).probe()
    assert (server.sign_ins, server.commands) == ([USER.encode()], [])
    nobody = MailServer(port=1)
    with pytest.raises(Unavailable, match=r"127\.0\.0\.1:1 cannot be reached"):
        await make_mailer(nobody).probe()


async def test_some_refused_recipients_are_counted(server: MailServer) -> None:
    """The others get the mail; all of them refused is a failure, which names none of them in a log."""
    server.refused = {TO[0]: f"550 5.1.1 <{TO[0]}>: no such user"}
    receipt = await make_mailer(server).send(LETTER, at=AT)
    assert (dict(receipt.refused), server.envelopes[0].rcpt_tos) == ({550: 1}, [TO[1]])
    server.refused[TO[1]] = "550 no such user"
    with pytest.raises(Rejected, match=r"none of the recipients of notify\.mail_to: 550 .5\.1\.1"):
        await make_mailer(server).send(LETTER, at=AT)
    assert len(server.got) == 1


async def test_what_may_pass_is_tried_three_times(server: MailServer) -> None:
    """A mail that is put off is sent again at once; one that stays put off, or is refused, is not taken."""
    server.answers = ["451 later", "451 later"]
    await make_mailer(server).send(LETTER, at=AT)
    assert [mail["Message-ID"] for mail in server.got] == [server.got[0]["Message-ID"]] * 3
    server.answers = ["451 later"] * 4
    with pytest.raises(Unavailable, match="451"):
        await make_mailer(server).send(LETTER, at=AT)
    server.got.clear()
    server.answers = ["554 no"]
    with pytest.raises(Rejected, match="554"):
        await make_mailer(server).send(LETTER, at=AT)
    assert len(server.got) == 1


async def test_a_time_out_behind_the_data_is_not_repeated(server: MailServer) -> None:
    """The server may have it: the receipt says so, and one mail was sent."""
    server.silent = "data"
    receipt = await make_mailer(server).send(LETTER, at=AT)
    assert (receipt.unclear, len(server.got)) == (True, 1)


async def test_a_server_that_does_not_answer_is_left_in_time(server: MailServer) -> None:
    """All attempts together have one limit; nothing had been sent, so it is a failure."""
    server.silent = "mail"
    began = asyncio.get_running_loop().time()
    with pytest.raises(Timeout):
        await make_mailer(server).send(LETTER, at=AT)
    assert 10 < asyncio.get_running_loop().time() - began < 30
    assert server.got == []


@pytest.mark.parametrize("hangs_up", [True, False])
async def test_a_connection_that_breaks_is_an_error_of_ours(hangs_up: bool) -> None:
    """Somebody who speaks no SMTP, or hangs up."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if not hangs_up:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
        else:
            writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER: a reset
        writer.close()

    listening = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    with pytest.raises(RemoteError, match=rf"127\.0\.0\.1:{port}"):
        await make_mailer(MailServer(port=port)).probe()
    listening.close()
    await listening.wait_closed()


# ---- letters ---------------------------------------------------------------------------------------------------------


def make_news(**fields: Any) -> Notification:
    """Return a message about held changes."""
    given = {"run": 7, "held": {"unlink": 1031}, "commands": ["syncd held", "syncd approve 7"], **fields}
    return Notification(
        "held", subject="1,031 changes wait (run 7)", text="syncd: run 7 holds back unlink 1,031.", fields=given
    )


def test_a_letter_has_the_same_as_text_and_as_html() -> None:
    """What waits, why, until when, and what to type."""
    allowance = {"action": "unlink", "object": "membership", "used": 12, "allowed": 2000}
    news = make_news(error="guard.max_removals <b>", allowances=[allowance])
    letter = make_letter(news, portal="bps.example.com/WEBCONBPS", at=AT, console="https://syncd.example.com/")
    assert letter.subject == "[syncd bps.example.com/WEBCONBPS] 1,031 changes wait (run 7)"
    for text in ("unlink 1,031", "syncd approve 7", "12 used, 2,000 allowed", "https://syncd.example.com/"):
        assert text in letter.plain
        assert text in letter.html
    assert "guard.max_removals &lt;b&gt;" in letter.html
    assert "<script" not in letter.html


def test_no_text_becomes_a_header() -> None:
    """Line breaks in what a portal's address or a reason says end no header."""
    news = Notification("failed", subject="run\r\nBcc: eve@example.com", text="text\n.\nQUIT")
    letter = make_letter(news, portal="x\nX-Evil: 1", at=AT, console=None)
    wire = encode_letter(letter, "syncd@example.com", TO, at=AT)
    head = wire.partition(b"\r\n\r\n")[0]
    assert b"\nBcc" not in head
    assert b"\nX-Evil" not in head
    assert wire.isascii()
    with pytest.raises(ValueError, match="linefeed"):
        encode_letter(Letter("a\nBcc: b", "", ""), "syncd@example.com", TO, at=AT)


PAGES: tuple[tuple[Event, dict[str, Any], str], ...] = (
    ("held", {"run": 7, "held": {"unlink": 3}}, "/held/7"),
    ("held", {"run": 7}, "/held"),
    ("failed", {"run": 7}, "/runs/7"),
    ("failed", {}, "/runs"),
    ("recovered", {"run": 8}, "/runs/8"),
    ("failing", {"failing": {"user": 2}}, "/users?state=failing"),
    ("expiring", {"setting": "graph.client_secret"}, "/"),
    ("refused_configuration", {"problem_count": 1}, "/settings"),
)


def test_every_message_has_its_page_of_the_console() -> None:
    """The one that shows what it is about."""
    assert {event for event, _, _ in PAGES} == set(EVENTS)
    for event, fields, page in PAGES:
        news = Notification(event, subject="news", text="News.", fields=fields)
        assert find_page(news, "https://syncd.example.com") == f"https://syncd.example.com{page}", page


async def test_a_mail_leads_to_the_console(server: MailServer) -> None:
    """In the text and in the HTML; no link where there is no console, or nobody said how it is reached."""
    url = f"smtp://{SIGN_IN}127.0.0.1:{server.port}?starttls=required"
    notify = NotifySettings.model_construct(smtp_url=Secret(url), mail_from="syncd@example.com", mail_to=TO)
    for web, shown in (
        ({"listen": Listen("127.0.0.1", 8443), "external_url": "https://syncd.example.com"}, True),
        ({"listen": Listen("127.0.0.1", 8443)}, False),
        ({"external_url": "https://syncd.example.com"}, False),
    ):
        settings = make_default_settings().model_copy(update={"notify": notify, "web": make_web(**web)})
        (outlet,) = list_outlets(settings, LoopClock())
        async with outlet.open() as channel:
            await channel.deliver(make_news(), at=AT)
        parts = [server.got[-1].get_body((kind,)) for kind in ("plain", "html")]
        plain, html = (part.get_content() for part in parts if part is not None)
        assert ("https://syncd.example.com/held/7" in plain) is shown
        assert ('<a href="https://syncd.example.com/held/7">' in html) is shown
