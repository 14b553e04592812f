"""``deploy/syncd.service`` under a real systemd, installed by the commands of ``docs/how-to/deploy-systemd.md``.

The machine is a container in which systemd is the first process. It has no network but its loopback, on which an
imitation tenant and portal answer. Of the page's commands those that install the program are left out.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from tests.compose import ROOT
from tests.container.conftest import load_base_image
from tests.container.engine import Engine
from tests.e2e.console import Typed, read_blocks

pytestmark = [pytest.mark.container, pytest.mark.slow]

PAGE = ROOT / "docs/how-to/deploy-systemd.md"
IMAGE = "localhost/syncd-under-test:systemd"
SANDBOX = "/srv/sandbox"
SECONDS = 240
"""After so long what should have happened has failed; on a machine of its own it takes a tenth of that."""
MACHINE_SECONDS = 1800
INSTALLS = re.compile(r"python3 -m venv|.* -m pip install ")
"""What the image has been given already, from the same locks."""
PREPARE = f"""
set -eu
systemd-run --quiet --unit=sandbox /opt/syncd/bin/syncd sandbox --users 20 --for 1h --directory {SANDBOX}
grep --quiet 'Ready' < <(timeout {SECONDS} journalctl --unit=sandbox --follow --lines=all 2>/dev/null)
sed '/^\\[store\\]/,/^$/d; /^\\[web\\]/,/^$/d; /^\\[health\\]/,/^$/d' {SANDBOX}/syncd.toml > /srv/syncd.toml
sed --in-place 's#{SANDBOX}/ca.pem#/etc/ssl/sandbox.pem#' /srv/syncd.toml
sed --in-place 's#{SANDBOX}/\\(graph\\|bps\\)-secret#/etc/syncd/secrets/\\1#' /srv/syncd.toml
install -m 0644 {SANDBOX}/ca.pem /etc/ssl/sandbox.pem
printf '\\n[store]\\nurl = "sqlite:////var/lib/syncd/syncd.db"\\n' >> /srv/syncd.toml
printf '\\n[health]\\nlisten = "127.0.0.1:8080"\\n' >> /srv/syncd.toml
"""


@dataclass(frozen=True, slots=True)
class Machine:
    """A running machine."""

    engine: Engine
    name: str

    def do(self, command: str, *, code: int = 0) -> str:
        """Type a command as root in the project's folder; return what it prints. AssertionError for another code."""
        typed = f"exec 2>&1\n{command}"  # what the container tool itself says is no answer
        ended = self.engine.call("exec", "--workdir", "/project", self.name, "bash", "-c", typed, seconds=2 * SECONDS)
        assert ended.returncode == code, f"$ {command}\n{ended.stdout}{ended.stderr}"
        return ended.stdout

    def wait_for(self, event: str, *, since: str = "") -> None:
        """Wait until the daemon logs that event, after the mark ``since`` of the journal."""
        after = f"--after-cursor='{since}'" if since else "--lines=all"
        watched = f"timeout {SECONDS} journalctl --unit=syncd --output=cat --follow {after} 2>/dev/null"
        self.do(f"grep --quiet --fixed-strings {shlex.quote(event)} < <({watched})")

    def find_mark(self) -> str:
        """Return the present end of the journal."""
        shown = self.do("journalctl --lines=0 --show-cursor")
        return shown.rpartition("-- cursor: ")[2].strip()

    def look(self, key: str) -> str:
        """Return what systemd knows about the unit."""
        return self.do(f"systemctl show syncd --property={key} --value").strip()


@pytest.fixture
def machine(engine: Engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine with the service as the page sets it up. Skips where no container can begin with systemd."""
    wanted = os.environ.get("SYNCD_TEST_CONTAINER") == "1"
    if "podman" not in engine.command[-1]:
        pytest.skip("syncd.service was not tried under systemd: that takes podman")
    with (tmp_path_factory.getbasetemp().parent / "syncd-systemd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        base = os.environ.get("SYNCD_BASE_IMAGE") or load_base_image()
        built = engine.build(Path(__file__).with_name("systemd"), IMAGE, base=base, target="machine")
    if built.returncode:
        give_up = pytest.fail if wanted else pytest.skip
        give_up(f"syncd.service was not tried under systemd, which could not be installed: {built.stderr[-400:]}")
    name = f"syncd-test-{uuid4().hex}"
    options = ("--network", "none", "--systemd", "always", "--volume", f"{ROOT}:/project:ro")
    with engine.started(name, (*options, IMAGE), seconds=MACHINE_SECONDS):
        machine = Machine(engine, name)
        _boot(machine)
        yield machine


def _boot(machine: Machine) -> None:
    up = "until systemctl is-system-running --wait | grep --quiet -e running -e degraded; do :; done"
    for _ in range(100):  # until there is a container to enter
        if machine.engine.call("exec", machine.name, "true").returncode == 0:
            break
    machine.do(f"timeout {SECONDS} bash -c '{up}'")
    machine.do(PREPARE)
    for typed in _list_commands():
        machine.do(_fill_in(typed.command))


def _list_commands() -> list[Typed]:
    (block,) = read_blocks(PAGE)[:1]
    return [typed for typed in block.typed if not INSTALLS.match(typed.command)]


def _fill_in(command: str) -> str:
    """Return a command of the page with the settings and secrets of the imitation."""
    command = command.replace("deploy/syncd.toml", "/srv/syncd.toml")
    for side, shown in (("graph", "THE-CLIENT-SECRET"), ("bps", "THE-API-SECRET")):
        command = command.replace(f"'{shown}'", f'"$(cat {SANDBOX}/{side}-secret)"')
    return command


def test_what_is_left_out_of_the_page_is_the_installation() -> None:
    """Everything else is typed as it stands there."""
    (block,) = read_blocks(PAGE)[:1]
    assert [typed.command.split()[:4] for typed in block.typed if INSTALLS.match(typed.command)] == [
        ["python3", "-m", "venv", "/opt/syncd"],
        ["/opt/syncd/bin/python", "-m", "pip", "install"],
        ["/opt/syncd/bin/python", "-m", "pip", "install"],
    ]


def _the_service_boots_and_works(machine: Machine) -> None:
    """As its own user, with the first run done, and enabled for the next start of the machine."""
    machine.wait_for("run.finished")
    assert machine.look("ActiveState") == "active"
    assert machine.do("systemctl is-enabled syncd").strip() == "enabled"
    assert machine.do("stat --format=%U /proc/$(systemctl show syncd --property=MainPID --value)").strip() == "syncd"
    assert '"status": "ready"' in machine.do(
        "/opt/syncd/bin/python -c \"import urllib.request as u; print(u.urlopen('http://127.0.0.1:8080/readyz').read())\""
    )


def _systemd_finds_nothing_wrong_with_the_unit(machine: Machine) -> None:
    """Not a key that it does not know, and a high grade for how little the service may do."""
    assert machine.do("systemd-analyze verify /etc/systemd/system/syncd.service").strip() == ""
    graded = machine.do("systemd-analyze security --no-pager syncd | tail -n 1")
    (exposure,) = re.findall(r"(\d+\.\d)", graded)
    assert float(exposure) < 2.5


def _a_reload_takes_over_a_changed_configuration(machine: Machine) -> None:
    """The process stays; a wrong configuration is refused and the one before stays in force."""
    machine.wait_for("run.finished")
    process, mark = machine.look("MainPID"), machine.find_mark()
    machine.do("printf '\\n[log]\\nlevel = \"debug\"\\n' >> /etc/syncd/syncd.toml && systemctl reload syncd")
    machine.wait_for('"event":"config.reloaded"', since=mark)
    machine.do('sed --in-place \'s/"debug"/"loud"/\' /etc/syncd/syncd.toml && systemctl reload syncd')
    machine.wait_for('"event":"config.refused"', since=mark)
    machine.do('sed --in-place \'s/"loud"/"info"/\' /etc/syncd/syncd.toml && systemctl reload syncd')
    assert machine.look("MainPID") == process


def _a_signal_of_the_page_starts_a_run(machine: Machine) -> None:
    """Sent by systemctl, as the table of every day says."""
    machine.wait_for("run.finished")
    mark = machine.find_mark()
    machine.do("systemctl kill --signal=USR1 syncd")
    machine.wait_for('"event":"run.finished"', since=mark)


def _a_service_that_was_killed_is_started_again(machine: Machine) -> None:
    """After ten seconds, and it goes on with its store."""
    machine.wait_for("run.finished")
    before, mark = machine.look("NRestarts"), machine.find_mark()
    machine.do("systemctl kill --signal=KILL syncd")
    machine.wait_for('"event":"daemon.working"', since=mark)
    assert int(machine.look("NRestarts")) == int(before) + 1
    assert machine.look("ActiveState") == "active"


def _a_copy_is_put_back(machine: Machine) -> None:
    """As back-up.md says, and the service goes on with it."""
    machine.wait_for("run.finished")
    known = _count_runs(machine)
    machine.do("install -d -o syncd /backup")
    machine.do("cd /var/lib/syncd && runuser -u syncd -- /opt/syncd/bin/syncd backup /backup/syncd-2026-11-29.db")
    mark = machine.find_mark()
    machine.do(_read_script("back-up.md", "systemctl stop"))
    machine.wait_for('"event":"daemon.working"', since=mark)
    assert _count_runs(machine) >= known


def _the_log_can_have_a_journal_of_its_own(machine: Machine) -> None:
    """As logs.md says, with the two files of deploy/logs."""
    machine.wait_for("run.finished")
    machine.do(_read_script("logs.md", "syncd-journal.conf"))
    watched = (
        f"timeout {SECONDS} journalctl --namespace=syncd --unit=syncd --output=cat --follow --lines=all 2>/dev/null"
    )
    machine.do(f'grep --quiet --fixed-strings \'"event":"daemon.working"\' < <({watched})')
    machine.do("rm -r /etc/systemd/system/syncd.service.d && systemctl daemon-reload && systemctl restart syncd")


def _an_upgrade_and_the_way_back(machine: Machine) -> None:
    """As upgrade.md says, but for the installation; the way back brings program and store of before."""
    machine.wait_for("run.finished")
    mark = machine.find_mark()
    machine.do(_read_script("upgrade.md", "syncd migrate"))
    machine.wait_for('"event":"run.finished"', since=mark)
    after, mark = _count_runs(machine), machine.find_mark()
    machine.do("echo changed > /opt/syncd/VERSION")
    machine.do(_read_script("upgrade.md", "syncd.before /opt/syncd"))
    machine.wait_for('"event":"run.finished"', since=mark)
    assert _count_runs(machine) <= after
    machine.do("test ! -e /opt/syncd/VERSION")


def _read_script(page: str, sign: str) -> str:
    """Return the commands of the block of a page that has this sign, but for those that install."""
    (block,) = [
        block for block in read_blocks(PAGE.with_name(page)) if sign in block.text and "docker" not in block.text
    ]
    return "\n".join(["set -e", *(typed.command for typed in block.typed if not INSTALLS.match(typed.command))])


def _count_runs(machine: Machine) -> int:
    shown = machine.do("cd /var/lib/syncd && runuser -u syncd -- /opt/syncd/bin/syncd runs --json")
    return len(json.loads(shown))


def _a_stop_is_a_clean_end_and_a_start_goes_on(machine: Machine) -> None:
    """Within the time that the unit gives, without a kill."""
    machine.wait_for("run.finished")
    mark = machine.find_mark()
    machine.do("systemctl stop syncd")
    assert (machine.look("Result"), machine.look("ExecMainStatus")) == ("success", "0")
    machine.wait_for('"event":"daemon.stopped"', since=mark)
    machine.do("systemctl start syncd")
    machine.wait_for('"event":"daemon.working"', since=mark)


def _a_wrong_configuration_is_not_tried_again_and_again(machine: Machine) -> None:
    """Exit code 2 leaves the service failed, and the journal says what is wrong."""
    machine.wait_for("run.finished")
    machine.do("systemctl stop syncd && cp --preserve /etc/syncd/syncd.toml /srv/kept")
    machine.do("sed --in-place 's/tenant_id/tenantid/' /etc/syncd/syncd.toml")
    mark = machine.find_mark()
    try:
        machine.do("systemctl start syncd")
        machine.wait_for("graph.tenantid", since=mark)
        machine.wait_for("Failed with result 'exit-code'", since=mark)
        assert machine.look("ExecMainStatus") == "2"
        assert machine.look("NRestarts") == "0"
    finally:
        machine.do("cp -p /srv/kept /etc/syncd/syncd.toml && systemctl reset-failed syncd; systemctl start syncd")


def test_the_service_lives_as_the_pages_say(machine: Machine) -> None:
    """Booted, reloaded, killed, stopped, restored, upgraded and misconfigured, one after the other on one machine."""
    for step in (
        _the_service_boots_and_works,
        _systemd_finds_nothing_wrong_with_the_unit,
        _a_reload_takes_over_a_changed_configuration,
        _a_signal_of_the_page_starts_a_run,
        _a_service_that_was_killed_is_started_again,
        _a_copy_is_put_back,
        _the_log_can_have_a_journal_of_its_own,
        _an_upgrade_and_the_way_back,
        _a_stop_is_a_clean_end_and_a_start_goes_on,
        _a_wrong_configuration_is_not_tried_again_and_again,
    ):
        step(machine)
