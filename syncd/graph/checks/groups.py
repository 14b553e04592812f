"""Looks for the groups that the configuration names, for ``syncd check``. Changes nothing anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from syncd.errors import NotFound, RemoteError
from syncd.graph.checks.result import PATIENCE, Probe
from syncd.graph.client import GraphClient
from syncd.graph.options import PERMISSIONS
from syncd.graph.wire.parse import parse_object
from syncd.graph.wire.refusals import Purpose

_GUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


async def probe_groups(client: GraphClient, references: Iterable[tuple[str, str]]) -> tuple[Probe, ...]:
    """Return one finding for each (setting, group id or display name); never raises a RemoteError."""
    return tuple([await _probe_group(client, key, reference) for key, reference in references])


async def _probe_group(client: GraphClient, key: str, reference: str) -> Probe:
    name = f"graph.group {key}"
    try:
        found = await _count(client, reference.strip())
    except RemoteError as error:
        return Probe(name, "unknown", detail=f"'{reference}' could not be looked for: {error}")
    if found == 1:
        return Probe(name, "ok", detail=f"'{reference}' is one group of the tenant")
    if found:
        return Probe(name, "failed", detail=f"{found} groups are named '{reference}'", remedy="name the one by its id")
    return Probe(
        name,
        "failed",
        detail=f"no group of the tenant has the id or the name '{reference}'",
        remedy=f"correct {key}: a run fails before anything is planned",
    )


async def _count(client: GraphClient, reference: str) -> int:
    """Ask for the group by id, or by name ("List groups": ``$filter`` on displayName), which counts in its own case."""
    purpose = Purpose("read groups", PERMISSIONS["groups"])
    if _GUID.fullmatch(reference):
        url = client.make_url(f"/groups/{reference.lower()}?$select=id")
        try:
            await client.fetch(url, parse_object, purpose=purpose, retry=PATIENCE)
        except NotFound:
            return 0
        return 1
    text = quote(reference.replace("'", "''"), safe="")
    url = client.make_url(f"/groups?$filter=displayName%20eq%20'{text}'&$select=id,displayName")
    answer = await client.fetch(url, parse_object, purpose=purpose, retry=PATIENCE)
    entries = answer.get("value")
    return sum(
        isinstance(entry, dict) and entry.get("displayName") == reference
        for entry in (entries if isinstance(entries, list) else [])
    )
