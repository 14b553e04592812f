"""What should be in the portal, put together of its parts."""

from __future__ import annotations

from syncd.store.desired.decisions import DesiredState
from syncd.store.desired.former import FormerMembers
from syncd.store.desired.group_names import GroupNames
from syncd.store.desired.handovers import Handovers
from syncd.store.desired.leavers import Leavers
from syncd.store.desired.time_rules import TimeRules


class Desired(DesiredState, Leavers, TimeRules, FormerMembers, GroupNames, Handovers):
    """What should be in the portal."""
