"""Which application permissions are needed, and what a token says about them. Pure; for diagnosis, never a gate.

An access token is opaque to its client and may be looked into for diagnosis only ("Access tokens", Microsoft identity
platform). The least permissions are those of the reference pages "user: delta", "group: delta", "List group members".
"""

from __future__ import annotations

import base64
from collections.abc import Collection
from dataclasses import dataclass

import msgspec

from syncd.graph.options import ENTITIES, PERMISSIONS, GraphOptions, list_attributes
from syncd.model.graph_properties import OWN_PERMISSION
from syncd.model.source import STREAMS, Stream

HIDDEN_PERMISSION = "Member.Read.Hidden"
"""Needed, beside the others, for the members of groups whose visibility is HiddenMembership."""

OWN_RECORD = frozenset(
    {"Application.Read.All", "Application.ReadWrite.OwnedBy", "Application.ReadWrite.All"}
    | {"Directory.Read.All", "Directory.ReadWrite.All"}
)
"""With one of these the own application may be read, and so the end of its client secret ("Get application")."""
_SPARE = frozenset({HIDDEN_PERMISSION, "Application.Read.All"})
"""Not needed, and not held against anybody."""

_WIDER = {
    "User.Read.All": ("User.ReadWrite.All", "Directory.Read.All", "Directory.ReadWrite.All"),
    "GroupMember.Read.All": (
        "GroupMember.ReadWrite.All",
        "Group.Read.All",
        "Group.ReadWrite.All",
        "Directory.Read.All",
        "Directory.ReadWrite.All",
    ),
    "CustomSecAttributeAssignment.Read.All": ("CustomSecAttributeAssignment.ReadWrite.All",),
    "User-LifeCycleInfo.Read.All": ("User-LifeCycleInfo.ReadWrite.All",),
    "User-PasswordProfile.ReadWrite.All": ("User.ReadWrite.All", "Directory.ReadWrite.All"),
}
"""Per least permission those that contain it."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token names: ``roles`` are application permissions, ``scopes`` delegated ones.

    ``tenant`` is the id of the tenant that issued it, in lower case; empty when it does not say.
    """

    roles: frozenset[str]
    scopes: frozenset[str]
    tenant: str = ""


def read_claims(token: str) -> Claims | None:
    """Return what the token names; None when it cannot be looked into."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = msgspec.json.decode(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, RecursionError):
        return None
    if not isinstance(claims, dict):
        return None
    roles, scopes = claims.get("roles", []), claims.get("scp", "")
    if not isinstance(roles, list) or not isinstance(scopes, str):
        return None
    tenant = claims.get("tid")
    named = frozenset(role for role in roles if isinstance(role, str))
    return Claims(named, frozenset(scopes.split()), tenant.lower() if isinstance(tenant, str) else "")


def list_needs(options: GraphOptions) -> tuple[str, ...]:
    """Return the least permissions for what is read: both streams, and properties with a permission of their own."""
    own = [permission for stream in STREAMS for _, permission in list_own_needs(options, stream)]
    return (*PERMISSIONS.values(), *dict.fromkeys(own))


def list_own_needs(options: GraphOptions, stream: Stream) -> tuple[tuple[str, str], ...]:
    """Return the selected properties that need a permission of their own, each with the least one that opens it."""
    own = OWN_PERMISSION[ENTITIES[stream]]
    return tuple((name, own[name]) for name in list_attributes(options, stream) if name in own)


def find_missing(roles: Collection[str], needs: Collection[str]) -> tuple[str, ...]:
    """Return the needs that no role fulfils."""
    return tuple(need for need in needs if need not in roles and not set(_WIDER[need]) & set(roles))


def find_needless(roles: Collection[str], needs: Collection[str]) -> tuple[str, ...]:
    """Return the roles that allow more than reading what is needed, or that another one makes superfluous."""
    return tuple(sorted(role for role in roles if _is_needless(role, roles, needs)))


def _is_needless(role: str, roles: Collection[str], needs: Collection[str]) -> bool:
    if role in needs or role in _SPARE:
        return False
    served = [need for need in needs if role in _WIDER[need]]
    return ".ReadWrite" in role or all(need in roles for need in served)
