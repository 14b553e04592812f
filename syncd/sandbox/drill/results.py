"""What a drill found: one value for each fault, and what was played with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One fault. Numbers of people; ``who``: the BPS ids of those who were harmed, of made-up people only.

    ``planned``: changes of the largest plan; ``held``: those that one run held at most; ``removed``: everybody who lost
    something, as was meant or not. ``deleted``, ``unlinked``, ``revoked`` and ``groups`` say who of them nobody meant,
    ``gained`` who got a place or a licence that nobody gave, ``passed`` whose account went to another person,
    ``foreign`` which records of others were touched, ``unasked`` to whom was written what had to wait for a person.
    ``day``: what really happens besides, empty when nothing does.
    """

    fault: str
    side: str
    says: str
    day: str
    planned: int
    held: int
    removed: int
    deleted: int
    unlinked: int
    revoked: int
    groups: int
    gained: int
    passed: int
    foreign: int
    unasked: int
    differences: Sequence[str]
    """Where the portal was not right in the end; of made-up people only fit to be shown."""
    runs: Sequence[str]
    who: Sequence[str] = ()

    @property
    def converged(self) -> bool:
        """Return whether the portal was right in the end."""
        return not self.differences

    @property
    def harmed(self) -> int:
        """Return how many records were harmed, whatever the harm, counted once for each kind."""
        lost = self.deleted + self.unlinked + self.revoked + self.groups
        return lost + self.gained + self.passed + self.foreign + self.unasked

    @property
    def passed_off_well(self) -> bool:
        """Return whether nobody was harmed and all is as it should be in the end."""
        return self.converged and not self.harmed


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A whole drill. ``people`` and ``groups`` were played with, of ``stored_people`` (0: they are made up).

    ``synchronised``: how many of the people have an account by this configuration. ``notes`` say what was left out.
    """

    people: int
    groups: int
    stored_people: int
    synchronised: int
    results: Sequence[Result]
    notes: Sequence[str] = ()

    @property
    def passed_off_well(self) -> bool:
        """Return whether every fault passed off well."""
        return all(result.passed_off_well for result in self.results)
