"""Pages of the console about a group of hundreds: a part at a time, the rest told, and no walk through its past."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import AsyncIterator

import pytest

from syncd.store.reports.explain import Explanations
from syncd.store.reports.explain_records import Part
from tests.fakes.console import Browser, open_console
from tests.fakes.queries import explain_queries, listening
from tests.fakes.rules import make_limits, make_rules
from tests.fakes.world import World

MEMBERS, GONE = 450, 130


async def found_company(world: World) -> None:
    """A group of 450 people and an empty one; after some runs 130 of the people are disabled, which is held."""
    world.source.put_group("big", displayName="Everybody", mailNickname="all@grp")
    world.source.put_group("small", displayName="Nobody", mailNickname="none@grp")
    for number in range(MEMBERS):
        login = f"u{number:03}@x.com"
        world.source.put_user(f"u{number}", userPrincipalName=login, displayName=f"Person {number:03}", mail=login)
        world.source.link("big", f"u{number}")
    assert (await world.sync("full")).status == "succeeded"
    world.rules = make_rules(limits=make_limits(max_removals=10))
    for number in range(GONE):
        world.source.put_user(f"u{number}", accountEnabled=False)
    assert (await world.sync("delta")).status == "held"


pytestmark = [pytest.mark.company(founded_by=found_company), pytest.mark.both_engines]


@pytest.fixture
async def viewer(world: World) -> AsyncIterator[Browser]:
    """Somebody who looks at that company."""
    async with open_console(world) as stage:
        yield stage.sign_in("viewer")


def words(text: str) -> str:
    """Return what is read of a page."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", text))


async def test_a_large_group_is_shown_part_by_part_and_saved_as_a_whole(viewer: Browser) -> None:
    """Each page says which of how many it has; the pages together are the file."""
    shown = list[str]()
    for page, told in enumerate(("1 to 200 of 450", "201 to 400 of 450", "401 to 450 of 450")):
        text = (await viewer.get(f"/groups/big?page={page}")).text
        assert told in words(text)
        assert ('rel="next"' in text, 'rel="prev"' in text) == (page < 2, page > 0)
        links = text.partition("Members in the portal: 450")[2].partition("<nav")[0].partition("</p>")[0]
        shown += re.findall(r"u\d{3}@x\.com", links)
    rows = list(csv.reader(io.StringIO((await viewer.get("/groups/big?export=csv")).body.decode("utf-8-sig"))))
    assert rows[0] == ["object", "bps id", "with", "name", "source id"]
    assert [row[2] for row in rows[1:]] == shown
    assert rows[1] == ["membership", "all@grp", "u000@x.com", "Person 000", "u0"]
    assert len(set(shown)) == MEMBERS


async def test_what_is_open_beyond_a_page_is_counted_and_leads_to_its_run(viewer: Browser) -> None:
    """A hundred changes, the number of the others, and where all of them are."""
    text = (await viewer.get("/groups/big")).text
    assert "30 more" in words(text)
    (link,) = re.findall(r'<a href="(/runs/2\?q=[^"]+)">', text)
    assert f"of {GONE}" in words((await viewer.get(link.replace("&amp;", "&"))).text)
    assert "it waits for a decision" in words(text)


async def test_a_part_tells_the_same_as_the_whole(world: World) -> None:
    """The first entries are those of the command, and the numbers count all."""
    explanations = Explanations(world.database)
    found = explanations.find_source("group", "big")
    assert found is not None
    whole = explanations.explain(found, now=world.clock.now())
    part = explanations.explain(found, now=world.clock.now(), part=Part(200, 50, 7))
    assert whole.target is not None
    assert part.target is not None
    assert part.target["members"] == whole.target["members"][200:250]
    assert part.target["numbers"] == {"members": MEMBERS, "owners": 0}
    assert (part.pending, part.open.number) == (whole.pending[:7], GONE)
    assert (part.open.held, whole.open.held, whole.open.number) == ((2,), (2,), GONE)
    assert part.outcomes == whole.outcomes


async def test_a_page_looks_into_the_runs_that_speak_and_not_into_the_past(world: World, viewer: Browser) -> None:
    """What ever happened to a group of ten thousand is not read: its changes are looked for by record and run."""
    if world.database.dialect != "sqlite":
        pytest.skip("only SQLite tells in a stable way how it finds its rows")
    for path in ("/groups", "/groups/big", "/users", "/users/u3"):
        with listening(world) as heard:
            assert (await viewer.get(path)).status == 200
        for statement, steps in explain_queries(world, heard):
            ordered = "ORDER BY changes.run_id DESC" in statement and "LIMIT" in statement
            of_few = re.search(r"changes\.(record|target)_key (IN \(SELECT value|= \?)", statement)
            rare = "runs.counts LIKE" in statement  # handovers, in runs that have counted some
            for step in steps if of_few and not ordered and not rare else ():
                assert not re.search(r"\bchanges USING .*\((record_key|target_key|run_id)=\?\)$", step), (
                    f"{path}: {statement}"
                )
