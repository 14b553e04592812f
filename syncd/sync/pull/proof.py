"""What the completeness of a full read rests on, as it is stored with the run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from syncd.sync.pull.member_witness import Verdict

Doubt = Literal["missed", "uncounted", "unbelieved"]
_NAMED = 200
"""Groups that are named in a proof, those in doubt first; the others are counted."""


def tolerate(count: int) -> int:
    """Return by how many objects a read may differ from the tenant's count: 5, or one in 200 when that is more.

    The count comes from an index that lags behind recent changes, so that an exact match cannot be asked for.
    """
    return max(5, count // 200)


@dataclass(frozen=True, slots=True)
class LossOfMembers:
    """A group of which a full read lacked members: how many are gone, and how a second reading and a count agree."""

    group_id: str
    removed: int
    verdict: Verdict


@dataclass(slots=True, kw_only=True)
class Proof:
    """How one stream was read. ``reason`` says why the read proves nothing; empty: it was complete.

    ``missing``: stored objects that the read did not meet; ``removed``: those of them that the tenant denied.
    ``doubt``: what kind of reason it is. ``missed``: something contradicts that the read was complete; ``uncounted``:
    nothing does, but the tenant's count could not be had; ``unbelieved``: what it showed is wrong.
    """

    read: int = 0
    counted: int | None = None
    missing: int = 0
    removed: int = 0
    losses: list[LossOfMembers] = field(default_factory=list)
    reason: str = ""
    doubt: Doubt = "missed"

    def describe(self) -> dict[str, object]:
        """Return it as plain values with stable keys; ``groups`` are those that lost members, or seemed to."""
        document: dict[str, object] = {
            "proven": not self.reason,
            "reason": self.reason or None,
            "read": self.read,
            "counted": self.counted,
            "tolerance": None if self.counted is None else tolerate(self.counted),
            "missing": self.missing,
            "removed": self.removed,
        }
        if self.losses:
            losses = sorted(self.losses, key=lambda loss: (not loss.verdict.doubt, loss.group_id))
            document["groups_rechecked"] = len(losses)
            document["memberships_removed"] = sum(loss.removed for loss in losses)
            document["groups"] = [
                {
                    "source_id": loss.group_id,
                    "read": loss.verdict.read,
                    "counted": loss.verdict.counted,
                    "removed": loss.removed,
                    "doubt": loss.verdict.doubt or None,
                }
                for loss in losses[:_NAMED]
            ]
        return document
