"""The addresses in the settings: the two sides, the store, proxies and the hook. What may be shown of them is here too.

``authority`` and Graph hosts per cloud: learn.microsoft.com/graph/deployments.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import SplitResult, parse_qsl, urlsplit

from syncd.config.problem import MASK, Refused, suggest
from syncd.config.values import expect_text

CLOUDS: dict[str, tuple[str, str]] = {
    "global": ("https://login.microsoftonline.com", "https://graph.microsoft.com"),
    "usgov": ("https://login.microsoftonline.us", "https://graph.microsoft.us"),
    "usgov-dod": ("https://login.microsoftonline.us", "https://dod-graph.microsoft.us"),
    "china": ("https://login.chinacloudapi.cn", "https://microsoftgraph.chinacloudapi.cn"),
}

LOGIN_HOSTS: dict[str, str] = {
    "login.microsoftonline.com": "global",
    "login.microsoft.com": "global",
    "login.windows.net": "global",
    "sts.windows.net": "global",
    "login.microsoftonline.us": "usgov",
    "login.usgovcloudapi.net": "usgov",
    "login-us.microsoftonline.com": "usgov",
    "login.chinacloudapi.cn": "china",
    "login.partner.microsoftonline.cn": "china",
}
"""Hosts on which people sign in, and the cloud of each (usgov-dod has those of usgov); from msal's ``authority.py``."""

POSTGRESQL = "postgresql+psycopg://"
_POSTGRESQL_SPELLINGS = (POSTGRESQL, "postgresql://", "postgres://")
_OF_SQLITE = frozenset({"uri", "mode", "cache", "vfs", "timeout", "cached_statements"})
"""What may stand behind the ? of a SQLite address (sqlite.org/uri.html, and Python's sqlite3); locks stay on."""
_OF_POSTGRESQL = frozenset({
    "host", "hostaddr", "port", "passfile", "require_auth", "channel_binding", "connect_timeout",
    "client_encoding", "options", "application_name", "fallback_application_name", "keepalives",
    "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout", "sslmode",
    "sslnegotiation", "sslcompression", "sslcert", "sslkey", "sslpassword", "sslcertmode", "sslrootcert",
    "sslcrl", "sslcrldir", "sslsni", "ssl_min_protocol_version", "ssl_max_protocol_version", "requirepeer",
    "gssencmode", "krbsrvname", "gsslib", "gssdelegation", "service", "target_session_attrs",
    "load_balance_hosts", "user", "password", "dbname", "requiressl", "prepare_threshold",
})  # fmt: skip
"""libpq's keywords (PostgreSQL manual, 34.1.2), and the one of psycopg."""
_SECRET_PARAMETER = re.compile(r"([?&;][^=&;]*(?:pass|secret|token|key)[^=&;]*=)[^&;]*", re.IGNORECASE)
_STORE_REMEDY = "use sqlite:///PATH for a file, or postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"


def split_address(value: object, example: str) -> SplitResult:
    """Return the parts of an http or https address; ``example`` shows the way out."""
    text = expect_text(value)
    remedy = f"write it like {example}"
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise Refused("is no address", remedy) from None
    if parts.scheme not in {"http", "https"} or not host or re.search(r"[\s\\\x00-\x1f]", text):
        raise Refused("is no http or https address", remedy)
    return parts


def refuse_extras(parts: SplitResult, example: str) -> None:
    """Refuse what no address of ours has: a user, a password, a query, a fragment."""
    if "@" in parts.netloc:
        raise Refused("holds a user name or password", f"write it like {example}")
    if parts.query or parts.fragment:
        raise Refused("holds a query or fragment", f"write it like {example}")


def parse_host_root(value: object) -> str:
    """Return ``https://host[:port]``: nothing but https, no tenant, no version, no path."""
    example = "https://graph.microsoft.com"
    parts = split_address(value, example)
    refuse_extras(parts, example)
    if parts.scheme != "https":
        raise Refused("is not https", "tokens and secrets travel here: use https")
    if parts.path.strip("/"):
        raise Refused("is more than a host", "leave out tenant, version and path; syncd adds them")
    return f"https://{parts.netloc.lower()}"


def parse_portal_url(value: object, *, allow_http: bool) -> str:
    """Return the portal's address, with its path, without a trailing slash."""
    example = "https://bps.example.com/WEBCONBPS"
    parts = split_address(value, example)
    refuse_extras(parts, example)
    if parts.scheme == "http" and not allow_http:
        raise Refused("is not https", "use https, or set bps.allow_http = true where the network itself is protected")
    if re.search(r"/api(/|$)", parts.path, re.IGNORECASE):
        raise Refused("reaches into the API", "give the address of the portal itself; syncd adds /api")
    path = re.sub(r"/{2,}", "/", parts.path).rstrip("/")
    return f"{parts.scheme}://{parts.netloc.lower()}{path}"


def parse_proxy_url(value: str) -> str:
    """Return the address of an HTTP proxy; it may hold a user name and a password."""
    example = "http://proxy.example.com:3128"
    parts = split_address(value, example)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise Refused("is more than a proxy's host and port", f"write it like {example}")
    return value.strip().rstrip("/")


def parse_webhook_url(value: str) -> str:
    """Return the address of the hook."""
    split_address(value, "https://hooks.example.com/…")
    return value.strip()


def parse_store_url(value: str) -> str:
    """Return the store's address in SQLAlchemy's spelling; both short PostgreSQL spellings are rewritten."""
    text = value.strip()
    for spelling in _POSTGRESQL_SPELLINGS:
        if text.startswith(spelling):
            rest = text.removeprefix(spelling)
            if not rest.strip("/"):
                raise Refused("names no server", _STORE_REMEDY)
            if rest.partition("?")[0].count("@") > 1:
                # Which of them ends the password is a guess, and the rest of it would be taken for the server's name.
                raise Refused("has more than one @", "write @ as %40 in the user name and in the password")
            _check_server(rest)
            return POSTGRESQL + rest
    if text.startswith("sqlite:///"):
        path = text.removeprefix("sqlite:///").partition("?")[0]
        if not path or path == ":memory:":
            raise Refused("names no file, so everything would be forgotten", _STORE_REMEDY)
        _check_parameters(text.partition("?")[2], _OF_SQLITE, "SQLite")
        return text
    scheme = re.match(r"([a-z][a-z0-9+.-]{0,30})://", text, re.IGNORECASE)
    what = f"is of the unknown kind {scheme[1]}" if scheme else "is no database address"
    raise Refused(what, _STORE_REMEDY)


def _check_server(rest: str) -> None:
    """Refuse a port that is no number, and parameters that the driver does not take.

    A password may hold what means something elsewhere in an address, so that it is taken off first, as SQLAlchemy does.
    """
    place, _, query = re.sub(r"^[^:/]*(:[^@]*)?@", "", rest, count=1).partition("?")
    port = re.sub(r"^\[[^\]]*\]|^[^:]*", "", place.partition("/")[0])
    if port and not re.fullmatch(r":\d{1,5}", port, re.ASCII):
        raise Refused("has a port that is no number", _STORE_REMEDY)
    _check_parameters(query, _OF_POSTGRESQL, "PostgreSQL")


def _check_parameters(query: str, known: Collection[str], server: str) -> None:
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in known:
            meant = suggest(name, known)
            remedy = f"did you mean {meant}?" if meant else "leave it out"
            shown = f"the parameter {name!r}" if re.fullmatch(r"\w{1,40}", name) else "a parameter"
            raise Refused(f"has {shown}, which {server} does not know here", remedy)
        if name == "prepare_threshold" and not value.isdecimal():
            raise Refused("has a prepare_threshold that is no whole number", "write a number, or leave it out")


def show_without_password(address: str) -> str:
    """Return the address with the password masked, also one among the query's parameters."""
    scheme, separator, rest = address.partition("://")
    if not separator:
        return MASK
    userinfo, at, tail = rest.rpartition("@")
    user, colon, _ = userinfo.partition(":")
    if colon:
        userinfo = f"{user}:{MASK}"
    return _SECRET_PARAMETER.sub(rf"\g<1>{MASK}", f"{scheme}://{userinfo}{at}{tail}")


def show_host_only(address: str) -> str:
    """Return scheme and host; the rest of a hook's address is its password."""
    parts = urlsplit(address)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}/{MASK}"
