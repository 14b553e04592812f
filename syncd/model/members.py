"""Comparing stored memberships with the tenant's own counts: the values that store and use case share."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckPace:
    """How often members are counted, and of how many groups.

    Every ``every`` a sample of all groups divided by ``rounds``, but of ``least`` to ``most`` groups; those whose count
    disagreed are counted again after ``again_after`` at the earliest.
    """

    every: timedelta = timedelta(hours=6)
    again_after: timedelta = timedelta(minutes=10)
    rounds: int = 28
    least: int = 50
    most: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupToCount:
    """A group whose members are to be counted.

    ``stored``: how many members we hold that the tenant shows; ``unexplained``: by how much the tenant's count is known
    to differ from that although a whole reading agreed; ``suspected``: the count disagreed once already.
    """

    group_id: str
    stored: int
    unexplained: int
    suspected: bool
