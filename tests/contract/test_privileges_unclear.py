"""Lost answers and conflicts: what a rule gave is there in the end, and what may be by hand is never taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Literal

import pytest

from syncd.cli.commands.privileges import list_privileges
from syncd.plan.report.privileges import describe_held
from syncd.sandbox.portal.places import Given
from syncd.sandbox.wire.faults import Fault
from syncd.store.reports.explain import Explanations
from syncd.store.store import Store
from syncd.sync.planning.drift import DriftCheck
from tests.contract.office import Office
from tests.contract.privilege_rules import find_levels, give_by_hand, rule, say
from tests.fakes.rules import make_limits

REPEATED: tuple[Literal["ok", "conflict", "any"], ...] = ("ok", "conflict", "any")
every_meaning_of_409 = pytest.mark.parametrize(
    "office", [{"privilege_repeated": each} for each in REPEATED], indirect=True, ids=REPEATED
)
LEVELS = ("ReadOnly", "Administrator")


def break_grants(
    office: Office, kind: Literal["lose", "reset"] = "reset", *, count: int = 1, holding: str = ""
) -> None:
    """Let the next grants end without an answer: carried out (lose) or not (reset)."""
    office.wire.faults.add(Fault(kind, side="portal", path="privileges/add", count=count, holding=holding))


def tell(office: Office) -> dict[tuple[str, str], tuple[str, str]]:
    """Return what ``syncd privileges`` says of each level of the group g: state and detail."""
    found = list_privileges(Store(office.database), office.rules)
    return {(each["bps_id"], each["level"]): (each["state"], each["detail"]) for each in found}


async def go_on(office: Office, *, runs: int = 2) -> None:
    """Let a day pass, with full runs; the last one of them changes nothing."""
    for _ in range(runs):
        office.clock.elapsed += 86_400
        office.take_asked()
        assert (await office.sync("full")).status == "succeeded"
    assert office.take_asked() == []


# ---- two rules for one group at one place ----------------------------------------------------------------------------


@pytest.mark.parametrize("lost", LEVELS)
@pytest.mark.parametrize("kind", ["lose", "reset"])
@every_meaning_of_409
async def test_a_level_whose_answer_was_lost_is_not_there_because_another_is(
    office: Office, kind: Any, lost: str
) -> None:
    """The other rule's grant makes a reading name the group: the first one is sent again until the portal answers."""
    await office.sync("full")
    say(office, *(rule(level=level) for level in LEVELS))
    break_grants(office, kind, holding=f'"{lost}"')
    await office.sync("full")
    await office.sync("full")
    told = {level: state for (_, level), (state, _) in tell(office).items()}
    if office.wire.knobs.privilege_repeated == "any":  # two levels cannot be there
        assert len(find_levels(office)) == 1
        (absent,) = set(LEVELS) - find_levels(office)
        assert told[absent] == "unknown"
    else:
        assert find_levels(office) == set(LEVELS)
    await go_on(office)


@every_meaning_of_409
async def test_two_companies_are_two_privileges(office: Office) -> None:
    """As two levels are: the grant for one company proves nothing about that for the other."""
    await office.sync("full")
    say(office, *(rule(process="Suppliers", company=name) for name in ("PL01", "DE01")))
    guid = office.wire.store.databases[1].companies[0].guid
    break_grants(office, holding=guid)
    for _ in range(2):
        await office.sync("full")
    number = 1 if office.wire.knobs.privilege_repeated == "any" else 2
    assert len({given.company for given in office.wire.store.privileges if given.key == "g@grp"}) == number
    await go_on(office)


@every_meaning_of_409
async def test_an_outage_in_one_run_is_no_grant_in_the_next(office: Office) -> None:
    """Sent in vain by a run that could not look either: beside the other level nobody takes it for given."""
    await office.sync("full")
    say(office, *(rule(level=level) for level in LEVELS))
    for path in ("privileges/add", "admin/privileges"):
        office.wire.faults.add(Fault("reset", side="portal", path=path, count=-1))
    await office.sync("delta")
    office.wire.faults.clear()
    for _ in range(3):
        office.clock.elapsed += 7200
        await office.sync("full")
    assert len(find_levels(office)) == (1 if office.wire.knobs.privilege_repeated == "any" else 2)
    await go_on(office)


@every_meaning_of_409
async def test_the_other_level_comes_when_the_one_in_its_way_goes(office: Office) -> None:
    """Where the portal refuses a second level beside the first: neither counts as taken by somebody."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift="report"))
    say(office, rule(level="ReadOnly"))
    await office.sync("full")
    say(office, *(rule(level=level) for level in LEVELS))
    await go_on(office, runs=3)
    say(office, rule(level="Administrator"))
    await office.sync()
    await office.sync()
    assert find_levels(office) == {"Administrator"}
    await go_on(office)
    say(office)
    await office.sync()
    assert find_levels(office) == set()


# ---- by hand beside ours ---------------------------------------------------------------------------------------------


def give_at(office: Office, level: str, *, attempt: int) -> None:
    """Let somebody give the group g a level while our grant is on its way for this time."""
    seen = 0

    def watch(_method: str, target: str) -> None:
        nonlocal seen
        seen += target.endswith("privileges/add")
        if seen == attempt and target.endswith("privileges/add"):
            give_by_hand(office, level)

    office.wire.before = watch


async def take_the_rule_away(office: Office, by_hand: Given) -> None:
    """What somebody gave is there from then on, and told as what it may be."""
    office.wire.before = None
    assert by_hand in office.wire.store.privileges
    state, detail = tell(office)["g@grp", "ReadOnly"]
    assert state in ("beside", "unknown")
    assert "by hand" in detail
    explanations = Explanations(office.database)
    (found,) = explanations.find("Group g")
    (entry,) = describe_held(explanations.explain(found, now=office.clock.now()).privileges)
    assert (entry["state"], entry["detail"]) == (state, detail)
    await go_on(office)
    say(office)
    await office.sync()
    assert tell(office)["g@grp", "ReadOnly"][0] == "kept"
    await go_on(office)
    assert by_hand in office.wire.store.privileges


@pytest.mark.parametrize("level", LEVELS)
@every_meaning_of_409
async def test_what_somebody_gave_since_an_outage_is_never_taken(office: Office, level: str) -> None:
    """No grant of ours arrived in one run; in the next one the first is lost again, and the place names the group."""
    await office.sync("full")
    say(office, rule())
    break_grants(office, count=-1)
    await office.sync("full")
    office.wire.faults.clear()
    by_hand = give_by_hand(office, level)
    break_grants(office)
    await office.sync("delta")
    await take_the_rule_away(office, by_hand)


@pytest.mark.parametrize("level", LEVELS)
@every_meaning_of_409
async def test_what_somebody_gives_while_a_grant_is_lost_is_never_taken(office: Office, level: str) -> None:
    """The same level as ours or another one: the reading after that names the group, and says no more."""
    await office.sync("full")
    say(office, rule())
    break_grants(office)
    give_at(office, level, attempt=1)
    await office.sync("full")
    await take_the_rule_away(office, by_hand=give_by_hand(office, level))


@pytest.mark.parametrize("office", [{"privilege_repeated": each} for each in REPEATED[1:]], indirect=True)
async def test_what_somebody_gives_before_a_lost_grant_is_sent_again_is_never_taken(office: Office) -> None:
    """The reading does not show it yet, and then the portal says 409: by us or by hand, nobody knows."""
    await office.sync("full")
    say(office, rule())
    break_grants(office)
    give_at(office, "ReadOnly", attempt=2)
    await office.sync("full")
    await take_the_rule_away(office, by_hand=give_by_hand(office))


async def test_a_lost_answer_that_no_reading_contradicts_leaves_it_ours(office: Office) -> None:
    """The grant did not arrive and was sent again: nobody else was there, and with the rule it goes."""
    await office.sync("full")
    say(office, rule())
    break_grants(office)
    await office.sync("full")
    assert tell(office)["g@grp", "ReadOnly"][0] == "given"
    await go_on(office)
    say(office)
    await office.sync()
    assert find_levels(office) == set()


async def test_what_a_plan_wants_to_take_stays_when_it_is_not_surely_ours_any_more(office: Office) -> None:
    """A revoke that was held: meanwhile the portal forgot ours, a grant was lost, and somebody gave it by hand."""
    office.rules = replace(
        office.rules, limits=make_limits(max_removals=0), policy=replace(office.rules.policy, drift="revert")
    )
    say(office, rule())
    await go_on(office)
    say(office)
    held = await office.sync()
    assert held.status == "held"
    office.wire.store.privileges.clear()
    say(office, rule())
    break_grants(office)
    give_at(office, "ReadOnly", attempt=1)
    await office.sync("full")
    office.wire.before = None
    by_hand = give_by_hand(office)
    say(office)
    await office.approve(held)
    assert by_hand in office.wire.store.privileges


# ---- several at one place, and what somebody took --------------------------------------------------------------------


@pytest.mark.parametrize("drift", ["report", "adopt"])
async def test_what_somebody_took_stays_taken_beside_a_second_rule(office: Office, drift: Any) -> None:
    """The second rule makes readings name the group again: that is no word about the first one."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift=drift))
    say(office, rule())
    await go_on(office)
    office.wire.store.privileges.clear()
    await go_on(office)
    say(office, rule(), rule(level="Administrator"))
    await go_on(office, runs=3)
    assert find_levels(office) == {"Administrator"}
    assert tell(office)["g@grp", "ReadOnly"][0] == "taken"
    say(office, rule(level="Administrator"))
    await office.sync()
    say(office, rule(), rule(level="Administrator"))
    await office.sync()
    assert find_levels(office) == set(LEVELS)


@pytest.mark.parametrize("drift", ["report", "adopt"])
async def test_what_somebody_took_stays_taken_beside_what_was_given_by_hand(office: Office, drift: Any) -> None:
    """Somebody took the level of the rule and gave another one: syncd does not overrule that, and tells both."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift=drift))
    say(office, rule(level="Administrator"))
    await go_on(office)
    office.wire.store.privileges.clear()
    await go_on(office)
    by_hand = give_by_hand(office)
    await go_on(office)
    assert set(office.wire.store.privileges) == {by_hand}
    assert {level: state for (_, level), (state, _) in tell(office).items()} == {
        "Administrator": "taken",
        None: "by_hand",
    }
    say(office)
    await go_on(office)
    assert set(office.wire.store.privileges) == {by_hand}


@pytest.mark.parametrize("drift", ["revert", "report"])
async def test_what_is_beside_is_ours_again_when_a_person_took_everything(office: Office, drift: Any) -> None:
    """The next full run sees it gone and gives it, or a look for drift does; from then on it goes with its rule."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift=drift))
    say(office, rule())
    break_grants(office, "lose")
    await office.sync("full")
    await go_on(office)
    assert tell(office)["g@grp", "ReadOnly"][0] == "beside"
    office.wire.store.privileges.clear()
    office.clock.elapsed += 86_400
    await office.sync("full")
    if drift == "report":
        await office.carry_out(DriftCheck("revert", lambda found: [*found].clear()))
    assert tell(office)["g@grp", "ReadOnly"][0] == "given"
    say(office)
    await office.sync()
    assert find_levels(office) == set()


@pytest.mark.parametrize(
    "office",
    [{"privilege_repeated": "conflict"}, {"privilege_repeated": "conflict", "privileges_list_groups": False}],
    indirect=True,
    ids=["named", "unnamed"],
)
async def test_what_may_be_ours_is_told_when_the_other_level_was_taken(office: Office) -> None:
    """Its grant arrived, its answer did not, and then the portal said 409: without its rule it is there, and told."""
    await office.sync("full")
    say(office, rule(level="Administrator"))
    await office.sync("full")
    say(office, *(rule(level=level) for level in LEVELS))
    break_grants(office, "lose")
    await office.sync("full")
    assert find_levels(office) == set(LEVELS)
    say(office)
    await office.sync()
    await go_on(office)
    assert find_levels(office) == {"ReadOnly"}
    assert tell(office)["g@grp", "ReadOnly"][0] == "kept"


@pytest.mark.parametrize("level", LEVELS)
async def test_what_one_grant_learns_of_hands_holds_for_the_next_one(office: Office, level: str) -> None:
    """Two rules for one place, and the first grant is lost while somebody gives a level: both may be by hand then."""
    await office.sync("full")
    say(office, *(rule(level=each) for each in LEVELS))
    break_grants(office)
    give_at(office, level, attempt=1)
    await office.sync("full")
    office.wire.before = None
    by_hand = give_by_hand(office, level)
    say(office)
    await office.sync()
    await go_on(office)
    assert by_hand in office.wire.store.privileges


async def test_a_look_while_grants_are_on_their_way_forgets_none_of_another_group(office: Office) -> None:
    """What is being sent for it may not be there yet: forgotten now, it would be nobody's once it arrives."""
    say(office, rule("Group i"))
    for _ in range(2):
        await office.sync("full")  # a reading names a group
    say(office, rule("Group i"), rule("Group h"))
    office.wire.faults.add(Fault("reset", side="portal", path="admin/privileges", count=-1))
    await office.sync()
    office.wire.faults.clear()
    store, now = Store(office.database), office.clock.now()
    ((one,),) = store.privileges.load_held().values()
    keys = {name: key for key, name in store.privileges.load_names(range(1, 20)).items()}
    unsettled, other = keys["h@grp"], keys["g@grp"]
    number = store.privileges.intern([one.privilege])[one.privilege.token]
    store.privileges.begin.blocking(unsettled, number, remove=False, now=now)  # and the run was killed

    def begin_beside(method: str, target: str) -> None:
        if method == "GET" and target.endswith("admin/privileges"):
            office.wire.before = None
            Store(office.database).privileges.begin.blocking(other, number, remove=False, now=now)

    office.wire.before = begin_beside
    await office.sync()
    states = {key: [each.state for each in found] for key, found in store.privileges.load_held().items()}
    assert (states[unsettled], states[other]) == (["granted"], ["sent"])


# ---- what takes effect, or is shown, late ----------------------------------------------------------------------------


@pytest.mark.parametrize("drift", ["revert", "report"])
@pytest.mark.parametrize("office", [{"privilege_delay": 30.0}], indirect=True, ids=["late"])
async def test_a_grant_that_takes_effect_after_its_answer_was_lost_is_not_forgotten(office: Office, drift: Any) -> None:
    """No reading shows it while the run looks, and the rule goes before the next one: it is there, and it is told."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift=drift))
    say(office, rule("Group h"))
    for _ in range(2):
        await office.sync("full")  # a reading names a group
        office.clock.elapsed += 60
    say(office, rule("Group h"), rule())
    break_grants(office, "lose", count=-1)
    await office.sync("full")
    office.wire.faults.clear()
    assert find_levels(office) == set()
    assert tell(office)["g@grp", "ReadOnly"][0] == "unknown"
    say(office, rule("Group h"))
    office.clock.elapsed += 60
    await office.sync()
    assert find_levels(office) == {"ReadOnly"}
    assert tell(office)["g@grp", "ReadOnly"][0] == "kept"
    await go_on(office)
    assert tell(office)["g@grp", "ReadOnly"][0] == "kept"
    office.wire.store.privileges.clear()
    await go_on(office)
    assert ("g@grp", "ReadOnly") not in tell(office)


@pytest.mark.parametrize("office", [{"privilege_delay": 900.0}], indirect=True, ids=["late"])
async def test_a_grant_beside_something_by_hand_that_takes_effect_late_is_not_forgotten(office: Office) -> None:
    """Somebody takes what is by hand before anything of the grant is shown: that says nothing of the grant."""
    await office.sync("full")
    give_by_hand(office, "MetadataAccess")
    await office.sync("full")
    say(office, rule())
    break_grants(office, "lose", count=-1)
    await office.sync("full")
    office.wire.faults.clear()
    office.wire.store.privileges.clear()
    say(office)
    office.clock.elapsed += 60
    await office.sync("full")
    assert tell(office)["g@grp", "ReadOnly"][0] == "kept"
    office.clock.elapsed += 900
    await office.sync("full")
    assert find_levels(office) == {"ReadOnly"}
    assert tell(office)["g@grp", "ReadOnly"][0] == "kept"


async def test_what_never_took_effect_is_forgotten_when_nothing_is_to_come_any_more(office: Office) -> None:
    """Within the hour it may, whatever readings show meanwhile; after that a full run finds that it did not."""
    say(office, rule("Group h"))
    for _ in range(2):
        await office.sync("full")
    say(office, rule("Group h"), rule())
    break_grants(office, count=-1)
    await office.sync("full")
    office.wire.faults.clear()
    say(office, rule("Group h"))
    await office.sync("full")
    assert tell(office)["g@grp", "ReadOnly"][0] == "kept"
    office.clock.elapsed += 3601
    await office.sync("full")
    assert ("g@grp", "ReadOnly") not in tell(office)


@pytest.mark.parametrize(
    "office", [{"privileges_shown_after": 600.0, "privilege_repeated": "conflict"}], indirect=True, ids=["behind"]
)
async def test_a_conflict_that_readings_do_not_show_yet_may_be_ours(office: Office) -> None:
    """The grant took effect, its answer was lost, and the next one is refused: for what is there is not shown yet."""
    say(office, rule("Group h"))
    await office.sync("full")
    office.clock.elapsed += 3600
    await office.sync("full")
    say(office, rule("Group h"), rule())
    break_grants(office, "lose")
    await office.sync("full")
    assert find_levels(office) == {"ReadOnly"}
    assert tell(office)["g@grp", "ReadOnly"][0] == "unknown"
    say(office, rule("Group h"))
    await office.sync()
    await go_on(office)
    assert find_levels(office) == {"ReadOnly"}
    assert tell(office)["g@grp", "ReadOnly"][0] == "kept"


@pytest.mark.parametrize("office", [{"privileges_shown_after": 1800.0}], indirect=True, ids=["behind"])
async def test_a_revoke_that_never_arrived_is_tried_again_while_readings_are_behind(office: Office) -> None:
    """What was given just now is not shown yet: that a reading lacks it says nothing of its revoke."""
    say(office, rule("Group h"))
    await office.sync("full")
    office.clock.elapsed += 3600
    await office.sync("full")
    say(office, rule("Group h"), rule())
    await office.sync("full")
    assert tell(office)["g@grp", "ReadOnly"][0] == "given"
    say(office, rule("Group h"))
    office.wire.faults.add(Fault("reset", side="portal", path="privileges/remove", count=-1))
    assert (await office.sync("full")).status == "partial"
    office.wire.faults.clear()
    assert "ReadOnly" in find_levels(office)
    await office.sync("full")
    assert find_levels(office) == set()


async def test_somebody_without_a_bps_id_at_a_place_is_told_and_nothing_there_is_taken_for_gone(
    office: Office,
) -> None:
    """It may be any group. When that entry is removed, readings tell again."""
    say(office, rule(), rule("Group h", application="Contracts"))
    for _ in range(2):
        await office.sync("full")
    office.wire.store.privileges.clear()
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift="report"))

    def spoil(document: dict[str, Any]) -> None:
        document["privileges"].append({"bpsId": None})

    (invoices, *_) = office.wire.store.databases[1].applications
    path = f"{invoices.guid}/admin/privileges"
    office.wire.faults.add(Fault("alter", side="portal", method="GET", path=path, change=spoil, count=-1))
    run = await office.sync("full")
    assert run.error.count("the portal lists somebody there without a BPS id") == 1
    assert (tell(office)["g@grp", "ReadOnly"][0], tell(office)["h@grp", "ReadOnly"][0]) == ("given", "taken")
    office.wire.faults.clear()
    assert not (await office.sync("full")).error
    assert tell(office)["g@grp", "ReadOnly"][0] == "taken"
