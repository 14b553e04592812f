"""What people decided, put together of its parts."""

from __future__ import annotations

from syncd.store.decisions.approvals import Approvals
from syncd.store.decisions.bindings import Bindings
from syncd.store.decisions.pauses import Pauses
from syncd.store.decisions.records import DecisionRecords
from syncd.store.decisions.rejections import Declined


class Decisions(Approvals, Declined, Pauses, Bindings, DecisionRecords):
    """What people decided, and what follows from it."""
