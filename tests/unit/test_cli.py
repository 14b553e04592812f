"""The command line without either side: options, errors, exit codes, and what the store-only commands print."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import runpy
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click
import pytest
import structlog
from click.testing import CliRunner, Result

from syncd.cli.main import program
from syncd.cli.options import duration
from syncd.cli.screen.runs import explain_result
from syncd.config import layers
from syncd.model.run import Approval, RunRecord
from syncd.model.target import PortalGroup
from syncd.plan.cel.expressions import Expression
from syncd.plan.rules import LicenceRule
from syncd.store.db.database import open_database
from syncd.store.db.lock import StoreLock
from syncd.store.db.revision import load_head
from tests.documents import check_document
from tests.fakes.rules import make_limits, make_policy, make_rules, make_scope
from tests.fakes.world import Companies, World
from tests.unit.desk import fill


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty directory, with no setting in the environment, and leave the logging as it was."""
    for name in [name for name in os.environ if name.startswith("SYNCD_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    structlog.reset_defaults()
    root.handlers[:] = handlers
    root.setLevel(level)


async def found_company(made: World) -> None:
    """One sync of two people and a group, and a second one in which the portal refused a third person."""
    for name in ("ann", "ben"):
        made.source.put_user(name, userPrincipalName=f"{name}@x.example", displayName=name.title(), userType="Member")
    made.source.put_group("staff", displayName="Staff", mailNickname="staff@groups.example")
    made.source.link("staff", "ann")
    await made.sync()
    made.source.put_user("cleo", userPrincipalName="cleo@x.example", displayName="Cleo \x1b[31m", userType="Member")
    made.portal.refuse.add("cleo@x.example")
    await made.sync()


@pytest.fixture
async def world(tmp_path: Path, companies: Companies) -> AsyncIterator[World]:
    """That company, in the store that the commands look for."""
    made = await fill(tmp_path / "syncd.db", companies, founded_by=found_company)
    yield made
    made.database.close()


def syncd(*arguments: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(program, arguments, prog_name="syncd")


def document(*arguments: str) -> Any:
    """Run a command that must succeed, and return its document."""
    result = syncd(*arguments)
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    check_document(arguments, found)
    return found


def test_the_program_says_its_version_and_lists_its_commands() -> None:
    """Both without any setting."""
    assert syncd("--version").stdout.startswith("syncd")
    helped = syncd("--help")
    assert helped.exit_code == 0
    for name in ("run", "sync", "plan", "runs", "users", "groups", "check", "migrate", "sandbox"):
        assert f"\n  {name} " in helped.stdout


def list_commands(group: click.Group, *names: str) -> Iterator[tuple[str, ...]]:
    """Yield every command that does something, by its words."""
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from list_commands(command, *names, name)
        else:
            yield *names, name


def test_every_help_has_sentences_and_an_example_within_a_hundred_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it does, in whole sentences; how it is typed; every line fits."""
    monkeypatch.setenv("COLUMNS", "100")
    commands = list(list_commands(program))
    assert len(commands) > 35
    for words in commands:
        helped = syncd(*words, "--help").stdout
        assert f"syncd {' '.join(words)}" in helped.partition("Example")[2], words
        assert helped.split("\n\n")[1].rstrip().endswith("."), words
        assert max(map(len, helped.splitlines())) <= 100, words


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["runs", "--limit", "0"], ["sync"], ["sync", "full", "--wait", "x"]]
)
def test_bad_usage_is_exit_code_2(arguments: list[str]) -> None:
    """An unknown command, a bad value, a missing word."""
    assert syncd(*arguments).exit_code == 2


def test_every_configuration_problem_is_a_line_on_stderr(tmp_path: Path) -> None:
    """And nothing is on stdout."""
    (tmp_path / "syncd.toml").write_text('[scope]\nguests = "maybe"\n[policy]\ngrace = "soon"\n[nonsense]\nx = 1\n')
    result = syncd("sync", "full")
    assert (result.exit_code, result.stdout) == (2, "")
    for key in ("bps.client_id", "graph.tenant_id", "nonsense", "policy.grace", "scope.guests"):
        assert f"\nconfiguration: {key}" in f"\n{result.stderr}"


def test_without_a_file_the_first_line_says_where_one_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And how to name one; everything that is missing follows."""
    monkeypatch.setattr(layers, "SYSTEM_FILE", tmp_path / "etc" / "syncd.toml")
    first, *others = syncd("check").stderr.splitlines()
    assert first.startswith("configuration: no file was found")
    for word in (str(tmp_path / "syncd.toml"), str(tmp_path / "etc" / "syncd.toml"), "--config", "SYNCD_CONFIG"):
        assert word in first
    assert any("graph.tenant_id: is missing" in line for line in others)


def test_the_file_in_which_something_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it was found, and with the environment where that says something as well."""
    (tmp_path / "syncd.toml").write_text("[bps]\n")
    assert syncd("check").stderr.splitlines()[0] == f"configuration: read from {tmp_path / 'syncd.toml'}"
    (tmp_path / "other.toml").write_text("[bps]\n")
    monkeypatch.setenv("SYNCD_BPS__CLIENT_ID", "x")
    first = syncd("check", "--config", "other.toml").stderr.splitlines()[0]
    assert first == f"configuration: read from {tmp_path / 'other.toml'} and the environment"


async def test_explain_says_through_which_groups_and_when_it_is_tried_again(world: World) -> None:
    """The nested groups on the way to the scope and the licence, what a group is for, the account in use first."""
    Path("syncd.toml").write_text('[scope]\ninclude_groups = ["All"]\n[[licences]]\ngroup = "All"\ntype = "User"\n')
    world.source.put_group("all", displayName="All", mailNickname="all@groups.example")
    world.source.link("all", "staff", "group")
    world.source.link("all", "cleo")
    world.rules = make_rules(scope=make_scope(include_groups=("All",)), licences=(LicenceRule("All", "User"),))
    world.source.put_user("ann", userPrincipalName="zoe@x.example")
    await world.sync("full")
    ann = document("explain", "ann", "--json")
    assert [rule["path"] for rule in ann["scope"]["rules"]] == [["All", "Staff"]]
    assert (ann["licences"]["wanted"], ann["licences"]["reason"].endswith("through All > Staff")) == ("User", True)
    assert ann["target"]["bps_id"] == "zoe@x.example"
    assert [record["bps_id"] for record in ann["target"]["other_records"]] == ["ann@x.example"]
    staff = document("explain", "staff", "--json")
    assert [(use["rule"], use["licence"], use["path"]) for use in staff["used_by"]] == [
        ("scope.include_groups", None, ["All"]),
        ("licences[0]", "User", ["All"]),
    ]
    for name, words in (
        ("cleo", "; next attempt 20"),
        ("staff", "Its members count for licences[0] (User), through All"),
    ):
        printed = syncd("explain", name)
        assert (printed.exit_code, words in " ".join(printed.stdout.split())) == (0, True), printed.stdout
        begin = [line.partition(": ")[0] for line in printed.stdout.splitlines()[:3]]
        assert begin == ["Source", "State", "Next"], "the answer first"


async def test_explain_tells_the_manager_owners_and_records_of_the_portal_alone(world: World) -> None:
    """Each with the account, or the reason why there is none; a record that is nobody's is told as not ours."""
    Path("syncd.toml").write_text('[mapping.group]\nowners = true\n[[licences]]\ngroup = "Staff"\ntype = "User"\n')
    world.rules = make_rules(licences=(LicenceRule("Staff", "User"),))
    world.rules = replace(world.rules, mapping=replace(world.rules.mapping, owners=True))
    world.source.tracks_owners = True
    world.source.own("staff", "ann")
    world.source.put_user("guest", userPrincipalName="g@x.example", displayName="Gast", userType="Guest", mail="g@y")
    world.source.put_user("ann", manager="ben")
    world.source.put_user("ben", manager="guest")
    world.source.put_user("cleo", displayName="Handmade of Cleo")
    world.portal.add_account("robot@portal", name="Robot", email="robot@portal")
    world.portal.groups["handmade"] = PortalGroup(bps_id="handmade", name="By hand", email="h@x.example")
    world.portal.perpetual = True
    await world.sync("full")
    ann, ben = document("explain", "ann", "--json"), document("explain", "ben", "--json")
    assert ann["mapping"]["manager"] == {
        "rule": "the manager, ben@x.example", "value": "ben@x.example", "reason": None,
    }  # fmt: skip
    assert ben["mapping"]["manager"]["value"] is None
    assert "guest" in ben["mapping"]["manager"]["reason"]
    assert [group["name"] for group in ann["source"]["owns"]] == ["Staff"]
    assert (ann["licences"]["wanted"], "perpetual" in ann["licences"]["reason"]) == (None, True)
    robot = document("explain", "ROBOT@portal", "--json")
    assert robot.keys() == ann.keys()
    assert (robot["source"], robot["target"]["ownership"]) == (None, "not ours")
    for name, words in (
        ("ann", "manager ben@x.example the manager, ben@x.example"),
        ("ann", "Owns, in the tenant: Staff"),
        ("ben", "manager none: the manager is not wanted in the portal"),
        ("staff", "Owned by, in the tenant: ann@x.example"),
        ("robot@portal", "a user of this BPS id that nothing in the tenant has: not ours, made by hand,"),
        ("robot@portal", "never changes or removes it (out of a group of ours it goes like anybody put in by hand)"),
        ("handmade", "a group of this BPS id that nothing in the tenant has: not ours"),
        ("handmade", "syncd never changes, empties or removes it, unless"),
        ("robot@portal", "Target: robot@portal, not ours"),
    ):
        printed = syncd("explain", name)
        assert (printed.exit_code, words in " ".join(printed.stdout.split())) == (0, True), printed.stdout
    assert syncd("explain", "nobody@x.example").exit_code == 2


@pytest.mark.parametrize(
    ("policy", "says"),
    [
        ('adopt = "never"', 'the portal had this record before us (policy.adopt = "never")'),
        ('mode = "create_only"', None),
        ("", "it waits until the account is adopted"),
        ("rejected", "the portal had this record before us, and its adoption was rejected"),
    ],
)
async def test_explain_says_why_an_account_that_was_there_before_us_gets_no_licence(
    world: World, policy: str, says: str | None
) -> None:
    """A rule covers the person: what nobody adopts gets nothing, what waits for adoption is to get it."""
    setting, rules = policy.replace("rejected", ""), make_policy()
    if setting:
        name, value = setting.replace('"', "").split(" = ")
        rules = replace(rules, **{name: value})  # type: ignore[arg-type]
    Path("syncd.toml").write_text(f'[policy]\n{setting}\n[[licences]]\ngroup = "Staff"\ntype = "User"\n')
    world.rules = make_rules(licences=(LicenceRule("Staff", "User"),), policy=rules)
    world.source.put_user("dan", userPrincipalName="dan@x.example", displayName="Dan", userType="Member")
    world.source.link("staff", "dan")
    world.portal.add_account("dan@x.example", name="By hand", email="dan@x.example")
    world.portal.totals = {"User": 5}
    run = await world.sync("full")
    if policy == "rejected":
        world.store.decisions.reject(Approval(run_id=run.id))
        await world.sync("full")
    assert "dan@x.example" not in world.portal.licences, "nothing was given"
    explained = document("explain", "dan", "--json")
    licences, rejected = explained["licences"], explained["rejected"]
    assert (says or '(policy.mode = "create_only")') in licences["reason"]
    assert licences["wanted"] == (None if policy else "User")
    assert ("the account is not ours: " in licences["reason"]) == bool(policy)
    assert {(item["run"], item["action"], item["object"]) for item in rejected} == (
        {(run.id, "adopt", "user"), (run.id, "grant", "licence"), (run.id, "link", "membership")}
        if policy == "rejected"
        else set()
    )
    told = "Rejected, and not proposed again until the person or group changes:"
    assert (told in syncd("explain", "dan").stdout) == (policy == "rejected")


BROKEN = '[graph]\ncloud = "moon"\n[scope]\nguests = "maybe"\n[log]\nlevel = "loud"\n[nonsense]\nx = 1\n'


def test_the_store_can_be_looked_at_however_wrong_the_rest_of_the_configuration_is(world: World) -> None:
    """Whoever wants to know what happened must not be made to repair something else first."""
    Path("syncd.toml").write_text(BROKEN)
    for command in (["runs"], ["runs", "show", "last"], ["users"], ["groups"], ["explain", "ann@x.example"], ["held"]):
        result = syncd(*command)
        assert result.exit_code == 0, result.stderr
        assert "outside of [store]" in result.stderr
    assert [run["id"] for run in document("runs", "--json")] == [2, 1]
    assert syncd("sync", "full").exit_code == 2


def test_a_store_that_is_named_wrongly_is_refused_all_the_same(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise another store would be shown in its place."""
    Path("syncd.toml").write_text(BROKEN + '[store]\nurl = "nonsense"\n')
    assert syncd("runs").exit_code == 2
    Path("syncd.toml").write_text(BROKEN)
    monkeypatch.setenv("SYNCD_STORE__ULR", "sqlite:///elsewhere.db")
    result = syncd("runs")
    assert (result.exit_code, "SYNCD_STORE__ULR" in result.stderr) == (2, True)
    assert "nonsense" not in result.stderr


def test_the_last_sentence_says_why_a_run_failed(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe too, whatever is logged beside it; there it names nobody, like a log line, and never a secret."""
    error = "no portal for ann@x.example, client_secret=abc123"
    record = RunRecord(id=3, kind="delta", trigger="cli", status="failed", started_at=datetime.now(UTC), error=error)
    for level in (logging.WARNING, logging.ERROR):
        logging.getLogger().setLevel(level)
        explain_result(record)
        assert capsys.readouterr().err == (
            "syncd: 'syncd runs show 3' has whom the following names\n"
            "syncd: run 3 failed: no portal for <hidden>, client_secret=********\n"
        )
    explain_result(replace(record, error="no portal"))
    assert capsys.readouterr().err == "syncd: run 3 failed: no portal\n"


def test_a_file_that_is_named_and_missing_is_refused_wherever_it_is_named() -> None:
    """--config before and after the command are the same thing, and the later one wins."""
    for arguments in (["--config", "a.toml", "runs"], ["runs", "--config", "a.toml"]):
        result = syncd(*arguments)
        assert result.exit_code == 2
        assert "a.toml" in result.stderr
    assert "b.toml" in syncd("--config", "a.toml", "runs", "--config", "b.toml").stderr


def test_a_store_that_is_not_there_is_not_created_by_looking(tmp_path: Path) -> None:
    """One sentence with the ways out, exit code 1, and no file."""
    for command in ("runs", "users", "groups"):
        result = syncd(command)
        assert result.exit_code == 1
        assert result.stderr.startswith("syncd: the store at sqlite:///syncd.db is empty")
    assert list(tmp_path.iterdir()) == []


def test_migrate_says_from_where_to_where() -> None:
    """An empty store is brought up; a second time there is nothing to do."""
    assert document("migrate", "--json") == {"from": None, "to": load_head()}
    assert document("--json", "migrate") == {"from": load_head(), "to": load_head()}
    assert "already" in syncd("migrate").stdout
    database = open_database("sqlite:///syncd.db")
    with contextlib.closing(database), StoreLock(database):  # as a daemon at work has it: a standby may start beside it
        assert "already" in syncd("migrate").stdout


def test_no_run_yet_is_said() -> None:
    """The list is empty, and showing one is bad usage."""
    syncd("migrate")
    assert document("runs", "--json") == []
    assert "No run yet" in syncd("runs").stdout
    assert syncd("runs", "show", "last").exit_code == 2


def test_an_empty_list_says_that_nothing_was_read_yet() -> None:
    """And which command reads; the document stays an empty list."""
    syncd("migrate")
    for command in ("users", "groups"):
        shown = syncd(command).stdout
        assert "nothing was read from the tenant yet" in shown
        assert "syncd sync full" in shown
        assert document(command, "--json") == []


async def test_a_list_in_which_nobody_fits_says_so(world: World) -> None:
    """That is another thing than a store that nothing was read into."""
    for arguments in (["users", "nobody"], ["users", "--state", "held"], ["groups", "nobody"]):
        shown = syncd(*arguments).stdout
        assert "none that fits" in shown
        assert "nothing was read" not in shown


async def test_runs_lists_the_newest_first(world: World) -> None:
    """With stable keys; --limit cuts."""
    listed = document("runs", "--json")
    assert [(run["id"], run["kind"], run["status"]) for run in listed] == [
        (2, "delta", "partial"),
        (1, "full", "succeeded"),
    ]
    assert listed[0].keys() >= {"id", "kind", "trigger", "status", "started_at", "finished_at", "counts", "error"}
    assert listed[1]["started_at"].endswith("Z")
    assert [run["id"] for run in document("runs", "--limit", "1", "--json")] == [2]
    table = syncd("runs").stdout
    assert "partial" in table
    assert "create 3" in table


async def test_a_run_is_shown_with_every_change_and_its_outcome(world: World) -> None:
    """The document has before, after and error; the table begins with what failed."""
    shown = document("runs", "show", "1", "--json")
    assert [(c["action"], c["object"], c["bps_id"], c["target"]) for c in shown["changes"]] == [
        ("create", "user", "ann@x.example", None),
        ("create", "user", "ben@x.example", None),
        ("create", "group", "staff@groups.example", None),
        ("link", "membership", "staff@groups.example", "ann@x.example"),
    ]
    assert {c["outcome"] for c in shown["changes"]} == {"done"}
    assert shown["changes"][0]["after"]["name"] == "Ann"
    failed = document("runs", "show", "last", "--json")["changes"]
    assert [(c["outcome"], c["error"]) for c in failed] == [("failed", "the portal refuses cleo@x.example")]
    table = syncd("runs", "show", "2").stdout
    assert "failed" in table
    assert "the portal refuses" in table


@pytest.mark.parametrize("run", ["3", "x", "-1", "9" * 30])
async def test_an_unknown_run_is_bad_usage(world: World, run: str) -> None:
    """With a sentence that says what there is."""
    result = syncd("runs", "show", "--", run)
    assert result.exit_code == 2
    assert "RUN" in result.stderr


async def test_users_and_groups_are_listed_with_state_and_reason(world: World) -> None:
    """The documents have the promised keys; --state and NAME choose."""
    people = document("users", "--json")
    assert [(line["name"], line["state"]) for line in people] == [
        ("Ann", "active"),
        ("Ben", "active"),
        ("Cleo \x1b[31m", "failing"),
    ]
    assert people[0].keys() == {"source_id", "name", "bps_id", "state", "reason", "last_synced_at"}
    assert [line["source_id"] for line in document("users", "--state", "failing", "--json")] == ["cleo"]
    assert [line["source_id"] for line in document("users", "BEN@", "--json")] == ["ben"]
    assert [line["state"] for line in document("groups", "--json")] == ["active"]
    table = syncd("users").stdout
    assert "3 users: active 2, failing 1" in table
    assert "\x1b" not in table


async def test_what_is_held_says_the_limit_once_and_why_each_person_goes(world: World) -> None:
    """Deleted, disabled, or which rule of the scope: whoever approves must see it. The document has both."""
    world.portal.refuse.clear()
    scope = make_scope(users=Expression('user.displayName != "Ben"'))
    limits = make_limits(max_removals=0, max_removal_percent=None, max_update_percent=None)
    world.source.link("staff", "ben")
    world.source.put_user("dan", userPrincipalName="dan@x.example", displayName="Dan", userType="Member")
    world.source.link("staff", "dan")
    await world.sync()
    world.rules = make_rules(limits=limits, scope=scope)
    world.source.put_user("ann", accountEnabled=False)
    world.source.remove_user("dan")
    assert (await world.sync()).status == "held"

    shown = syncd("held").stdout
    limit = "3 times unlink, guard.max_removals allows 0 in a run"
    assert f"unlink 3: {limit}" in shown
    assert shown.count("guard.max_removals") == 1
    (held,) = document("held", "--json")
    assert {change["reason"] for change in held["changes"]} == {limit}
    assert {change["target"]: change["why"] for change in held["changes"]} == {
        "ann@x.example": "disabled in the tenant (accountEnabled is false)",
        "ben@x.example": 'out of scope: does not meet scope.users: user.displayName != "Ben"',
        "dan@x.example": "deleted in the tenant",
    }
    blocks = shown.split("\n\n")
    for change in held["changes"]:  # on a terminal the reason stands above those whom it concerns
        (block,) = (block for block in blocks if change["target"] in block)
        assert " ".join(block.split()).startswith(f"unlink membership: {change['why']}")


async def test_what_would_follow_an_adoption_is_listed_apart(world: World) -> None:
    """Who would be taken out of a group that waits for adoption, and why: never what the approval itself does."""
    world.portal.refuse.clear()
    world.source.put_group("old", displayName="Old", mailNickname="old@grp")
    world.source.put_user("ben", accountEnabled=False)
    world.portal.groups["old@grp"] = PortalGroup(bps_id="old@grp", name="Old", email="old@grp")
    world.portal.members["old@grp"] = {name: name for name in ("ann@x.example", "ben@x.example")}
    run = await world.sync("full")
    assert run.status == "held"
    (held,) = document("held", "--json")
    assert [(entry["action"], entry["bps_id"]) for entry in held["changes"]] == [("adopt", "old@grp")]
    assert {(entry["target"], entry["reason"]) for entry in held["follows"]} == {
        ("ann@x.example", "not a member in the tenant"),
        ("ben@x.example", "disabled in the tenant"),
    }
    shown = syncd("held").stdout
    assert "Not part of it: once they are adopted, the next run would remove 2, within the guard's limits:" in shown
    told = document("explain", "ann@x.example", "--json")
    assert [(entry["action"], entry["bps_id"]) for entry in told["pending"]] == [("unlink", "old@grp")]
    assert "would follow" in told["pending"][0]["error"]


async def test_what_hangs_on_a_held_deletion_is_shown(world: World) -> None:
    """In the table, in the document, and in the explanation; and what is not known is said."""
    world.portal.refuse.clear()
    world.source.put_user("ben", manager="ann")
    await world.sync()
    policy = make_policy(disabled_users="delete", grace=timedelta())
    world.rules = make_rules(limits=make_limits(max_removals=0), policy=policy)
    world.source.put_user("ann", accountEnabled=False)
    assert (await world.sync()).status == "held"
    (held,) = document("held", "--json")
    cards = {change["action"]: change.get("impact") for change in held["changes"]}
    assert cards["delete"]["reports"] == ["ben@x.example"]
    assert cards["delete"]["memberships"] == ["staff@groups.example"]
    assert cards["unlink"] is None
    assert held["since"]
    assert all(change["since"] == held["since"] for change in held["changes"])
    for shown in (syncd("held").stdout, syncd("explain", "ann@x.example").stdout):
        assert "people who report to it: ben@x.example" in shown
        assert "without [[privileges]] rules no run reads them; 'syncd held --places' reads them" in " ".join(
            shown.split()
        )


async def test_a_held_update_shows_the_values(world: World) -> None:
    """Nobody leaves there; what would be written is what is to be judged."""
    world.rules = make_rules(
        limits=make_limits(min_population=0, max_update_percent=0, max_removal_percent=None),
    )
    world.portal.refuse.clear()
    world.source.put_user("ann", displayName="Anna")
    assert (await world.sync()).status == "held"
    assert "name: Ann → Anna" in syncd("held").stdout


def test_durations_are_sums_of_units() -> None:
    """As everywhere in syncd; anything else is refused."""
    assert duration("1d12h").total_seconds() == 36 * 3600
    for wrong in ("", "5", "1w", "h1", "0s", "1h 5"):
        with pytest.raises(click.BadParameter):
            duration(wrong)


@pytest.mark.parametrize("missing", ["trustme", "syncd.sandbox"])
def test_an_installation_without_the_sandbox_says_how_to_get_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence and exit code 1, whether its library or its code is left out; the help lists the command."""
    for name in [name for name in sys.modules if name.startswith(("syncd.sandbox", "syncd.cli.screen.sandbox"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    ended = CliRunner().invoke(program, ["sandbox"])
    assert ended.exit_code == 1
    assert ended.stderr == (
        "syncd: the sandbox is not part of this installation; install 'syncd[sandbox]', "
        "or use the image whose tag ends with -sandbox\n"
    )
    assert "sandbox" in CliRunner().invoke(program, ["--help"]).output


def test_another_module_that_is_missing_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not taken for a sandbox that was left out."""
    for name in [name for name in sys.modules if name.startswith(("syncd.sandbox", "syncd.cli.screen.sandbox"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "msgspec", None)
    assert isinstance(CliRunner().invoke(program, ["sandbox"]).exception, ModuleNotFoundError)


def test_the_package_is_the_program_as_well(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m syncd`, where the script is not on the path."""
    monkeypatch.setattr("sys.argv", ["syncd", "--version"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("syncd", run_name="__main__")
    assert (ended.value.code, capsys.readouterr().out.split()[0]) == (0, "syncd")


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ("licenses", "No such command 'licenses'. Did you mean 'licences'?"),
        ("user", "No such command 'user'. Did you mean 'users'?"),
        ("xyzzy", "No such command 'xyzzy'.\n"),
    ],
)
def test_a_misspelt_command_is_told_the_one_that_is_like_it(word: str, told: str) -> None:
    """With exit code 2, and nothing is guessed."""
    refused = syncd(word)
    assert (refused.exit_code, told in refused.stderr) == (2, True), refused.stderr
