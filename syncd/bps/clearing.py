"""Taking a value away from a user record: nobody documents how, so the portal teaches us, once per field and process.

The API document allows both an empty string and null in a PATCH and says of neither what it does. The first time that a
field with a value has to be cleared, the empty string is tried, then null, and the record is read back after each; what
worked is used from then on without reading.
"""

from __future__ import annotations

import asyncio
from enum import Enum

from syncd.bps.client import BpsClient, make_path
from syncd.bps.inventory import Inventory
from syncd.bps.records import WIRE_NAMES
from syncd.clock import Clock
from syncd.errors import NotFound, Rejected

_READ_AFTER = (0.0, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each reading of a record that the portal has not finished synchronising ("up to a few seconds")."""


class ClearingManner(Enum):
    """What clears a field. The value is what is sent."""

    EMPTY = ""
    NULL = None


class Clearing:
    """Knows, or finds out, how each field is cleared."""

    def __init__(self, client: BpsClient, inventory: Inventory, clock: Clock) -> None:
        self._client = client
        self._inventory = inventory
        self._clock = clock
        self._lock = asyncio.Lock()
        self._unclearable: set[str] = set()
        self.manners: dict[str, ClearingManner] = {}

    async def clear_unlearned(self, bps_id: str, field: str) -> None:
        """Clear one field whose manner is not known yet, and learn from it.

        NotFound when the record is gone. Rejected when neither manner clears the field; this is remembered, and later
        attempts are refused without a request.
        """
        async with self._lock:
            manner = self.manners.get(field)
            if manner is not None:
                await self._patch(bps_id, field, manner)
            elif field in self._unclearable:
                raise make_unclearable(field)
            elif await self._has_value(bps_id, field):
                await self._learn(bps_id, field)

    async def _learn(self, bps_id: str, field: str) -> None:
        refusal: Rejected | None = None
        ignored = False
        for manner in ClearingManner:
            try:
                await self._patch(bps_id, field, manner)
            except Rejected as error:
                if error.status != 400:
                    raise
                refusal = error
                continue
            cleared = await self._was_cleared(bps_id, field)
            if cleared:
                self.manners[field] = manner
            if cleared is not False:
                return
            ignored = True
        if refusal is not None and not ignored:
            raise refusal
        self._unclearable.add(field)
        raise make_unclearable(field)

    async def _was_cleared(self, bps_id: str, field: str) -> bool | None:
        """Read back; None when the portal was not ready within our patience and the question stays open."""
        for seconds in _READ_AFTER:
            await self._clock.sleep(seconds)
            account = await self._inventory.fetch_account(bps_id)
            if account is not None and getattr(account, field) is None:
                return True
            if account is not None and account.status == "Synchronized":
                return False
        return None

    async def _has_value(self, bps_id: str, field: str) -> bool:
        account = await self._inventory.fetch_account(bps_id)
        if account is None:
            raise NotFound("the user record is gone from the portal", status=404)
        return getattr(account, field) is not None

    async def _patch(self, bps_id: str, field: str, manner: ClearingManner) -> None:
        body = {WIRE_NAMES[field]: manner.value}
        await self._client.send("PATCH", make_path("/admin/user", bps_id), noun="users", body=body)


def make_unclearable(field: str) -> Rejected:
    """Say that a value cannot be taken away over the API."""
    return Rejected(
        f"the WEBCON BPS portal does not clear {field} over its API, neither by an empty string nor by null: "
        "clear it by hand in the portal, or map a placeholder to it"
    )
