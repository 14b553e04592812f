"""What planning, checking and granting licences needs from our own store."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Protocol

from syncd.model.licence import LicenceList, Seats
from syncd.plan.licences import PersonView, Shortage
from syncd.sync.ports.caller import Caller


class LicencePlanStore(Protocol):
    """Licences as a planner reads them."""

    def forget_licence_roles(self, rules: int) -> None:
        """Drop what is remembered of licence rules that there are no more."""
        ...

    def are_licences_known(self) -> bool:
        """Return whether everybody's licences were read, and can be assigned."""
        ...

    def iterate_people(self, run_id: int, rules: int, *, touched_only: bool) -> Iterator[list[PersonView]]:
        """Yield whose licences are to be compared."""
        ...

    def forget_taken_licences(self, found: Collection[tuple[int, str]]) -> None:
        """Forget licences that somebody took and that no rule gives any more."""
        ...

    def was_left_ungranted(self, record: int, kind: str) -> bool:
        """Return whether an earlier run meant to grant this and could not finish."""
        ...


class LicenceApplyStore(Protocol):
    """Licences as an apply reads them."""

    def defer_unready_grants(self, run_id: int) -> int:
        """Defer grants of accounts that are not ready."""
        ...

    def has_licences(self, record: int) -> bool:
        """Return whether an account still has licences."""
        ...


class LicenceStore(Caller, Protocol):
    """Licences as a reading of the portal and the seats of a plan need them."""

    def store_licences(self, found: LicenceList | None, seats: Sequence[Seats] = (), *, now: datetime) -> set[str]:
        """Take over who holds which licences; None: the portal assigns them by itself. Return the doubted types."""
        ...

    def are_licences_perpetual(self) -> bool:
        """Return whether the portal assigns licences by itself."""
        ...

    def owns_licences(self) -> bool:
        """Return whether licences that we granted are held."""
        ...

    def has_other_licences(self, seats: Sequence[Seats]) -> bool:
        """Return whether the portal has assigned other seats than we know of."""
        ...

    def store_seats(self, seats: Sequence[Seats]) -> None:
        """Remember how many seats there are."""
        ...

    def load_free_seats(self) -> dict[str, int]:
        """Return the free seats by type."""
        ...

    def has_licence_changes(self, run_id: int) -> bool:
        """Return whether a plan changes licences at all."""
        ...

    def count_grants(self, run_id: int) -> int:
        """Return how many planned grants need a seat."""
        ...

    def drop_licences(self, run_id: int, reason: str) -> int:
        """Take every licence change out of a plan."""
        ...

    def drop_given_by_hand(self, run_id: int) -> int:
        """Take grants out of a plan that somebody made by hand meanwhile."""
        ...

    def couple_licences(self, run_id: int) -> None:
        """Let go only together what belongs together."""
        ...

    def allot_seats(self, run_id: int, free: dict[str, int]) -> tuple[Shortage, ...]:
        """Put off the grants for which there is no seat."""
        ...
