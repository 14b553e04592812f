"""What people would get and lose under other licence rules, and for how many the seats would do. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from syncd.plan.desired import Desired
from syncd.plan.licences import Claim, PersonView, allot, decide_licences
from syncd.plan.rules import LicenceRule, Rules


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What one person would get (``gains``) and lose, types of licences; ``waits``: there would be no seat for it.

    ``rule``: the place of the first of the other rules that covers the person.
    """

    bps_id: str
    name: str | None
    gains: str | None
    losses: tuple[str, ...]
    rule: int | None
    why: str
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeAsIf:
    """One type under the other rules. ``waiting``: people who would be to get one, and find no seat."""

    type: str
    by_rule: int
    by_hand: int
    seats: int | None
    gains: int
    losses: int
    waiting: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleAsIf:
    """One of the other rules. ``covers``: its people; ``gives``: of them, those whom no earlier rule covers."""

    place: int
    covers: int
    gives: int
    gains: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AsIf:
    """Everything that would be. ``moves``: those for whom anything changes, in the order of their BPS ids."""

    types: tuple[TypeAsIf, ...]
    rules: tuple[RuleAsIf, ...]
    moves: tuple[Move, ...]


@dataclass(slots=True, kw_only=True)
class Tally:
    """Collects people one by one, and sums up at the end. ``rules``: the other rules."""

    rules: Rules
    covers: dict[int, int] = field(default_factory=dict)
    gives: dict[int, int] = field(default_factory=dict)
    moves: list[Move] = field(default_factory=list)

    def add(self, person: PersonView, name: str | None) -> None:
        """Count one person, seen as the other rules see him or her."""
        if person.wanted:
            for place in person.covered:
                self.covers[place] = self.covers.get(place, 0) + 1
            if person.rule is not None:
                self.gives[person.rule] = self.gives.get(person.rule, 0) + 1
        held = {licence.type for licence in person.licences}
        gains: str | None = None
        losses, why = list[str](), ""
        for change in decide_licences(person, self.rules, adoption_held=()):
            if change.action == "grant" and change.target not in held:
                gains, why = change.target, change.reason.text
            elif change.action == "revoke" and not change.after:
                losses.append(change.target)
                why = why or change.reason.text
        if gains or losses:
            self.moves.append(
                Move(
                    bps_id=person.bps_id,
                    name=name,
                    gains=gains,
                    losses=tuple(sorted(losses)),
                    rule=person.rule,
                    why=why,
                )
            )

    def sum_up(
        self, held: Mapping[tuple[str, bool], int], seats: Mapping[str, tuple[int, int]], present: Iterable[str]
    ) -> AsIf:
        """Return what it comes to. ``held``: how many there are now by (type, ours); ``seats``: total and unlisted."""
        moves = sorted(self.moves, key=lambda move: (move.bps_id.casefold(), move.bps_id))
        free = {
            kind: total - unseen - held.get((kind, True), 0) - held.get((kind, False), 0)
            + sum(kind in move.losses for move in moves if move.gains is None)
            for kind, (total, unseen) in seats.items()
        }  # fmt: skip
        claims = [Claim(place, move.gains, move.losses) for place, move in enumerate(moves) if move.gains]
        without = allot(claims, free).without
        found = [replace(move, waits=place in without) for place, move in enumerate(moves)]
        types = {*present, *seats, *(rule.type for rule in self.rules.licences), *(kind for kind, _ in held)}
        return AsIf(
            types=tuple(_sum_type(kind, found, held, seats) for kind in sorted(types)),
            rules=tuple(self._sum_rule(place, found) for place in range(len(self.rules.licences))),
            moves=tuple(found),
        )

    def _sum_rule(self, place: int, moves: Sequence[Move]) -> RuleAsIf:
        gains = sum(move.rule == place and move.gains is not None for move in moves)
        return RuleAsIf(place=place, covers=self.covers.get(place, 0), gives=self.gives.get(place, 0), gains=gains)


def _sum_type(
    kind: str,
    moves: Sequence[Move],
    held: Mapping[tuple[str, bool], int],
    seats: Mapping[str, tuple[int, int]],
) -> TypeAsIf:
    gains = sum(move.gains == kind and not move.waits for move in moves)
    # Who waits for a seat of the new type keeps the old one until then: both go in one request.
    losses = sum(kind in move.losses and not move.waits for move in moves)
    unseen = max(0, seats[kind][1]) if kind in seats else 0
    return TypeAsIf(
        type=kind,
        by_rule=held.get((kind, True), 0) + gains - losses,
        by_hand=held.get((kind, False), 0) + unseen,
        seats=seats[kind][0] if kind in seats else None,
        gains=gains,
        losses=losses,
        waiting=sum(move.gains == kind and move.waits for move in moves),
    )


def choose_state(stored: str | None, before: Desired, then: Desired) -> str | None:
    """Return the state that somebody would have: what is stored, unless the other scope decides otherwise.

    What is stored also knows what no rule tells alone: collisions, handovers, evidence.
    """
    keeps = then.state == "wanted" and stored not in ("wanted", "out_of_scope", None)
    return stored if before.state == then.state or keeps else then.state


def name_rule(rules: Sequence[LicenceRule], place: int | None) -> str:
    """Return a rule as a person finds it in the file."""
    return "" if place is None else f"licences[{place}] ({rules[place].group})"
