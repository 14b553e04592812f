"""The console in a real browser: what an administrator comes for, from the tenant's sign-in page to a decision."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import pytest

from syncd.config import load_settings
from syncd.model.run import RunRequest
from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.fakes.chromium import Chromium, open_chromium
from tests.fakes.console import open_console
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World
from tests.optional import find_program_or_skip


async def found_company(world: World) -> None:
    """Twelve people in a nested group, of whom four were disabled; a login used again, and one that is unusable."""
    world.rules = make_rules(limits=make_limits(max_removal_percent=10, min_population=4, max_handovers=0))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    world.source.put_group("outer", displayName="Staff of the company", mailNickname="staff@grp")
    world.source.link("outer", "g", "group")
    for number in range(12):
        login = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"Person {number}", mail=login)
        world.source.link("g", f"u{number}")
    world.source.put_user("bad", userPrincipalName="no login", displayName="Missing Person")
    await world.sync("full")
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    world.source.remove_user("u11")
    world.source.put_user("new", userPrincipalName="u11@x.com", displayName="Newcomer")
    assert (await world.sync("delta")).status == "held"


pytestmark = pytest.mark.company(founded_by=found_company)


PAGES = (
    "/", "/runs", "/runs/1", "/held", "/held/2", "/users", "/users/u1", "/groups", "/groups/g", "/drift", "/orphans",
    "/licences", "/checks", "/settings",
)  # fmt: skip


SCROLLED = """[...document.querySelectorAll('main table')].filter(table => {
    const region = table.closest('[role=region][tabindex="0"][aria-label]');
    return !region || region.clientWidth > innerWidth || getComputedStyle(region).overflowX !== 'auto';
}).map(table => table.innerText.slice(0, 60))"""
"""Tables that would not scroll sideways by themselves, reached by the keyboard and named for who cannot see them."""


async def work(world: World) -> None:
    """Do what the working daemon does with an order of the console."""
    approval = await world.store.decisions.load_order()
    assert approval is not None
    request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval)
    record = await world.runs.execute(request, world.open_sides())
    await world.store.decisions.finish_order(approval.order, record.id)


async def decide(browser: Chromium, choose: str, reason: str, button: str) -> str:
    """Fill in the form of what a run holds, and say yes; return what was asked in between."""
    await browser.run(choose)
    await browser.type("#decide input[name=reason]", reason)
    await browser.click(f"button[value={button}]")
    asked = await browser.read()
    await browser.click("main form button")
    return asked


async def reject_by_keyboard(browser: Chromium, kind: str, reason: str) -> str:
    """Reject one kind of change without a mouse, from the top of the page on; return what was asked in between."""
    await reach(browser, "input[name=scope]")
    await browser.press("Down")  # from all changes to those of some kinds
    await reach(browser, f"input[name=kind][value={kind}]")
    await browser.press(" ")
    await reach(browser, "#decide input[name=reason]")
    await browser.press(reason)
    await reach(browser, "button[value=reject]")
    await browser.follow()
    asked = await browser.read()
    await reach(browser, "main form button")
    await browser.follow()
    return asked


async def reach(browser: Chromium, selector: str) -> None:
    """Go on with the tabulator until something has the keyboard."""
    for _ in range(100):
        if await browser.run(f"document.activeElement.matches({json.dumps(selector)})"):
            return
        await browser.press("Tab")
    raise AssertionError(f"the keyboard does not get to {selector}")


@pytest.mark.once
@pytest.mark.slow
async def test_an_administrator_does_a_days_work_in_a_browser(world: World, tmp_path: Path) -> None:
    """Signs in, finds out why somebody is missing, approves a part, rejects a handover, saves a list; any look.

    The variable SYNCD_PICTURES names a folder for a picture of each page, to be looked at.
    """
    reason = "no Chromium with its driver: the console was tried in no browser"
    program = find_program_or_skip("chromium", "chromium-browser", "google-chrome", reason=reason)
    driver = find_program_or_skip("chromedriver", reason=reason)
    async with Sandbox(SandboxOptions(users=12, groups=2, memberships=5), tmp_path / "box", clock=world.clock) as box:
        file = tmp_path / "own.toml"
        file.write_text(box.config_toml(store_url="sqlite:///x.db", health_listen="", web_port=8443))
        async with open_console(world, base=load_settings(file, {})) as stage:
            home = stage.url.replace("127.0.0.1", "localhost")
            stage.configure(external_url=home)
            login = str(next(box.directory.active_users()).properties["userPrincipalName"])
            async with open_chromium(program, driver, tmp_path / "profile") as browser:
                await browser.look(width=1280, scheme="light")
                await browser.open(f"{home}/users?q=missing")
                await browser.click("a.button")
                assert "imitation tenant" in await browser.read()
                await browser.type("input[name=login]", login)
                await browser.click("form button")
                assert f"{login} · approver" in await browser.read()
                assert await browser.run("location.pathname + location.search") == "/users?q=missing"

                await browser.click("tbody th a")
                why = await browser.read()
                assert "Missing Person" in why
                assert "skipped" in why
                assert "no usable BPS id" in why
                assert "What happens next" in why
                assert "correct that value in the tenant" in why

                await browser.open(f"{home}/users/u1")
                assert await browser.run("document.querySelectorAll('svg.paths a').length") == 2
                await look_around(browser, home)

                await browser.open(f"{home}/held/2")
                only = "document.querySelector('input[name=only][value=\"u1@x.com\"]')"
                asked = await decide(browser, f"{only}.click()", "really left", "approve")
                assert "You approve 2 changes" in asked
                assert "Approved." in await browser.read()
                await work(world)
                assert "u1@x.com" not in world.portal.picture()["all@grp"]
                assert "u2@x.com" in world.portal.picture()["all@grp"]

                await browser.open(f"{home}/held")
                await browser.click("main h2 a")
                assert "Newcomer" in await browser.read()
                asked = await reject_by_keyboard(browser, "handover", "somebody else")
                assert "You reject 1 change;" in asked
                assert "Rejected." in await browser.read()
                assert world.store.decisions.count_rejections()
                assert len(world.portal.picture()["all@grp"]) == 11

                await browser.open(f"{home}/users?q=person")
                (folder := tmp_path / "saved").mkdir()
                rows = list(csv.reader(io.StringIO((await browser.save("a[download]", folder)).decode("utf-8-sig"))))
                assert len(rows) == 1 + 13
                assert rows[0][0] == "name"

                shown = await browser.run("document.querySelector('footer time').textContent")
                assert "UTC" not in str(shown), "in the reader's own zone"
                await browser.click(".who form button")
                assert "You are signed out" in await browser.read()
                assert [each for each in await browser.list_problems() if "favicon" not in each] == []


async def look_around(browser: Chromium, home: str) -> None:
    """Every page fits, in light and dark, wide and narrow, and the keyboard's place on it is seen."""
    folder = Path(os.environ.get("SYNCD_PICTURES", ""))
    for width, scheme in ((360, "dark"), (360, "light"), (1600, "dark"), (1600, "light")):
        await browser.look(width=width, scheme=scheme)
        for path in PAGES if width == 360 or folder.name else PAGES[:3]:
            await browser.open(f"{home}{path}")
            widest = await browser.run("document.documentElement.scrollWidth")
            assert widest <= width, f"{path} is {widest} wide at {width}"
            assert await browser.run(SCROLLED) == [], f"{path}: a table that is wider scrolls in a region of its own"
            if folder.name:
                await browser.picture(
                    folder / f"{path.strip('/').replace('/', '-') or 'overview'}-{width}-{scheme}.png"
                )
        ground = await browser.run("getComputedStyle(document.body).backgroundColor")
        dark = sum(map(int, str(ground).strip("rgb()").split(","))) < 200
        assert dark is (scheme == "dark")
    await browser.open(f"{home}/users")
    places = set()
    for _ in range(24):
        await browser.press("Tab")
        where = "document.activeElement"
        outline = await browser.run(f"getComputedStyle({where}).outlineStyle")
        assert outline == "solid", await browser.run(f"{where}.outerHTML")
        places.add(await browser.run(f"{where}.textContent"))
    assert "Skip to the content" in "".join(map(str, places))
    await browser.look(width=1280, scheme="light")
