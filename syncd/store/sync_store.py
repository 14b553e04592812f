"""The whole store as the use cases see it."""

from __future__ import annotations

from syncd.store.approvals import Approvals
from syncd.store.checksums import Checksums
from syncd.store.db.database import Database
from syncd.store.declined import Declined
from syncd.store.desired import DesiredState
from syncd.store.directory.checkpoints import has_checkpoints
from syncd.store.directory.one_object import Singles
from syncd.store.inventory.drift import ByHand
from syncd.store.inventory.protection import Protection
from syncd.store.inventory.records import Inventory
from syncd.store.inventory.substitutions import Substitutions
from syncd.store.leaving import Leavers
from syncd.store.licence_plans import LicencePlans
from syncd.store.licence_seats import LicenceSeats
from syncd.store.licences import Licences
from syncd.store.links import Links
from syncd.store.outcomes import Outcomes
from syncd.store.pairing import Pairing
from syncd.store.plans import Plans
from syncd.store.proposed import ProposedPlans
from syncd.store.push_ends import PushEnds
from syncd.store.runs.runlog import RunLog
from syncd.store.taken_licences import TakenLicences
from syncd.store.undoing import Undoing


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
