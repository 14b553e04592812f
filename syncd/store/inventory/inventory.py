"""What is in the portal, put together of its parts."""

from __future__ import annotations

from syncd.store.inventory.protection import Protection
from syncd.store.inventory.records import Inventory as Records


class Inventory(Records, Protection):
    """What is in the portal."""
