"""Privileges by rule, over the adapter and the imitation portal: what is given, what stays, what nobody can know."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from syncd.bootstrap.check_privileges import list_names, probe_privileges
from syncd.cli.commands.privileges import list_privileges
from syncd.model.reason import Cause
from syncd.model.run import PullKind, find_exit_code
from syncd.plan.drift import Drift
from syncd.plan.rules import PrivilegeRule
from syncd.plan.words import say as say_words
from syncd.sandbox.portal.places import KINDS, Given
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import turn_knobs
from syncd.store.reports.explain import Explanations
from syncd.store.reports.explain_document import describe_explanation
from syncd.store.store import Store
from syncd.sync.planning.drift import DriftCheck
from syncd.sync.planning.undo import Undo
from tests.contract.office import Office
from tests.contract.privilege_rules import SWITCHES, refuse_writes, rule
from tests.documents import check_document
from tests.fakes.rules import make_limits, make_policy

IDS = [",".join(map(str, knobs)) or "default" for knobs in SWITCHES]
every_switch = pytest.mark.parametrize("office", SWITCHES, indirect=True, ids=IDS)


def say(office: Office, *rules: PrivilegeRule) -> None:
    """Set the rules. Without others about the groups: a licence for a group that is gone stops a run."""
    office.rules = replace(office.rules, privileges=rules, licences=())


def names(office: Office, *, origin: str = "") -> set[str]:
    """Return what the portal has, as ``group level place``."""
    found = set()
    for given, whose in office.wire.store.privileges.items():
        if origin in ("", whose):
            database = office.wire.store.databases[given.place[0]]
            item = next((one for each in KINDS if (one := database.find(each, given.place[3]))), None)
            assert item is not None
            found.add(f"{given.key} {given.level} {item.name}")
    return found


def give_by_hand(office: Office, group: str, level: str = "ReadOnly", application: str = "Invoices") -> Given:
    """Let somebody give something to an application in the portal."""
    database = office.wire.store.databases[1]
    (item,) = [one for one in database.applications if one.name == application]
    given = Given((1, "application", "", item.guid), office.wire.store.key(group), level)
    office.wire.store.privileges[given] = "local"
    return given


def calls(office: Office) -> list[str]:
    """Return the requests about privileges since the last look, without the places."""
    seen = [line for line in office.judge.seen if "/db/" in line or "businessentities" in line]
    office.judge.seen.clear()
    return [f"{line.split()[0]} {'/'.join(line.split()[1].split('/')[-2:])}" for line in seen]


async def quiet(office: Office) -> None:
    """Whatever happened, further runs change nothing."""
    office.take_asked()
    kinds: tuple[PullKind, ...] = ("delta", "full")
    for kind in kinds:
        assert (await office.sync(kind)).status == "succeeded"
        assert office.take_asked() == []


@every_switch
async def test_rules_give_and_what_no_rule_gives_any_more_is_taken(office: Office) -> None:
    """Each kind of place, by name, guid and id; then a level changes, a rule goes, and all of them go."""
    invoices = office.wire.store.databases[1].applications[0]
    process = invoices.list("process")[1]
    rules = (
        rule(application=invoices.guid),
        rule("Group h", "Modify", process=str(process.number), company="PL01"),
        rule("Group i", "Start", form_type="Correction", workflow="Approval"),
    )
    say(office, *rules)
    assert (await office.sync("full")).status == "succeeded"
    assert names(office) == {"g@grp ReadOnly Invoices", "h@grp Modify Suppliers", "i@grp Start Correction"}
    await quiet(office)
    say(office, rule(level="Administrator", application=invoices.guid), rules[1])
    assert (await office.sync()).status == "succeeded"
    if office.wire.knobs.privilege_repeated == "any":  # refused beside the old level, and given when that is taken
        await office.sync()
    assert names(office) == {"g@grp Administrator Invoices", "h@grp Modify Suppliers"}
    await quiet(office)
    say(office)
    assert (await office.sync()).status == "succeeded"
    assert names(office) == set()
    await quiet(office)


async def test_nothing_is_asked_without_rules_now_or_before(office: Office) -> None:
    """A portal without rules hears nothing of privileges; with them one call each, and one reading per place."""
    await office.sync("full")
    await office.sync()
    assert calls(office) == []
    say(office, rule(), rule("Group h"), rule("Group h", "Modify", process="Suppliers"))
    await office.sync("full")
    asked = calls(office)
    assert asked.count("GET admin/privileges") == 2
    assert asked.count("POST privileges/add") == 3
    await office.sync()
    assert calls(office) == []
    await office.sync("full")
    assert calls(office) == ["GET admin/privileges"] * 2
    say(office)
    await office.sync()  # over everybody, for the rules are others: like a full run it reads each place once
    asked = calls(office)
    assert (asked.count("GET admin/privileges"), asked.count("POST privileges/remove"), len(asked)) == (2, 3, 5)
    await office.sync("full")
    assert calls(office) == []


async def test_a_delta_run_with_news_looks_once_and_sends_one_request_for_each_change(office: Office) -> None:
    """A group with another BPS id is given what it has, and the old one loses it.

    The place is read once before that: a clear answer to a grant tells nothing of what somebody gave by hand before.
    """
    say(office, rule(), rule("Group h"))
    await office.sync("full")
    calls(office)
    office.source.put_group("g", displayName="Group g", mailNickname="new@grp")
    await office.sync()
    await office.sync()
    await office.sync()
    assert calls(office) == ["GET admin/privileges", "POST privileges/add", "POST privileges/remove"]


async def test_what_somebody_takes_is_seen_also_when_nothing_of_before_is_remembered(office: Office) -> None:
    """A reading named a group once: from then on one that is missing is not there, whatever became of that group."""
    office.rules = replace(office.rules, policy=make_policy(drift="revert"))
    say(office, rule())
    await office.sync("full")
    await office.sync("full")  # a reading names the group
    say(office)
    await office.sync("full")
    say(office, rule("Group h"))
    await office.sync("full")
    office.wire.store.privileges.clear()
    office.clock.elapsed += 86_400
    await office.sync("full")
    assert names(office) == {"h@grp ReadOnly Invoices"}


@every_switch
async def test_what_was_given_by_hand_stays(office: Office) -> None:
    """The same level, another one, and that of a group without a rule: all there after the rules came and went."""
    await office.sync("full")
    same, other = give_by_hand(office, "g@grp"), give_by_hand(office, "h@grp", "MetadataAccess")
    alone = give_by_hand(office, "i@grp")
    say(office, rule(), rule("Group h"))
    assert (await office.sync()).status == "succeeded"
    expected = {"g@grp ReadOnly Invoices", "h@grp ReadOnly Invoices"}
    if office.wire.knobs.privilege_repeated == "any":  # what is by hand is in the way
        expected.remove("h@grp ReadOnly Invoices")
    assert expected <= names(office)
    await quiet(office)
    say(office)
    assert (await office.sync()).status == "succeeded"
    there = office.wire.store.privileges
    assert alone in there
    if office.wire.knobs.privileges_list_groups or office.wire.knobs.privilege_repeated != "ok":
        assert same in there
    if not office.wire.knobs.privilege_exclusive and office.wire.knobs.privileges_list_groups:
        assert other in there
    await quiet(office)


@every_switch
async def test_a_group_that_is_renamed_or_made_anew_takes_its_privileges_along(office: Office) -> None:
    """A new BPS id is given everything before the old one loses it; a group of the same name made anew has it too."""
    say(office, rule())
    await office.sync("full")
    office.source.put_group("g", displayName="Group g", mailNickname="new@grp")
    office.take_asked()
    await office.sync()
    await office.sync()
    assert names(office) == {"new@grp ReadOnly Invoices"}
    order = [asked.action for asked in office.take_asked() if asked.object == "privilege"]
    assert order == ["grant", "revoke"]
    office.source.put_group("k", displayName="Group g", mailNickname="k@grp")
    office.source.remove_group("g")
    await office.sync()
    await office.sync()
    assert names(office) == {"k@grp ReadOnly Invoices"}
    await quiet(office)


@pytest.mark.parametrize("policy", ["empty", "keep", "delete"])
async def test_a_group_that_goes_loses_what_a_rule_gave_before_it_is_deleted(office: Office, policy: Any) -> None:
    """Revoked at once, and only then deleted; kept as it is where the policy says so. The run goes on."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, deleted_groups=policy))
    say(office, rule())
    await office.sync("full")
    office.source.remove_group("g")
    office.take_asked()
    assert (await office.sync()).status == "succeeded"
    assert names(office) == ({"g@grp ReadOnly Invoices"} if policy == "keep" else set())
    office.clock.elapsed += 4 * 86_400
    await office.sync("full")
    asked = [f"{one.action} {one.object}" for one in office.take_asked() if one.bps_id == "g@grp"]
    assert asked.count("revoke privilege") == (policy != "keep")
    if policy == "delete":
        assert asked.index("revoke privilege") < asked.index("delete group")


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ((rule(application="Nothing"),), "privileges[0].application: there is no application 'Nothing'; there are Con"),
        ((rule(process="x"),), "privileges[0].process: there is no process 'x'; there are Contracts, Cost invoices"),
        ((rule(form_type="x", workflow="Approval"),), "there is no form type 'x'; there are Correction, Invoice"),
        ((rule(form_type="x", workflow="y"),), "privileges[0].workflow: there is no workflow 'y'; there are Approval"),
        ((rule(process="Suppliers", company="x"),), "privileges[0].company: there is no company 'x'; there are DE01"),
        ((rule(application="Invoices", database=7),), "privileges[0].database: the portal refuses the content datab"),
        ((rule("Nobody"),), "privileges[0].group: no group has the id or the name 'Nobody'"),
        ((rule(), rule(application="11")), "privileges[1]: gives the same as privileges[0]"),
    ],
)
async def test_what_a_rule_names_and_nobody_has_is_told_with_what_there_is(
    office: Office, rules: tuple[PrivilegeRule, ...], expected: str
) -> None:
    """The run ends before anything is planned, as with a group of the scope that nobody has."""
    say(office, *rules)
    run = await office.sync("full")
    assert (run.status, find_exit_code(run)) == ("failed", 2)
    assert expected in run.error
    assert office.wire.store.privileges == {}


async def test_everything_that_rules_name_wrongly_is_told_at_once(office: Office) -> None:
    """Groups, places, databases and companies: each by its key, also of one rule, with what there is."""
    say(
        office,
        rule("Nobody", application="Nothing"),
        rule("Group h", process="Nothing", company="x"),
        rule("Group h", form_type="x", workflow="Approval", company="y"),
        rule("Group h", application="Invoices", database=7),
        rule("Group h", process="Nothing", company="x", database=8),
        rule("Group h", form_type="x", workflow="y"),
        rule("Group h", form_type="x", workflow="y", database=7),
    )
    run = await office.sync("full")
    assert find_exit_code(run) == 2
    assert "privileges[3].application" not in run.error  # database 1 has it
    for told in (
        "privileges[0].application: there is no application 'Nothing'; there are Contracts, Invoices, Leave requests",
        "privileges[0].group: no group has the id or the name 'Nobody'; there are Group g, Group h, Group i",
        "privileges[1].process: there is no process 'Nothing'; there are ",
        "privileges[1].company: there is no company 'x'; there are DE01, PL01",
        "privileges[2].form_type: there is no form type 'x'; there are Correction, Invoice",
        "privileges[2].company: there is no company 'y'; there are DE01, PL01",
        "privileges[3].database: the portal refuses the content database 7",
        "the id stands in the address of any element",
        "privileges[4].database: the portal refuses the content database 8",
        "privileges[4].process: there is no process 'Nothing' anywhere in database 1, 2; there are ",
        "privileges[4].company: there is no company 'x' anywhere in database 1, 2; there are DE01, PL01",
        "privileges[5].workflow: there is no workflow 'y'; there are ",
        "privileges[5].form_type: there is no form type 'x' anywhere in database 1; there are ",
        "privileges[6].workflow: there is no workflow 'y' anywhere in database 1, 2; there are ",
        "privileges[6].form_type: there is no form type 'x' anywhere in database 1, 2; there are ",
    ):
        assert told in run.error
    _, _, row, *_ = await probe_privileges(office.wire.open(), office.rules.privileges[1:2], "nobody@invalid.example")
    assert row[3] == "correct privileges[0].process and privileges[0].company"


async def test_nothing_is_called_missing_everywhere_where_a_list_is_refused_us(office: Office) -> None:
    """It may lie in an application that we may not look into."""
    say(office, rule("Group h", process="Nothing", database=8))
    body = b'{"type": "InsufficientAccountPermissions", "description": "no", "errorGuid": "1"}'
    contracts = office.wire.store.databases[1].applications[1]
    refused = Fault("status", side="portal", path=f"{contracts.guid}/processes", status=403, body=body, count=-1)
    office.wire.faults.add(refused)
    run = await office.sync("full")
    assert refused.hits
    assert "privileges[0].database: the portal refuses the content database 8" in run.error
    assert "anywhere" not in run.error


async def test_a_name_that_several_places_bear_is_refused_with_their_guids(office: Office) -> None:
    """Which of the two is meant nobody can tell."""
    first, second = office.wire.store.databases[1].applications[:2]
    second.name = first.name
    say(office, rule())
    told = (await office.sync("full")).error
    assert all(each.guid in told for each in (first, second))


async def test_a_name_is_looked_up_once(office: Office) -> None:
    """A renamed place stays what it was, and one that takes the name changes nothing."""
    first, second = office.wire.store.databases[1].applications[:2]
    say(office, rule())
    await office.sync("full")
    first.name, second.name = "Old invoices", "Invoices"
    office.source.put_group("g", displayName="Group g", mailNickname="new@grp")
    await office.sync("full")
    await office.sync("full")
    assert names(office) == {"new@grp ReadOnly Old invoices"}


def list_details(office: Office) -> dict[str, str]:
    """Return what `syncd privileges` says of each line: state and detail."""
    found = list_privileges(Store(office.database), office.rules)
    return {f"{each['rule']} {each['state']}": each["detail"] for each in found}


def explain(office: Office, name: str) -> dict[str, Any]:
    """Return the document that explains a group."""
    explanations = Explanations(office.database)
    (found,) = explanations.find(name)
    explanation = explanations.explain(found, now=office.clock.now())
    return describe_explanation(explanation, [], office.rules, named={}, now=office.clock.now())


SCOPE = say_words(Cause.PRIVILEGES_REFUSED).text


@pytest.mark.parametrize("scopes", [set(), {"App.Metadata.Read"}])
async def test_a_missing_scope_is_one_sentence_and_stops_nothing_else(office: Office, scopes: set[str]) -> None:
    """People, groups and licences go on; each run says what waits, and with the scope it is given."""
    every = set(office.wire.application.scopes)
    office.wire.application.scopes = (every - {"App.Metadata.ReadWrite"}) | scopes
    say(office, rule(), rule("Group h"))
    for kind, retry in (("full", True), ("delta", True), ("delta", False), ("full", False)):
        run = await office.sync(kind, retry_failed=retry)  # type: ignore[arg-type]
        assert (run.status, run.error) == ("succeeded", SCOPE)
    assert "g@grp" in office.wire.store.groups
    assert names(office) == set()
    assert list_details(office) == {"0 waiting": SCOPE, "1 waiting": SCOPE}
    document = explain(office, "Group g")
    assert [(use["rule"], use["detail"]) for use in document["used_by"]] == [("privileges[0]", SCOPE)]
    if scopes:
        assert [(each["object"], each["error"]) for each in document["pending"]] == [("privilege", SCOPE)]
    office.wire.application.scopes = every
    office.wire.book.revoke_all()
    run = await office.sync("full")
    assert (run.status, run.error) == ("succeeded", "")
    assert names(office) == {"g@grp ReadOnly Invoices", "h@grp ReadOnly Invoices"}
    assert set(list_details(office)) == {"0 given", "1 given"}
    office.source.put_group("g", displayName="Another name")
    await office.sync()
    assert [(use["rule"], use["detail"]) for use in explain(office, "g@grp")["used_by"]] == [("privileges[0]", None)]


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_a_missing_scope_is_found_behind_an_answer_to_wait(office: Office, status: int) -> None:
    """A repetition is refused: that accuses the scope as well, and its note stays until something is given."""
    every = set(office.wire.application.scopes)
    office.wire.application.scopes = every - {"App.Metadata.ReadWrite"} | {"App.Metadata.Read"}
    say(office, rule())
    for _ in range(2):
        office.wire.faults.add(Fault("status", status=status, side="portal", path="privileges/add", count=1))
        run = await office.sync("full")
        assert (run.status, run.error, run.counts.get("failed", 0)) == ("succeeded", SCOPE, 0)
    office.wire.faults.clear()
    office.wire.application.scopes = every
    office.wire.book.revoke_all()
    run = await office.sync("full")
    assert (run.status, run.error) == ("succeeded", "")
    assert names(office) == {"g@grp ReadOnly Invoices"}


async def test_a_scope_that_is_taken_away_keeps_what_no_rule_gives_any_more(office: Office) -> None:
    """What is to be taken waits with the same sentence, and what is given stays as it is."""
    say(office, rule(), rule("Group h"))
    await office.sync("full")
    office.wire.application.scopes = {
        scope for scope in office.wire.application.scopes if scope != "App.Metadata.ReadWrite"
    } | {"App.Metadata.Read"}
    office.wire.book.revoke_all()
    say(office, rule())
    run = await office.sync("full")
    assert (run.status, run.error) == ("succeeded", SCOPE)
    assert names(office) == {"g@grp ReadOnly Invoices", "h@grp ReadOnly Invoices"}
    details = list_details(office)
    assert details["None leaving"] == SCOPE
    assert details["0 given"] != SCOPE


async def test_what_the_sentence_about_a_missing_scope_advises_ends_it(office: Office) -> None:
    """Without the scope for readings no run sees that a person has taken what the rules gave."""
    say(office, rule())
    for _ in range(2):
        assert (await office.sync("full")).status == "succeeded"
    refuse_writes(office)
    say(office)
    office.wire.application.scopes.discard("App.Metadata.Read")
    office.wire.store.privileges.clear()
    for _ in range(2):
        run = await office.sync("full")
        assert (run.status, run.error) == ("succeeded", SCOPE)
    assert "keep App.Metadata.Read until a full run has seen that" in run.error
    office.wire.application.scopes.add("App.Metadata.Read")
    office.wire.book.revoke_all()
    office.clock.elapsed += 3601
    await office.sync("full")
    assert not (await office.sync("full")).error
    assert list_details(office) == {}


async def test_being_no_administrator_of_one_place_fails_that_alone(office: Office) -> None:
    """The words of the portal, and everything else is done."""
    body = b'{"type": "InsufficientAccountPermissions", "description": "no", "errorGuid": "1"}'
    office.wire.faults.add(
        Fault("status", side="portal", path="privileges/add", holding="Admini", status=403, body=body, count=-1)
    )
    say(office, rule(level="Administrator"), rule("Group h"))
    assert (await office.sync("full")).status == "partial"
    assert names(office) == {"h@grp ReadOnly Invoices"}
    told = list_details(office)
    assert told.keys() == {"0 missing", "1 given"}
    assert "make it an administrator of that application in the portal" in told["0 missing"]
    office.wire.faults.clear()
    await office.sync()
    assert "g@grp Administrator Invoices" in names(office)
    await quiet(office)


async def test_a_place_that_is_gone_is_told_and_not_fought_over(office: Office) -> None:
    """Nothing is planned for it any more, and what was given there is not forgotten."""
    say(office, rule())
    await office.sync("full")
    invoices = office.wire.store.databases[1].applications.pop(0)
    run = await office.sync("full")
    assert run.status == "succeeded"
    await quiet(office)
    office.wire.store.databases[1].applications.insert(0, invoices)
    say(office)
    await office.sync("full")
    assert names(office) == set()


@pytest.mark.parametrize("drift", ["revert", "adopt", "report"])
async def test_what_somebody_takes_is_drift(office: Office, drift: Any) -> None:
    """Given again where the policy says so; else it stays away until a rule says something else."""
    office.rules = replace(office.rules, policy=make_policy(drift=drift))
    say(office, rule())
    await office.sync("full")
    await office.sync("full")  # a reading names the group
    office.wire.store.privileges.clear()
    await office.sync("full")
    assert bool(names(office)) is (drift == "revert")
    await quiet(office)
    say(office)
    await office.sync("full")
    say(office, rule())
    await office.sync("full")
    assert names(office) == {"g@grp ReadOnly Invoices"}


async def test_many_revokes_wait_for_an_approval_and_are_then_carried_out(office: Office) -> None:
    """The guard counts them by kind, holds them, and an approval looks at the places again."""
    office.rules = replace(office.rules, limits=make_limits(max_removals=1))
    say(office, rule(), rule("Group h"), rule("Group i"))
    await office.sync("full")
    say(office)
    held = await office.sync()
    assert held.status == "held"
    assert len(names(office)) == 3
    done = await office.approve(held)
    assert done.status == "succeeded", done.error
    assert names(office) == set()


async def test_a_plan_file_gives_exactly_what_it_says(office: Office) -> None:
    """Written by one run, carried out by another; refused when somebody else was there first."""
    await office.sync("full")
    say(office, rule())
    shown = await office.sync("full", write=False)
    file = office.make_file(shown)
    assert (await office.carry_out(file)).status == "succeeded"
    assert names(office) == {"g@grp ReadOnly Invoices"}
    await quiet(office)


async def test_the_own_record_goes_with_its_group(office: Office) -> None:
    """Nothing is remembered of a group that was deleted."""
    say(office, rule())
    await office.sync("full")
    office.source.remove_group("g")
    await office.sync()
    office.clock.elapsed += 4 * 86_400
    await office.sync("full")
    assert "g@grp" not in office.wire.store.groups
    assert Store(office.database).privileges.load_held() == {}


async def test_undoing_a_run_takes_what_it_gave_and_gives_back_what_it_took(office: Office) -> None:
    """By the own record; what was given beside something by hand stays, and that is said."""
    await office.sync("full")
    give_by_hand(office, "h@grp", "MetadataAccess")
    say(office, rule(), rule("Group h"))
    gave = await office.sync("full")
    assert (await office.carry_out(Undo(run_id=gave.id))).status == "succeeded"
    assert names(office) == {"h@grp MetadataAccess Invoices", "h@grp ReadOnly Invoices"}
    say(office)
    await office.sync("full")
    say(office, rule("Group i"))
    await office.sync("full")
    say(office)
    took = await office.sync("full")
    assert "i@grp ReadOnly Invoices" not in names(office)
    assert (await office.carry_out(Undo(run_id=took.id))).status == "succeeded"
    assert "i@grp ReadOnly Invoices" in names(office)


async def test_drift_tells_what_was_taken_and_sets_it_back(office: Office) -> None:
    """Asked for by hand, as for licences."""
    office.rules = replace(office.rules, policy=make_policy(drift="report"))
    say(office, rule())
    await office.sync("full")
    await office.sync("full")
    office.wire.store.privileges.clear()
    told: list[Drift] = []
    run = await office.carry_out(
        DriftCheck("revert", lambda found: told.extend(each for some in found for each in some))
    )
    assert [(each.object, each.bps_id) for each in told] == [("privilege", "g@grp")]
    assert run.status == "succeeded"
    assert names(office) == {"g@grp ReadOnly Invoices"}


async def test_the_list_says_what_is_known_and_what_nobody_can_know(office: Office) -> None:
    """Given by us, beside something by hand, by hand alone, waiting, and what is left without a rule."""

    def tell() -> set[str]:
        found = list(list_privileges(Store(office.database), office.rules))
        check_document(["privileges"], found)
        return {f"{each['rule']} {each['bps_id']} {each['level']} {each['state']}" for each in found}

    await office.sync("full")
    give_by_hand(office, "h@grp", "MetadataAccess")
    give_by_hand(office, "i@grp", "MetadataAccess")
    give_by_hand(office, "ann@x.com")
    give_by_hand(office, "stranger@portal")
    say(office, rule(), rule("Group h"), rule("Group h", "Start", process="Suppliers"))
    assert tell() == {"0 None ReadOnly waiting", "1 None ReadOnly waiting", "2 None Start waiting"}
    await office.sync("full")
    expected = {"0 g@grp ReadOnly given", "1 h@grp ReadOnly beside", "2 h@grp Start given", "None i@grp None by_hand"}
    expected |= {"None ann@x.com None foreign", "None stranger@portal None foreign"}
    assert tell() == expected
    say(office, rule())
    assert "None h@grp ReadOnly kept" in tell()
    assert "None h@grp Start leaving" in tell()
    await office.sync("full")
    office.wire.store.privileges.clear()
    office.rules = replace(office.rules, policy=make_policy(drift="report"))
    await office.sync("full")
    assert tell() == {"0 g@grp ReadOnly taken"}


async def test_explanations_of_groups_and_of_people_tell_what_they_may(office: Office) -> None:
    """A group by its record, a person by the groups of the account."""
    say(office, rule())
    await office.sync("full")
    explanations = Explanations(office.database)
    for name in ("Group g", "ann@x.com"):
        (found,) = explanations.find(name)
        told = explanations.explain(found, now=office.clock.now()).privileges
        assert [(group, str(held.privilege)) for group, held in told] == [
            ("g@grp", "ReadOnly: application Invoices (database 1)")
        ]


@pytest.mark.parametrize(
    ("scopes", "knobs", "expected"),
    [
        ({"App.Metadata.ReadWrite", "Admin.BusinessEntities.Read"}, {}, ["ok", "ok", "ok", "failed"]),
        ({"App.Metadata.Read"}, {}, ["ok", "warning", "ok", "failed"]),
        (set(), {}, ["warning", "warning", "warning", "warning"]),
        ({"App.Metadata.ReadWrite"}, {"places_visible": "none"}, ["warning", "ok", "failed", "failed"]),
    ],
)
async def test_the_check_tries_scopes_and_places(
    office: Office, scopes: set[str], knobs: dict[str, Any], expected: list[str]
) -> None:
    """One row for the lists, one for writing, one per rule; nothing is changed."""
    office.wire.application.scopes = scopes
    turn_knobs(office.wire.knobs, knobs)
    rules = (rule(), rule(application="Nothing"))
    portal = office.wire.open()
    rows = await probe_privileges(portal, rules, "nobody@invalid.example")
    assert [status for _, status, _, _ in rows] == expected
    assert [name for name, *_ in rows] == list(list_names(rules))
    assert office.wire.store.privileges == {}


async def test_the_check_advises_what_the_portal_lacks(office: Office) -> None:
    """Where the account is no administrator, no scope helps; where the scope is missing, no right does."""
    turn_knobs(office.wire.knobs, {"privilege_rights": "administrator"})

    async def check(meanings: dict[str, Any]) -> tuple[str, str]:
        rows = await probe_privileges(office.wire.open(), (rule(),), "nobody@invalid.example", meanings)
        return next((detail, remedy) for name, _, detail, remedy in rows if name == "privileges[0]")

    say(office, rule())
    await office.sync("full")
    known = Store(office.database).privileges.load_meanings.blocking()
    assert known
    for meanings in ({}, known):
        detail, remedy = await check(meanings)
        assert "make it an administrator" in detail
        assert "administrator of the applications that the rules name" in remedy
        assert "App.Metadata" not in remedy
    office.wire.application.scopes = set()
    detail, remedy = await check(known)
    assert "lacks the scope App.Metadata.Read" in detail
    assert remedy.startswith("grant App.Metadata.ReadWrite")


async def test_the_check_looks_at_what_names_mean_since_a_run_looked_them_up(office: Office) -> None:
    """A renamed place, workflow or company is no mistake, for runs go on; the new name is said. One that is gone is."""
    rules = (
        rule(),
        rule("Group h", "Modify", process="Suppliers", company="PL01"),
        rule("Group i", "Start", form_type="Correction", workflow="Approval"),
    )
    say(office, *rules)
    await office.sync("full")
    database = office.wire.store.databases[1]
    for kind, old in (("application", "Invoices"), ("process", "Suppliers"), ("company", "PL01"), ("workflow", "Appr")):
        next(one for one in database.items(kind) if one.name.startswith(old)).name = f"New {kind}"  # type: ignore[arg-type]
    database.applications[1].name = "Invoices"  # and another place takes the name

    async def check() -> list[tuple[str, str]]:
        meanings = Store(office.database).privileges.load_meanings.blocking()
        rows = await probe_privileges(office.wire.open(), rules, "nobody@invalid.example", meanings)
        return [
            (status, f"{detail} | {remedy}") for name, status, detail, remedy in rows if name.startswith("privileges[")
        ]

    first, second, third = await check()
    assert (first[0], second[0], third[0]) == ("warning", "warning", "ok")
    guid = database.applications[0].guid
    assert first[1].startswith("ReadOnly: application New application (database 1); 1 have something there; ")
    assert f"'Invoices' means the application {guid}, which is named 'New application' now" in first[1]
    assert "nothing changes by it" in first[1]
    assert "which is named 'New process' now; 'PL01' means the company " in second[1]
    assert second[1].count("which is named 'New company' now") == 1
    assert (await office.sync("full")).status == "succeeded"
    gone = database.applications.pop(0)
    del database.companies[:]
    statuses = await check()
    assert {status for status, _ in statuses} == {"warning"}
    assert "no such place any more, and nothing is done there" in statuses[0][1]
    database.applications.insert(0, gone)
    _, second, _ = await check()
    assert "the portal has no such company any more" in second[1]


async def test_places_that_the_lists_do_not_show_are_named_by_guid(office: Office) -> None:
    """An application and a process are asked for directly; the lists may show us nothing."""
    turn_knobs(office.wire.knobs, {"places_visible": "none"})
    invoices = office.wire.store.databases[1].applications[0]
    say(office, rule(application=invoices.guid), rule(process=invoices.list("process")[1].guid))
    assert (await office.sync("full")).status == "succeeded"
    assert names(office) == {"g@grp ReadOnly Invoices", "g@grp ReadOnly Suppliers"}


async def test_a_company_without_its_scope_waits_alone(office: Office) -> None:
    """By its name it cannot be looked up; by its guid it need not be. The other rules go on."""
    office.wire.application.scopes.discard("Admin.BusinessEntities.Read")
    company = office.wire.store.databases[1].companies[0]
    say(
        office,
        rule("Group g", "Modify", process="Suppliers", company="PL01"),
        rule("Group h", "Modify", process="Suppliers", company=company.guid),
        rule("Group i"),
        rule("Group i", "Modify", process="Suppliers", company="DE01"),
    )
    run = await office.sync("full")
    assert run.status == "succeeded"
    assert run.error.startswith("privileges[0].company, privileges[3].company: ")
    assert run.error.count("or name the company by its guid") == 1
    assert "could not be looked up" not in run.error
    assert "the scope Admin.BusinessEntities.Read" in list_details(office)["0 waiting"]
    assert names(office) == {"h@grp Modify Suppliers", "i@grp ReadOnly Invoices"}


@pytest.mark.parametrize("lacks", ["Admin.BusinessEntities.Read", "App.Metadata.ReadWrite"])
async def test_a_rule_that_waits_for_a_scope_is_asked_for_once_an_hour(office: Office, lacks: str) -> None:
    """However many delta runs go by: each says what waits, and the portal hears nothing. An explicit sync asks."""
    await office.sync("full")
    office.wire.application.scopes.discard(lacks)
    office.wire.book.revoke_all()
    say(office, rule(process="Suppliers", company="PL01"), rule("Group h", process="Suppliers", company="DE01"))
    calls(office)
    told = (await office.sync(retry_failed=False)).error
    assert told
    assert calls(office) != []
    for _ in range(5):
        office.clock.elapsed += 300
        run = await office.sync(retry_failed=False)
        assert (run.status, run.error) == ("succeeded", told)
    assert calls(office) == []
    assert (await office.sync()).error[:30] == told[:30]
    assert calls(office) != []
    office.wire.application.scopes.add(lacks)
    office.wire.book.revoke_all()
    office.clock.elapsed += 3500
    await office.sync(retry_failed=False)
    assert names(office) == set()
    office.clock.elapsed += 200
    assert (await office.sync(retry_failed=False)).error == ""
    assert (await office.sync("full", retry_failed=False)).error == ""
    assert names(office) == {"g@grp ReadOnly Suppliers", "h@grp ReadOnly Suppliers"}


async def test_a_plan_file_meets_what_somebody_gave_meanwhile(office: Office) -> None:
    """Applying it looks at the places again: what is there by hand now is never taken later."""
    await office.sync("full")
    say(office, rule())
    file = office.make_file(await office.sync("full", write=False))
    given = give_by_hand(office, "g@grp")
    assert (await office.carry_out(file)).status == "succeeded"
    say(office)
    await office.sync("full")
    assert given in office.wire.store.privileges
