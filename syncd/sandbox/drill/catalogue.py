"""The catalogue of faults, in the order in which they are played."""

from __future__ import annotations

from syncd.sandbox.drill.play import Scenario
from syncd.sandbox.drill.portal import PORTAL
from syncd.sandbox.drill.reads import READS

CATALOGUE: tuple[Scenario, ...] = (*READS, *PORTAL)
