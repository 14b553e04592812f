"""The HTTP session that msal uses. Imported only together with msal, in its thread: requests is slow to import.

It exists because msal's own session has no time limit, lets environment variables replace the trusted authorities,
follows redirects with the secret, writes unreadable token answers to the log, and hides what the token endpoint said.
"""

from __future__ import annotations

import ssl
from typing import Any

import requests
from requests.adapters import HTTPAdapter

from syncd.clock import Clock
from syncd.errors import ProtocolError, Rejected, Timeout, Unavailable
from syncd.graph.auth.login_errors import SIDE, explain_no_tenant, explain_refusal
from syncd.graph.options import GraphOptions
from syncd.http import Response, excerpt, make_ssl_context

_CONNECT_SECONDS = 15.0
_ANSWER_SECONDS = 30.0
_WAY = "graph.authority_url (if you set one), graph.proxy_url, and the network from here to that host"


def find_cause(error: BaseException) -> str:
    """Return what the operating system or the proxy said, from the depth of requests' and urllib3's exceptions."""
    inner: BaseException | None = error
    for _ in range(10):
        if inner is None:
            break
        told = inner.args[-1] if inner.args else None
        if isinstance(inner, OSError) and isinstance(told, str):
            return excerpt(told.encode("utf-8", "replace"), 120)
        wrapped = [inner.__cause__, getattr(told, "reason", None), told, inner.__context__]
        inner = next((each for each in wrapped if isinstance(each, BaseException)), None)
    return type(error).__name__


class TlsAdapter(HTTPAdapter):
    """Connects with our own TLS context, directly and through a proxy."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs, ssl_context=self._context)

    def proxy_manager_for(self, proxy: Any, **kwargs: Any) -> Any:
        contexts = {"ssl_context": self._context, "proxy_ssl_context": self._context}
        return super().proxy_manager_for(proxy, **kwargs, **contexts)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:  # noqa: ARG002 - theirs
        """Leave trust to the context: the base class would add the bundle that requests brings along."""
        conn.cert_reqs = "CERT_REQUIRED"


class LoginSession(requests.Session):
    """Speaks to the authority; every failure is raised as one of our errors, before msal can cache or log it."""

    def __init__(self, options: GraphOptions, clock: Clock) -> None:
        super().__init__()
        self._graph_options = options
        self._clock = clock
        self.trust_env = False
        self.mount("https://", TlsAdapter(make_ssl_context(options.ca_file)))
        if options.proxy_url is not None:
            self.proxies = {"https": options.proxy_url}

    def request(self, method: Any, url: Any, *args: Any, **kwargs: Any) -> requests.Response:
        """Send one request and return its 200 answer with a JSON body."""
        kwargs |= {"timeout": (_CONNECT_SECONDS, _ANSWER_SECONDS), "allow_redirects": False}
        authority = self._graph_options.authority_url
        try:
            answer = super().request(method, url, *args, **kwargs)
        except requests.exceptions.Timeout as error:
            raise Timeout(f"{SIDE} ({authority}) did not answer in time; check {_WAY}") from error
        except requests.exceptions.SSLError as error:
            if "CERTIFICATE_VERIFY_FAILED" not in str(error):
                raise Unavailable(f"{SIDE} ({authority}): the encrypted connection broke") from error
            raise Rejected(
                f"{SIDE} ({authority}): its certificate is not trusted; "
                "name the authority's certificate with graph.ca_file",
                sent=False,
            ) from error
        except requests.exceptions.ProxyError as error:
            cause = find_cause(error)
            raise Unavailable(
                f"{SIDE} ({authority}) cannot be reached through graph.proxy_url: {cause}; check that setting"
            ) from error
        except requests.exceptions.RequestException as error:
            raise Unavailable(f"{SIDE} ({authority}) cannot be reached: {find_cause(error)}; check {_WAY}") from error
        self._check(str(method).upper(), answer)
        return answer

    def _check(self, method: str, answer: requests.Response) -> None:
        response = Response(answer.status_code, answer.headers, answer.content)
        if 300 <= response.status < 400:
            raise ProtocolError(
                f"{SIDE} ({self._graph_options.authority_url}) answered with a redirect, which is not followed; "
                "check graph.authority_url",
                status=response.status,
            )
        if response.status != 200:
            explain = explain_refusal if method == "POST" else explain_no_tenant
            raise explain(response, options=self._graph_options, clock=self._clock)
        try:
            readable = isinstance(answer.json(), dict)
        except ValueError:
            readable = False
        if not readable:
            shown = "" if method == "POST" else f" (it begins {excerpt(response.body, 60)!r})"
            raise Unavailable(f"{SIDE} ({self._graph_options.authority_url}) answered with no JSON object{shown}")
