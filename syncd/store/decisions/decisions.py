"""What people decided, put together of its parts."""

from __future__ import annotations

from syncd.store.decisions.approvals import Approvals
from syncd.store.decisions.rejections import Declined


class Decisions(Approvals, Declined):
    """What people decided, and what follows from it."""
