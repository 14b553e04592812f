"""Licences, put together of their parts."""

from __future__ import annotations

from syncd.store.licences.coupling import LicencePlans
from syncd.store.licences.holdings import Licences as Holdings
from syncd.store.licences.seats import LicenceSeats
from syncd.store.licences.taken import TakenLicences


class Licences(Holdings, LicenceSeats, LicencePlans, TakenLicences):
    """Licences as the portal has them, and as plans change them."""
