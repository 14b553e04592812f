"""The commands as an administrator types them: the real program, a store on disk, an imitation tenant and portal."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.tenant.company import GUEST_NAME
from syncd.sandbox.tenant.events import happen
from syncd.sandbox.wire.faults import Fault
from syncd.store.db.database import open_database
from syncd.store.db.lock import StoreLock
from tests.e2e.program import Program, finish, read_until

RUN_KEYS = {"id", "kind", "trigger", "status", "started_at", "finished_at", "counts", "error"}


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """A company of sixty."""
    options = SandboxOptions(users=60, groups=12, memberships=300)
    async with Sandbox(options, tmp_path / "sandbox") as running:
        yield running


@pytest.fixture
def syncd(sandbox: Sandbox, tmp_path: Path) -> Program:
    """The program, connected to it."""
    return Program.connected(sandbox, tmp_path)


@pytest.mark.again
async def test_a_first_sync_fills_the_portal_and_a_second_one_has_nothing_to_do(
    sandbox: Sandbox, syncd: Program
) -> None:
    """The empty store is brought up, the first pull is full, the history and the lists tell the story."""
    (syncd.directory / "store.db").unlink()
    before = len(sandbox.portal.accounts)
    first = await syncd("sync", "delta", "--json")
    assert (first.code, first.document["kind"], first.document["status"]) == (0, "full", "succeeded")
    assert len(sandbox.portal.accounts) > before + 40
    second = await syncd("sync", "full")
    assert second.code == 0
    assert "No changes" in second.stdout

    runs = (await syncd("runs", "--json")).document
    assert [run["id"] for run in runs] == [2, 1]
    assert all(run.keys() >= RUN_KEYS for run in runs)
    shown = (await syncd("--json", "runs", "show", "1")).document
    creation = next(c for c in shown["changes"] if c["action"] == "create" and c["object"] == "user")
    assert creation["outcome"] == "done"
    assert creation["after"]["name"]
    assert creation["before"] == {}
    assert creation["error"] is None
    assert (await syncd("runs", "show", "last", "--json")).document["changes"] == []

    people = (await syncd("users", GUEST_NAME, "--json")).document
    assert [(line["state"], line["last_synced_at"]) for line in people] == [("skipped", None)]
    assert "scope.guests" in people[0]["reason"]
    everybody = (await syncd("users", "--json")).document
    assert len(everybody) == 60
    assert {line["state"] for line in (await syncd("groups", "--json")).document} == {"active"}


async def test_a_plan_of_everything_writes_nothing_and_is_one_document(sandbox: Sandbox, syncd: Program) -> None:
    """The keys of the document are the promised ones, the order is that of the plan, and the portal stays as it was."""
    before = set(sandbox.portal.accounts)
    planned = await syncd("plan", "full", "--json")
    assert planned.code == 0
    document = planned.document
    assert {"id", "changes", "counts", "skipped", "held"} <= document.keys()
    assert document["counts"]["create"] == sum(change["action"] == "create" for change in document["changes"])
    assert all(change.keys() == {"action", "object", "bps_id", "target"} for change in document["changes"])
    kinds = [change["object"] for change in document["changes"] if change["action"] != "update"]
    assert kinds == sorted(kinds, key=["user", "group", "membership"].index)
    assert any(line["reason"].startswith("a guest") for line in document["skipped"])
    assert set(sandbox.portal.accounts) == before
    sandbox.ledger.clear()
    again = await syncd("plan", "none", "--json")
    assert again.document["changes"] == document["changes"]
    assert sandbox.ledger.requests() == 0
    table = await syncd("plan", "none")
    assert "more are not shown" in table.stdout
    assert "Skipped:" in table.stdout


async def test_a_mass_removal_is_held_with_exit_code_4(sandbox: Sandbox, syncd: Program) -> None:
    """The people concerned show as held, with the limit as the reason; a plan of it is no failure."""
    await syncd("sync", "full")
    happen(sandbox.directory, random.Random(1), "leave-many", count=25)
    members = sum(len(group.members) for group in sandbox.portal.groups.values())
    result = await syncd("sync", "delta")
    assert result.code == 4
    assert "guard.max_removal_percent" in result.stderr
    assert "syncd approve 2" in result.stderr
    assert sum(len(group.members) for group in sandbox.portal.groups.values()) == members
    held = (await syncd("users", "--state", "held", "--json")).document
    assert len(held) > 10
    plan = await syncd("plan", "--json")
    assert plan.code == 0
    assert {change["action"] for change in plan.document["held"]} == {"unlink"}
    assert all(change["reason"] for change in plan.document["held"])


async def test_what_is_held_is_listed_and_approved_in_parts(sandbox: Sandbox, syncd: Program) -> None:
    """One person, then all the rest; the second approval names the run that holds by then."""
    await syncd("sync", "full")
    happen(sandbox.directory, random.Random(1), "leave-many", count=25)
    assert (await syncd("sync", "delta")).code == 4
    (first,) = (await syncd("held", "--json")).document
    assert first["run"] == 2
    member = first["changes"][0]["target"]
    one = await syncd("approve", "2", "--only", member)
    assert one.code == 4, one.stderr
    (second,) = (await syncd("held", "--json")).document
    assert second["changes"] == [change for change in first["changes"] if change["target"] != member]
    assert (await syncd("approve", "2")).code == 2
    assert (await syncd("approve", str(second["run"]), "--kind", "unlink")).code == 0
    assert (await syncd("held", "--json")).document == []


async def test_an_approval_names_whom_it_spares(sandbox: Sandbox, syncd: Program) -> None:
    """Who came back in the tenant since, and was never read by a run, is refused by name; the rest is applied."""
    await syncd("sync", "full")
    happen(sandbox.directory, random.Random(1), "leave-many", count=25)
    assert (await syncd("sync", "delta")).code == 4
    (held,) = (await syncd("held", "--json")).document
    happen(sandbox.directory, random.Random(2), "restore", count=2)
    result = await syncd("approve", "2", "--kind", "unlink", "--json")
    assert result.code == 3, result.stderr
    refused = result.document["refused"]
    assert 0 < len(refused) < len(held["changes"])
    assert {entry["reason"] for entry in refused} == {"refused: the tenant, or a rule, says otherwise by now"}
    for entry in refused:
        group = sandbox.portal.groups[entry["bps_id"].casefold()]
        assert entry["target"].casefold() in {member.casefold() for member in group.members}
    happen(sandbox.directory, random.Random(3), "leave-many", count=25)
    assert (await syncd("sync", "delta")).code == 4
    (held,) = (await syncd("held", "--json")).document
    happen(sandbox.directory, random.Random(4), "restore", count=2)
    told = await syncd("approve", str(held["run"]))
    assert "Refused, because one of the sides has changed since it was shown:" in told.stdout
    assert "says otherwise" in told.stdout  # a table, whose cells may have several lines


async def test_a_rejection_is_taken_back(sandbox: Sandbox, syncd: Program) -> None:
    """What was dropped by mistake is held again by the next run; there is nothing to take back twice."""
    await syncd("sync", "full")
    happen(sandbox.directory, random.Random(1), "leave-many", count=25)
    assert (await syncd("sync", "delta")).code == 4
    (first,) = (await syncd("held", "--json")).document
    rejected = await syncd("reject", "2")
    assert "syncd reject 2 --withdraw" in rejected.stdout
    assert (await syncd("sync", "delta")).code == 0
    number = len(first["changes"])
    assert f"{number} changes of run 2. To take that back: syncd reject 2 --withdraw" in (await syncd("held")).stdout
    planned = (await syncd("plan", "full", "--json")).document
    assert planned["changes"] == []
    assert {entry["reason"] for entry in planned["dropped"]} == {
        "rejected before, and its object has not changed since"
    }
    told = (await syncd("plan", "full")).stdout
    assert "nothing to change" in told
    assert f"Left alone: unlink {number}" in told
    taken_back = await syncd("reject", "2", "--withdraw")
    assert taken_back.code == 0
    assert f"Withdrawn: {len(first['changes'])} rejections" in taken_back.stdout
    again = await syncd("reject", "2", "--withdraw")
    assert again.code == 2
    assert "nothing that run 2 held is rejected" in again.stderr
    assert (await syncd("sync", "delta")).code == 4
    (second,) = (await syncd("held", "--json")).document
    assert [{**change, "since": first["since"]} for change in second["changes"]] == first["changes"]
    assert second["since"] > first["since"], "what was rejected in between is held anew"


async def test_a_refused_record_ends_in_exit_code_3_and_is_tried_again_at_once(
    sandbox: Sandbox, syncd: Program
) -> None:
    """Everything else goes through; the person shows as failing until an explicit sync succeeds."""
    sandbox.faults.add(
        Fault("status", side="portal", method="POST", path="/users", status=400, body=b'{"error": "no"}')
    )
    assert (await syncd("sync", "full")).code == 3
    failing = (await syncd("users", "--state", "failing", "--json")).document
    assert len(failing) == 1
    assert (await syncd("sync", "delta")).code == 0
    assert (await syncd("users", "--state", "failing", "--json")).document == []


async def test_a_store_in_use_is_exit_code_75_at_once_or_after_the_wait(syncd: Program) -> None:
    """Without --wait at once; with it, the sync goes on as soon as the other one is gone. What helps is said."""
    database = open_database(f"sqlite:///{syncd.directory / 'store.db'}")
    try:
        with StoreLock(database):
            for arguments in (("sync", "full"), ("sync", "full", "--wait", "1s"), ("plan",)):
                refused = await syncd(*arguments)
                assert refused.code == 75, refused.stderr
                assert "another syncd" in refused.stderr
                assert "Traceback" not in refused.stderr
            assert "SIGUSR1" in (await syncd("sync", "full")).stderr
            planned = (await syncd("plan", "full")).stderr  # no daemon is asked for that, and none plans on a signal
            assert "must be stopped" in planned
            assert "SIGUSR" not in planned
            assert "--wait" in planned
            waiting = await syncd.start("sync", "full", "--wait", "1m")
            await read_until(waiting, "waiting for the other syncd")
        assert (await finish(waiting)).code == 0
    finally:
        database.close()


@pytest.mark.again
async def test_wrong_settings_are_told_all_at_once_with_exit_code_2(syncd: Program) -> None:
    """A line names the file, every problem is a line of its own, no traceback; usage errors have the same code."""
    result = await syncd("sync", "full", SYNCD_GRAPH__TENNANT_ID="x", SYNCD_BPS__CONCURRENCY="0")
    assert result.code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 3
    assert all(line.startswith("configuration: ") for line in lines)
    assert f"{syncd.directory / 'syncd.toml'} and the environment" in lines[0]
    assert "SYNCD_GRAPH__TENANT_ID" in result.stderr
    assert "bps.concurrency" in result.stderr
    assert (await syncd("sync", "sometimes")).code == 2


@pytest.mark.parametrize("side", ["graph", "bps"])
async def test_a_wrong_secret_is_one_sentence_that_names_the_side(sandbox: Sandbox, syncd: Program, side: str) -> None:
    """Which side, which setting; no traceback, and the secret is nowhere."""
    secret = "completely-wrong-9K2"
    (sandbox.path / f"{side}-secret").write_text(secret)
    result = await syncd("sync", "full", "--log-level", "error")
    assert result.code == 1
    assert f"{side}.client_secret" in result.stderr
    assert "Traceback" not in result.stderr
    assert secret not in result.stderr + result.stdout
    checked = await syncd("check", "--json")
    assert checked.code == 1
    failed = [item for item in checked.document if item["status"] == "failed"]
    assert failed
    assert all(item.keys() == {"check", "status", "detail", "remedy"} for item in failed)


async def test_what_only_a_side_can_tell_of_the_settings_is_exit_code_2(syncd: Program) -> None:
    """A property that Graph does not know, at first and later; a group of the scope that nobody bears."""
    await syncd("sync", "full")
    for settings in ({"SYNCD_MAPPING__USER__PHONE": "phoneNumbr"}, {"SYNCD_SCOPE__INCLUDE_GROUPS": '["Nobody"]'}):
        for kind in ("delta", "full"):
            result = await syncd("sync", kind, **settings)
            assert result.code == 2, result.stderr
            assert next(iter(settings.values())).strip('"[]') in result.stderr.splitlines()[-1]
            assert "Traceback" not in result.stderr
    assert (await syncd("sync", "delta")).code == 0


async def test_why_a_run_failed_is_the_last_sentence_in_a_pipe_and_said_once_on_a_terminal(
    sandbox: Sandbox, syncd: Program
) -> None:
    """Whoever keeps only the end of stderr has the reason; on a terminal there is no log line beside the result."""
    (sandbox.path / "bps-secret").write_text("completely-wrong-9K2")
    piped = await syncd("sync", "full")
    assert piped.code == 1
    last = piped.stderr.splitlines()[-1]
    assert last.startswith("syncd: run 1 failed: ")
    assert "bps.client_secret" in last
    code, screen = await syncd.on_terminal("sync", "full")
    assert code == 1
    assert "run.finished" not in screen
    assert screen.count(last.removeprefix("syncd: run 1 failed: ")) == 1
    assert screen.count("bps.client_secret") == last.count("bps.client_secret")


@pytest.mark.again
async def test_check_shows_every_probe_and_the_settings_without_secrets(sandbox: Sandbox, syncd: Program) -> None:
    """All is well: exit code 0, the configuration in force is printed, and neither store nor portal is touched."""
    (syncd.directory / "store.db").unlink()
    result = await syncd("check")
    assert result.code == 0, result.stdout
    assert "[graph]" in result.stdout
    assert 'delta = "10s"' in result.stdout
    assert sandbox.client_secret not in result.stdout
    assert sandbox.portal_client_secret not in result.stdout
    assert not (syncd.directory / "store.db").exists()


async def test_licences_go_from_the_rule_to_the_portal(sandbox: Sandbox, syncd: Program) -> None:
    """check looks at scope and group, plan shows grants, sync makes them, explain tells why; a wrong group is named."""
    people = {user.id for user in sandbox.directory.active_users()}
    group = next(group for group in sandbox.directory.active_groups() if len(people & set(group.members)) > 2)

    def rule(name: object) -> str:
        return json.dumps([{"group": name, "type": "PowerUser"}])

    wrong = (await syncd("check", "--json", SYNCD_LICENCES=rule("No such group"))).document
    checked = {item["check"]: item["status"] for item in wrong}
    assert checked["graph.group licences[0].group"] == "failed"
    assert (checked["portal licenses read"], checked["portal licenses write"]) == ("ok", "ok")
    syncd.environment["SYNCD_LICENCES"] = rule(group.properties["displayName"])
    assert (await syncd("check")).code == 0
    plan = (await syncd("plan", "full", "--json")).document
    granted = [item for item in plan["changes"] if item["object"] == "licence"]
    assert granted
    assert {(item["action"], item["target"]) for item in granted} == {("grant", "PowerUser")}
    assert (await syncd("sync", "full")).code == 0
    holders = sandbox.portal_service.licences.holders
    assert holders.keys() == {item["bps_id"].casefold() for item in granted}
    explained = (await syncd("explain", granted[0]["bps_id"], "--json")).document
    assert explained["licences"]["wanted"] == "PowerUser"
    assert explained["licences"]["held"][0]["granted"] == "by a rule"
    assert "Licence: PowerUser" in (await syncd("explain", granted[0]["bps_id"])).stdout


@pytest.mark.again
async def test_a_signal_ends_a_sync_at_the_next_safe_place(sandbox: Sandbox, syncd: Program) -> None:
    """The run is closed as interrupted, and the next sync completes the work."""
    sandbox.faults.add(Fault("delay", side="portal", method="POST", seconds=1.0))
    process = await syncd.start("sync", "full")
    await read_until(process, "run.started")
    result = await finish(process, signal.SIGINT)
    assert result.code == 1
    assert "finishing what is in hand" in result.stderr
    assert (await syncd("runs", "--json")).document[0]["status"] == "interrupted"
    assert (await syncd("sync", "delta")).code == 0


async def test_a_second_signal_leaves_at_once_with_its_number(sandbox: Sandbox, syncd: Program) -> None:
    """A request that would hang for a minute does not keep the program, and the run is closed all the same."""
    sandbox.faults.add(Fault("delay", side="graph", count=-1, seconds=60.0))
    process = await syncd.start("sync", "full")
    await read_until(process, "run.started")
    process.send_signal(signal.SIGTERM)
    await read_until(process, "finishing what is in hand")
    assert (await finish(process, signal.SIGTERM)).code == 128 + signal.SIGTERM
    assert (await syncd("runs", "--json")).document[0]["status"] == "interrupted"


@pytest.mark.parametrize("front", [True, False])
async def test_the_sandbox_takes_the_options_of_all_commands_on_either_side(syncd: Program, *, front: bool) -> None:
    """With --json a program learns on one line where everything is."""
    shared, own = ("--json", "--log-level", "debug"), ("--users", "5", "--for", "1s", "--directory", "sandbox")
    ended = await syncd(*((*shared, "sandbox", *own) if front else ("sandbox", *own, *shared)))
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.document.keys() == {"login", "graph", "portal", "control", "console", "config"}
    assert Path(ended.document["config"]).is_file()
