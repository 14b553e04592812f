"""The sign-in page of the imitation tenant: people of the company sign in to a registered application.

Authorization code with PKCE as the identity platform documents it ("OAuth 2.0 authorization code flow", "ID token
claims reference"). A page asks who signs in, as nobody here has a password. What the platform refuses is refused with
its numbers: 700016 unknown application, 50011 wrong redirect URI (told on a page, never by sending the browser there),
900144 missing parameter, 70008 expired code, 54005 used code, 501481 wrong verifier, 50034 unknown person, 50057
disabled person.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from html import escape
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from syncd.clock import Clock
from syncd.errors import NotFound
from syncd.sandbox.tenant.objects import Node
from syncd.sandbox.tenant.view import View
from syncd.sandbox.wire.http import Answer, Request
from syncd.sandbox.wire.tokens import Grant, TokenBook

KEY_ID = "sandbox-sign-in"
CODE_SECONDS = 600
TOKEN_SECONDS = 3600
_SHOWN = 60
_HTML = "text/html; charset=utf-8"
GroupsClaim = Literal["absent", "listed", "overage"]


@dataclass(slots=True)
class SignInRegistration:
    """The application that people sign in to. ``redirect_uris``: of one on localhost the port does not count.

    ``groups_claim``: absent, as long as the application does not ask for it; overage, as for somebody in more than 200
    groups.
    """

    client_id: str
    secrets: list[str]
    redirect_uris: list[str] = field(default_factory=lambda: ["http://localhost/signed-in"])
    groups_claim: GroupsClaim = "absent"


@dataclass(slots=True)
class _Code:
    person: str
    asked: Mapping[str, str]
    expires: float
    used: bool = False


class CodeRefused(Exception):
    """A code is not redeemed; the number is that of the platform."""

    def __init__(self, error: str, number: int, text: str) -> None:
        super().__init__(text)
        self.error = error
        self.number = number
        self.text = text


class SignInService:
    """Answers the authorization endpoint, redeems codes and publishes the key. ``urls``: of login host and Graph."""

    def __init__(
        self,
        registration: SignInRegistration,
        directory: View,
        book: TokenBook,
        *,
        clock: Clock,
        tenant_id: str,
        urls: Callable[[], tuple[str, str]],
    ) -> None:
        self.registration = registration
        self._directory = directory
        self._book = book
        self._clock = clock
        self._tenant_id = tenant_id
        self._urls = urls
        self._codes: dict[str, _Code] = {}
        self.alter: Callable[[dict[str, object], dict[str, object]], None] = lambda _head, _claims: None
        """What a test changes of an id token before it is signed: its head and its claims."""

    # ---- the page ---------------------------------------------------------------------------------------------------

    def authorize(self, request: Request) -> Answer:
        """Answer the authorization endpoint: the page that asks who signs in, or the way back with a code."""
        asked = dict(request.query)
        if problem := self._check(asked):
            return _page(400, "Sign in", f"<p class='bad'>{escape(problem)}</p>")
        if request.method != "POST":
            return self._ask(request, "")
        form = dict(parse_qsl(request.body.decode("utf-8", "replace")))
        name = form.get("login", "").strip()
        if form.get("cancel"):
            told = {"error": "access_denied", "error_description": "AADSTS65004: User declined to consent."}
            return _send_back(asked, told)
        try:
            person = self._directory.find_user(name)
        except NotFound:
            return self._ask(request, "AADSTS50034: The user account does not exist in the directory.")
        if person.properties.get("accountEnabled") is False:
            return self._ask(request, "AADSTS50057: The user account is disabled.")
        code = f"0.{uuid.uuid4().hex}{uuid.uuid4().hex}"
        self._codes[code] = _Code(person.id, asked, self._clock.now().timestamp() + CODE_SECONDS)
        return _send_back(asked, {"code": code, "session_state": str(uuid.uuid4())})

    def _check(self, asked: Mapping[str, str]) -> str:
        """Return what is wrong with a request for a sign-in, in words for the page."""
        for name in ("client_id", "response_type", "redirect_uri", "scope"):
            if not asked.get(name):
                return f"AADSTS900144: The request body must contain the following parameter: '{name}'."
        if asked["client_id"].lower() != self.registration.client_id.lower():
            return f"AADSTS700016: Application with identifier '{asked['client_id']}' was not found in the directory."
        if not any(_same_place(asked["redirect_uri"], known) for known in self.registration.redirect_uris):
            return f"AADSTS50011: The redirect URI '{asked['redirect_uri']}' is not configured for the application."
        if asked["response_type"] != "code":
            return "AADSTS700054: response_type is not enabled for the application."
        if asked.get("code_challenge") and asked.get("code_challenge_method") != "S256":
            return "AADSTS9002325: Only the code challenge method S256 is supported."
        if "openid" not in asked["scope"].split():
            return "AADSTS70011: The scope openid is missing."
        return ""

    def _ask(self, request: Request, problem: str) -> Answer:
        people = [user for user in self._directory.active_users() if user.properties.get("userType") != "Guest"]
        rows = "".join(
            f'<li><button name="login" value="{escape(str(user.properties.get("userPrincipalName")))}">'
            f"{escape(str(user.properties.get('displayName') or user.id))} "
            f"<small>{escape(str(user.properties.get('userPrincipalName')))}</small></button></li>"
            for user in people[:_SHOWN]
        )
        told = f"<p class='bad' role='alert'>{escape(problem)}</p>" if problem else ""
        body = (
            f"{told}<p>This is the imitation tenant of syncd's sandbox: nobody has a password here. Choose who signs "
            f'in.</p><form method="post" action="?{escape(urlencode(request.query))}"><label>Login or object id '
            '<input name="login" autofocus></label> <button>Sign in</button> '
            '<button name="cancel" value="1">Cancel</button></form>'
            f'<form method="post" action="?{escape(urlencode(request.query))}"><ul>{rows}</ul></form>'
        )
        return _page(200, "Sign in", body)

    # ---- tokens -----------------------------------------------------------------------------------------------------

    def redeem(self, form: Mapping[str, str]) -> dict[str, object]:
        """Return the token endpoint's document for a code; the application has proven itself. Raises CodeRefused."""
        code = self._codes.get(form.get("code", ""))
        if code is None:
            raise CodeRefused("invalid_grant", 9002313, "Invalid request. Request is malformed or invalid.")
        if code.used:
            raise CodeRefused("invalid_grant", 54005, "OAuth2 Authorization code was already redeemed.")
        code.used = True
        if self._clock.now().timestamp() > code.expires:
            raise CodeRefused("invalid_grant", 70008, "The provided authorization code has expired.")
        if form.get("redirect_uri") != code.asked["redirect_uri"]:
            raise CodeRefused("invalid_client", 500112, "The reply address does not match the one of the request.")
        if challenge := code.asked.get("code_challenge"):
            digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
            if not hmac.compare_digest(_encode(digest), challenge):
                raise CodeRefused("invalid_grant", 501481, "The Code_Verifier does not match the code_challenge.")
        person = self._directory.find_user(code.person)
        document: dict[str, object] = {
            "token_type": "Bearer",
            "scope": "openid profile User.Read",
            "expires_in": TOKEN_SECONDS,
            "ext_expires_in": TOKEN_SECONDS,
            "access_token": self._make_access_token(person),
            "id_token": self.make_id_token(person, code.asked.get("nonce", "")),
        }
        if form.get("client_info"):
            identity = {"uid": person.id, "utid": self._tenant_id}
            document["client_info"] = _encode(msgspec.json.encode(identity))
        return document

    def make_id_token(self, person: Node, nonce: str) -> str:
        """Return a signed id token."""
        now = int(self._clock.now().timestamp())
        claims: dict[str, object] = {
            "aud": self.registration.client_id,
            "iss": f"{self._urls()[0]}/{self._tenant_id}/v2.0",
            "iat": now,
            "nbf": now,
            "exp": now + TOKEN_SECONDS,
            "name": person.properties.get("displayName"),
            "nonce": nonce,
            "oid": person.id,
            "preferred_username": person.properties.get("userPrincipalName"),
            "sub": _encode(hashlib.sha256(f"{self.registration.client_id}{person.id}".encode()).digest()),
            "tid": self._tenant_id,
            "uti": _encode(uuid.uuid4().bytes),
            "ver": "2.0",
        }
        if self.registration.groups_claim == "listed":
            claims["groups"] = self.list_groups(person.id)
        if self.registration.groups_claim == "overage":
            source = f"{self._urls()[1]}/v1.0/users/{person.id}/getMemberObjects"
            claims["_claim_names"] = {"groups": "src1"}
            claims["_claim_sources"] = {"src1": {"endpoint": source}}
        head: dict[str, object] = {"typ": "JWT", "alg": "RS256", "kid": KEY_ID}
        self.alter(head, claims)
        signed = f"{_encode(msgspec.json.encode(head))}.{_encode(msgspec.json.encode(claims))}"
        return f"{signed}.{_encode(make_key().sign(signed.encode(), padding.PKCS1v15(), SHA256()))}"

    def publish_keys(self) -> Answer:
        """Return the key set of the tenant."""
        numbers = make_key().public_key().public_numbers()
        key = {
            "kty": "RSA",
            "use": "sig",
            "kid": KEY_ID,
            "n": _encode(numbers.n.to_bytes(256)),
            "e": _encode(numbers.e.to_bytes(3)),
        }
        return Answer(200, msgspec.json.encode({"keys": [key]}), route="keys")

    def list_groups(self, person_id: str) -> list[str]:
        """Return the ids of the active groups that somebody is in, nested ones too."""
        found: dict[str, None] = {}
        waiting = [person_id]
        while waiting:
            for group in self._directory.groups_of(waiting.pop()):
                if group.state == "active" and group.id not in found:
                    found[group.id] = None
                    waiting.append(group.id)
        return list(found)

    def _make_access_token(self, person: Node) -> str:
        expires = self._clock.now().timestamp() + TOKEN_SECONDS
        grant = Grant("graph", self.registration.client_id, frozenset({"User.Read"}), expires, person.id)
        return self._book.issue(grant, {"oid": person.id, "scp": "User.Read", "tid": self._tenant_id})


@cache
def make_key() -> rsa.RSAPrivateKey:
    """Return the tenant's key: made when it is first needed, one for each process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def _same_place(asked: str, known: str) -> bool:
    one, other = urlsplit(asked), urlsplit(known)
    if one.hostname == "localhost" == other.hostname:
        return (one.scheme, one.path, one.query) == (other.scheme, other.path, other.query)
    return asked == known


def _send_back(asked: Mapping[str, str], told: Mapping[str, str]) -> Answer:
    place = asked["redirect_uri"]
    more = {**told, **({"state": asked["state"]} if "state" in asked else {})}
    headers = {"Location": f"{place}{'&' if '?' in place else '?'}{urlencode(more)}", "Cache-Control": "no-store"}
    return Answer(302, headers=headers, route="authorize")


def _page(status: int, title: str, body: str) -> Answer:
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:34rem;margin:3rem auto;padding:0 1rem}ul{list-style:none;"
        "padding:0;columns:2}li{margin:.2rem 0}button{font:inherit}.bad{color:#a8201a}small{color:#666}"
    )
    document = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{title}</title><style>{style}</style><h1>{title}</h1>{body}</html>"
    )
    return Answer(status, document.encode(), _HTML, headers={"Cache-Control": "no-store"}, route="authorize")


def _encode(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
