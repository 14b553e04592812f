"""Tries everything that syncd needs of the portal, for ``syncd check``. Changes nothing there.

Whether the application may write is found out by changing a record that cannot exist: the portal answers 404 where the
scope is there and 403 where it is missing.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import KW_ONLY, dataclass
from typing import Literal

from syncd.bps.answers import Noun
from syncd.bps.client import make_nobody, make_path, parse_json
from syncd.bps.licence_records import parse_seats
from syncd.bps.portal import BpsPortal
from syncd.errors import (
    AuthFailed,
    Conflict,
    Forbidden,
    NotFound,
    ProtocolError,
    Rejected,
    RemoteError,
    Timeout,
    Unavailable,
)
from syncd.http import Response, read_date
from syncd.model.licence import Seats, say_unoffered
from syncd.plan.moment import WAITS

_SKEW_LIMIT = 120.0
"""Seconds by which the two clocks may differ before it is worth a warning."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was tried: what came of it, and what to do about it (empty: nothing)."""

    check: str
    status: Literal["ok", "warning", "failed", "unknown"]
    _: KW_ONLY
    detail: str
    remedy: str = ""


async def probe_portal(
    portal: BpsPortal,
    *,
    licences: bool = False,
    types: Collection[str] = (),
    substitutions: bool = False,
    probe_id: str | None = None,
) -> tuple[Check, ...]:
    """Return one finding per check, in a fixed order; raises nothing that the portal could cause.

    ``licences``: there are licence rules, so that licences must be read and written as well; ``types``: what they give.
    ``substitutions``: a policy asks for them; a missing scope is a warning, since everything else is done without them.
    ``probe_id`` is the BPS id that cannot exist; a random one by default.
    """
    nobody = probe_id or make_nobody()
    findings = [_check_https(portal.options.portal_url), *await _check_token(portal)]
    if findings[-1].status != "ok":
        names = ["api", "users read", "groups read", "users write", "groups write", "clock"]
        names[5:5] = ["substitutions"] if substitutions else []
        names[5:5] = ["licenses read", "licence types", "licenses write"] if licences else []
        return (
            *findings,
            *(Check(f"portal {name}", "unknown", detail="not tried: there is no token") for name in names),
        )
    me = await _try(lambda: portal.client.read("/me", noun="me"))
    findings.append(_judge_me(me))
    findings.append(_judge_read("users", await _try(lambda: _read_one(portal, "users"))))
    findings.append(_judge_read("groups", await _try(lambda: _read_one(portal, "groups"))))
    findings.append(_judge_write("users", await _try(lambda: _patch_nobody(portal, nobody))))
    findings.append(_judge_write("groups", await _try(lambda: _remove_nobody(portal, nobody))))
    if licences:
        read = await _try(lambda: portal.client.read("/admin/licenses/summary", noun="licenses"))
        if isinstance(read, RemoteError) and read.code == "UnsupportedLicensingType":
            findings.append(_find_perpetual())
        else:
            findings.append(_judge_read("licenses", read))
            findings.append(_judge_types(read, types))
            findings.append(_judge_write("licenses", await _try(lambda: _take_from_nobody(portal, nobody))))
    if substitutions:
        findings.append(_judge_substitutions(await _try(lambda: _change_no_substitution(portal))))
    findings.append(_judge_clock(portal, me))
    return tuple(findings)


def _check_https(portal_url: str) -> Check:
    if portal_url.lower().startswith("https:"):
        return Check("portal https", "ok", detail="the portal is addressed by https")
    return Check(
        "portal https",
        "warning",
        detail="the portal is addressed by plain http: secret, tokens and personal data travel readable",
        remedy="give the portal a certificate and set bps.portal_url to its https address",
    )


async def _check_token(portal: BpsPortal) -> list[Check]:
    try:
        await portal.tokens.fetch_token()
    except (Unavailable, Timeout) as error:
        if error.status is None:
            return [
                Check(
                    "portal reachable",
                    "failed",
                    detail=str(error),
                    remedy=f"check bps.portal_url, {portal.options.proxy_setting}, DNS and firewall",
                ),
                Check("portal token", "unknown", detail="not tried: the portal cannot be reached"),
            ]
        failure: RemoteError = error
    except Rejected as error:
        if error.status is None:
            return [
                Check(
                    "portal reachable",
                    "failed",
                    detail=str(error),
                    remedy="set bps.ca_file to the issuing authority's certificate",
                ),
                Check("portal token", "unknown", detail="not tried: the portal's certificate is not trusted"),
            ]
        failure = error
    except RemoteError as error:
        failure = error
    else:
        return [
            Check("portal reachable", "ok", detail=f"{portal.options.portal_url} answers"),
            Check("portal token", "ok", detail="the portal gave a token"),
        ]
    if isinstance(failure, ProtocolError) or failure.status in (404, 405):
        return [
            Check(
                "portal reachable", "failed", detail=str(failure), remedy="correct bps.portal_url: host, port and path"
            ),
            Check("portal token", "unknown", detail="not tried: something answers there, but it is no portal"),
        ]
    return [
        Check("portal reachable", "ok", detail=f"{portal.options.portal_url} answers"),
        Check(
            "portal token",
            "failed",
            detail=str(failure),
            remedy=f"check bps.client_id, {portal.options.credential_setting} and bps.portal_url",
        ),
    ]


async def _try(request: Callable[[], Awaitable[Response]]) -> Response | RemoteError:
    try:
        return await request()
    except RemoteError as error:
        return error


async def _read_one(portal: BpsPortal, noun: Noun) -> Response:
    return await portal.client.read(f"/admin/{noun}?size=1&page=0", noun=noun)


async def _patch_nobody(portal: BpsPortal, nobody: str) -> Response:
    return await portal.client.send("PATCH", make_path("/admin/user", nobody), noun="users", body={"jobTitle": "probe"})


async def _remove_nobody(portal: BpsPortal, nobody: str) -> Response:
    path = make_path("/admin/group/members/remove", nobody)
    return await portal.client.send("POST", path, noun="groups", body={"members": [{"bpsId": nobody}]})


async def _take_from_nobody(portal: BpsPortal, nobody: str) -> Response:
    body = {"assignLicenses": [], "removeLicenses": [{"bpsId": nobody, "licenses": [{"type": "User"}]}]}
    return await portal.client.send("POST", "/admin/licenses/assign", noun="licenses", body=body)


def _find_perpetual() -> Check:
    return Check(
        "portal licenses read",
        "warning",
        detail="the portal has perpetual licensing and assigns licences by itself: [[licences]] is not carried out",
        remedy=(
            "remove the [[licences]] rules; from WEBCON BPS 2026.1.4 on licences are assigned by name in perpetual "
            "licensing too, once the licence package was downloaded again"
        ),
    )


def _judge_types(result: Response | RemoteError, types: Collection[str]) -> Check:
    """Say which types the portal offers, with their seats, and which types of rules are none of them."""
    name = "portal licence types"
    if isinstance(result, RemoteError):
        return Check(name, "unknown", detail="not known: the summary of licences cannot be read")
    try:
        offered = {seats.type: seats for seats in parse_seats(parse_json(result))}
    except RemoteError as error:
        return Check(name, "unknown", detail=str(error))
    if not offered:
        return Check(name, "unknown", detail="the portal's summary of licences names no type")
    shown = ", ".join(_show_seats(offered[kind]) for kind in sorted(offered))
    unknown = set(types) - offered.keys()
    if unknown:
        return Check(
            name,
            "warning",
            detail=f"{say_unoffered(unknown, offered)}: nobody gets one by a rule",
            remedy="correct licences.type, or download the licence package again (WEBCON BPS 2026.1.4 and later)",
        )
    return Check(name, "ok", detail=f"the portal offers {shown}")


def _show_seats(seats: Seats) -> str:
    return f"{seats.type} ({'not limited' if seats.total is None else f'{seats.assigned} of {seats.total} assigned'})"


def _judge_me(result: Response | RemoteError) -> Check:
    if isinstance(result, RemoteError):
        return Check("portal api", "failed", detail=str(result), remedy="check bps.portal_url and the API application")
    try:
        me = parse_json(result)
    except RemoteError as error:
        return Check("portal api", "failed", detail=str(error), remedy="check bps.portal_url")
    if isinstance(me, dict) and me.get("impersonated") is True:
        return Check(
            "portal api",
            "failed",
            detail="the API application acts in the name of a user, and the administrative API refuses that",
            remedy="register an application in application context and use its client id and secret",
        )
    name = me.get("bpsId") if isinstance(me, dict) else None
    return Check("portal api", "ok", detail=f"the REST API v6.0 answers; we are {name or 'an unnamed application'}")


def _judge_read(noun: Noun, result: Response | RemoteError) -> Check:
    name = f"portal {noun} read"
    if not isinstance(result, RemoteError):
        return Check(name, "ok", detail=f"the list of {noun} can be read")
    remedy = (
        f"grant Admin.{noun.capitalize()}.ReadWrite to the API application" if isinstance(result, Forbidden) else ""
    )
    return Check(name, "failed", detail=str(result), remedy=remedy)


def _judge_write(noun: Noun, result: Response | RemoteError) -> Check:
    name = f"portal {noun} write"
    match result:
        case NotFound() | Conflict():
            return Check(
                name, "ok", detail=f"{noun} can be written (a record that does not exist was refused as missing)"
            )
        case Forbidden():
            return Check(
                name,
                "failed",
                detail=str(result),
                remedy=f"grant Admin.{noun.capitalize()}.ReadWrite to the API application",
            )
        case AuthFailed() | Unavailable() | Timeout():
            return Check(name, "unknown", detail=str(result))
        case RemoteError() if result.status == 405:
            return Check(name, "failed", detail=str(result))
        case RemoteError():
            return Check(name, "unknown", detail=str(result))
        case _ if noun == "licenses":
            return Check(name, "ok", detail="licenses can be written (taking one from nobody was accepted)")
        case _:
            return Check(
                name, "warning", detail=f"the portal accepted a change to one of its {noun} that does not exist"
            )


def _judge_clock(portal: BpsPortal, result: Response | RemoteError) -> Check:
    stated = None if isinstance(result, RemoteError) else read_date(result.headers)
    if stated is None:
        return Check("portal clock", "unknown", detail="the portal did not tell its time")
    skew = (portal.clock.now() - stated).total_seconds()
    if abs(skew) <= _SKEW_LIMIT:
        return Check("portal clock", "ok", detail=f"the clocks differ by {abs(skew):.0f} s")
    return Check(
        "portal clock",
        "warning",
        detail=f"this machine's clock is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the portal's",
        remedy=f"synchronise both clocks (NTP): tokens are valid by time; {WAITS}",
    )


async def _change_no_substitution(portal: BpsPortal) -> Response:
    """Change the substitution 0, which no portal has: numbers begin at 1."""
    return await portal.client.send("PATCH", "/admin/substitutions/0", noun="substitutions", body={})


def _judge_substitutions(result: Response | RemoteError) -> Check:
    judged = _judge_write("substitutions", result)
    name = "portal substitutions"
    if not isinstance(result, Forbidden):
        return Check(name, judged.status, detail=judged.detail, remedy=judged.remedy)
    return Check(
        name,
        "warning",
        detail=f"{result}; the tasks of leavers and of renamed people are not passed on, everything else is done",
        remedy=f'{judged.remedy}, or set policy.rename_substitute = false and policy.substitute = "none"',
    )
