"""Each protection alone matters: without it, one fault of the drill does harm or does not heal."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import structlog

from syncd.bootstrap import rules, sides
from syncd.bootstrap.drill.clocks import WrongClock
from syncd.bootstrap.drill.director import Stage, open_stage
from syncd.bootstrap.drill.program import DrilledProgram
from syncd.bootstrap.settings import read_settings
from syncd.config import Settings
from syncd.errors import Forbidden
from syncd.graph.source import GraphSource
from syncd.model.change import Action
from syncd.plan import guard, handover, membership, sieves
from syncd.plan.membership import NO_DOUBTS
from syncd.plan.moment import Moment
from syncd.plan.selection import Stop
from syncd.sandbox.drill.catalogue import CATALOGUE
from syncd.sandbox.drill.play import Scenario
from syncd.store.desired.desired import Desired
from syncd.store.directory import lists, pages
from syncd.store.directory.full_read import Baseline
from syncd.store.directory.tenant import TenantBinding
from syncd.store.licences import holdings
from syncd.store.plans.doubts import Doubts
from syncd.store.plans.plans import Outcomes
from syncd.sync import passage, push, runs, timekeeper
from syncd.sync.apply import apply
from syncd.sync.apply.waves import Waving
from syncd.sync.planning import approval, handovers
from syncd.sync.portal.read import read_records
from syncd.sync.pull import sweep
from syncd.sync.pull.member_counts import MemberCheck
from syncd.sync.pull.member_witness import Verdict
from syncd.sync.pull.pull import Pull
from syncd.sync.pull.result import PullResult
from syncd.sync.pull.sweep import Sweep
from syncd.sync.pull.two_readings import TwoReadings

PEOPLE = 40
UNLIMITED = {
    "max_removals": None, "max_removal_percent": None, "max_daily_removals": None, "max_daily_removal_percent": None,
}  # fmt: skip
"""Without limits nothing but the protection itself stands between the fault and the people."""
IN_WAVES = {"waves": (10, 50, 100)}
DELETING = {"deleted_groups": "delete", "grace": timedelta()}
LICENCES = '[[licences]]\ngroup = "Power users"\ntype = "PowerUser"\n'
NAMED = f'[scope]\ninclude_groups = ["Staff"]\n{LICENCES}'

TakeAway = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, kw_only=True)
class Protection:
    """One protection, how it is taken away, and the fault that shows it; ``guard`` and ``policy`` are its settings.

    ``text``: more of the settings. ``beside``: other protections that would do against the same fault; they are taken
    away in both plays, so that the one in question stands alone.
    """

    name: str
    fault: str
    take_away: TakeAway
    guard: dict[str, Any] | None = None
    policy: dict[str, Any] | None = None
    text: str = ""
    beside: tuple[TakeAway, ...] = ()


def _async(value: object) -> Callable[..., Any]:
    async def answer(*_args: object, **_more: object) -> object:
        return value

    return answer


def _always(value: object) -> Callable[..., Any]:
    return lambda *_args, **_more: value


# ---- reading the tenant


def _second_witness(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(GraphSource, "fetch_existing", _async(frozenset()))


def _proof(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sweep, "_is_miscounted", _async(False))


def _member_witness(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep, "judge_missing", _async(Verdict("", 0)))


def _emptied(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Pull, "_remember_emptied", _async(None))


def _empty_lists(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Baseline, "is_empty_believed", _async(True))


def _two_readings(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TwoReadings, "done", property(lambda readings: readings.first.done))
    patch.setattr(TwoReadings, "second_is_due", property(lambda _readings: False))


def _unreadable(patch: pytest.MonkeyPatch) -> None:
    for module in (pages, lists):
        patch.setattr(module, "store_unreadable", _always(None))


def _hidden(patch: pytest.MonkeyPatch) -> None:
    fetch: Any = GraphSource.fetch_members

    async def take_refusal_for_nobody(source: GraphSource, group_id: str) -> Any:
        try:
            return await fetch(source, group_id)
        except Forbidden:
            return ()

    patch.setattr(GraphSource, "fetch_members", take_refusal_for_nobody)


def _word_of_delta(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(lists, "withstand_list", _always(set[int]()))
    patch.setattr(lists, "find_told_gone", _always(set[tuple[int, int]]()))


def _direct_word(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(pages, "withstand", _always(set[int]()))


def _member_check(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(MemberCheck, "run", _async(None))


def _only_stated(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PullResult, "removals", property(lambda _result: "all"))


def _tenant(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TenantBinding, "bind_tenant", _async(None))


# ---- what the rules make of it


def _frozen(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(membership, "FROZEN_STATES", frozenset[str]())
    patch.setattr(membership, "_STANDING", frozenset({"renamed"}))


def _names(patch: pytest.MonkeyPatch) -> None:
    load: Any = Desired.load_scope
    patch.setattr(Desired, "load_scope", lambda desired: ({}, load(desired)[1]))


def _protect_list(patch: pytest.MonkeyPatch) -> None:
    make: Any = rules.make_rules

    def make_without(settings: Settings) -> Any:
        made = make(settings)
        return replace(made, scope=replace(made.scope, protect=frozenset()))

    patch.setattr(sides, "make_rules", make_without)


def _by_hand(patch: pytest.MonkeyPatch) -> None:
    load: Any = holdings._load_held

    def load_as_ours(*args: object) -> Any:
        return {key: [replace(each, ours=True) for each in held] for key, held in load(*args).items()}

    patch.setattr(holdings, "_load_held", load_as_ours)


def _handover(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handover, "_is_settled", _always(True))


def _remade(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(handovers, "choose_remade", _always(list[Any]()))


# ---- the guard, and what people decide


def _limits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(passage, "hold_excess", _always(()))


def _without_limit(action: Action) -> TakeAway:
    def take_away(patch: pytest.MonkeyPatch) -> None:
        hold: Any = guard.hold_excess

        def hold_others(*args: object) -> tuple[guard.Hold, ...]:
            return tuple(held for held in hold(*args) if held.action != action)

        patch.setattr(passage, "hold_excess", hold_others)

    return take_away


def _memory(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sieves, "stop_held_before", _always(tuple[Stop, ...]()))


def _day(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(guard, "find_daily_breach", _always(""))


def _kept_places(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sieves, "stop_kept_places", _always(tuple[Stop, ...]()))


def _together(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sieves, "_GOES_WITH_UNLINKS", ())


def _clock(patch: pytest.MonkeyPatch) -> None:
    def believe(reading: Any, _stated: object, _confirmed: object) -> Moment:
        return Moment(now=reading.now, latest=reading.now, earliest=reading.now, stated=None, doubt="")

    patch.setattr(timekeeper, "judge_clock", believe)


def _approval(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(runs, "_read_news", _async(PullResult()))


def _as_shown(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(approval, "stop_unapproved", _always(tuple[Stop, ...]()))


# ---- the portal


class _Blind:
    """A portal that finds nobody who is asked for alone."""

    fetch_account = fetch_group = staticmethod(_async(None))

    def __init__(self, portal: Any) -> None:
        self._portal = portal

    def __getattr__(self, name: str) -> Any:
        return getattr(self._portal, name)


def _read_alone(patch: pytest.MonkeyPatch) -> None:
    read: Any = read_records

    async def read_lists_only(portal: Any, *args: object, **more: object) -> Any:
        return await read(_Blind(portal), *args, **more)

    patch.setattr("syncd.sync.push.read_records", read_lists_only)


def _unclear(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(apply, "find_linked", _async(set[str]()))
    patch.setattr(Doubts, "load_doubtful_places", _always(NO_DOUBTS))


def _begun(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outcomes, "claim_started", _async(0))


def _successor(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Outcomes, "has_successor", _async(True))


def _waves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Waving, "_read_back", _async(()))


def _restored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(push, "judge_portal", _async(None))


def _waiting(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sieves, "stop_restored", _always(tuple[Stop, ...]()))


def _show(
    name: str,
    fault: str,
    take_away: TakeAway,
    *,
    guard: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    text: str = "",
    beside: tuple[TakeAway, ...] = (),
) -> Protection:
    return Protection(name=name, fault=fault, take_away=take_away, guard=guard, policy=policy, text=text, beside=beside)


_NEWLY_FOUNDED = {**UNLIMITED, "max_adoptions": None}
_ELSEWHERE = {**UNLIMITED, "max_creation_percent": None}
_AT_ONCE = {"disabled_users": "delete", "deleted_users": "delete"}

PROTECTIONS = (
    # reading the tenant
    _show("the second witness", "lying-counts", _second_witness, guard=UNLIMITED),
    _show("the proof by count", "cut-and-denied", _proof, guard=UNLIMITED),
    _show("the witness of a membership", "cut-members", _member_witness),
    _show("a stream that delta empties", "everybody-deleted", _emptied, guard=UNLIMITED),
    _show("lists that are empty", "empty-lists", _empty_lists, guard=UNLIMITED, beside=(_emptied,)),
    _show("a list is read twice", "shifting-pages", _two_readings, guard=UNLIMITED, beside=(_second_witness,)),
    _show("unreadable entries are met", "unreadable-entries", _unreadable, guard=UNLIMITED,
          beside=(_second_witness, _proof)),
    _show("groups that hide their members", "hidden-members", _hidden, guard=UNLIMITED),
    _show("delta's word against lists", "stale-lists", _word_of_delta),
    _show("delta's word against direct reads", "stale-replicas", _direct_word),
    _show("the standing check of members", "lost-links", _member_check),
    _show("only what is stated, without a proof", "begun-again", _only_stated, guard=_NEWLY_FOUNDED),
    _show("one store, one tenant", "other-tenant", _tenant, guard=_ELSEWHERE),
    # what the rules make of it
    _show("people who cannot be written", "frozen-login", _frozen, guard=UNLIMITED),
    _show("names of groups are remembered", "doubled-names", _names, text=NAMED),
    _show("the protect list", "protected-people", _protect_list),
    _show("licences given by hand", "cut-lists", _by_hand, guard=UNLIMITED, text=LICENCES),
    _show("proof of a handover", "login-again", _handover),
    _show("a group made anew", "remade-group", _remade),
    # the guard, and what people decide
    _show("the limits of a run", "mass-disabled", _limits),
    _show("the limit of updates", "mass-renamed", _without_limit("update")),
    _show("the limit of creations", "company-doubled", _without_limit("create")),
    _show("the limit of adoptions", "lost-store", _without_limit("adopt")),
    _show("the memory of the guard", "held-then-grown", _memory),
    _show("the limits of a day", "in-slices", _day),
    _show("held places hold the deletion", "deleted-groups", _kept_places, policy=DELETING),
    _show("held places hold the licences", "mass-disabled", _together, text=LICENCES),
    _show("the clock", "clock-ahead", _clock, policy=_AT_ONCE),
    _show("news before an approval", "late-approval", _approval),
    _show("an approval of what was shown", "overtaken-approval", _as_shown),
    # the portal
    _show("a missing record is read alone", "portal-cut-lists", _read_alone),
    _show("unclear answers", "unclear-answers", _unclear),
    _show("what was begun is claimed", "torn-answers", _begun),
    _show("the old account waits for the new", "renamed-slowly", _successor),
    _show("the look at a wave, new rules", "new-rules-cut", _waves, policy=IN_WAVES),
    _show("the look at a wave, first push", "first-push-lost", _waves, policy=IN_WAVES),
    _show("a portal that went back", "portal-restored", _restored),
    _show("what waits in such a portal", "portal-restored", _waiting),
)  # fmt: skip


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


async def _play_both(stage: Stage, scenario: Scenario, protection: Protection) -> tuple[bool, bool]:
    """Return whether the fault passes off well with the protection, and without it."""
    stage.days.clear()
    with pytest.MonkeyPatch.context() as patch:
        for other in protection.beside:
            other(patch)
        protected = await stage.play(scenario)
        protection.take_away(patch)
        bare = await stage.play(scenario)
    return protected.passed_off_well, bare.passed_off_well


@pytest.mark.slow
@pytest.mark.parametrize("text", ["", LICENCES, NAMED], ids=["plain", "licences", "names"])
async def test_without_any_one_protection_a_fault_does_harm(tmp_path: Path, text: str) -> None:
    """Every fault passes off well with the protection, and does not without it."""
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    (tmp_path / "syncd.toml").write_text(text)
    settings = read_settings(tmp_path / "syncd.toml", {}, need=frozenset())
    scenarios = {scenario.name: scenario for scenario in CATALOGUE}
    found: dict[str, tuple[bool, bool]] = {}
    shown = [protection for protection in PROTECTIONS if protection.text == text]
    async with open_stage(settings, people=PEOPLE, company=None) as stage:
        own = stage.program.settings
        for protection in shown:
            stage.program = _reconfigure(stage, own, protection)
            found[protection.name] = await _play_both(stage, scenarios[protection.fault], protection)
    structlog.reset_defaults()
    assert found == {protection.name: (True, False) for protection in shown}


def test_the_page_about_proof_names_each_protection() -> None:
    """With the fault that shows it, and no name twice."""
    assert len({protection.name for protection in PROTECTIONS}) == len(PROTECTIONS)
    page = (Path(__file__).parents[2] / "docs" / "explanation" / "proof.md").read_text(encoding="utf-8")
    assert [each.name for each in PROTECTIONS if f"| {each.name} | `{each.fault}` |" not in page] == []
