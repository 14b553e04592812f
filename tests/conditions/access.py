"""Who keeps or gets access by accident, and who loses it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import replace

from syncd.sandbox.portal.licences import Holder
from syncd.sandbox.server import Sandbox
from syncd.sandbox.tenant.events import happen
from tests.conditions.stage import PAGE, TINY, Play, Seen, Stage, shift_clock

_NO_LIMITS = {
    "SYNCD_GUARD__MAX_REMOVALS": "false",
    "SYNCD_GUARD__MAX_REMOVAL_PERCENT": "false",
    "SYNCD_GUARD__MAX_ADOPTIONS": "false",
}


def _let(stage: Stage, name: str, target: str) -> str:
    (done,) = happen(stage.sandbox.directory, random.Random(name), name, target=target)
    return str(done["id"])


async def _lose_place(stage: Stage, group: str, person: str, what: str) -> Seen:
    login = stage.login(person)
    stage.sandbox.directory.hard_delete(person)
    codes = [await stage.sync("full"), await stage.sync("delta")]
    out = login not in stage.inside(group)
    return Seen(out and codes[0] == 0, f"{what}; full {codes[0]}, delta {codes[1]}, {'out' if out else 'still in'}")


async def agents(stage: Stage, *, stated: bool) -> Seen:
    """Accounts of agents in lists, delta and members; then somebody is deleted."""
    stage.sandbox.tenant_knobs.subtypes_stated = stated
    team = stage.found(12)
    await stage.sync()
    made = [stage.sandbox.directory.create_agent(f"Agent {n}", f"agent.{n}@nordwind.example") for n in range(8)]
    for each in made:
        stage.sandbox.directory.add_member(team.group, each)
    seen = await _lose_place(stage, team.group, team.people[0], "8 agents")
    let_in = sum(stage.has(each) for each in made)
    return Seen(seen.right and not let_in, f"{seen.words}; {let_in} agents have accounts")


async def unreadable(stage: Stage) -> Seen:
    """Entries with values that cannot be: they count as met, and others are removed all the same."""
    team = stage.found(12)
    await stage.sync()
    odd = set(stage.found(8, "Odd").people)

    def spoil(page: object) -> None:
        for entry in page.get("value", []) if isinstance(page, dict) else []:
            if entry.get("id") in odd:
                entry["displayName"] = 5

    stage.fault("alter", "graph", path="/users", change=spoil)
    return await _lose_place(stage, team.group, team.people[0], "8 entries with a number as name")


async def replica_behind(stage: Stage) -> Seen:
    """Delta tells that somebody is disabled and somebody renamed; lists do not know it yet."""
    team, directory = stage.found(6), stage.sandbox.directory
    await stage.sync()
    stage.sandbox.replicas.freeze()
    gone, named = team.people[:2]
    directory.disable(gone)
    directory.set_attributes(named, displayName="Another Name")
    (new,) = stage.found(1, "Late", into=team.group).people

    def look() -> tuple[bool, bool, bool]:
        return stage.login(gone) not in stage.inside(team.group), stage.value(named, "name") == "Another Name", _in(new)

    def _in(person: str) -> bool:
        return stage.login(person) in stage.inside(team.group)

    await stage.sync("delta")
    after_delta = look()
    await stage.sync("full")
    after_full = look()
    stage.sandbox.replicas.thaw()
    await stage.sync("delta")
    await stage.sync("delta")
    looks = [after_delta, after_full, look()]
    return Seen(all(all(each) for each in looks), f"disabled out, renamed, newcomer in: {looks}")


async def no_counts(stage: Stage) -> Seen:
    """``$count`` is refused; everything else answers."""
    stage.sandbox.tenant_knobs.count_status = 503
    stage.found(3)
    codes = [await stage.sync("full")]
    (new,) = stage.found(1, "Late").people
    codes.append(await stage.sync("delta"))
    return Seen(codes == [3, 0] and stage.has(new), f"full, delta {codes}; the newcomer {_there(stage.has(new))}")


def _there(there: bool) -> str:
    return "has an account" if there else "has none"


async def frozen(stage: Stage, why: str) -> Seen:
    """Somebody cannot be written any more, and then is taken out of a group."""
    team, directory = stage.found(5), stage.sandbox.directory
    if why == "an expression that does not fit":
        stage.configure("[mapping]\nuser.job_title = '[user.department].map(each, each.split(\"-\")[1])[0]'")
        for user in directory.active_users():
            directory.set_attributes(user.id, department="A-B")
    await stage.sync()
    person = team.people[0]
    login = stage.login(person)
    if why == "an unusable login":
        directory.set_attributes(person, userPrincipalName=f"testers+x.0@{directory.domain}")
    else:
        directory.set_attributes(person, department="none")
    await stage.sync("delta")
    directory.remove_member(team.group, person)
    codes = [await stage.sync("delta"), await stage.sync("full")]
    inside = login in stage.inside(team.group)
    return Seen(not inside, f"runs {codes}, {'still in the group' if inside else 'out'}")


async def emptied(stage: Stage) -> Seen:
    """Every user is deleted, told by delta one by one, with limits that allow it."""
    team = stage.found(20)
    await stage.sync()
    for user in list(stage.sandbox.directory.active_users()):
        stage.sandbox.directory.hard_delete(user.id)
    code = await stage.sync("delta", **_NO_LIMITS)
    left = len(stage.inside(team.group))
    return Seen(left == 20 and code == 4, f"exit code {code}, {left} of 20 left in the group")


async def growth(stage: Stage) -> Seen:
    """Forty of sixty are disabled and held; then many are hired, so that forty are few."""
    team = stage.found(60)
    await stage.sync()
    for person in team.people[:40]:
        stage.sandbox.directory.disable(person)
    codes = [await stage.sync("delta")]
    for turn, number in enumerate((60, 120, 240)):
        stage.found(number, f"Wave{turn}", into=team.group)
        codes.append(await stage.sync("delta"))
    codes.append(await stage.sync("delta"))
    left = sum(stage.login(person) in stage.inside(team.group) for person in team.people[:40])
    return Seen(left == 40, f"runs {codes}; {left} of the 40 who were held are still in")


async def slices(stage: Stage) -> Seen:
    """Never more than a tenth leaves in one delta run."""
    team = stage.found(60)
    await stage.sync()
    codes = []
    for turn in range(6):
        for person in team.people[turn * 5 : turn * 5 + 5]:
            stage.sandbox.directory.remove_member(team.group, person)
        codes.append(await stage.sync("delta"))
    left = len(stage.inside(team.group))
    return Seen(4 in codes and left >= 35, f"runs {codes}, {left} of 60 left")


async def approval_of_the_past(stage: Stage) -> Seen:
    """Twenty are disabled by mistake and held; the mistake is put right in Entra; then somebody approves."""
    team = stage.found(30)
    await stage.sync()
    for person in team.people[:20]:
        stage.sandbox.directory.disable(person)
    held = await stage.sync("delta")
    for person in team.people[:20]:
        stage.sandbox.directory.enable(person)
    code = (await stage("approve", "2")).code
    left = len(stage.inside(team.group))
    return Seen(left == 30, f"held with {held}, approve ended with {code}; {left} of 30 active people kept their place")


async def one_of_the_held(stage: Stage) -> Seen:
    """Nine of thirty are held; somebody synchronises one of them alone."""
    team = stage.found(30)
    await stage.sync()
    for person in team.people[:9]:
        stage.sandbox.directory.disable(person)
    await stage.sync("delta", SYNCD_GUARD__MAX_REMOVAL_PERCENT="1")
    ended = await stage("sync", "user", team.people[0], SYNCD_GUARD__MAX_REMOVAL_PERCENT="1")
    inside = stage.login(team.people[0]) in stage.inside(team.group)
    return Seen(inside and ended.code == 4, f"exit code {ended.code}, {'still in' if inside else 'removed'}")


async def login_again(stage: Stage, how: str) -> Seen:
    """Somebody leaves, and another object gets the login."""
    team, directory = stage.found(5), stage.sandbox.directory
    await stage.sync()
    former = team.people[0]
    login = stage.login(former)
    (directory.hard_delete if how == "hard" else directory.soft_delete)(former)
    codes = [await stage.sync("delta")]
    new = directory.hire("Somebody Else", login)
    codes.append(await stage.sync("delta"))
    name = stage.value(new, "name")
    kinds = {(change["action"], change["object"]) for change in await stage.held()}
    right = name != "Somebody Else" and ("handover", "user") in kinds
    return Seen(
        right, f"{how}-deleted: runs {codes}; the account is named {name!r}; held: {sorted(kinds) or 'nothing'}"
    )


async def group_again(stage: Stage) -> Seen:
    """A group is deleted and made anew under the same name with the same people."""
    team = stage.found(6)
    await stage.sync()
    before = len(stage.sandbox.portal.groups)
    _let(stage, "remake-group", team.group)
    codes = [await stage.sync("delta"), await stage.sync("delta")]
    more, left = len(stage.sandbox.portal.groups) - before, len(stage.inside(team.group))
    return Seen(not more and left == 6, f"runs {codes}; {more} BPS groups more, {left} of 6 in the one from before")


async def rival_name(stage: Stage) -> Seen:
    """A second group takes the name that the scope uses; then somebody leaves."""
    team, directory = stage.found(6), stage.sandbox.directory
    stage.configure('[scope]\ninclude_groups = ["Testers"]')
    await stage.sync()
    directory.create_group({"displayName": "Testers"}, members=[])
    login = stage.login(team.people[0])
    directory.disable(team.people[0])
    codes = [await stage.sync("delta"), await stage.sync("full")]
    inside = login in stage.inside(team.group)
    return Seen(codes == [0, 0] and not inside, f"runs {codes}, the leaver is {'still in' if inside else 'out'}")


async def another_tenant(stage: Stage) -> Seen:
    """The same store and portal, and the settings of another tenant."""
    team = stage.found(5)
    await stage.sync()
    before = stage.count_accounts()
    async with Sandbox(replace(TINY, seed=2, domain="other.example"), stage.folder / "other") as other:
        settings = {
            "SYNCD_GRAPH__TENANT_ID": other.tenant_id,
            "SYNCD_GRAPH__CLIENT_ID": other.client_id,
            "SYNCD_GRAPH__CLIENT_SECRET_FILE": str(other.path / "graph-secret"),
            "SYNCD_GRAPH__AUTHORITY_URL": other.login_url,
            "SYNCD_GRAPH__BASE_URL": other.graph_url,
            "SYNCD_GRAPH__CA_FILE": str(other.path / "ca.pem"),
        }
        codes = [
            await stage.sync("delta", **settings, **_NO_LIMITS),
            await stage.sync("full", **settings, **_NO_LIMITS),
        ]
    more, left = stage.count_accounts() - before, len(stage.inside(team.group))
    return Seen(
        codes == [2, 2] and not more and left == 5,
        f"exit codes {codes}; {more} strangers created, {left} of 5 kept their place",
    )


async def many_creations(stage: Stage) -> Seen:
    """A scope of ten is dropped by mistake, and a hundred and fifty come."""
    stage.found(25)
    stage.configure('[scope]\ninclude_groups = ["Testers"]')
    await stage.sync()
    before = stage.count_accounts()
    stage.found(150, "Strangers")
    code = await stage.sync("full", SYNCD_SCOPE__INCLUDE_GROUPS='["Testers", "Strangers"]')
    more = stage.count_accounts() - before
    return Seen(code == 4 and not more, f"exit code {code}, {more} accounts created")


async def clock_ahead(stage: Stage) -> Seen:
    """Five are disabled, and the machine's clock jumps forty days ahead."""
    team = stage.found(8)
    settings = {"SYNCD_POLICY__DISABLED_USERS": "delete", "SYNCD_POLICY__GRACE": "30d", **_NO_LIMITS}
    await stage.sync("full", **settings)
    for person in team.people[:5]:
        stage.sandbox.directory.disable(person)
    await stage.sync("delta", **settings)
    code = await stage.sync("delta", **settings, **shift_clock(stage.folder, days=40))
    left = sum(stage.has(person) for person in team.people)
    return Seen(left == 8, f"exit code {code}, {left} of 8 accounts are there")


async def adoption(stage: Stage) -> Seen:
    """Groups that the portal had before are adopted; what then would be removed was never shown."""
    team, portal = stage.found(6), stage.sandbox.portal
    stage.sandbox.directory.disable(team.people[0])
    for person in team.people:
        portal.create_user({"bpsId": stage.login(person), "name": "By hand", "email": stage.login(person)})
    group = f"{team.group}@groups.example.com"
    portal.create_group({"bpsId": group, "name": "Testers", "email": group})
    portal.settle()
    portal.add_links(group, "members", [{"bpsId": stage.login(person)} for person in team.people])
    portal.settle()
    await stage.sync("full")
    shown = str(await stage.ask("held")) + str(await stage.ask("plan", "none"))
    runs = await stage.ask("runs")
    await stage("approve", str(runs[0]["id"]))
    codes = [await stage.sync("full", **_NO_LIMITS), await stage.sync("full", **_NO_LIMITS)]
    gone = stage.login(team.people[0])
    out = gone not in stage.inside(team.group)
    told = "unlink" in shown and gone in shown
    return Seen(
        told or not out, f"runs {codes}; {'removed' if out else 'still in'}, {'shown' if told else 'not shown'} before"
    )


async def killed_approval(stage: Stage) -> Seen:
    """An approval is killed after it has done a part; a delta run follows."""
    teams = [stage.found(6, f"Team{number}") for number in range(6)]
    await stage.sync()
    for team in teams:
        for person in team.people[:3]:
            stage.sandbox.directory.remove_member(team.group, person)
    held = await stage.sync("delta", SYNCD_GUARD__MAX_REMOVAL_PERCENT="1")
    slow = stage.fault("delay", "portal", path="members/remove", seconds=0.7, method="DELETE|POST|PUT")
    process = await stage.program.start("approve", "2", environment={"SYNCD_BPS__CONCURRENCY": "1"})
    for _ in range(400):
        await asyncio.sleep(0.05)
        if slow.hits >= 3 or process.returncode is not None:
            break
    process.kill()
    await process.communicate()
    stage.sandbox.faults.clear()
    await asyncio.sleep(1)
    done = {
        (f"{team.group}@groups.example.com".casefold(), stage.login(person))
        for team in teams
        for person in team.people[:3]
        if stage.login(person) not in stage.inside(team.group)
    }
    code = await stage.sync("delta", SYNCD_GUARD__MAX_REMOVAL_PERCENT="1")
    again = {(str(c["bps_id"]).casefold(), str(c["target"]).casefold()) for c in await stage.held()}
    return Seen(
        bool(done) and not done & again and bool(again),
        f"held {held}, {len(done)} done, delta {code}; of those {len(done & again)} are shown as held again",
    )


async def licence_by_hand(stage: Stage) -> Seen:
    """Somebody is given a licence by hand, is deleted in the tenant, and a delta run deletes the account."""
    stage.found(5)
    settings = {"SYNCD_POLICY__DELETED_USERS": "delete", "SYNCD_POLICY__GRACE": "0d", **_NO_LIMITS}
    stage.configure('[[licences]]\ngroup = "Testers"\ntype = "PowerUser"')
    await stage.sync("full", **settings)
    (other,) = stage.found(1, "Other").people
    await stage.sync("delta", **settings)
    login = stage.login(other)
    licences = stage.sandbox.portal_service.licences
    licences.holders[login] = Holder(login, "by hand", {"User": {}})
    stage.sandbox.directory.hard_delete(other)
    codes = [await stage.sync("delta", **settings), await stage.sync("delta", **settings)]
    there = login in stage.sandbox.portal.accounts
    seat = bool(licences.holders[login].licences)
    return Seen(there or not seat, f"runs {codes}; account there: {there}, seat taken: {seat}")


async def unclear_answer(stage: Stage) -> Seen:
    """Somebody is added to a group, the answer is a web page; then that person is deleted in the tenant."""
    team = stage.found(4)
    await stage.sync()
    (new,) = stage.found(1, "Late", into=team.group).people
    stage.fault("replace", "portal", path="members/add", status=200, body=PAGE, content_type="text/html")
    codes = [await stage.sync("delta")]
    stage.sandbox.faults.clear()
    came = stage.login(new) in stage.inside(team.group)
    login = stage.login(new)
    stage.sandbox.directory.hard_delete(new)
    codes += [await stage.sync("delta"), await stage.sync("delta")]
    inside = login in stage.inside(team.group)
    return Seen(
        came and not inside, f"runs {codes}; came in {came}, {'still in' if inside else 'out'} after two deltas"
    )


def _agents(*, stated: bool) -> Play:
    return lambda stage: agents(stage, stated=stated)


def _login(how: str) -> Play:
    return lambda stage: login_again(stage, how)


def _frozen(what: str) -> Play:
    return lambda stage: frozen(stage, what)


PLAYS: Mapping[str, Play] = {
    "A1 agents whose type is stated": _agents(stated=True),
    "A1 agents whose type is not stated": _agents(stated=False),
    "A2 entries that cannot be understood": unreadable,
    "A3 lists that are behind delta": replica_behind,
    "A4 counts that are refused": no_counts,
    "A5 an unusable login": _frozen("an unusable login"),
    "A5 an expression that does not fit": _frozen("an expression that does not fit"),
    "A6 a tenant that is emptied by delta": emptied,
    "A7 a hold, and growth": growth,
    "A8 a mass removal in slices": slices,
    "A9 an approval of what was put right": approval_of_the_past,
    "A10 one of the held, alone": one_of_the_held,
    "A11 a login again, soft-deleted": _login("soft"),
    "A11 a login again, hard-deleted": _login("hard"),
    "A12 a group made anew": group_again,
    "A13 a second group of the scope's name": rival_name,
    "A14 another tenant": another_tenant,
    "A15 very many creations": many_creations,
    "A16 a clock that jumps ahead": clock_ahead,
    "A17 an adoption": adoption,
    "A18 a killed approval": killed_approval,
    "A20 a licence by hand": licence_by_hand,
    "A21 an unclear answer": unclear_answer,
}
