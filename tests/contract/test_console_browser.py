"""The console in a real browser: what an administrator comes for, from the tenant's sign-in page to a decision."""

from __future__ import annotations

from pathlib import Path

import pytest

from syncd.config import load_settings
from syncd.model.run import RunRequest
from syncd.sandbox.server import Sandbox, SandboxOptions
from tests.fakes.chromium import open_chromium
from tests.fakes.console import open_console
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World
from tests.optional import find_program_or_skip


async def found_company(world: World) -> None:
    """Twelve people in one group, of whom four were disabled, and one has no usable login."""
    world.rules = make_rules(limits=make_limits(max_removal_percent=10, min_population=4))
    world.source.put_group("g", displayName="All", mailNickname="all@grp")
    for number in range(12):
        login = f"u{number}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"Person {number}", mail=login)
        world.source.link("g", f"u{number}")
    world.source.put_user("bad", userPrincipalName="no login", displayName="Missing Person")
    await world.sync("full")
    for number in range(4):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("delta")).status == "held"


pytestmark = pytest.mark.company(founded_by=found_company)


@pytest.mark.once
@pytest.mark.slow
async def test_an_administrator_does_a_days_work_in_a_browser(world: World, tmp_path: Path) -> None:
    """Signs in, finds out why somebody is missing, approves a part, rejects the rest; light, dark, wide, narrow."""
    program = find_program_or_skip(
        "chromium",
        "chromium-browser",
        "google-chrome",
        reason="no Chromium: the console was tried in no browser",
    )
    async with Sandbox(SandboxOptions(users=12, groups=2, memberships=5), tmp_path / "box", clock=world.clock) as box:
        file = tmp_path / "own.toml"
        file.write_text(box.config_toml(store_url="sqlite:///x.db", health_listen="", web_port=8443))
        async with open_console(world, base=load_settings(file, {})) as stage:
            home = stage.url.replace("127.0.0.1", "localhost")
            stage.configure(external_url=home)
            login = str(next(box.directory.active_users()).properties["userPrincipalName"])
            async with open_chromium(program, tmp_path / "profile") as browser:
                await browser.look(width=1280, scheme="light")
                await browser.open(f"{home}/users?q=missing")
                await browser.click("a.button")
                assert "imitation tenant" in await browser.read()
                await browser.type("input[name=login]", login)
                await browser.click("form button")
                assert f"{login} · approver" in await browser.read()
                assert await browser.run("location.pathname + location.search") == "/users?q=missing"

                await browser.click("tbody th a")
                assert "Missing Person" in await browser.read()
                assert "skipped" in await browser.read()

                await browser.open(f"{home}/held/2")
                await browser.run("document.querySelectorAll('input[name=only]')[1].click()")
                assert await browser.run("document.querySelector('input[name=scope]:checked').value") == "people"
                await browser.type("#decide input[name=reason]", "really left")
                await browser.click("button[value=approve]")
                assert "You approve 1 changes" in await browser.read()
                await browser.click("main button")
                assert "Approved." in await browser.read()
                approval = await world.store.decisions.load_order()
                assert approval is not None
                request = RunRequest(pull="none", trigger="approval", retry_failed=True, approval=approval)
                record = await world.runs.execute(request, world.open_sides())
                await world.store.decisions.finish_order(approval.order, record.id)
                assert "u1@x.com" not in world.portal.picture()["all@grp"]

                await browser.open(f"{home}/held")
                await browser.click("main h2 a")
                await browser.run("document.querySelector('input[value=all]').click()")
                await browser.type("#decide input[name=reason]", "a mistake")
                await browser.click("button[value=reject]")
                await browser.click("main button")
                assert "Rejected." in await browser.read()
                assert len(world.portal.picture()["all@grp"]) == 11

                for width, scheme in ((360, "dark"), (360, "light"), (1600, "dark")):
                    await browser.look(width=width, scheme=scheme)
                    for path in ("/", "/runs", "/runs/1", "/held", "/users", "/users/u1", "/licences", "/settings"):
                        await browser.open(f"{home}{path}")
                        widest = await browser.run("document.documentElement.scrollWidth")
                        assert widest <= width, f"{path} is {widest} wide at {width}"
                    ground = await browser.run("getComputedStyle(document.body).backgroundColor")
                    dark = sum(map(int, str(ground).strip("rgb()").split(","))) < 200
                    assert dark is (scheme == "dark")
                shown = await browser.run("document.querySelector('footer time').textContent")
                assert "UTC" not in str(shown), "in the reader's own zone"
                await browser.click(".who form button")
                assert "You are signed out" in await browser.read()
                assert [each for each in browser.problems if "favicon" not in each] == []
