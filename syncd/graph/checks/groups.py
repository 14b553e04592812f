"""Looks for the groups that the configuration names, for ``syncd check``. Changes nothing anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from syncd.errors import NotFound, RemoteError
from syncd.graph.checks.result import PATIENCE, Probe
from syncd.graph.client import GraphClient
from syncd.graph.options import PERMISSIONS
from syncd.graph.wire.parse import parse_object
from syncd.graph.wire.refusals import Purpose
from syncd.plan.group_names import Remembered, fold_name, list_ids

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def probe_groups(
    client: GraphClient,
    references: Iterable[tuple[str, str]],
    named: Mapping[str, Remembered],
    *,
    lasting: Mapping[str, Remembered] | None = None,
) -> tuple[Probe, ...]:
    """Return one finding for each (setting, group id or display name); never raises a RemoteError.

    ``named``: which groups names mean that runs have looked up before. ``lasting``: by setting, groups that runs go on
    to mean when they are gone, until exactly one other group bears the name.
    """
    lasts = lasting or {}
    return tuple(
        [
            await _probe_group(client, key, reference=reference, named=named, lasting=lasts.get(key))
            for key, reference in references
        ]
    )


async def _probe_group(
    client: GraphClient, key: str, *, reference: str, named: Mapping[str, Remembered], lasting: Remembered | None
) -> Probe:
    name = f"graph.group {key}"
    known = None if _GUID.fullmatch(reference.strip()) else named.get(fold_name(reference))
    try:
        if lasting is not None:
            return await _probe_remembered(client, key, reference=reference, known=lasting, lasts=True)
        if known is not None and not key.startswith("privileges["):
            return await _probe_remembered(client, key, reference=reference, known=known)
        found = await _find(client, reference.strip())
    except RemoteError as error:
        return Probe(name, "unknown", detail=f"'{reference}' could not be looked for: {error}")
    if len(found) == 1:
        return Probe(name, "ok", detail=f"'{reference}' is one group of the tenant")
    if found:
        return Probe(
            name, "failed", detail=f"{len(found)} groups are named '{reference}'", remedy="name the one by its id"
        )
    return Probe(
        name,
        "failed",
        detail=f"no group of the tenant has the id or the name '{reference}'",
        remedy=f"correct {key}: a run fails before anything is planned",
    )


async def _probe_remembered(
    client: GraphClient, key: str, *, reference: str, known: Remembered, lasts: bool = False
) -> Probe:
    """Look at the group that a name is remembered for, and at others that bear the name."""
    name, means = f"graph.group {key}", f"'{reference}' means the group {known.id}"
    by_id = _GUID.fullmatch(reference.strip()) is not None
    there = await _find(client, known.id)
    rivals = [] if by_id else sorted(found for found in await _find(client, reference) if found != known.id)
    others = f"; {list_ids(rivals)} bears the name now" if rivals else ""
    if not there and lasts and len(rivals) == 1:
        detail = f"{means}, which is gone{others}: a run that finds it so means that one"
        return Probe(
            name, "warning", detail=detail, remedy="nothing, if it was made anew; else name the group by its id"
        )
    if not there and lasts:
        detail = f"{means}, which is gone{others}: what the rule gave it is taken, and nothing is given"
        return Probe(
            name, "warning", detail=detail, remedy=f"remove the rule, or give the id of the group that {key} means"
        )
    if not there:
        remedy = f"give the id of the group that {key} means: a run fails before anything is planned"
        return Probe(name, "failed", detail=f"{means}, which is gone{others}", remedy=remedy)
    moved = not by_id and fold_name(there[known.id]) != fold_name(reference)
    if by_id:
        return Probe(name, "ok", detail=f"'{reference}' is one group of the tenant")
    if not rivals and not moved:
        return Probe(name, "ok", detail=f"{means}, remembered since it was looked up")
    renamed = f", which is named '{there[known.id]}' now" if moved else ""
    remedy = "nothing changes by it; to mean another group, or to silence this, name the group by its id"
    return Probe(name, "warning", detail=f"{means}{renamed}{others}", remedy=remedy)


async def _find(client: GraphClient, reference: str) -> dict[str, str]:
    """Ask for groups by id, or by name ("List groups": ``$filter`` on displayName); return their names by id."""
    purpose = Purpose("read groups", PERMISSIONS["groups"])
    if _GUID.fullmatch(reference):
        url = client.make_url(f"/groups/{reference.lower()}?$select=id,displayName")
        try:
            answer = await client.fetch(url, parse_object, purpose=purpose, retry=PATIENCE)
        except NotFound:
            return {}
        return {reference.lower(): str(answer.get("displayName") or "")}
    text = quote(reference.replace("'", "''"), safe="")
    url = client.make_url(f"/groups?$filter=displayName%20eq%20'{text}'&$select=id,displayName")
    answer = await client.fetch(url, parse_object, purpose=purpose, retry=PATIENCE)
    entries = answer.get("value")
    return {
        str(entry["id"]).lower(): entry["displayName"]
        for entry in (entries if isinstance(entries, list) else [])
        if isinstance(entry, dict)
        and entry.get("id")
        and isinstance(entry.get("displayName"), str)
        and fold_name(entry["displayName"]) == fold_name(reference)
    }
