"""Trials of the properties that rules look at, for ``syncd check``: are they taken, answered, and open to us.

The names that a few objects are answered with are compared with those that were asked for; values are not looked at.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import KW_ONLY, dataclass
from itertools import islice
from urllib.parse import quote

from syncd.errors import Forbidden, NotFound, Rejected, RemoteError
from syncd.graph.checks.result import GRANT, PATIENCE, Probe, judge_failure
from syncd.graph.client import GraphClient
from syncd.graph.options import PERMISSIONS, list_attributes, list_relations
from syncd.graph.permissions import Claims, find_missing, list_own_needs
from syncd.graph.wire.parse import parse_object, read_list
from syncd.graph.wire.refusals import Purpose
from syncd.http import Response
from syncd.model.source import STREAMS, Stream

_OBJECTS = 25
_NO_TRACKING = (
    "see the message; a tenant of Microsoft Entra External ID or Azure AD B2C has no change tracking, and syncd cannot "
    "follow it"
)


@dataclass(frozen=True, slots=True)
class Trial:
    """Whether a stream can be read, why its properties were refused, and the answer that told.

    ``unnamed``: properties that no object was answered with.
    """

    stream: Stream
    probe: Probe
    _: KW_ONLY
    refused: str = ""
    answer: Response | None = None
    unnamed: tuple[str, ...] = ()


async def try_stream(client: GraphClient, stream: Stream) -> Trial:
    """Ask for a fresh delta link without any data ("delta query overview", ``$deltatoken=latest``).

    First with all properties that rules look at; when that query is refused, without those that need a permission of
    their own, and without any, to tell which it is. Raises no RemoteError.
    """
    own = list_own_needs(client.options, stream)
    everything = list_attributes(client.options, stream)
    open_ones = tuple(name for name in everything if name not in dict(own))
    refused = ""
    for properties in dict.fromkeys((everything, open_ones, ())):
        permission = PERMISSIONS[stream]
        purpose = Purpose(f"read changes of {stream}", permission, own=own if properties == everything else ())
        select = ",".join(["id", *_quote(properties), *list_relations(client.options, stream)])
        try:
            answer = await client.fetch(
                client.make_url(f"/{stream}/delta?$deltatoken=latest&$select={select}"),
                _keep_object,
                purpose=purpose,
                retry=PATIENCE,
            )
        except RemoteError as error:
            if isinstance(error, Rejected | Forbidden) and properties:
                refused = refused or str(error)
                continue
            probe = Probe(
                f"graph.{stream}", judge_failure(error), detail=str(error), remedy=_find_remedy(error, permission)
            )
            return Trial(stream, probe, refused=refused)
        unnamed = await _find_unnamed(client, stream, properties)
        probe = Probe(f"graph.{stream}", "ok", detail=f"changes of {stream} can be read")
        return Trial(stream, probe, refused=refused, answer=answer, unnamed=unnamed)
    raise AssertionError("unreachable: the last query returns")


def _find_remedy(error: RemoteError, permission: str) -> str:
    if error.status == 403:
        return f"grant {permission} {GRANT}"
    return _NO_TRACKING if isinstance(error, Rejected | NotFound) else "see the message"


def judge_properties(client: GraphClient, trials: Iterable[Trial]) -> Probe:
    """Say whether Graph takes the properties that rules look at, and which of them it did not answer with."""
    tried = [trial for trial in trials if trial.answer is not None]
    refused = [trial.refused for trial in tried if trial.refused]
    if refused:
        remedy = "correct or remove the property in [mapping] and [scope]; each run would fail with this"
        if any(list_own_needs(client.options, trial.stream) for trial in tried if trial.refused):
            remedy += ". A property with a permission of its own is read when that is granted"
        return Probe("graph.properties", "failed", detail="; ".join(refused), remedy=remedy)
    if not tried:
        return Probe("graph.properties", "unknown", detail="not tried: no stream can be read")
    counts = (f"{len(list_attributes(client.options, trial.stream))} of {trial.stream}" for trial in tried)
    said = f"Graph tracks the properties that are read: {', '.join(counts)}"
    unnamed = [f"{', '.join(trial.unnamed)} of {trial.stream}" for trial in tried if trial.unnamed]
    if unnamed:
        said += f"; nobody who was looked at has a value in, or is answered with, {' and '.join(unnamed)}"
    return Probe("graph.properties", "ok", detail=said)


def judge_own_permissions(client: GraphClient, claims: Claims | None) -> tuple[Probe, ...]:
    """Name the properties that need a permission of their own, and whether the token carries it; none: no line."""
    needs = [need for stream in STREAMS for need in list_own_needs(client.options, stream)]
    if not needs:
        return ()
    name = "graph.property_permissions"
    said = ", ".join(f"{each} needs {permission}" for each, permission in needs)
    otherwise = "without it nobody seems to have a value"
    if claims is None:
        return (
            Probe(
                name,
                "unknown",
                detail=f"{said}: the token cannot be looked into",
                remedy=f"make sure of it: {otherwise}",
            ),
        )
    missing = find_missing(claims.roles, [permission for _, permission in needs])
    if not missing:
        return (Probe(name, "ok", detail=f"{said}, which the token carries"),)
    lacking = ", ".join(f"{each} ({permission})" for each, permission in needs if permission in missing)
    return (
        Probe(
            name,
            "failed",
            detail=f"the token lacks the permission for {lacking}: {otherwise}",
            remedy=f"grant it {GRANT}, or take the property out of [mapping] and [scope]",
        ),
    )


async def _find_unnamed(client: GraphClient, stream: Stream, properties: Collection[str]) -> tuple[str, ...]:
    """Return the properties that none of a few objects is answered with, in whatever letter case."""
    select = ",".join(["id", *_quote(properties)])
    try:
        entries = await client.fetch(
            client.make_url(f"/{stream}?$select={select}&$top={_OBJECTS}"),
            lambda response: list(islice(read_list(parse_object(response)), _OBJECTS)),
            purpose=Purpose(f"list {stream}", PERMISSIONS[stream], dispensable=True),
            retry=PATIENCE,
        )
    except RemoteError:
        return ()  # a run does without lists; what else is wrong, other trials say
    answered = {name.casefold() for entry in entries if isinstance(entry, dict) for name in entry}
    return tuple(name for name in properties if entries and name.casefold() not in answered)


def _quote(names: Iterable[str]) -> list[str]:
    return [quote(name, safe="") for name in names]


def _keep_object(response: Response) -> Response:
    parse_object(response)
    return response
