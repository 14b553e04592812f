"""Places that are gone: read once more and not in every run, found anew by their name, and never fought over."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID, uuid5

import pytest

from syncd.cli.commands.privileges import list_privileges
from syncd.plan.rules import PrivilegeRule
from syncd.sandbox.portal.places import KINDS, Item, Kind
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import turn_knobs
from syncd.store.store import Store
from tests.contract.office import Office
from tests.contract.privilege_rules import rule

PLACES: dict[str, dict[str, Any]] = {
    "application": {"application": "Invoices"},
    "process": {"process": "Suppliers"},
    "form type": {"form_type": "Correction", "workflow": "Approval"},
    "workflow": {"form_type": "Correction", "workflow": "Approval"},
}
every_place = pytest.mark.parametrize("kind", PLACES)


def say(office: Office, *rules: PrivilegeRule) -> None:
    """Set the rules."""
    office.rules = replace(office.rules, privileges=rules, licences=())


def list_lists(office: Office) -> list[list[Item]]:
    """Return every list of places in database 1."""
    database = office.wire.store.databases[1]
    kinds: tuple[Kind, ...] = ("application", "process", "workflow")
    return [database.applications, *(item.inside for kind in kinds for item in database.items(kind))]


@dataclass(frozen=True)
class Removed:
    """A place that somebody deleted, and where it was; a form type lies in a process and in a workflow."""

    item: Item
    lists: list[list[Item]]

    def put_back(self, item: Item | None = None) -> None:
        """Let somebody bring it back, or put another one there."""
        for some in self.lists:
            some.insert(0, item or self.item)


def remove(office: Office, kind: str) -> Removed:
    """Let somebody delete a place, or its workflow, and with it what lies in it."""
    name = "Approval" if kind == "workflow" else next(iter(PLACES[kind].values()))
    lists = [some for some in list_lists(office) if any((item.name, item.kind) == (name, kind) for item in some)]
    item = next(item for item in lists[0] if (item.name, item.kind) == (name, kind))
    for some in lists:
        some.remove(item)
    return Removed(item, lists)


def make_anew(item: Item) -> Item:
    """Return another place of the same name, with others of their names in it."""
    inside = [make_anew(each) for each in item.inside]
    guid = str(uuid5(UUID(item.guid), "anew"))
    return Item(item.kind, item.number + 5000, guid, item.name, inside)


def count(office: Office) -> int:
    """Return how much the group g has at places that are there."""
    database = office.wire.store.databases[1]
    there = {item.guid for kind in KINDS for item in database.items(kind)} | {""}
    return sum(given.key == "g@grp" and {*given.place[2:]} <= there for given in office.wire.store.privileges)


def calls(office: Office) -> list[str]:
    """Return the requests about privileges since the last look."""
    seen = [line for line in office.judge.seen if "/db/" in line]
    office.judge.seen.clear()
    return [f"{line.split()[0]} {'/'.join(line.split()[1].split('/')[-2:])}" for line in seen]


def tell(office: Office) -> list[tuple[str, str]]:
    """Return what ``syncd privileges`` says of each line."""
    return [(str(each["place"]), str(each["state"])) for each in list_privileges(Store(office.database), office.rules)]


async def run(office: Office) -> str:
    """Run over everything, a day later, and return what the run says; it must succeed."""
    office.clock.elapsed += 86_400
    office.judge.seen.clear()
    done = await office.sync("full")
    assert done.status == "succeeded", done.error
    return str(done.error or "")


@every_place
async def test_a_place_that_was_made_anew_is_what_the_rule_names(office: Office, kind: str) -> None:
    """The run that finds the old one gone gives it at the new one; of the old one nothing is remembered."""
    say(office, rule(level="ReadOnly", **PLACES[kind]))
    await run(office)
    removed = remove(office, kind)
    removed.put_back(make_anew(removed.item))
    assert count(office) == 0
    told = await run(office)
    assert "the portal has no such place any more" in told
    assert count(office) == 1
    assert [state for _, state in tell(office)] == ["given"]
    office.take_asked()
    assert "no such place" not in await run(office)
    assert calls(office) == ["GET admin/privileges"]
    say(office)
    await run(office)
    assert count(office) == 0
    await run(office)
    assert calls(office) == []


@every_place
async def test_a_place_that_is_gone_for_good_is_forgotten_with_its_rule(office: Office, kind: str) -> None:
    """As long as a rule names it, it is told, and looked for in the lists; then nothing is asked any more."""
    say(office, rule(**PLACES[kind]), rule("Group h", application="Contracts"))
    await run(office)
    remove(office, kind)
    for _ in range(3):
        assert "the portal has no such place any more" in await run(office)
    assert calls(office).count("GET admin/privileges") == 1
    assert "gone" in {state for _, state in tell(office)}
    say(office, rule("Group h", application="Contracts"))
    assert "no such place" not in await run(office)
    assert [state for _, state in tell(office)] == ["given"]
    await run(office)
    assert calls(office) == ["GET admin/privileges"]


@every_place
async def test_a_place_that_comes_back_is_as_it_was(office: Office, kind: str) -> None:
    """While a rule names it nothing is forgotten: when it goes afterwards, what it gave goes."""
    say(office, rule(**PLACES[kind]))
    await run(office)
    removed = remove(office, kind)
    for _ in range(2):
        await run(office)
    removed.put_back()
    await run(office)
    assert [state for _, state in tell(office)] == ["given"]
    say(office)
    await run(office)
    assert count(office) == 0


@every_place
async def test_what_is_there_when_a_forgotten_place_comes_back_is_never_taken(office: Office, kind: str) -> None:
    """By us once or by hand since: nobody knows any more."""
    say(office, rule(**PLACES[kind]))
    await run(office)
    (given,) = office.wire.store.privileges.keys() - {
        each for each in office.wire.store.privileges if each.key != "g@grp"
    }
    removed = remove(office, kind)
    await run(office)
    say(office)
    await run(office)
    removed.put_back()
    say(office, rule(**PLACES[kind]))
    await run(office)
    assert [state for _, state in tell(office)] == ["beside"]
    say(office)
    await run(office)
    assert given in office.wire.store.privileges


@pytest.mark.parametrize("shown", ["none", "privileged"])
async def test_a_place_is_not_forgotten_where_the_lists_do_not_tell(office: Office, shown: Any) -> None:
    """They show nothing to us: the place is read again in each full run, and what was given there goes in the end."""
    invoices = office.wire.store.databases[1].applications[0]
    say(office, rule(application=invoices.guid))
    await run(office)
    turn_knobs(office.wire.knobs, {"places_visible": shown})
    removed = remove(office, "application")
    say(office)
    for _ in range(2):
        assert "no such place" in await run(office)
        assert "GET admin/privileges" in calls(office)
    removed.put_back()
    await run(office)
    assert count(office) == 0


async def test_nothing_is_concluded_from_lists_that_cannot_be_read(office: Office) -> None:
    """Neither by a run that only plans."""
    say(office, rule())
    await run(office)
    removed = remove(office, "application")
    say(office)
    office.wire.faults.add(Fault("status", side="portal", method="GET", path="/applications?", status=503, count=-1))
    office.wire.faults.add(
        Fault("status", side="portal", method="GET", path="/db/1/applications", status=503, count=-1)
    )
    office.clock.elapsed += 86_400
    await office.sync("full")
    office.wire.faults.clear()
    office.clock.elapsed += 86_400
    await office.sync("full", write=False)
    removed.put_back()
    await run(office)
    assert count(office) == 0


async def test_a_list_that_is_refused_us_hides_what_lies_in_it(office: Office) -> None:
    """A process may lie in an application that we may not look into any more."""
    say(office, rule(process="Suppliers"))
    await run(office)
    removed = remove(office, "process")
    say(office)
    body = b'{"type": "InsufficientAccountPermissions", "description": "no", "errorGuid": "1"}'
    contracts = office.wire.store.databases[1].applications[1]
    office.wire.faults.add(
        Fault("status", side="portal", path=f"{contracts.guid}/processes", status=403, body=body, count=-1)
    )
    await run(office)
    removed.put_back()
    await run(office)
    assert count(office) == 0


async def test_two_places_of_the_name_are_no_answer(office: Office) -> None:
    """Which of them is meant nobody can tell: the rule keeps its place, which is told as gone."""
    say(office, rule())
    await run(office)
    removed = remove(office, "application")
    first = make_anew(removed.item)
    for each in (first, make_anew(first)):
        removed.put_back(each)
    for _ in range(2):
        assert "no such place" in await run(office)
    assert [state for _, state in tell(office)] == ["gone"]
    assert count(office) == 0


async def test_a_rule_that_means_the_new_place_by_its_guid_is_the_same_rule_twice(office: Office) -> None:
    """Found anew by its name, a rule gives what another one gives: that is refused."""
    say(office, rule())
    await run(office)
    removed = remove(office, "application")
    removed.put_back(anew := make_anew(removed.item))
    say(office, rule(), rule(application=anew.guid))
    office.clock.elapsed += 86_400
    done = await office.sync("full")
    assert "privileges[1]: gives the same as privileges[0]" in done.error
    assert count(office) == 0
