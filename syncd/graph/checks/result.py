"""What a harmless trial of the Graph side showed, as ``syncd check`` prints it."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Literal

from syncd.errors import RemoteError, Throttled
from syncd.http import RetryPolicy

Status = Literal["ok", "warning", "failed", "unknown"]

PATIENCE = RetryPolicy(attempts=2, patience=20.0)
"""A person is waiting for the answer."""

GRANT = "as an application permission in Microsoft Entra ID, with admin consent"


@dataclass(frozen=True, slots=True)
class Probe:
    """What one trial showed, and what to do about it (empty when there is nothing to do)."""

    check: str
    status: Status
    _: KW_ONLY
    detail: str
    remedy: str = ""


def judge_failure(error: RemoteError) -> Status:
    """Return the status of a trial that did not work: being throttled says nothing."""
    return "unknown" if isinstance(error, Throttled) else "failed"
