"""``make demo``: an invented company, an imitation tenant and portal, and ``syncd run`` at work between them.

A plain script around the installed program: it starts two processes, lets things happen through the sandbox's control
endpoint, sends signals, and asks the commands what came of it. It believes nothing: after each step it computes from
the tenant what the portal should hold, and compares. It ends with 0 only when everything was really seen. Whatever
happens, it stops the two processes again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import demo_desk
from demo_company import Company, Picture, compare, look_at_portal, look_at_tenant
from demo_stage import NotSeenError, Process, Screen, Stage, expect
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
GUEST = "Lena Fischer (Hafen Partner)"
RULE = {"group": "Approvers A", "database": 1, "application": "Invoices", "level": "ReadOnly"}
"""What the demo lets the members of a group do in the portal."""
_RUN_SECONDS = 150.0
_START_SECONDS = 60.0
_ALL_SECONDS = 600


@dataclass(slots=True)
class Play:
    """What the acts share: the stage, the running daemon, the company, and what the portal had before us."""

    stage: Stage
    company: Company
    daemon: Process
    foreign: Mapping[str, object]

    def wait_for_run(self) -> dict[str, Any]:
        """Show the daemon's log until a run is finished, and return the line that says so."""
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            for line in self.daemon.fresh_lines():
                event = json.loads(line) if line.startswith("{") else {"event": line}
                self._show_event(event)
                if event["event"] == "run.finished":
                    return event
            self.daemon.check()
            time.sleep(0.05)
        raise NotSeenError(f"no run was finished within {_RUN_SECONDS:.0f} seconds")

    def signal(self, number: signal.Signals, kind: str, status: str) -> dict[str, Any]:
        """Send a signal to the daemon, and wait for the run that it asks for."""
        self.stage.screen.console.print(Text(f"  $ kill -{number.name.removeprefix('SIG')} {self.daemon.popen.pid}"))
        self.daemon.popen.send_signal(number)
        run = self.wait_for_run()
        found = run["kind"], run["trigger"], run["status"]
        expect(found == (kind, "signal", status), f"the run was {found}, not {(kind, 'signal', status)}")
        return run

    def compare(self) -> Picture:
        """Compare the portal with the tenant, say so, and return what the portal holds."""
        wanted, found = look_at_tenant(self.company), look_at_portal(self.company)
        compare(wanted, found, self.foreign)
        self.stage.screen.seen(
            f"compared with the tenant: {len(wanted.accounts):,} people, {len(wanted.members):,} groups and "
            f"{wanted.memberships:,} memberships are right"
        )
        return found

    def _show_event(self, event: Mapping[str, Any]) -> None:
        text = describe(event)
        if text is not None:
            style = "yellow" if event.get("level") in ("warning", "error") else "dim"
            self.stage.screen.note(f"{str(event.get('time', ''))[11:19]}  {text}", style)


def describe(event: Mapping[str, Any]) -> str | None:
    """Return a line of the daemon's log as a person would say it; None for those that the demo leaves out."""
    match event["event"]:
        case "daemon.started" | "daemon.stopped":
            return str(event["event"]).replace(".", " ")
        case "run.started":
            return f"run {event.get('run')} started: {event['kind']}, trigger {event['trigger']}"
        case "plan.held":
            return f"run {event.get('run')} holds back: {event['reason']}"
        case "run.finished":
            long = {name: seconds for name, seconds in event["phases"].items() if seconds >= 0.05}
            phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in long.items())
            return f"run {event.get('run')} {event['status']} in {event['seconds']:.1f} s ({phases})"
        case _ if event.get("level") in ("warning", "error"):
            return ", ".join(f"{key} {value}" for key, value in event.items() if key not in ("time", "level", "logger"))
    return None


def sum_up(happened: Sequence[Mapping[str, Any]]) -> str:
    """Return what happened in the company in one sentence, with an example of each kind."""
    words = {"hire": "hired", "leave": "left", "rename": "renamed", "move": "moved", "guest": "invited"}
    counts = Counter(str(change["op"]) for change in happened)
    examples = {str(change["op"]): change for change in reversed(happened)}
    return ", ".join(f"{count} {words.get(op, op)} (such as {examples[op]['name']})" for op, count in counts.items())


def play(stage: Stage, people: int) -> None:
    """Play all acts; raises NotSeenError when one of them does not go as promised."""
    screen = stage.screen
    groups = max(25, people // 10)
    screen.head("A company, a tenant and a portal")
    screen.say(
        f"The sandbox imitates Entra ID, Microsoft Graph and a WEBCON BPS portal on this machine, over real HTTPS, for "
        f"an invented company of {people:,} people. Its portal needs about a second until a write is visible."
    )
    company = start_sandbox(stage, people, groups)
    write_rule(stage, RULE)
    foreign = look_at_portal(company).foreign
    screen.seen(f"ready; the portal has {len(foreign)} records that are not the company's and must stay as they are")

    show_plan(stage, company)

    screen.head("The first sync")
    screen.say(
        "syncd run is the daemon. It reads everything, plans everything, and only then writes. People come first, then "
        "their managers, groups, and memberships through nested groups."
    )
    actors = Play(stage, company, stage.start("daemon", "run"), foreign)
    run = actors.wait_for_run()
    expect((run["kind"], run["status"]) == ("full", "succeeded"), f"the first run {run['status']}: {run.get('error')}")
    screen.say(
        f"It read {run['users_counted']:,} users, {run['groups_counted']:,} groups and {run['links_read']:,} "
        f"memberships in {run['graph_requests']:,} requests to Graph, and created {run['create']:,} accounts and "
        f"groups and {run['link']:,} memberships in {run['bps_requests']:,} requests to the portal."
    )
    actors.compare()
    tell_privileges(actors)
    demo_desk.look_around(stage, company)
    demo_desk.use_console(stage, company)

    day = follow_changes(actors)
    leaver = hold_back(actors)
    answer_question(actors)
    demo_desk.let_go_and_trigger(stage, company)
    triggered = actors.wait_for_run()
    expect(triggered["status"] == "succeeded", f"the run that was asked for {triggered['status']}")

    screen.head("The history")
    screen.say("Every run is recorded, with every change and what became of it.")
    stage.show("runs")
    history = [(entry["kind"], entry["status"]) for entry in reversed(stage.ask("runs"))]
    told = [
        "plan succeeded",
        "full succeeded",
        "delta succeeded",
        "full succeeded",
        "delta held",
        "delta held",
        *["delta succeeded"] * 2,
    ]
    expect([f"{kind} {status}" for kind, status in history] == told, f"the history is {history}")

    screen.say("SIGTERM lets the daemon finish what it has in hand and go.")
    code = actors.daemon.stop()
    expect(code == 0, f"the daemon ended with exit code {code}")
    screen.seen("the daemon ended with exit code 0")
    take_back(actors, day)
    demo_desk.look_back(stage, company, leaver)
    demo_desk.name_the_rest(stage)


def show_plan(stage: Stage, company: Company) -> None:
    """Show what a first run would do, before anything is written."""
    stage.screen.head("A plan first")
    stage.screen.say(
        "syncd check tries all that a run needs. And nobody has to trust a first run: syncd plan reads both sides, "
        "prints every change, and writes none."
    )
    stage.show("check", most=10)
    before = look_at_portal(company)
    stage.show("plan", "full", most=12)
    expect(look_at_portal(company) == before, "the plan changed the portal")
    stage.screen.seen("the portal is as it was")


def take_back(actors: Play, day: str) -> None:
    """Undo the run of the day at the company, as far as that can be done."""
    stage, before = actors.stage, look_at_portal(actors.company)
    stage.screen.head("Taking a run back")
    stage.screen.say(
        "Every run can be undone from its record. What cannot be undone is said first: an account stays, as somebody "
        "may have worked with it."
    )
    stage.show("undo", day, most=16)
    after = look_at_portal(actors.company)
    expect(after.members != before.members, "the undo changed no membership")
    expect(after.accounts.keys() >= before.accounts.keys(), "the undo deleted accounts")
    stage.screen.seen(f"{before.memberships - after.memberships:+,} memberships, and nobody lost an account")


def start_sandbox(stage: Stage, people: int, groups: int) -> Company:
    """Start the sandbox and wait until it is ready."""
    arguments = ["--users", str(people), "--groups", str(groups), "--memberships", str(people * 20 // 3)]
    sandbox = stage.start("sandbox", "sandbox", *arguments, "--portal-delay", "1", "--for", "15m")
    deadline = time.monotonic() + _START_SECONDS
    url = ""
    while time.monotonic() < deadline:
        for line in sandbox.fresh_lines():
            if line.startswith("The company:"):
                stage.screen.note(line)
            if line.strip().startswith("control "):
                url = line.split()[1]
            if line.startswith("Ready."):
                return Company(url)
        sandbox.check()
        time.sleep(0.05)
    raise NotSeenError(f"the sandbox was not ready within {_START_SECONDS:.0f} seconds")


def write_rule(stage: Stage, rule: Mapping[str, object]) -> None:
    """Put a rule about privileges behind the configuration that the sandbox wrote."""
    lines = (f"{name} = {json.dumps(value)}" for name, value in rule.items())
    with (stage.directory / "sandbox" / "syncd.toml").open("a", encoding="utf-8") as file:
        file.write("\n".join(["", "[[privileges]]", *lines, ""]))


def tell_privileges(actors: Play) -> None:
    """What a rule gave a group in the portal, as the command tells it and as the portal has it."""
    screen, company = actors.stage.screen, actors.company
    screen.head("Who may do what")
    screen.say(
        f"A rule of the configuration lets the members of {RULE['group']} read the application {RULE['application']}: "
        "the first run has given that to the BPS group."
    )
    actors.stage.show("privileges", most=12)
    (group,) = [group["bpsId"] for group in company.state("portal-groups") if group["name"] == RULE["group"]]
    there = company.state("portal-privileges")
    given = [(each["bpsId"], each["place"], each["level"]) for each in there if each["origin"] == "rest"]
    expect(given == [(group, RULE["application"], RULE["level"])], f"the portal has {given}")
    screen.seen(f"the portal has just that by us, and {len(there) - len(given)} privileges of others as before")


def follow_changes(actors: Play) -> str:
    """Hires, leavers, renames and moves, carried over by a delta, which is returned; then a full run without news."""
    screen, company = actors.stage.screen, actors.company
    screen.head("A day at the company")
    happened = [
        change
        for operation, count in (("hire", 6), ("leave", 3), ("rename", 2), ("move", 4))
        for change in company.happen(operation, count)
    ]
    screen.say(f"{sum_up(happened)}. SIGUSR2 asks for a delta: only what changed is read, planned and written.")
    run = actors.signal(signal.SIGUSR2, "delta", "succeeded")
    screen.note(f"{run['graph_requests']} requests to Graph, {run['bps_requests']} to the portal")
    found = actors.compare()
    for change in happened:
        if change["op"] in ("hire", "rename"):
            expect(change["upn"].lower() in found.accounts, f"{change['upn']} has no account")
        if change["op"] == "rename":
            kept = change["before"].lower()
            expect(kept in found.accounts, f"the old account {kept} is gone")
            expect(not any(kept in members for members in found.members.values()), f"{kept} is still in groups")
    show_changes(actors, str(run["run"]))

    screen.head("A full run on demand")
    screen.say("SIGUSR1 asks for a full run: everything is read again from both sides. Nothing should be left to do.")
    day, run = str(run["run"]), actors.signal(signal.SIGUSR1, "full", "succeeded")
    left = actors.stage.ask("runs", "show", str(run["run"]))["changes"]
    expect(left == [], f"the full run found {len(left)} changes")
    screen.seen("no change was planned")
    actors.compare()
    return day


def show_changes(actors: Play, run: str) -> None:
    """Show what a run changed: its summary, and some of its changes, a line each."""
    stage = actors.stage
    changes = stage.ask("runs", "show", run)["changes"]
    kinds = Counter(change["action"] for change in changes)
    expect(kinds["create"] >= 8 and kinds["link"] and kinds["unlink"], f"the run changed {dict(kinds)}")
    expect({change["outcome"] for change in changes} == {"done"}, "not every change was done")
    stage.show("runs", "show", run, most=9)
    stage.screen.say("The command goes on with every change and its values before and after. Some of them in short:")
    groups = {f"{group['id']}@groups.example.com": group["displayName"] for group in actors.company.state("groups")}
    for kind in kinds:
        for change in [change for change in changes if change["action"] == kind][:3]:
            stage.screen.note(describe_change(change, groups).replace("@nordwind.example", ""), "")


def describe_change(change: Mapping[str, Any], groups: Mapping[str, str]) -> str:
    """Return one change of a run as a line; ``groups`` has the name of each group by its BPS id."""
    if change["object"] == "membership":
        return f"{change['action']:7} {change['target']} · {groups.get(change['bps_id'], change['bps_id'])}"
    before, after = change["before"], change["after"]
    fields = (f"{name} {before.get(name) or '–'} → {value or '–'}" for name, value in after.items())
    made = (f"{name} {value}" for name, value in after.items() if name != "email")
    return f"{change['action']:7} {change['bps_id']} · {', '.join(fields if before else made)}"


def hold_back(actors: Play) -> str:
    """An attempted mass removal is held, and decided about in part; the rest is put right. Return who really leaves."""
    stage, screen, company = actors.stage, actors.stage.screen, actors.company
    before = look_at_portal(company)
    screen.head("A mistake in the tenant")
    blocked = company.happen("disable-many", len(company.state("users")) // 4)
    hired = company.happen("hire", 1)[0]
    screen.say(
        f"Somebody blocks a quarter of the company, {len(blocked):,} people, and hires {hired['name']}. Blocked people "
        "lose their places in all groups: far more removals than the guard lets pass unasked."
    )
    run = actors.signal(signal.SIGUSR2, "delta", "held")
    found = look_at_portal(company)
    lost = sum(len(members - found.members[group]) for group, members in before.members.items())
    expect(run.get("held", 0) >= len(blocked), f"only {run.get('held', 0)} changes were held")
    expect(lost == 0, f"{lost} memberships were removed")
    screen.seen(f"{run['held']:,} removals are held, and nobody has lost a membership")
    expect(hired["upn"].lower() in found.accounts, f"{hired['name']} has no account")
    screen.seen(f"{hired['name']} has an account: additions are not held up by it")
    stage.show("held", most=6)
    screen.say("A second syncd cannot force it: beside a working daemon a sync ends with exit code 75.")
    stage.show("sync", "delta", code=75)

    logins = {str(user["id"]): str(user["userPrincipalName"]) for user in company.state("users")}
    leaver, stays = choose_two(stage, [logins[str(person["id"])] for person in blocked])
    screen.say(f"One of them has truly left, which somebody approves; {stays} stays, and that is rejected.")
    stage.show("approve", str(run["run"]), "--only", leaver, most=6, code=4)
    expect(actors.wait_for_run()["trigger"] == "approval", "the daemon did not carry out the approval")
    held = str(stage.ask("held")[0]["run"])
    stage.show("reject", held, "--only", stays)
    found = look_at_portal(company)
    gone = {name for group, members in before.members.items() for name in members - found.members[group]}
    expect(gone == {leaver.lower()}, f"{len(gone)} people have lost a place, not one")
    screen.seen(f"{leaver} has lost all places, and nobody else any")

    screen.head("Put right again")
    screen.say(
        "The others are unblocked before anybody decided about them. The next delta has no removal left to plan."
    )
    for person in blocked:
        if logins[str(person["id"])] != leaver:
            company.happen("enable", target=str(person["id"]))
    actors.signal(signal.SIGUSR2, "delta", "succeeded")
    expect(stage.ask("held") == [], "something is still held")
    screen.seen("nothing is held any more")
    actors.compare()
    return leaver


def choose_two(stage: Stage, logins: Sequence[str]) -> tuple[str, str]:
    """Return two of these people, of whom places are held."""
    changes = stage.ask("held")[0]["changes"]
    held = {str(change["target"]).lower() for change in changes if change["action"] == "unlink"}
    names = [login for login in logins if login.lower() in held]
    expect(len(names) > 1, f"places of {len(names)} people are held")
    return names[0], names[1]


def answer_question(actors: Play) -> None:
    """Why is this guest missing?"""
    stage = actors.stage
    stage.screen.head("A question from the help desk")
    stage.screen.say(f"Why is our guest {GUEST} not in the portal? Each person has a state, and a reason for it.")
    stage.show("users", GUEST)
    stage.show("explain", GUEST, most=12)
    found = stage.ask("users", GUEST)
    expect(len(found) == 1 and found[0]["state"] != "active", f"the guest's state is {found}")
    expect("guests are skipped" in found[0]["reason"], f"the guest's reason is {found[0]['reason']}")


# ---- from beginning to end -------------------------------------------------------------------------------------------


def main() -> int:
    """Play the demo and return its exit code."""
    parser = argparse.ArgumentParser(description="Show syncd at work between an imitation tenant and portal.")
    parser.add_argument("--people", type=int, default=3000, help="size of the company (default: 3000)")
    parser.add_argument("--directory", type=Path, default=ROOT / ".demo", help="emptied first (default: .demo)")
    options = parser.parse_args()
    directory = options.directory.absolute()
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGALRM, give_up)
    signal.alarm(_ALL_SECONDS)
    stage = Stage(directory, Screen())
    logs = [directory / "sandbox.log", directory / "daemon.log"]
    try:
        play(stage, options.people)
    except KeyboardInterrupt:
        stage.screen.say("Interrupted.")
        return 130
    except (NotSeenError, OSError, subprocess.SubprocessError, KeyError, ValueError) as error:
        stage.stop()
        stage.screen.console.print(Text(f"\nThe demo failed: {type(error).__name__}: {error}", style="bold red"))
        for log in logs:
            show_tail(stage.screen, log)
        return 1
    finally:
        stage.stop()
    stage.screen.head("That was syncd")
    took = time.monotonic() - stage.screen.started
    stage.screen.say(f"Everything was seen, in {took:.0f} seconds. Logs, store and configuration are in {directory}.")
    stage.screen.say("Where to look next:")
    stage.screen.note("docs/tutorial/sandbox.md          the same by hand, in twenty minutes", "")
    stage.screen.note("docs/how-to/set-up-entra.md       a first plan on your own tenant", "")
    stage.screen.note("docs/index.md                     everything else", "")
    return 0


def leave(_number: int, _frame: FrameType | None) -> NoReturn:
    """Leave on SIGTERM as on Ctrl-C, so that nothing is left running."""
    raise KeyboardInterrupt


def give_up(_number: int, _frame: FrameType | None) -> NoReturn:
    """Fail when the whole takes far too long."""
    raise NotSeenError(f"it was not over within {_ALL_SECONDS} seconds")


def show_tail(screen: Screen, log: Path) -> None:
    """Show the last lines of a log."""
    with contextlib.suppress(FileNotFoundError):
        screen.console.print(Text(f"\nThe end of {log}:", style="bold"))
        for line in log.read_text("utf-8", "replace").splitlines()[-15:]:
            screen.console.print(Text(f"  {line}"))


if __name__ == "__main__":
    sys.exit(main())
