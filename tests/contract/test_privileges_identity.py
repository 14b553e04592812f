"""One identity for each company, workflow and place: by id, by guid or by name it is the same thing.

Earlier versions remembered by its number what no list showed them; `forget_guids` makes such a store.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from syncd.cli.commands.privileges import list_privileges
from syncd.model.privilege import Privilege, read_privilege
from syncd.model.run import find_exit_code
from syncd.plan.rules import PrivilegeRule
from syncd.sandbox.portal.places import Item
from syncd.sandbox.wire.faults import Fault
from syncd.sandbox.wire.knobs import turn_knobs
from syncd.store.store import Store
from syncd.sync.portal.places import name_rule
from tests.contract.office import Office
from tests.contract.privilege_rules import rule

REPEATED = ("ok", "conflict", "any")
every_meaning_of_409 = pytest.mark.parametrize(
    "office", [{"privilege_repeated": each} for each in REPEATED], indirect=True, ids=REPEATED
)


def find_company(office: Office) -> Item:
    """Return the company PL01."""
    return office.wire.store.databases[1].companies[0]


def find_workflow(office: Office) -> Item:
    """Return the workflow Approval."""
    return next(item for item in office.wire.store.databases[1].items("workflow") if item.name == "Approval")


def say(office: Office, *rules: PrivilegeRule) -> None:
    """Set the rules."""
    office.rules = replace(office.rules, privileges=rules, licences=())


def by_company(office: Office, spelling: str) -> PrivilegeRule:
    """Return a rule for one company, named by its number, its guid or its name."""
    company = find_company(office)
    named = {"number": str(company.number), "guid": company.guid, "name": company.name}[spelling]
    suppliers = office.wire.store.databases[1].applications[0].list("process")[1]
    return rule(level="Modify", process=suppliers.guid, company=named)


def by_workflow(office: Office, spelling: str) -> PrivilegeRule:
    """Return a rule for one form type, its workflow named in the same ways."""
    workflow = find_workflow(office)
    named = {"number": str(workflow.number), "guid": workflow.guid, "name": workflow.name}[spelling]
    return rule(level="Modify", form_type=workflow.list("form type")[1].guid, workflow=named)


KINDS = {"company": by_company, "workflow": by_workflow}


def count(office: Office) -> int:
    """Return how much the group has in the portal."""
    return sum(given.key == "g@grp" for given in office.wire.store.privileges)


def set_lists(office: Office, *, shown: bool) -> None:
    """Let the lists of companies and of places be shown to us, or not."""
    turn_knobs(office.wire.knobs, {"places_visible": "all" if shown else "none"})
    scopes = office.wire.application.scopes
    scopes.add("Admin.BusinessEntities.Read") if shown else scopes.discard("Admin.BusinessEntities.Read")
    office.wire.book.revoke_all()


def by_number(office: Office, privilege: Privilege) -> Privilege:
    """Return a privilege with the numbers of its company and workflow in place of their guids."""
    numbers = {item.guid: str(item.number) for item in (find_company(office), find_workflow(office))}
    place = replace(privilege.place, workflow=numbers.get(privilege.place.workflow, privilege.place.workflow))
    return replace(privilege, place=place, company=numbers.get(privilege.company, privilege.company))


async def forget_guids(office: Office, one: PrivilegeRule) -> None:
    """Let the store know by its number what it knows by its guid, and as what this rule means."""
    store = Store(office.database)
    own = await store.privileges.load_own()
    await store.privileges.respell([(each, by_number(office, each)) for each in own])
    meanings = await store.privileges.load_meanings()
    groups = {key: value for key, value in meanings.items() if isinstance(value, str)}
    (known,) = [read_privilege(value) for value in meanings.values() if not isinstance(value, str)]
    await store.privileges.save_meanings(groups | {name_rule(one): by_number(office, known).values()})


async def go_on(office: Office) -> None:
    """Let two full runs follow; they change nothing."""
    office.take_asked()
    for _ in range(2):
        office.clock.elapsed += 86_400
        assert (await office.sync("full")).status == "succeeded"
    assert office.take_asked() == []


async def begin(office: Office, kind: str, *, shown: bool) -> None:
    """Give something by a rule that names it by its number, in a store that knows it by its number."""
    make = KINDS[kind]
    say(office, make(office, "guid"))
    await office.sync("full")
    assert count(office) == 1
    await forget_guids(office, make(office, "number"))
    say(office, make(office, "number"))
    set_lists(office, shown=shown)


@pytest.mark.parametrize("kind", KINDS)
@every_meaning_of_409
async def test_a_number_that_no_list_explains_is_asked_to_be_a_guid(office: Office, kind: str) -> None:
    """A company waits, a workflow is refused: by its guid each is what it always will be, and nothing is lost."""
    make = KINDS[kind]
    set_lists(office, shown=False)
    say(office, make(office, "number"))
    run = await office.sync("full")
    assert "by its guid" in run.error
    assert find_exit_code(run) == (0 if kind == "company" else 2)
    assert count(office) == 0
    say(office, make(office, "guid"))
    await office.sync("full")
    assert count(office) == 1
    set_lists(office, shown=True)
    say(office, make(office, "name"))
    await office.sync("full")
    assert count(office) == 1
    say(office, make(office, "number"))
    await go_on(office)
    assert count(office) == 1


@pytest.mark.parametrize("spelling", ["guid", "name"])
@pytest.mark.parametrize("kind", KINDS)
@every_meaning_of_409
async def test_another_spelling_of_what_a_number_meant_changes_nothing(
    office: Office, kind: str, spelling: str
) -> None:
    """The lists tell the guid of what an earlier version remembered by its number; with the rule it goes, once."""
    await begin(office, kind, shown=True)
    say(office, KINDS[kind](office, spelling))
    await go_on(office)
    assert count(office) == 1
    assert not any(each.numbered for each in await Store(office.database).privileges.load_own())
    say(office)
    await office.sync()
    assert count(office) == 0
    await go_on(office)


@pytest.mark.parametrize("kind", KINDS)
async def test_two_spellings_side_by_side_are_the_same_rule_twice(office: Office, kind: str) -> None:
    """Also where the one was remembered by its number before; nothing is given twice or taken."""
    await begin(office, kind, shown=True)
    say(office, *(KINDS[kind](office, spelling) for spelling in ("number", "guid")))
    run = await office.sync("full")
    assert find_exit_code(run) == 2
    assert "privileges[1]: gives the same as privileges[0]; remove it" in run.error
    assert count(office) == 1


@pytest.mark.parametrize("kind", KINDS)
@every_meaning_of_409
async def test_what_may_be_the_same_is_not_taken_while_no_list_tells(office: Office, kind: str) -> None:
    """A number before, a guid now, and no list: the new one is given, and the old one stays as long as it is wanted."""
    await begin(office, kind, shown=False)
    await office.sync("full")
    for spellings in (("number", "guid"), ("guid",)):
        say(office, *(KINDS[kind](office, spelling) for spelling in spellings))
        await office.sync("full")
        await go_on(office)
        assert count(office) == 1
    lines = {each["state"] for each in list_privileges(Store(office.database), office.rules) if each["rule"] is None}
    assert lines == {"kept"}
    set_lists(office, shown=True)
    await go_on(office)
    assert not any(each.numbered for each in await Store(office.database).privileges.load_own())
    say(office)
    await office.sync()
    assert count(office) == 0
    await go_on(office)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_a_rule_gave_stays_while_nobody_can_look_up_its_new_spelling(office: Office, kind: str) -> None:
    """The lists are not to be had just now: the rule waits, and what it gave under its old name is not taken."""
    make = KINDS[kind]
    say(office, make(office, "guid"))
    await office.sync("full")
    for path in ("businessentities", "/applications"):
        office.wire.faults.add(Fault("status", side="portal", method="GET", path=path, status=503, count=-1))
    say(office, make(office, "name"))
    for _ in range(2):
        await office.sync("full")
        assert count(office) == 1
    office.wire.faults.clear()
    await go_on(office)
    assert count(office) == 1
    say(office)
    await office.sync()
    assert count(office) == 0


@pytest.mark.parametrize("shown", [True, False])
@pytest.mark.parametrize("kind", KINDS)
async def test_what_somebody_took_stays_taken_under_another_spelling(office: Office, kind: str, *, shown: bool) -> None:
    """Where drift is only told, whether a list tells that it is the same or not."""
    office.rules = replace(office.rules, policy=replace(office.rules.policy, drift="report"))
    await begin(office, kind, shown=shown)
    await office.sync("full")
    office.wire.store.privileges.clear()
    office.clock.elapsed += 86_400
    await office.sync("full")
    say(office, KINDS[kind](office, "guid"))
    await go_on(office)
    assert count(office) == 0
