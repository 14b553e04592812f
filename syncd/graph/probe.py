"""Harmless trials of the Graph side for ``syncd check``: token, roles, each stream, clock. Changes nothing anywhere."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Literal

import msgspec

from syncd.clock import Clock
from syncd.errors import RemoteError, Throttled
from syncd.graph.answers import Purpose
from syncd.graph.client import GraphClient
from syncd.graph.options import PERMISSIONS
from syncd.graph.parse import parse_object
from syncd.http import Response, RetryPolicy
from syncd.model.source import STREAMS, Stream

Status = Literal["ok", "warning", "failed", "unknown"]

SKEW_LIMIT_SECONDS = 60.0

_WITHIN = {
    "User.Read.All": {"User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"},
    "GroupMember.Read.All": {
        "GroupMember.ReadWrite.All",
        "Group.Read.All",
        "Group.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    },
}
_PATIENCE = RetryPolicy(attempts=2, patience=20.0)


@dataclass(frozen=True, slots=True)
class Probe:
    """What one trial showed, and what to do about it (empty when there is nothing to do)."""

    check: str
    status: Status
    detail: str
    remedy: str = ""


async def probe(client: GraphClient, clock: Clock) -> tuple[Probe, ...]:
    """Try token, permissions and clock. Never raises a RemoteError; without a token only that is reported."""
    try:
        token = await client.tokens.fetch()
    except RemoteError as error:
        return (Probe("graph.token", _status(error), str(error), "see the message; nothing else could be tried"),)
    results = [Probe("graph.token", "ok", f"token for tenant {client.options.tenant_id} received")]
    trials = [await _try_stream(client, stream) for stream in STREAMS]
    results.append(_judge_roles(read_roles(token), {trial.check for trial, _ in trials if trial.status == "ok"}))
    results += [trial for trial, _ in trials]
    results.append(_judge_clock([answer for _, answer in trials if answer is not None], clock))
    return tuple(results)


def read_roles(token: str) -> frozenset[str] | None:
    """Return the application permissions that the token names; None when it cannot be looked into.

    For diagnosis only: an access token is opaque to its client ("Access tokens", Microsoft identity platform).
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    roles = claims.get("roles", []) if isinstance(claims, dict) else None
    return frozenset(role for role in roles if isinstance(role, str)) if isinstance(roles, list) else None


async def _try_stream(client: GraphClient, stream: Stream) -> tuple[Probe, Response | None]:
    """Ask for a fresh delta link without any data ("delta query overview", ``$deltatoken=latest``)."""
    select = "id" if stream == "users" else "id,members"
    url = client.make_url(f"/{stream}/delta?$deltatoken=latest&$select={select}")

    def parse(response: Response) -> Response:
        parse_object(response)
        return response

    try:
        answer = await client.fetch(
            url, parse, purpose=Purpose(f"read changes of {stream}", PERMISSIONS[stream]), retry=_PATIENCE
        )
    except RemoteError as error:
        remedy = f"grant {PERMISSIONS[stream]} with admin consent" if error.status == 403 else "see the message"
        return Probe(f"graph.{stream}", _status(error), str(error), remedy), None
    return Probe(f"graph.{stream}", "ok", f"changes of {stream} can be read"), answer


def _judge_roles(roles: frozenset[str] | None, working: Iterable[str]) -> Probe:
    if roles is None:
        return Probe("graph.roles", "unknown", "the token cannot be looked into")
    usable = {f"graph.{stream}" for stream in STREAMS} & set(working)
    missing = [need for need in PERMISSIONS.values() if need not in roles and not roles & _WITHIN[need]]
    broken = [need for stream, need in PERMISSIONS.items() if need in missing and f"graph.{stream}" not in usable]
    if missing:
        return Probe(
            "graph.roles",
            "failed" if broken else "warning",
            f"the token lacks {', '.join(missing)}",
            "grant it as an application permission in Microsoft Entra ID, with admin consent",
        )
    needless = sorted(role for role in roles if _is_needless(role))
    if needless:
        return Probe(
            "graph.roles",
            "warning",
            f"the application may do more than syncd needs: {', '.join(needless)}",
            f"syncd only reads: take them away; {' and '.join(PERMISSIONS.values())} suffice",
        )
    return Probe("graph.roles", "ok", f"the token carries {', '.join(sorted(roles))}")


def _is_needless(role: str) -> bool:
    return role == "User.Export.All" or ".ReadWrite." in role or role.endswith(".ReadWrite")


def _judge_clock(answers: Iterable[Response], clock: Clock) -> Probe:
    for answer in answers:
        try:
            stated = parsedate_to_datetime(answer.headers.get("Date", ""))
        except ValueError:
            continue
        if stated.tzinfo is None:
            stated = stated.replace(tzinfo=UTC)
        skew = (clock.now() - stated).total_seconds()
        if abs(skew) > SKEW_LIMIT_SECONDS:
            side = "ahead of" if skew > 0 else "behind"
            return Probe(
                "graph.clock",
                "warning",
                f"this machine's clock is {abs(skew):.0f} s {side} Microsoft Graph's",
                "set the clock by NTP: tokens and certificates depend on it",
            )
        return Probe("graph.clock", "ok", f"this machine's clock differs by {abs(skew):.0f} s")
    return Probe("graph.clock", "unknown", "no answer of Microsoft Graph told the time")


def _status(error: RemoteError) -> Status:
    return "unknown" if isinstance(error, Throttled) else "failed"
