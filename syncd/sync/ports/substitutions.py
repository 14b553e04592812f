"""What planning and applying substitutions need from our own store."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Protocol

from syncd.plan.substitution import Departed, Superior
from syncd.sync.ports.caller import Caller


class SubstitutionPlanStore(Protocol):
    """The accounts that may need a substitution, as a planner reads them."""

    def touch_left_to_managers(self) -> None:
        """Touch the accounts of leavers whose managers are touched."""
        ...

    def iterate_departed(self, *, touched_only: bool, grace: timedelta, now: datetime) -> Iterator[list[Departed]]:
        """Yield the accounts that may need a substitution, or have one."""
        ...

    def load_superiors(self, keys: Collection[int]) -> dict[int, Superior]:
        """Return people who may stand in."""
        ...

    def forget_ended(self, *, now: datetime) -> None:
        """Forget substitutions that have come to their end."""
        ...


class KeptSubstitution(Protocol):
    """A substitution of ours as the store remembers it."""

    @property
    def substitute(self) -> str:
        """Return the substitute's BPS id."""
        ...

    @property
    def ends_at(self) -> datetime:
        """Return its end."""
        ...

    @property
    def number(self) -> int | None:
        """Return the portal's number of it."""
        ...


class SubstitutionStore(Caller, Protocol):
    """The substitutions of ours as an apply reads and writes them."""

    def load_substitution(self, original: int) -> KeptSubstitution | None:
        """Return our substitution for an account."""
        ...

    def keep_substitution(
        self, original: int, substitute: int, ends_at: datetime, *, number: int | None, confirmed: bool
    ) -> None:
        """Remember a substitution."""
        ...

    def move_substitution_end(self, original: int, ends_at: datetime) -> None:
        """Remember that a substitution ends at another time."""
        ...

    def learn_substitution_number(self, original: int, number: int) -> None:
        """Remember the portal's number of a substitution."""
        ...

    def forget_substitution(self, original: int) -> None:
        """Forget a substitution that is over."""
        ...

    def load_refusal(self) -> datetime | None:
        """Return when the portal last refused all substitutions."""
        ...

    def note_refusal(self, at: datetime | None) -> None:
        """Remember that it does, or (None) does not any more."""
        ...

    def can_stand_in(self, original: int, substitute: int) -> bool:
        """Return whether both accounts are ours and ready."""
        ...
