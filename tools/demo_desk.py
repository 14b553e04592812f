"""The administrator's desk in the demo: is all well, what is next, what is strange; and the same in a browser."""

from __future__ import annotations

import html
import http.client
import re
import ssl
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode, urljoin, urlsplit

from demo_company import Company
from demo_stage import Stage, expect

_HOPS = 10
_SECONDS = 30.0


def look_around(stage: Stage, company: Company) -> None:
    """What stands on one screen, what the portal has beside the company, and what has a date."""
    screen = stage.screen
    screen.head("The administrator's desk")
    screen.say("Is all well, and what is next? One screen says it.")
    told = stage.show("status")
    wide = [line for line in told.splitlines() if len(line) > 100 and len(line.split()) > 1]  # a long path is one word
    expect(not wide, "status is wider than 100 columns")
    expect("daemon" in told, "status does not tell of the daemon")
    screen.say("What does the portal have that the tenant does not know?")
    expect("local" in stage.show("orphans", most=8), "the portal has nothing of its own")
    stage.show("licences", most=8)

    person = next(user for user in company.state("users") if user["state"] == "active" and user["manager"])
    login = str(person["userPrincipalName"])
    screen.say(f"{person['displayName']} shall be left alone for a while: nothing is done until a day, and it is told.")
    stage.show("pause", login, "--until", "2099-12-31", "--reason", "parental leave")
    expect(login in stage.show("due", most=8), "due does not tell of the pause")
    stage.show("resume", login)


def let_go_and_trigger(stage: Stage, company: Company) -> None:
    """A record that is let go of and bound again by hand; and a run that the daemon is asked for from another shell."""
    screen = stage.screen
    screen.head("By hand")
    login = str(next(user for user in company.state("users") if user["state"] == "active")["userPrincipalName"])
    screen.say("A record may be let go of, without a touch, and be bound again by hand.")
    stage.show("release", login)
    stage.show("link", login, login)
    screen.seen("it is ours again, and the portal was not written to")
    stage.screen.say("Without a signal: any shell asks the working daemon for a run, and waits for its end.")
    stage.show("trigger", "delta", "--wait", "2m")


def use_console(stage: Stage, company: Company) -> None:
    """Sign in to the console as a person of the company, and find the same as by the commands."""
    screen = stage.screen
    screen.head("The same in a browser")
    with (stage.directory / "sandbox" / "syncd.toml").open("rb") as file:
        settings = tomllib.load(file)
    home, approver = settings["web"]["external_url"], settings["web"]["approvers"][0]
    login = next(str(user["userPrincipalName"]) for user in company.state("users") if user["id"] == approver)
    browser = Browser(ssl.create_default_context(cafile=settings["graph"]["ca_file"]))
    first = browser.open(f"{home}/users")
    expect("Sign in with Microsoft Entra ID" in first and login not in first, "the console shows itself to anybody")
    asked = browser.open(f"{home}/sign-in/entra?back=/")
    fields = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)"', asked))
    given = {name: html.unescape(value) for name, value in fields.items()} | {"login": login}
    overview = browser.open(browser.place, given)
    expect(f"{login} · approver" in overview, "nobody could sign in to the console")
    screen.seen(f"signed in to {home} with the tenant, as {login}; nothing is shown before")
    for path, wanted in (("/runs", "Runs"), ("/orphans", "Orphans"), ("/licences", "Licences"), ("/settings", "guard")):
        expect(wanted in browser.open(f"{home}{path}"), f"{path} does not show {wanted}")
    expect("********" in browser.open(f"{home}/settings"), "a secret is shown")
    screen.seen("overview, runs, orphans, licences and settings are there, secrets masked")


def look_back(stage: Stage, company: Company, leaver: str) -> None:
    """Who was where, what became of a leaver, whether the record is whole, changes by hand, and a copy of the store."""
    screen = stage.screen
    screen.head("Looking back")
    group = next(group for group in company.state("groups") if group["state"] == "active" and group["members"])
    screen.say("Who was in a group on a day, and by which run did they come and go?")
    stage.show("who", str(group["id"]), "--at", f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S+00:00}", most=8)
    screen.say(f"Has {leaver} truly lost everything? A certificate says it.")
    stage.show("certificate", leaver, most=8)
    screen.say("Is the record of all runs whole, as they wrote it? Was anything changed by hand in the portal?")
    stage.show("verify", most=6)
    stage.show("drift", most=8)
    stage.show("backup", str(stage.directory / "copy.db"))


def name_the_rest(stage: Stage) -> None:
    """Every command that the demo has not shown, by its purpose, with its first sentence."""
    screen = stage.screen
    screen.head("What else there is")
    heading, told = "", ""
    for line in stage.run("--help").stdout.partition("Examples:")[2].splitlines():
        if found := re.fullmatch(r"(\w[\w ]*):", line):
            heading = found[1]
        elif heading == "Options" or not line.strip():
            continue
        elif found := re.match(r"  ([a-z]+)  ", line):
            told = found[1]
            if told not in stage.shown:
                screen.note(f"syncd {line.strip()}", "")
        elif told and told not in stage.shown and line.startswith("    "):
            screen.note(f"      {line.strip()}", "")
    screen.say("syncd COMMAND --help has an example of each; syncd completion bash, zsh or fish completes them.")


@dataclass(slots=True)
class Browser:
    """Follows the way from page to page, and keeps cookies by host, as a browser does on this machine."""

    trust: ssl.SSLContext
    place: str = ""
    _cookies: dict[str, dict[str, str]] = field(default_factory=dict)

    def open(self, address: str, form: Mapping[str, str] | None = None) -> str:
        """Return the page behind an address, and where it leads; ``form`` is sent there."""
        for _ in range(_HOPS):
            self.place, parts = address, urlsplit(address)
            answer, body = self._send(parts, form)
            if answer.status not in (301, 302, 303):
                expect(answer.status == 200, f"{address} answers {answer.status}: {body[:300]}")
                return body
            address, form = urljoin(address, answer.headers["Location"]), None
        raise ValueError(f"{address} leads nowhere")

    def _send(self, parts: Any, form: Mapping[str, str] | None) -> tuple[http.client.HTTPResponse, str]:
        connection: http.client.HTTPConnection
        if parts.scheme == "https":
            connection = http.client.HTTPSConnection(parts.netloc, timeout=_SECONDS, context=self.trust)
        else:
            connection = http.client.HTTPConnection(parts.netloc, timeout=_SECONDS)
        known = self._cookies.setdefault(parts.netloc, {})
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in known.items())} if known else {}
        if form is not None:
            origin = f"{parts.scheme}://{parts.netloc}"
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Origin": origin}
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        body = None if form is None else urlencode(form)
        connection.request("GET" if form is None else "POST", path, body, headers)
        answer = connection.getresponse()
        for line in answer.headers.get_all("Set-Cookie", []):
            name, _, value = line.partition(";")[0].partition("=")
            known[name] = value
        text = answer.read().decode()
        connection.close()
        return answer, text
