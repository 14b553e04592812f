"""The mail server of ``notify.smtp_url`` and the addresses of a message. Nothing here reaches it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

from syncd.config.problem import Refused
from syncd.config.values import expect_text

_EXAMPLE = "write it like smtps://user:password@mail.example.com:465 or smtp://mail.example.com:25?starttls=required"
_ESCAPE = "in the user name and the password, write : / ? # % and @ as %3A %2F %3F %23 %25 and %40"
_PORTS = {"smtps": 465, "smtp": 587}
_MAILBOX = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
"""A mailbox of RFC 5321 without quotes: nothing in it can end a header or a command."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SmtpServer:
    """A mail server. ``tls``: from the first byte on, or begun by STARTTLS; never not at all. ``user`` may be empty."""

    host: str
    port: int
    implicit_tls: bool
    user: str = ""
    password: str = field(default="", repr=False)

    @property
    def address(self) -> str:
        """Return host and port."""
        return f"{self.host}:{self.port}"


def parse_smtp_url(value: str) -> str:
    """Return the address of a mail server, refused where a mail or a password would travel readable."""
    text = value.strip()
    read_smtp_url(text)
    return text


def read_smtp_url(text: str) -> SmtpServer:
    """Return what the address says; raises Refused."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Refused("is no address of a mail server", f"{_EXAMPLE}; {_ESCAPE}") from None
    if parts.scheme not in _PORTS or not host or re.search(r"[\s\\\x00-\x20\x7f]", text) or not text.isascii():
        raise Refused("is no address of a mail server", _EXAMPLE)
    if parts.path.strip("/") or parts.fragment:
        raise Refused("is more than a mail server", f"{_EXAMPLE}; {_ESCAPE}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    starttls = options.pop("starttls", "")
    if options:
        raise Refused(f"has the unknown option {min(options)}", "the only one is starttls=required")
    if parts.scheme == "smtps" and starttls:
        raise Refused(
            "asks for STARTTLS where TLS is there from the start", "use smtps:// alone, or smtp://…?starttls=required"
        )
    if parts.scheme == "smtp" and starttls != "required":
        raise Refused(
            "would let mail and password travel readable",
            "add ?starttls=required, or use smtps:// (TLS from the start)",
        )
    userinfo = parts.netloc.rpartition("@")[0]
    user, colon, password = userinfo.partition(":")
    if bool(user) != bool(password) or (colon and not user):
        raise Refused("has a user name without a password, or the other way round", "give both, or neither")
    return SmtpServer(
        host=host,
        port=port or _PORTS[parts.scheme],
        implicit_tls=parts.scheme == "smtps",
        user=unquote(user),
        password=unquote(password),
    )


def parse_mailbox(value: object) -> str:
    """Return a bare mail address in ASCII."""
    text = expect_text(value)
    if not _MAILBOX.fullmatch(text) or len(text) > 254:
        raise Refused(
            "is no mail address", "write the address alone, like syncd@example.com (a foreign domain as xn--…)"
        )
    return text


def parse_mailboxes(value: object) -> tuple[str, ...]:
    """Return bare mail addresses, each once."""
    if not isinstance(value, list | tuple):
        raise Refused("must be a list of texts", 'write it like ["it@example.com"]')
    return tuple(dict.fromkeys(parse_mailbox(entry) for entry in value))
