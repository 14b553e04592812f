"""Every table of the console can be saved, with all that is in it: walked page by page."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from html import unescape

import openpyxl
import pytest

from syncd.config.sections import LicenceSetting
from syncd.model.privilege import Place, Privilege
from syncd.plan.rules import LicenceRule
from syncd.web.console.texts.catalogue import Texts
from syncd.web.console.view import FOLDER
from tests.fakes.console import Browser, make_web, open_console
from tests.fakes.rules import make_default_settings, make_limits, make_rules
from tests.fakes.world import World

LICENCES = (LicenceSetting(group="Staff", type="PowerUser"),)
PAGES = (
    "/", "/runs", "/runs/1", "/runs/2", "/held", "/held/2", "/users", "/users/u3", "/users/u12", "/groups",
    "/groups/g", "/records/robot@old.example", "/drift", "/orphans", "/licences", "/checks", "/settings",
)  # fmt: skip


async def found_company(world: World) -> None:
    """Twenty people in a group with a licence rule; some differ, one account is nobody's, and removals are held."""
    world.rules = make_rules(
        limits=make_limits(max_removal_percent=5, min_population=4, max_adoptions=0),
        licences=tuple(LicenceRule(each.group, each.type) for each in LICENCES),
    )
    world.rules = replace(world.rules, policy=replace(world.rules.policy, drift="report"))
    world.portal.totals["PowerUser"] = 60
    world.source.put_group("g", displayName="Staff", mailNickname="staff@grp")
    world.source.put_group("wide", displayName="Everybody", mailNickname="wide@grp")
    world.source.link("wide", "g", "group")
    for number in range(20):
        login = f"u{number:02}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"Person {number:02}", mail=login)
        world.source.link("g", f"u{number}")
    world.portal.add_account("robot@old.example", name="=HYPERLINK(1)")
    assert (await world.sync("full")).status in ("succeeded", "partial")
    world.portal.members["staff@grp"]["robot@old.example"] = "robot@old.example"
    accounts = world.portal.accounts
    accounts["u12@x.com"] = replace(accounts["u12@x.com"], name="Somebody else")
    for number in range(9):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("full")).status == "held"
    privileges, place = world.store.privileges, Place(database=1, kind="application", key="1", name="Invoices")
    given = Privilege(place=place, level="ReadOnly")
    (staff,) = [key for key, name in privileges.load_names(range(1, 300)).items() if name == "staff@grp"]
    await privileges.begin(staff, privileges.intern([given])[given.token], remove=False, now=world.clock.now())


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


@dataclass(frozen=True, slots=True)
class Shown:
    """A table as a page shows it. ``saved``: the addresses just above it under which it can be kept."""

    page: str
    headings: tuple[str, ...]
    rows: tuple[frozenset[str], ...]
    saved: tuple[str, ...]


@pytest.fixture
async def reader(world: World) -> AsyncIterator[Browser]:
    """An approver, of a console that knows the licence rules, after a round of checks."""
    base = make_default_settings().model_copy(update={"licences": LICENCES, "web": make_web()})
    async with open_console(world, base=base) as stage:
        browser = stage.sign_in("approver")
        await browser.post("/checks")
        yield browser


async def walk_tables(browser: Browser) -> list[Shown]:
    """Return the tables of all pages."""
    return [table for page in PAGES for table in find_tables(page, (await browser.get(page)).text)]


def find_tables(page: str, text: str) -> list[Shown]:
    """Return the tables of one page that have rows."""
    found, above = list[Shown](), 0
    for table in re.finditer(r"<table.*?</table>", text, re.DOTALL):
        between = re.split(r"</section>|<h2", text[above : table.start()])[-1]
        saved = re.findall(r'href="([^"]*)" download', between)
        rows = [row for row in re.findall(r"<tr>.*?</tr>", table[0], re.DOTALL) if "<thead" not in row]
        headings = tuple(read_cells(table[0].partition("<tbody")[0]))
        cells = [frozenset(read_cells(row)) for row in rows[1:]]
        if not any("colspan" in row for row in rows[1:]):
            found.append(Shown(page, headings, tuple(cells), tuple(map(unescape, saved))))
        above = table.end()
    return found


def read_cells(text: str) -> list[str]:
    """Return what is read in each cell."""
    cells = re.findall(r"<t[hd]\b[^>]*>(.*?)</t[hd]>", text, re.DOTALL)
    return [unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", cell)).strip()) for cell in cells]


async def test_every_table_can_be_saved_with_all_its_rows(reader: Browser) -> None:
    """Above each there are two links of its own, and what they bring has each row that is shown."""
    tables = await walk_tables(reader)
    assert len(tables) > 20
    kept = set[str]()
    for table in tables:
        assert [address.rpartition("export=")[2].partition("&")[0] for address in table.saved] == ["csv", "xlsx"], table
        assert not kept & set(table.saved), f"{table.page}: another table of this page is saved there"
        kept |= set(table.saved)
        lines = list(csv.reader(io.StringIO((await reader.get(table.saved[0])).body.decode("utf-8-sig"))))
        sheet = openpyxl.load_workbook(io.BytesIO((await reader.get(table.saved[1])).body)).active
        assert sheet is not None
        assert sheet.max_row == len(lines) > len(table.rows), table.page
        for row in table.rows:
            assert any(row & set(line) for line in lines[1:]), f"{table.page} {table.headings}: {set(row)}"


async def test_the_walk_meets_every_table_of_the_templates(reader: Browser) -> None:
    """A table that no page of the walk shows would not be judged."""
    english, sometimes = Texts("en"), {"held.choose", "run.outcome"}
    met = [set(table.headings) for table in await walk_tables(reader)]
    for file in sorted((FOLDER / "templates").iterdir()):
        for head in re.findall(r"<thead>.*?</thead>", file.read_text(encoding="utf-8"), re.DOTALL):
            wanted = {english(key) for key in re.findall(r"t\('([a-z_.]+)'\)", head) if key not in sometimes}
            assert any(wanted <= headings for headings in met), f"{file.name}: {wanted}"


async def test_memberships_of_a_record_that_is_nobodys_are_saved(reader: Browser) -> None:
    """As those of a person are."""
    lines = (await reader.get("/records/robot@old.example?export=csv")).body.decode("utf-8-sig").splitlines()
    assert lines == ["object,bps id,with,name,source id", "membership,robot@old.example,staff@grp,Staff,g"]
    assert "export=csv" in (await reader.get("/records/robot@old.example")).text
