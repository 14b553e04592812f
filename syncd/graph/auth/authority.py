"""The authority of the tenant (Microsoft Entra ID, or a cloud's own): how it is reached, and what its answers mean."""

from __future__ import annotations

from syncd.clock import Clock
from syncd.errors import Unavailable
from syncd.graph.auth.login_errors import SIDE, explain_no_tenant, explain_refusal
from syncd.graph.options import GraphOptions
from syncd.http import HttpClient, HttpOptions, Response, Shared, is_json_object, is_web_page, read_page, say
from syncd.http.answer import make_redirected

_CONNECT_SECONDS = 15.0
_ANSWER_SECONDS = 30.0
_ANSWER_BYTES = 1 << 20


def open_authority(options: GraphOptions, clock: Clock) -> HttpClient:
    """Return the client for the authority, to be opened."""
    limits = HttpOptions(
        address_setting=f"graph.authority_url (if you set one), {options.proxy_setting}, and the network from here",
        ca_setting="graph.ca_file",
        proxy_setting=options.proxy_setting,
        ca_file=options.ca_file,
        proxy_url=options.proxy_url,
        concurrency=1,
        connect_timeout=_CONNECT_SECONDS,
        answer_timeout=_ANSWER_SECONDS,
        size_limit=_ANSWER_BYTES,
        shared=Shared(sent=options.shared.sent),
    )
    return HttpClient(SIDE, limits, clock)


def check_authority(method: str, response: Response, *, options: GraphOptions, clock: Clock) -> None:
    """Raise what any answer means but 200 with a JSON object, before msal can remember or log it."""
    side = f"{SIDE} ({options.authority_url})"
    if 300 <= response.status < 400:
        raise make_redirected(side, response, "check graph.authority_url")
    if response.status != 200:
        explain = explain_refusal if method == "POST" else explain_no_tenant
        raise explain(response, options=options, clock=clock)
    if not is_json_object(response.body):
        # The beginning of an answer of the token endpoint may be that of a token.
        shown = say(read_page(response)) if method != "POST" or is_web_page(response) else ""
        raise Unavailable(f"{side} answered with no JSON object{shown}")
