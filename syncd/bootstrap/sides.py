"""Both sides, opened and put together with the use cases, and the options that the settings make for each."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from syncd.bootstrap.rules import list_attributes, make_rules
from syncd.bootstrap.settings import make_credential
from syncd.clock import Clock
from syncd.config import (
    Settings,
)
from syncd.config.sections import BpsSettings
from syncd.plan.rules import Rules
from syncd.store.db.database import Database
from syncd.store.store import Store
from syncd.sync.apply.apply import ApplyOptions
from syncd.sync.ports.progress import Progress
from syncd.sync.pull.pull import Pull
from syncd.sync.push import Push
from syncd.sync.runs import Sides

if TYPE_CHECKING:
    from syncd.bps.options import BpsOptions
    from syncd.graph.client import GraphClient
    from syncd.graph.options import GraphOptions
    from syncd.http import Shared


@asynccontextmanager
async def open_sides(
    settings: Settings,
    database: Database,
    clock: Clock,
    *,
    progress: Progress,
    stopping: Callable[[], bool],
    shared: Shared | None = None,
) -> AsyncIterator[Sides]:
    """Open the connections to both sides, for one run or for many. Opening sends nothing.

    ``shared`` is what several openings share: a side that asked for a pause has it also when the run that was told is
    over.
    """
    from syncd.bps.portal import BpsPortal  # late: commands that only read the store need neither side
    from syncd.graph.source import GraphSource
    from syncd.http import Shared

    rules = make_rules(settings)
    target = Store(database)
    shared = shared or Shared()
    portal = BpsPortal(make_bps_options(settings, shared), clock)
    async with open_graph(settings, rules, clock, shared) as client, portal:
        source = GraphSource(client, clock)
        pull = Pull(source, Store(database), clock=clock, progress=progress, stopping=stopping)
        push = Push(
            portal,
            target,
            rules=rules,
            clock=clock,
            options=make_apply_options(settings),
            progress=progress,
            stopping=stopping,
        )
        yield Sides(pull, push, {"graph": source, "bps": portal})


def open_graph(
    settings: Settings, rules: Rules, clock: Clock, shared: Shared | None = None
) -> AbstractAsyncContextManager[GraphClient]:
    """Return the authorised client of the tenant, to be opened."""
    from syncd.graph.client import open_client

    return open_client(make_graph_options(settings, rules, shared), clock)


def make_graph_options(settings: Settings, rules: Rules, shared: Shared | None = None) -> GraphOptions:
    """Return how to reach the tenant; nothing is read or sent yet."""
    from syncd.graph.options import GraphOptions

    graph = settings.graph
    return GraphOptions(
        tenant_id=graph.tenant_id,
        client_id=graph.client_id or "",
        credential=make_credential(graph),
        authority_url=graph.authority,
        base_url=graph.root,
        ca_file=graph.ca_file,
        proxy_url=graph.proxy_url.reveal() if graph.proxy_url else None,
        proxy_setting=graph.proxy_url.name_key("graph.proxy_url") if graph.proxy_url else "graph.proxy_url",
        user_attributes=list_attributes(rules, "user"),
        group_attributes=list_attributes(rules, "group"),
        owners=rules.mapping.owners,
        shared=_prepare(settings, shared),
    )


def make_bps_options(settings: Settings, shared: Shared | None = None) -> BpsOptions:
    """Return how to reach the portal; nothing is read or sent yet."""
    from syncd.bps.options import BpsOptions

    bps = settings.bps
    return BpsOptions(
        portal_url=bps.portal_url,
        client_id=bps.client_id,
        secret=bps.client_secret.reveal,
        credential_setting=bps.client_secret.name_key("bps.client_secret"),
        ca_file=bps.ca_file,
        proxy_url=bps.proxy_url.reveal() if bps.proxy_url else None,
        proxy_setting=bps.proxy_url.name_key("bps.proxy_url") if bps.proxy_url else "bps.proxy_url",
        concurrency=_most_requests(bps),
        adaptive=bps.concurrency == "auto",
        members_per_request=bps.members_per_request,
        shared=_prepare(settings, shared),
    )


def _prepare(settings: Settings, shared: Shared | None) -> Shared:
    """Return what all clients share, which know the secrets of both sides: neither shows one of the other's."""
    from syncd.http import Shared
    from syncd.http.confidential import list_credentials

    shared = shared or Shared()
    for secret in settings.list_secrets():
        shared.sent.keep(list_credentials(secret) if "://" in secret else (secret,))
    return shared


def make_apply_options(settings: Settings) -> ApplyOptions:
    """Return how to apply a plan."""
    bps = settings.bps
    return ApplyOptions(
        concurrency=_most_requests(bps),
        members_per_request=bps.members_per_request,
        sync_wait=bps.sync_wait.total_seconds(),
    )


def _most_requests(bps: BpsSettings) -> int:
    """Return how many requests to the portal may be under way at most."""
    from syncd.http import MOST_REQUESTS

    return MOST_REQUESTS if bps.concurrency == "auto" else bps.concurrency


def find_portal_address(settings: Settings) -> str:
    """Return what tells this portal from another one."""
    return make_bps_options(settings).address
