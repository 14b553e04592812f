"""The sandbox as a process of its own: control endpoint, written configuration, stopping."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from syncd.cli.commands.sandbox import sandbox
from syncd.cli.screen.sandbox import serve
from syncd.http import read_date
from syncd.sandbox.portal.licences import Holder
from syncd.sandbox.server import SandboxOptions
from syncd.sandbox.wire.knobs import turn_knobs
from tests.contract.sandbox_client import Client, Reply, open_client


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with open_client(SandboxOptions(users=40, groups=14, memberships=150), tmp_path) as opened:
        yield opened


async def control(client: Client, method: str, path: str, body: object = None) -> Reply:
    """Send a request to the control endpoint."""
    return await client.send(method, client.sandbox.control_url + path, body=body)


async def test_state_tells_the_truth(client: Client) -> None:
    """Users, groups, portal users and portal groups as they are, and the counts of all."""
    counts = (await control(client, "GET", "/state")).json
    for what in ("users", "groups", "portal-users", "portal-groups"):
        assert len((await control(client, "GET", f"/state?what={what}")).json) == counts[what]
    groups = (await control(client, "GET", "/state?what=groups")).json
    assert {g["id"]: set(g["members"]) for g in groups} == {
        g.id: set(g.members) for g in client.sandbox.directory.groups
    }


async def test_a_backup_of_the_portal_is_played_back(client: Client) -> None:
    """Records, places and licences as they were then; the tenant goes on; a name that nobody gave is refused."""
    assert (await control(client, "POST", "/restore", {"name": "monday"})).status == 400
    before = (await control(client, "GET", "/state?what=portal-users")).json
    kept = (await control(client, "POST", "/backup", {"name": "monday"})).json
    assert kept == {"kept": "monday", "users": len(before), "groups": kept["groups"]}
    store = client.sandbox.portal
    store.create_user({"bpsId": "new@x.com", "name": "New", "email": "new@x.com"})
    store.settle()
    store.create_group({"bpsId": "g@x.com", "name": "G", "email": "g@x.com", "members": [{"bpsId": "new@x.com"}]})
    client.sandbox.portal_service.licences.holders["new@x.com"] = Holder("new@x.com", "New", {"User": {}})
    for _ in range(2):
        assert (await control(client, "POST", "/restore", {"name": "monday"})).json["users"] == len(before)
        assert "g@x.com" not in store.groups
        assert "new@x.com" not in client.sandbox.portal_service.licences.holders
    assert (await control(client, "GET", "/state?what=portal-users")).json == before
    assert (await control(client, "POST", "/backup", {"title": "x"})).status == 400


async def test_changes_happen_on_request(client: Client) -> None:
    """An operation with a count, and on a named target; the answer says to whom it happened."""
    hired = (await control(client, "POST", "/change", {"op": "hire", "count": 3})).json
    assert [change["op"] for change in hired] == ["hire"] * 3
    assert (await control(client, "GET", "/state")).json["users"] == 43
    emptied = (await control(client, "POST", "/change", {"op": "empty-group", "target": "BPS users"})).json
    assert emptied[0]["removed"] > 0
    renamed = (await control(client, "POST", "/change", {"op": "rename", "target": hired[0]["id"]})).json
    assert renamed[0]["id"] == hired[0]["id"]
    (group,) = (await control(client, "POST", "/change", {"op": "rename-group", "target": "BPS users"})).json
    assert group["before"] == "BPS users"
    assert client.sandbox.directory.get(group["id"]).properties["displayName"] == group["name"] != "BPS users"
    (other,) = (await control(client, "POST", "/change", {"op": "rename-group"})).json
    assert other["name"] != other["before"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/change", {"op": "explode"}),
        ("POST", "/change", {"op": "hire", "count": "many"}),
        ("POST", "/change", {"op": "leave", "target": "nobody"}),
        ("POST", "/change", []),
        ("POST", "/change", {"op": "portal-edit"}),  # nothing of the API's is there yet
        ("POST", "/change", {"op": "portal-edit", "target": "auditor@external-audit.example", "field": "shoe size"}),
        ("POST", "/change", {"op": "portal-edit", "target": "auditor@external-audit.example", "field": "name"}),
        ("POST", "/change", {"op": "portal-join", "target": "nobody@x.example", "group": "local.admins@bps.local"}),
        ("POST", "/change", {"op": "portal-leave", "target": "auditor@external-audit.example", "group": "nowhere"}),
        ("POST", "/change", {"op": "portal-remove", "target": "synced.colleague@nordwind-legacy.example"}),
        ("POST", "/change", {"op": "portal-remove", "colour": "red"}),
        ("POST", "/change", {"op": "portal-edit", "group": "Managers"}),
        ("POST", "/change", {"op": "rename", "group": "BPS users"}),
        ("POST", "/change", {"op": "leave", "target": "BPS users"}),
        ("POST", "/knobs", {"tenant": {"colour": 1}}),
        ("POST", "/faults", {"kind": "explode"}),
        ("GET", "/state?what=weather", None),
        ("GET", "/elsewhere", None),
    ],
)
async def test_nonsense_is_answered_with_its_problems(client: Client, method: str, path: str, body: object) -> None:
    """Whatever is wrong is named, with status 400."""
    reply = await control(client, method, path, body)
    assert (reply.status, len(reply.json["problems"])) == (400, 1)


async def test_the_portal_is_changed_by_hand_on_request(client: Client) -> None:
    """A field, a place in a group, and a whole account; what is not named is one of the records of the API."""
    portal = client.sandbox.portal
    for name in ("ann", "ben"):
        portal.create_user({"bpsId": f"{name}@x.example", "name": name, "email": f"{name}@x.example"})
    portal.create_group({"bpsId": "g@x.example", "name": "All", "email": "g@x.example"})
    edit = {"op": "portal-edit", "target": "ANN@x.example", "field": "jobTitle", "value": "Boss"}
    assert (await control(client, "POST", "/change", edit)).json == [
        {"op": "portal-edit", "bpsId": "ann@x.example", "field": "jobTitle", "before": None, "after": "Boss"}
    ]
    assert portal.user("ann@x.example").values["jobTitle"] == "Boss"
    for op, members in (("portal-join", ["ann@x.example"]), ("portal-leave", [])):
        (done,) = (await control(client, "POST", "/change", {"op": op, "target": "ann@x.example", "group": "All"})).json
        assert (done["bpsId"], done["group"]) == ("ann@x.example", "g@x.example")
        assert list(portal.group("g@x.example").members) == members
    await control(client, "POST", "/change", {"op": "portal-join", "target": "ben@x.example"})
    (left,) = (await control(client, "POST", "/change", {"op": "portal-leave"})).json
    assert left["bpsId"] == "ben@x.example"
    (edited,) = (await control(client, "POST", "/change", {"op": "portal-edit"})).json
    assert portal.user(edited["bpsId"]).values["phoneNumber"] == edited["after"]
    removed = (await control(client, "POST", "/change", {"op": "portal-remove-many", "count": 2})).json
    assert {change["bpsId"] for change in removed} == {"ann@x.example", "ben@x.example"}
    assert "ann@x.example" not in portal.accounts


async def test_faults_knobs_and_checkpoints(client: Client) -> None:
    """Everything that tests do in-process can be done from outside."""
    fault = {"kind": "status", "side": "graph", "status": 500, "count": 1}
    assert (await control(client, "POST", "/faults", [fault, fault])).json == {"planned": 2}
    assert (await client.graph("/users")).status == 500
    await control(client, "POST", "/faults", [])
    assert (await client.graph("/users")).status == 200
    knobs = (await control(client, "POST", "/knobs", {"tenant": {"page_objects": 5}, "portal": {}})).json
    assert knobs["tenant"]["page_objects"] == 5
    _, link = await client.round("/users/delta?$select=id")
    await control(client, "POST", "/expire-checkpoints")
    assert (await client.graph(link)).status == 400
    _, link = await client.round("/users/delta?$select=id")
    await control(client, "POST", "/reset-checkpoints")
    assert (await client.graph(link)).status == 410
    await control(client, "POST", "/expire-tokens")
    assert (await client.graph("/users")).status == 401
    ledger = (await control(client, "GET", "/ledger?entries=2")).json
    assert [entry["status"] for entry in ledger["entries"]] == [401, 410]
    await control(client, "POST", "/ledger")
    assert (await control(client, "GET", "/ledger")).json["statuses"] == {}


async def test_the_configuration_is_complete_and_its_files_exist(client: Client) -> None:
    """The TOML names both sides, and every file that it names is there with the right secret."""
    text = client.sandbox.config_toml(store_url="sqlite:///x.db", health_listen="127.0.0.1:8080")
    config = tomllib.loads(text)
    assert config["graph"]["base_url"] == client.sandbox.graph_url
    assert config["bps"]["portal_url"] == client.sandbox.portal_url
    for section, secret in (("graph", client.sandbox.client_secret), ("bps", client.sandbox.portal_client_secret)):
        assert Path(config[section]["client_secret_file"]).read_text(encoding="utf-8").strip() == secret
        assert Path(config[section]["ca_file"]).is_file()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_command_runs_and_stops_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    """``syncd sandbox`` writes its configuration, says Ready, and ends with 0 on a signal."""
    command = [sys.executable, "-m", "syncd.cli.main", "sandbox", "--users", "30", "--groups", "14", "--for", "1m"]
    with subprocess.Popen(
        [*command, "--directory", str(tmp_path / "box")],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        text=True,
    ) as process:
        assert process.stdout is not None
        lines = []
        while (line := process.stdout.readline()) != "Ready. Stop with Ctrl-C.\n":
            assert line, "the sandbox ended early"
            lines.append(line)
        process.send_signal(number)
        rest = process.stdout.read()
    assert process.returncode == 0
    config = tomllib.loads((tmp_path / "box" / "syncd.toml").read_text(encoding="utf-8"))
    assert config["store"]["url"] == f"sqlite:///{tmp_path / 'box' / 'syncd.db'}"
    assert config["graph"]["base_url"] in "".join(lines)
    assert rest == "Sandbox stopped after 0 requests.\n"


async def test_the_company_changes_by_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With an interval something happens again and again until the lifetime is over."""
    options = SandboxOptions(users=30, groups=14, memberships=60)
    await serve(options, tmp_path, change_every=timedelta(milliseconds=20), lifetime=timedelta(milliseconds=300))
    output = capsys.readouterr().out
    assert output.count("changed: op ") >= 3
    assert "as long as it was told to" in output


async def test_a_company_without_people_is_one_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It begins like any other, and says that nobody can sign in to the console."""
    options = SandboxOptions(users=0, groups=0, memberships=0)
    await serve(options, tmp_path, change_every=None, lifetime=timedelta(milliseconds=50))
    output = capsys.readouterr().out
    assert "The company: 0 people, 0 groups, 0 memberships." in output
    assert "nobody is there to sign in" in output


@pytest.mark.parametrize("text", ["0s", "soon", "1h30", ""])
def test_unusable_durations_are_bad_usage(text: str) -> None:
    """A wrong duration is one line and exit code 2."""
    result = CliRunner().invoke(sandbox, ["--for", text])
    assert result.exit_code == 2
    assert "is not a duration" in result.output


@pytest.mark.parametrize("side", ["graph", "portal"])
async def test_each_side_has_a_clock_of_its_own(client: Client, side: str) -> None:
    """Ahead or behind by a knob, without a Date, or with one that a cache has kept: and the other side goes on."""

    async def ask(which: str) -> Reply:
        return await (client.graph_token() if which == "graph" else client.portal_token())

    sandbox, other = client.sandbox, "portal" if side == "graph" else "graph"
    knobs = sandbox.tenant_knobs if side == "graph" else sandbox.portal_knobs

    def tell(reply: Reply) -> timedelta:
        stated = read_date(reply.headers)
        assert stated is not None
        return timedelta(seconds=round((stated - datetime.now(UTC)).total_seconds(), -1))

    assert tell(await ask(side)) == timedelta()
    turn_knobs(knobs, {"clock_ahead": -7200})
    assert tell(await ask(side)) == timedelta(hours=-2)
    assert tell(await ask(other)) == timedelta()
    turn_knobs(knobs, {"date_header": "absent"})
    assert "Date" not in (await ask(side)).headers
    turn_knobs(knobs, {"date_header": "aged"})
    assert read_date((await ask(side)).headers) is None


@pytest.mark.parametrize(
    ("named", "bps_id"),
    [
        ({"group": "S-1-5-21-1004336348-1177238915-682003330-512"}, "S-1-5-21-1004336348-1177238915-682003330-512"),
        ({"group": "domain admins"}, "S-1-5-21-1004336348-1177238915-682003330-512"),
        ({"group": "Local administrators"}, "local.admins@bps.local"),
        ({"target": "workflow.robot@bps.local"}, "workflow.robot@bps.local"),
    ],
)
async def test_groups_of_the_portal_and_people_are_given_privileges_by_hand(
    client: Client, named: dict[str, str], bps_id: str
) -> None:
    """A group by its BPS id, a SID, or its name; a person as target, as everywhere; what is given is taken again."""

    async def holders() -> set[tuple[str, str, str]]:
        found = (await control(client, "GET", "/state?what=portal-privileges")).json
        return {(one["bpsId"], one["place"], one["level"]) for one in found}

    before, wish = await holders(), {"application": "Invoices", "level": "MetadataAccess", **named}
    done = (await control(client, "POST", "/change", {"op": "portal-grant", **wish})).json
    assert [one["group" if "group" in named else "bpsId"] for one in done] == [bps_id]
    assert await holders() - before == {(bps_id, "Invoices", "MetadataAccess")}
    assert (await control(client, "POST", "/change", {"op": "portal-revoke", **wish})).status == 200
    assert await holders() == before
    for wrong in (
        {**wish, "op": "portal-revoke"},
        {"op": "portal-grant", "group": "S-1-5-21-1"},
        {"op": "portal-grant", "target": "nobody@x.example"},
        {"op": "portal-grant", "target": "workflow.robot@bps.local", "group": "Local administrators"},
    ):
        assert (await control(client, "POST", "/change", wrong)).status == 400
