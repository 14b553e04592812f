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
`privileges`        what was given to groups at places of the portal, and who has something there
`plans`             the changes of a run, their order and state, and the end of a push
`stops`             what keeps planned changes from being sent
`outcomes`          what became of changes, with their effect on the inventory
`plan_files`        plans that were written to a file or come from one
`undo`              what undoing a run looks at
`past`              the last write of everything, and whether the portal shows it still
`waves`             which change of a plan goes in which wave, and what a wave has written
`decisions`         what people decided: approvals, rejections, orders to a working daemon
`runs`              the run log
`retention`         letting go what was kept long enough: runs, and who was where
`chain`             whether the records of runs are as they were when these ended
`asked`             runs that somebody asked a daemon for
`daemons`           which daemons are up
`console`           who is signed in to the console
`notifications`     what was sent as a message, by channel
`secret_ends`       when the client secret of our application ends, as the tenant told it
==================  ==============================================================================================

A method marked `in_thread` is awaited from the event loop; what is not marked belongs to code that already is in the
store's thread, as planning is (`syncd.store.db.part`). An object of several parts is put together in its folder. Each
is imported when it is first asked for: to list the runs takes a hundredth of the statements that a push needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from syncd.store.db.database import Database

if TYPE_CHECKING:
    from syncd.store.console.sessions import ConsoleSessions
    from syncd.store.decisions.decisions import Decisions
    from syncd.store.desired.desired import Desired
    from syncd.store.directory.directory import Directory, Memberships
    from syncd.store.directory.full_read import Baseline
    from syncd.store.directory.one_object import Singles
    from syncd.store.inventory.drift import ByHand
    from syncd.store.inventory.inventory import Inventory
    from syncd.store.inventory.substitutions import Substitutions
    from syncd.store.licences.licences import Licences
    from syncd.store.plans.pairs import Pairing
    from syncd.store.plans.past import Past
    from syncd.store.plans.plans import Outcomes, PlanFiles, Plans
    from syncd.store.plans.stops import Stops
    from syncd.store.plans.undo import Undoing
    from syncd.store.plans.waves import Waves
    from syncd.store.privileges.records import Privileges
    from syncd.store.runs.asked import AskedRuns
    from syncd.store.runs.daemons import Daemons
    from syncd.store.runs.retention import Keeping
    from syncd.store.runs.runlog import RunLog
    from syncd.store.runs.secret_end import SecretEnds
    from syncd.store.runs.told import SentNotifications
    from syncd.store.runs.verify import Chain

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """Everything that syncd remembers, over one database. One per process is enough; making it asks nothing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @cached_property
    def directory(self) -> Directory:
        from syncd.store.directory.directory import Directory

        return Directory(self._database)

    @cached_property
    def full_reads(self) -> Baseline:
        from syncd.store.directory.full_read import Baseline

        return Baseline(self._database)

    @cached_property
    def memberships(self) -> Memberships:
        from syncd.store.directory.directory import Memberships

        return Memberships(self._database)

    @cached_property
    def one_object(self) -> Singles:
        from syncd.store.directory.one_object import Singles

        return Singles(self._database)

    @cached_property
    def desired(self) -> Desired:
        from syncd.store.desired.desired import Desired

        return Desired(self._database)

    @cached_property
    def pairs(self) -> Pairing:
        from syncd.store.plans.pairs import Pairing

        return Pairing(self._database)

    @cached_property
    def inventory(self) -> Inventory:
        from syncd.store.inventory.inventory import Inventory

        return Inventory(self._database)

    @cached_property
    def drift(self) -> ByHand:
        from syncd.store.inventory.drift import ByHand

        return ByHand(self._database)

    @cached_property
    def substitutions(self) -> Substitutions:
        from syncd.store.inventory.substitutions import Substitutions

        return Substitutions(self._database)

    @cached_property
    def licences(self) -> Licences:
        from syncd.store.licences.licences import Licences

        return Licences(self._database)

    @cached_property
    def privileges(self) -> Privileges:
        from syncd.store.privileges.records import Privileges

        return Privileges(self._database)

    @cached_property
    def plans(self) -> Plans:
        from syncd.store.plans.plans import Plans

        return Plans(self._database)

    @cached_property
    def stops(self) -> Stops:
        from syncd.store.plans.stops import Stops

        return Stops(self._database)

    @cached_property
    def outcomes(self) -> Outcomes:
        from syncd.store.plans.plans import Outcomes

        return Outcomes(self._database)

    @cached_property
    def plan_files(self) -> PlanFiles:
        from syncd.store.plans.plans import PlanFiles

        return PlanFiles(self._database)

    @cached_property
    def undo(self) -> Undoing:
        from syncd.store.plans.undo import Undoing

        return Undoing(self._database)

    @cached_property
    def past(self) -> Past:
        from syncd.store.plans.past import Past

        return Past(self._database)

    @cached_property
    def waves(self) -> Waves:
        from syncd.store.plans.waves import Waves

        return Waves(self._database)

    @cached_property
    def decisions(self) -> Decisions:
        from syncd.store.decisions.decisions import Decisions

        return Decisions(self._database)

    @cached_property
    def runs(self) -> RunLog:
        from syncd.store.runs.runlog import RunLog

        return RunLog(self._database)

    @cached_property
    def retention(self) -> Keeping:
        from syncd.store.runs.retention import Keeping

        return Keeping(self._database)

    @cached_property
    def chain(self) -> Chain:
        from syncd.store.runs.verify import Chain

        return Chain(self._database)

    @cached_property
    def asked(self) -> AskedRuns:
        from syncd.store.runs.asked import AskedRuns

        return AskedRuns(self._database)

    @cached_property
    def daemons(self) -> Daemons:
        from syncd.store.runs.daemons import Daemons

        return Daemons(self._database)

    @cached_property
    def console(self) -> ConsoleSessions:
        from syncd.store.console.sessions import ConsoleSessions

        return ConsoleSessions(self._database)

    @cached_property
    def notifications(self) -> SentNotifications:
        from syncd.store.runs.told import SentNotifications

        return SentNotifications(self._database)

    @cached_property
    def secret_ends(self) -> SecretEnds:
        from syncd.store.runs.secret_end import SecretEnds

        return SecretEnds(self._database)

    async def in_thread(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run ``work`` (a planning, say) as a whole in the store's thread; raises what it raises."""
        return await self._database.call(work, *args, **kwargs)
