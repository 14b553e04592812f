"""What every part of the source has: the client, the clock, and what is selected."""

from __future__ import annotations

from syncd.clock import Clock
from syncd.graph.client import GraphClient
from syncd.graph.selection import Selection


class TenantReader:
    """Reads one tenant through one client. The parts of the source share one selection, as they are one object."""

    def __init__(self, client: GraphClient, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._selection = Selection(client.options)
