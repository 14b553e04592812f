"""Rules about privileges as an administrator works with them: the real program, an imitation tenant and portal."""

from __future__ import annotations

import dataclasses
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from syncd.model.privilege import LEVELS as LEVELS_BY_KIND
from syncd.sandbox.portal.places import Given
from syncd.sandbox.portal.privileges import describe_privileges
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.events import happen
from syncd.sandbox.wire.faults import Fault
from tests.e2e.daemons import PROMPTLY, running
from tests.e2e.program import Program

pytestmark = pytest.mark.slow

RULES = (
    {"group": "Approvers A", "database": "1", "application": "Invoices", "level": "ReadOnly"},
    {"group": "BPS users", "database": "1", "process": "Cost invoices", "level": "Start", "company": "PL01"},
    {"group": "Managers", "database": "1", "workflow": "Approval", "form_type": "Correction", "level": "Modify"},
)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of twenty."""
    async with Sandbox(SandboxOptions(users=20, groups=6, memberships=60), tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, connected to it, with groups whose BPS ids can be read."""
    found = Program.connected(sandbox, tmp_path)
    with (tmp_path / "syncd.toml").open("a", encoding="utf-8") as file:
        file.write("""[mapping]\ngroup.bps_id = 'group.displayName.replace(" ", ".") + "@grp.example"'\n""")
    return found


def write(syncd: Program, *rules: dict[str, str]) -> None:
    """Let these be the rules of the configuration."""
    file = syncd.directory / "syncd.toml"
    kept = file.read_text(encoding="utf-8").partition("[[privileges]]")[0]
    tables = []
    for rule in rules:
        values = (f"{key} = {value}" if key == "database" else f'{key} = "{value}"' for key, value in rule.items())
        tables.append("\n".join(("[[privileges]]", *values, "")))
    file.write_text(kept + "\n".join(tables), encoding="utf-8")


def given(sandbox: Sandbox) -> set[str]:
    """Return what came by the API, in words; what was there before is there."""
    every = describe_privileges(sandbox.portal)
    found = [one for one in every if one["origin"] == "rest"]
    assert len(every) - len(found) == 2
    assert {one["kind"] for one in every} <= LEVELS_BY_KIND.keys()
    return {" ".join(str(one[key]) for key in ("bpsId", "level", "place", "company")) for one in found}


def count_requests(sandbox: Sandbox) -> list[str]:
    """Return the requests about privileges since the last look."""
    found = [entry.method for entry in sandbox.ledger.entries if entry.side == "portal" and "/db/" in entry.target]
    sandbox.ledger.clear()
    return found


async def test_from_no_rule_to_three_groups_and_back(sandbox: Sandbox, syncd: Program) -> None:
    """One request per change; `privileges`, `plan`, `held` and `explain` tell; without rules nothing is left."""
    first = await syncd("sync", "full")
    assert first.code == 0, first.stderr
    assert count_requests(sandbox) == []
    write(syncd, *RULES)
    shown = (await syncd("privileges", "--json")).document
    assert [(one["rule"], one["state"]) for one in shown] == [(0, "waiting"), (1, "waiting"), (2, "waiting")]
    plan = await syncd("plan", "delta", "--json")
    assert [(one["action"], one["object"]) for one in plan.document["changes"]] == [("grant", "privilege")] * 3
    assert given(sandbox) == set()
    count_requests(sandbox)
    assert (await syncd("sync", "delta")).code == 0
    assert count_requests(sandbox).count("POST") == 3
    assert given(sandbox) == {
        "Approvers.A@grp.example ReadOnly Invoices None",
        "BPS.users@grp.example Start Cost invoices PL01",
        "Managers@grp.example Modify Correction None",
    }
    shown = (await syncd("privileges", "--json")).document
    assert [(one["rule"], one["bps_id"], one["level"], one["company"], one["state"]) for one in shown] == [
        (0, "Approvers.A@grp.example", "ReadOnly", None, "given"),
        (1, "BPS.users@grp.example", "Start", "PL01", "given"),
        (2, "Managers@grp.example", "Modify", None, "given"),
    ]
    table = (await syncd("privileges", "--csv", "-", "--limit", "2")).stdout.splitlines()
    assert table[0] == "rule,group,bps id,place,level,company,state,what is known"
    assert [line.rpartition(",given,")[0] for line in table[1:]] == [
        "0,Approvers A,Approvers.A@grp.example,application Invoices (database 1),ReadOnly,",
        "1,BPS users,BPS.users@grp.example,process Cost invoices (database 1),Start,PL01",
    ]
    printed = (await syncd("privileges", "--wide")).stdout
    assert "form type Correction (database 1)" in printed
    assert "whether somebody changed the level since" in " ".join(printed.split())
    assert (await syncd("sync", "delta")).code == 0
    assert count_requests(sandbox) == []
    assert "No changes" in (await syncd("sync", "full")).stdout
    assert count_requests(sandbox) == ["GET"] * 3

    member = next(iter(sandbox.portal.groups[sandbox.portal.key("Managers@grp.example")].members))
    happen(sandbox.directory, random.Random(1), "disable", target=member)
    held = await syncd("sync", "delta", SYNCD_GUARD__MAX_REMOVALS="0")
    assert held.code == 4
    count_requests(sandbox)
    await syncd("held", "--no-places")
    assert count_requests(sandbox) == []
    expected = [{"group": "Managers@grp.example", "place": "form type Correction (database 1)", "level": "Modify",
                 "company": None, "state": "given"}]  # fmt: skip
    documents = ((await syncd("held", "--json")).document[0]["changes"], (await syncd("explain", member, "--json")))
    for changes in (documents[0], documents[1].document["pending"]):
        (lost,) = [one["impact"] for one in changes if one["bps_id"] == "Managers@grp.example"]
        assert lost["privileges"] == expected
    assert count_requests(sandbox) == ["GET"] * 11  # once: two kinds of list, three applications and four processes
    words = (await syncd("plan", "none")).stdout
    assert "may do in the portal: Modify of form type Correction (database 1)" in words
    assert "form types that no rule names (7 applications and processes of content database 1 were read at " in words

    write(syncd)
    assert (await syncd("sync", "delta", "--json")).document["counts"]["revoke"] == 3
    assert given(sandbox) == set()
    assert "No [[privileges]] rules, and nothing that rules of the past gave" in (await syncd("privileges")).stdout


async def test_what_is_named_wrongly_and_a_missing_scope(sandbox: Sandbox, syncd: Program) -> None:
    """All at once, by key, with what there is, exit code 2; a missing scope is one sentence, and the rest is done."""
    write(syncd, {**RULES[0], "level": "Reader"}, {**RULES[1], "level": "Designer"}, {**RULES[0], "company": "PL01"})
    refused = await syncd("privileges")
    assert refused.code == 2
    assert "privileges[0].level: is no level of an application (value 'Reader'); use Administrator" in refused.stderr
    assert "privileges[1].level: is no level of a process" in refused.stderr
    assert "privileges[2].company: " in refused.stderr
    write(
        syncd,
        {**RULES[0], "group": "Approvers", "application": "Invoice"},
        {**RULES[1], "process": "Costs", "company": "PL02"},
        {**RULES[2], "form_type": "Corrections"},
        {**RULES[0], "database": "7"},
    )
    refused = await syncd("sync", "full")
    assert refused.code == 2
    for told in (
        "privileges[0].group: no group has the id or the name 'Approvers'; there are Approvers A, Approvers B, ",
        "privileges[0].application: there is no application 'Invoice'; there are Contracts, Invoices, Leave requests",
        "privileges[1].process: there is no process 'Costs'; there are ",
        "privileges[1].company: there is no company 'PL02'; there are DE01, PL01",
        "privileges[2].form_type: there is no form type 'Corrections'; there are Correction, Invoice",
        "privileges[3].database: the portal refuses the content database 7",
    ):
        assert told in refused.stderr
    assert "Traceback" not in refused.stderr
    assert "rest" not in {group.origin for group in sandbox.portal.groups.values()}

    write(syncd, *RULES)
    sandbox.portal_application.scopes -= {"App.Metadata.ReadWrite"}
    ended = await syncd("sync", "full")
    assert ended.code == 0, ended.stderr
    (sentence,) = [line for line in ended.stderr.splitlines() if line.startswith("syncd: ")]
    assert sentence.count("the scope App.Metadata.ReadWrite is missing: grant it to the API application") == 1
    shown = (await syncd("privileges", "--json")).document
    assert {(one["state"], one["detail"].count("App.Metadata.ReadWrite is missing")) for one in shown} == {
        ("waiting", 1)
    }
    assert "rest" in {group.origin for group in sandbox.portal.groups.values()}
    checks = {row["check"]: row for row in (await syncd("check", "--json")).document}
    assert checks["portal privileges write"]["status"] == "warning"
    assert "App.Metadata.ReadWrite" in checks["portal privileges write"]["remedy"]
    assert checks["portal sign-in"]["status"] == "ok"
    assert given(sandbox) == set()

    every, reading = sandbox.portal_application.scopes, {"App.Metadata.Read"}
    sandbox.portal_application.scopes = every | {"App.Metadata.ReadWrite"}
    assert (await syncd("sync", "full")).code == 0
    sandbox.portal_application.scopes = (every - {"App.Metadata.ReadWrite"}) | reading
    write(syncd, *RULES[:1])
    for _ in range(2):
        ended = await syncd("sync", "full")
        (sentence,) = [line for line in ended.stderr.splitlines() if line.startswith("syncd: ")]
        assert (ended.code, sentence.count("the scope App.Metadata.ReadWrite is missing")) == (0, 1)
    assert (await syncd("explain", "Approvers A")).stdout.count("the scope App.Metadata.ReadWrite is missing") == 1
    write(syncd)
    assert (await syncd("sync", "full", SYNCD_GUARD__MAX_REMOVALS="0")).code == 4
    assert (await syncd("held", "--no-places")).stdout.count("the scope App.Metadata.ReadWrite is missing") == 1
    assert len(given(sandbox)) == 3


async def test_a_renamed_place_and_group_are_no_mistakes(sandbox: Sandbox, syncd: Program) -> None:
    """`check` looks at what runs mean, says the new names, and ends with 0; a run goes on."""
    write(syncd, RULES[0])
    assert (await syncd("sync", "full")).code == 0
    invoices = next(one for one in sandbox.portal.databases[1].applications if one.name == "Invoices")
    invoices.name = "Old invoices"
    (group,) = [one.id for one in sandbox.directory.groups if one.properties["displayName"] == "Approvers A"]
    sandbox.directory.set_attributes(group, displayName="Approvers Z")
    checked = await syncd("check", "--json")
    assert checked.code == 0, checked.stdout
    rows = {row["check"]: row for row in checked.document}
    assert "named 'Old invoices' now" in rows["privileges[0]"]["detail"]
    assert "named 'Approvers Z' now" in rows["graph.group privileges[0].group"]["detail"]
    assert (await syncd("sync", "full", SYNCD_GUARD__MAX_REMOVALS="false")).code in (0, 4)  # not 2: nothing is misnamed
    sandbox.directory.soft_delete(group)
    assert (await syncd("sync", "full", SYNCD_GUARD__MAX_REMOVALS="false")).code in (0, 4)
    checked = await syncd("check", "--json")
    assert checked.code == 0, checked.stdout
    rows = {row["check"]: row for row in checked.document}
    assert "what the rule gave it is taken" in rows["graph.group privileges[0].group"]["detail"]


WRONG = (
    {**RULES[0], "group": "Nobody", "application": "Invoice", "level": "Reader"},
    {**RULES[1], "process": "Costs", "company": "PL02", "level": "Designer"},
    {**RULES[2], "database": "7"},
)
TOLD = (
    "privileges[0].application: there is no application 'Invoice'; there are Contracts, Invoices, Leave requests",
    "privileges[0].group: no group ",
    "privileges[1].company: there is no company 'PL02'; there are DE01, PL01",
    "privileges[1].process: there is no process 'Costs'; there are ",
    "privileges[2].database: the portal refuses the content database 7",
    "of the ids 1 to 10 it answers to 1, 2 (the API lists none: ",
)
LEVELS = (
    "privileges[0].level: is no level of an application (value 'Reader'); use Administrator, ",
    "privileges[1].level: is no level of a process (value 'Designer'); ",
)


async def test_levels_places_databases_groups_and_companies_are_refused_together(
    sandbox: Sandbox, syncd: Program
) -> None:
    """By every command that asks a side, and by the daemon's start; with an empty store, and with one."""
    write(syncd, *WRONG)
    refused = await syncd("plan", "delta")
    assert (refused.code, refused.stdout) == (2, ""), refused.stderr
    assert [told for told in (*LEVELS, *TOLD) if told not in refused.stderr] == []
    assert "no group of the tenant has the id or the name 'Nobody'" in refused.stderr
    write(syncd)
    assert (await syncd("sync", "full")).code == 0
    write(syncd, *WRONG)
    for arguments in (("run",), ("privileges",)):
        refused = await syncd(*arguments)
        assert refused.code == 2, refused.stderr
        assert [told for told in (*LEVELS, *TOLD) if told not in refused.stderr] == []
        assert "no group has the id or the name 'Nobody'; there are Approvers A, " in refused.stderr
    write(syncd, *({**one, "level": "ReadOnly"} for one in WRONG))
    checked = await syncd("check")
    assert checked.code == 2
    for told in ("there are Contracts, Invoices", "there are Approvers A", "there are DE01, PL01", "answers to 1, 2"):
        assert told in " ".join(checked.stdout.split())


async def test_the_list_refuses_what_nobody_has_and_says_nothing_else(sandbox: Sandbox, syncd: Program) -> None:
    """A level, a group or a place alone, by key, value and choice; what runs have looked up is asked of nobody."""
    write(syncd, RULES[0], RULES[2])
    assert (await syncd("sync", "full")).code == 0
    count_requests(sandbox)
    assert (await syncd("privileges")).code == 0
    assert count_requests(sandbox) == []
    for wrong, told in (
        ({**RULES[1], "level": "Reader"}, "privileges[2].level: is no level of a process (value 'Reader'); use Admin"),
        ({**RULES[0], "group": "Nobody"}, "privileges[2].group: no group has the id or the name 'Nobody'; there are A"),
        ({**RULES[2], "form_type": "x"}, "privileges[2].form_type: there is no form type 'x'; there are Correction, I"),
        ({**RULES[1], "company": "x"}, "privileges[2].company: there is no company 'x'; there are DE01, PL01"),
    ):
        write(syncd, RULES[0], RULES[2], wrong)
        for more in ((), ("--json",)):
            refused = await syncd("privileges", *more)
            assert (refused.code, refused.stdout) == (2, "")
            told_lines = refused.stderr.splitlines()
            assert [line for line in told_lines if told in line] != []
            assert "is shown" not in refused.stderr
            assert all(line.startswith("configuration: ") for line in told_lines), refused.stderr


async def test_the_list_says_which_group_is_unknown_where_nobody_can_be_asked(sandbox: Sandbox, syncd: Program) -> None:
    """Whether the tenant has it by now is not known then: the line tells what the store knows."""
    write(syncd)
    assert (await syncd("sync", "full")).code == 0
    write(syncd, {**RULES[0], "group": "Nobody"})
    shown = await syncd("privileges", "--json", SYNCD_GRAPH__BASE_URL="https://127.0.0.1:9")
    assert shown.code == 0, shown.stderr
    assert [one["detail"].partition(";")[0] for one in shown.document] == ["no group has the id or the name 'Nobody'"]


async def test_the_list_names_companies_and_form_types_in_words(sandbox: Sandbox, syncd: Program) -> None:
    """Also of a rule that no run has looked up: the words of people in the table, the keys in the document."""
    write(syncd, RULES[1], RULES[2])
    for _ in range(2):
        printed = (await syncd("privileges", "--wide")).stdout
        assert "company" in printed.splitlines()[0].split()
        (row,) = [line for line in printed.splitlines() if "Cost invoices" in line]
        assert "PL01" in row.split()
        assert "form type Correction (database 1)" in printed
        assert "form_type" not in printed
        assert (await syncd("sync", "full")).code == 0


async def test_a_portal_that_cannot_be_asked_is_named_beside_the_levels(sandbox: Sandbox, syncd: Program) -> None:
    """What is known without it is refused all the same, at once; where only places are wrong, nothing is refused."""
    write(syncd, *WRONG)
    sandbox.portal_application.scopes.clear()
    refused = await syncd("plan", "delta")
    assert refused.code == 2
    assert [told for told in (*LEVELS, TOLD[1]) if told not in refused.stderr] == []
    (unasked,) = [line for line in refused.stderr.splitlines() if "what else they name was not looked up: " in line]
    assert "App.Metadata.Read" in unasked


async def test_a_daemon_that_reads_its_settings_again_refuses_what_nobody_has(sandbox: Sandbox, syncd: Program) -> None:
    """All at once; the old rules stay. What a run has looked up before is not asked again."""
    write(syncd, RULES[0])
    async with running(syncd) as daemon:
        await daemon.wait("run.finished")
        write(syncd, RULES[0], *({**one, "level": "ReadOnly"} for one in WRONG))
        daemon.signal(signal.SIGHUP)
        told = (await daemon.wait("config.refused"))["problems"]
        assert [one.partition(":")[0] for one in told] == [
            "privileges[1].application",
            "privileges[1].group",
            "privileges[2].company",
            "privileges[2].process",
            "privileges[3].database",
        ]
        count_requests(sandbox)
        write(syncd, {**RULES[0], "level": "MetadataAccess"})
        daemon.signal(signal.SIGHUP)
        assert (await daemon.wait("config.reloaded"))["changed"] == ["privileges"]
        assert count_requests(sandbox) == []
        assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0


async def test_a_daemon_counts_privileges_apart_from_licences(sandbox: Sandbox, syncd: Program) -> None:
    """By action, object and outcome, as the metrics tell them."""
    write(syncd, *RULES)
    sandbox.faults.add(Fault("status", side="portal", path="privileges/add", holding="Modify", status=500, count=-1))
    async with running(syncd, SYNCD_HEALTH__LISTEN="127.0.0.1:0") as daemon:
        port = (await daemon.wait("health.listening"))["port"]
        await daemon.wait("run.finished")
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session, session.get("/metrics") as answer:
            told = await answer.text()
        for outcome, number in (("done", 2), ("failed", 1), ("deferred", 0)):
            assert f'syncd_changes_total{{action="grant",object="privilege",outcome="{outcome}"}} {number}.0' in told
        assert 'syncd_changes_total{action="grant",object="licence",outcome="done"} 0.0' in told
        assert "syncd_failing_changes 1.0" in told
        assert await daemon.end(signal.SIGTERM, within=PROMPTLY) == 0


async def test_drift_says_what_of_privileges_it_cannot_see(sandbox: Sandbox, syncd: Program) -> None:
    """A level that somebody changed is invisible, and that is said; what somebody took is told; no rules, no word."""
    assert (await syncd("sync", "full")).code == 0
    assert "privileges" not in (await syncd("drift")).stdout
    write(syncd, RULES[0])
    for _ in range(2):
        assert (await syncd("sync", "full")).code == 0
    (ours,) = [one for one, origin in sandbox.portal.privileges.items() if origin == "rest"]
    del sandbox.portal.privileges[ours]
    changed = dataclasses.replace(ours, level="Administrator")
    sandbox.portal.privileges[changed] = "local"
    told = " ".join((await syncd("drift")).stdout.split())
    assert told.startswith("Nothing was changed by hand.")
    assert "the portal tells who has something at a place, and neither the level nor the company" in told
    del sandbox.portal.privileges[changed]
    found = (await syncd("drift", "--json")).document
    assert [(one["object"], one["field"]) for one in found] == [
        ("privilege", "ReadOnly: application Invoices (database 1)")
    ]


async def test_cards_without_any_rule_and_who_is_asked_for_them(sandbox: Sandbox, syncd: Program) -> None:
    """No run asks about privileges; `held` does for its cards, with the scope that reads alone, unless told not to."""
    write(syncd)
    sandbox.portal_application.scopes.discard("App.Metadata.ReadWrite")
    sandbox.portal_application.scopes.add("App.Metadata.Read")
    assert (await syncd("sync", "full")).code == 0
    (group,) = [one for one in sandbox.portal.groups.values() if one.name == "Managers"]
    (invoices,) = [one for one in sandbox.portal.databases[1].applications if one.name == "Invoices"]
    place = (1, "application", "", invoices.guid)
    sandbox.portal.privileges[Given(place, sandbox.portal.key(group.bps_id), "ReadOnly")] = "local"
    happen(sandbox.directory, random.Random(1), "disable", target=next(iter(group.members)))
    for command in (("sync", "full"), ("sync", "delta"), ("plan", "none"), ("held", "--no-places")):
        assert (await syncd(*command, SYNCD_GUARD__MAX_REMOVALS="0")).code in (0, 4)
    assert count_requests(sandbox) == []
    (run,) = (await syncd("held", "--json")).document
    assert set(count_requests(sandbox)) == {"GET"}
    (lost,) = [one["impact"] for one in run["changes"] if one["bps_id"] == group.bps_id]
    assert [(each["place"], each["level"], each["state"]) for each in lost["privileges"]] == [
        ("application Invoices (database 1)", None, "by_hand")
    ]
    assert (await syncd("held", "--json")).document == [run]
    assert count_requests(sandbox) == []


async def test_one_place_that_cannot_be_looked_up_hides_no_other_mistake(sandbox: Sandbox, syncd: Program) -> None:
    """What the portal does not tell of one rule is said, and all others are looked up."""
    guid = "0f0f0f0f-0000-4000-8000-000000000001"
    sandbox.faults.add(Fault("status", side="portal", path=guid, status=200, body=b"[]", count=-1))
    (known,) = (RULES[0],)
    write(syncd, {**known, "application": guid}, {**known, "application": "Nothing"}, {**known, "level": "Reader"})
    ended = await syncd("privileges")
    assert ended.code == 2
    assert "privileges[1].application: there is no application 'Nothing'" in ended.stderr
    assert "privileges[2].level: " in ended.stderr
    assert "what else they name was not looked up: privileges[0]: " in ended.stderr
