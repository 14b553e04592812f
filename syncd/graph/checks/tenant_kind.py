"""Whether this tenant is of a kind that Microsoft Graph does not follow, for ``syncd check``.

Change tracking is not offered in Microsoft Entra External ID (external tenants) and Azure AD B2C ("delta query
overview"). Their sign-in addresses tell them, and so does ``tenantType`` of the organization, which an application may
read that has a wider permission than syncd asks for.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from syncd.errors import RemoteError
from syncd.graph.checks.result import PATIENCE, Probe
from syncd.graph.client import GraphClient
from syncd.graph.permissions import Claims
from syncd.graph.wire.parse import parse_object, read_list
from syncd.graph.wire.refusals import Purpose

_HOSTS = {".ciamlogin.com": "Microsoft Entra External ID", ".b2clogin.com": "Azure AD B2C"}
_TYPES = {"ciam": "Microsoft Entra External ID", "aad b2c": "Azure AD B2C"}
_OPENING = frozenset(f"{area}.{right}.All" for area in ("Organization", "Directory") for right in ("Read", "ReadWrite"))


async def judge_tenant(client: GraphClient, claims: Claims | None) -> tuple[Probe, ...]:
    """Say that the tenant cannot be followed where that can be seen; no line where it cannot. Raises no RemoteError."""
    kind = _read_address(client.options.authority_url)
    if not kind and claims is not None and _OPENING & claims.roles:
        kind = await _ask(client)
    if not kind:
        return ()
    return (
        Probe(
            "graph.tenant",
            "failed",
            detail=f"the tenant is one of {kind}, in which Microsoft Graph offers no change tracking",
            remedy="name the tenant of your employees (graph.tenant_id, graph.authority_url); syncd cannot follow this "
            "one",
        ),
    )


def _read_address(authority: str) -> str:
    host = (urlsplit(authority).hostname or "").lower()
    return next((kind for ending, kind in _HOSTS.items() if f".{host}".endswith(ending)), "")


async def _ask(client: GraphClient) -> str:
    try:
        organizations = await client.fetch(
            client.make_url("/organization?$select=id,tenantType"),
            lambda response: read_list(parse_object(response)),
            purpose=Purpose("read what kind of tenant it is", "Organization.Read.All", dispensable=True),
            retry=PATIENCE,
        )
    except RemoteError:
        return ""  # nothing depends on it
    stated = [entry.get("tenantType") for entry in organizations if isinstance(entry, dict)]
    return next((_TYPES[each.casefold()] for each in stated if isinstance(each, str) and each.casefold() in _TYPES), "")
