"""What the pages of the console show: the same as the commands, a page at a time, for whoever may look."""

from __future__ import annotations

import asyncio
import csv
import io
import re
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import openpyxl
import pytest
from sqlalchemy import update

from syncd.model.privilege import Place as Somewhere
from syncd.model.privilege import Privilege
from syncd.model.run import RunRequest
from syncd.plan.report.scope_verdicts import Place
from syncd.plan.rules import LicenceRule
from syncd.store.schema.tables import changes
from syncd.web.console.paths import draw_paths
from syncd.web.console.texts.catalogue import Texts
from tests.fakes.console import Browser, ConsoleStage, open_console
from tests.fakes.queries import find_walks, listening
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World


async def found_company(world: World) -> None:
    """Seventy people: in a nested group, without a mail address, one with a name full of markup; nine disabled."""
    world.rules = make_rules(
        limits=make_limits(max_removal_percent=5, min_population=4), licences=(LicenceRule("Staff", "PowerUser"),)
    )
    world.portal.totals["PowerUser"] = 60
    world.source.put_group("inner", displayName="Team", mailNickname="team@grp")
    world.source.put_group("outer", displayName="Staff", mailNickname="staff@grp")
    world.source.link("outer", "inner")
    for number in range(70):
        name = "<script>alert(1)</script>" if number == 7 else f"Person {number:02}"
        world.source.put_user(
            f"u{number}", userPrincipalName=f"u{number:02}@x.com", displayName=name, mail=f"u{number:02}@x.com"
        )
        world.source.link("inner", f"u{number}")
    world.source.put_user("bad", userPrincipalName="no login", displayName="Żaneta Ćwiek")
    world.portal.add_account("robot@old.example", name="=HYPERLINK(1)")
    assert (await world.sync("full")).status in ("succeeded", "partial")
    for number in range(9):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("delta")).status == "held"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


@pytest.fixture
async def stage(world: World) -> AsyncIterator[ConsoleStage]:
    """A console over that company."""
    async with open_console(world) as opened:
        yield opened


@pytest.fixture
def viewer(stage: ConsoleStage) -> Browser:
    """Somebody who may look."""
    return stage.sign_in("viewer")


def count_rows(text: str) -> int:
    """Return the rows of the table's body."""
    return len(re.findall(r"<tr>", text.partition("<tbody>")[2]))


def words(text: str) -> str:
    """Return what is read of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


async def test_the_overview_answers_whether_all_is_well(stage: ConsoleStage, viewer: Browser) -> None:
    """Idle in words, both sides, people by state, what is held, licences, and pictures with words."""
    text = (await viewer.get("/")).text
    read = words(text)
    assert "Idle: nothing runs" in read or "Nobody works on the store" in read
    assert re.search(r"held 9\b", read)
    counts = re.findall(r'href="/users\?state=\w+"><span[^>]*>[^<]*</span></a> (\d+)', text)
    assert sum(map(int, counts)) == 71
    assert "changes of run 2" in read
    assert "PowerUser" in read
    assert text.count('role="img"') >= 2
    assert all(label for label in re.findall(r'role="img" aria-label="([^"]*)"', text))
    stage.vitals.role = "standby"
    assert "This daemon is the standby" in (await viewer.get("/")).text


async def test_lists_come_page_by_page(viewer: Browser) -> None:
    """Fifty rows each, in the order of names, all of them in the end, and none twice."""
    first, second = (await viewer.get("/users")).text, (await viewer.get("/users?page=1")).text
    assert (count_rows(first), count_rows(second)) == (50, 21)
    assert "1 to 50 of 71" in first
    names = [re.findall(r'<th scope="row"><a href="([^"]*)"', text) for text in (first, second)]
    assert len({*names[0], *names[1]}) == 71
    assert 'rel="next"' in first
    assert 'rel="next"' not in second
    assert "Nothing that fits" in (await viewer.get("/users?page=99")).text


async def test_people_are_found_by_state_and_by_any_part_of_what_they_are_known_by(viewer: Browser) -> None:
    """Without case, other letters than English ones included; a wild card is a letter like any other."""
    assert count_rows((await viewer.get("/users?state=held")).text) == 9
    assert count_rows((await viewer.get("/users?state=skipped")).text) == 1
    for needle, found in (("person 1", 10), ("U33@X.COM", 1), ("u12", 1), ("żaneta", 1), ("ĆWIEK", 1), ("%", 0)):
        text = (await viewer.get(f"/users?q={needle.replace('%', '%25')}")).text
        assert count_rows(text) == max(found, 1), needle
        assert ("Nothing that fits" in text) is (found == 0), needle
    both = (await viewer.get("/users?q=person&state=held")).text
    assert count_rows(both) == 8
    assert count_rows((await viewer.get("/groups?q=team")).text) == 1


async def test_what_somebody_is_called_is_never_markup(viewer: Browser) -> None:
    """On every page that names the person."""
    for path in ("/users", "/users?q=script", "/users/u7", "/held/2", "/runs/1", "/runs/2?q=%3Cscript%3E"):
        text = (await viewer.get(path)).text
        assert "<script>alert" not in text, path
        if path != "/runs/1":
            assert "&lt;script&gt;" in text, path


async def test_somebody_is_explained_with_the_way_through_nested_groups(viewer: Browser) -> None:
    """State, decision, mapping, record and history; the groups as a picture, and as a list for who cannot see it."""
    text = (await viewer.get("/users/u3")).text
    read = words(text)
    assert "Person 03" in read
    assert "disabled" in read
    assert "u03@x.com" in read
    assert "Staff › Team" in read
    assert 'class="paths"' in text
    assert "The way from 2 groups to Person 03" in text
    assert 'href="/groups/outer"' in text
    assert 'href="/runs/2"' in text
    for path in ("/users/nobody", "/groups/u3", "/records/nothing@x.com", "/runs/99", "/held/99"):
        assert (await viewer.get(path)).status == 404, path
    assert "People directly in it: 70" in words((await viewer.get("/groups/inner")).text)
    assert "not ours" in words((await viewer.get("/records/robot@old.example")).text)


async def test_a_group_s_page_tells_what_rules_gave_it(world: World, viewer: Browser) -> None:
    """By the own record, with what is known of each, and what the portal does not tell."""
    page = "/groups/inner"
    assert "ReadOnly" not in words((await viewer.get(page)).text)
    privileges = world.store.privileges
    one = Privilege(place=Somewhere(database=1, kind="application", key="g", name="Invoices"), level="ReadOnly")
    number = privileges.intern([one])[one.token]
    (key,) = [key for key, name in privileges.load_names(range(1, 300)).items() if name == "team@grp"]
    await privileges.begin(key, number, remove=False, now=world.clock.now())
    read = words((await viewer.get(page)).text)
    assert "ReadOnly: application Invoices (database 1)" in read
    assert Texts("en")("explain.privileges_limits") in read
    assert "the portal refused it as a conflict, or its answer was lost" in read


async def test_a_run_shows_each_change_with_both_values_and_filters(viewer: Browser) -> None:
    """By person or by group, by outcome, kind and text."""
    text = (await viewer.get("/runs/1")).text
    assert "What the full read rests on" in text
    assert count_rows((await viewer.get("/runs/1?action=create&object=group")).text) >= 2
    held = (await viewer.get("/runs/2?outcome=held&action=unlink")).text
    assert "1 to 18 of 18" in held
    one = words((await viewer.get("/runs/2?outcome=held&q=u03@x.com")).text)
    assert "Person 03" in one
    assert "Person 04" not in one
    by_group = words((await viewer.get("/runs/2?outcome=held&action=unlink&by=record")).text)
    assert by_group.index("Staff") < by_group.index("u00@x.com")
    assert "succeeded" in words((await viewer.get("/runs?kind=full")).text)
    assert "Nothing that fits" in (await viewer.get("/runs?status=interrupted")).text
    assert count_rows((await viewer.get("/runs?before=2")).text) == 1
    strange = await viewer.get("/runs?status=nonsense&before=x&kind=%00")
    assert strange.status == 200


async def test_a_huge_run_is_listed_as_it_was_planned(viewer: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is counted or sorted for it; every change is met once, page by page, and one person is found."""
    whole = list(csv.reader(io.StringIO((await viewer.get("/runs/1?export=csv")).text)))[1:]
    monkeypatch.setattr("syncd.web.console.pages.run._LARGE", 10)
    met = 0
    for page in range(len(whole) // 50 + 2):
        text = (await viewer.get(f"/runs/1?page={page}")).text
        assert "they stand in the order of the plan" in text
        assert ('rel="next"' in text) is ((page + 1) * 50 < len(whole))
        met += len(re.findall(r"<tr><td>(?!</td>)", text.partition('class="changes"')[2]))
    assert met == len(whole)
    assert re.search(r"create \d+", words(text))
    found = words((await viewer.get("/runs/1?q=u03@x.com")).text)
    assert "Person 03" in found
    assert "1 to " in found


async def test_what_is_held_says_how_much_it_is_and_what_the_tenant_says_now(viewer: Browser) -> None:
    """Numbers by kind with the people concerned and the group that is hit most."""
    read = words((await viewer.get("/held/2")).text)
    assert "take out of group, membership: 18 (people or groups concerned: 9)" in read
    assert "most of them in" in read
    assert "in the tenant now: disabled" in read
    assert "guard.max_removal_percent" in read


async def test_exports_are_whole_and_harmless(viewer: Browser) -> None:
    """All rows and not only those of the page, with the same filters; no cell is a formula."""
    answer = await viewer.get("/users?export=csv")
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="syncd-users-')
    rows = list(csv.reader(io.StringIO(answer.body.decode("utf-8-sig"))))
    assert len(rows) == 72
    held = await viewer.get("/users?state=held&export=csv")
    assert len(held.body.decode().splitlines()) == 10
    orphans = await viewer.get("/orphans?export=xlsx")
    sheet = openpyxl.load_workbook(io.BytesIO(orphans.body)).active
    assert sheet is not None
    cells = {cell.value: cell.data_type for row in sheet.iter_rows() for cell in row}
    assert cells["=HYPERLINK(1)"] == "s"
    assert "'=HYPERLINK(1)" in (await viewer.get("/orphans?export=csv")).text
    for path in ("/runs", "/runs/2?outcome=held", "/held/2", "/groups", "/drift", "/licences"):
        for kind in ("csv", "xlsx"):
            joined = f"{path}{'&' if '?' in path else '?'}export={kind}"
            answer = await viewer.get(joined)
            assert answer.status == 200, joined
            assert "attachment" in answer.headers["Content-Disposition"], joined
    assert len((await viewer.get("/runs/2?outcome=held&action=unlink&export=csv")).text.splitlines()) == 19


async def test_drift_orphans_and_licences_are_told_from_the_store(world: World, viewer: Browser) -> None:
    """What somebody changed by hand is seen after the next full run, as with the command."""
    assert "No difference is known" in (await viewer.get("/drift")).text
    assert "robot@old.example" in words((await viewer.get("/orphans")).text)
    assert "Nothing that fits" in (await viewer.get("/orphans?class=machine")).text
    licences = words((await viewer.get("/licences")).text)
    assert re.search(r"PowerUser .*60 .*waiting", licences, re.IGNORECASE)
    assert "30 days: 60 granted" in licences
    accounts = world.portal.accounts
    accounts["u20@x.com"] = replace(accounts["u20@x.com"], name="Somebody else")
    world.rules = replace(world.rules, policy=replace(world.rules.policy, drift="report"))
    await world.sync("full")
    read = words((await viewer.get("/drift")).text)
    assert "Person 20" in read
    assert "Somebody else" in read
    assert "Changed by hand: name: Person 20 → Somebody else" in words((await viewer.get("/users/u20")).text)


async def test_drift_and_orphans_come_page_by_page(
    world: World, viewer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each row once, in the order of the whole list, where a page ends within a record or between kinds as well."""
    monkeypatch.setattr("syncd.web.console.counts._COUNTED_AT_ONCE", 10_000)
    accounts = world.portal.accounts
    for number in range(20, 50):
        login = f"u{number}@x.com"
        accounts[login] = replace(accounts[login], name=f"Changed {number}", job_title="Changed")
    accounts.pop("u50@x.com")
    world.portal.members["team@grp"].pop("u51@x.com")
    for number in range(60):
        world.portal.add_account(f"old{number:02}@old.example", name=f"Old {number}")
    world.rules = replace(world.rules, policy=replace(world.rules.policy, drift="report"))
    await world.sync("full")
    for path, column, extra in (("/drift", 1, ""), ("/orphans", 2, ""), ("/orphans", 2, "class=local&")):
        whole = list(csv.reader(io.StringIO((await viewer.get(f"{path}?{extra}export=csv")).text)))[1:]
        assert len(whole) > 60, path
        shown = list[str]()
        for page in range(3):
            text = (await viewer.get(f"{path}?{extra}page={page}")).text
            rows = text.partition("<tbody>")[2].partition("</tbody>")[0].split("<tr>")[1:]
            ids = [re.search(r'<td class="id">(?:<a[^>]*>)?([^<]+)', row) for row in rows]
            shown += [each[1].strip() for each in ids if each is not None]
            assert f"of {len(whole)}" in text, path
        assert shown == [row[column] for row in whole], path


async def test_no_page_walks_through_the_changes_of_a_year(world: World, viewer: Browser) -> None:
    """Nor asks more the more there is of anything: what is asked of a page of fifty is bounded."""
    for path in (
        "/", "/runs", "/runs/2", "/runs/2?q=person&by=record", "/held", "/held/2", "/users", "/users?q=person",
        "/users?state=held", "/groups", "/users/u3", "/groups/outer", "/records/robot@old.example", "/drift",
        "/orphans", "/licences", "/settings", "/checks",
    ):  # fmt: skip
        with listening(world) as heard:
            assert (await viewer.get(path)).status == 200
        assert len(heard) < 120, path
        if world.database.dialect == "sqlite":  # which tells in words how it finds its rows
            walks = find_walks(world, heard)
            assert [each for each in walks if re.match(r"\w+ changes\b", each[0])] == [], path


async def test_checks_run_on_demand_one_at_a_time(world: World, stage: ConsoleStage) -> None:
    """An approver begins one; a viewer sees the result; a second one at once is the same."""
    approver, viewer = stage.sign_in("approver"), stage.sign_in("viewer")
    assert "Nothing was checked" in (await viewer.get("/checks")).text
    assert "Check now" not in (await viewer.get("/checks")).text
    for _ in range(2):
        assert (await approver.post("/checks")).place == "/checks"
    assert "read from somewhere" in (await viewer.get("/checks")).text
    assert stage.checked == 1
    world.clock.ahead += timedelta(minutes=1)
    await approver.post("/checks")
    await viewer.get("/checks")
    assert stage.checked == 2
    saved = (await viewer.get("/checks?export=csv")).body.decode("utf-8-sig")
    assert saved.splitlines() == ["check,status,detail,remedy", "configuration,ok,read from somewhere,"]


async def test_settings_are_shown_without_secrets(stage: ConsoleStage, viewer: Browser) -> None:
    """The console's own token included."""
    text = (await viewer.get("/settings")).text
    assert "max_removal_percent" in text
    assert "a-token-of-tests" not in text
    assert ">&#34;secret&#34;<" not in text
    assert "********" in text


async def test_numbers_by_state_follow_what_happens(world: World, viewer: Browser) -> None:
    """They are counted anew after a run or a decision, and only then."""
    assert count_rows((await viewer.get("/users?state=held")).text) == 9
    for number in range(9):
        world.source.put_user(f"u{number}", accountEnabled=True)
    await world.sync("delta")
    text = (await viewer.get("/users?state=held")).text
    assert "Nothing that fits" in text


async def test_a_list_by_state_says_who_has_another_state_by_now(world: World, viewer: Browser) -> None:
    """What a run that goes on has done since everybody was counted is told, and the rows say what is true."""
    page = words((await viewer.get("/users?state=held")).text)
    assert "another state by now" not in page
    assert "held 9" in page
    with world.database.transaction() as connection:
        connection.execute(update(changes).where(changes.c.status == "held").values(status="done"))
    text = (await viewer.get("/users?state=held")).text
    live = re.findall(r'class="badge state-(\w+)"', text)
    assert live == ["leaving"] * 9
    assert "9 of these have another state by now" in words(text)
    assert "held 9" in words(text)


async def test_nobody_waits_for_the_numbers_of_a_large_company(
    world: World, stage: ConsoleStage, viewer: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The numbers of before, or none, are shown while they are counted anew, once for all; and never beside a run."""
    monkeypatch.setattr("syncd.web.console.counts._COUNTED_AT_ONCE", 0)
    stage.vitals.running = RunRequest(pull="delta", trigger="schedule")  # a run goes on: nothing is counted beside it
    for path in ("/", "/users?state=held", "/drift", "/orphans"):
        assert "Everybody is being counted" in (await viewer.get(path)).text, path
    unsorted = (await viewer.get("/users?page=1")).text
    assert (count_rows((await viewer.get("/users")).text), count_rows(unsorted)) == (50, 21)
    assert count_rows((await viewer.get("/users?q=person 1")).text) == 10
    stage.vitals.running = None
    await end_counting()
    assert count_rows((await viewer.get("/users?state=held")).text) == 9
    for number in range(9):
        world.source.put_user(f"u{number}", accountEnabled=True)
    await world.sync("delta")
    text = (await viewer.get("/users?state=held")).text
    assert "Nothing that fits" in text or count_rows(text) == 9
    await end_counting()
    assert "Nothing that fits" in (await viewer.get("/users?state=held")).text


async def end_counting() -> None:
    """Wait until everybody is counted."""
    for thread in threading.enumerate():
        if thread.name == "console counts":
            await asyncio.to_thread(thread.join)


async def test_pages_are_in_the_language_of_the_reader(viewer: Browser) -> None:
    """As the browser asks for, or as was chosen; every page is made in both, and what is English in it is marked."""
    paths = ("/", "/runs", "/runs/2", "/held", "/held/2", "/users", "/users/u3", "/groups/inner", "/drift", "/orphans",
             "/licences", "/checks", "/settings")  # fmt: skip
    for path in paths:
        polish = await viewer.send("GET", path, headers={"Accept-Language": "pl-PL"})
        assert polish.status == 200, path
        assert '<html lang="pl">' in polish.text
        assert "Przegląd" in polish.text
        marked = re.sub(
            r'<(\w+)[^>]* lang="en"[^>]*>.*?</\1>|<(code|script|del|ins)\b.*?</\2>', " ", polish.text, flags=re.DOTALL
        )
        english = re.findall(
            r"\b(?:the|is|are|with|of|and|not|from|nobody|disabled|changed|hand|rule)\b", words(marked)
        )
        assert english == [], f"{path}: {words(marked)}"
        assert '<html lang="en">' in (await viewer.get(path)).text
    assert (await viewer.get("/language/pl?back=/held/2")).place == "/held/2"
    assert '<html lang="pl">' in (await viewer.get("/held/2")).text
    assert (await viewer.get("/language/xx")).status == 404


async def test_times_are_for_machines_and_for_people(viewer: Browser) -> None:
    """In UTC for the browser, which shows its own zone; in the schedule's zone without script."""
    text = (await viewer.get("/runs/2")).text
    found = re.findall(r'<time datetime="(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ)" data-shape="full">([^<]*)</time>', text)
    assert found
    assert all(shown.endswith(("CET", "CEST")) for _, shown in found)


async def test_every_page_can_be_used_by_keyboard_and_read_aloud(stage: ConsoleStage, viewer: Browser) -> None:
    """One heading, a way past the navigation, names for regions, labels for fields, headings for columns."""
    approver = stage.sign_in("approver")
    for path in ("/", "/runs", "/runs/2", "/held", "/held/2", "/users", "/users/u3", "/drift", "/orphans", "/licences",
                 "/checks", "/settings", "/sign-in"):  # fmt: skip
        text = (await approver.get(path)).text
        assert text.count("<h1>") == 1, path
        assert '<a class="skip" href="#content">' in text
        assert '<main id="content"' in text
        assert not re.search(r'<div class="scroll"(?![^>]*role="region" tabindex="0" aria-label="[^"]+")', text), path
        assert not re.search(r"<th(?![^>]*scope=)[ >]", text), path
        for field in re.findall(r"<(?:input|select)[^>]*>", text):
            if 'type="hidden"' in field:
                continue
            named = re.search(r'id="([^"]*)"', field)
            labelled = named is not None and f'for="{named[1]}"' in text
            wrapped = re.search(r"<label>[^<]*(?:<[^/l][^>]*>)?[^<]*" + re.escape(field), text)
            assert labelled or wrapped, f"{path}: {field}"
        ids = re.findall(r'\sid="([^"]*)"', text)
        assert len(ids) == len(set(ids)), path


def test_the_picture_of_nested_groups_has_each_group_once() -> None:
    """An outer group stands left of the inner one, also where two ways meet; what is left out is said."""
    places = [
        Place("a", "All", ("All", "Middle", "Team")),
        Place("b", "Middle", ("Middle", "Team")),
        Place("c", "Team", ("Team",)),
        Place("d", "Other & more", ("Other & more",)),
    ]
    drawn = str(draw_paths(places, "Ann", Texts("en")))
    boxes = re.findall(r'<title>([^<]*)</title><rect class="box[^"]*" x="([^"]*)"', drawn)
    at = {name: float(x) for name, x in boxes}
    assert at["All"] < at["Middle"] < at["Team"] < at["Ann"]
    assert at["Other &amp; more"] == at["Team"]
    assert drawn.count('class="edge"') == 4
    many = [Place(str(n), f"G{n}", (f"G{n}",)) for n in range(60)]
    assert "36 more groups are in the list" in str(draw_paths(many, "Ann", Texts("en")))
    assert str(draw_paths([], "Ann", Texts("en"))) == ""


async def test_runs_that_say_the_same_say_it_once(world: World, viewer: Browser) -> None:
    """What is held since the same run stands with the newest, and what an older run held leads to the newest."""
    for _ in range(3):
        assert (await world.sync()).status == "held"
    text = words((await viewer.get("/runs")).text)
    assert text.count("held since run 2") == 1
    assert text.count("as in run 5") == 2
    assert 'href="/held/5"' in (await viewer.get("/held/2")).text
    person = (await viewer.get("/runs/5?outcome=held&by=record&action=unlink")).text
    assert words(person).count("held since run 2") == 1 + len(re.findall('class="subject"', person)), (
        "above, and once each"
    )
