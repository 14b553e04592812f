"""The store: one object for each subject. This page is its map.

==================  ==============================================================================================
object              keeps
==================  ==============================================================================================
`directory`         the tenant's users, groups and links as pages and lists brought them, and where to read on
`full_reads`        the bookkeeping of full reads: what was met, what was not, and whether that is proven
`memberships`       the members of single groups, and the standing check of their numbers
`one_object`        the reading and the work list of a run over one object
`desired`           what the rules make of the directory: who is wanted, who leaves and since when
`pairs`             desired beside current, in one order: what the planner compares
`inventory`         the portal's records and which of them are ours; what the protect list is tied to
`drift`             what others changed in the portal
`substitutions`     the substitutions of ours, and the accounts that may need one
`licences`          who holds which licence, the seats, and the licence changes of a plan
`plans`             the changes of a run, their order and state, and the end of a push
`stops`             what keeps planned changes from being sent
`outcomes`          what became of changes, with their effect on the inventory
`plan_files`        plans that were written to a file or come from one
`undo`              what undoing a run looks at
`decisions`         what people decided: approvals, rejections, orders to a working daemon
`runs`              the run log
`notifications`     what was sent to the hook
==================  ==============================================================================================

A method marked `in_thread` is awaited from the event loop; what is not marked belongs to code that already is in the
store's thread, as planning is (`syncd.store.db.part`). An object of several parts is put together here, each part a
module of its folder.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from syncd.model.source import Checkpoint, Stream
from syncd.store.db.database import Database
from syncd.store.db.part import in_thread
from syncd.store.decisions.approvals import Approvals
from syncd.store.decisions.rejections import Declined
from syncd.store.desired.decisions import DesiredState
from syncd.store.desired.former import FormerMembers
from syncd.store.desired.leavers import Leavers
from syncd.store.desired.time_rules import TimeRules
from syncd.store.directory.checkpoints import has_checkpoints, load_checkpoints
from syncd.store.directory.contradictions import Contradictions
from syncd.store.directory.direct_reads import DirectReads
from syncd.store.directory.full_read import Baseline
from syncd.store.directory.lists import ListedObjects
from syncd.store.directory.member_counts import MemberChecks
from syncd.store.directory.members import Members
from syncd.store.directory.one_object import Singles
from syncd.store.directory.purge import Purged
from syncd.store.directory.tenant import TenantBinding
from syncd.store.inventory.drift import ByHand
from syncd.store.inventory.protection import Protection
from syncd.store.inventory.records import Inventory as Records
from syncd.store.inventory.substitutions import Substitutions
from syncd.store.licences.coupling import LicencePlans
from syncd.store.licences.holdings import Licences as Holdings
from syncd.store.licences.seats import LicenceSeats
from syncd.store.licences.taken import TakenLicences
from syncd.store.plans.changes import Plans as Changes
from syncd.store.plans.checksums import Checksums
from syncd.store.plans.links import Links
from syncd.store.plans.outcomes import Outcomes as Recording
from syncd.store.plans.pairs import Pairing
from syncd.store.plans.plan_files import ProposedPlans
from syncd.store.plans.push_end import PushEnds
from syncd.store.plans.stops import Stops
from syncd.store.plans.undo import Undoing
from syncd.store.runs.runlog import RunLog
from syncd.store.runs.told import SentNotifications

P = ParamSpec("P")
T = TypeVar("T")


class Directory(ListedObjects, DirectReads, Purged, Contradictions, TenantBinding):
    """The stored copy of the tenant."""

    @in_thread
    def load_checkpoints(self) -> dict[Stream, Checkpoint]:
        """Return where the streams stand; one that was never pulled is missing."""
        return load_checkpoints(self._database)

    @in_thread
    def has_checkpoints(self) -> bool:
        """Return whether every stream has completed a round once."""
        return has_checkpoints(self._database)


class Memberships(Members, MemberChecks):
    """The members of single groups."""


class Desired(DesiredState, Leavers, TimeRules, FormerMembers):
    """What should be in the portal."""


class Inventory(Records, Protection):
    """What is in the portal."""


class Licences(Holdings, LicenceSeats, LicencePlans, TakenLicences):
    """Licences as the portal has them, and as plans change them."""


class Plans(Changes, PushEnds):
    """Plans and their ends."""


class Outcomes(Recording, Links):
    """What became of changes."""


class PlanFiles(ProposedPlans, Checksums):
    """Plans in files."""


class Decisions(Approvals, Declined):
    """What people decided, and what follows from it."""


class Store:
    """Everything that syncd remembers, over one database. One per process is enough; making it asks nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.directory = Directory(database)
        self.full_reads = Baseline(database)
        self.memberships = Memberships(database)
        self.one_object = Singles(database)
        self.desired = Desired(database)
        self.pairs = Pairing(database)
        self.inventory = Inventory(database)
        self.drift = ByHand(database)
        self.substitutions = Substitutions(database)
        self.licences = Licences(database)
        self.plans = Plans(database)
        self.stops = Stops(database)
        self.outcomes = Outcomes(database)
        self.plan_files = PlanFiles(database)
        self.undo = Undoing(database)
        self.decisions = Decisions(database)
        self.runs = RunLog(database)
        self.notifications = SentNotifications(database)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` (a planning, say) as a whole in the store's thread; raises what it raises."""
        return await self._database.call(work, *args, **kwargs)
