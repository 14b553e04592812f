"""``/me``: what somebody who has signed in may ask about oneself, "directoryObject: getMemberObjects"."""

from __future__ import annotations

import msgspec

from syncd.clock import Clock
from syncd.sandbox.tenant.odata import JSON_TYPE, refuse
from syncd.sandbox.tenant.view import View
from syncd.sandbox.wire.http import Answer, Request, Unreadable, read_json
from syncd.sandbox.wire.tokens import Grant


def answer_me(request: Request, path: tuple[str, ...], grant: Grant, view: View, *, clock: Clock) -> Answer:
    """Answer one request below ``/me``; the owner of the token asks. Raises Refusal."""
    if not grant.person:
        raise refuse(clock, 400, "BadRequest", "/me request is only valid with delegated authentication flow.")
    if "User.Read" not in grant.permissions:
        raise refuse(clock, 403, "Authorization_RequestDenied", "Insufficient privileges to complete the operation.")
    person = view.objects.get(grant.person)
    if person is None or person.state != "active":
        raise refuse(clock, 404, "Request_ResourceNotFound", "The person of the token does not exist.")
    if path == () and request.method == "GET":
        shown = {"id": person.id, "displayName": person.properties.get("displayName")}
        return Answer(200, msgspec.json.encode(shown), JSON_TYPE, route="me")
    if path != ("getMemberObjects",) or request.method != "POST":
        raise refuse(clock, 404, "Request_ResourceNotFound", "There is no such resource of me.")
    try:
        asked = read_json(request.body)
    except Unreadable:
        asked = None
    if not isinstance(asked, dict) or not isinstance(asked.get("securityEnabledOnly"), bool):
        raise refuse(clock, 400, "Request_BadRequest", "securityEnabledOnly is missing or no Boolean.")
    found: dict[str, None] = {}
    waiting = [person.id]
    while waiting:
        for group in view.groups_of(waiting.pop()):
            fits = group.state == "active" and group.id not in found
            if fits and (not asked["securityEnabledOnly"] or group.properties.get("securityEnabled") is not False):
                found[group.id] = None
                waiting.append(group.id)
    return Answer(200, msgspec.json.encode({"value": list(found)}), JSON_TYPE, route="me/getMemberObjects")
