"""The tenant as a source. Holds no directory; remembers only the present round, and what Graph knows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from syncd.graph.listings import Listings
from syncd.graph.lookups import Lookups
from syncd.graph.permissions import read_claims
from syncd.graph.streams import Streams
from syncd.model.source import Stream
from syncd.plan.moment import StatedTimes


class GraphSource(Streams, Listings, Lookups):
    """Reads one tenant through Microsoft Graph; the ``Source`` of the use cases."""

    def read_times(self) -> StatedTimes | None:
        """Return which time Graph has stated so far."""
        return self._client.door.times.stated

    def read_traffic(self) -> Mapping[str, int]:
        """Return requests, retries, throttled and bytes_received so far, without those for tokens."""
        traffic = self._client.door.traffic
        return {
            "requests": traffic.requests,
            "retries": traffic.retries,
            "throttled": traffic.throttled,
            "bytes_received": traffic.bytes_received,
        }

    @property
    def tenant(self) -> str:
        """The tenant as the configuration names it, in lower case."""
        return self._client.options.tenant_id.lower()

    async def identify_tenant(self) -> str:
        """Return the tenant id that the token names (claim ``tid``), or where it says nothing the configured name."""
        claims = read_claims(await self._client.tokens.fetch())
        return (claims.tenant if claims is not None else "") or self.tenant

    @property
    def tracks_owners(self) -> bool:
        """Whether the groups stream and its direct reads tell owners."""
        return "owners" in self._selection.relations["groups"]

    def fingerprint(self, stream: Stream) -> str:
        """Return a hash of what a link of this stream means: tenant, client, Graph root, tracked properties.

        What is selected only where Graph knows it counts as selected.
        """
        options = self._client.options
        parts = (
            options.tenant_id.lower(),
            options.client_id.lower(),
            options.base_url.rstrip("/").lower(),
            stream,
            *self._selection.wanted[stream],
            *self._selection.relations[stream],
        )
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def list_selected(self, stream: Stream) -> tuple[str, ...]:
        """Return the attributes that objects of this stream are read with."""
        return self._selection.wanted[stream]
