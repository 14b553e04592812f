"""The drill: nobody is harmed by default, weak settings tell whom, and nothing real is touched."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner, Result

from syncd.bootstrap.drill.director import load_stored, open_stage
from syncd.bootstrap.drill.settings import list_weak, make_drill_settings
from syncd.bootstrap.drill.shares import Ended, choose_processes, until_told
from syncd.bootstrap.settings import read_settings
from syncd.cli.main import program
from syncd.config import Settings
from syncd.sandbox.drill.catalogue import CATALOGUE
from syncd.sandbox.drill.groups import GROUPS
from syncd.sandbox.drill.late import LATE
from syncd.sandbox.drill.network import NETWORK
from syncd.sandbox.drill.people import PEOPLE
from syncd.sandbox.drill.play import Play
from syncd.sandbox.drill.portal import PORTAL
from syncd.sandbox.drill.reads import READS
from syncd.sandbox.drill.rollouts import ROLLOUTS
from syncd.sandbox.drill.surroundings import SURROUNDINGS
from syncd.sandbox.server import Sandbox, SandboxOptions
from syncd.sandbox.wire.faults import Fault
from syncd.store.db.database import open_to_read
from syncd.store.schema.tables import source_users
from tests.documents import check_document
from tests.fakes.world import World

FAMILIES = {
    "reads": READS, "late": LATE, "people": PEOPLE, "groups": GROUPS, "network": NETWORK, "portal": PORTAL,
    "rollouts": ROLLOUTS, "surroundings": SURROUNDINGS,
}  # fmt: skip
NO_LIMITS = "[guard]\nmax_removals = false\nmax_removal_percent = false\nmax_daily_removal_percent = false\n"
REAL = """
[graph]
tenant_id = "contoso.onmicrosoft.com"
client_id = "real-client"
client_secret = "real-graph-secret"
proxy_url = "http://user:real-proxy@proxy.contoso.example:3128"

[bps]
portal_url = "https://bps.contoso.example/WEBCONBPS"
client_id = "real-application"
client_secret = "real-portal-secret"
members_per_request = 77

[notify]
webhook_url = "https://hooks.contoso.example/real-hook"

[scope]
users = 'user.jobTitle != "Contractor"'
"""


@pytest.fixture(autouse=True)
def _silent() -> Iterator[None]:
    """Let runs of a drill log nothing, and leave the logging as it was."""
    structlog.reset_defaults()
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    yield
    structlog.reset_defaults()


def read(tmp_path: Path, text: str = "") -> Settings:
    """Return the settings of this text."""
    (tmp_path / "syncd.toml").write_text(text)
    return read_settings(tmp_path / "syncd.toml", {}, need=frozenset())


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
async def test_by_default_nobody_is_harmed_under_any_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    """And the portal is right afterwards; each fault on the wire really hits something.

    The catalogue holds every family, and no name twice.
    """
    planned: list[Fault] = []
    plan = Play.fault

    def note(play: Play, kind: str, **more: Any) -> Fault:
        planned.append(plan(play, kind, **more))
        return planned[-1]

    monkeypatch.setattr(Play, "fault", note)
    bad, idle = [], []
    async with open_stage(read(tmp_path), people=40, company=None) as stage:
        assert len(stage.base.accounts) > 30
        for scenario in FAMILIES[family]:
            planned.clear()
            result = await stage.play(scenario)
            bad += [] if result.passed_off_well else [result]
            idle += [scenario.name] if planned and not any(fault.hits for fault in planned) else []
    assert (bad, idle) == ([], [])
    assert len({scenario.name for scenario in CATALOGUE}) == len(CATALOGUE) == sum(map(len, FAMILIES.values()))


async def test_under_waves_a_rollout_reaches_few_before_it_is_looked_at(tmp_path: Path) -> None:
    """What was written is not what the portal shows: the rest is held, of new rules and of a first push."""
    async with open_stage(read(tmp_path, "[policy]\nwaves = [10, 50, 100]\n"), people=30, company=None) as stage:
        people = len(stage.base.accounts)
        for scenario in ROLLOUTS:
            result = await stage.play(scenario)
            assert (result.passed_off_well, result.held >= people - -(-people // 10)) == (True, True), result
        assert stage.program.settings.policy.waves == (10, 50, 100)
        assert (stage.program.count_first_wave(19), stage.program.count_first_wave(30)) == (None, 3)


async def test_of_twenty_people_no_share_is_counted_and_nobody_loses_anything(tmp_path: Path) -> None:
    """Everybody is renamed, or as many come: what `guard.min_population` lets through is no mistake."""
    async with open_stage(read(tmp_path), people=25, company=None) as stage:
        assert len(stage.base.accounts) <= 20
        for scenario in CATALOGUE:
            if scenario.name in ("mass-renamed", "company-doubled"):
                result = await stage.play(scenario)
                assert result.passed_off_well, result


# ---- what weak settings cost


def syncd(*words: str) -> Result:
    """Run a command in this process."""
    return CliRunner().invoke(program, words)


@pytest.mark.parametrize(
    ("fault", "text", "harm", "weak"),
    [
        (
            "mass-disabled",
            NO_LIMITS,
            "unlinked",
            "guard.max_removal_percent = false",
        ),
        (
            "mass-deleted",
            f"{NO_LIMITS}[policy]\ngrace = '0s'\ndeleted_users = 'delete'\n",
            "deleted",
            'policy.deleted_users = "delete" with grace = "0s"',
        ),
        ("login-again", "[guard]\nmax_handovers = false\n", "passed", "guard.max_handovers = false"),
    ],
    ids=["no limits", "deletion at once", "no question about handovers"],
)
def test_weak_settings_tell_whom_they_would_have_cost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str, text: str, harm: str, weak: str
) -> None:
    """Exit code 1, the people by their made-up BPS ids, and the setting that let it through."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNCD_STORE__URL", f"sqlite:///{tmp_path / 'none.db'}")
    (tmp_path / "syncd.toml").write_text(text)
    ended = syncd("drill", "--only", fault, "--people", "40", "--json")
    assert ended.exit_code == 1, ended.output
    report = json.loads(ended.stdout)
    check_document(["drill"], report)
    (result,) = report["faults"]
    assert result["by_mistake"][harm] == len(result["who"]) > 0
    assert all(each.endswith("@nordwind.example") for each in result["who"])
    assert weak in report["weak"]
    assert not report["ok"]
    assert not (tmp_path / "none.db").exists()


def test_the_table_names_each_fault_and_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person reads who played, one line a fault, and what it comes to; several faults may follow --only."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setenv("SYNCD_STORE__URL", f"sqlite:///{tmp_path / 'none.db'}")
    ended = syncd("drill", "--people", "30", "--only", "portal-down", "cut-lists")
    assert ended.exit_code == 0, ended.output
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("Played with a made-up company of 30 people and 20 groups;")
    rows = [line for line in lines if line.startswith(("cut-lists ", "portal-down "))]
    assert [line.split()[0] for line in rows if "nobody" in line] == ["cut-lists", "portal-down"]
    assert "Graph: the lists of" in rows[0], "a row says to which side what was done"
    assert "portal: the portal goes" in rows[1]
    said = " ".join(ended.stdout.split())
    assert "an ordinary day" in said
    assert all(f"{column}: " in said for column in ("planned", "held", "removed", "by mistake", "converged"))
    assert lines[-1] == "Nobody would have been removed by mistake under any of 2 faults."


def test_the_list_names_every_fault_and_an_unknown_one_is_refused() -> None:
    """Nothing is played for either."""
    listed = json.loads(syncd("drill", "--list", "--json").stdout)
    check_document(["drill", "--list"], listed)
    assert [each["fault"] for each in listed] == [scenario.name for scenario in CATALOGUE]
    assert {each["side"] for each in listed} == {"tenant", "Graph", "portal", "syncd"}
    ended = syncd("drill", "--only", "cut-list")
    assert ended.exit_code == 2
    assert "there is no fault 'cut-list'; 'syncd drill --list' names them all" in ended.stderr
    alone = syncd("drill", "cut-lists")
    assert (alone.exit_code, "write --only cut-lists" in alone.stderr) == (2, True)


@pytest.mark.parametrize("missing", ["trustme", "syncd.sandbox"])
def test_without_the_sandbox_one_sentence_says_how_to_get_it(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2, whether its library or its code is left out."""
    for name in [name for name in sys.modules if name.startswith(("syncd.sandbox", "syncd.bootstrap.drill"))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    ended = syncd("drill")
    assert ended.exit_code == 2
    assert ended.stderr == (
        "syncd: the drill plays on the sandbox, which is not part of this installation; install 'syncd[sandbox]', "
        "or use the image whose tag ends with -sandbox\n"
    )


def test_sigterm_ends_a_drill_as_ctrl_c_does() -> None:
    """What it has put on the disk is removed."""
    tidied = []

    async def play() -> Any:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.Event().wait()
        finally:
            tidied.append(True)

    with pytest.raises(Ended):
        asyncio.run(until_told(play()))
    assert tidied == [True]


_IN_TWO = """
import sys
from pathlib import Path
from syncd.logs.pipe import configure_logs
from syncd.bootstrap.drill.shares import Troupe
from syncd.bootstrap.settings import read_settings
from syncd.sandbox.drill.catalogue import CATALOGUE
from contextlib import closing
configure_logs("json", "critical", sys.stderr)
settings = read_settings(Path("syncd.toml"), {}, need=frozenset())
chosen = [each for each in CATALOGUE if each.name in ("cut-lists", "mass-disabled", "errors")]
with closing(Troupe(settings, chosen, people=25, company=None, processes=2)) as troupe:
    report = troupe.play(lambda name, number: print(name, number))
print([(each.fault, each.passed_off_well) for each in report.results], report.people)
"""


@pytest.mark.slow
@pytest.mark.once
def test_several_processes_share_the_faults(tmp_path: Path) -> None:
    """Results are in the order of the catalogue, and each is told when it is there; nothing is left on the disk."""
    (tmp_path / "syncd.toml").write_text("[guard]\nmax_handovers = 0\n")
    (tmp_path / "tmp").mkdir()
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path / "tmp")}
    ended = subprocess.run(
        [sys.executable, "-c", _IN_TWO],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
    )
    said = ended.stdout.splitlines()
    assert said[:-1] == ["faults played 1"] * 3
    assert said[-1] == "[('cut-lists', True), ('mass-disabled', True), ('errors', True)] 25"
    assert list((tmp_path / "tmp").glob("syncd-drill-*")) == []


def test_a_few_faults_are_played_in_one_process() -> None:
    """Each further one founds the company anew, and holds it in memory."""
    assert choose_processes(7) == 1
    assert 1 <= choose_processes(59) <= 4


def test_nobody_in_scope_is_no_proof(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A rule that fits nobody of a made-up company would prove anything."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "syncd.toml").write_text("[scope]\nusers = 'user.jobTitle == \"Nobody has it\"'\n")
    ended = syncd("drill", "--people", "30")
    assert ended.exit_code == 1
    assert "nobody of the company is in the scope of this configuration" in ended.stderr


# ---- nothing real is touched


async def test_no_address_or_secret_of_the_real_sides_is_left(tmp_path: Path) -> None:
    """Both sides, credentials, authorities, proxies, hook and store are those of the sandbox; the rules stay."""
    settings = read(tmp_path, REAL)
    async with Sandbox(SandboxOptions(users=0, groups=0, memberships=0), tmp_path / "sandbox") as sandbox:
        made = make_drill_settings(settings, sandbox, tmp_path / "drill.db", protect=())
        texts = [
            json.dumps(made.effective(), default=str),
            repr(made),
            made.graph.client_secret.reveal() if made.graph.client_secret else "",
            made.bps.client_secret.reveal(),
            made.store.url.reveal(),
        ]
        assert not any("contoso" in text or "real-" in text for text in texts)
        hosts = {made.graph.authority, made.graph.root, made.bps.portal_url.rpartition("/")[0]}
        assert hosts == {sandbox.login_url, sandbox.graph_url, sandbox.portal_url.rpartition("/")[0]}
        assert made.graph.ca_file == made.bps.ca_file == sandbox.ca_file.absolute()
        assert (made.graph.proxy_url, made.bps.proxy_url, made.notify.webhook_url) == (None, None, None)
        assert (made.scope.users, made.bps.members_per_request) == (settings.scope.users, 77)


async def found_company(world: World) -> None:
    """Forty people with names in three groups, synchronised; one works under a name that a rule looks at."""
    source = world.source
    for number in range(40):
        name = f"u{number}"
        source.put_user(
            name,
            userPrincipalName=f"anna.secretname{number}@contoso.example",
            displayName=f"Anna Secretname {number}",
            mail=f"anna.secretname{number}@contoso.example",
            jobTitle="Contractor" if number == 7 else "Clerk",
            mobilePhone="+48 600 700 800",
            userType="Member",
            manager=None if number == 0 else f"u{number // 4}",
        )
    for number, members in enumerate((range(40), range(0, 40, 2), range(5))):
        source.put_group(f"g{number}", displayName=f"Group {number}", mailNickname=f"g{number}@grp")
        for member in members:
            source.link(f"g{number}", f"u{member}")
    source.link("g0", "g2", "group")
    assert (await world.sync("full")).status == "succeeded"


@pytest.mark.company(founded_by=found_company)
async def test_the_stored_company_plays_under_pseudonyms_and_the_store_stays_as_it_is(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Structure and what rules look at stay, names do not; not a byte of the store changes, and nothing is left.

    No other host than this machine is ever looked up.
    """
    hosts, look_up = set[object](), socket.getaddrinfo

    def note(host: Any, *rest: Any, **more: Any) -> Any:
        hosts.add(host)
        return look_up(host, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", note)
    file = tmp_path / "copy.db"
    address = world.database.engine.url
    await asyncio.to_thread(shutil.copyfile, str(address.database), file)
    wal = Path(f"{address.database}-wal")
    if wal.exists():
        await asyncio.to_thread(shutil.copyfile, wal, f"{file}-wal")
    before = {each.name: _digest(each) for each in (file, Path(f"{file}-wal")) if each.exists()}
    settings = read(tmp_path, f"{REAL}\n[store]\nurl = 'sqlite:///{file}'\n")
    company = load_stored(settings, people=5000)
    assert company is not None
    assert (company.people, len(company.users), len(company.groups)) == (40, 40, 3)
    async with open_stage(settings, people=5000, company=company) as stage:
        folder = stage.sandbox.path
        directory = stage.sandbox.directory
        told = json.dumps([node.properties for node in [*directory.users, *directory.groups]])
        assert "ecretname" not in told
        assert "contoso" not in told
        assert "Group 0" not in told
        assert "Contractor" in told, "a rule decides by it"
        assert len(stage.base.accounts) == 39
        assert len(stage.base.members) == 39 + 20 + 5
        managers = {user.id: user.manager for user in directory.users}
        assert managers["u9"] == "u2"
        result = await stage.play(next(each for each in CATALOGUE if each.name == "mass-disabled"))
        assert (result.passed_off_well, result.who, result.held > 0) == (True, (), True)
    assert hosts <= {"localhost", "127.0.0.1"}
    assert "localhost" in hosts
    assert not folder.exists()
    assert {name: _digest(tmp_path / name) for name in before} == before
    shown = capsys.readouterr()
    assert "ecretname" not in shown.out + shown.err


@pytest.mark.company(founded_by=found_company)
@pytest.mark.both_engines
async def test_a_sample_keeps_the_shape_and_the_store_refuses_writes(world: World, tmp_path: Path) -> None:
    """Managers are followed upwards, groups with a name in the rules are there, and a write is an error."""
    url = world.database.engine.url.render_as_string(hide_password=False)
    database = open_to_read(url)
    try:
        with pytest.raises(Exception, match=r"read.?only"):  # noqa: SIM117 - what is tried
            with database.engine.begin() as connection:
                connection.execute(source_users.delete())
    finally:
        database.close()
    settings = read(tmp_path, f"[store]\nurl = '{url}'\n[scope]\ninclude_groups = ['Group 2', 'g0']\n")
    company = load_stored(settings, people=10)
    assert company is not None
    assert (company.people, len(company.users)) == (40, 10)
    assert {company.groups[key].id for key in company.named} == {"g0", "g2"}
    heads = [user for user in company.users.values() if user.manager is None]
    assert all(user.manager in company.users for user in company.users.values() if user not in heads)


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_large_company_is_told_to_be_a_sample() -> None:
    """Never silently."""
    from syncd.cli.screen.drill import describe_company
    from syncd.sandbox.drill.results import Report

    report = Report(people=5000, groups=600, stored_people=50_000, synchronised=4900, results=())
    said = describe_company(report)
    assert said.startswith("Played with a copy of the stored company, 5,000 of 50,000 people and 600 groups; 4,900 of")


def test_settings_at_their_defaults_are_not_weak(tmp_path: Path) -> None:
    """A higher limit, a limit that is off, and deletion with a short grace are."""
    assert list_weak(read(tmp_path)) == []
    weak = read(tmp_path, '[guard]\nmax_handovers = 3\n[policy]\ndisabled_users = "delete"\ngrace = "1d"\n')
    assert list_weak(weak) == ["guard.max_handovers = 3", 'policy.disabled_users = "delete" with grace = "1d"']
