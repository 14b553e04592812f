"""Rules: what an expression of the settings means, and what is refused before a run."""

from __future__ import annotations

from collections.abc import Mapping

from tests.conditions.stage import Play, Seen, Stage


async def _refused(stage: Stage, text: str) -> Seen:
    """The settings must be refused before anything is planned."""
    stage.configure(text)
    before = stage.count_accounts()
    code = await stage.sync()
    said = (stage.said[-1].strip().splitlines() or [""])[-1]
    return Seen(code == 2, f"exit code {code}, {stage.count_accounts() - before} accounts came: {said[:160]}")


async def _lets_in(stage: Stage, rule: str, *, wanted: str = "Testers", others: bool = False) -> Seen:
    """A rule about users must let the team in, and nobody else unless it says so."""
    team, strangers = stage.found(3, wanted), stage.found(3, "Strangers")
    directory = stage.sandbox.directory
    for person in team.people:
        directory.set_attributes(
            person,
            displayName="Żółć Gęślą",
            businessPhones=["+48 1"],
            assignedPlans=[{"capabilityStatus": "Enabled"}, {"service": "exchange"}],
        )
    for person in strangers.people:
        directory.set_attributes(person, assignedPlans=[{"capabilityStatus": "Enabled"}])
    stage.configure(f"[scope]\nusers = '{rule}'")
    code = await stage.sync()
    came, more = (sum(stage.has(person) for person in each.people) for each in (team, strangers))
    right = code == 0 and came == 3 and more == (3 if others else 0)
    return Seen(right, f"exit code {code}, {came} of 3 came, and {more} of 3 others")


async def written(stage: Stage) -> Seen:
    """A mapping that ends in an optional: its value is written, and no word of a library."""
    team = stage.found(2)
    stage.sandbox.directory.set_attributes(team.people[0], businessPhones=["+48 1"])
    stage.configure("[mapping]\nuser.job_title = 'user.businessPhones.first()'")
    code = await stage.sync()
    value = stage.value(team.people[0], "jobTitle") if stage.has(team.people[0]) else None
    return Seen(code == 0 and value == "+48 1", f"exit code {code}, the portal has {value!r}")


async def list_without_a_value(stage: Stage) -> Seen:
    """A list of the schema that nobody of the company has a value for."""
    team = stage.found(3)
    stage.configure("[scope]\ngroups = 'size(group.infoCatalogs) == 0 && group.displayName == \"Testers\"'")
    code = await stage.sync()
    inside = len(stage.inside(team.group))
    return Seen(code == 0 and inside == 3, f"exit code {code}, {inside} of 3 in the group")


async def permission(stage: Stage) -> Seen:
    """A property that needs a permission of its own, which is not granted."""
    stage.configure("[mapping]\nuser.job_title = 'string(user.customSecurityAttributes.Work.Grade)'")
    stage.found(1)
    rows = [row for row in await stage.ask("check") or () if "CustomSecAttribute" in str(row)]
    code = await stage.sync()
    told = bool(rows) or "CustomSecAttribute" in stage.said[-1] + stage.said[-2]
    return Seen(told, f"exit code {code}; the permission is {'named' if told else 'named nowhere'}")


def _let(rule: str) -> Play:
    return lambda stage: _lets_in(stage, rule)


def _refuse(text: str) -> Play:
    return lambda stage: _refused(stage, text)


PLAYS: Mapping[str, Play] = {
    "D1 an optional as a value": written,
    "D2 an optional in a condition": _let('user.businessPhones.first() == "+48 1"'),
    "D3 the length of a name": _let('size(user.displayName) == 10 && user.department == "Testers"'),
    "D4 a misspelt function": _refuse("[scope]\nusers = 'user.displayName.startWith(\"A\")'"),
    "D5 elements without a property": _let('user.assignedPlans.exists(plan, plan.service == "exchange")'),
    "D6 names of types": _let('type(user.displayName) == string && user.department == "Testers"'),
    "D6 the time of the run": _let('now > timestamp("2020-01-01T00:00:00Z") && user.department == "Testers"'),
    "D7 another letter case": _let('user.Department == "Testers"'),
    "D9 a list without a value": list_without_a_value,
    "D10 a permission of its own": permission,
}
