"""What an anonymous browser gets from the imitation portal: by way of a page of its own it is sent to the sign-in.

How the real portal does that no document tells. Known is the redirect URI that WEBCON's guide wants in Entra ID:
``/signin-aad`` behind the portal's address. What else may come is the knob ``front_page``.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlencode, urlsplit

from syncd.sandbox.wire.http import Answer
from syncd.sandbox.wire.knobs import FrontPage

OTHER_TENANT = "00000000-0000-4000-8000-00000000beef"
"""A tenant that is not the company's."""
OTHER_PROVIDER = "https://login.provider.example/connect/authorize"


@dataclass(frozen=True, slots=True)
class FrontDoor:
    """Where people sign in: the login host, the tenant, the application for that, and the portal's own address."""

    login_url: str
    tenant_id: str
    client_id: str
    portal_url: str


def answer_anonymous(path: str, door: FrontDoor, page: FrontPage) -> Answer:
    """Answer a browser that brings nothing along. ``path``: behind the portal's address, without slashes around it."""
    if page == "page":
        text = "<html><head><title>WEBCON BPS Portal</title></head><body><script src='main.js'></script></body></html>"
        return Answer(200, text.encode(), "text/html; charset=utf-8", route="GET front page")
    if not path:
        return _redirect(f"{urlsplit(door.portal_url).path}/login?returnUrl=%2F", "GET front page")
    return _redirect(_make_address(door, page), "GET login")


def _make_address(door: FrontDoor, page: FrontPage) -> str:
    tenant = OTHER_TENANT if page == "other tenant" else door.tenant_id
    callback = "signin-oidc" if page == "other redirect" else "signin-aad"
    wanted = {
        "client_id": door.client_id,
        "redirect_uri": f"{door.portal_url}/{callback}",
        "response_type": "code id_token",
        "scope": "openid profile",
        "response_mode": "form_post",
        "nonce": "imitation",
        "state": "imitation",
    }
    where = OTHER_PROVIDER if page == "other provider" else f"{door.login_url}/{tenant}/oauth2/v2.0/authorize"
    return f"{where}?{urlencode(wanted)}"


def _redirect(where: str, route: str) -> Answer:
    return Answer(302, headers={"Location": where}, route=route)
