"""Harmless trials of the Graph side for ``syncd check``: token, permissions, properties, counts, hidden groups, habits.

Everything is a read that a run makes too; nothing is changed anywhere. Of a few objects the names of properties are
looked at, of some others the bare ids.
"""

from __future__ import annotations

from collections.abc import Iterable

from syncd.clock import Clock
from syncd.errors import RemoteError
from syncd.graph.checks.hidden_members import probe_members
from syncd.graph.checks.open_questions import judge_units, probe_links
from syncd.graph.checks.properties import judge_own_permissions, judge_properties, try_stream
from syncd.graph.checks.result import GRANT, PATIENCE, Probe, judge_failure
from syncd.graph.checks.tenant_kind import judge_tenant
from syncd.graph.client import GraphClient
from syncd.graph.options import PERMISSIONS
from syncd.graph.permissions import Claims, find_missing, find_needless, list_needs, read_claims
from syncd.graph.wire.parse import parse_count
from syncd.graph.wire.refusals import Purpose
from syncd.http import Response, read_date
from syncd.model.source import STREAMS
from syncd.plan.moment import WAITS

SKEW_LIMIT_SECONDS = 60.0


async def probe(client: GraphClient, clock: Clock) -> tuple[Probe, ...]:
    """Try token, permissions and clock. Never raises a RemoteError; without a token only that is reported."""
    try:
        token = await client.tokens.fetch()
    except RemoteError as error:
        return (
            Probe(
                "graph.token",
                judge_failure(error),
                detail=str(error),
                remedy="see the message; nothing else could be tried",
            ),
        )
    trials = [await try_stream(client, stream) for stream in STREAMS]
    claims, needs = read_claims(token), list_needs(client.options)
    answers = [trial.answer for trial in trials if trial.answer is not None]
    working = {PERMISSIONS[trial.stream] for trial in trials if trial.probe.status == "ok"}
    return (
        Probe("graph.token", "ok", detail=f"token for tenant {client.options.tenant_id} received"),
        *await judge_tenant(client, claims),
        _judge_missing(claims, needs, working),
        _judge_needless(claims, needs),
        *(trial.probe for trial in trials),
        judge_properties(client, trials),
        *judge_own_permissions(client, claims),
        await _try_counts(client),
        *await probe_members(client, claims),
        await probe_links(client),
        judge_units(answers),
        _judge_clock(answers, clock),
    )


async def _try_counts(client: GraphClient) -> Probe:
    """Ask for the counts that prove a full read."""
    found: list[str] = []
    for stream in STREAMS:
        try:
            count = await client.fetch(
                client.make_url(f"/{stream}/$count"),
                parse_count,
                purpose=Purpose(f"count {stream}", PERMISSIONS[stream]),
                headers={"ConsistencyLevel": "eventual", "Accept": "text/plain, application/json;q=0.5"},
                retry=PATIENCE,
            )
        except RemoteError as error:
            remedy = "without a count a full read is not proven, and removes nobody"
            return Probe("graph.counts", judge_failure(error), detail=str(error), remedy=remedy)
        found.append(f"{count:,} {stream}")
    return Probe("graph.counts", "ok", detail=f"the tenant counts {' and '.join(found)}")


def _judge_missing(claims: Claims | None, needs: tuple[str, ...], working: set[str]) -> Probe:
    if claims is None:
        return Probe(
            "graph.roles", "unknown", detail="the token cannot be looked into; the trials below tell what works"
        )
    missing = find_missing(claims.roles, needs)
    if missing:
        return Probe(
            "graph.roles",
            "warning" if working.issuperset(missing) else "failed",
            detail=f"the token lacks {', '.join(missing)}",
            remedy=f"grant it {GRANT}",
        )
    return Probe("graph.roles", "ok", detail=f"the token carries {', '.join(sorted(claims.roles))}")


def _judge_needless(claims: Claims | None, needs: tuple[str, ...]) -> Probe:
    if claims is None:
        return Probe("graph.needless", "unknown", detail="the token cannot be looked into")
    needless = find_needless(claims.roles, needs)
    said = [f"the application may do more than syncd needs: {', '.join(needless)}"] if needless else []
    if claims.scopes:
        said.append(f"the token is delegated, for {', '.join(sorted(claims.scopes))}")
    if not said:
        return Probe("graph.needless", "ok", detail="the application may do no more than syncd needs")
    remedy = f"syncd only reads: take them away; the application permissions {' and '.join(needs)} suffice"
    return Probe("graph.needless", "warning", detail="; ".join(said), remedy=remedy)


def _judge_clock(answers: Iterable[Response], clock: Clock) -> Probe:
    for answer in answers:
        if (stated := read_date(answer.headers)) is None:
            continue
        skew = (clock.now() - stated).total_seconds()
        if abs(skew) > SKEW_LIMIT_SECONDS:
            side = "ahead of" if skew > 0 else "behind"
            return Probe(
                "graph.clock",
                "warning",
                detail=f"this machine's clock is {abs(skew):.0f} s {side} Microsoft Graph's",
                remedy=f"set the clock by NTP: tokens and certificates depend on it; {WAITS}",
            )
        return Probe("graph.clock", "ok", detail=f"this machine's clock differs by {abs(skew):.0f} s")
    return Probe("graph.clock", "unknown", detail="no answer of Microsoft Graph told the time")
