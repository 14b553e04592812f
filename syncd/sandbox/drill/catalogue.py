"""The catalogue of faults, in the order in which they are played."""

from __future__ import annotations

from syncd.sandbox.drill.groups import GROUPS
from syncd.sandbox.drill.late import LATE
from syncd.sandbox.drill.network import NETWORK
from syncd.sandbox.drill.people import PEOPLE
from syncd.sandbox.drill.play import Scenario
from syncd.sandbox.drill.portal import PORTAL
from syncd.sandbox.drill.reads import READS
from syncd.sandbox.drill.rollouts import ROLLOUTS
from syncd.sandbox.drill.surroundings import SURROUNDINGS

CATALOGUE: tuple[Scenario, ...] = (*READS, *LATE, *PEOPLE, *GROUPS, *NETWORK, *PORTAL, *ROLLOUTS, *SURROUNDINGS)
