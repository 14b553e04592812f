"""Mail to the people who look after syncd, over SMTP that is encrypted before anything is said.

TLS is there from the first byte, or STARTTLS is required: a server that does not offer it gets neither password nor
mail (RFC 8314; RFC 3207, 5). A time-out behind the data means that the server may have the mail: it is not sent again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP as WIRE
from email.utils import format_datetime, make_msgid

import aiosmtplib
from aiosmtplib import SMTP

from syncd.clock import Clock
from syncd.config.smtp import SmtpServer, read_smtp_url
from syncd.errors import AuthFailed, Rejected, RemoteError, Timeout, TransientError, Unavailable
from syncd.http import load_ssl_context
from syncd.http.confidential import Confidential
from syncd.http.silence import name_cause
from syncd.http.trust import explain_distrust
from syncd.logs.quotes import quote
from syncd.plan.report.mail import Letter

_ANSWER_SECONDS = 10.0
_DEADLINE_SECONDS = 25.0
"""What one mail may take in all, attempts and pauses included: the library's own limit counts anew with each answer."""
_WAITS = (0.5, 2.0)
"""Pauses before a second and a third attempt, in seconds."""
_SAID_CHARACTERS = 200
_MINE = WIRE.clone(cte_type="7bit")


@dataclass(frozen=True, slots=True)
class MailOptions:
    """``url`` is asked anew for every mail, since it may stand in a file; ``setting`` is the key that set it."""

    url: Callable[[], str]
    sender: str
    recipients: tuple[str, ...]
    setting: str = "notify.smtp_url"


@dataclass(frozen=True, slots=True)
class Receipt:
    """What became of a mail. ``refused``: how many recipients were refused, by the server's number.

    ``unclear``: no answer came behind the data, so that the server may have the mail, or not.
    """

    refused: Mapping[int, int] = field(default_factory=dict)
    unclear: bool = False


class Mailer:
    """Sends letters, each over a connection of its own."""

    def __init__(self, options: MailOptions, clock: Clock) -> None:
        self._options = options
        self._clock = clock

    async def send(self, letter: Letter, *, at: datetime) -> Receipt:
        """Send a letter in three attempts at most, within half a minute; RemoteError when it is not taken."""
        message = encode_letter(letter, self._options.sender, self._options.recipients, at=at)
        context = await asyncio.to_thread(load_ssl_context, None)
        data_began = False

        def note_data() -> None:
            nonlocal data_began
            data_began = True

        try:
            async with asyncio.timeout(_DEADLINE_SECONDS):
                for wait in (*_WAITS, None):
                    data_began = False
                    try:
                        return await self._send(message, context, note_data)
                    except TransientError:
                        if wait is None:
                            raise
                    await self._clock.sleep(wait)
        except TimeoutError:
            if data_began:
                return Receipt(unclear=True)
            said = f"{self._read_server().address} did not take the mail within {_DEADLINE_SECONDS:.0f} seconds"
            raise Timeout(said, sent=False) from None
        raise AssertionError("unreachable: the last attempt returns or raises")

    async def probe(self) -> None:
        """Connect, encrypt and sign in, without a mail; RemoteError when that cannot be done."""
        context = await asyncio.to_thread(load_ssl_context, None)
        try:
            async with asyncio.timeout(_DEADLINE_SECONDS), self._connected(context):
                pass
        except TimeoutError:
            raise Timeout(f"{self._read_server().address} does not answer", sent=False) from None

    async def _send(self, message: bytes, context: ssl.SSLContext, note_data: Callable[[], None]) -> Receipt:
        options = self._options
        async with self._connected(context) as (client, server):
            refused: Counter[int] = Counter()
            said = ""
            await client.mail(options.sender)
            for recipient in options.recipients:
                try:
                    await client.rcpt(recipient)
                except aiosmtplib.SMTPRecipientRefused as error:
                    refused[error.code] += 1
                    said = said or self._word(server, error)
            if refused.total() == len(options.recipients):
                kind = Unavailable if all(400 <= code < 500 for code in refused) else Rejected
                raise kind(f"{server.address} takes mail for none of the recipients of notify.mail_to: {said}")
            note_data()
            try:
                await client.data(message)
            except (aiosmtplib.SMTPTimeoutError, aiosmtplib.SMTPServerDisconnected):
                return Receipt(refused, unclear=True)
            return Receipt(refused)

    @asynccontextmanager
    async def _connected(self, context: ssl.SSLContext) -> AsyncIterator[tuple[SMTP, SmtpServer]]:
        """Open an encrypted, signed-in connection. The library's errors become ours."""
        server = self._read_server()
        client = SMTP(
            hostname=server.host,
            port=server.port,
            use_tls=server.implicit_tls,
            start_tls=False,
            tls_context=context,
            timeout=_ANSWER_SECONDS,
            local_hostname=_find_own_name(),
        )
        try:
            await client.connect()
            await client.ehlo()
            if not server.implicit_tls:
                if not client.supports_extension("starttls"):
                    raise Rejected(
                        f"{server.address} does not offer STARTTLS, so that nothing was sent: neither mail nor "
                        "password travels readable; let it offer STARTTLS, or use smtps:// with its port for that"
                    )
                await client.starttls(tls_context=context, server_hostname=server.host)
                await client.ehlo()
            if server.user:
                await _sign_in(client, server, self._options.setting)
            yield client, server
            await _leave(client)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise self._explain(server, error) from error
        finally:
            client.close()

    def _read_server(self) -> SmtpServer:
        return read_smtp_url(self._options.url())

    def _word(self, server: SmtpServer, error: aiosmtplib.SMTPResponseException) -> str:
        """Return the server's own words as a quotation; it may name a person, and never the password in any form."""
        said = Confidential([server.password] if server.password else []).mask(str(error.message))
        return f"{error.code} {quote(said[:_SAID_CHARACTERS])}".strip()

    def _explain(self, server: SmtpServer, error: Exception) -> RemoteError:
        """Return what went wrong in the terms of the settings."""
        where, distrust = server.address, _find_distrust(error)
        if distrust is not None:
            why = explain_distrust(
                distrust,
                ca_setting="SSL_CERT_FILE (a variable of syncd's environment)",
                address_setting=self._options.setting,
            )
            return Rejected(f"{where}: the mail server's certificate is not trusted: {why}")
        match error:
            case aiosmtplib.SMTPAuthenticationError():
                words = f"{where} refuses user name or password of {self._options.setting}: {self._word(server, error)}"
                return Unavailable(words, sent=False) if 400 <= error.code < 500 else AuthFailed(words)
            case aiosmtplib.SMTPSenderRefused():
                words = f"{where} takes no mail from notify.mail_from: {self._word(server, error)}"
                return Unavailable(words, sent=False) if 400 <= error.code < 500 else Rejected(words)
            case aiosmtplib.SMTPResponseException():
                words = f"{where} answered {self._word(server, error)}"
                return Unavailable(words, sent=False) if 400 <= error.code < 500 else Rejected(words)
            case aiosmtplib.SMTPTimeoutError() | TimeoutError():
                return Timeout(f"{where} did not answer in time", sent=False)
            case aiosmtplib.SMTPConnectError() | aiosmtplib.SMTPServerDisconnected():
                cause = error.__cause__
                why = name_cause(cause) if isinstance(cause, OSError) else "the connection was closed"
                return Unavailable(f"{where} cannot be reached: {why}", sent=False)
            case OSError():
                return Unavailable(f"{where} cannot be reached: {name_cause(error)}", sent=False)
        return Rejected(f"{where} cannot do what is needed: {quote(str(error)[:_SAID_CHARACTERS])}")


def encode_letter(letter: Letter, sender: str, recipients: tuple[str, ...], *, at: datetime) -> bytes:
    """Return a letter as it goes over the wire: text and HTML, in ASCII, with Date and Message-ID.

    No header can be added by what a letter says: a line break in one is refused by the library, and none gets so far.
    """
    message = EmailMessage(policy=_MINE)
    message["From"] = sender
    message["To"] = ", ".join(recipients)
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no answer of an absent person comes back
    message.set_content(letter.plain, cte="quoted-printable")
    message.add_alternative(letter.html, subtype="html", cte="quoted-printable")
    return message.as_bytes()


async def _sign_in(client: SMTP, server: SmtpServer, setting: str) -> None:
    """Sign in by one method: trying another one after a refusal would count as a second wrong password."""
    ways = {"plain": client.auth_plain, "login": client.auth_login, "cram-md5": client.auth_crammd5}
    offered = {method.lower() for method in client.server_auth_methods}
    way = next((sign_in for method, sign_in in ways.items() if method in offered), None)
    if way is None:
        raise AuthFailed(
            f"{server.address} lets nobody sign in by {', '.join(ways).upper()}; take user name and password out of "
            f"{setting}, or use its port for submission"
        )
    await way(server.user, server.password)


async def _leave(client: SMTP) -> None:
    """Say goodbye; a server that does not answer to that has done its work all the same."""
    try:
        await client.quit()
    except (aiosmtplib.SMTPException, OSError):
        return


def _find_distrust(error: BaseException | None) -> ssl.SSLError | ssl.CertificateError | None:
    """Return the refusal of a certificate behind an error: STARTTLS shows it as it is, implicit TLS wraps it."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return error
        error = error.__cause__
    return None


def _find_own_name() -> str:
    """Return by what name we greet; looked up nowhere, since that may take long."""
    name = socket.gethostname()
    return name if name.isascii() and name and all(sign.isalnum() or sign in ".-" for sign in name) else "localhost"
