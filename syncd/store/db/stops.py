"""How a change that does not go on is written: its status, and why, as cause and sentence."""

from __future__ import annotations

from syncd.model.change import OutcomeStatus
from syncd.model.reason import Reason


def stopped(status: OutcomeStatus, reason: Reason) -> dict[str, str]:
    """Return the values of ``changes`` that say how a change ended, or why it waits."""
    return {"status": status, "error": reason.text, "error_cause": reason.cause.value}
