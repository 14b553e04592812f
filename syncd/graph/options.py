"""What the Graph adapter must be told. Plain values: where they come from is the configuration's matter."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from syncd.graph.credentials import Credential
from syncd.http import Shared
from syncd.model.attributes import IDENTIFIERS, merge_spellings, spell_attribute
from syncd.model.kinds import RecordKind
from syncd.model.source import Stream

USER_ATTRIBUTES = ("accountEnabled", "displayName", "mail", "userPrincipalName", "userType", *IDENTIFIERS)
"""Always selected for users: identity, scope and the state of the account depend on them. By the identifiers somebody
whose account was made anew is known again, so that they must be known before anybody is deleted."""

OPTIONAL_ATTRIBUTES: Mapping[Stream, tuple[str, ...]] = {"users": ("identityParentId",), "groups": ()}
"""Selected where Graph knows them: which accounts are those of agents (resource type agentUser, v1.0 since 2026). Not
every cloud has them yet, and a query that names an unknown property is refused as a whole."""

GROUP_ATTRIBUTES = ("displayName",)
"""Always selected for groups."""

ENTITIES: Mapping[Stream, RecordKind] = {"users": "user", "groups": "group"}

_RELATIONS = frozenset({"manager", "members", "owners"})

PERMISSIONS = {"users": "User.Read.All", "groups": "GroupMember.Read.All"}
"""The least application permission for each stream (user: delta and group: delta, "Permissions")."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphOptions:
    """One application in one tenant of one cloud.

    ``authority_url`` and ``base_url`` are https host roots without tenant and without ``/v1.0``. ``client_id`` may be
    empty with a managed identity, which needs neither it nor the tenant. ``ca_file`` adds to the authorities of the
    system. The attributes are those that mapping and scope use, nested ones with dots; what syncd itself needs
    (USER_ATTRIBUTES, GROUP_ATTRIBUTES) need not be named. ``owners``: the owners of groups are read and tracked too.
    ``proxy_setting``: the key by which the proxy was set. ``shared``: what earlier clients were told about waiting.
    """

    tenant_id: str
    client_id: str
    credential: Credential
    authority_url: str
    base_url: str
    ca_file: Path | None
    proxy_url: str | None = field(repr=False)
    user_attributes: tuple[str, ...]
    group_attributes: tuple[str, ...]
    owners: bool
    concurrency: int = 16
    proxy_setting: str = "graph.proxy_url"
    shared: Shared = field(default_factory=Shared)


def list_attributes(options: GraphOptions, stream: Stream) -> tuple[str, ...]:
    """Return the selected properties of a stream as Graph spells them, sorted, each once; of nested ones the head.

    ``id`` comes always and the tracked relationships are no properties, so none of them is in the list.
    """
    if stream == "users":
        wanted = (*USER_ATTRIBUTES, *options.user_attributes)
    else:
        wanted = (*GROUP_ATTRIBUTES, *options.group_attributes)
    names = {spell_attribute(ENTITIES[stream], name.split(".", 1)[0].strip()) for name in wanted}
    return merge_spellings(names - {"", "id"} - _RELATIONS)


def list_relations(options: GraphOptions, stream: Stream) -> tuple[str, ...]:
    """Return the relationships that are tracked together with the properties of a stream."""
    if stream == "users":
        return ("manager",)
    return ("members", "owners") if options.owners else ("members",)
