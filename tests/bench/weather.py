"""What something between syncd and a side may do to requests: one kind each, for a minute of `tests.bench.day`."""

from __future__ import annotations

import base64
import random
from collections.abc import Callable, Mapping

from syncd.sandbox.server import Sandbox
from syncd.sandbox.wire.faults import Fault

PAGE = b"<!DOCTYPE html><html><head><title>Blocked</title></head><body><h1>Request rejected</h1>id 4711</body></html>"
STATUSES = (200, 400, 401, 403, 404, 405, 410, 429, 451, 500, 501, 502, 503, 504, 520)

_OF_GATEWAYS = (
    b'{"error":"Forbidden"}',
    b'{"message":"Unauthorized"}',
    b'{"error":{"code":403}}',
    b'{"error":{"code":"403","message":"Blocked by policy"}}',
    b'{"error":{"code":"Forbidden","message":"Blocked by policy"}}',
)
_WAITS = ("3", "40", "900", "Wed, 01 Jan 2098 00:00:00 GMT", "soon")
Weather = Callable[[Sandbox, str, random.Random], None]


def _plan(sandbox: Sandbox, kind: str, side: str, **more: object) -> None:
    sandbox.faults.add(Fault(kind, side=side, count=-1, **more))  # type: ignore[arg-type]  # one of its kinds


def _page(sandbox: Sandbox, side: str, chance: random.Random) -> None:
    _plan(sandbox, "status", side, status=chance.choice(STATUSES), body=PAGE, content_type="text/html")


def _speak_json(sandbox: Sandbox, side: str, chance: random.Random) -> None:
    body = chance.choice(_OF_GATEWAYS)
    status = chance.choice((400, 401, 403, 405))
    sandbox.book.revoke_all()
    _plan(sandbox, "status", side, status=status, body=body)
    _plan(sandbox, "status", "login", status=status, body=body)


def _refuse_value(sandbox: Sandbox, side: str, chance: random.Random) -> None:
    letter = chance.choice("aeiorst")
    _plan(sandbox, "status", side, status=403, body=PAGE, content_type="text/html", holding=f"{letter}[a-z]{letter}")


def _refuse_method(sandbox: Sandbox, side: str, _chance: random.Random) -> None:
    _plan(sandbox, "status", side, status=405, body=PAGE, content_type="text/html", method="PATCH|DELETE")


def _refuse_size(sandbox: Sandbox, side: str, _chance: random.Random) -> None:
    _plan(sandbox, "status", side, status=413, body=PAGE, content_type="text/html", above=120)


def _fail(sandbox: Sandbox, side: str, chance: random.Random) -> None:
    _plan(sandbox, "html", side, status=chance.choice((502, 504)), path=chance.choice(("", "users", "group")))


def _cut(sandbox: Sandbox, side: str, chance: random.Random) -> None:
    _plan(sandbox, chance.choice(("reset", "lose", "truncate")), side)


def _spell(sandbox: Sandbox, _side: str, chance: random.Random) -> None:
    sandbox.portal_knobs.spelling = chance.choice(("trimmed", "lower", "composed", "decomposed"))


def _bomb(sandbox: Sandbox, side: str, _chance: random.Random) -> None:
    sandbox.book.revoke_all()
    _plan(sandbox, "bomb", side, path="token", size=100 << 20)
    _plan(sandbox, "bomb", "login", size=100 << 20)


def _refuse_place(sandbox: Sandbox, _side: str, _chance: random.Random) -> None:
    claims = base64.b64encode(b'{"access_token":{"xms_rp_ipaddr":{"value":"203.0.113.9"}}}').decode()
    headers = {"WWW-Authenticate": f'Bearer realm="", error="insufficient_claims", claims="{claims}"'}
    body = b'{"error":{"code":"InvalidAuthenticationToken","message":"TokenCreatedWithOutdatedPolicies"}}'
    _plan(sandbox, "status", "graph", status=401, headers=headers, body=body)


def _spoil_entries(sandbox: Sandbox, _side: str, _chance: random.Random) -> None:
    body = b'{"value":[' + b",".join([b'{"id":5}'] * 20_000) + b"]}"
    _plan(sandbox, "status", "graph", status=200, body=body, path="users|groups")


def _leave_no_budget(sandbox: Sandbox, _side: str, _chance: random.Random) -> None:
    sandbox.tenant_knobs.resource_units_per_10s = 20


def _empty_pages(sandbox: Sandbox, _side: str, _chance: random.Random) -> None:
    sandbox.tenant_knobs.endless_rounds = True


def _forget_tokens(sandbox: Sandbox, _side: str, _chance: random.Random) -> None:
    sandbox.book.revoke_all()


def _repeat(sandbox: Sandbox, side: str, chance: random.Random) -> None:
    _plan(sandbox, "echo", side, status=chance.choice((400, 403, 502)), content_type="text/html", body=PAGE)


def _answer_writes(sandbox: Sandbox, _side: str, _chance: random.Random) -> None:
    _plan(sandbox, "replace", "portal", method="POST|PATCH|DELETE", status=200, body=PAGE, content_type="text/html")


def _wait_long(sandbox: Sandbox, side: str, chance: random.Random) -> None:
    _plan(sandbox, "status", side, status=chance.choice((429, 503)), headers={"Retry-After": chance.choice(_WAITS)})


def _show_old(sandbox: Sandbox, _side: str, _chance: random.Random) -> None:
    sandbox.replicas.freeze()


def _refuse_counts(sandbox: Sandbox, _side: str, chance: random.Random) -> None:
    sandbox.tenant_knobs.count_status = chance.choice((400, 503))


def _tell_other_time(sandbox: Sandbox, _side: str, chance: random.Random) -> None:
    sandbox.tenant_knobs.clock_ahead = chance.choice((-7200.0, 7200.0))


WEATHERS: Mapping[str, Weather] = {
    "a web page with any status": _page,
    "JSON of its own": _speak_json,
    "a redirect to itself": lambda sandbox, side, _: _plan(sandbox, "redirect", side),
    "403 by value": _refuse_value,
    "405 by method": _refuse_method,
    "413": _refuse_size,
    "502 or 504 with a page": _fail,
    "header lines of 60 KiB": lambda sandbox, side, _: _plan(sandbox, "header", side, size=60 << 10),
    "a byte order mark": lambda sandbox, side, _: _plan(sandbox, "mark", side),
    "values spelled otherwise": _spell,
    "a slow drip": lambda sandbox, side, _: _plan(sandbox, "drip", side, seconds=2.0),
    "connections that are cut": _cut,
    "a token that is stale": _forget_tokens,
    "a token that grows to 100 MB": _bomb,
    "a refusal by location": _refuse_place,
    "a page of bad entries": _spoil_entries,
    "next to no budget": _leave_no_budget,
    "empty pages": _empty_pages,
    "links elsewhere": lambda sandbox, *_: _plan(sandbox, "links", "graph", link="foreign"),
    "a page that repeats the request": _repeat,
    "writes that are answered with a page": _answer_writes,
    "a wait that is asked for": _wait_long,
    "lists of an hour ago": _show_old,
    "counts that are refused": _refuse_counts,
    "another time": _tell_other_time,
    "an error page without an end": lambda sandbox, side, _: _plan(sandbox, "endless", side, status=502, size=1 << 16),
}


def change_weather(sandbox: Sandbox, chance: random.Random, *, name: str = "", side: str = "") -> str:
    """End what is, and begin something else, at one side or at both; return what it is."""
    clear(sandbox)
    name = name or chance.choice(list(WEATHERS))
    side = side or chance.choice(("graph", "portal", "any"))
    WEATHERS[name](sandbox, side, chance)
    return f"{name} ({side})"


def clear(sandbox: Sandbox) -> None:
    """Let everything through as it is."""
    sandbox.faults.clear()
    sandbox.portal_knobs.spelling = "as sent"
    sandbox.tenant_knobs.resource_units_per_10s, sandbox.tenant_knobs.endless_rounds = 0, False
    sandbox.tenant_knobs.count_status, sandbox.tenant_knobs.clock_ahead = 0, 0.0
    sandbox.replicas.thaw()
