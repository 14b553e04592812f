"""The whole store as the use cases see it."""

from __future__ import annotations

from syncd.store.db.database import Database
from syncd.store.decisions.approvals import Approvals
from syncd.store.decisions.rejections import Declined
from syncd.store.desired.decisions import DesiredState
from syncd.store.desired.leavers import Leavers
from syncd.store.directory.checkpoints import has_checkpoints
from syncd.store.directory.one_object import Singles
from syncd.store.inventory.drift import ByHand
from syncd.store.inventory.protection import Protection
from syncd.store.inventory.records import Inventory
from syncd.store.inventory.substitutions import Substitutions
from syncd.store.licences.coupling import LicencePlans
from syncd.store.licences.holdings import Licences
from syncd.store.licences.seats import LicenceSeats
from syncd.store.licences.taken import TakenLicences
from syncd.store.plans.changes import Plans
from syncd.store.plans.checksums import Checksums
from syncd.store.plans.links import Links
from syncd.store.plans.outcomes import Outcomes
from syncd.store.plans.pairs import Pairing
from syncd.store.plans.plan_files import ProposedPlans
from syncd.store.plans.push_end import PushEnds
from syncd.store.plans.undo import Undoing
from syncd.store.runs.runlog import RunLog


class TargetStore(
    DesiredState,
    Pairing,
    Leavers,
    Plans,
    PushEnds,
    Links,
    Outcomes,
    Approvals,
    Inventory,
    Licences,
    LicenceSeats,
    LicencePlans,
    ProposedPlans,
    Checksums,
    Undoing,
    ByHand,
    Singles,
    Substitutions,
    TakenLicences,
    Protection,
    Declined,
):
    """Desired state, inventory, licences and plans: everything that a push reads and writes."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.call = database.call


class RunStore(RunLog):
    """The run log, with what a run must know before it starts."""

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        self.call = database.call

    def has_checkpoints(self) -> bool:
        """Return whether every stream has completed a round once."""
        return has_checkpoints(self._database)
