"""Plans and what became of them, put together of their parts."""

from __future__ import annotations

from syncd.store.plans.checksums import Checksums
from syncd.store.plans.creations import Creations
from syncd.store.plans.day import Days
from syncd.store.plans.doubts import Doubts
from syncd.store.plans.links import Links
from syncd.store.plans.making import Making
from syncd.store.plans.outcomes import Outcomes as Recording
from syncd.store.plans.plan_files import ProposedPlans
from syncd.store.plans.push_end import PushEnds
from syncd.store.plans.respelled import Respelled
from syncd.store.plans.returns import Returns


class Plans(Creations, Making, PushEnds, Days, Returns, Respelled):
    """Plans, how they begin and end, and the sums of a day."""


class Outcomes(Recording, Links, Doubts):
    """What became of changes."""


class PlanFiles(ProposedPlans, Checksums):
    """Plans in files."""
