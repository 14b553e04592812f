"""Each protection alone matters: without it, one fault of the drill does harm or does not heal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import structlog

from syncd.bootstrap.drill.clocks import WrongClock
from syncd.bootstrap.drill.director import Stage, open_stage
from syncd.bootstrap.drill.program import DrilledProgram
from syncd.bootstrap.settings import read_settings
from syncd.config import Settings
from syncd.graph.source import GraphSource
from syncd.plan import guard, handover, sieves
from syncd.plan.membership import NO_DOUBTS
from syncd.plan.moment import Moment
from syncd.plan.selection import Stop
from syncd.sandbox.drill.catalogue import CATALOGUE
from syncd.store.directory import lists
from syncd.store.directory.tenant import TenantBinding
from syncd.store.plans.doubts import Doubts
from syncd.sync import passage, push, runs, timekeeper
from syncd.sync.apply import apply
from syncd.sync.apply.waves import Waving
from syncd.sync.planning import handovers
from syncd.sync.pull import sweep
from syncd.sync.pull.member_witness import Verdict
from syncd.sync.pull.pull import Pull
from syncd.sync.pull.result import PullResult
from syncd.sync.pull.sweep import Sweep

PEOPLE = 40
UNLIMITED = {
    "max_removals": None, "max_removal_percent": None, "max_daily_removals": None, "max_daily_removal_percent": None,
}  # fmt: skip
"""Without limits nothing but the protection itself stands between the fault and the people."""
IN_WAVES = {"waves": (10, 50, 100)}


@dataclass(frozen=True)
class Protection:
    """One protection, how it is taken away, and the fault that shows it; ``guard`` and ``policy`` are its settings."""

    name: str
    fault: str
    take_away: Callable[[pytest.MonkeyPatch], None]
    guard: dict[str, Any] | None = None
    policy: dict[str, Any] | None = None


def _async(value: object) -> Callable[..., Any]:
    async def answer(*_args: object, **_more: object) -> object:
        return value

    return answer


def _always(value: object) -> Callable[..., Any]:
    return lambda *_args, **_more: value


def _second_witness(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GraphSource, "fetch_existing", _async(frozenset()))


def _proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sweep, "_is_miscounted", _async(False))


def _member_witness(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep, "judge_missing", _async(Verdict("", 0)))


def _emptied(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pull, "_remember_emptied", _async(None))


def _limits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(passage, "hold_excess", _always(()))


def _memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sieves, "stop_held_before", _always(tuple[Stop, ...]()))


def _day(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guard, "find_daily_breach", _always(""))


def _word_of_delta(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lists, "withstand_list", _always(set[int]()))
    patch.setattr(lists, "find_told_gone", _always(set[tuple[int, int]]()))


def _clock(patch: pytest.MonkeyPatch) -> None:
    def believe(reading: Any, _stated: object, _confirmed: object) -> Moment:
        return Moment(now=reading.now, latest=reading.now, earliest=reading.now, stated=None, doubt="")

    patch.setattr(timekeeper, "judge_clock", believe)


def _handover(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handover, "_is_settled", _always(True))


def _remade(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handovers, "choose_remade", _always(list[Any]()))


def _approval(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runs, "_read_news", _async(PullResult()))


def _unclear(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(apply, "find_linked", _async(set[str]()))
    patch.setattr(Doubts, "load_doubtful_places", _always(NO_DOUBTS))


def _tenant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TenantBinding, "bind_tenant", _async(None))


def _waves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Waving, "_read_back", _async(()))


def _restored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(push, "judge_portal", _async(None))


def _waiting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sieves, "stop_restored", _always(tuple[Stop, ...]()))


PROTECTIONS = (
    Protection("the second witness", "lying-counts", _second_witness, guard=UNLIMITED),
    Protection("the proof by count", "cut-and-denied", _proof, guard=UNLIMITED),
    Protection("the witness of a membership", "cut-members", _member_witness),
    Protection("a stream that is empty", "everybody-deleted", _emptied, guard=UNLIMITED),
    Protection("the limits of a run", "mass-disabled", _limits),
    Protection("the memory of the guard", "held-then-grown", _memory),
    Protection("the limits of a day", "in-slices", _day),
    Protection("the word of delta", "stale-lists", _word_of_delta),
    Protection("the clock", "clock-ahead", _clock, policy={"disabled_users": "delete", "deleted_users": "delete"}),
    Protection("proof of a handover", "login-again", _handover),
    Protection("a group made anew", "remade-group", _remade),
    Protection("news before an approval", "late-approval", _approval),
    Protection("unclear answers", "unclear-answers", _unclear),
    Protection("the look at a wave, new rules", "new-rules-cut", _waves, policy=IN_WAVES),
    Protection("the look at a wave, first push", "first-push-lost", _waves, policy=IN_WAVES),
    Protection("a portal that went back", "portal-restored", _restored),
    Protection("what waits in such a portal", "portal-restored", _waiting),
    Protection("one store, one tenant", "other-tenant", _tenant, guard={**UNLIMITED, "max_creation_percent": None}),
)


def _reconfigure(stage: Stage, settings: Settings, protection: Protection) -> DrilledProgram:
    """Return the program of the stage under the settings that the protection asks for."""
    before = stage.program
    changed = settings.model_copy(
        update={
            "guard": settings.guard.model_copy(update=protection.guard or {}),
            "policy": settings.policy.model_copy(update=protection.policy or {}),
        }
    )
    return DrilledProgram(
        changed, WrongClock(stage.sandbox.directory.clock), store=before.store, faults=stage.sandbox.faults
    )


@pytest.mark.slow
async def test_without_any_one_protection_a_fault_does_harm(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every fault passes off well with the protection, and does not without it."""
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    (tmp_path / "syncd.toml").write_text("")
    settings = read_settings(tmp_path / "syncd.toml", {}, need=frozenset())
    scenarios = {scenario.name: scenario for scenario in CATALOGUE}
    found: dict[str, tuple[bool, bool]] = {}
    async with open_stage(settings, people=PEOPLE, company=None) as stage:
        own = stage.program.settings
        for protection in PROTECTIONS:
            stage.program = _reconfigure(stage, own, protection)
            stage.days.clear()
            protected = await stage.play(scenarios[protection.fault])
            with monkeypatch.context() as patch:
                protection.take_away(patch)
                bare = await stage.play(scenarios[protection.fault])
            found[protection.name] = (protected.passed_off_well, bare.passed_off_well)
    structlog.reset_defaults()
    assert found == {protection.name: (True, False) for protection in PROTECTIONS}
