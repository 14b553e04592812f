"""A small imitation of the portal's REST API v6.0 that refuses what the real one refuses.

It knows nothing of syncd. What the real portal does is not known in every point; where two behaviours are possible
there is a switch, and the adapter's tests try both.
"""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal
from urllib.parse import parse_qs

from aiohttp import web

USER_FIELDS = ("name", "email", "phoneNumber", "managerBpsId", "jobTitle")
SUBSTITUTION = frozenset(
    {
        "originalPerson",
        "substitutePerson",
        "startDate",
        "endDate",
        "type",
        "businessEntity",
        "activeApplications",
    }
)
FORBIDDEN_CHARACTERS = set('\\%&*+/=?{}|<>();:,[]"#')

ROUTES: Mapping[tuple[str, str], tuple[str, frozenset[str], frozenset[str]]] = {
    ("GET", "me"): ("", frozenset(), frozenset()),
    ("GET", "admin/users"): ("Admin.Users", frozenset({"size", "page"}), frozenset()),
    ("POST", "admin/users"): ("Admin.Users", frozenset(), frozenset({"bpsId", *USER_FIELDS})),
    ("GET", "admin/user"): ("Admin.Users", frozenset({"bpsId"}), frozenset()),
    ("PATCH", "admin/user"): ("Admin.Users", frozenset({"bpsId"}), frozenset(USER_FIELDS)),
    ("DELETE", "admin/user"): ("Admin.Users", frozenset({"bpsId"}), frozenset()),
    ("GET", "admin/groups"): ("Admin.Groups", frozenset({"size", "page"}), frozenset()),
    ("POST", "admin/groups"): ("Admin.Groups", frozenset(), frozenset({"bpsId", "name", "email", "members", "owners"})),
    ("GET", "admin/group"): ("Admin.Groups", frozenset({"bpsId"}), frozenset()),
    ("PATCH", "admin/group"): ("Admin.Groups", frozenset({"bpsId"}), frozenset({"name", "email"})),
    ("DELETE", "admin/group"): ("Admin.Groups", frozenset({"bpsId"}), frozenset()),
    ("POST", "admin/group/members/add"): ("Admin.Groups", frozenset({"bpsId"}), frozenset({"members"})),
    ("POST", "admin/group/members/remove"): ("Admin.Groups", frozenset({"bpsId"}), frozenset({"members"})),
    ("POST", "admin/group/owners/add"): ("Admin.Groups", frozenset({"bpsId"}), frozenset({"owners"})),
    ("POST", "admin/group/owners/remove"): ("Admin.Groups", frozenset({"bpsId"}), frozenset({"owners"})),
    ("GET", "admin/substitutions"): (
        "Admin.Substitutions",
        frozenset({"originalPerson", "page", "size"}),
        frozenset(),
    ),
    ("POST", "admin/substitutions"): ("Admin.Substitutions", frozenset(), SUBSTITUTION),
    ("GET", "admin/substitutions/*"): ("Admin.Substitutions", frozenset(), frozenset()),
    ("PATCH", "admin/substitutions/*"): ("Admin.Substitutions", frozenset(), SUBSTITUTION),
    ("DELETE", "admin/substitutions/*"): ("Admin.Substitutions", frozenset(), frozenset()),
}
"""What the API document allows: scope without its ending, query parameters, body properties."""


@dataclass
class Fault:
    """Something that goes wrong with the next requests whose "METHOD path" matches ``pattern``.

    ``answer`` is a status, or how the connection ends; ``effect`` says whether the request is carried out all the same.
    ``holding`` is searched in the body, which must be larger than ``above`` bytes: what a gateway looks at.
    """

    pattern: str
    answer: int | Literal["reset"]
    effect: bool = False
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = ""
    code: str = "InternalError"
    holding: str = ""
    above: int = -1


@dataclass(frozen=True)
class Seen:
    """One request as it arrived; ``path`` is raw and without the prefix."""

    method: str
    path: str
    body: Any
    at: float


@dataclass
class Group:
    record: dict[str, Any]
    members: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)


class Refusal(Exception):
    def __init__(self, status: int, code: str, description: str) -> None:
        super().__init__(description)
        self.status, self.code, self.description = status, code, description


@dataclass
class FakePortal:
    """The portal's state and its switches."""

    prefix: str = "/WEBCONBPS"
    client_id: str = "syncd-app"
    secret: str = "s+e/c=r&t"
    scopes: set[str] = field(default_factory=lambda: {"Admin.Users.ReadWrite", "Admin.Groups.ReadWrite"})
    bad_secret_status: int = 401
    expires_in: float | str | None = None
    token_type: str | None = "Bearer"
    has_v6: bool = True
    sharepoint: bool = False
    bare_404: bool = False
    group_duplicate_status: int = 405
    synchronizes_at_once: bool = True
    pending_visible: bool = True
    clears_with: Literal["both", "empty", "null", "none"] = "both"
    refuses_empty: bool = False
    refuses_non_member_removal: bool = False
    page_cap: int = 1_000_000
    pages_wrap_after: int = 1_000_000
    guid_name: str = "errorGuid"

    number_form: str = "number"
    first_page: int = 0
    empty_list: int = 200
    time_form: str = "as sent"
    substitutions: dict[int, dict[str, Any]] = field(default_factory=dict)

    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    raw_users: list[Any] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    tokens: set[str] = field(default_factory=set)
    token_requests: int = 0

    # what a test does with it

    def add_user(self, bps_id: str, **fields: Any) -> None:
        record = {"bpsId": bps_id, "name": bps_id, "email": bps_id, "status": "Synchronized"}
        self.users[bps_id.lower()] = dict.fromkeys(USER_FIELDS) | record | fields

    def add_group(self, bps_id: str, *members: str, owners: tuple[str, ...] = (), **fields: Any) -> None:
        record = {"bpsId": bps_id, "name": bps_id, "email": bps_id, "status": "Synchronized"} | fields
        people = {"members": {m.lower(): m for m in members}, "owners": {o.lower(): o for o in owners}}
        self.groups[bps_id.lower()] = Group(record, **people)

    def synchronize(self) -> None:
        for record in (*self.users.values(), *(group.record for group in self.groups.values())):
            record["status"] = "Synchronized"

    def calls(self, pattern: str) -> list[Seen]:
        """Return the requests whose "METHOD path" matches."""
        return [seen for seen in self.seen if re.search(pattern, f"{seen.method} {seen.path}")]

    def app(self) -> web.Application:
        app = web.Application(client_max_size=64 << 20)
        app.router.add_route("*", "/{tail:.*}", self._serve)
        return app

    # the wire

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        raw = request.raw_path
        body = await request.read()
        path = raw.removeprefix(self.prefix)
        payload = await request.json() if body and request.content_type == "application/json" else body.decode() or None
        self.seen.append(Seen(request.method, path, payload, asyncio.get_running_loop().time()))
        fault = self._next_fault(f"{request.method} {path}", body.decode("utf-8", "replace"))
        if fault is not None and not fault.effect:
            return self._spoil(request, fault)
        try:
            answer = self._answer(request, path if raw.startswith(self.prefix + "/") else "/elsewhere", payload)
        except Refusal as refusal:
            answer = self._refuse(refusal)
        return answer if fault is None else self._spoil(request, fault)

    def _next_fault(self, call: str, body: str) -> Fault | None:
        for fault in self.faults:
            minded = re.search(fault.holding, body) is not None and len(body) > fault.above
            if fault.times > 0 and minded and re.search(fault.pattern, call):
                fault.times -= 1
                return fault
        return None

    def _spoil(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.answer == "reset":
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if fault.body:
            return web.Response(status=fault.answer, text=fault.body, content_type="text/html", headers=fault.headers)
        answer = self._refuse(Refusal(fault.answer, fault.code, "on request"))
        answer.headers.update(fault.headers)
        return answer

    def _refuse(self, refusal: Refusal) -> web.Response:
        if refusal.status == 404 and (self.bare_404 or not refusal.code):
            return web.Response(status=404)
        body = {"type": refusal.code, "description": refusal.description, self.guid_name: str(uuid.uuid4())}
        return web.json_response(body, status=refusal.status)

    def _answer(self, request: web.Request, path: str, payload: Any) -> web.Response:
        if path == "/api/oauth2/token" and request.method == "POST":
            return self._give_token(request, payload)
        route = path.partition("?")[0].removeprefix("/api/data/v6.0/")
        if not self.has_v6 or not path.startswith("/api/data/v6.0/"):
            raise Refusal(404, "", "")
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in self.tokens:
            raise Refusal(401, "InvalidAuthenticationToken", "Token is invalid")
        kind = "admin/substitutions/*" if route.startswith("admin/substitutions/") else route
        if (request.method, kind) not in ROUTES:
            raise Refusal(404, "", "")
        scope, parameters, properties = ROUTES[request.method, kind]
        self._demand_scope(scope, write=request.method != "GET")
        if set(request.query) - parameters:
            raise Refusal(400, "InvalidQueryParameterValue", "unknown query parameter")
        if "bpsId" in parameters and not request.query.get("bpsId"):
            raise Refusal(400, "MissingRequiredQueryParameter", "bpsId")
        if properties and (not isinstance(payload, dict) or set(payload) - properties):
            raise Refusal(400, "InvalidInput", "the body does not fit")
        if not properties and payload is not None:
            raise Refusal(400, "InvalidInput", "a body was not expected")
        if self.sharepoint and scope == "Admin.Groups":
            raise Refusal(405, "UnsupportedInstallationType", "Endpoint require specific instalation type")
        return self._act(request, route, request.query.get("bpsId", ""), payload)

    def _give_token(self, request: web.Request, payload: Any) -> web.Response:
        self.token_requests += 1
        if request.content_type != "application/x-www-form-urlencoded":
            return web.json_response({"error": "invalid_request"}, status=400)
        form = {key: values[0] for key, values in parse_qs(payload).items()}
        if form != {"grant_type": "client_credentials", "client_id": self.client_id, "client_secret": self.secret}:
            return web.json_response(
                {"error": "invalid_client", "message": f"no such secret {form.get('client_secret')}"},
                status=self.bad_secret_status,
            )
        token = uuid.uuid4().hex
        self.tokens.add(token)
        answer = {"access_token": token, "token_type": self.token_type, "expires_in": self.expires_in}
        return web.json_response({key: value for key, value in answer.items() if value is not None})

    def _demand_scope(self, scope: str, *, write: bool) -> None:
        enough = {f"{scope}.ReadWrite", "Admin.ReadWrite.All"} | (
            set() if write else {f"{scope}.Read", "Admin.Read.All"}
        )
        if scope and not enough & self.scopes:
            raise Refusal(403, "InvalidScope", "Required scope is missing")

    def _act(self, request: web.Request, route: str, bps_id: str, payload: Any) -> web.Response:
        match request.method, route.split("/")[1:]:
            case "GET", []:
                return web.json_response({"bpsId": "syncd@apps.example", "name": "syncd", "impersonated": False})
            case "GET", ["users"]:
                records = [*(self._visible(u) for u in self.users.values() if self._is_visible(u)), *self.raw_users]
                return web.json_response({"users": self._page(request, records)})
            case "GET", ["groups"]:
                records = [self._visible(g.record) for g in self.groups.values() if self._is_visible(g.record)]
                return web.json_response({"groups": self._page(request, records)})
            case "GET", ["user"]:
                return web.json_response(self._visible(self._user(bps_id, must_be_visible=True)))
            case "GET", ["group"]:
                return self._show_group(self._group(bps_id, must_be_visible=True))
            case "POST", ["users"]:
                return self._create_user(payload)
            case "PATCH", ["user"]:
                self._patch_user(self._user(bps_id), payload)
                return web.json_response(bps_id)
            case "DELETE", ["user"]:
                del self.users[self._user(bps_id)["bpsId"].lower()]
                return web.Response()
            case "POST", ["groups"]:
                return self._create_group(payload)
            case "PATCH", ["group"]:
                if any(not value for value in payload.values()):
                    raise Refusal(400, "InvalidInput", "Setting empty string to name or email is not allowed")
                self._group(bps_id).record.update(payload)
                return web.Response()
            case "DELETE", ["group"]:
                del self.groups[self._group(bps_id).record["bpsId"].lower()]
                return web.json_response(bps_id)
            case "POST", ["group", role, verb]:
                self._change_people(bps_id, role, verb, payload[role])
                return web.Response()
            case _, ["substitutions", *rest]:
                return self._substitute(request, int(rest[0]) if rest else None, payload)
        raise AssertionError(route)

    def _substitute(self, request: web.Request, number: int | None, payload: Any) -> web.Response:
        if number is None and request.method == "GET":
            return self._list_substitutions(request)
        if number is None:
            self._check_substitution(payload)
            number = max(self.substitutions, default=0) + 1
            self.substitutions[number] = payload
            answers = {"text": str(number), "object": {"id": number}, "number": number}
            return web.Response() if self.number_form == "none" else web.json_response(answers[self.number_form])
        if number not in self.substitutions:
            raise Refusal(404, "ResourceNotFound", "Substitution not exists")
        if request.method == "PATCH":
            self._check_substitution(payload)
            self.substitutions[number] = payload
        elif request.method == "DELETE":
            del self.substitutions[number]
        else:
            return web.json_response(self._show_substitution(number))
        return web.Response()

    def _check_substitution(self, payload: dict[str, Any]) -> None:
        people = [payload[name]["bpsId"].lower() for name in ("originalPerson", "substitutePerson")]
        if len(set(people)) != 2 or not set(people) <= self.users.keys():
            raise Refusal(409, "ValidationError", "no such people")

    def _list_substitutions(self, request: web.Request) -> web.Response:
        page = int(request.query["page"]) - self.first_page
        if page < 0:
            raise Refusal(400, "InvalidQueryParameterValue", "page")
        size = int(request.query["size"])
        person = request.query["originalPerson"].lower()
        chosen = [n for n, s in self.substitutions.items() if s["originalPerson"]["bpsId"].lower() == person]
        shown = [self._show_substitution(number) for number in chosen[page * size : (page + 1) * size]]
        if not shown and self.empty_list == 404:
            raise Refusal(404, "ResourceNotFound", "Substitutions not exist")
        return web.json_response({"substitutions": shown})

    def _show_substitution(self, number: int) -> dict[str, Any]:
        shown = {**self.substitutions[number], "id": number}
        for name in ("startDate", "endDate"):
            if self.time_form == "local":
                shown[name] = shown[name].removesuffix("Z") + ".0000000"
            elif self.time_form == "days":
                shown[name] = shown[name][:10] + "T00:00:00"
        return shown

    def _is_visible(self, record: dict[str, Any]) -> bool:
        return self.pending_visible or record["status"] == "Synchronized"

    def _visible(self, record: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in record.items() if not key.startswith("_")}

    def _page(self, request: web.Request, records: list[Any]) -> list[Any]:
        size = min(int(request.query.get("size", "20")), self.page_cap)
        page = int(request.query.get("page", "0")) % self.pages_wrap_after
        return records[page * size : (page + 1) * size]

    def _user(self, bps_id: str, *, must_be_visible: bool = False) -> dict[str, Any]:
        user = self.users.get(bps_id.lower())
        if user is None or (must_be_visible and not self._is_visible(user)):
            raise Refusal(404, "ResourceNotFound", "User does not exist")
        return user

    def _group(self, bps_id: str, *, must_be_visible: bool = False) -> Group:
        group = self.groups.get(bps_id.lower())
        if group is None or (must_be_visible and not self._is_visible(group.record)):
            raise Refusal(404, "ResourceNotFound", "Group does not exist")
        return group

    def _demand_id(self, bps_id: Any) -> str:
        local, at, domain = str(bps_id or "").partition("@")
        if not (local and at and domain) or set(str(bps_id)) & FORBIDDEN_CHARACTERS:
            raise Refusal(400, "InvalidBodyParameterValue", "bpsId must have UPN format")
        return str(bps_id)

    def _is_taken(self, bps_id: str) -> bool:
        return bps_id.lower() in self.users or bps_id.lower() in self.groups or bps_id.lower() in self.hidden

    def _status(self) -> str:
        return "Synchronized" if self.synchronizes_at_once else "WaitingForSynchronization"

    def _create_user(self, payload: dict[str, Any]) -> web.Response:
        bps_id = self._demand_id(payload.get("bpsId"))
        if not payload.get("name") or not payload.get("email"):
            raise Refusal(400, "MissingRequiredBodyParameter", "name and email are required")
        if self._is_taken(bps_id):
            raise Refusal(409, "ValidationError", "Selected bps id is already in use")
        self.users[bps_id.lower()] = dict.fromkeys(USER_FIELDS) | payload | {"status": self._status()}
        return web.json_response(bps_id)

    def _patch_user(self, user: dict[str, Any], payload: dict[str, Any]) -> None:
        if self.refuses_empty and "" in payload.values():
            raise Refusal(400, "InvalidBodyParameterValue", "empty")
        for key, value in payload.items():
            if value:
                user[key] = value
            elif key in ("name", "email"):
                raise Refusal(400, "InvalidInput", "required")
            elif (value == "" and self.clears_with in ("both", "empty")) or (
                value is None and self.clears_with in ("both", "null")
            ):
                user[key] = ""

    def _create_group(self, payload: dict[str, Any]) -> web.Response:
        bps_id = self._demand_id(payload.get("bpsId"))
        if not payload.get("name") or not payload.get("email"):
            raise Refusal(400, "MissingRequiredBodyParameter", "name and email are required")
        if self._is_taken(bps_id):
            raise Refusal(self.group_duplicate_status, "UnsupportedOperation", "Selected bpsId already exist")
        record = {"bpsId": bps_id, "name": payload["name"], "email": payload["email"], "status": self._status()}
        self.groups[bps_id.lower()] = Group(record)
        return web.Response()

    def _show_group(self, group: Group) -> web.Response:
        def show(people: dict[str, str]) -> list[dict[str, Any]]:
            return [{"bpsId": bps_id, "name": bps_id, "email": None, "type": "User"} for bps_id in people.values()]

        return web.json_response({**group.record, "members": show(group.members), "owners": show(group.owners)})

    def _change_people(self, bps_id: str, role: str, verb: str, people: list[dict[str, Any]]) -> None:
        ids = [person["bpsId"] for person in people]
        group = self.groups.get(bps_id.lower())
        if group is None:
            if verb == "remove" and role == "members":
                raise Refusal(404, "ResourceNotFound", "Selected group does not exist")
            raise Refusal(409, "ValidationError", "At least one of BpsId does not exist")
        current = group.members if role == "members" else group.owners
        if verb == "add":
            users = [self.users.get(one.lower()) for one in ids]
            if group.record["status"] != "Synchronized" or any(
                u is None or u["status"] != "Synchronized" for u in users
            ):
                raise Refusal(409, "ValidationError", "At least one of BpsId does not exist")
            if any(user is not None and user.get("_application") for user in users):
                raise Refusal(400, "InvalidInput", "Only account of type User or AdGroup can be a member of BPS group")
            current.update({one.lower(): one for one in ids})
            return
        if self.refuses_non_member_removal and any(one.lower() not in current for one in ids):
            raise Refusal(409, "ValidationError", "At least one of BpsId is no member")
        for one in ids:
            current.pop(one.lower(), None)
