"""What ``syncd check`` tries: each part that a run needs, by the requests that a run makes, changing nothing."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from syncd.bootstrap.rules import make_rules
from syncd.bootstrap.settings import find_day, make_credential
from syncd.bootstrap.sides import make_bps_options, open_graph
from syncd.bootstrap.store import open_store
from syncd.clock import Clock
from syncd.config import Settings
from syncd.errors import SyncdError
from syncd.notifications import probe_channels
from syncd.plan.group_names import Remembered, name_choice
from syncd.plan.report.verdict import BEGINNING
from syncd.store.db.database import open_database
from syncd.store.db.revision import is_of_newer, load_head, load_revision
from syncd.store.db.surroundings import find_problem, find_share
from syncd.store.inventory.foreign_sync import WAY_OUT, load_blocked
from syncd.store.reports.overview import is_fresh
from syncd.store.store import Store
from syncd.sync.portal.privileges import recall_rule_groups

if TYPE_CHECKING:
    from syncd.bps.portal import BpsPortal
    from syncd.graph.client import GraphClient
    from syncd.plan.rules import Rules

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Check:
    """One line of ``syncd check``: what was tried, how it went, and what to do about it.

    ``misnamed``: a rule about privileges names what nobody has.
    """

    check: str
    status: Literal["ok", "warning", "failed", "unknown"]
    _: KW_ONLY
    detail: str
    remedy: str = ""
    misnamed: bool = False


async def check(settings: Settings, clock: Clock) -> list[Check]:
    """Try everything that a run needs, changing nothing on either side; raises nothing that can be reported."""
    from syncd.bps.portal import BpsPortal
    from syncd.bps.probe import probe_portal
    from syncd.graph.checks.credential import probe_credential, probe_secret
    from syncd.graph.checks.probe import probe

    rules = make_rules(settings)
    where = str(settings.file) if settings.file else "the environment"
    found = [Check("configuration", "ok", detail=f"read from {where}")]
    found.append(check_store(settings))
    known = find_day(settings.graph.client_secret_expires)
    item = await asyncio.to_thread(probe_credential, make_credential(settings.graph), known, now=clock.now())
    found.append(Check(item.check, item.status, detail=item.detail, remedy=item.remedy))
    try:
        async with open_graph(settings, rules, clock) as client:
            results = await probe(client, clock)
            secret = settings.graph.client_secret
            if secret is not None and results[0].status == "ok":  # there is a token
                name = secret.name_key("graph.client_secret")
                better = await probe_secret(client, known, now=clock.now(), setting=name)
                found[-1] = Check(better.check, better.status, detail=better.detail, remedy=better.remedy)
            found += [Check(item.check, item.status, detail=item.detail, remedy=item.remedy) for item in results]
            found += await check_groups(client, settings)
    except SyncdError as error:
        found.append(Check("graph", "failed", detail=str(error), remedy="correct the settings of [graph]"))
    found.append(check_portal_credential(settings, clock))
    try:
        async with BpsPortal(make_bps_options(settings), clock) as portal:
            checks = await probe_portal(
                portal,
                licences=bool(settings.licences) or owns_licences(settings),
                types=[rule.type for rule in settings.licences],
                substitutions=rules.policy.wants_substitutions,
            )
            for row in checks:
                spare = row.check.startswith("portal licenses") and not settings.licences  # no run fails for it
                status = "warning" if spare and row.status == "failed" else row.status
                found.append(Check(row.check, status, detail=row.detail, remedy=row.remedy))
            if rules.privileges:
                found += await check_privileges(portal, rules, load_rule_meanings(settings))
        found.append(await check_sign_in(settings, clock, found))
    except SyncdError as error:
        found.append(Check("bps", "failed", detail=str(error), remedy="correct the settings of [bps]"))
    found.append(check_coexistence(settings))
    if rules.mapping.managers:
        found.append(check_managers(settings))
    return [*found, *await check_channels(settings, clock)]


_REACHED = {
    "webhook": ("the hook is reachable; no message was sent", "correct {setting}, or open the way there"),
    "mail": (
        "the mail server lets us in over TLS; no mail was sent",
        "correct {setting}, or open the way there; no mail goes out in clear",
    ),
}


async def check_channels(settings: Settings, clock: Clock) -> list[Check]:
    """Try the ways that messages go, without a message."""
    found, notify = [], settings.notify
    for name, problem in (await probe_channels(settings, clock)).items():
        fine, remedy = _REACHED[name]
        key, secret = ("webhook_url", notify.webhook_url) if name == "webhook" else ("smtp_url", notify.smtp_url)
        remedy = remedy.format(setting=f"notify.{key}" if secret is None else secret.name_key(f"notify.{key}"))
        status: Literal["failed", "ok"] = "failed" if problem else "ok"
        found.append(Check(f"notify.{name}", status, detail=problem or fine, remedy=remedy if problem else ""))
    return found


def check_portal_credential(settings: Settings, clock: Clock) -> Check:
    """Say when the portal's secret ends, by the settings: the portal tells it nowhere."""
    name, ends_at = "portal credential", find_day(settings.bps.client_secret_expires)
    if ends_at is None:
        remedy = "note the date as bps.client_secret_expires, if the portal's secret has one"
        return Check(name, "unknown", detail="nobody tells when the portal's client secret ends", remedy=remedy)
    from syncd.graph.checks.credential import judge_secret

    said = judge_secret(
        name,
        settings.bps.client_secret.name_key("bps.client_secret"),
        ends_at,
        now=clock.now(),
        said="by bps.client_secret_expires",
    )
    return Check(said.check, said.status, detail=said.detail, remedy=said.remedy)


async def check_sign_in(settings: Settings, clock: Clock, before: Sequence[Check]) -> Check:
    """Look where the portal sends people who have not signed in; not where the portal cannot be reached."""
    from syncd.bps.sign_in import ROW, Expected, probe_sign_in
    from syncd.config.addresses import LOGIN_HOSTS

    if any(row.check == "portal reachable" and row.status != "ok" for row in before):
        return Check(ROW, "unknown", detail="not tried: the portal cannot be reached")
    graph = settings.graph
    expected = Expected(tenant_id=graph.tenant_id, authority=graph.authority, login_hosts=LOGIN_HOSTS)
    row = await probe_sign_in(make_bps_options(settings), expected, clock)
    return Check(row.check, row.status, detail=row.detail, remedy=row.remedy)


async def check_privileges(portal: BpsPortal, rules: Rules, meanings: Mapping[str, Any]) -> list[Check]:
    """Try what the rules about privileges need; nothing where the portal gave no token.

    ``meanings``: what their names mean that runs have looked up before.
    """
    from syncd.bootstrap.check_privileges import list_names, probe_privileges
    from syncd.bps.client import make_nobody

    if portal.tokens.peek() is None:
        names = list_names(rules.privileges)
        return [Check(name, "unknown", detail="not tried: there is no token") for name in names]
    rows = await probe_privileges(portal, rules.privileges, make_nobody(), meanings)
    named = {f"privileges[{number}]" for number, _ in enumerate(rules.privileges)}
    return [
        Check(name, status, detail=detail, remedy=remedy, misnamed=status == "failed" and name in named)
        for name, status, detail, remedy in rows
    ]


async def check_groups(client: GraphClient, settings: Settings) -> list[Check]:
    """Look for the groups that the settings name; what nobody has is told with the names that the store knows."""
    from syncd.graph.checks.groups import probe_groups

    references = list_group_references(settings)
    found = []
    probes = await probe_groups(client, references, load_group_names(settings), lasting=load_rule_groups(settings))
    for (key, reference), item in zip(references, probes, strict=True):
        detail, failed = item.detail, item.status == "failed"
        if failed and (choice := load_choice(settings, reference)):
            detail += f"; {choice}"
        misnamed = failed and key.startswith("privileges[")
        found.append(Check(item.check, item.status, detail=detail, remedy=item.remedy, misnamed=misnamed))
    return found


def load_choice(settings: Settings, reference: str) -> str:
    """Return in words which groups the store knows, like the one that was meant; nothing before the first run."""
    if _has_no_schema(settings):
        return ""
    try:
        with contextlib.closing(open_store(settings, create=False)) as database:
            chunks = Store(database).desired.iterate_named_groups(touched_only=False)
            return name_choice(reference, (group.name for some in chunks for group in some if group.there))
    except SyncdError:
        return ""  # the row of the store tells why


def list_group_references(settings: Settings) -> list[tuple[str, str]]:
    """Return the groups that the settings name, as (key, id or name)."""
    scope = settings.scope
    found = [("scope.include_groups", group) for group in scope.include_groups]
    found += [("scope.exclude_groups", group) for group in scope.exclude_groups]
    found += [(f"licences[{number}].group", rule.group) for number, rule in enumerate(settings.licences)]
    return found + [(f"privileges[{number}].group", rule.group) for number, rule in enumerate(settings.privileges)]


def check_coexistence(settings: Settings) -> Check:
    """Look in the store for signs of the portal's own synchronisation at work on the same people."""
    name = "portal coexistence"
    if _has_no_schema(settings):
        return Check(
            name, "unknown", detail="no run yet: another one who fills the portal shows when a creation is refused"
        )
    try:
        with contextlib.closing(open_store(settings, create=False)) as database:
            found = load_blocked(database)
    except SyncdError as error:
        return Check(name, "unknown", detail=f"not tried: {error}")
    if said := found.describe():
        return Check(name, "warning", detail=said, remedy=WAY_OUT)
    return Check(name, "ok", detail="nothing is refused because of records of the portal's own Entra synchronisation")


def load_group_names(settings: Settings) -> dict[str, Remembered]:
    """Return which groups the names in the settings mean, as far as runs have looked them up."""
    return _ask_store(settings, lambda store: store.desired.load_group_names(), otherwise={})


def load_rule_meanings(settings: Settings) -> dict[str, Any]:
    """Return what rules about privileges mean, as far as runs have looked it up."""
    return _ask_store(settings, lambda store: store.privileges.load_meanings.blocking(), otherwise={})


def load_rule_groups(settings: Settings) -> dict[str, Remembered]:
    """Return which groups rules about privileges mean that a run has met, by the key of the setting."""
    recalled: list[tuple[int, str, str]] = _ask_store(
        settings, lambda store: recall_rule_groups(store, make_rules(settings)), otherwise=[]
    )
    return {f"privileges[{number}].group": Remembered(id=known, called=name) for number, known, name in recalled}


_MANAGERS = {
    "creation": "the portal takes the manager in the creation of an account",
    "synchronized": "the portal takes the manager in the creation of an account, when that manager is synchronised",
    "second_pass": "the portal takes no manager in the creation of an account: managers are set in a second pass",
}


def check_managers(settings: Settings) -> Check:
    """Tell from the store how the portal wants the managers of new accounts."""
    name = "portal managers"
    unknown = Check(name, "unknown", detail="the first creation of somebody who has a manager shows it")
    if _has_no_schema(settings):
        return unknown
    try:
        with contextlib.closing(open_store(settings, create=False)) as database:
            manner = Store(database).plans.load_manager_manner()
    except SyncdError as error:
        return Check(name, "unknown", detail=f"not tried: {error}")
    return unknown if manner is None else Check(name, "ok", detail=_MANAGERS[manner])


def owns_licences(settings: Settings) -> bool:
    """Return whether rules granted licences that are held now: without rules they wait for being revoked."""
    return _ask_store(settings, lambda store: store.licences.owns_licences.blocking(), otherwise=False)


def _ask_store(settings: Settings, question: Callable[[Store], T], *, otherwise: T) -> T:
    """Return the answer, ``otherwise`` of an empty store and of one that cannot be asked: its own row tells why."""
    if _has_no_schema(settings):
        return otherwise
    try:
        with contextlib.closing(open_store(settings, create=False)) as database:
            return question(Store(database))
    except SyncdError:
        return otherwise


def _has_no_schema(settings: Settings) -> bool:
    """Return whether the store can be asked and is empty; why it cannot be asked is told by its own row."""
    try:
        with contextlib.closing(open_database(settings.store.url.reveal())) as database:
            return load_revision(database) is None
    except SyncdError:
        return False


def check_store(settings: Settings) -> Check:
    """Try to reach the store, and compare its revision with the program's."""
    name = settings.store.url.name_key("store.url")
    try:
        database = open_database(settings.store.url.reveal())
    except SyncdError as error:
        return Check("store", "failed", detail=str(error), remedy=f"correct {name}")
    try:
        revision, head = load_revision(database), load_head()
        problem, share = find_problem(database), find_share(database)
        fresh = revision is None or (revision == head and is_fresh(database))
    except SyncdError as error:
        return Check("store", "failed", detail=str(error), remedy="see the message")
    finally:
        database.close()
    where = settings.store.url.shown()
    if problem:
        return Check("store", "failed", detail=problem, remedy=f"correct {name}, or let syncd write there")
    if share:
        return Check(
            "store",
            "warning",
            detail=f"{where} is on a file system that other machines may share ({share})",
            remedy="SQLite's locks do not hold there: put the file on a local disk, or use PostgreSQL",
        )
    if fresh:
        return Check(
            "store",
            "warning",
            detail=f"{where} is {'empty' if revision is None else f'at revision {head}'}; {BEGINNING}",
            remedy="if there was another store, stop syncd and restore it; if not, begin with 'syncd sync full', which "
            "holds what the portal has already for adoption",
        )
    if revision == head:
        return Check("store", "ok", detail=f"{where} is at revision {head}")
    detail = f"{where} is at revision {revision}, this syncd needs {head}"
    if revision is not None and is_of_newer(revision):
        remedy = "it was written by a newer syncd: install that version again, or restore a copy of before"
    else:
        remedy = "stop every syncd on it and run 'syncd migrate'"
    return Check("store", "failed", detail=detail, remedy=remedy)
