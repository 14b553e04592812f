"""What it means when no answer came at all: the network, a certificate, a forward proxy, or no HTTP that can be read.

Exceptions of the HTTP library hold what was sent, and what came. Nothing of their texts is passed on, only what they
stand for; they are not chained to ours either, since a traceback would show them.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterable, Mapping
from typing import Final

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from syncd.errors import ProtocolError, ProxyRefused, Rejected, RemoteError, Timeout, Unavailable
from syncd.http.options import HttpOptions
from syncd.http.trust import explain_distrust

HEADER_BYTES: Final = 64 << 10
"""A header line may have so many bytes; gateways send long ones (Content-Security-Policy)."""
_SCHEMES: Final = ("Negotiate", "NTLM", "Kerberos", "Digest", "Bearer", "Basic")

NO_ANSWER: Final = (aiohttp.ClientError, OSError, TimeoutError)
"""What the HTTP library raises in place of an answer."""


def explain_silence(error: BaseException, *, name: str, url: URL, options: HttpOptions) -> RemoteError:
    """Return the error of our taxonomy for one of ``NO_ANSWER``, in our own words."""
    where = f"{name} ({url.host})"
    match error:
        case TimeoutError():
            sent = not isinstance(error, aiohttp.ConnectionTimeoutError)
            return Timeout(f"{where} did not answer in time", sent=sent)
        case aiohttp.ClientHttpProxyError():
            return explain_proxy(error.status, error.headers or {}, url=url, options=options)
        case aiohttp.ClientConnectorCertificateError():
            settings = {"ca_setting": options.ca_setting, "address_setting": options.address_setting}
            why = explain_distrust(error.certificate_error, **settings)  # type: ignore[arg-type]  # ssl's, says its class
            return Rejected(f"{where}: its certificate is not trusted: {why}", sent=False)
        case aiohttp.ClientProxyConnectionError():
            why = name_cause(error.os_error)
            setting = options.proxy_setting
            return Unavailable(f"the proxy of {setting} cannot be reached: {why}; check {setting}", sent=False)
        case aiohttp.ClientConnectorError():
            return Unavailable(
                f"{name} ({url.host}:{url.port}) cannot be reached: {name_cause(error.os_error)}; "
                f"check {options.address_setting}",
                sent=False,
            )
        case aiohttp.ClientResponseError() if _is_line_too_long(error):
            return ProtocolError(f"{where} sent a header line of more than {HEADER_BYTES} bytes, which is not read")
        case aiohttp.ClientResponseError() | aiohttp.InvalidURL():
            return Unavailable(f"{where} sent something that is no HTTP answer")
        case aiohttp.ClientPayloadError():
            return Unavailable(f"{where}: the answer broke off, or cannot be decompressed")
        case aiohttp.ServerDisconnectedError():
            return Unavailable(f"{where}: the connection was closed before an answer came")
        case OSError():
            return Unavailable(f"{where}: the connection broke: {name_cause(error)}")
        case _:
            return Unavailable(f"{where}: the connection broke")


def _is_line_too_long(error: BaseException) -> bool:
    """Tell whether the parser of answers gave up because of a long line; the library wraps that twice."""
    inner: BaseException | None = error
    while inner is not None and not isinstance(inner, http_exceptions.LineTooLong):
        inner = inner.__cause__
    return inner is not None


def name_cause(error: OSError) -> str:
    """Say why a connection failed, as the system says it: "Connection refused", "Name or service not known"."""
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or "").replace("_", " ").lower()
        return f"no encrypted connection could be made ({reason or 'no reason is known'})"
    if isinstance(error, socket.gaierror):
        return error.strerror or "the name cannot be looked up"
    return os.strerror(error.errno) if error.errno and error.errno > 0 else "the connection was not made"


def explain_proxy(status: int, headers: Mapping[str, str], *, url: URL, options: HttpOptions) -> RemoteError:
    """Return what an answer of the forward proxy means; only what may pass by itself is tried again."""
    setting = options.proxy_setting
    said = f"the proxy of {setting} answered {status}"
    if status in (401, 407):  # tinyproxy says 401 of a wrong password, and of CONNECT nobody else can say it
        values = headers.getall("Proxy-Authenticate", ()) if hasattr(headers, "getall") else headers.values()
        return ProxyRefused(f"{said}: {_explain_sign_in(values, options)}", sent=False)
    if status >= 500 or status in (408, 425, 429):
        return Unavailable(f"{said}: it does not reach {url.host}:{url.port} at present", sent=False)
    return ProxyRefused(
        f"{said}: it does not let {url.host}:{url.port} through; allow that address there, or correct {setting}",
        sent=False,
    )


def _explain_sign_in(offers: Iterable[str], options: HttpOptions) -> str:
    named = " ".join(offers).lower()
    wanted = [scheme for scheme in _SCHEMES if scheme.lower() in named]
    setting = options.proxy_setting
    if wanted and "Basic" not in wanted:
        return (
            f"it wants {' or '.join(wanted)}, which syncd does not speak; let it pass this machine without a sign-in, "
            "or name a proxy that takes a user name and a password (Basic)"
        )
    if options.proxy_url and URL(options.proxy_url).user:
        return f"it refuses the user name or the password of {setting}; correct them there"
    return f"it wants a user name and a password; write them into {setting}, as in http://USER:PASSWORD@HOST:PORT"
