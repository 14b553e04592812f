"""A mail server on loopback: aiosmtpd with a certificate of its own authority, and what it shall refuse."""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import trustme
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USER, PASSWORD = "syncd@example.com", "p%a:ss/w@rd"


@dataclass
class MailServer:
    """Remembers what came. ``answers`` are given to DATA one by one, then 250; ``refused``: answers by recipient.

    ``silent``: the command, or ``data`` for what stands behind it, that gets no answer.
    """

    port: int = 0
    got: list[EmailMessage] = field(default_factory=list)
    envelopes: list[Envelope] = field(default_factory=list)
    encrypted: list[bool] = field(default_factory=list)
    sign_ins: list[bytes] = field(default_factory=list)
    repeats: bool = False
    commands: list[str] = field(default_factory=list)
    answers: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    silent: str = ""

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a sender."""
        self.commands.append("MAIL")
        await self._answer("mail")
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(  # noqa: N802
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        """Take a recipient, or not."""
        self.commands.append("RCPT")
        if address in self.refused:
            return self.refused[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        """Take a mail."""
        self.commands.append("DATA")
        assert server.transport is not None
        self.encrypted.append(server.transport.get_extra_info("sslcontext") is not None)
        content = envelope.content
        assert isinstance(content, bytes)
        self.envelopes.append(envelope)
        self.got.append(message_from_bytes(content, policy=default))
        await self._answer("data")
        return self.answers.pop(0) if self.answers else "250 OK"

    async def _answer(self, command: str) -> None:
        if self.silent == command:
            await asyncio.Event().wait()

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        """Let the one user in."""
        assert isinstance(data, LoginPassword)
        self.sign_ins.append(data.login)
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        if self.repeats and not right:
            sent = base64.b64encode(b"\0" + data.login + b"\0" + data.password).decode()
            return AuthResult(success=False, handled=False, message=f"535 5.7.8 cannot use {sent}")
        return AuthResult(success=right, handled=False)


@asynccontextmanager
async def serving_mail(
    folder: Path, *, implicit_tls: bool = False, starttls: bool = True, sign_in: bool = True
) -> AsyncIterator[MailServer]:
    """Serve until the block ends. ``folder`` gets ``mail-ca.pem``, the authority of the server's certificate."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(folder / "mail-ca.pem"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(context)
    server, loop = MailServer(), asyncio.get_running_loop()

    def make() -> SMTP:
        return SMTP(
            server,
            hostname="mail.example",
            tls_context=context if starttls and not implicit_tls else None,
            authenticator=server.authenticate,
            auth_exclude_mechanism=() if sign_in else ("PLAIN", "LOGIN"),
            auth_require_tls=not implicit_tls,
            loop=loop,
        )

    listening = await loop.create_server(make, "127.0.0.1", 0, ssl=context if implicit_tls else None)
    server.port = listening.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listening.close()
        await listening.wait_closed()
