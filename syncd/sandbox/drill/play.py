"""One play: the sandbox, the program that is drilled, and an observer who looks at the portal after each run."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from syncd.sandbox.drill.picture import Harm, Picture, list_gains, list_given, list_losses, take_picture
from syncd.sandbox.server import Sandbox
from syncd.sandbox.snapshot import turn_back
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import PortalKnobs, TenantKnobs

Kind = Literal["full", "delta"]
Side = Literal["tenant", "Graph", "portal", "syncd"]
"""Where something goes wrong: what is in the tenant, how it is read, the portal, or the program's own surroundings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How one run of the program ended. ``planned``: changes of all kinds; ``held``: those of them that were held."""

    run: int
    status: str
    error: str = ""
    planned: int = 0
    held: int = 0


class Program(Protocol):
    """The synchronisation that is drilled, as whoever operates it sees it."""

    async def run(self, kind: Kind, *, insist: bool = False) -> Ended:
        """Carry out one run; ``insist``: also what waits because it failed lately."""
        ...

    async def run_killed(self, kind: Kind, *, after: int) -> bool:
        """Begin a run and let it be killed at so many requests; return whether it came that far."""
        ...

    async def approve(self, run: int) -> Ended:
        """Release what a run held."""
        ...

    async def replay(self) -> Ended:
        """Write again what a portal has lost that went back in time."""
        ...

    def keep(self) -> object:
        """Return a copy of what the program remembers."""
        ...

    def put_back(self, kept: object) -> None:
        """Let the program remember what it did then."""
        ...

    def forget(self) -> None:
        """Let the program remember nothing."""
        ...

    def set_clock(self, *, ahead: float) -> None:
        """Let the program's own clock be wrong by so many seconds."""
        ...

    def take_for(self, tenant_id: str) -> None:
        """Configure another tenant."""
        ...

    def protect(self, bps_ids: Collection[str]) -> None:
        """Put these accounts on the protect list, until the rules are set back."""
        ...

    def roll_out(self, *, new_rules: bool) -> None:
        """Let what comes be a rollout, with everything lifted that an administrator lifts for it.

        ``new_rules``: one value of everybody is made otherwise from now on.
        """
        ...

    def count_first_wave(self, people: int) -> int | None:
        """Return how many of so many people a rollout may reach before it is looked at; None: all of them."""
        ...

    def set_rules_back(self) -> None:
        """Configure again what is drilled."""
        ...


@dataclass(frozen=True, slots=True)
class Day:
    """What really happens in the tenant, for good. ``happen`` returns the ids of those who lose something by it."""

    name: str
    happen: Callable[[Play], Collection[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One fault of the catalogue. ``play`` brings it about, lets the program run, and takes it away again."""

    name: str
    says: str
    play: Callable[[Play], Awaitable[None]]
    side: Side
    day: Day | None = None


@dataclass(slots=True, kw_only=True)
class Play:
    """What a scenario works with."""

    sandbox: Sandbox
    program: Program
    base: Picture
    people: Mapping[str, str]
    """Account of each person who has one, by the tenant's id."""
    places: Mapping[str, str]
    """Record of each group that has one, by the tenant's id."""
    knobs: tuple[TenantKnobs, PortalKnobs]
    named: frozenset[str]
    """Ids of the groups that a rule names."""
    wanted: Picture
    """What the portal should hold when all is over."""
    known: tuple[Picture, ...]
    """What it may hold on the way there."""
    day: Day | None = None
    meant: set[str] = field(default_factory=set)
    """Accounts that really lose something."""
    day_people: tuple[str, ...] = ()
    """Ids of those who lose something by the day."""
    strangers: bool = False
    """Whether the play itself creates people or groups and takes them away again: their bare records may stay."""
    kept: set[str] = field(default_factory=set)
    """Accounts that must stay the person's whose they are."""
    ends: list[Ended] = field(default_factory=list)
    harm: Harm = field(default_factory=Harm)
    lost: set[str] = field(default_factory=set)
    """Everybody who lost something, meant or not."""

    # ---- what happens

    def happen(self) -> None:
        """Let the day of this scenario happen in the tenant."""
        if self.day is not None:
            self.day_people = tuple(self.day.happen(self))
            self.mean(self.day_people)

    def undo_day(self) -> None:
        """Note that the tenant is again what it was before the day."""
        self.wanted = self.base

    def mean(self, object_ids: Collection[str]) -> None:
        """Note that these people really lose something."""
        self.meant |= {self.people[object_id] for object_id in object_ids if object_id in self.people}

    def fault(self, kind: Any, **more: Any) -> Fault:
        """Plan a fault on the wire, without end unless ``count`` says so."""
        return self.sandbox.faults.add(Fault(kind, **{"count": -1, **more}))

    def alter(self, path: str, change: Callable[[Any], None], *, side: str = "graph", **more: Any) -> Fault:
        """Let answers to these requests be changed on their way."""
        return self.fault("alter", side=side, path=path, change=change, **more)

    def lift(self) -> None:
        """Take away every fault on the wire and of the clocks; what happened in the tenant stays."""
        self.sandbox.faults.clear()
        self.sandbox.replicas.thaw()
        turn_back(self.sandbox, *self.knobs)
        self.program.set_clock(ahead=0.0)
        self.program.take_for(self.sandbox.registration.tenant_id)

    # ---- what the program does

    async def delta(self, *, insist: bool = False) -> Ended:
        """Let the program read what is new, and look."""
        return self.look(await self.program.run("delta", insist=insist))

    async def full(self, *, insist: bool = False) -> Ended:
        """Let the program read everything, and look."""
        return self.look(await self.program.run("full", insist=insist))

    async def approve(self, run: int) -> Ended:
        """Let a person release what a run held, and look."""
        return self.look(await self.program.approve(run))

    async def replay(self) -> Ended:
        """Let a person have written again what the portal has lost, and look."""
        return self.look(await self.program.replay())

    async def kill(self, kind: Kind, *, after: int) -> bool:
        """Let a run be killed, and look."""
        killed = await self.program.run_killed(kind, after=after)
        self.look()
        return killed

    # ---- what the observer sees

    def look(self, ended: Ended | None = None) -> Ended:
        """Compare the portal with what it held before, and note who lost or got what nobody meant."""
        now = take_picture(self.sandbox)
        harm, gone = self.harm, self.wanted.accounts
        for kind, who in list_losses(self.base, now):
            self.lost.add(who)
            # An account goes for good only where the same day without any fault takes it, too.
            if who not in self.meant or (kind == "accounts" and who in gone):
                getattr(harm, kind).add(who)
        harm.gained |= set(list_gains(self.known, now)) - self.meant  # those are looked at when they should be out
        self.kept &= now.accounts.keys()  # what was deleted can be anybody's, in the eyes of a portal
        harm.passed |= {
            who
            for who in self.kept
            if who in now.accounts and now.accounts[who] not in (self.base.accounts.get(who), gone.get(who))
        }
        harm.foreign |= {key for key, was in self.base.foreign.items() if now.foreign.get(key) != was}
        if ended is None:
            return Ended(run=0, status="killed")
        self.ends.append(ended)
        return ended

    def look_at_wave(self) -> None:
        """Note whom a rollout reached beyond its first wave, whose values the portal did not keep: all else waits."""
        now, base = take_picture(self.sandbox), self.base.accounts
        concerned = [key for key, values in self.wanted.accounts.items() if base.get(key) != values]
        first = self.program.count_first_wave(len(concerned))
        if first is not None:
            reached = sorted(key for key, values in now.accounts.items() if base.get(key) != values)
            self.harm.unasked |= set(reached[first:])

    def look_what_was_given(self, before: Picture) -> None:
        """Note who was made, changed or given anything since ``before``, when only taking away was right."""
        self.harm.unasked |= set(list_given(before, take_picture(self.sandbox)))

    def settle(self) -> None:
        """Note who still has a place or a licence that the tenant has taken away: by now it should be gone."""
        now = take_picture(self.sandbox)
        for name in ("members", "owners", "licences"):
            too_much = getattr(now, name) - getattr(self.wanted, name)
            known = self.wanted.groups if name != "licences" else {kind for kind, _ in too_much}
            self.harm.gained |= {who for where, who in too_much if who in self.meant and where in known}


def pick(play: Play, count: int, *, apart: Sequence[str] = ()) -> list[str]:
    """Return the ids of people who have an account and a place in a group, those with the fewest places first."""
    places = dict.fromkeys(play.base.accounts, 0)
    for _, member in play.base.members:
        if member in places:
            places[member] += 1
    free = [
        object_id
        for object_id, key in play.people.items()
        if object_id not in apart and play.sandbox.directory.get(object_id).state == "active" and key in places
    ]
    placed = sorted((each for each in free if places[play.people[each]]), key=lambda i: (places[play.people[i]], i))
    return (placed or sorted(free))[:count]
