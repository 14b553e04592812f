"""What must be true before a run: the store belongs to this tenant and this portal, and knows what the rules ask."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import structlog

from syncd.errors import ConfigError, UnsafePlan
from syncd.sync.ports.sides import Portal, Source

if TYPE_CHECKING:
    from syncd.store.store import Store

_log = structlog.get_logger("syncd.pull")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


async def check_tenant(source: Source, store: Store) -> None:
    """Raise ConfigError when the store belongs to another tenant than the one that the configuration names.

    A name that is known costs nothing, and an id is the tenant whatever a token says; a domain is looked up once, in
    the token.
    """
    directory, name = store.directory, source.tenant
    if await directory.is_tenant_known(name):
        return
    tenant = name if _ID.fullmatch(name) else await source.identify_tenant()
    other = await directory.bind_tenant(tenant, name)
    if other is not None:
        problem = (
            f"graph.tenant_id: the store belongs to the tenant {other}, not to {tenant}; in another tenant "
            "everybody whom it knows would count as deleted. Set the old tenant again, or take a new store "
            "(store.url)"
        )
        raise ConfigError([problem])


async def check_target(portal: Portal, store: Store) -> None:
    """Raise ConfigError when the store belongs to the portal at another address."""
    other = await store.inventory.bind_target(portal.address)
    if other is not None:
        problem = (
            f"bps.portal_url: the store belongs to the portal at {other}, not to {portal.address}; what is "
            "ours in the one need not be ours in the other. Set the old address again, or take a new store "
            "(store.url), in which everything that this portal already has waits for adoption"
        )
        raise ConfigError([problem])


async def refuse_unread(source: Source, store: Store) -> None:
    """Raise UnsafePlan where rules look at attributes that the stored objects were not read with.

    They would count as empty, and whoever is told apart by them would seem to leave. Where an older version has
    read the objects, that is not known: it is logged.
    """
    checkpoints = await store.directory.load_checkpoints()
    for stream, checkpoint in checkpoints.items():
        if checkpoint.fingerprint == source.fingerprint(stream):
            continue
        selected = await store.directory.load_selected(stream)
        if selected is None:
            _log.warning("checkpoint.unread", stream=stream)
        elif unread := sorted({*source.list_selected(stream)} - selected):
            raise UnsafePlan(
                f"nothing was planned: the rules look at {', '.join(unread)} of {stream}, which the store was not "
                "read with, and would count as empty for everybody; 'syncd plan full' reads it, and writes nothing"
            )
