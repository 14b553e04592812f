"""``syncd certificate``: one document for an auditor on somebody who left."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo
from typing import TYPE_CHECKING, Any

import click

from syncd.cli.options import STORE_ONLY, Invocation, pass_invocation, shared_options
from syncd.cli.screen.history import describe_end
from syncd.cli.screen.output import format_time, print_json, print_line, print_table
from syncd.clock import Clock
from syncd.model.shell import quote_word
from syncd.plan.report.certificate import CAUSES, HOW, list_open
from syncd.plan.report.history import say_end, say_moment

if TYPE_CHECKING:
    from syncd.model.history import Links, RecordTime
    from syncd.store.db.database import Database
    from syncd.store.reports.certificate import Departure, RunProof, Task
    from syncd.store.reports.explain import Found

_PROVES = (
    "It says what this store noted of the tenant's word and of the portal's answers. 'syncd verify' tells whether its "
    "runs are as they were when they ended; keep the head elsewhere for that."
)


@click.command("certificate")
@click.argument("name", metavar="WHO")
@shared_options
@pass_invocation
def certificate(invocation: Invocation, *, name: str) -> None:
    """Certify what became of somebody who left: since when, how that is known, each group, licence and account.

    WHO is the Entra id, the UPN, the BPS id or the whole display name. What is still open stands first: then it says
    NOT finished, and the exit code is 3. Neither side is asked.

    \b
    Example:
      syncd certificate ben@example.com --json > ben.json
    """
    from syncd.bootstrap.rules import make_rules
    from syncd.bootstrap.store import open_store
    from syncd.errors import NotLeft
    from syncd.plan.diff import choose_leaver_policy
    from syncd.store.reports.certificate import Certificates
    from syncd.store.reports.history import History

    settings, now = invocation.start(need=STORE_ONLY, quiet=True), Clock().now()
    policy = make_rules(settings).policy
    with contextlib.closing(open_store(settings, create=False)) as database:
        person = _find_person(database, name)
        since = History(database).load_since()
        left = Certificates(database).load(person, now=now)
    if left is None:
        raise NotLeft(
            f"{name} has not left: there is nothing to certify. 'syncd explain {quote_word(name)}' says what this "
            "person has"
        )
    found = list_open(
        accounts=left.accounts,
        links=left.links,
        licences=left.licences,
        pending=left.pending,
        policy=choose_leaver_policy(left.state, "user", policy),
        grace=policy.grace,
    )
    if invocation.json:
        print_json(_describe(person, left, found, now=now, since=since))
    else:
        _print(person, left, found, zone=settings.schedule.timezone, now=now, since=since)
    if found:
        raise click.exceptions.Exit(3)


def _find_person(database: Database, name: str) -> Found:
    from syncd.cli.screen.people import find_object
    from syncd.errors import UnknownObject
    from syncd.store.reports.explain import Explanations

    found = [each for each in Explanations(database).find(name, in_part=False) if each.kind == "user"]
    person = found[0] if len(found) == 1 else find_object(database, name)
    if person.kind == "group":
        raise UnknownObject(f"'{name}' is a group, and a certificate is about a person")
    return person


def _describe(
    person: Found, left: Departure, found: Sequence[str], *, now: datetime, since: datetime
) -> dict[str, Any]:
    return {
        "who": {"source_id": person.id, "upn": left.upn or None, "name": person.name or None},
        "made_at": format_time(now),
        "finished": not found,
        "open": list(found),
        "left": {
            "as": left.state,
            "at": format_time(left.left_at),
            "run": left.left_run,
            "known_by": left.how or None,
            "says": HOW[left.how],
            "reason": left.reason or None,
        },
        "accounts": [
            {
                "bps_id": each.bps_id,
                "ownership": each.origin,
                "leaving_as": each.leaving_as or None,
                "kept": each.time.went is None,
                "came": describe_end(each.time.came, came=True),
                "went": describe_end(each.time.went, came=False),
            }
            for each in left.accounts
        ],
        "groups": [_describe_link(each, left) for each in left.links if each.object == "membership"],
        "owned": [_describe_link(each, left) for each in left.links if each.object == "ownership"],
        "licences": [
            {
                "bps_id": each.bps_id,
                "type": each.type,
                "came": describe_end(each.time.came, came=True),
                "went": describe_end(each.time.went, came=False),
            }
            for each in left.licences
        ],
        "tasks": [
            {
                "at": format_time(each.at),
                "run": each.run,
                "action": each.action,
                "account": each.account,
                "substitute": each.substitute or None,
                "until": each.until or None,
            }
            for each in left.tasks
        ],
        "runs": [_describe_run(each) for each in left.runs],
        "history_since": format_time(since),
        "head": left.head or None,
    }


def _describe_link(each: Links, left: Departure) -> dict[str, Any]:
    return {
        "bps_id": each.member,
        "group": each.group,
        "name": left.names.get(each.group),
        "came": describe_end(each.time.came, came=True),
        "went": describe_end(each.time.went, came=False),
    }


def _describe_run(each: RunProof) -> dict[str, Any]:
    return {
        "id": each.id,
        "kind": each.kind or None,
        "trigger": each.trigger or None,
        "status": each.status or None,
        "started_at": format_time(each.started_at),
        "finished_at": format_time(each.finished_at),
        "reads": dict(each.proof),
        "hash": each.hash,
    }


def _print(
    person: Found, left: Departure, found: Sequence[str], *, zone: tzinfo, now: datetime, since: datetime
) -> None:
    name = person.name or left.upn or person.id
    if found:
        print_line(f"NOT finished: {len(found)} {'thing is' if len(found) == 1 else 'things are'} open")
        for what in found:
            print_line(f"  - {what}")
    else:
        print_line("Finished: nothing is open")
    print_line()
    print_line(f"Certificate on {name} ({left.upn or 'no UPN'}, {person.id}), made {say_moment(now, zone)} ({zone})")
    when = "before anybody noted it" if left.left_at is None else f"at {say_moment(left.left_at, zone)}"
    run = "" if left.left_run is None else f", read by run {left.left_run}"
    print_line(f"Left the directory {when} ({CAUSES[left.state]}{run}): {HOW[left.how]}")
    if not left.accounts:
        print_line("syncd never had an account of its own for this person in the portal.")
        return
    _table("account", [(_say_account(each), each) for each in left.accounts], zone, since)
    groups = [(_say_group(each, left.names), each) for each in left.links]
    _table("group", groups, zone, since)
    _table("licence", [(f"{each.type} of {each.bps_id}", each) for each in left.licences], zone, since)
    if not left.links:
        print_line("No group: in none when it was noted that this person left, and in none since.")
    if not left.licences:
        print_line("No licence: none when it was noted that this person left, and none since.")
    print_line()
    for task in left.tasks:
        print_line(_say_task(task, zone))
    if not left.tasks:
        print_line("Tasks: none were handed to anybody by syncd.")
    print_line()
    print_table(
        [("run", 1), ("what", 3), ("hash of the chain", 8)],
        [
            [each.id, f"{each.kind} ({each.trigger})" if each.kind else "let go", each.hash or "none"]
            for each in left.runs
        ],
    )
    print_line(f"head {left.head or 'none'}")
    print_line(_PROVES)


def _say_account(each: RecordTime) -> str:
    kept = ", kept" if each.time.went is None else ""
    return f"{each.bps_id} ({'left: ' + each.leaving_as.replace('_', ' ') if each.leaving_as else 'active'}{kept})"


def _say_group(each: Links, names: Mapping[str, str]) -> str:
    name = names.get(each.group, "")
    told = [*([name] if name and name.casefold() != each.group.casefold() else [])]
    told += ["owner"] if each.object == "ownership" else []
    return f"{each.group} ({', '.join(told)})" if told else each.group


def _say_task(each: Task, zone: tzinfo) -> str:
    when = "" if each.at is None else f" at {say_moment(each.at, zone)}"
    if each.action == "delete":
        return f"Tasks of {each.account}: handed to {each.substitute} no more{when} (run {each.run})"
    until = f", until {each.until}" if each.until else ""
    return f"Tasks of {each.account}: handed to {each.substitute}{until}{when} (run {each.run})"


def _table(title: str, rows: Sequence[tuple[str, Any]], zone: tzinfo, since: datetime) -> None:
    if rows:
        print_line()
        print_table(
            [(title, 10), ("from", 10), ("to", 10)],
            [
                [
                    what,
                    say_end(each.time.came, zone, came=True, since=since),
                    say_end(each.time.went, zone, came=False, since=since) or ("" if title == "account" else "STILL"),
                ]
                for what, each in rows
            ],
        )
