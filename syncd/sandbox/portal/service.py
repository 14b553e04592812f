"""The imitation portal's public REST API: token endpoint, scopes, both spellings of every route, answers and errors.

Shapes, scopes and status codes are those of WEBCON's API document, version 6.0. What the document leaves open is a
switch of ``PortalKnobs``.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal
from urllib.parse import parse_qsl, unquote
from uuid import uuid4

import msgspec

from syncd.sandbox.portal.front import FrontDoor, answer_anonymous
from syncd.sandbox.portal.licences import Licences, Substitutions
from syncd.sandbox.portal.privileges import Privileges
from syncd.sandbox.portal.store import Account, PortalGroup, PortalRefusal, PortalStore
from syncd.sandbox.wire.http import Answer, Request, Unreadable, read_json, read_number
from syncd.sandbox.wire.ledger import Ledger
from syncd.sandbox.wire.tokens import Grant, TokenBook

PORTAL_AUDIENCE = "portal"
JSON_TYPE = "application/json; charset=utf-8"
Observer = Callable[[str, str, dict[str, str], bytes, int, bytes], None]

_OLDER_VERSIONS = {"2024R1": {"v4.0", "v5.0"}, "2025R1": {"v5.0"}, "2025R2": {"v5.0"}, "2026R1": set[str]()}


@dataclass(slots=True)
class PortalApplication:
    """The API application registered in the portal. ``scopes`` are the granted ones."""

    client_id: str
    secrets: list[str]
    bps_id: str = "syncd@nordwind-api.example"
    name: str = "syncd - Registered App"
    scopes: set[str] = field(
        default_factory=lambda: {
            "Admin.Users.ReadWrite",
            "Admin.Groups.ReadWrite",
            "Admin.Licenses.ReadWrite",
            "Admin.Substitutions.ReadWrite",
            "Admin.BusinessEntities.Read",
            "App.Metadata.ReadWrite",
        }
    )


class PortalService:
    """Answers for one portal under ``prefix``. ``observer`` sees every data request: (method, path without prefix,
    query, request body, status, response body). ``front``: where people sign in; None: there is no page for them."""

    def __init__(
        self,
        store: PortalStore,
        application: PortalApplication,
        book: TokenBook,
        *,
        prefix: str,
        ledger: Ledger,
        front: Callable[[], FrontDoor] | None = None,
    ) -> None:
        self.store = store
        self.application = application
        self.licences = Licences(store)
        self.substitutions = Substitutions(store)
        self.privileges = Privileges(store, application.bps_id)
        self.observer: Observer | None = None
        self._book = book
        self._prefix = prefix.strip("/")
        self._ledger, self._front = ledger, front

    def answer(self, request: Request) -> Answer:
        """Answer one request to the portal."""
        path = request.target.partition("?")[0].lstrip("/")
        if self._prefix:
            first, _, path = path.partition("/")
            if unquote(first).casefold() != self._prefix.casefold():
                return _page(404, "Not Found")
        if path == "api/oauth2/token":
            return self._token(request)
        if self._front is not None and request.method == "GET" and path.rstrip("/") in ("", "login"):
            return answer_anonymous(path.rstrip("/"), self._front(), self.store.knobs.front_page)
        segments = tuple(unquote(part) for part in path.split("/"))
        if segments[:2] != ("api", "data") or len(segments) < 4:
            return _page(404, "Not Found")
        try:
            answer = self._data(request, segments[2], segments[3:])
        except PortalRefusal as refusal:
            document = {"type": refusal.code, "description": str(refusal), "errorGuid": str(uuid4())}
            answer = _json(refusal.status, document, route="refused")
        if self.observer is not None:
            self.observer(request.method, f"/{path}", dict(request.query), request.body, answer.status, answer.body)
        return answer

    # ---- tokens

    def _token(self, request: Request) -> Answer:
        if request.method != "POST":
            return _page(405, "Method Not Allowed")
        if not request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
            return _json(400, {"error": "invalid_request"}, route="token refused")
        form = dict(parse_qsl(request.body.decode("utf-8", "replace"), keep_blank_values=True))
        application, knobs = self.application, self.store.knobs
        if form.get("grant_type") != "client_credentials":
            return _json(400, {"error": "unsupported_grant_type"}, route="token refused")
        secret = form.get("client_secret", "").encode()
        if form.get("client_id") != application.client_id or not any(
            hmac.compare_digest(secret, known.encode()) for known in application.secrets
        ):
            return _json(knobs.bad_secret_status, {"error": "invalid_client"}, route="token refused")
        wanted = set(form.get("scope", "").split()) or application.scopes
        if not wanted <= application.scopes:
            return _json(400, {"error": "invalid_scope"}, route="token refused")
        expires = self.store.clock.now().timestamp() + knobs.token_lifetime
        grant = Grant(PORTAL_AUDIENCE, application.client_id, frozenset(wanted), expires)
        document: dict[str, object] = {
            "access_token": self._book.issue(grant, {"client_id": application.client_id, "scope": sorted(wanted)}),
            "token_type": "Bearer",
        }
        if knobs.token_names_lifetime:
            document["expires_in"] = knobs.token_lifetime
        return _json(200, document, route="token")

    # ---- data

    def _data(self, request: Request, version: str, segments: tuple[str, ...]) -> Answer:
        if version != "v6.0" and version not in _OLDER_VERSIONS[self.store.knobs.version]:
            raise PortalRefusal(404, "ResourceNotFound", "Unknown version of the API")
        scopes = self._check_token(request)
        if segments == ("me",) and request.method == "GET":
            application = self.application
            document = {
                "bpsId": application.bps_id,
                "name": application.name,
                "email": application.bps_id,
                "impersonated": False,
                "impersonatingApplication": None,
            }
            return _json(200, document, route="GET me")
        if segments[0] == "db" and len(segments) > 2:
            body = _read_object(request) if request.method == "POST" else None
            found, route = self.privileges.answer(request.method, segments[1:], body, scopes)
            route = f"{request.method} {route}"
            return Answer(200, route=route) if found is None else _json(200, found, route=route)
        if segments[:2] == ("admin", "db") and segments[3:] == ("businessentities",) and request.method == "GET":
            return _json(200, self.privileges.list_companies(segments[2], scopes), route="GET businessentities")
        if segments[0] != "admin" or len(segments) < 2:
            raise PortalRefusal(404, "ResourceNotFound", "Resource not found")
        area, rest, bps_id = _split_route(request, segments[1:])
        self._check_scope(area, scopes, writes=request.method != "GET")
        if area == "Users":
            answer = self._users(request, rest, bps_id)
        elif area == "Groups":
            answer = self._groups(request, rest, bps_id)
        elif area == "Licenses":
            answer = self._licences(request, rest, bps_id)
        else:
            answer = self._substitutions(request, rest)
        shown = "/{bpsId}" if bps_id is not None else ""
        return replace(answer, route=f"{request.method} {area.lower()}{shown}{''.join('/' + part for part in rest)}")

    def _users(self, request: Request, rest: tuple[str, ...], bps_id: str | None) -> Answer:
        store = self.store
        match request.method, bps_id, rest:
            case "GET", None, ():
                page, size = self._paging(request)
                chosen = store.list_users()[page * size : (page + 1) * size]
                return _json(200, {"users": [self._user_document(account) for account in chosen]})
            case "POST", None, ():
                return _json(200, store.create_user(_read_object(request)).bps_id)
            case "GET", str(), ():
                return _json(200, self._user_document(store.user(bps_id)))
            case "PATCH", str(), ():
                return _json(200, store.edit_user(bps_id, _read_object(request)).bps_id)
            case "DELETE", str(), ():
                store.delete_user(bps_id)
                return Answer(200)
        raise _no_route(rest)

    def _groups(self, request: Request, rest: tuple[str, ...], bps_id: str | None) -> Answer:
        store = self.store
        if store.knobs.installation == "sharepoint":
            raise PortalRefusal(405, "UnsupportedInstallationType", "Endpoint require specific instalation type")
        match request.method, bps_id, rest:
            case "GET", None, ():
                page, size = self._paging(request)
                chosen = store.list_groups()[page * size : (page + 1) * size]
                return _json(200, {"groups": [self._group_document(group) for group in chosen]})
            case "POST", None, ():
                store.create_group(_read_object(request))
                return Answer(200)
            case "GET", str(), ():
                return _json(200, self._detailed_group(store.group(bps_id)))
            case "PATCH", str(), ():
                store.edit_group(bps_id, _read_object(request))
                return Answer(200)
            case "DELETE", str(), ():
                store.delete_group(bps_id)
                return _json(200, bps_id) if "bpsId" in request.query else Answer(200)
            case "POST", str(), (("members" | "owners") as relation, ("add" | "remove") as verb):
                body = _read_object(request)
                links = body.get(relation)
                if verb == "add":
                    store.add_links(bps_id, relation, links)
                else:
                    store.remove_links(bps_id, relation, links)
                return Answer(200)
        raise _no_route(rest)

    def _licences(self, request: Request, rest: tuple[str, ...], bps_id: str | None) -> Answer:
        if self.store.knobs.perpetual_licences:
            raise PortalRefusal(405, "UnsupportedLicensingType", "Endpoint requires the subscription licensing model")
        match request.method, bps_id, rest:
            case "GET", None, ():
                return _json(200, self.licences.list_all())
            case "GET", None, ("summary",):
                return _json(200, self.licences.summary())
            case "POST", None, ("assign",):
                self.licences.assign(_read_object(request))
                return Answer(200)
            case "GET", str(), ():
                return _json(200, self.licences.single(bps_id))
        raise _no_route(rest)

    def _substitutions(self, request: Request, rest: tuple[str, ...]) -> Answer:
        substitutions = self.substitutions
        number = read_number(rest[0]) if len(rest) == 1 else None
        match request.method, number, rest:
            case "GET", None, ():
                page, size = self._paging(request)
                page -= self.store.knobs.substitution_first_page
                if page < 0:
                    raise PortalRefusal(400, "InvalidQueryParameterValue", "Invalid value of page")
                return _json(200, substitutions.list_page(request.query.get("originalPerson"), page, size))
            case "POST", None, ():
                created = substitutions.create(_read_object(request))
                return _json(200, created) if self.store.knobs.substitution_answer == "number" else Answer(200)
            case "GET", int(), _:
                return _json(200, substitutions.single(number))
            case "PATCH", int(), _:
                substitutions.edit(number, _read_object(request))
                return Answer(200)
            case "DELETE", int(), _:
                substitutions.delete(number)
                return Answer(200)
        raise _no_route(rest)

    # ---- checks and documents

    def _check_token(self, request: Request) -> frozenset[str]:
        grant = self._book.check(request.headers.get("authorization"), audience=PORTAL_AUDIENCE)
        if isinstance(grant, Grant):
            return grant.permissions
        if grant == "foreign":
            self._ledger.violate("foreign-token", side="portal", detail=request.path)
        code = "AuthenticationFailed" if grant == "missing" else "InvalidAuthenticationToken"
        raise PortalRefusal(401, code, f"Authentication token is {grant}")

    def _check_scope(self, area: str, scopes: frozenset[str], *, writes: bool) -> None:
        allowed = {"Admin.ReadWrite.All", f"Admin.{area}.ReadWrite"}
        if not writes:
            allowed |= {"Admin.Read.All", f"Admin.{area}.Read"}
        if not scopes & allowed:
            raise PortalRefusal(403, "InvalidScope", f"One of the scopes is required: {'; '.join(sorted(allowed))}")

    def _paging(self, request: Request) -> tuple[int, int]:
        values = []
        for name, default in (("page", 0), ("size", 20)):
            number = read_number(request.query.get(name, str(default)))
            if number is None or (name == "size" and number == 0):
                raise PortalRefusal(400, "InvalidQueryParameterValue", f"Invalid value of {name}")
            values.append(number)
        cap = self.store.knobs.max_page_size
        return values[0], min(values[1], cap) if cap else values[1]

    def _user_document(self, account: Account) -> dict[str, object]:
        return {"bpsId": account.bps_id, **account.values, "status": self.store.status_of(account)}

    def _group_document(self, group: PortalGroup) -> dict[str, object]:
        status = self.store.status_of(group)
        return {"bpsId": group.bps_id, "name": group.name, "email": group.email, "status": status}

    def _detailed_group(self, group: PortalGroup) -> dict[str, object]:
        accounts = self.store.accounts
        documents: dict[str, object] = {}
        relations: tuple[Literal["members", "owners"], ...] = ("members", "owners")
        for relation in relations:
            documents[relation] = [_member_document(key, accounts.get(key)) for key in group.links(relation)]
        return {**self._group_document(group), **documents}


def _member_document(key: str, account: Account | None) -> dict[str, object]:
    """Return somebody in a group; of a deleted account, which knobs may leave there, the BPS id."""
    if account is None:
        return {"bpsId": key, "name": key, "email": None, "type": "User"}
    values = account.values
    return {
        "bpsId": account.bps_id,
        "name": values["name"],
        "email": values["email"],
        "type": account.account_type,
    }


def _split_route(request: Request, segments: tuple[str, ...]) -> tuple[str, tuple[str, ...], str | None]:
    """Return area, the rest of the path and the BPS id of either spelling: ``user?bpsId=`` or ``users/{bpsId}``."""
    name, rest = segments[0], segments[1:]
    areas = {"user": "Users", "group": "Groups", "license": "Licenses"}
    if name in areas:
        bps_id = request.query.get("bpsId")
        if not bps_id:
            raise PortalRefusal(400, "MissingRequiredQueryParameter", "Parameter bpsId is required")
        return areas[name], rest, bps_id
    if name == "substitutions":
        return "Substitutions", rest, None
    if name == "licenses" and rest in (("summary",), ("assign",)):
        return "Licenses", rest, None
    if name.removesuffix("s") in areas and name.endswith("s"):
        return areas[name.removesuffix("s")], rest[1:], rest[0] if rest else None
    raise PortalRefusal(404, "ResourceNotFound", "Resource not found")


def _read_object(request: Request) -> dict[str, object]:
    if not request.headers.get("content-type", "").startswith("application/json"):
        raise PortalRefusal(415, "UnsupportedContentType", "The body must be application/json")
    try:
        body = read_json(request.body)
    except Unreadable as error:
        raise PortalRefusal(400, "InvalidInput", "The body is not JSON") from error
    if isinstance(body, dict):
        return body
    raise PortalRefusal(400, "InvalidInput", "The body is not a JSON object")


def _no_route(rest: tuple[str, ...]) -> PortalRefusal:
    return PortalRefusal(404, "ResourceNotFound", f"There is no such operation: {'/'.join(rest)}")


def _json(status: int, document: object, *, route: str = "") -> Answer:
    return Answer(status, msgspec.json.encode(document), JSON_TYPE, route=route)


def _page(status: int, title: str) -> Answer:
    body = f"<html><body><h2>{status} - {title}</h2></body></html>"
    return Answer(status, body.encode(), "text/html", route="(page)")
